"""Chapter 6: a set of six arms, balanced, spliced only in the hole, and painted by something that painted."""

from nbsupport import pairs
from nbsupport.runs import Run


def check(run: Run) -> None:
    result = run.result("pairs")
    assert result["checks_passed"] and all(check["checked"] > 0 for check in result["checks"].values())
    made = pairs.load(run)
    hands = set(made.manifest["inpainter"].dropna()) - {""}
    assert hands == {"tdanet", "telea"}
    own = made.manifest[made.manifest["inpainter"].isin(("", "tdanet")) | made.manifest["inpainter"].isna()]
    per_arm = own.groupby(["split", "arm"]).size().unstack()
    assert (per_arm.nunique(axis=1) == 1).all() and set(per_arm.index) == {"train", "validation", "test"}
    assert len(own) == 6 * result["photographs"] >= 180 and set(own["arm"]) == set(pairs.ARMS)
    by_hand = made.manifest[made.manifest["label"] == "fake"].groupby("inpainter").size()
    assert by_hand.nunique() == 1, "each hand paints the same number of fakes"
    entries = [entry for entry in result["differences"] if entry["inpainter"] == "tdanet"]
    differences = {(entry["arm"], entry["split"]): entry for entry in entries}
    for split in per_arm.index:
        spliced, regenerated = differences["spliced", split], differences["regenerated", split]
        assert spliced["outside_l1"] == spliced["outside_changed"] == 0
        assert regenerated["outside_changed"] > 0.5, "a network that repaints touches most visible pixels"
        assert differences["spliced_reencoded", split]["outside_changed"] > 0.1, "the lossy encoder changed something"
        assert 0.02 < spliced["hole_l1"] < 1, "the hole was painted, and with colours"
    fake_set = run.result("fake_set")
    assert fake_set["outside_difference_grey_levels"]["spliced"] == 0
    assert fake_set["outside_difference_grey_levels"]["regenerated"] > 0
