"""The stage as a whole: from a folder to index, cache, splits and vocabulary; bad files do not stop it."""

import os
import shutil

import numpy as np
import pytest
from cub_tree import picture, write_cub
from PIL import Image

from nbsupport.config import DataConfig
from nbsupport.core.errors import ConfigError, MissingStage, UserError
from nbsupport.data import SOURCES, cub, difficult, find_root, index, ingest, summary
from nbsupport.data.photo import Photo, safe_name, unique_ids
from nbsupport.runs import Run


@pytest.fixture
def root(tmp_path):
    return write_cub(tmp_path / "data" / "CUB_200_2011", count=40)


@pytest.fixture
def run(runs_folder):
    return Run("try")


def config(root, **values):
    return DataConfig(**{"dataset": "cub", "data": str(root), "count": 0, "image_size": 32, **values})


def test_the_stage_from_end_to_end(root, run):
    dataset = index.prepare(run, config(root.parent))
    table = dataset.index
    assert len(dataset) == 40 and len(dataset.rejected) == 0
    assert dataset.cache.images.shape == (40, 32, 32, 3)
    first = table.iloc[0]
    assert first["captions"][0] == "this bird has a red belly" and isinstance(first["captions"], list)
    assert first["box"] == (10.0, 5.0, 40.0, 30.0) and first["parts"] == {"back": (20.5, 10.0)}
    assert first["object_mask"] is None and first["official_split"] == "test"
    assert (first["width"], first["height"], first["source"]) == (80, 60, "cub")
    assert len(first["sha256"]) == 64 and len(first["phash"]) == 16
    assert sum(len(dataset.rows(name)) for name in ("train", "validation", "test")) == 40
    assert dataset.row_of("Bird_0005") == 5 and "belly" in dataset.vocabulary


def test_picture_box_and_part_meet_in_the_cache(root, run):
    """Picture 80 x 60, box 10..50 x 5..35: the square crop is x 0..60, so everything shrinks by 32 / 60."""
    cache = index.prepare(run, config(root)).cache
    wanted = Image.fromarray(picture(0)).resize((32, 32), Image.Resampling.BICUBIC, box=(0, 0, 60, 60))
    assert np.abs(cache.batch([0])[0].astype(int) - np.asarray(wanted)).mean() < 4
    rows, columns = np.nonzero(cache.objects[0])
    edges = np.array([columns.min(), columns.max() + 1, rows.min(), rows.max() + 1])
    assert np.abs(edges - np.array([10, 50, 5, 35]) * 32 / 60).max() <= 1
    assert cache.parts_of(0)["back"] == pytest.approx((20.5 * 32 / 60, 10 * 32 / 60))


def test_a_second_call_loads_and_a_changed_source_is_noticed(root, run, capsys):
    index.prepare(run, config(root))
    record = run.record("index")
    assert index.prepare(run, config(root)).index.equals(index.load(run).index)
    assert run.record("index") == record and "loaded" in capsys.readouterr().out
    path = root / "text_c10" / "001.Kind_of_red" / "Bird_0000.txt"
    path.write_text(path.read_text() + "and one caption more\n")
    assert len(index.prepare(run, config(root)).index["captions"][0]) == 3


def seen(root, run):
    return index.source_signature(run, config(root), root)


