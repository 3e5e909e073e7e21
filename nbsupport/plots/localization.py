"""Figures of chapter 10 about heat maps: the maps beside the holes, where their mass lies, and how well they point."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nbsupport.evaluation.localization import BASELINES, Localization
from nbsupport.plots.evaluation import nothing, outlined
from nbsupport.plots.style import COLOURS

TITLES = {
    "pointing": "pointing game: highest point in the hole",
    "ap": "average precision of the pixels",
    "iou": "overlap (IoU), threshold of validation",
    "best_iou": "overlap (IoU), best threshold of each map",
    "inside_minus_ring": "density in the hole minus in the ring",
}
_MARKERS = {"spliced": "D", "regenerated": "s"}


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


def _names(own: pd.DataFrame) -> list[tuple[str, int]]:
    return list(dict.fromkeys(zip(own["detector"], own["seed"], strict=True)))


def _forest(axis, own: pd.DataFrame, names: Sequence[tuple[str, int]]) -> None:
    """A line for each map maker, a mark with its interval for each arm."""
    arms = list(dict.fromkeys(own["arm"]))
    for k, arm in enumerate(arms):
        rows = own[own["arm"] == arm]
        at = [
            names.index(key) + 0.24 * (k - (len(arms) - 1) / 2)
            for key in zip(rows["detector"], rows["seed"], strict=True)
        ]
        reach = np.nan_to_num(np.clip([rows["value"] - rows["low"], rows["high"] - rows["value"]], 0, None))
        look = {"fmt": _MARKERS.get(arm, "o"), "color": COLOURS.get(arm, COLOURS["neutral"]), "ms": 4.5, "capsize": 2}
        axis.errorbar(rows["value"], at, xerr=reach, label=arm, **look)
    axis.set_ylim(len(names) - 0.5, -0.5)


def forest(found: Localization, metrics: Sequence[str] = ("pointing", "ap", "iou")) -> Figure:
    """Metrics of every map with intervals: a panel for each metric, baselines and segmentation among the lines."""
    names = _names(_records(found, metrics[0]))
    labels = [name if sum(n == name for n, _ in names) == 1 else f"{name} {seed}" for name, seed in names]
    size = (3 * len(metrics) + 1.6, 0.42 * len(names) + 1.3)
    figure, axes = plt.subplots(1, len(metrics), figsize=size, squeeze=False, sharey=True)
    for axis, metric in zip(axes[0], metrics, strict=True):
        own = _records(found, metric)
        _forest(axis, own, names)
        chance = own.loc[own["detector"] == "uniform", "value"].mean()
        axis.axvline(chance, color=COLOURS["neutral"], ls=":", lw=1)
        axis.set_xlabel(TITLES.get(metric, metric), fontsize=8)
    axes[0, 0].set_yticks(range(len(names)), labels, fontsize=8)
    handles, texts = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=2, fontsize=8)
    plt.close(figure)
    return figure


def densities(found: Localization) -> Figure:
    """Density of each map's mass inside the hole and in the ring around it, for each arm; dotted: chance."""
    inside, ring = _records(found, "inside_density"), _records(found, "ring_density")
    arms = list(dict.fromkeys(inside["arm"]))
    names = [key for key in _names(inside) if key[0] != "uniform"]
    size = (3.6 * len(arms) + 1.4, 0.45 * len(names) + 1.3)
    figure, axes = plt.subplots(1, len(arms), figsize=size, squeeze=False, sharey=True, sharex=True)
    for axis, arm in zip(axes[0], arms, strict=True):
        for part, label, colour, offset in (
            (inside, "in the hole", "hole", -0.17),
            (ring, "in the ring", "neutral", 0.17),
        ):
            own = part[part["arm"] == arm].set_index(["detector", "seed"]).loc[names]
            reach = np.nan_to_num(np.clip([own["value"] - own["low"], own["high"] - own["value"]], 0, None))
            at = np.arange(len(names)) + offset
            axis.barh(at, own["value"], 0.3, color=COLOURS[colour], label=label)
            axis.errorbar(own["value"], at, xerr=reach, fmt="none", ecolor="k", lw=1, capsize=2)
        axis.axvline(1, color="k", ls=":", lw=1)
        axis.set(title=arm, xlabel="density of the map's mass (1: chance)", ylim=(len(names) - 0.5, -0.5))
    axes[0, 0].set_yticks(range(len(names)), [name for name, _ in names], fontsize=8)
    handles, texts = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=2, fontsize=8)
    plt.close(figure)
    return figure


def arms(found: Localization, metrics: Sequence[str] = ("pointing", "ap", "inside_minus_ring")) -> Figure:
    """Spliced minus regenerated of the same photographs, for each map and metric, with intervals."""
    records = pd.DataFrame(found.result["arms"])
    if not len(records):
        return nothing("This run holds only one of the two arms.")
    records = records[~records["detector"].isin(BASELINES)].assign(arm="difference")
    names = _names(records)
    size = (3 * len(metrics) + 1.6, 0.36 * len(names) + 1.1)
    figure, axes = plt.subplots(1, len(metrics), figsize=size, squeeze=False, sharey=True)
    for axis, metric in zip(axes[0], metrics, strict=True):
        own = records[records["metric"] == metric]
        _forest(axis, own.assign(**{n: own[n].astype(float) for n in ("value", "low", "high")}), names)
        axis.axvline(0, color=COLOURS["neutral"], ls=":", lw=1)
        axis.set_xlabel(TITLES.get(metric, metric) + "\nspliced − regenerated", fontsize=8)
    axes[0, 0].set_yticks(range(len(names)), [name for name, _ in names], fontsize=8)
    plt.close(figure)
    return figure
