"""Ensembles: fitted on validation alone and by group, kept without pickle, the same after loading."""

import pickle
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
import skops.io
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from nbsupport.config import DetectorConfig, EnsembleConfig
from nbsupport.core.errors import ConfigError, MissingStage, UserError
from nbsupport.detectors import ensemble, scores
from nbsupport.detectors.ensembles import combiners, folds, storage
from nbsupport.runs import Run


def make_scores(photographs: int = 200, seed: int = 0, skills=(1.0, 1.0), seeds=(0,)) -> pd.DataFrame:
    """Two or more detectors that err independently; `skills`: the distance of their two classes in deviations."""
    generator, tables = np.random.default_rng(seed), []
    manifest = pd.DataFrame(
        [
            {
                "image_id": f"p{n}",
                "group": n // 2,
                "split": "validation" if n // 2 % 2 else "test",
                "arm": arm,
                "label": "real" if arm == "original" else "fake",
                "path": f"{arm}/p{n}.png",
            }
            for n in range(photographs)
            for arm in ("original", "spliced", "regenerated")
        ]
    )
    fake = (manifest["label"] == "fake").to_numpy()
    for number in seeds:
        for skill, name in zip(skills, "abc", strict=False):
            value = generator.normal(0, 1, len(manifest)) + skill * (fake - 0.5)
            tables.append(scores.table(manifest, skill * value, name, number))
    return pd.concat(tables, ignore_index=True)


def auroc(table: pd.DataFrame, split: str = "test") -> float:
    chosen = scores.select(table, split)
    return roc_auc_score(chosen["label"], chosen["logit"])


@pytest.fixture
def run(tmp_path) -> Run:
    """A run whose detectors are made up."""
    run = Run(tmp_path / "made-up")
    stage = run.stage("detectors", DetectorConfig(inpainters=(), train_count=0, names=("a", "b")))
    with stage:
        scores.write(run, scores.DETECTORS, [make_scores(seeds=(0, 1))])
    return run


def test_the_vote_is_the_mean_of_probabilities():
    table = make_scores(20, skills=(1, 2, 0.5))
    vote = ensemble.soft_vote(table)
    assert list(vote.columns) == list(scores.COLUMNS) and len(vote) == len(table) // 3
    path = table["path"].iloc[7]
    expected = table.loc[table["path"] == path, "probability"].mean()
    assert vote.loc[vote["path"] == path, "probability"].item() == pytest.approx(expected, abs=1e-9)
    assert np.allclose(expit(vote["logit"]), vote["probability"])
    kept = vote.set_index("path")["label"].sort_index()
    assert (kept == table.drop_duplicates("path").set_index("path")["label"].sort_index()).all()


def test_certain_members_do_not_make_the_vote_infinite():
    table = make_scores(4)
    table["logit"], table["probability"] = 800.0, 1.0
    assert np.isfinite(ensemble.soft_vote(table)["logit"]).all()


FITTED = ensemble.NAMES[1:]
SMALL = EnsembleConfig(names=("soft_vote", "weighted_vote", "stack_logistic", "stack_svm"), draws=20)


def arrays(table: pd.DataFrame):
    wide = ensemble.matrix(table[table["split"] == "validation"])
    facts = folds.facts_of(table, wide.index)
    return wide.to_numpy(), facts["label"].to_numpy(), facts["group"].to_numpy(), wide.columns.tolist()


@pytest.mark.parametrize("name", ensemble.NAMES)
def test_two_that_err_independently_are_better_than_one(name):
    table = make_scores(600, skills=(1.0, 1.0))
    alone = max(auroc(own) for _, own in table.groupby("detector"))
    rows, _ = ensemble.stacked(table, name, count=2)
    assert len(rows) == len(table) // 2 and auroc(rows) > alone + 0.015
    assert rows["probability"].between(0, 1).all() and rows["probability"].std() > 0.1


def test_the_stack_learns_whom_to_trust():
    table = make_scores(600, skills=(2.0, 0.0))
    good, useless = ensemble.stacked(table)[1][0].coefficients
    assert good > 5 * abs(useless)
    weights = ensemble.stacked(table, "weighted_vote")[1][0].weights
    assert weights[0] > 0.9 and sum(weights) == pytest.approx(1) and min(weights) >= 0


