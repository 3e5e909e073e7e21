"""A folder of one's own photographs: metadata in both formats, none at all, masks, and rows that are wrong."""

import json

import numpy as np
import pytest
from PIL import Image

from nbsupport.config import DataConfig
from nbsupport.data import folder, index
from nbsupport.errors import UserError
from nbsupport.runs import Run


def photograph(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    Image.fromarray(blocks.repeat(10, 0).repeat(10, 1)).save(path)


@pytest.fixture
def root(tmp_path):
    for number in range(6):
        photograph(tmp_path / "own" / ("gate" if number < 3 else "street") / f"{number}.png", number)
    return tmp_path / "own"


def test_without_metadata_folders_are_labels_and_captions_are_measured(root):
    photos = folder.load(root)
    assert [photo.label for photo in photos] == ["gate"] * 3 + ["street"] * 3
    assert all(photo.captions == () for photo in photos)
    assert all(len(photo.captions) >= 5 for photo in folder.complete(root, photos))


def test_jsonl_metadata(root):
    rows = [
        {"file_name": "gate/0.png", "text": "The old gate."},
        {"file_name": "street/3.png", "text": ["a street", "a quiet street"], "label": "road", "group": "monday"},
        {"file_name": "street/4.png"},
    ]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    photos = {photo.path: photo for photo in folder.load(root)}
    assert set(photos) == {"gate/0.png", "street/3.png", "street/4.png"}
    assert photos["gate/0.png"].captions == ("The old gate.",) and photos["gate/0.png"].label == "gate"
    assert photos["street/3.png"].captions == ("a street", "a quiet street")
    assert photos["street/3.png"].label == "road" and photos["street/3.png"].keys == ("group:monday",)
    assert folder.complete(root, list(photos.values()))[0].captions == ("The old gate.",)


def test_csv_metadata_in_a_subfolder_is_relative_to_it(root):
    (root / "gate" / "metadata.csv").write_text("file_name,text\n0.png,the gate\n1.png,\n", "utf-8")
    photos = folder.load(root)
    assert [(photo.path, photo.captions) for photo in photos] == [("gate/0.png", ("the gate",)), ("gate/1.png", ())]


def test_masks_are_found_and_are_no_photographs(root):
    photograph(root / "gate" / "masks" / "0.png")
    photograph(root / "masks" / "street" / "3.png")
    masks = {photo.path: photo.object_mask for photo in folder.load(root)}
    assert len(masks) == 6
    assert masks["gate/0.png"] == "gate/masks/0.png" and masks["street/3.png"] == "masks/street/3.png"
    assert folder.read_object_mask(root, "gate/masks/0.png").dtype == bool


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", "line 2: not valid JSON"),
        ('["a list"]', "line 2: expected an object"),
        ('{"text": "no name"}', "line 2.*no 'file_name'"),
        ('{"file_name": "../outside.png"}', "leads out of the folder"),
        ('{"file_name": "/etc/passwd"}', "leads out of the folder"),
        ('{"file_name": "gate/1.png", "mask": "../../m.png"}', "leads out of the folder"),
        ('{"file_name": "gate/1.png", "text": 5}', "must be a caption"),
        ('{"file_name": "gate/0.png"}', "described twice"),
    ],
)
def test_a_bad_row_is_named(root, line, message):
    (root / "metadata.jsonl").write_text('{"file_name": "gate/0.png"}\n' + line + "\n")
    with pytest.raises(UserError, match=message):
        folder.load(root)


def test_folders_without_photographs_are_errors(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        folder.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no photographs"):
        folder.load(tmp_path)
    (tmp_path / "metadata.csv").write_text("name\nx\n")
    with pytest.raises(UserError, match="file_name"):
        folder.load(tmp_path)


def test_the_index_rejects_what_is_missing_and_takes_the_rest(root, tmp_path):
    rows = [{"file_name": f"{'gate' if n < 3 else 'street'}/{n}.png"} for n in range(6)] + [{"file_name": "gone.png"}]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (root / "gate" / "0.png").write_bytes(b"")
    dataset = index.prepare(Run(tmp_path / "run"), DataConfig(dataset="folder", data=str(root), image_size=32))
    assert len(dataset.index) == 5
    assert set(dataset.rejected["path"]) == {"gone.png", "gate/0.png"}
    assert dataset.index["captions"].map(len).min() >= 5
