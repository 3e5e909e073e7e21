"""How much the fills of one hole differ when only the noise does.

A network that ignores its latent paints the same thing every time: its diversity is 0, whatever its error. The number
is the mean over all pairs of samples of one photograph, with one caption and one hole, so it is free of the photograph.
High is not better by itself: noise would score highest. It is read beside the error. Source: the "diversity score" of
PICNet (Zheng et al. 2019), which takes LPIPS between pairs. Not here: errors (:mod:`.comparison`).
"""

from itertools import combinations

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from nbsupport.core import rng
from nbsupport.core.errors import ConfigError
from nbsupport.data.index import Dataset
from nbsupport.inpainters import base
from nbsupport.quality.comparison import centre_holes, pick_captions
from nbsupport.quality.perceptual import Perceptual
from nbsupport.quality.pixels import hole_l1


def sample_diversity(
    dataset: Dataset,
    inpainter: base.Inpainter,
    rows: np.ndarray,
    seed: int = 0,
    samples: int = 5,
    perceptual: Perceptual | None = None,
    batch_size: int = 32,
) -> pd.DataFrame:
    """Fill the centre of each photograph several times with its own caption and compare the fills with each other.

    Args:
        dataset, rows: which photographs. inpainter: any. seed: of the captions and of the noise.
        samples: fills of each photograph, at least 2; the cost grows with their number, that of comparing with its
            square. batch_size: photographs at a time.
        perceptual: also take this distance, of the spliced pictures.

    Returns:
        one row for each photograph: ``row, group``, ``hole_l1`` in [0, 2], and the perceptual distance in a column of
        its own name: means over the pairs of samples. :func:`~.intervals.mean_interval` makes an interval of a column.

    Raises:
        ConfigError: fewer than two samples.
    """
    if samples < 2:
        raise ConfigError(f"Diversity compares samples with each other: samples must be at least 2, got {samples}.")
    rows, painter = np.asarray(rows), base.checked(inpainter)
    captions, _ = pick_captions(dataset, rows, seed)
    pairs = list(combinations(range(samples), 2))
    columns: dict[str, list[np.ndarray]] = {"hole_l1": []} | ({perceptual.name: []} if perceptual else {})
    for start in tqdm(range(0, len(rows), batch_size), desc="sampling", unit="batch", leave=False):
        part = slice(start, start + batch_size)
        images = np.asarray(dataset.cache.batch(rows[part]))
        holes = centre_holes(len(images), images.shape[1:3])
        drawn = []
        for sample in range(samples):
            seeds = [rng.torch_seed(seed, "diversity", sample, int(row)) for row in rows[part]]
            output = painter.fill(images, holes, captions[part], seeds=seeds)
            drawn.append(base.splice(images, output, holes))
        columns["hole_l1"].append(np.mean([hole_l1(drawn[a], drawn[b], holes) for a, b in pairs], axis=0))
        if perceptual:
            columns[perceptual.name].append(np.mean([perceptual(drawn[a], drawn[b]) for a, b in pairs], axis=0))
    names = {"row": rows, "group": dataset.index["group"].to_numpy()[rows]}
    return pd.DataFrame(names | {name: np.concatenate(parts) for name, parts in columns.items()})
