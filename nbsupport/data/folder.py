"""Any folder of photographs with ``metadata.jsonl``, ``.csv`` or ``.parquet``: the ImageFolder convention.

One row for each photograph: ``file_name`` (relative to the metadata file), a caption or a list of them in one of the
columns of :data:`TEXT`, and optionally ``label``, ``mask`` (a picture, 255 = object) and ``group`` (photographs that
must stay in one split, e.g. of one place). Case and spaces of column names do not matter. Without metadata, all
photographs below the folder are taken, a caption is what stands in ``<stem>.txt`` or ``.caption`` beside one, the
sub-folder is the label, and masks are looked for as ``masks/<stem>.png``. Captions that are missing are composed from
measured colours (``compose``). What was read, and what was not, is said in one line each.
This is how photographs of one's own campus or street come in.
"""

import ast
import csv
import io
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from nbsupport.core.errors import UserError
from nbsupport.core.images import read_mask, suffixes
from nbsupport.data import compose
from nbsupport.data.photo import Photo, unique_ids
from nbsupport.data.texts import caption_table, decoded, files_below, read_json

_HEIF = "convert them to JPEG, or: pip install pillow-heif"
#: Pictures that are not read, and what to do about it.
_UNREAD = {".heic": _HEIF, ".heif": _HEIF, ".psd": "export them as PNG",
           ".svg": "they are drawings", ".dng": "develop them", ".cr2": "develop them", ".nef": "develop them",
           ".arw": "develop them"}  # fmt: skip
_METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_MASKS = "masks"  # folders of this name hold no photographs
#: Columns that hold captions, the first one that a table has.
TEXT: tuple[str, ...] = ("text", "caption", "captions", "prompt", "additional_feature", "sentence", "sentences",
                         "description")  # fmt: skip
_KNOWN = ("file_name", "label", "mask", "group")
#: A mask that cannot be read or is of another aspect ratio rejects its photograph: someone drew it for this one.
MASKS_MUST_FIT = True
_BESIDE = (".txt", ".caption")  # a caption in a file beside its photograph
NO_LABEL = "photograph"
#: Names of folders that say how a collection is kept, and nothing of what its photographs show.
_GENERIC = frozenset({
    "train", "training", "test", "testing", "val", "valid", "validation", "dev", "image", "images", "img", "imgs",
    "photo", "photos", "picture", "pictures", "camera", "dcim", "data", "dataset", "download", "downloads",
    "jpg", "jpeg", "png", "all", "misc", "new", "untitled",
})  # fmt: skip


