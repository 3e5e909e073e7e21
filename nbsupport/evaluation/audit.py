"""The shortcut audit: what can be told from a picture by what must not matter?

Beside an accuracy belongs what a simple classifier reaches that sees only a shortcut. Each probe is a logistic
regression over a few numbers, fitted on training photographs and asked about test photographs, with an interval over
groups. On the spliced arm every probe must be at chance (its interval holds one half); one that is not is *flagged*.

Probes: ``file`` (header, chunks, tables: all of a file that is not its pixels), ``file size`` (bytes: lossless files of
smooth fills are smaller, so this one sees paint after all, and is reported for that reason), ``mask`` (the hole's shape
and place), ``outside`` (the picture with the hole blanked out), ``compression`` (trained to tell photographs from
re-encoded photographs, then asked about the arm). Not here: detectors that may look at everything.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nbsupport import masks as masks_of
from nbsupport import pairs as pairs_of
from nbsupport.config import EvaluationConfig
from nbsupport.detectors.networks import PowerSpectrum
from nbsupport.detectors.predict import to_tensor
from nbsupport.errors import UserError
from nbsupport.evaluation import metrics
from nbsupport.evaluation.statistics import Interval
from nbsupport.masks import MaskSet
from nbsupport.pairs import Pairs, files
from nbsupport.pairs.planning import PARTNERS
from nbsupport.runs import Run

_BLANK = 127  # grey level put into the hole
_GRID = 8  # the mask probe sees the hole on a grid of so many cells a side


@dataclass(frozen=True)
class _Set:
    """What a probe may look at."""

    pairs: Pairs
    masks: MaskSet
    number: dict[str, int]  # mask_id -> number of the mask

    def holes(self, rows: np.ndarray) -> np.ndarray:
        """(B, H, W) bool: the hole of each row; of a real one, the hole of its fake partners."""
        return self.masks.get([self.number[mask_id] for mask_id in self.pairs.manifest["mask_id"].iloc[rows]])

    def pictures(self, rows: np.ndarray) -> np.ndarray:
        """(B, H, W, 3) uint8."""
        return self.pairs.cache[rows]


def _file(data: _Set, rows: np.ndarray) -> np.ndarray:
    """A number for each part of a file's form; equal parts get equal numbers."""
    told = [files.form(content) for content in data.pairs.contents(rows)]
    keys = sorted({key for form in told for key in form})
    return np.array([[zlib.crc32(str(form.get(key)).encode()) / 2**32 for key in keys] for form in told])


def _file_size(data: _Set, rows: np.ndarray) -> np.ndarray:
    return np.log([[len(content)] for content in data.pairs.contents(rows)])


def _mask(data: _Set, rows: np.ndarray) -> np.ndarray:
    holes = torch.from_numpy(data.holes(rows))[:, None].float()
    cells = torch.nn.functional.adaptive_avg_pool2d(holes, _GRID).flatten(1).numpy()
    edges = (holes.diff(dim=2).abs().mean((1, 2, 3)) + holes.diff(dim=3).abs().mean((1, 2, 3))).numpy()
    return np.column_stack([cells, edges])


def look(pictures: np.ndarray) -> np.ndarray:
    """Radial power spectrum, mean and deviation of each colour: (N, H, W, 3) uint8 -> (N, F) float."""
    spectrum = PowerSpectrum(pictures.shape[1]).spectrum(to_tensor(pictures)).numpy()
    flat = pictures.reshape(len(pictures), -1, 3).astype(np.float32)
    return np.column_stack([spectrum, flat.mean(axis=1), flat.std(axis=1)])


def _outside(data: _Set, rows: np.ndarray) -> np.ndarray:
    pictures = np.array(data.pictures(rows))
    pictures[data.holes(rows)] = _BLANK
    return look(pictures)


def _whole(data: _Set, rows: np.ndarray) -> np.ndarray:
    return look(np.array(data.pictures(rows)))


