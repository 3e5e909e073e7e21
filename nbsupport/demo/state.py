"""The demo without its widgets: choose a picture, a hole and a caption; get fills, and what detectors say of them.

Everything that the panels show is computed here and in the rooms beside it, so that it can be tested without a browser.
What is not there (a run, a trained TDANet, trained detectors) is no error: what comes with the package steps in, and
the session says which it used.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image

from nbsupport.core.errors import ConfigError, MissingStage, UserError, unknown
from nbsupport.data import geometry
from nbsupport.data.index import Dataset
from nbsupport.demo import words
from nbsupport.demo.samples import DrawnSamples, RunSamples, Samples, fits, part_hole
from nbsupport.demo.uploads import Upload
from nbsupport.demo.words import Inpainters
from nbsupport.detectors import views
from nbsupport.inpainters import base, neighbourhood
from nbsupport.inpainters.neighbourhood import Square
from nbsupport.masks import MaskSet
from nbsupport.runs import CHAPTER_OF_STAGE, Run

if TYPE_CHECKING:  # timm and scikit-learn take seconds to import: the page is shown before the detectors are there
    from nbsupport.detectors.inspection import Inspector, Prediction

AS_IT_IS = "as it is"  # the first step of the sweep: nothing was done
#: The steps of the sweep: what a platform or a reader does to a picture before it is seen again.
STEPS: tuple[str, ...] = (
    "jpeg 95", "jpeg 80", "jpeg 60", "jpeg 30", "webp 80", "webp 60", "resize 0.75", "resize 0.5", "resize 1.5",
)  # fmt: skip
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
        predictions: name -> verdict, probability and empirical precision of each detector, the soft vote last.
    """

    probabilities: dict[str, float]
    vote: float | None
    missing: str = ""
    predictions: "dict[str, Prediction]" = field(default_factory=dict)


