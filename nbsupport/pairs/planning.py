"""Which photograph gets which holes, captions and seeds: decided for the whole set before the first pixel is painted.

Every choice is a function of ``(seed, image_id)``, so that a larger set contains the smaller one, and a set that was
interrupted continues with the same choices. All of it is done on columns: a million rows take seconds.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from nbsupport.config import PairsConfig
from nbsupport.core import rng
from nbsupport.core.errors import ConfigError, unknown
from nbsupport.data import captions
from nbsupport.inpainters import registry
from nbsupport.pairs.files import Encoding

#: arm -> label. Real: the photograph, the photograph after one lossy encoding, and the photograph through the network
#: with an empty hole. Fake: the network's whole output, its hole in the untouched photograph, and that after one lossy
#: encoding.
ARMS: dict[str, str] = {
    "original": "real",
    "reencoded": "real",
    "reconstructed": "real",
    "regenerated": "fake",
    "spliced": "fake",
    "spliced_reencoded": "fake",
}
#: fake arm -> the real arm that went through the same, except for the inpainting.
PARTNERS: dict[str, str] = {
    "regenerated": "reconstructed",
    "spliced": "original",
    "spliced_reencoded": "reencoded",
}
#: fake arm -> the real arm that is its other class wherever detectors are trained, chosen, calibrated or judged. The
#: photograph as it is; or, where the fake was encoded once more, the photograph that was too: else the codec would be
#: what tells the classes apart. :func:`classes` applies it, :func:`of_arm` to tables of scores.
REAL: dict[str, str] = {
    "regenerated": "original",
    "spliced": "original",
    "spliced_reencoded": "reencoded",
}

#: Columns of ``pairs/manifest.parquet``.
COLUMNS: tuple[str, ...] = (
    "image_id",
    "group",
    "split",
    "label",  # real | fake
    "arm",
    "inpainter",  # empty for arms that no inpainter touched
    # Of the pair, as really drawn: rectangles where the photograph cannot have the kind asked for, which the path
    # names. A real row carries the (first) mask of its fake partners.
    "mask_kind",
    "coverage",
    "caption",
    "caption_kind",  # matched | mismatched | empty
    "sample",  # which of the fills of this hole and caption
    "seed",  # of the fill: inpainter.fill(image, mask, caption, seeds=[seed]) gives the picture again
    "path",  # relative to the run folder
    "sha256",
    "row",  # of index and cache
    "mask_id",
    "mask",  # its number in the mask set, -1: no hole was painted
    "call",  # rows of one number come from one call of the inpainter, -1: none was needed
    "shard",
)
_ORDER = 1_000_000  # rows of one photograph at most


def check(config: PairsConfig) -> None:
    """Raise :class:`ConfigError` for what cannot be: an unknown inpainter, no real or no fake arm, a lossless copy."""
    for name in config.inpainters:
        kind = re.split("[:@]", name)[0]
        if name not in registry.NAMES and kind not in ("tdanet", *registry.PREFIXES):
            raise ConfigError(unknown("inpainter", name, registry.NAMES))
    if {ARMS[arm] for arm in config.arms} != {"real", "fake"}:
        raise ConfigError(f"PairsConfig.arms must hold real and fake ones, got {config.arms!r}.")
    if Encoding.parse(config.reencode).lossless and {"reencoded", "spliced_reencoded"} & set(config.arms):
        raise ConfigError(f"PairsConfig.reencode must be lossy, e.g. jpeg:85, got '{config.reencode}'.")


def classes(
    manifest: pd.DataFrame,
    fake_arms: Sequence[str],
    splits: Sequence[str] | None = None,
    inpainters: Sequence[str] = (),
) -> pd.DataFrame:
    """The rows of a manifest that make up the two classes: fakes of these arms, and for each arm its real one by REAL.

    All other real variants stay out. With them, "was JPEG once" or "went through the network" would be learnt as real.

    Args:
        splits: None: all. inpainters: fakes of these alone; empty: of all.

    Raises:
        ConfigError: an arm or inpainter that the set does not hold, or fakes without their real arm.
    """
    fakes = manifest[manifest["label"] == "fake"]
    for what, column, names in (("arm", "arm", fake_arms), ("inpainter", "inpainter", inpainters)):
        for name in names:
            if name not in set(fakes[column]):
                raise ConfigError(unknown(f"fake {what} of the paired set", name, set(fakes[column])))
    reals = {REAL[arm] for arm in fake_arms}
    for arm in sorted(reals - set(manifest["arm"])):
        raise ConfigError(
            f"The paired set has no pictures of the arm '{arm}', the real class of {', '.join(fake_arms)}. Add it to "
            "PairsConfig.arms and run chapter 6 again."
        )
    wanted = manifest["arm"].isin(fake_arms)
    if inpainters:
        wanted &= manifest["inpainter"].isin(inpainters)
    wanted |= manifest["arm"].isin(reals) & (manifest["label"] == "real")
    if splits is not None:
        wanted &= manifest["split"].isin(splits)
    return manifest[wanted]


def of_arm(table: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Rows of scores (columns ``label``: 1 = fake, ``arm``): fakes of one arm, and their other class by REAL."""
    return table[(table["arm"] == arm) | ((table["label"] == 0) & (table["arm"] == REAL[arm]))]


