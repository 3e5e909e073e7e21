"""Ten captions for a drawn bird, in the manner of people who describe photographs: varied, and never false.

Not here: captions for photographs, which are read or measured, not known.
"""

import re
from collections.abc import Callable

import numpy as np

from nbsupport.core.errors import ConfigError, unknown
from nbsupport.core.rng import generator
from nbsupport.data.synthetic.parameters import COLOURED_PARTS, BirdParameters, contrasting, pick

NUMBER_OF_CAPTIONS = 10

_WORDS = {
    "crown": ("crown", "crown", "head", "cap"),
    "throat": ("throat", "throat"),
    "back": ("back", "back", "upper back"),
    "wing": ("wings", "wings", "wing"),
    "belly": ("belly", "belly", "underside"),
    "tail": ("tail", "tail", "tail feathers"),
    "bill": ("bill", "beak", "beak"),
    "leg": ("legs", "legs", "feet"),
}
_PLURAL = {"wings", "legs", "feet", "tail feathers"}
_PLACES = {
    "sky": "against the sky",
    "foliage": "in front of green leaves",
    "grass": "in the grass",
    "water": "by the water",
    "ground": "on bare ground",
    "blossom": "among blossom",
}
# "head" would be false of a bird whose crown alone has the colour: it is said only when the back has it too.


def _article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _noun(params: BirdParameters, part: str, rng: np.random.Generator) -> str:
    noun = pick(rng, _WORDS[part])
    if noun == "head" and not params.crown == params.back == params.throat:
        noun = "crown"
    return noun


def _phrase(params: BirdParameters, part: str, rng: np.random.Generator, colour: str | None = None) -> str:
    """For example ``a red crown``, ``grey wings``, ``a short cone-shaped yellow beak``."""
    noun, tone = _noun(params, part, rng), colour or getattr(params, part)
    words = f"{params.type.bill_word} {tone} {noun}" if part == "bill" and rng.random() < 0.4 else f"{tone} {noun}"
    return words if noun in _PLURAL else _article(words)


def _marks(params: BirdParameters) -> list[str]:
    """Phrases for the patterns that the bird has."""
    found = []
    if params.wing_pattern == "bars":
        found.append(f"two {params.pattern_colour} bars on each wing")
    elif params.wing_pattern == "patch":
        found.append(f"{_article(params.pattern_colour)} patch on the wing")
    if params.belly_pattern != "plain":
        found.append(f"dark {params.belly_pattern} on its belly" if _light(params.belly) else
                     f"pale {params.belly_pattern} on its belly")  # fmt: skip
    if params.eye_feature == "ring":
        found.append("a ring around the eye")
    elif params.eye_feature == "stripe":
        found.append("a black stripe through the eye")
    elif params.eye_feature == "eyebrow":
        found.append("a stripe above the eye")
    if params.type.crest:
        found.append("a crest")
    return found


def _light(colour: str) -> bool:
    return contrasting(colour) == "black"


def _join(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " and " + phrases[-1]


def _subject(params: BirdParameters, rng: np.random.Generator) -> str:
    kind = params.type
    choices = ("this bird", "this bird", f"this {kind.size} bird", f"{_article(kind.size)} bird", "the bird",
               f"this {kind.name.lower()}", f"this {kind.size} {kind.name.lower()}")  # fmt: skip
    return pick(rng, choices)


def _is_with(params: BirdParameters, parts: list[str], extra: list[str], rng: np.random.Generator) -> str:
    phrases = [_phrase(params, part, rng) for part in parts] + extra
    return f"{_subject(params, rng)} has {_join(phrases)}."


def _is_in_colour(params: BirdParameters, parts: list[str], extra: list[str], rng: np.random.Generator) -> str:
    first, rest = parts[0], parts[1:]
    noun = _noun(params, first, rng)
    verb = "are" if noun in _PLURAL else "is"
    tail = f" and it has {_join([_phrase(params, part, rng) for part in rest] + extra)}" if rest or extra else ""
    return f"the {noun} of this bird {verb} {getattr(params, first)}{tail}."


def _size_first(params: BirdParameters, parts: list[str], extra: list[str], rng: np.random.Generator) -> str:
    phrases = [_phrase(params, part, rng) for part in parts] + extra
    return f"{_article(params.type.size)} bird with {_join(phrases)}."


def _where(params: BirdParameters, parts: list[str], extra: list[str], rng: np.random.Generator) -> str:
    place = _PLACES[params.background]
    phrases = [_phrase(params, part, rng) for part in parts] + extra
    return f"{_subject(params, rng)} {place} has {_join(phrases)}."


_FORMS: tuple[Callable[..., str], ...] = (_is_with, _is_with, _is_in_colour, _size_first, _where)


def captions(params: BirdParameters) -> list[str]:
    """Ten lower-case sentences. Each is true of the bird; together they name the colour of every part at least once."""
    rng = generator(params.seed, "captions", params.number)
    marks = _marks(params)
    queue: list[str] = []
    sentences = []
    for _ in range(NUMBER_OF_CAPTIONS):
        form = _FORMS[int(rng.integers(len(_FORMS)))]
        parts: list[str] = []
        for _ in range(int(rng.integers(2, 5 if form in (_is_with, _size_first) else 4))):  # people are brief, too
            if not queue:
                queue = [COLOURED_PARTS[i] for i in rng.permutation(len(COLOURED_PARTS))]
            following = next((part for part in queue if part not in parts), None)
            if following is None:
                break
            queue.remove(following)
            parts.append(following)
        extra = [pick(rng, marks)] if marks and len(parts) < 4 and rng.random() < 0.4 else []
        sentences.append(form(params, parts, extra, rng))
    return sentences


def caption_with(params: BirdParameters, part: str, colour: str | None = None) -> str:
    """A caption that names the colour of one part alone: the true one, or `colour` instead of it (an edited caption).

    Raises:
        ConfigError: `part` is none of COLOURED_PARTS.
    """
    if part not in COLOURED_PARTS:
        raise ConfigError(unknown("part", part, COLOURED_PARTS))
    noun = _WORDS[part][0]
    words = f"{colour or getattr(params, part)} {noun}"
    return f"this bird has {words if noun in _PLURAL else _article(words)}."


def names_colour(text: str, params: BirdParameters, part: str) -> bool:
    """Whether one of the bird's own captions says which colour `part` has."""
    colour, nouns = getattr(params, part), "|".join(sorted(set(_WORDS[part]), key=len, reverse=True))
    return bool(re.search(rf"\b{colour} (?:{nouns})\b|\bthe (?:{nouns}) of this bird (?:is|are) {colour}\b", text))
