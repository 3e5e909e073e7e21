"""What is known of the pictures that detectors judge, and detection for each part of them.

Facts come from the paired set, the masks and the index: kind, size and place of the hole, the part it covers, species,
inpainter. A real row carries the hole of its fakes, so that a stratum holds both classes. Not here: which pictures are
judged wrongly (``evaluation.error_analysis``).
"""

import numpy as np
import pandas as pd

from nbsupport import masks, pairs
from nbsupport.config import EvaluationConfig
from nbsupport.pairs.planning import REAL
from nbsupport.stats import metrics

#: Upper ends of the bins of coverage (share of the picture's area) and their names.
COVERAGE_ENDS = (0.05, 0.10, 0.30, 1.0)
COVERAGE_BINS = ("under 5 %", "5 to 10 %", "10 to 30 %", "over 30 %")
POSITIONS = ("middle", "top", "bottom", "left", "right")

#: By what pictures are split: name in the results -> column of the facts.
SPLIT_BY = {
    "kind": "mask_kind",
    "coverage": "coverage_bin",
    "position": "position",
    "part": "part",
    "species": "species",
    "inpainter": "inpainter",
}


def facts(paired: pairs.Pairs, holes: masks.MaskSet, photographs: pd.DataFrame) -> pd.DataFrame:
    """One row for each picture of the manifest, in its order.

    Args: photographs: the index, of which ``image_id`` and ``label`` (the species) are read.

    Returns:
        ``path, mask_kind`` (rectangles where the photograph could not have the kind asked for)``, mask_id, coverage,
        coverage_bin, position`` (of :data:`POSITIONS`)``, part`` (missing for holes of other kinds)``, caption,
        species, inpainter`` and ``number`` (the row).
    """
    manifest = paired.manifest
    found = manifest[["path", "mask_kind", "mask_id", "coverage", "caption", "inpainter"]]
    found = found.assign(number=np.arange(len(found)))
    found["species"] = manifest["image_id"].map(photographs.set_index("image_id")["label"])
    own = holes.table.set_index("mask_id")
    found["mask_kind"] = found["mask_kind"].where(~found["mask_id"].map(own["fallback"]).eq(True), "rectangles")
    part = found["mask_id"].map(own["part"])
    found["part"] = part.where(part.fillna("") != "")
    found["coverage_bin"] = coverage_bin(found["coverage"])
    places = pd.Series(position(holes.get(np.arange(len(own)))), index=own.index)
    found["position"] = found["mask_id"].map(places)
    return found


def coverage_bin(coverage: pd.Series) -> pd.Series:
    """Name of the bin of each coverage in [0, 1]; a coverage on a border belongs to the bin above it."""
    numbers = np.searchsorted(COVERAGE_ENDS[:-1], coverage.to_numpy(), side="right")
    return pd.Series(np.array(COVERAGE_BINS, dtype=object)[numbers], index=coverage.index)


def position(holes: np.ndarray) -> np.ndarray:
    """Where each hole lies: (B, H, W) bool -> (B,) names of :data:`POSITIONS`.

    Middle: its centre of mass is within a sixth of the picture's side of the picture's centre, both ways; else the side
    towards which it lies farther out. An empty hole is in the middle.
    """
    height, width = holes.shape[1:]
    area = np.maximum(holes.sum(axis=(1, 2)), 1)
    down = (holes.sum(axis=2) @ (np.arange(height) + 0.5)) / area / height - 0.5
    across = (holes.sum(axis=1) @ (np.arange(width) + 0.5)) / area / width - 0.5
    down, across = (np.where(holes.any(axis=(1, 2)), offset, 0.0).round(9) for offset in (down, across))  # ties stay
    vertical, horizontal = np.where(down < 0, "top", "bottom"), np.where(across < 0, "left", "right")
    outer = np.where(np.abs(down) >= np.abs(across), vertical, horizontal)
    return np.where(np.maximum(np.abs(down), np.abs(across)) < 1 / 6, "middle", outer).astype(object)


def order(category: object) -> tuple[int, str]:
    """Key to sort categories: bins of coverage from small to large, positions from the middle, the rest by name."""
    name = str(category)
    for known in (COVERAGE_BINS, POSITIONS):
        if name in known:
            return known.index(name), name
    return 0, name


def auroc_by(
    table: pd.DataFrame, found: pd.DataFrame, by: str, config: EvaluationConfig, least: int = 10
) -> list[dict]:
    """AUROC of every detector and fake arm within each category, on the test split.

    Args:
        table: the score table. found: of :func:`facts`. by: a name of :data:`SPLIT_BY`; ``inpainter`` splits the fakes
            and keeps all photographs. least: categories with fewer fakes are left out.

    Returns:
        records ``detector, seed, arm, by, category, pictures, groups, auroc`` ({value, low, high}).
    """
    joined = table[table["split"] == "test"].merge(found[["path", SPLIT_BY[by]]], on="path", validate="many_to_one")
    records = []
    for (detector, seed), own in joined.groupby(["detector", "seed"], sort=False):
        real, fake = own[own["label"] == 0], own[own["label"] == 1]
        for (arm, category), part in fake.groupby(["arm", SPLIT_BY[by]], sort=False):
            partners = real[real["arm"] == REAL[arm]]
            partners = partners if by == "inpainter" else partners[partners[SPLIT_BY[by]] == category]
            if len(part) < least or not len(partners):
                continue
            rows = pd.concat([partners, part])
            value = metrics.summary(rows, config.draws, config.seed, config.confidence)["auroc"]
            facts_of = {"detector": detector, "seed": seed, "arm": arm, "by": by, "category": category}
            records.append({**facts_of, "pictures": len(rows), "groups": rows["group"].nunique(), "auroc": value})
    return sorted(records, key=lambda record: order(record["category"]))
