"""The cache gives back what was put in, all of it or none, and cannot be written by its readers."""

import numpy as np
import pytest

from nbsupport.core.errors import MissingStage, UserError
from nbsupport.data.cache import ImageCache, writing


def fill(folder, count=11, size=16):
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    masks = generator.random((count, size, size)) > 0.6
    with writing(folder, size) as cache:
        for n in range(count):
            parts = {"beak": (n + 0.5, 3.0), "tail": (-1.0, 2.0), "leg": (float(size), 1.0)}
            assert cache.add(f"b{n}", pictures[n], masks[n] if n % 2 else None, parts) == n
    return pictures, masks


def test_round_trip(tmp_path):
    pictures, masks = fill(tmp_path / "cache")
    cache = ImageCache.open(tmp_path / "cache")
    assert len(cache) == 11 and cache.size == 16
    rows = [7, 0, 7, 3]
    assert (cache.batch(rows) == pictures[rows]).all() and cache.batch(rows).dtype == np.uint8
    assert (cache.object_batch([7, 3]) == masks[[7, 3]]).all() and cache.objects.dtype == bool
    assert (cache.has_object == (np.arange(11) % 2 == 1)).all()
    assert not cache.objects[~cache.has_object].any()
    assert set(cache.parts["part"]) == {"beak"} and cache.parts_of(4) == {"beak": (4.5, 3.0)}
    assert list(cache.parts.columns) == ["image_id", "row", "part", "x", "y"]


def test_batches_are_copies_and_the_files_read_only(tmp_path):
    fill(tmp_path)
    cache = ImageCache.open(tmp_path)
    batch = cache.batch([1])
    batch[:] = 0
    assert cache.batch([1]).any() and type(batch) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        cache.images[0] = 0


def test_an_empty_mask_counts_as_none(tmp_path):
    with writing(tmp_path, 8) as cache:
        cache.add("a", np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool))
    assert not ImageCache.open(tmp_path).has_object.any()


def test_nothing_takes_its_name_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), writing(tmp_path / "c", 8) as cache:
        cache.add("a", np.zeros((8, 8, 3), np.uint8))
        raise RuntimeError
    assert not list((tmp_path / "c").iterdir())
    with pytest.raises(MissingStage):
        ImageCache.open(tmp_path / "c")


def test_a_cut_file_is_noticed(tmp_path):
    fill(tmp_path)
    path = tmp_path / "images.u8"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="not whole"):
        ImageCache.open(tmp_path)


def test_a_wrong_shape_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected"), writing(tmp_path, 8) as cache:
        cache.add("a", np.zeros((9, 8, 3), np.uint8))
