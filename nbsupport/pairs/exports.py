"""The paired set as other tools read it; the pictures' bytes are those of the set, and names give no class away.

Forms: ``real_fake`` (``<split>/0_real/``, ``<split>/1_fake/``: CNNDetection, Wang et al. 2020, and its kin),
``imagefolder`` (``<split>/`` with ``metadata.jsonl``, as the library `datasets` reads it), ``webdataset``
(``<split>-NNNNN.tar``) and ``parquet`` (``<split>-NNNNN.parquet``).
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from nbsupport.core import rng
from nbsupport.core.errors import ConfigError, UserError, unknown
from nbsupport.pairs import storage
from nbsupport.pairs.files import Encoding
from nbsupport.pairs.store import Pairs

FORMS: tuple[str, ...] = ("real_fake", "imagefolder", "webdataset", "parquet")
_ARCHIVE = 2048  # pictures in an archive
_FOLDERS = {"real": "0_real", "fake": "1_fake"}


def export(pairs: Pairs, target: Path, form: str = "real_fake", rows: Sequence[int] | np.ndarray | None = None) -> int:
    """Write a set, or some of its manifest rows, in another form; return the number of pictures.

    Files are numbered in an order drawn by chance, the same in every export, since the set's own order would tell
    partners apart. ``metadata.jsonl`` and the manifest beside the others say what each picture is.

    Args: target: a folder that does not exist or is empty; it appears only when it is whole. form: see the module.

    Raises:
        ConfigError: no such form, or the target holds something. UserError: it cannot be written.
    """
    if form not in FORMS:
        raise ConfigError(unknown("form of export", form, FORMS))
    target = Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"'{target}' holds something already. Name a folder that does not exist yet.")
    chosen = pairs.manifest.iloc[np.arange(len(pairs)) if rows is None else np.asarray(rows)]
    if not len(chosen):
        raise ConfigError("There is no picture to export.")
    chosen = chosen.assign(number=chosen.index, order=rng.hashes(0, chosen["path"], "export")).sort_values("order")
    suffix = Encoding.parse(pairs.config.encoding).suffix
    chosen["name"] = [f"{n:08d}{suffix}" for n in range(len(chosen))]
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        temporary.mkdir(parents=True)
        with tqdm(total=len(chosen), desc="export", unit="image") as progress:
            for split, table in chosen.groupby("split", sort=False):
                _WRITERS[form](temporary, str(split), table, pairs, progress.update)
        chosen.drop(columns=["number", "order"]).to_parquet(temporary / "manifest.parquet", index=False)
        if target.exists():
            target.rmdir()
        os.replace(temporary, target)
    except OSError as error:
        raise UserError(f"'{target}' cannot be written ({error.strerror or error}). Nothing is left there.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return len(chosen)


def _facts(table: pd.DataFrame) -> list[dict]:
    return table.drop(columns=["number", "order", "path", "shard", "row", "mask", "call"]).to_dict("records")


def _real_fake(root: Path, split: str, table: pd.DataFrame, pairs: Pairs, told: Callable[[int], object]) -> None:
    for folder in _FOLDERS.values():
        (root / split / folder).mkdir(parents=True, exist_ok=True)
    for label, name, content in zip(table["label"], table["name"], pairs.contents(table["number"]), strict=True):
        (root / split / _FOLDERS[label] / name).write_bytes(content)
        told(1)


def _imagefolder(root: Path, split: str, table: pd.DataFrame, pairs: Pairs, told: Callable[[int], object]) -> None:
    (root / split).mkdir(exist_ok=True)
    with open(root / split / "metadata.jsonl", "w", encoding="utf-8") as lines:
        for fact, content in zip(_facts(table), pairs.contents(table["number"]), strict=True):
            name = fact.pop("name")
            (root / split / name).write_bytes(content)
            lines.write(json.dumps({"file_name": name, **fact}, ensure_ascii=False) + "\n")
            told(1)


def _archives(kind: str) -> Callable[..., None]:
    def write(root: Path, split: str, table: pd.DataFrame, pairs: Pairs, told: Callable[[int], object]) -> None:
        for number, part in enumerate(_parts(table)):
            contents = dict(zip(part["name"], pairs.contents(part["number"]), strict=True))
            path = root / f"{split}-{number:05d}{storage.SUFFIXES[kind]}"
            storage.write_archive(path, kind, contents, _facts(part.drop(columns="name")))
            told(len(part))

    return write


def _parts(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for start in range(0, len(table), _ARCHIVE):
        yield table.iloc[start : start + _ARCHIVE]


_WRITERS = {
    "real_fake": _real_fake,
    "imagefolder": _imagefolder,
    "webdataset": _archives("tar"),
    "parquet": _archives("parquet"),
}
