"""Which photograph gets which hole, caption and seed: decided for the whole set before the first pixel is painted.

Every choice is a function of ``(seed, image_id)``, so that a larger set contains the smaller one, and a set that was
interrupted goes on with the same choices.
"""

import numpy as np
import pandas as pd

from nbsupport import rng
from nbsupport.config import PairsConfig
from nbsupport.errors import ConfigError, unknown
from nbsupport.inpainters import NAMES
from nbsupport.pairs.files import SUFFIX

#: arm -> label. ``original`` is the photograph itself, the others come from one call of the inpainter.
ARMS: dict[str, str] = {"original": "real", "regenerated": "fake", "spliced": "fake"}

#: Columns of ``pairs/manifest.parquet``.
COLUMNS: tuple[str, ...] = (
    "image_id",
    "group",
    "split",
    "label",  # real | fake
    "arm",
    "inpainter",  # empty for real ones
    "mask_kind",  # of the pair: a real row carries the mask of its fake partners
    "coverage",
    "caption",
    "caption_kind",  # matched | empty
    "seed",  # of the fill: inpainter.fill(image, mask, caption, seeds=[seed]) gives the picture again
    "path",  # relative to the run folder
    "sha256",
    "row",  # of index and cache
    "mask_id",
)


def check(config: PairsConfig) -> None:
    """Raise :class:`ConfigError` for unknown, repeated or missing arms and inpainters."""
    for what, values, valid in (("arm", config.arms, ARMS), ("inpainter", config.inpainters, NAMES)):
        for value in values:
            if value not in valid:
                raise ConfigError(unknown(what, value, valid))
        if not values or len(set(values)) < len(values):
            raise ConfigError(f"PairsConfig needs at least one {what} and none twice, got {values!r}.")
    if not config.kinds:
        raise ConfigError("PairsConfig.kinds must name at least one kind of mask.")
    if {ARMS[arm] for arm in config.arms} != {"real", "fake"}:
        raise ConfigError(f"PairsConfig.arms must hold real and fake ones, got {config.arms!r}.")


def choose_photographs(index: pd.DataFrame, count: int, seed: int) -> np.ndarray:
    """Rows of the photographs to use, ascending: `count` of them (0: all), every split in proportion.

    Splits are by group already, so leaving photographs out cannot part a group. A larger `count` keeps the smaller
    one's photographs (but for rounding at the splits' edges).
    """
    if count <= 0 or count >= len(index):
        return np.arange(len(index))
    order = np.array([rng.torch_seed(seed, image_id, "use") for image_id in index["image_id"]])
    rows = []
    for _, members in pd.Series(np.arange(len(index))).groupby(index["split"].to_numpy()):
        share = max(1, round(count * len(members) / len(index)))
        rows.append(members.to_numpy()[np.argsort(order[members], kind="stable")[:share]])
    return np.sort(np.concatenate(rows))


def plan(index: pd.DataFrame, masks: pd.DataFrame, config: PairsConfig) -> pd.DataFrame:
    """One row for each photograph and inpainter: its hole, its caption, its seed.

    Args:
        index: ``image_id, group, split, captions``, row order of the cache.
        masks: ``MaskSet.table`` (``mask_id, row, kind, coverage``), one row for each photograph and kind.
        config: see :class:`~nbsupport.config.PairsConfig`.

    Returns:
        The columns of the manifest but label, arm, path and sha256, plus ``mask`` (row number in `masks`). Photographs
        in index order, the inpainters of one photograph together: all of them fill the same hole by the same caption.

    Raises:
        ConfigError: a kind that the masks do not hold, or a hole of nothing.
    """
    check(config)
    held = tuple(masks["kind"].drop_duplicates())
    for kind in config.kinds:
        if kind not in held:
            raise ConfigError(f"{unknown('mask kind', kind, held)} Holes are drawn in chapter 2.")
    number = {key: n for n, key in enumerate(zip(masks["row"], masks["kind"], strict=True))}
    mask_ids, coverage = masks["mask_id"].to_numpy(), masks["coverage"].to_numpy()
    ids, captions = index["image_id"].to_numpy(), index["captions"].to_numpy()
    group, split = index["group"].to_numpy(), index["split"].to_numpy()
    records = []
    for row in choose_photographs(index, config.count, config.seed).tolist():
        draw = rng.generator(config.seed, ids[row], "pair")
        kind = config.kinds[int(draw.integers(len(config.kinds)))]
        texts = [str(text) for text in captions[row]]
        caption = texts[int(draw.integers(len(texts)))] if texts else ""
        mask = number[row, kind]
        if coverage[mask] <= 0:
            raise ConfigError(f"The mask '{mask_ids[mask]}' is empty: a fake without a painted pixel is no fake.")
        for inpainter in config.inpainters:
            seed = rng.torch_seed(config.seed, ids[row], inpainter, "fill") % 2**31
            records.append(
                (ids[row], group[row], split[row], inpainter, kind, float(coverage[mask]), caption,
                 "matched" if caption.strip() else "empty", seed, row, mask_ids[mask], mask)
            )  # fmt: skip
    names = [
        "image_id", "group", "split", "inpainter", "mask_kind", "coverage", "caption", "caption_kind", "seed", "row",
        "mask_id", "mask",
    ]  # fmt: skip
    return pd.DataFrame.from_records(records, columns=names)


def manifest(planned: pd.DataFrame, config: PairsConfig) -> pd.DataFrame:
    """The manifest of a plan, without hashes: for each photograph its real arms once, its fake arms per inpainter.

    Also has the column ``plan`` (row of `planned`), which is not written.
    """
    table = planned.drop(columns="mask").assign(plan=np.arange(len(planned)))
    first = ~table["image_id"].duplicated()
    parts = []
    for order, arm in enumerate(ARMS):  # regenerated and spliced of one call stand side by side
        if arm not in config.arms:
            continue
        rows = table[first].assign(inpainter="", seed=0) if ARMS[arm] == "real" else table
        parts.append(rows.assign(label=ARMS[arm], arm=arm, order=order))
    whole = pd.concat(parts).sort_values(["row", "plan", "order"], kind="stable", ignore_index=True)
    keys = zip(whole["image_id"], whole["arm"], whole["inpainter"], whole["mask_kind"], strict=True)
    whole["path"] = [_path(*key) for key in keys]
    return whole.assign(sha256="")[[*COLUMNS, "plan"]]


def _path(image_id: str, arm: str, inpainter: str, kind: str) -> str:
    """A file name that is the same in every attempt at one set."""
    name = f"{image_id}__{inpainter}__{kind}" if inpainter else f"{image_id}__{kind}"
    return f"pairs/images/{arm}/{name}{SUFFIX}"
