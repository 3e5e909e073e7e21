"""What can be set about TDANet's training: each switch does what it says, and what is written can be looked at."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tdanet_data
import torch
from PIL import Image

from nbsupport.book import chapters, export, recipe
from nbsupport.config import MatchingConfig, QualityConfig, TDANetConfig, TrainingConfig
from nbsupport.core import checkpoints, device, lite0
from nbsupport.core.errors import ConfigError, UserError
from nbsupport.core.files import read_json, write_json
from nbsupport.core.rng import seeded
from nbsupport.runs import Run
from nbsupport.tdanet import damsm, weights
from nbsupport.tdanet.model import create
from nbsupport.tdanet.text import TextEncoder
from nbsupport.training import matching, progress, step, tdanet
from nbsupport.training.batches import Sampler

SIZES = {"text_channels": 32, "word_channels": 16, "image_channels": 8, "caption_length": 12}


def trainer_for(data, **changes):
    with seeded(0):
        matcher = damsm.Matcher(damsm.MatchingWeights(vocabulary_size=len(data.vocabulary), **SIZES))
    config = TrainingConfig(
        **({"start_from": None, "batch_size": 6, "base_channels": 8, "latent_channels": 8} | changes)
    )
    return step.Trainer(tdanet.build(data, matcher, config), matcher, config, device.fabric("float32"))


def one_step(changes, number=1):
    data = tdanet_data.dataset(12)
    trainer = trainer_for(data, **changes)
    sampler = Sampler(data, 12, 6, 0)
    for count in range(1, number + 1):
        values = trainer.train_step(sampler.batch(count))
    return trainer, values


@pytest.fixture
def run(monkeypatch, tmp_path):
    run = tdanet_data.run_with(monkeypatch, tdanet_data.dataset(), tmp_path / "runs" / "t")
    matching.fit(run, MatchingConfig(steps=2, start_from=None, batch_size=6, **SIZES))
    return run


def test_without_an_auxiliary_share_there_is_no_second_path_and_no_latent():
    trainer, values = one_step({"auxiliary_share": 0.0})
    assert list(trainer.adversary.of) == ["inpainting"]
    assert not {"l1_auxiliary", "kl_auxiliary", "kl"} & set(values)
    untouched = [p for name, p in trainer.model.named_parameters() if name.startswith("fusion_auxiliary")]
    assert untouched and all(p.grad is None for p in untouched)


@pytest.mark.parametrize(("share", "count"), [(1.0, 6), (0.5, 3), (0.1, 1)])
def test_a_share_of_the_batch_takes_the_auxiliary_path(share, count):
    data = tdanet_data.dataset(12)
    trainer = trainer_for(data, auxiliary_share=share)
    seen = []
    trainer.adversary.of["auxiliary"].register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    trainer.train_step(Sampler(data, 12, 6, 0).batch(1))
    assert seen == [2 * count, count]  # real and painted, then painted alone


@pytest.mark.parametrize("changes", [{"auxiliary_share": 0.1}, {"auxiliary_share": 0.0, "batch_size": 1}])
def test_each_process_needs_a_picture_of_both_paths(changes):
    two = SimpleNamespace(world_size=2)
    with pytest.raises(UserError, match="2 processes"):
        step.Trainer(None, None, TrainingConfig(**({"batch_size": 6} | changes)), two)


def test_the_share_does_not_change_the_inpainting_path():
    config = TDANetConfig(image_size=32, base_channels=8, latent_channels=8, vocabulary_size=20, caption_length=6)
    model = create(config, 0).eval()
    draw = torch.Generator().manual_seed(0)
    images = torch.rand((4, 3, 32, 32), generator=draw) * 2 - 1
    holes = torch.zeros((4, 1, 32, 32), dtype=torch.bool)
    holes[:, :, 8:24, 8:24] = True
    tokens, lengths = torch.randint(2, 20, (4, 6), generator=draw), torch.full((4,), 6)
    noise = torch.randn((4, *model.latent_shape(32, 32)), generator=draw)
    alone, shared = (model(images, holes, tokens, lengths, noise, other) for other in (None, noise[:2]))
    whole = model(images, holes, tokens, lengths, noise, noise)
    torch.testing.assert_close(alone.outputs[-1], shared.outputs[-1])
    torch.testing.assert_close(whole.auxiliary_outputs[-1][:2], shared.auxiliary_outputs[-1])
    assert len(shared.auxiliary_outputs[-1]) == 2 and alone.auxiliary_outputs is None


def test_the_matching_loss_is_taken_in_every_nth_step_with_n_times_its_weight():
    _, values = one_step({"matching_every": 2}, number=1)
    assert "matching" not in values
    _, values = one_step(
        {"matching_every": 2, "weight_adversarial": 0.0, "weight_kl": 0.0, "auxiliary_share": 0.5}, number=2
    )
    l1 = values["l1"] + 0.5 * values["l1_auxiliary"]
    assert values["total"] == pytest.approx(20 * l1 + 2 * 0.1 * values["matching"], rel=1e-4)


def test_the_average_follows_the_weights_and_forgets_the_start():
    trainer, _ = one_step({"ema_decay": 0.5}, number=1)
    name = "generator.enter.weight"
    now, average = trainer.model.get_parameter(name), trainer.average.module.get_parameter(name)
    torch.testing.assert_close(now, average)  # the first update takes the weights as they are
    before = average.clone()
    trainer.train_step(Sampler(tdanet_data.dataset(12), 12, 6, 0).batch(2))
    decay = min(0.5, (1 + 1) / (10 + 1))
    torch.testing.assert_close(average, decay * before + (1 - decay) * now)
    assert not torch.equal(average, now)


def test_gradients_are_clipped():
    data = tdanet_data.dataset(12)
    trainer = trainer_for(data, clip_gradient=0.01)
    values = trainer.train_step(Sampler(data, 12, 6, 0).batch(1))
    kept = torch.stack([p.grad.norm() for p in trainer.model.parameters() if p.grad is not None]).norm()
    assert values["gradient"] > 0.01 and kept == pytest.approx(0.01, rel=1e-3)


def test_the_learning_rate_warms_up_and_falls():
    factors = [step.learning_rate_factor(number, 1000, 100) for number in range(1, 1001)]
    assert factors[0] == pytest.approx(0.01) and factors[99] == 1.0 and factors[-1] == pytest.approx(0.02)
    assert all(a > b for a, b in zip(factors[99:], factors[100:], strict=False))


@pytest.mark.parametrize("changes", [{"negate": False}, {"max_pool": False}])
def test_ablations_of_the_attention_change_what_is_painted(changes):
    sizes = {"image_size": 32, "base_channels": 8, "latent_channels": 8, "vocabulary_size": 20, "caption_length": 6}
    draw = torch.Generator().manual_seed(0)
    images = torch.rand((2, 3, 32, 32), generator=draw) * 2 - 1
    holes = torch.zeros((2, 1, 32, 32), dtype=torch.bool)
    holes[:, :, 8:24, 8:24] = True
    tokens = torch.randint(2, 20, (2, 6), generator=draw)
    outputs = []
    for options in ({}, changes):
        model = create(TDANetConfig(**sizes, **options), 0).eval()
        noise = torch.zeros((2, *model.latent_shape(32, 32)))
        outputs.append(model(images, holes, tokens, torch.full((2,), 6), noise))
    assert not torch.allclose(outputs[0].outputs[-1], outputs[1].outputs[-1])
    assert torch.allclose(outputs[0].attention, outputs[1].attention) == ("max_pool" in changes)


def test_it_stops_early_and_keeps_the_best(run, monkeypatch, capsys):
    scores = iter([0.5, 0.3, 0.4, 0.45, 0.2])
    kept = []
    monkeypatch.setattr(tdanet, "validation_l1", lambda trainer, dataset: next(scores))
    save = tdanet.checkpoints.save_weights

    def note(path, weights, config=None):
        kept.append((path.name, {name: tensor.clone() for name, tensor in weights.items()}))
        save(path, weights, config)

    monkeypatch.setattr(tdanet.checkpoints, "save_weights", note)
    sizes = {"batch_size": 4, "base_channels": 8, "latent_channels": 8, "sample_every": 0}
    trained = tdanet.fit(
        run, TrainingConfig(steps=20, start_from=None, named_parts=0.0, validate_every=2, patience=2, **sizes)
    )
    assert trained.log["step"].max() == 8 and trained.result["steps"] == 8
    assert "stopped early at step 8" in capsys.readouterr().out
    assert [name for name, _ in kept] == ["tdanet_best.safetensors"] * 2 + ["tdanet.safetensors"]
    assert all(torch.equal(tensor, kept[1][1][name]) for name, tensor in kept[2][1].items())
    assert not (run / tdanet.BEST).exists()


def test_captions_are_left_out_as_often_as_asked():
    data = tdanet_data.dataset(12)
    lengths = {}
    for share in (0.0, 0.3, 1.0):
        sampler = Sampler(data, 12, 6, 0, caption_dropout=share)
        lengths[share] = np.concatenate([sampler.batch(step).lengths for step in range(40)])
    assert (lengths[0.0] > 1).all() and (lengths[1.0] == 1).all()
    assert 0.2 < (lengths[0.3] == 1).mean() < 0.4
    before, after = (Sampler(data, 12, 6, 0, **more).batch(3) for more in ({}, {"caption_dropout": 0.0}))
    assert torch.equal(before.tokens, after.tokens) and torch.equal(before.holes, after.holes)


def test_a_training_can_start_from_the_weights_of_another(run, tmp_path):
    sizes = {"batch_size": 4, "base_channels": 8, "latent_channels": 8, "sample_every": 0}
    first = tdanet.fit(run, TrainingConfig(steps=3, start_from=None, named_parts=0.0, **sizes))
    other = tmp_path / "first.safetensors"
    other.write_bytes((run / weights.WEIGHTS).read_bytes())
    config = TrainingConfig(steps=1, start_from=str(other), named_parts=0.0, learning_rate=1e-7, **sizes)
    second = tdanet.fit(run, config)
    for name, tensor in first.model.named_parameters():
        torch.testing.assert_close(tensor, second.model.get_parameter(name), atol=1e-5, rtol=0)


def test_a_training_can_start_from_weights_of_the_package_by_their_words(run, tmp_path, monkeypatch):
    """The package's weights know other words at other places: each word must keep its own embedding."""
    sizes = {"batch_size": 4, "base_channels": 8, "latent_channels": 8, "sample_every": 0, "train_text": False}
    first = tdanet.fit(run, TrainingConfig(steps=3, start_from=None, named_parts=0.0, **sizes))
    export.export(run, "shapes", "a test", tmp_path)
    about = read_json(tmp_path / "shapes.json")
    words = about["vocabulary"]
    order = [0, 1, *range(len(words) - 1, 1, -1)]
    about["vocabulary"] = [words[i] for i in order[:-1]] + ["unheard"]  # reversed, and one word is not known
    write_json(tmp_path / "shapes.json", about)
    state = checkpoints.read_weights(tmp_path / "shapes.safetensors")
    state["text.embedding.weight"] = state["text.embedding.weight"][order]
    checkpoints.save_weights(tmp_path / "shapes.safetensors", state)
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    second = tdanet.fit(run, TrainingConfig(steps=1, start_from="shapes", named_parts=0.0, learning_rate=1e-7, **sizes))
    for name, tensor in first.model.named_parameters():
        other = second.model.get_parameter(name)
        if name == "text.embedding.weight":
            lost = words.index(words[order[-1]])
            tensor, other = (torch.cat([t[:lost], t[lost + 1 :]]) for t in (tensor, other))
        torch.testing.assert_close(tensor, other, atol=2e-3, rtol=2e-3)  # half precision lay between


