"""Figures of the protocol: the shortcut audit, robustness under codecs, and whether probabilities can be believed."""

from collections.abc import Iterator, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from IPython.display import HTML, Markdown
from matplotlib.figure import Figure

from nbsupport.evaluation import detector_metrics, naive, readings
from nbsupport.evaluation.audit import reading as audit_reading
from nbsupport.plots.detectors import gaps
from nbsupport.plots.evaluation import nothing
from nbsupport.plots.forest import flat, forest, legend, looks, marks
from nbsupport.plots.style import COLOURS
from nbsupport.plots.tables import sortable

#: The results files that :func:`real_photographs` shows.
KEPT = ("detectors", "naive", "audit", "robustness", "sharpness", "strata", "studies")


def audit(records: Sequence[Mapping]) -> Figure:
    """AUROC of every probe with its interval, one panel for each fake arm; a flagged one is ringed.

    Args: records: of ``evaluation.audit.audit``. Filled: against untouched photographs; open: against the real partner;
    a cross: at chance by construction.
    """
    arms = list(dict.fromkeys(record["arm"] for record in records))
    names = list(dict.fromkeys(record["probe"] for record in records))
    figure, axes = plt.subplots(1, len(arms), figsize=(2.4 * len(arms) + 1.2, 0.42 * len(names) + 1.2), sharey=True)
    for axis, arm in zip(np.atleast_1d(axes), arms, strict=True):
        for record in (record for record in records if record["arm"] == arm):
            plain = record["real"] == "original"
            at = names.index(record["probe"]) + (-0.12 if plain else 0.12)
            found, colour = record["auroc"], COLOURS[arm]
            if found["low"] is not None:
                axis.plot([found["low"], found["high"]], [at, at], color=colour, lw=1.5)
            mark = "x" if record.get("by_construction") else "o"
            axis.plot(found["value"], at, mark, color=colour, mfc=colour if plain else "white")
            if record["flag"]:
                axis.plot(found["value"], at, "o", ms=14, mfc="none", mec=COLOURS["neutral"])
        axis.axvline(0.5, color=COLOURS["neutral"], lw=1, ls=":")
        axis.set(title=arm, xlabel="AUROC", xlim=(_lowest(records), 1.04))
    first = np.atleast_1d(axes)[0]
    first.set_yticks(range(len(names)), names)
    first.invert_yaxis()
    plt.close(figure)
    return figure


def _lowest(records: Sequence[Mapping]) -> float:
    """The left end of an axis that holds every point and interval of AUROC."""
    ends = [record["auroc"][key] for record in records for key in ("value", "low") if record["auroc"][key] is not None]
    return min(0.4, *ends) - 0.04


def controls(records: Sequence[Mapping]) -> Figure:
    """AUROC of every pixel probe for every planted shortcut, as a heat map. Args: records: of ``audit.controls``."""
    table = pd.DataFrame(
        {record["shortcut"]: {name: found["value"] for name, found in record["probes"].items()} for record in records}
    ).T
    figure, axis = plt.subplots(figsize=(6.4, 0.42 * len(table) + 1))
    seaborn.heatmap(table, vmin=0.5, vmax=1, cmap="Blues", annot=True, fmt=".2f", ax=axis, cbar_kws={"label": "AUROC"})
    axis.set(ylabel="planted", xlabel="probe")
    plt.close(figure)
    return figure


def sweep(steps: Sequence[Mapping]) -> Figure:
    """Accuracy under each protocol with its interval, the naive one on top, a colour for each kind of fake.

    Args: steps: ``steps`` of ``evaluation.naive.sweep``.
    """
    names, arms = (list(dict.fromkeys(step[key] for step in steps)) for key in ("protocol", "arm"))
    figure, axis = plt.subplots(figsize=(6.8, 0.7 * len(names) + 1))
    for step in steps:
        found, colour = step["accuracy"], COLOURS[step["arm"]]
        at = names.index(step["protocol"]) + 0.24 * (arms.index(step["arm"]) - (len(arms) - 1) / 2)
        axis.plot([found["low"], found["high"]], [at, at], color=colour, lw=2)
        axis.plot(found["value"], at, "o", color=colour)
        axis.annotate(f"{found['value']:.2f}", (found["value"], at), (0, 5), textcoords="offset points", ha="center")
    for arm in arms:
        axis.plot([], [], "o", color=COLOURS[arm], label=arm)
    axis.axvline(0.5, color=COLOURS["neutral"], lw=1, ls=":")
    axis.set_yticks(range(len(names)), [f"{n + 1}. {name}" for n, name in enumerate(names)])
    low = min(step["accuracy"]["low"] for step in steps)
    axis.set(
        xlabel="accuracy of one cheap classifier", ylim=(len(names) - 0.5, -0.7), xlim=(min(0.45, low - 0.03), 1.03)
    )
    axis.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(arms))
    plt.close(figure)
    return figure


def conditions(records: Sequence[Mapping]) -> Figure:
    """AUROC under each condition with intervals, one panel for each fake arm, a mark for each detector.

    Args: records: of ``evaluation.robustness.summarise``; of several seeds the first is drawn.
    """
    seed = min(record["seed"] for record in records)
    table = flat([record for record in records if record["seed"] == seed])
    return forest(table, "condition", "detector", "arm", reference=0.5, xlabel="AUROC", width=3.2)


