"""Folds in which all pictures of a group are on one side."""

from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from nbsupport.core import rng
from nbsupport.core.errors import UserError


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