def test_weights_of_another_architecture_are_named_with_the_way_out(run):
    sizes = {"batch_size": 4, "base_channels": 8, "latent_channels": 8, "sample_every": 0, "named_parts": 0.0}
    with pytest.raises(ConfigError, match="base_channels 16 .asked for: 8.*start_from: null"):
        tdanet.fit(run, TrainingConfig(steps=1, start_from="synthetic64", **sizes))
    with pytest.raises(ConfigError, match="text_channels 256 .asked for: 32.*matching_start_from: null"):
        matching.fit(Run(run.path, replace=True), MatchingConfig(steps=1, batch_size=6, **SIZES))


def test_weights_that_are_not_there_are_named(run):
    sizes = {"batch_size": 4, "base_channels": 8, "latent_channels": 8, "sample_every": 0}
    with pytest.raises(ConfigError, match="neither a file nor a name"):
        tdanet.fit(run, TrainingConfig(steps=1, start_from="nowhere", named_parts=0.0, **sizes))


def test_what_is_written_can_be_looked_at(run):
    seen = []
    sizes = {"batch_size": 4, "base_channels": 8, "latent_channels": 8, "validate_every": 2, "sample_every": 2}
    tdanet.fit(
        run, TrainingConfig(steps=5, start_from=None, named_parts=0.0, **sizes), watch=lambda log: seen.append(len(log))
    )
    assert seen == [2, 4, 5]  # after each validation, the last step's among them
    grids = sorted(path.name for path in (run / progress.SAMPLES).glob("*.png"))
    assert grids == ["step_000002.png", "step_000004.png", "step_000005.png"]
    with Image.open(run / progress.SAMPLES / grids[0]) as picture:
        assert picture.size == (4 * 34 - 2, 6 * 34 - 2)  # hole, filled, output, photograph; six photographs
    events = list((run / "tensorboard" / "tdanet_log").glob("events*"))
    assert len(events) == 1 and events[0].stat().st_size > 1000
    log = pd.read_csv(run / tdanet.LOG)
    assert {"l1", "kl", "adversarial", "gradient", "seconds", "validation_hole_l1"} <= set(log.columns)


