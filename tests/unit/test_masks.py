"""Holes: True = hole, of the wanted area, a pure function of their names, at any size; the fixed set and its file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbsupport import masks
from nbsupport.config import MASK_KINDS, DataConfig, MaskConfig
from nbsupport.core import rng
from nbsupport.core.errors import ConfigError, MissingStage
from nbsupport.data import index
from nbsupport.runs import Run


def disc(height, width):
    y, x = np.mgrid[:height, :width]
    return ((y - height / 2) / (height / 4)) ** 2 + ((x - width / 2) / (width / 3)) ** 2 < 1


def one(kind, size=64, seed=0, image_id="a", coverage=(0.05, 0.35)):
    height, width = (size, size) if isinstance(size, int) else size
    target, point = disc(height, width), (0.4 * width, 0.6 * height)
    return masks.draw(kind, size, seed=seed, image_id=image_id, coverage=coverage, object_mask=target, part_xy=point)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(MASK_KINDS),
    height=st.integers(16, 140),
    width=st.integers(16, 140),
    low=st.floats(0.02, 0.6),
    spread=st.floats(0, 0.3),
    name=st.text(max_size=6),
)
def test_every_hole_has_the_area_that_was_asked_for(kind, height, width, low, spread, name):
    high = min(low + spread, 0.9)
    hole = one(kind, (height, width), image_id=name, coverage=(low, high))
    assert hole.shape == (height, width) and hole.dtype == bool
    slack = masks.tolerance(height, width)
    assert low - slack <= hole.mean() <= high + slack
    assert 0 < hole.sum() < hole.size


@pytest.mark.parametrize("kind", MASK_KINDS)
@pytest.mark.parametrize("size", [(2, 2), (1, 5), (3, 200), (256, 256), (300, 180)])
def test_any_size_works(kind, size):
    hole = one(kind, size, coverage=(0.2, 0.4))
    assert hole.shape == size and 0 < hole.sum() < hole.size


@pytest.mark.parametrize("kind", MASK_KINDS)
def test_a_hole_is_a_function_of_seed_name_and_kind(kind):
    first = one(kind)
    assert np.array_equal(first, one(kind))
    assert not np.array_equal(first, one(kind, image_id="b"))
    assert not np.array_equal(first, one(kind, seed=1))


def test_kinds_look_like_what_they_are_called():
    centre = one("centre", coverage=(0.25, 0.25))
    assert centre[32, 32] and not centre[0].any()
    rows, columns = np.flatnonzero(centre.any(1)), np.flatnonzero(centre.any(0))
    assert centre[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()  # one rectangle
    target = disc(64, 64)
    grown, worn = (one("object", coverage=(share, share)) for share in (target.mean() + 0.1, target.mean() - 0.1))
    assert grown[target].all() and target[worn].all()
    part = one("part", coverage=(0.1, 0.1))
    assert part[38, 25]  # the part's own point


def test_strokes_are_varied():
    holes = np.stack([one("strokes", image_id=str(number)) for number in range(200)])
    assert len({hole.tobytes() for hole in holes}) == 200
    mean = holes.mean(0)
    assert mean.min() > 0.03 and mean.max() < 0.5, "strokes fall everywhere, and nowhere always"


def test_what_a_photograph_cannot_have_becomes_rectangles():
    options = {"seed": 0, "image_id": "a", "coverage": (0.1, 0.2)}
    for kind in ("object", "part"):
        assert not masks.drawable(kind)
        assert 0.08 < masks.draw(kind, 64, **options).mean() < 0.22
    assert not masks.drawable("object", np.ones((4, 4), bool)) and not masks.drawable("part", None, (np.nan, 1.0))
    assert masks.drawable("object", disc(8, 8)) and masks.drawable("centre")


def test_a_training_batch_follows_its_generator():
    objects, points = np.stack([disc(32, 32)] * 8), [np.array([[5.0, 6.0]]), np.empty((0, 2))] * 4
    draw = lambda seed: masks.sample_batch(rng.generator(seed), 32, 8, (0.1, 0.3), MASK_KINDS, objects, points)  # noqa: E731
    first = draw(0)
    assert first.shape == (8, 32, 32) and first.dtype == bool
    assert np.array_equal(first, draw(0)) and not np.array_equal(first, draw(1))
    assert first.any((1, 2)).all() and not first.all((1, 2)).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "circle"}, "Unknown mask kind"),
        ({"coverage": (0.4, 0.2)}, "coverage must be"),
        ({"coverage": (0.0, 0.2)}, "coverage must be"),
        ({"coverage": (0.2, 1.0)}, "coverage must be"),
        ({"size": (1, 1)}, "two pixels"),
        ({"kind": "object", "object_mask": np.ones((3, 3), bool)}, "object mask of 'a'"),
    ],
)
def test_impossible_wishes_are_refused(change, message):
    options = {"kind": "centre", "size": 32, "seed": 0, "image_id": "a", "coverage": (0.1, 0.2)} | change
    with pytest.raises(ConfigError, match=message):
        masks.draw(options.pop("kind"), options.pop("size"), **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("masks") / "run")
    index.prepare(run, DataConfig(count=24, image_size=32))
    masks.make(run, MaskConfig())
    return run


def test_the_fixed_set_is_kept_and_read_back(run, capsys):
    kept, again = masks.load(run), masks.make(run, MaskConfig())
    assert "loaded" in capsys.readouterr().out
    assert len(kept) == 24 * len(MASK_KINDS) and kept.kinds == MASK_KINDS
    assert np.array_equal(kept.packed, again.packed)
    holes = kept.get(range(len(kept)))
    assert np.allclose(holes.mean((1, 2)), kept.table["coverage"])
    image_id = kept.table["image_id"].iloc[0]
    alone = masks.draw("strokes", 32, seed=0, image_id=image_id, coverage=(0.04, 0.35))
    assert np.array_equal(kept.of(image_id, "strokes"), alone)
    histogram = run.result("masks")["kinds"]["part"]["histogram"]
    assert sum(histogram) == 24
    with pytest.raises(ConfigError, match="no mask for the photograph"):
        kept.of("nobody", "centre")
    with pytest.raises(ConfigError, match="Did you mean 'strokes'"):
        kept.for_rows([0], "stroke")


def test_part_holes_hide_their_part(run):
    kept = masks.load(run)
    shares = masks.hidden_parts(kept, index.load(run).cache.parts)
    assert shares["part"].mean() > shares["rectangles"].mean()
    assert ((shares >= 0) & (shares <= 1)).all(axis=None)
    assert (kept.table.query("kind == 'part' and not fallback")["part"] != "").all()


def test_other_wishes_for_the_set(run, tmp_path):
    with pytest.raises(ConfigError, match="above coverage_high"):
        masks.make(run, MaskConfig(coverage_low=0.3, coverage_high=0.2))
    with pytest.raises(ConfigError, match="nothing twice"):
        masks.make(run, MaskConfig(kinds=("centre", "centre")))
    with pytest.raises(MissingStage, match="--only 1-1"):
        masks.make(Run(tmp_path / "empty"), MaskConfig())


def test_batches_hide_small_parts_more_often_than_large_ones():
    generator, points = np.random.default_rng(0), [np.array([[31.5, 31.5]])] * 300
    low, high = 0.01, 0.36
    parts = masks.sample_batch(generator, 64, 300, (low, high), ("part",), part_points=points).mean(axis=(1, 2))
    centres = masks.sample_batch(generator, 64, 300, (low, high), ("centre",)).mean(axis=(1, 2))
    assert low * 0.95 < parts.min() and parts.max() < high * 1.05
    assert np.median(parts) == pytest.approx((low * high) ** 0.5, rel=0.25)  # uniform in the logarithm
    assert np.median(centres) == pytest.approx((low + high) / 2, rel=0.15)
