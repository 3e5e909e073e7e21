"""The paired set: one form for both classes, same pixels outside the hole, no group in two splits, same bytes again."""

import dataclasses
import types

import numpy as np
import pandas as pd
import pytest

from nbsupport import inpainters, masks, pairs
from nbsupport.config import DataConfig, MaskConfig, PairsConfig
from nbsupport.data import index
from nbsupport.errors import ConfigError, MissingStage, UserError
from nbsupport.inpainters import InpainterError
from nbsupport.pairs import files, generation, planning
from nbsupport.runs import Run

PHOTOGRAPHS, SIZE = 18, 32


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
    """A run with finished stages index and masks: 18 photographs in 9 groups of two."""
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


CONFIG = PairsConfig(inpainters=("telea",), kinds=("centre", "rectangles"), batch_size=5)


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
    monkeypatch.setattr(inpainters, "create", lambda name, run=None: inpainters.checked(painter))
    return painter


def contents(run):
    return {path.relative_to(run.path).as_posix(): path.read_bytes() for path in (run / "pairs").rglob("*.png")}


def test_the_set_keeps_its_promises(run, noisy):
    made = pairs.make(run, CONFIG)
    manifest = made.manifest
    assert tuple(manifest.columns) == planning.COLUMNS
    assert manifest["arm"].value_counts().to_dict() == dict.fromkeys(planning.ARMS, PHOTOGRAPHS)
    assert (manifest["label"] == np.where(manifest["arm"] == "original", "real", "fake")).all()
    assert (manifest.groupby("group")["split"].nunique() == 1).all()
    assert (made.counts().nunique(axis=1) == 1).all() and made.counts().to_numpy().sum() == len(manifest)
    assert list(made.counts().index) == ["train", "validation", "test"] and list(made.counts()) == list(planning.ARMS)
    assert noisy.calls == -(-PHOTOGRAPHS // CONFIG.batch_size), "one call gives all arms"

    everything = made.read(np.arange(len(made)))
    assert np.array_equal(everything, made.cache)
    mask_set, images = masks.load(run), photographs()
    number = {mask_id: n for n, mask_id in enumerate(mask_set.table["mask_id"])}
    sets = made.sets()
    assert len(sets) == PHOTOGRAPHS
    for original, regenerated, spliced in sets.itertuples(index=False):
        hole = mask_set.get([number[manifest["mask_id"][spliced]]])[0]
        assert np.array_equal(made.cache[original], images[manifest["row"][original]])
        assert np.array_equal(made.cache[spliced][~hole], made.cache[original][~hole])
        assert np.array_equal(made.cache[spliced][hole], made.cache[regenerated][hole])
        assert (made.cache[regenerated][~hole] != made.cache[original][~hole]).any()
        assert (made.cache[spliced][hole] != made.cache[original][hole]).any()

    result = run.result("pairs")
    assert result["checks_passed"] and result["files"] == 3 * PHOTOGRAPHS
    outside = {entry["arm"]: entry["outside_changed"] for entry in result["differences"]}
    assert outside["spliced"] == 0 and outside["regenerated"] > 0.5


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
    monkeypatch.setattr(inpainters, "create", lambda name, run=None: Noisy())
    whole = pairs.make(run, CONFIG)
    expected, table = contents(run), whole.manifest
    generation.store.clear(run)
    broken = Noisy(fail_at=3)
    monkeypatch.setattr(inpainters, "create", lambda name, run=None: broken)
    with pytest.raises(KeyboardInterrupt):
        pairs.make(run, CONFIG)
    assert run.record("pairs") is None and not (run / "pairs/manifest.parquet").exists()
    with pytest.raises(MissingStage, match="--only 1-5"):
        pairs.load(run)
    held = contents(run)
    assert 0 < len(held) < len(expected)
    assert not list((run / "pairs").rglob(".*part*"))
    first = sorted(held)[0]
    (run / first).write_bytes(held[first][:100])  # as after a power failure
    (run / "pairs" / ".images.1.part.npy").write_bytes(b"left by a process that was killed")
    stamp = (run / sorted(held)[-1]).stat().st_mtime_ns
    resumed = Noisy()
    monkeypatch.setattr(inpainters, "create", lambda name, run=None: resumed)
    again = pairs.make(run, CONFIG)
    assert resumed.calls == 3, "two missing batches and the broken one"
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
    images, mask_set = photographs(), masks.load(run)
    paths = [run / path for path in made.manifest["path"]]
    spliced = int(made.rows(arm="spliced")[0])
    picture = files.read(paths[spliced]).copy()
    picture[0, 0] ^= 1  # one visible pixel, one bit
    paths[spliced].write_bytes(files.encode(picture))
    from PIL import Image

    real = int(made.rows(arm="original")[3])
    Image.fromarray(made.cache[real]).save(paths[real], "PNG", compress_level=9, dpi=(72, 72))
    paths[int(made.rows(arm="regenerated")[4])].unlink()
    checks = pairs.verify(made, images, mask_set)
    failed = {name: check["failed"] for name, check in checks.items() if not check["passed"]}
    assert failed["hash as in the manifest"] == 3
    assert failed["cache equals the files"] == 2
    assert failed["one form for both classes"] > 0
    broken = made.manifest.copy()
    broken.loc[broken.index[:3], "split"] = "elsewhere"
    checks = pairs.verify(dataclasses.replace(made, manifest=broken), images, mask_set)
    assert not checks["no group in two splits"]["passed"]
    changed = images.copy()
    changed[0, 0, 0] ^= 1
    checks = pairs.verify(made, changed, mask_set)
    assert checks["original equals the photograph"]["failed"] == 1
    assert not checks["spliced equals the photograph outside the hole"]["passed"]


def test_choices_depend_on_seed_and_photograph_alone(run):
    dataset, table = index.load(run), masks.load(run).table
    whole = pairs.plan(dataset.index, table, CONFIG)
    some = pairs.plan(dataset.index, table, dataclasses.replace(CONFIG, count=8))
    assert len(some) == pytest.approx(8, abs=1) and set(some["split"]) == {"train", "validation", "test"}
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
    assert made.manifest["arm"].value_counts().to_dict() == {"original": 6, "regenerated": 12, "spliced": 12}
    assert (made.manifest.groupby("image_id")[["mask_id", "caption"]].nunique() == 1).all(axis=None)
    assert run.result("pairs")["checks_passed"]
    plain = [e for e in run.result("pairs")["differences"] if e["inpainter"] == "mean_colour"]
    assert plain and all(e["hole_l1"] == pytest.approx(e["mean_colour_l1"]) for e in plain)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": ("original", "splice")}, "Did you mean 'spliced'"),
        ({"arms": ("spliced",)}, "real and fake"),
        ({"inpainters": ("lama",)}, "Unknown inpainter 'lama'"),
        ({"inpainters": ()}, "at least one inpainter"),
        ({"kinds": ("strokes",)}, "Unknown mask kind 'strokes'"),
    ],
)
def test_bad_parameters_are_clear_errors(run, change, message):
    with pytest.raises(ConfigError, match=message):
        pairs.make(run, dataclasses.replace(CONFIG, **change))


