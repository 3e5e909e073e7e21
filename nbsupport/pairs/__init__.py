"""The paired set: each photograph beside the same photograph with a hole painted in, as files and as one array.

One generator call per photograph, mask and caption gives all fake arms; the real arms go through the very same encoder
(:mod:`~nbsupport.pairs.files`), so that the two classes differ in their pixels and in nothing else. :func:`make` writes
the set, shard by shard, :func:`load` reads it, :func:`verify` proves its promises on the files, and :func:`export`
writes it as other tools read it.

Real arms: ``original``, ``reencoded`` (the photograph after one lossy encoding), ``reconstructed`` (the photograph
through the network with an empty hole). Fake arms: ``regenerated`` (the network's whole output), ``spliced`` (its hole,
in the untouched photograph), ``spliced_reencoded``. Not here: drawing holes (``masks``), filling them (``inpainters``).
"""

from nbsupport.pairs.exports import export
from nbsupport.pairs.making import make
from nbsupport.pairs.planning import ARMS, COLUMNS, PARTNERS, REAL, classes, plan
from nbsupport.pairs.store import Pairs, load
from nbsupport.pairs.summary import differences, reading
from nbsupport.pairs.verification import verify, verify_run

__all__ = [
    "ARMS", "COLUMNS", "PARTNERS", "REAL", "Pairs", "classes", "differences", "export", "load", "make", "plan",
    "reading", "verify", "verify_run",
]  # fmt: skip
