"""What was planted among errors is found, what was not is not; findings follow their numbers."""

import copy

import numpy as np
import pandas as pd
import pytest

from nbsupport import fooled, rng
from nbsupport.config import ErrorsConfig
from nbsupport.evaluation import analysis, escape, findings, properties
from nbsupport.runs import Run

CONFIG = ErrorsConfig(draws=80)


def judged(count=200):
    """Fakes with a texture; those with the roughest one are missed."""
    generator = rng.generator(0, "judged")
    table = pd.DataFrame(
        {"group": np.arange(count), "texture": generator.random(count), "coverage": generator.random(count)}
    )
    table["species"] = np.array(["Crow", "Duck"])[generator.integers(0, 2, count)]
    table["caption"] = np.where(generator.random(count) < 0.5, "a red bird", "a blue bird")
    return table, (table["texture"] > 0.85).to_numpy()


def test_the_planted_property_survives_and_no_other():
    table, wrong = judged()
    tests = properties.tests(table, wrong)
    assert [t["property"] for t in tests if t["survives"]] == ["texture"]
    assert all(t["corrected"] >= t["p"] for t in tests)
    assert {"species: Crow", "caption says: red", "coverage"} <= {t["property"] for t in tests}


def test_a_group_counts_once():
    table, wrong = judged(40)
    twice = pd.concat([table] * 5, ignore_index=True)
    one, five = properties.tests(table, wrong), properties.tests(twice, np.tile(wrong, 5))
    assert [t["p"] for t in one] == pytest.approx([t["p"] for t in five])


def test_clusters_name_what_was_planted_and_few_errors_make_none():
    table, wrong = judged()
    numbers, found = properties.clusters(table, wrong)
    assert found[0]["words"].startswith("texture above 0.8") and found[0]["value"] > 0.9
    assert (numbers[~wrong] == -1).all() and (numbers[wrong] == 0).mean() > 0.9
    assert properties.clusters(table, np.zeros(len(table), bool))[1] == []
    assert properties.tests(table.head(3), wrong[:3]) == []
    bare = table[["group"]]
    assert properties.tests(bare, wrong) == [] and properties.clusters(bare, wrong)[1] == []


def test_looks_are_measured_outside_the_hole():
    picture = np.zeros((2, 16, 16, 3), np.uint8)
    picture[:, :, 8:] = rng.generator(0, "noise").integers(0, 255, (16, 8, 3), dtype=np.uint8)
    holes = np.zeros((2, 16, 16), bool)
    holes[0, :, 7:] = True  # the noise and its border
    holes[1, :, :8] = True
    smooth, rough = properties.around(picture, holes).to_dict("records")
    assert smooth["brightness"] == 0 and smooth["gradient"] == 0 and smooth["colourfulness"] == 0
    assert rough["brightness"] > 60 and rough["texture"] > 20 and rough["colourfulness"] > 20


def test_correlation_agrees_with_scipy():
    from scipy.stats import spearmanr

    generator = rng.generator(0, "pairs")
    one = generator.random(60)
    two = one + generator.random(60)
    found = escape.correlation(one, two, np.arange(60), CONFIG)
    assert found["value"] == pytest.approx(spearmanr(one, two).statistic) and found["low"] > 0
    assert escape.correlation(np.ones(9), two[:9], np.arange(9), CONFIG)["value"] is None


def scores(count, shift):
    generator = rng.generator(0, "scores", count)
    coverage = np.linspace(0, 0.4, count)
    fake = pd.DataFrame({"path": [f"f{n:04d}" for n in range(count)], "group": np.arange(count), "coverage": coverage})
    fake = fake.assign(logit=generator.normal(0, 1, count) + shift(coverage), label=1)
    real = fake.assign(path="r" + fake["path"], logit=generator.normal(0, 1, count), label=0)
    return real, fake


def test_where_detection_becomes_good_enough():
    found = escape.crossing(*scores(400, lambda c: 8 * c), CONFIG)
    # AUROC 0.75 is a shift of 0.95 deviations, reached at a coverage of 0.12
    assert found["state"] == "crosses" and found["low"] < 0.12 < found["high"] and found["high"] - found["low"] < 0.15
    assert escape.crossing(*scores(400, lambda c: 4 + c), CONFIG)["state"] == "always above"
    assert escape.crossing(*scores(400, lambda c: 0 * c), CONFIG)["state"] == "never"
    assert escape.crossing(*scores(6, lambda c: c), CONFIG)["state"] == "too few"


