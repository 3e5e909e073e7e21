"""Figures of the synthetic birds: a sheet of many, and one with its parts named."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib import patheffects
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

from nbsupport import masks
from nbsupport.core.files import atomic_path
from nbsupport.data import synthetic
from nbsupport.data.synthetic import BirdParameters
from nbsupport.plots import style

_PLURAL = {"wing": "wings", "leg": "legs"}
_LIGHT = ("white", "yellow", "tan", "pink")  # written in dark letters


def contact_sheet(birds: Sequence[BirdParameters], size: int = 96, columns: int = 8, named: bool = True) -> Figure:
    """Draw many birds in rows, with the name of its type under each.

    Args:
        birds: what to draw.
        size: width and height of a bird in pixels.
        columns: birds in a row.
        named: whether to write the type under each.
    """
    rows = -(-len(birds) // columns)
    cell = 1.15
    height = cell + (0.22 if named else 0.05)
    figure, axes = plt.subplots(rows, columns, figsize=(cell * columns, height * rows), squeeze=False, layout="none")
    figure.subplots_adjust(left=0.005, right=0.995, top=0.995, bottom=0.2 / (height * rows) if named else 0.005,
                           wspace=0.04, hspace=0.22 if named else 0.04)  # fmt: skip
    for axis in axes.flat:
        axis.axis("off")
    for axis, params in zip(axes.flat, birds, strict=False):
        axis.imshow(synthetic.draw_bird(params, size).image)
        if named:
            axis.set_title(params.type.name.lower(), y=-0.2, loc="center", fontsize=8)
    plt.close(figure)
    return figure


def _anchor(region: np.ndarray) -> tuple[float, float]:
    """A point (x, y) in the thick of a region, (S, S) bool: the one farthest from its rim."""
    depth = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(x), float(y)


def labelled_bird(params: BirdParameters, size: int = 320) -> Figure:
    """Draw one bird with a line from each visible part to the name of its colour, and one of its captions below.

    Args:
        params: the bird.
        size: width and height of the drawing in pixels.
    """
    anchors = {}
    for part in synthetic.COLOURED_PARTS:
        region = synthetic.part_region(params, part, size)
        if region.sum() > 4:
            anchors[part] = _anchor(region)
    figure, axis = plt.subplots(figsize=(6.4, 4.05), layout="none")
    figure.subplots_adjust(left=0, right=1, top=0.99, bottom=0.14)
    axis.imshow(synthetic.draw_bird(params, size).image, interpolation="antialiased")
    axis.set_xlim(-0.45 * size, 1.45 * size)
    axis.axis("off")
    half = -(-len(anchors) // 2)
    places = [(x * size, y * size) for x in (-0.07, 1.07) for y in np.linspace(0.1, 0.9, half)]
    parts = list(anchors)
    lengths = np.linalg.norm(np.array([anchors[part] for part in parts])[:, None] - np.array(places), axis=-1)
    for i, place in zip(*linear_sum_assignment(lengths), strict=True):  # the shortest lines in all do not cross
        _name_part(axis, params.colours[parts[i]], parts[i], anchors[parts[i]], places[place])
    caption = next(text for text in synthetic.captions(params) if len(text) > 50)
    wrapped = "\n".join(textwrap.wrap(f"“{caption}”", 80))
    figure.text(0.5, 0.07, wrapped, ha="center", va="center", fontsize=9, style="italic")
    plt.close(figure)
    return figure


def _name_part(axis, colour: str, part: str, anchor: tuple[float, float], place: tuple[float, float]) -> None:
    tone, right = np.array(synthetic.COLOURS[colour]) / 255, place[0] > anchor[0]
    line = axis.annotate(
        f"{colour} {_PLURAL.get(part, part)}",
        xy=anchor,
        xytext=place,
        ha="left" if right else "right",
        va="center",
        fontsize=9,
        color="black" if colour in _LIGHT else "white",
        bbox={"boxstyle": "round,pad=0.35", "facecolor": tone, "edgecolor": style.COLOURS["neutral"], "linewidth": 0.6},
        arrowprops={"arrowstyle": "-", "color": "white", "linewidth": 1.2, "relpos": (0 if right else 1, 0.5)},
    )
    line.arrow_patch.set_path_effects([patheffects.withStroke(linewidth=2.4, foreground="black")])
    axis.plot(*anchor, marker="o", markersize=4, markerfacecolor="white", markeredgecolor="black", markeredgewidth=0.8)


def save_labelled(path: Path, seed: int = 0, number: int = 47) -> Path:
    """Write the figure of one bird with its parts named as PNG; return `path`."""
    with plt.rc_context():
        style.use_style()
        figure = labelled_bird(synthetic.sample_parameters(seed, number))
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=110, facecolor="white")
    return path


_PARTS = ("crown", "belly", "wing", "tail", "back")


_POINTS = {"wing": ("left wing", "right wing")}  # the points that CUB names where the captions say "wing"


def save(path: Path, seed: int = 0, size: int = 160) -> Path:
    """Draw five birds and write the picture as PNG (under 300 kB); return `path`.

    Args:
        seed: other seeds draw other birds.
        size: width and height of a bird in pixels.
    """
    with plt.rc_context():
        style.use_style()
        figure, axes = plt.subplots(2, len(_PARTS), figsize=(1.75 * len(_PARTS), 3.95), layout="none")
        figure.subplots_adjust(left=0.01, right=0.99, top=0.99, bottom=0.115, wspace=0.04, hspace=0.04)
        for column, part in enumerate(_PARTS):
            params = synthetic.sample_parameters(seed, column)
            bird = synthetic.draw_bird(params, size)
            point = next((bird.parts[name] for name in _POINTS.get(part, (part,)) if name in bird.parts), None)
            hole = masks.draw("part", size, seed=seed, image_id=str(column), coverage=(0.05, 0.07), part_xy=point)
            for axis, image in zip(axes[:, column], (bird.image, style.hide_region(bird.image, hole)), strict=True):
                axis.imshow(image)
                axis.axis("off")
            words = "\n".join(textwrap.wrap(synthetic.caption_with(params, part), 27))
            axes[1, column].text(
                0.5,
                -0.04,
                words,
                transform=axes[1, column].transAxes,
                ha="center",
                va="top",
                fontsize=8.5,
                style="italic",
            )
        plt.close(figure)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=78, facecolor="white")
    return path
