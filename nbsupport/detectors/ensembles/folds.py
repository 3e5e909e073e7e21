"""Ensembles fitted so that nothing a member or a stack was trained on leaks into what it is judged by.

Why this is free of leaks: splits are by group, and members learn from the *training* split alone; their answers on
validation pictures are therefore those on pictures they have not learnt from, and an ensemble is fitted on these only.
A member that remembers its training pictures gains nothing by it. What a stack says of *validation* pictures comes from
folds by group, so that it was fitted without the picture, its fakes, its photograph and its near-duplicates. Test
pictures take part in no fit, and a group that is in two splits is refused.

What dependence remains: the epoch that was kept, the temperature and the shift of each member were chosen on the same
validation pictures, a handful of numbers each. Validation answers of members and so of ensembles are a little
too good; answers on the test split, which alone are reported, are not.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nbsupport.core.errors import UserError
from nbsupport.detectors.ensembles import combiners
from nbsupport.detectors.ensembles.combiners import Combiner, by_group
from nbsupport.stats.bootstrap import codes_of, group_weights, interval

KEYS = ["path", "seed", "condition"]


def matrix(table: pd.DataFrame, column: str = "logit") -> pd.DataFrame:
    """Answers side by side: index (path, seed, condition), one column for each detector, in the table's order.

    Raises:
        UserError: fewer than two detectors, or one that has not scored every picture.
    """
    names = list(dict.fromkeys(table["detector"]))
    if len(names) < 2:
        raise UserError(
            f"An ensemble needs at least two detectors, this run has {', '.join(names) or 'none'}. Add one to `names` "
            "in chapter 7 and run it again."
        )
    wide = table.pivot(index=KEYS, columns="detector", values=column)[names]
    if wide.isna().to_numpy().any():
        lacking = wide.columns[wide.isna().any()].tolist()
        raise UserError(f"Not every picture was scored by {', '.join(lacking)}. Run chapter 7 again.")
    return wide


def facts_of(table: pd.DataFrame, index: pd.MultiIndex) -> pd.DataFrame:
    """What the table knows of each picture besides the detectors' answers, in the order of `index`."""
    facts = table.drop_duplicates(KEYS).set_index(KEYS).loc[index]
    inside = facts["split"] == "validation"
    both = set(facts.loc[inside, "group"]) & set(facts.loc[~inside, "group"])
    if both:
        raise UserError(f"Group {min(both)} is in the validation split and in another. Run chapter 1 again.")
    return facts


def out_of_fold(
    name: str, logits: np.ndarray, labels: np.ndarray, groups: np.ndarray, detectors: Sequence[str],
    seed: int = 0, folds: int = 5,
) -> np.ndarray:  # fmt: skip
    """(N,) log-odds of every picture from an ensemble that was fitted without that picture's group."""
    held_out = np.empty(len(labels))
    for fitted, other in by_group(labels, groups, folds, seed):
        own = combiners.fit(name, logits[fitted], labels[fitted], groups[fitted], detectors, seed)
        held_out[other] = own.logits(logits[other])
    return held_out


def combine(table: pd.DataFrame, name: str, seed: int = 0, folds: int = 5) -> tuple[pd.Series, Combiner]:
    """One ensemble of the detectors of one training seed.

    Returns:
        Log-odds indexed by (path, seed, condition): of validation rows out of fold, of all others from the ensemble
        fitted on the whole validation split; and that ensemble.
    """
    wide = matrix(table)
    facts, logits, names = facts_of(table, wide.index), wide.to_numpy(), wide.columns.tolist()
    labels, groups = facts["label"].to_numpy(), facts["group"].to_numpy()
    inside = (facts["split"] == "validation").to_numpy()
    if len(np.unique(labels[inside])) < 2:
        raise UserError("An ensemble needs validation photographs and validation fakes. Run chapters 6 and 7 again.")
    chosen = logits[inside], labels[inside], groups[inside], names
    fitted = combiners.fit(name, *chosen, seed)
    answers = fitted.logits(logits)
    answers[inside] = out_of_fold(name, *chosen, seed, folds)
    return pd.Series(answers, wide.index), fitted


def weight_spread(
    table: pd.DataFrame, name: str, draws: int = 200, seed: int = 0, confidence: float = 0.95
) -> dict[str, dict[str, float]]:
    """Weight of each member in a weighted vote or logistic stack of one training seed: ``{value, low, high}``.

    The interval is that of fits to validation groups drawn with replacement.
    """
    own = table[table["split"] == "validation"]
    wide = matrix(own)
    facts, logits, names = facts_of(own, wide.index), wide.to_numpy(), wide.columns.tolist()
    labels, groups = facts["label"].to_numpy(), facts["group"].to_numpy()

    def weights(rows: np.ndarray) -> tuple[float, ...]:
        fitted: Any = combiners.fit(name, logits[rows], labels[rows], groups[rows], names, seed)
        return fitted.weights if isinstance(fitted, combiners.Vote) else fitted.coefficients

    codes, count = codes_of(groups)
    found = []
    for times in group_weights(count, draws, seed):
        rows = np.repeat(np.arange(len(labels)), times[codes].astype(int))
        found.append(weights(rows) if len(np.unique(labels[rows])) == 2 else (np.nan,) * len(names))
    value = weights(np.arange(len(labels)))
    drawn = np.array(found)
    return {n: interval(value[i], drawn[:, i], confidence) for i, n in enumerate(names)}
