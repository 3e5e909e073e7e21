"""Where the parts of a drawn bird are in its cached picture, and holes over them.

The programme that draws the synthetic birds knows which pixels a part covers, so that nothing has to be found.
Not here: reading colours back from a picture (``quality.colours``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from nbsupport.core.errors import ConfigError, unknown
from nbsupport.data import geometry, resolve_root, synthetic
from nbsupport.data.index import Dataset
from nbsupport.data.synthetic import COLOURED_PARTS, BirdParameters, part_colours
from nbsupport.runs import Run

#: A part of fewer visible pixels than this is not asked for.
FEWEST_PIXELS = 4


def cut_regions(
    params: BirdParameters, source: int, frame: geometry.Frame, size: int, marks: bool = False
) -> dict[str, np.ndarray]:
    """Part -> where it is to be seen in the cached picture: (size, size) bool, cut as object masks are.

    Args:
        source: side of the drawn picture in pixels. frame: what the cache took of it. marks: see `part_region`.
    """
    regions = synthetic.part_regions(params, source, marks)
    return {part: geometry.cut_mask(region, frame, size) for part, region in regions.items()}


HOLES = ("part", "body")


#: A hole around the whole bird that covers more of the picture than this is left out: nothing would be left to see.
LARGEST_HOLE = 0.9


def birds_of(run: Run, dataset: Dataset) -> dict[str, BirdParameters]:
    """image_id -> parameters of the birds of a run.

    Raises:
        UserError: the photographs of this run are not synthetic birds, so nobody knows the colours of their parts.
    """
    return synthetic.read_parameters(resolve_root(dataset.config, run))


@dataclass(frozen=True)
class HiddenPart:
    """A part of one photograph: where its colour is read, what is hidden, and the colours that stay to be seen.

    Attributes:
        region: (S, S) bool, True = where the part is, without marks. hole: (S, S) bool, True = hidden.
        elsewhere: colours of the parts of which something is left outside the hole.
    """

    part: str
    region: np.ndarray
    hole: np.ndarray
    elsewhere: frozenset[str]


def hidden_parts(
    dataset: Dataset, params: BirdParameters, row: int, parts: Sequence[str] = COLOURED_PARTS, hole: str = "part"
) -> list[HiddenPart]:
    """The parts of a bird that can be asked for: those of at least ``FEWEST_PIXELS`` visible pixels.

    Args:
        parts: among these.
        hole: ``part``: the part with its marks, and one pixel in 32 of the picture's side around it (at least two), so
            that no rim of its colour is left. ``body``: a rectangle around the whole bird; none where that would
            cover more than ``LARGEST_HOLE`` of the picture.

    Raises:
        ConfigError: an unknown part or kind of hole.
    """
    for part in parts:
        part_colours(part)
    if hole not in HOLES:
        raise ConfigError(unknown("hole", hole, HOLES))
    photo, size = dataset.index.iloc[row], dataset.cache.size
    frame = geometry.choose_frame(photo["width"], photo["height"], photo["box"], dataset.config.fit)
    plain = cut_regions(params, int(photo["width"]), frame, size)
    marked = cut_regions(params, int(photo["width"]), frame, size, marks=True)
    reach = max(2, round(size / 32))
    found = []
    for part in (part for part in parts if plain[part].sum() >= FEWEST_PIXELS):
        covered = _dilated(marked[part], reach)
        if hole == "body":
            covered = _boxed(_dilated(dataset.cache.object_batch([row])[0] | marked[part], reach))
        if covered.mean() <= LARGEST_HOLE:
            left = {other for other in COLOURED_PARTS if (plain[other] & ~covered).sum() >= FEWEST_PIXELS}
            elsewhere = frozenset(getattr(params, other) for other in left)
            found.append(HiddenPart(part, plain[part], covered, elsewhere))
    return found


def _dilated(region: np.ndarray, reach: int) -> np.ndarray:
    return cv2.dilate(region.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0


def _boxed(region: np.ndarray) -> np.ndarray:
    x, y, width, height = cv2.boundingRect(region.astype(np.uint8))
    box = np.zeros_like(region)
    box[y : y + height, x : x + width] = True
    return box
