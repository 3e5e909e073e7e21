"""The stage ``index``: from a source to the table of its photographs, their splits, the image cache, the vocabulary.

Everything later reads what this stage leaves in the run folder, and never the source again: ``index.parquet``,
``rejected.csv``, ``cache/``, ``vocabulary.json``.
"""

import contextlib
import hashlib
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from nbsupport.config import SPLITS, DataConfig
from nbsupport.core import rng
from nbsupport.core.errors import ConfigError, UserError, unknown
from nbsupport.core.files import atomic_path, hash_file, read_json, write_json
from nbsupport.data import SOURCES, resolve_root, splits
from nbsupport.data.cache import CacheWriter, ImageCache, writing
from nbsupport.data.captions import MANY_UNKNOWN, Vocabulary, check_spaced
from nbsupport.data.ingest import ingest_all
from nbsupport.data.photo import Photo
from nbsupport.data.texts import files_below
from nbsupport.runs import Run

#: One group with more than this share of all photographs is a warning: the splits can no longer be balanced.
LARGE_GROUP = 0.05

_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("path", pa.string()),
        ("source", pa.string()),
        ("label", pa.string()),
        ("split", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("sha256", pa.string()),
        ("phash", pa.string()),
        ("group", pa.int64()),
        ("captions", pa.list_(pa.string())),
        ("box", pa.list_(pa.float64())),
        ("object_mask", pa.string()),
        ("parts", pa.list_(pa.struct([("part", pa.string()), ("x", pa.float64()), ("y", pa.float64())]))),
        ("official_split", pa.string()),
    ]
)


