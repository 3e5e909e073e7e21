"""A folder of one's own photographs: metadata in both formats, none at all, masks, and rows that are wrong."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from nbsupport.config import DataConfig
from nbsupport.core import images
from nbsupport.core.errors import UserError
from nbsupport.data import compose, folder, index, ingest
from nbsupport.data.photo import Photo
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
    Image.fromarray(np.eye(60, dtype=np.uint8)).save(root / "gate" / "masks" / "0.png")
    assert (folder.read_object_mask(root, "gate/masks/0.png") == np.eye(60, dtype=bool)).all()


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


# --- as people's own collections are ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", b"file_name, text\ngate/0.png, the old gate\n"),
        ("metadata.csv", "\ufefffile_name;text\r\ngate/0.png;the old gate\r\n".encode()),
        ("metadata.csv", "file_name\ttext\ngate/0.png\tthe old gate\n".encode("utf-16")),
        ("metadata.csv", b"File_Name,Text\ngate/0.png,the old gate\n"),
        ("metadata.csv", b"file_name,prompt\ngate/0.png,the old gate\n"),
        ("metadata.jsonl", b'{"file_name": "gate/0.png", "additional_feature": "the old gate"}'),
        ("metadata.csv", b"file_name,captions\ngate/0.png,\"['the old gate']\"\n"),
    ],
)
def test_captions_are_read_from_what_is_clear(root, capsys, name, content):
    (root / name).write_bytes(content)
    (photo,) = folder.load(root)
    assert photo.captions == ("the old gate",)
    assert "1 captions of 1 of 1 photographs (column " in capsys.readouterr().out


def test_a_comma_that_was_not_quoted_stays_in_its_caption_or_is_an_error(root):
    (root / "metadata.csv").write_text("file_name,text\ngate/0.png,a red gate, half open\n")
    assert folder.load(root)[0].captions == ("a red gate, half open",)
    (root / "metadata.csv").write_text("file_name,text,label\ngate/0.png,a red gate, half open,gate\n")
    with pytest.raises(UserError, match="line 2: more fields than columns"):
        folder.load(root)


def test_a_parquet_table_and_the_columns_that_are_not_read_are_said(root, capsys):
    import pandas as pd

    rows = {"file_name": ["gate/0.png", "gate/1.png"], "text": [["a gate", "old"], []], "author": ["x", "y"]}
    pd.DataFrame(rows).to_parquet(root / "metadata.parquet")
    photos = folder.load(root)
    assert [photo.captions for photo in photos] == [("a gate", "old"), ()]
    out = capsys.readouterr().out
    assert "2 captions of 1 of 2 photographs" in out and "Columns not read: author" in out


def test_captions_in_files_beside_their_photographs(root, capsys):
    (root / "gate" / "0.txt").write_text("the old gate\nopen\n")
    (root / "gate" / "1.caption").write_text("\ufeffanother", "utf-8")
    captions = {photo.path: photo.captions for photo in folder.load(root)}
    assert captions["gate/0.png"] == ("the old gate", "open") and captions["gate/1.png"] == ("another",)
    assert "3 captions of 2 of 6 photographs (files beside them)" in capsys.readouterr().out


def test_many_formats_are_read_and_the_others_are_counted(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(folder, "suffixes", lambda: images._SUFFIXES)
    root = tmp_path / "own"
    for number, suffix in enumerate(("jfif", "jpe", "jp2", "ppm", "tga", "avif")):
        photograph(root / f"plain{number}.png", number)
        kind = {"jfif": "JPEG", "jpe": "JPEG", "jp2": "JPEG2000"}.get(suffix, suffix.upper())
        Image.open(root / f"plain{number}.png").save(root / f"p{number}.{suffix}", kind)
    (root / "new.HEIC").write_bytes(b"x")
    (root / "._p0.jpe").write_bytes(b"x")
    assert len(folder.load(root)) == 12
    assert "1 .heic files are left out: convert them to JPEG" in capsys.readouterr().out
    for photo in folder.load(root):
        assert images.read_image(root / photo.path).shape == (60, 60, 3)


def test_folders_of_a_collection_are_no_subject(tmp_path):
    for number, place in enumerate(("train/gate", "test/gate", "images", "Camera", "")):
        photograph(tmp_path / "own" / place / f"{number}.png", number)
    labels = {photo.path: photo.label for photo in folder.load(tmp_path / "own")}
    assert labels == {"train/gate/0.png": "gate", "test/gate/1.png": "gate", "images/2.png": "photograph",
                      "Camera/3.png": "photograph", "4.png": "photograph"}  # fmt: skip
    image = np.full((40, 40, 3), 120, np.uint8)
    for label in ("train", "Camera", "photograph"):
        told = folder.compose_captions(tmp_path, Photo("a", "a.png", label), image, None, 0)
        assert all("train" not in text and "camera" not in text for text in told)


def test_profiles_are_honoured(tmp_path):
    """The same numbers under a profile of other primaries are another colour; a broken profile counts as none."""
    from PIL import ImageCms

    pixels = Image.new("RGB", (32, 32), (200, 40, 40))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels.save(tmp_path / "srgb.png", icc_profile=srgb)
    pixels.save(tmp_path / "broken.png", icc_profile=b"nothing of the kind")
    assert np.abs(images.read_image(tmp_path / "srgb.png").astype(int) - (200, 40, 40)).max() <= 2
    assert (images.read_image(tmp_path / "broken.png") == (200, 40, 40)).all()
    cmyk = pixels.convert("CMYK")
    cmyk.save(tmp_path / "plain.tif")
    assert images.read_image(tmp_path / "plain.tif").shape == (32, 32, 3)


def test_a_telephone_of_64_megapixels_passes():
    assert images.MAX_PIXELS > 9248 * 6936


CSS = {
    "black": ((0, 0, 0), "black"), "silver": ((192, 192, 192), "grey white"), "gray": ((128, 128, 128), "grey"),
    "white": ((255, 255, 255), "white"), "maroon": ((128, 0, 0), "red brown"), "red": ((255, 0, 0), "red"),
    "purple": ((128, 0, 128), "purple"), "fuchsia": ((255, 0, 255), "purple pink"), "green": ((0, 128, 0), "green"),
    "lime": ((0, 255, 0), "green"), "olive": ((128, 128, 0), "green yellow"), "yellow": ((255, 255, 0), "yellow"),
    "navy": ((0, 0, 128), "blue"), "blue": ((0, 0, 255), "blue"), "teal": ((0, 128, 128), "green blue"),
    "aqua": ((0, 255, 255), "blue"), "orange": ((255, 165, 0), "orange"),
}  # fmt: skip


@pytest.mark.parametrize("name", CSS)
def test_basic_colours_have_their_names(name):
    colour, allowed = CSS[name]
    ((found, share),) = compose.name_colours(np.array([colour], np.uint8))
    assert share == 1 and set(found.split()) & set(allowed.split()), found


def test_names_that_differ_in_case_or_composition_alone_are_one_name(tmp_path, capsys):
    import unicodedata

    photograph(tmp_path / "own" / "p0.jpg")
    photograph(tmp_path / "own" / unicodedata.normalize("NFD", "caf\u00e9.png"))
    (tmp_path / "own" / "metadata.csv").write_text("file_name,text\nP0.JPG,a zebra\ncaf\u00e9.png,a table\n", "utf-8")
    photos = folder.load(tmp_path / "own")
    assert all((tmp_path / "own" / photo.path).is_file() for photo in photos) and len(photos) == 2
    assert "2 names of the metadata are spelt otherwise" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["grey", "one", "ids", "palette", "alpha", "binary"])
def test_masks_in_every_usual_form(tmp_path, form):
    truth = np.zeros((40, 40), bool)
    truth[10:30, 5:20] = True
    path = tmp_path / "mask.png"
    if form == "palette":
        values = np.where(truth, 15, 0).astype(np.uint8)
        values[:2] = 255  # void
        indexed = Image.fromarray(values, "P")
        indexed.putpalette([n for k in range(256) for n in (k, 255 - k, k // 2)])
        indexed.save(path)
    elif form == "alpha":
        rgba = np.full((40, 40, 4), 90, np.uint8)
        rgba[..., 3] = truth * 255
        Image.fromarray(rgba).save(path)
    elif form == "binary":
        Image.fromarray(truth).save(path)
    else:
        level = {"grey": 255, "one": 1, "ids": 7}[form]
        Image.fromarray((truth * level).astype(np.uint8)).save(path)
    assert (images.read_mask(path) == truth).all()


def test_a_mask_that_says_nothing_is_refused(tmp_path):
    Image.new("L", (40, 40), 30).save(tmp_path / "m.png")
    with pytest.raises(images.UnusableImage, match="one grey level"):
        images.read_mask(tmp_path / "m.png")


@pytest.mark.parametrize(
    ("levels", "message"),
    [((1, 2, 3), "without 0"), ((0, 60, 140), "ids or shades"), ((0, 15, 255), "ids and void")],
)
def test_masks_that_can_be_read_in_two_ways_are_refused(tmp_path, levels, message):
    Image.fromarray(np.array(levels, np.uint8).repeat(400).reshape(-1, 20)).save(tmp_path / "m.png")
    with pytest.raises(images.UnusableImage, match=message):
        images.read_mask(tmp_path / "m.png")


def test_classes_as_colours_and_ids_of_16_bits(tmp_path):
    truth = np.zeros((40, 40), bool)
    truth[10:30, 5:20] = True
    colours = np.where(truth[..., None], (192, 128, 0), (0, 0, 0)).astype(np.uint8)
    colours[15:20, 5:20] = (128, 0, 0)  # another class, darker
    colours[0] = (224, 224, 192)  # void
    Image.fromarray(colours).save(tmp_path / "voc.png")
    Image.fromarray((truth * 300).astype(np.uint16)).save(tmp_path / "ids.png")
    assert (images.read_mask(tmp_path / "voc.png") == truth).all()
    assert (images.read_mask(tmp_path / "ids.png") == truth).all()


def test_a_mask_takes_the_size_of_its_photograph_or_is_named_with_both_sizes(root, tmp_path):
    truth = np.zeros((30, 30), np.uint8)
    truth[:15] = 1
    (root / "gate" / "masks").mkdir()
    Image.fromarray(truth).save(root / "gate" / "masks" / "0.png")
    Image.fromarray(truth[:, :20]).save(root / "gate" / "masks" / "1.png")
    photos = {photo.path: photo for photo in folder.load(root)}

    def read(path):
        return ingest.ingest(photos[path], root=root, config=DataConfig(dataset="folder", image_size=60, fit="stretch"))

    assert read("gate/0.png").object_mask[:30].all() and not read("gate/0.png").object_mask[30:].any()
    assert read("gate/1.png") == "the object mask is 20 x 30, the picture 60 x 60"


def test_latin_1_is_read_and_another_script_is_not_guessed(root, capsys):
    (root / "metadata.csv").write_bytes("file_name,text\ngate/0.png,un café\n".encode("latin-1"))
    assert folder.load(root)[0].captions == ("un café",)
    assert "metadata.csv is not UTF-8 and was read as Windows-1252" in capsys.readouterr().out
    (root / "metadata.csv").write_bytes("file_name,text\ngate/0.png,красная дверь\n".encode("cp1251"))
    with pytest.raises(UserError, match="Save it as UTF-8"):
        folder.load(root)


def test_a_very_long_name_gets_an_id_that_files_can_be_called_after(root):
    name = "a" * 242 + ".png"
    photograph(root / "gate" / name, 9)
    photograph(root / "gate" / ("a" * 241 + "b.png"), 10)
    ids = [photo.image_id for photo in folder.load(root)]
    assert len(set(ids)) == 8 and max(map(len, ids)) < 180


def test_linked_folders_are_followed_once_and_never_in_circles(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    photograph(elsewhere / "linked.png", 11)
    (root / "link").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)
    (root / "a_first").symlink_to(root / "gate")  # what lies below the folder anyway is listed where it lies
    (root / "circle").symlink_to(root / "circle")
    paths = [photo.path for photo in folder.load(root)]
    assert "link/linked.png" in paths and len(paths) == len(set(paths)) == 7
    assert not any(path.startswith("a_first") for path in paths)


def test_a_name_that_is_no_text_is_told_and_stops_nothing(root, capsys):
    before = len(folder.load(root))
    photograph(root / "gate" / "x.png", 12)
    os.rename(root / "gate" / "x.png", os.fsencode(root / "gate") + b"/caf\xe9.png")
    assert len(folder.load(root)) == before
    assert "names that are not UTF-8, e.g. gate/caf\\udce9.png: left out" in capsys.readouterr().out


def test_pictures_of_phones_are_read_where_their_decoder_is_installed(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    root = tmp_path / "own"
    photograph(root / "a.png", 1)
    Image.open(root / "a.png").save(root / "b.heic", "HEIF", quality=95)
    assert [photo.path for photo in folder.load(root)] == ["a.png", "b.heic"]
    difference = images.read_image(root / "a.png").astype(int) - images.read_image(root / "b.heic")
    assert abs(difference).mean() < 12


COCO = {
    "images": [{"id": 7, "file_name": "0.png"}, {"id": 9, "file_name": "3.png"}, {"id": 11, "file_name": "9.png"}],
    "annotations": [
        {"id": 1, "image_id": 9, "caption": "A street."},
        {"id": 2, "image_id": 7, "caption": "A gate."},
        {"id": 3, "image_id": 9, "caption": "A wet street."},
    ],
}


def test_coco_captions_find_the_folder_that_their_files_lie_in(root, tmp_path):
    file = tmp_path / "captions_val2017.json"
    file.write_text(json.dumps(COCO))
    photos = {photo.path: photo.captions for photo in folder.load(root, captions=str(file))}
    assert photos == {"gate/0.png": ("A gate.",), "street/3.png": ("A street.", "A wet street."), "9.png": ()}
    file.write_text(json.dumps({"gate/0.png": "one", "street/3.png": ["two", "three"]}))
    assert [p.captions for p in folder.load(root, captions=str(file))] == [("one",), ("two", "three")]


@pytest.mark.parametrize(
    "content", [["no table"], COCO | {"annotations": [{"image_id": 7, "bbox": [0, 0, 1, 1]}]}, COCO | {"images": []}]
)
def test_a_json_file_without_captions_is_named_and_kept(root, tmp_path, content):
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match="instances.json") as raised:
        folder.load(root, captions=str(file))
    assert "elete" not in str(raised.value)


def test_larger_photographs_pass_by_option(root):
    (photo,) = (photo for photo in folder.load(root) if photo.path == "gate/0.png")
    Image.new("RGB", (1100, 1000)).save(root / "gate" / "0.png")
    small, large = (DataConfig(dataset="folder", image_size=32, max_megapixels=n) for n in (1, 2))
    assert "max_megapixels" in ingest.ingest(photo, root=root, config=small)
    assert ingest.ingest(photo, root=root, config=large).width == 1100


def test_a_check_opens_every_file_and_writes_nothing(root, tmp_path):
    (root / "gate" / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    before = sorted(root.rglob("*"))
    found = index.check(root, DataConfig(dataset="folder", count=0, image_size=32))
    assert [path for path, _ in found.rejected] == ["gate/broken.jpg"]
    assert len(found.table["path"]) == 6 and "at least 27" in found.problem
    assert sorted(root.rglob("*")) == before
    for number in range(10, 60):
        photograph(root / "street" / f"{number}.png", number)
    assert not index.check(root, DataConfig(dataset="folder", count=0, image_size=32)).problem
