"""Weights that come with the package: they load, paint as the run does, and their card says what the results say."""

import numpy as np
import pytest
import tdanet_data
import torch

from nbsupport import quality
from nbsupport.book import export
from nbsupport.config import DATASETS, MatchingConfig, TrainingConfig
from nbsupport.core.errors import ConfigError, UserError
from nbsupport.core.files import read_json, write_json
from nbsupport.data.captions import Vocabulary
from nbsupport.inpainters import registry
from nbsupport.tdanet import weights
from nbsupport.tdanet.text import words_of
from nbsupport.training import matching, tdanet

SIZES = {"text_channels": 32, "word_channels": 16, "image_channels": 8, "caption_length": 12}


@pytest.fixture
def run(monkeypatch, tmp_path):
    run = tdanet_data.run_with(monkeypatch, tdanet_data.dataset(), tmp_path / "runs" / "t")
    matching.fit(run, MatchingConfig(steps=2, start_from=None, batch_size=6, **SIZES))
    sizes = {"base_channels": 8, "latent_channels": 8}
    tdanet.fit(run, TrainingConfig(steps=2, start_from=None, named_parts=0.0, batch_size=4, **sizes, sample_every=0))
    return run


def test_exported_weights_paint_as_the_run_does(run, tmp_path, monkeypatch):
    path = export.export(run, "shapes", "made by a test", tmp_path / "weights")
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "weights")
    assert weights.names() == ["shapes"]
    assert path.stat().st_size < 0.6 * (run / weights.WEIGHTS).stat().st_size  # half precision
    images = tdanet_data.dataset().cache.batch([3, 7])
    holes = quality.centre_holes(2, (32, 32))
    fills = [
        registry.create(name, run).fill(images, holes, ["a red square", ""], seeds=(1, 2)).astype(int)
        for name in ("tdanet", "tdanet:shapes")
    ]
    assert np.abs(fills[0] - fills[1]).mean() < 1  # of 255
    with pytest.raises(ConfigError, match="shapes"):
        weights.load("shape")


def test_the_card_says_what_the_results_say(run, tmp_path):
    export.export(run, "shapes", "made by a test", tmp_path)
    card, result = (tmp_path / "shapes.md").read_text(), run.result("tdanet")
    assert f"{result['hole_l1']['tdanet']['value']:.4f}" in card and f"| Pictures seen | {result['images']:,} |" in card
    assert "made by a test" in card and "{" not in card
    assert read_json(tmp_path / "shapes.json")["results"]["tdanet"] == result


def test_weights_of_an_unknown_commit_are_refused(run, tmp_path):
    path = run / "stages" / "tdanet.json"
    write_json(path, read_json(path) | {"commit": None})
    with pytest.raises(UserError, match="commit"):
        export.export(run, "shapes", "made by a test", tmp_path)


def test_the_card_says_what_was_switched_off_and_who_is_better_by_all_measures(run, tmp_path):
    own = {"hole_l1": 0.2, "hole_ssim": 0.4, "st_lpips_alex": 0.3}
    spread = {name: {"value": value, "low": value, "high": value} for name, value in own.items()}
    less = {"hole_l1": spread["hole_l1"], "st_lpips_alex": {"value": -0.1, "low": -0.2, "high": -0.05}}
    report = {"photographs": 7, "measures": {"biharmonic": {"none": spread}, "tdanet": {"matched": spread}}}
    run.write_result("quality", report | {"against": {"tdanet": {"biharmonic": less}}})
    export.export(run, "shapes", "made by a test", tmp_path)
    card = (tmp_path / "shapes.md").read_text()
    assert "- biharmonic: mixed: better by hole_l1; worse by st_lpips_alex." in card and "| ST-LPIPS |" in card
    assert "Switched off" not in card and "| Made from | 24 photographs" in card
    assert "no adversarial loss" in export._more({"weight_adversarial": 0.0}, None, "cub")


