"""Intervals for numbers measured on pictures that come in groups.

Pictures of one photograph, and of its near-duplicates, rise and fall together; to count them as independent would make
every interval too narrow. So whole groups are drawn with replacement (Efron & Tibshirani 1993, ch. 6 and 13: percentile
interval). A draw is kept as the number of times that each group came up, which turns a resampled statistic into a
weighted one, and thousands of draws into a few matrix products. Shares of small sets get :func:`share` instead.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import norm

from nbsupport.core import rng
from nbsupport.core.errors import ConfigError, UserError

BLOCK = 32  # draws at a time: 32 draws of 10,000 rows are 2.5 MB, which the processor's cache can hold

Interval = dict[str, float | None]  # {"value", "low", "high"}; None where the number does not exist


def codes_of(groups: Sequence | np.ndarray) -> tuple[np.ndarray, int]:
    """Number the groups: any hashable labels (N,) -> codes (N,) int64 in 0..G-1, and G. Raises UserError if empty."""
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    if not len(codes):
        raise UserError("There are no rows to compute an interval from. Check the split, arm and detector selected.")
    return codes, int(codes.max()) + 1


def group_weights(groups: int, draws: int, seed: int) -> np.ndarray:
    """How often each of `groups` groups comes up in each draw: (draws, groups) float64, each row sums to `groups`.

    A function of its arguments alone, so that two numbers from the same groups are computed in the same draws.
    """
    if groups < 1 or draws < 1:
        raise ConfigError(f"A bootstrap needs at least one group and one draw, got {groups} and {draws}.")
    generator = rng.generator(seed, "groups", groups)
    weights = np.empty((draws, groups))
    for number in range(draws):  # counting what was drawn is several times faster than a multinomial draw
        weights[number] = np.bincount(generator.integers(0, groups, groups), minlength=groups)
    return weights


def interval(value: float, draws: np.ndarray, confidence: float = 0.95) -> Interval:
    """The percentile interval of bootstrap draws (D,) around a value, as ``{value, low, high}``.

    Draws in which the number does not exist (NaN) are left out. If it does not exist in the data, or in most of the
    draws, there is nothing to tell and the places hold None. The ends always enclose the value.
    """
    if not 0 < confidence < 1:
        raise ConfigError(f"The confidence must lie between 0 and 1, got {confidence!r}.")
    draws = np.asarray(draws, np.float64)
    if not np.isfinite(value):
        return {"value": None, "low": None, "high": None}
    held = draws[np.isfinite(draws)]
    if 2 * len(held) < len(draws) or not len(held):
        return {"value": float(value), "low": None, "high": None}
    low, high = np.quantile(held, [(1 - confidence) / 2, (1 + confidence) / 2])
    return {"value": float(value), "low": float(min(low, value)), "high": float(max(high, value))}


def debiased(value: float, draws: np.ndarray, confidence: float = 0.95) -> Interval:
    """A distance from zero, less what resampling adds to it, with its basic interval: ``{value, low, high}``.

    A mean of absolute differences grows with noise: its draws (D,) lie above the value as far as the value lies above
    the truth. So the value is lowered by the bootstrap's estimate of its bias, and the quantiles of the draws are
    reflected at it (Efron & Tibshirani 1993, ch. 10; Davison & Hinkley 1997, ch. 5.2). Nothing falls below zero.
    """
    found = interval(value, draws, confidence)
    if found["low"] is None:
        return found
    held = draws[np.isfinite(draws)]
    low, high = np.quantile(held, [(1 - confidence) / 2, (1 + confidence) / 2])
    less, ends = 2 * value - held.mean(), (2 * value - high, 2 * value - low)
    return {"value": max(float(less), 0.0), "low": max(float(min(ends[0], less)), 0.0),
            "high": max(float(max(ends[1], less)), 0.0)}  # fmt: skip


def p_words(p: float | None) -> str:
    """A p-value in words: ``0.043``, ``< 0.001``, or a dash where there is none."""
    return "–" if p is None or np.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def bootstrap_groups(
    groups: Sequence | np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Interval of any statistic that can be written with weights.

    Args:
        groups: (N,) the group of each row.
        statistic: from weights (B, N) float64, how often each row stands in each of B tables, to its values (B,); NaN
            where it does not exist. Called with ones for the value itself, and with blocks of draws.
        draws: number of draws.
        seed: of the draws.
        confidence: share of the draws between the ends of the interval.

    >>> heights = np.array([1.0, 2.0, 4.0])
    >>> bootstrap_groups([0, 0, 1], lambda w: w @ heights / w.sum(1), draws=100)["value"]
    2.3333333333333335
    """
    codes, count = codes_of(groups)
    weights = group_weights(count, draws, seed)
    found = [statistic(weights[start : start + BLOCK][:, codes]) for start in range(0, draws, BLOCK)]
    value = statistic(np.ones((1, len(codes))))
    return interval(float(np.asarray(value).reshape(-1)[0]), np.concatenate(found), confidence)


