"""Draws a bird from its parameters, anti-aliased, with light, feather texture and a background of natural noise.

The bird is a map of labels at three times the size (``anatomy``); colours are looked up in it and the whole is averaged
down. The label map also says exactly where each part is to be seen. Not here: what to draw (``parameters``).
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from nbsupport.core.errors import ConfigError, unknown
from nbsupport.core.rng import generator
from nbsupport.data.synthetic import shapes
from nbsupport.data.synthetic.anatomy import Anatomy, paint
from nbsupport.data.synthetic.background import background, cast_shadow, noise
from nbsupport.data.synthetic.parameters import COLOURED_PARTS, COLOURS, BirdParameters, contrasting
from nbsupport.data.synthetic.shapes import BIRD_LABELS, LABELS, OVER, PART_LABELS

_STANDS_ON = ("grass", "water", "ground")  # backgrounds that a bird without a perch throws a shadow on


class Drawing(NamedTuple):
    """A drawn bird. `parts` holds the official CUB names of the visible parts and their points in pixels."""

    image: np.ndarray  # (S, S, 3) uint8 RGB
    object_mask: np.ndarray  # (S, S) bool, True = bird
    parts: dict[str, tuple[float, float]]


def _tones(params: BirdParameters, rng: np.random.Generator) -> np.ndarray:
    """(256, 1, 3) uint8: the colour of each label, with a slight variation of its own for each bird."""
    feature = "black"
    if params.eye_feature != "stripe":
        feature = contrasting(params.crown, params.back)
    tones = {
        shapes.PERCH: (104, 82, 62), shapes.BRANCH: (92, 72, 52),
        shapes.LEAF: (72, 118, 50), shapes.VEIN: (120, 158, 78),
        shapes.TAIL: COLOURS[params.tail], shapes.BACK: COLOURS[params.back], shapes.BELLY: COLOURS[params.belly],
        shapes.THROAT: COLOURS[params.throat], shapes.CROWN: COLOURS[params.crown], shapes.WING: COLOURS[params.wing],
        shapes.BILL: COLOURS[params.bill], shapes.LEG: COLOURS[params.leg],
        shapes.EYE: (22, 18, 18), shapes.GLINT: (250, 250, 250), shapes.FEATURE: COLOURS[feature],
        shapes.WING_MARK: COLOURS[params.pattern_colour], shapes.BELLY_MARK: COLOURS[contrasting(params.belly)],
    }  # fmt: skip
    table = np.zeros((256, 3), np.float32)
    for label, tone in tones.items():
        table[label] = np.float32(tone) + rng.normal(0, 3.0, 3)
    table[shapes.WING_EDGE] = table[shapes.WING] * 0.70 + 4
    table[shapes.TAIL_EDGE] = table[shapes.TAIL] * 0.70 + 4
    return table.clip(0, 255).astype(np.uint8)[:, None]


def _coverage(labels: np.ndarray, wanted: tuple[int, ...], size: int) -> np.ndarray:
    """(S, S) float32 in [0, 1]: how much of each pixel the wanted labels cover."""
    table = np.zeros(256, np.uint8)
    table[list(wanted)] = 255
    shown = cv2.resize(cv2.LUT(labels, table), (size, size), interpolation=cv2.INTER_AREA)
    return shown.astype(np.float32) * np.float32(1 / 255)


def _relief(shape: np.ndarray, radius: float) -> np.ndarray:
    """(S, S) float32 about 1: light from above left on a shape (coverage in [0, 1]) that is rounded at its rim."""
    depth = cv2.distanceTransform((shape > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    height = np.sqrt(np.minimum(depth / np.float32(radius), 1))
    height = cv2.GaussianBlur(height, (0, 0), max(radius * 0.35, 0.6))
    slope = cv2.filter2D(height, -1, np.float32([[0.25, 0.5, 0], [0.5, 0, -0.5], [0, -0.5, -0.25]]))
    return np.clip(1.01 - np.float32(0.30 * radius**0.5) * slope, 0.92, 1.10)


def _light(anatomy: Anatomy, bird: np.ndarray, things: np.ndarray, size: int) -> np.ndarray:
    """(S, S) float32 about 1: rounded body and branches, and the soft shadow under the wing."""
    light = np.where(bird > 0.5, _relief(bird, 0.11 * size), 1.0)
    if things.any():
        light = np.where(things > 0.5, _relief(things, 0.02 * size), light)
    wing = _coverage(anatomy.labels, PART_LABELS["wing"], size)
    shift = np.float32([[1, 0, 0], [0, 1, 0.3 * 0.11 * size]])
    under = cv2.warpAffine(cv2.GaussianBlur(wing, (0, 0), 0.018 * size), shift, (size, size))
    light -= np.float32(0.06) * under * (1 - wing) * bird
    return light * np.linspace(1.03, 0.99, size, dtype=np.float32)[:, None]


def draw_bird(params: BirdParameters, size: int = 96) -> Drawing:
    """Draw a bird, `size` x `size` pixels: a pure function of its arguments."""
    anatomy = paint(params, size)
    labels, rng = anatomy.labels, generator(params.seed, "paint", params.number, size)
    painted = cv2.LUT(cv2.merge([labels] * 3), _tones(params, rng))
    colour = cv2.resize(painted, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)  # times coverage
    covered, bird = _coverage(labels, LABELS, size), _coverage(labels, BIRD_LABELS, size)
    scene = background(params, size, rng)
    if not params.perch and params.background in _STANDS_ON:
        cast_shadow(scene, *anatomy.feet, 0.8 * anatomy.unit)
    feathers = 1 + np.float32(0.045) * noise(rng, size, 0.45, (1, 3))
    shade = _light(anatomy, bird, covered - bird, size) * feathers
    picture = colour * shade[..., None] + (1 - covered[..., None]) * scene
    picture += rng.normal(0, rng.uniform(1.5, 3.5), (size, size, 1)).astype(np.float32)  # the camera's noise
    image = picture.clip(0, 255).round().astype(np.uint8)
    return Drawing(image, bird > 0.5, _visible(anatomy))


def _visible(anatomy: Anatomy) -> dict[str, tuple[float, float]]:
    """The parts that are in the picture and behind nothing; a wing before the belly does not hide it, a leaf does."""
    labels, parts = anatomy.labels, {}
    for name, ((x, y), label) in anatomy.points.items():
        column, row = int(np.floor(x * OVER)), int(np.floor(y * OVER))
        if 0 <= row < len(labels) and 0 <= column < len(labels):
            seen = labels[row, column]
            own = next(group for group in PART_LABELS.values() if label in group)
            if seen in own or (label != shapes.LEG and seen in BIRD_LABELS):
                parts[name] = (float(x), float(y))
    return parts


def part_region(params: BirdParameters, part: str, size: int = 96, marks: bool = False) -> np.ndarray:
    """(S, S) bool, True where `part` (one of COLOURED_PARTS, or ``eye``) is to be seen in the drawing of that size.

    Bars, spots, streaks and the dark edges of feathers are left out unless `marks` is True, so that the median colour
    of the region is that of the part.

    Raises:
        ConfigError: there is no such part.
    """
    if part not in PART_LABELS:
        raise ConfigError(unknown("part", part, PART_LABELS))
    return part_regions(params, size, marks, (part,))[part]


def part_regions(
    params: BirdParameters, size: int = 96, marks: bool = False, parts: Sequence[str] = COLOURED_PARTS
) -> dict[str, np.ndarray]:
    """Part -> its :func:`part_region`, for several parts of one bird, which is painted once for all of them."""
    painted = _labels(params, size)
    wanted = {part: PART_LABELS[part] if marks else PART_LABELS[part][:1] for part in parts}
    return {part: _coverage(painted, labels, size) > 0.5 for part, labels in wanted.items()}


@functools.lru_cache(maxsize=2)
def _labels(params: BirdParameters, size: int) -> np.ndarray:
    """The label map of a bird, read-only: its regions are mostly asked for twice, with marks and without."""
    labels = paint(params, size).labels
    labels.setflags(write=False)
    return labels