def test_a_resumed_log_drops_what_came_after_the_checkpoint(run):
    log = progress.Log(run, "log.csv")
    for number in range(1, 6):
        log.add({"step": number, "l1": number / 10})
    log.write()
    log.close()
    resumed = progress.Log(run, "log.csv", step=3)
    assert resumed.table()["step"].tolist() == [1, 2, 3]
    resumed.close()


def test_a_grid_puts_columns_side_by_side():
    black, white = np.zeros((3, 4, 5, 3), np.uint8), np.full((3, 4, 5, 3), 200, np.uint8)
    whole = progress.grid([black, white], gap=1)
    assert whole.shape == (3 * 5 - 1, 2 * 6 - 1, 3)
    assert (whole[:4, :5] == 0).all() and (whole[:4, 5] == 255).all() and (whole[:4, 6:] == 200).all()


def test_the_text_encoder_can_be_an_lstm():
    encoder = TextEncoder(20, 8, 16, "lstm")
    text = encoder(torch.tensor([[2, 3, 4], [5, 0, 0]]), torch.tensor([3, 1]))
    assert isinstance(encoder.recurrent, torch.nn.LSTM)
    assert text.words.shape == (2, 16, 3) and text.sentence.shape == (2, 16)
    with pytest.raises(ConfigError, match="recurrent"):
        MatchingConfig(recurrent="rnn")


