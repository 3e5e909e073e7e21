"""Reading the colour of a bird's part back from a picture: a reader calibrated on birds drawn for it.

The programme that draws the synthetic birds knows which pixels a part covers, so that nothing has to be found; only the
colour has to be named. Not here: which parts are asked for, and what the answers amount to (:mod:`.attributes`).
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image

from nbsupport.core import rng
from nbsupport.data import geometry, synthetic
from nbsupport.data.index import Dataset
from nbsupport.data.synthetic import COLOURED_PARTS, BirdParameters, part_colours
from nbsupport.data.synthetic.parameters import contrasting
from nbsupport.data.synthetic.regions import FEWEST_PIXELS, cut_regions

_CALIBRATION_BIRDS = 168  # 14 for each colour of the plumage, 24 for each of bills and legs


@dataclass(frozen=True)
class ColourReader:
    """Names the colour of a part by the nearest of the tones that it is drawn in.

    Attributes:
        tones: part -> colour -> (3,) float CIELAB, measured on drawn birds of the same size.
    """

    tones: Mapping[str, Mapping[str, np.ndarray]]

    def read(self, picture: np.ndarray, region: np.ndarray, part: str) -> tuple[str, float]:
        """The name of the colour in `region`, and how far its tone is from that colour's (CIELAB, 0: equal).

        Args: picture (S, S, 3) uint8 RGB; region (S, S) bool, True = part, not empty.
        """
        found, tones = median_tone(picture, region), self.tones[part]
        distances = {name: float(np.linalg.norm(tone - found)) for name, tone in tones.items()}
        nearest = min(distances, key=distances.__getitem__)
        return nearest, distances[nearest]


def median_tone(picture: np.ndarray, region: np.ndarray) -> np.ndarray:
    """(3,) float, the median CIELAB of (S, S, 3) uint8 RGB where `region` (S, S) bool is True."""
    from skimage.color import rgb2lab  # imported here: it takes half a second

    return np.median(rgb2lab(picture[region]), axis=0)


@functools.cache
def colour_reader(source: int, size: int, fit: str) -> ColourReader:
    """Measure the tones on drawn birds whose parts take every colour equally often; a second or two, then kept.

    A part's tone is not the palette's: light, feathers, and in thin bills and legs the background come into it. They
    depend on the size, so the reader is made for one. Parts too small to be read at that size are left out.

    Args:
        source, size: sides in pixels of the drawn and of the cached picture. fit: as in ``DataConfig``.
    """
    found: dict[str, dict[str, list]] = {part: {c: [] for c in part_colours(part)} for part in COLOURED_PARTS}
    for number in range(_CALIBRATION_BIRDS):
        params = _evenly_coloured(number)
        drawing = synthetic.draw_bird(params, source)
        box = cv2.boundingRect(drawing.object_mask.astype(np.uint8))
        frame = geometry.choose_frame(source, source, box, fit)
        picture = geometry.cut_image(Image.fromarray(drawing.image), frame, size)
        for part, region in cut_regions(params, source, frame, size).items():
            if region.sum() >= FEWEST_PIXELS:
                found[part][getattr(params, part)].append(median_tone(picture, region))
    return ColourReader({
        part: {colour: np.median(tones, axis=0) for colour, tones in colours.items()}
        for part, colours in found.items() if all(colours.values())
    })  # fmt: skip


def _evenly_coloured(number: int) -> BirdParameters:
    """A bird of none of the data sets, whose parts take each of their colours once in as many birds as there are."""
    params = synthetic.sample_parameters(rng.torch_seed(0, "colour reader"), number)
    colours = {}
    for part in COLOURED_PARTS:
        names = part_colours(part)
        turn, place = divmod(number, len(names))
        colours[part] = names[rng.generator(0, "colour reader", part, turn).permutation(len(names))[place]]
    return replace(params, **colours, pattern_colour=contrasting(colours["wing"]))


def reader_of(dataset: Dataset, row: int) -> ColourReader:
    """The reader for the size that the birds of a run were drawn and cached at."""
    return colour_reader(int(dataset.index["width"].iloc[row]), dataset.cache.size, dataset.config.fit)
