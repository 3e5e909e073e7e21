"""What of a photograph is judged: squares that together cover all of it, each fitted as the training photographs were.

A photograph that was cut for training gave its largest square in the middle. Here as many such squares are taken along
the longer side as cover it, half a square apart at most; each is made as small as the network needs. A run that
stretched its photographs (``fit``) sees the whole at once. The answer is that of the square with the highest
probability, corrected for their number: among untouched validation photographs the largest of `m` is as rare as the
corrected one is alone. Tiles at the photograph's own scale are none of the views: of 64-px tiles of untouched CUB
photographs the package's detectors know 38 % as pictures of their kind, and call one of those inpainted in 70 % of the
photographs; the heat map shows that scale. Not here: asking the detectors (``detectors.inspection``, ``demo.state``).
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from nbsupport.data import geometry


@dataclass(frozen=True)
class View:
    """One square: its name, its frame in pixels of the photograph, and (S, S, 3) uint8."""

    name: str
    frame: geometry.Frame
    picture: np.ndarray


def frames(width: int, height: int, fit: str = "crop") -> list[tuple[str, geometry.Frame]]:
    """Names and frames of the squares; the one in the middle is the one of training."""
    if fit == "stretch":
        return [("the whole picture", (0.0, 0.0, float(width), float(height)))]
    side, longer = min(width, height), max(width, height)
    if longer <= 1.05 * side:
        return [("the largest square", geometry.choose_frame(width, height, None, "crop"))]
    count = 1 + 2 * -(-(longer - side) // side)  # odd: one is in the middle
    found = []
    for number, start in enumerate(np.linspace(0, longer - side, count)):
        wide = width > height
        left, top = (float(start), 0.0) if wide else (0.0, float(start))
        name = f"square {number + 1} of {count} from the {'left' if wide else 'top'}"
        found.append((name, (left, top, left + side, top + side)))
    return found


def cut(picture: np.ndarray, size: int, fit: str = "crop") -> list[View]:
    """The views of (H, W, 3) uint8; a picture of exactly the network's size is its own."""
    height, width = picture.shape[:2]
    if (height, width) == (size, size):
        return [View("the whole picture", (0.0, 0.0, float(size), float(size)), picture)]
    image = Image.fromarray(picture)
    return [View(name, own, geometry.cut_image(image, own, size)) for name, own in frames(width, height, fit)]


def saved_again(picture: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """Copies of (H, W, 3) uint8 that a verdict must survive: a JPEG of quality 90, and made smaller to nine tenths.

    A picture that is barely larger than the network (of `size` pixels) is not made smaller: detail would be lost.
    """
    image, buffer = Image.fromarray(picture), io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    copies = {"jpeg 90": np.asarray(Image.open(buffer).convert("RGB"))}
    if min(picture.shape[:2]) >= 2 * size:
        less = tuple(max(1, round(0.9 * side)) for side in image.size)
        copies["resize 0.9"] = np.asarray(image.resize(less, Image.Resampling.BICUBIC))
    return copies


def corrected(highest: float, count: int, real: np.ndarray) -> float:
    """The highest of `count` probabilities, corrected by the probabilities (N,) of untouched validation photographs."""
    if count < 2 or not len(real):
        return float(highest)
    levels = np.r_[0.0, np.sort(real), 1.0]
    ranks = np.linspace(0, 1, len(levels))
    return min(float(highest), float(np.interp(np.interp(highest, levels, ranks) ** count, ranks, levels)))
