"""The methods that need neither training nor weights: Telea, Navier-Stokes, biharmonic, the mean colour.

Sources: Telea 2004 and Bertalmio et al. 2001 (OpenCV), Damelin & Hoang 2018 (biharmonic, scikit-image).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np


def mean_colour(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Paint the hole with the mean colour of the visible pixels: what any better method must beat.

    Args: image (H, W, 3) uint8; mask (H, W) bool, True = hole, not all True. Returns (H, W, 3) uint8.
    """
    filled = image.copy()
    filled[mask] = np.rint(image[~mask].mean(axis=0)).astype(np.uint8)
    return filled


def telea(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """March from the hole's edge inwards, extending colours along their gradients (Telea 2004). As `mean_colour`."""
    return cv2.inpaint(np.ascontiguousarray(image), mask.astype(np.uint8), 3, cv2.INPAINT_TELEA)


def navier_stokes(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Carry the lines of equal brightness into the hole as a fluid flows (Bertalmio et al. 2001). As `mean_colour`."""
    return cv2.inpaint(np.ascontiguousarray(image), mask.astype(np.uint8), 3, cv2.INPAINT_NS)


def biharmonic(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Stretch the smoothest surface over the hole (Damelin & Hoang 2018). As `mean_colour`; slow for large holes."""
    from skimage.restoration import inpaint_biharmonic  # imported here: it takes half a second

    filled = inpaint_biharmonic(image, mask, channel_axis=-1)  # float in [0, 1], overshooting at strong edges
    return np.rint(np.clip(filled, 0, 1) * 255).astype(np.uint8)


_CLASSICAL: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "telea": telea,
    "navier_stokes": navier_stokes,
    "biharmonic": biharmonic,
    "mean_colour": mean_colour,
}


#: The methods that need neither training nor weights.
CLASSICAL: tuple[str, ...] = tuple(_CLASSICAL)


@dataclass(frozen=True)
class Classical:
    """A method that sees one picture and its hole, and neither caption nor chance."""

    name: str
    method: Callable[[np.ndarray, np.ndarray], np.ndarray]
    reads_captions: ClassVar[bool] = False
    keeps_visible: ClassVar[bool] = True

    def fill(self, images, masks, captions, *, seeds) -> np.ndarray:
        """As :meth:`Inpainter.fill`, one picture after the other; captions and seeds change nothing."""
        filled = [self.method(i, m) if m.any() else i for i, m in zip(images, masks, strict=True)]
        return np.stack(filled) if filled else images.copy()
