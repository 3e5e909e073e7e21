"""Chapter 4: both trainings ran and learnt, and what they left can be loaded and paints."""

import numpy as np

from nbsupport.runs import Run
from nbsupport.training import matching, tdanet


def check(run: Run) -> None:
    matched = matching.load(run)
    assert len(matched.log) == matched.result["steps"] > 0
    assert np.isfinite(matched.log[["words", "sentence"]]).all(axis=None)
    if len(matched.log) >= 150:  # the shortest profile only shows that it runs
        assert matched.log["sentence"].tail(20).mean() < 0.95 * matched.log["sentence"].head(5).mean()
    assert 0 <= matched.result["r_precision"] <= 1 and matched.result["wrong"] >= 1
    result, log = run.result("tdanet"), tdanet._load(run).log
    assert log["step"].tolist() == list(range(1, result["steps"] + 1))
    assert np.isfinite(log[["l1", "l1_auxiliary", "kl", "kl_auxiliary", "total"]]).all(axis=None)
    # An untrained network stays where it began; the shortest profile already takes a tenth off.
    assert result["hole_l1_last_steps"] < 0.9 * result["hole_l1_first_steps"], "TDANet learnt nothing"
    assert {"tdanet", "tdanet_mismatched", "mean_colour", "telea"} <= set(result["hole_l1"])
    for number in (*result["hole_l1"].values(), result["caption_effect"]):
        assert number["low"] <= number["value"] <= number["high"]
    assert all(0 < number["value"] < 1 for number in result["hole_l1"].values())
    assert result["seconds"] > 0 and result["images"] == result["steps"] * result["batch_size"]
