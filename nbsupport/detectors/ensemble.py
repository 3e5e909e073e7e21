"""Ensembles: several detectors' answers made into one.

``soft_vote`` is the mean of the calibrated probabilities: nothing to fit, so nothing to overfit. :class:`Stack` is a
logistic regression over the logits (Wolpert 1992), fitted on *validation* photographs, which the detectors were not
trained on; a stack fitted on training scores would learn to trust whoever memorised most. Its own validation scores
come from folds by group, so that they are not those of pictures it was fitted on. It is kept as plain numbers in JSON.
Not here: whether an ensemble is better than its best member (:mod:`.comparison`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from nbsupport import rng
from nbsupport.config import EvaluationConfig
from nbsupport.detectors import scores
from nbsupport.errors import UserError
from nbsupport.runs import Run, read_json, write_json

SOFT_VOTE, STACK = "soft_vote", "stack"
NAMES = (SOFT_VOTE, STACK)
_KEYS = ["path", "seed", "condition"]
_FOLDS = 5
_CERTAIN = 1e-6  # probabilities are kept this far from 0 and 1 before their log-odds are taken


def matrix(table: pd.DataFrame, column: str = "logit") -> pd.DataFrame:
    """Answers side by side: index (path, seed, condition), one column for each detector, in the table's order.

    Raises:
        UserError: fewer than two detectors, or one that has not scored every picture.
    """
    names = list(dict.fromkeys(table["detector"]))
    if len(names) < 2:
        raise UserError(
            f"An ensemble needs at least two detectors, this run has {', '.join(names) or 'none'}. Add one to `names` "
            "in chapter 6 and run it again."
        )
    wide = table.pivot(index=_KEYS, columns="detector", values=column)[names]
    if wide.isna().to_numpy().any():
        lacking = wide.columns[wide.isna().any()].tolist()
        raise UserError(f"Not every picture was scored by {', '.join(lacking)}. Run chapter 6 again.")
    return wide


def soft_vote(table: pd.DataFrame) -> pd.DataFrame:
    """The mean of the detectors' probabilities, as rows of the score table."""
    probability = matrix(table, "probability").mean(axis=1)
    return _rows(table, logit(probability.clip(_CERTAIN, 1 - _CERTAIN)), SOFT_VOTE)


@dataclass(frozen=True)
class Stack:
    """A logistic regression over detectors' calibrated logits.

    Attributes:
        detectors: in the order of `coefficients`.
        coefficients: how much each detector's logit counts; all about 1/n: the stack has found nothing a vote lacks.
        intercept: added to the sum.
    """

    detectors: tuple[str, ...]
    coefficients: tuple[float, ...]
    intercept: float

    @classmethod
    def fit(cls, logits: np.ndarray, labels: np.ndarray, detectors: Sequence[str]) -> Self:
        """Fit on logits (N, D) and labels (N,) of 0 and 1; both classes weigh the same, whatever their numbers."""
        model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000).fit(logits, labels)
        return cls(tuple(detectors), tuple(map(float, model.coef_[0])), float(model.intercept_[0]))

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """(N, D) logits of the detectors -> (N,) log-odds of the stack."""
        return logits @ np.array(self.coefficients) + self.intercept

    def save(self, path: Path) -> None:
        """Write the numbers as JSON."""
        write_json(path, self)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        held = read_json(path)
        return cls(tuple(held["detectors"]), tuple(held["coefficients"]), held["intercept"])


def out_of_fold(logits: np.ndarray, labels: np.ndarray, groups: np.ndarray, detectors: Sequence[str], seed: int):
    """(N,) log-odds of every picture from a stack that was fitted without that picture's group."""
    folds = min(_FOLDS, len(np.unique(groups)))
    if folds < 2:
        raise UserError("A stack needs validation pictures of at least two groups. Use more photographs in chapter 1.")
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=rng.torch_seed(seed, "folds") % 2**32)
    held_out = np.empty(len(labels))
    for fitted, other in splitter.split(logits, labels, groups):
        held_out[other] = Stack.fit(logits[fitted], labels[fitted], detectors).logits(logits[other])
    return held_out


def stacked(table: pd.DataFrame, seed: int = 0) -> tuple[pd.DataFrame, dict[int, Stack]]:
    """Fit one stack for each seed of the detectors; their answers as rows of the score table, and the stacks.

    Validation rows are answered out of fold, all others by the stack that was fitted on the whole validation split.
    """
    parts, stacks = [], {}
    for number, own in table.groupby("seed", sort=True):
        wide = matrix(own)
        facts = own.drop_duplicates(_KEYS).set_index(_KEYS).loc[wide.index]
        labels, logits, names = facts["label"].to_numpy(), wide.to_numpy(), wide.columns.tolist()
        fitting = (facts["split"] == "validation").to_numpy()
        stacks[number] = Stack.fit(logits[fitting], labels[fitting], names)
        answers = stacks[number].logits(logits)
        groups = facts["group"].to_numpy()[fitting]
        answers[fitting] = out_of_fold(logits[fitting], labels[fitting], groups, names, seed)
        parts.append(_rows(own, pd.Series(answers, wide.index), STACK))
    return pd.concat(parts, ignore_index=True), stacks


def make(run: Run, config: EvaluationConfig) -> pd.DataFrame:
    """The stage "ensembles": soft vote and stack of all detectors of this run; returns their score table.

    Writes ``scores_ensembles.parquet`` and ``checkpoints/stack_seed<k>.json``.

    Raises:
        MissingStage: chapter 6 has not run.
        UserError: there are fewer than two detectors.
    """
    stage = run.stage("ensembles", config, needs=("detectors",))
    if not stage.finished:
        with stage:
            single = scores.load(run)
            table, stacks = stacked(single, config.seed)
            for seed, stack in stacks.items():
                path = run / "checkpoints" / f"stack_seed{seed}.json"
                stack.save(path)
                stage.outputs(path)
            scores.write(run, scores.ENSEMBLES, [soft_vote(single), table])
            stage.outputs(scores.ENSEMBLES)
    return pd.read_parquet(run / scores.ENSEMBLES)


def stacks(run: Run) -> dict[int, Stack]:
    """The fitted stacks of a run, by seed of the detectors; raises :class:`MissingStage` before chapter 7."""
    outputs = run.require("ensembles")["outputs"]
    paths = [run / name for name in outputs if Path(name).suffix == ".json"]
    return {int(path.stem.removeprefix("stack_seed")): Stack.load(path) for path in paths}


def _rows(table: pd.DataFrame, logits: pd.Series, name: str) -> pd.DataFrame:
    """Rows of the score table for log-odds indexed by (path, seed, condition)."""
    facts = table.drop_duplicates(_KEYS).set_index(_KEYS).loc[logits.index].reset_index()
    values = logits.to_numpy()
    return facts.assign(detector=name, logit=values, probability=expit(values))[list(scores.COLUMNS)]
