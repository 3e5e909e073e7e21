"""The detectors that judge in the demo: verdict, trust, heat map, and a ladder of saved copies of one picture.

A jury is made from a run's detectors or from a set that comes with the package; both bring what they said of validation
pictures, from which the thresholds of *real / unsure / inpainted* and the trust are fitted. Not here: training and
calibration (chapter 6), nor anything drawn.
"""

import contextlib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit

from nbsupport.core.errors import ConfigError, MissingStage, UserError
from nbsupport.runs import Run

if TYPE_CHECKING:  # timm and scikit-learn take seconds to import: the page is shown before the detectors are there
    from nbsupport.detectors.kind import Kind
    from nbsupport.detectors.predict import Trained
    from nbsupport.detectors.views import View
    from nbsupport.stats.bootstrap import Interval
    from nbsupport.stats.calibration import Band

SOFT_VOTE = "soft vote"
AS_IT_IS = "as it is"  # the first step of the ladder: nothing was done
#: The steps of the ladder: what a platform or a reader does to a picture before it is seen again.
STEPS: tuple[str, ...] = (
    "jpeg 95", "jpeg 80", "jpeg 60", "jpeg 30", "webp 80", "webp 60", "resize 0.75", "resize 0.5", "resize 1.5",
)  # fmt: skip
#: Share of wrong ones at the thresholds of a verdict, as in ``calibration.fit_band``.
ALLOWED = 0.2


@dataclass(frozen=True)
class Opinion:
    """What one detector, or the soft vote, says of one picture.

    Attributes:
        probability: calibrated, that a part was painted in. verdict: real, unsure or inpainted.
        trusted: of validation pictures with such a probability, the share that was inpainted; None if unknown.
    """

    name: str
    probability: float
    verdict: str
    trusted: "Interval | None" = None


@dataclass(frozen=True)
class Look:
    """Opinions on a picture, the square from which they come, and whether the detectors know pictures of this kind."""

    opinions: dict[str, Opinion]
    view: "View"
    known: bool


