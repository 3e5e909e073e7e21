"""Writes synthetic birds to disk in the layout of CUB-200-2011, with segmentations and an attribute table.

A bird's files depend on `(seed, number, size)` alone: a larger set begins with the same bytes.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm.auto import tqdm

from nbsupport.core.code_version import code_version
from nbsupport.core.errors import ConfigError, UserError
from nbsupport.core.files import atomic_path, read_json, write_json
from nbsupport.core.rng import generator
from nbsupport.data.cub import PARTS
from nbsupport.data.synthetic.captions import captions
from nbsupport.data.synthetic.drawing import draw_bird
from nbsupport.data.synthetic.parameters import PARAMETER_NAMES, TYPES, BirdParameters, sample_parameters

if TYPE_CHECKING:
    import pandas as pd  # imported where it is used: the drawing processes need no tables and start faster without

_ENCODER = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
_FOLDERS = {"images": ".jpg", "segmentations": ".png", "text_c10": ".txt"}  # each holds a folder for each type
_RECIPE = "recipe.json"  # written last: the set is whole when it is there
_PARALLEL_FROM = 150  # birds; below that, starting processes costs more than it saves
_CHUNK = 25


def class_name(type_number: int) -> str:
    """The folder of a type, e.g. ``004.Thrush``: numbered from 1, as in CUB."""
    return f"{type_number + 1:03d}.{TYPES[type_number].name}"


def image_name(params: BirdParameters) -> str:
    """Its file name without the suffix, e.g. ``Thrush_00017``: the image_id in the index."""
    return f"{params.type.name}_{params.number:05d}"


def _write_one(root: Path, params: BirdParameters, size: int) -> dict:
    """Draw and write one bird; return the rows that go into the tables."""
    drawing = draw_bird(params, size)
    folder, name = class_name(params.type_number), image_name(params)
    encoded = cv2.imencode(".jpg", drawing.image[..., ::-1], _ENCODER)[1]
    (root / "images" / folder / f"{name}.jpg").write_bytes(encoded.tobytes())
    mask = cv2.imencode(".png", drawing.object_mask.astype(np.uint8) * 255)[1]
    (root / "segmentations" / folder / f"{name}.png").write_bytes(mask.tobytes())
    (root / "text_c10" / folder / f"{name}.txt").write_text("\n".join(captions(params)) + "\n", "utf-8")
    ys, xs = np.nonzero(drawing.object_mask)
    box = (xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1) if len(xs) else (0, 0, size, size)
    row = {name: getattr(params, name) for name in PARAMETER_NAMES}
    row |= {"image_id": name, "type": params.type.name}
    return {"row": row, "path": f"{folder}/{name}.jpg", "kind": params.type_number + 1, "box": box,
            "parts": drawing.parts}  # fmt: skip


def _write_many(root: Path, seed: int, numbers: range, size: int) -> list[dict]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the processes share the cores, and pictures this small gain nothing from threads
    birds = [sample_parameters(seed, number) for number in numbers]
    for kind, folder in itertools.product(_FOLDERS, {class_name(params.type_number) for params in birds}):
        (root / kind / folder).mkdir(parents=True, exist_ok=True)
    try:
        return [_write_one(root, params, size) for params in birds]
    finally:
        cv2.setNumThreads(threads)


def write(root: Path, count: int, size: int = 96, seed: int = 0, workers: int | None = None) -> Path:
    """Draw `count` birds of `size` x `size` pixels into `root`, in the CUB layout; a matching set is left as it is.

    Args:
        workers: processes; None: one for each core. The files do not depend on it.

    Returns:
        root.

    Raises:
        ConfigError: a count below 1 or a size below 16.
        UserError: `root` holds something else.
    """
    root = Path(root)
    if count < 1 or size < 16:
        raise ConfigError(f"Synthetic birds need count >= 1 and size >= 16, got count={count}, size={size}.")
    recipe = {"count": count, "size": size, "seed": seed, "version": _version()}
    marker = root / _RECIPE
    if marker.exists() and read_json(marker) == recipe:
        return root
    unfinished = root / ".unfinished"
    if root.exists() and any(root.iterdir()) and not marker.exists() and not unfinished.exists():
        raise UserError(f"The folder '{root}' is not empty and holds no synthetic birds. Choose another folder.")
    if root.is_symlink():  # the birds of another run stay as they are
        root.unlink()
    root.mkdir(parents=True, exist_ok=True)
    unfinished.touch()
    _remove_listed(root)
    marker.unlink(missing_ok=True)
    chunks = [range(first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]
    found: list[dict] = []
    with tqdm(total=count, desc="drawing birds", unit="bird") as bar:
        for chunk in _write_chunks(root, seed, chunks, size, workers or os.cpu_count() or 1):
            found += chunk
            bar.update(len(chunk))
    _write_tables(root, found, seed)
    write_json(marker, recipe)
    unfinished.unlink()
    return root


def _version() -> str:
    """Of the code that draws: a set of another version is drawn again."""
    return code_version(f"{__name__}:_write_chunks", f"{__name__}:_write_tables")


def _write_chunks(root: Path, seed: int, chunks: list[range], size: int, workers: int) -> Iterator[list[dict]]:
    """Write the birds, chunk by chunk and in their order, in several processes when there are enough of them.

    joblib's processes do not run the caller's script again, as the standard library's would: a script of two lines
    needs no ``if __name__ == "__main__"``.
    """
    if workers == 1 or sum(map(len, chunks)) < _PARALLEL_FROM:
        yield from (_write_many(root, seed, numbers, size) for numbers in chunks)
        return
    from joblib import Parallel, delayed

    jobs = (delayed(_write_many)(root, seed, numbers, size) for numbers in chunks)
    yield from Parallel(n_jobs=workers, return_as="generator", pre_dispatch="all")(jobs)


def _remove_listed(root: Path) -> None:
    """Remove the birds of the set that was here before, by its own list; what else lies in the folder stays."""
    listing = root / "images.txt"
    for line in listing.read_text("utf-8").splitlines() if listing.exists() else ():
        path = PurePosixPath(line.split(maxsplit=1)[1])
        for kind, suffix in _FOLDERS.items():
            if not path.is_absolute() and ".." not in path.parts:
                (root / kind / path.with_suffix(suffix)).unlink(missing_ok=True)
    listing.unlink(missing_ok=True)


def _write_tables(root: Path, found: list[dict], seed: int) -> None:
    """The official text files, one line for each bird, and the attribute table."""
    import pandas as pd

    used = sorted({item["kind"] for item in found})
    tables = {
        "images.txt": [f"{i} {item['path']}" for i, item in enumerate(found, 1)],
        "classes.txt": [f"{number} {class_name(number - 1)}" for number in used],
        "image_class_labels.txt": [f"{i} {item['kind']}" for i, item in enumerate(found, 1)],
        "bounding_boxes.txt": [
            f"{i} " + " ".join(f"{float(v):.1f}" for v in item["box"]) for i, item in enumerate(found, 1)
        ],
        "train_test_split.txt": [
            f"{i} {int(generator(seed, 'official split', item['row']['number']).random() < 0.5)}"
            for i, item in enumerate(found, 1)
        ],
        "parts/parts.txt": [f"{k} {name}" for k, name in enumerate(PARTS, 1)],
        "parts/part_locs.txt": [
            f"{i} {k} {item['parts'][name][0]:.1f} {item['parts'][name][1]:.1f} 1"
            if name in item["parts"]
            else f"{i} {k} 0.0 0.0 0"
            for i, item in enumerate(found, 1)
            for k, name in enumerate(PARTS, 1)
        ],
    }
    for name, lines in tables.items():
        with atomic_path(root / name) as temporary:
            temporary.write_text("\n".join(lines) + "\n", "utf-8")
    with atomic_path(root / "attributes" / "birds.csv") as temporary:
        pd.DataFrame([item["row"] for item in found]).set_index("image_id").to_csv(temporary)


def read_attributes(root: Path) -> pd.DataFrame:
    """The attribute table of a written set: one row for each bird (index: image_id), one column for each parameter.

    Raises:
        UserError: there is none, so these are not synthetic birds.
    """
    import pandas as pd

    path = Path(root) / "attributes" / "birds.csv"
    if not path.exists():
        raise UserError(f"'{root}' has no attributes/birds.csv: only synthetic birds have an attribute table.")
    return pd.read_csv(path, index_col="image_id", keep_default_na=False)


def read_parameters(root: Path) -> dict[str, BirdParameters]:
    """image_id -> parameters, as they were drawn."""
    table = read_attributes(root)
    return {
        str(image_id): sample_parameters(int(seed), int(number))
        for image_id, seed, number in zip(table.index, table["seed"], table["number"], strict=True)
    }
