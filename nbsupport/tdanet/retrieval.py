"""R-precision: does a picture find its caption among captions of other photographs (AttnGAN, arXiv 1711.10485, 4.1)?

The same question is asked of photographs, which tells how good the matching encoders are, and of filled pictures, which
tells whether they show what their caption says (``quality.text_alignment``). Not here: training the encoders.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from nbsupport.core import rng
from nbsupport.core.errors import UserError
from nbsupport.core.tensors import to_tensor
from nbsupport.data.captions import Vocabulary
from nbsupport.data.index import Dataset
from nbsupport.tdanet import losses

if TYPE_CHECKING:
    from nbsupport.tdanet.damsm import Matcher

_BATCH = 128


def captions_of(dataset: Dataset, rows: np.ndarray, seed: int) -> tuple[np.ndarray, list[str]]:
    """Those of `rows` that have captions, and one caption of each, chosen by (seed, row)."""
    captions = dataset.index["captions"].tolist()
    held = np.array([row for row in np.asarray(rows).tolist() if len(captions[row])], np.int64)
    draws = [rng.generator(seed, "r-precision", row) for row in held.tolist()]
    own = [captions[row] for row in held.tolist()]
    return held, [texts[draw.integers(len(texts))] for texts, draw in zip(own, draws, strict=True)]


@torch.inference_mode()
def found(
    model: "Matcher",
    vocabulary: Vocabulary,
    dataset: Dataset,
    pictures: np.ndarray,
    rows: np.ndarray,
    captions: Sequence[str],
    pool: tuple[np.ndarray, Sequence[str]],
    seed: int,
    wrong: int = 99,
) -> np.ndarray:
    """For each picture, whether its caption beats `wrong` captions of other photographs by the sentence score.

    The wrong captions depend on (seed, row) alone. None is of the picture's own group, and one that reads the same,
    word for word as far as the encoder knows them, is passed over: neither could be told from the right one.

    Args:
        pictures: (B, H, W, 3) uint8 RGB. rows: (B,) of the index. captions: B texts to be found.
        pool: rows and captions from which the wrong ones come.

    Returns:
        (B,) bool.

    Raises:
        UserError: no other group has another caption.
    """
    own, texts = pool
    groups = dataset.index["group"].to_numpy()
    tokens, sentences = _sentences(model, vocabulary, [*captions, *texts])
    scores = losses.sentence_scores(_pictures(model, pictures), sentences).cpu().numpy()  # (B, B + pool)
    hits = np.zeros(len(rows), bool)
    for number, row in enumerate(np.asarray(rows).tolist()):
        allowed = np.flatnonzero(groups[own] != groups[row])
        chosen = len(captions) + rng.generator(seed, "wrong captions", row).permutation(allowed)[:wrong]
        chosen = chosen[(tokens[chosen] != tokens[number]).any(axis=1)]
        if not len(chosen):
            raise UserError(
                f"No caption of another photograph differs from that of photograph {row}, so none can be beaten. Give "
                "a split with more photographs."
            )
        hits[number] = scores[number, number] > scores[number, chosen].max()
    return hits


def fewest_wrong(dataset: Dataset, rows: np.ndarray, pool: np.ndarray, wrong: int = 99) -> int:
    """How many captions each picture has to beat at least, where groups differ in size."""
    groups = dataset.index["group"].to_numpy()
    return min([wrong, *(int((groups[pool] != groups[row]).sum()) for row in rows)])


def _pictures(model: "Matcher", images: np.ndarray) -> torch.Tensor:
    """(B, D) float, the vector of each picture."""
    home = next(model.parameters()).device
    starts = range(0, len(images), _BATCH)
    return torch.cat([model.image(to_tensor(images[start : start + _BATCH], home))[1] for start in starts])


def _sentences(model: "Matcher", vocabulary: Vocabulary, texts: Sequence[str]) -> tuple[np.ndarray, torch.Tensor]:
    """(B, L) int64, the words of each text, and (B, D) float, its sentence vector."""
    home = next(model.parameters()).device
    tokens, lengths = vocabulary.encode(texts, model.config.caption_length)
    parts = []
    for start in range(0, len(texts), _BATCH):
        part = slice(start, start + _BATCH)
        words = model.text(torch.from_numpy(tokens[part]).to(home), torch.from_numpy(lengths[part]).to(home))
        parts.append(words.sentence.float())
    return tokens, torch.cat(parts)


def r_precision(model: "Matcher", dataset: Dataset, seed: int, split: str = "test", wrong: int = 99) -> dict:
    """How often a photograph of a split finds its own caption among `wrong` others (fewer where the split is smaller).

    Returns:
        ``r_precision`` in [0, 1], ``chance``, ``photographs``, ``wrong``; r_precision is None without photographs.
    """
    rows, texts = captions_of(dataset, dataset.rows(split), seed)
    least = fewest_wrong(dataset, rows, rows, wrong) if len(rows) else 0
    if least < 1:
        return {"r_precision": None, "chance": None, "photographs": len(rows), "wrong": 0}
    images, pool = dataset.cache.batch(rows), (rows, texts)
    try:
        hits = found(model.eval(), dataset.vocabulary, dataset, images, rows, texts, pool, seed, wrong)
    except UserError:  # all say the same: there is nothing to be told apart
        return {"r_precision": None, "chance": None, "photographs": len(rows), "wrong": 0}
    return {"r_precision": float(hits.mean()), "chance": 1 / (least + 1), "photographs": len(rows), "wrong": least}
