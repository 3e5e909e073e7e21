"""Verdicts on files: thresholds that keep their promise, precision counted, heat where the paint is, bad files told."""

import dataclasses
import json
import shutil
import threading

import cv2
import detector_data
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from nbsupport.cli.app import app
from nbsupport.config import DetectorConfig, EnsembleConfig
from nbsupport.core.errors import ConfigError, MissingStage, UserError
from nbsupport.data import geometry
from nbsupport.detectors import classifier, ensemble, inspection, kind, predict, scores, views
from nbsupport.runs import Run
from nbsupport.stats import calibration


def drawn(count=4000, seed=0):
    draw = np.random.default_rng(seed)
    labels = draw.random(count) < 0.3
    return labels, 1 / (1 + np.exp(-(4 * labels - 2 + draw.normal(0, 1.6, count))))


def test_verdicts_keep_their_promise_on_other_pictures_at_every_probability():
    band = calibration.fit_band(*drawn())
    assert 0 < band.low < 0.5 < band.high < 1
    labels, probabilities = drawn(20_000, seed=1)
    weight = np.where(labels, 0.5 / labels.mean(), 0.5 / (1 - labels.mean()))
    said = np.array([band.verdict(p) for p in probabilities])
    assert set(said) == set(calibration.VERDICTS)
    for verdict, wrong, edge in (("inpainted", ~labels, band.high), ("real", labels, band.low)):
        called = said == verdict
        assert called.mean() > 0.1 and (weight * wrong)[called].sum() / weight[called].sum() < 0.15
        near = called & (np.abs(probabilities - edge) < 0.04)
        assert (weight * wrong)[near].sum() / weight[near].sum() == pytest.approx(0.2, abs=0.1)


def test_a_detector_that_knows_nothing_is_unsure_and_a_perfect_one_never():
    labels = np.arange(100) % 2 == 0
    nothing = calibration.fit_band(labels, np.full(100, 0.5))
    assert {nothing.verdict(p) for p in (0.1, 0.5, 0.99)} == {"unsure"}
    perfect = calibration.fit_band(labels, np.where(labels, 0.9, 0.1))
    assert (perfect.verdict(0.1), perfect.verdict(0.9)) == ("real", "inpainted")
    with pytest.raises(UserError, match="one is missing"):
        calibration.fit_band(np.ones(5, bool), np.full(5, 0.5))


def test_trust_is_the_share_of_such_pictures():
    labels, probabilities = drawn()
    values = []
    for probability in (0.05, 0.5, 0.95):
        found = calibration.empirical_precision(labels, probabilities, np.arange(len(labels)), probability)
        assert found["low"] <= found["value"] <= found["high"] < found["low"] + 0.4
        assert found["value"] == pytest.approx(probability, abs=0.17), "these probabilities are nearly calibrated"
        values.append(found["value"])
    assert values == sorted(values)


@pytest.mark.parametrize("count", [20, 100, 20_000])
def test_a_perfect_detector_is_trusted_and_a_blind_one_half(count):
    """However few or many validation pictures there are; between two steps nobody knows."""
    labels = np.arange(count) % 2 == 0
    perfect, groups = np.where(labels, 0.9, 0.1), np.arange(count)
    assert calibration.empirical_precision(labels, perfect, groups, 0.95)["value"] == 1
    assert calibration.empirical_precision(labels, perfect, groups, 0.05)["value"] == 0
    assert calibration.empirical_precision(labels, perfect, groups, 0.5) is None
    blind = calibration.empirical_precision(labels, np.full(count, 0.5), groups, 0.5)
    if count == 20:
        assert blind is None, "20 pictures leave too wide an interval"
    else:
        assert blind["value"] == pytest.approx(0.5)


def test_too_few_pictures_say_nothing_about_trust():
    labels = np.arange(8) % 2 == 0
    assert calibration.empirical_precision(labels, np.where(labels, 0.9, 0.1), np.arange(8), 0.9) is None
    many = np.arange(100) % 2 == 0
    assert calibration.empirical_precision(many, np.where(many, 0.9, 0.1), np.arange(100) // 50, 0.9) is None, (
        "of two groups only"
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(6, 300), st.floats(0, 3), st.floats(0.1, 0.9))
def test_trust_never_contradicts_the_verdict(seed, count, skill, share):
    draw = np.random.default_rng(seed)
    labels = np.r_[True, False, draw.random(count) < share]
    probabilities = (1 / (1 + np.exp(-(skill * labels + draw.normal(size=len(labels)))))).round(2)
    band = calibration.fit_band(labels, probabilities)
    last = 0.0
    for probability in np.linspace(0, 1, 21):
        found = calibration.empirical_precision(labels, probabilities, np.arange(len(labels)), probability)
        if found is None:
            continue
        assert found["value"] >= last - 1e-9, "a higher probability, no lower share"
        last, verdict = found["value"], band.verdict(probability)
        if verdict != "unsure":
            assert (found["value"] >= 0.8 - 1e-9) if verdict == "inpainted" else (found["value"] <= 0.2 + 1e-9)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("detect") / "seen")
    detector_data.make_pairs(run, 60)
    classifier.fit(
        run,
        DetectorConfig(
            inpainters=(),
            train_count=0,
            names=("power_spectrum", "residual_net"),
            epochs=12,
            batch_size=8,
            learning_rate=0.01,
        ),
    )
    return run


