"""How a photograph becomes a square: one frame, cut out of picture, object mask and part points alike.

The released TDANet crops and flips picture and mask independently of one another; here all three go through the same
frame. Points are in pixels from the left and top edge: the pixel in column c covers [c, c + 1).
"""

from collections.abc import Mapping

import numpy as np
from PIL import Image

from nbsupport.errors import ConfigError, unknown

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
    """Cut `frame` out of a (H, W) bool mask: (size, size) bool, True where more than half of the pixel's area was."""
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.array(grey.resize((size, size), Image.Resampling.BOX, box=frame)) > 127


def cut_points(points: Mapping[str, tuple[float, float]], frame: Frame, size: int) -> dict[str, tuple[float, float]]:
    """Move points into the frame; those outside it are left out. Result in pixels of the resized picture."""
    left, top, right, bottom = frame
    moved = {
        name: ((x - left) * size / (right - left), (y - top) * size / (bottom - top)) for name, (x, y) in points.items()
    }
    return {name: (x, y) for name, (x, y) in moved.items() if 0 <= x < size and 0 <= y < size}


def fill_box(box: tuple[float, float, float, float] | None, width: int, height: int) -> np.ndarray | None:
    """A box as a (height, width) bool mask; None where there is no box inside the picture."""
    inside = clip_box(box, width, height)
    if inside is None:
        return None
    left, top, right, bottom = (int(round(value)) for value in inside)
    mask = np.zeros((height, width), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask
