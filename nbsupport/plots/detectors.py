"""Figures of chapters 7 and 8: training curves, ROC, metrics with intervals, gaps, verdicts with their pictures."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from nbsupport.evaluation import detector_metrics
from nbsupport.pairs import Pairs
from nbsupport.plots.style import COLOURS, picture_grid

#: Colours of detectors, in the order in which they appear (Okabe & Ito, those without a meaning of their own here).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = "osD^vPX"


def _looks(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """name -> (colour, marker), repeating after seven."""
    unique = list(dict.fromkeys(names))
    return {name: (PALETTE[n % len(PALETTE)], MARKERS[n % len(MARKERS)]) for n, name in enumerate(unique)}


def training_curves(logs: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss on training and validation pictures, and validation AUROC, by epoch; the epoch that was kept is ringed.

    Args:
        logs: label -> training log (``detectors.classifier.log``).
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3))
    for name, (colour, marker) in _looks(list(logs)).items():
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
    arms, looks = detector_metrics.fake_arms(table), _looks(table["detector"])
    figure, axes = plt.subplots(1, len(arms), figsize=(3 * len(arms), 3.2), squeeze=False, sharey=True)
    for axis, arm in zip(axes[0], arms, strict=True):
        for name, (colour, _) in looks.items():
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
    """Metrics with their intervals, detectors by rows, one panel for each of `names`, one line for each fake arm.

    Args:
        records: of ``comparison.metric_table``.
        names: metrics to draw.
        chance: where guessing would lie.
    """
    labels = list(dict.fromkeys(_label(record, records) for record in records))
    arms = [arm for arm in dict.fromkeys(record["arm"] for record in records)]
    height = 1.1 + 0.3 * len(labels) * max(1, len(arms) / 2)
    figure, axes = plt.subplots(1, len(names), figsize=(1.6 + 3.2 * len(names), height), squeeze=False, sharey=True)
    for axis, name in zip(axes[0], names, strict=True):
        for n, arm in enumerate(arms):
            colour, marker = COLOURS.get(arm, COLOURS["neutral"]), MARKERS[n]
            own = [record for record in records if record["arm"] == arm]
            at = [labels.index(_label(record, records)) + 0.2 * (n - (len(arms) - 1) / 2) for record in own]
            _points(axis, own, name, at, colour, marker, arm)
        axis.axvline(chance, color=COLOURS["neutral"], lw=1, ls=":")
        axis.set_title(name.replace("_", " ").replace("auroc", "AUROC"))
    axes[0, 0].set_yticks(range(len(labels)), labels)
    axes[0, 0].invert_yaxis()
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(arms), fontsize=8)
    plt.close(figure)
    return figure


def gaps(records: Sequence[Mapping], found: Sequence[Mapping]) -> Figure:
    """The fall from regenerated to spliced fakes: AUROC on both (left), and their difference (right).

    Args:
        records: of ``comparison.metric_table``.
        found: of ``comparison.gaps``.
    """
    labels = [_label(gap, found) for gap in found]
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 1.4 + 0.45 * len(labels)), sharey=True)
    for n, gap in enumerate(found):
        own = [r for r in records if (r["detector"], r["seed"]) == (gap["detector"], gap["seed"])]
        ends = {record["arm"]: record for record in own}
        values = [ends[arm]["auroc"]["value"] for arm in ("regenerated", "spliced")]
        left.annotate("", (values[1], n), (values[0], n), arrowprops={"arrowstyle": "->", "color": COLOURS["neutral"]})
        for arm in ("regenerated", "spliced"):
            _points(left, [ends[arm]], "auroc", [n], COLOURS[arm], "o", arm if n == 0 else None)
        _points(right, [{"gap": gap}], "gap", [n], COLOURS["neutral"], "o", None)
    left.axvline(0.5, color=COLOURS["neutral"], lw=1, ls=":")
    right.axvline(0, color=COLOURS["neutral"], lw=1, ls=":")
    left.set(title="AUROC", ylim=(len(labels) - 0.5, -0.5))
    right.set_title("regenerated − spliced")
    left.set_yticks(range(len(labels)), labels)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    plt.close(figure)
    return figure


def probabilities(table: pd.DataFrame) -> Figure:
    """How the detectors' probabilities are spread over the test pictures of each arm, one panel for each detector."""
    test, names = table[table["split"] == "test"], list(dict.fromkeys(table["detector"]))
    figure, axes = plt.subplots(1, len(names), figsize=(3.4 * len(names), 2.6), squeeze=False, sharex=True)
    for axis, name in zip(axes[0], names, strict=True):
        for arm, line in zip(("original", "spliced", "regenerated"), ("-", "--", "-."), strict=True):
            values = test.loc[(test["detector"] == name) & (test["arm"] == arm), "probability"]
            if len(values):
                axis.hist(
                    values, np.linspace(0, 1, 21), density=True, histtype="step", lw=1.8, ls=line,
                    color=COLOURS[arm], label=arm,
                )  # fmt: skip
        axis.set(title=name, xlabel="probability of being inpainted", yticks=[])
    axes[0, 0].legend(fontsize=8, loc="upper center")
    plt.close(figure)
    return figure


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


def _label(record: Mapping, records: Sequence[Mapping], key: str = "detector") -> str:
    """The name of a record, with its seed where there are several."""
    several = len({other["seed"] for other in records}) > 1
    return f"{record[key]}, seed {record['seed']}" if several else record[key]


def _points(axis, records: Sequence[Mapping], name: str, at: Sequence[float], colour: str, marker: str, label) -> None:
    """Values with their intervals as horizontal bars at heights `at`."""
    values = np.array(
        [[record[name][key] for key in ("value", "low", "high")] for record in records], float
    )  # None: NaN
    reach = np.abs(values[:, 1:] - values[:, :1]).T
    axis.errorbar(values[:, 0], at, xerr=reach, fmt=marker, color=colour, capsize=2, ms=5, label=label)