def test_the_weights_are_those_of_the_least_loss():
    """Against a search on a grid."""
    logits, labels, groups, names = arrays(make_scores(120, skills=(1.0, 1.5)))
    found = combiners.fit("weighted_vote", logits, labels, groups, names).weights[0]
    weight, probability = combiners.even(labels), expit(logits)
    shares = np.linspace(0, 1, 2001)
    mixed = probability[:, :1] * shares + probability[:, 1:] * (1 - shares)
    loss = -(weight[:, None] * np.log(np.where(labels[:, None] == 1, mixed, 1 - mixed))).sum(0)
    assert found == pytest.approx(shares[loss.argmin()], abs=2e-3)


@pytest.mark.parametrize("name", FITTED)
def test_neither_test_nor_training_labels_are_seen(name):
    table = make_scores(60)
    table.loc[table["group"] % 4 == 0, "split"] = "train"
    other = table.copy()
    other.loc[other["split"] != "validation", "label"] = 0
    assert set(table["split"]) == {"train", "validation", "test"} and (other["label"] != table["label"]).any()
    rows, again = (ensemble.stacked(held, name, count=3)[0] for held in (table, other))
    assert np.array_equal(rows["logit"], again["logit"])


def test_a_member_that_remembers_its_training_pictures_gains_nothing():
    """It is perfect on the training split and guesses elsewhere; a stack of training answers would follow it."""
    table = make_scores(600, skills=(1.0, 0.0))
    groups = table["group"].to_numpy()
    table.loc[groups % 4 == 0, "split"] = "train"
    known = (table["detector"] == "b") & (table["split"] == "train")
    table.loc[known, "logit"] = 8.0 * table.loc[known, "label"] - 4
    table["probability"] = expit(table["logit"])
    for name in FITTED:
        rows, fitted = ensemble.stacked(table, name, count=2)
        assert auroc(rows) < auroc(table[table["detector"] == "a"]) + 0.02
        if name == "stack_logistic":
            good, memory = fitted[0].coefficients
            assert good > 5 * abs(memory)


def test_no_group_is_on_both_sides_of_a_fold():
    generator = np.random.default_rng(0)
    groups, labels = generator.integers(0, 30, 200), generator.integers(0, 2, 200)
    seen = np.zeros(200, int)
    for fitted, other in combiners.by_group(labels, groups, 5, 0):
        assert not set(groups[fitted]) & set(groups[other])
        seen[other] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("name", FITTED)
def test_a_picture_is_answered_by_a_stack_that_has_not_met_its_group(name):
    logits, labels, groups, names = arrays(make_scores(40))
    first = folds.out_of_fold(name, logits, labels, groups, names, folds=3)
    own = groups == groups[0]
    # Stratification may move the folds when labels change: shuffle within the group, which keeps its counts.
    moved = labels.copy()
    moved[own] = np.roll(labels[own], 1)
    again = folds.out_of_fold(name, logits, moved, groups, names, folds=3)
    assert np.allclose(first[own], again[own]) and not np.array_equal(moved, labels)


@pytest.mark.parametrize("name", FITTED)
def test_labels_in_disorder_give_chance(name):
    """Permutation null: out of fold nothing is found, where a forest finds much among what it was fitted on."""
    table = make_scores(160, skills=(1.0, 1.0, 1.0))
    logits, labels, groups, names = arrays(table)
    found = []
    for seed in range(4):
        mixed = np.random.default_rng(seed).permutation(labels)
        found.append(roc_auc_score(mixed, folds.out_of_fold(name, logits, mixed, groups, names, folds=3)))
    assert abs(np.mean(found) - 0.5) < 0.1
    if name == "stack_forest":
        inside = combiners.fit(name, logits, mixed, groups, names).logits(logits)
        assert roc_auc_score(mixed, inside) > 0.75


def test_a_group_in_two_splits_is_refused():
    table = make_scores(20)
    table["group"] = 0
    with pytest.raises(UserError, match="in the validation split and in another"):
        ensemble.stacked(table)


