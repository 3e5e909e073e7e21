"""Figures of chapter 10: the pictures judged wrongly, shares with intervals by hole and species, agreement, paint.

ROC curves and metrics of whole detectors are in ``plots.detectors``.
"""

from collections.abc import Mapping, Sequence

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from nbsupport.evaluation.error_analysis import Errors
from nbsupport.masks import MaskSet
from nbsupport.pairs import Pairs
from nbsupport.plots.forest import legend, looks, marks
from nbsupport.plots.pairs import GAIN, difference
from nbsupport.plots.style import COLOURS, picture_grid

_MARKERS = {"original": "o", "regenerated": "s", "spliced": "D"}
_OUTLINE = (255, 0, 190)


def outlined(image: np.ndarray, hole: np.ndarray, enlarge: int = 3) -> np.ndarray:
    """The picture enlarged, with the border of the hole drawn on it.

    Args:
        image: (H, W, 3) uint8 RGB.
        hole: (H, W) bool, True = hole.
        enlarge: whole factor, so that the line is thinner than a pixel of the picture.

    Returns:
        (H * enlarge, W * enlarge, 3) uint8.
    """
    grown = np.ascontiguousarray(image.repeat(enlarge, axis=0).repeat(enlarge, axis=1))
    inside = np.ascontiguousarray(hole.astype(np.uint8).repeat(enlarge, axis=0).repeat(enlarge, axis=1))
    contours, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(grown, contours, -1, _OUTLINE, 1)


def gallery(rows: pd.DataFrame, pairs: Pairs, holes: MaskSet) -> Figure:
    """Fakes, one a row: original, the fake with its hole outlined, the fake as judged, and what was changed.

    Args:
        rows: of ``Errors.table``; fakes only. Without rows, the figure says so.
    """
    if not len(rows):
        return nothing("There is no such picture in this run.")
    original = dict(zip(pairs.manifest["image_id"], pairs.manifest.index, strict=True)) | dict(
        pairs.manifest.query("arm == 'original'").reset_index().set_index("image_id")["index"]
    )
    pictures, lines = [], []
    for row in rows.to_dict("records"):
        photograph, fake = pairs.cache[original[row["image_id"]]], np.asarray(pairs.cache[row["number"]])
        hole = holes.by_id([row["mask_id"]])[0]
        pictures.append([photograph, outlined(fake, hole), fake, difference(photograph, fake)])
        where = f"{row['mask_kind']}, {row['coverage']:.0%} of the picture"
        lines.append(f"fake with probability {row['probability']:.0%}; {row['arm']}; {where}: {_words(row)}")
    return picture_grid(pictures, ["original", "where the hole is", "as judged", f"difference × {GAIN}"], lines, 1.7)


