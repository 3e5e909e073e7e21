"""Before any picture is opened: whether the source is as it was, and which of its photographs to use."""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from nbsupport.config import DataConfig
from nbsupport.core import rng
from nbsupport.core.errors import UserError
from nbsupport.core.files import hash_file, read_json, write_json
from nbsupport.data import SOURCES
from nbsupport.data.records import Photo
from nbsupport.data.walk import files_below
from nbsupport.runs import Run

#: Files that are opened every time; of all others the hash is kept while size, times and inode stay the same.
_ALWAYS_READ = (".csv", ".jsonl", ".json", ".parquet", ".txt", ".caption", ".pickle", ".xml", ".tsv")


#: Hashes of a source's files, kept in the run so that unchanged photographs are not read again.
HASHES = "source_hashes.json"


def source_signature(run: Run, config: DataConfig, root: Path) -> str:
    """The fingerprint of the files that `config` reads at `root`, names and contents."""
    return signature(root, SOURCES[config.dataset], config.captions, run / HASHES)


def signature(root: Path, source: ModuleType, captions: str | None, kept: Path | None = None) -> str:
    """A hash of the names and contents of all files that a source reads.

    It is what tells a finished index from one whose source has since got other photographs or captions. Sources that
    read outside their root say where in ``places(root, captions)``.

    Args: kept: a JSON file in which hashes are kept, so that a photograph is not read again while its size, the times
        of its last change and its inode are the same; tables of captions are always read.
    """
    before, after = {}, {}
    with contextlib.suppress(UserError, OSError):
        before = read_json(kept) if kept is not None else {}
    outside = source.places(root, captions) if hasattr(source, "places") else [Path(captions)] if captions else []
    digest = hashlib.sha256()
    for base in (Path(root), *outside):
        for name, _ in sorted(_files(base)):
            path = base / name if base.is_dir() else base
            key = os.fsencode(path).hex()  # any name, as text
            after[key] = _known_hash(path, before.get(key))
            digest.update(f"{name}\t{after[key][1]}\n".encode(errors="surrogateescape"))
    if kept is not None and after != before:
        write_json(kept, after)
    return digest.hexdigest()[:16]


def _known_hash(path: Path, before: list | None) -> list:
    """[what tells whether a file was touched, its SHA-256]; a file that cannot be read has the hash ``unreadable``."""
    try:
        status = path.stat()
        touched = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        if before and before[0] == touched and path.suffix.lower() not in _ALWAYS_READ:
            return before
        return [touched, hash_file(path)]
    except OSError:
        return [None, "unreadable"]


def _files(base: Path) -> list[tuple[str, int]]:
    """Relative path and size of every file below `base` (or of `base` itself), hidden ones left out."""
    if base.is_file():
        return [(base.name, base.stat().st_size)]
    return [(os.path.relpath(path, base), path.stat().st_size) for path in files_below(base)]


def choose(photos: Sequence[Photo], count: int, seed: int) -> list[Photo]:
    """At most `count` photographs (0: all), drawn with as equal a number from each label as there are; sorted by id.

    The draw depends on the ids and the seed, not on the order of `photos`; a smaller count gives a subset of a larger.
    """
    photos = sorted(photos, key=lambda photo: photo.image_id)
    if count <= 0 or count >= len(photos):
        return photos
    by_label: dict[str, list[Photo]] = {}
    for photo in photos:
        by_label.setdefault(photo.label, []).append(photo)
    labels = sorted(by_label)
    labels = [labels[n] for n in rng.generator(seed, "labels of the subset").permutation(len(labels))]
    turns = []
    for place, label in enumerate(labels):
        order = rng.generator(seed, "subset", label).permutation(len(by_label[label]))
        turns += [(turn, place, by_label[label][n]) for turn, n in enumerate(order)]
    turns.sort(key=lambda item: item[:2])  # every label's first photograph, then every label's second …
    return sorted((photo for _, _, photo in turns[:count]), key=lambda photo: photo.image_id)
