"""The shortcut audit: what can be told from a picture by what must not matter?

Beside an accuracy belongs what a classifier reaches that sees only a shortcut. Each probe is fitted on training
photographs and asked about test photographs, with an interval over groups. On the spliced arm every probe must be at
chance; one whose interval (at a level corrected for the number of probes) leaves out one half is *flagged*.

Some probes see the file (``file``, ``file size``) or the hole's shape (``mask``). The others see the picture with the
hole and a margin around it blanked out: its colours and spectrum (``outside``), a fixed pattern at fixed places
(``pattern``), its grain, as the spatial rich models of steganalysis do (``grain``; Fridrich & Kodovsky 2012), whatever
a small network finds (``network``), and the traces of a second compression (``compression``). The number of bytes sees
the paint after all, since smooth fills compress well; it is reported and never flagged.

A spliced picture equals its original bit for bit outside the hole, so these are at chance there *by construction*, and
the real guard is that equality (:func:`guard`). Probes matter where it does not hold: for other arms, other people's
pairs, and the rows that detectors are trained on (:func:`training`). That they can find something is shown by planting
shortcuts (:func:`controls`). Not here: detectors that may look at everything.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nbsupport import masks as masks_of
from nbsupport import pairs as pairs_of
from nbsupport.config import EvaluationConfig
from nbsupport.core import rng
from nbsupport.core.errors import UserError
from nbsupport.core.rng import seeded
from nbsupport.detectors.classifier import PairSampler
from nbsupport.detectors.networks import PowerSpectrum, ResidualNet, high_pass
from nbsupport.detectors.predict import to_tensor
from nbsupport.masks import MaskSet
from nbsupport.pairs import Pairs, files
from nbsupport.pairs.files import Encoding
from nbsupport.pairs.planning import PARTNERS
from nbsupport.runs import Run
from nbsupport.stats import metrics
from nbsupport.stats.bootstrap import Interval

_BLANK = 127  # grey level put into the hole
_MARGIN = 4  # pixels around the hole that no probe sees either: filters and blocks reach so far
_GRID = 8  # the mask probe sees the hole on a grid of this many cells a side
_CUT = 3  # residuals beyond are edges, not grain
_BLOCK = 8  # of JPEG
_EPOCHS = 4  # of the network
_PAINT = "file size"  # the probe that sees the paint
#: The AUROC from which a planted shortcut counts as found.
FOUND = 0.9


@dataclass(frozen=True)
class Sample:
    """What a probe may look at: N pictures and what is known of them.

    Attributes:
        pictures: (N, H, W, 3) uint8 RGB. holes: (N, H, W) bool, True = hole; of a real picture that of its fake twin.
        contents: the encoded files, N of them; None for pictures that were never written.
    """

    pictures: np.ndarray
    holes: np.ndarray
    contents: list[bytes] | None = None

    @cached_property
    def visible(self) -> np.ndarray:
        """(N, H, W) bool: what probes may see, farther than the margin from the hole."""
        kernel = np.ones((2 * _MARGIN + 1,) * 2, np.uint8)
        return np.stack([cv2.dilate(hole.astype(np.uint8), kernel) == 0 for hole in self.holes])

    @cached_property
    def blanked(self) -> np.ndarray:
        """The pictures, grey where nothing may be seen."""
        return np.where(self.visible[..., None], self.pictures, np.uint8(_BLANK))

    @cached_property
    def grain(self) -> np.ndarray:
        """What :func:`_grain` finds, (N, F) float."""
        return _grain(self)


# --- what probes see -------------------------------------------------------------------------------------------------


def _file(sample: Sample) -> np.ndarray:
    """A number for each part of a file's form; equal parts get equal numbers."""
    told = [files.form(content) for content in sample.contents]
    keys = sorted({key for form in told for key in form})
    return np.array([[zlib.crc32(str(form.get(key)).encode()) / 2**32 for key in keys] for form in told])


