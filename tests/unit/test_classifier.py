"""Detectors' training: it learns what can be learnt and nothing else, in pairs, and does no work twice."""

import numpy as np
import pandas as pd
import pytest
import torch
from detector_data import make_pairs, photograph
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from nbsupport import pairs
from nbsupport.config import DetectorConfig, PairsConfig, SearchConfig, StudyConfig
from nbsupport.core.errors import ConfigError, MissingStage, UserError
from nbsupport.core.files import read_json
from nbsupport.detectors import classifier, corruptions, predict, scores, transfer, zoo
from nbsupport.runs import Run

SMALL = DetectorConfig(
    inpainters=(), train_count=0, names=("residual_net",), epochs=3, batch_size=8, learning_rate=3e-3
)


def manifest(photographs: int, fakes: int = 2) -> pd.DataFrame:
    rows = [
        {"image_id": f"p{n}", "label": "fake" if k else "real", "arm": ("original", "spliced", "regenerated")[k]}
        for n in range(photographs)
        for k in range(fakes + 1)
    ]
    return pd.DataFrame(rows)


# --- batches -------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(photographs=st.integers(2, 50), size=st.integers(4, 40), seed=st.integers(0, 99), count=st.integers(0, 60))
def test_batches_hold_both_members_of_every_pair(photographs, size, seed, count):
    table = manifest(photographs)
    sampler = classifier.PairSampler(table, ("spliced", "regenerated"), size, max(count, 2) if count else 0, seed)
    batches, photos = list(sampler.epoch(3)), []
    assert len(batches) == sampler.batches
    for batch in batches:
        half = len(batch.rows) // 2
        real, fake = table.iloc[batch.rows[:half]], table.iloc[batch.rows[half:]]
        assert (real["label"] == "real").all() and (fake["label"] == "fake").all()
        assert real["image_id"].tolist() == fake["image_id"].tolist(), "a pair is in one batch"
        assert (batch.labels == np.repeat([0, 1], half)).all() and half >= 2
        assert (batch.flips[:half] == batch.flips[half:]).all(), "a flip must not tell the two apart"
        photos += real["image_id"].tolist()
    expected = min(photographs, max(count, 2)) if count else photographs
    assert len(photos) == len(set(photos)) == expected
    assert max(len(batch.rows) for batch in batches) - min(len(batch.rows) for batch in batches) <= 2


def all_variants(photographs: int) -> pd.DataFrame:
    """A manifest with every real and fake arm, by two inpainters where one was at work."""
    rows = []
    for n in range(photographs):
        for arm, label in pairs.ARMS.items():
            for name in ("",) if arm in ("original", "reencoded") else ("tdanet", "telea"):
                split = ("train", "validation", "test")[n % 3]
                rows.append({"image_id": f"p{n}", "label": label, "arm": arm, "inpainter": name, "split": split})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("fakes", [("spliced", "regenerated"), ("spliced_reencoded",), tuple(pairs.REAL)])
def test_the_real_class_is_the_untouched_photograph_or_what_met_the_same_encoder(fakes):
    """With all six variants in the set: no reconstructed one, and a JPEG only against a JPEG."""
    table = all_variants(30)
    sampler = classifier.PairSampler(table, fakes, 8, 0, seed=1, inpainters=("tdanet",))
    met = set()
    for batch in (batch for epoch in range(6) for batch in sampler.epoch(epoch)):
        half = len(batch.rows) // 2
        real, fake = table.iloc[batch.rows[:half]], table.iloc[batch.rows[half:]]
        assert (real["image_id"].to_numpy() == fake["image_id"].to_numpy()).all()
        met |= set(zip(fake["arm"], real["arm"], strict=True))
    assert met == {(arm, "reencoded" if arm == "spliced_reencoded" else "original") for arm in fakes}
    for split in ("train", "validation", "test"):  # validation and test hold the same two classes
        own = pairs.classes(table, fakes, (split,), ("tdanet",))
        assert set(zip(own["label"], own["arm"], strict=True)) == {
            *(("fake", arm) for arm in fakes), *(("real", real) for _, real in met)
        } and set(own["split"]) == {split}  # fmt: skip
        assert set(own["inpainter"]) == {"", "tdanet"}


