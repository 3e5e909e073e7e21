"""Ensembles in files, without pickle: plain numbers as JSON, scikit-learn models by skops with a list of trusted types.

A skops file names the types it holds; one that is not on our list is refused before anything of it is built.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import skops.io

from nbsupport.core.errors import UserError
from nbsupport.core.files import atomic_path, write_json
from nbsupport.detectors.ensembles.combiners import Combiner, Learned, Logistic, Vote
from nbsupport.runs import CHAPTER_OF_STAGE, Run

#: Types beyond those that skops trusts by itself which our models hold.
TRUSTED: tuple[str, ...] = ("sklearn.tree._tree.Tree",)
_MODELS = {"RandomForestClassifier", "GradientBoostingClassifier", "Pipeline"}


def suffix(combiner: Combiner) -> str:
    """Of the file that holds it: ``.skops`` for a scikit-learn model, ``.json`` for plain numbers."""
    return ".skops" if isinstance(combiner, Learned) else ".json"


def save(combiner: Combiner, path: Path) -> None:
    """Write an ensemble; the path ends as :func:`suffix` says."""
    if not isinstance(combiner, Learned):
        write_json(path, combiner)
        return
    held = vars(combiner) | {"detectors": list(combiner.detectors)}
    with atomic_path(path) as temporary:
        Path(temporary).write_bytes(skops.io.dumps(held))


def load(path: Path) -> Combiner:
    """Read what :func:`save` wrote.

    Raises:
        UserError: the file is missing, damaged, no ensemble, or holds a type that is not trusted.
    """
    if not path.exists():
        raise UserError(f"The ensemble '{path}' is missing. Fit it again with: {_command(path)}")
    try:
        return _learned(path) if path.suffix == ".skops" else _plain(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(f"The ensemble '{path}' is damaged ({type(error).__name__}). {_again(path)}") from error


def _command(path: Path) -> str:
    run = Run(path.resolve().parent.parent)  # it lies in the run's checkpoints/
    return run.command(str(CHAPTER_OF_STAGE["ensembles"]))


def _again(path: Path) -> str:
    return f"Delete it and fit it again with: {_command(path)}"


def _plain(held: dict[str, Any]) -> Combiner:
    names = tuple(held["detectors"])
    if "weights" in held:
        return Vote(names, tuple(map(float, held["weights"])))
    return Logistic(names, tuple(map(float, held["coefficients"])), float(held["intercept"]))


def _learned(path: Path) -> Learned:
    data = path.read_bytes()
    strange = sorted(set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED))
    if strange:
        raise UserError(
            f"The ensemble '{path}' holds types that are not trusted ({', '.join(strange)}), so it was not opened. "
            f"{_again(path)}"
        )
    held = skops.io.loads(data, trusted=list(TRUSTED))
    model = held["model"]
    if type(model).__name__ not in _MODELS:
        raise ValueError(f"{type(model).__name__} is no model of an ensemble")
    return Learned(tuple(held["detectors"]), model, float(held["slope"]), float(held["intercept"]))
