"""Synthetic birds: deterministic, true to their captions, and readable by the CUB loader."""

import re

import numpy as np
import pytest

from nbsupport.data import synthetic
from nbsupport.errors import ConfigError, UserError
from nbsupport.runs import hash_file

NAMES = {  # the words a caption may use for a part
    "crown": "crown|head|cap",
    "throat": "throat",
    "back": "(?:upper )?back",
    "wing": "wings?",
    "belly": "belly|underside",
    "tail": "tail feathers|tail",
    "bill": "bill|beak",
    "leg": "legs|feet",
}


@pytest.fixture(scope="module")
def birds():
    return [synthetic.sample_parameters(3, number) for number in range(60)]


def named_colour(pixels: np.ndarray) -> str:
    median = np.median(pixels, axis=0)
    return min(synthetic.COLOURS, key=lambda name: np.linalg.norm(median - np.array(synthetic.COLOURS[name])))


def test_a_bird_depends_on_seed_and_number_alone():
    first, again = (synthetic.sample_parameters(5, 17) for _ in range(2))
    assert first == again
    assert np.array_equal(synthetic.draw_bird(first, 64).image, synthetic.draw_bird(again, 64).image)
    assert synthetic.captions(first) == synthetic.captions(again)
    assert synthetic.sample_parameters(6, 17) != first


@pytest.mark.parametrize("size", [32, 64, 97, 160])
def test_a_drawing_has_its_size_a_bird_and_parts_on_it(birds, size):
    drawing = synthetic.draw_bird(birds[0], size)
    assert drawing.image.shape == (size, size, 3) and drawing.image.dtype == np.uint8
    assert drawing.object_mask.shape == (size, size) and drawing.object_mask.dtype == bool
    assert 0.05 < drawing.object_mask.mean() < 0.6
    for x, y in drawing.parts.values():
        assert 0 <= x < size and 0 <= y < size
    assert len(drawing.parts) >= 8


def test_the_colour_of_a_part_can_be_read_from_the_picture(birds):
    right = total = 0
    for params in birds:
        image = synthetic.draw_bird(params, 96).image
        for part in synthetic.COLOURED_PARTS:
            region = synthetic.part_region(params, part, 96)
            if region.sum() >= 15 and not (part == "belly" and params.belly_pattern != "plain"):
                total += 1
                right += named_colour(image[region]) == params.colours[part]
    assert total > 200
    assert right / total > 0.93, f"{right} of {total}"


def test_captions_are_true_and_name_every_part(birds):
    for params in birds:
        sentences = synthetic.captions(params)
        assert len(sentences) == 10 and len(set(sentences)) >= 9
        named = set()
        for sentence in sentences:
            assert sentence == sentence.lower() and sentence.endswith(".")
            for part, words in NAMES.items():
                colour = "|".join(synthetic.COLOURS)
                pattern = rf"\b({colour}) (?:{words})\b|\bthe (?:{words}) of this bird (?:is|are) ({colour})"
                for match in re.finditer(pattern, sentence):
                    said = match[1] or match[2]
                    assert said == params.colours[part], f"{sentence!r} against {params.colours}"
                    named.add(part)
        assert named == set(NAMES)


def test_the_head_is_said_to_be_of_a_colour_only_when_all_of_it_is(birds):
    for params in birds:
        if any(re.search(r"\bhead\b", sentence) for sentence in synthetic.captions(params)):
            assert params.crown == params.back == params.throat


def test_colours_are_only_half_determined_by_the_type():
    drawn = [synthetic.sample_parameters(0, number) for number in range(400)]
    typical = np.mean([p.crown == p.type.colours[0] for p in drawn])
    assert 0.45 < typical < 0.68


def test_an_edited_caption_names_the_colour_asked_for(birds):
    assert "purple wings" in synthetic.caption_with(birds[0], "wing", "purple")
    assert birds[0].crown in synthetic.caption_with(birds[0], "crown")
    with pytest.raises(ConfigError, match="Did you mean 'wing'"):
        synthetic.caption_with(birds[0], "wings")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return synthetic.write(tmp_path_factory.mktemp("birds") / "set", 12, size=48, seed=1)


def test_the_cub_loader_reads_a_written_set(written):
    photos = synthetic.load(written)
    assert len(photos) == 12
    for photo in photos:
        assert len(photo.captions) == 10
        assert photo.parts and photo.box[2] > 4
        mask = synthetic.read_object_mask(written, photo.object_mask)
        assert mask.shape == (48, 48) and 0.03 < mask.mean() < 0.7
    table = synthetic.read_attributes(written)
    assert set(table.index) == {photo.image_id for photo in photos}
    parameters = synthetic.read_parameters(written)
    assert all(parameters[name].crown == table.loc[name, "crown"] for name in table.index)


def test_a_larger_set_begins_with_the_same_bytes(written, tmp_path):
    larger = synthetic.write(tmp_path / "larger", 20, size=48, seed=1, workers=1)
    for path in (written / "images").rglob("*.jpg"):
        assert hash_file(path) == hash_file(larger / path.relative_to(written))


def test_a_finished_set_is_left_alone_and_foreign_folders_are_refused(written, tmp_path, capsys):
    before = (written / "images.txt").stat().st_mtime_ns
    synthetic.write(written, 12, size=48, seed=1)
    assert (written / "images.txt").stat().st_mtime_ns == before
    assert "there already" in capsys.readouterr().out
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        synthetic.write(tmp_path, 3)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(ConfigError, match="count"):
        synthetic.write(tmp_path / "x", 0)
    with pytest.raises(UserError, match="attribute"):
        synthetic.read_attributes(tmp_path)
