"""The stage "ensembles": every ensemble of a run fitted, kept, and asked about every picture.

The names are those of ``config.ENSEMBLES``. What they are stands in ``ensembles.combiners``, why nothing leaks into
them in ``ensembles.folds``. Not here: whether one is better than its best member (``evaluation.ensemble_report``).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from nbsupport.config import ENSEMBLES, SOFT_VOTE, EnsembleConfig
from nbsupport.core.errors import ConfigError, MissingStage, UserError, unknown
from nbsupport.detectors import scores
from nbsupport.detectors.ensembles import combiners, folds, storage
from nbsupport.detectors.ensembles.combiners import Combiner
from nbsupport.detectors.ensembles.folds import KEYS, matrix
from nbsupport.runs import CHAPTER_OF_STAGE, Run

NAMES: tuple[str, ...] = ENSEMBLES

__all__ = ["NAMES", "SOFT_VOTE", "check", "load", "loaded", "make", "matrix", "rows", "soft_vote", "stacked"]


def check(name: str) -> str:
    """The name itself if there is such an ensemble; raises ConfigError that names the nearest one if not."""
    if name not in NAMES:
        raise ConfigError(unknown("ensemble", name, NAMES))
    return name


def soft_vote(table: pd.DataFrame) -> pd.DataFrame:
    """The mean of the detectors' probabilities, as rows of the score table. Nothing is fitted."""
    probability = matrix(table, "probability").mean(axis=1)
    return rows(table, pd.Series(combiners.log_odds(probability.to_numpy()), probability.index), SOFT_VOTE)


def stacked(
    table: pd.DataFrame, name: str = "stack_logistic", seed: int = 0, count: int = 5
) -> tuple[pd.DataFrame, dict[int, Combiner]]:
    """Fit one ensemble for each seed of the detectors; its answers as rows of the score table, and the ensembles.

    Args: table: the score table of single detectors. name: of the ensemble. seed, count: of its folds.
    """
    parts, fitted = [], {}
    for number, own in table.groupby("seed", sort=True):
        answers, fitted[int(number)] = folds.combine(own, check(name), seed, count)
        parts.append(rows(own, answers, name))
    return pd.concat(parts, ignore_index=True), fitted


def make(run: Run, config: EnsembleConfig) -> pd.DataFrame:
    """The stage "ensembles": the soft vote and all of `config.names` over all detectors; returns their score table.

    Writes ``scores_ensembles.parquet`` and ``checkpoints/ensemble_<name>_seed<k>.json`` or ``.skops``.

    Raises:
        MissingStage: chapter 7 has not run.
        UserError: there are fewer than two detectors.
    """
    stage = run.stage("ensembles", config, needs=("detectors",))
    if not stage.finished:
        with stage:
            single, tables = scores.load(run), []
            for name in dict.fromkeys((SOFT_VOTE, *config.names)):
                table, fitted = stacked(single, name, config.seed, config.folds)
                tables.append(table)
                for seed, combiner in fitted.items():
                    path = run / "checkpoints" / f"ensemble_{name}_seed{seed}{storage.suffix(combiner)}"
                    storage.save(combiner, path)
                    stage.outputs(path)
            scores.write(run, scores.ENSEMBLES, tables)
            stage.outputs(scores.ENSEMBLES)
    return pd.read_parquet(run / scores.ENSEMBLES)


def loaded(run: Run, name: str) -> dict[int, Combiner]:
    """The fitted ensembles of one name, by seed of the detectors.

    Raises:
        MissingStage: chapter 9 has not run on these detectors, or without this ensemble. ConfigError: no such name.
        UserError: a file is damaged.
    """
    record, detectors = run.record("ensembles"), run.require("detectors")
    start = f"ensemble_{check(name)}_seed"
    again = f"Fit it with: {run.command(str(CHAPTER_OF_STAGE['ensembles']))}"
    if record is None or record["inputs"]["detectors"] != detectors["fingerprint"]:
        raise MissingStage(f"The run '{run.name}' has no ensembles of its present detectors. {again}")
    paths = [run / file for file in record["outputs"] if Path(file).name.startswith(start)]
    if not paths:
        raise MissingStage(f"Chapter 9 ran in '{run.name}' without the ensemble '{name}'. {again}")
    return {int(path.stem.removeprefix(start)): storage.load(path) for path in paths}


def load(run: Run, name: str, members: Sequence[str]) -> tuple[Combiner, int | None]:
    """The ensemble that ``detect`` asks, and the seed of its members (None: any).

    A soft vote needs no fit and takes whichever `members` there are; every other one needs those it was fitted on.
    """
    if check(name) == SOFT_VOTE:
        return combiners.fit_soft(np.empty((0, 0)), np.empty(0), np.empty(0), members, 0), None
    fitted = loaded(run, name)
    seed = min(fitted)
    lacking = [member for member in fitted[seed].detectors if member not in members]
    if lacking:
        raise UserError(
            f"The ensemble '{name}' was fitted with {', '.join(lacking)}, which is not asked. Leave out --detector, or "
            f"use --ensemble {SOFT_VOTE}."
        )
    return fitted[seed], seed


def rows(table: pd.DataFrame, logits: pd.Series, name: str) -> pd.DataFrame:
    """Rows of the score table for log-odds indexed by (path, seed, condition)."""
    facts = table.drop_duplicates(KEYS).set_index(KEYS).loc[logits.index].reset_index()
    values = logits.to_numpy()
    return facts.assign(detector=name, logit=values, probability=expit(values))[list(scores.COLUMNS)]
