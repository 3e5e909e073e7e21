"""Sentences of chapters 7 and 8 follow their results: each is fed results that contradict the one before."""

import numpy as np
import pandas as pd
import pytest

from nbsupport import masks, pairs
from nbsupport.data import summary
from nbsupport.demo import experiments
from nbsupport.evaluation import ensemble_report, readings
from nbsupport.masks import evaluation_set


def ci(value, low, high):
    return {"value": value, "low": low, "high": high}


def test_the_gap_is_a_loss_a_gain_or_not_shown():
    def one(value, low, high, verdict):
        return {"detector": "d", "seed": 0, **ci(value, low, high), "verdict": verdict}

    assert "owe part of their success" in readings.gap([one(0.1, 0.05, 0.15, "higher")])
    assert "against what this section expects" in readings.gap([one(-0.1, -0.15, -0.05, "lower")])
    assert "holds zero" in readings.gap([one(0.01, -0.02, 0.04, "no difference shown")])
    assert "no gap to measure" in readings.gap([])
    second = one(-0.1, -0.15, -0.05, "lower") | {"seed": 1}
    assert "against" not in readings.gap([one(0.1, 0.05, 0.15, "higher"), second]), "the first seed speaks"


@pytest.mark.parametrize(
    ("before", "after", "verdict", "says"),
    [
        (ci(0.9, 0.85, 0.95), ci(0.8, 0.75, 0.85), "higher", "something else is left"),
        (ci(0.9, 0.85, 0.95), ci(0.89, 0.84, 0.94), "no difference shown", "no loss is shown"),
        (ci(0.9, 0.85, 0.95), ci(0.52, 0.45, 0.58), "higher", "what it found was blur"),
        (ci(0.9, 0.85, 0.95), ci(0.3, 0.25, 0.35), "higher", "upside down"),
        (ci(0.52, 0.45, 0.58), ci(0.5, 0.45, 0.58), "no difference shown", "not shown to find spliced fakes"),
    ],
)
def test_what_is_left_without_blur(before, after, verdict, says):
    own = {"detector": "d", "seed": 0, "before": before, "after": after, "verdict": verdict}
    text = readings.blur([own])
    assert says in text and "blur baseline" not in text
    base = {**own, "detector": readings.BLUR}
    assert ("at chance" in readings.blur([base])) == (before["low"] < 0.5)


def test_sizes_of_holes_and_of_training_sets():
    def hole(category, value, low, high):
        return {"detector": "d", "seed": 0, "arm": "spliced", "by": "coverage", "category": category,
                "auroc": ci(value, low, high)}  # fmt: skip

    small, large = hole("< 5 %", 0.6, 0.55, 0.65), hole("> 30 %", 0.9, 0.85, 0.95)
    assert "small holes are the hard ones" in readings.hard([small, large], "d")
    assert "against expectation" in readings.hard(
        [hole("< 5 %", 0.9, 0.85, 0.95), hole("> 30 %", 0.6, 0.55, 0.65)], "d"
    )
    assert "overlap" in readings.hard([hole("< 5 %", 0.6, 0.5, 0.7), hole("> 30 %", 0.65, 0.6, 0.8)], "d")
    assert "Too few" in readings.hard([small], "d")

    def size(count, value, low, high):
        return {"study": "size", "seed": 0, "arm": "spliced", "training_photographs": count,
                "auroc": ci(value, low, high)}  # fmt: skip

    assert "more photographs help" in readings.sizes([size(400, 0.9, 0.85, 0.95), size(40, 0.6, 0.55, 0.65)], "spliced")
    assert "did harm" in readings.sizes([size(40, 0.9, 0.85, 0.95), size(400, 0.6, 0.55, 0.65)], "spliced")
    assert "no gain is shown" in readings.sizes([size(40, 0.8, 0.7, 0.9), size(400, 0.85, 0.8, 0.9)], "spliced")


