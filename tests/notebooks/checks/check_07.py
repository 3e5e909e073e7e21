"""Chapter 7: both ensembles answer about every picture, and the verdicts follow from their intervals."""

from nbsupport.detectors import comparison, ensemble, scores
from nbsupport.runs import Run


def check(run: Run) -> None:
    result, table = run.result("ensembles"), scores.all_scores(run)
    counts = table.groupby(["detector", "seed"]).size()
    assert counts.nunique() == 1 and set(ensemble.NAMES) < set(counts.index.get_level_values("detector"))
    found = {(record["detector"], record["arm"]): record["auroc"]["value"] for record in result["metrics"]}
    members = {name for name, _ in found} - set(ensemble.NAMES)
    assert len(members) >= 2
    for name in ensemble.NAMES:
        assert found[name, "regenerated"] >= min(found[member, "regenerated"] for member in members) - 0.05
        assert found[name, "regenerated"] > 0.55, "an ensemble of detectors that learnt something has learnt something"
    assert len(result["differences"]) == len(ensemble.NAMES) * len({arm for _, arm in found})
    for entry in result["differences"]:
        difference = found[entry["ensemble"], entry["arm"]] - found[entry["against"], entry["arm"]]
        assert abs(entry["value"] - difference) < 1e-9 and entry["low"] <= entry["high"]
        assert entry["verdict"] == comparison.verdict(entry)
    stack = result["stack"]["0"]
    assert set(stack["detectors"]) == members and any(abs(value) > 1e-3 for value in stack["coefficients"])
    for rows in result["agreement"].values():
        for row in rows:
            assert abs(row["both"] + row["first_only"] + row["second_only"] + row["neither"] - 1) < 1e-9
