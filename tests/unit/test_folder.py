"""A folder of one's own photographs: metadata in both formats, none at all, masks, and rows that are wrong."""

import json

import numpy as np
import pytest
from PIL import Image

from nbsupport.config import DataConfig
from nbsupport.data import folder, index
from nbsupport.data.records import Photo
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


def test_what_metadata_leave_out_is_said(root, capsys):
    (root / "metadata.csv").write_text("file_name,text\ngate/0.png,gate\n", "utf-8")
    assert len(folder.load(root)) == 1
    assert "5 photographs have no row in the metadata" in capsys.readouterr().out


def test_odd_but_valid_metadata(root):
    (root / "street" / "linked.png").symlink_to(root.parent / "blob")
    photograph(root.parent / "blob.png")
    (root.parent / "blob.png").rename(root.parent / "blob")
    rows = [{"file_name": "gate/0.png", "label": 0, "group": 0, "text": "one line\u2028of two"}]
    rows += [{"file_name": "street/linked.png"}]
    (root / "metadata.jsonl").write_text("\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    gate, street = folder.load(root)
    assert gate.label == "0" and gate.keys == ("group:0",) and gate.captions == ("one line\u2028of two",)
    assert street.path == "street/linked.png" and street.label == "street"


@pytest.mark.parametrize(
    ("label", "known", "subject"),
    [
        ("old_gate", True, "old gate"),
        ("n0123", False, "various things"),
        ("photograph", False, "various things"),
        ("07", True, "thing"),
    ],
)
def test_measured_captions_speak_of_the_label_if_it_says_something(tmp_path, label, known, subject):
    image = np.full((40, 40, 3), (190, 40, 40), np.uint8)
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    image[~mask] = (250, 250, 250)
    photo = Photo("a", "a.png", label)
    captions = folder.compose_captions(tmp_path, photo, image, mask if known else None, 0)
    assert len(captions) >= 5 and all(subject in text for text in captions)
    if known:
        assert all("red" in text or "background" in text for text in captions)


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