def whole_groups(groups: np.ndarray, order: np.ndarray, wanted: int) -> np.ndarray:
    """Choose members by whole groups, in the order of each group's smallest `order`, until `wanted` are chosen.

    A group that would pass the mark is left out, and the places that this leaves open go to the next groups that fit;
    so all sizes take from one sequence, and a larger choice holds a smaller one except for those last few.

    Args: groups: (N,). order: (N,) sortable. Returns (N,) bool.
    """
    code, first = np.unique(groups, return_inverse=True)
    smallest = np.full(len(code), np.iinfo(np.int64).max)
    np.minimum.at(smallest, first, order)
    sequence = np.argsort(smallest, kind="stable")
    sizes = np.bincount(first)[sequence]
    taken = np.cumsum(sizes) <= wanted
    left = wanted - int(sizes[taken].sum())
    for position in np.flatnonzero(~taken):
        if left <= 0:
            break
        if sizes[position] <= left:
            taken[position], left = True, left - sizes[position]
    chosen = np.zeros(len(code), bool)
    chosen[sequence[taken]] = True
    return chosen[first]


def shares(total: int, sizes: np.ndarray) -> np.ndarray:
    """`total` divided in proportion to `sizes`, as integers that add up to it."""
    edges = np.rint(np.cumsum(sizes) * total / max(sizes.sum(), 1)).astype(np.int64)
    return np.diff(edges, prepend=0)


def choose_photographs(index: pd.DataFrame, count: int, seed: int) -> np.ndarray:
    """Rows of the photographs to use, ascending: `count` of them (0: all), every split in proportion, whole groups."""
    if count <= 0 or count >= len(index):
        return np.arange(len(index))
    order = rng.hashes(seed, index["image_id"], "use")
    split, group = index["split"].to_numpy(), index["group"].to_numpy()
    names, sizes = np.unique(split.astype(str), return_counts=True)
    chosen, owed = np.zeros(len(index), bool), 0
    for share, _, name in sorted(zip(shares(count, sizes).tolist(), sizes.tolist(), names, strict=True)):
        members = np.flatnonzero(split == name)
        chosen[members[whole_groups(group[members], order[members], share + owed)]] = True
        if not chosen[members].any():  # no split stays empty
            chosen[members[group[members] == group[members[order[members].argmin()]]]] = True
        owed += share - int(chosen[members].sum())  # what the small splits took too much or too little
    left = np.flatnonzero(~chosen)  # places that groups too large for their split's share left open
    chosen[left[whole_groups(group[left], order[left], count - int(chosen.sum()))]] = True
    return np.flatnonzero(chosen)