def test_content_decides_whether_a_source_is_as_it_was(root, run, monkeypatch):
    first = seen(root, run)
    caption = root / "text_c10" / "001.Kind_of_red" / "Bird_0000.txt"
    picture_file = next((root / "images").rglob("*.jpg"))
    copied = picture_file.with_name("one_more.jpg")
    text, photograph, times = caption.read_text(), picture_file.read_bytes(), picture_file.stat()
    changes = {
        "a caption of equal length": lambda: caption.write_text(text.replace("red", "rex", 1)),
        "another picture of equal size": lambda: picture_file.write_bytes(photograph[:-3] + bytes(3)),
        "one more photograph": lambda: copied.write_bytes(photograph),
    }
    for what, change in changes.items():
        change()
        os.utime(caption if "caption" in what else picture_file, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert seen(root, run) != first, what
        caption.write_text(text)
        picture_file.write_bytes(photograph)
        copied.unlink(missing_ok=True)
        assert seen(root, run) == first, f"{what}, and back again: the same content is the same source"

    opened = []
    original = index.hash_file
    monkeypatch.setattr(index, "hash_file", lambda path: opened.append(path.suffix) or original(path))
    assert seen(root, run) == first
    assert opened and ".jpg" not in opened, "photographs that nobody touched are not read again, captions always"


def test_a_changed_photograph_makes_the_index_anew(root, run, capsys):
    before = index.prepare(run, config(root)).index["sha256"].tolist()
    folder = root / "images" / "001.Kind_of_red"
    shutil.copy(folder / "Bird_0003.jpg", folder / "Bird_0000.jpg")
    capsys.readouterr()
    after = index.prepare(run, config(root)).index["sha256"].tolist()
    assert "[index] what it reads (source) has changed since it was made" in capsys.readouterr().out
    assert before[0] != before[3] and after[0] == after[3] == before[3]


def test_bad_files_are_listed_and_the_rest_goes_on(root, run):
    made = difficult.write(root.parent / "odd", picture(99))
    targets = sorted((root / "images").rglob("*.jpg"))
    bad = [made[name] for name in difficult.UNREADABLE]
    for source, target in zip(bad, targets, strict=False):
        shutil.copy(source, target)
    targets[-1].unlink()
    (root / "text_c10" / "009.Kind_of_yellow" / "Bird_0002.txt").unlink()
    dataset = index.prepare(run, config(root))
    assert len(dataset) == 40 - len(bad) - 2
    reasons = dict(zip(dataset.rejected["path"], dataset.rejected["reason"], strict=True))
    assert reasons[targets[-1].relative_to(root).as_posix()] == "the file is missing"
    assert reasons["images/009.Kind_of_yellow/Bird_0002.jpg"] == "no caption"
    assert not set(dataset.index["path"]) & set(reasons)
    result = summary.summarise(run, dataset)
    assert result["rejected"] == len(bad) + 2 == sum(result["rejected_reasons"].values())


def test_nothing_usable_is_an_error_that_says_why(root, run):
    for path in (root / "images").rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"None of the 40 .*the file is empty \(40\)"):
        index.prepare(run, config(root))
    with pytest.raises(MissingStage):
        index.load(run)


def test_too_few_scenes_to_split(root, run):
    for path in (root / "images").rglob("*.jpg"):
        Image.fromarray(picture(1)).save(path)
    with pytest.raises(UserError, match="Only 1 independent"):
        index.prepare(run, config(root))


def test_copies_and_near_copies_share_a_group_and_plain_pictures_do_not(root, run, capsys):
    paths = sorted((root / "images").rglob("*.jpg"))
    shutil.copy(paths[0], paths[1])
    Image.open(paths[2]).resize((70, 52)).save(paths[3], quality=60)
    for n, path in enumerate(paths[4:12]):  # plain, and each of another colour
        Image.new("RGB", (80, 60), (20 * n, 40, 90)).save(path)
    dataset = index.prepare(run, config(root, near_duplicate_bits=4))
    group = dict(zip(dataset.index["path"], dataset.index["group"], strict=True))
    a, b, c, d, *plain = (group[path.relative_to(root).as_posix()] for path in paths[:12])
    assert a == b and c == d and len({a, c, *plain}) == 10
    assert summary.groups_across_splits(dataset) == 0 and "warning" not in capsys.readouterr().out


def test_a_giant_group_is_warned_of(root, run, capsys):
    for path in sorted((root / "images").rglob("*.jpg"))[-10:]:
        Image.fromarray(picture(1)).save(path)
    dataset = index.prepare(run, config(root))
    assert "11 of 40" in summary.summarise(run, dataset)["warning"] and "warning" in capsys.readouterr().out


