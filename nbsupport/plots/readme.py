"""The README's picture: synthetic birds, a hole over one part of each, and the caption that says what was there."""

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt

from nbsupport import masks
from nbsupport.core.files import atomic_path
from nbsupport.data import synthetic
from nbsupport.plots import style

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
