"""Irregular brush strokes: straight lines, elliptic arcs and wandering brush walks, as one distance field.

The holes of partial convolutions (Liu et al. 2018), DeepFill v2 (Yu et al. 2019) and LaMa (Suvorov et al. 2022) are
drawn stroke by stroke with a brush of fixed width, and their area is whatever comes of it. Here only the middle lines
are drawn, all in one or two library calls; the distance to them is the field, and the width of the brush follows from
the coverage that is wanted.

Drawing the middle lines costs more than all the rest, so each seed has a bank of fields, a few dozen for each octave of
coverage. A hole is cut from a random window of one of them, mirrored or turned at random and enlarged to the picture's
size.
"""

import functools
import math

import cv2
import numpy as np

from nbsupport.core import rng

_JOINTS = 12  # points of one stroke
_SHIFT = 4  # cv2 reads coordinates with this many binary places
_BANK = 48  # fields of a bank; each is seen through thousands of windows
_OCTAVES = (0.02, 0.04, 0.08, 0.16, 0.32, 0.64)  # coverages that banks are drawn for


def middle_lines(generator: np.random.Generator, height: int, width: int, count: int) -> np.ndarray:
    """Middle lines of one to six strokes whose length suits a hole of `count` pixels.

    Returns:
        (strokes, joints, 2) float64, x and y in pixels, inside the frame: a stroke that would leave it is reflected.
    """
    side = (height * width) ** 0.5
    number = int(generator.integers(1, 7))
    values = generator.random((number, 8))
    brush = max(2.0, side * (0.05 + 0.11 * values[0, 0]))
    shares = 0.3 + values[:, 1]
    step = count / brush * shares / shares.sum() / (_JOINTS - 1)  # (strokes,) pixels between joints
    kind = (values[:, 2] * 3).astype(int)  # 0 line, 1 arc, 2 walk
    turns = np.where(kind == 1, (values[:, 3] - 0.5) * 1.1, 0.0)[:, None] + np.where(kind == 2, 0.9, 0.0)[:, None] * (
        generator.standard_normal((number, _JOINTS - 1))
    )
    heading = np.cumsum(turns, axis=1)
    flat = np.where(kind == 1, 0.4 + 0.6 * values[:, 4], 1.0)[:, None]  # an arc is squeezed into an ellipse
    along = np.cumsum(step[:, None] * np.cos(heading), axis=1)
    across = np.cumsum(step[:, None] * np.sin(heading), axis=1) * flat
    cos, sin = np.cos(2 * np.pi * values[:, 5:6]), np.sin(2 * np.pi * values[:, 5:6])
    points = np.zeros((number, _JOINTS, 2))
    points[:, 1:, 0] = along * cos - across * sin
    points[:, 1:, 1] = along * sin + across * cos
    frame = np.array([width - 1.0, height - 1.0])
    points += (values[:, 6:8] * frame - points[:, _JOINTS // 2])[:, None]  # the middle of a stroke is uniform
    return frame - np.abs(points % (2 * frame + 1e-9) - frame)  # reflect at the frame


def field(generator: np.random.Generator, height: int, width: int, count: int) -> np.ndarray:
    """Distance to the strokes in pixels, (height, width) float32; every second stroke is drawn with a broader pen."""
    points = np.round(middle_lines(generator, height, width, count) * (1 << _SHIFT)).astype(np.int32)
    canvas = np.ones((height, width), np.uint8)
    cv2.polylines(canvas, list(points[::2]), False, 0, 1, cv2.LINE_8, _SHIFT)
    if len(points) > 1:
        pen = 3 if count > 0.03 * height * width and min(height, width) >= 32 else 1
        cv2.polylines(canvas, list(points[1::2]), False, 0, pen, cv2.LINE_8, _SHIFT)
    return cv2.distanceTransform(canvas, cv2.DIST_L2, cv2.DIST_MASK_5)


@functools.lru_cache(maxsize=32)
def bank(seed: int, octave: int, height: int, width: int) -> tuple[np.ndarray, ...]:
    """The fields that holes of one octave of coverage are cut from, a pure function of the arguments."""
    count = max(1, round(_OCTAVES[octave] * height * width))
    names = (rng.generator(seed, "strokes", octave, number) for number in range(_BANK))
    return tuple(field(generator, height, width, count) for generator in names)


def varied(
    generator: np.random.Generator, seed: int, grid: tuple[int, int], size: tuple[int, int], coverage: float
) -> np.ndarray:
    """A field of strokes of the picture's size: a window of one of the bank, mirrored, turned and enlarged at random.

    Args:
        generator: decides which and how. seed: of the bank. grid, size: (rows, columns) of the bank and of the picture.
        coverage: fraction of the area that will be cut.

    Returns:
        (H, W) float32, distance to the strokes in pixels of the grid.
    """
    octave = min(max(round(math.log2(coverage / _OCTAVES[0])), 0), len(_OCTAVES) - 1)
    which, down, across, top, left, turn = generator.random(6).tolist()
    source = bank(seed, octave, *grid)[int(which * _BANK)]
    rows, columns = (max(2, round(side * (1 - 0.45 * u))) for side, u in zip(grid, (down, across), strict=True))
    top, left = int(top * (grid[0] - rows + 1)), int(left * (grid[1] - columns + 1))
    window = source[top : top + rows, left : left + columns]
    symmetry = int(turn * 8)
    if symmetry & 1:
        window = window.T
    window = window[:: -1 if symmetry & 2 else 1, :: -1 if symmetry & 4 else 1]
    return cv2.resize(np.ascontiguousarray(window), size[::-1], interpolation=cv2.INTER_LINEAR)
