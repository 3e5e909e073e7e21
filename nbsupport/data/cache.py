"""The image cache: every photograph decoded and resized once, then read from memory-mapped files.

Four files in one folder: ``images.u8`` and ``objects.u8`` are bare bytes in row order (so that they can be written one
row after another without knowing how many files will turn out to be usable), ``cache.json`` gives their shape, and
``parts.parquet`` the part points. Not here: how a picture becomes a square; see ``index``.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from nbsupport.core.errors import MissingStage, UserError
from nbsupport.core.files import atomic_path, read_json, write_json


@dataclass(frozen=True)
class ImageCache:
    """Photographs, object masks and part points of a run at one size S, read-only; rows as in the index.

    Attributes:
        images: (N, S, S, 3) uint8 RGB, memory-mapped.
        objects: (N, S, S) bool, True = object, memory-mapped. All False where `has_object` is False; the filled
            bounding box where nothing finer is known.
        has_object: (N,) bool.
        parts: columns ``image_id, row, part, x, y`` (cache pixels from the left and top edge), inside the frame only.
    """

    images: np.memmap
    objects: np.ndarray
    has_object: np.ndarray
    parts: pd.DataFrame

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """The side S of every picture in pixels."""
        return self.images.shape[1]

    def batch(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Copy the photographs of the given rows, in their order: (B, S, S, 3) uint8 RGB."""
        return np.take(self.images.view(np.ndarray), np.asarray(rows, dtype=np.int64), axis=0)

    def object_batch(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Copy the object masks of the given rows: (B, S, S) bool, True = object."""
        return np.take(self.objects.view(np.ndarray), np.asarray(rows, dtype=np.int64), axis=0)

    def parts_of(self, row: int) -> dict[str, tuple[float, float]]:
        """The visible parts of one photograph: name -> (x, y) in cache pixels."""
        found = self.parts[self.parts["row"] == row]
        return {part: (x, y) for part, x, y in zip(found["part"], found["x"], found["y"], strict=True)}

    @classmethod
    def open(cls, folder: Path) -> "ImageCache":
        """Map the cache in `folder`; raises :class:`MissingStage` where there is none, `UserError` where it is cut."""
        folder = Path(folder)
        if not (folder / "cache.json").exists():
            raise MissingStage(f"There is no image cache in '{folder}'. Run chapter 1 first.")
        about = read_json(folder / "cache.json")
        count, size = about["count"], about["size"]
        shapes = {"images.u8": (count, size, size, 3), "objects.u8": (count, size, size)}
        for name, shape in shapes.items():
            if (folder / name).stat().st_size != np.prod(shape):
                raise UserError(f"'{folder / name}' is not whole. Delete '{folder}' and run chapter 1 again.")
        images, objects = (np.memmap(folder / n, dtype=np.uint8, mode="r", shape=s) for n, s in shapes.items())
        has_object = np.unpackbits(np.array(about["has_object"], dtype=np.uint8), count=count).astype(bool)
        return cls(images, objects.view(bool), has_object, pd.read_parquet(folder / "parts.parquet"))


class CacheWriter:
    """Takes photographs one after another; used through :func:`writing`."""

    def __init__(self, size: int, images, objects) -> None:
        self.size, self._images, self._objects = size, images, objects
        self._has_object: list[bool] = []
        self._parts: list[tuple[str, int, str, float, float]] = []

    def add(
        self,
        image_id: str,
        image: np.ndarray,
        object_mask: np.ndarray | None = None,
        parts: Mapping[str, tuple[float, float]] | None = None,
    ) -> int:
        """Append one photograph and return its row.

        Args:
            image_id: its id, for the table of parts.
            image: (S, S, 3) uint8 RGB.
            object_mask: (S, S) bool, True = object, or None where none is known.
            parts: name -> (x, y) in cache pixels; points outside the frame are left out.
        """
        row, size = len(self._has_object), self.size
        if image.shape != (size, size, 3) or image.dtype != np.uint8:
            raise ValueError(f"expected ({size}, {size}, 3) uint8, got {image.shape} {image.dtype}")
        known = object_mask is not None and bool(object_mask.any())
        self._images.write(np.ascontiguousarray(image).data)
        filled = object_mask.astype(bool) if known else np.zeros((size, size), dtype=bool)
        self._objects.write(np.ascontiguousarray(filled).view(np.uint8).data)
        self._has_object.append(known)
        for part, (x, y) in (parts or {}).items():
            if 0 <= x < size and 0 <= y < size:
                self._parts.append((image_id, row, part, float(x), float(y)))
        return row

    def _finish(self, folder: Path) -> None:
        parts = pd.DataFrame(self._parts, columns=["image_id", "row", "part", "x", "y"])
        types = {"image_id": "str", "row": "int64", "part": "str", "x": "float64", "y": "float64"}
        with atomic_path(folder / "parts.parquet") as temporary:
            parts.astype(types).to_parquet(temporary, index=False)
        packed = np.packbits(np.array(self._has_object, dtype=bool))
        about = {"count": len(self._has_object), "size": self.size, "has_object": packed}
        write_json(folder / "cache.json", about)


@contextlib.contextmanager
def writing(folder: Path, size: int) -> Iterator[CacheWriter]:
    """Write a cache of pictures of side `size` into `folder`; the files take their names only when all went well."""
    folder = Path(folder)
    with contextlib.ExitStack() as stack:
        files = []
        for name in ("images.u8", "objects.u8"):
            temporary = stack.enter_context(atomic_path(folder / name))
            files.append(stack.enter_context(open(temporary, "wb", buffering=1 << 20)))
        writer = CacheWriter(size, *files)
        yield writer
    writer._finish(folder)
