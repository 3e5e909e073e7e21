"""Figures of chapter 4: losses as they fall, samples over time, filled holes, methods beside each other.

Not here: the numbers (``quality``), tables of them (``plots.tables``), figures on captions
(``plots.text_alignment``).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from nbsupport.plots.forest import flat, forest
from nbsupport.plots.style import COLOURS, hide_region, picture_grid
from nbsupport.plots.tables import readable

_NEUTRAL, _INPAINTING, _AUXILIARY, _JUDGE = (COLOURS[name] for name in ("neutral", "fake", "real", "good"))

#: Panels of :func:`losses`: title -> columns of ``tdanet_log.csv`` and their colours. A column that is not there, since
#: a training without auxiliary path has no losses of it, is left out.
_PANELS = {
    "L1, weighted to the hole": {"l1": _INPAINTING, "l1_auxiliary": _AUXILIARY},
    "error in the hole": {"hole_l1": _INPAINTING},
    "KL divergence": {"kl": _INPAINTING, "kl_auxiliary": _AUXILIARY},
    "adversarial": {"adversarial": _INPAINTING, "discriminators": _JUDGE},
    "matching": {"matching": _INPAINTING},
    "norm of the gradient": {"gradient": _NEUTRAL},
}
_LOGARITHMIC = ("KL divergence", "norm of the gradient")


def losses(log: pd.DataFrame, clip: float | None = None, steps: int | None = None) -> Figure:
    """Every loss of ``tdanet_log.csv`` over the steps, thin as measured and bold as a running mean.

    Args:
        log: so far; a value that a step did not have is NaN. clip: the largest gradient that is not clipped, drawn as a
            dashed line. steps: of the whole training, so that the axis stands still while the curves grow.
    """
    held = {title: [name for name in names if name in log] for title, names in _PANELS.items()}
    held = {title: names for title, names in held.items() if names}
    columns = min(3, len(held))
    figure, axes = plt.subplots(-(-len(held) // columns), columns, figsize=(9.6, 2.3 * -(-len(held) // columns)),
                                squeeze=False, sharex=True)  # fmt: skip
    for axis in axes.flat[len(held) :]:
        axis.axis("off")
    for axis, (title, names) in zip(axes.flat, held.items(), strict=False):
        for name in names:
            _curve(axis, log, name, _PANELS[title][name])
        if title == "error in the hole" and "validation_hole_l1" in log:
            points = log.dropna(subset="validation_hole_l1")
            axis.plot(points["step"], points["validation_hole_l1"], "o-", color="black", ms=4, lw=1, label="validation")
        if title == "norm of the gradient" and clip:
            axis.axhline(clip, color="black", lw=0.8, ls="--", label="clipped above")
        if title in _LOGARITHMIC and (log[names] > 0).any(axis=None):
            axis.set_yscale("log")
        axis.set(title=title, xlim=(0, steps or int(log["step"].max())))
        axis.margins(y=0.2)
        axis.legend(fontsize=7, loc="upper right")
    for axis in axes[-1]:
        axis.set_xlabel("step")
    plt.close(figure)
    return figure


def _curve(axis: plt.Axes, log: pd.DataFrame, name: str, colour: str) -> None:
    held = log.dropna(subset=name)
    smooth = held[name].rolling(max(1, len(held) // 25), min_periods=1).mean()
    axis.plot(held["step"], held[name], color=colour, lw=0.5, alpha=0.35)
    axis.plot(held["step"], smooth, color=colour, lw=1.8, label=name.replace("_", " "))


def matching_losses(log: pd.DataFrame, batch_size: int) -> Figure:
    """Word and sentence loss of the matching over the steps, with the level of guessing."""
    figure, axis = plt.subplots(figsize=(5, 2.6))
    for name, colour in (("words", _AUXILIARY), ("sentence", _INPAINTING)):
        axis.plot(
            log["step"], log[name].rolling(max(1, len(log) // 25), min_periods=1).mean(), color=colour, label=name
        )
    axis.axhline(np.log(batch_size), color="black", lw=0.8, ls="--", label="guessing")
    axis.set(xlabel="step", ylabel="loss", ylim=(0, None))
    axis.legend(fontsize=8)
    plt.close(figure)
    return figure


def samples_over_time(folder: Path, size: int, last: int, moments: int = 5, photographs: int = 4) -> Figure | None:
    """The same holes of the same photographs at several steps of the training; None where no samples were kept.

    Args:
        folder: with the grids that ``training.progress.save_grid`` writes: a row for each photograph, and in it the
            hole, the spliced fill, the whole output, the photograph. size: side of a picture in pixels.
        last: the training's last step; grids of later ones are of another training. moments: at most this many steps.
    """
    found = {int(path.stem.removeprefix("step_")): path for path in sorted(Path(folder).glob("step_*.png"))}
    steps = [step for step in found if step <= last]
    if not steps:
        return None
    steps = [steps[i] for i in np.unique(np.linspace(0, len(steps) - 1, moments).round().astype(int))]
    grids = [np.asarray(Image.open(found[step]).convert("RGB")) for step in steps]

    def cut(grid: np.ndarray, row: int, column: int, gap: int = 2) -> np.ndarray:
        top, left = row * (size + gap), column * (size + gap)
        return grid[top : top + size, left : left + size]

    count = min(photographs, (grids[0].shape[0] + 2) // (size + 2))
    rows = [[cut(grids[0], n, 0), *(cut(grid, n, 1) for grid in grids), cut(grids[0], n, 3)] for n in range(count)]
    return picture_grid(rows, ["hole", *(f"step {step}" for step in steps), "photograph"], cell=1.35)


def progress(log: pd.DataFrame, baselines: Mapping[str, float]) -> Figure:
    """In-hole L1 on validation photographs over the steps, beside the level of each baseline."""
    held = log.dropna(subset="validation_hole_l1")
    figure, axis = plt.subplots(figsize=(5.5, 2.8))
    axis.plot(held["step"], held["validation_hole_l1"], "o-", color=_INPAINTING, label="TDANet, validation")
    for (name, level), style in zip(baselines.items(), ("--", ":", "-.", "-"), strict=False):
        axis.axhline(level, color=_NEUTRAL, ls=style, lw=1, label=f"{readable(name)}, test")
    axis.set(xlabel="step", ylabel="L1 inside the hole")
    axis.legend(fontsize=8)
    plt.close(figure)
    return figure


def filled(
    originals: np.ndarray, holes: np.ndarray, outputs: np.ndarray, captions: Sequence[str], cell: float = 1.5
) -> Figure:
    """Rows of original | masked | inpainted | difference, with the caption under each row.

    Args: originals, outputs (B, H, W, 3) uint8; holes (B, H, W) bool, True = hole. The difference is the absolute
        error over colours, from black (equal) to white (as far apart as can be).
    """
    difference = np.abs(originals.astype(np.int16) - outputs).mean(axis=-1) / 255
    rows = [[o, hide_region(o, h), f, d] for o, h, f, d in zip(originals, holes, outputs, difference, strict=True)]
    return picture_grid(rows, ("original", "masked", "inpainted", "difference"), captions, cell)


def captions_side_by_side(
    originals: np.ndarray, holes: np.ndarray, filled: Sequence[np.ndarray], right: Sequence[str], wrong: Sequence[str]
) -> Figure:
    """Each hole, filled for the right, a wrong and no caption, and the photograph.

    Args: originals: (B, H, W, 3) uint8. holes: (B, H, W) bool, True = hole. filled: three as `originals`, in that
        order. right, wrong: B captions, which stand beside the rows.
    """
    rows = [
        [hide_region(original, hole), *fills, original]
        for original, hole, *fills in zip(originals, holes, *filled, strict=True)
    ]
    texts = [f"{a}  /  {b}" for a, b in zip(right, wrong, strict=True)]
    return picture_grid(rows, ["masked", "right caption", "wrong caption", "no caption", "photograph"], texts, cell=1.8)


def comparison(measures: Mapping[str, Mapping[str, Mapping]], names: Sequence[str] = ("hole_l1",)) -> Figure:
    """Some measures of each method with their intervals, a panel for each; TDANet's captions apart.

    Args: measures: method -> caption kind -> measure -> interval, from ``quality.report``. Dotted in the panel of
        ``hole_tv``: that of the photographs.
    """
    lines = [(m, kind, own) for m, kinds in measures.items() for kind, own in kinds.items()]
    lines.sort(key=lambda line: (-len(measures[line[0]]), line[0]))  # who reads captions first
    titles = {name: readable(name) + (" in the hole" if name.startswith("hole_") else "") for name in names}
    rows = [
        {
            "line": readable(method) + (f", {kind} caption" if kind != "none" else ""),
            "method": "without training" if kind == "none" else "TDANet",
            "panel": titles[name],
            "measure": own[name],
        }
        for method, kind, own in lines
        for name in names
    ]
    photographs = {titles[n]: lines[0][2]["hole_tv_photograph"]["value"] for n in names if n == "hole_tv"}
    colours = {"without training": _NEUTRAL, "TDANet": _INPAINTING}
    return forest(flat(rows, "measure"), "line", "method", "panel", reference=photographs, colours=colours)


def ablations(rows: Sequence[Mapping]) -> Figure:
    """In-hole L1 and caption effect of each ablation (``results/ablations.json``, key ``rows``) with intervals."""
    panels = {
        "hole_l1": "L1 in the hole: less is better",
        "caption_effect": "cost of a wrong caption: more is better",
    }
    records = [
        {
            "variant": row["variant"],
            "network": "whole" if row["variant"] == "repaired" else "without one part",
            "panel": title,
            "found": {"value": row[key], "low": row[f"{key}_low"], "high": row[f"{key}_high"]},
        }
        for key, title in panels.items()
        for row in rows
    ]
    return forest(
        flat(records, "found"), "variant", "network", "panel", reference={panels["caption_effect"]: 0.0}, width=3.4,
        colours={"whole": _INPAINTING, "without one part": _NEUTRAL},
    )  # fmt: skip
