"""Makes the paired set: one call of the inpainter gives all arms of a batch of photographs.

A set that was interrupted goes on where it stopped: a file that exists under its final name is whole (it was renamed
there), and is kept if it can be read. A batch with anything missing is filled again as a whole, in the same company,
so that the bytes are those of an uninterrupted run.
"""

import hashlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from nbsupport import inpainters, masks
from nbsupport.config import PairsConfig
from nbsupport.data import index
from nbsupport.errors import UserError
from nbsupport.pairs import files, planning, store
from nbsupport.pairs.store import Pairs
from nbsupport.pairs.summary import Tally, summary
from nbsupport.pairs.verification import verify
from nbsupport.runs import Run, atomic_path, fingerprint, read_json, write_json


@dataclass
class _Work:
    """What stays the same from batch to batch."""

    run: Run
    config: PairsConfig
    images: np.ndarray  # (N, H, W, 3) uint8, the cache of the index
    masks: masks.MaskSet
    painters: Mapping[str, inpainters.Inpainter]
    manifest: pd.DataFrame
    planned: pd.DataFrame
    tally: Tally = field(default_factory=Tally)


def make(run: Run, config: PairsConfig) -> Pairs:
    """Make the paired set, or load it (stage ``pairs``).

    Writes ``pairs/images/<arm>/*.png``, ``pairs/images.npy`` (the same pictures, in the order of the manifest),
    ``pairs/manifest.parquet`` and ``results/pairs.json``.

    Raises:
        MissingStage: chapter 1, 2 or (if ``tdanet`` is to paint) 4 has not run.
        ConfigError: see :func:`nbsupport.pairs.planning.plan`.
        InpainterError: an inpainter returned something that is no picture.
        UserError: the disk is full, or the finished set fails its own verification.
    """
    planning.check(config)
    needs = (("tdanet",) if "tdanet" in config.inpainters else ()) + ("masks", "index")
    stage = run.stage("pairs", config, needs=needs)
    if stage.finished:
        return store.load(run)
    with stage:
        work = _prepare(run, config, fingerprint([stage.fingerprint, *(run.require(n)["started"] for n in needs)]))
        _generate(work)
        pairs = Pairs(run.path, work.manifest[list(planning.COLUMNS)], config)
        checks = verify(pairs, work.images, work.masks)
        run.write_result("pairs", summary(pairs, work.masks, work.tally, checks))
        failed = [name for name, check in checks.items() if not check["passed"]]
        if failed:
            raise UserError(
                f"The paired set does not hold what it promises: {'; '.join(failed)}. Details are in "
                f"'{run / 'results' / 'pairs.json'}'. Delete '{run / store.FOLDER}' and run chapter 5 again."
            )
        with atomic_path(run / store.MANIFEST) as path:
            pairs.manifest.to_parquet(path, index=False)
        stage.outputs(store.MANIFEST, store.CACHE, "results/pairs.json")
        stage.note(files=len(pairs), bytes=work.tally.bytes, kept=work.tally.kept)
        print(f"[pairs] made: {work.tally.made} files, and {work.tally.kept} kept from an interrupted attempt.")
    return pairs


def _prepare(run: Run, config: PairsConfig, key: str) -> _Work:
    dataset, mask_set = index.load(run), masks.load(run)
    planned = planning.plan(dataset.index, mask_set.table, config)
    painters = {name: inpainters.create(name, run) for name in config.inpainters}
    marker = run / store.FOLDER / "plan.json"
    if not marker.exists() or read_json(marker).get("plan") != key:
        store.clear(run)  # files of another plan must not pass for ours
        write_json(marker, {"plan": key, "config": config.to_mapping()})
    for left in (run / store.FOLDER).rglob(".*.part*"):  # temporary files of an attempt that was killed
        left.unlink(missing_ok=True)
    work = _Work(run, config, dataset.cache.images, mask_set, painters, planning.manifest(planned, config), planned)
    _check_room(work)
    return work


def _check_room(work: _Work) -> None:
    """Fail before the work, not in the middle of it, if the set cannot fit (files and cache, uncompressed)."""
    wanted = 2 * len(work.manifest) * int(np.prod(work.images.shape[1:]))
    free = shutil.disk_usage(work.run.path).free
    if wanted > free:
        raise UserError(
            f"The paired set needs up to {wanted / 1e9:.1f} GB, and '{work.run.path}' has {free / 1e9:.1f} GB free. "
            "Make room, set NBSUPPORT_RUNS to another disk, or use fewer photographs (count)."
        )


def _generate(work: _Work) -> None:
    photographs = work.planned["row"].drop_duplicates().to_numpy()
    plan_of, files_of = work.planned.groupby("row").indices, work.manifest.groupby("row").indices
    hashes = np.empty(len(work.manifest), dtype=object)
    size = work.config.batch_size
    with (
        atomic_path(work.run / store.CACHE) as path,
        tqdm(total=len(photographs), desc="pairs", unit="photo", mininterval=1) as progress,
    ):
        cache = np.lib.format.open_memmap(path, "w+", np.uint8, (len(work.manifest), *work.images.shape[1:]))
        for start in range(0, len(photographs), size):
            batch = photographs[start : start + size]
            numbers = np.concatenate([files_of[row] for row in batch])
            if not _keep(work, numbers, cache, hashes):
                plans = work.planned.iloc[np.concatenate([plan_of[row] for row in batch])]
                _fill_batch(work, batch, plans, numbers, cache, hashes)
            progress.update(len(batch))
        cache.flush()
        del cache
    work.manifest["sha256"] = hashes.astype(str)


def _keep(work: _Work, numbers: np.ndarray, cache: np.ndarray, hashes: np.ndarray) -> bool:
    """Take over the files of a batch if an earlier attempt left all of them whole; whether it did."""
    paths = [work.run / work.manifest["path"].iloc[n] for n in numbers]
    if not all(path.exists() for path in paths):
        return False
    try:
        for n, path in zip(numbers, paths, strict=True):
            content = path.read_bytes()
            cache[n], hashes[n] = files.decode(content, path), hashlib.sha256(content).hexdigest()
            work.tally.bytes += len(content)
            work.tally.kept += 1
    except UserError:
        return False  # cut short by a power failure: made again
    return True


def _fill_batch(work, batch, plans, numbers, cache, hashes) -> None:
    """Fill a batch by every inpainter, and write all arms: manifest rows `numbers`."""
    table = work.manifest.iloc[numbers]
    for name, inpainter in work.painters.items():
        plan = plans[plans["inpainter"] == name]
        photographs = np.ascontiguousarray(work.images[plan["row"].to_numpy()])
        holes = work.masks.get(plan["mask"].to_numpy())
        begin = time.perf_counter()
        output = inpainter.fill(photographs, holes, plan["caption"].tolist(), seeds=plan["seed"].tolist())
        work.tally.seconds_fill += time.perf_counter() - begin
        arms = {
            "original": photographs,
            "regenerated": output,
            "spliced": inpainters.splice(photographs, output, holes),
        }
        position = {row: n for n, row in enumerate(plan["row"])}
        begin = time.perf_counter()
        for n, arm, of, row in zip(numbers, table["arm"], table["inpainter"], table["row"], strict=True):
            if of in ("", name) and hashes[n] is None:
                cache[n] = arms[arm][position[row]]
                hashes[n], written = files.write(work.run / work.manifest["path"].iloc[n], cache[n])
                work.tally.bytes += written
                work.tally.made += 1
        work.tally.seconds_encode += time.perf_counter() - begin
