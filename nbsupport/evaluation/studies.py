"""Trainings that differ in one thing: how many photographs, whose fakes, with or without degradations, what is frozen.

Each variant is one detector trained with the common loop. In the matrix it is judged on the test pictures of *all*
inpainters of the set, else on those of the inpainters that it learnt from. The scores are kept
(``scores_studies.parquet``, one row for each picture, variant and condition), so that a new figure never trains or
scores again; each variant is kept by itself, so that a stopped study continues where it was. Not here: the main
comparison of detectors (``detectors.classifier``, ``evaluation.detector_metrics``).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from nbsupport import pairs
from nbsupport.config import SHARED_TRAINING, DetectorConfig, EvaluationConfig, StudyConfig
from nbsupport.core import device, rng
from nbsupport.core.errors import MissingStage
from nbsupport.core.files import atomic_path, fingerprint
from nbsupport.detectors import classifier, corruptions, predict, scores, zoo
from nbsupport.pairs import Pairs
from nbsupport.pairs.planning import of_arm
from nbsupport.runs import Run
from nbsupport.stats import metrics

FOLDER = "studies"
SLOWER = " slower below"  # of a transfer: with discriminative learning rates
LAYER_DECAY = 0.7


@dataclass(frozen=True)
class Variant:
    """One training: the `study` it belongs to, what it is called there, and what it changes in the DetectorConfig."""

    study: str  # size | matrix | transfer
    name: str
    changes: dict[str, Any]
    conditions: tuple[str, ...] = (scores.CLEAN,)


def variants(config: StudyConfig, inpainters: list[str]) -> list[Variant]:
    """What is to be trained.

    Raises:
        ConfigError: a detector that no one knows.
    """
    zoo.entry(config.detector)
    found = [Variant("size", str(size), {"train_count": size}) for size in config.sizes]
    if config.matrix:
        everywhere = (scores.CLEAN, *config.conditions)
        for inpainter in inpainters:
            own = {"inpainters": (inpainter,)}
            found.append(Variant("matrix", inpainter, own | {"augment": ()}, everywhere))
            if config.augment:
                found.append(Variant("matrix", f"{inpainter} + degraded", own, everywhere))
    for name in config.transfers:
        changes = {"transfer": name.removesuffix(SLOWER), "layer_decay": LAYER_DECAY if SLOWER in name else 1.0}
        found.append(Variant("transfer", name, changes))
    return found


def shared_with(detectors: Mapping[str, Any]) -> dict[str, Any]:
    """What a study takes over from the detectors' configuration, so that one thing alone differs: by field.

    Args: detectors: a DetectorConfig as a mapping, e.g. ``run.record("detectors")["config"]``.
    """
    return {name: detectors[name] for name in (*SHARED_TRAINING, "seeds")}


def make(run: Run, config: StudyConfig) -> pd.DataFrame:
    """The stage "studies": train every variant with every seed and judge the test pictures.

    Returns:
        the score table's columns and ``study, variant, inpainter`` (of a fake; empty for photographs),
        ``training_photographs``; also in ``scores_studies.parquet``.

    Raises:
        MissingStage: chapter 6 has not run. ConfigError: as :func:`variants`. UserError: as ``classifier.train``.
    """
    searched = zoo.entry(config.detector).searchable
    stage = run.stage("studies", config, needs=("pairs", "search") if searched else ("pairs",))
    if stage.finished:
        return load(run)
    made = pairs.load(run)
    inpainters = sorted(set(made.manifest.loc[made.manifest["label"] == "fake", "inpainter"]) - {""})
    chosen = variants(config, inpainters)
    with stage:
        tables = []
        (run / FOLDER).mkdir(exist_ok=True)
        with tqdm(total=len(chosen) * len(config.seeds), desc="studies", unit="training") as progress:
            for variant in chosen:
                for seed in config.seeds:
                    made_from = {**stage.inputs, "code": stage.code, **stage.weights}
                    tables.append(_one(run, made, config, variant, seed, made_from))
                    progress.update()
        scores.write(run, scores.STUDIES, tables)
        stage.outputs(scores.STUDIES)
    return load(run)


def _one(run: Run, made: Pairs, config: StudyConfig, variant: Variant, seed: int, inputs: dict) -> pd.DataFrame:
    """The scores of one variant: trained now, or read when it was trained before on these pairs."""
    fields = {field.name for field in dataclasses.fields(DetectorConfig)}
    same = {key: value for key, value in vars(config).items() if key in fields - {"seeds"}}
    training = DetectorConfig(names=(config.detector,), **(same | variant.changes))
    architecture = run.result("search")["chosen"]["architecture"] if zoo.entry(config.detector).searchable else None
    mark = fingerprint([training.to_mapping(), list(variant.conditions), variant.study, seed, inputs])
    path = run / FOLDER / f"{mark}.parquet"
    if path.exists():
        return pd.read_parquet(path)
    weights, _, record = classifier.train(made, training, config.detector, seed, architecture=architecture, quiet=True)
    place = device.choose(config.precision)
    model, _ = zoo.create(config.detector, "none", made.cache.shape[1], architecture=architecture)
    model.load_state_dict(weights)
    place.place(model).eval()
    judged = () if variant.study == "matrix" else config.inpainters
    test = pairs.classes(made.manifest, config.fake_arms, ("test",), judged)
    images, seeds = made.cache[test.index.to_numpy()], rng.hashes(seed, test["path"]) % 2**31
    parts = []
    for condition in variant.conditions:
        pictures = images if condition == scores.CLEAN else corruptions.apply(condition, images, seeds)
        logits = (predict.raw_logits(model, pictures, place) - record["shift"]) / record["temperature"]
        own = scores.table(test, logits, config.detector, seed, condition)
        parts.append(own.assign(inpainter=test["inpainter"].fillna("").to_numpy()))
    found = pd.concat(parts, ignore_index=True).assign(
        study=variant.study, variant=variant.name, training_photographs=record["training_photographs"]
    )
    with atomic_path(path) as temporary:
        found.to_parquet(temporary, index=False)
    return found


def load(run: Run) -> pd.DataFrame:
    """The scores of all variants; raises :class:`MissingStage` before :func:`make`."""
    run.require("studies")
    if not (run / scores.STUDIES).exists():
        raise MissingStage(f"'{run / scores.STUDIES}' is missing. Run chapter 8 again to restore it.")
    return pd.read_parquet(run / scores.STUDIES)


def summarise(table: pd.DataFrame, config: EvaluationConfig) -> list[dict[str, Any]]:
    """AUROC of every variant against the photographs, for each fake arm, inpainter and condition.

    Returns:
        records ``study, variant, seed, training_photographs, condition, arm, inpainter`` (in the studies ``size`` and
        ``transfer``: ``all``), ``auroc`` and ``accuracy``: {value, low, high}.
    """
    records = []
    keys = ["study", "variant", "seed", "training_photographs", "condition"]
    for key, own in table.groupby(keys, sort=False):
        facts = dict(zip(keys, key, strict=True))
        fakes = own[own["label"] == 1]
        for arm in dict.fromkeys(fakes["arm"]):
            inpainters = sorted(set(fakes["inpainter"])) if facts["study"] == "matrix" else ["all"]
            for inpainter in inpainters:
                rows = of_arm(own, arm)
                rows = rows[(rows["label"] == 0) | (rows["inpainter"] == inpainter) | (inpainter == "all")]
                found = metrics.summary(rows, config.draws, config.seed, config.confidence)
                kept = {metric: found[metric] for metric in ("auroc", "accuracy")}
                records.append({**facts, "arm": arm, "inpainter": inpainter, **kept})
    return records