def mean_difference(values: np.ndarray, first: np.ndarray, groups: np.ndarray, **settings) -> Interval:
    """Mean of `values` (N,) where `first` (N,) bool, minus their mean elsewhere; `settings` as in bootstrap_groups."""
    values, first = np.asarray(values, np.float64), np.asarray(first, bool)

    def statistic(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            inside, outside = weights[:, first], weights[:, ~first]
            return inside @ values[first] / inside.sum(1) - outside @ values[~first] / outside.sum(1)

    return bootstrap_groups(groups, statistic, **settings)


def share(right: Sequence | np.ndarray, groups: Sequence | np.ndarray, confidence: float = 0.95) -> Interval:
    """The share of True in `right` (N,), with an interval that holds for few pictures and for shares of 0 and 1 too.

    A bootstrap of five misses out of five gives an interval of no width, as if five pictures settled the matter. This
    is Wilson's interval (1927) instead, with the number of pictures lowered to what they are worth, given how alike
    those of a group turn out (Kish's design effect from the variance between groups; never more than N pictures). Where
    all answers are the same the variance says nothing, and each group counts as one picture. No rows: None.
    """
    right = np.asarray(right, bool)
    if not len(right):
        return {"value": None, "low": None, "high": None}
    codes, count = codes_of(groups)
    p, size = float(right.mean()), len(right)
    worth = float(count)
    if 0 < p < 1 and count > 1:
        residuals = np.bincount(codes, right - p, count)
        variance = count / (count - 1) * float(residuals @ residuals) / size**2
        worth = min(size, max(1.0, p * (1 - p) / variance)) if variance > 0 else size
    z = float(norm.isf((1 - confidence) / 2))
    middle = (p + z**2 / (2 * worth)) / (1 + z**2 / worth)
    reach = z / (1 + z**2 / worth) * np.sqrt(p * (1 - p) / worth + z**2 / (4 * worth**2))
    # At shares of 0 and 1 an end equals the share, up to rounding.
    return {"value": p, "low": float(np.clip(middle - reach, 0, p)), "high": float(np.clip(middle + reach, p, 1))}


def mean_interval(
    values: np.ndarray, groups: Sequence, seed: int, draws: int = 2000, confidence: float = 0.95
) -> dict[str, float]:
    """The mean of `values` with a percentile interval from a bootstrap that draws whole groups.

    Args: values (n,) float; groups: n labels, equal for what is not independent. Returns value, low, high.
    """
    _, number = np.unique(np.asarray(groups), return_inverse=True)
    sums, counts = np.bincount(number, values), np.bincount(number)
    draw = rng.generator(seed, "mean_interval")
    weights = draw.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=draws)
    low, high = np.quantile((weights @ sums) / (weights @ counts), [0.5 - confidence / 2, 0.5 + confidence / 2])
    return {"value": float(np.mean(values)), "low": float(low), "high": float(high)}
