"""How well a map of evidence points at the hole: pointing game, overlap, precision, and whether it is the seam.

Maps of every detector that has them (Grad-CAM), of the segmentation network, and of two baselines that see no picture:
``uniform`` (chance: every number of a map without any contrast) and ``centre`` (a Gaussian in the middle, since holes
are seldom in a corner). All are measured on the same fakes of the same photographs, so that differences are paired.
Densities are shares of a map's mass divided by the share of the area: 1 is chance. Ties are shared: a map with several
maxima of which half lie in the hole scores one half. Sources: pointing game, Zhang et al. 2018 (arXiv 1608.00507).
Not here: the maps themselves (``detectors.heatmaps``), figures (``plots.localization``).
"""

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score
from tqdm.auto import tqdm

from nbsupport import masks as masks_of
from nbsupport import pairs as pairs_of
from nbsupport.config import LocalizationConfig
from nbsupport.core import rng
from nbsupport.core.errors import ConfigError, UserError
from nbsupport.core.files import atomic_path
from nbsupport.detectors import heatmaps, predict, segmentation
from nbsupport.detectors.segmentation import holes_of
from nbsupport.masks import MaskSet
from nbsupport.pairs import Pairs
from nbsupport.runs import Run
from nbsupport.stats import bootstrap

TABLE = "localization.parquet"
METRICS = ("pointing", "iou", "best_iou", "ap", "inside_density", "ring_density", "inside_minus_ring")
BASELINES = ("uniform", "centre")
THRESHOLDS = np.round(np.arange(0.05, 1.0, 0.05), 2)  # of a map in [0, 1]; every map is stretched to that range


@dataclass(frozen=True)
class Localization:
    """`table`: path, image_id, group, detector, seed, arm, coverage, threshold and :data:`METRICS`; `result`: JSON."""

    table: pd.DataFrame
    result: dict


def stretched(maps: np.ndarray) -> np.ndarray:
    """Maps (N, H, W), each brought to the range 0 to 1; a map without contrast becomes ones everywhere."""
    low, high = (edge(maps, axis=(1, 2), keepdims=True) for edge in (np.min, np.max))
    flat = high - low <= 1e-12
    return np.where(flat, 1.0, (maps - low) / np.where(flat, 1.0, high - low)).astype(np.float32)


