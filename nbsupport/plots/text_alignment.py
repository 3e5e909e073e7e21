"""Figures on whether the network follows its caption: one hole, five captions, and the colours read by part.

Not here: the fills and the numbers (``quality.text_alignment``, ``quality.attributes``).
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from nbsupport.data import synthetic
from nbsupport.plots.forest import flat, legend, marks
from nbsupport.plots.style import COLOURS, hide_region

if TYPE_CHECKING:
    from nbsupport.quality.text_alignment import Recoloured

_KINDS = {  # kind -> label, colour, marker
    "true": ("true caption", COLOURS["good"], "o"),
    "edited": ("caption names another colour", COLOURS["fake"], "s"),
    "empty": ("no caption", COLOURS["neutral"], "D"),
}
_COLUMNS = 4
_LINE = 0.165  # inches, the height of a line of text


def five_captions(
    photograph: np.ndarray,
    hole: np.ndarray,
    pictures: np.ndarray,
    captions: Sequence[str],
    named: Sequence[str | None] = (),
    read: Sequence[str] = (),
    cell: float = 2.1,
) -> Figure:
    """The photograph, its hole, and what was painted into it for each caption, which stands under its picture.

    Args:
        photograph: (H, W, 3) uint8 RGB. hole: (H, W) bool, True = hole. pictures: (B, H, W, 3) uint8 RGB.
        captions: B texts; an empty one is written out as "no caption".
        named, read: B colours of synthetic birds, or nothing for photographs: the colour that each caption names (None
            for the empty one), and the one that was painted. A green frame: they are the same; an orange one: not.
        cell: width of a picture in inches.
    """
    shown = [photograph, hide_region(photograph, hole), *pictures]
    texts = ["the photograph", "what the network sees", *(_caption(text) for text in captions)]
    texts = ["\n".join(textwrap.wrap(text, int(13 * cell))) for text in texts]
    below = _LINE * (max(text.count("\n") for text in texts) + (3 if read else 2))  # inches under a picture
    rows, height = -(-len(shown) // _COLUMNS), cell + below
    figure, axes = plt.subplots(rows, _COLUMNS, figsize=(cell * _COLUMNS, height * rows), squeeze=False, layout="none")
    figure.subplots_adjust(
        left=0.01, right=0.99, top=1 - 0.05 / (height * rows), bottom=below / (height * rows), wspace=0.06,
        hspace=below / cell,
    )  # fmt: skip
    for axis in axes.flat[len(shown) :]:
        axis.axis("off")
    for number, (axis, picture, text) in enumerate(zip(axes.flat, shown, texts, strict=False)):
        axis.imshow(picture)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        style = "italic" if number > 1 else "normal"
        axis.text(0, -0.03, text, transform=axis.transAxes, va="top", fontsize=9, style=style)
        if number > 1 and read:
            _write_reading(axis, read[number - 2], named[number - 2], lines=text.count("\n") + 1, cell=cell)
    plt.close(figure)  # the notebook shows the returned figure once, not twice
    return figure


def recoloured(bird: "Recoloured") -> Figure:
    """:func:`five_captions` of one bird, one part and the colours that were read back."""
    return five_captions(bird.photograph, bird.hole, bird.pictures, bird.captions, bird.named, bird.read)


def strengths(records: Sequence[Mapping]) -> Figure:
    """Accuracy of the named colour, where it was read, and the error of ordinary fills, by strength of the caption.

    Args: records: of ``quality.strengths``. Bars are 95 % intervals.
    """
    x = [record["strength"] for record in records]
    named = "accuracy" in records[0]
    figure, axes = plt.subplots(1, 2 if named else 1, figsize=(8.2 if named else 4.2, 3), squeeze=False)
    if named:
        for kind in ("true", "edited"):
            label, colour, marker = _KINDS[kind]
            _with_bars(axes[0, 0], x, [record["accuracy"][kind] for record in records], colour, marker, label)
        axes[0, 0].axhline(records[0]["chance"], color="black", lw=0.8, ls=":", label="guessing")
        axes[0, 0].set(xlabel="strength of the caption", ylabel="named colour painted", ylim=(0, 1))
        axes[0, 0].yaxis.set_major_formatter(PercentFormatter(1))
        axes[0, 0].legend(frameon=False, fontsize=8)
    last = axes[0, -1]
    _with_bars(last, x, [record["hole_l1"] for record in records], COLOURS["real"], "o", "")
    last.set(xlabel="strength of the caption", ylabel="L1 in the hole, true caption", ylim=(0, None))
    plt.close(figure)
    return figure


def _with_bars(axis: plt.Axes, x: Sequence[float], found: Sequence[Mapping], colour: str, marker: str, label: str):
    value, low, high = (np.array([own[key] for own in found]) for key in ("value", "low", "high"))
    axis.errorbar(x, value, np.stack([value - low, high - value]), color=colour, marker=marker, label=label, lw=1.4)


def _caption(text: str) -> str:
    return f"“{text}”".replace("$", r"\$") if text else "(no caption)"  # a dollar would begin a formula


def _write_reading(axis, read: str, named: str | None, lines: int, cell: float) -> None:
    """A square of the colour that was painted, its name under the caption, and a frame: right or wrong."""
    y = -0.03 - _LINE * (lines + 0.6) / cell
    tone = np.array(synthetic.COLOURS[read]) / 255
    axis.plot(0.03, y, "s", ms=9, color=tone, mec="black", mew=0.6, transform=axis.transAxes, clip_on=False)
    axis.text(0.08, y, f"painted: {read}", transform=axis.transAxes, va="center", fontsize=9)
    if named is not None:
        axis.spines[:].set(visible=True, color=COLOURS["good" if read == named else "fake"], linewidth=2.5)


def attribute_accuracy(summary: Mapping) -> Figure:
    """How often the named colour was painted, by part and over all, with intervals.

    Args:
        summary: of ``quality.attributes.attribute_summary``. Dotted: chance. Grey line above: how often the untouched
            photograph's colour is read correctly, the most that can be reached.
    """
    rows = {"all parts": summary, **summary["parts"]}
    figure, axis = plt.subplots(figsize=(0.82 * len(rows) + 1.4, 3.3))
    kinds = [kind for kind in _KINDS if kind in summary["accuracy"]]
    records = [
        {"part": part, "kind": _KINDS[kind][0], "share": numbers["accuracy"][kind]}
        for part, numbers in rows.items()
        for kind in kinds
    ]
    variants = {_KINDS[kind][0]: _KINDS[kind][1:] for kind in kinds}
    marks(axis, flat(records, "share"), "part", "kind", list(rows), variants, upright=True)
    for place, numbers in enumerate(rows.values()):
        ends = (place - 0.4, place + 0.4)
        axis.plot(ends, [numbers["reader"]["value"]] * 2, color="black", lw=1.2)
        axis.plot(ends, [numbers["chance"]["uniform"]] * 2, color="black", lw=1.2, ls=":")
    axis.axvline(0.5, color=COLOURS["neutral"], lw=0.6)
    axis.set_xticks(range(len(rows)), rows)
    axis.set(ylim=(0, 1.04), ylabel="named colour painted")
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    legend(figure, variants, {"read in the untouched photograph": "-", "a guess": ":"})
    plt.close(figure)
    return figure
