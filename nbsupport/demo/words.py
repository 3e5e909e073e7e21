"""Captions in the demo: suggestions, words that a network does not know, and how much it attends to each word."""

import copy
import re
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch

from nbsupport.data.captions import tokenise
from nbsupport.data.synthetic import COLOURS
from nbsupport.demo.samples import Samples, fits
from nbsupport.inpainters import base, classical, registry
from nbsupport.inpainters.base import Checked, Inpainter
from nbsupport.inpainters.tdanet import TDANetInpainter
from nbsupport.runs import Run
from nbsupport.tdanet import weights

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


def network(inpainter: Inpainter) -> TDANetInpainter | None:
    """The TDANet behind an inpainter, None for any other."""
    inner: Any = inpainter.inner if isinstance(inpainter, Checked) else inpainter
    return inner if isinstance(inner, TDANetInpainter) else None


def unread(inpainter: Inpainter, caption: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words that an inpainter's network does not know, and those after the last that it reads; both may be empty."""
    inner: Any = inpainter.inner if isinstance(inpainter, Checked) else inpainter
    if not hasattr(inner, "vocabulary"):
        return (), ()
    words, length = tokenise(caption), inner.caption_length
    read = " ".join(words[:length])
    return tuple(dict.fromkeys(inner.vocabulary.unknown_words(read))), tuple(words[length:])


def attention(inpainter: Inpainter, image: np.ndarray, hole: np.ndarray, caption: str) -> pd.DataFrame | None:
    """How much TDANet attends to each word of a caption; None for an inpainter that is none.

    Args: image (S, S, 3) uint8 and hole (S, S) bool at the network's size.

    Returns:
        index: the words, unknown ones with "?"; columns ``visible part`` (what it already explains), ``inpainting
        path`` (what is left to paint) and ``auxiliary path`` (what the removed part explains); each sums to 1.
    """
    inner = network(inpainter)
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


class Inpainters:
    """Inpainters by name.

    Args: run: whose TDANet to use; None: what comes with the package. samples: the pictures that will be painted on.
    """

    def __init__(self, run: Run | None, samples: Samples) -> None:
        self.run, self.samples = run, samples
        self._loaded: dict[str, base.Inpainter] = {}
        self._lock = threading.RLock()  # a thread of the page loads what the first fill needs

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of those that can be used now: TDANet of the run, of the package (fitting first), the rest."""
        own = ("tdanet",) if self.run and self.run.record("tdanet") else ()
        held = sorted(weights.names(), key=lambda name: not fits(self.samples, weights.describe(name)))
        return (*own, *(f"tdanet:{name}" for name in held), *classical.CLASSICAL)

    @property
    def missing(self) -> str:
        """What the run does not hold and which command makes it; empty if its TDANet is there, or no run was asked."""
        if self.run is None or "tdanet" in self.names:
            return ""
        return f"This run has no trained TDANet. Train it with: {self.run.command_up_to('tdanet')}"

    def describe(self, name: str) -> str:
        """Who an inpainter is, in a few words."""
        if name == "tdanet":
            return f"TDANet of the run {self.run.name}" if self.run else "TDANet of a run"
        prefix, _, source = name.partition(":")
        if prefix == "tdanet":
            about = weights.describe(source)
            size = f"{self.samples.dataset} at {self.samples.size} px"
            other = "" if fits(self.samples, about) else f"; not made for {size}"
            return f"TDANet {source} of the package, trained on {about['dataset']}{other}"
        return f"{name}, a classical method that reads no caption"

    def get(self, name: str) -> base.Inpainter:
        """The inpainter of that name, loaded once; raises UserError if there is none or it cannot be loaded."""
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = registry.create(name, self.run)
            return self._loaded[name]

    def size(self, name: str) -> int:
        """The side in pixels that it paints at: the network's, or that of the samples."""
        found = network(self.get(name))
        return found.model.config.image_size if found else self.samples.size