def sharpness(records: Sequence[Mapping]) -> Figure:
    """AUROC on spliced fakes before and after their holes were given texture, one line for each detector and seed.

    Args: records: of ``evaluation.sharpness.left``. Filled: as painted; open: sharpness matched.
    """
    names = [f"{record['detector']}, seed {record['seed']}" for record in records]
    shown = {"before": "as painted", "after": "sharpness matched (open)"}
    table = pd.concat([flat(records, key).assign(name=names, fakes=text) for key, text in shown.items()])
    colours = dict.fromkeys(shown.values(), COLOURS["spliced"])
    return forest(
        table.assign(filled=table["fakes"] == shown["before"]), "name", "fakes", filled="filled", reference=0.5,
        xlabel="AUROC on spliced fakes", colours=colours, width=4.6,
    )  # fmt: skip


def strata(records: Sequence[Mapping], detector: str, seed: int) -> Figure:
    """AUROC of one detector within categories of pictures, a panel for each way to split them.

    Args: records: of ``strata.auroc_by`` for one or more ways.
    """
    own = [r for r in records if r["detector"] == detector and r["seed"] == seed]
    if not own:
        return nothing("There are too few fakes in this run for AUROC within categories.")
    ways = list(dict.fromkeys(record["by"] for record in own))
    categories = {by: list(dict.fromkeys(r["category"] for r in own if r["by"] == by)) for by in ways}
    widths = [max(2, len(categories[by])) for by in ways]
    size = (1.0 + 0.85 * sum(widths), 3.6)
    figure, axes = plt.subplots(1, len(ways), figsize=size, sharey=True, width_ratios=widths, squeeze=False)
    arms = list(dict.fromkeys(record["arm"] for record in own))
    variants = looks(arms)
    for axis, by in zip(axes[0], ways, strict=True):
        within = flat([record for record in own if record["by"] == by])
        marks(axis, within, "category", "arm", categories[by], variants, upright=True)
        axis.axhline(0.5, color=COLOURS["neutral"], lw=1, ls=":")
        axis.set_xticks(range(len(categories[by])), categories[by], rotation=35, ha="right")
        axis.set(title=by, xlim=(-0.6, len(categories[by]) - 0.4))
    axes[0, 0].set(ylabel=f"AUROC of {detector}", ylim=(0.3, 1.03))
    legend(figure, variants)
    plt.close(figure)
    return figure


def reliability(table: pd.DataFrame, bins: int = 10) -> Figure:
    """Share of fakes among the test pictures of each bin of probability, one panel for each detector (first seed).

    Classes are weighted to equal shares, as the calibration assumes. The area of a dot is the number of its pictures.
    """
    test = table[(table["split"] == "test") & (table["seed"] == table["seed"].min())]
    names = list(dict.fromkeys(test["detector"]))
    figure, axes = plt.subplots(1, len(names), figsize=(2.6 * len(names) + 0.4, 2.7), squeeze=False, sharey=True)
    for axis, name in zip(axes[0], names, strict=True):
        own = detector_metrics.of_arm(test[test["detector"] == name], detector_metrics.fake_arms(test)[-1])
        weight = np.where(own["label"] == 1, 0.5 / max((own["label"] == 1).sum(), 1), 0.5 / (own["label"] == 0).sum())
        which = np.minimum((own["probability"] * bins).astype(int), bins - 1).to_numpy()
        total, fakes = (np.bincount(which, w, bins) for w in (weight, weight * own["label"]))
        count, said = np.bincount(which, minlength=bins), np.bincount(which, weight * own["probability"], bins)
        held = total > 0
        axis.plot([0, 1], [0, 1], ":", color=COLOURS["neutral"], lw=1)
        axis.scatter(said[held] / total[held], fakes[held] / total[held], 8 + 400 * count[held] / len(own),
                     color=COLOURS["good"], alpha=0.7, clip_on=False)  # fmt: skip
        axis.set(title=name, xlabel="probability said", xlim=(0, 1), ylim=(-0.03, 1.03), aspect="equal")
    axes[0, 0].set_ylabel("share that is inpainted")
    plt.close(figure)
    return figure


def real_photographs(real: Mapping[str, Mapping]) -> Iterator[HTML | Figure | Markdown]:
    """The tables, figures and sentences of the results that are kept with the book, in the order of the chapter.

    Args: real: name -> results file, for each of :data:`KEPT`. Figures show the first seed, sentences what they read.
    """
    judged, records = real["detectors"], {name: real[name].get("records") for name in KEPT}
    over = detector_metrics.across_seeds(judged["metrics"])
    yield sortable(over[over["arm"] != detector_metrics.ALL].round(3))
    yield gaps(*([r for r in judged[key] if r["seed"] == 0] for key in ("metrics", "gap")))
    yield Markdown(readings.gap(judged["gap"]))
    yield Markdown("**The careless protocol.**")
    yield sweep(real["naive"]["steps"])
    yield Markdown(naive.reading(real["naive"]))
    yield Markdown("**The audit.**")
    yield audit(real["audit"]["probes"])
    yield controls(real["audit"]["controls"])
    yield Markdown(audit_reading(real["audit"]))
    yield Markdown("**Sharpness matched.**")
    yield sharpness([r for r in records["sharpness"] if r["seed"] == 0])
    yield Markdown(readings.blur(records["sharpness"]))
    yield Markdown("**Recompression and resizing.**")
    yield conditions(records["robustness"])
    strongest = judged["best_on_validation"]["0"]
    yield Markdown("**Where it is hard.**")
    yield strata(records["strata"], strongest, 0)
    yield Markdown(readings.hard(records["strata"], strongest))
    yield Markdown("**In short.**")
    yield Markdown(
        f"{readings.summary(judged, real['audit']['flags'])}\n"
        + readings.held(records["robustness"], records["sharpness"], records["studies"], ["spliced", "regenerated"])
    )
