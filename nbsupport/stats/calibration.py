"""From a probability to a verdict: real, inpainted, or unsure; and how often such a probability was right.

The two thresholds are fitted on validation pictures. The share of inpainted ones among pictures of a probability is
taken as a rising function of it (isotonic regression, classes weighted to equal shares), and a verdict is given only
where that share leaves at most `allowed` for the other class. What lies between is *unsure*. Not here: temperature and
shift of a detector's logits (``detectors.classifier``).
"""

from dataclasses import asdict, dataclass

import numpy as np
from sklearn.isotonic import IsotonicRegression

from nbsupport.core.errors import UserError
from nbsupport.stats.bootstrap import Interval, share

#: The widest interval of :func:`empirical_precision` that says anything, and how far apart shares may lie that count
#: together.
WIDEST, ALIKE = 0.4, 0.1
#: Share of wrong ones at the thresholds of a verdict.
ALLOWED = 0.2
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


def fit_band(labels: np.ndarray, probabilities: np.ndarray, allowed: float = ALLOWED) -> Band:
    """The widest verdicts that keep their promise at every probability.

    Args: labels: (N,) bool, True = fake. probabilities: (N,) in [0, 1]. allowed: share of wrong ones at a threshold.

    Raises:
        UserError: one class is missing, or a probability is none.
    """
    levels, shares = _rising(labels, probabilities)
    real, inpainted = levels[shares <= allowed], levels[shares >= 1 - allowed]
    return Band(float(real.max(initial=-1)), float(inpainted.min(initial=2)), allowed)


def _rising(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The share of fakes as a rising function of the probability: its levels (L,) ascending, and shares (L,).

    Isotonic regression, classes weighted to equal shares.
    """
    labels, probabilities = np.asarray(labels, bool), np.asarray(probabilities, np.float64)
    if labels.all() or not labels.any():
        raise UserError("Thresholds need photographs and inpainted pictures of the validation split; one is missing.")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise UserError("A probability of a validation picture is none: the detector has diverged. Train it again.")
    weight = np.where(labels, 0.5 / labels.sum(), 0.5 / (~labels).sum())
    levels = np.unique(probabilities)
    return levels, IsotonicRegression(out_of_bounds="clip").fit(probabilities, labels, weight).predict(levels)


def empirical_precision(
    labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, probability: float
) -> Interval | None:
    """Of pictures with such a probability, the share that was inpainted, with its interval over groups.

    The share is that of :func:`fit_band`'s rising function, for even odds beforehand, so that it never contradicts a
    verdict. Its interval is that of the pictures for which this function gives nearly the same share (within
    :data:`ALIKE`). Where it would be wider than :data:`WIDEST` there are too few of them to say anything: None.
    """
    labels, groups = np.asarray(labels, bool), np.asarray(groups)
    levels, shares = _rising(labels, probabilities)
    value = float(np.interp(probability, levels, shares))
    chosen = np.abs(shares[np.searchsorted(levels, np.asarray(probabilities, np.float64))] - value) <= ALIKE
    if not chosen.any():
        return None
    found, odds = share(labels[chosen], groups[chosen]), (~labels).sum() / labels.sum()
    low, high = (odds * end / (odds * end + 1 - end) for end in (found["low"], found["high"]))  # at even odds
    low, high = min(low, value), max(high, value)
    return None if high - low > WIDEST else {"value": value, "low": low, "high": high}
