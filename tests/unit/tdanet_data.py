"""A small run with coloured shapes and captions that name their colours, for the tests of TDANet and its training."""

import numpy as np
import pandas as pd

from nbsupport.config import DataConfig
from nbsupport.data import index
from nbsupport.data.cache import ImageCache
from nbsupport.data.captions import Vocabulary
from nbsupport.data.index import Dataset
from nbsupport.runs import Run

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (40, 70, 220), "yellow": (230, 220, 40)}


def dataset(count: int = 24, size: int = 32, seed: int = 0) -> Dataset:
    """Squares of one colour in the middle of another; the hole hides a square, only the caption knows its colour."""
    draw = np.random.default_rng(seed)
    names = list(COLOURS)
    images, captions = np.zeros((count, size, size, 3), np.uint8), []
    for number in range(count):
        ground, square = draw.choice(names), draw.choice(names)
        images[number] = np.array(COLOURS[ground]) * 0.6 + 40
        images[number, size // 4 : -size // 4, size // 4 : -size // 4] = COLOURS[square]
        captions.append([f"a {square} square on a {ground} ground", f"the square is {square} and it lies on {ground}"])
    split = np.where(np.arange(count) % 4 == 3, "test", np.where(np.arange(count) % 4 == 2, "validation", "train"))
    table = pd.DataFrame({"image_id": [f"s{n}" for n in range(count)], "split": split, "captions": captions})
    table["group"] = np.arange(count)
    objects = np.zeros((count, size, size), bool)
    objects[:, size // 4 : -size // 4, size // 4 : -size // 4] = True
    parts = pd.DataFrame(
        [(f"s{n}", n, "corner", size / 4, size / 4) for n in range(count)],
        columns=["image_id", "row", "part", "x", "y"],
    )
    cache = ImageCache(images, objects, np.ones(count, bool), parts)
    vocabulary = Vocabulary.build([text for own in captions for text in own], min_count=1)
    return Dataset(table, pd.DataFrame(columns=["path", "reason"]), cache, vocabulary, DataConfig(image_size=size))


def run_with(monkeypatch, data: Dataset, path) -> Run:
    """A run whose stage ``index`` is finished and gives `data`."""
    monkeypatch.setattr(index, "load", lambda run: data)
    run = Run(path)
    with run.stage("index", data.config):
        pass
    return run
