"""What the trained detectors of a run say of any photograph file: verdict, probability, how far to trust it, and where.

The verdict is that of the whole picture, cut to a square and resized as the photographs were that the detectors learnt
from. The heat map is another question: windows of the detectors' size slide over the photograph, and each pixel gets
the mean probability of the windows that hold it. Not here: the command that prints it (``commands.detect``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.special import expit

from nbsupport.data import geometry, images
from nbsupport.detectors import ensemble, predict, scores
from nbsupport.detectors.ensembles import combiners
from nbsupport.errors import ConfigError, MissingStage, UnusableImage
from nbsupport.evaluation.calibration import Band, fit_band, trust
from nbsupport.evaluation.statistics import Interval
from nbsupport.runs import Run

SUFFIXES: tuple[str, ...] = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".avif", ".jp2")
#: A photograph whose shorter side holds fewer windows gets no map (enlarging it would look like a soft fill), and one
#: whose longer side holds more is made smaller first.
FEWEST_WINDOWS, MOST_WINDOWS = 2, 8


@dataclass(frozen=True)
class Finding:
    """What was found about one file.

    Attributes:
        problem: why the file could not be read; empty if it was, and all that follows is None if it was not.
        verdict: real, unsure or inpainted. probability: the ensemble's. detectors: of each one. ensemble: its name.
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
                               f"python -m nbsupport run --run {run.name} --only 1-6")  # fmt: skip
        wrong = [name for name in names if name not in held]
        if wrong:
            raise ConfigError(f"The run '{run.name}' has no detector '{wrong[0]}'. It has: {', '.join(held)}.")
        self.combiner, own = ensemble.load(run, voice, list(dict.fromkeys(names or held)))
        self.trained = [predict.load(run, n, held[n] if own is None else own) for n in self.combiner.detectors]
        self.size = self.trained[0].record["image_size"]
        self.validation = self._validation(run, own)

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
            image = Image.fromarray(images.read_image(path))
        except UnusableImage as error:
            return Finding(path, str(error))
        frame = geometry.choose_frame(image.width, image.height, None, "crop")
        square = geometry.cut_image(image, frame, self.size)
        each = self.probabilities(square[None])
        probability = float(self.combined(each)[0])
        known = self.validation
        trusted = trust(known["label"] == 1, known["probability"].to_numpy(), known["group"].to_numpy(), probability)
        return Finding(
            path,
            width=image.width,
            height=image.height,
            verdict=self.band.verdict(probability),
            probability=probability,
            ensemble=self.voice,
            detectors={name: float(own[0]) for name, own in each.items()},
            trusted=trusted,
            heat=self.heat(image) if heat else None,
        )

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


def find_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Files as they are given, and the pictures in folders by name, in order.

    Raises:
        ConfigError: a path that does not exist, or a folder without a picture.
    """
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            if not found:
                raise ConfigError(f"The folder '{path}' holds no picture ({', '.join(SUFFIXES)}).")
            yield from found
        elif path.exists():
            yield path
        else:
            raise ConfigError(f"There is no file or folder '{path}'.")


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The photograph in grey under its heat map, blue (real) over white to orange (inpainted): (h, w, 3) uint8.

    Args: image: (H, W, 3) uint8. heat: (h, w) float in [0, 1]; the result has its size.
    """
    height, width = heat.shape
    grey = np.asarray(Image.fromarray(image).convert("L").resize((width, height), Image.Resampling.BICUBIC), np.float32)
    ends = np.array([[0, 114, 178], [255, 255, 255], [213, 94, 0]], np.float32)
    colour = np.stack([np.interp(heat, [0, 0.5, 1], ends[:, channel]) for channel in range(3)], axis=-1)
    return np.rint(0.5 * grey[..., None] + 0.5 * colour).clip(0, 255).astype(np.uint8)
