"""Chapter 3: every box ran, the paths saw what they may see, and the latent reached the picture."""

from nbsupport.runs import Run
from nbsupport.tdanet.walkthrough import BOXES


def check(run: Run) -> None:
    result = run.result("tdanet_walkthrough")
    assert set(result["boxes"]) == set(BOXES.values()) and result["boxes"].count("dual attention") == 2
    assert result["output"].endswith(f"3x{result['image_size']}x{result['image_size']}")
    assert result["changes"]["hidden pixels"]["inpainting"] == 0 < result["changes"]["hidden pixels"]["auxiliary"]
    assert result["changes"]["visible pixels"]["auxiliary"] == 0 < result["changes"]["visible pixels"]["inpainting"]
    assert abs(result["attention_sum"] - 1) < 1e-3
    assert result["draws_differ_inside"] > 0 and result["parameters"] > 10_000
