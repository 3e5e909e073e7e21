"""The paired set: one form for both classes, same pixels outside the hole, no group in two splits, same bytes again."""

import dataclasses
import json
import os
import types

import numpy as np
import pandas as pd
import pytest

from nbsupport import masks, pairs, quality
from nbsupport.config import DataConfig, MaskConfig, PairsConfig
from nbsupport.core.errors import ConfigError, InpainterError, MissingStage, UserError
from nbsupport.data import index
from nbsupport.inpainters import base, registry
from nbsupport.pairs import files, generation, making, planning, storage, store, workers
from nbsupport.pairs.files import Encoding
from nbsupport.runs import Run

PNG = Encoding.parse("png")

PHOTOGRAPHS, SIZE = 24, 32


def photographs():
    """Smooth coloured pictures with a little noise, (N, S, S, 3) uint8."""
    draw = np.random.default_rng(1)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    tilt = draw.uniform(60, 190, (PHOTOGRAPHS, 3, 3))
    plane = np.stack([x, y, np.ones_like(x)], axis=-1) @ tilt.swapaxes(0, 1).reshape(3, -1)
    images = plane.reshape(SIZE, SIZE, PHOTOGRAPHS, 3).transpose(2, 0, 1, 3) / 2 + draw.normal(0, 4, (SIZE, SIZE, 3))
    return images.clip(0, 255).astype(np.uint8)


@pytest.fixture
def run(runs_folder, monkeypatch):
    """A run with finished stages index and masks: 24 photographs in 12 groups of two."""
    run = Run("pairs-test")
    with run.stage("index", DataConfig()):
        pass
    groups = np.arange(PHOTOGRAPHS) // 2
    table = pd.DataFrame(
        {
            "image_id": [f"bird.{k:03d}" for k in range(PHOTOGRAPHS)],
            "group": groups,
            "split": np.array(["train", "train", "test", "train", "validation", "train"])[groups % 6],
            "label": "wren",
            "captions": [[] if k == 5 else [f"a bird number {k}", f"<b>bird</b> {k}"] for k in range(PHOTOGRAPHS)],
        }
    )
    cache = types.SimpleNamespace(
        images=photographs(),
        objects=np.zeros((PHOTOGRAPHS, SIZE, SIZE), bool),
        has_object=np.zeros(PHOTOGRAPHS, bool),
        parts=pd.DataFrame({"image_id": [], "row": [], "part": [], "x": [], "y": []}),
    )
    dataset = types.SimpleNamespace(index=table, cache=cache)
    monkeypatch.setattr(index, "load", lambda run: dataset)
    masks.make(run, MaskConfig(kinds=("centre", "rectangles")))
    return run