def photographs(rows: pd.DataFrame, pairs: Pairs) -> Figure:
    """Pictures side by side, each with its probability and species over it (for false alarms); may be none."""
    if not len(rows):
        return nothing("There is no such picture in this run.")
    columns = min(len(rows), 6)
    lines = -(-len(rows) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(1.7 * columns, 2.15 * lines), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, row in zip(axes.flat, rows.to_dict("records"), strict=False):
        axis.imshow(pairs.cache[row["number"]])
        name = str(row["species"]).replace("$", r"\$")
        axis.set_title(f"fake {row['probability']:.0%}\n{name[:22]}", loc="center", fontsize=8)
    plt.close(figure)
    return figure


def _words(row: Mapping) -> str:
    return str(row["caption"]).replace("$", r"\$") or "(no caption)"  # a dollar would begin a formula


def nothing(sentence: str) -> Figure:
    """A figure that holds one sentence, where a run has nothing to draw."""
    figure, axis = plt.subplots(figsize=(5, 0.6))
    axis.axis("off")
    axis.text(0, 0.5, sentence, va="center", style="italic")
    plt.close(figure)
    return figure


def shares(found: Errors, by: Sequence[str], measure: str = "recall", most: int = 20) -> Figure:
    """Shares of the best detector with their intervals: a panel for each of `by`, a colour for each arm.

    Args:
        found: what ``evaluation.error_analysis`` counted.
        by: kind, coverage, species, inpainter.
        measure: recall, or false alarms (of photographs, whose holes were not painted).
        most: categories to show; the ones with most pictures.
    """
    records = pd.DataFrame(found.result["shares"])
    detector, seed = found.best
    own = records.query("detector == @detector and seed == @seed and measure == @measure")
    own = own.assign(**{name: own[name].astype(float) for name in ("value", "low", "high")})
    panels = {name: own[own["by"] == name] for name in by}
    if not any(len(panel) for panel in panels.values()):
        return nothing(f"This run holds no {measure} to draw.")
    tallest = max(min(panel["category"].nunique(), most) for panel in panels.values())
    size = (4.3 * len(by), 1.2 + 0.42 * tallest)
    figure, axes = plt.subplots(1, len(by), figsize=size, squeeze=False, sharex=True)
    for axis, (name, panel) in zip(axes[0], panels.items(), strict=True):
        _dots(axis, panel, own[own["by"] == "all"], most)
        axis.set_title(f"by {name}")
        axis.set_xlabel("share of fakes found" if measure == "recall" else "share of photographs called fake")
        axis.xaxis.set_major_formatter(PercentFormatter(1.0))
        axis.set_xlim(-0.02, 1.02)
    legend(figure, looks(list(dict.fromkeys(pd.concat(list(panels.values()))["arm"]))))
    plt.close(figure)
    return figure


def _dots(axis, panel: pd.DataFrame, whole: pd.DataFrame, most: int) -> None:
    """One line for each category, with the number of pictures behind it; dotted: the share of the whole arm."""
    sizes = panel.groupby("category", sort=False)["pictures"].max()
    kept = set(sizes.sort_values(ascending=False, kind="stable").index[:most])
    names, arms = [name for name in sizes.index if name in kept], list(dict.fromkeys(panel["arm"]))
    variants = looks(arms)
    marks(axis, panel[panel["category"].isin(kept)], "category", "arm", names, variants)
    for arm, value in zip(whole["arm"], whole["value"], strict=True):
        if arm in variants:
            axis.axvline(value, ls=":", lw=1, color=variants[arm][0])
    axis.set_yticks(range(len(names)), [f"{name}  (n = {sizes[name]})" for name in names], fontsize=8)
    axis.set_ylim(len(names) - 0.5, -0.5)


def agreement(found: Errors) -> Figure:
    """How many detectors are wrong about the same picture (bars), and how many would be if they erred independently."""
    records = pd.DataFrame(found.result["agreement"])
    arms = list(dict.fromkeys(records["arm"]))
    figure, axes = plt.subplots(1, len(arms), figsize=(3 * len(arms), 2.6), squeeze=False)
    for axis, arm in zip(axes[0], arms, strict=True):
        own = records[records["arm"] == arm]
        axis.bar(own["wrong"], own["pictures"], color=COLOURS.get(arm, COLOURS["neutral"]), alpha=0.75, label="counted")
        axis.plot(own["wrong"], own["expected"], "k_", ms=22, mew=2, label="if independent")
        axis.set(title=arm, xlabel="detectors that are wrong", xticks=own["wrong"])
    axes[0, 0].set_ylabel("pictures")
    axes[0, 0].legend(fontsize=8)
    plt.close(figure)
    return figure


def paint(found: Errors) -> Figure:
    """The best detector's probability of each fake against the coverage of its hole and the distance of its paint."""
    own = found.of(*found.best)
    fakes = own[own["label"] == 1]
    titles = {"coverage": "hole, share of the picture", "hole_l1": "mean distance of paint and photograph"}
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3), sharey=True)
    for axis, (column, title) in zip(axes, titles.items(), strict=True):
        for arm, rows in fakes.groupby("arm"):
            colour = COLOURS.get(arm, COLOURS["neutral"])
            axis.scatter(
                rows[column], rows["probability"], s=14, alpha=0.5, color=colour, marker=_MARKERS.get(arm), label=arm
            )
        axis.axhline(found.result["threshold"], color=COLOURS["neutral"], lw=1, ls=":")
        axis.set(xlabel=title, ylim=(-0.03, 1.03))
    axes[0].set_ylabel("probability of fake")
    axes[0].legend(fontsize=8)
    plt.close(figure)
    return figure


