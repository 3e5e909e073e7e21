"""What the demo's session returns: a filled picture, and a verdict on a picture."""

from dataclasses import dataclass, field

import numpy as np

from nbsupport.core.errors import ConfigError, unknown
from nbsupport.demo.jury import Opinion
from nbsupport.inpainters.neighbourhood import Square

ARMS = ("spliced", "regenerated")


@dataclass(frozen=True)
class Filled:
    """One picture with its hole painted in. Pictures are (H, W, 3) uint8, the mask (H, W) bool, True = hole.

    Attributes:
        image_id: of a sample, or the name of an uploaded file (escape it in HTML).
        regenerated: the inpainter's whole output. spliced: its hole in the untouched photograph.
        unknown_words: words of the caption that the network reads as "unknown"; empty for methods that read nothing.
        cut_words: words after the last one that the network reads.
        reads_caption: whether the method reads captions at all.
        seconds: time of the fill.
        square: the neighbourhood that was painted, where the picture is larger than the network; else None.
        sha256: of the uploaded file; empty for a sample.
    """

    image_id: str
    original: np.ndarray
    mask: np.ndarray
    regenerated: np.ndarray
    spliced: np.ndarray
    caption: str
    inpainter: str
    seed: int
    unknown_words: tuple[str, ...]
    cut_words: tuple[str, ...]
    reads_caption: bool
    seconds: float
    square: Square | None = None
    sha256: str = ""

    @property
    def coverage(self) -> float:
        """Share of the picture that is hole."""
        return float(self.mask.mean())

    def output(self, arm: str) -> np.ndarray:
        """The picture of an arm: ``spliced`` or ``regenerated``."""
        if arm not in ARMS:
            raise ConfigError(unknown("arm", arm, ARMS))
        return self.spliced if arm == "spliced" else self.regenerated


@dataclass(frozen=True)
class Verdict:
    """What the detectors say of one picture.

    Attributes:
        probabilities: detector -> calibrated probability that the picture is inpainted.
        vote: the soft vote, the mean of the probabilities; None without detectors.
        missing: a sentence that says what is missing and which command makes it; empty if nothing is.
        opinions: name -> verdict, probability and trust of each detector, the soft vote last.
    """

    probabilities: dict[str, float]
    vote: float | None
    missing: str = ""
    opinions: dict[str, Opinion] = field(default_factory=dict)
