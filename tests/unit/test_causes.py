"""What was planted among errors is found, what was not is not; findings follow their numbers."""

import copy

import numpy as np
import pandas as pd
import pytest

from nbsupport.book import fooled
from nbsupport.config import ErrorsConfig
from nbsupport.core import rng
from nbsupport.evaluation import analysis, error_analysis, escape, findings, localization, properties
from nbsupport.runs import Run, project_root

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
        ("none (clean)", "0.90 [0.80, 1.00]", "–"),
        ("blur 1", "0.60 [0.50, 0.70]", "-0.30"),
        ("jpeg 80", "0.80 [0.70, 0.90]", "-0.10"),
    ]


def test_an_interval_that_reaches_below_one_half_settles_nothing():
    def sizes(*ends):
        rows = [
            {
                "detector": "net",
                "seed": 0,
                "arm": "spliced",
                "by": "coverage",
                "category": f"bin {n}",
                "low": a,
                "high": b,
            }
            for n, (a, b) in enumerate(ends)
        ]
        return fooled.missed({"best": {"detector": "net", "seed": 0}, "shares": rows})

    assert "missed more often than found: bin 0" in sizes((0.1, 0.4), (0.6, 0.9))
    assert "open whether more are found than missed: bin 1" in sizes((0.6, 0.9), (0.4, 0.7))
    assert "Of every size of hole more are found" in sizes((0.6, 0.9), (0.5, 0.7))


def test_a_curve_above_the_target_says_from_where_and_that_it_is_a_ranking():
    own = {"detector": "net", "seed": 0, "arm": "spliced", "target": 0.75, "value": None, "low": None, "high": None}
    curve = [{"coverage": 0.04, "auroc": 0.8, "low": 0.76, "high": 0.85}]
    text = fooled._crossing(
        {"crossings": [own | {"state": "always above", "curve": curve}]}, {"detector": "net", "seed": 0}
    )
    assert "from 4% of the picture on (0.80 [0.76, 0.85] there)" in text and "ranks" in text


def test_more_mass_in_the_hole_is_no_evidence_for_a_map_that_does_not_find_it(results):
    assert "it looks at the paint, and not only at the seam" in findings.compose(results)[1]["claim"]
    findings.read(results, findings.compose(results)[0]["source"]).update(value=-0.05, low=-0.1, high=0.02)
    pointing, seam, *_ = findings.compose(results)
    assert pointing["verdict"] == "tie" and seam["verdict"] == "supported"
    assert "no evidence that it looks at the paint" in seam["claim"]


def test_findings_name_sections_that_the_chapter_has(results):
    import json

    cells = json.loads((project_root() / "notebooks" / "10_error_analysis.ipynb").read_text("utf-8"))["cells"]
    heads = {line[3:].strip() for cell in cells for line in cell["source"] if line.startswith("## ")}
    assert {finding["section"] for finding in findings.compose(results)} <= heads


def test_maps_that_are_all_alike_are_said_to_be():
    draw = np.random.default_rng(0)
    one = draw.random((8, 8)).astype(np.float32)
    maps = {("same", 0): np.stack([one] * 4), ("own", 0): draw.random((4, 8, 8)).astype(np.float32),
            ("flat", 0): np.zeros((4, 8, 8), np.float32), ("centre", 0): np.stack([one] * 4)}  # fmt: skip
    found = localization.alike(maps)
    assert set(found) == {"same", "own", "flat"} and found["same"] == pytest.approx(1) == found["flat"]
    text = localization.alike_words(found)
    assert "same (1.00), flat (1.00)" in text and "own" not in text
    assert "No detector" in localization.alike_words({"own": found["own"]})


def test_the_chapter_opens_with_whose_answers_it_shows():
    found = {"pictures": 180, "photographs": 60, "groups": 58, "threshold": 0.5,
             "best": {"detector": "net", "seed": 2}}  # fmt: skip
    text = error_analysis.opening(found)
    assert "**180** pictures of 60 photographs in 58 groups" in text and "**net** (seed 2)" in text and "0.5." in text


def test_the_chapter_s_summary_follows_its_shares():
    def result(value, survivors):
        share = {
            "detector": "net",
            "seed": 0,
            "arm": "spliced",
            "by": "all",
            **interval(value, value - 0.1, value + 0.1),
        }
        analysed = [{"arm": "spliced", "survivors": survivors}]
        return {"best": {"detector": "net", "seed": 0}, "shares": [share], "analysed": analysed}

    assert "spliced fakes found: 70% [60%, 80%]" in error_analysis.reading(result(0.7, []))
    assert "spliced: nothing" in error_analysis.reading(result(0.7, []))
    assert "spliced: coverage" in error_analysis.reading(result(0.7, ["coverage"]))
