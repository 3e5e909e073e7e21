"""What trained detectors say of a picture: verdict, probability, how far to trust it, and where they look.

The verdict is that of the whole picture, in squares that are resized as the photographs were that the detectors learnt
from (``detectors.views``). A picture of another kind gets none (``detectors.kind``), and one that changes when the
picture is saved again is *unsure*. :class:`Inspector` is what the command ``detect``, the demo and the demo's page ask.
Two maps: :meth:`Inspector.heat_map` shows where one detector looks in a picture of its own size (Grad-CAM);
:meth:`Inspector.window_map` slides windows of that size over a larger photograph. Not here: the command
(``cli.detect``).
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.special import expit

from nbsupport.core import images
from nbsupport.core.errors import ConfigError, MissingStage, UnusableImage, UserError
from nbsupport.data.texts import files_below
from nbsupport.detectors import ensemble, heatmaps, packaged, predict, scores
from nbsupport.detectors import kind as kinds
from nbsupport.detectors import views as view
from nbsupport.detectors.ensembles import combiners
from nbsupport.runs import Run
from nbsupport.stats.bootstrap import Interval
from nbsupport.stats.calibration import ALLOWED, Band, empirical_precision, fit_band

#: A photograph whose shorter side holds fewer windows gets no map (enlarging it would look like a soft fill), and one
#: whose longer side holds more is made smaller first.
FEWEST_WINDOWS, MOST_WINDOWS = 2, 8
#: The verdict on a picture unlike those that the detectors learnt from.
OTHER = "other kind"


@dataclass(frozen=True)
class Prediction:
    """What one detector, or the ensemble, says of one picture.

    Attributes:
        probability: calibrated, that a part is inpainted. verdict: real, unsure or inpainted.
        precision: of validation pictures with such a probability, the share that was inpainted; None if unknown.
    """

    name: str
    probability: float
    verdict: str
    precision: Interval | None = None


@dataclass(frozen=True)
class Judgement:
    """What the detectors say of one picture.

    Attributes:
        predictions: name -> prediction, the ensemble last; of the square `view`, corrected for the number of squares.
        view: the square of the ensemble's highest probability. views: names of all squares. left_out: of those of
            another kind. known: whether the picture is of the kind that these detectors know.
        flips: ways of saving that change the ensemble's verdict, which is then *unsure*.
    """

    predictions: dict[str, Prediction]
    view: view.View
    views: Sequence[str]
    left_out: Sequence[str]
    known: bool
    flips: Sequence[str] = ()


@dataclass(frozen=True)
class Finding:
    """What was found about one file.

    Attributes:
        problem: why the file could not be read; empty if it was, and all that follows is None if it was not.
        verdict: real, unsure, inpainted, or :data:`OTHER`, to which belong neither probability nor precision.
        probability: the ensemble's. detectors: of each one. ensemble: its name.
        views: names of the squares. judged: that of the highest probability, from which the verdict comes. left_out:
            those of another kind. kind_known: whether these detectors can tell. flips: ways of saving that change
            the verdict.
        precision: of validation pictures with such a probability, the share that was inpainted, {value, low, high}.
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
    precision: Interval | None = None
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
    """Trained detectors, the ensemble that makes one answer of theirs, and what both said of validation pictures.

    Args:
        title: where they come from, for showing. trained: at least one; all for one picture size.
        validation: columns ``label`` (1 = inpainted), ``group``, one of probabilities for each detector, and one for
            the ensemble unless that is the soft vote.
        dataset: what photographs they learnt from. fit: how these were fitted. kind: which pictures they know.
        voice: name of the ensemble. combiner: the fitted one; None: the mean of the probabilities.
    """

    def __init__(
        self,
        title: str,
        trained: Sequence[predict.Trained],
        validation: pd.DataFrame,
        *,
        dataset: str = "",
        fit: str = "crop",
        kind: kinds.Kind | None = None,
        voice: str = ensemble.SOFT_VOTE,
        combiner: combiners.Combiner | None = None,
    ) -> None:
        if not trained:
            raise MissingStage("There are no trained detectors here.")
        self.title, self.trained, self.dataset = title, list(trained), dataset
        self.fit, self.kind, self.voice, self.combiner = fit, kind, voice, combiner
        self.no_heat: set[str] = set()  # detectors whose maps are no better than chance
        sizes = {own.record["image_size"] for own in self.trained}
        if len(sizes) > 1:
            raise UserError(f"These detectors are made for pictures of different sizes: {sorted(sizes)}.")
        self.size = int(sizes.pop())
        if combiner is None:
            validation = validation.assign(**{voice: validation[list(self.detectors)].mean(axis=1)})
        self.validation = validation

    @classmethod
    def of_run(cls, run: Run, names: Sequence[str] = (), voice: str = ensemble.SOFT_VOTE) -> "Inspector":
        """The detectors of a run (`names`; default: all), and one of its ensembles.

        A soft vote asks the first seed of each detector, any other ensemble the seed that it was fitted on; what it
        says of validation pictures are then its answers out of fold.

        Raises:
            MissingStage: the run has no trained detectors, or not this ensemble. ConfigError: a name it does not have.
        """
        ensemble.check(voice)
        held = predict.first_seeds(run)
        if not held:
            again = run.command_up_to("detectors")
            raise MissingStage(f"The run '{run.name}' has no trained detectors. Train them with: {again}")
        _check_names(names, held, f"The run '{run.name}'")
        combiner, own = ensemble.load(run, voice, list(dict.fromkeys(names or held)))
        seeds = {name: held[name] if own is None else own for name in combiner.detectors}
        trained = [predict.load(run, *key) for key in seeds.items()]
        table = packaged.validation_table(run, list(seeds.items()))
        if own is not None:
            said = pd.read_parquet(run / scores.ENSEMBLES)
            said = said[(said["split"] == "validation") & (said["condition"] == scores.CLEAN)]
            said = said[(said["detector"] == voice) & (said["seed"] == own)].set_index("path")
            table = table.join(said["probability"].rename(voice), how="inner")
        config = (run.record("index") or {"config": {}})["config"]
        self = cls(
            f"the run {run.name}", trained, table, dataset=config.get("dataset", ""), fit=config.get("fit", "crop"),
            kind=kinds.of_run(run, trained), voice=voice, combiner=None if own is None else combiner,
        )  # fmt: skip
        with contextlib.suppress(MissingStage):  # before chapter 10 nobody knows
            run.require("localization")
            self.no_heat = heatmaps.no_better_than_chance(run.result("localization")["records"], seeds)
        return self

    @classmethod
    def of_package(cls, name: str, names: Sequence[str] = ()) -> "Inspector":
        """The soft vote of detectors of the package; raises ConfigError for a name that it does not have."""
        trained, table = packaged.load_all(name)
        _check_names(names, [own.name for own in trained], f"The package's set '{name}'")
        about, chosen = packaged.describe(name), [own for own in trained if not names or own.name in names]
        self = cls(
            f"the package's set {name}", chosen, table, dataset=about["dataset"], fit=about.get("fit", "crop"),
            kind=packaged.kind_of(name),
        )  # fmt: skip
        self.no_heat = packaged.no_heat(about)
        return self

    @property
    def detectors(self) -> tuple[str, ...]:
        """Names of the detectors, without the ensemble."""
        return tuple(own.name for own in self.trained)

    @property
    def names(self) -> tuple[str, ...]:
        """The detectors, then the ensemble."""
        return (*self.detectors, self.voice)

    @cached_property
    def bands(self) -> dict[str, Band]:
        """The thresholds of each name's verdict. Without both kinds of validation pictures, all is unsure."""
        labels = self.validation["label"] == 1
        if labels.all() or not labels.any():
            return {name: Band(-1.0, 2.0, ALLOWED) for name in self.names}
        return {name: fit_band(labels, self.validation[name].to_numpy()) for name in self.names}

    def probabilities(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """Name -> probabilities of (N, S, S, 3) uint8 pictures; the ensemble's last."""
        each = {own.name: expit(predict.score(own, pictures)) for own in self.trained}
        if self.combiner is None:
            return each | {self.voice: np.mean(list(each.values()), axis=0)}
        return each | {
            self.voice: expit(self.combiner.logits(combiners.log_odds(np.stack(list(each.values()), axis=1))))
        }

    def predict(self, picture: np.ndarray) -> dict[str, Prediction]:
        """Predictions on one picture of the network's size, (S, S, 3) uint8: name -> prediction, the ensemble last."""
        return self._predictions({name: float(values[0]) for name, values in self.probabilities(picture[None]).items()})

    def _predictions(self, values: Mapping[str, float]) -> dict[str, Prediction]:
        return {
            name: Prediction(name, p, self.bands[name].verdict(p), self._trust(name, p)) for name, p in values.items()
        }

    def _trust(self, name: str, probability: float) -> Interval | None:
        labels = (self.validation["label"] == 1).to_numpy()
        if labels.all() or not labels.any():
            return None
        return empirical_precision(
            labels, self.validation[name].to_numpy(), self.validation["group"].to_numpy(), probability
        )

    def look(self, picture: np.ndarray, check: bool = True) -> Judgement:
        """Judge the squares of a picture, (H, W, 3) uint8 of any size, once. `check`: whether its kind is known."""
        squares = view.cut(picture, self.size, self.fit)
        stack, known = np.stack([own.picture for own in squares]), np.ones(len(squares), bool)
        if check and self.kind is not None:
            known = self.kind.knows(self.trained, stack)
        chosen = np.flatnonzero(known) if known.any() else np.arange(len(squares))
        each = {name: values[chosen] for name, values in self.probabilities(stack).items()}
        top, corrected = int(np.argmax(each[self.voice])), {}
        for name, values in each.items():
            real = self.validation.loc[self.validation["label"] != 1, name].to_numpy()
            corrected[name] = view.corrected(float(values[top]), len(chosen), real)
        return Judgement(
            self._predictions(corrected), squares[chosen[top]], [own.name for own in squares],
            [own.name for own, is_known in zip(squares, known, strict=True) if not is_known],
            min(picture.shape[:2]) >= self.size and bool(2 * known.sum() >= len(squares)),
        )  # fmt: skip

    def judge(self, picture: np.ndarray) -> Judgement:
        """Judge a picture, (H, W, 3) uint8 of any size; *unsure* where the verdict changes when it is saved again."""
        found = self.look(picture)
        said = found.predictions[self.voice]
        if not found.known or said.verdict == "unsure":
            return found
        copies = view.saved_again(picture, self.size)
        flips = [
            step
            for step, copy in copies.items()
            if self.look(copy, check=False).predictions[self.voice].verdict != said.verdict
        ]
        if flips:
            found.predictions[self.voice] = replace(said, verdict="unsure", precision=None)
        return replace(found, flips=flips)

    def inspect(self, path: Path, heat: bool = True) -> Finding:
        """Judge one file; a file that is no photograph is a finding with a problem, not an error."""
        try:
            picture = images.read_image(path)
        except UnusableImage as error:
            return Finding(path, str(error))
        height, width = picture.shape[:2]
        found = self.judge(picture)
        told = Finding(
            path, width=width, height=height, ensemble=self.voice, views=found.views, left_out=found.left_out,
            kind_known=self.kind is not None,
        )  # fmt: skip
        if not found.known:
            return replace(told, verdict=OTHER)
        said = found.predictions[self.voice]
        return replace(
            told, verdict=said.verdict, probability=said.probability, judged=found.view.name, flips=found.flips,
            detectors={name: found.predictions[name].probability for name in self.detectors}, precision=said.precision,
            heat=self.window_map(Image.fromarray(picture)) if heat else None,
        )  # fmt: skip

    def saved_copies(self, copies: Mapping[str, np.ndarray]) -> pd.DataFrame:
        """Copies of one picture judged side by side, the untouched one first: step -> (S, S, 3) uint8.

        Returns:
            columns ``step, name, probability, verdict, flips`` (the verdict differs from that of the first copy).
        """
        rows = []
        for name, values in self.probabilities(np.stack(list(copies.values()))).items():
            verdicts = [self.bands[name].verdict(float(value)) for value in values]
            for step, value, verdict in zip(copies, values, verdicts, strict=True):
                rows.append((step, name, float(value), verdict, verdict != verdicts[0]))
        return pd.DataFrame(rows, columns=["step", "name", "probability", "verdict", "flips"])

    def heat_map(self, picture: np.ndarray, name: str) -> np.ndarray:
        """Where a detector finds evidence of inpainting, (S, S) float32 in [0, 1]; of the ensemble: their mean.

        Args: picture: (S, S, 3) uint8.

        Raises:
            ConfigError: a detector that looks at no places, or no better than chance; or no such name.
        """
        if name in self.no_heat:
            raise ConfigError(f"On validation pictures the maps of {name} are no better than chance: none is shown.")
        if name == self.voice:
            shown = [t for t in self.trained if self._layers[t.name] is not None and t.name not in self.no_heat]
            if not shown:
                raise ConfigError("None of these detectors looks at places (better than chance): there is no heat map.")
            return np.mean([heatmaps.grad_cam(t, picture[None])[0] for t in shown], axis=0)
        for trained in self.trained:
            if trained.name == name:
                return heatmaps.grad_cam(trained, picture[None])[0]
        raise ConfigError(f"There is no detector '{name}' here: {', '.join(self.names)}.")

    @cached_property
    def _layers(self) -> dict[str, object]:
        return {own.name: heatmaps.target_layer(own) for own in self.trained}

    def window_map(self, image: Image.Image) -> np.ndarray | None:
        """(h, w) float32 in [0, 1]: the mean of windows half a side apart; None for a photograph that is too small."""
        size, shorter, longer = self.size, min(image.size), max(image.size)
        if shorter < FEWEST_WINDOWS * size:
            return None
        factor = min(1.0, max(MOST_WINDOWS * size / longer, size / shorter))
        width, height = (max(size, round(side * factor)) for side in image.size)
        picture = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
        tops, lefts = (_starts(side, size) for side in (height, width))
        windows = np.stack([picture[top : top + size, left : left + size] for top in tops for left in lefts])
        each = self.probabilities(windows)[self.voice]
        total, count = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
        for n, (top, left) in enumerate((top, left) for top in tops for left in lefts):
            total[top : top + size, left : left + size] += each[n]
            count[top : top + size, left : left + size] += 1
        return total / count


def _check_names(names: Sequence[str], held: Sequence[str] | Mapping[str, int], who: str) -> None:
    for name in names:
        if name not in held:
            raise ConfigError(f"{who} has no detector '{name}'. It has: {', '.join(held)}.")


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
