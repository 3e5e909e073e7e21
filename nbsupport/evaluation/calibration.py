"""From a probability to a verdict: real, inpainted, or unsure; and how often such a probability was right.

The two thresholds are fitted on validation pictures. The share of inpainted ones among pictures of a probability is
taken as a rising function of it (isotonic regression, classes weighted to equal shares), and a verdict is given only
where that share leaves at most `allowed` for the other class. What lies between is *unsure*. Not here: temperature and
shift of a detector's logits (``training.classifier``).
"""

from dataclasses import asdict, dataclass

import numpy as np
from sklearn.isotonic import IsotonicRegression

from nbsupport.errors import UserError
from nbsupport.evaluation.statistics import Interval, share

VERDICTS: tuple[str, ...] = ("real", "unsure", "inpainted")


@dataclass(frozen=True)
class Band:
    """Up to `low` a picture is called real, from `high` on inpainted; a `low` of -1 or a `high` of 2: never."""

    low: float
    high: float
    allowed: float

    def verdict(self, probability: float) -> str:
        """One of :data:`VERDICTS`."""
        return "inpainted" if probability >= self.high else "real" if probability <= self.low else "unsure"

    def to_mapping(self) -> dict[str, float]:
        """Plain numbers, for JSON."""
        return asdict(self)


def fit_band(labels: np.ndarray, probabilities: np.ndarray, allowed: float = 0.2) -> Band:
    """The widest verdicts that keep their promise at every probability.

    Args: labels: (N,) bool, True = fake. probabilities: (N,) in [0, 1]. allowed: share of wrong ones at a threshold.

    Raises:
        UserError: one class is missing.
    """
    labels, probabilities = np.asarray(labels, bool), np.asarray(probabilities, np.float64)
    if labels.all() or not labels.any():
        raise UserError("Thresholds need photographs and inpainted pictures of the validation split; one is missing.")
    weight = np.where(labels, 0.5 / labels.sum(), 0.5 / (~labels).sum())
    levels = np.unique(probabilities)
    shares = IsotonicRegression(out_of_bounds="clip").fit(probabilities, labels, weight).predict(levels)
    real, inpainted = levels[shares <= allowed], levels[shares >= 1 - allowed]
    return Band(float(real.max(initial=-1)), float(inpainted.min(initial=2)), allowed)


def trust(
    labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, probability: float, nearest: int = 100
) -> Interval:
    """Of the pictures with the nearest probabilities, the share that was inpainted, with its interval over groups.

    Both classes give equally many of the `nearest`, so that the share answers for even odds beforehand. Fewer where
    there are not so many.
    """
    labels = np.asarray(labels, bool)
    fake, real = (np.flatnonzero(labels == kind) for kind in (True, False))
    even = min(len(fake), len(real))
    kept = np.concatenate([fake[np.linspace(0, len(fake) - 1, even).astype(int)], real[:even]])
    distance = np.abs(np.asarray(probabilities)[kept] - probability)
    chosen = kept[np.argsort(distance, kind="stable")[: min(nearest, len(kept))]]
    return share(labels[chosen], np.asarray(groups)[chosen])