@dataclass(frozen=True)
class Dataset:
    """The photographs of a run: what every later stage reads.

    Attributes:
        index: one row for each photograph, in the order of the cache: ``image_id, path, source, label, split, width,
            height`` (upright, pixels)``, sha256, phash`` (16 hexadecimal digits or None)``, group, captions`` (list of
            str)``, box`` (x, y, width, height or None)``, object_mask`` (path or None)``, parts`` (dict name -> (x, y)
            in pixels of the file)``, official_split``.
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
        if split not in SPLITS:
            raise ConfigError(unknown("split", split, SPLITS))
        return np.flatnonzero((self.index["split"] == split).to_numpy())

    def row_of(self, image_id: str) -> int:
        """The row of a photograph by its id."""
        found = np.flatnonzero((self.index["image_id"] == image_id).to_numpy())
        if not len(found):
            raise ConfigError(f"There is no photograph '{image_id}' in this run's index.")
        return int(found[0])


def prepare(run: Run, config: DataConfig) -> Dataset:
    """Index the photographs of `config` into `run`, or load them when that is done and the source is as it was.

    Raises:
        UserError: the source is not there or not in its layout, or nothing usable is in it.
    """
    run.check_replace("index", config)  # before birds are drawn over those that are there
    root = resolve_root(config, run)
    stage = run.stage("index", config, source={"source": source_signature(run, config, root)})
    if not stage.finished:
        with stage:
            stage.note(**_make(run, config, root))
            stage.outputs("index.parquet", "rejected.csv", "cache/cache.json", "cache/images.u8", "cache/objects.u8")
            stage.outputs("cache/parts.parquet", "vocabulary.json")
    return load(run)


def load(run: Run) -> Dataset:
    """The photographs of a run; raises :class:`MissingStage` when chapter 1 has not been run."""
    config = dict(run.require("index")["config"])
    config.pop("signature", None)  # of older versions
    index = pd.read_parquet(run / "index.parquet")
    index["captions"] = index["captions"].map(list)
    index["parts"] = [{part["part"]: (part["x"], part["y"]) for part in parts} for parts in index["parts"]]
    index["box"] = pd.Series([None if box is None else tuple(box) for box in index["box"]], dtype=object)
    for column in ("object_mask", "official_split", "phash"):
        index[column] = pd.Series([None if pd.isna(value) else value for value in index[column]], dtype=object)
    return Dataset(
        index=index,
        rejected=pd.read_csv(run / "rejected.csv", dtype=str, keep_default_na=False),
        cache=ImageCache.open(run / "cache"),
        vocabulary=Vocabulary.load(run / "vocabulary.json"),
        config=DataConfig.from_mapping(config),
    )


def _make(run: Run, config: DataConfig, root: Path) -> dict[str, Any]:
    """Do the work of the stage and return the notes for its record."""
    listed = _list(root, config)
    photos = choose(listed, config.count, config.seed)

    start = time.perf_counter()
    with writing(run / "cache", config.image_size) as cache:
        found = _read(photos, root, config, cache)
    seconds = time.perf_counter() - start

    table = _table(found.photos, found.facts, config)
    vocabulary = _vocabulary(table)
    _warn_of_unknown_words(vocabulary, table)
    with atomic_path(run / "rejected.csv") as temporary:
        pd.DataFrame(found.rejected, columns=["path", "reason"]).to_csv(temporary, index=False)
    vocabulary.save(run / "vocabulary.json")
    with atomic_path(run / "index.parquet") as temporary:
        pq.write_table(pa.Table.from_pydict(table, schema=_SCHEMA), temporary)
    return {
        "root": root,
        "listed": len(listed),
        "chosen": len(photos),
        "photographs_per_second": round(len(photos) / seconds, 1),
        "object_masks_left_out": dict(found.mask_problems.most_common(5)),
        **_warn_of_large_groups(np.array(table["group"])),
    }


@dataclass(frozen=True)
class Check:
    """What the files of a source are worth for the book; nothing was written.

    Attributes:
        table: the columns of the index of the usable photographs; empty if there are too few to share out.
        rejected: (path, reason). masks: how many have an object mask.
        problem: why chapter 1 would refuse them, with the number needed; empty if it would not.
    """

    table: dict[str, Sequence]
    rejected: Sequence[tuple[str, str]]
    masks: int
    problem: str = ""


def check(root: Path, config: DataConfig) -> Check:
    """Open every photograph of a source as chapter 1 would, and say what would become of them.

    Raises:
        UserError: the source cannot be listed, or not one file of it can be used.
    """
    found = _read(_list(root, config), root, config)
    table, problem = {}, ""
    try:
        table = _table(found.photos, found.facts, config)
        splits.check_enough(table["group"], table["split"], config.validation_fraction, config.test_fraction)
    except UserError as error:
        problem = str(error)
    return Check(table, found.rejected, found.masks, problem)


def _list(root: Path, config: DataConfig) -> list[Photo]:
    """What the source lists; raises UserError for an id that it lists twice."""
    listed = SOURCES[config.dataset].load(root, captions=config.captions, seed=config.seed)
    twice = [name for name, times in Counter(photo.image_id for photo in listed).items() if times > 1]
    if twice:
        raise UserError(f"The source '{config.dataset}' lists {len(twice)} ids more than once, e.g. '{twice[0]}'.")
    return listed


@dataclass
class _Found:
    """What came of reading photographs: the usable ones with (width, height, sha256, phash), and the others."""

    photos: list[Photo] = field(default_factory=list)
    facts: list[tuple] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    masks: int = 0
    mask_problems: Counter[str] = field(default_factory=Counter)


def _read(photos: Sequence[Photo], root: Path, config: DataConfig, cache: CacheWriter | None = None) -> _Found:
    """Read every photograph, into `cache` if there is one; raises UserError where none can be used."""
    check_spaced([text for photo in photos for text in photo.captions])  # before the pictures, which take longer
    found = _Found()
    results = ingest_all(photos, root=root, config=config)
    for photo, result in zip(photos, tqdm(results, "indexing", len(photos), unit="photo"), strict=True):
        if isinstance(result, str):
            found.rejected.append((photo.path, result))
            continue
        if cache is not None:
            cache.add(photo.image_id, result.image, result.object_mask, result.parts)
        found.photos.append(replace(photo, captions=result.captions))
        found.facts.append((result.width, result.height, result.sha256, result.phash))
        found.masks += result.object_mask is not None
        found.mask_problems.update([result.mask_problem] if result.mask_problem else [])
    if not found.photos:
        raise UserError(_nothing_left(root, found.rejected))
    return found


def _vocabulary(table: dict[str, Sequence]) -> Vocabulary:
    """The words of the train captions; held-out captions may not teach it any."""
    captions = [
        text for split, own in zip(table["split"], table["captions"], strict=True) for text in own if split == "train"
    ]
    # Of a handful of captions nearly every word occurs once, and dropping those would leave no vocabulary at all.
    return Vocabulary.build(captions, min_count=2 if len(captions) >= 100 else 1)


def _warn_of_unknown_words(vocabulary: Vocabulary, table: dict[str, Sequence]) -> None:
    """A line where more than a fifth of the held-out captions' words are not among those of the training captions."""
    pairs = zip(table["split"], table["captions"], strict=True)
    unknown = vocabulary.unknown_share(text for split, own in pairs for text in own if split != "train")
    if unknown > MANY_UNKNOWN:
        print(
            f"[captions] Careful: {unknown:.0%} of the words of the held-out captions are unknown to the vocabulary of "
            "the training captions; the networks can make nothing of them."
        )


