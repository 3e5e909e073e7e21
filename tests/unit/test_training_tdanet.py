"""Training: it learns, it continues exactly where it was killed, it stops on NaN, and its checkpoints are safe."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import tdanet_data
import torch

from nbsupport import quality
from nbsupport.config import MatchingConfig, TrainingConfig
from nbsupport.core import checkpoints, device
from nbsupport.core.errors import MissingStage, UserError
from nbsupport.inpainters import registry
from nbsupport.runs import Run
from nbsupport.tdanet import damsm, weights
from nbsupport.training import matching, progress, step, tdanet
from nbsupport.training.batches import Sampler

MATCHING = MatchingConfig(
    steps=4, start_from=None, batch_size=6, text_channels=32, word_channels=16, image_channels=8, caption_length=12
)
TRAINING = TrainingConfig(
    steps=6,
    start_from=None,
    named_parts=0.0,
    batch_size=4,
    base_channels=8,
    latent_channels=8,
    checkpoint_every=2,
    validate_every=3,
    sample_every=3,
)


@pytest.fixture
def run(monkeypatch, tmp_path):
    return tdanet_data.run_with(monkeypatch, tdanet_data.dataset(), tmp_path / "runs" / "t")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def state_of(trained):
    return {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}


def test_a_killed_training_resumes_to_the_very_same_weights(run, monkeypatch):
    matching.fit(run, MATCHING)
    straight = tdanet.fit(run, TRAINING)
    assert len(straight.log) == 6 and straight.log["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert set(straight.result["hole_l1"]) == {"tdanet", "tdanet_mismatched", "mean_colour", "telea"}
    assert not (run / tdanet.STATE).exists()
    expected = state_of(straight)
    (run / "stages" / "tdanet.json").unlink()
    original = step.Trainer.train_step

    def killed(self, batch):
        if self.step == 5:
            raise KeyboardInterrupt
        return original(self, batch)

    monkeypatch.setattr(step.Trainer, "train_step", killed)
    with pytest.raises(KeyboardInterrupt):
        tdanet.fit(run, TRAINING)
    assert (run / tdanet.STATE).exists()
    steps = []
    monkeypatch.setattr(step.Trainer, "train_step", lambda self, b: steps.append(self.step + 1) or original(self, b))
    resumed = tdanet.fit(run, TRAINING)
    assert steps == [5, 6]
    assert resumed.log["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state_of(resumed).items())


def test_a_killed_matching_resumes_to_the_very_same_weights(run, monkeypatch):
    expected = state_of(matching.fit(run, MATCHING))
    assert not (run / matching.STATE).exists()
    (run / "stages" / "matching.json").unlink()
    monkeypatch.setattr(matching, "SAVE_EVERY", 0.0)
    original, steps = matching.Sampler.pictures, []

    def killed(self, number, place):
        if number == 3:
            raise KeyboardInterrupt
        return original(self, number, place)

    monkeypatch.setattr(matching.Sampler, "pictures", killed)
    with pytest.raises(KeyboardInterrupt):
        matching.fit(run, MATCHING)
    assert (run / matching.STATE).exists()
    monkeypatch.setattr(
        matching.Sampler, "pictures", lambda self, number, place: steps.append(number) or original(self, number, place)
    )
    resumed = matching.fit(run, MATCHING)
    assert steps == [3, 4] and resumed.log["step"].tolist() == [1, 2, 3, 4]
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state_of(resumed).items())


def test_a_finished_training_is_loaded_and_its_weights_come_back(run, capsys):
    matching.fit(run, MATCHING)
    with pytest.raises(MissingStage):
        weights.load_run(run)
    before = torch.random.get_rng_state()
    first = tdanet.fit(run, TRAINING)
    again = tdanet.fit(run, TRAINING)
    assert "loaded" in capsys.readouterr().out
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(tensor, state_of(first)[name]) for name, tensor in state_of(again).items())
    model, vocabulary = weights.load_run(run)
    assert not model.training and model.config.vocabulary_size == len(vocabulary)
    text = matching.load(run).model.text.state_dict()  # the text encoder stays as the matching left it
    assert all(torch.equal(tensor, text[name]) for name, tensor in model.text.state_dict().items())
    assert run.record("tdanet")["notes"]["text_encoder"] == "trained"
    painter = registry.create("tdanet", run)
    images = tdanet_data.dataset().cache.batch([3, 7])
    holes = quality.centre_holes(2, (32, 32))
    outputs = [painter.fill(images, holes, ["a red square", ""], seeds=seeds) for seeds in ((1, 2), (1, 2), (3, 4))]
    assert (outputs[0] == outputs[1]).all() and (outputs[0] != outputs[2]).any()


def test_a_loss_that_is_not_finite_stops_before_it_reaches_the_weights(run, monkeypatch):
    matching.fit(run, MATCHING)
    original = step.losses.kl_losses
    calls = []

    def broken(*arguments):
        calls.append(1)
        return [term * (float("nan") if len(calls) == 4 else 1) for term in original(*arguments)]

    monkeypatch.setattr(step.losses, "kl_losses", broken)
    with pytest.raises(step.TrainingDiverged, match="step 4.*learning_rate"):
        tdanet.fit(run, TRAINING)
    state = torch.load(run / tdanet.STATE, weights_only=True)
    assert state["step"] == 2
    assert all(torch.isfinite(tensor).all() for tensor in state["model"].values())
    assert run.record("tdanet") is None


def trainer_for(data, **changes):
    sizes = {"vocabulary_size": len(data.vocabulary), "text_channels": 32, "word_channels": 16, "image_channels": 8}
    with matching.seeded(0):
        matcher = damsm.Matcher(damsm.MatchingWeights(caption_length=12, **sizes))
    values = {"steps": 60, "batch_size": 6, "base_channels": 16, "latent_channels": 8, "learning_rate": 3e-3} | changes
    config = TrainingConfig(
        mask_shares={"centre": 1.0}, coverage_low=0.25, coverage_high=0.25, train_text=True, **values
    )
    return step.Trainer(tdanet.build(data, matcher, config), matcher, config, device.fabric("float32"))


def test_an_estimate_comes_first_and_changes_nothing(run, monkeypatch, capsys):
    matching.fit(run, MATCHING)
    plain = tdanet.fit(run, TRAINING).model.state_dict()
    monkeypatch.setattr(tdanet, "ESTIMATED", 3)
    told = tdanet.fit(Run(run.path, replace=True), dataclasses.replace(TRAINING, checkpoint_every=3)).model.state_dict()
    assert "[tdanet] 6 steps of 4 photographs at " in capsys.readouterr().out
    assert all(torch.equal(tensor, told[name]) for name, tensor in plain.items())


def test_a_validation_error_twice_the_best_stops_a_training_whose_losses_are_finite(run, monkeypatch):
    matching.fit(run, MATCHING)
    scores = iter([0.3, 0.5, 0.61])
    monkeypatch.setattr(tdanet, "validation_l1", lambda trainer, dataset: next(scores))
    with pytest.raises(step.TrainingDiverged, match="step 6: .* 0.610, after 0.300.*learning_rate"):
        tdanet.fit(run, dataclasses.replace(TRAINING, steps=8, validate_every=2))
    with pytest.raises(MissingStage):
        run.require("tdanet")


def test_it_learns_one_batch_far_beyond_what_an_untrained_network_or_the_mean_colour_reach():
    data = tdanet_data.dataset(12)
    trainer = trainer_for(data)
    sampler = Sampler(data, 12, 6, 0, shares={"centre": 1.0}, coverage=(0.25, 0.25))
    batch = sampler.batch(1)
    rows = batch.rows
    holes = batch.holes[:, 0].numpy()
    pictures = data.cache.batch(rows)  # the shapes are symmetrical: a flip changes nothing
    mean = registry.create("mean_colour").fill(pictures, holes, [""] * 6, seeds=range(6))
    baseline = quality.hole_l1(pictures, mean, holes).mean()
    values = [trainer.train_step(batch)["hole_l1"] for _ in range(60)]
    assert values[0] > 0.5 * baseline, "an untrained network must not pass this test"
    assert np.mean(values[-5:]) < 0.35 * baseline
    assert np.mean(values[-5:]) < 0.35 * values[0]


@pytest.mark.parametrize("changes", [{"preset": "faithful"}, {"weight_adversarial": 0.0, "weight_matching": 0.0}])
def test_presets_and_ablations_train(changes):
    data = tdanet_data.dataset(12)
    values = trainer_for(data, **changes).train_step(Sampler(data, 12, 6, 0).batch(1))
    assert np.isfinite(list(values.values())).all()
    assert ("adversarial" in values) == ("weight_adversarial" not in changes)


def test_each_discriminator_judges_its_own_path():
    data = tdanet_data.dataset(12)
    trainer = trainer_for(data)
    seen = {path: [] for path in step.PATHS}
    for path, discriminator in trainer.adversary.of.items():
        discriminator.register_forward_pre_hook(lambda _, inputs, path=path: seen[path].append(inputs[0].detach()))
    trainer.train_step(Sampler(data, 12, 6, 0).batch(1))
    assert [len(pictures) for pictures in seen["inpainting"]] == [12, 6]  # real + painted, then painted alone
    assert not torch.equal(seen["inpainting"][1], seen["auxiliary"][1])


def test_matching_learns_which_caption_belongs_to_which_picture(run):
    untrained = matching.fit(run, MatchingConfig(**{**MATCHING.to_mapping(), "steps": 0}))
    assert run.record("matching")["notes"]["weights"] == "untrained" and untrained.log.empty
    trained = matching.fit(run, MatchingConfig(**{**MATCHING.to_mapping(), "steps": 60, "batch_size": 12}))
    first, last = trained.log["sentence"].iloc[0], trained.log["sentence"].tail(5).mean()
    assert last < 0.75 * first
    assert trained.result["wrong"] == 5 and trained.result["chance"] == pytest.approx(1 / 6)
    assert trained.result["r_precision"] is not None


def test_batches_are_a_function_of_seed_and_step_and_flip_everything_together():
    data = tdanet_data.dataset(24)
    data.cache.images[:, :, :8] = 255  # a white edge on the left, and an object and a part there
    data.cache.objects[:] = False
    data.cache.objects[:, 8:24, :8] = True
    data.cache.parts["x"], data.cache.parts["y"] = 2.0, 16.0
    sampler = Sampler(data, 12, 8, seed=5, shares={"object": 1.0, "part": 1.0}, coverage=(0.05, 0.1))
    one, same, other = sampler.batch(3), sampler.batch(3), sampler.batch(4)
    assert torch.equal(one.images, same.images) and torch.equal(one.holes, same.holes)
    assert torch.equal(one.tokens, same.tokens) and not torch.equal(one.images, other.images)
    flipped = one.images[:, :, 0, -1].mean(dim=1) > 0.99
    assert 0 < flipped.sum() < 8
    columns = torch.arange(32.0)
    middle = (one.holes[:, 0].float().sum(1) * columns).sum(1) / one.holes[:, 0].sum((1, 2))
    assert (middle[flipped] > 16).all() and (middle[~flipped] < 16).all()


def test_checkpoints_round_trip_and_damage_is_named(tmp_path):
    module, path = torch.nn.Linear(3, 2), tmp_path / "w.safetensors"
    checkpoints.save_weights(path, module.state_dict(), MATCHING)
    assert checkpoints.read_config(path, MatchingConfig) == MATCHING
    other = torch.nn.Linear(3, 2)
    checkpoints.load_into(other, path)
    assert torch.equal(module.weight, other.weight)
    with pytest.raises(UserError, match="expected"):
        checkpoints.load_into(torch.nn.Linear(4, 2), path)
    with pytest.raises(UserError, match="bias"):
        checkpoints.load_into(torch.nn.Linear(3, 2, bias=False), path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match="damaged"):
        checkpoints.read_weights(path)
    with pytest.raises(MissingStage):
        checkpoints.read_weights(tmp_path / "none.safetensors")


def test_a_training_state_of_other_parameters_or_a_torn_one_is_not_used(tmp_path, capsys):
    path = tmp_path / "state.pt"
    assert checkpoints.load_state(path, "a") is None
    checkpoints.save_state(path, {"fingerprint": "a", "step": 3})
    assert checkpoints.load_state(path, "a")["step"] == 3
    assert checkpoints.load_state(path, "b") is None
    path.write_bytes(path.read_bytes()[:100])
    assert checkpoints.load_state(path, "a") is None and "from the beginning" in capsys.readouterr().out


def test_hole_l1_counts_the_hole_only():
    original = np.zeros((2, 8, 8, 3), np.uint8)
    output, holes = original.copy(), np.zeros((2, 8, 8), bool)
    holes[:, :4] = True
    output[0, :4], output[1, 4:] = 255, 255
    assert quality.hole_l1(original, output, holes).tolist() == pytest.approx([2.0, 0.0])
    assert quality.centre_holes(1, (64, 64))[0].mean() == pytest.approx(0.25, abs=0.01)


def test_intervals_draw_whole_groups():
    draw = np.random.default_rng(0)
    alone = draw.normal(size=100)
    wide = quality.mean_interval(np.repeat(alone, 10), np.repeat(np.arange(100), 10), seed=0)
    narrow = quality.mean_interval(np.repeat(alone, 10), np.arange(1000), seed=0)
    assert wide["low"] < wide["value"] < wide["high"]
    assert 2 < (wide["high"] - wide["low"]) / (narrow["high"] - narrow["low"]) < 4.5  # about the root of ten
    assert wide["high"] - wide["low"] == pytest.approx(2 * 1.96 * alone.std() / 10, rel=0.15)


def test_mismatched_captions_come_from_other_groups():
    data = tdanet_data.dataset(24)
    data.index["group"] = np.arange(24) // 2
    captions = [[f"caption {n}"] for n in range(24)]
    data.index["captions"] = captions
    matched, mismatched = quality.pick_captions(data, np.arange(24), seed=0)
    assert matched == [own[0] for own in captions]
    assert all(int(text.split()[1]) // 2 != n // 2 for n, text in enumerate(mismatched))
    split = data.index["split"].tolist()
    assert all(split[int(text.split()[1])] == split[n] for n, text in enumerate(mismatched))
    data.index["captions"] = [
        ["a bird"] if n != 8 else ["a red bird"] for n in range(24)
    ]  # only one says another thing
    assert split[8] == split[0] == "train" and split[2] == "validation"
    assert quality.pick_captions(data, np.array([0, 2, 8]), seed=0)[1] == ["a red bird", "", "a bird"]


def test_the_validation_photographs_are_drawn_and_span_the_species(monkeypatch):
    data = tdanet_data.dataset(1200)
    rows = data.rows("validation")  # 300, in the order of the files: ten species of thirty
    judged = []
    monkeypatch.setattr(
        quality, "pick_captions", lambda dataset, rows, seed: (judged.append(rows), ([""] * len(rows),) * 2)[1]
    )
    trainer = trainer_for(data)
    first, again = tdanet.validation_l1(trainer, data), tdanet.validation_l1(trainer, data)
    assert first == again and np.array_equal(judged[0], judged[1])
    assert len(judged[0]) == len(set(judged[0].tolist())) == 128
    assert len(set(np.searchsorted(rows, judged[0]) // 30)) == 10


def test_a_training_is_told_with_the_share_of_its_shortened_gradients():
    result = {"steps": 4, "batch_size": 16, "parameters": 12345, "seconds": 2.4, "images_per_second": 27}
    notes = {"text_encoder": "trained", "device": "cpu", "precision": "float32"}
    text = progress.reading(result, notes, pd.DataFrame({"gradient": [1.0, 10.0, 10.5, 30.0]}), 10.0)
    assert "12,345 parameters" in text and "encoder trained, on cpu: float32. 50% of the gradients" in text
