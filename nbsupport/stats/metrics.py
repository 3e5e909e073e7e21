"""Metrics of one detector under one condition, each with an interval over groups of photographs.

All draws of the bootstrap are computed at once. What depends on a threshold is a ratio of sums, so the sums of each
group are multiplied with the group's weight in each draw. What depends on the ranking is computed from cumulative sums
of weights over the pictures sorted by score; pictures with one score enter together, so ties are counted as ties.
Definitions follow scikit-learn, which the tests compare with. "fake" is the positive class.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nbsupport.core.errors import UserError
from nbsupport.stats import bootstrap
from nbsupport.stats.bootstrap import Interval

#: Every metric of :func:`summary`, in its order. ``accuracy_at_threshold`` follows only if a threshold is given.
METRICS: tuple[str, ...] = (
    "auroc",
    "ap",  # average precision: area under precision over recall, as steps
    "accuracy",  # at probability 0.5, like the four after it
    "precision",  # None if nothing is called fake
    "recall",
    "specificity",
    "f1",
    "brier",  # mean squared difference of probability and label: 0.25 for a detector that always says one half
    "ece",  # expected calibration error over BINS equal bins of probability, less its bias by the bootstrap
    "tpr_at_fpr1",  # share of fakes found where at most 1 % of the photographs are called fake
    "tpr_at_fpr5",
)
BINS = 15
_FALSE_ALARMS = {"tpr_at_fpr1": 0.01, "tpr_at_fpr5": 0.05}


@dataclass(frozen=True)
class _Rows:
    """A score table as arrays over N pictures: scores rank them, probabilities judge them."""

    labels: np.ndarray  # (N,) bool, True = fake
    scores: np.ndarray  # (N,) float64
    probabilities: np.ndarray  # (N,) float64 in [0, 1]
    groups: np.ndarray  # (N,) int64 in 0..G-1
    count: int  # G


def summary(
    table: pd.DataFrame,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    threshold: float | None = None,
) -> dict[str, Interval]:
    """Every metric as ``{value, low, high}``, ready for JSON.

    Args:
        table: rows of one detector and condition: ``label`` (0 and 1, or "real" and "fake"), ``probability`` in [0, 1],
            ``group``, and ``logit`` to rank by (without it, probabilities rank).
        draws: of the bootstrap over groups.
        seed: of the draws.
        confidence: of the intervals.
        threshold: on the probability, chosen on other pictures than these; adds ``accuracy_at_threshold``.

    Returns:
        A metric that does not exist, such as AUROC where all pictures are of one class, has the value None.

    Raises:
        UserError: the table is empty, lacks a column, or holds a value that is no score or label.
    """
    rows = _rows(table)
    weights = bootstrap.group_weights(rows.count, draws, seed)
    once = np.ones((1, rows.count))
    whole, drawn = _all(rows, once, threshold), _all(rows, weights, threshold)
    found = {name: bootstrap.interval(whole[name][0], drawn[name], confidence) for name in whole}
    found["ece"] = bootstrap.debiased(whole["ece"][0], drawn["ece"], confidence)
    return found


def values(table: pd.DataFrame, threshold: float | None = None) -> dict[str, float | None]:
    """Every metric without its interval, ``ece`` with its bias; arguments, None and errors as in :func:`summary`."""
    rows = _rows(table)
    found = _all(rows, np.ones((1, rows.count)), threshold)
    return {name: float(value[0]) if np.isfinite(value[0]) else None for name, value in found.items()}


def labels_of(table: pd.DataFrame) -> np.ndarray:
    """The column ``label`` as (N,) bool, True = fake; raises UserError for anything but 0, 1, real and fake."""
    meaning = {0: False, 1: True, "real": False, "fake": True}
    found = table["label"].map(meaning)
    if found.isna().any():
        strange = table["label"][found.isna()].iloc[0]
        raise UserError(f"The score table holds the label {strange!r}; it may hold 0 or 'real' and 1 or 'fake'.")
    return found.to_numpy(bool)


def weighted_auroc(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC of B weighted tables: (B,), NaN where a class has no weight.

    Args:
        logits: (N,) float, infinities too; ties count one half. labels: (N,) 0 or 1. weights: (B, N) float, how often
            each row stands.

    Raises:
        UserError: a logit is NaN.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    if np.isnan(logits).any():
        raise UserError("A score is not a number, so it has no rank. Train the detector again with a smaller rate.")
    order = np.argsort(logits, kind="stable")
    sorted_ = logits[order]
    first = np.flatnonzero(np.append(True, sorted_[1:] != sorted_[:-1]))  # of each run of equal logits
    weights, fakes = weights[:, order], labels[order]
    fake = np.add.reduceat(weights * fakes, first, axis=1)  # (B, levels)
    real = np.add.reduceat(weights * (1 - fakes), first, axis=1)
    below = np.cumsum(real, axis=1) - real / 2
    with np.errstate(invalid="ignore"):
        return (fake * below).sum(1) / (fake.sum(1) * real.sum(1))


def _rows(table: pd.DataFrame) -> _Rows:
    for name in ("label", "probability", "group"):
        if name not in table:
            raise UserError(f"The score table has no column '{name}' (it has: {', '.join(map(str, table.columns))}).")
    if not len(table):
        raise UserError("The score table has no rows to judge. Check the split, arm, detector and condition selected.")
    probabilities = table["probability"].to_numpy(np.float64)
    scores = table["logit"].to_numpy(np.float64) if "logit" in table else probabilities
    bad = np.isnan(scores) | ~((probabilities >= 0) & (probabilities <= 1))
    if bad.any():
        raise UserError(
            f"{bad.sum()} of {len(table)} rows of the score table hold a score that is no number or a probability "
            "outside 0 to 1. The detector has diverged: lower its learning rate and run chapter 7 again."
        )
    codes, count = bootstrap.codes_of(table["group"])
    return _Rows(labels_of(table), scores, probabilities, codes, count)


def _all(rows: _Rows, weights: np.ndarray, threshold: float | None) -> dict[str, np.ndarray]:
    """Every metric for each row of group weights (D, G): name -> (D,), NaN where it does not exist."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {**_ranking(rows, weights), **_at(rows, weights, 0.5), **_calibration(rows, weights)}
        ordered = {name: found[name] for name in METRICS}
        if threshold is not None:
            ordered["accuracy_at_threshold"] = _at(rows, weights, threshold)["accuracy"]
    return ordered


