"""Metrics equal scikit-learn's, in the data and in every draw of the bootstrap; what does not exist is None."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn import metrics as reference

from nbsupport.core.errors import UserError
from nbsupport.detectors import platt
from nbsupport.stats import bootstrap, metrics
from nbsupport.stats.calibration import fit_band


def make_table(count=300, groups=60, skill=1.0, seed=0, levels=None):
    """Scores of pictures in groups; with `levels`, only so many different logits, so that there are ties."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count)
    logits = generator.normal(skill * (labels - 0.5), 1)
    if levels:
        logits = np.round(logits * levels / 6) * 6 / levels
    owner = generator.integers(0, groups, count)
    return pd.DataFrame({"group": owner, "label": labels, "logit": logits, "probability": expit(logits)})


def expected(table, threshold):
    """The same metrics by scikit-learn (and, for the calibration error, by a loop)."""
    labels, logits, probabilities = (table[name].to_numpy() for name in ("label", "logit", "probability"))
    said, false, true = probabilities >= 0.5, *reference.roc_curve(labels, logits, drop_intermediate=False)[:2]
    bins, ece = np.minimum((probabilities * 15).astype(int), 14), 0.0
    for number in np.unique(bins):
        own = bins == number
        ece += own.mean() * abs(probabilities[own].mean() - labels[own].mean())
    return {
        "auroc": reference.roc_auc_score(labels, logits),
        "ap": reference.average_precision_score(labels, logits),
        "accuracy": reference.accuracy_score(labels, said),
        "precision": reference.precision_score(labels, said),
        "recall": reference.recall_score(labels, said),
        "specificity": reference.recall_score(labels, said, pos_label=0),
        "f1": reference.f1_score(labels, said),
        "brier": reference.brier_score_loss(labels, probabilities),
        "ece": ece,
        "tpr_at_fpr1": true[false <= 0.01].max(),
        "tpr_at_fpr5": true[false <= 0.05].max(),
        "accuracy_at_threshold": reference.accuracy_score(labels, probabilities >= threshold),
    }


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([None, 4, 12]), count=st.sampled_from([40, 300]))
def test_values_are_those_of_scikit_learn(seed, levels, count):
    table = make_table(count, seed=seed, levels=levels)
    found = metrics.values(table, threshold=0.6)
    assert list(found) == [*metrics.METRICS, "accuracy_at_threshold"]
    assert found == pytest.approx(expected(table, 0.6), abs=1e-12)


@pytest.mark.parametrize("levels", [None, 5])
def test_intervals_equal_those_of_a_plain_loop(levels):
    """The naive way: write the rows of the drawn groups out, call scikit-learn, take the quantiles."""
    table = make_table(120, groups=25, levels=levels)
    codes, count = bootstrap.codes_of(table["group"])
    draws = bootstrap.group_weights(count, 25, 3)
    loop = [expected(table.iloc[np.repeat(np.arange(120), draw[codes].astype(int))], 0.4) for draw in draws]
    found = metrics.summary(table, draws=25, seed=3, confidence=0.9, threshold=0.4)
    for name, interval in found.items():
        drawn, value = [entry[name] for entry in loop], expected(table, 0.4)[name]
        low, high = np.quantile(drawn, [0.05, 0.95])
        if name == "ece":  # reflected at the value
            low, high = max(2 * value - high, 0), max(2 * value - low, 0)
            assert interval["value"] == pytest.approx(max(2 * value - np.mean(drawn), 0), abs=1e-12)
        else:
            low, high = min(low, value), max(high, value)
        assert (interval["low"], interval["high"]) == pytest.approx((low, high), abs=1e-12), name