def test_conditions_name_the_worst_and_what_is_at_chance():
    def under(condition, value, low, high):
        return {"detector": "d", "seed": 0, "arm": "spliced", "condition": condition, "auroc": ci(value, low, high)}

    clean, jpeg = under("clean", 0.9, 0.85, 0.95), under("jpeg 60", 0.8, 0.75, 0.85)
    text = readings.conditions([clean, jpeg, under("blur 1", 0.7, 0.6, 0.8)], "spliced")
    assert "at its worst (blur 1)" in text and "chance" not in text
    text = readings.conditions([clean, jpeg, under("blur 1", 0.52, 0.45, 0.6)], "spliced")
    assert "not shown to be better than chance under blur 1" in text


def test_the_search_says_which_trial_won():
    trials = [
        {"number": n, "state": state, "auroc": auroc, "mega_macs": 10.0, "parameters": 1000}
        for n, state, auroc in ((0, "complete", 0.8), (1, "over budget", None), (2, "complete", 0.9))
    ]
    late = readings.search({"trials": trials, "chosen": trials[2]})
    assert "3 networks were proposed" in late and "Trial 2 won" in late and "random draw" not in late
    assert "did not improve on a random draw" in readings.search({"trials": trials, "chosen": trials[0]})


def test_other_inpainters_are_known_or_not():
    def cell(variant, inpainter, value, low, high):
        return {"study": "matrix", "variant": variant, "seed": 0, "arm": "spliced", "condition": "clean",
                "inpainter": inpainter, "auroc": ci(value, low, high)}  # fmt: skip

    home = cell("tdanet", "tdanet", 0.9, 0.85, 0.95)
    assert "still finds fakes by telea" in readings.matrix([home, cell("tdanet", "telea", 0.7, 0.6, 0.8)], "spliced")
    assert "not shown to find" in readings.matrix([home, cell("tdanet", "telea", 0.5, 0.4, 0.6)], "spliced")
    assert "one inpainter alone" in readings.matrix([home], "spliced")


def result(pairs="tie"):
    metrics = [
        {"detector": name, "seed": 0, "arm": arm, "auroc": ci(value, value - 0.05, value + 0.05)}
        for name, value in (("a", 0.9), ("b", 0.8))
        for arm in ("regenerated", "spliced")
    ]
    pairwise = [
        {"first": "a", "second": "b", "seed": 0, "arm": arm, "verdict": pairs} for arm in ("regenerated", "spliced")
    ]
    gaps = [{"detector": "a", "seed": 0, **ci(0.1, 0.05, 0.15), "verdict": "higher"},
            {"detector": "b", "seed": 0, **ci(0.0, -0.05, 0.05), "verdict": "no difference shown"}]  # fmt: skip
    return {"metrics": metrics, "pairwise": pairwise, "gap": gaps}


def test_winners_and_the_summary():
    assert "a tie with b" in readings.winners(result(), ["spliced"])
    assert "ahead of every other one" in readings.winners(result("first"), ["spliced"])
    text = readings.summary(result(), [])
    assert "1 of 2 detectors (a)" in text and "none" in text
    assert "flagged on spliced fakes: outside" in readings.summary(result(), ["outside"])


def test_what_held_under_corruptions_sharpness_and_unseen_inpainters():
    def under(condition, low):
        return {"detector": "a", "seed": 0, "arm": "spliced", "condition": condition, "auroc": ci(0.9, low, 0.95)}

    left = [
        {"detector": "a", "seed": 0, "before": ci(0.9, 0.85, 0.95), "after": ci(0.5, 0.4, 0.6), "verdict": "higher"}
    ]
    cell = {"study": "matrix", "seed": 0, "arm": "spliced", "condition": "clean", "variant": "tdanet + degraded"}
    studied = [cell | {"inpainter": name, "auroc": ci(0.7, 0.6, 0.8)} for name in ("tdanet", "telea")]
    records = [under("clean", 0.8), under("jpeg 60", 0.7), under("sharpness matched", 0.4)]  # the last is no corruption
    text = readings.held(records, left, studied, ["spliced"])
    assert "1 of 1 detectors are shown to be better than chance under every corruption (a)" in text
    assert "0 of 1 detectors are still shown" in text and "blur" in text
    assert "Of 1 trainings" in text and ", 1 are shown" in text
    left[0]["after"], studied[1]["auroc"] = ci(0.8, 0.75, 0.85), ci(0.5, 0.4, 0.6)
    text = readings.held([under("clean", 0.8), under("jpeg 60", 0.4)], left, studied, ["spliced"])
    assert "0 of 1 detectors are shown" in text and "1 of 1 detectors are still shown" in text and ", 0 are" in text


