"""The paired set as a stage of a run: plan, shards, manifest, verification.

What an interrupted attempt finished is kept, shard by shard; nothing unfinished bears a final name. Not here: what goes
into a shard (:mod:`.generation`), who makes it (:mod:`.workers`), what the finished set must hold
(:mod:`.verification`).
"""

import hashlib
import shutil
import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from nbsupport import masks
from nbsupport.config import PairsConfig
from nbsupport.core.errors import ConfigError, UserError
from nbsupport.core.files import atomic_path, fingerprint, read_json, write_json
from nbsupport.data import index
from nbsupport.pairs import files, generation, planning, storage, store, workers
from nbsupport.pairs.generation import CACHE, FOLDER, MANIFEST, RECORDS, Tally, Work, record_path
from nbsupport.pairs.store import Pairs
from nbsupport.pairs.summary import summary
from nbsupport.pairs.verification import verify
from nbsupport.runs import Run, Stage

_PATIENCE = 600.0  # seconds without any news from another rank


def make(run: Run, config: PairsConfig, processes: int | None = None) -> Pairs:
    """Make the paired set, or continue with one that was stopped, or load it (stage ``pairs``).

    Writes ``pairs/shards/``, ``pairs/images.npy`` (the same pictures, in the order of the manifest),
    ``pairs/manifest.parquet`` and ``results/pairs.json``. Under torchrun the processes share the shards, on a file
    system that all of them see, and the first one finishes the set.

    Args: processes: how many make shards side by side on this machine; None: as many as are worth it.

    Raises:
        MissingStage: chapter 1, 2 or (if ``tdanet`` is to paint) 4 has not run.
        ConfigError: see :func:`nbsupport.pairs.planning.plan`; or a caption of which the network knows no word.
        InpainterError: an inpainter returned something that is no picture.
        UserError: the disk is full, another process makes this set, or the finished set fails its own verification.
    """
    planning.check(config)
    needs = (("tdanet",) if "tdanet" in config.inpainters else ()) + ("masks", "index")
    stage = run.stage("pairs", config, needs=needs)
    rank, size = workers.rank_and_size()
    if stage.finished:
        return store.load(run)
    key = fingerprint([stage.fingerprint, *(run.require(n)["started"] for n in needs)])
    if rank:
        return _help(run, config, key, rank, size, processes)
    manifest = _planned(run, config)
    with workers.alone(run), stage:
        work, edges = _prepare(run, config, manifest, key)
        begin = time.perf_counter()
        tally = _make_shards(run, work, edges, range(0, len(edges) - 1, size), processes)
        _await(run, range(len(edges) - 1))
        seconds = time.perf_counter() - begin
        pairs = Pairs(run.path, _gather(run, len(edges) - 1), config)
        tally.kept = len(pairs) - tally.made if size == 1 else 0
        checks = verify(pairs, work.images, work.masks, index.load(run).index)
        run.write_result("pairs", summary(pairs, work.masks, tally, seconds, checks))
        _finish(run, stage, pairs, checks)
        stage.note(files=len(pairs), bytes=tally.bytes, kept=tally.kept)
        print(f"[pairs] made: {tally.made} files, and {tally.kept} kept from an interrupted attempt.")
    return pairs


def _finish(run: Run, stage: Stage, pairs: Pairs, checks: dict) -> None:
    failed = [name for name, check in checks.items() if not check["passed"]]
    if failed:
        raise UserError(
            f"The paired set does not hold what it promises: {'; '.join(failed)}. Details are in "
            f"'{run / 'results' / 'pairs.json'}'. Delete '{run / FOLDER}' and run chapter 6 again."
        )
    stage.outputs(MANIFEST, CACHE, "results/pairs.json")


def _planned(run: Run, config: PairsConfig) -> pd.DataFrame:
    """The plan; whatever cannot be is said here, before anything that is finished is touched."""
    dataset = index.load(run)
    manifest = planning.plan(dataset.index, masks.load(run).table, config)
    _check_words(dataset, manifest, config)
    return manifest


def _prepare(run: Run, config: PairsConfig, manifest: pd.DataFrame, key: str) -> tuple[Work, np.ndarray]:
    """The plan on disk, the cache at its full length, and nothing left of other plans or of killed attempts."""
    work = Work.open(run, config)
    marker, edges = run / FOLDER / "plan.json", generation.plan_shards(manifest)
    shape = (len(manifest), *work.images.shape[1:])
    if not marker.exists() or read_json(marker).get("plan") != key:
        store.clear(run)  # files of another plan must not pass for ours
        _check_room(run, shape, config)
        generation.write_plan(run.path, manifest)
        with atomic_path(run / CACHE) as path:
            np.lib.format.open_memmap(path, "w+", np.uint8, shape).flush()
        write_json(marker, {"plan": key, "config": config.to_mapping(), "edges": edges})
    for left in (run / FOLDER).rglob(".*.part*"):  # temporary files of an attempt that was killed
        storage.remove(left)
    for number in range(len(edges) - 1):
        if record_path(run.path, number).exists() and not _whole(run, number, int(edges[number])):
            record_path(run.path, number).unlink()  # cut short by a power failure: made again
    return work, edges


