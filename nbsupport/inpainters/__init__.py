"""One way to fill a hole, whoever fills it: the trained TDANet and other methods behind one protocol.

:func:`create` returns an inpainter by its name, whose input and output are checked, so that nothing of the wrong shape,
type or value reaches a data set; see ``base`` for the protocol. Not here: training, and judging how good a fill is.
"""

from nbsupport.core.errors import InpainterError
from nbsupport.inpainters.base import Checked, Inpainter, checked, reads_captions, splice
from nbsupport.inpainters.classical import (
    CLASSICAL,
    Classical,
    biharmonic,
    mean_colour,
    navier_stokes,
    patchmatch,
    telea,
)
from nbsupport.inpainters.registry import NAMES, PREFIXES, create
from nbsupport.inpainters.tdanet import MAX_STRENGTH, TDANetInpainter

__all__ = [
    "CLASSICAL", "Checked", "Classical", "Inpainter", "InpainterError", "MAX_STRENGTH", "NAMES", "PREFIXES",
    "TDANetInpainter", "biharmonic", "checked", "create", "mean_colour", "navier_stokes", "patchmatch",
    "reads_captions", "splice", "telea",
]  # fmt: skip
