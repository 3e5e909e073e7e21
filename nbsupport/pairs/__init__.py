"""The paired set: each photograph beside the same photograph with a hole painted in, as files and as one array.

One generator call per photograph, mask and caption gives all fake arms; the real arm goes through the very same encoder
(:mod:`~nbsupport.pairs.files`), so that the two classes differ in their pixels and in nothing else. :func:`make` writes
the set, :func:`load` reads it, :func:`verify` proves its promises on the files.

Arms: ``original`` (real), ``regenerated`` (fake: the network's whole output), ``spliced`` (fake: its hole, in the
untouched photograph). Not here: how holes are drawn (``masks``) or filled (``inpainters``).
"""

from nbsupport.pairs.generation import make
from nbsupport.pairs.planning import ARMS, COLUMNS, plan
from nbsupport.pairs.store import Pairs, load
from nbsupport.pairs.summary import differences
from nbsupport.pairs.verification import verify

__all__ = ["ARMS", "COLUMNS", "Pairs", "differences", "load", "make", "plan", "verify"]
