"""Chapter 7: detectors that learnt something, judged on every arm, with weights that are what they are said to be."""

import math

from nbsupport import pairs
from nbsupport.detectors import predict, scores
from nbsupport.runs import Run


def check(run: Run) -> None:
    result, table, made = run.result("detectors"), scores.load(run), pairs.load(run)
    config = run.record("detectors")["config"]
    held_out = pairs.classes(made.manifest, config["fake_arms"], ("validation", "test"), config["inpainters"])
    assert set(held_out.loc[held_out["label"] == "real", "arm"]) == {"original"}
    for name, seed in predict.available(run):
        own = table[(table["detector"] == name) & (table["seed"] == seed)]
        assert sorted(own["path"]) == sorted(held_out["path"]), f"{name} scored each held-out picture once"
        assert own["logit"].std() > 1e-3, f"{name} answers the same to everything"
        assert predict.load(run, name, seed).temperature > 0
    used = {row["name"]: row["weights_used"] for row in result["trained"]}
    assert used["resnet34"] == "none" and used["efficientnet_lite0"].startswith("imagenet")
    for row in result["trained"]:
        assert row["training_photographs"] >= 40 and row["augment"] == ["jpeg", "webp", "resize", "blur"]
        assert (row["images_per_second"] or 0) > 0 or row["name"] == "local_sharpness"

    found = {(record["detector"], record["arm"]): record for record in result["metrics"]}
    assert {arm for _, arm in found} == {"regenerated", "spliced", "all"}
    for record in found.values():
        assert 0 <= record["auroc"]["low"] <= record["auroc"]["value"] <= record["auroc"]["high"] <= 1
    best = max(found[name, "regenerated"]["auroc"]["low"] for name in used)
    assert best > 0.6, "a repainted picture is told from its photograph even after a minute's training"
    assert {gap["detector"] for gap in result["gap"]} == set(used)
    for gap in result["gap"]:
        ends = [found[gap["detector"], arm]["auroc"]["value"] for arm in ("regenerated", "spliced")]
        assert math.isclose(gap["value"], ends[0] - ends[1], abs_tol=1e-9)

    searched = run.result("search")
    assert searched["chosen"]["state"] == "complete" and searched["chosen"]["front"] in (True, False)
    assert predict.load(run, "searched").record["architecture"] == searched["chosen"]["architecture"]
    judged_by = {record["by"] for record in run.result("strata")["records"]}
    assert "position" in judged_by
