"""Figures of chapters 7 and 8: training curves, ROC, metrics with intervals, gaps, verdicts with their pictures."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from nbsupport.evaluation import detector_metrics
from nbsupport.pairs import Pairs
from nbsupport.plots.forest import flat, forest, looks, named
from nbsupport.plots.style import COLOURS, picture_grid


def training_curves(logs: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss on training and validation pictures, and validation AUROC, by epoch; the epoch that was kept is ringed.

    Args:
        logs: label -> training log (``detectors.classifier.log``).
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3))
    for name, (colour, marker) in looks(list(logs)).items():
        log = logs[name]
        left.plot(log["epoch"], log["loss"], marker=marker, color=colour, label=f"{name}, training")
        left.plot(log["epoch"], log["validation_loss"], "--", marker=marker, color=colour, mfc="white")
        right.plot(log["epoch"], log["validation_auroc"], "--", marker=marker, color=colour, mfc="white", label=name)
        best = log.loc[log["validation_auroc"].idxmax()]
        right.plot(best["epoch"], best["validation_auroc"], "o", ms=13, mfc="none", mec=colour)
    left.axhline(np.log(2), color=COLOURS["neutral"], lw=1, ls=":")
    left.annotate("guessing", (1, np.log(2)), (0, 2), textcoords="offset points", fontsize=8, color=COLOURS["neutral"])
    right.axhline(0.5, color=COLOURS["neutral"], lw=1, ls=":")
    left.set(title="loss (solid: training, dashed: validation)", xlabel="epoch", ylim=(0, left.get_ylim()[1] * 1.08))
    right.set(title="AUROC on validation photographs", xlabel="epoch")
    for axis in (left, right):
        axis.xaxis.get_major_locator().set_params(integer=True)
    right.legend(fontsize=8)
    plt.close(figure)
    return figure


def roc(table: pd.DataFrame) -> Figure:
    """ROC curves of all detectors on the test split (first seed), one panel for each fake arm."""
    table = table[table["seed"] == table["seed"].min()]
    arms, shown = detector_metrics.fake_arms(table), looks(list(dict.fromkeys(table["detector"])))
    figure, axes = plt.subplots(1, len(arms), figsize=(3 * len(arms), 3.2), squeeze=False, sharey=True)
    for axis, arm in zip(axes[0], arms, strict=True):
        for name, (colour, _) in shown.items():
            chosen = detector_metrics.of_arm(table[table["detector"] == name], arm)
            wrong, right, _ = roc_curve(chosen["label"], chosen["logit"])
            axis.plot(wrong, right, color=colour, label=name, lw=1.8)
        axis.plot([0, 1], [0, 1], ":", color=COLOURS["neutral"], lw=1)
        axis.set(title=arm if arm == detector_metrics.ALL else f"original against {arm}", aspect="equal")
        axis.set_xlabel("photographs called inpainted")
    axes[0, 0].set_ylabel("inpainted pictures found")
    axes[0, 0].legend(loc="lower right", fontsize=8)
    plt.close(figure)
    return figure


def intervals(records: Sequence[Mapping], names: Sequence[str] = ("auroc",), chance: float = 0.5) -> Figure:
    """Metrics with their intervals, a line for each detector, one panel for each of `names`, a mark for each fake arm.

    Args:
        records: of ``detector_metrics.metric_table``.
        names: metrics to draw.
        chance: where guessing would lie.
    """
    titles = {name: name.replace("_", " ").replace("auroc", "AUROC") for name in names}
    table = pd.concat([flat(records, name).assign(measure=title) for name, title in titles.items()])
    return forest(table.assign(label=named(table)), "label", "arm", "measure", reference=chance)


def gaps(records: Sequence[Mapping], found: Sequence[Mapping]) -> Figure:
    """The fall from regenerated to spliced fakes: AUROC on both (left), and their difference (right).

    Args:
        records: of ``detector_metrics.metric_table``.
        found: of ``detector_metrics.gaps``.
    """
    ends = [record for record in records if record["arm"] in ("regenerated", "spliced")]
    name = "regenerated − spliced"
    fall = [{**gap, "arm": "difference", "auroc": gap} for gap in found]
    table = pd.concat([flat(ends).assign(panel="AUROC"), flat(fall).assign(panel=name)])
    table = table.assign(label=named(table))
    table = table[table["label"].isin(set(table.loc[table["panel"] == name, "label"]))]
    colours = {"difference": COLOURS["neutral"]}
    return forest(table, "label", "arm", "panel", reference={"AUROC": 0.5, name: 0.0}, colours=colours)


def probabilities(table: pd.DataFrame) -> Figure:
    """How the detectors' probabilities are spread over the test pictures of each arm, one panel for each detector."""
    arms = [arm for arm in ("original", "spliced", "regenerated") if arm in set(table["arm"])]
    test = table[(table["split"] == "test") & table["arm"].isin(arms)]
    grid = seaborn.displot(
        test, x="probability", hue="arm", hue_order=arms, palette=COLOURS, col="detector",
        col_wrap=min(3, test["detector"].nunique()), kind="hist", element="step", fill=False, stat="density",
        common_norm=False, bins=20, binrange=(0, 1), height=2.3, aspect=1.25, facet_kws={"sharey": False},
    )  # fmt: skip
    grid.set_titles("{col_name}").set(xlabel="probability of being inpainted", yticks=[], ylabel="")
    plt.close(grid.figure)
    return grid.figure


