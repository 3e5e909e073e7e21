"""Files that a reader hands in: read as photographs, or refused with a sentence that says why and what would do.

The rules are those of ``core.images`` (formats by content and not by name, EXIF orientation, CMYK, 16 bits, alpha),
with narrower limits: a page answers while somebody waits. A file's name is never used as a
path and is shown escaped only.
"""

import hashlib
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath

import cv2
import numpy as np

from nbsupport.core import images
from nbsupport.core.errors import UnusableImage

#: Limits of an uploaded file, and the longer side in pixels beyond which a photograph is made smaller.
MAX_BYTES, MAX_PIXELS, MAX_SIDE = 20_000_000, 30_000_000, 1600
_LONGEST_NAME = 60

LIMITS = (
    f"JPEG, PNG, WebP, GIF (first picture), BMP, TIFF, AVIF; up to {MAX_BYTES // 1_000_000} MB and "
    f"{MAX_PIXELS // 1_000_000} megapixels, sides of at least {images.MIN_SIDE} pixels. "
    f"A side of more than {MAX_SIDE} pixels is made smaller to that."
)


@dataclass(frozen=True)
class Upload:
    """A photograph that was handed in.

    Attributes:
        name: the file's name for showing: no folder, no control characters, shortened. Escape it in HTML.
        image: (H, W, 3) uint8 RGB, upright, no side above MAX_SIDE.
        sha256: of the file's bytes.
        note: what was done to it on the way; may be empty.
    """

    name: str
    image: np.ndarray
    sha256: str
    note: str = ""


def shown_name(name: str) -> str:
    """A file name as it may be shown: its last part, printable, at most 60 characters; "a file" if nothing is left."""
    last = PurePosixPath(str(name).replace("\\", "/")).name
    kept = "".join(sign for sign in last if not unicodedata.category(sign).startswith("C")).strip()
    return (kept[: _LONGEST_NAME - 1] + "…" if len(kept) > _LONGEST_NAME else kept) or "a file"


def check_size(name: str, data: bytes) -> None:
    """Raise :class:`UnusableImage` for a file with too many bytes, or none."""
    if not len(data):
        raise UnusableImage(f"'{shown_name(name)}' is empty (0 bytes).")
    if len(data) > MAX_BYTES:
        raise UnusableImage(f"'{shown_name(name)}' has {len(data) / 1e6:.1f} MB; the demo takes {MAX_BYTES // 10**6}.")


def read_photograph(name: str, data: bytes) -> Upload:
    """Read an uploaded photograph.

    Args: name: as the browser gave it. data: the file's bytes.

    Raises:
        UnusableImage: the message names the file, the reason, and what is taken instead.
    """
    data = bytes(data)
    check_size(name, data)
    try:
        image = np.asarray(images.decode(data, MAX_PIXELS))
    except UnusableImage as error:
        raise UnusableImage(f"'{shown_name(name)}' cannot be used: {error}. {LIMITS}") from None
    height, width = image.shape[:2]
    note, longer = "", max(height, width)
    if longer > MAX_SIDE:
        size = max(1, round(width * MAX_SIDE / longer)), max(1, round(height * MAX_SIDE / longer))
        if min(size) < images.MIN_SIDE:
            raise UnusableImage(f"'{shown_name(name)}' is {width} x {height} pixels: too long and narrow. {LIMITS}")
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        note = f"made smaller from {width} x {height} to {size[0]} x {size[1]} pixels"
    return Upload(shown_name(name), np.ascontiguousarray(image), hashlib.sha256(data).hexdigest(), note)


def read_mask(name: str, data: bytes) -> np.ndarray:
    """The hole of an uploaded mask file, (H, W) bool, True = hole; raises :class:`UnusableImage` with the file's name.

    Its forms are those of ``core.images.read_mask``.
    """
    data = bytes(data)
    check_size(name, data)
    try:
        return images.read_mask(data, max_pixels=MAX_PIXELS)
    except UnusableImage as error:
        raise UnusableImage(f"'{shown_name(name)}' cannot be used as a mask: {str(error).rstrip('.')}.") from None
