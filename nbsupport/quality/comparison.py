"""How good a filled hole is: error inside the hole, against baselines, and with the right or a wrong caption.

Errors are mean absolute differences on the scale from -1 to 1 (0: equal, 2: black for white), over all colour channels
of the hole. Every method gets the same photographs, the same holes and its output as bytes. Intervals come from a
bootstrap over groups, since photographs of one group are not independent.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from nbsupport import inpainters, masks, rng
from nbsupport.data.index import Dataset

#: The hole that inpainting numbers are given for: a quarter of the picture, in its middle.
CENTRE_COVERAGE = 0.25
BASELINES = ("mean_colour", "telea")


def hole_l1(originals: np.ndarray, outputs: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """Error inside the hole, of each photograph.

    Args:
        originals, outputs: (B, H, W, 3) uint8. holes: (B, H, W) bool, True = hole.

    Returns:
        (B,) float in [0, 2]; NaN where a hole is empty.
    """
    error = np.abs(originals.astype(np.float32) - outputs.astype(np.float32)).mean(axis=-1) / 127.5
    size = holes.sum(axis=(1, 2))
    return np.where(size > 0, (error * holes).sum(axis=(1, 2)) / np.maximum(size, 1), np.nan)


def centre_holes(count: int, size: tuple[int, int]) -> np.ndarray:
    """`count` equal holes in the middle of the picture: (count, H, W) bool, True = hole, a quarter of the area."""
    hole = masks.draw("centre", size, seed=0, image_id="", coverage=(CENTRE_COVERAGE, CENTRE_COVERAGE))
    return np.repeat(hole[None], count, axis=0)


def mean_interval(
    values: np.ndarray, groups: Sequence, seed: int, draws: int = 2000, confidence: float = 0.95
) -> dict[str, float]:
    """The mean of `values` with a percentile interval from a bootstrap that draws whole groups.

    Args: values (n,) float; groups: n labels, equal for what is not independent. Returns value, low, high.
    """
    _, number = np.unique(np.asarray(groups), return_inverse=True)
    sums, counts = np.bincount(number, values), np.bincount(number)
    draw = rng.generator(seed, "mean_interval")
    weights = draw.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=draws)
    low, high = np.quantile((weights @ sums) / (weights @ counts), [0.5 - confidence / 2, 0.5 + confidence / 2])
    return {"value": float(np.mean(values)), "low": float(low), "high": float(high)}


def pick_captions(dataset: Dataset, rows: np.ndarray, seed: int) -> tuple[list[str], list[str]]:
    """A caption of each photograph, and in the same order a caption of another one (of another group if there is one).

    Returns: matched and mismatched captions, as many as `rows`; a photograph without captions gives "".
    """
    captions, groups = dataset.index["captions"].tolist(), dataset.index["group"].to_numpy()
    everyone = np.unique(rows)

    def one_of(row: int, draw: np.random.Generator) -> str:
        return captions[row][draw.integers(len(captions[row]))] if len(captions[row]) else ""

    matched, mismatched = [], []
    for row in rows:
        draw = rng.generator(seed, "captions", int(row))
        matched.append(one_of(row, draw))
        others = everyone[groups[everyone] != groups[row]]
        mismatched.append(one_of(draw.choice(others), draw) if len(others) else "")
    return matched, mismatched


def compare(
    dataset: Dataset,
    model_inpainter: inpainters.Inpainter,
    rows: np.ndarray,
    seed: int = 0,
    baselines: Sequence[str] = BASELINES,
    batch_size: int = 32,
) -> pd.DataFrame:
    """Fill the centre of photographs by the network (right and wrong caption) and by the baselines.

    Returns:
        one row for each photograph: ``row, group`` and in-hole L1 by ``tdanet, tdanet_mismatched`` and each baseline.
    """
    matched, mismatched = pick_captions(dataset, rows, seed)
    others = {name: inpainters.create(name) for name in baselines}
    table: dict[str, list] = {"row": rows, "group": dataset.index["group"].to_numpy()[rows]}
    for start in tqdm(range(0, len(rows), batch_size), desc="judging", unit="batch", leave=False):
        part = slice(start, start + batch_size)
        images = dataset.cache.batch(rows[part])
        holes = centre_holes(len(images), images.shape[1:3])
        seeds = [rng.torch_seed(seed, "fill", int(row)) for row in rows[part]]  # the same noise for both captions
        filled = {
            "tdanet": model_inpainter.fill(images, holes, matched[part], seeds=seeds),
            "tdanet_mismatched": model_inpainter.fill(images, holes, mismatched[part], seeds=seeds),
        }
        filled |= {name: method.fill(images, holes, matched[part], seeds=seeds) for name, method in others.items()}
        for name, output in filled.items():
            table.setdefault(name, []).extend(hole_l1(images, output, holes))
    return pd.DataFrame(table)


def summary(table: pd.DataFrame, seed: int = 0) -> dict:
    """Means with intervals of :func:`compare`'s table, and what the right caption is worth.

    Returns:
        ``photographs``; ``hole_l1``: method -> value, low, high; ``caption_effect``: L1 with a mismatched caption minus
        L1 with the matched one (above 0: the caption helps); ``against``: baseline -> its L1 minus TDANet's (above 0:
        TDANet is better).
    """
    methods = [name for name in table.columns if name not in ("row", "group")]
    groups = table["group"].to_numpy()

    def interval(values: pd.Series) -> dict[str, float]:
        return mean_interval(values.to_numpy(), groups, seed)

    return {
        "photographs": len(table),
        "hole_l1": {name: interval(table[name]) for name in methods},
        "caption_effect": interval(table["tdanet_mismatched"] - table["tdanet"]),
        "against": {n: interval(table[n] - table["tdanet"]) for n in methods if not n.startswith("tdanet")},
    }
