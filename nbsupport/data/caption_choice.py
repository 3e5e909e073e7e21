"""Which caption a photograph is given: one of its own, or a mismatched one. Every room of the package asks here.

*Mismatched* means: a caption of another photograph of the same split and of another group, with a text that is none of
the photograph's own captions. Not here: what the words become (:mod:`.captions`).
"""

import numpy as np
import pandas as pd

from nbsupport.core import rng

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