CONFIG = PairsConfig(inpainters=("telea",), kinds=("centre", "rectangles"), batch_size=5, shard_size=4)
SHARDS = -(-PHOTOGRAPHS // 4)


class Noisy:
    """Like a network: changes visible pixels too, and depends on its seeds."""

    name = "telea"

    def __init__(self, fail_at=None):
        self.calls, self.fail_at = 0, fail_at

    def fill(self, images, masks, captions, *, seeds):
        self.calls += 1
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        noise = np.stack([np.random.default_rng(s).integers(0, 9, images.shape[1:], dtype=np.uint8) for s in seeds])
        output = images // 2 + 60 + noise
        output[masks] = 255 - images[masks]
        return output


@pytest.fixture
def noisy(monkeypatch):
    painter = Noisy()
    monkeypatch.setattr(registry, "create", lambda name, run=None: base.checked(painter))
    return painter


def contents(run):
    return {path.relative_to(run.path).as_posix(): path.read_bytes() for path in (run / "pairs/shards").rglob("*.*")
            if path.is_file()}  # fmt: skip


def test_the_set_keeps_its_promises(run, noisy):
    made = pairs.make(run, CONFIG)
    manifest = made.manifest
    assert tuple(manifest.columns) == planning.COLUMNS
    assert manifest["arm"].value_counts().to_dict() == dict.fromkeys(planning.ARMS, PHOTOGRAPHS)
    assert (manifest["label"] == manifest["arm"].map(planning.ARMS)).all()
    assert (manifest.groupby("group")["split"].nunique() == 1).all()
    assert (made.counts().nunique(axis=1) == 1).all() and made.counts().to_numpy().sum() == len(manifest)
    assert list(made.counts().index) == ["train", "validation", "test"] and list(made.counts()) == list(planning.ARMS)
    assert noisy.calls == SHARDS * 2, "one call gives all arms of 5 fills; a shard has 4 fills, 4 reconstructions"

    everything = made.read(np.arange(len(made)))
    assert np.array_equal(everything, made.cache)
    mask_set, images = masks.load(run), photographs()
    number = {mask_id: n for n, mask_id in enumerate(mask_set.table["mask_id"])}
    sets = made.sets()
    assert len(sets) == PHOTOGRAPHS
    jpeg = Encoding.parse("jpeg:85")
    for original, reencoded, reconstructed, regenerated, spliced, again in sets.itertuples(index=False):
        assert np.array_equal(made.cache[reencoded], jpeg.through(made.cache[original]))
        assert np.array_equal(made.cache[again], jpeg.through(made.cache[spliced]))
        assert (made.cache[reconstructed] != made.cache[original]).any(), "the network touched it"
        assert manifest["mask"][reconstructed] == manifest["mask"][original] == -1
        hole = mask_set.get([number[manifest["mask_id"][spliced]]])[0]
        assert np.array_equal(made.cache[original], images[manifest["row"][original]])
        assert np.array_equal(made.cache[spliced][~hole], made.cache[original][~hole])
        assert np.array_equal(made.cache[spliced][hole], made.cache[regenerated][hole])
        assert (made.cache[regenerated][~hole] != made.cache[original][~hole]).any()
        assert (made.cache[spliced][hole] != made.cache[original][hole]).any()

    result = run.result("pairs")
    assert result["checks_passed"] and result["files"] == 6 * PHOTOGRAPHS and result["fills"] == PHOTOGRAPHS
    outside = {entry["arm"]: entry["outside_changed"] for entry in result["differences"]}
    assert outside["spliced"] == 0 and outside["regenerated"] > 0.5 and outside["spliced_reencoded"] > 0.5


def test_real_and_fake_files_differ_in_nothing_but_pixels(run, noisy):
    made = pairs.make(run, CONFIG)
    forms = {
        label: {str(files.form((run / path).read_bytes())) for path in table["path"]}
        for label, table in made.manifest.groupby("label")
    }
    assert len(forms["real"]) == 1 and forms["real"] == forms["fake"]
    form = files.form((run / made.manifest["path"][0]).read_bytes())
    assert form["header"][:4] == (SIZE, SIZE, 8, 2) and form["chunks"] == ("IHDR", "IDAT", "IEND")
    assert form["tail"] == 0


def test_a_finished_set_is_loaded_and_a_seed_reproduces_a_fill(run, noisy, capsys):
    made = pairs.make(run, CONFIG)
    calls = noisy.calls
    again = pairs.make(run, CONFIG)
    assert noisy.calls == calls and "loaded" in capsys.readouterr().out
    pd.testing.assert_frame_equal(made.manifest, again.manifest)
    row = int(again.rows(arm="regenerated", split="test")[0])
    entry = again.manifest.iloc[row]
    hole = masks.load(run).of(entry["image_id"], entry["mask_kind"])
    image = photographs()[entry["row"]]
    fill = Noisy().fill(image[None], hole[None], [entry["caption"]], seeds=[entry["seed"]])[0]
    assert np.array_equal(fill, again.cache[row])


def test_an_interrupted_set_goes_on_and_ends_with_the_same_bytes(run, monkeypatch):
    monkeypatch.setattr(registry, "create", lambda name, run=None: Noisy())
    whole = pairs.make(run, CONFIG)
    expected, table = contents(run), whole.manifest
    store.clear(run)
    broken = Noisy(fail_at=6)  # in the third shard
    monkeypatch.setattr(registry, "create", lambda name, run=None: broken)
    with pytest.raises(KeyboardInterrupt):
        pairs.make(run, CONFIG)
    assert run.record("pairs") is None and not (run / "pairs/manifest.parquet").exists()
    with pytest.raises(MissingStage, match="--only 1-6"):
        pairs.load(run)
    held = contents(run)
    assert len(held) == 2 * 4 * 6, "two whole shards, and nothing of the third"
    assert not list((run / "pairs").rglob(".*part*"))
    first = sorted(held)[0]
    (run / first).write_bytes(held[first][:100])  # as after a power failure
    (run / "pairs/shards/.00002.1.part").mkdir()
    (run / "pairs/shards/.00002.1.part/left by a process that was killed").write_bytes(b"")
    stamp = (run / sorted(held)[-1]).stat().st_mtime_ns
    resumed = Noisy()
    monkeypatch.setattr(registry, "create", lambda name, run=None: resumed)
    again = pairs.make(run, CONFIG)
    assert resumed.calls == 2 * 5, "the broken shard, the interrupted one, and the three that were missing"
    assert contents(run) == expected and not list((run / "pairs").rglob(".*part*"))
    assert (run / sorted(held)[-1]).stat().st_mtime_ns == stamp, "a whole file is kept"
    pd.testing.assert_frame_equal(again.manifest, table)


def test_another_configuration_does_not_reuse_files(run, noisy):
    pairs.make(run, CONFIG)
    before = contents(run)
    pairs.make(run, dataclasses.replace(CONFIG, seed=1))
    after = contents(run)
    common = [name for name in before if name in after and "regenerated" in name]
    assert common and all(before[name] != after[name] for name in common)


def test_verification_finds_what_is_wrong(run, noisy):
    made = pairs.make(run, CONFIG)
    images, mask_set, photo_index = photographs(), masks.load(run), index.load(run).index
    paths = [run / path for path in made.manifest["path"]]
    spliced = int(made.rows(arm="spliced")[0])
    picture = files.decode(paths[spliced].read_bytes()).copy()
    picture[0, 0] ^= 1  # one visible pixel, one bit
    paths[spliced].write_bytes(PNG.encode(picture))
    from PIL import Image

    real = int(made.rows(arm="original")[3])
    Image.fromarray(made.cache[real]).save(paths[real], "PNG", compress_level=9, dpi=(72, 72))
    paths[int(made.rows(arm="regenerated")[4])].unlink()
    checks = pairs.verify(made, images, mask_set, photo_index)
    failed = {name: check["failed"] for name, check in checks.items() if not check["passed"]}
    assert failed["hash as in the manifest"] == 3
    assert failed["cache equals the files"] == 2
    assert failed["one form for both classes"] > 0
    broken = made.manifest.copy()
    broken.loc[broken.index[:3], "split"] = "elsewhere"
    checks = pairs.verify(dataclasses.replace(made, manifest=broken), images, mask_set, photo_index)
    assert not checks["no group in two splits"]["passed"] and checks["every row as planned"]["failed"] == 3
    short = made.manifest.iloc[:-2]
    checks = pairs.verify(dataclasses.replace(made, manifest=short), images, mask_set, photo_index)
    assert not checks["every row as planned"]["passed"]
    assert not checks["every photograph in every arm, each fake arm of one size"]["passed"]
    changed = images.copy()
    changed[0, 0, 0] ^= 1
    checks = pairs.verify(made, changed, mask_set, photo_index)
    assert checks["original equals the photograph"]["failed"] == 1
    assert checks["reencoded equals the photograph encoded again"]["failed"] in (0, 1), "one bit may not survive"
    assert not checks["spliced equals the photograph outside the hole"]["passed"]


def test_choices_depend_on_seed_and_photograph_alone(run):
    dataset, table = index.load(run), masks.load(run).table
    arms = ("original", "spliced")
    whole, some = (
        pairs.plan(dataset.index, table, dataclasses.replace(CONFIG, count=count, arms=arms)).query("arm == 'spliced'")
        for count in (0, 8)
    )
    assert len(some) == 8 and some.groupby("group").size().eq(2).all(), "whole groups"
    assert set(some["split"]) == {"train", "validation", "test"}
    both = whole.merge(some, on="image_id", suffixes=("", "_small"))
    assert len(both) == len(some)
    for column in ("mask_id", "caption", "seed"):
        assert (both[column] == both[f"{column}_small"]).all()
    assert whole["mask_kind"].nunique() == 2 and whole["seed"].nunique() == len(whole)
    empty = whole[whole["caption"] == ""]
    assert empty["image_id"].tolist() == ["bird.005"] and empty["caption_kind"].tolist() == ["empty"]


def test_inpainters_of_one_photograph_share_hole_and_caption(run):
    config = dataclasses.replace(CONFIG, inpainters=("telea", "mean_colour"), count=6)
    made = pairs.make(run, config)
    counts = {"original": 6, "reencoded": 6}
    counts |= dict.fromkeys(("reconstructed", "regenerated", "spliced", "spliced_reencoded"), 12)
    assert made.manifest["arm"].value_counts().to_dict() == counts
    assert (made.manifest.groupby("image_id")[["mask_id", "caption"]].nunique() == 1).all(axis=None)
    assert run.result("pairs")["checks_passed"]
    plain = [e for e in run.result("pairs")["differences"] if e["inpainter"] == "mean_colour" and e["arm"] == "spliced"]
    assert plain and all(e["hole_l1"] == pytest.approx(e["mean_colour_l1"]) for e in plain)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": ("original", "splice")}, "Did you mean 'spliced'"),
        ({"arms": ("spliced",)}, "real and fake"),
        ({"inpainters": ("lamb:x",)}, "Unknown inpainter 'lamb:x'"),
        ({"encoding": "jpg"}, "jpeg:90"),
        ({"encoding": "jpeg:101"}, "quality from 1 to 100"),
        ({"reencode": "png"}, "must be lossy"),
        ({"coverage_low": 0.5, "coverage_high": 0.4}, "above coverage_high"),
        ({"coverage_low": 0.98}, "Widen"),
        ({"caption_kinds": ("matched", "matched")}, "nothing twice"),
        ({"inpainters": ()}, "inpainters must not be empty"),
        ({"kinds": ("strokes",)}, "Unknown mask kind 'strokes'"),
    ],
)
def test_bad_parameters_are_clear_errors(run, change, message):
    pairs.make(run, dataclasses.replace(CONFIG, count=6))
    with pytest.raises(ConfigError, match=message):
        pairs.make(run, dataclasses.replace(CONFIG, **change))
    assert len(pairs.load(run)) == 36, "the set that was there is still there"


