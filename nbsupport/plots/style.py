"""The look that all figures share: colours with fixed meanings, and grids of pictures with words under them."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn
from matplotlib.figure import Figure

#: One colour per meaning, the same in every chapter (Okabe & Ito 2008: told apart by colour-blind readers).
COLOURS = {
    "real": "#0072B2",
    "fake": "#D55E00",
    "original": "#0072B2",
    "reencoded": "#00385A",
    "reconstructed": "#56B4E9",
    "regenerated": "#E69F00",
    "spliced": "#D55E00",
    "spliced_reencoded": "#7A3600",
    "hole": "#CC79A7",
    "neutral": "#5A5A5A",
    "good": "#009E73",
    "all": "#5A5A5A",
}
#: Colours of things without a meaning of their own, in the order in which they appear (Okabe & Ito).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_RC = {
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "image.interpolation": "nearest",
}


def use_style() -> None:
    """Set the book's look, a theme of seaborn: white ground, ticks, a palette for colour-blind readers too."""
    seaborn.set_theme(context="notebook", style="ticks", palette=PALETTE, font_scale=0.85, rc=_RC)


def picture_grid(
    rows: Sequence[Sequence[np.ndarray]],
    column_titles: Sequence[str] = (),
    row_captions: Sequence[str] = (),
    cell: float = 1.5,
) -> Figure:
    """Draw rows of pictures, with a title over each column and an optional line of text under each row.

    Args:
        rows: pictures, each (H, W, 3) uint8, or (H, W) bool or float in [0, 1] (drawn in grey).
        column_titles: one for each column, drawn over the first row.
        row_captions: one for each row, drawn under it, wrapped to its width.
        cell: width of a picture in inches.
    """
    import textwrap

    count = max(len(row) for row in rows)
    height = cell + (0.42 if row_captions else 0.06)
    figure, axes = plt.subplots(
        len(rows), count, figsize=(cell * count, height * len(rows) + 0.3), squeeze=False, layout="none"
    )
    below = height - cell  # room for the text under a row, the last one too
    figure.subplots_adjust(
        left=0.01,
        right=0.99,
        top=1 - 0.28 / figure.get_figheight(),
        bottom=below / figure.get_figheight(),
        wspace=0.04,
        hspace=below / cell,
    )
    for r, row in enumerate(rows):
        for c in range(count):
            axis = axes[r, c]
            axis.axis("off")
            if c < len(row):
                picture = np.asarray(row[c])
                axis.imshow(
                    picture, cmap=None if picture.ndim == 3 else "gray", vmin=0, vmax=None if picture.ndim == 3 else 1
                )
            if r == 0 and c < len(column_titles):
                axis.set_title(column_titles[c], loc="center", fontsize=9)
        if row_captions:
            text = "\n".join(textwrap.wrap(row_captions[r], width=int(22 * cell * count / 1.5))[:2])
            axes[r, 0].text(0, -0.04, text, transform=axes[r, 0].transAxes, va="top", fontsize=8, style="italic")
    plt.close(figure)  # the notebook shows the returned figure once, not twice
    return figure


def hide_region(image: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int] = (204, 121, 167)) -> np.ndarray:
    """Return a copy of `image` (H, W, 3) uint8 with the hole (`mask` True) painted in one colour."""
    shown = image.copy()
    shown[mask] = colour
    return shown
