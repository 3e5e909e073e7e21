"""Chapter 8: every detector was asked again under each corruption, and studies changed one thing at a time."""

from nbsupport import pairs
from nbsupport.runs import Run


def check(run: Run) -> None:
    made, result = pairs.load(run), run.result("detectors")
    used = {row["name"] for row in result["trained"]}
    under = run.result("robustness")["records"]
    asked = {"clean", "sharpness matched", *run.record("robustness")["config"]["conditions"]}
    for name in used:
        assert {record["condition"] for record in under if record["detector"] == name} == asked
    studied = {(record["study"], record["variant"]) for record in run.result("studies")["records"]}
    inpainters = set(made.manifest.loc[made.manifest["label"] == "fake", "inpainter"])
    assert {variant for study, variant in studied if study == "matrix"} >= inpainters and len(inpainters) >= 2
    assert any(study == "size" for study, _ in studied)
    left = {record["detector"]: record for record in run.result("sharpness")["records"]}
    assert set(left) == used and left["local_sharpness"]["loss"]["value"] > 0, "matching takes away what it measures"
