"""The demo without its widgets: choose a photograph, a hole and a caption; get the fill and what detectors say of it.

Everything a panel shows is computed here, so that it can be tested without a browser. What a run does not hold yet
(a trained TDANet, trained detectors) is not an error: the session says what is missing and does the rest.
"""

import time
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from nbsupport import inpainters, masks
from nbsupport.data import index
from nbsupport.data.captions import tokenise
from nbsupport.errors import ConfigError, unknown
from nbsupport.runs import Run


@dataclass(frozen=True)
class Filled:
    """One photograph with its hole painted in. Pictures are (H, W, 3) uint8, the mask (H, W) bool, True = hole.

    Attributes:
        regenerated: the inpainter's whole output.
        spliced: its hole in the untouched photograph.
        unknown_words: words of the caption that the network reads as "unknown"; empty for methods that read nothing.
        cut_words: words after the last one that the network reads.
        reads_caption: whether the method reads captions at all.
        seconds: time of the fill.
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

    @property
    def coverage(self) -> float:
        """Share of the picture that is hole."""
        return float(self.mask.mean())

    def output(self, arm: str) -> np.ndarray:
        """The picture of an arm: ``spliced`` or ``regenerated``."""
        if arm not in ("spliced", "regenerated"):
            raise ConfigError(unknown("arm", arm, ("spliced", "regenerated")))
        return self.spliced if arm == "spliced" else self.regenerated


@dataclass(frozen=True)
class Verdict:
    """What the detectors say of one picture.

    Attributes:
        probabilities: detector -> probability that the picture is inpainted, averaged over its seeds.
        vote: the soft vote, the mean of the probabilities; None without detectors.
        missing: a sentence that says what is missing and which command makes it; empty if nothing is.
    """

    probabilities: dict[str, float]
    vote: float | None
    missing: str = ""


class Session:
    """One reader at the demo of one run; models are loaded when first needed and kept.

    Raises:
        MissingStage: chapter 1 or 2 has not run.
    """

    def __init__(self, run: Run, split: str = "test") -> None:
        self.run, self.split = run, split
        self.dataset = index.load(run)
        self.masks = masks.load(run)
        self._inpainters: dict[str, inpainters.Inpainter] = {}

    @cached_property
    def photographs(self) -> pd.DataFrame:
        """Rows of the index that no network was trained on (of the whole index if the split is empty)."""
        table = self.dataset.index
        held_out = table[table["split"] == self.split]
        return held_out if len(held_out) else table

    def row(self, image_id: str) -> int:
        """The row of a photograph in index and cache; an error names the nearest id."""
        found = np.flatnonzero(self.dataset.index["image_id"].to_numpy() == image_id)
        if not len(found):
            raise ConfigError(unknown("photograph", image_id, self.photographs["image_id"].head(12)))
        return int(found[0])

    def image(self, image_id: str) -> np.ndarray:
        """The photograph, (H, W, 3) uint8 RGB."""
        return np.array(self.dataset.cache.images[self.row(image_id)])

    def captions(self, image_id: str) -> list[str]:
        """The captions that came with the photograph; may be empty."""
        return [str(text) for text in self.dataset.index["captions"].iloc[self.row(image_id)]]

    def mask_kinds(self, image_id: str) -> list[str]:
        """Kinds of holes this photograph has in the run's set; those it cannot have are left out, unless all are."""
        mine = self.masks.table[self.masks.table["image_id"] == image_id]
        able = mine[~mine["fallback"]]
        return (able if len(able) else mine)["kind"].tolist()

    def mask(self, image_id: str, kind: str) -> np.ndarray:
        """The hole of one kind from the run's fixed set, (H, W) bool, True = hole."""
        return self.masks.of(image_id, kind)

    def rectangle(self, left: float, top: float, width: float, height: float) -> np.ndarray:
        """A hole of one's own, (H, W) bool, True = hole; all arguments are shares of the picture, cut at its border.

        Raises:
            ConfigError: the rectangle holds no pixel, or all of them.
        """
        rows, columns = self.masks.shape
        mask = np.zeros((rows, columns), bool)
        top_row, left_column = round(top * rows), round(left * columns)
        bottom, right = round((top + height) * rows), round((left + width) * columns)
        mask[max(top_row, 0) : max(bottom, 0), max(left_column, 0) : max(right, 0)] = True
        if not mask.any():
            raise ConfigError("The rectangle holds no pixel of the picture: make it wider, higher, or move it.")
        if mask.all():
            raise ConfigError("The rectangle covers the whole picture: leave something to paint from.")
        return mask

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """Names of the inpainters that can be used now, best first."""
        return tuple(name for name in inpainters.NAMES if name != "tdanet" or self.run.record("tdanet"))

    @property
    def missing(self) -> str:
        """What the run does not hold and which command makes it; empty if TDANet is there."""
        if "tdanet" in self.methods:
            return ""
        command = f"python -m nbsupport run --run {self.run.name} --only 4"
        return f"This run has no trained TDANet, so no method here reads the caption. Train it with: {command}"

    def reading(self, caption: str, inpainter: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Words of a caption that the network does not know, and words that it does not reach (both may be empty)."""
        if inpainter != "tdanet":
            return (), ()
        words, length = tokenise(caption), self._inpainter(inpainter).inner.caption_length
        known = self._inpainter(inpainter).inner.vocabulary
        return tuple(dict.fromkeys(known.unknown_words(" ".join(words[:length])))), tuple(words[length:])

    def _inpainter(self, name: str) -> inpainters.Inpainter:
        if name not in self._inpainters:
            self._inpainters[name] = inpainters.create(name, self.run)
        return self._inpainters[name]

    def fill(self, image_id: str, mask: np.ndarray, caption: str, inpainter: str, seed: int = 0) -> Filled:
        """Paint the hole of one photograph.

        Raises:
            UserError: no such photograph or inpainter, or an unusable hole.
        """
        image, painter = self.image(image_id), self._inpainter(inpainter)
        begin = time.perf_counter()
        output = painter.fill(image[None], mask[None], [caption], seeds=[seed])[0]
        seconds = time.perf_counter() - begin
        unknown_words, cut_words = self.reading(caption, inpainter)
        return Filled(
            image_id=image_id,
            original=image,
            mask=mask,
            regenerated=output,
            spliced=inpainters.splice(image, output, mask),
            caption=caption,
            inpainter=inpainter,
            seed=seed,
            unknown_words=unknown_words,
            cut_words=cut_words,
            reads_caption=inpainter == "tdanet",
            seconds=seconds,
        )

    @cached_property
    def _detectors(self) -> list[tuple[str, object]]:
        """(name, model) of every trained detector of the run."""
        from nbsupport.detectors import predict

        return [(name, predict.load(self.run, name, seed)) for name, seed in predict.available(self.run)]

    def verdict(self, image: np.ndarray) -> Verdict:
        """Ask every trained detector of the run about one picture, (H, W, 3) uint8 RGB."""
        if not self._detectors:
            command = f"python -m nbsupport run --run {self.run.name} --only 6"
            return Verdict({}, None, f"This run has no trained detectors. Train them with: {command}")
        from nbsupport.detectors import predict

        scores: dict[str, list[float]] = {}
        for name, model in self._detectors:
            logit = float(np.asarray(predict.score(model, image[None])).ravel()[0])
            scores.setdefault(name, []).append(float(0.5 * (1 + np.tanh(logit / 2))))  # a sigmoid that cannot overflow
        means = {name: float(np.mean(values)) for name, values in scores.items()}
        return Verdict(means, float(np.mean(list(means.values()))))
