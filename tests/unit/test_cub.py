"""The CUB layout as it is met: with gaps, without optional files, captions in three forms, faults named by line."""

import json
import shutil

import numpy as np
import pytest
from cub_tree import CAPTIONS, write_cub
from PIL import Image

from nbsupport.core.errors import UserError
from nbsupport.data import cub


@pytest.fixture
def root(tmp_path):
    return write_cub(tmp_path / "CUB_200_2011")


def test_everything_is_read(root):
    photos = cub.load(root)
    assert len(photos) == 12 and len({photo.image_id for photo in photos}) == 12
    first, second = photos[:2]
    assert first.image_id == "Bird_0000" and first.path == "images/001.Kind_of_red/Bird_0000.jpg"
    assert first.label == "Kind of red" and second.label == "Kind of blue"
    assert first.captions == (CAPTIONS[0].format("red"), CAPTIONS[1].format("blue"))
    assert first.box == (10.0, 5.0, 40.0, 30.0) and first.parts == {"back": (20.5, 10.0)}
    assert (first.split, second.split) == ("test", "train") and first.object_mask is None


def test_optional_files_may_be_missing(root):
    for name in ("bounding_boxes.txt", "train_test_split.txt", "parts/part_locs.txt"):
        (root / name).unlink()
    photo = cub.load(root)[0]
    assert photo.box is None and photo.split is None and photo.parts == {}


def test_the_official_part_names_stand_in(tmp_path):
    photos = cub.load(write_cub(tmp_path / "c", parts_file=False))
    assert photos[0].parts == {"back": (20.5, 10.0)} and len(cub.PARTS) == 15


@pytest.mark.parametrize("place", ["segmentations", "../segmentations"])
def test_segmentations_inside_and_beside(root, place):
    folder = root / place / "001.Kind_of_red"
    folder.mkdir(parents=True)
    greys = np.full((60, 80), 51, np.uint8)
    greys[10:30, 20:50] = 204
    Image.fromarray(greys).save(folder / "Bird_0000.png")
    photos = cub.load(root)
    mask = cub.read_object_mask(root, photos[0].object_mask)
    assert mask.dtype == bool and mask.sum() == 20 * 30 and mask[10, 20]
    assert photos[1].object_mask is None, "no file for this one"


@pytest.mark.parametrize("place", ["text", "../text", "../birds/text"])
def test_captions_in_attngans_places(root, place):
    wanted = cub.load(root)[3].captions
    (root / place).parent.mkdir(exist_ok=True)
    shutil.move(root / "text_c10", root / place)
    assert cub.load(root)[3].captions == wanted


@pytest.mark.parametrize("key", ["001.Kind_of_red/Bird_0000.jpg", "Bird_0000.jpg", "Bird_0000", "7"])
def test_captions_from_json(root, key):
    path = root.parent / "captions.json"
    path.write_text(json.dumps({key: [" one  bird\ufffd ", "", "one bird", "two"], "Bird_0001": "a string"}))
    photos = cub.load(root, captions=str(path))
    assert photos[0].captions == ("one bird", "two")
    assert photos[1].captions == ("a string",) and photos[2].captions == ()


@pytest.mark.parametrize(
    ("file", "line", "named"),
    [
        ("images.txt", "x 001.Kind/a.jpg", "images.txt', line 13"),
        ("images.txt", "7 001.Kind/a.jpg", "id 7 was given before"),
        ("images.txt", "99 001.Kind/a.jpg", "image_class_labels.txt' has no line for id 99"),
        ("bounding_boxes.txt", "99 1 2 3", "bounding_boxes.txt', line 13"),
        ("bounding_boxes.txt", "99 1 2 -3 4", "bounding_boxes.txt', line 13"),
        ("parts/part_locs.txt", "7 77 1 2 1", "part_locs.txt', line 25"),
        ("classes.txt", "loose", "classes.txt', line 4"),
    ],
)
def test_faults_are_named_by_file_and_line(root, file, line, named):
    with open(root / file, "a") as stream:
        stream.write(line + "\n")
    with pytest.raises(UserError, match=named):
        cub.load(root)


@pytest.mark.parametrize("file", ["images.txt", "image_class_labels.txt", "classes.txt"])
def test_missing_files_are_named_with_the_remedy(root, file):
    (root / file).unlink()
    with pytest.raises(UserError, match=rf"{file}' is missing.*nbsupport data cub"):
        cub.load(root)


def test_captions_that_are_nowhere(root):
    shutil.rmtree(root / "text_c10")
    with pytest.raises(UserError, match="01.captions=PATH"):
        cub.load(root)
    with pytest.raises(UserError, match="no captions at"):
        cub.load(root, captions=str(root / "absent.json"))


def test_an_empty_list_is_an_error(root):
    (root / "images.txt").write_text("\n")
    with pytest.raises(UserError, match="lists no photograph"):
        cub.load(root)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.json", b'{"7": ["a bird",]}', "not valid JSON.*Correct the file"),
        ("c.pickle", b"\x80\x04]\x94.", "is a pickle.*captions=PATH/text"),
    ],
)
def test_a_caption_file_of_the_user_is_never_to_be_deleted(tmp_path, name, content, message):
    root = write_cub(tmp_path / "CUB_200_2011")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        cub.load(root, captions=str(tmp_path / name))
    assert "elete" not in str(raised.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_caption_files_of_other_encodings(tmp_path, encoding):
    root = write_cub(tmp_path / "CUB_200_2011")
    (tmp_path / "c.json").write_bytes('{"7": ["a bird at the café"]}'.encode(encoding))
    photos = cub.load(root, captions=str(tmp_path / "c.json"))
    assert [photo.captions for photo in photos if photo.captions] == [("a bird at the café",)]
