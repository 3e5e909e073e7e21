"""What an inpainter is, and the checks on what goes in and comes out of one.

An inpainter takes photographs, holes (**True = hole**), captions and one seed for each photograph, and returns its
*whole* output; :func:`splice` puts the hole of an output back into the untouched photograph. Not here: inpainters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nbsupport.core.errors import InpainterError


class Inpainter(Protocol):
    """Anything that paints holes. ``name`` goes into manifests and file names.

    One that reads no captions says so by an attribute ``reads_captions = False``; see :func:`reads_captions`. One that
    leaves visible pixels as they are says so by ``keeps_visible = True``, and is held to it.
    """

    name: str

    def fill(
        self, images: np.ndarray, masks: np.ndarray, captions: Sequence[str], *, seeds: Sequence[int]
    ) -> np.ndarray:
        """Fill the holes and return the whole output, not spliced.

        Args:
            images: (B, H, W, 3) uint8 RGB; what lies in the hole is there to be ignored.
            masks: (B, H, W) bool, True = hole.
            captions: B texts; an empty one is allowed. Classical methods do not read them.
            seeds: B integers of up to 63 bits; the randomness of each fill comes from its own seed alone.

        Returns:
            (B, H, W, 3) uint8 RGB.
        """


@dataclass(frozen=True)
class Checked:
    """An inpainter whose input and output are verified; see :func:`checked`."""

    inner: Inpainter

    @property
    def name(self) -> str:
        """That of the inpainter behind it."""
        return self.inner.name

    def fill(self, images, masks, captions, *, seeds) -> np.ndarray:
        """As :meth:`Inpainter.fill`; raises InpainterError for a wrong input, and for an output that is no picture."""
        images, masks = np.asarray(images), np.asarray(masks)
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise InpainterError(f"images must be (B, H, W, 3) uint8, got {images.shape} {images.dtype}.")
        if masks.shape != images.shape[:3] or masks.dtype != bool:
            raise InpainterError(
                f"masks must be {images.shape[:3]} bool (True = hole), got {masks.shape} {masks.dtype}."
            )
        if not len(captions) == len(seeds) == len(images):
            raise InpainterError(
                f"{len(images)} images need as many captions and seeds, got {len(captions)} and {len(seeds)}."
            )
        everything = masks.all(axis=(1, 2))
        if everything.any():
            raise InpainterError(
                f"The hole of picture {int(everything.argmax())} covers all of it: nothing is left to paint from. "
                "Use a smaller coverage."
            )
        before = images.copy() if not isinstance(images, np.memmap) else None
        output = self.inner.fill(images, masks, captions, seeds=seeds)
        self._check_output(output, images)
        if getattr(self.inner, "keeps_visible", False) and (output != images)[~masks].any():
            raise InpainterError(
                f"The inpainter '{self.name}' changed pixels outside the hole, which it promises to keep."
            )
        if before is not None and not np.array_equal(before, images):
            raise InpainterError(f"The inpainter '{self.name}' wrote into the photographs it was given.")
        return output

    def _check_output(self, output: object, images: np.ndarray) -> None:
        who = f"The inpainter '{self.name}' must return {images.shape} uint8"
        if not isinstance(output, np.ndarray):
            raise InpainterError(f"{who}, got {type(output).__name__}.")
        if np.issubdtype(output.dtype, np.floating) and not np.isfinite(output).all():
            raise InpainterError(f"{who}, got {output.dtype} with NaN or infinite values.")
        if output.shape != images.shape or output.dtype != np.uint8:
            raise InpainterError(f"{who}, got {output.shape} {output.dtype}.")


def checked(inpainter: Inpainter) -> Inpainter:
    """Wrap an inpainter so that wrong input, and output of a wrong shape or type or with NaN, is a clear error."""
    return inpainter if isinstance(inpainter, Checked) else Checked(inpainter)


def reads_captions(inpainter: Inpainter) -> bool:
    """Whether another caption can make another fill; taken for granted of an inpainter that does not say."""
    inner = inpainter.inner if isinstance(inpainter, Checked) else inpainter
    return getattr(inner, "reads_captions", True)


def splice(original: np.ndarray, output: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Take `output` inside the hole and `original`, bit for bit, outside.

    Args: original and output (..., H, W, 3) uint8; masks (..., H, W) bool, True = hole. Returns (..., H, W, 3) uint8.
    """
    return np.where(np.asarray(masks)[..., None], output, original)
