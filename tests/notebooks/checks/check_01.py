"""Chapter 1: photographs were indexed and split by group, with nothing leaking, and the captions were understood."""

from nbsupport.config import SPLITS
from nbsupport.data import index, summary
from nbsupport.runs import Run


def check(run: Run) -> None:
    result = run.result("preprocessing")
    photographs = index.load(run)
    assert result["indexed"] == len(photographs) == sum(result["splits"].values()) >= 60
    assert result["indexed"] + result["rejected"] == run.require("index")["notes"]["chosen"]
    wanted = {"validation": photographs.config.validation_fraction, "test": photographs.config.test_fraction}
    for name, fraction in wanted.items():
        assert abs(result["splits"][name] / result["indexed"] - fraction) < 0.05
    assert result["groups_in_two_splits"] == 0 == summary.groups_across_splits(photographs)
    assert result["largest_group"] <= max(3, 0.05 * result["indexed"]), "unlike photographs were chained together"
    assert result["vocabulary_size"] > 40 and result["captions"] >= result["indexed"]
    assert all(0 <= result["unknown_rate"][name] < 0.1 for name in SPLITS)
    cached = photographs.cache.images
    assert cached.shape == (result["indexed"], *[photographs.config.image_size] * 2, 3)
    assert cached.std(axis=(1, 2, 3)).min() > 2, "a cached picture is plain"
    assert result["with_object"] == int(photographs.cache.has_object.sum())
