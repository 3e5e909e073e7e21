"""Training on the question that the listening test asks: a whole part hidden, a caption that names its colour.

A hole drawn at random leaves some of a part's own colour at its rim more often than not, and a caption names two to
four of eight parts; a network is then right to go on with what it sees and learns to listen very slowly. Of the
synthetic birds it is known to the pixel where a part is and what each caption says of it, so the rare case can be made
common. The birds of the test are others. Not here: the test itself (``quality.attributes``).
"""

from collections.abc import Mapping

import numpy as np

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
