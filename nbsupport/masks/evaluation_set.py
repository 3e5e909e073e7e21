"""The fixed evaluation set: one hole of each kind for each photograph, drawn once and kept with its coverage.

Everything later (pairs, detectors, errors) reads its holes from here, so that two inpainters or two captions are
compared over the very same holes. Kept packed, eight pixels a byte.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from nbsupport.config import MaskConfig
from nbsupport.core import rng
from nbsupport.core.errors import ConfigError, UserError, unknown
from nbsupport.core.files import atomic_path
from nbsupport.data import index
from nbsupport.masks.drawing import draw, drawable, tolerance
from nbsupport.runs import Run


@dataclass(frozen=True)
class MaskSet:
    """The masks of a run.

    Attributes:
        table: one row for each mask: ``mask_id, row`` (of the index and cache)``, image_id, kind, coverage`` (reached,
            a fraction of the area)``, part`` (its name, empty for other kinds)``, fallback`` (True where the photograph
            cannot have the kind and has rectangles)``, seed``.
        packed: (masks, ceil(H * W / 8)) uint8, the masks in the order of the table, packed by ``numpy.packbits``.
        shape: (H, W) of every mask.
    """

    table: pd.DataFrame
    packed: np.ndarray
    shape: tuple[int, int]

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds held, in the order of the configuration."""
        return tuple(self.table["kind"].drop_duplicates())

    @cached_property
    def _numbers(self) -> dict[tuple[int, str], int]:
        return {key: n for n, key in enumerate(zip(self.table["row"], self.table["kind"], strict=True))}

    @cached_property
    def _rows(self) -> dict[str, int]:
        return dict(zip(self.table["image_id"], self.table["row"], strict=True))

    def get(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Masks by their row numbers in ``table``: (B, H, W) bool, True = hole."""
        numbers = np.asarray(numbers, dtype=np.int64)
        area = self.shape[0] * self.shape[1]
        return np.unpackbits(self.packed[numbers], axis=1, count=area).view(bool).reshape(-1, *self.shape)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return dict(zip(self.table["mask_id"], range(len(self)), strict=True))

    def by_id(self, mask_ids: Iterable[str]) -> np.ndarray:
        """Masks by their ``mask_id``: (B, H, W) bool, True = hole."""
        return self.get([self._ids[mask_id] for mask_id in mask_ids])

    def numbers(self, rows: Sequence[int] | np.ndarray, kind: str) -> np.ndarray:
        """Row numbers in ``table`` of the masks of one kind for photographs given by index row, (B,) int64."""
        if kind not in self.kinds:
            raise ConfigError(unknown("mask kind", kind, self.kinds))
        try:
            return np.array([self._numbers[int(row), kind] for row in rows], dtype=np.int64)
        except KeyError as error:
            raise ConfigError(f"There is no mask for row {error.args[0][0]} of the index.") from None

    def for_rows(self, rows: Sequence[int] | np.ndarray, kind: str) -> np.ndarray:
        """Masks of one kind for photographs given by index row: (B, H, W) bool, True = hole."""
        return self.get(self.numbers(rows, kind))

    def of(self, image_id: str, kind: str) -> np.ndarray:
        """The mask of one kind of one photograph: (H, W) bool, True = hole."""
        if image_id not in self._rows:
            raise ConfigError(f"There is no mask for the photograph '{image_id}'.")
        return self.for_rows([self._rows[image_id]], kind)[0]


def make(run: Run, config: MaskConfig) -> MaskSet:
    """Draw the fixed set for all photographs of the index, or load it (stage ``masks``).

    Writes ``masks.npy``, ``masks.parquet`` and ``results/masks.json`` (coverage histogram, fallbacks and rate by kind).
    Part and object kinds become rectangles where a photograph lacks them; ``fallback`` says so.

    Raises:
        MissingStage: chapter 1 has not run.
        ConfigError: the lowest coverage is above the highest, or a kind is named twice.
    """
    if config.coverage_low > config.coverage_high:
        raise ConfigError(f"coverage_low ({config.coverage_low}) is above coverage_high ({config.coverage_high}).")
    if not config.kinds or len(set(config.kinds)) < len(config.kinds):
        raise ConfigError(f"MaskConfig.kinds must name at least one kind and none twice, got {config.kinds!r}.")
    stage = run.stage("masks", config, needs=("index",))
    if (run / "masks.npy").exists() and stage.finished:  # older versions kept them in another file
        return load(run)
    with stage:
        start = time.perf_counter()
        masks = _draw_all(index.load(run), config)
        seconds = time.perf_counter() - start
        with atomic_path(run / "masks.npy") as path:
            np.save(path, masks.packed)
        with atomic_path(run / "masks.parquet") as path:
            masks.table.to_parquet(path, index=False)
        run.write_result("masks", {**summary(masks, config), "masks_per_second": len(masks) / max(seconds, 1e-9)})
        stage.outputs("masks.npy", "masks.parquet", "results/masks.json")
        stage.note(fallbacks=int(masks.table["fallback"].sum()), shape=masks.shape)
    return masks


def load(run: Run) -> MaskSet:
    """Load the masks of a run; raises :class:`MissingStage` when chapter 2 has not run."""
    record = run.require("masks")
    if not (run / "masks.npy").exists():
        raise UserError(f"'{run / 'masks.npy'}' is missing. Run chapter 2 again: it draws the very same holes.")
    shape = tuple(record["notes"]["shape"])
    packed = np.load(run / "masks.npy", mmap_mode="r", allow_pickle=False)  # read from the disk as needed
    return MaskSet(pd.read_parquet(run / "masks.parquet"), packed, shape)


def _draw_all(dataset: "index.Dataset", config: MaskConfig) -> MaskSet:
    cache = dataset.cache
    shape = tuple(cache.images.shape[1:3])
    ids = dataset.index["image_id"].tolist()
    parts = {row: table for row, table in cache.parts.groupby("row")}
    coverage = (config.coverage_low, config.coverage_high)
    records, packed = [], np.empty((len(ids) * len(config.kinds), (shape[0] * shape[1] + 7) // 8), np.uint8)
    for row, image_id in enumerate(tqdm(ids, desc="masks", unit="photo")):
        target = cache.objects[row] if cache.has_object[row] else None
        name, point = _choose_part(parts.get(row), config.seed, image_id)
        for kind in config.kinds:
            hole = draw(
                kind, shape, seed=config.seed, image_id=image_id, coverage=coverage, object_mask=target, part_xy=point
            )
            packed[len(records)] = np.packbits(hole)
            records.append(
                {
                    "mask_id": f"{image_id}__{kind}",
                    "row": row,
                    "image_id": image_id,
                    "kind": kind,
                    "coverage": float(hole.mean()),
                    "part": name if kind == "part" else "",
                    "fallback": not drawable(kind, target, point),
                    "seed": config.seed,
                }
            )
    return MaskSet(pd.DataFrame.from_records(records), packed, shape)


def _choose_part(parts: pd.DataFrame | None, seed: int, image_id: str) -> tuple[str, tuple[float, float] | None]:
    """One visible part of a photograph, chosen by (seed, image_id): its name and its point in cache pixels."""
    if parts is None or parts.empty:
        return "", None
    part = parts.sort_values("part").iloc[int(rng.generator(seed, image_id, "part").integers(len(parts)))]
    return str(part["part"]), (float(part["x"]), float(part["y"]))


def summary(masks: MaskSet, config: MaskConfig) -> dict[str, object]:
    """Coverage wanted and reached, its histogram, and the fallbacks, for each kind; plain JSON values."""
    edges = np.linspace(0, max(0.4, config.coverage_high + 0.05), 21)
    kinds = {}
    for kind, table in masks.table.groupby("kind", sort=False):
        reached = table["coverage"].to_numpy()
        kinds[kind] = {
            "masks": len(table),
            "coverage_min": reached.min(),
            "coverage_mean": reached.mean(),
            "coverage_max": reached.max(),
            "fallback_share": table["fallback"].mean(),
            "histogram": np.histogram(reached, edges)[0],
        }
    return {
        "masks": len(masks),
        "size": masks.shape,
        "coverage_low": config.coverage_low,
        "coverage_high": config.coverage_high,
        "tolerance": tolerance(*masks.shape),
        "histogram_edges": edges,
        "kinds": kinds,
    }


def coverage_reading(found: Mapping) -> str:
    """How far holes step out of the interval of coverage that was asked for, in a sentence.

    Args: found: of :func:`summary`; coverages are shares of the picture's area, in [0, 1].
    """
    kinds = pd.DataFrame(found["kinds"]).T
    low, high = kinds["coverage_min"].min(), kinds["coverage_max"].max()
    spill = max(found["coverage_low"] - low, high - found["coverage_high"])
    return (
        f"The largest step out of the interval is {max(0, spill):.4f} of the area; rectangles grow by whole edges, so "
        f"up to {found['tolerance']:.4f} is allowed at {found['size'][0]} x {found['size'][1]} pixels."
    )


def hidden_parts(masks: MaskSet, parts: pd.DataFrame) -> pd.DataFrame:
    """Which share of the visible parts lies inside the hole, for each part and kind of mask.

    Args:
        masks: the set.
        parts: ``ImageCache.parts`` (row, part, x, y in pixels of the cache, which is the masks' size).

    Returns:
        Shares in [0, 1]; one row for each part, one column for each kind; empty when no parts are known.
    """
    columns = {}
    x = np.clip(np.round(parts["x"].to_numpy(float)).astype(int), 0, masks.shape[1] - 1)
    y = np.clip(np.round(parts["y"].to_numpy(float)).astype(int), 0, masks.shape[0] - 1)
    bit = y * masks.shape[1] + x
    for kind in masks.kinds:
        numbers = masks.numbers(parts["row"].to_numpy(), kind)
        hidden = masks.packed[numbers, bit // 8] >> (7 - bit % 8) & 1
        columns[kind] = pd.Series(hidden, dtype=float).groupby(parts["part"].to_numpy()).mean()
    return pd.DataFrame(columns)


def hidden_reading(shares: pd.DataFrame) -> str:
    """Which part each kind of hole hides most and least, in Markdown. Args: shares: of :func:`hidden_parts`."""
    lines = []
    for kind in shares:
        most, least = shares[kind].idxmax(), shares[kind].idxmin()
        ends = [f"{part} ({shares.loc[part, kind]:.0%})" for part in (most, least)]
        lines.append(f"- `{kind}`: most often {ends[0]}, least {ends[1]}.")
    return "\n".join(lines)
