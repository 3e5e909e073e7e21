"""Figures of chapter 10 about heat maps: the maps beside the holes, where their mass lies, and how well they point."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nbsupport.evaluation.localization import BASELINES, Localization
from nbsupport.plots.evaluation import nothing, outlined
from nbsupport.plots.forest import ENDS, forest, named
from nbsupport.plots.style import COLOURS

TITLES = {
    "pointing": "pointing game: highest point in the hole",
    "ap": "average precision of the pixels",
    "iou": "overlap (IoU), threshold of validation",
    "best_iou": "overlap (IoU), best threshold of each map",
    "inside_minus_ring": "density in the hole minus in the ring",
}


def gallery(
    pictures: np.ndarray, holes: np.ndarray, maps: Mapping[tuple[str, int], np.ndarray], names: Sequence[str]
) -> Figure:
    """One row for each picture: the picture with its hole outlined, then every map, with the hole outlined too.

    Args:
        pictures: (N, H, W, 3) uint8. holes: (N, H, W) bool, True = hole. maps: of ``localization.maps_of``; the
            baselines are left out. names: N, written beside the rows.
    """
    shown = {key: value for key, value in maps.items() if key[0] not in BASELINES}
    if not len(pictures):
        return nothing("This run holds no fakes to show.")
    size = (1.5 * (1 + len(shown)) + 0.3, 1.5 * len(pictures) + 0.35)
    figure, axes = plt.subplots(len(pictures), 1 + len(shown), figsize=size, squeeze=False)
    edges = [-0.5, pictures.shape[2] - 0.5, pictures.shape[1] - 0.5, -0.5]  # left, right, bottom, top
    for row, picture, hole, name, n in zip(axes, pictures, holes, names, range(len(pictures)), strict=True):
        row[0].imshow(outlined(picture, hole), extent=edges)
        row[0].set_ylabel(name, fontsize=8)
        for axis, ((detector, _), found) in zip(row[1:], shown.items(), strict=True):
            axis.imshow(found[n], cmap="magma", vmin=0, vmax=1, extent=edges)
            axis.contour(hole, levels=[0.5], colors="w", linewidths=0.9)
            if n == 0:
                axis.set_title(detector.replace("efficientnet_", ""), loc="center", fontsize=8)
        for axis in row:
            axis.set(xticks=[], yticks=[])
    axes[0, 0].set_title("picture, hole", loc="center", fontsize=8)
    plt.close(figure)
    return figure


def _records(found: Localization, metric: str) -> pd.DataFrame:
    records = pd.DataFrame(found.result["records"])
    own = records[records["metric"] == metric]
    return own.assign(**{name: own[name].astype(float) for name in ("value", "low", "high")})


def scores(found: Localization, metrics: Sequence[str] = ("pointing", "ap", "iou")) -> Figure:
    """Metrics of every map with intervals: a panel for each metric, baselines and segmentation among the lines."""
    table = pd.concat([_records(found, metric) for metric in metrics])
    table = table.assign(name=named(table), panel=table["metric"].map(lambda name: TITLES.get(name, name)))
    chance = table[table["detector"] == "uniform"].groupby("panel")["value"].mean()
    return forest(table, "name", "arm", "panel", reference=chance.to_dict())


def densities(found: Localization) -> Figure:
    """Density of each map's mass inside the hole and in the ring around it, for each arm; dotted: chance."""
    parts = {"inside_density": "in the hole", "ring_density": "in the ring"}
    table = pd.concat([_records(found, metric).assign(part=part) for metric, part in parts.items()])
    table = table[table["detector"] != "uniform"]
    colours = {"in the hole": COLOURS["hole"], "in the ring": COLOURS["neutral"]}
    return forest(
        table.assign(name=named(table)), "name", "part", "arm", reference=1, colours=colours,
        xlabel="density of the map's mass (1: chance)", width=3.2,
    )  # fmt: skip


def arms(found: Localization, metrics: Sequence[str] = ("pointing", "ap", "inside_minus_ring")) -> Figure:
    """Spliced minus regenerated of the same photographs, for each map and metric, with intervals."""
    records = pd.DataFrame(found.result["arms"])
    if not len(records):
        return nothing("This run holds only one of the two arms.")
    records = records[~records["detector"].isin(BASELINES) & records["metric"].isin(metrics)].assign(arm="difference")
    titles = {metric: f"{TITLES.get(metric, metric)}\nspliced − regenerated" for metric in metrics}
    table = records.assign(name=named(records), panel=records["metric"].map(titles)).astype(dict.fromkeys(ENDS, float))
    return forest(table, "name", "arm", "panel", reference=0, colours={"difference": COLOURS["neutral"]})
