"""Two numbers that make logits honest, and one that makes them a decision, all fitted on validation pictures.

A network's logits are too large or too small by a common factor (Guo et al. 2017), and after a short training they lie
off centre too, since batch normalisation's running averages lag behind. A temperature and a shift mend both and leave
every ranking as it was. Both classes weigh the same here, whatever their numbers, so that a probability of one half
means "as likely as not among equally many of both".
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from nbsupport.core.errors import UserError

_FLATTEST = 0.01  # log-odds for a standard deviation of logits: what a detector without any skill comes down to


def balanced_loss(logits: np.ndarray, labels: np.ndarray, smoothing: float = 0.0) -> float:
    """Mean negative log-likelihood, each class weighing one half. logits: (N,) float; labels: (N,) 0 or 1.

    `smoothing` pictures of either class are imagined as having been mistaken for the other (Platt 1999).
    """
    total = 0.0
    for label, sign in ((1, 1.0), (0, -1.0)):
        own = sign * logits[labels == label]
        wrong = smoothing / (len(own) + 2 * smoothing)
        total += np.mean((1 - wrong) * np.logaddexp(0.0, -own) + wrong * np.logaddexp(0.0, own))
    return float(total / 2)


def fit(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Temperature and shift, so that ``sigmoid((logit - shift) / temperature)`` is a probability (Platt 1999).

    The smoothing keeps a detector that makes no mistake on a small validation set from being declared certain of
    everything. The temperature is positive: a ranking is never turned round.

    Args:
        logits: (N,) float; labels: (N,) 0 or 1.

    Raises:
        UserError: a class is missing, or a logit is no finite number.
    """
    _check(labels)
    if not np.isfinite(logits).all():
        raise UserError("A logit is not a finite number: the detector has diverged. Use a smaller learning_rate.")
    middle, spread = np.mean(logits), np.std(logits) or 1.0
    scaled = (logits - middle) / spread

    def loss(numbers: np.ndarray) -> float:
        return balanced_loss(numbers[0] * scaled + numbers[1], labels, smoothing=1.0)

    found = minimize(loss, (1.0, 0.0), bounds=((_FLATTEST, None), (None, None)))
    slope, offset = found.x
    return float(spread / slope), float(middle - offset * spread / slope)


def fit_threshold(logits: np.ndarray, labels: np.ndarray) -> float:
    """The probability from which to say "inpainted" so that the mean of both classes' accuracies is largest.

    logits: calibrated, (N,). Between two neighbouring scores the middle is taken; among equals the one nearest to 0.5.
    """
    _check(labels)
    probability = expit(logits)
    levels = np.unique(probability)
    cuts = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    real, fake = np.sort(probability[labels == 0]), np.sort(probability[labels == 1])
    below = np.searchsorted(real, cuts, side="left") / len(real)  # photographs called photographs
    above = 1 - np.searchsorted(fake, cuts, side="left") / len(fake)  # inpainted called inpainted
    gain = below + above
    best = np.flatnonzero(gain >= gain.max() - 1e-12)
    return float(cuts[best[np.argmin(np.abs(cuts[best] - 0.5))]])


def _check(labels: np.ndarray) -> None:
    if not (np.any(labels == 0) and np.any(labels == 1)):
        raise UserError(
            "The validation split holds only one of the two classes, so that nothing can be chosen by it. Use more "
            "photographs (chapter 1: count, validation_fraction) and run chapters 1 to 6 again."
        )
