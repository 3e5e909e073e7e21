"""Chapter 4: both trainings ran and learnt, what they left paints, and every judgement of it left its numbers."""

import json

import numpy as np

from nbsupport import quality
from nbsupport.plots.tables import readable
from nbsupport.runs import Run
from nbsupport.training import matching, progress, tdanet

#: Cells that must have left exactly one figure, by the call in them.
FIGURES = (
    "figures.matching_losses(", "figures.losses(", "figures.progress(", "figures.samples_over_time(",
    "figures.filled(originals", "figures.comparison(", "boxes.draws(",
)  # fmt: skip


def check(run: Run) -> None:
    matched = matching.load(run)
    assert len(matched.log) == matched.result["steps"] > 0
    assert np.isfinite(matched.log[["words", "sentence"]]).all(axis=None)
    if len(matched.log) >= 150:  # the shortest profile only shows that it runs
        assert matched.log["sentence"].tail(20).mean() < 0.95 * matched.log["sentence"].head(5).mean()
    assert 0 <= matched.result["r_precision"] <= 1 and matched.result["wrong"] >= 1
    result, log = run.result("tdanet"), tdanet.load(run).log
    assert log["step"].tolist() == list(range(1, result["steps"] + 1))
    assert np.isfinite(log[["l1", "l1_auxiliary", "kl", "kl_auxiliary", "total", "gradient"]]).all(axis=None)
    # An untrained network stays where it began; the shortest profile already takes a tenth off.
    assert result["hole_l1_last_steps"] < 0.9 * result["hole_l1_first_steps"], "TDANet learnt nothing"
    assert {"tdanet", "tdanet_mismatched", "mean_colour", "telea"} <= set(result["hole_l1"])
    for number in (*result["hole_l1"].values(), result["caption_effect"]):
        assert number["low"] <= number["value"] <= number["high"]
    assert all(0 < number["value"] < 1 for number in result["hole_l1"].values())
    assert result["seconds"] > 0 and result["images"] == result["steps"] * result["batch_size"]
    every = run.record("tdanet")["config"]["sample_every"]
    assert len(list((run / progress.SAMPLES).glob("step_*.png"))) >= result["steps"] // every
    _check_quality(run, result)
    _check_figures(run)


def _check_quality(run: Run, trained: dict) -> None:
    report = run.result("quality")
    assert set(report["measures"]) == {"tdanet", *quality.ALL_BASELINES}
    assert set(report["measures"]["tdanet"]) == set(quality.KINDS)
    for kinds in report["measures"].values():
        for own in kinds.values():
            assert set(quality.MEASURES) <= set(own)
            assert all(m["low"] <= m["value"] <= m["high"] for m in own.values() if m["value"] is not None)
            assert 0 < own["hole_l1"]["value"] < 1 and -1 <= own["hole_ssim"]["low"] <= own["hole_ssim"]["high"] <= 1
    flat = report["measures"]["mean_colour"]["none"]
    assert flat["hole_tv"]["value"] == 0 < flat["hole_tv_photograph"]["value"], "a fill of one colour has no steps"
    assert set(report["against"]["tdanet"]) == set(quality.ALL_BASELINES)
    for own in report["against"]["tdanet"].values():
        assert own["hole_l1"]["low"] <= own["hole_l1"]["value"] <= own["hole_l1"]["high"]
    for name, own in report["against"]["tdanet"].items():
        assert report["verdicts"][readable(name)] == quality.conclusion(own)
        assert not report["perceptual"] or report["perceptual"] in quality.better(own), "no perceptual measure judged"
    off = run.result("switched_off")
    assert set(off["change"]) == set(quality.ablation.SWITCHED) and off["photographs"] == report["photographs"]
    if report["photographs"] == trained["photographs"]:  # the same photographs, holes, captions and noise
        own = report["measures"]["tdanet"]["matched"]["hole_l1"]["value"]
        assert abs(own - trained["hole_l1"]["tdanet"]["value"]) < 1e-3
    if report["perceptual"]:
        assert report["measures"]["tdanet"]["matched"][report["perceptual"]]["value"] > 0
    assert report["diversity"]["hole_l1"]["value"] > 0, "the noise does not reach the picture"


def _check_figures(run: Run) -> None:
    cells = json.loads((run / "notebooks/04_training.ipynb").read_text())["cells"]
    for call in FIGURES:
        cell = next(cell for cell in cells if cell["cell_type"] == "code" and call in "".join(cell["source"]))
        assert sum("image/png" in output.get("data", {}) for output in cell["outputs"]) == 1, call
    live = next(cell for cell in cells if "figures.losses(" in "".join(cell["source"]))
    assert not any("The curves appear" in str(output) for output in live["outputs"]), "the place was not taken over"
