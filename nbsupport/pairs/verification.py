"""Proves on the files what the paired set promises, by reading them again.

Each check counts what it looked at and what failed, so that a check that looked at nothing cannot pass for a good one.
"""

import hashlib

import numpy as np
import pandas as pd

from nbsupport.masks import MaskSet
from nbsupport.pairs import files, planning
from nbsupport.pairs.store import Pairs


def verify(pairs: Pairs, images: np.ndarray, masks: MaskSet) -> dict[str, dict[str, object]]:
    """Recompute hashes, forms, counts and identities of a paired set.

    Args:
        pairs: the set, with its files and its cache.
        images: (N, H, W, 3) uint8, the cache of the index, by ``manifest["row"]``.
        masks: the holes, by ``manifest["mask_id"]``.

    Returns:
        name of the check -> ``passed``, ``checked`` and ``failed`` (numbers of files, sets or groups), ``examples``.
    """
    manifest = pairs.manifest
    number = dict(zip(masks.table["mask_id"], range(len(masks)), strict=True))
    counts: dict[str, list] = {name: [0, []] for name, arms in _PER_FILE.items() if arms <= set(pairs.config.arms)}
    forms: dict[str, set] = {"real": set(), "fake": set()}
    for rows in pairs.batches(np.arange(len(manifest)), 512):
        table = manifest.iloc[rows]
        holes = masks.get([number[mask_id] for mask_id in table["mask_id"]])
        for n, record, hole in zip(rows, table.itertuples(index=False), holes, strict=True):
            for name, good in _check_file(pairs, int(n), record, hole, images[record.row], forms):
                counts[name][0] += 1
                if not good:
                    counts[name][1].append(record.path)
    result = {name: _report(checked, failed) for name, (checked, failed) in counts.items()}
    differing = sorted(map(str, forms["real"] ^ forms["fake"])) + sorted(map(str, forms["real"] & forms["fake"]))[1:]
    result["one form for both classes"] = _report(len(manifest), differing)
    return result | _check_tables(manifest)


#: Checks of single files, and the arms that a set must have for them to be asked.
_PER_FILE: dict[str, set[str]] = {
    "hash as in the manifest": set(),
    "cache equals the files": set(),
    "original equals the photograph": {"original"},
    "spliced equals the photograph outside the hole": {"spliced"},
    "spliced equals regenerated inside the hole": {"regenerated", "spliced"},
}


def _check_file(pairs, n, record, hole, photograph, forms):
    """Yield (check, whether it holds) for one file."""
    path = pairs.root / record.path
    content = path.read_bytes() if path.exists() else b""
    yield "hash as in the manifest", hashlib.sha256(content).hexdigest() == record.sha256
    forms[record.label].add(tuple(sorted((key, str(value)) for key, value in files.form(content).items())))
    try:
        picture = files.decode(content, path)
    except files.UserError:
        picture = None
    yield "cache equals the files", picture is not None and np.array_equal(picture, pairs.cache[n])
    cached = pairs.cache[n]
    if record.arm == "original":
        yield "original equals the photograph", np.array_equal(cached, photograph)
    if record.arm == "spliced":
        same = np.array_equal(cached[~hole], photograph[~hole])
        yield "spliced equals the photograph outside the hole", same
        before = pairs.manifest.iloc[n - 1] if n else None  # arms of one call stand side by side
        if before is not None and before.arm == "regenerated" and before.image_id == record.image_id:
            yield "spliced equals regenerated inside the hole", np.array_equal(cached[hole], pairs.cache[n - 1][hole])


def _check_tables(manifest: pd.DataFrame) -> dict[str, dict[str, object]]:
    splits = manifest.groupby("group")["split"].nunique()
    fake = manifest[manifest["label"] == "fake"]
    sizes = fake.groupby(["split", "arm", "inpainter"]).size()
    real = manifest[manifest["arm"] == "original"].groupby("split").size()
    unequal = [" ".join(key) for key, size in sizes.items() if size != real.get(key[0], 0)]
    kinds = manifest.groupby("image_id")[["mask_id", "caption", "split", "group"]].nunique().max(axis=1)
    repeated = manifest.loc[manifest["path"].duplicated(), "path"].tolist()
    return {
        "no group in two splits": _report(len(splits), splits.index[splits > 1].astype(str).tolist()),
        "as many fake as real in each split": _report(len(sizes), unequal),
        "one hole and one caption for each photograph": _report(len(kinds), kinds.index[kinds > 1].tolist()),
        "every row its own file": _report(len(manifest), repeated),
        "columns as documented": _report(len(manifest.columns), sorted(set(planning.COLUMNS) ^ set(manifest.columns))),
    }


def _report(checked: int, failed: list) -> dict[str, object]:
    return {"passed": checked > 0 and not failed, "checked": checked, "failed": len(failed), "examples": failed[:5]}