def test_a_fake_without_its_real_class_is_an_error():
    table = all_variants(9)
    with pytest.raises(ConfigError, match="no pictures of the arm 'reencoded'"):
        pairs.classes(table[table["arm"] != "reencoded"], ("spliced_reencoded",))
    with pytest.raises(ConfigError, match="Did you mean 'spliced'"):
        pairs.classes(table, ("splice",))


def test_scores_of_an_arm_are_held_against_its_own_real_class():
    table = all_variants(3).assign(detector="d", logit=0.0)
    table["label"] = (table["label"] == "fake").astype(int)
    for arm, real in pairs.REAL.items():
        own = scores.select(table, "test", arm)
        assert set(zip(own["label"], own["arm"], strict=True)) == {(1, arm), (0, real)}


def test_degradations_are_the_default_of_every_training():
    for config in (
        DetectorConfig(inpainters=(), train_count=0),
        SearchConfig(inpainters=(), train_count=0),
        StudyConfig(inpainters=(), train_count=0),
    ):
        assert config.augment == ("jpeg", "webp", "resize", "blur") and config.augment_share == 0.5


def test_the_blur_baseline_is_calibrated_but_not_trained(tmp_path):
    run = Run(tmp_path / "blur")
    make_pairs(run, 40)
    config = DetectorConfig(
        inpainters=(), train_count=0, names=("local_sharpness", "residual_net"), epochs=1, batch_size=8
    )
    table = classifier.fit(run, config).set_index("name")
    assert table.loc["local_sharpness", "parameters"] == 0 and table.loc["local_sharpness", "epochs"] == 0
    assert len(classifier.log(run, "local_sharpness")) == 0
    test = scores.select(scores.load(run), "test", "spliced", "local_sharpness")
    assert roc_auc_score(test["label"], test["logit"]) > 0.95, "the made-up fakes are blurred"
    half = test["probability"].groupby(test["label"]).mean()
    assert half[0] < 0.5 < half[1], "temperature and shift were fitted"


def test_epochs_differ_and_repeat_themselves():
    sampler = classifier.PairSampler(manifest(30), ("spliced", "regenerated"), 8, 0, seed=1)
    rows = [np.concatenate([batch.rows for batch in sampler.epoch(number)]) for number in (0, 0, 1)]
    assert (rows[0] == rows[1]).all() and not (rows[0] == rows[2]).all()
    fakes = set(np.concatenate(rows)) & set(np.flatnonzero(manifest(30)["label"] == "fake"))
    assert len(fakes) > 30, "over epochs, a photograph meets both of its fakes"


def test_too_few_pairs_are_an_error():
    with pytest.raises(UserError, match="holds 1 photographs with fakes"):
        classifier.PairSampler(manifest(1), ("spliced",), 8, 0, 0)


# --- learning ------------------------------------------------------------------------------------------------------


def test_learns_what_there_is(tmp_path):
    run = Run(tmp_path / "learnable")
    make_pairs(run, 60)
    table = classifier.fit(run, SMALL)
    assert table.loc[0, "validation_auroc"] > 0.9 and table.loc[0, "images_per_second"] > 0
    for arm in ("spliced", "regenerated"):
        test = scores.select(scores.load(run), "test", arm)
        assert roc_auc_score(test["label"], test["probability"]) > 0.9, arm
    log = classifier.log(run, "residual_net")
    assert len(log) == 3 and log["loss"].iloc[-1] < log["loss"].iloc[0] < 1
    best = log.loc[log["epoch"] == table.loc[0, "best_epoch"], "validation_auroc"].item()
    assert best == pytest.approx(log["validation_auroc"].max()) and best == pytest.approx(
        table.loc[0, "validation_auroc"]
    )


