"""Captions composed from what is measured in a photograph, for sets that come with none.

The object's colours, the background's colour, the object's size and place are measured on a picture shrunk to 48 pixels
and put into several differently worded sentences, so that each says something true about *this* photograph. Colours are
named by the nearest of a short palette in CIELAB. Not here: captions that people wrote; see ``caption_files``.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from nbsupport.core.rng import generator

#: Named colours, RGB. Several tones may bear one name, since people name by hue more than by lightness.
PALETTE: tuple[tuple[str, tuple[int, int, int]], ...] = (
    ("black", (12, 12, 12)), ("black", (30, 29, 30)), ("dark grey", (64, 64, 67)), ("dark grey", (92, 92, 95)),
    ("grey", (132, 132, 135)), ("light grey", (170, 170, 173)), ("white", (208, 207, 206)), ("white", (228, 222, 214)),
    ("white", (250, 250, 250)), ("dark brown", (50, 34, 26)), ("dark brown", (74, 54, 42)), ("brown", (104, 74, 52)),
    ("brown", (126, 98, 80)), ("brown", (140, 102, 70)), ("tan", (164, 136, 112)), ("tan", (182, 152, 116)),
    ("cream", (206, 186, 160)), ("cream", (226, 208, 180)), ("ginger", (150, 84, 42)), ("ginger", (184, 108, 52)),
    ("ginger", (212, 140, 84)), ("golden", (202, 156, 84)), ("red", (150, 28, 30)), ("red", (190, 40, 40)),
    ("orange", (232, 126, 28)), ("yellow", (234, 208, 56)), ("dark green", (44, 62, 36)), ("green", (84, 124, 58)),
    ("green", (132, 164, 92)), ("dark blue", (36, 48, 98)), ("blue", (62, 104, 178)), ("blue", (92, 122, 160)),
    ("blue", (0, 0, 255)), ("dark blue", (0, 0, 128)), ("blue", (40, 60, 220)),
    ("light blue", (146, 186, 224)), ("purple", (112, 68, 142)),
    ("purple", (220, 0, 220)), ("pink", (226, 154, 172)), ("pink", (206, 160, 152)),
)  # fmt: skip
_NAMES = tuple(dict.fromkeys(name for name, _ in PALETTE))
_SMALL = 64  # pixels; more do not change what is measured
_WEIGHTS = np.float32([0.7, 1.4, 1.4])  # lightness, and the two axes of hue
#: What light and shade make of a colour: the second name beside the first is no second colour of the object.
_SHADING = {("black", "dark grey"), ("dark brown", "black"), ("brown", "black"), ("white", "light grey")} | {
    ("white", "cream"), ("cream", "white"), ("light grey", "white"), ("cream", "light grey"), ("tan", "cream"),
    ("golden", "ginger"), ("ginger", "golden"), ("ginger", "brown"), ("tan", "brown"), ("golden", "tan"),
}  # fmt: skip
_MOST = 0.5  # the share from which on a colour is said to be the colour of something


def _lab(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 RGB to (N, 3) float32 CIELAB, weighted so that hue counts for more than light and shade do."""
    return cv2.cvtColor(rgb.reshape(1, -1, 3).astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3) * _WEIGHTS


@functools.cache
def _table() -> np.ndarray:
    """Colour, 5 bits a channel -> number of the nearest name's; (32768,) uint8."""
    step = np.arange(32) * 8 + 4
    cells = _lab(np.stack(np.meshgrid(step, step, step, indexing="ij"), -1).astype(np.uint8))
    tones = _lab(np.array([tone for _, tone in PALETTE], np.uint8))
    nearest = np.stack([((cells - tone) ** 2).sum(-1) for tone in tones]).argmin(0)
    return np.array([_NAMES.index(name) for name, _ in PALETTE], np.uint8)[nearest]


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
    red, green, blue = (pixels.astype(np.uint16) >> 3).T
    share = np.bincount(_table()[red << 10 | green << 5 | blue], minlength=len(_NAMES)) / len(pixels)
    return tuple((_NAMES[i], float(share[i])) for i in np.argsort(-share, kind="stable") if share[i] > 0)


