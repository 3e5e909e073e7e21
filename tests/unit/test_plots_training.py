"""Chapters 3 and 4's figures and tables: words come from intervals, samples are cut where they were put together."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from nbsupport.plots import tables, tdanet, training
from nbsupport.runs import Run
from nbsupport.stats.intervals import format_interval, verdict
from nbsupport.tdanet import walkthrough
from nbsupport.training import progress


def interval(value, low, high):
    return {"value": value, "low": low, "high": high}


@pytest.mark.parametrize(
    ("low", "high", "word"), [(0.1, 0.3, "better"), (-0.3, -0.1, "worse"), (-0.1, 0.3, "a tie"), (0.0, 0.3, "a tie")]
)
def test_a_verdict_needs_an_interval_on_one_side_of_zero(low, high, word):
    assert verdict(interval((low + high) / 2, low, high)) == word


def test_what_does_not_exist_is_a_dash_and_a_tie():
    nothing = interval(None, None, None)
    assert format_interval(nothing) == "–" and verdict(nothing) == "a tie"


def test_a_weak_correlation_is_no_agreement():
    said = [walkthrough.agreement(value) for value in (-0.9, -0.1, 0.1, 0.9)]
    assert said[1] == said[2] == "have little in common" and len(set(said)) == 3


def test_the_caption_table_keeps_the_order_and_the_p_values():
    own = interval(0.01, 0.005, 0.02) | {"t_test": 1e-9, "wilcoxon": None}
    table = tables.caption_table({"mismatched": {"hole_l1": own}, "empty": {}}, {"hole_l1": "L1", "ssim": "SSIM"})
    assert table.to_dict("records") == [
        {"measure": "L1", "instead": "mismatched", "costs": "0.0100 [0.0050, 0.0200]",
         "t-test": "below 0.0001", "Wilcoxon": "–"}
    ]  # fmt: skip


def test_samples_are_cut_where_they_were_put_together(tmp_path):
    run, draw = Run(tmp_path / "run"), np.random.default_rng(0)
    columns = {step: [draw.integers(0, 255, (3, 16, 16, 3), dtype=np.uint8) for _ in range(4)] for step in (5, 10, 99)}
    for step, pictures in columns.items():
        progress.save_grid(run, progress.grid(pictures), step)
    figure = training.samples_over_time(run / progress.SAMPLES, size=16, last=10, photographs=2)
    shown = [np.asarray(axis.images[0].get_array()) for axis in figure.axes]
    assert len(shown) == 2 * 4  # hole, two steps (the third is of another training), photograph
    for row in range(2):
        wanted = [columns[5][0][row], columns[5][1][row], columns[10][1][row], columns[5][3][row]]
        assert all(np.array_equal(a, b) for a, b in zip(shown[4 * row : 4 * row + 4], wanted, strict=True))
    assert training.samples_over_time(tmp_path, size=16, last=10) is None


@pytest.mark.parametrize("auxiliary", [True, False])
def test_losses_have_gaps_and_may_lack_a_path(auxiliary):
    steps = np.arange(1, 9)
    log = pd.DataFrame({"step": steps, "l1": 1 / steps, "kl": 1 / steps, "hole_l1": 1 / steps, "gradient": steps})
    log["matching"] = np.where(steps % 4 == 0, 3.0, np.nan)
    log["validation_hole_l1"] = np.where(steps == 8, 0.2, np.nan)
    if auxiliary:
        log["l1_auxiliary"] = log["kl_auxiliary"] = 1 / steps
    figure = training.losses(log, clip=5.0, steps=20)
    titles = {axis.get_title("left") or axis.get_title(): axis for axis in figure.axes}
    assert "adversarial" not in titles and titles["matching"].get_xlim() == (0, 20)
    smooth = titles["matching"].lines[1].get_xydata()
    assert smooth[:, 0].tolist() == [4, 8] and np.isfinite(smooth).all()
    assert len(titles["KL divergence"].lines) == (4 if auxiliary else 2)
    assert not plt.get_fignums(), "the notebook would show the figure twice"


def test_attention_is_drawn_where_a_path_looks():
    picture, hole = np.full((16, 16, 3), 90, np.uint8), np.zeros((16, 16), bool)
    hole[4:12, 4:12] = True
    maps = np.full((2, 4, 4), 0.2)
    maps[1, 0, 0] = 0.8
    maps[:, 1:3, 1:3] = np.nan
    figure = tdanet.attention_maps(picture, hole, {"inpainting path": maps}, ["red", "wing"])
    seen = np.asarray(figure.axes[1].images[1].get_array())
    assert seen[0, 0, 3] > 0.8 and seen[3, 3, 3] == 0 and (seen[1:3, 1:3, 3] == 0).all()
    assert figure.axes[1].get_title() == "wing  0.250"
