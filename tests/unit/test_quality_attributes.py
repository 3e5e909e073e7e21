"""Colours are read correctly from untouched birds; listeners, the deaf and guessers each get the score they deserve."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from nbsupport.config import DataConfig
from nbsupport.core import rng
from nbsupport.core.errors import ConfigError, UserError
from nbsupport.data import geometry, index, synthetic
from nbsupport.data.synthetic import COLOURED_PARTS, COLOURS, part_colours, regions
from nbsupport.quality import attributes, comparison
from nbsupport.quality import colours as reading
from nbsupport.runs import Run

SIZE, SOURCE = 64, 96
PLUMAGE = COLOURED_PARTS[:6]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run(tmp_path_factory.mktemp("birds"))


@pytest.fixture(scope="module")
def data(run):
    return index.prepare(run, DataConfig(count=40, image_size=SIZE))


@pytest.fixture(scope="module")
def birds(run, data):
    return regions.birds_of(run, data)


class Painter:
    """Fills the hole with the flat tone of the colour that `choose` picks for the caption and the seed."""

    name = "painter"

    def __init__(self, choose):
        self.choose = choose

    def fill(self, images, masks, captions, *, seeds):
        filled = images.copy()
        for picture, hole, caption, seed in zip(filled, masks, captions, seeds, strict=True):
            picture[hole] = COLOURS[self.choose(caption, seed)]
        return filled


class Copier:
    """Deaf and clairvoyant: returns what was under the hole."""

    name = "copier"

    def fill(self, images, masks, captions, *, seeds):
        return images.copy()


def colour_in(caption, seed):
    return next((word for word in caption.rstrip(".").split() if word in COLOURS), "grey")


def guess(caption, seed):
    return list(COLOURS)[rng.generator(seed, "guess").integers(len(COLOURS))]


def ask(data, birds, painter, **settings):
    table = attributes.attribute_accuracy(data, birds, painter, data.rows(), **settings)
    return table, attributes.attribute_summary(table)


@pytest.mark.parametrize(("source", "size", "fit"), [(SOURCE, SIZE, "crop"), (SOURCE, SIZE, "box")])
def test_colours_are_read_from_untouched_drawings(source, size, fit):
    """Every part and every colour of it, in birds that the reader was not made from: at least 95 of 100."""
    reader = reading.colour_reader(source, size, fit)
    assert set(reader.tones) == set(COLOURED_PARTS)
    right = {part: [] for part in COLOURED_PARTS}
    for number in range(60):
        params = synthetic.sample_parameters(3, number)
        colours = {p: part_colours(p)[(number + i) % len(part_colours(p))] for i, p in enumerate(COLOURED_PARTS)}
        params = replace(params, **colours)
        drawing = synthetic.draw_bird(params, source)
        ys, xs = np.nonzero(drawing.object_mask)
        box = (xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1)
        frame = geometry.choose_frame(source, source, box, fit)
        picture = geometry.cut_image(Image.fromarray(drawing.image), frame, size)
        for part, region in regions.cut_regions(params, source, frame, size).items():
            if region.sum() >= regions.FEWEST_PIXELS:
                right[part].append(reader.read(picture, region, part)[0] == colours[part])
    assert all(len(answers) > 40 for answers in right.values())
    assert {part: np.mean(answers) for part, answers in right.items() if np.mean(answers) < 0.95} == {}


def test_the_cache_shows_the_part_where_the_region_says(run, data, birds):
    """With each fit, the colour read from the *cached* picture is the true one; a region of another fit misses it."""
    boxed = index.prepare(
        Run(run.path.parent / "boxed"), DataConfig(count=12, image_size=SIZE, fit="box", data=str(run / "source"))
    )
    for dataset, other in ((data, "box"), (boxed, "crop")):
        hits, misses = [], []
        for row in range(12):
            params, picture = attributes.bird_of(dataset, birds, row), dataset.cache.batch([row])[0]
            photo = dataset.index.iloc[row]
            wrong = geometry.choose_frame(photo["width"], photo["height"], photo["box"], other)
            wrong = regions.cut_regions(params, SOURCE, wrong, SIZE)
            for hidden in regions.hidden_parts(dataset, params, row):
                true = getattr(params, hidden.part)
                reader = reading.reader_of(dataset, row)
                hits.append(reader.read(picture, hidden.region, hidden.part)[0] == true)
                if wrong[hidden.part].any():
                    misses.append(reader.read(picture, wrong[hidden.part], hidden.part)[0] != true)
        assert np.mean(hits) > 0.95
        assert np.mean(misses) > 0.2


@pytest.mark.parametrize("part", COLOURED_PARTS)
def test_the_hole_hides_all_of_the_parts_colour(run, part):
    """Two birds that differ in the colour of one part alone look the same outside the hole."""
    old, new = ("black", "brown") if part in ("bill", "leg") else ("blue", "green")
    for number in range(4):
        params = replace(synthetic.sample_parameters(5, number), eye_feature="plain", occluder="none")
        drawn = [synthetic.draw_bird(replace(params, **{part: colour}), SOURCE) for colour in (old, new)]
        frame = (0.0, 0.0, float(SOURCE), float(SOURCE))
        first, second = (geometry.cut_image(Image.fromarray(d.image), frame, SIZE).astype(int) for d in drawn)
        table = pd.DataFrame({"width": [SOURCE], "height": [SOURCE], "box": [None]})
        cache = type("Cache", (), {"size": SIZE})
        dataset = type("Data", (), {"index": table, "cache": cache, "config": DataConfig(fit="stretch")})
        for hidden in regions.hidden_parts(dataset, params, 0, (part,)):
            change = np.abs(first - second).max(axis=-1)
            assert change[hidden.region].min() > 20
            assert change[~hidden.hole].max() <= 12


def test_a_perfect_listener_reaches_the_ceiling(data, birds):
    table, summary = ask(data, birds, Painter(colour_in))
    assert summary["accuracy"]["true"]["value"] > 0.97
    assert summary["accuracy"]["edited"]["value"] > 0.97
    assert summary["keeps_original"]["value"] < 0.03
    assert summary["reader"]["value"] > 0.97
    assert summary["caption_effect"]["edited"]["low"] > 0.7
    assert set(summary["parts"]) == set(COLOURED_PARTS)
    assert (table["named"] != table["original"]).equals(table["kind"] == "edited")
    assert table["visible_elsewhere"].nunique() == 2
    json.dumps(summary, allow_nan=False)


def test_the_deaf_are_right_only_when_the_caption_is_true(data, birds):
    _, summary = ask(data, birds, Copier())
    assert summary["accuracy"]["true"] == summary["accuracy"]["empty"] == summary["reader"]
    assert summary["accuracy"]["edited"]["value"] < 0.03
    assert summary["keeps_original"]["value"] > 0.97
    assert summary["caption_effect"]["true"]["value"] == 0
    assert abs(summary["caption_effect"]["edited"]["value"]) < 0.01


def test_guessing_is_at_chance(data, birds):
    tables = []
    for seed in range(3):
        table, summary = ask(data, birds, Painter(guess), parts=PLUMAGE, seed=seed)
        assert summary["chance"]["uniform"] == pytest.approx(1 / 12)
        pairs = table.pivot(index=["row", "part"], columns="kind", values="read")
        assert (pairs["true"] == pairs["edited"]).all()  # the same noise for each caption
        assert pairs["true"].nunique() == 12
        tables.append(table)
    correct = pd.concat(tables).groupby("kind")["correct"].agg(["mean", "size"])
    assert (correct["size"] > 600).all()
    assert correct["mean"].between(1 / 12 - 0.04, 1 / 12 + 0.04).all()  # four standard deviations


def test_accuracy_is_counted_by_hand():
    rows = [  # row, part, kind, named, original, read, elsewhere
        (0, "wing", "true", "red", "red", "red", True),
        (1, "wing", "true", "red", "red", "blue", False),
        (2, "bill", "true", "black", "black", "black", False),
        (0, "wing", "edited", "blue", "red", "red", False),
        (1, "wing", "edited", "blue", "red", "blue", False),
        (2, "bill", "edited", "red", "black", "black", True),
        (0, "wing", "empty", "red", "red", "blue", True),
        (1, "wing", "empty", "red", "red", "red", False),
        (2, "bill", "empty", "black", "black", "yellow", False),
    ]
    table = pd.DataFrame(
        rows, columns=["row", "part", "kind", "named", "original", "read", "visible_elsewhere"]
    ).assign(group=lambda t: t["row"], correct=lambda t: t["named"] == t["read"], read_original="red")
    summary = attributes.attribute_summary(table)
    assert summary["photographs"] == summary["asked"] == 3
    assert summary["accuracy"]["true"]["value"] == pytest.approx(2 / 3)
    assert summary["accuracy"]["edited"]["value"] == pytest.approx(1 / 3)
    assert summary["keeps_original"]["value"] == pytest.approx(2 / 3)
    assert summary["reader"]["value"] == pytest.approx(2 / 3)
    assert summary["caption_effect"]["true"]["value"] == pytest.approx((1 - 1 + 1) / 3)  # row 1: right for no caption
    assert summary["caption_effect"]["edited"]["value"] == pytest.approx((-1 + 1 + 0) / 3)
    assert summary["chance"]["uniform"] == pytest.approx((1 / 12 + 1 / 12 + 1 / 7) / 3)
    assert summary["chance"]["majority"] == {"true": 1.0, "edited": 0.0, "empty": 1.0}
    assert summary["seen_elsewhere"]["true"]["share"] == pytest.approx(1 / 3)
    assert summary["seen_elsewhere"]["true"]["when_hidden"]["value"] == 0.5
    assert summary["seen_elsewhere"]["edited"]["when_seen"]["value"] == 0.0
    assert summary["parts"]["bill"]["accuracy"]["true"]["value"] == 1.0


def test_a_hole_around_the_body_leaves_no_part(data, birds):
    table = attributes.attribute_accuracy(data, birds, Copier(), data.rows()[:12], hole="body", kinds=("true",))
    assert not table["visible_elsewhere"].any()
    assert table["hole_share"].between(0.1, regions.LARGEST_HOLE).all()
    assert table["correct"].mean() > 0.95


def test_edited_colours_are_others_that_occur(data, birds):
    params = next(iter(birds.values()))
    for part in COLOURED_PARTS:
        named = attributes.edited_colours(params, part, 0, 3)
        assert len(set(named)) == 3
        assert set(named) <= set(part_colours(part)) - {getattr(params, part)}
        assert named == attributes.edited_colours(params, part, 0, 3)
    drawn = {attributes.edited_colours(params, "wing", seed)[0] for seed in range(80)}
    assert len(drawn) == 11


def test_what_cannot_be_asked_is_said(data, birds):
    with pytest.raises(ConfigError, match="part"):
        attributes.attribute_accuracy(data, birds, Copier(), data.rows()[:1], parts=("wings",))
    with pytest.raises(ConfigError, match="kind"):
        attributes.attribute_accuracy(data, birds, Copier(), data.rows()[:1], kinds=("false",))
    with pytest.raises(ConfigError, match="hole"):
        attributes.attribute_accuracy(data, birds, Copier(), data.rows()[:1], hole="centre")
    with pytest.raises(UserError, match="birds_of"):
        attributes.attribute_accuracy(data, {}, Copier(), data.rows()[:1])
    with pytest.raises(UserError, match="No part"):
        attributes.attribute_accuracy(data, birds, Copier(), [])


class Hedger:
    """Moves a grey fill a tenth of the way to the colour of the caption, times its strength."""

    name, caption_strength = "hedger", 1.0

    def fill(self, images, masks, captions, *, seeds):
        filled = images.copy()
        for picture, hole, caption in zip(filled, masks, captions, strict=True):
            grey, named = np.full(3, 128.0), np.array(COLOURS[colour_in(caption, 0)], float)
            picture[hole] = np.clip(grey + 0.1 * self.caption_strength * (named - grey), 0, 255)
        return filled


def test_strength_shows_what_a_hedging_painter_understood(data, birds):
    painter, rows = Hedger(), data.rows()[:12]
    found = comparison.strengths(data, painter, rows, [1, 10], birds)
    assert [record["strength"] for record in found] == [1.0, 10.0] and painter.caption_strength == 1.0
    weak, strong = ([record["accuracy"][kind]["value"] for kind in ("true", "edited")] for record in found)
    assert max(weak) < 0.4 and min(strong) > 0.95
    assert found[1]["hole_l1"]["low"] <= found[1]["hole_l1"]["value"] <= found[1]["hole_l1"]["high"]
    plain = comparison.strengths(data, painter, rows, [1])
    assert "accuracy" not in plain[0] and plain[0]["hole_l1"] == found[0]["hole_l1"]


def test_a_painter_that_fails_keeps_its_strength(data):
    class Failing(Hedger):
        def fill(self, *_, **__):
            raise UserError("no paint")

    painter = Failing()
    with pytest.raises(UserError, match="no paint"):
        comparison.strengths(data, painter, data.rows()[:2], [3.0])
    assert painter.caption_strength == 1.0
