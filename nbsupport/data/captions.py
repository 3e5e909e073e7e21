"""Words: how a caption becomes token ids, and what the vocabulary does with a word it has never seen.

A rare or unknown word becomes ``UNKNOWN``, never nothing: TDANet's released code drops it, so that "a hoatzin with a
blue crest" and "a with a blue crest" read the same. Not here: where captions come from; see the sources.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from nbsupport.core import rng
from nbsupport.core.errors import UserError
from nbsupport.core.files import read_json, write_json

# Letters and digits of any script, with inner apostrophes; a hyphen parts words ("black-and-white" is three).
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


#: A run of letters of scripts that are written without spaces: Japanese, Chinese, Thai, Lao, Burmese, Khmer.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]{8,}")


def check_spaced(texts: Sequence[str]) -> None:
    """Raise UserError where more than a fifth of the captions are of a script without spaces, as one word each."""
    joined = [text for text in texts if _UNSPACED.search(text)]
    if len(joined) * 5 > len(texts):
        raise UserError(
            f"{len(joined):,} of {len(texts):,} captions are written without spaces, e.g. '{joined[0][:40]}'. The "
            "networks read words, and would take each sentence for one unknown word. Put spaces between words first "
            "(for Chinese e.g. with jieba, for Thai with pythainlp), or use captions in English."
        )


def tokenise(text: str) -> list[str]:
    """The words of a caption, lower-case, in order, without punctuation.

    >>> tokenise("This bird's black-and-white, 3-toed.")
    ["bird's", 'black', 'and', 'white', '3', 'toed']
    """
    return [word.replace("’", "'") for word in _WORD.findall(unicodedata.normalize("NFC", text).lower())]


#: From this share of unknown words on, a reader is warned.
MANY_UNKNOWN = 0.2


class Vocabulary:
    """The words that a run knows, by id: 0 is padding, 1 any unknown word, then words from frequent to rare.

    Attributes:
        words: ``words[id]`` is the word, with ``"<pad>"`` and ``"<unk>"`` at 0 and 1.
    """

    PADDING = 0
    UNKNOWN = 1
    SPECIAL = ("<pad>", "<unk>")

    def __init__(self, words: Sequence[str]) -> None:
        words = tuple(words)
        if words[:2] != self.SPECIAL or len(set(words)) != len(words):
            raise UserError("A vocabulary begins with '<pad>', '<unk>' and holds each word once. Run chapter 1 again.")
        self.words = words

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.words == other.words

    __hash__ = None

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words) if word not in self.SPECIAL}

    @classmethod
    def build(cls, captions: Iterable[str], min_count: int = 2) -> Self:
        """Gather every word that occurs at least `min_count` times, the most frequent first, ties by spelling."""
        counts = Counter(word for caption in captions for word in tokenise(caption))
        kept = sorted((word for word, count in counts.items() if count >= min_count), key=lambda w: (-counts[w], w))
        return cls((*cls.SPECIAL, *kept))

    def encode(self, texts: Sequence[str], length: int) -> tuple[np.ndarray, np.ndarray]:
        """Turn captions into token ids.

        A caption of more than `length` words is cut; an empty one becomes a single ``UNKNOWN``, so that a recurrent
        network always has one step to take.

        Returns:
            ids: (B, length) int64, padded with 0 on the right.
            lengths: (B,) int64, between 1 and `length`.
        """
        if length < 1:
            raise UserError(f"A caption needs room for at least one word, got length={length}.")
        ids = np.zeros((len(texts), length), dtype=np.int64)
        lengths = np.ones(len(texts), dtype=np.int64)
        for row, text in enumerate(texts):
            found = [self._ids.get(word, self.UNKNOWN) for word in tokenise(text)[:length]] or [self.UNKNOWN]
            ids[row, : len(found)] = found
            lengths[row] = len(found)
        return ids, lengths

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The words of one row of ids, joined by spaces; padding is left out, unknown words show as ``<unk>``."""
        return " ".join(self.words[int(number)] for number in ids if int(number) != self.PADDING)

    def unknown_share(self, texts: Iterable[str]) -> float:
        """Which share of the words of some captions the vocabulary does not hold, in [0, 1]; 0 without words."""
        words = [word for text in texts for word in tokenise(text)]
        return sum(word not in self._ids for word in words) / max(len(words), 1)

    def unknown_words(self, text: str) -> list[str]:
        """The words of `text` that the vocabulary does not hold, in order, each as often as it occurs."""
        return [word for word in tokenise(text) if word not in self._ids]

    def knows(self, text: str) -> bool:
        """Whether a caption is empty or holds at least one word of the vocabulary."""
        words = tokenise(text)
        return not words or any(word in self._ids for word in words)

    def save(self, path: Path) -> None:
        """Write the words as JSON, atomically."""
        write_json(path, {"words": self.words})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a vocabulary that :meth:`save` wrote."""
        try:
            return cls(read_json(path)["words"])
        except (KeyError, TypeError) as error:
            raise UserError(f"'{path}' is not a vocabulary. Delete it and run chapter 1 again.") from error


_ATTEMPTS = 50


def matched(index: pd.DataFrame, rows: np.ndarray, seed: int) -> np.ndarray:
    """A caption of each photograph's own, (P,) object; "" where it has none. A function of (seed, image_id)."""
    return _pick(index["captions"].to_numpy(), rows, rng.hashes(seed, index["image_id"].to_numpy()[rows], "caption"))


def mismatched(index: pd.DataFrame, rows: np.ndarray, seed: int) -> np.ndarray:
    """A mismatched caption (see the module) for each photograph, (P,) object; "" where there is none in its split.

    Args: index: with ``image_id, split, group, captions``. rows: (P,) of the index.
    """
    rows = np.asarray(rows)
    ids, captions = index["image_id"].to_numpy(), index["captions"].to_numpy()
    split, group = index["split"].to_numpy(), index["group"].to_numpy()
    texts = np.full(len(rows), "", object)
    open_ = np.arange(len(rows))
    for attempt in range(_ATTEMPTS):  # most photographs find one at once
        if not len(open_):
            return texts
        draws = rng.hashes(seed, ids[rows[open_]], "mismatched", attempt)
        other = np.empty(len(open_), np.int64)
        for name in np.unique(split[rows[open_]].astype(str)):
            members = np.flatnonzero(split == name)
            here = split[rows[open_]] == name
            other[here] = members[draws[here] % len(members)]
        found = _pick(captions, other, draws >> 20)
        own = [set(map(str, captions[row])) for row in rows[open_]]
        says_other = np.array([bool(t) and t not in o for t, o in zip(found, own, strict=True)])
        good = (group[other] != group[rows[open_]]) & says_other
        texts[open_[good]] = found[good]
        open_ = open_[~good]
    for place in open_:  # almost nothing is allowed: look at all of it
        row = rows[place]
        others = np.flatnonzero((split == split[row]) & (group != group[row]))
        allowed = [str(text) for other in others for text in captions[other] if text and text not in captions[row]]
        if allowed:
            texts[place] = allowed[int(rng.hashes(seed, ids[[row]], "mismatched")[0] % len(allowed))]
    return texts


def _pick(captions: np.ndarray, rows: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Of each photograph the caption that its draw falls on; empty where it has none."""
    chosen = np.empty(len(rows), object)
    chosen[:] = [
        str(captions[row][draw % len(captions[row])]) if len(captions[row]) else ""
        for row, draw in zip(np.asarray(rows).tolist(), draws.tolist(), strict=True)
    ]
    return chosen