def load(root: Path, *, captions: str | None = None, seed: int = 0) -> list[Photo]:
    """List the photographs below `root`, sorted by path. Captions stay empty where they are to be measured.

    Args:
        root: the folder.
        captions: another metadata file to use in place of the folder's own, or a JSON file of ``{file name: captions}``
            or of COCO captions; its file names are relative to `root`.
        seed: unused; nothing here is drawn.

    Raises:
        UserError: there is no photograph, or a row of the metadata cannot be read, is double, or leads out of the
            folder; the message names file and line. A row whose file is missing is no error here: it is rejected
            with that reason when the index is made.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"There is no folder '{root}'.")
    if captions is not None:
        files = [Path(captions).expanduser()]
        if not files[0].is_file():
            raise UserError(f"There is no caption file '{captions}'.")
        rows = list(_rows(files[0], root, root))
    else:
        files = sorted(path for path in files_below(root) if path.name in _METADATA)
        rows = [row for path in files for row in _rows(path, path.parent, root)]
    present = _photographs(root)
    if not files:
        rows = [{"path": path, "captions": _beside(root, path)} for path in present]
    else:
        _spelt_otherwise(rows, present)
        if captions is not None and files[0].suffix.lower() == ".json":
            _in_a_folder_below(rows, present)
    if files and (left_out := set(present) - {row["path"] for row in rows} - {row.get("mask") for row in rows}):
        print(f"[folder] {len(left_out):,} photographs have no row in the metadata: left out, e.g. {min(left_out)}.")
    _report(root, rows)
    if not rows:
        what = f"its {files[0].name} has no row" if files else f"no file in it ends in {', '.join(sorted(suffixes()))}"
        raise UserError(f"The folder '{root}' holds no photographs: {what}.")
    rows.sort(key=lambda row: row["path"])
    for first, second in zip(rows, rows[1:], strict=False):
        if first["path"] == second["path"]:
            raise UserError(f"'{first['path']}' is described twice in the metadata of '{root}'. Keep one of the rows.")
    ids = unique_ids([row["path"] for row in rows])
    return [
        Photo(
            image_id=image_id,
            path=row["path"],
            label=row.get("label") or _folder_label(row["path"]),
            captions=row["captions"],
            object_mask=row.get("mask") or _mask_beside(root, row["path"]),
            keys=(f"group:{row['group']}",) if row.get("group") else (),
        )
        for image_id, row in zip(ids, rows, strict=True)
    ]


def compose_captions(
    root: Path, photo: Photo, image: np.ndarray, object_mask: np.ndarray | None, seed: int
) -> tuple[str, ...]:
    """Captions measured in a picture, (H, W, 3) uint8 RGB, with its object, (H, W) bool or None (see ``compose``)."""
    subject = re.sub(r"[\W_]+", " ", photo.label).strip().lower()
    measured = compose.measure(image, object_mask)
    silent = photo.label == NO_LABEL or subject in _GENERIC or re.search(r"\d", subject) or not subject
    if silent:  # a number, or the name of a collection, says nothing about what is seen
        subject = "various things" if measured.size is None else "thing"
    return compose.sentences(measured, subject, subject, None, seed, photo.image_id)


def read_object_mask(root: Path, object_mask: str) -> np.ndarray:
    """Read a mask, (H, W) bool, True = object; see ``images.read_mask``."""
    return read_mask(Path(root) / object_mask)


def _photographs(root: Path) -> list[str]:
    """Relative paths of the photographs, without hidden files and masks; names that are no text are told, not read."""
    found, nameless, readable = [], [], suffixes()
    for path in files_below(root):
        relative = path.relative_to(root)
        if path.suffix.lower() in readable and _MASKS not in relative.parts[:-1]:
            try:
                relative.as_posix().encode()
            except UnicodeEncodeError:
                nameless.append(relative.as_posix().encode("utf-8", "backslashreplace").decode())
            else:
                found.append(relative.as_posix())
    if nameless:
        print(f"[folder] {len(nameless):,} files have names that are not UTF-8, e.g. {nameless[0]}: left out.")
    return found


def _folder_label(path: str) -> str:
    """The nearest folder whose name says something of its photographs."""
    names = (name for name in reversed(PurePosixPath(path).parent.parts) if name.lower() not in _GENERIC)
    return next(names, NO_LABEL)


def _spelt_otherwise(rows: list[dict[str, Any]], present: list[str]) -> None:
    """Give rows the name that the disk has, where it differs in case or in how Unicode composes its letters alone."""

    def plain(path: str) -> str:
        return unicodedata.normalize("NFC", path).casefold()

    there, names = set(present), Counter(map(plain, present))
    by_name = {plain(path): path for path in present if names[plain(path)] == 1}
    renamed = [row for row in rows if row["path"] not in there and plain(row["path"]) in by_name]
    for row in renamed:
        row["path"] = by_name[plain(row["path"])]
    if renamed:
        example = renamed[0]["path"]
        print(f"[folder] {len(renamed):,} names of the metadata are spelt otherwise on the disk, e.g. {example}.")


def _in_a_folder_below(rows: list[dict[str, Any]], present: list[str]) -> None:
    """COCO names files without the folder (``val2017``) that they lie in: give rows that of the one file so named."""
    there, names = set(present), Counter(PurePosixPath(path).name for path in present)
    folders = {PurePosixPath(path).name: path for path in present if names[PurePosixPath(path).name] == 1}
    for row in rows:
        if row["path"] not in there:
            row["path"] = folders.get(row["path"], row["path"])


def _beside(root: Path, path: str) -> tuple[str, ...]:
    """The lines of a caption file beside a photograph."""
    for suffix in _BESIDE:
        file = (root / path).with_suffix(suffix)
        if file.is_file():
            return tuple(line.strip() for line in decoded(file).splitlines() if line.strip())
    return ()


def _report(root: Path, rows: list[dict[str, Any]]) -> None:
    """Say how many captions were read and from where, which columns were not, and which pictures were left out."""
    captions, spoken = sum(len(row["captions"]) for row in rows), sum(bool(row["captions"]) for row in rows)
    used = sorted({row["column"] for row in rows if row.get("column")})
    source = f"column {', '.join(used)}" if used else "files beside them" if spoken else "no column of captions"
    unread = sorted({name for row in rows for name in row.get("unread", ())})
    said = f"[folder] {captions:,} captions of {spoken:,} of {len(rows):,} photographs ({source})"
    said += "." if spoken == len(rows) else "; those of the others are measured."
    print(said + (f" Columns not read: {', '.join(unread)}." if unread else ""))
    left: dict[str, int] = {}
    for path in files_below(root):
        if path.suffix.lower() in _UNREAD.keys() - suffixes():
            left[path.suffix.lower()] = left.get(path.suffix.lower(), 0) + 1
    for suffix, count in sorted(left.items()):
        print(f"[folder] {count:,} {suffix} files are left out: {_UNREAD[suffix]}.")


def _mask_beside(root: Path, path: str) -> str | None:
    """``masks/<stem>.png``, beside the photograph or in the root, if there is one."""
    photo = PurePosixPath(path)
    for mask in (photo.parent / _MASKS / f"{photo.stem}.png", PurePosixPath(_MASKS) / photo.with_suffix(".png")):
        if (root / mask).is_file():
            return mask.as_posix()
    return None


def _rows(file: Path, base: Path, root: Path) -> Iterator[dict[str, Any]]:
    """The rows of one metadata file, with paths relative to `root`; `base` is what its file names are relative to."""
    for where, raw in _entries(file):
        entry = {str(name).strip().lower(): value for name, value in raw.items() if name is not None}
        name = entry.get("file_name")
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"{where}: the row has no 'file_name'. Each row names one photograph.")
        column = next((name for name in TEXT if entry.get(name)), None)
        row = {
            "path": _inside(base, name.strip(), root, where),
            "captions": _captions(entry.get(column, ()) if column else (), where),
            "column": column,
            "unread": [name for name in entry if name not in (*_KNOWN, *TEXT) and name],
            "label": _text(entry.get("label")),
            "group": _text(entry.get("group")),
        }
        if entry.get("mask"):
            row["mask"] = _inside(base, str(entry["mask"]), root, where)
        yield row


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()  # a label may be the number 0


def _entries(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) of a metadata file."""
    if file.suffix.lower() == ".parquet":
        try:
            table = pd.read_parquet(file)
        except Exception as error:  # pyarrow raises what it likes
            raise UserError(f"'{file}' cannot be read as parquet ({error}).") from error
        for number, row in enumerate(table.to_dict("records")):
            yield f"'{file}', row {number}", {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in row.items()}
        return
    if file.suffix.lower() == ".json":
        for name, texts in caption_table(read_json(file), file).items():
            yield f"'{file}', {name}", {"file_name": name, "text": texts}
        return
    text = decoded(file)
    if file.suffix.lower() == ".csv":
        yield from _csv_entries(file, text)
        return
    for number, line in enumerate(text.split("\n"), 1):  # splitlines would also split inside of JSON strings
        if not line.strip():
            continue
        where = f"'{file}', line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{where}: not valid JSON ({error}). Each line is one object.") from None
        if not isinstance(row, dict):
            raise UserError(f'{where}: expected an object like {{"file_name": "a.jpg", "text": "…"}}, found {line!r}.')
        yield where, row


