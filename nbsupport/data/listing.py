"""Before any picture is opened: whether the source is as it was, and which of its photographs to use."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from nbsupport import rng
from nbsupport.data.records import Photo


def signature(root: Path, source: ModuleType, captions: str | None) -> str:
    """A hash of the names and sizes of all files that a source reads; no file is opened.

    It is what tells a finished index from one whose source has since got more photographs or other captions. Sources
    that read outside their root say where in ``places(root, captions)``.
    """
    outside = source.places(root, captions) if hasattr(source, "places") else [Path(captions)] if captions else []
    digest = hashlib.sha256()
    for base in (Path(root), *outside):
        for name, size in sorted(_files(base)):
            digest.update(f"{name}\t{size}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _files(base: Path) -> list[tuple[str, int]]:
    """Relative path and size of every file below `base` (or of `base` itself), hidden ones left out."""
    if base.is_file():
        return [(base.name, base.stat().st_size)]
    found, folders = [], [str(base)] if base.is_dir() else []
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file():
                    found.append((os.path.relpath(entry.path, base), entry.stat().st_size))
    return found


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