def test_every_interval_holds_its_estimate_and_that_of_the_calibration_error_the_truth():
    """200 small tables of a detector whose logits are 1.5 times too large; its true error comes from a huge one."""
    from scipy.special import expit

    def table(count, seed):
        draw = np.random.default_rng(seed)
        labels = draw.random(count) < 0.5
        logit = draw.normal(0, 1, count) + np.where(labels, 1.0, -1.0)  # 2 times this would be right
        return pd.DataFrame({"label": labels.astype(int), "logit": 3 * logit, "probability": expit(3 * logit),
                             "group": np.arange(count) // 2})  # fmt: skip

    truth = metrics.values(table(400_000, 0))["ece"]
    plain, mended, held = [], [], 0
    for seed in range(200):
        own = table(150, seed + 1)
        found = metrics.summary(own, draws=200)
        for name, interval in found.items():
            assert interval["low"] <= interval["value"] <= interval["high"], name
        held += found["ece"]["low"] <= truth <= found["ece"]["high"]
        plain.append(metrics.values(own)["ece"])
        mended.append(found["ece"]["value"])
    assert np.mean(plain) > truth + 0.02, "noise alone makes a calibration error"
    assert abs(np.mean(mended) - truth) < 0.6 * (np.mean(plain) - truth)
    assert held / 200 > 0.85


def test_scores_without_end_have_a_rank_and_no_number_has_none():
    labels = np.array([0, 0, 1, 1])
    ends = metrics.weighted_auroc(np.array([-np.inf, 0.0, 1.0, np.inf]), labels, np.ones((1, 4)))
    assert ends == pytest.approx([1.0])
    low = metrics.weighted_auroc(np.array([-np.inf, -np.inf, -np.inf, 0.0]), labels, np.ones((1, 4)))
    assert low == pytest.approx([0.75])
    with pytest.raises(UserError, match="not a number"):
        metrics.weighted_auroc(np.array([np.nan, 0, 1, 2]), labels, np.ones((1, 4)))
    for bad in ([np.nan, 0, 1, 2], [np.inf, 0, 1, 2], [-np.inf, 0, 1, 2]):
        with pytest.raises(UserError, match="finite"):
            platt.fit(np.array(bad), labels)
    with pytest.raises(UserError, match="diverged"):
        fit_band(labels, [np.nan, 0.2, 0.6, 0.8])


def test_small_p_values_are_not_zero():
    said = [bootstrap.p_words(p) for p in (0.04321, 0.0004, 0.0, 1.0, None, float("nan"))]
    assert said == ["0.043", "< 0.001", "< 0.001", "1.000", "–", "–"]


def test_labels_may_be_words():
    table = make_table()
    words = table.assign(label=table["label"].map({0: "real", 1: "fake"}))
    assert metrics.summary(words, draws=20) == metrics.summary(table, draws=20)
    with pytest.raises(UserError, match="maybe"):
        metrics.summary(table.assign(label="maybe"))


def test_order_of_rows_does_not_matter_and_the_seed_does():
    table = make_table(levels=6)
    found = metrics.summary(table, draws=50)
    shuffled = metrics.summary(table.sample(frac=1, random_state=np.random.default_rng(1)), draws=50)
    for name in found:
        assert shuffled[name] == pytest.approx(found[name], abs=1e-12)
    assert metrics.summary(table, draws=50, seed=1)["auroc"]["low"] != found["auroc"]["low"]


def test_a_detector_that_learnt_nothing_is_at_chance():
    found = metrics.summary(make_table(2000, groups=2000, skill=0.0), draws=300)
    assert found["auroc"]["low"] < 0.5 < found["auroc"]["high"] and found["auroc"]["high"] < 0.56
    constant = metrics.values(make_table().assign(logit=0.0, probability=0.5))
    assert constant["auroc"] == 0.5 and constant["brier"] == 0.25 and constant["tpr_at_fpr5"] == 0


def test_groups_that_share_their_fate_widen_the_interval():
    """Each picture ten times over, in one group: the value stays, and so does the interval; as 10 groups it shrinks."""
    table = make_table(200, groups=200, seed=4).assign(group=np.arange(200))
    tenfold = pd.concat([table] * 10, ignore_index=True)
    single, together = (metrics.summary(t, draws=400)["auroc"] for t in (table, tenfold))
    apart = metrics.summary(tenfold.assign(group=np.arange(2000)), draws=400)["auroc"]
    width = {name: i["high"] - i["low"] for name, i in (("s", single), ("t", together), ("a", apart))}
    assert together["value"] == pytest.approx(single["value"])
    assert width["t"] == pytest.approx(width["s"], rel=0.05) and width["a"] < 0.5 * width["t"]


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only(label):
    found = metrics.summary(make_table().assign(label=label), draws=30)
    json.dumps(found, allow_nan=False)
    assert found["auroc"] == found["ap"] == found["tpr_at_fpr5"] == {"value": None, "low": None, "high": None}
    assert found["accuracy"]["value"] is not None and found["brier"]["value"] is not None
    absent, present = ("recall", "specificity") if label == 0 else ("specificity", "recall")
    assert found[absent]["value"] is None and found[present]["value"] is not None


def test_precision_without_an_accusation_does_not_exist():
    found = metrics.summary(make_table().assign(probability=0.1), draws=30)
    assert found["precision"]["value"] is None and found["recall"]["value"] == 0 and found["f1"]["value"] == 0


def test_one_picture_of_each_class():
    table = pd.DataFrame({"group": ["a", "b"], "label": [0, 1], "logit": [-1.0, 1.0], "probability": [0.2, 0.8]})
    found = metrics.summary(table, draws=100)
    assert found["auroc"]["value"] == found["ap"]["value"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.iloc[:0], "no rows"),
        (lambda t: t.assign(logit=np.nan), "300 of 300 rows"),
        (lambda t: t.assign(probability=1.5), "outside 0 to 1"),
        (lambda t: t.drop(columns="group"), "no column 'group'"),
    ],
)
def test_what_cannot_be_judged_is_said(change, message):
    with pytest.raises(UserError, match=message):
        metrics.summary(change(make_table()))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([3, 1000]))
def test_a_draw_equals_the_same_pictures_written_out(seed, levels):
    """AUROC with weights = AUROC of a table in which each group stands as often as it was drawn; ties included."""
    generator = np.random.default_rng(seed)
    count, groups = 40, 9
    logits = generator.integers(0, levels, count) / 10
    labels, codes = generator.integers(0, 2, count), generator.integers(0, groups, count)
    weights = generator.multinomial(groups, np.full(groups, 1 / groups), size=5).astype(float)[:, codes]
    found = metrics.weighted_auroc(logits, labels, weights)
    for draw, value in zip(weights, found, strict=True):
        rows = np.repeat(np.arange(count), draw.astype(int))
        if len(np.unique(labels[rows])) < 2:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(reference.roc_auc_score(labels[rows], logits[rows]), abs=1e-12)
