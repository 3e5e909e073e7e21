"""The same holes filled by several methods, and by one method with the right caption, a wrong one and none.

Every method gets the same photographs, the same holes in their middle, and its output as bytes; a method that reads
captions also starts from the same noise for each of them, so that the caption alone makes the difference.
:func:`compare` measures the error in the hole and is cheap enough for the training loop, :func:`evaluate` measures
everything. Not here: the measures (:mod:`.pixels`, :mod:`.perceptual`), and what to make of the tables
(:mod:`.intervals`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from nbsupport import masks
from nbsupport.core import rng
from nbsupport.core.errors import ConfigError, unknown
from nbsupport.data import captions
from nbsupport.data.index import Dataset
from nbsupport.data.synthetic import BirdParameters
from nbsupport.inpainters import base, classical, registry
from nbsupport.quality.attributes import attribute_accuracy, attribute_summary
from nbsupport.quality.perceptual import Perceptual
from nbsupport.quality.pixels import hole_l1, measures
from nbsupport.stats.bootstrap import mean_interval

#: The hole that inpainting numbers are given for: a quarter of the picture, in its middle.
CENTRE_COVERAGE = 0.25
#: What :func:`compare` sets the network beside by default: fast ones.
BASELINES = ("mean_colour", "telea")
#: What :func:`evaluate` sets it beside by default.
ALL_BASELINES = classical.CLASSICAL
#: Which caption a network is given: the photograph's own, another photograph's, or "".
KINDS = ("matched", "mismatched", "empty")
#: The caption kind of a method that reads none.
NO_CAPTION = "none"


def centre_holes(count: int, size: tuple[int, int]) -> np.ndarray:
    """`count` equal holes in the middle of the picture: (count, H, W) bool, True = hole, a quarter of the area."""
    hole = masks.draw("centre", size, seed=0, image_id="", coverage=(CENTRE_COVERAGE, CENTRE_COVERAGE))
    return np.repeat(hole[None], count, axis=0)


def judged_rows(dataset: Dataset, count: int, seed: int) -> np.ndarray:
    """The photographs of the test split that chapters 4 and 5 judge: `count` rows of the index, drawn (0: all)."""
    return rng.generator(seed, "judged").permutation(dataset.rows("test"))[: count or None]


def pick_captions(dataset: Dataset, rows: np.ndarray, seed: int) -> tuple[list[str], list[str]]:
    """A caption of each photograph's own, and in the same order a mismatched one (``data.captions``).

    Returns: matched and mismatched captions, as many as `rows`; "" where there is none.
    """
    rows = np.asarray(rows, np.int64)
    return tuple(choose(dataset.index, rows, seed).tolist() for choose in (captions.matched, captions.mismatched))


@dataclass(frozen=True)
class Fill:
    """A batch of photographs filled by one method.

    Attributes:
        rows: (B,) int64 of the index. method: its name. caption_kind: one of :data:`KINDS`, or ``none``.
        originals, outputs: (B, H, W, 3) uint8; `originals` is one object for all fills of a batch.
        holes: (B, H, W) bool, True = hole.
    """

    rows: np.ndarray
    method: str
    caption_kind: str
    originals: np.ndarray
    outputs: np.ndarray
    holes: np.ndarray


def fills(
    dataset: Dataset,
    methods: Mapping[str, base.Inpainter],
    rows: np.ndarray,
    seed: int = 0,
    captions: Sequence[str] = KINDS,
    baselines: Sequence[str] = ALL_BASELINES,
    splice: bool = True,
    batch_size: int = 32,
) -> Iterator[Fill]:
    """Fill the centre of photographs by each method, batch by batch, with a progress bar.

    Args:
        dataset, rows: which photographs.
        methods: name in the table -> inpainter. One that reads captions fills once for each kind, others once.
        seed: of the choice of captions and of the noise.
        captions: some of :data:`KINDS`.
        baselines: names for :func:`nbsupport.inpainters.registry.create`, filled beside `methods`.
        splice: put the fill into the untouched photograph, as a user sees it; False: the network's whole output.
        batch_size: photographs at a time.

    Raises:
        ConfigError: an unknown kind of caption.
    """
    for kind in captions:
        if kind not in KINDS:
            raise ConfigError(unknown("kind of caption", kind, KINDS))
    rows = np.asarray(rows)
    matched, mismatched = pick_captions(dataset, rows, seed)
    texts = {"matched": matched, "mismatched": mismatched, "empty": [""] * len(rows), NO_CAPTION: [""] * len(rows)}
    inpainters = {name: registry.create(name) for name in baselines} | {
        name: base.checked(inpainter) for name, inpainter in methods.items()
    }
    plan = [
        (name, kind)
        for name, inpainter in inpainters.items()
        for kind in (captions if base.reads_captions(inpainter) else (NO_CAPTION,))
    ]
    with tqdm(total=len(rows) * len(plan), desc="judging", unit="fill", leave=False) as bar:
        for start in range(0, len(rows), batch_size):
            part = slice(start, start + batch_size)
            images = np.asarray(dataset.cache.batch(rows[part]))
            holes = centre_holes(len(images), images.shape[1:3])
            seeds = [rng.torch_seed(seed, "fill", int(row)) for row in rows[part]]  # the same noise for every caption
            for name, kind in plan:
                output = inpainters[name].fill(images, holes, texts[kind][part], seeds=seeds)
                output = base.splice(images, output, holes) if splice else output
                yield Fill(rows[part], name, kind, images, output, holes)
                bar.update(len(images))


def compare(
    dataset: Dataset,
    model_inpainter: base.Inpainter,
    rows: np.ndarray,
    seed: int = 0,
    baselines: Sequence[str] = BASELINES,
    batch_size: int = 32,
) -> pd.DataFrame:
    """Fill the centre of photographs by the network (right and wrong caption) and by the baselines.

    Returns:
        one row for each photograph: ``row, group`` and in-hole L1 by ``tdanet, tdanet_mismatched`` and each baseline.
    """
    rows = np.asarray(rows)
    table: dict[str, list] = {"row": rows, "group": dataset.index["group"].to_numpy()[rows]}
    errors: dict[str, list] = {"tdanet": [], "tdanet_mismatched": []} | {name: [] for name in baselines}
    methods = {"tdanet": model_inpainter}
    for fill in fills(dataset, methods, rows, seed, KINDS[:2], baselines, splice=False, batch_size=batch_size):
        name = "tdanet_mismatched" if fill.caption_kind == "mismatched" else fill.method
        errors[name].extend(hole_l1(fill.originals, fill.outputs, fill.holes))
    if not errors["tdanet_mismatched"]:  # it reads no captions: a wrong one changes nothing
        errors["tdanet_mismatched"] = errors["tdanet"]
    return pd.DataFrame(table | errors)


def evaluate(
    dataset: Dataset,
    methods: Mapping[str, base.Inpainter],
    rows: np.ndarray,
    seed: int = 0,
    captions: Sequence[str] = KINDS,
    baselines: Sequence[str] = ALL_BASELINES,
    splice: bool = True,
    perceptual: Perceptual | None = None,
    batch_size: int = 32,
) -> pd.DataFrame:
    """Fill the centre of photographs by every method and take every measure of every fill.

    Args:
        dataset, methods, rows, seed, captions, baselines, splice, batch_size: as :func:`fills`. The error and the PSNR
            in the hole do not depend on `splice`; SSIM in the hole does, by its windows at the edge.
        perceptual: also take this distance, of the whole (spliced) pictures.

    Returns:
        a long table, one row for each photograph, method and caption kind: ``row, group, method, caption_kind``, the
        measures of :data:`~.pixels.MEASURES`, and the perceptual distance in a column of its own name.
    """
    groups = dataset.index["group"].to_numpy()
    parts = []
    for fill in fills(dataset, methods, rows, seed, captions, baselines, splice, batch_size):
        values = measures(fill.originals, fill.outputs, fill.holes)
        if perceptual is not None:
            values[perceptual.name] = perceptual(fill.originals, fill.outputs)
        names = {"row": fill.rows, "group": groups[fill.rows], "method": fill.method, "caption_kind": fill.caption_kind}
        parts.append(pd.DataFrame(names | values))
    if not parts:
        return pd.DataFrame(columns=["row", "group", "method", "caption_kind"])
    return pd.concat(parts, ignore_index=True)


def strengths(
    dataset: Dataset,
    inpainter: base.Inpainter,
    rows: np.ndarray,
    chosen: Sequence[float],
    birds: Mapping[str, BirdParameters] | None = None,
    seed: int = 0,
) -> list[dict]:
    """Fill the same holes with each strength of the caption.

    Args:
        inpainter: a (checked) :class:`~nbsupport.inpainters.tdanet.TDANetInpainter`; its strength is set back after.
        rows: of the index. chosen: strengths, 1 is the network as it is.
        birds: of synthetic photographs (``regions.birds_of``); without them no colours are read.

    Returns:
        for each strength ``strength``, ``hole_l1``: {value, low, high} on centre holes with true captions, and with
        `birds` ``accuracy``: ``true`` and ``edited`` -> {value, low, high}, and ``chance``.
    """
    inner: Any = inpainter.inner if isinstance(inpainter, base.Checked) else inpainter
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
            fills = [inpainter.fill(images[p], holes[p], captions[p], seeds=seeds[p]) for p in parts]
            errors = hole_l1(images, np.concatenate(fills), holes)
            record = {"strength": float(strength), "hole_l1": mean_interval(errors, groups, seed)}
            if birds:
                table = attribute_accuracy(dataset, birds, inpainter, rows, seed, kinds=("true", "edited"))
                found = attribute_summary(table, seed)
                record |= {"accuracy": found["accuracy"], "chance": found["chance"]["uniform"]}
            records.append(record)
    finally:
        inner.caption_strength = before
    return records


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
    rows, checked = np.asarray(rows), base.checked(inpainter)
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
            output = checked.fill(images, holes, captions[part], seeds=seeds)
            drawn.append(base.splice(images, output, holes))
        columns["hole_l1"].append(np.mean([hole_l1(drawn[a], drawn[b], holes) for a, b in pairs], axis=0))
        if perceptual:
            columns[perceptual.name].append(np.mean([perceptual(drawn[a], drawn[b]) for a, b in pairs], axis=0))
    names = {"row": rows, "group": dataset.index["group"].to_numpy()[rows]}
    return pd.DataFrame(names | {name: np.concatenate(parts) for name, parts in columns.items()})