#: probe -> its numbers for manifest rows, and what it sees, in a sentence.
PROBES: dict[str, tuple[Callable[[_Set, np.ndarray], np.ndarray], str]] = {
    "file": (_file, "the file's header and tables, not its pixels"),
    "file size": (_file_size, "the number of bytes"),
    "mask": (_mask, "the hole's shape and place"),
    "outside": (_outside, "the picture with the hole blanked out"),
    "compression": (_whole, "traces of a second compression"),
}


def audit(pairs: Pairs, masks: MaskSet, draws: int = 2000, seed: int = 0, most: int = 2000) -> list[dict[str, object]]:
    """Ask every probe about every fake arm, against untouched photographs and against the arm's real partner.

    Args: draws, seed: of the bootstrap over groups. most: photographs of a split that are looked at.

    Returns:
        records ``probe, sees, arm, real`` (the real arm), ``auroc`` (an interval), ``at_chance`` (whether it holds one
        half), ``flag`` (not at chance on the spliced arm), ``pictures``. Probes that need an arm which the set does not
        hold are left out.

    Raises:
        UserError: the set holds no pictures to train or to test on.
    """
    number = dict(zip(masks.table["mask_id"], range(len(masks)), strict=True))
    data = _Set(pairs, masks, number)
    held = set(pairs.manifest["arm"])
    records = []
    for name, (features, sees) in PROBES.items():
        for fake, partner in PARTNERS.items():
            for real in dict.fromkeys(("original", partner)):
                if not {fake, real} <= held or (name == "compression" and "reencoded" not in held):
                    continue
                trained_on = ("original", "reencoded") if name == "compression" else (real, fake)
                found, pictures = _probe(data, features, trained_on, (real, fake), draws, seed, most)
                chance = found["low"] is None or found["low"] <= 0.5 <= found["high"]
                records.append(
                    {
                        "probe": name,
                        "sees": sees,
                        "arm": fake,
                        "real": real,
                        "auroc": found,
                        "at_chance": chance,
                        "flag": fake == "spliced" and not chance,
                        "pictures": pictures,
                    }
                )
    return records


def _probe(data, features, trained_on, asked, draws, seed, most) -> tuple[Interval, int]:
    """AUROC of one probe on test photographs."""
    fit, test = (_rows(data.pairs, split, arms, most) for split, arms in (("train", trained_on), ("test", asked)))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.1))
    model.fit(features(data, fit.index.to_numpy()), fit["arm"] == trained_on[1])
    scores = model.decision_function(features(data, test.index.to_numpy()))
    # What is equal in both classes must count as a tie, and not be told apart by the last bit of a sum.
    table = test.assign(logit=np.round(scores, 9), probability=1 / (1 + np.exp(-np.clip(scores, -50, 50))))
    table = table.assign(label=(table["arm"] == asked[1]).astype(int))
    return metrics.summary(table, draws, seed)["auroc"], len(table)


def _rows(pairs: Pairs, split: str, arms: tuple[str, str], most: int) -> pd.DataFrame:
    """One picture of each arm for each photograph of a split."""
    own = pairs.manifest[(pairs.manifest["split"] == split) & pairs.manifest["arm"].isin(arms)]
    own = own.drop_duplicates(["image_id", "arm"])
    own = own[own["image_id"].isin(own["image_id"].drop_duplicates().iloc[:most])]
    if own["arm"].nunique() < 2:
        raise UserError(f"The split '{split}' holds no pictures of {arms[0]} and {arms[1]}. Make more in chapter 5.")
    return own


def audit_run(run: Run, config: EvaluationConfig, most: int = 2000) -> dict[str, object]:
    """:func:`audit` of a run's paired set, written to ``results/audit.json`` as ``probes`` and ``flags`` (names)."""
    records = audit(pairs_of.load(run), masks_of.load(run), config.draws, config.seed, most)
    flags = [f"{record['probe']} ({record['real']} against {record['arm']})" for record in records if record["flag"]]
    return run.write_result("audit", {"probes": records, "flags": flags, "draws": config.draws})
