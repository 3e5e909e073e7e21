"""Figures of chapter 3: the architecture, what each box made of one photograph, attention drawn over the picture.

Not here: what the network did (``tdanet.walkthrough``), and the figures of its training (``plots.training``).
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from nbsupport.config import TDANetConfig, halvings
from nbsupport.plots.style import COLOURS, hide_region, picture_grid
from nbsupport.tdanet.layers import widths

_SHARED, _INPAINTING, _AUXILIARY, _JUDGE = COLOURS["neutral"], COLOURS["fake"], COLOURS["real"], COLOURS["good"]
_PATHS = {"inpainting path": _INPAINTING, "auxiliary path": _AUXILIARY}


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

    repaired = config.preset == "repaired"
    encoder = "image encoder\nhalves, then\n7 residual layers" if repaired else "image encoder\n7 residual layers"
    mask = " + mask" if repaired else ""
    box(8, 44, f"visible part $I_m$\n3x{size}x{size}{mask}", _INPAINTING)
    box(8, 28, "caption\n" + f"{config.caption_length} words", _SHARED)
    box(8, 12, f"removed part $I_c$\n3x{size}x{size}{mask}\n(training only)", _AUXILIARY)
    box(27, 44, encoder, _SHARED)
    box(27, 28, f"text encoder\n{config.recurrent.upper()}, two directions", _SHARED)
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
    look = f"$v_l$ {low}" + (" and every finer resolution" if repaired else "") + ", of the visible part"
    arrow((30, 47.8), (89, 34), look, _INPAINTING, bend=-0.36, shift=(-4, 13.2))
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


def attention_maps(
    picture: np.ndarray, hole: np.ndarray, maps: Mapping[str, np.ndarray], words: Sequence[str], columns: int = 6
) -> Figure:
    """The attention of each position to each word, drawn over the picture: for every word one small picture a path.

    Args:
        picture: (H, W, 3) uint8. hole: (H, W) bool, True = hole.
        maps: ``inpainting path`` and ``auxiliary path`` (or one of them) -> (L, h, w) float in [0, 1], NaN where a
            position takes no part; see `walkthrough.word_maps`. words: L of them, in the order to be drawn.
    """
    seen = {
        "inpainting path": ("left over by\nthe visible part", hide_region(picture, hole, (255, 255, 255))),
        "auxiliary path": ("shown by\nthe removed part", hide_region(picture, ~hole, (255, 255, 255))),
    }
    columns = min(columns, len(words))
    lines = -(-len(words) // columns) * len(maps)
    figure, axes = plt.subplots(lines, columns, figsize=(1.45 * columns + 1.3, 1.66 * lines), squeeze=False)
    low = min(float(np.nanmin(own)) for own in maps.values())
    top = max(low + 1e-6, *(float(np.nanmax(own)) for own in maps.values()))
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for number, word in enumerate(words):
        block, column = divmod(number, columns)
        for line, (path, own) in enumerate(maps.items()):
            axis = axes[block * len(maps) + line, column]
            shown = _overlay(axis, seen[path][1], own[number], low, top)
            mean = np.nanmean(own[number])
            axis.set_title(f"{word}  {mean:.3f}" if line == 0 else f"{mean:.3f}", loc="center", fontsize=8.5)
            if column == 0:
                axis.set_ylabel(seen[path][0], fontsize=7.5, color=_PATHS[path])
            if path == "auxiliary path" and hole.any():  # the removed part alone, enlarged
                ys, xs = np.where(hole)
                axis.set(xlim=(xs.min(), xs.max() + 1), ylim=(ys.max() + 1, ys.min()))
    figure.colorbar(shown, ax=axes, shrink=min(0.8, 2.2 / lines), label="attention", pad=0.02)
    plt.close(figure)
    return figure


def _overlay(axis: plt.Axes, picture: np.ndarray, heat: np.ndarray, low: float, top: float) -> ScalarMappable:
    """Draw (h, w) float over a picture, the more solid the higher; NaN: nothing. Returns what a colour bar needs."""
    scale = ScalarMappable(Normalize(low, top), "plasma")
    height, width = picture.shape[:2]
    colours = scale.to_rgba(np.nan_to_num(heat, nan=low))
    colours[..., 3] = np.where(np.isnan(heat), 0, 0.85 * np.clip((heat - low) / (top - low), 0, 1) ** 0.7)
    axis.imshow(picture)
    axis.imshow(colours, extent=(0, width, height, 0))
    return scale


def feature_maps(levels: Mapping[str, np.ndarray], count: int = 8) -> Figure:
    """The channels that vary most of each level of the encoder, a row for each; values (C, h, w) float."""
    figure, axes = plt.subplots(len(levels), count, figsize=(1.1 * count + 1.6, 1.2 * len(levels)), squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for line, (name, features) in zip(axes, levels.items(), strict=True):
        liveliest = np.argsort(-features.std(axis=(1, 2)))[:count]
        for axis, channel in zip(line, liveliest, strict=False):
            axis.imshow(features[channel], cmap="gray")
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8.5)
    plt.close(figure)
    return figure


def heat(picture: np.ndarray, maps: Mapping[str, np.ndarray]) -> Figure:
    """Heat maps over one picture, side by side, each on its own scale: title -> (h, w) float."""
    figure, axes = plt.subplots(1, len(maps), figsize=(2.5 * len(maps), 2.3), squeeze=False)
    height, width = picture.shape[:2]
    for axis, (title, own) in zip(axes[0], maps.items(), strict=True):
        axis.imshow(picture)
        shown = axis.imshow(own, cmap="magma", alpha=0.7, extent=(0, width, height, 0))
        axis.axis("off")
        axis.set_title(title, loc="center", fontsize=9)
        figure.colorbar(shown, ax=axis, shrink=0.75)
    plt.close(figure)
    return figure


def texture_sources(
    picture: np.ndarray, hole: np.ndarray, places: Sequence[tuple[int, int]], maps: np.ndarray
) -> Figure:
    """Where some cells of the hole fetch their texture: a picture for each, the cell marked.

    Args: places: (row, column) of cells; maps: (len(places), h, w) float, as `walkthrough.texture_sources` gives them.
    """
    figure, axes = plt.subplots(1, len(places), figsize=(2.2 * len(places) + 0.8, 2.3), squeeze=False)
    height, width = hole.shape
    cell = height / maps.shape[1], width / maps.shape[2]
    for axis, (row, column), own in zip(axes[0], places, maps, strict=True):
        weights = np.where(own > 0, own, np.nan)
        shown = _overlay(axis, hide_region(picture, hole, (255, 255, 255)), weights, 0.0, float(maps.max()))
        corner = column * cell[1], row * cell[0]
        axis.add_patch(Rectangle(corner, cell[1], cell[0], fc=COLOURS["hole"], ec="black", lw=0.8))
        axis.axis("off")
    figure.colorbar(shown, ax=axes, shrink=0.8, label="weight")
    plt.close(figure)
    return figure


def draws(picture: np.ndarray, hole: np.ndarray, drawn: np.ndarray, shown: int = 5) -> Figure:
    """Several fillings of one hole, and last the standard deviation over all of them as a heat map.

    Args: picture (H, W, 3) uint8; hole (H, W) bool, True = hole; drawn (B, H, W, 3) uint8, of which `shown` are drawn.
    """
    first = drawn[:shown]
    count = len(first) + 2
    figure, axes = plt.subplots(1, count, figsize=(1.55 * count + 0.6, 1.9))
    titles = ["masked", *(f"draw {number + 1}" for number in range(len(first))), f"deviation over {len(drawn)}"]
    for axis, title in zip(axes, titles, strict=True):
        axis.axis("off")
        axis.set_title(title, loc="center", fontsize=9)
    for axis, view in zip(axes, [hide_region(picture, hole), *first], strict=False):
        axis.imshow(view)
    deviation = drawn.astype(float).std(axis=0).mean(axis=-1)
    heat_map = axes[-1].imshow(deviation, cmap="magma", vmin=0)
    axes[-1].contour(hole, levels=[0.5], colors="white", linewidths=0.8)
    figure.colorbar(heat_map, ax=axes[-1], shrink=0.8, label="grey levels")
    plt.close(figure)
    return figure


def scales(outputs: Mapping[str, Sequence[np.ndarray]]) -> Figure:
    """The pictures of all scales, enlarged to one size: a row for each path. Values (h, w, 3) uint8, small to large."""
    rows = list(outputs.values())
    titles = [f"{picture.shape[0]}x{picture.shape[1]}" for picture in rows[0]]
    return picture_grid(rows, titles, list(outputs))
