"""Figures of what was trained again and again: training-size curves, the inpainter matrix, transfers, the search."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nbsupport.plots.style import COLOURS


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
        axis.imshow(values, vmin=0.5, vmax=1.0, cmap="YlGnBu", aspect="auto")
        for (row, column), value in np.ndenumerate(values.to_numpy()):
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.83 else "black")
        axis.set_xticks(range(len(columns)), columns)
        axis.set_yticks(range(len(rows)), rows)
        axis.set(title=f"{arm}, {condition}", xlabel="judged on")
        axis.grid(False)
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
