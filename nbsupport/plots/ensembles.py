"""Figures of chapter 9: members beside ensembles, common failures, corrected errors, weights, reliability."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nbsupport.detectors import ensemble
from nbsupport.evaluation import detector_metrics
from nbsupport.plots.detectors import MARKERS, PALETTE
from nbsupport.plots.style import COLOURS


def _seed(records: Sequence[Mapping]) -> int:
    return min(record["seed"] for record in records)


def forest(records: Sequence[Mapping], metric: str = "auroc") -> Figure:
    """A metric of members (blue) and ensembles (orange) with intervals, a panel for each fake arm; first seed.

    Args: records: of ``comparison.metric_table``. metric: one of them. The band is the interval of the best member.
    """
    records = [r for r in records if r["seed"] == _seed(records)]
    arms, names = (list(dict.fromkeys(r[key] for r in records)) for key in ("arm", "detector"))
    names.sort(key=ensemble.NAMES.__contains__)
    size = (2 + 2.5 * len(arms), 1 + 0.3 * len(names))
    figure, axes = plt.subplots(1, len(arms), figsize=size, squeeze=False, sharey=True)
    for axis, arm in zip(axes[0], arms, strict=True):
        own = {r["detector"]: r[metric] for r in records if r["arm"] == arm}
        for n, name in enumerate(names):
            joint = name in ensemble.NAMES
            _interval(axis, own[name], n, PALETTE[1] if joint else PALETTE[0], "s" if joint else "o")
        best = max((own[n] for n in names if n not in ensemble.NAMES), key=lambda found: found["value"])
        if best["low"] is not None:
            axis.axvspan(best["low"], best["high"], color=PALETTE[0], alpha=0.1, lw=0)
        axis.set_title(arm)
        axis.set_xlabel(metric.upper() if metric in ("auroc", "ap", "ece") else metric.replace("_", " "))
    axes[0, 0].set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes[0, 0].invert_yaxis()
    plt.close(figure)
    return figure


def gains(records: Sequence[Mapping], reference: str) -> Figure:
    """AUROC of each ensemble minus that of its reference, by groups, a panel for each arm; filled: not a tie.

    Args: records: of ``report.comparisons``. reference: ``best member`` or ``plain mean``.
    """
    records = [r for r in records if r["reference"] == reference]
    arms = list(dict.fromkeys(r["arm"] for r in records))
    names = list(dict.fromkeys(f"{r['ensemble'].replace('_', ' ')}" for r in records))
    seeds = sorted({r["seed"] for r in records})
    size = (2 + 2.5 * len(arms), 1.1 + 0.32 * len(names))
    figure, axes = plt.subplots(1, max(1, len(arms)), figsize=size, squeeze=False, sharey=True)
    for axis, arm in zip(axes[0], arms, strict=False):
        for record in (r for r in records if r["arm"] == arm):
            at = names.index(record["ensemble"].replace("_", " ")) + 0.15 * (
                seeds.index(record["seed"]) - (len(seeds) - 1) / 2
            )
            tie = record["verdict"] == "tie"
            _interval(axis, record["by_groups"], at, PALETTE[1], "s", "white" if tie else PALETTE[1])
        axis.axvline(0, color=COLOURS["neutral"], lw=1, ls=":")
        axis.set_title(arm)
        axis.set_xlabel(f"AUROC − {reference}")
    axes[0, 0].set_yticks(range(len(names)), names)
    axes[0, 0].invert_yaxis()
    plt.close(figure)
    return figure


def pair_matrices(
    pairs: Sequence[Mapping], arm: str, measures: Sequence[str] = ("error_correlation", "q", "disagreement")
) -> Figure:
    """Measures of diversity of every pair of members on one arm, first seed. Args: pairs: of ``diversities``."""
    own = [pair for pair in pairs if pair["arm"] == arm and pair["seed"] == _seed(pairs)]
    names = list(dict.fromkeys(name for pair in own for name in (pair["first"], pair["second"])))
    size = (1.6 + 2.7 * len(measures), 1.6 + 0.45 * len(names))
    figure, axes = plt.subplots(1, len(measures), figsize=size, squeeze=False)
    for n, (axis, measure) in enumerate(zip(axes[0], measures, strict=True)):
        table = np.full((len(names), len(names)), np.nan)
        for pair in own:
            ends = names.index(pair["first"]), names.index(pair["second"])
            if pair[measure] is not None:
                table[ends] = table[ends[::-1]] = pair[measure]
        one_sided = measure == "disagreement"
        _cells(axis, table, names, names if n == 0 else None, "Blues" if one_sided else "PuOr_r", not one_sided)
        axis.set_title(
            measure.replace("_", " ").replace("q", "Yule's Q") if measure == "q" else measure.replace("_", " ")
        )
    plt.close(figure)
    return figure


def mending(table: pd.DataFrame, arm: str) -> Figure:
    """Of the errors of each member (rows), the share that each other member or ensemble judges correctly (columns).

    Args: table: the score table of members and ensembles; test split, first seed.
    """
    chosen = detector_metrics.of_arm(table[table["seed"] == table["seed"].min()], arm)
    wide = chosen.assign(right=(chosen["probability"] >= 0.5) == (chosen["label"] == 1))
    wide = wide.pivot(index="path", columns="detector", values="right").dropna().astype(bool)
    names = sorted(dict.fromkeys(chosen["detector"]), key=ensemble.NAMES.__contains__)
    members = [name for name in names if name not in ensemble.NAMES]
    shares = np.full((len(members), len(names)), np.nan)
    for r, erring in enumerate(members):
        for c, helper in enumerate(names):
            if erring != helper and (~wide[erring]).any():
                shares[r, c] = wide.loc[~wide[erring], helper].mean()
    figure, axis = plt.subplots(figsize=(2.2 + 0.62 * len(names), 1.7 + 0.42 * len(members)))
    counts = [f"{name.replace('_', ' ')} ({(~wide[name]).sum()} errors)" for name in members]
    _cells(axis, shares, names, counts, "Blues", False)
    axis.axvline(len(members) - 0.5, color="black", lw=1)
    axis.set_title(f"share of the errors that the column judges correctly, {arm}")
    plt.close(figure)
    return figure


def weights(records: Sequence[Mapping]) -> Figure:
    """Weights of the members with their spread over drawn validation groups. Args: records: of ``report.weights``."""
    kinds, names, seeds = (list(dict.fromkeys(r[key] for r in records)) for key in ("ensemble", "detector", "seed"))
    size = (2 + 3.2 * max(1, len(kinds)), 1.1 + 0.34 * len(names))
    figure, axes = plt.subplots(1, max(1, len(kinds)), figsize=size, squeeze=False, sharey=True)
    for axis, kind in zip(axes[0], kinds, strict=False):
        for record in (r for r in records if r["ensemble"] == kind):
            number = seeds.index(record["seed"])
            at = names.index(record["detector"]) + 0.18 * (number - (len(seeds) - 1) / 2)
            _interval(axis, record, at, PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)])
        even = 1 / len(names) if kind == "weighted_vote" else 0
        axis.axvline(even, color=COLOURS["neutral"], lw=1, ls=":")
        axis.set_title(kind.replace("_", " "))
        axis.set_xlabel("share of the vote (dotted: even)" if kind == "weighted_vote" else "coefficient (dotted: none)")
    axes[0, 0].set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes[0, 0].invert_yaxis()
    plt.close(figure)
    return figure


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


def _interval(axis: Axes, found: Mapping, at: float, colour: str, marker: str, face: str | None = None) -> None:
    if found["value"] is None:
        return
    if found["low"] is not None:
        axis.plot([found["low"], found["high"]], [at, at], color=colour, lw=1.6)
    axis.plot(found["value"], at, marker, color=colour, mfc=face or colour, ms=5.5)


def _cells(
    axis: Axes, table: np.ndarray, columns: Sequence[str], rows: Sequence[str] | None, colours: str, signed: bool
) -> None:
    axis.imshow(table, cmap=colours, vmin=-1 if signed else 0, vmax=1, aspect="auto")
    for (r, c), value in np.ndenumerate(table):
        if np.isfinite(value):
            dark = abs(value) > 0.65
            axis.text(c, r, f"{value:.2f}", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    words = [name.replace("_", " ") for name in columns]
    axis.set_xticks(range(len(words)), words, rotation=40, ha="right", fontsize=8)
    axis.set_yticks(range(len(table)), [r.replace("_", " ") for r in rows] if rows else [""] * len(table), fontsize=8)
    axis.grid(False)
