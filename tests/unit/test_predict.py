"""Asking trained detectors: calibrated answers, pictures checked, damage reported."""

import dataclasses

import numpy as np
import pytest
import torch
from detector_data import make_pairs, photograph
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from nbsupport.config import DetectorConfig
from nbsupport.core import device
from nbsupport.core.errors import ConfigError, MissingStage, UserError
from nbsupport.core.files import read_json, write_json
from nbsupport.detectors import classifier, platt, predict, scores
from nbsupport.runs import Run
from nbsupport.stats.calibration import fit_band


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """A run with one small trained detector. Tests that damage it work on a copy."""
    run = Run(tmp_path_factory.mktemp("runs") / "trained")
    make_pairs(run, 20)
    classifier.fit(run, DetectorConfig(inpainters=(), train_count=0, names=("residual_net",), epochs=2, batch_size=8))
    return run


def test_pictures_become_tensors_and_keep_their_values():
    images = photograph(0, 32)[None]
    tensor = predict.to_tensor(images)
    assert tensor.shape == (1, 3, 32, 32) and tensor.is_contiguous(memory_format=torch.channels_last)
    assert tensor.min() >= -1 and tensor.max() <= 1
    back = ((tensor + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert (back == images).all()


def test_scores_are_calibrated_and_do_not_depend_on_batches(run):
    trained = predict.load(run, "residual_net")
    images = np.stack([photograph(number, 32) for number in range(7)])
    logits = predict.score(trained, images)
    assert logits.shape == (7,) and logits.dtype == np.float64 and logits.std() > 0
    assert np.allclose(predict.score(trained, images, batch_size=2), logits, atol=1e-4)
    raw = predict.raw_logits(trained.model, images, device.choose("float32"))
    assert np.allclose(
        (raw - trained.shift) / trained.temperature, predict.score(trained, images, precision="float32"), atol=1e-5
    )
    assert trained.temperature == trained.record["temperature"] != 1
    assert predict.score(trained, images[:0]).shape == (0,)


def test_the_stored_scores_are_those_of_the_stored_weights(run):
    table, trained = scores.load(run), predict.load(run, "residual_net", 0)
    assert list(table.columns) == list(scores.COLUMNS)
    from nbsupport import pairs

    made = pairs.load(run)
    row = made.manifest.index[made.manifest["path"] == table["path"].iloc[5]][0]
    assert predict.score(trained, made.cache[row][None])[0] == pytest.approx(table["logit"].iloc[5], abs=1e-4)
    assert np.allclose(expit(table["logit"]), table["probability"])


def test_the_verdict_is_kept_with_the_weights(run):
    """The band in the checkpoint is that of the validation scores in the table."""
    trained, table = predict.load(run, "residual_net"), scores.load(run)
    own = table[(table["detector"] == "residual_net") & (table["split"] == "validation")]
    band = fit_band(own["label"] == 1, own["probability"].to_numpy())
    assert trained.band.to_mapping() == pytest.approx(band.to_mapping())
    verdicts = [trained.band.verdict(p) for p in own["probability"]]
    wrong = (np.array(verdicts) == "real") & (own["label"] == 1).to_numpy()
    assert wrong.sum() <= 0.2 * max(1, verdicts.count("real")) + 1
    with pytest.raises(UserError, match="run chapter 7 again"):
        _ = dataclasses.replace(trained, record={}).band


@pytest.mark.parametrize("bad", [np.zeros((2, 32, 32), np.uint8), np.zeros((1, 32, 32, 3)), np.zeros((1, 32, 32, 4))])
def test_anything_but_rgb_pictures_is_refused(run, bad):
    with pytest.raises(UserError, match="uint8, got"):
        predict.score(predict.load(run, "residual_net"), bad)


def test_what_is_there_and_what_is_not(run, tmp_path):
    assert predict.available(run) == [("residual_net", 0)]
    with pytest.raises(ConfigError, match="Did you mean 'residual_net 0'"):
        predict.load(run, "resnet34")
    empty = Run(tmp_path / "empty")
    assert predict.available(empty) == []
    for ask in (lambda: predict.load(empty, "resnet34"), lambda: scores.load(empty)):
        with pytest.raises(MissingStage, match="--only 1-7"):
            ask()


def test_damaged_weights_are_an_error_that_says_what_to_do(run, tmp_path):
    path = tmp_path / "detector_residual_net_seed0.safetensors"
    source = predict.checkpoint(run, "residual_net", 0)
    path.write_bytes(source.read_bytes()[:-100])
    with pytest.raises(MissingStage, match="Run chapter 7 again"):
        predict.load_checkpoint(path)
    write_json(path.with_suffix(".json"), read_json(source.with_suffix(".json")))
    with pytest.raises(UserError, match=r"damaged .*Delete its weights and run chapter 7"):
        predict.load_checkpoint(path)


def test_select_keeps_the_photographs_and_one_arm(run):
    table = scores.load(run)
    chosen = scores.select(table, "test", "spliced", "residual_net")
    assert set(chosen["arm"]) == {"original", "spliced"} and set(chosen["split"]) == {"test"}
    assert chosen["label"].mean() == 0.5
    assert set(scores.select(table, "validation")["arm"]) == {"original", "spliced", "regenerated"}


# --- calibration ---------------------------------------------------------------------------------------------------


def draw(generator, count, factor=1.0, shift=2.0):
    """Logits that are the true log-odds (two normal classes of distance `shift`), times `factor`; labels."""
    labels = np.arange(count) % 2
    value = generator.normal(0, 1, count) + shift * labels
    return factor * shift * (value - shift / 2), labels


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(0.1, 20), shift=st.floats(-30, 30), seed=st.integers(0, 1000))
def test_factor_and_shift_are_taken_out(factor, shift, seed):
    logits, labels = draw(np.random.default_rng(seed), 4000, factor)
    temperature, found = platt.fit(logits + shift, labels)
    assert temperature == pytest.approx(factor, rel=0.15)
    assert found == pytest.approx(shift, abs=0.25 * factor)


def test_the_temperature_stays_finite_without_mistakes():
    logits, labels = np.array([-5.0, -4, 4, 5] * 10), np.array([0, 0, 1, 1] * 10)
    temperature, shift = platt.fit(logits, labels)
    assert shift == pytest.approx(0, abs=0.01)
    assert 0.9 < expit(4 / temperature) < 0.99, "twenty pictures of each class cannot prove near certainty"


def test_classes_weigh_the_same_whatever_their_numbers():
    logits, labels = draw(np.random.default_rng(3), 6000, 3.0)
    keep = (labels == 1) | (np.arange(6000) % 10 == 0)
    temperature, shift = platt.fit(logits[keep], labels[keep])
    assert temperature == pytest.approx(3, rel=0.15) and abs(shift) < 0.75


def test_without_skill_every_probability_is_one_half_and_no_ranking_is_turned_round():
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(5, 3, 2000), np.arange(2000) % 2
    for noisy in (logits, logits - 1.0 * labels):  # no skill, and worse than none
        temperature, shift = platt.fit(noisy, labels)
        assert temperature > 0 and np.abs(expit((noisy - shift) / temperature) - 0.5).max() < 0.1


def test_the_threshold_is_the_best_of_all():
    logits, labels = draw(np.random.default_rng(1), 301)
    threshold = platt.fit_threshold(logits, labels)

    def accuracy(cut):
        said = expit(logits) >= cut
        return (said[labels == 1].mean() + (~said[labels == 0]).mean()) / 2

    assert accuracy(threshold) == pytest.approx(max(accuracy(cut) for cut in np.linspace(0, 1, 2001)), abs=1e-9)
    assert platt.fit_threshold(np.array([-9.0, -3.0, 3.0, 9.0]), np.array([0, 0, 1, 1])) == pytest.approx(0.5)


def test_one_class_cannot_be_calibrated():
    for fit in (platt.fit, platt.fit_threshold):
        with pytest.raises(UserError, match="only one of the two classes"):
            fit(np.zeros(4), np.ones(4, int))