def test_a_bad_inpainter_leaves_nothing_that_looks_whole(run, monkeypatch):
    class Small(Noisy):
        def fill(self, images, masks, captions, *, seeds):
            return images[:, ::2]

    monkeypatch.setattr(registry, "create", lambda name, run=None: base.checked(Small()))
    with pytest.raises(InpainterError, match="must return"):
        pairs.make(run, CONFIG)
    assert run.record("pairs") is None and not contents(run) and not list((run / "pairs/records").iterdir())


def test_a_full_disk_is_said_before_the_work(run, noisy, monkeypatch):
    monkeypatch.setattr(making.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1000))
    with pytest.raises(UserError, match="GB free"):
        pairs.make(run, CONFIG)
    assert noisy.calls == 0


def test_a_tdanet_set_needs_its_stage(run):
    with pytest.raises(MissingStage, match="'tdanet'"):
        pairs.make(run, PairsConfig())


def test_files_that_are_not_of_a_set_are_refused(tmp_path):
    with pytest.raises(UserError, match="missing"):
        storage.read(tmp_path, ["none.png"])
    whole = PNG.encode(np.zeros((4, 4, 3), np.uint8))
    for content in (whole[: len(whole) // 2], b"", b"GIF89a"):
        with pytest.raises(UserError, match="not a whole PNG"):
            files.decode(content)
        assert files.form(content) != files.form(whole)
    with pytest.raises(UserError, match="not RGB"):
        files.decode(PNG.encode(np.zeros((4, 4), np.uint8)))


def test_figures_show_where_the_arms_differ(run, noisy):
    from nbsupport.plots import pairs as figures

    made, mask_set = pairs.make(run, CONFIG), masks.load(run)
    ids = figures.choose(made, 3)
    assert len(ids) == 3 and (made.manifest.set_index("image_id").loc[ids, "split"] == "test").all()
    sheet = figures.contact_sheet(made, mask_set, ids)
    assert len(sheet.axes) == 3 * 8
    profile = figures.distance_profile(made, mask_set)
    assert (profile.loc[profile.index > 0, "spliced"] == 0).all()
    assert (profile.loc[profile.index > 0, "regenerated"] > 0).all()
    assert (profile.loc[profile.index < 0, "spliced"] > 0).all()
    assert figures.distances(profile).axes and figures.coverages(made.manifest).axes
    table = figures.arm_spectra(made)
    assert list(table.columns) == list(planning.ARMS) and figures.spectra(table).axes


def test_a_wave_shows_in_its_own_ring_of_the_spectrum():
    from nbsupport.plots.pairs import radial_spectrum

    x = np.arange(64)
    wave = np.rint(127 + 100 * np.sin(2 * np.pi * 12 * x / 64)).astype(np.uint8)
    image = np.broadcast_to(wave[None, :, None], (64, 64, 3))
    spectrum = radial_spectrum(image[None])
    assert len(spectrum) == 33 and spectrum.argmax() == 12
    assert spectrum[12] > 100 * spectrum[20:].max()


EVERYTHING = dataclasses.replace(
    CONFIG, kinds_each=0, caption_kinds=("matched", "mismatched", "empty"), samples=2, count=10, inpainters=("telea",)
)


def test_a_hole_that_fell_back_to_rectangles_is_counted_as_such(run, noisy):
    masks.make(run, MaskConfig(kinds=("centre", "object")))  # no photograph has an object here
    made = pairs.make(run, dataclasses.replace(EVERYTHING, kinds=("centre", "object")))
    assert set(run.result("pairs")["mask_kinds"]) == {"centre", "rectangles"}
    assert made.manifest["path"].is_unique and run.result("pairs")["checks_passed"]


def test_mismatched_means_the_same_to_the_set_and_to_the_judges(run, noisy):
    made = pairs.make(run, EVERYTHING)
    own = made.manifest.query("caption_kind == 'mismatched' and arm == 'spliced'").drop_duplicates("row")
    told = quality.pick_captions(index.load(run), own["row"].to_numpy(), EVERYTHING.seed)[1]
    assert own["caption"].tolist() == told


def test_every_hole_caption_and_sample_of_a_photograph(run, noisy):
    made = pairs.make(run, EVERYTHING)
    fakes = made.manifest[made.manifest["label"] == "fake"]
    assert len(fakes) == 10 * 2 * 3 * 2 * 3, "photographs, kinds, captions, samples, fake arms"
    assert fakes.groupby("call").size().eq(3).all() and len(made.manifest) == len(fakes) + 30
    spliced = fakes[fakes["arm"] == "spliced"]
    by_caption = spliced.groupby(["image_id", "mask_kind", "sample"])["seed"].nunique()
    assert (by_caption == 1).all(), "captions are compared over the same latent"
    assert (spliced.groupby(["image_id", "mask_kind", "caption_kind"])["seed"].nunique() == 2).all()
    table = index.load(run).index.set_index("image_id")
    for entry in spliced[spliced["caption_kind"] == "mismatched"].itertuples():
        assert entry.caption not in table.loc[entry.image_id, "captions"] and entry.caption
        owner = [i for i, own in table["captions"].items() if entry.caption in own][0]
        assert table.loc[owner, "split"] == entry.split and table.loc[owner, "group"] != entry.group
    assert set(spliced.loc[spliced["caption_kind"] == "empty", "caption"]) == {""}
    assert run.result("pairs")["checks_passed"]


def read_archives(paths):
    """Samples of tar archives by the library webdataset, which draws from Python's global generator."""
    import random

    import webdataset

    state = random.getstate()
    try:
        return list(webdataset.WebDataset([str(path) for path in paths], shardshuffle=False).decode("rgb8"))
    finally:
        random.setstate(state)


@pytest.mark.parametrize("encoding", ["jpeg:80", "webp:75"])
def test_lossy_files_agree_in_everything_but_pixels(run, noisy, encoding):
    made = pairs.make(run, dataclasses.replace(CONFIG, encoding=encoding))
    result = run.result("pairs")
    assert result["checks_passed"] and "spliced equals the photograph outside the hole" not in result["checks"]
    assert result["checks"]["one form for both classes"]["checked"] == len(made)
    suffix = Encoding.parse(encoding).suffix
    assert made.manifest["path"].str.endswith(suffix).all()
    row = int(made.rows(arm="original")[0])
    assert np.array_equal(made.cache[row], Encoding.parse(encoding).through(photographs()[made.manifest["row"][row]]))
    other = Encoding.parse(encoding.split(":")[0] + ":60").encode(np.array(made.cache[row]))
    (run / made.manifest["path"][row]).write_bytes(other)
    again = pairs.verify(made, photographs(), masks.load(run), index.load(run).index)
    assert not again["hash as in the manifest"]["passed"]
    if encoding.startswith("jpeg"):
        assert not again["one form for both classes"]["passed"], "other quantisation tables"


@pytest.mark.parametrize("form", ["real_fake", "imagefolder", "webdataset", "parquet"])
def test_exports_come_back_as_they_were(run, noisy, tmp_path, form):
    import io

    import pyarrow.parquet as pq
    import torchvision
    from PIL import Image

    made = pairs.make(run, CONFIG)
    rows = made.sample(12, "train")
    target = tmp_path / "out"
    assert pairs.export(made, target, form, rows) == 12
    known = {made.manifest["sha256"][row]: (made.manifest["label"][row], np.array(made.cache[row])) for row in rows}
    found = []
    if form == "real_fake":
        folder = torchvision.datasets.ImageFolder(target / "train")
        assert folder.classes == ["0_real", "1_fake"]
        found = [(np.array(picture), ["real", "fake"][label]) for picture, label in folder]
    elif form == "imagefolder":
        lines = [json.loads(line) for line in (target / "train/metadata.jsonl").read_text().splitlines()]
        found = [(np.array(Image.open(target / "train" / line["file_name"])), line["label"]) for line in lines]
    elif form == "webdataset":
        found = [(sample["png"], sample["json"]["label"]) for sample in read_archives(target.glob("*.tar"))]
    else:
        for line in pq.read_table(target / "train-00000.parquet").to_pylist():
            found.append((np.array(Image.open(io.BytesIO(line["image"]["bytes"]))), line["label"]))
    assert len(found) == 12
    pictures = {picture.tobytes(): label for label, picture in known.values()}
    assert all(pictures[np.ascontiguousarray(picture).tobytes()] == label for picture, label in found)
    assert sorted(label for _, label in found) == ["fake"] * 6 + ["real"] * 6
    with pytest.raises(ConfigError, match="holds something"):
        pairs.export(made, target, form)
    with pytest.raises(ConfigError, match="Did you mean 'parquet'"):
        pairs.export(made, tmp_path / "other", "parket")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_balanced_subsets_grow_and_part_no_group(run, noisy):
    made = pairs.make(run, CONFIG)
    small, large = made.sample(12), made.sample(28)
    assert len(small) == 12 and len(large) == 28 and set(small) <= set(large)
    for rows in (small, large):
        table = made.manifest.iloc[rows]
        assert table["label"].value_counts().to_dict() == {"real": len(rows) // 2, "fake": len(rows) // 2}
        assert (table.groupby("group")["image_id"].nunique() == 2).all()
    both = made.sample(12, "train", arms=("original", "reconstructed", "regenerated", "spliced"))
    assert made.manifest.iloc[both]["arm"].value_counts().nunique() == 1
    with pytest.raises(ConfigError, match="at most 48"):
        made.sample(50)
    with pytest.raises(ConfigError, match="as many real arms as fake"):
        made.sample(4, arms=("original", "spliced", "regenerated"))


def test_a_group_that_does_not_fit_is_left_out_whole():
    groups = np.array([0, 0, 0, 1, 2, 2, 3])
    order = np.array([1, 9, 9, 2, 3, 9, 4])
    assert planning.whole_groups(groups, order, 4).tolist() == [True] * 4 + [False] * 3
    assert planning.whole_groups(groups, order, 5).tolist() == [True] * 4 + [False, False, True]
    assert planning.whole_groups(groups, order, 2).tolist() == [False] * 3 + [True, False, False, True]
    assert planning.shares(10, np.array([5, 3, 2])).tolist() == [5, 3, 2] and planning.shares(7, np.ones(3)).sum() == 7


def test_two_attempts_at_one_set_are_refused(run, noisy):
    with workers.alone(run), pytest.raises(UserError, match="Another process"):
        pairs.make(run, CONFIG)
    assert len(pairs.make(run, CONFIG)) == 6 * PHOTOGRAPHS


def test_a_disk_that_fills_up_leaves_no_shard_that_looks_whole(run, noisy, monkeypatch):
    def full(path, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(generation.storage, "write", full)
    with pytest.raises(UserError, match="No space left"):
        pairs.make(run, CONFIG)
    assert not contents(run) and run.record("pairs") is None
    monkeypatch.undo()


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_cannot_be_written_is_said(run, noisy):
    run.path.chmod(0o500)
    try:
        with pytest.raises(UserError, match="cannot be written"):
            pairs.make(run, CONFIG)
    finally:
        run.path.chmod(0o700)


def test_masks_of_nothing_and_of_everything_are_named(run, noisy):
    table = masks.load(run).table.copy()
    photo_index = index.load(run).index
    table.loc[3, "coverage"] = 0.0
    every = dataclasses.replace(CONFIG, kinds_each=0)
    with pytest.raises(ConfigError, match="is empty"):
        pairs.plan(photo_index, table, every)
    table.loc[3, "coverage"] = 1.0
    with pytest.raises(ConfigError, match="is everything"):
        pairs.plan(photo_index, table, every)
    passed_over = pairs.plan(photo_index, table, dataclasses.replace(every, coverage_high=0.9))
    assert table["mask_id"][3] not in set(passed_over.loc[passed_over["mask"] >= 0, "mask_id"])


def test_a_painter_that_promises_to_keep_what_is_visible_is_held_to_it(monkeypatch):
    class Careless:
        name, keeps_visible = "careless", True

        def fill(self, images, masks, captions, *, seeds):
            return images + np.uint8(1)

    hole = np.zeros((1, SIZE, SIZE), bool)
    hole[:, 4:9, 4:9] = True
    with pytest.raises(InpainterError, match="outside the hole"):
        base.checked(Careless()).fill(photographs()[:1], hole, [""], seeds=[0])


def test_spawned_processes_and_another_number_of_them_give_the_same_bytes(runs_folder, capsys):
    """On real stages, since a process of its own opens the run for itself."""
    run = Run("workers")
    index.prepare(run, DataConfig(dataset="synthetic", count=24, image_size=32))
    masks.make(run, MaskConfig(kinds=("centre", "strokes")))
    config = PairsConfig(inpainters=("telea", "mean_colour"), kinds=("centre", "strokes"), shard_size=5)
    pairs.make(run, config, processes=1)
    held, table = contents(run), pd.read_parquet(run / "pairs/manifest.parquet")
    cache = np.array(pairs.load(run).cache)
    (run / "stages/pairs.json").unlink()
    store.clear(run)
    made = pairs.make(run, config, processes=2)
    assert contents(run) == held and np.array_equal(made.cache, cache)
    pd.testing.assert_frame_equal(made.manifest, table)


def test_ranks_share_the_shards(runs_folder, monkeypatch):
    """Two processes as torchrun starts them (this one is the first), on one file system: the set is that of one."""
    import subprocess
    import sys

    run = Run("ranks")
    index.prepare(run, DataConfig(dataset="synthetic", count=20, image_size=32))
    masks.make(run, MaskConfig(kinds=("centre",)))
    config = PairsConfig(inpainters=("telea",), kinds=("centre",), shard_size=3)
    pairs.make(run, config, processes=1)
    held = contents(run)
    (run / "stages/pairs.json").unlink()
    store.clear(run)
    code = (
        "from nbsupport import pairs; from nbsupport.config import PairsConfig; from nbsupport.runs import Run;"
        f"pairs.make(Run({str(run.path)!r}), PairsConfig.from_mapping({config.to_mapping()!r}), processes=1)"
    )
    monkeypatch.setenv("WORLD_SIZE", "2")
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "RANK": "1"}) as other:
        try:
            monkeypatch.setenv("RANK", "0")
            pairs.make(run, config, processes=1)
        except BaseException:
            other.kill()
            raise
    assert other.returncode == 0
    assert contents(run) == held and run.result("pairs")["checks_passed"]
