"""The part of ``results/errors.json`` that asks *why*: what errors share, what escapes, what size of hole is found.

Joins the judged pictures with what can be measured of them (``properties.around``, structural similarity of the fill,
nearest correctly judged neighbour) and runs the questions of ``properties`` and ``escape`` on them. Everything copes
with runs of a few pictures: what cannot be answered is an empty list or a None, with a word that says so.
"""

import cv2
import numpy as np
import pandas as pd

from nbsupport.config import ErrorsConfig
from nbsupport.detectors import ensemble
from nbsupport.evaluation import detector_metrics, escape, properties
from nbsupport.masks import MaskSet
from nbsupport.pairs import Pairs
from nbsupport.pairs.planning import REAL
from nbsupport.quality import pixels
from nbsupport.stats import bootstrap

WRONG = ("miss", "false alarm")
_CELLS = 4  # a side, of the colour descriptor
_TOGETHER = 256


def descriptors(pictures: np.ndarray) -> np.ndarray:
    """Colours and texture on a grid: (N, H, W, 3) uint8 -> (N, 64) float32. No detector has a say in it."""
    found = []
    for picture in pictures:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
        rough = np.abs(grey - cv2.blur(grey, (3, 3)))
        parts = [cv2.resize(picture.astype(np.float32), (_CELLS, _CELLS), interpolation=cv2.INTER_AREA).ravel() / 64]
        parts.append(cv2.resize(rough, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA).ravel() / 8)
        found.append(np.concatenate(parts))
    return np.array(found, np.float32).reshape(len(pictures), 4 * _CELLS**2)


def enrich(table: pd.DataFrame, paired: Pairs, holes: MaskSet) -> pd.DataFrame:
    """Add ``brightness, texture, gradient, colourfulness`` (around the hole), ``hole_ssim``, ``neighbour``."""
    once = table.drop_duplicates("path").reset_index(drop=True)
    real = paired.manifest[paired.manifest["arm"] == "original"]
    original = dict(zip(real["image_id"], real.index, strict=True))
    looks, features = [], np.zeros((len(paired.manifest), 4 * _CELLS**2), np.float32)
    for start in range(0, len(once), _TOGETHER):
        part = once.iloc[start : start + _TOGETHER]
        pictures = np.array(paired.cache[part["number"].to_numpy()])
        hole = holes.by_id(part["mask_id"])
        before = np.array(paired.cache[[original[image_id] for image_id in part["image_id"]]])
        found = properties.around(pictures, hole)
        similar = pixels.ssim(before, pictures, hole)
        looks.append(
            found.assign(path=part["path"].to_numpy(), hole_ssim=np.where(part["label"] == 1, similar, np.nan))
        )
        features[part["number"].to_numpy()] = descriptors(pictures)
    table = table.merge(pd.concat(looks), on="path", how="left", validate="many_to_one")
    return table.assign(neighbour=escape.neighbours(features, table), cluster=np.int64(-1))


