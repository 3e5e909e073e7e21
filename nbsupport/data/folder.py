"""Any folder of photographs with a ``metadata.jsonl`` or ``metadata.csv``: the ImageFolder convention.

One row for each photograph: ``file_name`` (relative to the metadata file), ``text`` (a caption or a list of them), and
optionally ``label``, ``mask`` (a picture, 255 = object) and ``group`` (photographs that must not be parted, e.g. of one
place). Without metadata, all photographs below the folder are taken, the sub-folder is the label, and masks are looked
for as ``masks/<stem>.png``. Captions that are missing are composed from measured colours (``compose``).
This is how photographs of one's own campus or street come in.
"""

import csv
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from nbsupport.data import compose
from nbsupport.data.images import read_grey
from nbsupport.data.records import Photo, unique_ids
from nbsupport.errors import UserError

#: File endings that are taken for photographs when there is no metadata to name them.
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
_METADATA = ("metadata.jsonl", "metadata.csv")
_MASKS = "masks"  # folders of this name hold no photographs
_TEXT = ("text", "caption", "captions")
NO_LABEL = "photograph"


def load(root: Path, *, captions: str | None = None, seed: int = 0) -> list[Photo]:
    """List the photographs below `root`, sorted by path. Captions stay empty where they are to be measured.

    Args:
        root: the folder.
        captions: another metadata file to use in place of the folder's own; its file names are relative to `root`.
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
        files = sorted(path for name in _METADATA for path in root.rglob(name) if not _hidden(path, root))
        rows = [row for path in files for row in _rows(path, path.parent, root)]
    present = _photographs(root)
    if not files:
        rows = [{"path": path, "captions": ()} for path in present]
    elif left_out := set(present) - {row["path"] for row in rows} - {row.get("mask") for row in rows}:
        print(f"[folder] {len(left_out):,} photographs have no row in the metadata: left out, e.g. {min(left_out)}.")
    if not rows:
        what = f"its {files[0].name} has no row" if files else f"no file in it ends in {', '.join(sorted(SUFFIXES))}"
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
    if photo.label == NO_LABEL or re.search(r"\d", subject) or not subject:  # a number says nothing about what is seen
        subject = "various things" if measured.size is None else "thing"
    return compose.sentences(measured, subject, subject, None, seed, photo.image_id)


def read_object_mask(root: Path, object_mask: str) -> np.ndarray:
    """Read a mask, (H, W) bool, True = object (greys above 127)."""
    return read_grey(Path(root) / object_mask) > 127


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _photographs(root: Path) -> list[str]:
    """Relative paths of all photographs, without hidden files and masks."""
    found = []
    for path in root.rglob("*"):
        relative = path.relative_to(root)
        if path.suffix.lower() in SUFFIXES and not _hidden(path, root) and _MASKS not in relative.parts[:-1]:
            if path.is_file():
                found.append(relative.as_posix())
    return found


def _folder_label(path: str) -> str:
    parent = PurePosixPath(path).parent
    return parent.name or NO_LABEL


def _mask_beside(root: Path, path: str) -> str | None:
    """``masks/<stem>.png``, beside the photograph or in the root, if there is one."""
    photo = PurePosixPath(path)
    for mask in (photo.parent / _MASKS / f"{photo.stem}.png", PurePosixPath(_MASKS) / photo.with_suffix(".png")):
        if (root / mask).is_file():
            return mask.as_posix()
    return None


def _rows(file: Path, base: Path, root: Path) -> Iterator[dict[str, Any]]:
    """The rows of one metadata file, with paths relative to `root`; `base` is what its file names are relative to."""
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"'{file}' is not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8."
        ) from None
    for where, entry in _entries(file, text):
        name = entry.get("file_name")
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"{where}: the row has no 'file_name'. Each row names one photograph.")
        row = {
            "path": _inside(base, name, root, where),
            "captions": _captions(entry, where),
            "label": _text(entry.get("label")),
            "group": _text(entry.get("group")),
        }
        if entry.get("mask"):
            row["mask"] = _inside(base, str(entry["mask"]), root, where)
        yield row


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()  # a label may be the number 0


def _entries(file: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) of a JSON-lines or CSV file."""
    if file.suffix.lower() == ".csv":
        reader = csv.DictReader(io.StringIO(text))
        if reader.fieldnames is None or "file_name" not in reader.fieldnames:
            raise UserError(f"'{file}' has no column 'file_name' (it has: {', '.join(reader.fieldnames or ['none'])}).")
        try:
            for row in reader:
                yield f"'{file}', line {reader.line_num}", row
        except csv.Error as error:
            raise UserError(f"'{file}', line {reader.line_num}: not valid CSV ({error}).") from None
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


def _inside(base: Path, name: str, root: Path, where: str) -> str:
    """`name` relative to `root`; a path that leads out of the folder is refused.

    Links in the folder are followed: data kept by a version control or a download cache often consist of them.
    """
    path = Path(os.path.normpath(base / name.replace("\\", "/")))
    try:
        return path.relative_to(os.path.normpath(root)).as_posix()
    except ValueError:
        raise UserError(f"{where}: '{name}' leads out of the folder '{root}'. Put the file inside it.") from None


def _captions(entry: dict[str, Any], where: str) -> tuple[str, ...]:
    value = next((entry[name] for name in _TEXT if entry.get(name)), ())
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{where}: 'text' must be a caption or a list of captions, found {value!r}.")
    return tuple(text.strip() for text in texts if text.strip())
