"""From tables of single pictures to numbers that can be printed: means with intervals, and what a caption is worth.

Intervals come from a bootstrap over groups, since photographs of one group are not independent; for the tests' p values
the pictures of a group are averaged first, for the same reason. Not here: filling and measuring (:mod:`.comparison`).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from nbsupport.core.errors import UserError
from nbsupport.quality.comparison import KINDS, NO_CAPTION
from nbsupport.stats.bootstrap import mean_interval
from nbsupport.stats.intervals import format_interval

#: The columns of :func:`~.comparison.evaluate`'s table that name a row; all others are measures.
KEYS = ("row", "group", "method", "caption_kind")
#: Measures that say how good a fill is, and whether more of it is better. Perceptual distances belong to them under
#: their own names; the total variation does not, since neither end of it is good.
MORE_IS_BETTER = {"hole_l1": False, "hole_psnr": True, "hole_ssim": True, "ssim": True, "psnr": True, "whole_l1": False}
#: Those that a verdict rests on, beside every perceptual distance: error and structure in the hole.
JUDGED = ("hole_l1", "hole_ssim")
#: From which share of the error on a caption's worth is called what (:func:`worth`).
WORTH = (
    (0.0, "barely follows its caption"),
    (0.02, "follows its caption a little"),
    (0.05, "clearly follows its caption"),
)


def summary(table: pd.DataFrame, seed: int = 0) -> dict:
    """Means with intervals of :func:`~.comparison.compare`'s table, and what the right caption is worth.

    Returns:
        ``photographs``; ``hole_l1``: method -> value, low, high; ``caption_effect``: L1 with a mismatched caption minus
        L1 with the matched one (above 0: the caption helps); ``against``: baseline -> its L1 minus TDANet's (above 0:
        TDANet is better).
    """
    methods = [name for name in table.columns if name not in ("row", "group")]
    groups = table["group"].to_numpy()

    def interval(values: pd.Series) -> dict[str, float]:
        return mean_interval(values.to_numpy(), groups, seed)

    return {
        "photographs": len(table),
        "hole_l1": {name: interval(table[name]) for name in methods},
        "caption_effect": interval(table["tdanet_mismatched"] - table["tdanet"]),
        "against": {n: interval(table[n] - table["tdanet"]) for n in methods if not n.startswith("tdanet")},
    }


def report(table: pd.DataFrame, seed: int = 0) -> dict:
    """Everything that :func:`~.comparison.evaluate`'s table says, ready for JSON.

    An interval is ``{value, low, high}``, and ``left_out`` where pictures had no finite value (the PSNR of equal
    pictures is infinite); all three are None where none had. "Reads captions" means: has other caption kinds than
    ``none``; a method that reads none is a baseline here.

    Returns:
        - ``photographs``, ``groups``: how many.
        - ``measures``: method -> caption kind -> measure -> interval.
        - ``caption_effect``: method that reads captions -> ``mismatched`` and ``empty`` -> measure -> interval of
          *that caption minus the matched one*, photograph by photograph, with ``t_test`` and ``wilcoxon``, the
          two-sided p values of the paired tests over groups (None where there is nothing to test). For an error, above
          0 means that the right caption helps; for PSNR and SSIM, below 0 does.
        - ``against``: method that reads captions -> baseline -> measure of quality, perceptual distances included ->
          interval of *baseline minus method* with the matched caption (or the first kind there is), photograph by
          photograph.
        - ``disjoint``: the same keys -> whether the two methods' own intervals do not overlap.

    Raises:
        UserError: the table is empty, or holds a photograph twice.
    """
    if not len(table):
        raise UserError("There is nothing to report: no photograph was evaluated. Choose a split that holds some.")
    if table.duplicated(["row", "method", "caption_kind"]).any():
        raise UserError("The table holds a photograph twice for one method. Evaluate each row of the index once.")
    names = [name for name in table.columns if name not in KEYS]
    own = {  # (method, caption kind) -> its measures by photograph
        key: part.set_index(["row", "group"])[names].sort_index()
        for key, part in table.groupby(["method", "caption_kind"], sort=False)
    }

    def intervals(values: pd.DataFrame, only: Sequence[str] = tuple(names)) -> dict[str, dict]:
        return {name: _interval(values[name], seed) for name in only}

    means: dict[str, dict[str, dict]] = {}
    for (method, kind), values in own.items():
        means.setdefault(method, {})[kind] = intervals(values)

    compared = [name for name in names if name in MORE_IS_BETTER or "lpips" in name]
    effect: dict[str, dict] = {}
    against: dict[str, dict] = {}
    disjoint: dict[str, dict] = {}
    baselines = [method for method, kind in own if kind == NO_CAPTION]
    for method, kinds in means.items():
        if method in baselines:
            continue
        if "matched" in kinds:
            effect[method] = {
                kind: {
                    name: _interval(own[method, kind][name] - own[method, "matched"][name], seed)
                    | _tests(own[method, kind][name], own[method, "matched"][name])
                    for name in names
                }
                for kind in KINDS[1:]
                if kind in kinds
            }
        first = next(kind for kind in KINDS if kind in kinds)
        for baseline in baselines:
            difference = own[baseline, NO_CAPTION] - own[method, first]
            against.setdefault(method, {})[baseline] = intervals(difference, compared)
            disjoint.setdefault(method, {})[baseline] = {
                name: _disjoint(means[baseline][NO_CAPTION][name], kinds[first][name]) for name in compared
            }
    return {
        "photographs": int(table["row"].nunique()),
        "groups": int(table["group"].nunique()),
        "measures": means,
        "caption_effect": effect,
        "against": against,
        "disjoint": disjoint,
    }


def better(against: Mapping[str, Mapping]) -> dict[str, str]:
    """By which measures a method is ``better``, ``worse`` or in a ``tie`` with one baseline.

    Args: against: measure -> interval of baseline minus method, of :func:`report`. Only :data:`JUDGED` and perceptual
        distances are judged.
    """
    said = {}
    for name, own in against.items():
        if name not in JUDGED and "lpips" not in name:
            continue
        if own["low"] is None or own["low"] <= 0 <= own["high"]:
            said[name] = "tie"
        else:
            said[name] = "better" if (own["low"] > 0) != MORE_IS_BETTER.get(name, False) else "worse"
    return said


def conclusion(against: Mapping[str, Mapping]) -> str:
    """What all judged measures together allow to say of a method and one baseline.

    "Better" needs a perceptual distance among the measures, better or tied by each and better by one; error and
    structure alone never suffice.
    """
    said = better(against)
    verdicts = set(said.values())
    if {"better", "worse"} <= verdicts:
        return "mixed: " + "; ".join(
            f"{word} by {', '.join(name for name, own in said.items() if own == word)}" for word in ("better", "worse")
        )
    if "better" in verdicts and not any("lpips" in name for name in said):
        return "better in error or structure; no perceptual measure was taken"
    return next((word for word in ("better", "worse") if word in verdicts), "tie")


def worth(effect: Mapping, error: float) -> str:
    """What a wrong caption's cost says of the network, by its share of the error: see :data:`WORTH`.

    Args: effect: interval of L1 with a wrong caption minus L1 with the right one. error: L1 with the right one.
    """
    if effect["low"] is None or effect["low"] <= 0 <= effect["high"]:
        return "cannot be shown to follow its caption"
    if effect["high"] < 0:
        return "is better off with a wrong caption"
    return [said for share, said in WORTH if effect["value"] / error >= share][-1]


def cost_reading(cost: Mapping, error: float) -> str:
    """What a wrong caption costs, and what that is worth. Args: as :func:`worth`."""
    return f"A wrong caption costs {format_interval(cost, 4)}: the network {worth(cost, error)}."


def missing_or_wrong(effects: Mapping[str, Mapping[str, Mapping]], caption_dropout: float) -> str:
    """Whether a missing caption costs more than a wrong one, and why that can be.

    Args: effects: ``mismatched`` and ``empty`` -> measure -> interval, of :func:`report`. caption_dropout: the share
        of the training pictures that came without a caption.
    """
    wrong, missing = effects["mismatched"]["hole_l1"], effects["empty"]["hole_l1"]
    if missing["low"] is not None and wrong["high"] is not None and missing["low"] > wrong["high"]:
        why = (
            ""
            if caption_dropout
            else ": it never met one in training (no caption dropout), so it is out of distribution"
        )
        return f"A missing caption costs more than a wrong one{why}."
    if missing["high"] is not None and wrong["low"] is not None and wrong["low"] > missing["high"]:
        return "A wrong caption costs more than a missing one: it misleads."
    return "Whether a wrong or a missing caption costs more cannot be told: their intervals overlap."


def caption_reading(effects: Mapping[str, Mapping[str, Mapping]], error: float, caption_dropout: float) -> str:
    """What a wrong caption costs, what that says of the network, and whether a missing one costs more, in Markdown.

    Args: effects, caption_dropout: as for :func:`missing_or_wrong`. error: L1 in the hole with the right caption.
    """
    effect = effects["mismatched"]["hole_l1"]
    return (
        f"A wrong caption costs **{format_interval(effect, 4)}** of L1 inside the hole, which is "
        f"{effect['value'] / error:.1%} of the error. After this training, the network **{worth(effect, error)}**. "
        + missing_or_wrong(effects, caption_dropout)
    )


def diversity_reading(found: Mapping) -> str:
    """How far two fillings of one hole lie apart, beside how far one lies from the photograph, in Markdown.

    Args: found: ``results/quality.json``, whose ``diversity`` holds intervals of L1 in the hole, in [0, 1].
    """
    own = found["diversity"]
    share = own["hole_l1"]["value"] / found["measures"]["tdanet"]["matched"]["hole_l1"]["value"]
    return (
        f"Two fillings of the same hole differ by **{format_interval(own['hole_l1'], 4)}** in L1, which is {share:.1%} "
        f"of how far a filling is from the photograph ({own['photographs']} photographs, {own['samples']} fillings of "
        "each)."
    )


def reading(found: Mapping, names: Mapping[str, str]) -> str:
    """The quality of a trained TDANet in a few lines, in Markdown.

    Args: found: ``results/quality.json``. names: measure -> how a perceptual distance is called.
    """
    own = found["measures"]["tdanet"]["matched"]
    lines = [f"L1 in the hole: {format_interval(own['hole_l1'])}."]
    if found["perceptual"]:
        lines.append(f"{names[found['perceptual']]}: {format_interval(own[found['perceptual']])}.")
    lines += [f"Against {name}: {said}." for name, said in found["verdicts"].items()]
    cost = found["caption_effect"]["tdanet"]["mismatched"]["hole_l1"]
    lines.append(cost_reading(cost, own["hole_l1"]["value"]))
    return "\n".join(f"- {line}" for line in lines)


def _interval(values: pd.Series, seed: int) -> dict:
    """:func:`mean_interval` over the finite values; `values` is indexed by row and group."""
    held = values[np.isfinite(values)]
    if not len(held):
        return {"value": None, "low": None, "high": None, "left_out": len(values)}
    result = mean_interval(held.to_numpy(), held.index.get_level_values("group"), seed)
    return result if len(held) == len(values) else result | {"left_out": len(values) - len(held)}


def _tests(other: pd.Series, matched: pd.Series) -> dict[str, float | None]:
    """Two-sided p values of the paired t-test and of Wilcoxon's signed-rank test over means of groups."""
    pairs = pd.DataFrame({"other": other, "matched": matched})
    pairs = pairs[np.isfinite(pairs).all(axis=1)].groupby(level="group").mean()
    if len(pairs) < 2 or (pairs["other"] == pairs["matched"]).all():
        return {"t_test": None, "wilcoxon": None}
    t_test = stats.ttest_rel(pairs["other"], pairs["matched"]).pvalue
    wilcoxon = stats.wilcoxon(pairs["other"], pairs["matched"]).pvalue
    return {"t_test": float(t_test), "wilcoxon": float(wilcoxon)}


def _disjoint(first: dict, second: dict) -> bool | None:
    """Whether two intervals do not overlap; None where there is none."""
    if first["low"] is None or second["low"] is None:
        return None
    return bool(first["high"] < second["low"] or second["high"] < first["low"])
