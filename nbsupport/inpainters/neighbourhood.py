"""Holes in photographs larger than a network: the hole's neighbourhood is painted small and pasted back without a seam.

A square around the hole, with as much again around it, is made as small as the network, painted, enlarged and put into
the hole. What was in the hole is blanked before anything else, so that it can leak neither into the network nor into
the seam. At the border the enlarged paint is shifted by what it misses of the visible pixels there, less and less
towards the hole's middle (a membrane, after Pérez et al. 2003, "Poisson image editing", by normalised convolution).
Outside the hole no pixel changes. Finer detail than the network paints is not invented: large holes stay soft.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from nbsupport.core.errors import UserError
from nbsupport.inpainters.base import Inpainter

#: Side of the square, in sides of the hole's bounding box.
CONTEXT = 2.0
_RAMP = 0.08  # of the square's side: how deep into the hole the border's correction reaches


@dataclass(frozen=True)
class Square:
    """Where a neighbourhood lies, in pixels of the photograph; it may reach beyond its edges."""

    top: int
    left: int
    side: int


def find_square(mask: np.ndarray, size: int, context: float = CONTEXT) -> Square:
    """The square around the hole of (H, W) bool `mask`: at least `size` pixels a side, inside the picture if it fits.

    Raises:
        UserError: there is no hole.
    """
    if not mask.any():
        raise UserError("There is no hole yet: draw one with the brush, or choose one from the list.")
    height, width = mask.shape
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    extent = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    side = int(max(size, extent, min(round(context * extent), max(height, width))))
    corner = []
    for found, length in ((rows, height), (columns, width)):
        start = (found[0] + found[-1] + 1 - side) // 2
        corner.append(int((length - side) // 2 if side >= length else min(max(start, 0), length - side)))
    return Square(corner[0], corner[1], side)


def cut(picture: np.ndarray, square: Square) -> np.ndarray:
    """The square of a picture (H, W) or (H, W, 3); beyond the edges the picture is mirrored."""
    height, width = picture.shape[:2]
    rows = _mirrored(np.arange(square.top, square.top + square.side), height)
    columns = _mirrored(np.arange(square.left, square.left + square.side), width)
    return np.ascontiguousarray(picture[rows][:, columns])


def _mirrored(places: np.ndarray, length: int) -> np.ndarray:
    turned = places % (2 * length)
    return np.where(turned < length, turned, 2 * length - 1 - turned)


def _put(picture: np.ndarray, square: Square, patch: np.ndarray) -> np.ndarray:
    """A copy of `picture` with `patch` in the square; what lies beyond the edges is dropped."""
    result = picture.copy()
    height, width = picture.shape[:2]
    top, left = max(square.top, 0), max(square.left, 0)
    bottom, right = min(square.top + square.side, height), min(square.left + square.side, width)
    result[top:bottom, left:right] = patch[
        top - square.top : bottom - square.top, left - square.left : right - square.left
    ]
    return result


def shrink(picture: np.ndarray, mask: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A square picture and its hole at the network's size; a small pixel that touches the hole is hole.

    Args: picture (S, S, 3) uint8; mask (S, S) bool, True = hole.

    Raises:
        UserError: at that size nothing is visible.
    """
    blank = picture.copy()
    blank[mask] = 0 if mask.all() else np.rint(picture[~mask].mean(axis=0)).astype(np.uint8)
    small = cv2.resize(blank, (size, size), interpolation=cv2.INTER_AREA)
    hole = cv2.resize(mask.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA) > 0
    if hole.all():
        raise UserError("The hole leaves nothing visible around it: make it smaller.")
    return small, hole


def blend(original: np.ndarray, paint: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Put `paint` into the hole so that no seam shows; outside the hole nothing changes.

    Args: original, paint (S, S, 3) uint8; mask (S, S) bool, True = hole. What `original` has in the hole is not read.
    """
    visible = (~mask).astype(np.float32)
    ramp = max(1.0, _RAMP * len(mask))
    missing = (original.astype(np.float32) - paint) * visible[..., None]
    total = cv2.GaussianBlur(missing, (0, 0), ramp / 2)
    weight = cv2.GaussianBlur(visible, (0, 0), ramp / 2)
    shift = total / np.maximum(weight, 1e-4)[..., None]
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    shift *= np.exp(-np.maximum(depth - 1, 0) / ramp)[..., None] * (weight > 1e-4)[..., None]
    blended = np.rint(np.clip(paint + shift, 0, 255)).astype(np.uint8)
    return np.where(mask[..., None], blended, original)


def fill(
    inpainter: Inpainter, image: np.ndarray, mask: np.ndarray, caption: str, seeds: Sequence[int], size: int
) -> tuple[np.ndarray, np.ndarray, Square | None]:
    """Fill the hole of a photograph of any size, once for each seed.

    Args:
        image: (H, W, 3) uint8. mask: (H, W) bool, True = hole.
        size: of the network; a photograph of exactly this size is painted as it is.

    Returns:
        regenerated: (N, H, W, 3) uint8, with the inpainter's whole output in the square.
        spliced: (N, H, W, 3) uint8, the photograph outside the hole.
        square: what was painted, None for the whole photograph.
    """
    count = len(seeds)
    if image.shape[:2] == (size, size):
        stack = np.repeat(image[None], count, axis=0)
        output = inpainter.fill(stack, np.repeat(mask[None], count, axis=0), [caption] * count, seeds=seeds)
        return output, np.where(mask[None, ..., None], output, stack), None
    square = find_square(mask, size)
    patch, hole = cut(image, square), cut(mask, square)
    small, small_hole = shrink(patch, hole, size)
    stack, holes = np.repeat(small[None], count, axis=0), np.repeat(small_hole[None], count, axis=0)
    outputs = inpainter.fill(stack, holes, [caption] * count, seeds=seeds)
    regenerated, spliced = [], []
    for output in outputs:
        large = cv2.resize(output, (square.side, square.side), interpolation=cv2.INTER_CUBIC)
        regenerated.append(_put(image, square, large))
        pasted = _put(image, square, blend(patch, large, hole))
        spliced.append(np.where(mask[..., None], pasted, image))
    return np.stack(regenerated), np.stack(spliced), square
