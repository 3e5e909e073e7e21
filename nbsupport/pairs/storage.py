"""How the files of a shard stand on the disk: in a run a folder of files; in an export also an archive or a table.

A shard takes its name only when it is whole. A file's path in the manifest goes through its shard, e.g.
``pairs/shards/00012/NAME.png``; :func:`read` follows it.

Formats: WebDataset (the members of one stem are one sample, github.com/webdataset/webdataset); parquet with a column
``image`` of ``{bytes, path}``, as the library `datasets` reads it. Not here: what is in a file (:mod:`.files`).
"""

import io
import json
import os
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nbsupport.core.errors import UserError
from nbsupport.core.files import atomic_path

#: Form of an export -> what a shard's name ends in.
SUFFIXES: dict[str, str] = {"tar": ".tar", "parquet": ".parquet"}


def write_archive(path: Path, kind: str, files: Mapping[str, bytes], facts: Sequence[Mapping[str, Any]]) -> None:
    """Write the files of one shard of an export; it appears under its name only when all of it is there.

    Args:
        path: the shard's. kind: see :data:`SUFFIXES`. files: name -> content, in order.
        facts: a line of the manifest for each file, kept beside the picture.
    """
    with atomic_path(path) as temporary:
        (_write_tar if kind == "tar" else _write_parquet)(temporary, files, facts)


def write(path: Path, files: Mapping[str, bytes]) -> None:
    """Write the files (name -> content) of one shard; it appears under its name only when all of it is there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        for name, content in files.items():
            (temporary / name).write_bytes(content)
        remove(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_tar(path: Path, files: Mapping[str, bytes], facts: Sequence[Mapping[str, Any]]) -> None:
    """Members in WebDataset's order: for each picture STEM.png, then STEM.json. Times and owners are zero."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for (name, content), fact in zip(files.items(), facts, strict=True):
            about = json.dumps(dict(fact), ensure_ascii=False, default=str).encode()
            for member, body in ((name, content), (f"{Path(name).stem}.json", about)):
                entry = tarfile.TarInfo(member)
                entry.size = len(body)
                archive.addfile(entry, io.BytesIO(body))


def _write_parquet(path: Path, files: Mapping[str, bytes], facts: Sequence[Mapping[str, Any]]) -> None:
    images = [{"bytes": content, "path": name} for name, content in files.items()]
    lines = [{**fact, "image": image} for fact, image in zip(facts, images, strict=True)]
    pq.write_table(pa.Table.from_pylist(lines), path, compression="none")  # pictures are compressed already


def remove(path: Path) -> None:
    """Remove a shard, whatever it is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def read(root: Path, paths: Sequence[str]) -> list[bytes]:
    """Contents of files by the manifest's paths, in their order.

    Raises:
        UserError: a file or its shard is missing.
    """
    return [_read_one(root, Path(path)) for path in paths]


def _read_one(root: Path, path: Path) -> bytes:
    try:
        return (root / path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"'{root / path}' is missing from the paired set. Run chapter 6 again to restore it.") from None