def test_finds_nothing_where_there_is_nothing(tmp_path):
    """All arms are the same picture: equal scores within a pair, and chance over the test split, exactly."""
    run = Run(tmp_path / "nothing")
    make_pairs(run, 40, learnable=False)
    classifier.fit(run, SMALL)
    test = scores.select(scores.load(run), "test", "spliced")
    assert roc_auc_score(test["label"], test["logit"]) == pytest.approx(0.5)


def test_scores_cover_validation_and_test_of_the_wanted_arms(tmp_path):
    run = Run(tmp_path / "cover")
    made = make_pairs(run, 20)
    config = DetectorConfig(
        inpainters=(),
        train_count=0,
        names=("power_spectrum", "residual_net"),
        seeds=(0, 1),
        fake_arms=("spliced",),
        epochs=1,
        batch_size=8,
    )
    assert len(classifier.fit(run, config)) == 4
    table = scores.all_scores(run)
    expected = made[made["split"].isin(["validation", "test"]) & made["arm"].isin(["original", "spliced"])]
    assert sorted(table["path"].unique()) == sorted(expected["path"])
    assert not table.duplicated(["path", "detector", "seed"]).any() and len(table) == 4 * len(expected)
    assert (table["label"] == (table["arm"] != "original")).all() and set(table["condition"]) == {scores.CLEAN}
    assert run.record("detectors")["notes"]["weights"]["residual_net seed 1"] == "none"


# --- no work twice -------------------------------------------------------------------------------------------------


def test_a_trained_detector_is_kept_when_another_is_added(tmp_path, capsys, monkeypatch):
    run = Run(tmp_path / "resume")
    make_pairs(run, 20)
    one = DetectorConfig(inpainters=(), train_count=0, names=("power_spectrum",), epochs=1, batch_size=8)
    classifier.fit(run, one)
    path = predict.checkpoint(run, "power_spectrum", 0)
    before = path.stat().st_mtime_ns
    classifier.fit(run, one)
    assert "finished before" in capsys.readouterr().out
    classifier.fit(
        run,
        DetectorConfig(inpainters=(), train_count=0, names=("power_spectrum", "residual_net"), epochs=1, batch_size=8),
    )
    assert "power_spectrum, seed 0: trained before" in capsys.readouterr().out
    assert path.stat().st_mtime_ns == before and len(scores.load(run)["detector"].unique()) == 2
    classifier.fit(run, DetectorConfig(inpainters=(), train_count=0, names=("power_spectrum",), epochs=2, batch_size=8))
    assert path.stat().st_mtime_ns > before, "other parameters: trained again"
    make_pairs(run, 30)
    stage = run.stage("pairs", PairsConfig(count=30))
    assert run.record("pairs")["fingerprint"] == stage.fingerprint
    classifier.fit(run, one)
    assert read_json(path.with_suffix(".json"))["training_photographs"] == 18, "other pairs: trained again"


def test_a_crash_in_the_second_detector_keeps_the_first(tmp_path, monkeypatch):
    run = Run(tmp_path / "crash")
    make_pairs(run, 20)
    config = DetectorConfig(
        inpainters=(), train_count=0, names=("power_spectrum", "residual_net"), epochs=1, batch_size=8
    )
    whole, train = [], classifier.train

    def crash(made, config, name, seed, *rest):
        if name == "residual_net":
            raise KeyboardInterrupt
        whole.append(name)
        return train(made, config, name, seed, *rest)

    monkeypatch.setattr(classifier, "train", crash)
    with pytest.raises(KeyboardInterrupt):
        classifier.fit(run, config)
    assert run.record("detectors") is None and predict.available(run) == []
    monkeypatch.setattr(classifier, "train", lambda *a: whole.append(a[2]) or train(*a))
    classifier.fit(run, config)
    assert whole == ["power_spectrum", "residual_net"]


