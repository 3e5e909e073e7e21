"""Holes over whole parts with captions that name them: the hole is that of the test, the caption is true and names."""

import numpy as np
import pytest

from nbsupport.config import DataConfig, TrainingConfig
from nbsupport.core import rng
from nbsupport.core.errors import UserError
from nbsupport.data import index, synthetic
from nbsupport.data.synthetic import COLOURED_PARTS, regions
from nbsupport.quality import attributes
from nbsupport.runs import Run
from nbsupport.training import batches
from nbsupport.training.batches import Sampler


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run(tmp_path_factory.mktemp("birds"))


@pytest.fixture(scope="module")
def data(run):
    return index.prepare(run, DataConfig(count=40, image_size=64))


@pytest.fixture(scope="module")
def named(run, data):
    return batches.NamedParts(data, regions.birds_of(run, data))


@pytest.mark.parametrize(
    ("text", "part", "named"),
    [
        ("this bird has a {crown} crown, {wing} wings and {leg} legs.", "wing", True),
        ("this bird has a {crown} crown, {wing} wings and {leg} legs.", "tail", False),
        ("the tail feathers of this bird are {tail} and it has two white bars on each wing.", "tail", True),
        ("the tail feathers of this bird are {tail} and it has two white bars on each wing.", "wing", False),
        ("a small bird with a short cone-shaped {bill} beak.", "bill", True),
        ("this bird has a {wing} crownlet.", "crown", False),
    ],
)
def test_a_caption_names_a_part_when_it_says_its_colour(text, part, named):
    bird = synthetic.sample_parameters(3, 1)
    said = text.format(**{name: getattr(bird, name) for name in COLOURED_PARTS})
    assert synthetic.names_colour(said, bird, part) is named


def test_every_part_is_named_by_one_of_the_birds_own_captions():
    for number in range(30):
        bird = synthetic.sample_parameters(5, number)
        texts = synthetic.captions(bird)
        for part in COLOURED_PARTS:
            assert any(synthetic.names_colour(text, bird, part) for text in texts), (number, part)


def test_holes_are_those_of_the_test_and_captions_their_birds_own(data, named):
    for row in data.rows("train")[:5]:
        bird = attributes.bird_of(data, named.birds, int(row))
        parts = regions.hidden_parts(data, bird, int(row))
        found = named.of(int(row))
        assert len(found) == len(parts)
        for hidden, (hole, naming) in zip(parts, found, strict=True):
            np.testing.assert_array_equal(hole, hidden.hole)
            assert set(naming) <= set(data.index["captions"].iloc[row])
            assert all(synthetic.names_colour(text, bird, hidden.part) for text in naming)


def sampler(data, named, **changes):
    options = {"shares": {"centre": 1.0}, "named": named, "named_share": 0.5} | changes
    return Sampler(data, 24, 16, 0, **options)


def test_so_many_pictures_are_asked_and_the_rest_keep_their_holes(data, named):
    asked = 0
    for step in range(1, 9):
        batch, plain = sampler(data, named).batch(step), sampler(data, None).batch(step)
        np.testing.assert_array_equal(batch.rows, plain.rows)
        for number, row in enumerate(batch.rows):
            hole = batch.holes[number, 0].numpy()
            if (hole == plain.holes[number, 0].numpy()).all():
                assert (batch.tokens[number] == plain.tokens[number]).all()
                continue
            asked += 1
            upright = hole[:, ::-1] if batch.flipped[number] else hole
            text = data.vocabulary.decode(batch.tokens[number].numpy())
            own = [naming for part, naming in named.of(int(row)) if (part == upright).all()]
            assert own and text in [data.vocabulary.decode(data.vocabulary.encode([t], 24)[0][0]) for t in own[0]]
    assert 40 < asked < 88  # of 128


def test_a_caption_that_was_left_out_stays_out(data, named):
    batch = sampler(data, named, named_share=1.0, caption_dropout=1.0).batch(1)
    silent, length = data.vocabulary.encode([""], 24)
    assert (batch.tokens.numpy() == silent).all() and (batch.lengths.numpy() == length).all()


def test_batches_are_pure_functions_of_the_step(data, named):
    first, second = (sampler(data, named).batch(3) for _ in range(2))
    assert (first.holes == second.holes).all() and (first.tokens == second.tokens).all()


def test_a_bird_without_parts_is_not_asked(data, named, monkeypatch):
    monkeypatch.setattr(named, "_kept", {0: []})
    assert named.draw(rng.generator(0), 0) is None


def test_birds_of_another_run_are_refused(data):
    with pytest.raises(UserError, match="Take them from the same run"):
        batches.NamedParts(data, {}).of(0)


def test_a_share_is_a_share():
    with pytest.raises(UserError, match="named_parts"):
        TrainingConfig(named_parts=1.5)
