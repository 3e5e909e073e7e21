"""A small set in the CUB layout, of pictures that no two of which look alike, for the tests of the data room."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

CAPTIONS = ("this bird has a {} belly", "a small bird, {} all over, with a short bill.")
COLOURS = ("red", "blue", "yellow", "white", "black")


def picture(number: int, height: int = 60, width: int = 80) -> np.ndarray:
    """A picture with structure at all scales, different for each number: (height, width, 3) uint8."""
    generator = np.random.default_rng(number)
    coarse = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def write_cub(root: Path, count: int = 12, classes: int = 3, ids_from: int = 7, parts_file: bool = True) -> Path:
    """Write `count` photographs in the official layout; ids have gaps of one; returns the root."""
    root = Path(root)
    lines: dict[str, list[str]] = {}
    (root / "parts").mkdir(parents=True)
    for kind in range(classes):
        lines.setdefault("classes.txt", []).append(f"{kind * 4 + 1} {kind * 4 + 1:03d}.Kind_of_{COLOURS[kind]}")
    for n in range(count):
        kind, image_id = n % classes, ids_from + 2 * n
        folder, stem = f"{kind * 4 + 1:03d}.Kind_of_{COLOURS[kind]}", f"Bird_{n:04d}"
        lines.setdefault("images.txt", []).append(f"{image_id} {folder}/{stem}.jpg")
        lines.setdefault("image_class_labels.txt", []).append(f"{image_id} {kind * 4 + 1}")
        lines.setdefault("bounding_boxes.txt", []).append(f"{image_id} 10.0 5.0 40.0 30.0")
        lines.setdefault("train_test_split.txt", []).append(f"{image_id} {n % 2}")
        lines.setdefault("parts/part_locs.txt", []).extend([f"{image_id} 1 20.5 10.0 1", f"{image_id} 2 0.0 0.0 0"])
        for where in ("images", "text_c10"):
            (root / where / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(n)).save(root / "images" / folder / f"{stem}.jpg", quality=92)
        captions = [text.format(COLOURS[(kind + k) % 5]) for k, text in enumerate(CAPTIONS)]
        (root / "text_c10" / folder / f"{stem}.txt").write_text("\n".join(captions) + "\n")
    if parts_file:
        lines["parts/parts.txt"] = ["1 back", "2 beak"]
    for name, content in lines.items():
        (root / name).write_text("\n".join(content) + "\n")
    return root
