"""What happens to a picture on its way to a reader: real codecs, resizing, blur, noise, cropping.

One set of functions for two purposes. As :data:`CONDITIONS` of fixed strength they are the sweep that test pictures
are sent down (``evaluation.robustness``); as :data:`AUGMENTATIONS` of random strength they prepare a detector for it.
Sizes stay as they were, since detectors are built for one: a resized or cropped picture is brought back, as a
platform's thumbnail would be.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from nbsupport.core import rng
from nbsupport.core.errors import ConfigError, unknown
from nbsupport.pairs.files import Encoding

Condition = Callable[[np.ndarray, int], np.ndarray]  # (H, W, 3) uint8 RGB and a seed -> the same shape


def _codec(text: str) -> Condition:
    encoding = Encoding.parse(text)
    return lambda image, seed: encoding.through(image)


def _resized(factor: float) -> Condition:
    def apply(image: np.ndarray, seed: int) -> np.ndarray:
        height, width = image.shape[:2]
        size = max(1, round(width * factor)), max(1, round(height * factor))
        there = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
        return cv2.resize(there, (width, height), interpolation=cv2.INTER_CUBIC if factor < 1 else cv2.INTER_AREA)

    return apply


def _blurred(sigma: float) -> Condition:
    return lambda image, seed: cv2.GaussianBlur(image, (0, 0), sigma)


def _noisy(sigma: float) -> Condition:
    def apply(image: np.ndarray, seed: int) -> np.ndarray:
        noise = rng.generator(seed, "robustness noise").normal(0, sigma, image.shape)
        return np.rint(np.clip(image + noise, 0, 255)).astype(np.uint8)

    return apply


def _cropped(share: float) -> Condition:
    def apply(image: np.ndarray, seed: int) -> np.ndarray:
        height, width = image.shape[:2]
        top, left = round(height * (1 - share) / 2), round(width * (1 - share) / 2)
        middle = image[top : height - top, left : width - left]
        return cv2.resize(middle, (width, height), interpolation=cv2.INTER_CUBIC)

    return apply


#: name -> what is done; in the order of the figures. Quality, factor, standard deviation (pixels, grey levels), share.
CONDITIONS: dict[str, Condition] = {
    "jpeg 95": _codec("jpeg:95"),
    "jpeg 80": _codec("jpeg:80"),
    "jpeg 60": _codec("jpeg:60"),
    "jpeg 30": _codec("jpeg:30"),
    "webp 80": _codec("webp:80"),
    "webp 60": _codec("webp:60"),
    "resize 0.5": _resized(0.5),
    "resize 0.75": _resized(0.75),
    "resize 1.5": _resized(1.5),
    "blur 1": _blurred(1.0),
    "noise 5": _noisy(5.0),
    "crop 0.85": _cropped(0.85),
}

#: name -> draws one degradation of random strength. Strengths reach beyond those of CONDITIONS on both sides, and none
#: is one of them on purpose.
AUGMENTATIONS: dict[str, Callable[[np.random.Generator], Condition]] = {
    "jpeg": lambda generator: _codec(f"jpeg:{generator.integers(25, 99)}"),
    "webp": lambda generator: _codec(f"webp:{generator.integers(40, 96)}"),
    "resize": lambda generator: _resized(generator.uniform(0.4, 1.6)),
    "blur": lambda generator: _blurred(generator.uniform(0.2, 1.5)),
    "noise": lambda generator: _noisy(generator.uniform(1.0, 8.0)),
    "crop": lambda generator: _cropped(generator.uniform(0.75, 0.95)),
}


def apply(condition: str, images: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
    """Send pictures through one condition.

    Args: images: (B, H, W, 3) uint8 RGB. seeds: B integers, for the noise.

    Returns:
        (B, H, W, 3) uint8 RGB.

    Raises:
        ConfigError: no such condition.
    """
    if condition not in CONDITIONS:
        raise ConfigError(unknown("condition", condition, CONDITIONS))
    change = CONDITIONS[condition]
    return np.stack([change(np.ascontiguousarray(image), seed) for image, seed in zip(images, seeds, strict=True)])


def augment(
    images: np.ndarray, members: Sequence[int], names: Sequence[str], share: float, generator: np.random.Generator
) -> None:
    """Degrade some pictures of a batch, in place; pictures of one member number meet the very same degradation.

    A photograph and its fake are one member: were they saved at different qualities, the quality would tell them apart.

    Args:
        images: (B, H, W, 3) uint8 RGB. members: B numbers. names: of AUGMENTATIONS, one of which is drawn each time.
        share: of the members that are degraded, in [0, 1].
    """
    if not names or not share:
        return
    members = np.asarray(members)
    for member in np.unique(members):
        if generator.random() >= share:
            continue
        change = AUGMENTATIONS[names[generator.integers(len(names))]](generator)
        seed = int(generator.integers(2**31))
        for number in np.flatnonzero(members == member):
            images[number] = change(np.ascontiguousarray(images[number]), seed)
