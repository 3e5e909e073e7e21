"""Synthetic birds: deterministic, true to their captions, and readable by the CUB loader."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nbsupport.core import images
from nbsupport.core.code_version import reachable
from nbsupport.core.errors import ConfigError, UserError
from nbsupport.core.files import hash_file
from nbsupport.data import splits, synthetic

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
    return [synthetic.sample_parameters(3, number) for number in range(40)]


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
            if region.sum() >= 15:
                total += 1
                right += named_colour(image[region]) == params.colours[part]
    assert total > 200
    assert right / total > 0.96, f"{right} of {total}"


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


def test_a_picture_does_not_give_a_hidden_colour_away(birds):
    """Given the type and all other parts, no rule names the crown's colour nearly as well as the caption does."""
    drawn = [synthetic.sample_parameters(1, number) for number in range(1500)]
    known = {}
    for params in drawn[:1000]:
        known.setdefault((params.type_number, params.throat), []).append(params.crown)
    guesses = {key: max(set(found), key=found.count) for key, found in known.items()}
    right = np.mean([guesses.get((p.type_number, p.throat)) == p.crown for p in drawn[1000:]])
    assert right < 0.7


def test_no_two_birds_look_alike():
    hashes = [
        images.perceptual_hash(Image.fromarray(synthetic.draw_bird(synthetic.sample_parameters(0, n), 64).image))
        for n in range(120)
    ]
    groups = splits.near_duplicate_groups(np.array(hashes, dtype=np.uint64), 2, [()] * len(hashes))
    assert len(np.unique(groups)) >= 119


def test_the_regions_of_the_parts_do_not_overlap_and_lie_on_the_bird(birds):
    for params in birds[:8]:
        regions = [synthetic.part_region(params, part, 80, marks=True) for part in (*synthetic.COLOURED_PARTS, "eye")]
        assert np.sum(regions, axis=0).max() <= 1
        assert not (np.any(regions, axis=0) & ~synthetic.draw_bird(params, 80).object_mask).any()
    with pytest.raises(ConfigError, match="Did you mean 'crown'"):
        synthetic.part_region(birds[0], "crow")


def test_regions_of_all_parts_at_once_are_those_of_each(birds):
    for marks in (False, True):
        regions = synthetic.part_regions(birds[1], 64, marks)
        assert tuple(regions) == synthetic.COLOURED_PARTS
        for part, region in regions.items():
            assert (region == synthetic.part_region(birds[1], part, 64, marks)).all()


def test_every_part_comes_in_its_own_colours(birds):
    drawn = [synthetic.sample_parameters(8, number) for number in range(600)]
    for part in synthetic.COLOURED_PARTS:
        assert {getattr(params, part) for params in drawn} == set(synthetic.part_colours(part))
    with pytest.raises(ConfigError, match="Did you mean 'bill'"):
        synthetic.part_colours("bil")


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


def test_a_finished_set_is_left_alone_and_foreign_folders_are_refused(written, tmp_path):
    before = (written / "images.txt").stat().st_mtime_ns
    synthetic.write(written, 12, size=48, seed=1)
    assert (written / "images.txt").stat().st_mtime_ns == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        synthetic.write(tmp_path, 3)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(ConfigError, match="count"):
        synthetic.write(tmp_path / "x", 0)
    with pytest.raises(UserError, match="attribute"):
        synthetic.read_attributes(tmp_path)


def test_a_script_of_two_lines_draws_in_several_processes_what_one_process_draws(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from nbsupport.data import synthetic\n"
        "print('started')\n"
        f"synthetic.write({str(tmp_path / 'two')!r}, 160, size=16, workers=2)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(synthetic.__file__).parents[3])}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("started") == 1
    one = synthetic.write(tmp_path / "one", 160, size=16, workers=1)
    files = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    assert len(files) > 3 * 160
    assert all((tmp_path / "two" / name).read_bytes() == (one / name).read_bytes() for name in files)


def test_a_changed_set_leaves_nothing_of_the_old_one_and_keeps_what_is_not_ours(tmp_path):
    root = synthetic.write(tmp_path / "set", 9, size=16, seed=2)
    (root / "images" / "mine.txt").write_text("mine")
    synthetic.write(root, 4, size=16, seed=2)
    for kind in ("images/*/*.jpg", "segmentations/*/*.png", "text_c10/*/*.txt"):
        assert len(list(root.glob(kind))) == 4
    assert len(synthetic.load(root)) == 4
    assert (root / "images" / "mine.txt").read_text() == "mine"


def test_a_set_that_was_broken_off_is_drawn_anew(tmp_path, monkeypatch):
    from nbsupport.data.synthetic import writer

    monkeypatch.setattr(writer, "_write_tables", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        synthetic.write(tmp_path / "set", 3, size=16)
    monkeypatch.undo()
    assert len(synthetic.load(synthetic.write(tmp_path / "set", 3, size=16))) == 3


def test_the_figures_are_drawn(birds):
    from nbsupport.plots import synthetic as figures

    sheet = figures.contact_sheet(birds[:5], size=32, columns=3)
    assert len(sheet.axes) == 6
    shown = [text.get_text() for text in figures.labelled_bird(birds[0], size=64).axes[0].texts]
    assert f"{birds[0].belly} belly" in shown


def test_birds_are_drawn_once_and_again_by_other_code(tmp_path, monkeypatch):
    from nbsupport.data.synthetic import writer

    def drawn():
        writer.write(tmp_path / "birds", 2, size=32)
        return {path.stat().st_mtime_ns for path in (tmp_path / "birds" / "images").rglob("*.jpg")}

    first = drawn()
    assert first and drawn() == first
    monkeypatch.setattr(writer, "code_version", lambda *roots: "other")
    assert not drawn() & first
    roots = ("nbsupport.data.synthetic.writer:_write_chunks", "nbsupport.data.synthetic.writer:_write_tables")
    assert ("nbsupport.data.synthetic.drawing", "draw_bird") in reachable(*roots)
