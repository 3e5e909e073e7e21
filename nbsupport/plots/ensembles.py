"""Figures of chapter 9: members beside ensembles, common failures, corrected errors, weights, reliability."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nbsupport.detectors import ensemble
from nbsupport.evaluation import detector_metrics
from nbsupport.plots.forest import flat, forest
from nbsupport.plots.style import COLOURS, PALETTE

_SHORT = ("auroc", "ap", "ece")


def _seed(records: Sequence[Mapping]) -> int:
    return min(record["seed"] for record in records)


def members_and_ensembles(records: Sequence[Mapping], metric: str = "auroc") -> Figure:
    """A metric of members and ensembles with intervals, a panel for each fake arm; first seed.

    Args: records: of ``detector_metrics.metric_table``. metric: one of them. The band is that of the best member.
    """
    records = [r for r in records if r["seed"] == _seed(records)]
    records.sort(key=lambda record: record["detector"] in ensemble.NAMES)
    table = flat(records, metric)
    table["kind"] = table["detector"].isin(ensemble.NAMES).map({False: "detector", True: "ensemble"})
    table["name"] = table["detector"].str.replace("_", " ")
    title = metric.upper() if metric in _SHORT else metric.replace("_", " ")
    figure = forest(table, "name", "kind", "arm", xlabel=title)
    single = table[table["kind"] == "detector"]
    for axis, arm in zip(figure.axes, dict.fromkeys(table["arm"]), strict=True):
        own = single[single["arm"] == arm]
        best = own.loc[own["value"].idxmax()]
        if np.isfinite(best["low"]):
            axis.axvspan(best["low"], best["high"], color=PALETTE[0], alpha=0.1, lw=0)
    return figure


def gains(records: Sequence[Mapping], reference: str) -> Figure:
    """AUROC of each ensemble minus that of its reference, by groups, a panel for each arm; filled: not a tie.

    Args: records: of ``ensemble_report.comparisons``. reference: ``best member`` or ``plain mean``.
    """
    table = flat([r for r in records if r["reference"] == reference], "by_groups")
    table = table.assign(
        name=table["ensemble"].str.replace("_", " "),
        shown=table["verdict"] != "tie",
        run="seed " + table["seed"].astype(str),
    )
    return forest(table, "name", "run", "arm", filled="shown", reference=0, xlabel=f"AUROC − {reference}")


def pair_matrices(
    pairs: Sequence[Mapping], arm: str, measures: Sequence[str] = ("error_correlation", "q", "disagreement")
) -> Figure:
    """Measures of diversity of every pair of members on one arm, first seed. Args: pairs: of ``diversities``."""
    own = pd.DataFrame([pair for pair in pairs if pair["arm"] == arm and pair["seed"] == _seed(pairs)])
    both = pd.concat([own, own.rename(columns={"first": "second", "second": "first"})])
    names = list(dict.fromkeys([*own["first"], *own["second"]]))
    size = (1.6 + 2.7 * len(measures), 1.6 + 0.45 * len(names))
    figure, axes = plt.subplots(1, len(measures), figsize=size, squeeze=False, sharey=True)
    for axis, measure in zip(axes[0], measures, strict=True):
        table = both.pivot(index="first", columns="second", values=measure).astype(float).loc[names, names]
        signed = measure != "disagreement"
        _cells(axis, table, cmap="PuOr_r" if signed else "Blues", vmin=-1 if signed else 0)
        axis.set_title("Yule's Q" if measure == "q" else measure.replace("_", " "))
    plt.close(figure)
    return figure


def complementarity(table: pd.DataFrame, arm: str) -> Figure:
    """Of the errors of each member (rows), the share that each other member or ensemble judges correctly (columns).

    Args: table: the score table of members and ensembles; test split, first seed.
    """
    chosen = detector_metrics.of_arm(table[table["seed"] == table["seed"].min()], arm)
    wide = chosen.assign(right=(chosen["probability"] >= 0.5) == (chosen["label"] == 1))
    wide = wide.pivot(index="path", columns="detector", values="right").dropna().astype(bool)
    names = sorted(dict.fromkeys(chosen["detector"]), key=ensemble.NAMES.__contains__)
    members = [name for name in names if name not in ensemble.NAMES]
    shares = pd.DataFrame(
        {name: {m: wide.loc[~wide[m], name].mean() if m != name else np.nan for m in members} for name in names}
    )
    shares.index = [f"{name} ({(~wide[name]).sum()} errors)" for name in members]
    figure, axis = plt.subplots(figsize=(2.2 + 0.62 * len(names), 1.7 + 0.42 * len(members)))
    _cells(axis, shares, cmap="Blues", vmin=0)
    axis.axvline(len(members), color="black", lw=1)
    axis.set_title(f"share of the errors that the column judges correctly, {arm}")
    plt.close(figure)
    return figure


def weights(records: Sequence[Mapping]) -> Figure:
    """Weights of the members with their spread over drawn validation groups. Args: records: ``result["weights"]``."""
    titles = {"weighted_vote": "weighted vote: share (dotted: even)"}
    rows = [
        {
            "name": record["detector"].replace("_", " "),
            "run": f"seed {record['seed']}",
            "panel": titles.get(record["ensemble"], f"{record['ensemble'].replace('_', ' ')}: coefficient"),
            "weight": record,
        }
        for record in records
    ]
    table = flat(rows, "weight")
    even = 1 / max(1, table["name"].nunique()) if len(table) else 0
    references = {name: even if name in titles.values() else 0.0 for name in dict.fromkeys(table.get("panel", []))}
    return forest(table, "name", "run", "panel", reference=references)


def reliability(table: pd.DataFrame, names: Sequence[str], arm: str = detector_metrics.ALL, bins: int = 8) -> Figure:
    """Share of fakes among test pictures of like probability, both classes weighing the same, a panel for each name.

    Args: names: of detectors or ensembles. bins: of equally many pictures each; the area of a dot is their number.
    """
    columns = min(4, len(names))
    lines = -(-len(names) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(2.2 * columns, 2.3 * lines + 0.3), squeeze=False, sharex=True, sharey=True
    )
    for axis, name in zip(axes.flat, names, strict=False):
        own = detector_metrics.of_arm(table[table["detector"] == name], arm)
        order = np.argsort(own["probability"].to_numpy(), kind="stable")
        labels, said = own["label"].to_numpy()[order] == 1, own["probability"].to_numpy()[order]
        weight = np.where(labels, 0.5 / labels.mean(), 0.5 / (1 - labels.mean()))
        parts = [part for part in np.array_split(np.arange(len(own)), bins) if len(part)]
        shown = [(np.average(said[p], weights=weight[p]), np.average(labels[p], weights=weight[p])) for p in parts]
        axis.plot([0, 1], [0, 1], ":", color=COLOURS["neutral"], lw=1)
        colour = PALETTE[1] if name in ensemble.NAMES else PALETTE[0]
        axis.plot(*zip(*shown, strict=True), "-o", color=colour, ms=4, lw=1.2)
        axis.set(title=name.replace("_", " "), xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    figure.supxlabel("probability", fontsize=9)
    figure.supylabel("share inpainted", fontsize=9)
    plt.close(figure)
    return figure


def _cells(axis: Axes, table: pd.DataFrame, **look: Any) -> None:
    """A heat map with its numbers; names without underscores."""
    table = table.rename(index=lambda name: name.replace("_", " "), columns=lambda name: name.replace("_", " "))
    seaborn.heatmap(table, ax=axis, vmax=1, annot=True, fmt=".2f", annot_kws={"fontsize": 8}, cbar=False, **look)
    axis.set(xlabel="", ylabel="")
    axis.tick_params(axis="y", rotation=0)
    axis.set_xticks(axis.get_xticks(), axis.get_xticklabels(), rotation=40, ha="right")
