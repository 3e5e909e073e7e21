"""Backgrounds: a gradient, noise that falls off with frequency as in nature, and things out of focus.

Not here: what stands in front of it (``anatomy``), and how the two are joined (``drawing``).
"""

import cv2
import numpy as np

from nbsupport.data.synthetic.parameters import BirdParameters


def noise(rng: np.random.Generator, size: int, slope: float = 1.0, stretch: tuple[int, int] = (1, 1)) -> np.ndarray:
    """(S, S) float32 noise, mean about 0 and deviation about 1, whose amplitude falls as 1/f**slope by octaves.

    `stretch` is how many times finer it is across and down: (5, 1) gives blades of grass, (1, 5) ripples.
    """
    total, weight = np.zeros((size, size), np.float32), 0.0
    cells = 3
    while cells < size:
        shape = (max(2, cells * stretch[1]), max(2, cells * stretch[0]))
        layer = rng.standard_normal(shape, dtype=np.float32)
        amplitude = cells**-slope
        layer *= np.float32(amplitude)
        total += cv2.resize(layer, (size, size), interpolation=cv2.INTER_CUBIC)
        weight += amplitude**2
        cells *= 2
    return total / np.float32(np.sqrt(weight))


# Top and bottom colour, colour of the noise's crests, how strong it is, stretch (across, down). Two lights for each.
_GROUNDS = {
    "sky": (
        ((118, 166, 222), (206, 224, 240), (246, 248, 250), 0.34, (1, 1)),
        ((150, 160, 176), (222, 214, 208), (240, 238, 236), 0.30, (1, 1)),
    ),
    "foliage": (
        ((52, 88, 46), (78, 112, 56), (150, 178, 92), 0.30, (1, 1)),
        ((104, 132, 66), (66, 96, 52), (198, 206, 130), 0.32, (1, 1)),
    ),
    "grass": (
        ((112, 146, 66), (76, 112, 44), (182, 192, 104), 0.36, (5, 1)),
        ((158, 156, 92), (112, 118, 62), (206, 196, 130), 0.36, (5, 1)),
    ),
    "water": (
        ((92, 128, 148), (62, 98, 124), (178, 204, 212), 0.34, (1, 5)),
        ((128, 152, 156), (88, 118, 120), (214, 220, 212), 0.32, (1, 5)),
    ),
    "ground": (
        ((166, 142, 110), (124, 100, 74), (204, 184, 150), 0.38, (1, 1)),
        ((150, 146, 138), (112, 106, 98), (196, 192, 182), 0.36, (1, 1)),
    ),
    "blossom": (
        ((86, 118, 70), (120, 140, 84), (232, 208, 212), 0.32, (1, 1)),
        ((110, 132, 104), (88, 112, 78), (238, 226, 214), 0.36, (1, 1)),
    ),
}
_DISCS = {"foliage": (5, 14), "blossom": (9, 20)}  # how many, from and below


def background(params: BirdParameters, size: int, rng: np.random.Generator) -> np.ndarray:
    """(S, S, 3) float32, about 0 to 255."""
    top, bottom, crest, strength, stretch = _GROUNDS[params.background][int(rng.integers(2))]
    height = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    picture = np.float32(top) * (1 - height) + np.float32(bottom) * height
    amount = np.clip(strength * noise(rng, size, 0.9, stretch), -0.75, 0.9)[..., None]
    picture = picture + amount * (np.float32(crest) - picture)
    if params.background in _DISCS:
        _add_discs(picture, np.float32(crest), int(rng.integers(*_DISCS[params.background])), rng)
    return picture * np.float32(rng.uniform(0.86, 1.1)) + rng.normal(0, 7, 3).astype(np.float32)


def _add_discs(picture: np.ndarray, tone: np.ndarray, count: int, rng: np.random.Generator) -> None:
    """Lights and petals out of focus, painted into `picture`."""
    size = len(picture)
    layer = picture.copy()
    for _ in range(count):
        centre, radius = rng.integers(0, size, 2).tolist(), int(size * rng.uniform(0.03, 0.09)) + 1
        cv2.circle(layer, centre, radius, (tone * rng.uniform(0.75, 1.05)).tolist(), -1, cv2.LINE_AA)
    cv2.GaussianBlur(layer, (0, 0), size / 60, dst=layer)
    picture += 0.55 * (layer - picture)


def cast_shadow(picture: np.ndarray, x: float, y: float, width: float) -> None:
    """Darken `picture` (S, S, 3) softly around a point: what stands on the ground without a shadow hovers."""
    size = len(picture)
    across = ((np.arange(size, dtype=np.float32) - np.float32(x)) / np.float32(width)) ** 2
    down = ((np.arange(size, dtype=np.float32) - np.float32(y)) / np.float32(0.22 * width)) ** 2
    picture *= 1 - np.float32(0.45) * np.exp(-across[None, :] - down[:, None])[..., None]
