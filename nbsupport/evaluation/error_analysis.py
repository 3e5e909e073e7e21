"""Which pictures detectors judge wrongly: misses, false alarms, and what they have in common.

Every answer about the test split is joined with what the paired set knows of the picture: kind and coverage of the
hole, caption, species, and how far the paint is from what it covers. Shares are given with their intervals, since a bin
of holes or a species often holds few pictures. A hole belongs to real rows too, where nothing was painted into it: a
quantity that "explains" false alarms by such a hole is noise, and shows how much noise to expect.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nbsupport import masks, pairs
from nbsupport.config import ErrorsConfig, EvaluationConfig
from nbsupport.core.errors import UserError
from nbsupport.core.files import atomic_path
from nbsupport.data import index
from nbsupport.detectors import ensemble, scores
from nbsupport.evaluation import analysis, detector_metrics, strata
from nbsupport.runs import Run
from nbsupport.stats import bootstrap

TABLE = "errors.parquet"
THRESHOLD = 0.5  # on the calibrated probability

#: (label, called fake) -> outcome.
OUTCOMES = {(1, True): "found", (1, False): "miss", (0, True): "false alarm", (0, False): "passed"}
KEYS = ["detector", "seed"]


@dataclass(frozen=True)
class Errors:
    """The judged test pictures and what was counted in them.

    Attributes:
        table: one row for each test picture and detector: the columns of the score table without condition and split,
            ``outcome`` (found, miss, false alarm, passed), ``error`` (distance of the probability from the label, in
            [0, 1]), ``wrong_detectors`` (single detectors that are wrong about it), the columns of ``strata.facts``
            and ``hole_l1`` (fakes only, see ``pairs.differences``); ``number`` is the row of the manifest and of
            ``pairs.Pairs.cache``; the columns of ``analysis.enrich`` (``neighbour``: the manifest row of the nearest
            correctly judged picture of the same arm, -1 if none) and ``cluster`` (-1: in none).
        result: ``results/errors.json``; its keys beside the counts: ``analysis.analyse``.
    """

    table: pd.DataFrame
    result: dict

    @property
    def best(self) -> tuple[str, int]:
        """Detector and seed that ranked the validation pictures best; figures show this one."""
        return self.result["best"]["detector"], self.result["best"]["seed"]

    def of(self, detector: str, seed: int, arm: str | None = None) -> pd.DataFrame:
        """Rows of one detector, of one arm (None: of all)."""
        chosen = (self.table["detector"] == detector) & (self.table["seed"] == seed)
        return self.table[chosen if arm is None else chosen & (self.table["arm"] == arm)]

    def worst(self, outcome: str, count: int, arm: str | None = None) -> pd.DataFrame:
        """The best detector's `count` most confident errors of an outcome, each photograph once; may be empty."""
        own = self.of(*self.best, arm=arm)
        own = own[own["outcome"] == outcome].sort_values(["error", "path"], ascending=[False, True], kind="stable")
        return own.drop_duplicates("image_id").head(count)


def make(run: Run, config: ErrorsConfig) -> Errors:
    """The stage "errors": writes ``errors.parquet`` and ``results/errors.json``.

    Raises:
        MissingStage: chapter 9 has not run.
        UserError: the scores are not of this run's paired set.
    """
    stage = run.stage("errors", config, needs=("ensembles",))
    if not stage.finished:
        with stage:
            everything = scores.all_scores(run)
            paired, holes = pairs.load(run), masks.load(run)
            table = analysis.enrich(judged(everything, paired, holes, index.load(run).index), paired, holes)
            counted = result(table, everything, config)
            best = counted["best"]["detector"], counted["best"]["seed"]
            table, reasons = analysis.analyse(table, best, config)
            reasons["captions"] = analysis.captions(paired)
            reasons["caption_effects"] = analysis.caption_effects(table, paired.manifest, config)
            with atomic_path(run / TABLE) as temporary:
                table.to_parquet(temporary, index=False)
            run.write_result("errors", counted | reasons)
            stage.outputs(TABLE, "results/errors.json")
    return load(run)


