"""Chapter 10: every test picture was judged by every detector, and the counts add up to what the scores say."""

import numpy as np
import pandas as pd

from nbsupport import pairs
from nbsupport.book import fooled
from nbsupport.detectors import scores
from nbsupport.evaluation import error_analysis, findings, localization
from nbsupport.runs import Run


def check(run: Run) -> None:
    found, manifest = error_analysis.load(run), pairs.load(run).manifest
    config = run.record("detectors")["config"]  # other arms and inpainters of the set are no detector's
    wanted = manifest["arm"].isin(config["fake_arms"]) & manifest["inpainter"].isin(config["inpainters"])
    test = manifest[(manifest["split"] == "test") & (wanted | (manifest["arm"] == "original"))]
    assert found.result["pictures"] == len(test) > 0 and found.result["photographs"] == test["image_id"].nunique()
    judges = found.table.groupby(["detector", "seed"])
    assert len(judges) >= 3 and (judges["path"].nunique() == len(test)).all()
    # Counted again from the score table, by another way than the chapter's.
    clean = scores.select(scores.all_scores(run), "test").query("condition == @scores.CLEAN")
    wrong = (clean["logit"] >= 0) != (clean["label"] == 1)
    expected = wrong.groupby([clean["detector"], clean["seed"], clean["arm"]]).sum()
    counts = pd.DataFrame(found.result["counts"]).set_index(["detector", "seed", "arm"])
    assert (counts["errors"].sort_index() == expected.sort_index()).all()
    shares = pd.DataFrame(found.result["shares"])
    assert (shares["low"] <= shares["value"]).all() and (shares["value"] <= shares["high"]).all()
    assert (shares["high"] > shares["low"]).all(), "a share of a few pictures is not certain"
    by_bin = shares[shares["by"] == "coverage"].groupby(["detector", "seed", "arm"])["pictures"].sum()
    whole = shares[shares["by"] == "all"].set_index(["detector", "seed", "arm"])["pictures"]
    assert (by_bin.sort_index() == whole.sort_index()).all()
    agreed = pd.DataFrame(found.result["agreement"]).groupby("arm")["pictures"].sum()
    assert agreed.to_dict() == test["arm"].value_counts().to_dict()
    # Causes, maps and findings.
    assert (found.table.loc[found.table["neighbour"] >= 0, "neighbour"] < len(manifest)).all()
    maps = localization.load(run)
    assert {"segmentation", "uniform", "centre"} < set(maps.table["detector"])
    area = maps.table[maps.table["detector"] == "uniform"]
    assert np.allclose(area["pointing"], area["iou"]), "chance is the area of the hole, whatever the metric"
    results = {name: run.result(name) for name in ("detectors", "localization", "errors")}
    told = run.result("findings")["findings"]
    assert len(told) == 5
    for finding in told:
        assert finding["verdict"] in findings.VERDICTS
        if finding["source"]:
            assert findings.read(results, finding["source"])["value"] == finding["number"]
    assert "## Holes" in fooled.markdown(run)