def test_count_draws_a_balanced_subset_that_does_not_depend_on_the_order(root):
    photos = cub.load(root)
    chosen = index.choose(photos, 9, 0)
    assert [photo.image_id for photo in chosen] == sorted(photo.image_id for photo in chosen)
    assert chosen == index.choose(photos[::-1], 9, 0) != index.choose(photos, 9, 1)
    labels = [photo.label for photo in chosen]
    assert {labels.count(label) for label in labels} == {3}
    assert {p.image_id for p in chosen} < {p.image_id for p in index.choose(photos, 20, 0)}
    assert len(index.choose(photos, 0, 0)) == len(index.choose(photos, 999, 0)) == 40


def test_processes_give_what_one_process_gives(root, monkeypatch):
    monkeypatch.setattr(ingest, "WORTH_A_POOL", 10)
    photos = [*cub.load(root), Photo("gone", "images/gone.jpg", "x", ("a caption",))]
    work = {"root": root, "config": config(root, image_size=24, fit="box")}
    one, two = (list(ingest.ingest_all(photos, workers=n, **work)) for n in (1, 2))
    assert one[-1] == two[-1] == "the file is missing"
    for a, b in zip(one[:-1], two[:-1], strict=True):
        assert (a.sha256, a.phash, a.parts) == (b.sha256, b.phash, b.parts) and (a.image == b.image).all()


def test_a_mask_that_does_not_fit_costs_the_mask_only(root, run):
    folder = root / "segmentations" / "001.Kind_of_red"
    folder.mkdir(parents=True)
    Image.new("L", (10, 10), 255).save(folder / "Bird_0000.png")
    (folder / "Bird_0003.png").write_bytes(b"no mask")
    good = np.zeros((60, 80), np.uint8)
    good[20:40, 20:40] = 255
    Image.fromarray(good).save(folder / "Bird_0006.png")
    dataset = index.prepare(run, config(root))
    assert len(dataset) == 40 and sum(run.record("index")["notes"]["object_masks_left_out"].values()) == 2
    box, segmented = dataset.cache.objects[0].sum(), dataset.cache.objects[dataset.row_of("Bird_0006")].sum()
    assert box == pytest.approx(40 * 30 * (32 / 60) ** 2, rel=0.1)
    assert segmented == 10 * 10  # 10.67 to 21.33: the pixels 11 to 20 are more than half covered


def test_a_box_as_large_as_the_picture_is_no_object(root, run):
    dataset = index.prepare(run, config(root, fit="box"))
    assert not dataset.cache.has_object.any() and not dataset.cache.objects.any()


def test_the_vocabulary_knows_train_only(root, run):
    dataset = index.prepare(run, config(root))
    test_row = dataset.rows("test")[0]
    path = root / "text_c10" / dataset.index["path"][test_row].removeprefix("images/").replace(".jpg", ".txt")
    path.write_text("zebrafinchlike zebrafinchlike zebrafinchlike\n")
    dataset = index.prepare(run, config(root))
    assert "zebrafinchlike" not in dataset.vocabulary
    result = summary.summarise(run, dataset)
    assert result["unknown_rate"]["train"] == 0 < result["unknown_rate"]["test"]


def test_roots_are_found_and_missing_ones_explained(root, tmp_path):
    assert find_root("cub", root) == find_root("cub", root.parent) == root.resolve()
    with pytest.raises(UserError, match="nbsupport data cub"):
        find_root("cub", tmp_path / "nowhere")
    with pytest.raises(UserError, match="images.txt"):
        find_root("cub", tmp_path)
    with pytest.raises(ConfigError, match="Did you mean 'cub'"):
        SOURCES["cup"]


def test_ids_are_safe_and_unique():
    paths = ["a/cat.jpg", "b/cat.jpg", "a/dög 1.png", "照片.jpg", "c/../e.jpg", "A/CAT.jpg", "a_cat.jpg"]
    ids = unique_ids(paths)
    assert len({name.lower() for name in ids}) == len(paths) and all(name == safe_name(name) != "" for name in ids)
    order = [4, 2, 6, 0, 1, 5, 3]
    assert unique_ids([paths[n] for n in order]) == [ids[n] for n in order]


def test_unknown_rows_and_splits(root, run):
    dataset = index.prepare(run, config(root, count=12))
    with pytest.raises(ConfigError, match="validation"):
        dataset.rows("valid")
    with pytest.raises(ConfigError, match="no photograph"):
        dataset.row_of("zzz")
