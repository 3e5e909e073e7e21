"""What judged pictures the error browser is asked for: filters, ranges, an order; and their answer from a table.

Not here: the table and its pictures (:mod:`.browser_state`), widgets (:mod:`.browser`).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nbsupport.core.errors import ConfigError, unknown

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