def load(run: Run) -> Errors:
    """What :func:`make` left; raises MissingStage before chapter 10."""
    run.require("errors")
    return Errors(pd.read_parquet(run / TABLE), run.result("errors"))


def judged(table: pd.DataFrame, paired: pairs.Pairs, holes: masks.MaskSet, photographs: pd.DataFrame) -> pd.DataFrame:
    """Clean test rows of the score table with all that is known of their pictures; columns as in :class:`Errors`."""
    table = table[(table["split"] == "test") & (table["condition"] == scores.CLEAN)]
    if not len(table):
        raise UserError("No detector has judged a test picture. Run chapters 6 to 9 again with more photographs.")
    facts = strata.facts(paired, holes, photographs)
    facts["hole_l1"] = pairs.differences(paired, holes)["hole_l1"]
    joined = table.drop(columns=["condition", "split"]).merge(facts, on="path", how="left", validate="many_to_one")
    strange = joined["number"].isna()
    if strange.any():
        raise UserError(
            f"{strange.sum()} scores are of pictures that the paired set does not hold, such as "
            f"'{joined['path'][strange].iloc[0]}'. Run chapters 7 and 9 again."
        )
    called = joined["probability"] >= THRESHOLD
    joined["outcome"] = [OUTCOMES[key] for key in zip(joined["label"], called, strict=True)]
    joined["error"] = (joined["probability"] - joined["label"]).abs()
    wrong = joined["outcome"].isin(["miss", "false alarm"]) & ~joined["detector"].isin(ensemble.NAMES)
    joined["wrong_detectors"] = wrong.groupby(joined["path"]).transform("sum")
    return joined


def result(table: pd.DataFrame, everything: pd.DataFrame, config: ErrorsConfig) -> dict[str, object]:
    """What goes into ``results/errors.json``; `everything` is the score table: its validation split names the best."""
    seed, best = min(detector_metrics.best_on_validation(everything).items())
    once = table.drop_duplicates("path")
    return {
        "threshold": THRESHOLD,
        "confident": config.confident,
        "confidence": config.confidence,
        "draws": config.draws,
        "best": {"detector": best, "seed": seed},
        "pictures": len(once),
        "photographs": once["image_id"].nunique(),
        "groups": once["group"].nunique(),
        "counts": counts(table, config.confident).to_dict("records"),
        "shares": list(shares(table, config.confidence)),
        "agreement": agreement(table).to_dict("records"),
        "contrasts": list(contrasts(table, config)),
    }


def counts(table: pd.DataFrame, confident: float) -> pd.DataFrame:
    """Per detector, seed and arm: pictures, errors (misses or false alarms) and confident errors among them.

    An error is confident where the probability lies at least `confident` from the truth.
    """
    wrong = table["outcome"].isin(["miss", "false alarm"])
    facts = table.assign(errors=wrong, confident_errors=table["error"] >= confident, pictures=1)
    return facts.groupby([*KEYS, "arm"], sort=False)[["pictures", "errors", "confident_errors"]].sum().reset_index()


def shares(table: pd.DataFrame, confidence: float) -> Iterator[dict[str, object]]:
    """The share of fakes found, or of photographs called fake, in each arm, whole and split by ``strata.SPLIT_BY``.

    Yields:
        ``detector, seed, arm, measure`` (recall or false alarms), ``by`` (all or a name of strata.SPLIT_BY),
        ``category, value, low, high, pictures, groups``.
    """
    for (detector, seed, arm), own in table.groupby([*KEYS, "arm"], sort=False):
        fake = bool(own["label"].iloc[0])
        facts = {"detector": detector, "seed": seed, "arm": arm, "measure": "recall" if fake else "false alarms"}
        said = own["outcome"].isin(["found", "false alarm"])
        for by, column in {"all": None, **strata.SPLIT_BY}.items():
            if by == "inpainter" and not fake:
                continue
            members = {"all": own.index} if column is None else own.groupby(column, sort=True).groups
            for category in sorted(members, key=strata.order):
                rows = members[category]
                found = bootstrap.share(said[rows], own.loc[rows, "group"], confidence)
                sizes = {"pictures": len(rows), "groups": own.loc[rows, "group"].nunique()}
                yield {**facts, "by": by, "category": str(category), **found, **sizes}


