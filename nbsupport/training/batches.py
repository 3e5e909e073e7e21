"""Training batches of photographs, holes and captions: a pure function of ``(seed, step)``.

Since nothing is carried from one step to the next, a training that was killed continues with exactly the batches it
would have seen. Flips reach the photograph, its object mask and its part points together. Not here: validation, which
uses fixed holes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from nbsupport import masks
from nbsupport.core import rng
from nbsupport.core.errors import UserError
from nbsupport.core.tensors import to_tensor
from nbsupport.data import synthetic
from nbsupport.data.index import Dataset
from nbsupport.data.synthetic import BirdParameters, regions
from nbsupport.quality import attributes


class NamedParts:
    """Draws holes over whole parts, each with a caption that names the colour of that part.

    Args: dataset: of synthetic birds. birds: image_id -> parameters, as ``regions.birds_of`` gives them.
    """

    def __init__(self, dataset: Dataset, birds: Mapping[str, BirdParameters]) -> None:
        self.dataset, self.birds = dataset, birds
        self._kept: dict[int, list[tuple[np.ndarray, list[str]]]] = {}

    def of(self, row: int) -> list[tuple[np.ndarray, list[str]]]:
        """The parts of a bird that can be hidden: hole (H, W) bool, True = hole, and the captions that name it."""
        if row not in self._kept:
            bird = attributes.bird_of(self.dataset, self.birds, row)
            texts = self.dataset.index["captions"].iloc[row]
            found = []
            for hidden in regions.hidden_parts(self.dataset, bird, row):
                naming = [text for text in texts if synthetic.names_colour(text, bird, hidden.part)]
                if naming:
                    found.append((np.packbits(hidden.hole), naming))
            self._kept[row] = found
        shape = (self.dataset.cache.size,) * 2
        return [(np.unpackbits(bits).astype(bool).reshape(shape), naming) for bits, naming in self._kept[row]]

    def draw(self, generator: np.random.Generator, row: int) -> tuple[np.ndarray, str] | None:
        """One of the parts of a bird at random: its hole (H, W) bool and a caption; None if none can be hidden."""
        parts = self.of(row)
        if not parts:
            return None
        hole, naming = parts[generator.integers(len(parts))]
        return hole, naming[generator.integers(len(naming))]


@dataclass
class Batch:
    """Tensors on the training device."""

    rows: np.ndarray  # (B,) int64, rows of the index
    images: Tensor  # (B, 3, H, W) float in [-1, 1], channels_last
    holes: Tensor  # (B, 1, H, W) bool, True = hole
    tokens: Tensor  # (B, L) int64
    lengths: Tensor  # (B,) int64
    flipped: np.ndarray  # (B,) bool, True = left and right are exchanged

    def share(self, rank: int, processes: int) -> "Batch":
        """Every `processes`-th picture from `rank` on: one process's part of the batch."""
        mine = slice(rank, None, processes)
        return Batch(*(part[mine] for part in vars(self).values()))


