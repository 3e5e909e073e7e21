"""Ensembles: the vote is a mean, the stack is fitted on validation alone, and neither loses a picture."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from nbsupport.config import DetectorConfig, EvaluationConfig
from nbsupport.detectors import ensemble, scores
from nbsupport.errors import MissingStage, UserError
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
    stage = run.stage("detectors", DetectorConfig(names=("a", "b")))
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


def test_two_that_err_independently_are_better_than_one():
    table = make_scores(600, skills=(1.0, 1.0))
    alone = max(auroc(own) for _, own in table.groupby("detector"))
    assert auroc(ensemble.soft_vote(table)) > alone + 0.02
    assert auroc(ensemble.stacked(table)[0]) > alone + 0.02


def test_the_stack_learns_whom_to_trust():
    rows, stacks = ensemble.stacked(make_scores(600, skills=(2.0, 0.0)))
    good, useless = stacks[0].coefficients
    assert good > 5 * abs(useless) and stacks[0].detectors == ("a", "b")
    assert auroc(rows) > 0.9


def test_the_stack_never_sees_test_labels():
    table = make_scores(100)
    other = table.copy()
    other.loc[other["split"] == "test", "label"] = 0
    rows, stacks = ensemble.stacked(table)
    other_rows, other_stacks = ensemble.stacked(other)
    assert stacks == other_stacks and np.array_equal(rows["logit"], other_rows["logit"])


def test_validation_answers_are_out_of_fold():
    """With noise for features, a stack that answers on what it was fitted on looks better than chance."""
    generator = np.random.default_rng(0)
    logits, labels, groups = generator.normal(size=(60, 24)), np.arange(60) % 2, np.arange(60) // 2
    names = [f"n{n}" for n in range(24)]
    inside = ensemble.Stack.fit(logits, labels, names).logits(logits)
    outside = ensemble.out_of_fold(logits, labels, groups, names, seed=0)
    assert roc_auc_score(labels, inside) > 0.7 > 0.6 > roc_auc_score(labels, outside)
    # A picture's answer does not change with the labels of its own group.
    flipped = labels.copy()
    flipped[groups == 7] = 1 - flipped[groups == 7]
    again = ensemble.out_of_fold(logits, flipped, groups, names, seed=0)
    assert np.allclose(again[groups == 7], outside[groups == 7])


def test_the_stage_writes_loads_and_joins(run, capsys):
    made = ensemble.make(run, EvaluationConfig(draws=20))
    assert set(made["detector"]) == set(ensemble.NAMES) and set(made["seed"]) == {0, 1}
    table = scores.all_scores(run)
    assert set(table["detector"]) == {"a", "b", "soft_vote", "stack"}
    assert table.groupby(["detector", "seed"]).size().nunique() == 1
    ensemble.make(run, EvaluationConfig(draws=20))
    assert "finished before" in capsys.readouterr().out
    held = ensemble.stacks(run)
    fresh = ensemble.stacked(scores.load(run))[1]
    assert held == fresh and set(held) == {0, 1}
    text = (run / "checkpoints" / "stack_seed0.json").read_text()
    assert set(json.loads(text)) == {"detectors", "coefficients", "intercept"}


def test_ensembles_of_other_detectors_are_left_out(run):
    ensemble.make(run, EvaluationConfig(draws=20))
    with run.stage("detectors", DetectorConfig(names=("a", "b"), epochs=1)):
        pass
    assert set(scores.all_scores(run)["detector"]) == {"a", "b"}


def test_what_cannot_be_combined_is_explained(run, tmp_path):
    table = make_scores(10)
    with pytest.raises(UserError, match="at least two detectors, this run has a"):
        ensemble.soft_vote(table[table["detector"] == "a"])
    with pytest.raises(UserError, match="scored by b"):
        ensemble.soft_vote(table.iloc[:-1])
    with pytest.raises(MissingStage, match="--only 1-6"):
        ensemble.make(Run(tmp_path / "empty"), EvaluationConfig())
    with pytest.raises(UserError, match="at least two groups"):
        ensemble.out_of_fold(np.zeros((4, 2)), np.array([0, 1, 0, 1]), np.zeros(4), "ab", 0)