class Jury:
    """Trained detectors, and what they said of validation pictures.

    Args:
        title: where they come from, for showing.
        trained: at least one; all for one picture size.
        validation: columns ``label`` (1 = inpainted), ``group``, and one of probabilities for each detector.
        dataset: what kind of photographs they learnt from. fit: how these were fitted. kind: which pictures they know.
    """

    def __init__(self, title: str, trained: Sequence["Trained"], validation: pd.DataFrame, dataset: str,
                 fit: str = "crop", kind: "Kind | None" = None) -> None:  # fmt: skip
        if not trained:
            raise MissingStage("There are no trained detectors here.")
        self.title, self.trained, self.dataset = title, list(trained), dataset
        self.fit, self.kind = fit, kind
        self.no_heat: set[str] = set()  # detectors whose maps are no better than chance
        sizes = {t.record["image_size"] for t in self.trained}
        if len(sizes) > 1:
            raise UserError(f"These detectors are made for pictures of different sizes: {sorted(sizes)}.")
        self.size = int(sizes.pop())
        self.validation = validation.assign(**{SOFT_VOTE: validation[list(self.detectors)].mean(axis=1)})

    @classmethod
    def of_run(cls, run: Run) -> "Jury":
        """The first seed of each detector of a run; raises :class:`MissingStage` before chapter 6."""
        from nbsupport.detectors import kind as kinds
        from nbsupport.detectors import packaged, predict

        held = predict.first_seeds(run)
        if not held:
            raise MissingStage(f"This run has no trained detectors. Train them with: {run.command('1-6')}")
        trained = [predict.load(run, *key) for key in held.items()]
        table = packaged.validation_table(run, list(held.items()))
        config = run.require("index")["config"]
        fit = config.get("fit", "crop")
        jury = cls(f"the run {run.name}", trained, table, config["dataset"], fit, kinds.of_run(run, trained))
        with contextlib.suppress(MissingStage):  # before chapter 8 nobody knows
            run.require("localization")
            jury.no_heat = no_better_than_chance(run.result("localization")["records"], held)
        return jury

    @classmethod
    def of_package(cls, name: str) -> "Jury":
        """A set that came with the package."""
        from nbsupport.detectors import packaged

        trained, table = packaged.load_all(name)
        about = packaged.describe(name)
        kind = packaged.kind_of(name)
        jury = cls(f"the package ({name})", trained, table, about["dataset"], about.get("fit", "crop"), kind)
        jury.no_heat = packaged.no_heat(about)
        return jury

    @property
    def detectors(self) -> tuple[str, ...]:
        """Names of the detectors, without the vote."""
        return tuple(t.name for t in self.trained)

    @property
    def names(self) -> tuple[str, ...]:
        """The detectors, then the soft vote."""
        return (*self.detectors, SOFT_VOTE)

    @functools.cached_property
    def bands(self) -> dict[str, "Band"]:
        """The thresholds of each name's verdict. Without both kinds of validation pictures, all is unsure."""
        from nbsupport.stats.calibration import Band, fit_band

        labels = self.validation["label"] == 1
        if labels.all() or not labels.any():
            return {name: Band(-1.0, 2.0, ALLOWED) for name in self.names}
        return {name: fit_band(labels, self.validation[name].to_numpy(), ALLOWED) for name in self.names}

    def probabilities(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """Name -> probabilities of (N, S, S, 3) uint8 pictures; the soft vote last."""
        from nbsupport.detectors import predict

        each = {t.name: expit(predict.score(t, pictures)) for t in self.trained}
        return each | {SOFT_VOTE: np.mean(list(each.values()), axis=0)}

    def judge(self, picture: np.ndarray) -> dict[str, Opinion]:
        """Opinions on one picture, (S, S, 3) uint8: name -> opinion, the soft vote last."""
        found = {}
        for name, values in self.probabilities(picture[None]).items():
            probability = float(values[0])
            found[name] = Opinion(
                name, probability, self.bands[name].verdict(probability), self._trust(name, probability)
            )
        return found

    def look(self, views: "Sequence[View]", check: bool = True) -> Look:
        """Opinions on the squares of one picture: of the highest soft vote, corrected for their number."""
        from nbsupport.detectors.views import corrected

        stack = np.stack([own.picture for own in views])
        known = np.ones(len(views), bool)
        if check and self.kind is not None:
            known = self.kind.knows(self.trained, stack)
        chosen = np.flatnonzero(known) if known.any() else np.arange(len(views))
        each = {name: values[chosen] for name, values in self.probabilities(stack).items()}
        top, found = int(np.argmax(each[SOFT_VOTE])), {}
        for name, values in each.items():
            real = self.validation.loc[self.validation["label"] != 1, name].to_numpy()
            probability = corrected(float(values[top]), len(chosen), real)
            verdict = self.bands[name].verdict(probability)
            found[name] = Opinion(name, probability, verdict, self._trust(name, probability))
        return Look(found, views[chosen[top]], bool(2 * known.sum() >= len(views)))

    def _trust(self, name: str, probability: float) -> "Interval | None":
        known = self.validation
        labels = (known["label"] == 1).to_numpy()
        if labels.all() or not labels.any():
            return None
        from nbsupport.stats.calibration import trust

        return trust(labels, known[name].to_numpy(), known["group"].to_numpy(), probability)

    def ladder(self, copies: Mapping[str, np.ndarray]) -> pd.DataFrame:
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

    def heat(self, picture: np.ndarray, name: str) -> np.ndarray:
        """Where a detector finds evidence of paint, (S, S) float32 in [0, 1]; of the vote: the mean of all maps.

        Raises:
            ConfigError: a detector that looks at no places, or no such name.
        """
        if name in self.no_heat:
            raise ConfigError(f"On validation pictures the maps of {name} are no better than chance: none is shown.")
        if name == SOFT_VOTE:
            shown = [t for t in self.trained if self._layers[t.name] is not None and t.name not in self.no_heat]
            maps = [self._map(t, picture) for t in shown]
            if not maps:
                raise ConfigError("None of these detectors looks at places (better than chance): there is no heat map.")
            return np.mean(maps, axis=0)
        for trained in self.trained:
            if trained.name == name:
                return self._map(trained, picture)
        raise ConfigError(f"There is no detector '{name}' here: {', '.join(self.names)}.")

    @functools.cached_property
    def _layers(self) -> dict[str, object]:
        from nbsupport.detectors import heatmaps

        return {t.name: heatmaps.target_layer(t) for t in self.trained}

    @staticmethod
    def _map(trained: "Trained", picture: np.ndarray) -> np.ndarray:
        from nbsupport.detectors import heatmaps

        return heatmaps.grad_cam(trained, picture[None])[0]


def no_better_than_chance(records: Sequence[Mapping], seeds: Mapping[str, int]) -> set[str]:
    """Detectors whose heat maps were not shown to lie more on the hole than an even map does, in any arm.

    Args: records: of chapter 8's ``localization``. seeds: detector -> the seed that is asked.
    """
    better = {
        record["detector"]
        for record in records
        if record["metric"] == "inside_density"
        and record["seed"] == seeds.get(record["detector"])
        and (record["over_uniform"]["low"] or 0) > 0
    }
    return {record["detector"] for record in records if record["detector"] in seeds} - better


def overlap(heat: np.ndarray, hole: np.ndarray) -> tuple[float, float]:
    """How well the hottest pixels of a map, as many as the hole has, cover the hole.

    Args: heat (H, W) float; hole (H, W) bool, True = hole, neither empty nor everything.

    Returns:
        Intersection over union, and what equally many pixels at random would reach on average.
    """
    count = int(hole.sum())
    if not 0 < count < hole.size:
        raise UserError("An overlap needs a hole that is neither empty nor the whole picture.")
    order = np.argsort(-heat.ravel(), kind="stable")[:count]
    hot = np.zeros(hole.size, bool)
    hot[order] = True
    both = (hot & hole.ravel()).sum()
    share = count / hole.size
    return float(both / (2 * count - both)), share / (2 - share)
