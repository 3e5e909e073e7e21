"""Diversity and the report on ensembles, against independent implementations, and what they must say of known cases."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score, matthews_corrcoef, roc_auc_score
from test_ensemble import make_scores

from nbsupport.config import DetectorConfig, EnsembleConfig
from nbsupport.detectors import ensemble, scores
from nbsupport.evaluation import diversity, ensemble_report
from nbsupport.plots import ensembles as figures
from nbsupport.runs import Run

CONFIG = EnsembleConfig(draws=100, weight_draws=10, names=("soft_vote", "weighted_vote", "stack_logistic"))


@pytest.mark.parametrize("seed", range(5))
def test_measures_equal_independent_ones(seed):
    generator = np.random.default_rng(seed)
    first, common = generator.random(300) < 0.7, generator.random(300) < 0.5
    second = np.where(common, first, generator.random(300) < 0.6)
    found = diversity.of_pair(first, second)
    counts = {
        (x, y): sum(1 for a, b in zip(first, second, strict=True) if (a, b) == (x, y)) for x in (0, 1) for y in (0, 1)
    }
    ad, bc = counts[1, 1] * counts[0, 0], counts[1, 0] * counts[0, 1]
    expected = {
        "disagreement": (counts[1, 0] + counts[0, 1]) / 300,
        "q": (ad - bc) / (ad + bc),
        "error_correlation": matthews_corrcoef(first, second),
        "kappa": cohen_kappa_score(first, second),
    }
    assert found == pytest.approx(expected, abs=1e-9)
    labels, logits = generator.integers(0, 2, 300), generator.normal(size=(2, 300))
    design = np.column_stack([labels, 1 - labels])
    rest = [own - design @ np.linalg.lstsq(design, own, rcond=None)[0] for own in logits]
    assert diversity.logit_correlation(*logits, labels) == pytest.approx(np.corrcoef(rest)[0, 1], abs=1e-9)


def test_a_twin_is_no_diversity_and_one_without_errors_has_none():
    right = np.arange(10) % 3 > 0
    same = diversity.of_pair(right, right)
    assert same == pytest.approx({"disagreement": 0, "q": 1, "error_correlation": 1, "kappa": 1})
    assert diversity.of_pair(np.ones(5, bool), np.ones(5, bool)) == {
        "disagreement": 0, "q": None, "error_correlation": None, "kappa": None
    }  # fmt: skip
    assert diversity.complementarity(right, np.ones(10, bool)) is None and diversity.complementarity(~right, right) == 1


def judged(path, table) -> tuple[Run, dict]:
    run = Run(path)
    with run.stage("detectors", DetectorConfig(inpainters=(), train_count=0, names=("a", "b"))):
        scores.write(run, scores.DETECTORS, [table])
    ensemble.make(run, CONFIG)
    return run, ensemble_report.write(run, CONFIG)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return judged(tmp_path_factory.mktemp("diversity") / "made-up", make_scores(160, skills=(1.0, 1.4), seeds=(0, 1)))


def brute_delong(labels, first, second, groups):
    """Obuchowski's definition, pair by pair and group by group."""
    ends = []
    for own in (first, second):
        wins = (own[labels][:, None] > own[~labels]) + 0.5 * (own[labels][:, None] == own[~labels])
        ends.append((wins.mean(), wins.mean(1), wins.mean(0)))
    difference, names = ends[0][0] - ends[1][0], np.unique(groups)
    sums, held = [], []
    for k, own in ((1, labels), (2, ~labels)):
        parts = ends[0][k] - ends[1][k] - difference
        sums.append([parts[groups[own] == name].sum() / own.sum() for name in names])
        held.append(len(np.unique(groups[own])))
    variance = sum(n / (n - 1) * np.square(s).sum() for n, s in zip(held, sums, strict=True))
    return difference, np.sqrt(variance + 2 * len(names) / (len(names) - 1) * np.dot(*sums))


