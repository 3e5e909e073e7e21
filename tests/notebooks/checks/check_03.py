"""Chapter 3: every box ran, the paths saw what they may see, words were weighed, and the latent reached the picture."""

import json

import numpy as np

from nbsupport.runs import Run
from nbsupport.tdanet import weights
from nbsupport.tdanet.walkthrough import BOXES

#: Cells that must have left exactly one figure, by the call in them.
FIGURES = (
    "figures.architecture_diagram(", "figures.feature_maps(", "figures.attention_maps(", "figures.words_kept(kept",
    "figures.heat(", "figures.draws(", "figures.scales(", "figures.texture_sources(",
)  # fmt: skip


def check(run: Run) -> None:
    result = run.result("tdanet_walkthrough")
    assert set(result["boxes"]) == set(BOXES.values()) and result["boxes"].count("dual attention") == 2
    assert result["output"].endswith(f"3x{result['image_size']}x{result['image_size']}")
    assert result["changes"]["hidden pixels"]["inpainting"] == 0 < result["changes"]["hidden pixels"]["auxiliary"]
    assert result["changes"]["visible pixels"]["auxiliary"] == 0 < result["changes"]["visible pixels"]["inpainting"]
    assert abs(result["attention_sum"] - 1) < 1e-3 and abs(result["texture_sum"] - 1) < 1e-3
    about = weights.describe(result["weights"])["results"]["tdanet"] if result["weights"] else {}
    assert result["parameters"] == about.get("parameters", result["parameters"]), "not the weights that were named"
    assert result["draws_differ_inside"] > 0 and result["parameters"] > 10_000
    for path, own in result["words"].items():
        assert np.isclose(sum(item["attention"] for item in own), 1, atol=1e-3), path
    kept = [item["attention"] for item in result["words"]["inpainting path"]]
    assert kept == sorted(kept, reverse=True) and kept[0] > kept[-1], "the words are not sorted by how much is kept"
    # Negation: what the visible part explains most is not what it leaves over most.
    assert result["rank_correlation"] < 0 and -1 <= result["agreement"] <= 1
    cells = json.loads((run / "notebooks/03_tdanet_walkthrough.ipynb").read_text())["cells"]
    for call in FIGURES:
        cell = next(cell for cell in cells if cell["cell_type"] == "code" and call in "".join(cell["source"]))
        assert sum("image/png" in output.get("data", {}) for output in cell["outputs"]) == 1, call