def ious(maps: np.ndarray, holes: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> np.ndarray:
    """Intersection over union of ``map >= threshold`` and the hole: (N, H, W), (N, H, W) bool -> (N, T)."""
    found = []
    for threshold in np.atleast_1d(thresholds):
        called = maps >= threshold
        found.append((called & holes).sum((1, 2)) / np.maximum((called | holes).sum((1, 2)), 1))
    return np.stack(found, axis=1)


def ring_of(hole: np.ndarray, width: int) -> np.ndarray:
    """Pixels outside a hole (H, W) bool within `width` pixels of it."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    return (cv2.dilate(hole.astype(np.uint8), disc) > 0) & ~hole


def measure(maps: np.ndarray, holes: np.ndarray, threshold: float, ring: float = 0.06) -> pd.DataFrame:
    """Every metric of every map.

    Args:
        maps: (N, H, W) float, any range. holes: (N, H, W) bool, True = hole; neither empty nor everything.
        threshold: of the stretched map, for ``iou``. ring: width of the ring as a share of the picture's side.

    Returns:
        N rows of :data:`METRICS`; ``best_iou`` is at each map's own best threshold, which nobody knows beforehand.
    """
    maps, width = stretched(np.asarray(maps)), max(1, round(ring * min(holes.shape[1:])))
    table = {"iou": ious(maps, holes, np.array([threshold]))[:, 0], "best_iou": ious(maps, holes).max(1)}
    rows = []
    for own, hole in zip(maps, holes, strict=True):
        around, mass = ring_of(hole, width), max(float(own.sum()), 1e-12)
        inside, beside = (
            float(own[where].sum()) / mass / max(where.mean(), 1e-12) if where.any() else np.nan
            for where in (hole, around)
        )
        top = own == own.max()
        precision = average_precision_score(hole.ravel(), own.ravel())
        rows.append((top[hole].sum() / top.sum(), precision, inside, beside, inside - beside))
    names = ["pointing", "ap", "inside_density", "ring_density", "inside_minus_ring"]
    return pd.DataFrame(rows, columns=names).assign(**table)[list(METRICS)]


def centre_map(height: int, width: int) -> np.ndarray:
    """(H, W) float32: a Gaussian in the middle whose deviation is a quarter of each side."""
    down, across = (((np.arange(n) + 0.5) / n - 0.5) / 0.25 for n in (height, width))
    return np.exp(-0.5 * (down[:, None] ** 2 + across[None] ** 2)).astype(np.float32)


def fakes(paired: Pairs, split: str, config: LocalizationConfig, inpainters: list[str], count: int) -> pd.DataFrame:
    """Manifest rows: of `count` photographs of a split (0: all) one fake of each arm, the same photographs in each."""
    own = paired.manifest[(paired.manifest["split"] == split) & paired.manifest["arm"].isin(config.arms)]
    own = own[own["inpainter"].isin(inpainters)] if inpainters else own
    own = own.drop_duplicates(["image_id", "arm"])
    whole = own.groupby("image_id")["arm"].nunique()
    ids = np.sort(whole.index[whole == own["arm"].nunique()])
    if count and count < len(ids):
        ids = ids[np.sort(rng.generator(config.seed, "localization", split).permutation(len(ids))[:count])]
    if not len(ids):
        raise UserError(f"The split '{split}' holds no fakes of {', '.join(config.arms)}. Make more in chapter 6.")
    return own[own["image_id"].isin(ids)]


def maps_of(
    run: Run, pictures: np.ndarray, names: list[tuple[str, int]] | None = None
) -> dict[tuple[str, int], np.ndarray]:
    """(detector, seed) -> (N, H, W) maps in [0, 1] of pictures (N, H, W, 3) uint8, of all detectors with maps."""
    found = {}
    for name, seed in tqdm(names or predict.available(run), desc="heat maps", unit="detector", leave=False):
        try:
            found[name, seed] = heatmaps.grad_cam(predict.load(run, name, seed), pictures)
        except ConfigError:  # it looks at no places
            continue
    found[segmentation.NAME, 0] = segmentation.maps(segmentation.load(run), pictures)
    found["uniform", 0] = np.ones(pictures.shape[:3], np.float32)
    found["centre", 0] = np.repeat(centre_map(*pictures.shape[1:3])[None], len(pictures), axis=0)
    return found


def alike(maps: dict[tuple[str, int], np.ndarray]) -> dict[str, float]:
    """How much a detector's maps of different pictures are one map: detector -> mean correlation between pairs of them.

    Near 1, the map says how the network is built, and nothing about the picture. Flat maps count as equal.

    Args: maps: of :func:`maps_of`; baselines and the segmentation network are left out. At least two pictures.
    """
    found = {}
    for (name, _), own in maps.items():
        if name in (*BASELINES, segmentation.NAME) or len(own) < 2 or name in found:
            continue
        flat = own.reshape(len(own), -1).astype(np.float64)
        flat = flat - flat.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(flat, axis=1)
        flat = flat / np.where(norm > 1e-9, norm, 1)[:, None]
        products = flat @ flat.T
        products[np.ix_(norm <= 1e-9, norm <= 1e-9)] = 1
        found[name] = float(products[np.triu_indices(len(own), 1)].mean())
    return found


def alike_words(found: dict[str, float], limit: float = 0.9) -> str:
    """Which detectors show nearly one map for every picture, in a sentence. Args: found: of :func:`alike`."""
    same = [f"{name} ({value:.2f})" for name, value in found.items() if value >= limit]
    if not same:
        return "No detector shows the same map for every picture."
    return (
        f"Nearly the same map for every picture (mean correlation): {', '.join(same)}. Such a map shows how the "
        "network is built, and not what it saw."
    )


def make(run: Run, config: LocalizationConfig) -> Localization:
    """The stage "localization": writes ``localization.parquet`` and ``results/localization.json``.

    Raises:
        MissingStage: the segmentation network is not trained yet. UserError: there are no fakes.
    """
    stage = run.stage("localization", config, needs=("segmentation",))
    if not stage.finished:
        with stage:
            table = measured(run, pairs_of.load(run), masks_of.load(run), config)
            with atomic_path(run / TABLE) as temporary:
                table.to_parquet(temporary, index=False)
            run.write_result("localization", summarise(table, config))
            stage.outputs(TABLE, "results/localization.json")
    return load(run)


def load(run: Run) -> Localization:
    """What :func:`make` left; raises MissingStage before chapter 10."""
    run.require("localization")
    return Localization(pd.read_parquet(run / TABLE), run.result("localization"))


def measured(run: Run, paired: Pairs, holes: MaskSet, config: LocalizationConfig) -> pd.DataFrame:
    """The table: thresholds chosen on validation fakes, metrics of the test fakes."""
    inpainters = list(run.require("detectors")["config"].get("inpainters") or ())
    sides = {}
    for split, count in (("validation", config.validation), ("test", config.count)):
        rows = fakes(paired, split, config, inpainters, count)
        hole = holes_of(rows, holes)
        kept = hole.any((1, 2)) & ~hole.all((1, 2))
        rows, hole = rows[kept], hole[kept]
        sides[split] = (rows, hole, maps_of(run, np.array(paired.cache[rows.index.to_numpy()])))
    (_, known, before), (rows, hole, after) = sides["validation"], sides["test"]
    parts = []
    for (name, seed), maps in after.items():
        by_threshold = ious(stretched(before[name, seed]), known).mean(0)
        threshold = float(THRESHOLDS[np.argmax(by_threshold)])
        facts = rows[["path", "image_id", "group", "arm", "coverage"]].reset_index(drop=True)
        facts = facts.assign(detector=name, seed=seed, threshold=threshold)
        parts.append(pd.concat([facts, measure(maps, hole, threshold, config.ring)], axis=1))
    return pd.concat(parts, ignore_index=True)


def means(values: np.ndarray, groups: np.ndarray, config: LocalizationConfig) -> list[bootstrap.Interval]:
    """Intervals of the column means of (N, K) over groups (N,); rows that are NaN anywhere are left out."""
    held = np.isfinite(values).all(1)
    if not held.any():
        return [{"value": None, "low": None, "high": None}] * values.shape[1]
    codes, count = bootstrap.codes_of(np.asarray(groups)[held])
    sums, sizes = np.zeros((count, values.shape[1])), np.bincount(codes, minlength=count)
    np.add.at(sums, codes, values[held])
    weights = bootstrap.group_weights(count, config.draws, config.seed)
    draws = (weights @ sums) / (weights @ sizes)[:, None]
    return [
        bootstrap.interval(value, column, config.confidence)
        for value, column in zip(values[held].mean(0), draws.T, strict=True)
    ]


def summarise(table: pd.DataFrame, config: LocalizationConfig) -> dict[str, object]:
    """``records``: detector, seed, arm, pictures, threshold, metric, {value, low, high}, ``over_uniform, over_centre``
    (paired differences); ``arms``: spliced minus regenerated of the same photographs, for each detector and metric."""
    records, arms, columns = [], [], list(METRICS)
    for arm, part in table.groupby("arm", sort=False):
        base = {name: part[part["detector"] == name].set_index("path")[columns] for name in BASELINES}
        for (name, seed), own in part.groupby(["detector", "seed"], sort=False):
            values = own.set_index("path")[columns]
            groups = own["group"].to_numpy()
            plain = means(values.to_numpy(), groups, config)
            over = {
                n: means((values - other.loc[values.index]).to_numpy(), groups, config) for n, other in base.items()
            }
            facts = {
                "detector": name,
                "seed": seed,
                "arm": arm,
                "pictures": len(own),
                "threshold": own["threshold"].iloc[0],
            }
            for n, metric in enumerate(columns):
                against = {f"over_{other}": over[other][n] for other in BASELINES}
                records.append({**facts, "metric": metric, **plain[n], **against})
    if {"spliced", "regenerated"} <= set(table["arm"]):
        for (name, seed), own in table.groupby(["detector", "seed"], sort=False):
            one, two = (own[own["arm"] == arm].set_index("image_id") for arm in ("spliced", "regenerated"))
            two = two.loc[one.index]
            for metric, found in zip(
                columns, means((one[columns] - two[columns]).to_numpy(), one["group"].to_numpy(), config), strict=True
            ):
                arms.append({"detector": name, "seed": seed, "metric": metric, "photographs": len(one), **found})
    return {
        "confidence": config.confidence,
        "draws": config.draws,
        "ring": config.ring,
        "records": records,
        "arms": arms,
    }
