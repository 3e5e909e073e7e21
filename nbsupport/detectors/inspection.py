"""What trained detectors say of any photograph file: verdict, probability, how far to trust it, and where.

The verdict is that of the whole picture, in squares that are resized as the photographs were that the detectors learnt
from (``detectors.views``). A picture of another kind gets none (``detectors.kind``), and one that changes when the
picture is saved again is *unsure*. The heat map is another question: windows of the detectors' size slide over the
photograph, and each pixel gets the mean probability of the windows that hold it. Not here: the command
(``cli.detect``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.special import expit

from nbsupport.core import images
from nbsupport.core.errors import ConfigError, MissingStage, UnusableImage
from nbsupport.data.texts import files_below
from nbsupport.detectors import ensemble, predict, scores
from nbsupport.detectors import kind as kinds
from nbsupport.detectors import views as view
from nbsupport.detectors.ensembles import combiners
from nbsupport.runs import Run
from nbsupport.stats.bootstrap import Interval
from nbsupport.stats.calibration import Band, fit_band, trust

#: A photograph whose shorter side holds fewer windows gets no map (enlarging it would look like a soft fill), and one
#: whose longer side holds more is made smaller first.
FEWEST_WINDOWS, MOST_WINDOWS = 2, 8
#: The verdict on a picture unlike those that the detectors learnt from.
OTHER = "other kind"


@dataclass(frozen=True)
class Finding:
    """What was found about one file.

    Attributes:
        problem: why the file could not be read; empty if it was, and all that follows is None if it was not.
        verdict: real, unsure, inpainted, or :data:`OTHER`, to which belong neither probability nor trust.
        probability: the ensemble's. detectors: of each one. ensemble: its name.
        views: names of the squares. judged: that of the highest probability, from which the verdict comes. left_out:
            those of another kind. kind_known: whether these detectors can tell. flips: ways of saving that change
            the verdict.
        trusted: of validation pictures with such a probability, the share that was inpainted, {value, low, high}.
        heat: (h, w) float32 in [0, 1], the mean probability of the windows over each part of the photograph; None for
            one that is too small.
    """

    path: Path
    problem: str = ""
    width: int | None = None
    height: int | None = None
    verdict: str | None = None
    probability: float | None = None
    ensemble: str | None = None
    detectors: dict[str, float] | None = None
    trusted: Interval | None = None
    views: Sequence[str] = ()
    judged: str | None = None
    left_out: Sequence[str] = ()
    flips: Sequence[str] = ()
    kind_known: bool = False
    heat: np.ndarray | None = None

    def to_mapping(self) -> dict[str, object]:
        """Everything but the heat map, for JSON."""
        return {key: value for key, value in vars(self).items() if key != "heat"} | {"path": self.path.as_posix()}


class Inspector:
    """The detectors of a run and what validation pictures say about their probabilities.

    Args: names: of detectors (default: all). voice: the ensemble that makes one answer of theirs; a soft vote asks the
    first seed of each detector, any other one the seed that it was fitted on.

    Raises:
        MissingStage: the run has no trained detectors, or not this ensemble. ConfigError: a name that it does not have.
    """

    def __init__(self, run: Run, names: Sequence[str] = (), voice: str = ensemble.SOFT_VOTE) -> None:
        self.voice, held = ensemble.check(voice), predict.first_seeds(run)
        if not held:
            raise MissingStage(f"The run '{run.name}' has no trained detectors. Train them with: "
                               f"{run.command('1-6')}")  # fmt: skip
        wrong = [name for name in names if name not in held]
        if wrong:
            raise ConfigError(f"The run '{run.name}' has no detector '{wrong[0]}'. It has: {', '.join(held)}.")
        self.combiner, own = ensemble.load(run, voice, list(dict.fromkeys(names or held)))
        self.trained = [predict.load(run, n, held[n] if own is None else own) for n in self.combiner.detectors]
        self.size = self.trained[0].record["image_size"]
        self.validation = self._validation(run, own)
        index = run.record("index")
        self.title, self.fit = f"the run {run.name}", (index or {"config": {}})["config"].get("fit", "crop")
        self.kind = kinds.of_run(run, self.trained)

    @classmethod
    def of_package(cls, name: str, names: Sequence[str] = ()) -> "Inspector":
        """The soft vote of detectors of the package; raises ConfigError for a name that it does not have."""
        from nbsupport.detectors import packaged

        trained, table = packaged.load_all(name)
        held = [own.name for own in trained]
        wrong = [own for own in names if own not in held]
        if wrong:
            raise ConfigError(f"The package's set '{name}' has no detector '{wrong[0]}'. It has: {', '.join(held)}.")
        self = cls.__new__(cls)
        self.voice, self.trained = ensemble.SOFT_VOTE, [own for own in trained if not names or own.name in names]
        chosen = [own.name for own in self.trained]
        self.combiner = combiners.fit_soft(np.empty((0, 0)), np.empty(0), np.empty(0), chosen, 0)
        self.size = self.trained[0].record["image_size"]
        self.validation = table[["label", "group"]].assign(probability=table[chosen].mean(axis=1))
        self.title, self.fit = f"the package's set {name}", packaged.describe(name).get("fit", "crop")
        self.kind = packaged.kind_of(name)
        return self

    def _validation(self, run: Run, own: int | None) -> pd.DataFrame:
        """What the ensemble says of validation pictures; of fitted ones, the answers out of fold."""
        table = scores.load(run) if own is None else pd.read_parquet(run / scores.ENSEMBLES)
        table = table[(table["split"] == "validation") & (table["condition"] == scores.CLEAN)]
        asked = {(t.name, t.seed) for t in self.trained} if own is None else {(self.voice, own)}
        kept = [pair in asked for pair in zip(table["detector"], table["seed"], strict=True)]
        return table[kept].groupby("path").agg({"probability": "mean", "label": "first", "group": "first"})

    @cached_property
    def band(self) -> Band:
        """The thresholds of the verdict, by validation pictures."""
        return fit_band(self.validation["label"] == 1, self.validation["probability"].to_numpy())

    def probabilities(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """Detector -> probability of each of (N, S, S, 3) uint8 pictures."""
        return {trained.name: expit(predict.score(trained, pictures)) for trained in self.trained}

    def combined(self, each: dict[str, np.ndarray]) -> np.ndarray:
        """(N,) probability of the ensemble, from what :meth:`probabilities` returns."""
        return expit(self.combiner.logits(combiners.log_odds(np.stack(list(each.values()), axis=1))))

    def inspect(self, path: Path, heat: bool = True) -> Finding:
        """Look at one file; a file that is no photograph is a finding with a problem, not an error."""
        try:
            picture = images.read_image(path)
        except UnusableImage as error:
            return Finding(path, str(error))
        height, width = picture.shape[:2]
        told = Finding(path, width=width, height=height, ensemble=self.voice)
        views = view.cut(picture, self.size, self.fit)
        known = np.ones(len(views), bool)
        if self.kind is not None:
            known = self.kind.knows(self.trained, np.stack([own.picture for own in views]))
        left_out = [own.name for own, is_known in zip(views, known, strict=True) if not is_known]
        names = [own.name for own in views]
        told = replace(told, views=names, left_out=left_out, kind_known=self.kind is not None)
        if min(width, height) < self.size or 2 * known.sum() < len(views):
            return replace(told, verdict=OTHER)
        chosen = [own for own, is_known in zip(views, known, strict=True) if is_known]
        probability, each, seen = self._judge(chosen)
        verdict = self.band.verdict(probability)
        again = view.saved_again(picture, self.size) if verdict != "unsure" else {}
        flips = [step for step, copy in again.items() if self._again(copy) != verdict]
        if flips:
            verdict = "unsure"
        validation, trusted = self.validation, None
        if not flips:
            labels, groups = validation["label"] == 1, validation["group"].to_numpy()
            trusted = trust(labels, validation["probability"].to_numpy(), groups, probability)
        return replace(
            told, verdict=verdict, probability=probability, detectors=each, judged=seen, flips=flips, trusted=trusted,
            heat=self.heat(Image.fromarray(picture)) if heat else None,
        )  # fmt: skip

    def _judge(self, views: Sequence[view.View]) -> tuple[float, dict[str, float], str]:
        """Probability, corrected for the number of views; each detector's there; and the view it comes from."""
        each = self.probabilities(np.stack([own.picture for own in views]))
        together = self.combined(each)
        top = int(np.argmax(together))
        real = self.validation.loc[self.validation["label"] != 1, "probability"].to_numpy()
        probability = view.corrected(float(together[top]), len(views), real)
        return probability, {name: float(own[top]) for name, own in each.items()}, views[top].name

    def _again(self, picture: np.ndarray) -> str:
        return self.band.verdict(self._judge(view.cut(picture, self.size, self.fit))[0])

    def heat(self, image: Image.Image) -> np.ndarray | None:
        """(h, w) float32 in [0, 1]: the mean of windows half a side apart; None for a photograph that is too small."""
        size, shorter, longer = self.size, min(image.size), max(image.size)
        if shorter < FEWEST_WINDOWS * size:
            return None
        factor = min(1.0, max(MOST_WINDOWS * size / longer, size / shorter))
        width, height = (max(size, round(side * factor)) for side in image.size)
        picture = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
        tops, lefts = (_starts(side, size) for side in (height, width))
        windows = np.stack([picture[top : top + size, left : left + size] for top in tops for left in lefts])
        each = self.combined(self.probabilities(windows))
        total, count = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
        for n, (top, left) in enumerate((top, left) for top in tops for left in lefts):
            total[top : top + size, left : left + size] += each[n]
            count[top : top + size, left : left + size] += 1
        return total / count