@pytest.mark.parametrize("name", ensemble.NAMES)
def test_round_trip(name, tmp_path):
    logits, labels, groups, names = arrays(make_scores(60))
    fitted = combiners.fit(name, logits, labels, groups, names)
    path = tmp_path / f"kept{storage.suffix(fitted)}"
    storage.save(fitted, path)
    held = storage.load(path)
    assert held.detectors == ("a", "b") and type(held) is type(fitted)
    assert np.array_equal(held.logits(logits), fitted.logits(logits))
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(path.read_bytes())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="damaged.*--only 9"):
        storage.load(path)
    path.unlink()
    with pytest.raises(UserError, match="is missing.*--only 9"):
        storage.load(path)


def test_types_that_are_not_trusted_are_refused(tmp_path):
    path = tmp_path / "strange.skops"
    path.write_bytes(skops.io.dumps({"detectors": ["a"], "model": timedelta(1), "slope": 1.0, "intercept": 0.0}))
    with pytest.raises(UserError, match="not trusted .*timedelta.*not opened"):
        storage.load(path)
    path.write_bytes(skops.io.dumps({"detectors": ["a"], "model": 3, "slope": 1.0, "intercept": 0.0}))
    with pytest.raises(UserError, match="damaged"):
        storage.load(path)


def test_the_stage_writes_loads_and_joins(run, capsys):
    made = ensemble.make(run, SMALL)
    assert set(made["detector"]) == set(SMALL.names) and set(made["seed"]) == {0, 1}
    table = scores.all_scores(run)
    assert set(table["detector"]) == {"a", "b", *SMALL.names}
    assert table.groupby(["detector", "seed"]).size().nunique() == 1
    ensemble.make(run, SMALL)
    assert "finished before" in capsys.readouterr().out
    for name in SMALL.names:
        held, own = ensemble.loaded(run, name), made[made["detector"] == name]
        assert set(held) == {0, 1}
        test = own[(own["split"] == "test") & (own["seed"] == 1)].set_index("path")["logit"]
        single = scores.load(run).query("seed == 1 and split == 'test'")
        wide = ensemble.matrix(single)
        again = pd.Series(held[1].logits(wide.to_numpy()), wide.index.get_level_values("path"))
        assert np.allclose(again[test.index], test)
    with pytest.raises(MissingStage, match="without the ensemble 'stack_forest'"):
        ensemble.loaded(run, "stack_forest")
    with pytest.raises(ConfigError, match="Did you mean 'stack_logistic'"):
        ensemble.loaded(run, "stack_logistics")
    assert ensemble.load(run, "stack_logistic", ["a", "b", "c"])[1] == 0
    with pytest.raises(UserError, match="was fitted with b"):
        ensemble.load(run, "stack_logistic", ["a"])


def test_the_spread_of_weights_holds_the_weights():
    table = make_scores(200, skills=(1.5, 0.5))
    for name in ("weighted_vote", "stack_logistic"):
        found = folds.weight_spread(table, name, draws=30)
        assert all(own["low"] <= own["value"] <= own["high"] for own in found.values())
    votes = folds.weight_spread(table, "weighted_vote", draws=10)
    assert votes["a"]["value"] > votes["b"]["value"] and sum(own["value"] for own in votes.values()) == pytest.approx(1)


def test_ensembles_of_other_detectors_are_left_out(run):
    ensemble.make(run, SMALL)
    with run.stage("detectors", DetectorConfig(inpainters=(), train_count=0, names=("a", "b"), epochs=1)):
        pass
    assert set(scores.all_scores(run)["detector"]) == {"a", "b"}
    with pytest.raises(MissingStage, match="no ensembles of its present detectors"):
        ensemble.loaded(run, "stack_logistic")


def test_what_cannot_be_combined_is_explained(run, tmp_path):
    table = make_scores(10)
    with pytest.raises(UserError, match="at least two detectors, this run has a"):
        ensemble.soft_vote(table[table["detector"] == "a"])
    with pytest.raises(UserError, match="scored by b"):
        ensemble.soft_vote(table.iloc[:-1])
    with pytest.raises(MissingStage, match="--only 1-7"):
        ensemble.make(Run(tmp_path / "empty"), EnsembleConfig())
    with pytest.raises(UserError, match="at least two groups"):
        folds.out_of_fold("stack_logistic", np.zeros((4, 2)), np.array([0, 1, 0, 1]), np.zeros(4), "ab")