class Sampler:
    """Draws training batches from one split.

    Args:
        dataset: the photographs. caption_length: L. batch_size: B. seed: with the step it fixes the batch.
        split: which split. shares: mask kind -> how often it comes. coverage: as for `masks.sample_batch`.
        empty: share of pictures that get an empty hole in place of it, in [0, 1].
        named: draws whole parts and captions that name their colour; in a `named_share` of the pictures, in [0, 1].
        caption_dropout: share of pictures whose caption is left out, in [0, 1].

    Raises:
        UserError: the split holds no photographs.
    """

    def __init__(
        self,
        dataset: Dataset,
        caption_length: int,
        batch_size: int,
        seed: int,
        split: str = "train",
        shares: Mapping[str, float] = MappingProxyType({"rectangles": 1.0}),
        coverage: tuple[float, float] = (0.04, 0.35),
        empty: float = 0.0,
        caption_dropout: float = 0.0,
        named: "NamedParts | None" = None,
        named_share: float = 0.0,
    ) -> None:
        self.empty, self.caption_dropout = empty, caption_dropout
        self.named, self.named_share = named, named_share
        self.dataset, self.length, self.batch_size, self.seed = dataset, caption_length, batch_size, seed
        self.shares = {kind: share for kind, share in shares.items() if share}
        self.coverage = coverage
        self.rows = dataset.rows(split)
        if not len(self.rows):
            raise UserError(f"The split '{split}' holds no photographs. Raise count in chapter 1.")
        self.captions = dataset.index["captions"].tolist()
        self.points = masks.part_points(dataset.cache.parts, len(dataset.index)) if "part" in self.shares else None

    def choose(self, generator: np.random.Generator) -> np.ndarray:
        """B rows, each photograph at most once in a batch unless the split is smaller than the batch."""
        return generator.choice(self.rows, self.batch_size, replace=len(self.rows) < self.batch_size)

    def encode(self, generator: np.random.Generator, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """One random caption of each photograph: tokens (B, L) int64, lengths (B,) int64."""
        return self._encoded(self._texts(generator, rows))

    def _texts(self, generator: np.random.Generator, rows: np.ndarray) -> list[str]:
        texts = []
        for row in rows:
            own = self.captions[row]
            texts.append(own[generator.integers(len(own))] if len(own) else "")
        if self.caption_dropout:
            dropped = generator.random(len(rows)) < self.caption_dropout
            texts = ["" if drop else text for drop, text in zip(dropped, texts, strict=True)]
        return texts

    def _encoded(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        tokens, lengths = self.dataset.vocabulary.encode(texts, self.length)
        return torch.from_numpy(tokens), torch.from_numpy(lengths)

    def pictures(self, step: int, device: torch.device | str = "cpu") -> Batch:
        """The batch of one step without holes (they are all False), for the matching of whole photographs."""
        generator = rng.generator(self.seed, "batch", step)
        rows = self.choose(generator)
        flipped = generator.random(len(rows)) < 0.5
        images = self._flip(self.dataset.cache.batch(rows), flipped)
        tokens, lengths = self.encode(generator, rows)
        holes = torch.zeros((len(rows), 1, *images.shape[1:3]), dtype=torch.bool, device=device)
        return Batch(rows, to_tensor(images, device), holes, tokens.to(device), lengths.to(device), flipped)

    @staticmethod
    def _flip(pictures: np.ndarray, flipped: np.ndarray) -> np.ndarray:
        pictures[flipped] = pictures[flipped, :, ::-1]
        return pictures

    def batch(self, step: int, device: torch.device | str = "cpu") -> Batch:
        """The batch of one training step."""
        generator = rng.generator(self.seed, "batch", step)
        rows = self.choose(generator)
        flipped = generator.random(len(rows)) < 0.5
        images = self._flip(self.dataset.cache.batch(rows), flipped)
        texts = self._texts(generator, rows)
        drawn = self._holes(generator, rows, flipped, images.shape[1:3])
        if self.named is not None:
            self._ask(generator, rows, flipped, drawn, texts)
        tokens, lengths = self._encoded(texts)
        drawn[generator.random(len(rows)) < self.empty] = False
        holes = torch.from_numpy(drawn)[:, None]
        return Batch(rows, to_tensor(images, device), holes.to(device), tokens.to(device), lengths.to(device), flipped)

    def _ask(self, generator, rows, flipped, holes, texts) -> None:
        """Put a whole part and a caption that names it in place of the hole and caption of some pictures."""
        for number in np.flatnonzero(generator.random(len(rows)) < self.named_share):
            drawn = self.named.draw(generator, int(rows[number]))
            if drawn is not None:
                holes[number] = drawn[0][:, ::-1] if flipped[number] else drawn[0]
                texts[number] = texts[number] and drawn[1]  # a caption that was left out stays so

    def _holes(self, generator, rows, flipped, size) -> np.ndarray:
        objects = points = None
        if "object" in self.shares:
            objects = self._flip(self.dataset.cache.object_batch(rows), flipped)
        if self.points is not None:
            points = [self.points[row] for row in rows]
            for number in np.flatnonzero(flipped):
                points[number] = points[number] * [-1, 1] + [size[1] - 1, 0]
        return masks.sample_batch(
            generator, size, len(rows), self.coverage, self.shares, objects=objects, part_points=points
        )
