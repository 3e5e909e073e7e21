"""The error browser without its widgets: the judged pictures of a run, and everything known about one.

:class:`BrowserState` answers a ``browser_state.Query`` from the table of ``evaluation.error_analysis``. Tables of one
detector are cut out once and kept, so that an answer takes milliseconds.
Not here: widgets (:mod:`.browser`), sentences and files (:mod:`.browser_text`).
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from nbsupport.core.errors import ConfigError, UserError, unknown
from nbsupport.detectors import ensemble
from nbsupport.evaluation import error_analysis, strata
from nbsupport.masks import MaskSet
from nbsupport.runs import Run

#: Filters by equality: field of :class:`Query` -> column of the table.
CHOICES = {
    "outcome": "outcome",
    "arm": "arm",
    "species": "species",
    "kind": "mask_kind",
    "part": "part",
    "inpainter": "inpainter",
}


#: Filters by range, both ends included: field -> column.
RANGES = {"coverage": "coverage", "probability": "probability", "error": "error", "wrong": "wrong_detectors"}


#: What pictures can be sorted by: name on the page -> (column, largest first).
SORTS = {
    "most confident errors first": ("error", True),
    "most certainly right first": ("error", False),
    "probability of inpainted, high first": ("probability", True),
    "probability of inpainted, low first": ("probability", False),
    "wrong detectors, many first": ("wrong_detectors", True),
    "hole, large first": ("coverage", True),
    "hole, small first": ("coverage", False),
    "distance of the paint, small first": ("hole_l1", False),
    "species": ("species", False),
}


OUTCOMES = ("miss", "false alarm", "found", "passed")


@dataclass(frozen=True)
class Query:
    """What pictures are asked for; None: any. Ranges are (low, high), both included.

    Attributes:
        outcome, arm, species, kind, part, inpainter: see :data:`CHOICES`. coverage, probability, error: within [0, 1].
        wrong: how many single detectors are wrong. sort: a name of :data:`SORTS`.
    """

    detector: str
    seed: int = 0
    outcome: str | None = None
    arm: str | None = None
    species: str | None = None
    kind: str | None = None
    part: str | None = None
    inpainter: str | None = None
    coverage: tuple[float, float] | None = None
    probability: tuple[float, float] | None = None
    error: tuple[float, float] | None = None
    wrong: tuple[int, int] | None = None
    sort: str = next(iter(SORTS))


_GRID = 8  # cells along a side of the descriptor that neighbours are sought in
_KEPT = 256  # heat maps


@dataclass(frozen=True)
class Detail:
    """Everything known about one judged picture.

    Attributes:
        row: of ``errors.parquet``. picture: (H, W, 3) uint8. hole: (H, W) bool, True = hole; None if unknown.
        scores: ``detector, seed, probability, outcome`` of every detector and ensemble, single ones first.
        neighbour: row of the nearest picture of the same label that this detector judges correctly, or None.
        neighbour_picture: as `picture`, or None.
    """

    row: Mapping
    picture: np.ndarray
    hole: np.ndarray | None
    scores: pd.DataFrame
    neighbour: Mapping | None
    neighbour_picture: np.ndarray | None


class BrowserState:
    """The judged test pictures of a run, ready to be asked.

    Args:
        table: as ``errors.Errors.table``. pictures: (N, H, W, 3) uint8, indexed by its column ``number``; a memory map
            will do. best: detector and seed shown first. holes: the masks of the run. run: for heat maps.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        pictures: np.ndarray,
        best: tuple[str, int],
        holes: MaskSet | None = None,
        run: Run | None = None,
    ) -> None:
        if not len(table):
            raise UserError("No picture was judged: there is nothing to browse. Run chapters 6 to 10 again.")
        self.table, self.pictures, self.best, self.holes, self.run = table, pictures, best, holes, run
        pairs = table[["detector", "seed"]].drop_duplicates()
        found = [(str(name), int(seed)) for name, seed in pairs.itertuples(index=False)]
        self.detectors = sorted(found, key=lambda pair: (pair[0] in ensemble.NAMES, found.index(pair)))
        self._heat: OrderedDict[tuple[str, int, int], np.ndarray] = OrderedDict()
        self._trained: dict[tuple[str, int], object] = {}

    @classmethod
    def of(cls, run: Run) -> "BrowserState":
        """The state of a run; raises :class:`MissingStage` before chapter 10."""
        from nbsupport import masks, pairs

        found = error_analysis.load(run)
        return cls(found.table, pairs.load(run).cache, found.best, masks.load(run), run)

    @cached_property
    def _cut(self) -> dict[tuple[str, int], pd.DataFrame]:
        grouped = self.table.groupby(["detector", "seed"], sort=False)
        return {(str(name), int(seed)): own.reset_index(drop=True) for (name, seed), own in grouped}

    def of_detector(self, detector: str, seed: int) -> pd.DataFrame:
        """All rows of one detector."""
        if (detector, seed) not in self._cut:
            names = [f"{name} {number}" for name, number in self.detectors]
            raise ConfigError(unknown("judged detector", f"{detector} {seed}", names))
        return self._cut[detector, seed]

    @cached_property
    def wrong_most(self) -> int:
        """The largest number of single detectors that could be wrong about one picture."""
        return max(1, sum(name not in ensemble.NAMES for name, _ in self.detectors))

    def values(self, choice: str) -> list[str]:
        """The values that a filter of :data:`CHOICES` can take here, in the order of the book."""
        if choice not in CHOICES:
            raise ConfigError(unknown("filter", choice, CHOICES))
        held = [str(value) for value in self.table[CHOICES[choice]].dropna().unique() if str(value)]
        if choice == "outcome":
            return [name for name in OUTCOMES if name in held]
        return sorted(held, key=strata.order)

    def ask(self, query: Query) -> pd.DataFrame:
        """The rows that a query asks for, sorted; may be empty. Raises ConfigError: no such detector or order."""
        return answer(self.of_detector(query.detector, query.seed), query)

    def picture(self, number: int) -> np.ndarray:
        """The picture of a manifest row, (H, W, 3) uint8 RGB."""
        return np.array(self.pictures[int(number)])

    @cached_property
    def _hole_numbers(self) -> dict[str, int]:
        return {} if self.holes is None else {name: n for n, name in enumerate(self.holes.table["mask_id"])}

    def hole(self, row: Mapping) -> np.ndarray | None:
        """The hole of a judged picture, (H, W) bool, True = hole; a real one has that of its fakes; None: unknown."""
        number = self._hole_numbers.get(row["mask_id"])
        return None if number is None else self.holes.get([number])[0]

    @cached_property
    def _by_number(self) -> dict[int, np.ndarray]:
        return self.table.groupby("number", sort=False).indices

    def scores(self, number: int) -> pd.DataFrame:
        """What every detector says of one picture: ``detector, seed, probability, outcome``, ensembles last."""
        own = self.table.iloc[self._by_number[int(number)]]
        order = {pair: n for n, pair in enumerate(self.detectors)}
        ranks = [order[str(name), int(seed)] for name, seed in zip(own["detector"], own["seed"], strict=True)]
        return own.iloc[np.argsort(ranks)][["detector", "seed", "probability", "outcome"]].reset_index(drop=True)

    def detail(self, row: Mapping) -> Detail:
        """Gather what is shown of one row of an answer."""
        found = self.neighbour(row)
        picture = None if found is None else self.picture(found["number"])
        number = int(row["number"])
        return Detail(row, self.picture(number), self.hole(row), self.scores(number), found, picture)

    def neighbour(self, row: Mapping) -> Mapping | None:
        """The nearest picture of the same label that the same detector judges correctly.

        The column ``neighbour`` says which; without it, the nearest in a space of mean colours on a coarse grid is
        sought, among pictures of other groups of photographs.
        """
        own = self.of_detector(row["detector"], int(row["seed"]))
        if "neighbour" in own:
            found = own[own["number"] == row["neighbour"]]
            return found.iloc[0].to_dict() if len(found) else None
        right = own["outcome"].isin(["found", "passed"]) & (own["label"] == row["label"])
        candidates = own[right & (own["group"] != row["group"])]
        if not len(candidates):
            return None
        places = self._places
        space = self._descriptors
        here = space[places[int(row["number"])]]
        distance = np.abs(space[[places[int(number)] for number in candidates["number"]]] - here).sum(axis=1)
        return candidates.iloc[int(distance.argmin())].to_dict()

    @cached_property
    def _places(self) -> dict[int, int]:
        return {int(number): n for n, number in enumerate(np.unique(self.table["number"]))}

    @cached_property
    def _descriptors(self) -> np.ndarray:
        """Mean colours on a grid of each judged picture: (pictures, 3 * grid²) float32, in the order of `_places`."""
        import cv2

        size = (_GRID, _GRID)
        cells = [cv2.resize(self.picture(number), size, interpolation=cv2.INTER_AREA) for number in self._places]
        return np.stack(cells).reshape(len(cells), -1).astype(np.float32)

    def heat_source(self, detector: str, seed: int) -> tuple[str, int] | None:
        """Whose heat map is shown: the detector's own; for an ensemble or one without places another's; None: none."""
        from nbsupport.detectors import predict

        held = [] if self.run is None else predict.available(self.run)
        able = [(name, number) for name, number in held if name != "power_spectrum"]
        ranked = [(detector, seed), self.best, *(pair for pair in able if pair[1] == seed), *able]
        return next((pair for pair in ranked if pair in able), None)

    def heat(self, number: int, source: tuple[str, int]) -> np.ndarray:
        """Where a detector sees signs of paint: (H, W) float32 in [0, 1]; computed once, then kept."""
        from nbsupport.detectors import heatmaps, predict

        key = (*source, int(number))
        if key not in self._heat:
            if source not in self._trained:
                self._trained[source] = predict.load(self.run, *source)
            self._heat[key] = heatmaps.grad_cam(self._trained[source], self.picture(number)[None])[0]
            while len(self._heat) > _KEPT:
                self._heat.popitem(last=False)
        self._heat.move_to_end(key)
        return self._heat[key]


def answer(table: pd.DataFrame, query: Query) -> pd.DataFrame:
    """The rows of one detector's table that a query asks for, sorted; may be empty.

    Raises:
        ConfigError: no such order.
    """
    chosen = np.ones(len(table), bool)
    for field, column in CHOICES.items():
        if (wanted := getattr(query, field)) is not None:
            chosen &= (table[column] == wanted).to_numpy()
    for field, column in RANGES.items():
        if (limits := getattr(query, field)) is not None:
            values = table[column].to_numpy(np.float64)
            chosen &= (values >= limits[0] - 1e-9) & (values <= limits[1] + 1e-9)
    if query.sort not in SORTS:
        raise ConfigError(unknown("order", query.sort, SORTS))
    column, down = SORTS[query.sort]
    found = table[chosen]
    return found.sort_values([column, "path"], ascending=[not down, True], kind="stable", na_position="last")