def test_the_same_seed_gives_the_same_weights(tmp_path):
    tables = []
    for name in ("first", "second"):
        run = Run(tmp_path / name)
        make_pairs(run, 20)
        classifier.fit(
            run, DetectorConfig(inpainters=(), train_count=0, names=("power_spectrum",), epochs=2, batch_size=8)
        )
        tables.append(scores.load(run))
    assert (tables[0]["logit"] == tables[1]["logit"]).all()


@pytest.mark.parametrize("name", ["residual_net", "efficientnet_lite0"])  # the second has dropout
def test_killed_between_epochs_it_ends_with_the_very_same_weights(tmp_path, monkeypatch, name):
    config = DetectorConfig(
        inpainters=(),
        train_count=0,
        names=(name,),
        weights="none",
        epochs=3,
        batch_size=8,
        augment=("jpeg", "noise"),
        transfer="gradual",
    )
    monkeypatch.setattr(classifier, "SAVE_EVERY", -1.0)
    weights = {}
    for kind in ("whole", "killed"):
        run = Run(tmp_path / kind)
        make_pairs(run, 20)
        if kind == "killed":
            calls, step = [], classifier.step

            def killed(*arguments, calls=calls, step=step):
                calls.append(1)
                if len(calls) == 8:  # three batches an epoch: in the midst of the third
                    raise KeyboardInterrupt
                return step(*arguments)

            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(classifier, "step", killed)
                classifier.fit(run, config)
            state = predict.checkpoint(run, name, 0).with_name(f"detector_{name}_seed0_state.pt")
            assert state.exists() and not predict.checkpoint(run, name, 0).exists()
        classifier.fit(run, config)
        weights[kind] = load_file(predict.checkpoint(run, name, 0))
        log = classifier.log(run, name)
        assert log["epoch"].tolist() == [1, 2, 3] and log["step"].tolist() == [3, 6, 9]
    assert not state.exists()
    assert all(torch.equal(weights["whole"][key], weights["killed"][key]) for key in weights["whole"])


# --- what is trained, and on what ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet34", "efficientnet_lite0", "vgg16_bn", "swin_tiny", "residual_net"])
def test_groups_hold_every_parameter_once_and_end_with_the_head(name):
    detector = zoo.create(name, "none", 64)[0]
    found = transfer.groups(detector)
    ours = [id(parameter) for group in found for parameter in group]
    assert len(ours) == len(set(ours)) == len(list(detector.parameters()))
    if name == "residual_net":
        assert len(found) == 1
    else:
        assert len(found) > 4
        assert id(detector.body.get_classifier().weight) in {id(parameter) for parameter in found[-1]}


@pytest.mark.parametrize(("kind", "trained"), [("head", [1, 1, 1, 1]), ("gradual", [1, 3, 6, 6]), ("full", [6] * 4)])
def test_frozen_layers_stay_as_they_were(kind, trained):
    detector = zoo.create("resnet34", "none", 32)[0]
    schedule = transfer.Schedule(detector, kind, layer_decay=0.5)
    assert [schedule.begin(epoch, 4) for epoch in range(4)] == trained
    schedule.begin(0, 4)
    optimiser = torch.optim.SGD(schedule.parameter_groups(0.1))
    assert [group["lr"] for group in optimiser.param_groups] == [0.1 * 0.5**n for n in (5, 4, 3, 2, 1, 0)]
    before = {key: value.clone() for key, value in detector.state_dict().items()}
    detector(torch.randn(4, 3, 32, 32)).square().sum().backward()
    optimiser.step()
    changed = {key for key, value in detector.state_dict().items() if not torch.equal(value, before[key])}
    if kind == "full":
        assert "body.conv1.weight" in changed and "body.bn1.running_mean" in changed
    else:
        assert changed == {"body.fc.weight", "body.fc.bias"}, "batch normalisation keeps its statistics too"


