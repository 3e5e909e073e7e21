"""Detectors' training: it learns what can be learnt and nothing else, in pairs, and does no work twice."""

import numpy as np
import pandas as pd
import pytest
from detector_data import make_pairs
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from nbsupport.config import DetectorConfig, PairsConfig
from nbsupport.detectors import predict, scores
from nbsupport.errors import ConfigError, MissingStage, UserError
from nbsupport.runs import Run, read_json
from nbsupport.training import classifier

SMALL = DetectorConfig(names=("residual_net",), epochs=3, batch_size=8, learning_rate=3e-3)


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
        names=("power_spectrum", "residual_net"), seeds=(0, 1), fake_arms=("spliced",), epochs=1, batch_size=8
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
    one = DetectorConfig(names=("power_spectrum",), epochs=1, batch_size=8)
    classifier.fit(run, one)
    path = predict.checkpoint(run, "power_spectrum", 0)
    before = path.stat().st_mtime_ns
    classifier.fit(run, one)
    assert "finished before" in capsys.readouterr().out
    classifier.fit(run, DetectorConfig(names=("power_spectrum", "residual_net"), epochs=1, batch_size=8))
    assert "power_spectrum, seed 0: trained before" in capsys.readouterr().out
    assert path.stat().st_mtime_ns == before and len(scores.load(run)["detector"].unique()) == 2
    classifier.fit(run, DetectorConfig(names=("power_spectrum",), epochs=2, batch_size=8))
    assert path.stat().st_mtime_ns > before, "other parameters: trained again"
    make_pairs(run, 30)
    stage = run.stage("pairs", PairsConfig(count=30))
    assert run.record("pairs")["fingerprint"] == stage.fingerprint
    classifier.fit(run, one)
    assert read_json(path.with_suffix(".json"))["training_photographs"] == 18, "other pairs: trained again"


def test_a_crash_in_the_second_detector_keeps_the_first(tmp_path, monkeypatch):
    run = Run(tmp_path / "crash")
    make_pairs(run, 20)
    config = DetectorConfig(names=("power_spectrum", "residual_net"), epochs=1, batch_size=8)
    whole, train = [], classifier.train

    def crash(made, config, name, seed):
        if name == "residual_net":
            raise KeyboardInterrupt
        whole.append(name)
        return train(made, config, name, seed)

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
        classifier.fit(run, DetectorConfig(names=("power_spectrum",), epochs=2, batch_size=8))
        tables.append(scores.load(run))
    assert (tables[0]["logit"] == tables[1]["logit"]).all()


# --- what is refused -----------------------------------------------------------------------------------------------


def test_wishes_that_cannot_be_met_fail_before_any_work(tmp_path):
    run = Run(tmp_path / "wishes")
    with pytest.raises(MissingStage, match="--only 1-5"):
        classifier.fit(run, SMALL)
    make_pairs(run, 20)
    for wrong, message in (
        ({"names": ("resnet33",)}, "Did you mean 'resnet34'"),
        ({"names": ()}, "at least one name"),
        ({"seeds": (1, 1)}, "none twice"),
        ({"fake_arms": ("splice",)}, "Did you mean 'spliced'"),
        ({"fake_arms": ("original",)}, "Unknown fake arm 'original'"),
    ):
        with pytest.raises(ConfigError, match=message):
            classifier.fit(run, DetectorConfig(**wrong))
    assert not (run / "checkpoints").exists()


def test_a_validation_split_of_one_class_is_explained(tmp_path):
    run = Run(tmp_path / "one_class")
    made = make_pairs(run, 20)
    made.loc[made["split"] == "validation", "split"] = "test"
    made.to_parquet(run / "pairs" / "manifest.parquet")
    with pytest.raises(UserError, match="holds one class only"):
        classifier.fit(run, SMALL)


def test_a_loss_that_is_no_number_stops_the_training(tmp_path):
    run = Run(tmp_path / "diverged")
    make_pairs(run, 20)
    config = DetectorConfig(names=("residual_net",), epochs=2, batch_size=8)
    original, classifier._step = classifier._step, lambda *a: float("nan")
    try:
        with pytest.raises(UserError, match="smaller learning_rate"):
            classifier.fit(run, config)
    finally:
        classifier._step = original
    assert run.record("detectors") is None