def test_a_bad_inpainter_leaves_nothing_that_looks_whole(run, monkeypatch):
    class Small(Noisy):
        def fill(self, images, masks, captions, *, seeds):
            return images[:, ::2]

    monkeypatch.setattr(inpainters, "create", lambda name, run=None: inpainters.checked(Small()))
    with pytest.raises(InpainterError, match="must return"):
        pairs.make(run, CONFIG)
    assert run.record("pairs") is None and not list((run / "pairs").rglob("*.npy"))


def test_a_full_disk_is_said_before_the_work(run, noisy, monkeypatch):
    monkeypatch.setattr(generation.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1000))
    with pytest.raises(UserError, match="GB free"):
        pairs.make(run, CONFIG)
    assert noisy.calls == 0


def test_a_tdanet_set_needs_its_stage(run):
    with pytest.raises(MissingStage, match="'tdanet'"):
        pairs.make(run, PairsConfig())


def test_files_that_are_not_of_a_set_are_refused(tmp_path):
    with pytest.raises(UserError, match="missing"):
        files.read(tmp_path / "none.png")
    whole = files.encode(np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="not a whole PNG"):
        files.read(tmp_path / "cut.png")
    (tmp_path / "grey.png").write_bytes(files.encode(np.zeros((4, 4), np.uint8)))
    with pytest.raises(UserError, match="not a PNG in RGB"):
        files.read(tmp_path / "grey.png")


def test_figures_show_where_the_arms_differ(run, noisy):
    from nbsupport.plots import pairs as figures

    made, mask_set = pairs.make(run, CONFIG), masks.load(run)
    ids = figures.choose(made, 3)
    assert len(ids) == 3 and (made.manifest.set_index("image_id").loc[ids, "split"] == "test").all()
    sheet = figures.contact_sheet(made, mask_set, ids)
    assert len(sheet.axes) == 3 * 5
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
