"""Figures of chapter 10 about causes: properties and clusters of errors, AUROC against coverage, quality and escape."""

import textwrap

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from nbsupport.evaluation.error_analysis import Errors
from nbsupport.plots.evaluation import nothing
from nbsupport.plots.forest import ENDS, flat, forest, marks, named
from nbsupport.plots.style import COLOURS


def clusters(found: Errors) -> Figure:
    """Share of errors in each cluster of the best detector, with intervals; dotted: the share among all pictures."""
    sides = [side for side in found.result["analysed"] if side["clusters"]]
    if not sides:
        return nothing("There are too few errors in this run for clusters.")
    size = (10, sum(0.5 * len(side["clusters"]) + 0.65 for side in sides) + 0.4)
    ratios = [len(side["clusters"]) + 0.6 for side in sides]
    figure, axes = plt.subplots(len(sides), 1, figsize=size, squeeze=False, sharex=True, height_ratios=ratios)
    for axis, side in zip(axes[:, 0], sides, strict=True):
        own = pd.DataFrame(side["clusters"])
        colour = COLOURS.get(side["arm"], COLOURS["neutral"])
        own = own.astype(dict.fromkeys(ENDS, float)).assign(cluster=own.index.astype(str), arm=side["arm"])
        marks(axis, own, "cluster", "arm", list(own["cluster"]), {side["arm"]: (colour, "o")})
        axis.axvline(own["whole"].iloc[0], color=colour, ls=":", lw=1)
        labels = [
            "\n".join(textwrap.wrap(f"{words}  ({wrong} of {pictures})".replace("$", r"\$"), 62)[:2])
            for words, wrong, pictures in zip(own["words"], own["errors"], own["pictures"], strict=True)
        ]
        axis.set_yticks(range(len(own)), labels, fontsize=8)
        axis.set_ylim(len(own) - 0.5, -0.5)
        axis.set_title(f"{side['arm']}: {side['outcome']}, {side['level']} errors", fontsize=9)
        axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes[-1, 0].set(xlabel="share of pictures judged wrongly", xlim=(-0.02, 1.02))
    plt.close(figure)
    return figure


def crossings(found: Errors) -> Figure:
    """AUROC in windows of coverage, best detector, one panel for each arm, with the target and where it is reached."""
    detector, seed = found.best
    own = [r for r in found.result["crossings"] if (r["detector"], r["seed"]) == (detector, seed) and r["curve"]]
    if not own:
        return nothing("There are too few fakes in this run for AUROC in windows of coverage.")
    figure, axes = plt.subplots(1, len(own), figsize=(4.3 * len(own), 3), squeeze=False, sharey=True)
    for axis, record in zip(axes[0], own, strict=True):
        curve = pd.DataFrame(record["curve"]).astype(float)
        colour = COLOURS.get(record["arm"], COLOURS["neutral"])
        axis.fill_between(curve["coverage"], curve["low"], curve["high"], color=colour, alpha=0.2, lw=0)
        axis.plot(curve["coverage"], curve["auroc"], color=colour, marker="o", ms=3)
        axis.axhline(record["target"], color=COLOURS["neutral"], ls=":", lw=1)
        axis.axhline(0.5, color=COLOURS["neutral"], lw=0.8)
        if record["state"] == "crosses":
            axis.axvspan(record["low"], record["high"], color=COLOURS["neutral"], alpha=0.15, lw=0)
            axis.axvline(record["value"], color="k", lw=1)
        axis.set(title=f"{record['arm']}: {record['state']}", xlabel="coverage of the hole (mean of a window)")
        axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes[0, 0].set_ylabel(f"AUROC of {detector}")
    plt.close(figure)
    return figure


def quality(found: Errors) -> Figure:
    """Rank correlation of each quality of the fill with the answer, every detector and arm; dotted: none."""
    titles = {"hole_l1": "distance of the paint (hole L1)", "hole_ssim": "similarity in the hole (SSIM)"}
    records = [r for r in found.result["escapes"] if r["quality"] in titles]
    table = flat(records, "correlation")
    if table["value"].isna().all():
        return nothing("There are too few fakes in this run to ask whether better fills escape.")
    table = table.assign(panel=table["quality"].map(titles), name=named(table))
    return forest(table, "name", "arm", "panel", reference=0, xlabel="rank correlation with the answer", width=3.2)


def neighbours(rows: pd.DataFrame, pairs, size: float = 1.6) -> Figure:
    """Over each other: pictures judged wrongly, and the nearest picture of the same arm that was judged correctly."""
    rows = rows[rows["neighbour"] >= 0]
    if not len(rows):
        return nothing("There is no wrong answer with a correctly judged neighbour in this run.")
    figure, axes = plt.subplots(2, len(rows), figsize=(size * len(rows) + 0.3, 2 * size + 0.4), squeeze=False)
    for column, row in zip(axes.T, rows.to_dict("records"), strict=True):
        for axis, number in zip(column, (row["number"], row["neighbour"]), strict=True):
            axis.imshow(pairs.cache[int(number)])
            axis.set(xticks=[], yticks=[])
        column[0].set_title(f"fake {row['probability']:.0%}", loc="center", fontsize=8)
    axes[0, 0].set_ylabel("judged wrongly", fontsize=8)
    axes[1, 0].set_ylabel("nearest right one", fontsize=8)
    plt.close(figure)
    return figure