def test_an_accuracy_is_set_beside_the_share_of_fakes():
    found = {"photographs": 60, "groups": 58}
    text = readings.accuracy(found, 0.75, {"study": "a study", "hard": 0.554})
    assert "the 55% of a study" in text and "would reach 75% here" in text and "60 photographs" in text


def test_sentences_of_other_chapters_follow_their_numbers():
    human = ["the red bird sat near a fence"] * 3 + [f"word{n} bird" for n in range(20)]
    assert "a long tail" in summary.words_reading(human)
    assert "a cliff" in summary.words_reading(["this bird has a red crown", "this bird has a blue wing"] * 50)
    assert "no captions" in summary.words_reading([])

    shares = pd.DataFrame({"part": {"tail": 0.18, "nape": 0.6}, "centre": {"tail": 0.7, "nape": 0.1}})
    text = masks.hidden_reading(shares)
    assert "`part`: most often nape (60%), least tail (18%)" in text and "`centre`: most often tail (70%)" in text

    found = {"high_frequency_ratio": {"reconstructed": 1.2, "regenerated": 0.7, "spliced": 0.99},
             "outside_difference_grey_levels": {"regenerated": 3.1, "spliced": 0.0}}  # fmt: skip
    text = pairs.reading(found)
    assert "`reconstructed`: 1.20 of the photographs' power at fine detail (more than" in text
    assert "`regenerated`: 0.70" in text and "Closest to photographs in fine detail: `spliced`" in text
    assert "unchanged: `spliced`" in text
    found["outside_difference_grey_levels"]["spliced"] = 0.4
    assert "unchanged: none" in pairs.reading(found)

    def compared(value, verdict, winners):
        own = {"ensemble": "soft_vote", "arm": "spliced", "against": "a", "reference": ensemble_report.BEST,
               "verdict": verdict,               "by_groups": ci(value, value - 0.01, value + 0.01)}  # fmt: skip
        return {"comparisons": [own], "winners": winners}

    assert "No ensemble is shown" in ensemble_report.reading(compared(0.0, "tie", []))
    assert "above the best member somewhere: soft_vote" in ensemble_report.reading(
        compared(0.1, "higher", ["soft_vote"])
    )
    assert "lower: 1 of 1" in ensemble_report.reading(compared(-0.1, "lower", []))

    won = compared(0.1, "higher", ["soft_vote"]) | {"any_wins": True}
    text = ensemble_report.wins_reading(won)
    assert "**soft_vote** against the best member: higher in 1, lower in 0, a tie in 0 of 1" in text
    assert "somewhere:** soft_vote" in text and "No ensemble wins" not in text
    lost = compared(0.0, "tie", []) | {"any_wins": False}
    text = ensemble_report.wins_reading(lost)
    assert "a tie in 1 of 1" in text and "No ensemble wins" in text
    plain = {**won["comparisons"][0], "reference": ensemble_report.MEAN}
    assert "higher in 1, lower in 0, a tie in 0 of 1" in ensemble_report.wins_reading(
        won | {"comparisons": [*won["comparisons"], plain]}
    ), "only comparisons with the best member count"

    gain = {"arm": "spliced", "gain_over_mean": 0.05, "gain_over_best": -0.01, "disagreement": 0.2, "spread": 0.1}
    less = {**gain, "arm": "regenerated", "gain_over_mean": 0.01}
    text = ensemble_report.gain_reading({"explains": [less, gain]})
    assert "on **spliced** (+0.050)" in text and "disagree on 20%" in text and "has -0.010" in text

    table = pd.DataFrame({"inpainter": ["tdanet", "telea"], "vote": [0.9, 0.3], "verdict": ["inpainted", "real"]})
    assert "0 of 1 other inpainters" in experiments.inpainters_reading(table, "tdanet")
    assert "1 of 1 other inpainters" in experiments.inpainters_reading(table.assign(vote=[0.2, 0.3]), "tdanet")
    assert "Only one inpainter" in experiments.inpainters_reading(table.head(1), "tdanet")


