"""Detectors that come with the package: exported from a run they answer as they did there, and their card is honest."""

import detector_data
import numpy as np
import pytest

from nbsupport.config import DataConfig, DetectorConfig
from nbsupport.core.errors import ConfigError, UserError
from nbsupport.core.files import read_json
from nbsupport.detectors import classifier, kind, packaged, predict, scores
from nbsupport.detectors.inspection import Inspector
from nbsupport.runs import Run
from nbsupport.tdanet import weights

NAMES = ("residual_net", "power_spectrum")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with two small detectors, trained on forty photographs of noise."""
    run = Run(tmp_path_factory.mktemp("runs") / "tiny")
    with run.stage("index", DataConfig()):
        pass
    detector_data.make_pairs(run)
    classifier.fit(run, DetectorConfig(inpainters=(), train_count=0, names=NAMES, epochs=1, batch_size=8, seeds=(0,)))
    return run


@pytest.fixture
def exported(run, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    return packaged.export(run, "tiny", NAMES, "made by a test")


def test_exported_detectors_answer_as_the_run_does(run, exported):
    assert packaged.sets() == ["tiny"] and exported == packaged.folder() / "tiny"
    pictures = np.stack([detector_data.photograph(number, 32) for number in range(6)])
    for name in NAMES:
        own, other = predict.load(run, name, 0), packaged.load(f"tiny/{name}")
        apart = np.abs(predict.score(own, pictures) - predict.score(other, pictures))
        assert apart.max() < 0.2 and other.temperature == own.temperature and not other.model.training
        size = predict.checkpoint(run, name, 0).stat().st_size
        assert (exported / f"{name}.safetensors").stat().st_size < 0.7 * size + 4096


def test_an_inspector_of_the_package_judges_as_that_of_the_run(run, exported):
    of_run, of_package = Inspector.of_run(run), Inspector.of_package("tiny")
    assert of_run.names == of_package.names == (*NAMES, "soft_vote") and of_package.dataset == "synthetic"
    table = scores.load(run)
    held = table[(table["split"] == "validation") & (table["detector"] == NAMES[0])]
    assert np.allclose(np.sort(of_package.validation[NAMES[0]]), np.sort(held["probability"]), atol=1e-4)
    assert len(of_package.validation) == len(of_run.validation)
    for name in of_run.names:
        assert of_package.bands[name].low == pytest.approx(of_run.bands[name].low, abs=1e-4)
    found = of_package.predict(detector_data.photograph(3, 32))
    assert set(found) == set(of_run.names) and found["soft_vote"].precision["value"] is not None


def test_no_name_of_a_photograph_leaves_the_run(run, exported):
    names = scores.load(run)["image_id"].unique()
    for path in (exported / "detectors.json", exported / "README.md"):
        assert not any(name in path.read_text() for name in names) and str(run.path) not in path.read_text()


def test_the_card_says_what_was_measured(exported):
    card, about = (exported / "README.md").read_text(), read_json(exported / "detectors.json")
    assert "made by a test" in card and "{" not in card and "--detectors residual_net power_spectrum" in card
    assert f"{about['half_precision']['largest']:.3f}" in card and about["half_precision"]["largest"] < 0.05
    assert about["painters"] == ["blur"] and set(about["detectors"]) == set(NAMES)


def test_an_export_says_which_pictures_it_knows(run, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    packaged.export(run, "tiny", NAMES, "made by a test")
    assert packaged.kind_of("tiny") is None, "too few photographs"
    monkeypatch.setattr(kind, "FEWEST", 4)
    place = packaged.export(run, "tiny", NAMES, "made by a test")
    known, trained = packaged.kind_of("tiny"), packaged.load_all("tiny")[0]
    assert set(known.rates) == {"untouched", "fakes", "enlarged x 1.5", "enlarged x 2"}
    assert "enlarged x 2" in (place / "README.md").read_text()
    assert not known.knows(trained, np.full((1, 32, 32, 3), (0, 255, 0), np.uint8))[0]


def test_maps_that_are_no_better_than_chance_are_left_out(run, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    detector_data.make_masks(run)
    place = packaged.export(run, "tiny", NAMES, "made by a test")
    about = read_json(place / "detectors.json")
    measured = about["heat"]["residual_net"]
    assert about["heat"]["power_spectrum"] is None and measured["low"] <= measured["value"] <= measured["high"]
    inspector, picture = Inspector.of_package("tiny"), detector_data.photograph(3, 32)
    inspector.no_heat = packaged.no_heat({"heat": {"residual_net": {"value": 1.1, "low": 0.9, "high": 1.3}}})
    for name in ("residual_net", "soft_vote"):
        with pytest.raises(ConfigError, match="chance"):
            inspector.heat_map(picture, name)
    inspector.no_heat = packaged.no_heat({"heat": {"residual_net": {"value": 1.3, "low": 1.1, "high": 1.5}}})
    assert inspector.heat_map(picture, "residual_net").shape == (32, 32)


def test_what_cannot_be_exported_or_loaded_says_why(run, exported, monkeypatch):
    with pytest.raises(ConfigError, match="residual_net"):
        packaged.export(run, "other", ["residual"], "x")
    with pytest.raises(ConfigError, match="at least one"):
        packaged.export(run, "other", [], "x")
    with pytest.raises(ConfigError, match="tiny/residual_net"):
        packaged.load("tiny/resnet")
    with pytest.raises(ConfigError, match="tiny"):
        packaged.load_all("tini")
    with monkeypatch.context() as patch, pytest.raises(ConfigError, match="MiB"):
        patch.setattr(packaged, "MAX_FILE", 1 << 16)
        packaged.export(run, "other", ["residual_net"], "x")
    (exported / "residual_net.safetensors").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"damaged .*Install the package again"):
        packaged.load("tiny/residual_net")


@pytest.mark.parametrize("name", packaged.sets())
def test_each_set_that_comes_with_the_package_loads_and_has_a_card(name):
    inspector = Inspector.of_package(name)
    card = (packaged.folder() / name / "README.md").read_text()
    assert all(detector in card for detector in inspector.detectors)
    found = inspector.predict(np.full((inspector.size, inspector.size, 3), 128, np.uint8))
    assert all(0 <= prediction.probability <= 1 for prediction in found.values())


def test_the_packages_weights_stay_small():
    files = [path for path in weights.FOLDER.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files) <= packaged.MAX_TOTAL
    assert all(path.stat().st_size <= packaged.MAX_FILE for path in files)
