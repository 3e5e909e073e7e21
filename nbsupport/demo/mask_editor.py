"""A hole that is drawn step by step: strokes, rectangles, whole masks, undo and redo. No widget is needed for it.

Masks are (H, W) bool, True = hole. Points are in pixels of the picture from its left and top edge: the pixel in column
c covers [c, c + 1). Not here: the surface that is drawn on (``canvas``).
"""

import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from nbsupport.core import images
from nbsupport.core.errors import ConfigError, UnusableImage, UserError
from nbsupport.data import geometry

#: How many steps can be taken back.
STEPS = 100


class MaskEditor:
    """The hole of one picture and the steps that led to it.

    Args: height, width: of the picture in pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        if height < 1 or width < 1:
            raise ConfigError(f"A mask needs at least one pixel, got {height} x {width}.")
        self.mask = np.zeros((height, width), bool)
        self._past: list[np.ndarray] = []
        self._future: list[np.ndarray] = []

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.mask.shape

    @property
    def coverage(self) -> float:
        """Share of the picture that is hole, from 0 to 1."""
        return float(self.mask.mean())

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether a step was taken back that can be taken again."""
        return bool(self._future)

    def _step(self, mask: np.ndarray) -> bool:
        """Take a step to `mask`; one that changes nothing is none. Returns whether anything changed."""
        if np.array_equal(mask, self.mask):
            return False
        self._past.append(np.packbits(self.mask))
        del self._past[:-STEPS]
        self._future.clear()
        self.mask = mask
        return True

    def stroke(self, points: Sequence[tuple[float, float]], diameter: float, erase: bool = False) -> bool:
        """Draw along `points` (x, y) with a round brush; a single point is a dot. Returns whether anything changed.

        Args: diameter: in pixels of the picture; at least the pixel under each point is drawn.
        """
        points = np.asarray(points, np.float64).reshape(-1, 2)
        if not np.isfinite(points).all():
            raise ConfigError("A stroke needs finite coordinates.")
        if not len(points):
            return False
        drawn = np.zeros(self.shape, bool)
        for start, end in zip(points, points[1:] if len(points) > 1 else points, strict=False):
            _draw(drawn, start, end, max(0.0, diameter) / 2)
        height, width = self.shape
        for x, y in points:
            if 0 <= x < width and 0 <= y < height:
                drawn[int(y), int(x)] = True
        return self._step(self.mask & ~drawn if erase else self.mask | drawn)

    def rectangle(self, first: tuple[float, float], second: tuple[float, float], erase: bool = False) -> bool:
        """Add the pixels that the rectangle between two corners (x, y) touches; returns whether anything changed."""
        (left, right), (top, bottom) = (sorted(pair) for pair in zip(first, second, strict=True))
        height, width = self.shape
        mask = self.mask.copy()
        rows = slice(int(np.clip(np.floor(top), 0, height)), int(np.clip(np.ceil(bottom), 0, height)))
        columns = slice(int(np.clip(np.floor(left), 0, width)), int(np.clip(np.ceil(right), 0, width)))
        mask[rows, columns] = not erase
        return self._step(mask)

    def add(self, mask: np.ndarray) -> bool:
        """Add a hole to the one there is, (H, W) bool; returns whether anything changed."""
        return self._step(self.mask | self._fitting(mask))

    def replace(self, mask: np.ndarray) -> bool:
        """Take another hole in place of this one, (H, W) bool; returns whether anything changed."""
        return self._step(self._fitting(mask))

    def _fitting(self, mask: np.ndarray) -> np.ndarray:
        mask = np.array(mask, dtype=bool)
        if mask.shape != self.shape:
            raise ConfigError(f"The mask has {mask.shape} pixels (rows, columns), the picture {self.shape}.")
        return mask

    def clear(self) -> bool:
        """Take the whole hole away."""
        return self._step(np.zeros(self.shape, bool))

    def invert(self) -> bool:
        """Hole and visible part change places."""
        return self._step(~self.mask)

    def undo(self) -> bool:
        """Take the last step back; returns whether there was one."""
        return self._move(self._past, self._future)

    def redo(self) -> bool:
        """Take again what was taken back; returns whether there was anything."""
        return self._move(self._future, self._past)

    def _move(self, source: list[np.ndarray], target: list[np.ndarray]) -> bool:
        if not source:
            return False
        target.append(np.packbits(self.mask))
        flat = np.unpackbits(source.pop(), count=self.mask.size)
        self.mask = flat.astype(bool).reshape(self.shape)
        return True

    def usable(self) -> np.ndarray:
        """The hole as an inpainter takes it: a copy, (H, W) bool.

        Raises:
            UserError: there is no hole, or nothing but hole.
        """
        if not self.mask.any():
            raise UserError("There is no hole yet: draw one with the brush, or choose one from the list.")
        if self.mask.all():
            raise UserError("The hole covers the whole picture: leave something to paint from.")
        return self.mask.copy()

    def to_png(self) -> bytes:
        """The mask as a PNG file of one channel: 255 = hole, 0 = visible."""
        return mask_png(self.mask)

    def load_png(self, data: bytes, read: Callable[[bytes], np.ndarray] | None = None) -> bool:
        """Take a mask from the bytes of a picture file, whose forms are those of ``core.images.read_mask``.

        A mask of the picture's aspect ratio is brought to its size. What was painted stays where the mask is refused.

        Raises:
            UnusableImage: no mask that can be read, one of another aspect ratio, or one that marks nothing or all.
        """
        hole = (read or images.read_mask)(data)
        height, width = self.shape
        if not geometry.same_aspect(hole.shape, self.shape):
            raise UnusableImage(
                f"The mask is {hole.shape[1]} x {hole.shape[0]} pixels and the picture {width} x {height}: their sides "
                "are not in the same ratio. Give the mask the picture's size. What is painted stays."
            )
        if hole.shape != self.shape:
            hole = geometry.resize_mask(hole, self.shape)
        if hole.all() or not hole.any():
            raise UnusableImage(
                f"The mask marks {'everything' if hole.all() else 'nothing'}. White (or any id above 0) is the hole, "
                "black is kept. What is painted stays."
            )
        return self._step(hole)


def _draw(drawn: np.ndarray, start: np.ndarray, end: np.ndarray, radius: float) -> None:
    """Set, in (H, W) bool `drawn`, every pixel whose middle is at most `radius` from the segment between two points."""
    low = np.maximum(np.floor(np.minimum(start, end) - radius), 0)
    high = np.minimum(np.ceil(np.maximum(start, end) + radius), drawn.shape[::-1])
    if (high <= low).any():
        return
    (left, top), (right, bottom) = low.astype(int), high.astype(int)
    x, y = np.arange(left, right) + 0.5, np.arange(top, bottom)[:, None] + 0.5
    along = end - start
    length = float(along @ along)
    share = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / length, 0, 1) if length else 0.0
    distance = np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1])
    drawn[top:bottom, left:right] |= distance <= radius


def mask_png(mask: np.ndarray) -> bytes:
    """(H, W) bool, True = hole -> bytes of a PNG, 255 = hole."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(mask, bool).astype(np.uint8) * 255).save(buffer, "PNG")
    return buffer.getvalue()
