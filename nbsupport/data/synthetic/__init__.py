"""Synthetic birds: the embedded data set, in the layout of CUB-200-2011, of any number and size.

>>> from nbsupport.data import synthetic
>>> bird = synthetic.sample_parameters(seed=0, number=7)
>>> picture = synthetic.draw_bird(bird, size=96).image     # (96, 96, 3) uint8
>>> sentences = synthetic.captions(bird)                   # ten
>>> root = synthetic.write("birds", count=500, size=96)    # doctest: +SKIP
"""

from pathlib import Path

from nbsupport.data.synthetic.captions import caption_with, captions, names_colour
from nbsupport.data.synthetic.drawing import Drawing, draw_bird, part_region, part_regions
from nbsupport.data.synthetic.parameters import (
    COLOURED_PARTS,
    COLOURS,
    TYPES,
    BirdParameters,
    part_colours,
    sample_parameters,
)
from nbsupport.data.synthetic.writer import read_attributes, read_parameters, write

__all__ = [
    "COLOURED_PARTS", "COLOURS", "TYPES", "BirdParameters", "Drawing", "caption_with", "captions", "draw_bird", "load",
    "names_colour", "part_colours", "part_region", "part_regions", "read_attributes", "read_object_mask",
    "read_parameters", "sample_parameters", "write",
]  # fmt: skip


def load(root: Path, *, captions: str | None = None, seed: int = 0) -> list:
    """List the birds of a written set: it has the CUB layout and is read by the same code (see ``cub.load``)."""
    from nbsupport.data import cub

    return cub.load(root, captions=captions, seed=seed)


def read_object_mask(root: Path, object_mask: str):
    """(S, S) bool, True = bird (see ``cub.read_object_mask``)."""
    from nbsupport.data import cub

    return cub.read_object_mask(root, object_mask)
