"""Text files as people have them: the encoding told from the bytes, JSON with a message about the user's own file.

Not here: files that the package wrote itself; see ``core.files.read_json``.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbsupport.core.errors import UserError


def decoded(file: Path) -> str:
    """The text of a file: UTF-8 with or without a byte-order mark, UTF-16 with one, or Windows-1252 (Latin-1).

    Bytes that are not UTF-8 are read as Windows-1252, and that is said, where they stand alone or in twos, as accented
    letters do. Longer runs are another script, which is not guessed.

    Raises:
        UserError: there is no such file, or it is of another encoding.
    """
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise UserError(f"'{file}' cannot be opened ({error.strerror}). Check its name and its permissions.") from None
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"{error.reason} at byte {error.start}"
    if not re.search(rb"[\x80-\xff]{3}", data):
        try:
            text = data.decode("cp1252")
        except UnicodeDecodeError:
            pass
        else:
            print(f"[captions] {Path(file).name} is not UTF-8 and was read as Windows-1252 (Latin-1).")
            return text
    raise UserError(f"'{file}' is not UTF-8 text ({problem}). Save it as UTF-8.")


def caption_table(content: Any, file: Path) -> dict[str, list[str]]:
    """File name -> captions, of what a JSON file holds: such a dictionary, or the annotations of COCO captions.

    COCO has ``{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}``. Images without a caption
    are in the result with an empty list.

    Raises:
        UserError: of neither form; or annotations of an image that is not listed.
    """
    if not isinstance(content, dict):
        raise UserError(
            f"'{file}' must hold a dictionary {{file name: [captions]}}, or images and annotations as COCO has them."
        )
    if not {"images", "annotations"} <= content.keys():
        return {name: [value] if isinstance(value, str) else value for name, value in content.items()}
    try:
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        found: dict[str, list[str]] = {name: [] for name in names.values()}
        for annotation in content["annotations"]:
            found[names[annotation["image_id"]]].append(str(annotation["caption"]))
    except (KeyError, TypeError) as error:
        raise UserError(
            f"'{file}' is no COCO caption file ({error!r}): each image needs id and file_name, each annotation the "
            "image_id of one of them, and a caption. Files of boxes and segments (instances_*.json) have no captions."
        ) from None
    return found


def read_json(file: Path) -> Any:
    """The content of a JSON file of the user's own, in any encoding that :func:`decoded` reads.

    Raises:
        UserError: not valid JSON; the message names file, line and column.
    """
    try:
        return json.loads(decoded(file))
    except ValueError as error:
        raise UserError(f"'{file}' is not valid JSON: {error}. Correct the file at that place.") from None


def files_below(base: Path) -> Iterator[Path]:
    """Every file below `base`, folder by folder in the order of names, each folder once.

    Linked folders come last, so that what lies below `base` anyway is listed where it lies. What begins with a dot is
    left out, and so are a folder that cannot be opened and a link that leads nowhere.
    """
    seen, folders, links = set(), [str(base)], []
    while folders or links:
        folder = folders.pop() if folders else links.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(folder) as opened:
                entries = sorted(opened, key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if os.path.isdir(entry.path):  # unlike an entry's own method it takes a link to itself for nothing
                (links if entry.is_symlink() else folders).append(entry.path)
            elif os.path.isfile(entry.path):
                yield Path(entry.path)