class Session:
    """One reader at the demo; models are loaded when first needed and kept.

    Args: run: whose photographs and networks to use; None, or one without photographs and holes (chapters 1 and 2):
        birds drawn on the spot and what comes with the package.

    Raises:
        StaleStage: the run's holes are not those of its photographs.
    """

    def __init__(self, run: Run | None = None, split: str = "test") -> None:
        self.run, self.split = run, split
        self.samples: Samples = RunSamples(run, split) if run and run.record("masks") else DrawnSamples()
        self.size = self.samples.size
        self.inpainters = Inpainters(run, self.samples)
        self._lock, self._asked = threading.RLock(), False  # a thread of the page loads what the first fill needs
        self._inspector: Inspector | None = None
        self.loading = False  # True: a thread is at it, so do not wait for a network only to say something about it

    # --- pictures and holes ---

    @property
    def photographs(self) -> pd.DataFrame:
        """The samples: at least the columns ``image_id, label``."""
        return self.samples.table

    def image(self, image_id: str) -> np.ndarray:
        """A sample, (H, W, 3) uint8 RGB."""
        return self.samples.image(image_id)

    def captions(self, image_id: str) -> list[str]:
        """The captions that came with it; may be empty."""
        return self.samples.captions(image_id)

    def mask_kinds(self, image_id: str) -> list[str]:
        """Kinds of holes this sample can have."""
        return self.samples.kinds(image_id)

    def mask(self, image_id: str, kind: str) -> np.ndarray:
        """A hole of one kind, (H, W) bool, True = hole."""
        return self.samples.mask(image_id, kind)

    def parts(self, image_id: str) -> list[str]:
        """Names of the visible parts of the animal; empty where none is known."""
        return sorted(self.samples.parts(image_id))

    def part(self, image_id: str, part: str) -> np.ndarray:
        """A hole over one part, (H, W) bool, True = hole."""
        return part_hole(self.samples, image_id, part)

    @property
    def dataset(self) -> Dataset:
        """The index and cache of the run; raises MissingStage without a run."""
        return self._of_run.data

    @property
    def masks(self) -> MaskSet:
        """The fixed holes of the run; raises MissingStage without a run."""
        return self._of_run.masks

    def row(self, image_id: str) -> int:
        """The row of a photograph in the run's index and cache; an error names the nearest id."""
        return self._of_run.row(image_id)

    @property
    def _of_run(self) -> RunSamples:
        if not isinstance(self.samples, RunSamples):
            raise MissingStage("These pictures were drawn on the spot and belong to no run: make the session with one.")
        return self.samples

    # --- painting ---

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the inpainters that can be used now, the fitting ones first."""
        return self.inpainters.names

    def reading(self, caption: str, inpainter: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Words of a caption that the network does not know, and words that it does not reach (both may be empty)."""
        return words.unread(self.inpainters.get(inpainter), caption)

    def fills(
        self, picture: str | Upload, mask: np.ndarray, caption: str, inpainter: str, seed: int = 0, count: int = 1
    ) -> list[Filled]:
        """Paint a hole `count` times, from the seeds `seed`, `seed` + 1 …

        Args: picture: the id of a sample, or an uploaded photograph. mask: (H, W) bool, True = hole.

        Raises:
            UserError: no such picture or inpainter, or an unusable hole.
        """
        uploaded = isinstance(picture, Upload)
        image = picture.image if uploaded else self.image(picture)
        if mask.shape != image.shape[:2]:
            raise ConfigError(f"The hole has {mask.shape} pixels (rows, columns), the picture {image.shape[:2]}.")
        if not mask.any():
            raise UserError("There is no hole yet: draw one with the brush, or choose one from the list.")
        method, seeds = self.inpainters.get(inpainter), [seed + number for number in range(count)]
        begin = time.perf_counter()
        size = self.inpainters.size(inpainter)
        regenerated, spliced, square = neighbourhood.fill(method, image, mask, caption, seeds, size)
        seconds = (time.perf_counter() - begin) / count
        unknown_words, cut_words = self.reading(caption, inpainter)
        return [
            Filled(
                image_id=picture.name if uploaded else picture,
                original=image,
                mask=mask,
                regenerated=regenerated[number],
                spliced=spliced[number],
                caption=caption,
                inpainter=inpainter,
                seed=seeds[number],
                unknown_words=unknown_words,
                cut_words=cut_words,
                reads_caption=base.reads_captions(method),
                seconds=seconds,
                square=square,
                sha256=picture.sha256 if uploaded else "",
            )
            for number in range(count)
        ]

    def fill(self, picture: str | Upload, mask: np.ndarray, caption: str, inpainter: str, seed: int = 0) -> Filled:
        """Paint a hole once; see :meth:`fills`."""
        return self.fills(picture, mask, caption, inpainter, seed)[0]

    def attention(self, filled: Filled) -> pd.DataFrame | None:
        """How much TDANet attended to each word for a fill (``words.attention``); None for other inpainters."""
        inpainter, size = self.inpainters.get(filled.inpainter), self.inpainters.size(filled.inpainter)
        image, hole = filled.original, filled.mask
        if filled.square is not None:
            patch, cut = neighbourhood.cut(image, filled.square), neighbourhood.cut(hole, filled.square)
            image, hole = neighbourhood.shrink(patch, cut, size)
        return words.attention(inpainter, image, hole, filled.caption)

    # --- judging ---

    @property
    def inspector(self) -> "Inspector | None":
        """The run's detectors, else the package's that fit best, else None; loaded once, by whoever asks first."""
        with self._lock:
            if not self._asked:
                self._inspector, self._asked = self._find_inspector(), True
            return self._inspector

    def _find_inspector(self) -> "Inspector | None":
        from nbsupport.detectors import packaged
        from nbsupport.detectors.inspection import Inspector

        if self.run is not None and self.run.record("detectors"):
            return Inspector.of_run(self.run)
        held = sorted(packaged.sets(), key=lambda name: not fits(self.samples, packaged.describe(name)))
        return Inspector.of_package(held[0]) if held else None

    @property
    def no_detectors(self) -> str:
        """Why nobody judges, and which command fixes it; empty if somebody does."""
        if self.inspector is not None:
            return ""
        if self.run is None:
            command = f"python -m nbsupport run --only 1-{CHAPTER_OF_STAGE['detectors']}"
            return f"No trained detectors came with the package. Train some with: {command}"
        return (
            "This run has no trained detectors, and none came with the package. Train them with: "
            f"{self.run.command_up_to('detectors')}"
        )

    def using(self) -> list[str]:
        """Sentences about the samples and the inpainter that this session uses."""
        method = self.inpainters.describe(self.methods[0])
        note = []
        if self.run is not None and isinstance(self.samples, DrawnSamples):
            again = self.run.command_up_to("masks")
            note = [f"The run {self.run.name} holds no photographs yet; make them with: {again}."]
        return [
            *note,
            f"Samples: {self.samples.title}, {self.size} x {self.size} pixels.",
            f"Inpainter: {method}.",
        ]

    def using_detectors(self) -> list[str]:
        """Sentences about the detectors, and where they do not fit the samples."""
        if self.inspector is None:
            return [self.no_detectors]
        names = ", ".join(self.inspector.detectors)
        said = [f"Detectors of {self.inspector.title}, trained on {self.inspector.dataset}: {names}."]
        if self.inspector.dataset != self.samples.dataset:
            said.append(
                f"They learnt from {self.inspector.dataset}, not from {self.samples.dataset}: expect poor verdicts."
            )
        return said

    def view(self, picture: np.ndarray) -> views.View:
        """What is judged of a picture (H, W, 3) uint8: of the squares that cover it, that of the highest soft vote."""
        if self.inspector is None:
            return views.cut(picture, self.size)[0]
        return self.inspector.look(picture).view

    def view_hole(self, mask: np.ndarray, view: views.View) -> np.ndarray:
        """A hole (H, W) bool cut as a view is cut: (S, S) bool, True = hole."""
        size = len(view.picture)
        return mask if mask.shape == (size, size) else geometry.cut_mask(mask, view.frame, size)

    def verdict(self, picture: np.ndarray) -> Verdict:
        """Ask the detectors about one picture, (H, W, 3) uint8 RGB of any size.

        There is none for a picture of another kind, and the vote is unsure where it changes when the picture is saved
        again.
        """
        if self.inspector is None:
            return Verdict({}, None, self.no_detectors)
        found, ensemble = self.inspector.judge(picture), self.inspector.voice
        if not found.known:
            return Verdict({}, None, "No verdict: this is not a picture of the kind that these detectors know.")
        each = {name: found.predictions[name].probability for name in self.inspector.detectors}
        return Verdict(each, found.predictions[ensemble].probability, predictions=found.predictions)

    def sweep(self, picture: np.ndarray, steps: Sequence[str] = STEPS) -> pd.DataFrame:
        """The picture saved or resized once in each way, at its own size, and judged again.

        Raises:
            MissingStage: there are no detectors.
        """
        if self.inspector is None:
            raise MissingStage(self.no_detectors)
        from nbsupport.detectors import corruptions

        seen = self.view(picture)
        copies, size = {AS_IT_IS: seen.picture}, len(seen.picture)
        for step in steps:
            copy = corruptions.apply(step, picture[None], [0])[0]
            whole = copy.shape[:2] == (size, size)
            copies[step] = copy if whole else geometry.cut_image(Image.fromarray(copy), seen.frame, size)
        return self.inspector.saved_copies(copies)
