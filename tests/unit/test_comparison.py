"""Judging detectors: differences are paired, intervals belong to groups, ties are called ties."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from test_ensemble import make_scores

from nbsupport.config import DetectorConfig, EvaluationConfig
from nbsupport.core.files import write_json
from nbsupport.detectors import scores
from nbsupport.evaluation import detector_metrics
from nbsupport.runs import Run

CONFIG = EvaluationConfig(draws=200)


def test_a_difference_is_paired():
    """Two nearly equal detectors: the paired interval is far narrower than those of either."""
    first = make_scores(200, skills=(1.0, 1.0)).query("detector == 'a'")
    second = first.assign(logit=first["logit"] + np.random.default_rng(1).normal(0, 0.02, len(first)))
    found = detector_metrics.difference(first, second, CONFIG)
    alone = detector_metrics.difference(first, first.assign(logit=0.0), CONFIG)
    assert found["high"] - found["low"] < 0.2 * (alone["high"] - alone["low"])
    same = detector_metrics.difference(first, first, CONFIG)
    assert same == {"value": 0, "low": 0, "high": 0} and detector_metrics.verdict(same) == "no difference shown"
    assert detector_metrics.verdict(alone) == "higher"
    assert detector_metrics.verdict(detector_metrics.difference(first.assign(logit=0.0), first, CONFIG)) == "lower"


def test_the_gap_finds_the_hard_arm():
    table = make_scores(200, skills=(1.0, 3.0))
    hard = table["arm"] == "spliced"
    table.loc[hard & (table["detector"] == "a"), "logit"] -= 1.0  # where the photographs are
    found = {gap["detector"]: gap for gap in detector_metrics.gaps(table, CONFIG)}
    assert found["a"]["low"] > 0.1 and found["a"]["verdict"] == "higher"
    assert abs(found["b"]["value"]) < 0.05
    assert detector_metrics.gaps(table[table["arm"] != "spliced"], CONFIG) == []


def test_the_winner_is_picked_on_validation():
    table = make_scores(300, skills=(0.5, 2.0), seeds=(0, 1))
    worse_on_test = (table["detector"] == "b") & (table["split"] == "test")
    table.loc[worse_on_test, "logit"] *= -1
    assert detector_metrics.best_on_validation(table) == {0: "b", 1: "b"}


def test_agreement_counts_every_picture_once():
    table = make_scores(400, skills=(1.5, 1.5, 1.5))
    found = detector_metrics.agreement(table, "spliced")
    assert len(found) == 3
    assert np.allclose(found[["both", "first_only", "second_only", "neither"]].sum(axis=1), 1)
    assert (found["neither"] - found["expected_neither"]).abs().max() < 0.06, "independent errors by construction"
    twin = pd.concat([table[table["detector"] == "a"], table[table["detector"] == "a"].assign(detector="b")])
    same = detector_metrics.agreement(twin, "spliced").iloc[0]
    assert same["first_only"] == same["second_only"] == 0 and same["neither"] > 2 * same["expected_neither"]


@pytest.fixture
def run(tmp_path) -> Run:
    run = Run(tmp_path / "made-up")
    stage = run.stage("detectors", DetectorConfig(inpainters=(), train_count=0, names=("a", "b")))
    with stage:
        scores.write(run, scores.DETECTORS, [make_scores(120, skills=(1.0, 2.0))])
    for name in "ab":
        record = {"name": name, "seed": 0, "threshold": 0.4, "fingerprint": "x", "validation_auroc": 0.7}
        write_json(run / "checkpoints" / f"detector_{name}_seed0.json", record)
    return run


def test_results_hold_every_detector_arm_and_metric(run):
    result = detector_metrics.detectors(run, CONFIG)
    assert result == run.result("detectors")
    keys = {(record["detector"], record["arm"]) for record in result["metrics"]}
    assert keys == {(name, arm) for name in "ab" for arm in ("regenerated", "spliced", "all")}
    for record in result["metrics"]:
        for metric in ("auroc", "accuracy", "precision", "recall", "specificity", "accuracy_at_threshold"):
            found = record[metric]
            assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1
    table = scores.load(run)
    chosen = detector_metrics.of_arm(table[table["detector"] == "b"], "spliced")
    record = next(r for r in result["metrics"] if (r["detector"], r["arm"]) == ("b", "spliced"))
    assert record["auroc"]["value"] == pytest.approx(roc_auc_score(chosen["label"], chosen["logit"]))
    right = (chosen["probability"] >= 0.4) == (chosen["label"] == 1)
    assert record["accuracy_at_threshold"]["value"] == pytest.approx(right.mean())
    assert result["best_on_validation"] == {"0": "b"}
    printed = detector_metrics.flat(result["metrics"], ["auroc", "accuracy"])
    assert len(printed) == 6 and "[" in printed.iloc[0, 0]


def test_others_numbers_are_fractions():
    table = detector_metrics.published()
    assert table["hard"].between(0.5, 1).all() and table["easy"].dropna().between(0.5, 1).all()
    assert (table.dropna()["easy"] > table.dropna()["hard"]).all()


def test_over_seeds_the_mean_and_its_interval_for_new_seeds():
    def record(seed, value, low, high, arm="spliced"):
        return {"detector": "d", "seed": seed, "arm": arm, "auroc": {"value": value, "low": low, "high": high}}

    records = [record(0, 0.7, 0.6, 0.8), record(1, 0.8, 0.74, 0.86), record(2, 0.75, 0.67, 0.83)]
    records.append(record(0, 0.9, 0.8, 0.95, "regenerated"))
    found = detector_metrics.across_seeds(records).set_index("arm")
    assert found.loc["spliced", ["seeds", "mean", "lowest", "highest"]].tolist() == pytest.approx([3, 0.75, 0.7, 0.8])
    training = 4.302653 * 0.05 / np.sqrt(3)  # t with 2 degrees of freedom times the standard error over seeds
    assert found.loc["spliced", "high"] == pytest.approx(0.75 + np.hypot(0.08, training), abs=1e-6)
    assert found.loc["spliced", "low"] == pytest.approx(0.75 - np.hypot(0.08, training), abs=1e-6)
    assert found.loc["regenerated", ["low", "high"]].tolist() == pytest.approx([0.8, 0.95]), (
        "one seed: photographs only"
    )


def test_the_interval_over_seeds_holds_for_new_seeds():
    """Simulated studies: the truth lies in 19 of 20 intervals, while that of one seed's photographs holds less."""
    draw, held, alone = np.random.default_rng(0), 0, 0
    for _ in range(1000):
        photographs = draw.normal(0, 0.02)  # the same test photographs for all seeds
        values = 0.8 + photographs + draw.normal(0, 0.03, 3)
        ends = [{"value": value, "low": value - 0.0392, "high": value + 0.0392} for value in values]
        records = [{"detector": "d", "seed": n, "arm": "spliced", "auroc": own} for n, own in enumerate(ends)]
        own = detector_metrics.across_seeds(records).iloc[0]
        held += own["low"] <= 0.8 <= own["high"]
        alone += abs(values[0] - 0.8) <= 0.0392
    assert 0.93 <= held / 1000 <= 0.995 and alone / 1000 < 0.8
