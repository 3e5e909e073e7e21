"""Chapter 2 has drawn one hole of each kind for each photograph, of the areas that were asked for."""

from nbsupport import masks
from nbsupport.data import index
from nbsupport.runs import Run


def check(run: Run) -> None:
    """Assert on ``results/masks.json`` and on the masks themselves."""
    result, holes, dataset = run.result("masks"), masks.load(run), index.load(run)
    assert result["masks"] == len(holes) == len(dataset.index) * len(result["kinds"])
    assert set(result["kinds"]) == {"centre", "rectangles", "strokes", "object", "part"}
    low, high, slack = result["coverage_low"], result["coverage_high"], result["tolerance"]
    for kind, values in result["kinds"].items():
        assert low - slack <= values["coverage_min"] < values["coverage_max"] <= high + slack, kind
        assert sum(values["histogram"]) == values["masks"], kind
    reached = holes.get(range(len(holes))).mean(axis=(1, 2))
    assert abs(reached - holes.table["coverage"]).max() < 1e-6
