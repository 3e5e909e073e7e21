"""Chapter 9: every ensemble answers about every picture, and the verdicts follow from their tests."""

from nbsupport.detectors import ensemble, scores
from nbsupport.runs import Run


def check(run: Run) -> None:
    result, table = run.result("ensembles"), scores.all_scores(run)
    counts = table.groupby(["detector", "seed"]).size()
    assert counts.nunique() == 1 and set(ensemble.NAMES) < set(counts.index.get_level_values("detector"))
    found = {(record["detector"], record["arm"]): record["auroc"]["value"] for record in result["metrics"]}
    members, arms = set(result["members"]), {arm for _, arm in found}
    assert len(members) >= 2 and set(result["ensembles"]) == set(ensemble.NAMES)
    for name in ("soft_vote", "weighted_vote", "stack_logistic"):
        assert found[name, "regenerated"] >= min(found[member, "regenerated"] for member in members) - 0.05
        assert found[name, "regenerated"] > 0.55, "an ensemble of detectors that learnt something has learnt something"
    seeds = table["seed"].nunique()
    assert len(result["comparisons"]) == (2 * len(ensemble.NAMES) - 1) * len(arms) * seeds
    for own in result["comparisons"]:
        assert own["verdict"] == "tie" or own["delong_holm"] < 0.05
        if seeds == 1:
            difference = found[own["ensemble"], own["arm"]] - found[own["against"], own["arm"]]
            assert abs(own["difference"]["value"] - difference) < 1e-9
    assert result["any_wins"] == bool(result["winners"])
    votes = [own["value"] for own in result["weights"] if own["ensemble"] == "weighted_vote" and own["seed"] == 0]
    assert len(votes) == len(members) and abs(sum(votes) - 1) < 1e-6 and min(votes) >= 0
    assert {(own["seed"], own["arm"]) for own in result["explains"]} == {
        (o["seed"], o["arm"]) for o in result["diversity"]
    }
    for own in result["diversity"]:
        assert 0 <= own["disagreement"] <= 1 and (own["q"] is None or -1 <= own["q"] <= 1)
    for name in ensemble.NAMES:
        assert ensemble.loaded(run, name)