def verdicts(pairs: Pairs, table: pd.DataFrame, detector: str, count: int = 4) -> Figure:
    """Test photographs from the one whose splice was found most clearly to the one that was missed most clearly.

    Each row: original, spliced, regenerated (those there are), with the detector's probabilities under it.
    """
    table = table[(table["detector"] == detector) & (table["split"] == "test") & (table["seed"] == table["seed"].min())]
    wide = table.drop_duplicates(["image_id", "arm"]).pivot(index="image_id", columns="arm", values="probability")
    arms = [arm for arm in ("original", "spliced", "regenerated") if arm in wide]
    wide = wide.sort_values(arms[min(1, len(arms) - 1)], ascending=False, kind="stable")
    chosen = wide.iloc[np.unique(np.linspace(0, len(wide) - 1, min(count, len(wide))).round().astype(int))]
    row_of = {
        (i, arm): n for n, (i, arm) in enumerate(zip(pairs.manifest["image_id"], pairs.manifest["arm"], strict=True))
    }
    rows = [[pairs.cache[row_of[image_id, arm]] for arm in arms] for image_id in chosen.index]
    lines = ["inpainted?  " + ",  ".join(f"{arm} {facts[arm]:.0%}" for arm in arms) for _, facts in chosen.iterrows()]
    return picture_grid(rows, arms, lines, cell=1.9)


def against(table: pd.DataFrame, first: str, second: str, arm: str) -> Figure:
    """Two detectors' logits of the same test pictures against each other, coloured by class."""
    chosen = detector_metrics.of_arm(table[table["seed"] == table["seed"].min()], arm)
    wide = chosen.pivot(index=["path", "label"], columns="detector", values="logit").reset_index()
    figure, axis = plt.subplots(figsize=(4.2, 4))
    for label, name in ((0, "real"), (1, "fake")):
        own = wide[wide["label"] == label]
        axis.scatter(own[first], own[second], s=12, alpha=0.6, color=COLOURS[name], label=name, marker="ox"[label])
    axis.axhline(0, color=COLOURS["neutral"], lw=1, ls=":")
    axis.axvline(0, color=COLOURS["neutral"], lw=1, ls=":")
    axis.set(xlabel=f"logit of {first}", ylabel=f"logit of {second}", title=f"original against {arm}")
    axis.legend(fontsize=8)
    plt.close(figure)
    return figure
