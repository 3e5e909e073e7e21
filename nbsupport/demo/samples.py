"""The pictures that the demo offers: held-out photographs of a run, or synthetic birds drawn on the spot.

Both answer the same questions: which pictures, which captions, which holes each can have, where its parts are.
"""

import functools
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from nbsupport import masks
from nbsupport.core.errors import ConfigError, unknown
from nbsupport.data import index, synthetic
from nbsupport.runs import Run

#: Coverage of a hole over one part of an animal, and of the other holes drawn on the spot.
PART_COVERAGE, COVERAGE = (0.05, 0.09), (0.10, 0.20)


class Samples(Protocol):
    """Pictures by image_id, all (size, size, 3) uint8 RGB; masks (size, size) bool, True = hole."""

    title: str
    dataset: str
    size: int
    table: pd.DataFrame  # image_id, label

    def image(self, image_id: str) -> np.ndarray:
        """The picture."""

    def captions(self, image_id: str) -> list[str]:
        """The captions that came with it; may be empty."""

    def kinds(self, image_id: str) -> list[str]:
        """Kinds of holes that it can have."""

    def mask(self, image_id: str, kind: str) -> np.ndarray:
        """Its hole of one kind."""

    def parts(self, image_id: str) -> dict[str, tuple[float, float]]:
        """Its visible parts, name -> (x, y) in pixels; empty where none is known."""


def fits(samples: Samples, about: dict) -> bool:
    """Whether what came with the package, by what its description says, was made for such pictures of this size."""
    size = about["config"]["image_size"] if "config" in about else about["image_size"]
    return about["dataset"] == samples.dataset and size == samples.size


def part_hole(samples: Samples, image_id: str, part: str) -> np.ndarray:
    """A blob over one part of an animal, (size, size) bool, True = hole; an unknown part is a ConfigError."""
    known = samples.parts(image_id)
    if part not in known:
        raise ConfigError(unknown("part of this picture", part, known or ["none"]))
    return masks.draw("part", samples.size, seed=0, image_id=image_id, coverage=PART_COVERAGE, part_xy=known[part])


class RunSamples:
    """Photographs of a run that no network was trained on; raises MissingStage before chapters 1 and 2."""

    def __init__(self, run: Run, split: str = "test") -> None:
        self.data, self.masks = index.load(run), masks.load(run)
        self.dataset = run.require("index")["config"]["dataset"]
        table = self.data.index
        held_out = table[table["split"] == split]
        self.table = held_out if len(held_out) else table
        self.size = int(self.masks.shape[0])
        self.title = f"the {split} photographs of the run {run.name}"

    def row(self, image_id: str) -> int:
        """Its row in index and cache; an error names the nearest id."""
        found = np.flatnonzero(self.data.index["image_id"].to_numpy() == image_id)
        if not len(found):
            raise ConfigError(unknown("photograph", image_id, self.table["image_id"].head(12)))
        return int(found[0])

    def image(self, image_id: str) -> np.ndarray:
        """The picture from the cache: (size, size, 3) uint8 RGB, a copy."""
        return np.array(self.data.cache.images[self.row(image_id)])

    def captions(self, image_id: str) -> list[str]:
        """The captions of the data set; may be empty."""
        return [str(text) for text in self.data.index["captions"].iloc[self.row(image_id)]]

    def kinds(self, image_id: str) -> list[str]:
        """Kinds of its holes of chapter 2, those that had to fall back on another kind only if there are no others."""
        mine = self.masks.table[self.masks.table["image_id"] == image_id]
        able = mine[~mine["fallback"]]
        return (able if len(able) else mine)["kind"].tolist()

    def mask(self, image_id: str, kind: str) -> np.ndarray:
        """Its hole of chapter 2: (size, size) bool, True = hole."""
        return self.masks.of(image_id, kind)

    def parts(self, image_id: str) -> dict[str, tuple[float, float]]:
        """Its annotated parts, name -> (x, y) in pixels; empty where none is known."""
        table = self.data.cache.parts
        mine = table[table["row"] == self.row(image_id)]
        return {str(p): (float(x), float(y)) for p, x, y in zip(mine["part"], mine["x"], mine["y"], strict=True)}


@dataclass(frozen=True)
class _Bird:
    params: synthetic.BirdParameters
    drawing: synthetic.Drawing


class DrawnSamples:
    """Synthetic birds, drawn when they are asked for: the demo needs no run.

    Args: count: how many. size: side in pixels. seed: of the birds; the runs of this book draw theirs from seed 0.
    """

    dataset = "synthetic"

    def __init__(self, count: int = 40, size: int = 64, seed: int = 20_260) -> None:
        self.size, self.seed = size, seed
        birds = [synthetic.sample_parameters(seed, number) for number in range(count)]
        self._numbers = {f"{bird.type.name}_{bird.number:05d}": bird.number for bird in birds}
        self.table = pd.DataFrame({"image_id": list(self._numbers), "label": [bird.type.name for bird in birds]})
        self.title = "synthetic birds drawn on the spot"

    @functools.lru_cache(maxsize=64)  # noqa: B019 - as long as the page lives
    def _bird(self, image_id: str) -> _Bird:
        if image_id not in self._numbers:
            raise ConfigError(unknown("photograph", image_id, list(self._numbers)[:12]))
        params = synthetic.sample_parameters(self.seed, self._numbers[image_id])
        return _Bird(params, synthetic.draw_bird(params, self.size))

    def image(self, image_id: str) -> np.ndarray:
        """The bird as it is drawn: (size, size, 3) uint8 RGB, a copy."""
        return self._bird(image_id).drawing.image.copy()

    def captions(self, image_id: str) -> list[str]:
        """Sentences made from what the bird was drawn with."""
        return synthetic.captions(self._bird(image_id).params)

    def kinds(self, image_id: str) -> list[str]:
        """Those holes that can be drawn for any bird."""
        return ["centre", "rectangles", "strokes", "object"]

    def mask(self, image_id: str, kind: str) -> np.ndarray:
        """A hole drawn on the spot, the same each time: (size, size) bool, True = hole."""
        drawing = self._bird(image_id).drawing
        return masks.draw(
            kind, self.size, seed=0, image_id=image_id, coverage=COVERAGE, object_mask=drawing.object_mask
        )

    def parts(self, image_id: str) -> dict[str, tuple[float, float]]:
        """Its visible parts, name -> (x, y) in pixels."""
        return dict(self._bird(image_id).drawing.parts)