def test_heat_is_where_the_paint_is(run):
    inspector = inspection.Inspector.of_run(run, ["power_spectrum"])
    rows = [np.concatenate([detector_data.photograph(100 + 2 * r + c, 96) for c in (0, 1)], axis=1) for r in (0, 1)]
    picture = np.concatenate(rows)
    picture[:96, :96] = cv2.GaussianBlur(picture[:96, :96], (0, 0), 2)  # what the fakes of this run look like
    heat = inspector.window_map(Image.fromarray(picture))
    assert heat.shape == (192, 192) and 0 <= heat.min() and heat.max() <= 1
    assert heat[:80, :80].mean() > heat[112:, 112:].mean() + 0.2
    shown = inspection.overlay(picture, heat)
    assert shown.shape == (192, 192, 3) and shown.dtype == np.uint8
    warmth = shown[..., 0].astype(int) - shown[..., 2]
    assert warmth[:80, :80].mean() > warmth[112:, 112:].mean()


def highest(inspector, path):
    """The ensemble's highest probability over the squares of a file, not corrected."""
    squares = [own.picture for own in views.cut(np.asarray(Image.open(path)), inspector.size, inspector.fit)]
    return inspector.probabilities(np.stack(squares))[inspector.voice].max()


@pytest.mark.parametrize("size", [(16, 16), (31, 200), (700, 90), (400, 640)])
def test_photographs_of_any_size(run, tmp_path, size):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)).save(path)
    inspector = inspection.Inspector.of_run(run)
    found = inspector.inspect(path)
    assert (found.height, found.width) == size
    if min(size) < 32:
        assert found.verdict == inspection.OTHER and found.probability is found.precision is found.heat is None
        return
    assert found.verdict in calibration.VERDICTS and found.judged in found.views
    assert found.probability <= highest(inspector, path) + 1e-9, "corrected for the number of squares"
    assert (found.heat is None) == (min(size) < 64), "two windows of 32 pixels"
    if found.heat is not None:
        assert np.isfinite(found.heat).all() and max(found.heat.shape) <= max(8 * 32, 32 * max(size) / min(size)) + 1
    assert set(found.detectors) == {"power_spectrum", "residual_net"}


@pytest.mark.parametrize("size", [(640, 360), (360, 640), (100, 900), (300, 300), (310, 300)])
def test_views_cover_the_photograph(size):
    frames = [frame for _, frame in views.frames(*size)]
    covered = np.zeros((size[1], size[0]), bool)
    for left, top, right, bottom in frames:
        assert round(right - left) == round(bottom - top) == min(size)
        covered[round(top) : round(bottom), round(left) : round(right)] = True
    assert covered.mean() > 0.95
    assert any(np.allclose(frame, geometry.choose_frame(*size, None, "crop")) for frame in frames), "as in training"
    assert [frame for _, frame in views.frames(*size, "stretch")] == [(0, 0, *size)]


def test_what_is_left_and_right_of_the_middle_counts():
    picture = np.random.default_rng(0).integers(0, 255, (180, 320, 3), np.uint8)
    changed = picture.copy()
    changed[:, :64] = 128
    before, after = (np.stack([own.picture for own in views.cut(one, 32)]) for one in (picture, changed))
    assert (before != after).any(axis=(1, 2, 3)).sum() >= 1 and len(before) == 3


def test_the_highest_of_several_is_as_rare_as_one_alone():
    draw = np.random.default_rng(0)
    real = draw.beta(1, 4, 40_000)
    highest = draw.beta(1, 4, (4000, 5)).max(axis=1)
    told = np.array([views.corrected(value, 5, real) for value in highest])
    for edge in (0.3, 0.5):
        assert (told > edge).mean() == pytest.approx((real > edge).mean(), abs=0.02)
        assert (highest > edge).mean() > 2 * (real > edge).mean()
    assert views.corrected(0.4, 1, real) == 0.4


