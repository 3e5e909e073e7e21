"""A finished paired set: its manifest, its files, and the same pictures as one memory-mapped array."""

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from nbsupport.config import SPLITS, PairsConfig
from nbsupport.core.errors import ConfigError, UserError, unknown
from nbsupport.pairs import files, planning, storage
from nbsupport.pairs.generation import CACHE, FOLDER, MANIFEST
from nbsupport.pairs.planning import ARMS
from nbsupport.runs import Run


@dataclass(frozen=True)
class Pairs:
    """The paired set of a run.

    Attributes:
        root: the run folder; the manifest's paths are relative to it.
        manifest: columns as in ``planning.COLUMNS``, one row for each file.
        config: how the set was made.
    """

    root: Path
    manifest: pd.DataFrame
    config: PairsConfig

    def __len__(self) -> int:
        return len(self.manifest)

    @cached_property
    def cache(self) -> np.memmap:
        """All pictures, (N, H, W, 3) uint8 RGB, in the order of the manifest; read-only, from disk as needed."""
        return np.load(self.root / CACHE, mmap_mode="r")

    def read(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Decode the files of manifest rows: (B, H, W, 3) uint8 RGB. The cache is faster; this is the evidence."""
        paths = [self.manifest["path"].iloc[int(row)] for row in rows]
        if not paths:
            return np.empty((0, *self.cache.shape[1:]), np.uint8)
        with ThreadPoolExecutor(4) as pool:  # zlib works outside Python's lock
            return np.stack(list(pool.map(files.decode, storage.read(self.root, paths), paths)))

    def contents(self, rows: Sequence[int] | np.ndarray) -> Iterator[bytes]:
        """The encoded files of manifest rows, as they are on the disk, one after another."""
        for row in rows:
            yield storage.read(self.root, [self.manifest["path"].iloc[int(row)]])[0]

    def rows(self, split: str | None = None, arm: str | None = None, inpainter: str | None = None) -> np.ndarray:
        """Manifest rows of a split, an arm and an inpainter (None: any), ascending int64."""
        chosen = np.ones(len(self), bool)
        for column, value in (("split", split), ("arm", arm), ("inpainter", inpainter)):
            if value is not None:
                held = self.manifest[column].to_numpy()
                if value not in held:
                    raise ConfigError(unknown(f"{column} of the paired set", value, sorted(set(held) - {""})))
                chosen &= held == value
        return np.flatnonzero(chosen)

    def counts(self) -> pd.DataFrame:
        """Number of files: one row for each split, one column for each arm, in the order in which they are used."""
        table = self.manifest.groupby(["split", "arm"]).size().unstack("arm", fill_value=0)
        rows, columns = ([n for n in names if n in held] for names, held in ((SPLITS, table.index), (ARMS, table)))
        return table.loc[rows, columns]

    def sets(self, inpainter: str | None = None) -> pd.DataFrame:
        """Manifest rows side by side: index image_id, one column for each arm, for one inpainter (None: the first).

        Of several fills of a photograph the first one.
        """
        inpainter = inpainter or self.config.inpainters[0]
        table = self.manifest[self.manifest["inpainter"].isin(["", inpainter])]
        table = table.drop_duplicates(["image_id", "arm"])
        wide = table.assign(number=table.index).pivot(index="image_id", columns="arm", values="number")
        order = self.manifest["image_id"].drop_duplicates()
        return wide.loc[order[order.isin(wide.index)], [arm for arm in ARMS if arm in wide]].astype(int)

    def sample(
        self, size: int, split: str | None = None, arms: Sequence[str] = ("original", "spliced"), seed: int = 0
    ) -> np.ndarray:
        """A balanced subset of manifest rows: `size` pictures, as many real as fake, of whole groups.

        Both classes come from the same photographs. A larger subset of the same seed holds the smaller one, except for
        a handful where a group did not fit.

        Args:
            size: wanted number of pictures of both classes together, e.g. 2,000, 4,000 and 13,000 for a learning curve.
            split: None takes every split in proportion. arms: as many real ones as fake ones.

        Returns:
            (M,) int64, ascending; M is `size`, rounded down to what whole photographs give.

        Raises:
            ConfigError: arms that are not balanced, or fewer pictures than wanted.
        """
        labels = [ARMS.get(arm) for arm in arms]
        if labels.count("real") != labels.count("fake") or None in labels or not arms:
            raise ConfigError(f"A balanced subset takes as many real arms as fake ones, got {tuple(arms)!r}.")
        if missing := [arm for arm in arms if arm not in set(self.manifest["arm"])]:
            raise ConfigError(unknown("arm of the paired set", missing[0], sorted(set(self.manifest["arm"]))))
        within = self.manifest[self.manifest["arm"].isin(arms)].drop_duplicates(["image_id", "arm"])
        within = within if split is None else within[within["split"] == split]
        once = within.drop_duplicates("image_id")
        wanted = size // len(arms)
        if wanted > len(once):
            raise ConfigError(
                f"{size} pictures of {len(arms)} arms need {wanted} photographs, and there are {len(once)}. Ask for at "
                f"most {len(once) * len(arms)}, or make a larger set in chapter 6."
            )
        photographs = once.iloc[planning.choose_photographs(once, wanted, seed)]["image_id"] if wanted else []
        return within.index[within["image_id"].isin(photographs)].to_numpy()

    def batches(self, rows: np.ndarray, size: int = 256) -> Iterator[np.ndarray]:
        """`rows` in runs of `size`, for work in constant memory."""
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def load(run: Run) -> Pairs:
    """Load the paired set of a run.

    Raises:
        MissingStage: chapter 6 has not run.
        UserError: the files do not belong together.
    """
    record = run.require("pairs")
    pairs = Pairs(run.path, pd.read_parquet(run / MANIFEST), PairsConfig.from_mapping(record["config"]))
    if len(pairs.cache) != len(pairs.manifest):
        raise UserError(
            f"'{run / CACHE}' holds {len(pairs.cache)} pictures, its manifest {len(pairs.manifest)} rows. Delete "
            f"'{run / FOLDER}' and run chapter 6 again."
        )
    return pairs


def clear(run: Run) -> None:
    """Remove the paired set of a run, finished or not."""
    shutil.rmtree(run / FOLDER, ignore_errors=True)