def _sums(rows: _Rows, weights: np.ndarray, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weighted sums of values (N,) over all pictures: name -> (D,)."""
    return {name: weights @ np.bincount(rows.groups, value, rows.count) for name, value in values.items()}


def _at(rows: _Rows, weights: np.ndarray, threshold: float) -> dict[str, np.ndarray]:
    """What depends on the verdict "fake if the probability is at least `threshold`"."""
    fake, said = rows.labels, rows.probabilities >= threshold
    s = _sums(rows, weights, {"tp": fake & said, "fp": ~fake & said, "fn": fake & ~said, "tn": ~fake & ~said})
    exists = np.where(s["tp"] + s["fn"] > 0, 1.0, np.nan)  # without fakes, nothing about finding them exists
    return {
        "accuracy": (s["tp"] + s["tn"]) / (s["tp"] + s["fp"] + s["fn"] + s["tn"]),
        "precision": s["tp"] / (s["tp"] + s["fp"]) * exists,
        "recall": s["tp"] / (s["tp"] + s["fn"]),
        "specificity": s["tn"] / (s["tn"] + s["fp"]),
        "f1": 2 * s["tp"] / (2 * s["tp"] + s["fp"] + s["fn"]) * exists,
    }


def _calibration(rows: _Rows, weights: np.ndarray) -> dict[str, np.ndarray]:
    error = rows.probabilities - rows.labels
    total = weights @ np.bincount(rows.groups, minlength=rows.count)
    bins = np.minimum((rows.probabilities * BINS).astype(int), BINS - 1)
    # (G, BINS): how much the probabilities of a bin exceed its labels, summed; the share of the bin cancels its size.
    excess = np.bincount(rows.groups * BINS + bins, error, rows.count * BINS).reshape(rows.count, BINS)
    squares = weights @ np.bincount(rows.groups, error**2, rows.count)
    return {"brier": squares / total, "ece": np.abs(weights @ excess).sum(1) / total}


def _ranking(rows: _Rows, weights: np.ndarray) -> dict[str, np.ndarray]:
    """AUROC, average precision and recall at few false alarms, a block of draws at a time."""
    order = np.argsort(-rows.scores, kind="stable")  # the most suspicious picture first
    scores, groups, fakes = rows.scores[order], rows.groups[order], rows.labels[order][:, None]
    first = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))  # of each run of equal scores, a level
    names = ("auroc", "ap", *_FALSE_ALARMS)
    found = {name: np.empty(len(weights)) for name in names}
    for start in range(0, len(weights), bootstrap.BLOCK):
        block = slice(start, start + bootstrap.BLOCK)
        own = np.ascontiguousarray(weights[block].T)[groups]  # (N, B): a draw in each column, so that sums run in step
        gained = own * fakes
        if len(first) < len(order):
            own, gained = np.add.reduceat(own, first, axis=0), np.add.reduceat(gained, first, axis=0)
        hits = np.cumsum(gained, axis=0)  # (levels, B): fakes among those at least this suspicious
        called = np.cumsum(own, axis=0)
        alarms = called - hits
        all_fakes, all_real = hits[-1].copy(), alarms[-1].copy()
        for name, allowed in _FALSE_ALARMS.items():
            # Weights are whole numbers; a little slack keeps 5 of 100 within 5 % in floating point.
            limits = allowed * all_real + 1e-9
            reached = np.array(
                [np.searchsorted(column, limit, "right") for column, limit in zip(alarms.T, limits, strict=True)]
            )
            best = np.where(reached > 0, hits[reached - 1, np.arange(hits.shape[1])], 0) / all_fakes
            found[name][block] = np.where(all_real > 0, best, np.nan)
        precision = hits / np.maximum(called, 1)  # where nothing is called fake yet, no hits either
        found["ap"][block] = np.where(all_real > 0, np.einsum("ij,ij->j", gained, precision) / all_fakes, np.nan)
        strips = np.einsum("ij,ij->j", own - gained, hits - gained / 2)  # trapezia under the ROC curve
        found["auroc"][block] = strips / (all_fakes * all_real)
    return found