def _csv_entries(file: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) of a CSV file, separated by whatever separates its first line."""
    head = text.split("\n", 1)[0]
    separator = max(",;\t", key=head.count) if any(mark in head for mark in ",;\t") else ","
    reader = csv.DictReader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    names = [name.strip().lower() for name in reader.fieldnames or ()]
    if "file_name" not in names:
        raise UserError(f"'{file}' has no column 'file_name' (it has: {', '.join(reader.fieldnames or ['none'])}).")
    last = reader.fieldnames[-1]
    try:
        for row in reader:
            where = f"'{file}', line {reader.line_num}"
            if extra := row.pop(None, None):  # more fields than columns: a separator that was not quoted
                if names[-1] not in TEXT:
                    raise UserError(
                        f"{where}: more fields than columns. Put quotes around what has a '{separator}' in it."
                    )
                row[last] = f"{separator} ".join([row[last], *extra])
            yield where, row
    except csv.Error as error:
        raise UserError(f"'{file}', line {reader.line_num}: not valid CSV ({error}).") from None


def _inside(base: Path, name: str, root: Path, where: str) -> str:
    """`name` relative to `root`; a path that leads out of the folder is refused.

    Links in the folder are followed: data kept by a version control or a download cache often consist of them.
    """
    path = Path(os.path.normpath(base / name.replace("\\", "/")))
    try:
        return path.relative_to(os.path.normpath(root)).as_posix()
    except ValueError:
        raise UserError(f"{where}: '{name}' leads out of the folder '{root}'. Put the file inside it.") from None


def _captions(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, str) and value.lstrip().startswith("["):  # a list in a cell, as JSON or as Python writes it
        try:
            value = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            pass
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{where}: the text must be a caption or a list of captions, found {value!r}.")
    return tuple(text.strip() for text in texts if text.strip())
