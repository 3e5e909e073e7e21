"""Makes one shard of the paired set: one call of the inpainter gives all arms of a batch of photographs.

A shard is a pure function of the plan: the photographs in it, their order in the batches and the number of threads
(one) are always the same, so that its bytes do not depend on who makes it, or beside whom. It is finished when its
record ``pairs/records/NNNNN.parquet`` exists, which is written last. Not here: who makes which shard (:mod:`.workers`).
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch

from nbsupport import masks
from nbsupport.config import PairsConfig
from nbsupport.core.errors import UserError
from nbsupport.core.files import atomic_path
from nbsupport.data import index
from nbsupport.inpainters import base, registry
from nbsupport.pairs import planning, storage
from nbsupport.pairs.files import Encoding
from nbsupport.runs import Run

FOLDER = "pairs"
SHARDS, RECORDS = f"{FOLDER}/shards", f"{FOLDER}/records"
PLAN, CACHE, MANIFEST = f"{FOLDER}/plan.parquet", f"{FOLDER}/images.npy", f"{FOLDER}/manifest.parquet"


@dataclass
class Tally:
    """What making shards took: seconds of filling, encoding and writing; files made, bytes written."""

    seconds_fill: float = 0.0
    seconds_encode: float = 0.0
    seconds_write: float = 0.0
    made: int = 0
    kept: int = 0
    bytes: int = 0

    def add(self, other: "Tally") -> None:
        """Add another's numbers to these."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class Work:
    """What stays the same from shard to shard; opened once in each process."""

    root: Path
    config: PairsConfig
    images: np.ndarray  # (N, H, W, 3) uint8, the cache of the index
    masks: masks.MaskSet
    inpainters: Mapping[str, base.Inpainter]
    tally: Tally = field(default_factory=Tally)

    @classmethod
    def open(cls, run: Run, config: PairsConfig) -> "Work":
        """Load photographs and inpainters of a run."""
        inpainters = {name: registry.create(name, run) for name in config.inpainters}
        return cls(run.path, config, index.load(run).cache.images, masks.load(run), inpainters)

    def planned(self, number: int) -> pd.DataFrame:
        """The lines of one shard."""
        return read_planned(self.root, number)


def read_planned(root: Path, number: int) -> pd.DataFrame:
    """The plan's lines of one shard; the plan holds a row group for each."""
    with pq.ParquetFile(root / PLAN) as file:
        return file.read_row_group(number).to_pandas()


def record_path(root: Path, number: int) -> Path:
    """Where the record of a finished shard stands."""
    return root / RECORDS / f"{number:05d}.parquet"


def make_shard(work: Work, number: int, first: int) -> Tally:
    """Make one shard and record it.

    Args: number: of the shard. first: the manifest row, and row of the cache, of its first file.

    Raises:
        InpainterError: an inpainter returned something that is no picture.
        UserError: the disk is full or cannot be written.
    """
    table, tally = work.planned(number), Tally()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums are taken in the same order whatever the machine
    try:
        contents = _paint(work, table, first, tally)
        begin = time.perf_counter()
        names = [Path(path).name for path in table["path"]]
        table["sha256"] = [hashlib.sha256(content).hexdigest() for content in contents]
        shard = work.root / Path(table["path"].iloc[0]).parent
        storage.write(shard, dict(zip(names, contents, strict=True)))
        with atomic_path(record_path(work.root, number)) as path:
            table.to_parquet(path, index=False)
        tally.seconds_write += time.perf_counter() - begin
    except OSError as error:
        raise UserError(
            f"Shard {number} of the paired set cannot be written into '{work.root}' ({error.strerror or error}). Make "
            "room or choose another folder with NBSUPPORT_RUNS, then run chapter 6 again; it continues there."
        ) from error
    finally:
        torch.set_num_threads(threads)
    tally.made, tally.bytes = len(contents), sum(map(len, contents))
    return tally


def _paint(work: Work, table: pd.DataFrame, first: int, tally: Tally) -> list[bytes]:
    """Encode every file of a shard, in order, and write its pixels into the cache."""
    config = work.config
    encoding, lossy = Encoding.parse(config.encoding), Encoding.parse(config.reencode)
    contents: list[bytes] = [b""] * len(table)
    cache = np.load(work.root / CACHE, mmap_mode="r+")

    def keep(position: int, picture: np.ndarray) -> None:
        contents[position] = encoding.encode(picture)
        cache[first + position] = picture if encoding.lossless else encoding.through(picture)

    arms, rows = table["arm"].to_numpy(), table["row"].to_numpy()
    for position in np.flatnonzero(table["call"].to_numpy() < 0):
        begin = time.perf_counter()
        photograph = np.asarray(work.images[rows[position]])
        keep(position, lossy.through(photograph) if arms[position] == "reencoded" else photograph)
        tally.seconds_encode += time.perf_counter() - begin
    called = table.assign(position=np.arange(len(table)))
    called = called[called["call"] >= 0]
    for name, own in called.groupby("inpainter", sort=False):
        calls = own.drop_duplicates("call")
        positions = own.groupby("call")["position"].apply(list).to_dict()
        for start in range(0, len(calls), config.batch_size):
            batch = calls.iloc[start : start + config.batch_size]
            begin = time.perf_counter()
            photographs = np.stack([work.images[row] for row in batch["row"]])
            holes = _holes(work, batch["mask"].to_numpy())
            output = work.inpainters[name].fill(
                photographs, holes, batch["caption"].tolist(), seeds=batch["seed"].tolist()
            )
            tally.seconds_fill += time.perf_counter() - begin
            begin = time.perf_counter()
            for n, call in enumerate(batch["call"]):
                spliced = base.splice(photographs[n], output[n], holes[n])
                for position in positions[call]:
                    arm = arms[position]
                    if arm == "spliced_reencoded":
                        keep(position, lossy.through(spliced))
                    else:
                        keep(position, spliced if arm == "spliced" else output[n])
            tally.seconds_encode += time.perf_counter() - begin
    cache.flush()
    return contents


def _holes(work: Work, numbers: np.ndarray) -> np.ndarray:
    """The holes of a batch, (B, H, W) bool; where no hole is to be painted, none."""
    holes = work.masks.get(np.maximum(numbers, 0))
    holes[numbers < 0] = False
    return holes


def plan_shards(manifest: pd.DataFrame) -> np.ndarray:
    """(S + 1,) int64: where each shard begins in the manifest, and its length at the end."""
    shard = manifest["shard"].to_numpy()
    return np.searchsorted(shard, np.arange(shard[-1] + 2))


def write_plan(root: Path, manifest: pd.DataFrame) -> np.ndarray:
    """Write the plan, a row group for each shard; return :func:`plan_shards`."""
    import pyarrow as pa

    edges = plan_shards(manifest)
    table = pa.Table.from_pandas(manifest[list(planning.COLUMNS)], preserve_index=False)
    with atomic_path(root / PLAN) as path, pq.ParquetWriter(path, table.schema) as writer:
        for start, stop in zip(edges[:-1], edges[1:], strict=True):
            writer.write_table(table.slice(start, stop - start), row_group_size=max(1, stop - start))
    return edges
