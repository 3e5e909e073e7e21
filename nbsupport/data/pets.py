"""Oxford-IIIT Pet in its official layout: 37 breeds of cats and dogs with trimaps.

``images/`` must be there; below ``annotations/``, ``list.txt`` (species), ``trimaps/``, the official split
``trainval.txt``, ``test.txt`` and the heads in ``xmls/`` are read where they exist. The set comes without captions:
they are measured in the picture (``compose``) unless a caption file is named. A caption dictionary that lies beside the
photographs is not picked up by itself, since its keys ``<breed>_<number>.jpg`` may count rows of another copy of the
set and still look like file names of this one.

Source: Parkhi et al., Cats and Dogs, CVPR 2012 (CC BY-SA 4.0).
"""

import functools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from nbsupport.core.errors import UserError
from nbsupport.core.images import read_mask
from nbsupport.data import caption_files, compose
from nbsupport.data.photo import Photo, unique_ids

_SUFFIXES = (".jpg", ".jpeg", ".png")


def load(root: Path, *, captions: str | None = None, seed: int = 0) -> list[Photo]:
    """List the photographs of the set in `root`, sorted by name. Captions stay empty where they are to be measured.

    Args:
        root: the folder that holds ``images/`` and ``annotations/``.
        captions: a caption file, see ``caption_files``; None: all captions are measured, by :func:`compose_captions`.
        seed: unused; nothing here is drawn.

    Raises:
        UserError: there is no photograph, a line of ``list.txt`` or a split cannot be read, or the caption file is bad.
    """
    root = Path(root)
    folder = root / "images"
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in _SUFFIXES and not p.name.startswith("."))
    named = [(path, match) for path in files if (match := re.fullmatch(r"(.+)_(\d+)", path.stem))]
    if not named:
        raise UserError(
            f"'{folder}' holds no photograph named like 'Abyssinian_12.jpg'. Get the set with:  "
            "python -m nbsupport data pets"
        )
    species = _species(root)
    official = _official_split(root)
    trimaps = root / "annotations" / "trimaps"
    heads = {path.stem for path in (root / "annotations" / "xmls").glob("*.xml")}
    ids = unique_ids([path.name for path, _ in named])
    photos = []
    for (path, match), image_id in zip(named, ids, strict=True):
        breed = match[1].replace("_", " ").lower()
        trimap = trimaps / f"{path.stem}.png"
        photos.append(
            Photo(
                image_id=image_id,
                path=f"images/{path.name}",
                label=breed,
                split=official.get(path.stem),
                parts=_head(root / "annotations" / "xmls" / f"{path.stem}.xml") if path.stem in heads else {},
                object_mask=f"annotations/trimaps/{trimap.name}" if trimap.is_file() else None,
            )
        )
    if captions is None:
        return photos
    subjects = {Path(photo.path).stem.lower(): _subject(photo, species)[0] for photo in photos}
    found, report = caption_files.read(Path(captions).expanduser(), subjects)
    print(f"[pets] {report}")
    return [replace(photo, captions=found.get(Path(photo.path).stem.lower(), ())) for photo in photos]


def compose_captions(
    root: Path, photo: Photo, image: np.ndarray, object_mask: np.ndarray | None, seed: int
) -> tuple[str, ...]:
    """Captions measured in a picture, (H, W, 3) uint8 RGB, with its object, (H, W) bool or None (see ``compose``)."""
    subject, kind = _subject(photo, _remembered_species(Path(root)))
    return compose.sentences(compose.measure(image, object_mask), subject, kind, "fur", seed, photo.image_id)


def read_object_mask(root: Path, object_mask: str) -> np.ndarray:
    """Read a trimap, (H, W) bool, True = pet or its border: 1 is pet, 2 background, 3 the border between them.

    A mask of another usual form in its place is understood as ``images.read_mask`` does.
    """
    return read_mask(Path(root) / object_mask, trimap=True)


def _subject(photo: Photo, species: dict[str, str]) -> tuple[str, str]:
    """What it is and what that is more widely: ``siamese cat`` and ``cat``."""
    kind = species.get(photo.label) or ("cat" if Path(photo.path).name[0].isupper() else "dog")
    return f"{photo.label} {kind}", kind


@functools.cache
def _remembered_species(root: Path) -> dict[str, str]:
    return _species(root)


def _species(root: Path) -> dict[str, str]:
    """From ``list.txt``; without it, by the official naming: cats' files begin with a capital letter."""
    path = root / "annotations" / "list.txt"
    found: dict[str, str] = {}
    if not path.exists():
        return found
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split()
        match = re.fullmatch(r"(.+)_\d+", fields[0])
        if match is None or len(fields) < 3 or fields[2] not in ("1", "2"):
            raise UserError(
                f"'{path}', line {number}: expected '<breed>_<number> <class> <1 cat, 2 dog> …', found {line!r}. "
                "Get the annotations again with:  python -m nbsupport data pets"
            )
        found[match[1].replace("_", " ").lower()] = "cat" if fields[2] == "1" else "dog"
    return found


def _head(path: Path) -> dict[str, tuple[float, float]]:
    """``{"head": (x, y)}``, the middle of the head's box in an annotation file, in pixels; {} where it has none."""
    text = path.read_text("utf-8", errors="replace")
    edges = {name: float(value) for name, value in re.findall(r"<(xmin|xmax|ymin|ymax)>\s*([\d.]+)\s*<", text)}
    if len(edges) < 4:
        return {}
    return {"head": ((edges["xmin"] + edges["xmax"]) / 2, (edges["ymin"] + edges["ymax"]) / 2)}


def _official_split(root: Path) -> dict[str, str]:
    """File stem -> ``train`` or ``test``; empty without the official lists."""
    found = {}
    for name, split in (("trainval.txt", "train"), ("test.txt", "test")):
        path = root / "annotations" / name
        if path.exists():
            found |= {line.split()[0]: split for line in path.read_text("utf-8").splitlines() if line.strip()}
    return found
