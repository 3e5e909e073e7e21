"""Figures of chapter 2: holes on photographs, the areas they reach, where they fall. Numbers come from ``masks``."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nbsupport.data.index import Dataset
from nbsupport.masks import MaskSet
from nbsupport.plots.style import COLOURS, hide_region, picture_grid


def kinds_on_photographs(dataset: Dataset, masks: MaskSet, rows: Sequence[int]) -> Figure:
    """One line for each photograph: the photograph, then its hole of each kind, painted over."""
    lines = []
    for row in rows:
        photograph = np.asarray(dataset.cache.images[row])
        holes = [masks.for_rows([row], kind)[0] for kind in masks.kinds]
        lines.append([photograph, *(hide_region(photograph, hole) for hole in holes)])
    captions = [dataset.index["captions"].iloc[row][0] for row in rows]
    return picture_grid(lines, ["photograph", *masks.kinds], captions)


def coverage_histogram(result: Mapping) -> Figure:
    """Hole areas that were reached, one panel for each kind, with the interval that was asked for shaded.

    Args:
        result: ``results/masks.json``.
    """
    edges = np.array(result["histogram_edges"])
    kinds = result["kinds"]
    figure, axes = plt.subplots(1, len(kinds), figsize=(2.1 * len(kinds) + 0.6, 2.3), sharey=True, squeeze=False)
    for axis, (kind, values) in zip(axes[0], kinds.items(), strict=True):
        axis.axvspan(100 * result["coverage_low"], 100 * result["coverage_high"], color=COLOURS["hole"], alpha=0.15)
        axis.stairs(values["histogram"], 100 * edges, fill=True, color=COLOURS["neutral"])
        axis.set_title(kind)
        axis.set_xlabel("hole area [%]")
    axes[0, 0].set_ylabel("masks")
    plt.close(figure)
    return figure


def where_holes_fall(masks: MaskSet) -> Figure:
    """For each kind, how often each pixel lies in the hole: a mean map on one common scale."""
    maps = {kind: masks.get(np.flatnonzero(masks.table["kind"] == kind)).mean(axis=0) for kind in masks.kinds}
    top = max(map_.max() for map_ in maps.values())
    figure, axes = plt.subplots(1, len(maps), figsize=(1.9 * len(maps) + 0.9, 2.2), squeeze=False)
    for axis, (kind, map_) in zip(axes[0], maps.items(), strict=True):
        image = axis.imshow(map_, cmap="magma", vmin=0, vmax=top)
        axis.set_title(kind, loc="center")
        axis.set_axis_off()
    figure.colorbar(image, ax=axes[0].tolist(), shrink=0.8, label="share of masks")
    plt.close(figure)
    return figure


def hidden_parts(shares: pd.DataFrame) -> Figure:
    """For each part and kind of hole, in which share of the photographs the hole hides the part's point.

    Args:
        shares: as ``masks.hidden_parts`` gives it: one row for each part, one column for each kind, in [0, 1].
    """
    figure, axis = plt.subplots(figsize=(1.0 * shares.shape[1] + 2.2, 0.27 * len(shares) + 1.0))
    image = axis.imshow(100 * shares.to_numpy(), cmap="magma", vmin=0, vmax=100, aspect="auto")
    axis.set_xticks(range(shares.shape[1]), shares.columns)
    axis.set_yticks(range(len(shares)), shares.index)
    for (row, column), value in np.ndenumerate(shares.to_numpy()):
        tone = "white" if value < 0.6 else "black"
        axis.text(column, row, f"{100 * value:.0f}", ha="center", va="center", color=tone, fontsize=8)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    figure.colorbar(image, ax=axis, label="hidden [%]")
    plt.close(figure)
    return figure


def sizes_of_one_hole(photograph: np.ndarray, holes: Mapping[str, np.ndarray]) -> Figure:
    """One photograph with holes of growing area; `holes` maps a title to a mask (H, W) bool, True = hole."""
    return picture_grid([[hide_region(photograph, hole) for hole in holes.values()]], list(holes))
