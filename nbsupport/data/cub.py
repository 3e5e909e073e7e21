"""CUB-200-2011 in its official layout, whole or in part, with the captions of Reed et al. in any form they come in.

``images.txt``, ``image_class_labels.txt`` and ``classes.txt`` must be there; bounding boxes, the official split, parts
and segmentations are read where they exist. Ids may have gaps. Captions are found in ``text_c10/<class>/<image>.txt``
(Reed et al.), in ``text/`` or ``birds/text/`` (as AttnGAN hands them on), or in a JSON ``{file name or id:
[captions]}`` that is named explicitly. The synthetic birds are written in this layout and read by this module.

Source: Wah et al., The Caltech-UCSD Birds-200-2011 Dataset, CNS-TR-2011-001; Reed et al., CVPR 2016.
"""

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np

from nbsupport.core.errors import UserError
from nbsupport.core.images import read_grey
from nbsupport.data.photo import Photo, unique_ids
from nbsupport.data.texts import caption_table, read_json

#: The fifteen parts by their official numbers from 1, for copies of the set without ``parts/parts.txt``.
PARTS = (
    "back", "beak", "belly", "breast", "crown", "forehead", "left eye", "left leg", "left wing", "nape", "right eye",
    "right leg", "right wing", "tail", "throat",
)  # fmt: skip

# Where captions lie, below the root or beside it.
_CAPTION_PLACES = ("text_c10", "text", "birds/text_c10", "birds/text", "cvpr2016_cub/text_c10")

T = TypeVar("T")


def load(root: Path, *, captions: str | None = None, seed: int = 0) -> list[Photo]:
    """List the photographs of the set in `root`, in the order of ``images.txt``.

    Args:
        root: the folder that holds ``images.txt``.
        captions: a folder as ``text_c10/`` or a JSON file; None: found by itself.
        seed: unused; nothing here is drawn.

    Raises:
        UserError: a file is missing, a line cannot be read (named by file and number), or no captions are found.
    """
    root = Path(root)
    paths = _read(root / "images.txt", "<image id> <path>", lambda line: _pair(line, int, str))
    class_of = _read(root / "image_class_labels.txt", "<image id> <class id>", lambda line: _pair(line, int, int))
    names = _read(root / "classes.txt", "<class id> <class name>", lambda line: _pair(line, int, str))
    boxes = _read_optional(root / "bounding_boxes.txt", "<image id> <x> <y> <width> <height>", _box)
    official = _read_optional(root / "train_test_split.txt", "<image id> <0 or 1>", lambda line: _pair(line, int, int))
    parts = _read_parts(root)
    sentences = _caption_reader(root, captions)
    segmentations = _segmentations(root)
    photos = []
    for (number, path), image_id in zip(paths.items(), unique_ids(list(paths.values())), strict=True):
        kind = _of(class_of, number, path, "image_class_labels.txt", root)
        mask = segmentations and segmentations / PurePosixPath(path).with_suffix(".png")
        photos.append(
            Photo(
                image_id=image_id,
                path=f"images/{path}",
                label=_readable(_of(names, kind, path, "classes.txt", root)),
                captions=sentences(number, path, image_id),
                split=("test", "train")[_of(official, number, path, "train_test_split.txt", root)]
                if official
                else None,
                box=_of(boxes, number, path, "bounding_boxes.txt", root) if boxes else None,
                object_mask=mask.as_posix() if mask and (root / mask).is_file() else None,
                parts=parts.get(number, {}),
            )
        )
    if not photos:
        raise UserError(f"'{root / 'images.txt'}' lists no photograph. {_AGAIN}")
    return photos


def read_object_mask(root: Path, object_mask: str) -> np.ndarray:
    """Read a segmentation, (H, W) bool, True = object; its greys say how many annotators agreed, half of them count."""
    return read_grey(Path(root) / object_mask) > 127


def places(root: Path, captions: str | None = None) -> list[Path]:
    """What :func:`load` reads outside `root`: the segmentations and captions that lie beside it or are named."""
    segmentations = _segmentations(Path(root))
    found = [captions and Path(captions).expanduser() or _find_captions(Path(root))]
    found.append(Path(root) / segmentations if segmentations else None)
    return [path for path in found if path is not None]


_AGAIN = "Extract the official archive again, or download it with:  python -m nbsupport data cub"


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    if not path.is_file():
        raise UserError(f"'{path}' is missing; it belongs to the CUB-200-2011 layout. {_AGAIN}")
    for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def _read(path: Path, form: str, parse: Callable[[str], tuple[int, T]]) -> dict[int, T]:
    """Read a file of lines ``id value``; a line of another form is an error with its number."""
    table: dict[int, T] = {}
    for number, line in _lines(path):
        try:
            key, value = parse(line)
        except (ValueError, IndexError):
            raise UserError(f"'{path}', line {number}: expected '{form}', found {line[:80]!r}. {_AGAIN}") from None
        if key in table:
            raise UserError(f"'{path}', line {number}: id {key} was given before. {_AGAIN}")
        table[key] = value
    return table


