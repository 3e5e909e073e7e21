"""Pictures as the page shows them: enlarged without smoothing, with a hole marked, or under a heat map."""

import io

import cv2
import numpy as np
from PIL import Image

#: Width of a picture on the page in pixels.
WIDTH = 192
#: Differences are multiplied by this before they are shown, since most are too small to see (as in ``plots.pairs``).
GAIN = 4
HOLE = (204, 121, 167)  # the colour of holes in the book
BLANK = np.full((16, 16, 3), 244, np.uint8)
_HEAT = cv2.COLORMAP_MAGMA


def png(picture: np.ndarray, width: int = WIDTH) -> bytes:
    """A picture as PNG bytes: enlarged by a whole factor without smoothing, or made smaller, for a page.

    Args: picture (H, W, 3) uint8 RGB or (H, W) float in [0, 1]; width: to reach at least, if it is smaller; one of more
        than twice that is made smaller.
    """
    if picture.ndim == 2:
        picture = np.rint(np.asarray(picture) * 255).astype(np.uint8)
    height, own = picture.shape[:2]
    if own > 2 * width:
        size = 2 * width, max(1, round(height * 2 * width / own))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    factor = max(1, -(-width // picture.shape[1]))
    enlarged = np.ascontiguousarray(picture.repeat(factor, axis=0).repeat(factor, axis=1))
    buffer = io.BytesIO()
    Image.fromarray(enlarged).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def hide(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """A copy of (H, W, 3) uint8 with the hole, (H, W) bool, in one colour."""
    shown = picture.copy()
    shown[hole] = HOLE
    return shown


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How far two pictures are apart, times GAIN: (H, W, 3) uint8 twice -> (H, W) float in [0, 1], white = far."""
    return np.clip(np.abs(first.astype(np.float32) - second).mean(axis=-1) / 255 * GAIN, 0, 1)


def overlay(hole: np.ndarray, size: tuple[int, int], opacity: float = 0.62) -> np.ndarray:
    """A hole as a layer over a picture: (H, W) bool -> (height, width, 4) uint8 RGBA, clear outside the hole.

    Args: size: (height, width) of the layer.
    """
    height, width = size
    large = cv2.resize(hole.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    layer = np.zeros((height, width, 4), np.uint8)
    layer[..., :3] = HOLE
    layer[..., 3] = large * round(255 * opacity)
    return layer


def heated(picture: np.ndarray, heat: np.ndarray, hole: np.ndarray | None = None) -> np.ndarray:
    """The picture in grey under its heat map, the hole's outline in white: (k H, k W, 3) uint8.

    Args: picture (H, W, 3) uint8; heat (H, W) float in [0, 1]; hole (H, W) bool, True = hole, or None.
    """
    factor = max(1, -(-WIDTH // picture.shape[1]))
    size = picture.shape[1] * factor, picture.shape[0] * factor
    grey = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_NEAREST)
    smooth = cv2.resize(np.asarray(heat, np.float32), size, interpolation=cv2.INTER_LINEAR)
    colour = cv2.applyColorMap(np.rint(smooth * 255).clip(0, 255).astype(np.uint8), _HEAT)[..., ::-1]
    shown = np.rint(0.4 * grey[..., None] + 0.6 * colour).astype(np.uint8)
    if hole is not None and hole.any():
        large = cv2.resize(hole.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        edges = cv2.findContours(large, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
        shown = cv2.drawContours(np.ascontiguousarray(shown), edges, -1, (255, 255, 255), 1)
    return shown