def agreement(table: pd.DataFrame) -> pd.DataFrame:
    """How many single detectors are wrong about the same picture: arm, wrong, pictures, expected.

    ``expected`` is the number of pictures if detectors erred independently, each as often as it does on that arm (the
    Poisson binomial distribution). More pictures than that at the upper end are hard ones for all detectors alike.
    """
    single = table[~table["detector"].isin(ensemble.NAMES)]
    records = []
    for arm, own in single.groupby("arm", sort=False):
        wrong = own.assign(wrong=own["outcome"].isin(["miss", "false alarm"]))
        chance = np.ones(1)
        for rate in wrong.groupby(KEYS)["wrong"].mean():
            chance = np.convolve(chance, [1 - rate, rate])
        held = np.bincount(wrong.groupby("path")["wrong"].sum(), minlength=len(chance))
        for number, (pictures, share) in enumerate(zip(held, chance, strict=True)):
            entry = {"arm": arm, "wrong": number, "detectors": len(chance) - 1, "pictures": int(pictures)}
            records.append({**entry, "expected": float(share * held.sum())})
    return pd.DataFrame(records)


def contrasts(table: pd.DataFrame, config: EvaluationConfig) -> Iterator[dict[str, object]]:
    """How missed fakes differ from found ones: mean coverage and mean distance of the paint, missed minus found.

    Yields:
        ``detector, seed, arm, quantity`` (coverage, hole_l1), ``missed, found`` (means, None without pictures) and the
        difference as ``value, low, high``.
    """
    fakes = table[table["label"] == 1]
    for (detector, seed, arm), own in fakes.groupby([*KEYS, "arm"], sort=False):
        missed = (own["outcome"] == "miss").to_numpy()
        settings = {"draws": config.draws, "seed": config.seed, "confidence": config.confidence}
        for quantity in ("coverage", "hole_l1"):
            values = own[quantity].to_numpy(np.float64)
            found = bootstrap.mean_difference(values, missed, own["group"], **settings)
            means = {name: values[chosen].mean() if chosen.any() else None
                     for name, chosen in (("missed", missed), ("found", ~missed))}  # fmt: skip
            yield {"detector": detector, "seed": seed, "arm": arm, "quantity": quantity, **means, **found}


def opening(found: dict[str, object]) -> str:
    """How many pictures were judged, and whose answers are shown, in Markdown. Args: found: of :func:`result`."""
    best = found["best"]
    return (
        f"The test split holds **{found['pictures']}** pictures of {found['photographs']} photographs in "
        f"{found['groups']} groups. The galleries show the answers of **{best['detector']}** (seed {best['seed']}), "
        "which ranked the validation pictures best. A picture counts as called fake from a probability of "
        f"{found['threshold']}."
    )


def reading(found: dict[str, Any]) -> str:
    """The chapter's results in a few lines, in Markdown. Args: found: ``results/errors.json``."""
    best = found["best"]["detector"], found["best"]["seed"]
    lines = []
    for arm, what in (("spliced", "spliced fakes found"), ("original", "photographs accused")):
        own = next(
            (r for r in found["shares"] if (r["detector"], r["seed"], r["arm"], r["by"]) == (*best, arm, "all")), None
        )
        if own is not None and own["value"] is not None:
            lines.append(f"- {best[0]}, {what}: {own['value']:.0%} [{own['low']:.0%}, {own['high']:.0%}].")
    said = [f"{side['arm']}: {', '.join(side['survivors']) or 'nothing'}" for side in found.get("analysed", ())]
    if said:
        lines.append(f"- What its wrong answers share, corrected for the number of questions: {'; '.join(said)}.")
    return "\n".join(lines)
