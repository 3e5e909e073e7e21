"""Holes: which pixels of a photograph are taken out and painted in again. **True = hole**, everywhere.

Five kinds, each with a coverage (hole area over picture area) that is asked for and reached: a rectangle at the centre,
random rectangles, irregular brush strokes, the photographed object, and a blob over one named part of it.
:func:`draw` is a pure function of ``(seed, image_id, kind)``; :func:`sample_batch` draws fresh holes for training;
:func:`make` draws the fixed set, one hole of each kind for each photograph, on which everything later is judged.

Not here: filling a hole (``inpainters``) and choosing which hole belongs to which pair (``pairs``).
"""

from nbsupport.masks.drawing import draw, drawable, part_points, sample_batch, tolerance
from nbsupport.masks.evaluation_set import MaskSet, hidden_parts, hidden_reading, load, make

__all__ = [
    "MaskSet",
    "draw",
    "drawable",
    "hidden_parts",
    "hidden_reading",
    "load",
    "make",
    "part_points",
    "sample_batch",
    "tolerance",
]