def test_every_question_is_asked_once_and_corrected(made):
    run, result = made
    asked = [(c["ensemble"], c["seed"], c["arm"], c["reference"]) for c in result["comparisons"]]
    assert len(asked) == len(set(asked)) == (3 + 2) * 2 * 3
    table = scores.load(run).query("split == 'validation'")
    for own in result["best_on_validation"]:
        chosen = table[
            (table["seed"] == own["seed"])
            & ((table["label"] == 0) | table["arm"].eq(own["arm"]) | (own["arm"] == "all"))
        ]
        found = {name: roc_auc_score(rows["label"], rows["logit"]) for name, rows in chosen.groupby("detector")}
        assert own["detector"] == max(found, key=found.get)
    for own in result["comparisons"]:
        assert own["delong_p"] <= own["delong_holm"] <= 1 and own["mcnemar_p"] <= own["mcnemar_holm"] <= 1
        assert own["verdict"] == "tie" or own["delong_holm"] < 0.05
    smallest = min(result["comparisons"], key=lambda own: own["delong_p"])
    assert smallest["delong_holm"] == pytest.approx(min(1, smallest["delong_p"] * len(asked)))
    assert result["any_wins"] == bool(result["winners"])


def test_delong_of_the_report_is_the_definition(made):
    run, result = made
    table = scores.all_scores(run).query("split == 'test' and arm != 'regenerated'")
    for own in [c for c in result["comparisons"] if c["arm"] == "spliced"]:
        sides = [
            table[(table["detector"] == name) & (table["seed"] == own["seed"])].set_index("path").sort_index()
            for name in (own["ensemble"], own["against"])
        ]
        labels = sides[0]["label"].to_numpy() == 1
        groups = sides[0]["group"].to_numpy()
        value, deviation = brute_delong(labels, *(side["logit"].to_numpy() for side in sides), groups)
        reach = stats.t.isf(0.025, len(np.unique(groups)) - 1)
        assert own["difference"]["value"] == pytest.approx(value, abs=1e-9)
        assert own["difference"]["high"] - value == pytest.approx(reach * deviation, abs=1e-6)
        assert own["by_groups"]["value"] == pytest.approx(value, abs=1e-9)


def test_explains_is_what_the_metrics_say(made):
    run, result = made
    table = scores.all_scores(run)
    own = next(e for e in result["explains"] if (e["seed"], e["arm"]) == (1, "all"))
    test = table.query("split == 'test' and seed == 1")
    found = {name: roc_auc_score(rows["label"], rows["logit"]) for name, rows in test.groupby("detector")}
    assert own["gain_over_mean"] == pytest.approx(found["soft_vote"] - (found["a"] + found["b"]) / 2, abs=1e-9)
    assert own["spread"] == pytest.approx(abs(found["a"] - found["b"]), abs=1e-9)
    assert {"q", "disagreement"} < set(own)


def test_a_committee_of_one_voice_does_not_win_and_says_so(tmp_path):
    table = make_scores(120, skills=(1.0,))
    twins = pd.concat([table, table.assign(detector="b")], ignore_index=True)
    result = judged(tmp_path / "twins", twins)[1]
    assert result["any_wins"] is False and result["winners"] == []
    assert all(
        abs(own["gain_over_mean"]) < 1e-9 and own["error_correlation"] == pytest.approx(1) for own in result["explains"]
    )


def test_a_real_gain_is_found(tmp_path):
    result = judged(tmp_path / "good", make_scores(1500, skills=(1.2, 1.2)))[1]
    assert "soft_vote" in result["winners"] and result["any_wins"]


def test_figures_draw_every_member_and_arm(made):
    run, result = made
    table = scores.all_scores(run)
    figure = figures.members_and_ensembles(result["metrics"])
    assert len(figure.axes) == 3 and len(figure.axes[0].get_yticklabels()) == 5
    assert len(figures.gains(result["comparisons"], ensemble_report.BEST).axes) == 3
    assert len(figures.pair_matrices(result["diversity"], "spliced").axes) == 3
    assert len(figures.complementarity(table, "spliced").axes[0].get_xticklabels()) == 5
    assert len(figures.weights(result["weights"]).axes) == 2
    assert len(figures.reliability(table, result["ensembles"]).axes) >= 3