@pytest.mark.skipif(lite0.weights_file() is None, reason="the package with EfficientNet-Lite0's weights is missing")
def test_frozen_features_are_computed_once_and_are_those_of_the_photograph(run):
    data = tdanet_data.dataset()
    sizes = {**SIZES, "vocabulary_size": len(data.vocabulary)}
    with seeded(0):
        model = damsm.Matcher(damsm.MatchingWeights(image_trunk="efficientnet_lite0", **sizes), imagenet=True).eval()
    before = {name: tensor.clone() for name, tensor in model.image.trunk.state_dict().items()}
    batch = Sampler(data, 12, 6, 0).pictures(1)
    assert batch.flipped.any() and not batch.flipped.all()
    pictures = matching._Pictures(model, data, 6, device.choose("float32"))
    with torch.no_grad():
        for kept, fresh in zip(pictures.encode(batch), model.image(batch.images), strict=True):
            torch.testing.assert_close(kept, fresh, atol=2e-2, rtol=2e-2)  # kept in half precision
    config = {"steps": 3, "batch_size": 6, "image_trunk": "efficientnet_lite0", "dropout": 0.2, "word_dropout": 0.2}
    trained = matching.fit(run, MatchingConfig(**config, **SIZES, start_from=None, word_pairs=4)).model
    after = trained.image.trunk.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    images = batch.images.clone().requires_grad_()
    sum(trained.loss(images, trained.text(batch.tokens, batch.lengths), torch.arange(6))).backward()
    assert images.grad.abs().sum() > 0  # TDANet is taught through the frozen trunk


