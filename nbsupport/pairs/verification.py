"""Proves on the files what the paired set promises, by reading them again, shard by shard in constant memory.

Each check counts what it looked at and what failed, so that a check that looked at nothing cannot pass for a good one.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
import pandas as pd

from nbsupport import masks
from nbsupport.core.errors import UserError
from nbsupport.data import index as indices
from nbsupport.masks import MaskSet
from nbsupport.pairs import files, planning, storage, store
from nbsupport.pairs.files import Encoding
from nbsupport.pairs.generation import plan_shards
from nbsupport.pairs.store import Pairs
from nbsupport.runs import Run

#: Checks of single files: the arms that a set must have for them to be asked, and whether they need lossless files.
_PER_FILE: dict[str, tuple[set[str], bool]] = {
    "hash as in the manifest": (set(), False),
    "cache equals the files": (set(), False),
    "original equals the photograph": ({"original"}, False),
    "reencoded equals the photograph encoded again": ({"reencoded"}, False),
    "spliced equals the photograph outside the hole": ({"spliced"}, True),
    "spliced equals regenerated inside the hole": ({"regenerated", "spliced"}, True),
    "spliced_reencoded equals spliced encoded again": ({"spliced", "spliced_reencoded"}, True),
}


def verify(pairs: Pairs, images: np.ndarray, holes: MaskSet, index: pd.DataFrame) -> dict[str, dict[str, object]]:
    """Recompute plan, hashes, forms, counts and identities of a paired set.

    Args:
        pairs: the set, with its files and its cache.
        images: (N, H, W, 3) uint8, the cache of the index, by ``manifest["row"]``.
        holes: the masks, by ``manifest["mask"]``. index: of the run, from which the plan is made once more.

    Returns:
        name of the check -> ``passed``, ``checked`` and ``failed`` (numbers of files, sets or groups), ``examples``.
    """
    config, manifest = pairs.config, pairs.manifest
    lossless = Encoding.parse(config.encoding).lossless
    counts: dict[str, list] = {
        name: [0, []]
        for name, (arms, exact) in _PER_FILE.items()
        if arms <= set(config.arms) and (lossless or not exact)
    }
    forms: dict[str, dict[str, int]] = {"real": {}, "fake": {}}
    edges = plan_shards(manifest)
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        for name, path, good in _check_shard(pairs, int(start), int(stop), images, holes, forms):
            if name in counts:
                counts[name][0] += 1
                if not good:
                    counts[name][1].append(path)
    result = {name: _report(checked, failed) for name, (checked, failed) in counts.items()}
    common = set(forms["real"]) & set(forms["fake"])
    differing = sorted(set(forms["real"]) ^ set(forms["fake"])) + sorted(common)[1:]
    result["one form for both classes"] = _report(len(manifest), differing)
    result["holes drawn for these photographs"] = _check_holes(index, holes)
    return result | _check_tables(manifest) | _check_plan(manifest, index, holes, config)


def verify_run(run: Run) -> dict[str, dict[str, object]]:
    """:func:`verify` on the finished set of a run.

    Raises:
        MissingStage: there is none. StaleStage: it was made from other photographs, holes or weights than it holds now.
    """
    dataset = indices.load(run)
    return verify(store.load(run), dataset.cache.images, masks.load(run), dataset.index)


def _check_shard(pairs, start, stop, images, holes, forms) -> Iterator[tuple[str, str, bool]]:
    """Yield (check, path, whether it holds) for the files of one shard."""
    table = pairs.manifest.iloc[start:stop]
    encoding, lossy = Encoding.parse(pairs.config.encoding), Encoding.parse(pairs.config.reencode)
    made: dict[tuple[int, str], np.ndarray] = {}  # the arms of the present call
    for n, record in enumerate(table.itertuples(index=False), start):
        try:
            content = storage.read(pairs.root, [record.path])[0]
        except UserError:
            content = b""
        yield "hash as in the manifest", record.path, hashlib.sha256(content).hexdigest() == record.sha256
        told = str(sorted((key, str(value)) for key, value in files.form(content).items()))
        forms[record.label][told] = forms[record.label].get(told, 0) + 1
        try:
            picture = files.decode(content, record.path)
        except UserError:
            picture = None
        cached, photograph = np.asarray(pairs.cache[n]), np.asarray(images[record.row])
        yield "cache equals the files", record.path, picture is not None and np.array_equal(picture, cached)

        def as_kept(image: np.ndarray) -> np.ndarray:
            return image if encoding.lossless else encoding.through(image)

        if record.arm == "original":
            yield "original equals the photograph", record.path, np.array_equal(cached, as_kept(photograph))
        if record.arm == "reencoded":
            again = as_kept(lossy.through(photograph))
            yield "reencoded equals the photograph encoded again", record.path, np.array_equal(cached, again)
        if record.mask < 0:
            continue
        made = {key: value for key, value in made.items() if key[0] == record.call} | {
            (record.call, record.arm): cached
        }
        regenerated, spliced = made.get((record.call, "regenerated")), made.get((record.call, "spliced"))
        if record.arm == "spliced":
            hole = holes.get([record.mask])[0]
            good = np.array_equal(cached[~hole], photograph[~hole])
            yield "spliced equals the photograph outside the hole", record.path, good
            if regenerated is not None:
                good = np.array_equal(cached[hole], regenerated[hole])
                yield "spliced equals regenerated inside the hole", record.path, good
        if record.arm == "spliced_reencoded" and spliced is not None and encoding.lossless:
            good = np.array_equal(cached, lossy.through(spliced))
            yield "spliced_reencoded equals spliced encoded again", record.path, good


def _check_tables(manifest: pd.DataFrame) -> dict[str, dict[str, object]]:
    splits = manifest.groupby("group")["split"].nunique()
    photographs = manifest.groupby(["split", "arm", "inpainter"])["image_id"].nunique()
    wanted = manifest.groupby("split")["image_id"].nunique()
    unequal = [" ".join(key) for key, size in photographs.items() if size != wanted[key[0]]]
    fakes = manifest[manifest["label"] == "fake"]
    sizes = fakes.groupby(["split", "arm"]).size().unstack("arm")
    unequal += [f"{split}: fake arms differ in size" for split in sizes.index[sizes.nunique(axis=1) > 1]]
    about = manifest.groupby("image_id")[["split", "group", "row"]].nunique().max(axis=1)
    repeated = manifest.loc[manifest["path"].duplicated(), "path"].tolist()
    return {
        "no group in two splits": _report(len(splits), splits.index[splits > 1].astype(str).tolist()),
        "every photograph in every arm, each fake arm of one size": _report(len(photographs) + len(sizes), unequal),
        "one split, group and row for each photograph": _report(len(about), about.index[about > 1].tolist()),
        "every row its own file": _report(len(manifest), repeated),
        "columns as documented": _report(len(manifest.columns), sorted(set(planning.COLUMNS) ^ set(manifest.columns))),
    }


def _check_holes(index: pd.DataFrame, holes: MaskSet) -> dict[str, object]:
    """Holes are found by the row of a photograph: the photograph of that row must be the one they were drawn for."""
    ids, table = index["image_id"].to_numpy(), holes.table
    rows = table["row"].to_numpy()
    there = rows < len(ids)
    same = there & (ids[np.where(there, rows, 0)] == table["image_id"].to_numpy())
    return _report(len(table), table["image_id"][~same].tolist())


def _check_plan(manifest, index, holes, config) -> dict[str, dict[str, object]]:
    """Every line but its hash follows from the parameters, the index and the masks: nothing lost, nothing repeated."""
    planned = planning.plan(index, holes.table, config)
    if len(planned) != len(manifest):
        wrong = [f"{len(manifest)} rows, planned were {len(planned)}"]
    else:
        columns = [name for name in planning.COLUMNS if name != "sha256" and name in manifest]
        same = np.all([manifest[name].to_numpy() == planned[name].to_numpy() for name in columns], axis=0)
        wrong = manifest["path"][~same].tolist()
    return {"every row as planned": _report(len(planned), wrong)}


def _report(checked: int, failed: list) -> dict[str, object]:
    return {"passed": checked > 0 and not failed, "checked": checked, "failed": len(failed), "examples": failed[:5]}
