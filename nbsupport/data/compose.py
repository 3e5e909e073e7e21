"""Captions composed from what is measured in a photograph, for sets that come with none.

The object's colours, the background's colour, the object's size and place are measured on a picture shrunk to 48 pixels
and put into several differently worded sentences, so that each says something true about *this* photograph. Colours are
named by the nearest of a short palette in CIELAB. Not here: captions that people wrote; see ``caption_files``.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from nbsupport.data.images import read_image
from nbsupport.data.records import Photo
from nbsupport.errors import UnusableImage
from nbsupport.rng import generator

#: Named colours, RGB. Several tones may bear one name, since people name by hue more than by lightness.
PALETTE: tuple[tuple[str, tuple[int, int, int]], ...] = (
    ("black", (18, 17, 17)), ("black", (40, 38, 36)), ("dark grey", (78, 78, 80)), ("grey", (128, 128, 130)),
    ("light grey", (172, 172, 175)), ("white", (212, 212, 212)), ("white", (250, 250, 250)),
    ("dark brown", (62, 42, 28)), ("brown", (108, 76, 50)), ("brown", (140, 102, 70)), ("tan", (176, 146, 112)),
    ("cream", (214, 198, 172)), ("ginger", (184, 108, 52)), ("ginger", (212, 140, 84)), ("golden", (202, 156, 84)),
    ("red", (176, 34, 34)), ("orange", (232, 126, 28)), ("yellow", (234, 208, 56)), ("dark green", (44, 62, 36)),
    ("green", (84, 124, 58)), ("green", (132, 164, 92)), ("dark blue", (36, 48, 98)), ("blue", (62, 104, 178)),
    ("light blue", (146, 186, 224)), ("purple", (112, 68, 142)), ("pink", (226, 154, 172)),
)  # fmt: skip
_NAMES = tuple(dict.fromkeys(name for name, _ in PALETTE))
_SMALL = 48
_WEIGHTS = np.float32([0.7, 1.4, 1.4])


def _lab(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 RGB to (N, 3) float32 CIELAB, weighted so that hue counts for more than light and shade do."""
    return cv2.cvtColor(rgb.reshape(1, -1, 3).astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3) * _WEIGHTS


_TONES = _lab(np.array([tone for _, tone in PALETTE], np.uint8))
_NAME_OF_TONE = np.array([_NAMES.index(name) for name, _ in PALETTE])


@dataclass(frozen=True)
class Measured:
    """What was measured in one photograph. Colours are ordered by share, the largest first."""

    colours: tuple[tuple[str, float], ...]  # of the object, or of the whole picture when it is not known
    background: str | None  # the colour of most of what is around the object; None when no colour prevails
    size: float | None  # the object's share of the picture's area
    place: str | None  # left, right, middle


def name_colours(pixels: np.ndarray) -> tuple[tuple[str, float], ...]:
    """Names and shares of the colours of `pixels`, (N, 3) uint8 RGB, the most frequent first; () for no pixels."""
    if len(pixels) == 0:
        return ()
    # The nearest tone: |x - t|^2 without |x|^2, which is the same for all tones.
    distance = (_TONES**2).sum(1) - 2 * _lab(pixels) @ _TONES.T
    share = np.bincount(_NAME_OF_TONE[distance.argmin(1)], minlength=len(_NAMES)) / len(pixels)
    return tuple((_NAMES[i], float(share[i])) for i in np.argsort(-share, kind="stable") if share[i] > 0)


def measure(image: np.ndarray, object_mask: np.ndarray | None) -> Measured:
    """Measure a photograph.

    Args:
        image: (H, W, 3) uint8 RGB. object_mask: (H, W) bool, True = object, or None when it is not known.
    """
    small = cv2.resize(image, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA)
    if object_mask is None or not object_mask.any() or object_mask.all():
        return Measured(name_colours(small.reshape(-1, 3)), None, None, None)
    cover = cv2.resize(object_mask.astype(np.float32), (_SMALL, _SMALL), interpolation=cv2.INTER_AREA)
    inside, outside = cover > 0.99, cover < 0.01  # pixels of the rim belong to neither
    inside = inside if inside.sum() >= 20 else cover > 0.5
    around = name_colours(small[outside])
    x = float((cover.sum(0) * np.arange(_SMALL)).sum() / cover.sum() / (_SMALL - 1))
    place = "left" if x < 0.40 else "right" if x > 0.60 else "middle"
    background = around[0][0] if around and around[0][1] >= 0.35 else None
    return Measured(name_colours(small[inside]), background, float(cover.mean()), place)