def test_the_card_says_whether_named_colours_were_painted(run, tmp_path):
    export.export(run, "deaf", "made by a test", tmp_path)
    assert "hidden parts" not in (tmp_path / "deaf.md").read_text()
    own = {"value": 0.625, "low": 0.5, "high": 0.75}
    run.write_result(
        "text_alignment", {"attributes": {"asked": 40, "accuracy": {"edited": own}, "chance": {"uniform": 0.1}}}
    )
    export.export(run, "shapes", "made by a test", tmp_path)
    said = "| Caption names another colour | painted in 62.5% (50.0%–75.0%) of 40 hidden parts (chance 10%) |"
    assert said in (tmp_path / "shapes.md").read_text()
    assert read_json(tmp_path / "shapes.json")["results"]["attributes"]["accuracy"]["edited"] == own


def test_numbers_are_copied_and_curves_thinned(run, tmp_path):
    written = export.export_results(run, tmp_path / "numbers")
    assert {path.name for path in written} == {"matching.json", "tdanet.json", "matching_log.csv", "tdanet_log.csv"}
    assert read_json(tmp_path / "numbers" / "tdanet.json") == run.result("tdanet")


def test_exported_encoders_match_as_the_run_does_and_start_another_training(run, tmp_path, monkeypatch):
    export.export_matching(run, "shapes", "made by a test", tmp_path / "weights" / "matching")
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "weights")
    model, vocabulary = weights.load_matching("shapes")
    own = matching.load(run)
    tokens, lengths = map(torch.from_numpy, vocabulary.encode(["a red square", "a blue circle"], 12))
    assert vocabulary == own.vocabulary
    with torch.no_grad():
        torch.testing.assert_close(
            model.text(tokens, lengths).sentence, own.model.text(tokens, lengths).sentence, atol=5e-3, rtol=0
        )
    card = (tmp_path / "weights" / "matching" / "shapes.md").read_text()
    assert f"{own.result['r_precision']:.1%}" in card and "{" not in card
    again = matching.fit(run, MatchingConfig(steps=0, batch_size=6, start_from="shapes", **SIZES))
    torch.testing.assert_close(again.model.text.embedding.weight, own.model.text.embedding.weight, atol=5e-3, rtol=0)
    assert run.record("matching")["notes"]["weights"] == "trained"
    with pytest.raises(ConfigError, match="shapes"):
        matching.fit(run, MatchingConfig(steps=0, batch_size=6, start_from="shape", **SIZES))


def test_words_keep_their_rows_wherever_the_other_vocabulary_has_them():
    known, wanted = Vocabulary(("<pad>", "<unk>", "red", "blue")), Vocabulary(("<pad>", "<unk>", "green", "red"))
    learnt, own = torch.arange(4.0)[:, None], -torch.arange(1.0, 5.0)[:, None]
    assert words_of(learnt, known, own, wanted).flatten().tolist() == [0.0, 1.0, -3.0, 2.0]


def test_half_precision_clips_and_leaves_counters_alone():
    assert weights.half(torch.tensor([1e6, -1e6, 0.5])).tolist() == [65504.0, -65504.0, 0.5]
    assert weights.half(torch.tensor([70000])).dtype == torch.int64


@pytest.mark.parametrize("name", weights.names())
def test_each_that_comes_with_the_package_loads_and_has_a_card(name):
    model, vocabulary = weights.load(name)
    assert model.config.vocabulary_size == len(vocabulary)
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
    assert (weights.FOLDER / f"{name}.safetensors").stat().st_size < 20e6
    about, card = weights.describe(name), (weights.FOLDER / f"{name}.md").read_text()
    assert f"{about['results']['tdanet']['hole_l1']['tdanet']['value']:.4f}" in card


def test_every_source_has_a_licence_and_a_subject_for_its_card():
    assert set(weights.SUBJECTS) == set(weights.LICENCES) == set(DATASETS)


@pytest.mark.parametrize("name", weights.matching_names())
def test_each_matching_that_comes_with_the_package_loads(name):
    model, vocabulary = weights.load_matching(name)
    assert model.config.vocabulary_size == len(vocabulary)
    assert (weights.matching_folder() / f"{name}.md").exists()
