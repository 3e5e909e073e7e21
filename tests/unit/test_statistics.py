"""Intervals over groups: the fast way equals the plain one, they cover the truth, small sets are not certain."""

import numpy as np
import pytest

from nbsupport.core.errors import ConfigError, UserError
from nbsupport.stats import bootstrap


def test_weights_are_drawn_groups():
    weights = bootstrap.group_weights(7, 50, 0)
    assert weights.shape == (50, 7) and (weights.sum(1) == 7).all() and (weights == weights.round()).all()
    assert (weights == bootstrap.group_weights(7, 50, 0)).all()
    assert (weights != bootstrap.group_weights(7, 50, 1)).any()


def test_bootstrap_of_a_mean_equals_a_loop_and_the_textbook():
    generator = np.random.default_rng(0)
    values, groups = generator.normal(size=200), generator.integers(0, 200, 200)
    found = bootstrap.bootstrap_groups(groups, lambda w: w @ values / w.sum(1), draws=150, seed=2)
    names = np.unique(groups)
    loop = []
    for draw in bootstrap.group_weights(len(names), 150, 2):
        drawn = np.concatenate([values[groups == g] for g, n in zip(names, draw, strict=True) for _ in range(int(n))])
        loop.append(drawn.mean())
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.quantile(loop, [0.025, 0.975])))
    alone = bootstrap.bootstrap_groups(np.arange(200), lambda w: w @ values / w.sum(1), draws=4000)
    reach = 1.96 * values.std() / np.sqrt(200)
    assert alone["high"] - alone["low"] == pytest.approx(2 * reach, rel=0.06)


def test_interval_leaves_out_what_does_not_exist():
    some = bootstrap.interval(1.0, np.array([0.0, 2.0, np.nan]), 0.9)
    assert some["value"] == 1.0 and 0 < some["low"] < some["high"] < 2
    assert bootstrap.interval(1.0, np.array([1.0, np.nan, np.nan]))["low"] is None
    assert bootstrap.interval(np.nan, np.ones(3)) == {"value": None, "low": None, "high": None}
    with pytest.raises(ConfigError, match="confidence"):
        bootstrap.interval(1.0, np.ones(3), 95)
    with pytest.raises(UserError, match="no rows"):
        bootstrap.bootstrap_groups([], lambda w: w.sum(1))


def test_mean_difference():
    values, first = np.array([1.0, 3.0, 10.0, 20.0]), np.array([True, True, False, False])
    found = bootstrap.mean_difference(values, first, np.arange(4), draws=200)
    assert found["value"] == -13 and found["low"] < -13 < found["high"] < 0
    assert bootstrap.mean_difference(values, np.ones(4, bool), np.arange(4), draws=20)["value"] is None


def test_share_is_wilsons_where_pictures_are_alone():
    """Brown, Cai & DasGupta (2001): 0 of 10 gives [0, 0.2775], and 5 of 10 [0.2366, 0.7634]."""
    none = bootstrap.share(np.zeros(10, bool), np.arange(10))
    assert none["value"] == 0 == none["low"] and none["high"] == pytest.approx(0.2775, abs=1e-4)
    for size in range(1, 40):
        assert bootstrap.share(np.ones(size, bool), np.arange(size))["high"] == 1
    half = bootstrap.share(np.arange(10) < 5, np.arange(10))
    assert (half["low"], half["high"]) == pytest.approx((0.2366, 0.7634), abs=0.03)
    assert bootstrap.share([], []) == {"value": None, "low": None, "high": None}


@pytest.mark.parametrize(("truth", "size"), [(0.5, 3), (0.9, 3), (0.8, 1)])
def test_share_covers_the_truth(truth, size):
    """30 groups whose pictures are right or wrong together: about 95 of 100 intervals must hold the truth.

    Intervals that took the pictures for independent would hold it in some 75 of 100 where groups have three.
    """
    generator, held = np.random.default_rng(0), []
    groups = np.repeat(np.arange(30), size)
    for _ in range(400):
        right = np.repeat(generator.random(30) < truth, size)
        found = bootstrap.share(right, groups)
        held.append(found["low"] <= truth <= found["high"])
    assert 0.92 <= np.mean(held) <= 0.985