def _starts(length: int, size: int) -> list[int]:
    """Where windows begin, half a window apart, the last one at the edge."""
    return sorted({*range(0, length - size, size // 2), length - size})


def find_files(paths: Sequence[Path], saved: Path | None = None) -> Iterator[Path]:
    """Files as they are given, and the pictures in folders by name, in order.

    What lies in the folder `saved`, or in one with a ``findings.jsonl``, are heat maps of ours and no photographs.

    Raises:
        ConfigError: a path that does not exist, or a folder without a picture.
    """
    for path in paths:
        if path.is_dir():
            own = {found.parent.resolve() for found in path.rglob("findings.json*")}
            own |= {saved.expanduser().resolve()} - {path.resolve()} if saved else set()
            pictures = sorted(p for p in files_below(path) if p.suffix.lower() in images.suffixes())
            found = [p for p in pictures if p.parent.resolve() not in own or _photograph(p)]
            if not found:
                raise ConfigError(f"The folder '{path}' holds no picture ({', '.join(sorted(images.suffixes()))}).")
            yield from found
        elif path.exists():
            yield path
        else:
            raise ConfigError(f"There is no file or folder '{path}'.")


def _photograph(path: Path) -> bool:
    """Whether a file beside findings is none of our heat maps, which begin with five digits."""
    return not (path.suffix == ".png" and path.name[:5].isdigit() and path.name[5:6] == "_")


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The photograph in grey under its heat map, blue (real) over white to orange (inpainted): (h, w, 3) uint8.

    Args: image: (H, W, 3) uint8. heat: (h, w) float in [0, 1]; the result has its size.
    """
    height, width = heat.shape
    grey = np.asarray(Image.fromarray(image).convert("L").resize((width, height), Image.Resampling.BICUBIC), np.float32)
    ends = np.array([[0, 114, 178], [255, 255, 255], [213, 94, 0]], np.float32)
    colour = np.stack([np.interp(heat, [0, 0.5, 1], ends[:, channel]) for channel in range(3)], axis=-1)
    return np.rint(0.5 * grey[..., None] + 0.5 * colour).clip(0, 255).astype(np.uint8)