def test_the_regression_finds_who_escapes_and_gives_none_when_it_cannot():
    generator = rng.generator(0, "fills")
    quality = generator.normal(0, 1, 300)
    missed = generator.random(300) < 1 / (1 + np.exp(1.5 * quality))
    table = pd.DataFrame({"hole_l1": quality, "coverage": generator.random(300), "group": np.arange(300) // 2})
    found = escape.regression(table.assign(outcome=np.where(missed, "miss", "found")), "hole_l1", 0.95)
    assert found["low"] < -1.5 < found["high"] < 0
    assert escape.regression(table.assign(outcome="miss"), "hole_l1", 0.95)["value"] is None
    separated = table.assign(outcome=np.where(quality > 0, "miss", "found"))
    assert escape.regression(separated, "hole_l1", 0.95)["value"] is None


def test_neighbours_are_right_and_of_another_group():
    table = pd.DataFrame({"detector": "d", "seed": 0, "arm": "spliced", "number": range(4), "group": [0, 0, 1, 2]})
    table["outcome"] = ["miss", "found", "found", "miss"]
    places = np.array([[0.0], [0.1], [1.0], [3.0]], np.float32)
    assert escape.neighbours(places, table).tolist() == [2, 2, 1, 2]
    assert (escape.neighbours(places, table.assign(outcome="miss")) == -1).all()


def captioned(cost, count=40):
    """Fakes of `count` photographs, painted for three kinds of caption: a wrong one adds `cost` to the logit."""
    draw, rows, manifest = rng.generator(0, "captioned", cost), [], []
    for number in range(count):
        own = draw.normal(0, 3)  # some photographs are easier than others: only pairs can tell
        for kind in ("matched", "mismatched", "empty"):
            path = f"{number}_{kind}"
            logit = own + (cost if kind == "mismatched" else 0) + draw.normal(0, 0.2)
            rows.append((path, str(number), number, 1, "spliced", "d", 0, logit))
            manifest.append((path, kind, f"{number}_centre", "tdanet", 0))
    table = pd.DataFrame(rows, columns=["path", "image_id", "group", "label", "arm", "detector", "seed", "logit"])
    return table, pd.DataFrame(manifest, columns=["path", "caption_kind", "mask_id", "inpainter", "sample"])


def test_a_caption_that_matters_shows_in_pairs():
    table, manifest = captioned(0.5)
    found = {r["caption"]: r for r in analysis.caption_effects(table, manifest, ErrorsConfig(draws=200))}
    assert set(found) == {"mismatched", "empty"} and found["mismatched"]["pairs"] == 40
    wide = table.merge(manifest, on="path").pivot(index="image_id", columns="caption_kind", values="logit")
    assert found["mismatched"]["value"] == pytest.approx((wide["mismatched"] - wide["matched"]).mean())
    assert found["mismatched"]["low"] > 0.3 and abs(found["empty"]["value"]) < 0.15
    assert analysis.caption_effects(table, manifest.assign(caption_kind="matched"), ErrorsConfig(draws=200)) == []
    few = analysis.caption_effects(*(part.head(15) for part in (table, manifest)), ErrorsConfig(draws=200))
    assert few == []


def interval(value, low, high):
    return {"value": value, "low": low, "high": high}


@pytest.fixture
def results():
    up = interval(0.2, 0.1, 0.3)
    maps = {"detector": "net", "seed": 0, "arm": "spliced"}
    return {
        "detectors": {"best_on_validation": {"0": "net"}},
        "localization": {
            "records": [{**maps, "metric": m, **up, "over_centre": dict(up)} for m in ("ap", "inside_minus_ring")],
            "arms": [{"detector": "net", "seed": 0, "metric": "ap", **up}],
        },
        "errors": {
            "best": {"detector": "net", "seed": 0},
            "escapes": [{**maps, "quality": "hole_l1", "correlation": dict(up)}],
            "shared": [{"arm": "spliced", **up}],
        },
    }


def test_five_findings_are_read_from_where_they_say(results):
    found = findings.compose(results)
    assert len(found) == 5 and all(set(findings.KEYS) == set(f) for f in found)
    for finding in found:
        record = findings.read(results, finding["source"])
        assert (finding["number"], finding["low"], finding["high"]) == (record["value"], record["low"], record["high"])
        assert finding["verdict"] == "supported" and "+0.20 [+0.10, +0.30]" in finding["claim"]


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize(
    ("ends", "wanted"), [((-0.3, -0.1), "contradicted"), ((-0.1, 0.2), "tie"), ((None, None), "too few")]
)
def test_a_finding_changes_with_its_number(results, number, ends, wanted):
    before, changed = findings.compose(results), copy.deepcopy(results)
    findings.read(changed, before[number]["source"]).update(value=-0.05, low=ends[0], high=ends[1])
    after = findings.compose(changed)
    assert after[number]["verdict"] == wanted and after[number]["claim"] != before[number]["claim"]
    assert after[number]["number"] == -0.05
    others = [n for n in range(5) if before[n]["source"] != before[number]["source"]]
    assert all(after[n]["verdict"] == "supported" for n in others)


def test_the_finding_about_fills_says_whether_the_size_of_the_hole_is_behind_it(results):
    told = set()
    for ends in ((-2, -1), (-1, 1), (1, 2), (None, None)):
        results["errors"]["escapes"][0]["regression"] = interval(0, *ends)
        told.add(findings.compose(results)[3]["claim"])
    assert len(told) == 4 and sum("size may be behind it" in claim for claim in told) == 1


def test_findings_of_a_run_that_holds_nothing_say_too_few(results):
    results["localization"] = {"records": [], "arms": []}
    results["errors"] |= {"escapes": [], "shared": []}
    assert {f["verdict"] for f in findings.compose(results)} == {"too few"}


def test_the_page_of_a_bare_run_says_what_is_missing(tmp_path):
    assert "does not hold the results" in fooled.markdown(Run(tmp_path / "run"))


def test_the_page_lists_the_worst_first():
    lines = [
        {"detector": "net", "seed": 0, "arm": "spliced", "condition": c, "auroc": interval(v, v - 0.1, v + 0.1)}
        for c, v in (("clean", 0.9), ("jpeg 80", 0.8), ("blur 1", 0.6))
    ]
    assert fooled.degradations({"records": lines}, "net", 0) == [
        ("blur 1", "0.60 [0.50, 0.70]", "-0.30"),
        ("jpeg 80", "0.80 [0.70, 0.90]", "-0.10"),
    ]
