"""Several detectors' answers made into one: votes, and stacks (Wolpert 1992) of scikit-learn models.

All take calibrated logits (N, D) and give log-odds (N,). Both classes weigh the same in every fit, whatever their
numbers, as in the calibration of the members. Forest, boosting and support vectors give no probabilities to be trusted
as they are, so a line over their raw answers is fitted on answers held out by group (Platt 1999).
Not here: which pictures are fitted on (:mod:`.folds`), files (:mod:`.storage`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from nbsupport.core import rng
from nbsupport.core.errors import UserError

_CERTAIN = 1e-6  # probabilities are kept this far from 0 and 1 before their log-odds are taken
_LEAST_SLOPE = 0.05  # of the calibration line: answers worth nothing keep their order, near one half
_INNER_FOLDS = 2  # for that line


class Combiner(Protocol):
    """What every ensemble is: the names of its members, in order, and an answer made of theirs."""

    detectors: tuple[str, ...]

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """(N, D) calibrated logits of the members -> (N,) log-odds."""


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Log-odds of probabilities, kept finite."""
    return logit(np.clip(probability, _CERTAIN, 1 - _CERTAIN))


def even(labels: np.ndarray) -> np.ndarray:
    """(N,) weights that sum to 1 and give both classes one half."""
    labels = np.asarray(labels, bool)
    return np.where(labels, 0.5 / labels.sum(), 0.5 / (~labels).sum())


@dataclass(frozen=True)
class Vote:
    """A mean of the members' probabilities. `weights`: (D,) of them, at least 0, of sum 1; all equal: the soft vote."""

    detectors: tuple[str, ...]
    weights: tuple[float, ...]

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """(N, D) -> (N,)."""
        return log_odds(expit(logits) @ np.array(self.weights))


@dataclass(frozen=True)
class Logistic:
    """A logistic regression over the members' logits.

    `coefficients` all about 1/D: the stack has found nothing a vote lacks. `intercept` is added to the sum.
    """

    detectors: tuple[str, ...]
    coefficients: tuple[float, ...]
    intercept: float

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """(N, D) -> (N,)."""
        return logits @ np.array(self.coefficients) + self.intercept


@dataclass(frozen=True)
class Learned:
    """A fitted scikit-learn classifier over the members' logits, and the line that calibrates its raw answers."""

    detectors: tuple[str, ...]
    model: Any
    slope: float
    intercept: float

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """(N, D) -> (N,)."""
        return self.slope * _raw(self.model, logits) + self.intercept


def fit_soft(logits: np.ndarray, labels: np.ndarray, groups: np.ndarray, detectors: Sequence[str], seed: int) -> Vote:
    """Nothing is fitted: every member counts the same."""
    return Vote(tuple(detectors), (1 / len(detectors),) * len(detectors))


def fit_weighted(
    logits: np.ndarray, labels: np.ndarray, groups: np.ndarray, detectors: Sequence[str], seed: int
) -> Vote:
    """The weights of the least log loss, on the simplex. The loss is convex in them, so the least is the only one."""
    probability = np.clip(expit(logits), _CERTAIN, 1 - _CERTAIN)
    of_truth = np.where(np.asarray(labels, bool)[:, None], probability, 1 - probability)  # (N, D)
    weight, count = even(labels), logits.shape[1]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = np.maximum(of_truth @ weights, _CERTAIN)
        return -float(weight @ np.log(mixed)), -(weight / mixed) @ of_truth

    limits = {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like}
    start = np.full(count, 1 / count)
    found = minimize(loss, start, jac=True, method="SLSQP", bounds=[(0, 1)] * count, constraints=[limits])
    weights = np.clip(found.x, 0, None) if np.isfinite(found.x).all() else start
    return Vote(tuple(detectors), tuple(map(float, weights / weights.sum())))


def fit_logistic(
    logits: np.ndarray, labels: np.ndarray, groups: np.ndarray, detectors: Sequence[str], seed: int
) -> Logistic:
    """A logistic regression with a mild penalty (C = 1)."""
    model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000).fit(logits, labels)
    return Logistic(tuple(detectors), tuple(map(float, model.coef_[0])), float(model.intercept_[0]))


def _models(seed: int) -> dict[str, Any]:
    """Unfitted models, small on purpose: a few hundred validation pictures and a handful of columns."""
    number = rng.torch_seed(seed, "stack") % 2**32
    return {
        "stack_forest": RandomForestClassifier(30, min_samples_leaf=8, random_state=number),
        "stack_boosting": GradientBoostingClassifier(
            n_estimators=25, max_depth=2, learning_rate=0.15, subsample=0.8, random_state=number
        ),
        "stack_svm": make_pipeline(StandardScaler(), SVC(C=1.0, class_weight="balanced", random_state=number)),
    }


def fit_learned(
    name: str, logits: np.ndarray, labels: np.ndarray, groups: np.ndarray, detectors: Sequence[str], seed: int
) -> Learned:
    """Fit forest, boosting or support vectors on everything, and the line on answers held out by group."""

    def fit(rows: np.ndarray) -> Any:
        model = _models(seed)[name]
        if name == "stack_svm":
            return model.fit(logits[rows], labels[rows])
        return model.fit(logits[rows], labels[rows], sample_weight=even(labels[rows]) * len(rows))

    held_out = np.empty(len(labels))
    for fitted, other in by_group(labels, groups, _INNER_FOLDS, seed):
        held_out[other] = _raw(fit(fitted), logits[other])
    line = LogisticRegression(C=100.0, class_weight="balanced").fit(held_out[:, None], labels)
    slope = max(float(line.coef_[0, 0]), _LEAST_SLOPE)
    return Learned(tuple(detectors), fit(np.arange(len(labels))), slope, float(line.intercept_[0]))


def _raw(model: Any, logits: np.ndarray) -> np.ndarray:
    """(N,) what the model says: its decision function, or for a forest the log-odds of its votes."""
    if hasattr(model, "decision_function"):
        return model.decision_function(logits)
    return logit(np.clip(model.predict_proba(logits)[:, 1], 0.01, 0.99))


def fit(
    name: str, logits: np.ndarray, labels: np.ndarray, groups: np.ndarray, detectors: Sequence[str], seed: int = 0
) -> Combiner:
    """Fit one ensemble.

    Args:
        name: one of ``config.ENSEMBLES``. logits: (N, D) calibrated. labels: (N,) 0 or 1 (fake). groups: (N,).
        detectors: the D names. seed: of the models' own draws and of the inner folds.
    """
    plain = {"soft_vote": fit_soft, "weighted_vote": fit_weighted, "stack_logistic": fit_logistic}
    labels = np.asarray(labels).astype(int)
    if name in plain:
        return plain[name](logits, labels, groups, detectors, seed)
    return fit_learned(name, logits, labels, groups, detectors, seed)


def by_group(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Row numbers (fitted, held out) of each fold; no group is on both sides, and every row is held out once.

    Raises:
        UserError: fewer than two groups, or a fold would be fitted on one class alone.
    """
    count = min(folds, len(np.unique(groups)))
    if count < 2:
        raise UserError("A stack needs validation pictures of at least two groups. Use more photographs in chapter 1.")
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=rng.torch_seed(seed, "folds") % 2**32)
    for fitted, other in splitter.split(np.zeros(len(labels)), labels, groups):
        if len(np.unique(np.asarray(labels)[fitted])) < 2:
            raise UserError(
                "A stack needs photographs and inpainted pictures in several validation groups; a fold has one class "
                "only. Use more photographs in chapter 1."
            )
        yield fitted, other