def _file_size(sample: Sample) -> np.ndarray:
    return np.log([[len(content)] for content in sample.contents])


def _mask(sample: Sample) -> np.ndarray:
    holes = torch.from_numpy(sample.holes)[:, None].float()
    cells = torch.nn.functional.adaptive_avg_pool2d(holes, _GRID).flatten(1).numpy()
    edges = (holes.diff(dim=2).abs().mean((1, 2, 3)) + holes.diff(dim=3).abs().mean((1, 2, 3))).numpy()
    return np.column_stack([cells, edges])


def look(pictures: np.ndarray) -> np.ndarray:
    """Radial power spectrum, mean and deviation of each colour: (N, H, W, 3) uint8 -> (N, F) float."""
    spectrum = PowerSpectrum(pictures.shape[1]).spectrum(to_tensor(pictures)).numpy()
    flat = pictures.reshape(len(pictures), -1, 3).astype(np.float32)
    return np.column_stack([spectrum, flat.mean(axis=1), flat.std(axis=1)])


def _outside(sample: Sample) -> np.ndarray:
    return look(sample.blanked)


def seams(pictures: np.ndarray, visible: np.ndarray | None = None) -> np.ndarray:
    """How much slopes change at each column and row of an 8 x 8 block: (N, H, W, 3) uint8 -> (N, 16) float.

    `visible`: (N, H, W) bool, where to look; None: everywhere.
    """
    grey = pictures.astype(np.float32).mean(axis=-1)
    seen = np.ones(grey.shape, bool) if visible is None else visible
    found = []
    for axis in (1, 2):
        held = _whole(seen, axis, 3)
        change = np.abs(np.diff(grey, 2, axis=axis)) * held
        lines = change.sum(axis=3 - axis) / np.maximum(held.sum(axis=3 - axis), 1)  # (N, length - 2)
        found += [lines[:, phase::_BLOCK].mean(axis=1) for phase in range(_BLOCK)]
    return np.log(np.stack(found, axis=1) + 1e-3)


def _whole(seen: np.ndarray, axis: int, length: int) -> np.ndarray:
    """Where this many neighbours along an axis are all seen."""
    size = seen.shape[axis] - length + 1
    return np.all([seen.take(range(start, start + size), axis) for start in range(length)], axis=0)


def _shares(values: np.ndarray, held: np.ndarray, levels: Sequence[int]) -> np.ndarray:
    """Histogram of integers over `levels` where `held`, of each of N arrays: (N, levels) float, rows sum to one."""
    count = np.stack([((values == level) & held).reshape(len(values), -1).sum(1) for level in levels], 1).astype(float)
    return count / np.maximum(count.sum(1, keepdims=True), 1)


def _grain(sample: Sample) -> np.ndarray:
    """Histograms and co-occurrences of truncated residuals, parity of the levels, seams of blocks: (N, F) float."""
    seen = np.broadcast_to(sample.visible[..., None], sample.pictures.shape)
    pictures, levels, found = sample.pictures.astype(np.int16), range(-_CUT, _CUT + 1), []
    for axis in (1, 2):
        first = np.diff(pictures, axis=axis).clip(-_CUT, _CUT)
        found.append(_shares(first, _whole(seen, axis, 2), levels))
        size = first.shape[axis] - 1
        here, there = first.take(range(size), axis), first.take(range(1, size + 1), axis)
        both = (here + _CUT) * len(levels) + there + _CUT
        found.append(_shares(both, _whole(seen, axis, 3), range(len(levels) ** 2)))
        second = np.rint(np.diff(pictures, 2, axis=axis) / 2).clip(-_CUT, _CUT)
        found.append(_shares(second, _whole(seen, axis, 3), levels))
    kernel = high_pass()[2, 0].numpy()
    residual = np.stack([cv2.filter2D(picture.astype(np.float32), cv2.CV_32F, kernel) for picture in sample.pictures])
    found.append(_shares(np.rint(residual / 2).clip(-_CUT, _CUT), seen, levels))
    odd = ((pictures & 1) * seen).sum((1, 2)) / np.maximum(seen.sum((1, 2)), 1)  # (N, 3)
    found += [odd, np.abs(odd - 0.5), _pairs_of_values(sample.pictures, seen)]
    return np.column_stack([*found, seams(sample.pictures, sample.visible)])


