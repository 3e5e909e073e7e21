"""Chapter 9: the worked example was painted in its hole only, and judged by every detector of the run."""

from nbsupport.runs import Run


def check(run: Run) -> None:
    demo = run.result("demo")
    assert demo["inpainter"] == "tdanet"
    assert 0 < demo["coverage"] < 0.9
    assert demo["changed_outside_spliced"] == 0 and demo["changed_inside"] > 0.5
    assert {"flumphy", "grexel"} <= set(demo["unknown_words"])
    for name in ("photograph", "spliced", "regenerated"):
        verdict = demo["verdicts"][name]
        assert len(verdict) >= 3 and all(0 <= value <= 1 for value in verdict.values())
    spread = {round(value, 6) for verdict in demo["verdicts"].values() for value in verdict.values()}
    assert len(spread) > 1, "detectors that answer the same to everything were not trained"