def test_the_first_chapter_s_summary_follows_its_counts():
    found = {"indexed": 2400, "rejected": 3, "groups": 2390, "groups_in_two_splits": 0,
             "unknown_rate": {"test": 0.0125}}  # fmt: skip
    text = summary.reading(found, 0.59)
    assert "2,400 photographs indexed, 3 files rejected" in text and "put 59% of" in text and "captions: 1.25%" in text


def test_holes_within_the_interval_step_out_of_it_by_nothing():
    def report(smallest, largest):
        kinds = {"part": {"coverage_min": 0.1, "coverage_max": 0.2},
                 "centre": {"coverage_min": smallest, "coverage_max": largest}}  # fmt: skip
        return {"kinds": kinds, "coverage_low": 0.05, "coverage_high": 0.3, "tolerance": 0.02, "size": [64, 48]}

    text = evaluation_set.coverage_reading(report(0.06, 0.29))
    assert "is 0.0000 of the area" in text and "0.0200 is allowed at 64 x 48" in text
    assert "is 0.0100 of" in evaluation_set.coverage_reading(report(0.04, 0.3))
    assert "is 0.0150 of" in evaluation_set.coverage_reading(report(0.04, 0.315))


def test_the_experiments_sentences_follow_their_tables():
    hole = np.zeros((10, 10), bool)
    hole[:2, :5] = True
    colours = ["red", "blue", "yellow"]
    table = pd.DataFrame({"colour": colours, "nearest": colours, "apart": [0, 3, 5]})
    text = experiments.colours_reading(table, "wing", hole)
    assert "Hidden: wing, 10.0%" in text and "**3 of 3**" in text and "follows this word" in text
    text = experiments.colours_reading(table.assign(nearest="red"), "", hole)
    assert "the centre" in text and "does not follow this word" in text
    assert "at times" in experiments.colours_reading(table.assign(nearest=["red", "blue", "red"]), "", hole)

    told = pd.DataFrame(
        [("a", 0.0, "v", 0.2, "real"), ("b", 0.0, "v", 0.4, "real"), ("a", 0.01, "v", 0.6, "inpainted"),
         ("b", 0.01, "v", 0.4, "real"), ("a", 0.3, "v", 0.9, "inpainted"), ("b", 0.3, "v", 0.7, "inpainted"),
         ("a", 0.0, "other", 1.0, "inpainted")],
        columns=["image_id", "coverage", "name", "probability", "verdict"],
    )  # fmt: skip
    votes = experiments.by_coverage(told, "v")
    assert votes["inpainted"].tolist() == [0, 1, 2] and votes["pictures"].tolist() == [2, 2, 2]
    text = experiments.shrinking_reading(votes)
    assert "0.80 at the largest hole, 0.50 at the smallest, 0.30 with none" in text
    assert "2 of 2 pictures at the largest, 1 at the smallest, 0 with no hole" in text

    flips = pd.Series({"jpeg 80": 0.25, "webp 60": 0.5})
    assert "by **webp 60**" in (text := experiments.flips_reading(flips, 0.02)) and "holes of 2.0%" in text
    assert "jpeg 80 25%, webp 60 50%" in text and "No step" in experiments.flips_reading(flips * 0, 0.02)
