"""Paired tests over groups: they err as often as they say, and they are the textbook tests where pictures are alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nbsupport.core.errors import UserError
from nbsupport.stats import paired

STUDIES = 2000


def study(generator, photographs, fakes, photograph_effect, paint_effect, ahead=0.0):
    """Labels, the scores of two detectors of equal skill (but for `ahead`), and the photograph of each picture.

    Either detector's scores share an effect of the photograph, and those of its fakes one of the paint.
    """
    labels = np.tile(np.r_[False, np.ones(fakes, bool)], photographs)
    groups = np.repeat(np.arange(photographs), 1 + fakes)
    scores = []
    for skill in (1.0 + ahead, 1.0):
        common = generator.normal(0, photograph_effect, photographs)[groups]
        paint = generator.normal(0, paint_effect, photographs)[groups] * labels
        scores.append(common + paint + generator.normal(0, 1, len(labels)) + skill * labels)
    return labels, *scores, groups


def unclustered(labels, first, second):
    """DeLong's p-value as if all pictures were independent."""
    (fake, real), (other_fake, other_real) = (paired.components(labels, s) for s in (first, second))
    variance = (fake - other_fake).var(ddof=1) / len(fake) + (real - other_real).var(ddof=1) / len(real)
    return 2 * stats.norm.sf(abs(fake.mean() - other_fake.mean()) / np.sqrt(variance))


def rates(fakes, photograph_effect, paint_effect, ahead=0.0, studies=STUDIES):
    """Shares of simulated studies with p < 0.05: DeLong as if independent, DeLong and McNemar over groups."""
    generator, found = np.random.default_rng(1), np.zeros(3)
    for _ in range(studies):
        labels, first, second, groups = study(generator, 60, fakes, photograph_effect, paint_effect, ahead)
        right = [(scores > 0.5) == labels for scores in (first, second)]
        found += [
            unclustered(labels, first, second) < 0.05,
            paired.delong(labels, first, second, groups).p < 0.05,
            paired.mcnemar(*right, groups)["p"] < 0.05,
        ]
    return found / studies


@pytest.mark.parametrize(
    ("fakes", "photograph_effect", "paint_effect", "independent"),
    [(1, 0, 0, "right"), (1, 1, 0, "timid"), (1, 2, 0, "timid"), (2, 0, 2, "bold"), (2, 1, 0, "timid")],
)
def test_equal_detectors_differ_in_one_study_of_twenty(fakes, photograph_effect, paint_effect, independent):
    """Type I error at nominal 5 %: over groups between 4 and 6 %, but for the chance of 2,000 studies (s.e. 0.5 %)."""
    plain, delong, mcnemar = rates(fakes, photograph_effect, paint_effect)
    print(f"{fakes} fakes, effects {photograph_effect}, {paint_effect}: {plain:.3f} {delong:.3f} {mcnemar:.3f}")
    assert 0.035 <= delong <= 0.065 and 0.035 <= mcnemar <= 0.065
    assert {"timid": plain < 0.025, "bold": plain > 0.075, "right": 0.035 <= plain <= 0.065}[independent]


def test_a_better_detector_is_found_more_often_than_by_the_unclustered_test():
    plain, delong, _ = rates(1, 2, 0, ahead=0.8, studies=300)
    assert delong > plain + 0.2 and delong > 0.5


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.integers(4, 40), st.booleans())
def test_alone_in_their_groups_pictures_meet_the_textbook_tests(seed, size, ties):
    generator = np.random.default_rng(seed)
    labels = np.r_[True, True, False, False, generator.random(size) < 0.5]
    first, second = (generator.normal(size=len(labels)).round(0 if ties else 6) for _ in range(2))
    own = paired.delong(labels, first, second, np.arange(len(labels)))
    p = unclustered(labels, first, second) if own.high > own.low else 1.0
    if np.isfinite(p) and own.high > own.low:  # t in place of the normal distribution
        z = stats.norm.isf(p / 2)
        assert own.p == pytest.approx(2 * stats.t.sf(z, len(labels) - 1), rel=1e-6)
    right = [generator.random(len(labels)) < 0.7 for _ in range(2)]
    found = paired.mcnemar(*right, np.arange(len(labels)))
    b, c = found["first_only"], found["second_only"]
    exact = 1.0 if b == c else 2 * stats.binom.cdf(min(b, c), b + c, 0.5) - stats.binom.pmf(min(b, c), b + c, 0.5)
    assert found["p"] == pytest.approx(exact)


def test_no_variance_is_not_no_difference():
    labels = np.repeat([True, False], 10)
    perfect, blind = np.where(labels, 1.0, 0.0), np.zeros(20)
    found = paired.delong(labels, perfect, blind, np.arange(20))
    assert found.difference == 0.5 and found.p == 2.0**-19
    assert paired.delong(labels, perfect, perfect, np.arange(20)).p == 1
    assert paired.delong(labels, perfect, blind, np.tile(np.arange(2), 10)).p == 0.5, "two groups settle nothing"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paired.holm([0.01, float("nan")]), "between 0 and 1"),
        (lambda: paired.holm([1.2]), "between 0 and 1"),
        (lambda: paired.delong([1, 1, 0, 0], [np.nan, 2, 3, 1], [1, 2, 3, 1], range(4)), "not a finite"),
        (lambda: paired.delong([1, 1, 0, 0], [np.inf, 2, 3, 1], [1, 2, 3, 1], range(4)), "not a finite"),
        (lambda: paired.delong([1, 1, 0, 0], [1, 2, 3, 1], [1, 2, 3, 1], range(3)), "as many scores and groups"),
        (lambda: paired.delong([1, 1, 0, 0], [1, 2, 3, 1], [1, 2, 3, 1], [7] * 4), "at least two groups"),
        (lambda: paired.delong([1, 0, 0], [1, 2, 3], [1, 2, 3], range(3)), "two pictures of each class"),
        (lambda: paired.mcnemar([True], [True, False], [0]), "as many others"),
        (lambda: paired.mcnemar([], [], []), "no rows"),
    ],
)
def test_what_cannot_be_compared_is_an_error(call, message):
    with pytest.raises(UserError, match=message):
        call()
