"""Batches for detectors: photographs together with their own fakes, treated alike.

What the photograph shows is the same in both members of a pair, and so are the flip and the degradation that they meet:
only the paint tells them apart. Everything is a pure function of ``(seed, epoch)``. Not here: the training loop.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nbsupport.core import rng
from nbsupport.core.errors import UserError
from nbsupport.detectors import degradations
from nbsupport.pairs.planning import REAL, classes


@dataclass(frozen=True)
class Batch:
    """Manifest rows (B,) int64 of a batch, labels (B,) float32 (1 = inpainted), flips (B,) bool (left to right)."""

    rows: np.ndarray
    labels: np.ndarray
    flips: np.ndarray


class PairSampler:
    """Batches of pairs: one of a photograph's fakes, drawn anew in each epoch, and its real twin, flipped alike.

    The twin is of the real arm that ``planning.REAL`` names for the fake's arm: the untouched photograph, and for a
    fake that was encoded once more the photograph that was too. A pure function of ``(seed, epoch)``.

    Args:
        manifest: of the pairs, with its positions as index.
        fake_arms: the arms to draw fakes from.
        size: pictures in a batch; batches of an epoch differ by one pair at most.
        count: photographs to use (0: all), the same ones in every epoch; those of a smaller count are among those of a
            larger one.
        inpainters: draw only fakes that these painted; empty: of all.

    Raises:
        UserError: fewer than two photographs have a fake. ConfigError: as ``planning.classes``.
    """

    def __init__(
        self,
        manifest: pd.DataFrame,
        fake_arms: Sequence[str],
        size: int,
        count: int,
        seed: int,
        inpainters: Sequence[str] = (),
    ) -> None:
        used = classes(manifest, fake_arms, inpainters=inpainters)
        fake, real = (used[used["label"] == label] for label in ("fake", "real"))
        twin = pd.Series(real.index, pd.MultiIndex.from_frame(real[["image_id", "arm"]]))
        wanted = pd.MultiIndex.from_arrays([fake["image_id"], fake["arm"].map(REAL)])
        both = pd.DataFrame({"image_id": fake["image_id"], "fake": fake.index, "real": twin.reindex(wanted).to_numpy()})
        rows = both.dropna().groupby("image_id", sort=False)[["real", "fake"]]
        self.pairs = [own.to_numpy(np.int64) for _, own in rows]  # (fakes, 2) each: a real row and a fake row
        if count and count < len(self.pairs):
            chosen = rng.generator(seed, "training photographs").permutation(len(self.pairs))[:count]
            self.pairs = [self.pairs[n] for n in np.sort(chosen)]
        if len(self.pairs) < 2:
            raise UserError(
                f"The training split holds {len(self.pairs)} photographs with fakes of the arms "
                f"{', '.join(fake_arms)}; at least 2 are needed. Make more pairs in chapter 5."
            )
        self.seed, self.batches = seed, -(-len(self.pairs) // max(size // 2, 2))
        self.batches = min(self.batches, len(self.pairs) // 2)  # batch normalisation needs more than one pair

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch; every photograph is in exactly one of them."""
        generator = rng.generator(self.seed, "batches", number)
        for chosen in np.array_split(generator.permutation(len(self.pairs)), self.batches):
            drawn = np.stack([generator.choice(self.pairs[n]) for n in chosen])  # (B / 2, 2)
            labels = np.repeat(np.float32([0, 1]), len(chosen))
            yield Batch(drawn.T.ravel(), labels, np.tile(generator.random(len(chosen)) < 0.5, 2))

    def degrade(self, epoch: int, number: int, batch: Batch, pictures: np.ndarray, names: Sequence[str], share: float):
        """Augment the pictures (B, H, W, 3) uint8 of batch `number` of an epoch in place: flips, then degradations."""
        pictures[batch.flips] = pictures[batch.flips, :, ::-1]  # the third axis is the width
        if names:
            members = np.tile(np.arange(len(batch.rows) // 2), 2)
            generator = rng.generator(self.seed, "degradations", epoch, number)
            degradations.augment(pictures, members, names, share, generator)
