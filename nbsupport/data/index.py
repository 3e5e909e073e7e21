"""The stage ``index``: from a source to the table of its photographs, their splits, the image cache, the vocabulary."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nbsupport.config import DataConfig
from nbsupport.data.cache import ImageCache
from nbsupport.data.captions import Vocabulary
from nbsupport.errors import ConfigError, unknown
from nbsupport.runs import Run


@dataclass(frozen=True)
class Dataset:
    """The photographs of a run: what every later stage reads.

    Attributes:
        index: one row for each photograph, in the order of the cache: ``image_id, path, source, label, split, width,
            height, sha256, phash, group, captions`` (list of str)``, box`` (x, y, width, height or None)``,
            object_mask, parts`` (dict name -> (x, y))``, official_split``.
        rejected: ``path, reason`` of the files that could not be used.
        cache: pictures, object masks and part points.
        vocabulary: of the captions of the train split.
        config: the parameters it was made with.
    """

    index: pd.DataFrame
    rejected: pd.DataFrame
    cache: ImageCache
    vocabulary: Vocabulary
    config: DataConfig

    def __len__(self) -> int:
        return len(self.index)

    def rows(self, split: str | None = None) -> np.ndarray:
        """Row numbers of one split, or of all photographs: (n,) int64, ascending."""
        if split is None:
            return np.arange(len(self.index))
        names = ("train", "validation", "test")
        if split not in names:
            raise ConfigError(unknown("split", split, names))
        return np.flatnonzero((self.index["split"] == split).to_numpy())

    def row_of(self, image_id: str) -> int:
        """The row of a photograph by its id."""
        found = np.flatnonzero((self.index["image_id"] == image_id).to_numpy())
        if not len(found):
            raise ConfigError(unknown("photograph", image_id, self.index["image_id"].head(50)))
        return int(found[0])


def prepare(run: Run, config: DataConfig) -> Dataset:
    """Index the photographs of `config` into `run`, or load them when that is done."""
    raise NotImplementedError


def load(run: Run) -> Dataset:
    """The photographs of a run; raises :class:`MissingStage` when chapter 1 has not been run."""
    raise NotImplementedError