def test_both_members_of_a_pair_meet_the_same_degradation():
    sampler = classifier.PairSampler(manifest(30), ("spliced", "regenerated"), 16, 0, seed=1)
    everything = list(corruptions.AUGMENTATIONS)
    batch = next(sampler.epoch(0))
    half = len(batch.rows) // 2
    one = np.stack([photograph(n, 32) for n in range(half)])
    pictures, again = (np.concatenate([one, one]) for _ in range(2))  # a fake that is its photograph
    sampler.degrade(0, 0, batch, pictures, everything, 1.0)
    assert (pictures[:half] == pictures[half:]).all(), "nothing tells the two apart"
    flipped = np.concatenate([one, one])
    flipped[batch.flips] = flipped[batch.flips, :, ::-1]
    assert (pictures != flipped).any(axis=(1, 2, 3)).all(), "every one was degraded"
    sampler.degrade(0, 0, batch, again, everything, 1.0)
    assert (pictures == again).all()
    sampler.degrade(0, 1, batch, other := np.concatenate([one, one]), everything, 1.0)
    assert (other != pictures).any(), "another batch, other degradations"
    sampler.degrade(0, 0, batch, some := np.concatenate([one, one]), everything, 0.5)
    share = (some != flipped).any(axis=(1, 2, 3)).mean()
    assert 0 < share < 1
    sampler.degrade(0, 0, batch, none := np.concatenate([one, one]), (), 0.5)
    assert (none == flipped).all()


def test_fakes_of_the_wanted_inpainters_only():
    table = manifest(20).assign(inpainter=["", "telea", "tdanet"] * 20)  # of each photograph one real row, two fakes
    sampler = classifier.PairSampler(table, ("spliced", "regenerated"), 8, 0, 0, ("telea",))
    rows = np.concatenate([batch.rows for epoch in range(3) for batch in sampler.epoch(epoch)])
    assert set(table.iloc[rows]["inpainter"]) == {"", "telea"}


# --- what is refused -----------------------------------------------------------------------------------------------


def test_wishes_that_cannot_be_met_fail_before_any_work(tmp_path):
    run = Run(tmp_path / "wishes")
    with pytest.raises(MissingStage, match="--only 1-6"):
        classifier.fit(run, SMALL)
    make_pairs(run, 20)
    for wrong, message in (
        ({"names": ("resnet33",)}, "Did you mean 'resnet34'"),
        ({"names": ()}, "at least one name"),
        ({"seeds": (1, 1)}, "none twice"),
        ({"fake_arms": ("splice",)}, "Did you mean 'spliced'"),
        ({"fake_arms": ("original",)}, "fake_arms cannot hold 'original'"),
        ({"augment": ("jpg",)}, "Did you mean 'jpeg'"),
        ({"inpainters": ("tdanet",)}, "Unknown fake inpainter of the paired set 'tdanet'"),
    ):
        with pytest.raises(ConfigError, match=message):
            classifier.fit(run, DetectorConfig(**({"inpainters": (), "names": ("residual_net",)} | wrong)))
    assert not list(run.path.glob("checkpoints/*"))


def test_a_validation_split_of_one_class_is_explained(tmp_path):
    run = Run(tmp_path / "one_class")
    made = make_pairs(run, 20)
    made.loc[made["split"] == "validation", "split"] = "test"
    made.to_parquet(run / "pairs" / "manifest.parquet")
    with pytest.raises(UserError, match="holds one class only"):
        classifier.fit(run, SMALL)


def test_a_loss_that_is_no_number_stops_the_training(tmp_path, monkeypatch):
    run = Run(tmp_path / "diverged")
    make_pairs(run, 20)
    config = DetectorConfig(inpainters=(), train_count=0, names=("residual_net",), epochs=2, batch_size=8)
    monkeypatch.setattr(classifier, "step", lambda *a: float("nan"))
    with pytest.raises(UserError, match="smaller learning_rate"):
        classifier.fit(run, config)
    assert run.record("detectors") is None