def analyse(table: pd.DataFrame, best: tuple[str, int], config: ErrorsConfig) -> tuple[pd.DataFrame, dict[str, object]]:
    """Returns the table with its column ``cluster`` filled for the best detector, and the results' new keys:

    ``analysed`` (per outcome and arm: ``detector, seed, arm, outcome, pictures, errors, level`` (confident, all or too
    few)``, tests, survivors, clusters``), ``analysed_from`` (from which error on one is confident), ``escapes``,
    ``crossings`` (``detector, seed, arm, target`` and what ``escape.crossing`` found), ``shared`` (per arm).
    """
    table = table.copy()
    chosen = (table["detector"] == best[0]) & (table["seed"] == best[1])
    sides, offset = [], 0
    for arm, own in table[chosen].groupby("arm", sort=False):
        wrong = own["outcome"].isin(WRONG).to_numpy()
        level, errors = "confident", wrong & (own["error"] >= config.confident).to_numpy()
        if errors.sum() < properties.FEWEST:
            level, errors = "all", wrong
        level = level if errors.sum() >= properties.FEWEST else "too few"
        tests = properties.tests(own, errors)
        numbers, found = properties.clusters(own, errors, config.depth, config.least, config.confidence, config.seed)
        for record in found:
            record["cluster"] += offset
        table.loc[own.index, "cluster"] = np.where(numbers >= 0, numbers + offset, -1)
        offset += len(found)
        facts = {"detector": best[0], "seed": best[1], "arm": arm, "pictures": len(own), "errors": int(errors.sum())}
        outcome = "miss" if own["label"].iloc[0] == 1 else "false alarm"
        survivors = [record["property"] for record in tests if record["survives"]]
        facts |= {"outcome": outcome, "level": level, "tests": tests, "survivors": survivors, "clusters": found}
        sides.append(facts)
    crossings = []
    for (detector, seed), own in table.groupby(["detector", "seed"], sort=False):
        for arm in detector_metrics.fake_arms(own):
            if arm != detector_metrics.ALL:
                found = escape.crossing(
                    own[(own["label"] == 0) & (own["arm"] == REAL[arm])], own[own["arm"] == arm], config
                )
                crossings.append({"detector": detector, "seed": seed, "arm": arm, "target": config.target, **found})
    return table, {
        "analysed": sides,
        "analysed_from": config.confident,
        "escapes": escape.escapes(table, config),
        "crossings": crossings,
        "shared": shared(table, config),
    }


def shared(table: pd.DataFrame, config: ErrorsConfig) -> list[dict[str, object]]:
    """For each arm: how much more often all single detectors are wrong together than independent ones would be."""
    single, records = table[~table["detector"].isin(ensemble.NAMES)], []
    for arm, own in single.groupby("arm", sort=False):
        own = own.assign(wrong=own["outcome"].isin(WRONG), judge=own["detector"] + " " + own["seed"].astype(str))
        wide = own.pivot(index="path", columns="judge", values="wrong").dropna().astype(bool)
        if wide.shape[1] < 2:
            continue
        groups = own.drop_duplicates("path").set_index("path").loc[wide.index, "group"].to_numpy()
        records.append(
            {"arm": arm, "detectors": wide.shape[1], "pictures": len(wide), **escape.shared(wide, groups, config)}
        )
    return records


def captions(paired: Pairs) -> list[str]:
    """The kinds of captions that the test fakes were painted with; with one kind, its effect cannot be answered."""
    own = paired.manifest[(paired.manifest["split"] == "test") & (paired.manifest["label"] == "fake")]
    return sorted(set(own["caption_kind"].dropna().astype(str)) - {""})


def caption_effects(table: pd.DataFrame, manifest: pd.DataFrame, config: ErrorsConfig) -> list[dict[str, object]]:
    """Whether the caption matters to the detectors: fakes of one hole, one inpainter and one draw, in pairs.

    Args: table: of the errors stage, with ``path``. manifest: of the paired set.

    Returns:
        for each detector, seed, arm and kind of caption other than ``matched``: ``pairs``, and the logit with
        that caption minus the logit with the right one, {value, low, high} over groups; none without such pairs.
    """
    facts = ["path", "caption_kind", "mask_id", "inpainter", "sample"]
    fakes = table[table["label"] == 1].drop(columns=set(facts[1:]) & set(table), errors="ignore")
    fakes = fakes.merge(manifest[facts], on="path", how="left", validate="many_to_one")
    key = ["image_id", "group", "mask_id", "inpainter", "sample"]
    records = []
    for (detector, seed, arm), own in fakes.groupby(["detector", "seed", "arm"], sort=False):
        wide = own.pivot_table(index=key, columns="caption_kind", values="logit", observed=True)
        for kind in (kind for kind in wide.columns if kind != "matched" and "matched" in wide.columns):
            both = wide[[kind, "matched"]].dropna()
            if len(both) < escape.FEWEST:
                continue
            apart = (both[kind] - both["matched"]).to_numpy()
            found = bootstrap.bootstrap_groups(
                both.index.get_level_values("group"),
                lambda weights, apart=apart: weights @ apart / weights.sum(axis=1),
                config.draws,
                config.seed,
                config.confidence,
            )
            facts_of = {"detector": detector, "seed": seed, "arm": arm, "caption": kind, "pairs": len(both)}
            records.append(facts_of | found)
    return records