def _whole(run: Run, number: int, first: int) -> bool:
    """Whether the files of a recorded shard are what its record says, and the cache holds their pixels."""
    cache = np.load(run / CACHE, mmap_mode="r")
    try:
        table = pd.read_parquet(record_path(run.path, number))
        for n, (path, sha256) in enumerate(zip(table["path"], table["sha256"], strict=True), first):
            content = storage.read(run.path, [path])[0]
            if hashlib.sha256(content).hexdigest() != sha256 or not np.array_equal(files.decode(content), cache[n]):
                return False
    except (UserError, OSError, ValueError):
        return False
    return True


def _check_words(dataset: "index.Dataset", manifest: pd.DataFrame, config: PairsConfig) -> None:
    """A caption of which the vocabulary knows no word would be read as noise: say so before the work."""
    if "tdanet" not in config.inpainters:
        return
    captions = manifest[["caption", "image_id"]].drop_duplicates("caption")
    bad = captions[[not dataset.vocabulary.knows(text) for text in captions["caption"]]]
    if len(bad):
        raise ConfigError(
            f"The network knows no word of {len(bad)} captions, e.g. of '{bad['image_id'].iloc[0]}': "
            f"{bad['caption'].iloc[0][:80]!r}. Write captions in words of the training captions (vocabulary.json), or "
            "use caption_kinds=['empty']."
        )


def _check_room(run: Run, shape: Sequence[int], config: PairsConfig) -> None:
    """Fail before the work, not in the middle of it, if the set cannot fit (files and cache, uncompressed)."""
    wanted = 2 * int(np.prod(shape, dtype=np.float64))
    free = shutil.disk_usage(run.path).free
    if wanted > free:
        raise UserError(
            f"The paired set needs up to {wanted / 1e9:.1f} GB, and '{run.path}' has {free / 1e9:.1f} GB free. "
            "Make room, set NBSUPPORT_RUNS to another disk, or use fewer photographs (count)."
        )


def _make_shards(run: Run, work: Work, edges: np.ndarray, mine: Sequence[int], processes: int | None) -> Tally:
    """Make those of one's own shards that have no record."""
    (run / RECORDS).mkdir(parents=True, exist_ok=True)
    sizes = np.diff(edges)
    todo = [(n, int(edges[n]), int(sizes[n])) for n in mine if not record_path(run.path, n).exists()]
    count = processes if processes is not None else workers.choose_workers(len(todo))
    return workers.make(work, run, todo, int(sizes[list(mine)].sum()), min(count, max(len(todo), 1)))


def _await(run: Run, numbers: Sequence[int]) -> None:
    """Wait for shards that other ranks make."""
    missing, news = [n for n in numbers if not record_path(run.path, n).exists()], time.monotonic()
    while missing:
        left = [n for n in missing if not record_path(run.path, n).exists()]
        if len(left) < len(missing):
            missing, news = left, time.monotonic()
        elif time.monotonic() - news > _PATIENCE:
            raise UserError(f"{len(left)} shards of other processes did not come. Run the same command again.")
        else:
            time.sleep(0.5)


def _help(run: Run, config: PairsConfig, key: str, rank: int, size: int, processes: int | None) -> Pairs:
    """A rank beside the first: make one's share of the shards, then wait for the finished set."""
    marker, since = run / FOLDER / "plan.json", time.monotonic()
    while not marker.exists() or read_json(marker).get("plan") != key:
        if time.monotonic() - since > _PATIENCE:
            raise UserError(f"Rank {rank} found no plan in '{run / FOLDER}'. Do all ranks see the same run folder?")
        time.sleep(0.5)
    edges = np.array(read_json(marker)["edges"])
    _make_shards(run, Work.open(run, config), edges, range(rank, len(edges) - 1, size), processes)
    since = time.monotonic()
    while run.record("pairs") is None:
        if time.monotonic() - since > _PATIENCE:
            raise UserError("The first process did not finish the set. Run the same command again.")
        time.sleep(0.5)
    return store.load(run)


def _gather(run: Run, shards: int) -> pd.DataFrame:
    """The manifest from the shards' records, written and read again."""
    with atomic_path(run / MANIFEST) as path:
        writer = None
        for number in range(shards):
            table = pq.read_table(record_path(run.path, number))
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table.cast(writer.schema))
        writer.close()
    return pd.read_parquet(run / MANIFEST)
