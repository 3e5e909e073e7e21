"""The methods that need neither training nor weights: Telea, Navier-Stokes, biharmonic, PatchMatch, the mean colour.

Sources: Telea 2004 and Bertalmio et al. 2001 (OpenCV), Damelin & Hoang 2018 (biharmonic, scikit-image), Barnes et al.
2009 (PatchMatch, the library PyPatchMatch, which is made for Linux on x86-64 alone).
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from nbsupport.core.errors import InpainterError


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


def patchmatch(image: np.ndarray, mask: np.ndarray, seed: int = 0) -> np.ndarray:
    """Copy patches of the visible part that agree with each other (Barnes et al. 2009): sharp, but without a meaning.

    As `mean_colour`; equal seeds (up to 63 bits) give equal fills.

    Raises:
        InpainterError: the library is not there.
    """
    if not HAS_PATCHMATCH:
        raise InpainterError(
            "The inpainter 'patchmatch' needs the package pypatchmatch, which exists for Linux on x86-64: "
            "python -m pip install pypatchmatch"
        )
    from patchmatch import patch_match  # imported here: it loads a library of its own

    patch_match.set_random_seed(seed % 2**31)
    return patch_match.inpaint(np.ascontiguousarray(image), mask.astype(np.uint8) * 255, patch_size=PATCH)


#: Whether the library behind :func:`patchmatch` is installed.
HAS_PATCHMATCH = importlib.util.find_spec("patchmatch") is not None
PATCH = 5  # side of a patch in pixels
METHODS: dict[str, Callable[..., np.ndarray]] = {
    "telea": telea,
    "navier_stokes": navier_stokes,
    "biharmonic": biharmonic,
    "patchmatch": patchmatch,
    "mean_colour": mean_colour,
}

#: The methods that need neither training nor weights, as far as they are installed.
CLASSICAL: tuple[str, ...] = tuple(name for name in METHODS if name != "patchmatch" or HAS_PATCHMATCH)


@dataclass(frozen=True)
class Classical:
    """A method that sees one picture and its hole, and no caption; PatchMatch alone makes use of the seed."""

    name: str
    reads_captions: ClassVar[bool] = False
    keeps_visible: ClassVar[bool] = True

    def fill(self, images, masks, captions, *, seeds) -> np.ndarray:
        """As :meth:`Inpainter.fill`, one picture after the other; captions change nothing."""
        method = METHODS[self.name]
        chance = [{"seed": seed} if method is patchmatch else {} for seed in seeds]
        filled = [method(i, m, **c) if m.any() else i for i, m, c in zip(images, masks, chance, strict=True)]
        return np.stack(filled) if filled else images.copy()