def _pairs_of_values(pictures: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """How unequal the counts of levels 2k and 2k + 1 are in each channel (Westfeld & Pfitzmann 1999): (N, 3) float."""
    found = np.empty((len(pictures), 3))
    for n in range(len(pictures)):
        for channel in range(3):
            count = np.bincount(pictures[n, ..., channel][seen[n, ..., channel]], minlength=256).astype(float)
            even, odd = count[::2], count[1::2]
            found[n, channel] = ((even - odd) ** 2 / np.maximum(even + odd, 1)).sum() / max(count.sum(), 1)
    return np.log(found + 1e-3)


# --- how they judge --------------------------------------------------------------------------------------------------

#: From a sample to learn from, its labels (N,) bool (True = fake; its second half holds the twins of the first), a
#: sample to judge and a seed, to scores (M,): the higher, the more fake.
Judge = Callable[[Sample, np.ndarray, Sample, int], np.ndarray]


def _regression(features: Callable[[Sample], np.ndarray], strength: float = 0.1) -> Judge:
    def judge(fit: Sample, labels: np.ndarray, asked: Sample, seed: int) -> np.ndarray:
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=strength))
        return model.fit(features(fit), labels).decision_function(features(asked))

    return judge


def _pattern(fit: Sample, labels: np.ndarray, asked: Sample, seed: int) -> np.ndarray:
    """Projection on the mean difference of twins, over its variance: finds what always stands at the same place."""

    def values(sample: Sample) -> np.ndarray:
        return np.where(sample.visible[..., None], sample.pictures.astype(np.float32), np.nan)

    own = values(fit)
    real, fake = own[~labels], own[labels]
    with np.errstate(invalid="ignore"):
        held = np.isfinite(fake - real[: len(fake)]).sum(0)
        difference = np.nansum(fake - real[: len(fake)], axis=0) / np.maximum(held, 1)
        spread = np.nansum((fake - real[: len(fake)] - difference) ** 2, axis=0) / np.maximum(held, 1)
    return np.nansum(values(asked) * difference / (spread + 4), axis=(1, 2, 3))