def _mean_of_seeds(records: Sequence[Mapping], keys: Sequence[str]) -> pd.DataFrame:
    """One row for each combination of `keys`: the mean AUROC over seeds, its lowest and highest interval end."""
    flat = pd.DataFrame([{**record, **record["auroc"]} for record in records])
    grouped = flat.groupby(list(keys), sort=False)
    return grouped.agg(value=("value", "mean"), low=("low", "min"), high=("high", "max")).reset_index()


def sizes(records: Sequence[Mapping]) -> Figure:
    """AUROC by the number of training photographs, a line for each fake arm.

    Args: records: of ``studies.summarise``; the study ``size`` is drawn. Bars reach over the intervals of all seeds.
    """
    table = _mean_of_seeds([r for r in records if r["study"] == "size"], ["training_photographs", "arm"])
    figure, axis = plt.subplots(figsize=(6, 3.4))
    for arm, own in table.groupby("arm", sort=False):
        own = own.sort_values("training_photographs")
        spread = np.stack([own["value"] - own["low"], own["high"] - own["value"]])
        axis.errorbar(own["training_photographs"], own["value"], spread, color=COLOURS[arm], marker="o", label=arm)
    axis.axhline(0.5, color=COLOURS["neutral"], lw=1, ls=":")
    axis.set(xscale="log", xlabel="training photographs", ylabel="AUROC on held-out photographs")
    axis.set_ylim(min(0.4, table["low"].min() - 0.03), 1.03)
    ticks = sorted(table["training_photographs"].unique())
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.minorticks_off()
    axis.legend(frameon=False)
    plt.close(figure)
    return figure


def matrix(records: Sequence[Mapping], arm: str) -> Figure:
    """AUROC of a detector trained on one inpainter (rows) on fakes of each (columns), a panel for each condition.

    Args: records: of ``studies.summarise``; those of the study ``matrix`` are drawn. arm: of the fakes that are judged.
    """
    own = [r for r in records if r["study"] == "matrix" and r["arm"] == arm]
    table = _mean_of_seeds(own, ["variant", "inpainter", "condition"])
    conditions = list(dict.fromkeys(table["condition"]))
    rows, columns = (list(dict.fromkeys(table[name])) for name in ("variant", "inpainter"))
    width = (1.5 * len(columns) + 0.3) * len(conditions) + 2.5
    figure, axes = plt.subplots(1, len(conditions), figsize=(width, 0.6 * len(rows) + 1.3), sharey=True, squeeze=False)
    for axis, condition in zip(axes[0], conditions, strict=True):
        values = table[table["condition"] == condition].pivot(index="variant", columns="inpainter", values="value")
        values = values.loc[rows, columns]
        seaborn.heatmap(values, ax=axis, vmin=0.5, vmax=1, cmap="YlGnBu", annot=True, fmt=".2f", cbar=False)
        axis.tick_params(axis="y", rotation=0)
        axis.set(title=f"{arm}, {condition}", xlabel="judged on", ylabel="")
    axes[0, 0].set_ylabel("trained on")
    plt.close(figure)
    return figure


def front(result: Mapping) -> Figure:
    """The networks of a search by their cost and AUROC on validation photographs, with the front of the best.

    Args: result: of ``search.run_search``. Small grey points were given up early and stand where they were then.
    """
    table = pd.DataFrame(result["trials"]).dropna(subset=["auroc"])
    figure, axis = plt.subplots(figsize=(6, 3.6))
    early = table[table["state"] != "complete"]
    whole = table[table["state"] == "complete"]
    axis.plot(early["mega_macs"], early["auroc"], ".", color=COLOURS["neutral"], alpha=0.6, label="given up early")
    axis.plot(whole["mega_macs"], whole["auroc"], "o", color=COLOURS["spliced"], label="trained to the end")
    best = whole[whole["front"]].sort_values("mega_macs")
    axis.plot(best["mega_macs"], best["auroc"], "-", drawstyle="steps-post", color=COLOURS["spliced"], lw=1)
    chosen = result["chosen"]
    axis.plot(chosen["mega_macs"], chosen["auroc"], "o", ms=15, mfc="none", mec=COLOURS["regenerated"], label="chosen")
    axis.set(xscale="log", xlabel="million multiply-adds of one picture", ylabel="AUROC, validation")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("{x:g}")
    axis.legend(frameon=False)
    plt.close(figure)
    return figure