def _article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def coat(measured: Measured) -> str:
    """The one or two colours that make up the object: ``black and white``. A second one needs a fifth of the area."""
    names = [name for name, share in measured.colours[:2] if share >= 0.2] or [measured.colours[0][0]]
    return " and ".join(names)


def sentences(measured: Measured, subject: str, kind: str, covering: str, seed: int, image_id: str) -> tuple[str, ...]:
    """Five to seven lower-case sentences about one photograph, a pure function of the arguments.

    Args:
        subject: what it is, e.g. ``siamese cat``. kind: the same more widely, e.g. ``cat``. covering: what the colours
            are the colours of, e.g. ``fur``; ignored when the object is not known.
    """
    rng = generator(seed, "composed captions", image_id)

    def pick(*choices: str) -> str:
        return str(rng.choice(choices))

    colours = coat(measured)
    if measured.size is None:  # nothing is known but the picture as a whole
        first = measured.colours[0][0]
        found = [
            f"{pick('a photograph', 'a picture')} of {_article(subject)} in {colours}.",
            f"{_article(subject)}, {pick('mostly', 'largely')} {first} all over the picture.",
            f"{pick('this', 'the')} picture of {_article(subject)} is {pick('mostly', 'for the most part')} {first}.",
            f"{colours} {pick('prevail', 'are the main tones')} in this picture of {_article(subject)}."
            if " and " in colours
            else f"{colours} prevails in this picture of {_article(subject)}.",
            f"{_article(subject)} seen in {pick('tones', 'shades')} of {colours}.",
        ]
        return tuple(found[i] for i in rng.permutation(len(found)))
    found = [
        f"{_article(colours)} {subject}.",
        f"{pick('this', 'the')} {kind} has {colours} {covering}.",
        f"{_article(subject)} with {colours} {covering}{_against(measured, pick)}.",
        f"{pick('a photograph', 'a picture')} of {_article(colours)} {kind}{_against(measured, pick)}.",
        f"{_article(kind)} {_where(measured)}, its {covering} {colours}.",
    ]
    if measured.background:
        found.append(f"the background behind {pick('this', 'the')} {subject} is mostly {measured.background}.")
    if measured.size > 0.45:
        found.append(f"{_article(colours)} {kind} that fills {pick('much', 'a large part')} of the picture.")
    elif measured.size < 0.15:
        found.append(f"a small view of {_article(colours)} {kind}, {pick('with much', 'much of it')} background.")
    return tuple(found[i] for i in rng.permutation(len(found)))


def _against(measured: Measured, pick: Callable[..., str]) -> str:
    if measured.background is None:
        return ""
    return f" {pick('against', 'in front of')} {_article(measured.background)} background"


def _where(measured: Measured) -> str:
    return "in the middle of the picture" if measured.place == "middle" else f"on the {measured.place} of the picture"


def complete(
    root: Path,
    photos: Sequence[Photo],
    read_object_mask: Callable[[Path, str], np.ndarray],
    words: Callable[[Photo], tuple[str, str, str]],
    seed: int = 0,
) -> list[Photo]:
    """Give captions to those of `photos` that have none.

    Args:
        read_object_mask: of the photographs' source. words: photo -> (subject, kind, covering), see `sentences`.

    Returns:
        The photographs in their order. One that cannot be read keeps no measured caption but its name, so that the
        index rejects it for what is wrong with the file.
    """
    wanting = [number for number, photo in enumerate(photos) if not photo.captions]
    result = list(photos)

    def compose(number: int) -> Photo:
        photo = photos[number]
        subject, kind, covering = words(photo)
        try:
            image = read_image(Path(root) / photo.path)
        except UnusableImage:
            return replace(photo, captions=(f"{_article(subject)}.",))
        mask = None
        if photo.object_mask is not None:
            try:
                mask = read_object_mask(Path(root), photo.object_mask)
                mask = mask if mask.shape == image.shape[:2] else None
            except (UnusableImage, OSError, ValueError):
                mask = None
        found = sentences(measure(image, mask), subject, kind, covering, seed, photo.image_id)
        return replace(photo, captions=found)

    with ThreadPoolExecutor() as pool:  # decoding and colour conversion work outside Python's lock
        described = pool.map(compose, wanting)
        for number, photo in zip(wanting, tqdm(described, total=len(wanting), desc="composing captions"), strict=True):
            result[number] = photo
    return result
