"""Whether one detector is really better than another on the same pictures: DeLong, McNemar, and Holm's correction.

DeLong's test compares two AUROC values (DeLong et al. 1988), McNemar's the errors at a threshold (1947), and Holm's
correction (1979) allows for having asked many questions. Pictures of one photograph, a fake and its real twin above
all, are not independent, so both tests are the clustered ones: the variance of an AUROC difference is Obuchowski's
(1997), and errors are compared by flipping whole groups, whose large-sample form is the test of Yang et al. (2010).
With one picture a group they are DeLong's test and McNemar's exact test (mid-p; Fagerland et al. 2013). Holm is
statsmodels'. Not here: which detectors are compared (``evaluation.detector_metrics``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

from nbsupport.core.errors import UserError
from nbsupport.stats.bootstrap import codes_of


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


def delong(
    labels: Sequence | np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    groups: Sequence | np.ndarray,
    confidence: float = 0.95,
) -> DeLong:
    """Compare the AUROC of two score lists over the same pictures, with the variance over groups.

    Where the difference is the same in every group its variance is zero; it is then judged by the sign test over groups
    (p = 1 for no difference, else 2 to the power of 1 minus the number of groups).

    Args:
        labels: (N,) bool or 0/1, True = fake. first, second: (N,) float, higher = more suspicious. groups: (N,) which
            pictures belong together.

    Raises:
        UserError: fewer than two pictures of a class or two groups, other lengths, or a score that is no number.
    """
    labels = np.asarray(labels).astype(bool)
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if not len(labels) == len(first) == len(second) == len(groups):
        raise UserError(
            f"{len(labels)} labels need as many scores and groups, got {len(first)}, {len(second)} and {len(groups)}."
        )
    if min(labels.sum(), (~labels).sum()) < 2:
        raise UserError("DeLong's test needs at least two pictures of each class.")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise UserError("A score is not a finite number. Train the detector again with a smaller learning rate.")
    codes, count = codes_of(groups)
    if count < 2:
        raise UserError("DeLong's test needs pictures of at least two groups.")
    parts = [components(labels, scores) for scores in (first, second)]
    values = [float(of_fake.mean()) for of_fake, _ in parts]
    difference = values[0] - values[1]
    variance, sums = 0.0, []
    for side, own in ((0, labels), (1, ~labels)):
        deviations = parts[0][side] - parts[1][side] - difference
        sums.append(np.bincount(codes[own], deviations, count) / own.sum())  # (G,)
        held = len(np.unique(codes[own]))
        variance += held / max(held - 1, 1) * float(sums[-1] @ sums[-1])
    variance += 2 * count / (count - 1) * float(sums[0] @ sums[1])
    deviation = float(np.sqrt(max(variance, 0.0)))
    if deviation < 1e-12:
        p = 1.0 if abs(difference) < 1e-12 else 2.0 ** (1 - count)
        return DeLong(values[0], values[1], difference, difference, difference, p)
    spread = stats.t(count - 1)
    reach = float(spread.isf((1 - confidence) / 2)) * deviation
    p = float(2 * spread.sf(abs(difference) / deviation))
    return DeLong(values[0], values[1], difference, difference - reach, difference + reach, p)


def mcnemar(first_right: np.ndarray, second_right: np.ndarray, groups: Sequence | np.ndarray) -> dict[str, float]:
    """Compare the errors of two detectors on the same pictures.

    Of each group the number of pictures that only the first judged correctly, minus those that only the second did,
    would as well have had the other sign if neither were better. Over all such flips the exact distribution of the sum
    is known; half the probability of the sum that was found counts (mid-p).

    Args: (N,) bool each: whether the detector judged the picture correctly. groups: (N,).

    Returns:
        ``first_only``, ``second_only``: pictures that only one of them judged correctly; ``p``, two-sided.

    Raises:
        UserError: no pictures, or other lengths.
    """
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    if not len(first) == len(second) == len(groups):
        raise UserError(f"{len(first)} answers need as many others and groups, got {len(second)} and {len(groups)}.")
    codes, count = codes_of(groups)
    only = int((first & ~second).sum()), int((~first & second).sum())
    surplus = np.bincount(codes, first.astype(int) - second.astype(int), count).astype(int)
    chance = np.ones(1)  # of each value of the sum, from -reach to reach
    for size, many in zip(*np.unique(np.abs(surplus[surplus != 0]), return_counts=True), strict=True):
        own = np.zeros(2 * size * many + 1)
        own[:: 2 * size] = stats.binom.pmf(np.arange(many + 1), many, 0.5)
        chance = np.convolve(chance, own)
    distance = np.abs(np.arange(len(chance)) - len(chance) // 2)
    found = abs(int(surplus.sum()))
    p = float(chance[distance > found].sum() + chance[distance == found].sum() / 2) if found else 1.0
    return {"first_only": only[0], "second_only": only[1], "p": min(p, 1.0)}


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's corrected p-values, in the order given: below 0.05 means shown, however many were asked. (N,) float.

    Raises:
        UserError: a value that is no number between 0 and 1.
    """
    values = np.asarray(p_values, np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise UserError(f"Holm's correction takes p-values between 0 and 1, got {values.tolist()}.")
    return multipletests(values, method="holm")[1] if len(values) else np.empty(0)