def _read_optional(path: Path, form: str, parse: Callable[[str], tuple[int, T]]) -> dict[int, T] | None:
    return _read(path, form, parse) if path.exists() else None


def _pair(line: str, first: Callable[[str], int], second: Callable[[str], T]) -> tuple[int, T]:
    key, value = line.split(maxsplit=1)
    return first(key), second(value)


def _box(line: str) -> tuple[int, tuple[float, float, float, float]]:
    key, x, y, width, height = line.split()
    box = (float(x), float(y), float(width), float(height))
    if not np.isfinite(box).all() or box[2] <= 0 or box[3] <= 0:
        raise ValueError("no box")
    return int(key), box


def _of(table: dict[int, T], key: int, path: str, file: str, root: Path) -> T:
    if key not in table:
        raise UserError(f"'{root / file}' has no line for id {key}, which '{path}' needs. {_AGAIN}")
    return table[key]


def _read_parts(root: Path) -> dict[int, dict[str, tuple[float, float]]]:
    """Visible parts by image id; the names of ``parts.txt``, or the official ones."""
    names = _read_optional(root / "parts" / "parts.txt", "<part id> <name>", lambda line: _pair(line, int, str))
    names = names or dict(enumerate(PARTS, 1))
    path, form = root / "parts" / "part_locs.txt", "<image id> <part id> <x> <y> <visible>"
    found: dict[int, dict[str, tuple[float, float]]] = {}
    for number, line in _lines(path) if path.exists() else ():
        try:
            image, part, x, y, visible = line.split()
            if int(visible):
                found.setdefault(int(image), {})[names[int(part)]] = (float(x), float(y))
        except (ValueError, KeyError):
            raise UserError(f"'{path}', line {number}: expected '{form}', found {line[:80]!r}. {_AGAIN}") from None
    return found


def _readable(name: str) -> str:
    """``001.Black_footed_Albatross`` -> ``Black footed Albatross``."""
    number, dot, rest = name.partition(".")
    return (rest if dot and number.isdigit() and rest else name).replace("_", " ")


def _segmentations(root: Path) -> PurePosixPath | None:
    """The folder of the segmentations relative to the root: inside it, or beside it as their archive lays it out."""
    for place in ("segmentations", "../segmentations"):
        if (root / place).is_dir():
            return PurePosixPath(place)
    return None


def _find_captions(root: Path) -> Path | None:
    for place in (base / name for base in (root, root.parent) for name in _CAPTION_PLACES):
        if place.is_dir():
            return place
    return None


def _caption_reader(root: Path, captions: str | None) -> Callable[[int, str, str], tuple[str, ...]]:
    """A function from (official id, path, image id) to the captions of a photograph, which may be none."""
    place = Path(captions).expanduser() if captions else _find_captions(root)
    if place is None:
        raise UserError(
            f"No captions were found for the birds in '{root}': looked for {', '.join(_CAPTION_PLACES)} in it and "
            "beside it. Put the captions of Reed et al. (text_c10) there, or name a folder or JSON file with:  "
            "--set 01.captions=PATH"
        )
    if place.is_dir():
        return lambda number, path, image_id: _sentences(_text(place / PurePosixPath(path).with_suffix(".txt")))
    if not place.is_file():
        raise UserError(f"There are no captions at '{place}'. Mend the parameter `captions` of chapter 1.")
    if place.suffix.lower() in (".pickle", ".pkl"):
        raise UserError(
            f"'{place}' is a pickle, and opening one can run any program in it: it is not read. The download that it "
            "comes from holds the same captions as text. Name that folder with:  --set 01.captions=PATH/text"
        )
    table = caption_table(read_json(place), place)

    def from_table(number: int, path: str, image_id: str) -> tuple[str, ...]:
        inner = PurePosixPath(path)
        keys = (path, f"images/{path}", inner.with_suffix("").as_posix(), inner.name, inner.stem, image_id, str(number))
        value = next((table[key] for key in keys if key in table), [])
        return _sentences([value] if isinstance(value, str) else [str(item) for item in value])

    return from_table


def _text(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []  # a photograph without captions is rejected by the index, with that reason


def _sentences(lines: list[str]) -> tuple[str, ...]:
    """Captions with their white space and undecodable signs mended, empty and repeated ones left out."""
    clean = (" ".join(line.replace("\ufffd", " ").split()) for line in lines)
    return tuple(dict.fromkeys(line for line in clean if line))
