"""Facts about judged pictures, and detection within each part of them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from nbsupport.config import EvaluationConfig
from nbsupport.evaluation import strata
from nbsupport.plots import protocol


def hole(top, left, height, width, size=36):
    mask = np.zeros((size, size), bool)
    mask[top : top + height, left : left + width] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "name"),
    [
        (hole(12, 12, 12, 12), "middle"), (hole(0, 12, 10, 12), "top"), (hole(26, 12, 10, 12), "bottom"),
        (hole(12, 0, 12, 10), "left"), (hole(12, 26, 12, 10), "right"), (hole(0, 0, 36, 36), "middle"),
        (hole(0, 0, 0, 0), "middle"), (hole(0, 10, 4, 4), "top"), (hole(10, 0, 4, 4), "left"),
    ],
)  # fmt: skip
def test_where_a_hole_lies(mask, name):
    assert strata.position(mask[None]).tolist() == [name]


@given(top=st.integers(0, 30), left=st.integers(0, 30), height=st.integers(1, 6), width=st.integers(1, 6))
def test_a_mirrored_hole_lies_on_the_other_side(top, left, height, width):
    mask = hole(top, left, height, width)
    here, there = strata.position(np.stack([mask, mask[:, ::-1]]))
    assert there == {"left": "right", "right": "left"}.get(here, here)


def scores_and_facts(seed=0, count=400):
    generator = np.random.default_rng(seed)
    records, known = [], []
    for n in range(count):
        for arm in ("original", "spliced"):
            path, easy = f"{arm}/{n}", n % 2 == 0
            logit = generator.normal(3.0 if arm == "spliced" and easy else 0.0)
            records.append(
                {"image_id": f"p{n}", "group": n // 2, "arm": arm, "detector": "d", "seed": 0, "logit": logit,
                 "probability": 1 / (1 + np.exp(-logit)), "label": int(arm == "spliced"), "split": "test", "path": path}
            )  # fmt: skip
            known.append(
                {"path": path, "coverage_bin": strata.COVERAGE_BINS[2 if easy else 0], "position": "top",
                 "mask_kind": "centre", "part": None, "species": f"s{n}", "inpainter": "x" if arm == "spliced" else ""}
            )  # fmt: skip
    return pd.DataFrame(records), pd.DataFrame(known)


def test_auroc_of_a_category_is_that_of_its_pictures():
    table, known = scores_and_facts()
    config = EvaluationConfig(draws=200)
    small, large = strata.auroc_by(table, known, "coverage", config)
    assert (small["category"], large["category"]) == ("under 5 %", "10 to 30 %"), "from small to large"
    chosen = table[table["path"].isin(known.loc[known["coverage_bin"] == "10 to 30 %", "path"])]
    assert large["auroc"]["value"] == pytest.approx(roc_auc_score(chosen["label"], chosen["logit"]))
    assert small["auroc"]["low"] < 0.5 < small["auroc"]["high"] and large["auroc"]["low"] > 0.9
    assert large["pictures"] == len(chosen) == 400 and large["groups"] == 200
    whole = strata.auroc_by(table, known, "inpainter", config)
    assert [record["category"] for record in whole] == ["x"] and whole[0]["pictures"] == 800
    assert strata.auroc_by(table, known, "part", config) == [], "no hole covers a part"
    assert strata.auroc_by(table, known, "species", config) == [], "one picture is no category"
    figure = protocol.strata([small, large, *whole], "d", 0)
    assert [axis.get_title() for axis in figure.axes] == ["coverage", "inpainter"]