def _warn_of_large_groups(groups: np.ndarray) -> dict[str, str]:
    """A note where one group holds more of the photographs than can be shared out fairly."""
    largest = int(np.bincount(groups).max())
    if largest <= max(LARGE_GROUP * len(groups), 3):
        return {}
    warning = (
        f"one group of near-duplicates holds {largest} of {len(groups)} photographs; if they are not really alike, "
        "lower near_duplicate_bits"
    )
    print(f"[index] warning: {warning}.")
    return {"warning": warning}


def _nothing_left(root: Path, rejected: Sequence[tuple[str, str]]) -> str:
    reasons = Counter(reason for _, reason in rejected).most_common(3)
    listed = "; ".join(f"{reason} ({times})" for reason, times in reasons) or "the source lists none"
    return f"None of the {len(rejected)} photographs of '{root}' can be used: {listed}. See the layout with --help."


def _table(photos: Sequence[Photo], facts: Sequence[tuple], config: DataConfig) -> dict[str, Sequence]:
    """The columns of the index, with groups and splits worked out."""
    width, height, sha256, phash = (list(column) for column in zip(*facts, strict=True))
    hashes = np.array([value or 0 for value in phash], dtype=np.uint64)
    hashed = np.array([value is not None for value in phash])
    keys = [
        (f"sha256:{digest}", *(f"key:{key}" for key in photo.keys))
        for photo, digest in zip(photos, sha256, strict=True)
    ]
    groups = splits.near_duplicate_groups(hashes, config.near_duplicate_bits, keys, hashed)
    if groups.max() < 2:
        raise UserError(
            f"Only {groups.max() + 1} independent photographs are left (near-duplicates count as one), and train, "
            "validation and test need one each. Add photographs, or lower `near_duplicate_bits`."
        )
    labels = [photo.label for photo in photos]
    return {
        "image_id": [photo.image_id for photo in photos],
        "path": [photo.path for photo in photos],
        "source": [config.dataset] * len(photos),
        "label": labels,
        "split": splits.assign(groups, labels, config.validation_fraction, config.test_fraction, config.seed).tolist(),
        "width": width,
        "height": height,
        "sha256": sha256,
        "phash": [None if value is None else f"{value:016x}" for value in phash],
        "group": groups.tolist(),
        "captions": [list(photo.captions) for photo in photos],
        "box": [None if photo.box is None else list(photo.box) for photo in photos],
        "object_mask": [photo.object_mask for photo in photos],
        "parts": [[{"part": name, "x": x, "y": y} for name, (x, y) in photo.parts.items()] for photo in photos],
        "official_split": [photo.split for photo in photos],
    }


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
