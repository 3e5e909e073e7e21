"""Oxford pets in their official layout, with trimaps, and captions that are measured or read from files."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from nbsupport.config import DataConfig
from nbsupport.core.errors import UserError
from nbsupport.data import caption_files, compose, ingest, pets


@pytest.fixture
def root(tmp_path):
    """Five pets: an orange animal on a blue ground, left of the middle; one without a trimap."""
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations" / "trimaps").mkdir(parents=True)
    lines = ["#Image CLASS-ID SPECIES BREED ID"]
    for name, species in (
        ("Abyssinian_1", 1),
        ("Abyssinian_2", 1),
        ("Russian_Blue_7", 1),
        ("beagle_3", 2),
        ("pug_4", 2),
    ):
        image = np.full((64, 80, 3), (60, 104, 180), np.uint8)
        trimap = np.full((64, 80), 2, np.uint8)
        image[16:56, 4:36], trimap[16:56, 4:36] = (232, 126, 28), 3
        trimap[20:52, 8:32] = 1
        Image.fromarray(image).save(tmp_path / "images" / f"{name}.jpg", quality=95)
        if name != "pug_4":
            Image.fromarray(trimap).save(tmp_path / "annotations" / "trimaps" / f"{name}.png")
        lines.append(f"{name} 1 {species} 1")
    (tmp_path / "images" / "._beagle_3.jpg").write_bytes(b"resource fork")
    (tmp_path / "images" / "notes.txt").write_text("no photograph")
    (tmp_path / "annotations" / "list.txt").write_text("\n".join(lines))
    return tmp_path


def test_the_layout_is_read(root):
    photos = {photo.image_id: photo for photo in pets.load(root)}
    assert set(photos) == {"Abyssinian_1", "Abyssinian_2", "Russian_Blue_7", "beagle_3", "pug_4"}
    assert photos["Russian_Blue_7"].label == "russian blue"
    assert photos["pug_4"].object_mask is None
    mask = pets.read_object_mask(root, photos["beagle_3"].object_mask)
    assert mask.shape == (64, 80) and mask.sum() == 40 * 32  # pet and border


def test_the_official_split_is_optional(root):
    assert {photo.split for photo in pets.load(root)} == {None}
    (root / "annotations" / "test.txt").write_text("beagle_3 1 2 1\n")
    (root / "annotations" / "trainval.txt").write_text("pug_4 1 2 1\n")
    assert {photo.image_id: photo.split for photo in pets.load(root) if photo.split} == {
        "beagle_3": "test",
        "pug_4": "train",
    }


def captioned(root, seed=0, size=48, **options):
    """The photographs with the captions they get while they are indexed."""
    photos = pets.load(root, **options)
    results = ingest.ingest_all(
        photos, root=root, config=DataConfig(dataset="pets", image_size=size, fit="stretch", seed=seed)
    )
    pairs = zip(photos, results, strict=True)
    return [replace(photo, captions=result.captions) for photo, result in pairs if not isinstance(result, str)]


def test_coco_captions_are_whole_sentences(root, tmp_path):
    coco = {
        "images": [{"id": 1, "file_name": "beagle_3.jpg"}],
        "annotations": [{"image_id": 1, "caption": "A dog runs over a bridge at night."}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    photos = {photo.image_id: photo.captions for photo in pets.load(root, captions=str(tmp_path / "coco.json"))}
    assert photos["beagle_3"] == ("A dog runs over a bridge at night.",) and photos["pug_4"] == ()


def test_composed_captions_say_what_is_in_the_picture(root):
    photos = captioned(root, seed=1)
    for photo in photos:
        assert len(photo.captions) >= 5
        assert len(set(photo.captions)) == len(photo.captions)
        text = " ".join(photo.captions)
        assert photo.label in text
        if photo.object_mask:
            assert "orange" in text and "on the left" in text
            assert "blue background" in text or "mostly blue" in text
            assert ("cat" in text) == (photo.label != "beagle") and ("dog" in text) == (photo.label == "beagle")
    assert captioned(root, seed=1) == photos != captioned(root, seed=2)


def test_a_file_that_cannot_be_read_does_not_stop_the_others(root):
    (root / "images" / "beagle_3.jpg").write_bytes(b"broken")
    photos = captioned(root)
    assert len(photos) == 4 and all(photo.captions for photo in photos)


def test_heads_are_parts_where_the_annotations_are_there(root):
    (root / "annotations" / "xmls").mkdir()
    box = "<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>30</xmax><ymax>50</ymax></bndbox>"
    (root / "annotations" / "xmls" / "pug_4.xml").write_text(f"<annotation><object>{box}</object></annotation>")
    (root / "annotations" / "xmls" / "beagle_3.xml").write_text("<annotation/>")
    parts = {photo.image_id: photo.parts for photo in pets.load(root)}
    assert parts["pug_4"] == {"head": (20.0, 35.0)} and parts["beagle_3"] == parts["Abyssinian_1"] == {}


def test_a_dictionary_that_matches_by_chance_is_warned_of(root, capsys):
    entries = {f"beagle_{row}.jpg": ["brown fur", "short legs"] for row in range(60)}
    (root / "rows.json").write_text(json.dumps(entries))
    pets.load(root, captions=str(root / "rows.json"))
    said = capsys.readouterr().out
    assert "60 entries" in said and "1 are named like a photograph" in said and "WARNING" in said
    (root / "names.json").write_text(json.dumps({f"{p.image_id.upper()}.JPG": ["brown fur"] for p in pets.load(root)}))
    assert all(photo.captions for photo in pets.load(root, captions=str(root / "names.json")))
    assert "WARNING" not in capsys.readouterr().out


def test_a_caption_dictionary_is_used_only_when_named(root):
    (root / "captions").mkdir()
    entries = {"beagle_3.jpg": [" brown fur", " long", " a round", " floppy ears.", " brown fur"], "pug_99.jpg": ["x"]}
    path = root / "captions" / "caption_dict.json"
    path.write_text(json.dumps(entries))
    assert all(photo.captions == () for photo in pets.load(root))
    named = {photo.image_id: photo.captions for photo in pets.load(root, captions=str(path))}
    assert named["beagle_3"] == ("a beagle dog with brown fur and floppy ears.",)
    assert named["pug_4"] == ()


def test_a_table_of_prompts_needs_file_names(root, tmp_path):
    prompts = ["Caption: A small dog lies down.\nAttributes: brown fur, floppy ears, a round.", "Attributes: long"]
    table = pd.DataFrame({"prompt": prompts, "true_label": ["beagle", "pug"]})
    table.to_parquet(tmp_path / "prompts.parquet")
    with pytest.raises(UserError, match="rows are not guessed"):
        pets.load(root, captions=str(tmp_path / "prompts.parquet"))
    table["file_name"] = ["images/beagle_3.jpg", "pug_4.jpg"]
    table.to_csv(tmp_path / "prompts.csv", index=False)
    named = {photo.image_id: photo.captions for photo in pets.load(root, captions=str(tmp_path / "prompts.csv"))}
    assert named["beagle_3"] == ("a small dog lies down.", "a beagle with brown fur and floppy ears.")
    assert named["pug_4"] == ()
    assert list(caption_files.read_prompts(tmp_path / "prompts.parquet")["sentences"])[0][0] == "a small dog lies down."


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "not valid JSON"),
        ("a.json", '["x"]', "dictionary"),
        ("a.json", '{"nobody_1.jpg": ["brown fur"]}', "None of the 1 entries"),
        ("a.csv", "x,y\n1,2\n", "no column 'prompt'"),
        ("a.txt", "x", "no known format"),
    ],
)
def test_bad_caption_files_are_named(root, name, content, message):
    (root / name).write_text(content)
    with pytest.raises(UserError, match=message):
        pets.load(root, captions=str(root / name))


def test_a_folder_without_pets_and_a_broken_list_are_errors(root, tmp_path):
    with pytest.raises(UserError, match="nbsupport data pets"):
        pets.load(tmp_path / "nothing")
    (root / "annotations" / "list.txt").write_text("Abyssinian_1 1 1 1\nbeagle_3 nonsense\n")
    with pytest.raises(UserError, match="line 2"):
        pets.load(root)


def test_phrases_become_sentences():
    phrases = [
        " reddish-brown fur",
        " a bed or resting area for the pet",
        " muscular body and",
        " and sharp claws",
        " or",
    ]
    assert caption_files.clean_phrases(phrases) == ["reddish-brown fur", "a muscular body", "sharp claws"]
    assert caption_files.phrases_to_sentences(phrases, "abyssinian cat") == (
        "an abyssinian cat with reddish-brown fur and a muscular body.",
        "an abyssinian cat with sharp claws.",
    )


@pytest.mark.parametrize(
    ("rgb", "name"),
    [((12, 12, 12), "black"), ((250, 250, 250), "white"), ((128, 128, 128), "grey"), ((200, 30, 30), "red"),
     ((60, 104, 180), "blue"), ((80, 125, 60), "green"), ((110, 78, 52), "brown")],
)  # fmt: skip
def test_colours_get_the_name_a_person_would_give(rgb, name):
    noisy = np.clip(np.array(rgb) + np.random.default_rng(0).integers(-6, 7, (400, 3)), 0, 255).astype(np.uint8)
    (first, share), *_ = compose.name_colours(noisy)
    assert first == name and share > 0.8


def test_measuring_without_a_known_object_claims_nothing_about_one():
    image = np.full((40, 40, 3), (60, 104, 180), np.uint8)
    measured = compose.measure(image, None)
    assert measured.background is None and measured.size is None
    text = " ".join(compose.sentences(measured, "campus", "campus", None, 0, "a"))
    assert "blue" in text and "background" not in text


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"black": 0.8, "dark grey": 0.2}, "black"),
        ({"white": 0.5, "black": 0.4, "grey": 0.1}, "white and black"),
        ({"grey": 0.4, "light grey": 0.3, "white": 0.3}, "white"),
        ({"grey": 0.6, "white": 0.4}, "grey and white"),
        ({"white": 0.3, "dark grey": 0.3, "grey": 0.2, "light grey": 0.2}, "white and dark grey"),
        ({"brown": 0.3, "dark brown": 0.3, "grey": 0.1, "black": 0.1, "pink": 0.1, "tan": 0.1}, "brown"),
        ({"white": 0.3, "brown": 0.28, "black": 0.22, "grey": 0.2}, "mixed white and brown"),
    ],
)
def test_a_coat_is_named_by_what_prevails(shares, said):
    assert compose.coat(compose.Measured(tuple(shares.items()), None, 0.3, "middle")) == said


@pytest.mark.parametrize(
    ("words", "said"),
    [("orange cat", "an orange cat"), ("university", "a university"), ("hour glass", "an hour glass"),
     ("red dogs", "red dogs"), ("campus", "a campus"), ("brown grass", "a brown grass")],
)  # fmt: skip
def test_articles(words, said):
    assert compose._article(words) == said


def test_a_trimap_stored_as_palette_is_a_trimap(tmp_path):
    values = np.full((40, 40), 2, np.uint8)
    values[10:30, 10:30], values[10] = 1, 3
    trimap = Image.fromarray(values, "P")
    trimap.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
    trimap.save(tmp_path / "t.png")
    assert (pets.read_object_mask(tmp_path, "t.png") == (values != 2)).all()
    Image.fromarray((values == 1).astype(np.uint8)).save(tmp_path / "binary.png")
    assert (pets.read_object_mask(tmp_path, "binary.png") == (values == 1)).all()
