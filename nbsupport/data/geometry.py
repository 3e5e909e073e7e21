"""How a photograph becomes a square: one frame, cut out of picture, object mask and part points alike.

The released TDANet crops and flips picture and mask independently of one another; here all three go through the same
frame. Points are in pixels from the left and top edge: the pixel in column c covers [c, c + 1).
"""

from collections.abc import Mapping

import cv2
import numpy as np
from PIL import Image

from nbsupport.core.errors import ConfigError, unknown

Frame = tuple[float, float, float, float]  # left, top, right, bottom in pixels of the upright picture
FITS = ("crop", "box", "stretch")


def clip_box(box: tuple[float, float, float, float] | None, width: int, height: int) -> Frame | None:
    """The part of a box (x, y, width, height) that lies in the picture, as a frame; None where nothing does."""
    if box is None or not np.isfinite(box).all():
        return None
    left, top = max(box[0], 0.0), max(box[1], 0.0)
    right, bottom = min(box[0] + box[2], float(width)), min(box[1] + box[3], float(height))
    return (left, top, right, bottom) if right - left >= 1 and bottom - top >= 1 else None


def choose_frame(width: int, height: int, box: tuple[float, float, float, float] | None, fit: str) -> Frame:
    """The frame of a picture of `width` x `height` pixels.

    ``crop``: the largest square, as near to the middle of the box (or of the picture) as the edges allow.
    ``box``: the box itself; without one, as ``crop``. ``stretch``: the whole picture.
    """
    if fit not in FITS:
        raise ConfigError(unknown("fit", fit, FITS))
    if fit == "stretch":
        return (0.0, 0.0, float(width), float(height))
    inside = clip_box(box, width, height)
    if fit == "box" and inside:
        return inside
    left, top, right, bottom = inside or (0.0, 0.0, float(width), float(height))
    side = float(min(width, height))
    x = min(max((left + right - side) / 2, 0.0), width - side)
    y = min(max((top + bottom - side) / 2, 0.0), height - side)
    return (x, y, x + side, y + side)


def cut_image(image: Image.Image, frame: Frame, size: int) -> np.ndarray:
    """Cut `frame` out of an RGB picture and resize it, antialiased: (size, size, 3) uint8."""
    return np.array(image.resize((size, size), Image.Resampling.BICUBIC, box=frame))


def cut_mask(mask: np.ndarray, frame: Frame, size: int) -> np.ndarray:
    """Cut `frame` out of a (H, W) bool mask: (size, size) bool, True where more than half of the pixel's area was.

    The area is exact, at fractional edges too (Pillow's and OpenCV's filters round them to whole pixels when they
    enlarge).
    """
    left, top, right, bottom = frame
    rows = _between_edges(mask.astype(np.float32), np.linspace(top, bottom, size + 1))
    area = _between_edges(rows.T, np.linspace(left, right, size + 1)).T
    return area > 0.5 * (right - left) * (bottom - top) / size**2


def same_aspect(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two shapes (height, width) have the same ratio of their sides, up to rounding to whole pixels."""
    (height, width), (other_height, other_width) = one, other
    return abs(height * other_width - width * other_height) <= max(height, width, other_height, other_width)


def resize_mask(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A mask, (h, w) bool, at another `shape` (height, width): (H, W) bool, True where at least half of the area is."""
    return cv2.resize(mask.astype(np.uint8) * 255, shape[::-1], interpolation=cv2.INTER_AREA) >= 128


def _between_edges(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Integrate (n, m) values of unit steps along the first axis between fractional `edges` (k + 1,): (k, m)."""
    total = np.zeros((len(values) + 1, values.shape[1]), dtype=np.float32)
    np.cumsum(values, axis=0, out=total[1:])
    whole = np.minimum(edges.astype(np.int64), len(values) - 1)
    part = (edges - whole).astype(np.float32)[:, None]
    at_edges = total[whole] * (1 - part) + total[whole + 1] * part
    return np.diff(at_edges, axis=0)


def cut_points(points: Mapping[str, tuple[float, float]], frame: Frame, size: int) -> dict[str, tuple[float, float]]:
    """Move points into the frame; those outside it are left out. Result in pixels of the resized picture."""
    left, top, right, bottom = frame
    moved = {
        name: ((x - left) * size / (right - left), (y - top) * size / (bottom - top)) for name, (x, y) in points.items()
    }
    return {name: (x, y) for name, (x, y) in moved.items() if 0 <= x < size and 0 <= y < size}


def cut_box(box: tuple[float, float, float, float], frame: Frame, size: int) -> np.ndarray:
    """A box (x, y, width, height) filled and cut to `frame`: (size, size) bool, as :func:`cut_mask` of it would be."""
    left, top, right, bottom = frame
    columns = _overlap(np.linspace(left, right, size + 1), box[0], box[0] + box[2])
    rows = _overlap(np.linspace(top, bottom, size + 1), box[1], box[1] + box[3])
    return np.outer(rows, columns) > 0.5


def _overlap(edges: np.ndarray, low: float, high: float) -> np.ndarray:
    """The share of each step between `edges` (k + 1,) that lies between `low` and `high`: (k,)."""
    inside = np.clip(edges, low, max(low, high))
    return np.diff(inside) / np.diff(edges)
