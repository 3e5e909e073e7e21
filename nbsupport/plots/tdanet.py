"""Figures of chapters 3 and 4: the architecture, attention over words, losses as they fall, filled holes."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from nbsupport.config import TDANetConfig
from nbsupport.plots.style import COLOURS, hide_region, picture_grid
from nbsupport.tdanet.encoder import halvings
from nbsupport.tdanet.layers import widths

_SHARED, _INPAINTING, _AUXILIARY, _JUDGE = COLOURS["neutral"], COLOURS["fake"], COLOURS["real"], COLOURS["good"]


def architecture_diagram(config: TDANetConfig) -> Figure:
    """The paper's figure 2 with this configuration's shapes: boxes are modules, arrows are tensors."""
    downs, size = halvings(config.image_size), config.image_size
    width = widths(config.base_channels, config.max_channels, downs)
    side, words, latent = size >> downs, config.text_channels, config.latent_channels
    high, low = f"{width[-1]}x{side}x{side}", f"{width[-2]}x{2 * side}x{2 * side}"
    figure, axis = plt.subplots(figsize=(11.5, 5.6), layout="none")
    figure.subplots_adjust(left=0, right=1, top=1, bottom=0)
    axis.set(xlim=(0, 115), ylim=(0, 56))
    axis.axis("off")

    def box(x: float, y: float, text: str, colour: str, w: float = 13, h: float = 7, face: str = "white") -> None:
        style = FancyBboxPatch((x - w / 2, y - h / 2), w, h, "round,pad=0.2", fc=face, ec=colour, lw=1.6)
        axis.add_patch(style)
        axis.text(x, y, text, ha="center", va="center", fontsize=8)

    def arrow(start, end, label: str = "", colour: str = _SHARED, bend: float = 0.0, shift=(0, 1.1), dashed=False):
        axis.add_patch(
            FancyArrowPatch(
                start,
                end,
                arrowstyle="-|>",
                mutation_scale=9,
                color=colour,
                lw=1.3,
                ls="--" if dashed else "-",
                connectionstyle=f"arc3,rad={bend}",
            )
        )
        x, y = (start[0] + end[0]) / 2 + shift[0], (start[1] + end[1]) / 2 + shift[1]
        axis.text(x, y, label, ha="center", va="center", fontsize=7, color=colour)

    box(8, 44, f"visible part $I_m$\n3x{size}x{size} + mask", _INPAINTING)
    box(8, 28, "caption\n" + f"{config.caption_length} words", _SHARED)
    box(8, 12, f"removed part $I_c$\n3x{size}x{size} + mask\n(training only)", _AUXILIARY)
    box(27, 44, "image encoder\n7 residual layers", _SHARED)
    box(27, 28, "text encoder\nGRU, two directions", _SHARED)
    box(27, 12, "image encoder\n(the same)", _SHARED)
    box(48, 40, "dual attention\nscores negated,\nmax-pooling", _INPAINTING)
    box(48, 14, "dual attention\nscores kept,\nmax-pooling", _AUXILIARY)
    box(67, 40, "h, fusion F\n5 layers", _INPAINTING, w=11)
    box(67, 14, "h', fusion F'\n5 layers", _AUXILIARY, w=11)
    box(84.5, 27, "generator\n5 residual layers,\nshort+long-term\nattention", _SHARED, w=13, h=13)
    box(106, 40, f"picture 3x{size}x{size}\nof the hole's caption", _INPAINTING, w=15)
    box(106, 14, "picture, knowing\nwhat was removed", _AUXILIARY, w=15)
    box(106, 51.5, "discriminator, matching", _JUDGE, w=17, h=4.6)
    box(106, 3, "discriminator'", _JUDGE, w=15, h=4)

    arrow((14.8, 44), (20.2, 44), colour=_INPAINTING)
    arrow((14.8, 28), (20.2, 28))
    arrow((14.8, 12), (20.2, 12), colour=_AUXILIARY)
    arrow((33.8, 43), (41.2, 41), f"$v_h$ {high}", _INPAINTING, shift=(1.2, 2.6))
    arrow((33.8, 13), (41.2, 14), f"$v'_h$ {high}", _AUXILIARY, shift=(0.5, -2.6))
    arrow((33.8, 29.5), (43, 36), f"words {words}xL\nsentence {words}", shift=(-3.4, 1.8))
    arrow((33.8, 26.5), (43, 18), "the same", shift=(-2.8, -1.3))
    arrow((54.8, 40), (61.2, 40), f"{words}", _INPAINTING)
    arrow((54.8, 14), (61.2, 14), f"{words}", _AUXILIARY)
    arrow((72.8, 38.5), (79, 34), "$r = h + N(\\mu,\\sigma)$", _INPAINTING, shift=(-2.2, -3.9))
    arrow((72.8, 16), (79, 20.2), "$r' = h + N(\\mu',\\sigma')$", _AUXILIARY, shift=(6.2, -1.8))
    arrow((67, 18), (67, 36), f"KL, {latent}x{side}x{side}", _JUDGE, shift=(-5.4, 0), dashed=True)
    arrow((30, 47.8), (89, 34), f"$v_l$ of the visible part {low}", _INPAINTING, bend=-0.36, shift=(-4, 13.2))
    arrow((91.3, 30), (98.2, 37), colour=_INPAINTING)
    arrow((91.3, 24), (98.2, 17), colour=_AUXILIARY)
    arrow((106, 43.8), (106, 48.8), colour=_JUDGE)
    arrow((106, 10.2), (106, 5.4), colour=_JUDGE)
    for x, colour, text in ((2, _INPAINTING, "inpainting path"), (22, _AUXILIARY, "auxiliary path (training only)")):
        axis.plot([x, x + 3], [1.5, 1.5], color=colour, lw=2)
        axis.text(x + 4, 1.5, text, va="center", fontsize=8)
    axis.plot([52, 55], [1.5, 1.5], color=_SHARED, lw=2)
    axis.text(56, 1.5, "shared by both", va="center", fontsize=8)
    plt.close(figure)
    return figure


def words_kept(table: pd.DataFrame) -> Figure:
    """Bars of `walkthrough.kept_words`: for each word, the attention of each path; dashed: all words alike."""
    figure, axis = plt.subplots(figsize=(max(6.0, 0.55 * len(table) + 2), 2.8))
    colours = (_SHARED, _INPAINTING, _AUXILIARY)
    place = np.arange(len(table))
    for number, (name, colour) in enumerate(zip(table.columns, colours, strict=True)):
        axis.bar(place + 0.27 * (number - 1), table[name], width=0.25, color=colour, label=name)
    axis.axhline(1 / len(table), color="black", lw=0.8, ls="--")
    axis.set_xticks(place, table.index, rotation=40, ha="right")
    axis.set_ylabel("attention")
    figure.legend(loc="outside upper right", ncols=3, fontsize=8)
    plt.close(figure)
    return figure


def attention_maps(picture: np.ndarray, hole: np.ndarray, maps: np.ndarray, words: Sequence[str]) -> Figure:
    """Where each word is attended to: maps (L, h, w) float in [0, 1] over the masked picture (H, W, 3) uint8."""
    columns = min(6, len(words))
    rows = -(-len(words) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.7 * columns, 1.9 * rows), squeeze=False)
    height, width = hole.shape
    low, top = float(maps.min()), max(float(maps.max()), float(maps.min()) + 1e-6)
    for axis in axes.flat:
        axis.axis("off")
    for axis, word, weights in zip(axes.flat, words, maps, strict=False):
        axis.imshow(hide_region(picture, hole, (255, 255, 255)))
        shown = axis.imshow(weights, vmin=low, vmax=top, cmap="magma", alpha=0.65, extent=(0, width, height, 0))
        axis.set_title(word, loc="center", fontsize=9)
    figure.colorbar(shown, ax=axes, shrink=0.8, label="attention")
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


def scales(outputs: Mapping[str, Sequence[np.ndarray]]) -> Figure:
    """The pictures of all scales, enlarged to one size: a row for each path. Values (h, w, 3) uint8, small to large."""
    rows = list(outputs.values())
    titles = [f"{picture.shape[0]}x{picture.shape[1]}" for picture in rows[0]]
    return picture_grid(rows, titles, list(outputs))


def losses(log: pd.DataFrame) -> Figure:
    """Every loss of `tdanet_log.csv` over the steps, thin as measured and bold as a running mean."""
    panels = {
        "L1 (weighted to the hole)": ("l1", "l1_auxiliary"),
        "KL divergence": ("kl", "kl_auxiliary"),
        "adversarial": ("adversarial", "discriminators"),
        "matching": ("matching",),
    }
    held = {title: [c for c in names if c in log] for title, names in panels.items()}
    held = {title: names for title, names in held.items() if names}
    colours = {"l1": _INPAINTING, "kl": _INPAINTING, "adversarial": _INPAINTING, "matching": _INPAINTING}
    figure, axes = plt.subplots(1, len(held), figsize=(3.1 * len(held), 2.6), squeeze=False)
    window = max(1, len(log) // 25)
    for axis, (title, names) in zip(axes[0], held.items(), strict=True):
        for name in names:
            colour = colours.get(name, _JUDGE if name == "discriminators" else _AUXILIARY)
            axis.plot(log["step"], log[name], color=colour, lw=0.5, alpha=0.35)
            smooth = log[name].rolling(window, min_periods=1).mean()
            axis.plot(log["step"], smooth, color=colour, lw=1.8, label=name.replace("_", " "))
        if title.startswith("KL"):
            axis.set_yscale("log")
        axis.set(title=title, xlabel="step")
        axis.margins(y=0.25)
        axis.legend(fontsize=7, loc="upper right")
    plt.close(figure)
    return figure


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


def progress(log: pd.DataFrame, baselines: Mapping[str, float]) -> Figure:
    """In-hole L1 on validation photographs over the steps, beside the level of each baseline."""
    held = log.dropna(subset="validation_hole_l1")
    figure, axis = plt.subplots(figsize=(5.5, 2.8))
    axis.plot(held["step"], held["validation_hole_l1"], "o-", color=_INPAINTING, label="TDANet, validation")
    for (name, level), style in zip(baselines.items(), ("--", ":", "-.", "-"), strict=False):
        axis.axhline(level, color=_SHARED, ls=style, lw=1, label=f"{name.replace('_', ' ')}, test")
    axis.set(xlabel="step", ylabel="L1 inside the hole")
    axis.legend(fontsize=8)
    plt.close(figure)
    return figure


def comparison(hole_l1: Mapping[str, Mapping[str, float]]) -> Figure:
    """In-hole L1 of each method with its interval (``results/tdanet.json``, key ``hole_l1``); less is better."""
    figure, axis = plt.subplots(figsize=(5.5, 0.5 * len(hole_l1) + 0.9))
    for place, (name, number) in enumerate(reversed(hole_l1.items())):
        colour = _INPAINTING if name.startswith("tdanet") else _SHARED
        reach = [[number["value"] - number["low"]], [number["high"] - number["value"]]]
        axis.errorbar(number["value"], place, xerr=reach, fmt="o", color=colour, capsize=3)
    axis.set_yticks(range(len(hole_l1)), [name.replace("_", " ") for name in reversed(hole_l1)])
    axis.set(xlabel="L1 inside the hole (scale -1 to 1); bars: 95 % interval", ylim=(-0.6, len(hole_l1) - 0.4))
    axis.set_xlim(left=0)
    plt.close(figure)
    return figure
