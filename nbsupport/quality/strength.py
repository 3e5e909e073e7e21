"""What it is worth, and what it costs, to exaggerate the caption (``tdanet.TDANetInpainter.caption_strength``).

A network that hedges moves its fill a little in the direction that the caption asks for. Going on in that direction
shows whether it had understood. The error of ordinary fills with true captions says what is paid for it.
Not here: one strength by itself (``attributes``, ``comparison``).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from tqdm.auto import tqdm

from nbsupport.core import rng
from nbsupport.data.index import Dataset
from nbsupport.data.synthetic import BirdParameters
from nbsupport.inpainters import base
from nbsupport.quality.attributes import attribute_accuracy, attribute_summary
from nbsupport.quality.comparison import centre_holes, pick_captions
from nbsupport.quality.intervals import mean_interval
from nbsupport.quality.pixels import hole_l1


def strengths(
    dataset: Dataset,
    painter: base.Inpainter,
    rows: np.ndarray,
    chosen: Sequence[float],
    birds: Mapping[str, BirdParameters] | None = None,
    seed: int = 0,
) -> list[dict]:
    """Fill the same holes with each strength of the caption.

    Args:
        painter: a (checked) :class:`~nbsupport.inpainters.tdanet.TDANetInpainter`; its strength is set back at the end.
        rows: of the index. chosen: strengths, 1 is the network as it is.
        birds: of synthetic photographs (``regions.birds_of``); without them no colours are read.

    Returns:
        for each strength ``strength``, ``hole_l1``: {value, low, high} on centre holes with true captions, and with
        `birds` ``accuracy``: ``true`` and ``edited`` -> {value, low, high}, and ``chance``.
    """
    inner = painter.inner if isinstance(painter, base.Checked) else painter
    before, records = inner.caption_strength, []
    rows = np.asarray(rows)
    images, groups = dataset.cache.batch(rows), dataset.index["group"].to_numpy()[rows]
    holes = centre_holes(len(rows), images.shape[1:3])
    captions, _ = pick_captions(dataset, rows, seed)
    seeds = [rng.torch_seed(seed, "fill", int(row)) for row in rows]
    try:
        for strength in tqdm(chosen, desc="strengths", unit="strength", leave=False):
            inner.caption_strength = float(strength)
            parts = [slice(start, start + 32) for start in range(0, len(rows), 32)]
            fills = [painter.fill(images[p], holes[p], captions[p], seeds=seeds[p]) for p in parts]
            errors = hole_l1(images, np.concatenate(fills), holes)
            record = {"strength": float(strength), "hole_l1": mean_interval(errors, groups, seed)}
            if birds:
                table = attribute_accuracy(dataset, birds, painter, rows, seed, kinds=("true", "edited"))
                found = attribute_summary(table, seed)
                record |= {"accuracy": found["accuracy"], "chance": found["chance"]["uniform"]}
            records.append(record)
    finally:
        inner.caption_strength = before
    return records
