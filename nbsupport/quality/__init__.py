"""How good a filled hole is: against the photograph, against baselines, and with the right or a wrong caption.

``comparison`` fills the same holes by several methods and gives means with intervals. Not here: filling
(``nbsupport.inpainters``), and whether a detector can tell (``nbsupport.evaluation``).
"""

from nbsupport.quality.comparison import (
    BASELINES,
    CENTRE_COVERAGE,
    centre_holes,
    compare,
    hole_l1,
    mean_interval,
    pick_captions,
    summary,
)

__all__ = [
    "BASELINES",
    "CENTRE_COVERAGE",
    "centre_holes",
    "compare",
    "hole_l1",
    "mean_interval",
    "pick_captions",
    "summary",
]