def test_forgotten_words_become_unknown_and_padding_stays():
    tokens = torch.tensor([[5, 6, 7, 0, 0]] * 200)
    assert torch.equal(matching._forget(tokens, 0.0, 1), tokens)
    forgotten = matching._forget(tokens, 0.3, 1)
    assert (forgotten[:, 3:] == 0).all()
    assert 0.2 < (forgotten[:, :3] == 1).float().mean() < 0.4


def test_configurations_come_from_the_chapter_s_parameters():
    parameters = {
        "matching_steps": 7,
        "steps": 9,
        "judged": 5,
        "seed": 3,
        "more": {"matching_dropout": 0.1, "negate": False, "matching_every": 2, "samples": 7},
    }
    matcher, training, judging = chapters.configurations(parameters, 4)
    assert matcher == MatchingConfig(steps=7, dropout=0.1, seed=3)
    assert training == TrainingConfig(steps=9, negate=False, matching_every=2, seed=3)
    assert judging == QualityConfig(judged=5, samples=7, seed=3)
    flat = {name: value for name, value in parameters.items() if name != "more"} | parameters["more"]
    assert chapters.configurations(flat, 4) == (matcher, training, judging), "the command line names them all alike"


def test_a_misspelt_parameter_is_an_error_that_names_the_nearest():
    for wrong, near in ({"stpes": 9}, "steps"), ({"matching_setps": 9}, "matching_steps"):
        with pytest.raises(ConfigError, match=f"Did you mean '{near}'"):
            chapters.configurations({"seed": 3, **wrong}, 4)
    cells = ["", 'run_name = "a"\nsteps = 9\nmore = {}', "# Parameters\nbatch_sizes = 4\n"]
    notebook = {"In": cells, "steps": 9, "batch_sizes": 4, "seed": 3, "more": {}, "table": object()}
    with pytest.raises(ConfigError, match="Did you mean 'batch_size'"):
        chapters.configurations(notebook, 4)
    mended = notebook | {"In": [*cells[:2], "# Parameters\nbatch_size = 4\n"], "batch_size": 4}
    assert chapters.configurations(mended, 4)[1] == TrainingConfig(steps=9, batch_size=4, seed=3)


def test_papermill_and_more_set_what_the_cell_does_not_show():
    cells = ["", 'run_name = "a"\nmore = {}', "# Parameters\nclip_gradient = 4.0\n"]
    by_papermill = chapters.configurations({"In": cells, "clip_gradient": 4.0, "more": {}}, 4)
    by_hand = {"In": ["", 'run_name = "a"\nmore = {"clip_gradient": 4.0}'], "more": {"clip_gradient": 4.0}}
    assert by_papermill == chapters.configurations(by_hand, 4) and by_papermill[1].clip_gradient == 4.0
    for wrong, message in (
        ('{"clip_gradeint": 4.0}', "Did you mean 'clip_gradient'"),
        ('{"clip_gradient": -1}', "clip_gradient .in more. must lie between"),
        ("[1]", "more must be a mapping"),
    ):
        with pytest.raises(ConfigError, match=message):
            chapters.configurations({"In": ["", f'run_name = "a"\nmore = {wrong}']}, 4)


def test_ablations_are_trainings_of_their_own_and_end_in_one_table(tmp_path, monkeypatch):
    monkeypatch.setenv("NBSUPPORT_RUNS", str(tmp_path))
    data = {"dataset": "synthetic", "count": 24, "image_size": 32}
    training = {"steps": 2, "batch_size": 4, "base_channels": 8, "latent_channels": 8, "seed": 0, "matching_steps": 0}
    training |= {"named_parts": 0.5, "start_from": None, "matching_start_from": None}
    run = Run("ablated")
    table = recipe.ablate(run, {1: data, 4: training}, ["repaired", "no negation"])
    assert table["variant"].tolist() == ["repaired", "no negation"]
    assert (table["hole_l1_low"] <= table["hole_l1"]).all() and (table["hole_l1"] <= table["hole_l1_high"]).all()
    assert run.result("ablations")["rows"][1]["variant"] == "no negation"
    assert not Run(run.path / "ablations" / "no_negation").require("tdanet")["config"]["negate"]
    assert (run / "ablations/repaired/source").resolve() == (run / "source").resolve()  # no bird is drawn twice
    with pytest.raises(ConfigError, match="no negation"):
        recipe.ablate(run, {1: data, 4: training}, ["no negations"])