def _network(fit: Sample, labels: np.ndarray, asked: Sample, seed: int) -> np.ndarray:
    """A small network on the high-pass residuals of the blanked pictures, trained for some epochs on twins."""
    with seeded(seed, "audit network"):
        model = ResidualNet(12)
    pictures, targets = fit.blanked, torch.from_numpy(labels.astype(np.float32))
    optimiser = torch.optim.AdamW(model.parameters(), 5e-3)
    half = len(labels) // 2
    for epoch in range(_EPOCHS):
        order = rng.generator(seed, "audit network", epoch).permutation(half)
        for chosen in np.array_split(order, max(1, half // 16)):
            rows = np.concatenate([chosen, chosen + half])  # both members of a pair
            logits = model.train()(to_tensor(pictures[rows]))[:, 0]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.inference_mode():
        model.eval()
        parts = np.array_split(asked.blanked, max(1, len(asked.pictures) // 256))
        return np.concatenate([model(to_tensor(part))[:, 0].numpy() for part in parts]).astype(np.float64)


#: Probes of the pixels outside the hole, and what they see.
PIXELS: dict[str, tuple[Judge, str]] = {
    "outside": (_regression(_outside), "colours and spectrum outside the hole"),
    "pattern": (_pattern, "what stands at the same place of every picture, outside the hole"),
    "grain": (
        _regression(lambda sample: sample.grain, 0.3),
        "the grain outside the hole: residuals, parity, block seams",
    ),
    "network": (_network, "whatever a small network finds outside the hole"),
}
#: Every probe of the audit.
PROBES: dict[str, tuple[Judge, str]] = {
    "file": (_regression(_file), "the file's header and tables, not its pixels"),
    "file size": (_regression(_file_size), "the number of bytes"),
    "mask": (_regression(_mask), "the hole's shape and place"),
    **PIXELS,
    "compression": (_regression(lambda sample: sample.grain, 0.3), "traces of a second compression outside the hole"),
}


def judge(
    probe: Judge, fit: Sample, labels: np.ndarray, asked: Sample, truth: np.ndarray, groups: np.ndarray,
    draws: int, seed: int, confidence: float,
) -> Interval:  # fmt: skip
    """AUROC of a probe on other pictures than it learnt from, {value, low, high} over groups."""
    # What is equal in both classes must count as a tie, and not be told apart by the last bit of a sum.
    logits = np.round(probe(fit, labels, asked, seed), 6)
    probability = 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
    table = pd.DataFrame({"logit": logits, "probability": probability, "label": truth.astype(int), "group": groups})
    return metrics.summary(table, draws, seed, confidence)["auroc"]


def corrected(confidence: float, questions: int) -> float:
    """The confidence of each of several intervals so that all hold together (Bonferroni)."""
    return 1 - (1 - confidence) / max(questions, 1)


def leaves_chance(found: Interval) -> bool:
    """Whether an interval of an AUROC leaves out one half."""
    return found["low"] is not None and not found["low"] <= 0.5 <= found["high"]


def _sample(pairs: Pairs, masks: MaskSet, rows: np.ndarray) -> Sample:
    """What probes may see of manifest rows."""
    holes = masks.by_id(pairs.manifest["mask_id"].iloc[rows])
    return Sample(np.array(pairs.cache[rows]), holes, list(pairs.contents(rows)))


def _twins(pairs: Pairs, split: str, real: str, fake: str, most: int) -> pd.DataFrame:
    """One picture of each arm for each photograph of a split: the real ones, then the fake ones in their order."""
    own = pairs.manifest[(pairs.manifest["split"] == split)]
    own = own[own["arm"].isin((real, fake))].drop_duplicates(["image_id", "arm"])
    whole = own[own.duplicated("image_id", keep=False)]
    whole = whole[whole["image_id"].isin(whole["image_id"].drop_duplicates().iloc[:most])]
    if not len(whole):
        raise UserError(f"The split '{split}' holds no pictures of {real} and {fake}. Make more in chapter 6.")
    return pd.concat([whole[whole["arm"] == real], whole[whole["arm"] == fake]])


def audit(pairs: Pairs, masks: MaskSet, draws: int = 2000, seed: int = 0, most: int = 2000) -> list[dict[str, object]]:
    """Ask every probe about every fake arm, against untouched photographs and against the arm's real partner.

    Args: draws, seed: of the bootstrap over groups. most: photographs of a split that are looked at.

    Returns:
        records ``probe, sees, arm, real`` (the real arm), ``auroc`` (interval at 95 %, corrected for the number of
        probes), ``at_chance`` (whether it holds one half), ``by_construction`` (the probe gets the very same from both
        classes), ``flag`` (not at chance on the spliced arm; never the file's size), ``pictures``. Probes that need an
        arm which the set does not hold are left out.

    Raises:
        UserError: the set holds no pictures to train or to test on.
    """
    held, records = set(pairs.manifest["arm"]), []
    if {"original", "reencoded"} <= held:
        other = _twins(pairs, "train", "original", "reencoded", most)
        lossy = _sample(pairs, masks, other.index.to_numpy()), (other["arm"] == "reencoded").to_numpy()
    for fake, partner in PARTNERS.items():
        for real in dict.fromkeys(("original", partner)):
            if not {fake, real} <= held:
                continue
            fit_rows, test = (_twins(pairs, split, real, fake, most) for split in ("train", "test"))
            fit, asked = (_sample(pairs, masks, rows.index.to_numpy()) for rows in (fit_rows, test))
            labels, truth = ((rows["arm"] == fake).to_numpy() for rows in (fit_rows, test))
            same = all(np.array_equal(*np.split(sample.blanked, 2)) for sample in (fit, asked))
            for name, (probe, sees) in PROBES.items():
                learnt, told = fit, labels
                if name == "compression":
                    if "reencoded" not in held:
                        continue
                    learnt, told = lossy
                blind = name == "mask" or (same and name not in ("file", "file size"))
                if blind:
                    found = {"value": 0.5, "low": 0.5, "high": 0.5}
                else:
                    level = corrected(0.95, len(PROBES))
                    found = judge(probe, learnt, told, asked, truth, test["group"].to_numpy(), draws, seed, level)
                records.append(
                    {
                        "probe": name,
                        "sees": sees,
                        "arm": fake,
                        "real": real,
                        "auroc": found,
                        "at_chance": not leaves_chance(found),
                        "by_construction": blind,
                        "flag": fake == "spliced" and name != _PAINT and leaves_chance(found),
                        "pictures": len(test),
                    }
                )
    return records


def guard(pairs: Pairs, masks: MaskSet, splits: Sequence[str] = ("train", "validation", "test")) -> dict[str, int]:
    """How many spliced pictures equal their original bit for bit outside the hole: ``spliced``, ``equal``."""
    count, equal = 0, 0
    table = pairs.manifest[pairs.manifest["split"].isin(splits)]
    originals = table.loc[table["arm"] == "original", "image_id"]
    where = pd.Series(originals.index, originals.to_numpy())  # image_id -> manifest row
    spliced = table[(table["arm"] == "spliced") & table["image_id"].isin(where.index)]
    for start in range(0, len(spliced), 512):
        rows = spliced.iloc[start : start + 512]
        holes = masks.by_id(rows["mask_id"])
        fake, real = pairs.cache[rows.index.to_numpy()], pairs.cache[where[rows["image_id"]].to_numpy()]
        equal += int(((fake == real) | holes[..., None]).all(axis=(1, 2, 3)).sum())
        count += len(rows)
    return {"spliced": count, "equal": equal}


# --- can it find anything? -------------------------------------------------------------------------------------------


def _lossy(pictures: np.ndarray, seed: int) -> np.ndarray:
    encoding = Encoding.parse("jpeg:85")
    return np.stack([encoding.through(picture) for picture in pictures])


def _resampled(pictures: np.ndarray, seed: int) -> np.ndarray:
    height, width = pictures.shape[1:3]
    size = round(0.9 * width), round(0.9 * height)
    smaller = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures]
    return np.stack([cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC) for picture in smaller])


def _corner(pictures: np.ndarray, seed: int) -> np.ndarray:
    changed = pictures.copy()
    changed[:, :2, :2] = 0
    return changed


def _least_bits(pictures: np.ndarray, seed: int) -> np.ndarray:
    bits = rng.generator(seed, "least bits").integers(0, 2, pictures.shape, dtype=np.uint8)
    return pictures & 0xFE | bits


#: Shortcuts that are planted to see that the audit finds them: (N, H, W, 3) uint8 and a seed -> the same shape.
SHORTCUTS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "black corner of 2 x 2 pixels": _corner,
    "even grey levels": lambda pictures, seed: pictures & 0xFE,
    "random least bits": _least_bits,
    "JPEG at quality 85": _lossy,
    "resampled at 0.9": _resampled,
}


def controls(
    pairs: Pairs, masks: MaskSet, draws: int = 2000, seed: int = 0, most: int = 2000
) -> list[dict[str, object]]:
    """Plant each of :data:`SHORTCUTS` outside the hole of one class, and nothing at all, and ask the pixel probes.

    Both classes are the photographs themselves. With nothing planted, halves of the photographs are compared that
    differ in nothing but the draw.

    Returns:
        records ``shortcut`` (``nothing`` for the negative control), ``probes`` (name -> AUROC, {value, low, high}),
        ``best`` (the name of the probe that finds most), ``found`` (whether that one's AUROC reaches :data:`FOUND`).
    """
    splits = {}
    for split in ("train", "test"):
        own = pairs.manifest[(pairs.manifest["split"] == split) & (pairs.manifest["arm"] == "original")]
        own = own.drop_duplicates("image_id").iloc[:most]
        splits[split] = own, _sample(pairs, masks, own.index.to_numpy())
    records, level = [], corrected(0.95, len(PIXELS))
    for name, plant in [("nothing", None), *SHORTCUTS.items()]:
        made = {}
        for number, (split, (rows, sample)) in enumerate(splits.items()):
            if plant is None:
                order = rng.generator(seed, "nothing planted", split).permutation(len(rows) // 2 * 2)
                made[split] = Sample(sample.pictures[order], sample.holes[order]), rows["group"].to_numpy()[order]
            else:
                twins = plant(sample.pictures, seed + number)
                both = Sample(np.concatenate([sample.pictures, twins]), np.concatenate([sample.holes] * 2))
                made[split] = both, np.tile(rows["group"].to_numpy(), 2)
        (fit, _), (asked, groups) = made["train"], made["test"]
        labels, truth = (np.repeat([False, True], len(part.pictures) // 2) for part in (fit, asked))
        probes = {
            probe: judge(own, fit, labels, asked, truth, groups, draws, seed, level)
            for probe, (own, _) in PIXELS.items()
        }
        best = max(probes, key=lambda probe: probes[probe]["value"])
        found = probes[best]["value"] >= FOUND
        records.append({"shortcut": name, "probes": probes, "best": best, "found": bool(found)})
    return records


def training(
    pairs: Pairs,
    masks: MaskSet,
    learnt: Mapping[str, object],
    draws: int = 2000,
    seed: int = 0,
    most: int = 2000,
    epochs: int = 3,
) -> dict[str, object]:
    """The audit of what detectors are trained on: the rows of their first epochs, as the sampler draws them.

    Args: learnt: the detectors' ``fake_arms``, ``inpainters``, ``batch_size`` and ``train_count``.

    Returns:
        ``pairs``: how many were looked at; ``arms``: records ``real, fake, pairs``; and of the spliced ones, whose
        outside must not tell the classes apart: ``equal_outside`` (share of pairs equal bit for bit), ``probes`` (name
        -> AUROC on other photographs than it learnt from) and ``flags`` (probes not at chance).
    """
    own = pairs.manifest[pairs.manifest["split"] == "train"]
    sampler = PairSampler(
        own, learnt["fake_arms"], learnt["batch_size"], learnt["train_count"], seed, learnt["inpainters"]
    )
    drawn = [batch.rows.reshape(2, -1) for epoch in range(epochs) for batch in sampler.epoch(epoch)]
    return training_rows(pairs, masks, np.concatenate(drawn, axis=1), draws, seed, most)


def training_rows(
    pairs: Pairs, masks: MaskSet, rows: np.ndarray, draws: int = 2000, seed: int = 0, most: int = 2000
) -> dict[str, object]:
    """:func:`training` of given manifest rows (2, B): the reals, and under each its fake."""
    real, fake = (pairs.manifest.iloc[side].reset_index(drop=True) for side in rows)
    table = pd.DataFrame({"real": real["arm"], "fake": fake["arm"]}).value_counts().reset_index(name="pairs")
    found = {"pairs": rows.shape[1], "arms": table.to_dict("records"), "probes": {}, "flags": []}
    chosen = np.flatnonzero((fake["arm"] == "spliced") & ~fake.duplicated(["image_id"]))[: 2 * most]
    half = rng.hashes(seed, fake["group"].iloc[chosen], "audit of training") % 2 == 0
    if min(half.sum(), (~half).sum()) < 8:
        return found | {"equal_outside": None}
    sides = []
    for part in (chosen[half], chosen[~half]):
        holes = masks.by_id(fake["mask_id"].iloc[part])
        pictures = np.concatenate([pairs.cache[rows[0][part]], pairs.cache[rows[1][part]]])
        contents = [*pairs.contents(rows[0][part]), *pairs.contents(rows[1][part])]
        groups = np.tile(fake["group"].iloc[part].to_numpy(), 2)
        sides.append((Sample(pictures, np.concatenate([holes] * 2), contents), groups))
    (fit, _), (asked, groups) = sides
    labels, truth = (np.repeat([False, True], len(side.pictures) // 2) for side in (fit, asked))
    equal = [np.all(real == fake, axis=(1, 2, 3)) for real, fake in (np.split(s.blanked, 2) for s in (fit, asked))]
    found["equal_outside"] = float(np.concatenate(equal).mean())
    if found["equal_outside"] < 1:
        names = ("file", *PIXELS)
        level = corrected(0.95, len(names))
        for name in names:
            probe = PROBES[name][0]
            found["probes"][name] = judge(probe, fit, labels, asked, truth, groups, draws, seed, level)
        found["flags"] = [name for name in names if leaves_chance(found["probes"][name])]
    return found


def audit_run(
    run: Run, config: EvaluationConfig, most: int = 2000, learnt: Mapping[str, object] | None = None
) -> dict[str, object]:
    """The whole audit of a run's paired set, written to ``results/audit.json``.

    Returns:
        ``probes``: :func:`audit`; ``flags``: those on the spliced arm, by name; ``guard``: :func:`guard`; ``controls``:
        :func:`controls`; ``training``: :func:`training` of the detectors' parameters `learnt` (None: left out).
    """
    pairs, holes = pairs_of.load(run), masks_of.load(run)
    records = audit(pairs, holes, config.draws, config.seed, most)
    result = {
        "probes": records,
        "flags": [
            f"{record['probe']} ({record['real']} against {record['arm']})" for record in records if record["flag"]
        ],
        "guard": guard(pairs, holes),
        "controls": controls(pairs, holes, config.draws, config.seed, most),
        "draws": config.draws,
    }
    if learnt is not None:
        result["training"] = training(pairs, holes, learnt, config.draws, config.seed, most)
    return run.write_result("audit", result)


def reading(found: Mapping) -> str:
    """What the audit found, in Markdown. Args: found: ``results/audit.json``."""
    guarded, planted = found["guard"], [record for record in found["controls"] if record["shortcut"] != "nothing"]
    seen = [record["shortcut"] for record in planted if record["found"]]
    missed = [record["shortcut"] for record in planted if not record["found"]]
    bare = [record for record in found["controls"] if record["shortcut"] == "nothing"]
    false_alarms = [name for record in bare for name, value in record["probes"].items() if leaves_chance(value)]
    whole = "all" if guarded["equal"] == guarded["spliced"] else f"only {guarded['equal']:,}"
    lines = [
        f"- Of {guarded['spliced']:,} spliced pictures {whole} equal their original bit for bit outside the hole.",
        f"- Flagged on the spliced arm: {', '.join(found['flags']) or 'none'}.",
        f"- Planted shortcuts found: {len(seen)} of {len(planted)}"
        + (f"; missed: {', '.join(missed)}." if missed else "."),
        f"- Probes that see something where nothing was planted: {', '.join(false_alarms) or 'none'}.",
    ]
    own = found.get("training")
    if own is not None:
        arms = ", ".join(f"{a['pairs']:,} {a['real']} with {a['fake']}" for a in own["arms"])
        lines.append(f"- Training pairs looked at: {arms}.")
        if own["equal_outside"] is not None:
            lines.append(
                f"- Of the spliced ones {own['equal_outside']:.0%} are equal outside the hole; probes that tell them "
                f"apart: {', '.join(own['flags']) or 'none'}."
            )
    return "\n".join(lines)