def plan(index: pd.DataFrame, masks: pd.DataFrame, config: PairsConfig) -> pd.DataFrame:
    """The manifest without hashes: every file of the set, in order, shard by shard.

    Args:
        index: ``image_id, group, split, captions``, row order of the cache.
        masks: ``MaskSet.table`` (``mask_id, row, kind, coverage``), one row for each photograph and kind.
        config: see :class:`~nbsupport.config.PairsConfig`.

    Returns:
        :data:`COLUMNS`, ``sha256`` empty. Photographs in index order. Of each: its real arms, then its fake ones, those
        of one call side by side. All inpainters fill the same holes by the same captions.

    Raises:
        ConfigError: a kind that the masks do not hold, a hole of nothing or of everything, no photograph left.
    """
    check(config)
    number = _mask_numbers(masks, len(index), config)
    coverage = np.where(number >= 0, masks["coverage"].to_numpy()[number], np.nan)
    fits = (coverage >= config.coverage_low) & (coverage <= config.coverage_high)
    eligible = np.flatnonzero(fits.any(axis=1))
    if not len(eligible):
        raise ConfigError(
            f"No hole covers between {config.coverage_low:.0%} and {config.coverage_high:.0%} of its photograph. Widen "
            "coverage_low and coverage_high in chapter 6, or draw other holes in chapter 2."
        )
    rows = eligible[choose_photographs(index.iloc[eligible], config.count, config.seed)]
    photographs, chosen = _holes(index, rows, number, fits, config)
    for name, wrong in (("empty", coverage <= 0), ("everything", coverage >= 1)):
        bad = np.flatnonzero(wrong.ravel()[rows[photographs] * len(config.kinds) + chosen])
        if len(bad):
            mask_id = masks["mask_id"].iloc[number[rows[photographs[bad[0]]], chosen[bad[0]]]]
            raise ConfigError(
                f"The mask '{mask_id}' is {name}: there would be no paint to find, or nothing to paint from. Set "
                "coverage_low and coverage_high in chapter 6 so that it is passed over."
            )
    calls = _calls(index, rows, photographs, number[rows[photographs], chosen], config)
    return _manifest(index, masks, rows, calls, config)


def _mask_numbers(masks: pd.DataFrame, photographs: int, config: PairsConfig) -> np.ndarray:
    """(photographs, kinds) int64: the row of `masks` of each photograph and kind, -1 where there is none."""
    held = masks["kind"].drop_duplicates().tolist()
    number = np.full((photographs, len(config.kinds)), -1, np.int64)
    kinds = masks["kind"].to_numpy()
    for column, kind in enumerate(config.kinds):
        if kind not in held:
            raise ConfigError(f"{unknown('mask kind', kind, held)} Holes are drawn in chapter 2.")
        of = np.flatnonzero(kinds == kind)
        number[masks["row"].to_numpy()[of], column] = of
    return number


def _holes(index, rows, number, fits, config) -> tuple[np.ndarray, np.ndarray]:
    """Which kinds each photograph gets: positions in `rows` and columns of `number`, (H,) each."""
    ids = index["image_id"].to_numpy()[rows]
    draws = np.stack([rng.hashes(config.seed, ids, kind, "hole") for kind in config.kinds], axis=1)
    draws[~fits[rows]] = np.iinfo(np.int64).max
    order = np.argsort(draws, axis=1, kind="stable")
    each = config.kinds_each or len(config.kinds)
    possible = fits[rows].sum(axis=1)
    photographs, place = np.nonzero(np.arange(len(config.kinds)) < np.minimum(possible, each)[:, None])
    return photographs, order[photographs, place]


def _calls(index, rows, photographs, mask, config) -> pd.DataFrame:
    """One row for each fill: hole x caption kind x sample x inpainter, of each photograph in turn."""
    texts = {kind: _captions(index, rows, kind, config.seed) for kind in config.caption_kinds}
    kinds = [(kind, sample, name) for kind in config.caption_kinds for sample in range(config.samples)
             for name in config.inpainters]  # fmt: skip
    count = len(kinds)
    which = np.tile(np.arange(count), len(mask))
    photo = np.repeat(photographs, count)
    caption = np.empty(len(photo), object)
    told = np.empty(len(photo), object)
    for number, (kind, _, _) in enumerate(kinds):
        here = which == number
        caption[here] = texts[kind][photo[here]]
        told[here] = np.where(np.char.str_len(np.char.strip(caption[here].astype(str))) > 0, kind, "empty")
    return pd.DataFrame(
        {
            "photo": photo,
            "mask": np.repeat(mask, count),
            "caption": pd.Series(caption, dtype="str"),
            "caption_kind": pd.Series(told, dtype="str"),
            "sample": np.array([sample for _, sample, _ in kinds])[which],
            "inpainter": pd.Series(np.array([name for *_, name in kinds], object)[which], dtype="str"),
        }
    )


