"""Chapter 5: every way of asking whether the caption is followed left its numbers, and its figures."""

import json

from nbsupport import quality
from nbsupport.runs import Run

#: Cells that must have left exactly one figure, by the call in them.
FIGURES = (
    "figures.captions_side_by_side(", "text_alignment.attribute_accuracy(", "text_alignment.strengths(",
    "text_alignment.recoloured(", "boxes.attention_maps(",
)  # fmt: skip


def check(run: Run) -> None:
    found = run.result("text_alignment")
    for kind in ("mismatched", "empty"):
        assert 0 <= found["caption_effect"][kind]["hole_l1"]["wilcoxon"] <= 1
        assert -1 <= found["caption_found_gain"][kind]["value"] <= 1
    assert set(found["caption_found"]) == {"untouched photograph", *quality.KINDS}
    colours = found["attributes"]
    assert colours["reader"]["value"] > 0.9, "the colours of untouched birds are not read correctly"
    assert set(colours["accuracy"]) == {"true", "edited", "empty"} and 0 < colours["chance"]["uniform"] < 0.2
    assert found["caption_effect"] == run.result("quality")["caption_effect"]["tdanet"]
    assert len(found["kept_words"]) == 3 and -1 <= found["paths_agree"] <= 1
    assert {"strength", "hole_l1", "accuracy"} <= set(found["strengths"][0])
    cells = json.loads((run / "notebooks/05_text_alignment.ipynb").read_text())["cells"]
    for call in FIGURES:
        cell = next(cell for cell in cells if cell["cell_type"] == "code" and call in "".join(cell["source"]))
        assert sum("image/png" in output.get("data", {}) for output in cell["outputs"]) == 1, call
