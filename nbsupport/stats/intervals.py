"""Intervals in words: one way to print them, one way to say what a difference with its interval allows to say."""

from collections.abc import Mapping


def format_interval(found: Mapping | None, digits: int = 3, *, percent: bool = False, sign: bool = False) -> str:
    """An interval {value, low, high} as ``0.812 [0.765, 0.857]``; a dash for a number that does not exist.

    Args: digits: after the point; 0 of a percentage. percent: of a share. sign: of a difference, which shows its plus.

    >>> format_interval({"value": 0.5, "low": 0.25, "high": None}, percent=True)
    '50% [25%, –]'
    """
    if not found or found.get("value") is None:
        return "–"
    form = ("+" if sign else "") + (".0%" if percent else f".{digits}f")
    value, low, high = ("–" if found.get(key) is None else format(found[key], form) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def verdict(interval: Mapping, above: str = "better", below: str = "worse", tie: str = "a tie") -> str:
    """What a difference with its interval allows to say: `above` 0, `below` 0, or a `tie` when 0 lies within."""
    if interval["low"] is None or interval["low"] <= 0 <= interval["high"]:
        return tie
    return above if interval["low"] > 0 else below