def measure(image: np.ndarray, object_mask: np.ndarray | None) -> Measured:
    """Measure a photograph.

    Args:
        image: (H, W, 3) uint8 RGB. object_mask: (H, W) bool, True = object, or None when it is not known.
    """
    small = _exposed(_shrink(image))
    if object_mask is None or not object_mask.any() or object_mask.all():
        return Measured(name_colours(small.reshape(-1, 3)), None, None, None)
    cover = _shrink(object_mask.astype(np.float32))
    width = cover.shape[1]
    core = cv2.erode((cover > 0.99).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    inside = core if core.sum() >= 20 else cover >= 0.5 * cover.max()  # the rim has something of both in it
    x = float((cover.sum(0) * (np.arange(width) + 0.5)).sum() / cover.sum() / width)
    place = "left" if x < 0.40 else "right" if x > 0.60 else "middle"
    background = _prevailing(name_colours(small[cover < 0.01]))
    return Measured(name_colours(small[inside]), background, float(cover.mean()), place)


def _shrink(picture: np.ndarray) -> np.ndarray:
    height, width = (min(side, _SMALL) for side in picture.shape[:2])
    if picture.shape[:2] == (height, width):
        return picture
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def _exposed(picture: np.ndarray) -> np.ndarray:
    """A picture that has no light in it made up to 1.4 times brighter, so that white is called white and not grey."""
    gain = min(245 / max(float(np.quantile(picture.max(-1), 0.98)), 1.0), 1.4)
    return picture if gain <= 1 else np.minimum(picture * np.float32(gain), 255).astype(np.uint8)


def _family(name: str) -> str:
    return name.removeprefix("dark ").removeprefix("light ")


def _prevailing(colours: tuple[tuple[str, float], ...]) -> str | None:
    """The colour of more than half; of a dark and a light tone together, their common name."""
    if colours and colours[0][1] >= _MOST:
        return colours[0][0]
    families: dict[str, float] = {}
    for name, share in colours:
        families[_family(name)] = families.get(_family(name), 0.0) + share
    best = max(families, key=families.__getitem__, default=None)
    return best if best and families[best] >= _MOST else None


def _article(words: str) -> str:
    """`words` with ``a`` or ``an`` before it; as it is where it looks like a plural or a name."""
    if words.endswith("s") and not words.endswith(("ss", "us", "is", "as")):
        return words
    vowel = words.startswith(("a", "e", "i", "o", "u", "hour")) and not words.startswith(("uni", "use", "eu", "one"))
    return ("an " if vowel else "a ") + words


def coat(measured: Measured) -> str:
    """What to call the colours of the object: ``black and white``, or ``mixed brown and grey`` where none is large."""
    shares = dict(measured.colours)
    families: dict[str, list[str]] = {}  # plain name -> its tones, the largest first
    for name in shares:
        families.setdefault(_family(name), []).append(name)
    total = {family: sum(shares[tone] for tone in tones) for family, tones in families.items()}

    first = measured.colours[0][0]
    white, light, grey = (shares.get(name, 0.0) for name in ("white", "light grey", "grey"))
    if white >= 0.2 and light >= 0.7 * min(white, grey) and white + light + grey + shares.get("cream", 0.0) >= 0.55:
        first, share = "white", white + light + grey  # without a gap: white in the shade
        dark = shares.get("dark grey", 0.0)
        families["grey"], total["grey"] = ["dark grey"], dark if dark >= 0.22 else 0.0
    else:
        share = total[_family(first)]
    others = sorted((family for family in total if family != _family(first)), key=total.__getitem__, reverse=True)
    seconds = [families[name][0] for name in others if total[name] > 0 and (first, families[name][0]) not in _SHADING]
    second = seconds[0] if seconds else None
    if share >= 0.4 and (second is None or total[_family(second)] < 0.17):
        second = None
    if first != "white" and (shares[first] < 0.5 * share or shares[first] < 0.3 <= share):
        first = _family(first)  # several tones of one colour: its plain name
    if second is None or second == first:
        return first
    return f"{first} and {second}" if share >= 0.4 else f"mixed {first} and {second}"


def sentences(
    measured: Measured, subject: str, kind: str, covering: str | None, seed: int, image_id: str
) -> tuple[str, ...]:
    """Five to seven lower-case sentences about one photograph, a pure function of the arguments.

    Args:
        subject: what it is, e.g. ``siamese cat``. kind: the same more widely, e.g. ``cat``. covering: what the colours
            are the colours of, e.g. ``fur``; None: of the thing itself.
    """
    rng = generator(seed, "composed captions", image_id)

    def pick(*choices: str) -> str:
        return choices[rng.integers(len(choices))]

    if measured.size is None:
        found = _of_the_picture(measured, subject, pick)
    else:
        found = _of_the_object(measured, subject, kind, covering, pick)
    return tuple(found[i] for i in rng.permutation(len(found)))


def _of_the_object(
    measured: Measured, subject: str, kind: str, covering: str | None, pick: Callable[..., str]
) -> list[str]:
    colours = coat(measured)
    against = ""
    if measured.background:
        against = f" {pick('against', 'in front of')} {_article(measured.background + ' background')}"
    where = "in the middle" if measured.place == "middle" else f"on the {measured.place}"
    found = [
        f"{_article(f'{colours} {subject}')}.",
        f"this {kind} has {colours} {covering}." if covering else f"{_article(subject)} in {colours}.",
        f"{_article(subject)} with {colours} {covering}{against}." if covering
        else f"{_article(subject)}, {pick('mostly', 'largely')} {colours}{against}.",
        f"{pick('a photograph', 'a picture')} of {_article(f'{colours} {kind}')}{against}.",
        f"{_article(kind)} {where} of the picture, {f'its {covering}' if covering else 'coloured'} {colours}.",
    ]  # fmt: skip
    if measured.background:
        found.append(f"the background behind the {subject} is mostly {measured.background}.")
    if measured.size > 0.45:
        found.append(f"{_article(f'{colours} {kind}')} {pick('filling', 'taking up')} much of the picture.")
    elif measured.size < 0.15:
        found.append(f"a small view of {_article(f'{colours} {kind}')}, {pick('with much', 'much of it')} background.")
    return found


def _of_the_picture(measured: Measured, subject: str, pick: Callable[..., str]) -> list[str]:
    """Where the object is not known, colours are said of the picture and nothing of the object but its name."""
    thing, most, colours = _article(subject), measured.colours[0][0], coat(measured).removeprefix("mixed ")
    return [
        f"a picture in {pick('tones', 'shades')} of {colours} {pick('that shows', 'with')} {thing}.",
        f"{thing} in a picture with much {most}.",
        f"the {pick('main', 'most frequent')} colour of this picture of {thing} is {most}.",
        f"a scene in {colours}, with {thing} in it.",
        f"{colours} {pick('all around', 'in many places')}: a view of {thing}.",
    ]
