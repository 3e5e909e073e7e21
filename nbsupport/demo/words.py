"""Captions in the demo: suggestions, words that a network does not know, and how much it attends to each word."""

import copy
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from nbsupport.data.captions import tokenise
from nbsupport.data.synthetic import COLOURS
from nbsupport.inpainters.base import Checked, Inpainter
from nbsupport.inpainters.tdanet import TDANetInpainter

_EDITS = 4  # suggestions with another colour


def colour_edits(caption: str, colours: Sequence[str] = tuple(COLOURS), count: int = _EDITS) -> list[str]:
    """The caption with one of its colours replaced by another: at most `count` of them, spread over its colours.

    "a" and "an" follow the new colour.

    >>> colour_edits("a red bird.", ("red", "blue", "green"))
    ['a blue bird.', 'a green bird.']
    """
    places = [match for match in re.finditer(r"\w+", caption) if match[0].lower() in colours]
    found: list[str] = []
    for step in range(1, len(colours)):
        for place in places:
            other = colours[(list(colours).index(place[0].lower()) + step) % len(colours)]
            article = "an" if other[0] in "aeiou" else "a"
            before = re.sub(r"\b([Aa])n?(\s+)$", lambda m, a=article: m[1] + a[1:] + m[2], caption[: place.start()])
            found.append(before + other + caption[place.end() :])
            if len(found) == count:
                return found
    return found


def suggestions(captions: Sequence[str], own: int = 4) -> list[tuple[str, str]]:
    """What a reader may write, (label, caption): the picture's own captions, then the first in other colours."""
    listed = [("its own", text) for text in dict.fromkeys(captions) if text.strip()][:own]
    first = next((text for _, text in listed if colour_edits(text)), "")
    listed += [("another colour", text) for text in colour_edits(first)]
    return [*listed, ("no caption", "")]


def network(painter: Inpainter) -> TDANetInpainter | None:
    """The TDANet behind an inpainter, None for any other."""
    inner = painter.inner if isinstance(painter, Checked) else painter
    return inner if isinstance(inner, TDANetInpainter) else None


def unread(painter: Inpainter, caption: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words that a painter's network does not know, and those after the last that it reads; both may be empty."""
    inner = painter.inner if isinstance(painter, Checked) else painter
    if not hasattr(inner, "vocabulary"):
        return (), ()
    words, length = tokenise(caption), inner.caption_length
    read = " ".join(words[:length])
    return tuple(dict.fromkeys(inner.vocabulary.unknown_words(read))), tuple(words[length:])


def attention(painter: Inpainter, image: np.ndarray, hole: np.ndarray, caption: str) -> pd.DataFrame | None:
    """How much TDANet attends to each word of a caption; None for a painter that is none.

    Args: image (S, S, 3) uint8 and hole (S, S) bool at the network's size.

    Returns:
        index: the words, unknown ones with "?"; columns ``visible part`` (what it already explains), ``inpainting
        path`` (what is left to paint) and ``auxiliary path`` (what the removed part explains); each sums to 1.
    """
    inner = network(painter)
    if inner is None:
        return None
    from nbsupport.core.tensors import to_tensor
    from nbsupport.tdanet import walkthrough

    length = inner.caption_length
    tokens, lengths = inner.vocabulary.encode([caption], length)
    unknown = set(inner.vocabulary.unknown_words(caption))
    words = [f"{word}?" if word in unknown else word for word in tokenise(caption)][:length]
    example = walkthrough.Example(
        to_tensor(image[None]),
        torch.from_numpy(np.asarray(hole, bool))[None, None],
        torch.from_numpy(tokens),
        torch.from_numpy(lengths),
        caption,
        tuple(words) or ("(no words)",),
    )
    model = inner.model if inner.device.device.type == "cpu" else copy.deepcopy(inner.model).cpu()
    return walkthrough.kept_words(model, example)
