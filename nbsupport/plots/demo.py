"""Figures of chapter 11: fills side by side with what is said of them, and verdicts along a scale."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nbsupport.plots.style import COLOURS, hide_region, picture_grid

if TYPE_CHECKING:
    from nbsupport.demo.state import Filled
    from nbsupport.stats.calibration import Band

_LINES = ("-", "--", "-.", ":", (0, (3, 1, 1, 1)), (0, (1, 1)))


def side_by_side(fills: Sequence["Filled"], titles: Sequence[str], cell: float = 1.75) -> Figure:
    """The photograph, its hole (of the first fill), and each fill under a title of its own."""
    first = fills[0]
    pictures = [first.original, hide_region(first.original, first.mask), *(filled.spliced for filled in fills)]
    return picture_grid([pictures], ["photograph", "hole", *titles], cell=cell)


def masks_and_fills(fills: Sequence["Filled"], titles: Sequence[str], cell: float = 1.5) -> Figure:
    """For each fill its hole above and the fill below."""
    holes = [hide_region(filled.original, filled.mask) for filled in fills]
    return picture_grid([holes, [filled.spliced for filled in fills]], titles, cell=cell)


def _band(axis: plt.Axes, band: "Band") -> None:
    """Shade where the vote is unsure, and say what lies above and below."""
    low, high = max(band.low, 0.0), min(band.high, 1.0)
    axis.axhspan(low, high, color=COLOURS["neutral"], alpha=0.13, lw=0)
    for height, words, colour in ((high, "inpainted", "fake"), (low, "real", "real")):
        above = words == "inpainted"
        if (above and band.high <= 1) or (not above and band.low >= 0):
            axis.annotate(words, (1, height), (4, 3 if above else -3), xycoords=("axes fraction", "data"),
                          textcoords="offset points", va="bottom" if above else "top", fontsize=8,
                          color=COLOURS[colour], annotation_clip=False)  # fmt: skip


def shrinking(table: pd.DataFrame, name: str, band: "Band") -> Figure:
    """The probability of one detector or vote against the hole's coverage: a thin line a picture, a thick one the mean.

    Args: table: of ``experiments.shrink_hole``. The band in which `name` is unsure is shaded.
    """
    wide = table[table["name"] == name].pivot(index="coverage", columns="image_id", values="probability").sort_index()
    figure, axis = plt.subplots(figsize=(7, 3))
    place = np.arange(len(wide))
    axis.plot(place, wide.to_numpy(), color=COLOURS["neutral"], lw=0.8, alpha=0.6)
    axis.plot(place, wide.mean(axis=1), "o-", color=COLOURS["fake"], lw=2.5, label=f"mean of {wide.shape[1]} pictures")
    axis.set_xticks(place, ["none" if coverage == 0 else f"{coverage:.1%}" for coverage in wide.index])
    axis.set(xlabel="hole, as a share of the picture", ylabel=f"probability, {name}", ylim=(-0.02, 1.02))
    _band(axis, band)
    axis.legend(loc="upper left")
    plt.close(figure)
    return figure


def saved_again(table: pd.DataFrame, bands: Mapping[str, "Band"], name: str) -> Figure:
    """The mean probability of each detector along the sweep, `name` thick, with the band of `name` shaded.

    Args: table: of ``experiments.save_again``.
    """
    means = table.groupby(["step", "name"], sort=False)["probability"].mean().unstack("name")
    means = means.loc[list(dict.fromkeys(table["step"]))]
    figure, axis = plt.subplots(figsize=(8, 3.2))
    place = np.arange(len(means))
    others = [column for column in means.columns if column != name]
    for column, line in zip(others, _LINES * 4, strict=False):
        axis.plot(place, means[column], ls=line, color=COLOURS["neutral"], lw=1.2, label=column)
    axis.plot(place, means[name], "o-", color=COLOURS["fake"], lw=2.5, label=name)
    axis.set_xticks(place, means.index, rotation=30, ha="right")
    axis.set(ylabel="mean probability", ylim=(-0.02, 1.02))
    _band(axis, bands[name])
    figure.legend(loc="outside right upper", fontsize=8)
    plt.close(figure)
    return figure