def _captions(index: pd.DataFrame, rows: np.ndarray, kind: str, seed: int) -> np.ndarray:
    """One caption of a kind for each photograph of `rows`, (P,) object."""
    if kind == "empty":
        return np.full(len(rows), "", object)
    if kind == "matched":
        return captions.matched(index, rows, seed)
    texts = captions.mismatched(index, rows, seed)
    if (texts == "").any():
        nameless = index["image_id"].to_numpy()[rows[np.flatnonzero(texts == "")[0]]]
        raise ConfigError(
            f"No other caption was found for '{nameless}': its split holds too few captioned photographs for "
            "caption_kinds=['mismatched']. Use more photographs (count in chapter 1), or leave that kind out."
        )
    return texts


def _manifest(index, masks, rows, calls, config) -> pd.DataFrame:
    """Real and fake rows from the calls, in order."""
    calls = calls.assign(call=np.arange(len(calls)), fill=True)
    first = calls[~calls["photo"].duplicated()]
    per_inpainter = calls[~calls[["photo", "inpainter"]].duplicated()]
    parts = []
    for place, arm in enumerate(config.arms):
        if arm in ("original", "reencoded"):
            part = first.assign(inpainter="", call=-1, fill=False, order=place)
        elif arm == "reconstructed":
            part = per_inpainter.assign(call=len(calls) + np.arange(len(per_inpainter)), fill=False)
            part["order"] = len(config.arms) + part.groupby("photo").cumcount()
        else:
            part = calls.assign(order=2 * _ORDER // 4 + calls.groupby("photo").cumcount() * len(config.arms) + place)
        parts.append(part.assign(arm=arm, label=ARMS[arm]))
    whole = pd.concat(parts, ignore_index=True)
    whole = whole.iloc[np.argsort(whole["photo"].to_numpy() * _ORDER + whole["order"].to_numpy(), kind="stable")]
    photo, mask = whole["photo"].to_numpy(), whole["mask"].to_numpy()
    columns = {name: index[name].to_numpy()[rows[photo]] for name in ("image_id", "group", "split")}
    whole = whole.reset_index(drop=True).assign(
        **{name: pd.Series(values) for name, values in columns.items()},
        row=rows[photo],
        shard=photo // config.shard_size,
        mask_id=masks["mask_id"].to_numpy()[mask],
        asked_kind=masks["kind"].to_numpy()[mask],
        mask_kind=np.where(masks["fallback"], "rectangles", masks["kind"])[mask],  # what was really drawn
        coverage=masks["coverage"].to_numpy(float)[mask],
        sha256="",
    )
    whole["seed"] = _seeds(whole, config.seed)
    whole["mask"] = np.where(whole["fill"], mask, -1)
    whole["path"] = _paths(whole, config)
    return whole[list(COLUMNS)]


def _seeds(table: pd.DataFrame, seed: int) -> np.ndarray:
    """Of each call, by photograph, hole, sample and inpainter: captions meet the same latent; 0 where none is drawn."""
    keys = zip(table["image_id"], table["asked_kind"], table["sample"], table["inpainter"], strict=True)
    called = table["call"].to_numpy() >= 0
    return np.array([rng.torch_seed(seed, *key, "fill") % 2**31 if drawn else 0
                     for key, drawn in zip(keys, called, strict=True)], np.int64)  # fmt: skip


def _paths(table: pd.DataFrame, config: PairsConfig) -> pd.Series:
    """Paths that are the same in every attempt at one set; the name says all that tells a file from the others."""
    safe = {name: "".join(c if c.isalnum() or c in "-." else "-" for c in name) for name in config.inpainters}
    inpainter = "__" + table["inpainter"].map(safe).fillna("").astype(str)
    filled = inpainter + "__" + table["asked_kind"] + "__" + table["caption_kind"] + "__" + table["sample"].astype(str)
    touched = table["inpainter"] != ""
    tail = (
        pd.Series("", index=table.index)
        .mask(touched, inpainter)
        .mask(table["asked_kind"].notna() & table["fill"], filled)
    )
    shards = {n: f"pairs/shards/{n:05d}/" for n in range(int(table["shard"].max()) + 1)}
    return (
        table["shard"].map(shards)
        + table["image_id"].str.replace(".", "~")  # WebDataset takes a name's first dot for the end of its stem
        + "__"
        + table["arm"]
        + tail
        + Encoding.parse(config.encoding).suffix
    )
