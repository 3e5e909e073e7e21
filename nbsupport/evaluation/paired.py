"""Whether one detector is really better than another on the same pictures: DeLong, McNemar, and Holm's correction.

DeLong's test compares two AUROC values (DeLong et al. 1988), McNemar's the errors at a threshold (1947), and Holm's
correction (1979) allows for having asked many questions. All three take pictures as independent of each other, which
near-duplicates are not; the intervals of :mod:`.statistics`, which draw whole groups, stand beside them for that
reason. McNemar and Holm are statsmodels'. Not here: which detectors are compared (``detectors.comparison``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as _mcnemar
from statsmodels.stats.multitest import multipletests

from nbsupport.errors import UserError

#: Of fewer discordant pictures McNemar's p-value is the exact binomial one.
EXACT_BELOW = 25


@dataclass(frozen=True)
class DeLong:
    """AUROC of two detectors on the same pictures, their difference (first minus second), its interval and p-value."""

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float


def components(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's structural components: for each fake its share of reals below it, and for each real of fakes above.

    By ranks (Sun & Xu 2014), ties count one half.

    Args: labels: (N,) bool, True = fake. scores: (N,) float. Returns (fakes,) and (reals,) float in [0, 1]; the mean of
    either is the AUROC.
    """
    fake, real = scores[labels], scores[~labels]
    ranks = stats.rankdata(np.concatenate([fake, real]))
    of_fake = (ranks[: len(fake)] - stats.rankdata(fake)) / len(real)
    of_real = 1 - (ranks[len(fake) :] - stats.rankdata(real)) / len(fake)
    return of_fake, of_real


def delong(labels: Sequence | np.ndarray, first: np.ndarray, second: np.ndarray, confidence: float = 0.95) -> DeLong:
    """Compare the AUROC of two score lists over the same pictures.

    Args: labels: (N,) bool or 0/1, True = fake. first, second: (N,) float, higher = more suspicious.

    Raises:
        UserError: fewer than two pictures of a class, other lengths, or a score that is no number.
    """
    labels = np.asarray(labels).astype(bool)
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if not len(labels) == len(first) == len(second):
        raise UserError(f"{len(labels)} labels need as many scores, got {len(first)} and {len(second)}.")
    if min(labels.sum(), (~labels).sum()) < 2:
        raise UserError("DeLong's test needs at least two pictures of each class.")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise UserError("A score is not a finite number. Train the detector again with a smaller learning rate.")
    parts = [components(labels, scores) for scores in (first, second)]
    values = [float(of_fake.mean()) for of_fake, _ in parts]
    difference = values[0] - values[1]
    by_fake, by_real = (parts[0][side] - parts[1][side] for side in (0, 1))
    deviation = float(np.sqrt(by_fake.var(ddof=1) / len(by_fake) + by_real.var(ddof=1) / len(by_real)))
    reach = float(stats.norm.isf((1 - confidence) / 2)) * deviation
    p = 1.0 if deviation == 0 else float(2 * stats.norm.sf(abs(difference) / deviation))
    return DeLong(*values, difference, difference - reach, difference + reach, p)


def mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> dict[str, float]:
    """Compare the errors of two detectors on the same pictures.

    Args: (N,) bool each: whether the detector judged the picture rightly.

    Returns:
        ``first_only``, ``second_only``: pictures that only one of them judged rightly; ``p``, two-sided: exact binomial
        where the two are fewer than 25 together, else chi-square with continuity correction.
    """
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    only = int((first & ~second).sum()), int((~first & second).sum())
    table = [[int((first & second).sum()), only[0]], [only[1], int((~first & ~second).sum())]]
    p = float(_mcnemar(table, exact=sum(only) < EXACT_BELOW, correction=True).pvalue) if sum(only) else 1.0
    return {"first_only": only[0], "second_only": only[1], "p": p}


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's corrected p-values, in the order given: below 0.05 means shown although so many were asked. (N,) float."""
    return multipletests(p_values, method="holm")[1] if len(p_values) else np.empty(0)
