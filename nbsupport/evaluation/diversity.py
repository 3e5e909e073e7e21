"""How differently detectors fail: the measures of Kuncheva & Whitaker (2003), for pairs and for the whole committee.

An ensemble can only gain where its members disagree. Four measures of a pair are made of the table of who judged which
picture correctly: disagreement, Yule's Q, correlation of errors, and Cohen's kappa of being right. The fifth compares
the logits within each class, since two good detectors agree on what a fake is whatever they look at.
Not here: whether an ensemble gains (``evaluation.ensemble_report``).
"""

from itertools import combinations

import numpy as np
import pandas as pd

#: Measures of a pair, in the order of the tables; for all but `disagreement`, less means more diverse.
MEASURES: tuple[str, ...] = ("disagreement", "q", "error_correlation", "kappa", "logit_correlation")


def of_pair(first: np.ndarray, second: np.ndarray) -> dict[str, float | None]:
    """Measures of who is right where.

    Args: first, second: (N,) bool, whether each judged the picture correctly.

    Returns:
        ``disagreement`` in [0, 1]; ``q``, ``error_correlation``, ``kappa`` in [-1, 1], 0 where errors have nothing to
        do with each other; None where one does not exist, such as for a detector without errors.
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    both, one, other, none = (
        float(np.mean(x)) for x in (first & second, first & ~second, ~first & second, ~first & ~second)
    )
    cross = both * none - one * other
    spread = np.sqrt((both + one) * (other + none) * (both + other) * (one + none))
    chance = (both + one) * (both + other) + (other + none) * (one + none)
    return {
        "disagreement": one + other,
        "q": _ratio(cross, both * none + one * other),
        "error_correlation": _ratio(cross, spread),
        "kappa": _ratio(both + none - chance, 1 - chance),
    }


def logit_correlation(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> float | None:
    """Pearson's correlation of two detectors' logits (N,), each less the mean of its class (labels (N,) 0 or 1)."""
    centred = []
    for logits in (first, second):
        own = np.array(logits, np.float64)
        for kind in (0, 1):
            own[labels == kind] -= own[labels == kind].mean() if (labels == kind).any() else 0.0
        centred.append(own)
    return _ratio(float(centred[0] @ centred[1]), float(np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())))


def pairs(logits: pd.DataFrame, labels: np.ndarray) -> list[dict[str, object]]:
    """All measures of every pair of detectors.

    Args: logits: (N, D), a column for each detector; one at least 0 says "fake". labels: (N,) 0 or 1.

    Returns:
        records ``first, second``, :data:`MEASURES`, and ``first_complementarity``, ``second_complementarity``: of the
        other's errors, the share that this one judges correctly (None if the other has none).
    """
    labels = np.asarray(labels)
    right = (logits >= 0).eq(labels == 1, axis=0)
    records = []
    for a, b in combinations(logits.columns, 2):
        first, second = right[a].to_numpy(), right[b].to_numpy()
        records.append(
            {"first": a, "second": b}
            | of_pair(first, second)
            | {"logit_correlation": logit_correlation(logits[a].to_numpy(), logits[b].to_numpy(), labels)}
            | {"first_complementarity": complementarity(first, second)}
            | {"second_complementarity": complementarity(second, first)}
        )
    return records


def complementarity(helper: np.ndarray, erring: np.ndarray) -> float | None:
    """Of the pictures that `erring` judged wrongly, the share that `helper` got right; (N,) bool, True = right."""
    return float(helper[~erring].mean()) if (~erring).any() else None


def mean(records: list[dict[str, object]]) -> dict[str, float | None]:
    """Each measure averaged over the pairs where it exists."""
    held = {name: [record[name] for record in records if record[name] is not None] for name in MEASURES}
    return {name: float(np.mean(values)) if values else None for name, values in held.items()}


def _ratio(over: float, under: float) -> float | None:
    return float(over / under) if under > 1e-15 else None
