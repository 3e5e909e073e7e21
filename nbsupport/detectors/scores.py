"""The table of everything that detectors have said: one row for each picture, detector, seed and condition.

Pictures are scored once; every figure and number after that is made from this table. ``logit`` is calibrated,
``probability`` is its sigmoid, ``label`` is 1 for an inpainted picture and 0 for a photograph.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.special import expit

from nbsupport.core.errors import MissingStage
from nbsupport.core.files import atomic_path
from nbsupport.pairs.planning import of_arm
from nbsupport.runs import Run

DETECTORS, ENSEMBLES = "scores.parquet", "scores_ensembles.parquet"
CONDITIONS, STUDIES = "scores_conditions.parquet", "scores_studies.parquet"
CLEAN = "clean"  # the condition of a picture as the paired set holds it

COLUMNS: tuple[str, ...] = (
    "image_id",
    "group",
    "arm",
    "detector",
    "seed",
    "condition",
    "logit",
    "probability",
    "label",
    "split",
    "path",  # of the picture, relative to the run folder: the key to the manifest of the pairs
)


def table(manifest: pd.DataFrame, logits: np.ndarray, detector: str, seed: int, condition: str = CLEAN) -> pd.DataFrame:
    """Rows of the score table for pictures of the manifest (in its order) and their calibrated logits (N,)."""
    logits = np.asarray(logits, np.float64)
    return pd.DataFrame(
        {
            "image_id": manifest["image_id"].to_numpy(),
            "group": manifest["group"].to_numpy(),
            "arm": manifest["arm"].to_numpy(),
            "detector": detector,
            "seed": seed,
            "condition": condition,
            "logit": logits,
            "probability": expit(logits),
            "label": (manifest["label"] == "fake").to_numpy().astype(np.int64),
            "split": manifest["split"].to_numpy(),
            "path": manifest["path"].to_numpy(),
        }
    )[list(COLUMNS)]


def write(run: Run, name: str, tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Write score tables as one file of the run, atomically, and return it."""
    whole = pd.concat(list(tables), ignore_index=True)
    with atomic_path(run / name) as temporary:
        whole.to_parquet(temporary, index=False)
    return whole


def load(run: Run) -> pd.DataFrame:
    """Scores of the single detectors; raises :class:`MissingStage` before chapter 7."""
    run.require("detectors")
    path = run / DETECTORS
    if not path.exists():
        raise MissingStage(f"'{path}' is missing. Run chapter 7 again to restore it.")
    return pd.read_parquet(path)


def all_scores(run: Run) -> pd.DataFrame:
    """Scores of all detectors, and of the ensembles when chapter 9 has run on these very detectors."""
    single = load(run)
    record, path = run.record("ensembles"), run / ENSEMBLES
    current = record is not None and record["inputs"]["detectors"] == run.require("detectors")["fingerprint"]
    if not current or not path.exists():
        return single
    return pd.concat([single, pd.read_parquet(path)], ignore_index=True)


def select(scores: pd.DataFrame, split: str, fake_arm: str | None = None, detector: str | None = None) -> pd.DataFrame:
    """Rows of one split and detector (None: of all): the fakes of one arm (None: of all), and their real class."""
    chosen = scores["split"] == split
    if detector is not None:
        chosen &= scores["detector"] == detector
    return scores[chosen] if fake_arm is None else of_arm(scores[chosen], fake_arm)
