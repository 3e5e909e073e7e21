"""Chapter 11: each experiment was worked out, paint stayed in the hole, and every detector of the run judged."""

import numpy as np

from nbsupport.runs import Run


def check(run: Run) -> None:
    demo = run.result("demo")
    assert demo["inpainter"] == "tdanet" and demo["part"]
    assert 0 < demo["coverage"] < 0.9
    assert demo["changed_outside_spliced"] == 0 and demo["changed_inside"] > 0.5
    assert {"flumphy", "grexel"} <= set(demo["unknown_words"])
    assert set(demo["verdicts"]) == {"photograph", "spliced", "regenerated"}
    # One picture in twenty of the run's own is, by the threshold of kinds, of another one: it has no vote.
    judged = [verdict for verdict in demo["verdicts"].values() if verdict["soft_vote"] is not None]
    assert judged, "no picture was judged"
    for verdict in judged:
        assert len(verdict) >= 3 and all(0 <= value <= 1 for value in verdict.values())
        single = [value for key, value in verdict.items() if key != "soft_vote"]
        assert np.isclose(verdict["soft_vote"], np.mean(single)), "the vote is the mean"
    spread = {round(value, 6) for verdict in judged for value in verdict.values()}
    assert len(spread) > 1, "detectors that answer the same to everything were not trained"
    named = [row["colour"] for row in demo["colours"]]
    assert len(named) >= 2 and all(
        row["nearest"] in named and row["colour"] in row["caption"] for row in demo["colours"]
    )
    assert demo["colours"][0]["apart"] == 0 and demo["captions"][0]["apart"] == 0
    assert "0.0" in demo["shrinking"] and len(demo["shrinking"]) >= 3
    assert demo["flips"] and all(0 <= share <= 1 for share in demo["flips"].values())
    by_painter = {row["inpainter"]: row for row in demo["inpainters"]}
    assert {"tdanet", "telea", "mean_colour"} <= set(by_painter)
    assert len({round(row["hole_l1"], 3) for row in by_painter.values()}) == len(by_painter), "different paint"
    assert any("synthetic" in said for said in demo["using"])