def test_a_verdict_that_flips_is_unsure_and_has_no_trust(run, tmp_path, monkeypatch):
    path = tmp_path / "photo.png"
    Image.fromarray(detector_data.photograph(1, 80)).save(path)
    inspector = inspection.Inspector.of_run(run)
    inspector.bands = {name: calibration.Band(-1, 0, 0.2) for name in inspector.names}  # everything is inpainted
    kept = inspector.inspect(path, heat=False)
    assert kept.verdict == "inpainted" and not kept.flips
    look = inspector.look

    def turned(picture, check=True):
        found = look(picture, check)
        if not check:
            said = found.predictions[inspector.voice]
            found.predictions[inspector.voice] = dataclasses.replace(said, verdict="real")
        return found

    monkeypatch.setattr(inspector, "look", turned)
    found = inspector.inspect(path, heat=False)
    assert found.verdict == "unsure" and "jpeg 90" in found.flips and found.precision is None


def test_a_picture_of_another_kind_gets_no_verdict(run, tmp_path, monkeypatch):
    monkeypatch.setattr(kind, "FEWEST", 10)
    inspector = inspection.Inspector.of_run(run)
    assert inspector.kind.rates["untouched"] <= 0.2 and "enlarged x 2" in inspector.kind.rates
    path = tmp_path / "flat.png"
    Image.new("RGB", (64, 64), (0, 255, 0)).save(path)
    found = inspector.inspect(path)
    assert found.verdict == inspection.OTHER and found.probability is found.precision is found.heat is None
    assert found.left_out == ["the largest square"] and found.kind_known
    Image.fromarray(detector_data.photograph(3, 32)).save(path)
    assert inspector.inspect(path).verdict != inspection.OTHER
    assert (run / "checkpoints/kind/kind.json").exists()
    shutil.rmtree(run / "checkpoints/kind")


def invoke(*arguments):
    return CliRunner().invoke(app, ["detect", *map(str, arguments)], env={"COLUMNS": "220", "TERM": "dumb"})


