"""Weights that come with the package: they load, paint as the run does, and their card says what the results say."""

import numpy as np
import pytest
import tdanet_data
import torch

from nbsupport import inpainters, pretrained, quality
from nbsupport.config import MatchingConfig, TrainingConfig
from nbsupport.errors import ConfigError
from nbsupport.runs import read_json
from nbsupport.training import matching, tdanet


@pytest.fixture
def run(monkeypatch, tmp_path):
    run = tdanet_data.run_with(monkeypatch, tdanet_data.dataset(), tmp_path / "runs" / "t")
    sizes = {"text_channels": 32, "word_channels": 16, "image_channels": 8, "caption_length": 12}
    matching.fit(run, MatchingConfig(steps=2, batch_size=6, **sizes))
    tdanet.fit(run, TrainingConfig(steps=2, batch_size=4, base_channels=8, latent_channels=8, sample_every=0))
    return run


def test_exported_weights_paint_as_the_run_does(run, tmp_path, monkeypatch):
    path = pretrained.export(run, "shapes", "made by a test", tmp_path / "weights")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "weights")
    assert pretrained.names() == ["shapes"]
    assert path.stat().st_size < 0.6 * (run / tdanet.WEIGHTS).stat().st_size  # half precision
    images = tdanet_data.dataset().cache.batch([3, 7])
    holes = quality.centre_holes(2, (32, 32))
    fills = [
        inpainters.create(name, run).fill(images, holes, ["a red square", ""], seeds=(1, 2)).astype(int)
        for name in ("tdanet", "tdanet:shapes")
    ]
    assert np.abs(fills[0] - fills[1]).mean() < 1  # of 255
    with pytest.raises(ConfigError, match="shapes"):
        pretrained.load("shape")


def test_the_card_says_what_the_results_say(run, tmp_path):
    pretrained.export(run, "shapes", "made by a test", tmp_path)
    card, result = (tmp_path / "shapes.md").read_text(), run.result("tdanet")
    assert f"{result['hole_l1']['tdanet']['value']:.4f}" in card and f"{result['images']:,} pictures" in card
    assert "made by a test" in card and "{" not in card
    assert read_json(tmp_path / "shapes.json")["results"]["tdanet"] == result


def test_numbers_are_copied_and_curves_thinned(run, tmp_path):
    written = pretrained.export_results(run, tmp_path / "numbers")
    assert {path.name for path in written} == {"matching.json", "tdanet.json", "matching_log.csv", "tdanet_log.csv"}
    assert read_json(tmp_path / "numbers" / "tdanet.json") == run.result("tdanet")


def test_half_precision_clips_and_leaves_counters_alone():
    assert pretrained.half(torch.tensor([1e6, -1e6, 0.5])).tolist() == [65504.0, -65504.0, 0.5]
    assert pretrained.half(torch.tensor([70000])).dtype == torch.int64


@pytest.mark.parametrize("name", pretrained.names())
def test_each_that_comes_with_the_package_loads_and_has_a_card(name):
    model, vocabulary = pretrained.load(name)
    assert model.config.vocabulary_size == len(vocabulary)
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
    assert (pretrained.FOLDER / f"{name}.safetensors").stat().st_size < 20e6
    about, card = pretrained.describe(name), (pretrained.FOLDER / f"{name}.md").read_text()
    assert f"{about['results']['tdanet']['hole_l1']['tdanet']['value']:.4f}" in card
