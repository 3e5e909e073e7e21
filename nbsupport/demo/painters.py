"""The inpainters that the demo can use: TDANet of the run, those that came with the package, classical methods.

Each is loaded when it is first needed, and kept. Not here: what they paint (:mod:`.state`).
"""

import threading
from functools import cached_property

from nbsupport.demo import words
from nbsupport.demo.samples import Samples, fits
from nbsupport.inpainters import base, classical, registry
from nbsupport.runs import Run
from nbsupport.tdanet import weights


class Painters:
    """Inpainters by name.

    Args: run: whose TDANet to use; None: what comes with the package. samples: the pictures that will be painted on.
    """

    def __init__(self, run: Run | None, samples: Samples) -> None:
        self.run, self.samples = run, samples
        self._loaded: dict[str, base.Inpainter] = {}
        self._lock = threading.RLock()  # a thread of the page loads what the first fill needs

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of those that can be used now: TDANet of the run, of the package (fitting first), the rest."""
        own = ("tdanet",) if self.run and self.run.record("tdanet") else ()
        held = sorted(weights.names(), key=lambda name: not fits(self.samples, weights.describe(name)))
        return (*own, *(f"tdanet:{name}" for name in held), *classical.CLASSICAL)

    @property
    def missing(self) -> str:
        """What the run does not hold and which command makes it; empty if its TDANet is there, or no run was asked."""
        if self.run is None or "tdanet" in self.names:
            return ""
        return f"This run has no trained TDANet. Train it with: {self.run.command('1-4')}"

    def describe(self, name: str) -> str:
        """Who an inpainter is, in a few words."""
        if name == "tdanet":
            return f"TDANet of the run {self.run.name}" if self.run else "TDANet of a run"
        prefix, _, source = name.partition(":")
        if prefix == "tdanet":
            about = weights.describe(source)
            size = f"{self.samples.dataset} at {self.samples.size} px"
            other = "" if fits(self.samples, about) else f"; not made for {size}"
            return f"TDANet of the package, trained on {about['dataset']}{other}"
        return f"{name}, a classical method that reads no caption"

    def get(self, name: str) -> base.Inpainter:
        """The inpainter of that name, loaded once; raises UserError if there is none or it cannot be loaded."""
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = registry.create(name, self.run)
            return self._loaded[name]

    def size(self, name: str) -> int:
        """The side in pixels that it paints at: the network's, or that of the samples."""
        network = words.network(self.get(name))
        return network.model.config.image_size if network else self.samples.size