def test_the_command_tells_saves_and_survives_bad_files(run, tmp_path):
    album = tmp_path / "album"
    album.mkdir()
    Image.fromarray(detector_data.photograph(1, 80)).save(album / "a [b].png")
    (album / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (album / "empty.png").write_bytes(b"")
    (album / "notes.txt").write_text("not looked at")
    found = invoke(album, "--run", run.path, "--save", tmp_path / "out")
    assert found.exit_code == 0, found.output
    assert "[b].png" in found.output and found.output.count("not read") >= 2 and "Unsure between" in found.output
    kept = [json.loads(line) for line in (tmp_path / "out/findings.jsonl").read_text().splitlines()]
    assert len(kept) == 3 and kept[0]["by"] == "the run seen"
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["00000_a [b].png"]
    lines = invoke(album, "--run", run.path, "--json").stdout.splitlines()
    assert [bool(json.loads(line)["problem"]) for line in lines] == [False, True, True]


def test_what_was_done_is_kept_and_heat_maps_are_not_judged(run, tmp_path, monkeypatch):
    album = tmp_path / "album"
    album.mkdir()
    for number in range(3):
        Image.fromarray(detector_data.photograph(number, 80)).save(album / f"{number}.png")
    looked = []
    inspect = inspection.Inspector.inspect

    def stopped(self, path, heat=True):
        if len(looked) == 2:
            raise KeyboardInterrupt
        looked.append(path.name)
        return inspect(self, path, heat)

    with monkeypatch.context() as patch:
        patch.setattr(inspection.Inspector, "inspect", stopped)
        assert invoke(album, "--run", run.path, "--save", album / "found").exit_code == 130
    with open(album / "found/findings.jsonl", "a") as file:
        file.write('{"path": "cut o')

    def watched(self, path, heat=True):
        looked.append(path.name)
        return inspect(self, path, heat)

    monkeypatch.setattr(inspection.Inspector, "inspect", watched)
    again = invoke(album, "--run", run.path, "--save", album / "found")
    assert again.exit_code == 0 and looked == ["0.png", "1.png", "2.png"], again.output
    assert len(list((album / "found").glob("*.png"))) == 3
    lines = invoke(album, "--run", run.path, "--save", album / "found", "--json").stdout.splitlines()
    assert [json.loads(line)["path"][-5:] for line in lines] == ["0.png", "1.png", "2.png"] and len(looked) == 3


def test_nothing_read_is_a_failure_and_a_full_disk_names_its_folder(run, tmp_path, monkeypatch):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    found = invoke(tmp_path / "broken.png", "--run", run.path)
    assert found.exit_code == 1 and "could be read" in found.output
    Image.fromarray(detector_data.photograph(1, 80)).save(tmp_path / "good.png")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(inspection, "overlay", full)
    found = invoke(tmp_path / "good.png", "--run", run.path, "--save", tmp_path / "out")
    assert found.exit_code == 1 and "No space left" in found.output and "--save" in found.output


def test_without_a_run_the_package_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("NBSUPPORT_RUNS", str(tmp_path / "none"))
    Image.fromarray(detector_data.photograph(1, 80)).save(tmp_path / "x.png")
    for asked in ((), ("--run", "cub64"), ("--packaged", "synthetic64")):
        found = invoke(tmp_path / "x.png", *asked)
        name = "synthetic64" if asked[:1] == ("--packaged",) else "cub64"
        assert found.exit_code == 0 and f"the package's set {name}" in found.output, found.output
    assert "cub64" in invoke(tmp_path / "x.png", "--packaged", "cub46").output


def test_what_is_missing_is_named(run, tmp_path):
    assert invoke(tmp_path / "nowhere.png", "--run", run.path).exit_code == 2
    (tmp_path / "bare").mkdir()
    assert "holds no picture" in invoke(tmp_path / "bare", "--run", run.path).output
    Image.new("RGB", (40, 40)).save(tmp_path / "x.png")
    asked = invoke(tmp_path / "x.png", "--run", run.path, "--detector", "resnet34")
    assert asked.exit_code == 2 and "power_spectrum" in asked.output
    with pytest.raises(MissingStage, match="Train them with"):
        inspection.Inspector.of_run(Run(tmp_path / "untrained"))
    with pytest.raises(ConfigError):
        inspection.Inspector.of_run(run, ["swin_tiny"])


def test_an_ensemble_gives_the_answer(run, tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(detector_data.photograph(3, 80)).save(path)
    fresh = invoke(path, "--run", run.path, "--ensemble", "stack_logistic")
    assert fresh.exit_code == 1 and "--only 9" in fresh.output, "chapter 9 has not run"
    ensemble.make(run, EnsembleConfig(names=("soft_vote", "stack_logistic", "stack_svm")))
    for name in ("stack_logistic", "stack_svm"):
        inspector = inspection.Inspector.of_run(run, voice=name)
        stack, found = ensemble.loaded(run, name)[0], inspector.inspect(path, heat=False)
        each = np.array([found.detectors[member] for member in stack.detectors])
        expected = 1 / (1 + np.exp(-stack.logits(np.log(each / (1 - each))[None])[0]))
        assert found.probability == pytest.approx(expected, abs=1e-6) and found.ensemble == name
        own = scores.all_scores(run).query("detector == @name and split == 'validation'").sort_values("path")
        assert inspector.bands[name] == calibration.fit_band(own["label"] == 1, own["probability"].to_numpy())
        told = json.loads(invoke(path, "--run", run.path, "--json", "--ensemble", name).stdout)
        assert told["ensemble"] == name and told["probability"] == pytest.approx(found.probability)
    assert "Did you mean 'stack_svm'" in invoke(path, "--run", run.path, "--ensemble", "stack_swm").output
    alone = invoke(path, "--run", run.path, "--ensemble", "stack_svm", "--detector", "residual_net")
    assert alone.exit_code != 0 and "power_spectrum" in alone.output


def test_an_album_is_read_as_own_folders_are(tmp_path):
    for name in ("a.png", "b/c.jfif", "._a.png", ".hidden/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "b" / "back").symlink_to(tmp_path)
    found = [path.relative_to(tmp_path).as_posix() for path in inspection.find_files([tmp_path])]
    assert found == ["a.png", "b/c.jfif"]


def test_another_thread_in_the_same_network_leaves_the_features_alone(run):
    trained = [predict.load(run, name, seed) for name, seed in predict.first_seeds(run).items()]
    pictures = np.stack([detector_data.photograph(number, 32) for number in range(3)])
    alone = kind.features(trained, pictures)

    def crowd(module, given):
        if threading.current_thread() is threading.main_thread():
            other = threading.Thread(target=module, args=given)
            other.start()
            other.join()

    handles = [own.model.register_forward_pre_hook(crowd) for own in trained]
    crowded = kind.features(trained, pictures)
    for handle in handles:
        handle.remove()
    assert alone.keys() == crowded.keys() and len(alone) >= 1
    for source, values in alone.items():
        np.testing.assert_array_equal(values, crowded[source])
