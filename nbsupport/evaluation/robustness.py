"""The robustness sweep: test pictures are sent through real codecs and filters and judged once more.

Both classes go through the same, and the scores are kept (stage ``robustness``), so that a new figure never scores
again. Not here: what is done to a picture (``detectors.corruptions``).
"""

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from nbsupport import masks, pairs
from nbsupport.config import EvaluationConfig, RobustnessConfig
from nbsupport.core import rng
from nbsupport.core.errors import MissingStage
from nbsupport.detectors import corruptions, predict, scores
from nbsupport.evaluation import sharpness
from nbsupport.pairs.planning import ARMS, choose_photographs, of_arm
from nbsupport.runs import Run
from nbsupport.stats import metrics


def score(run: Run, config: RobustnessConfig) -> pd.DataFrame:
    """Score the test pictures of a run under every condition by every trained detector (stage ``robustness``).

    Besides the conditions, the spliced fakes are judged with their sharpness matched (:mod:`.sharpness`), against the
    untouched photographs.

    The pictures are those that the detectors were made for: their fake arms and inpainters, one fake of each arm.

    Returns:
        the score table's columns, ``condition`` a name of ``corruptions.CONDITIONS`` or ``clean``; also written
        to ``scores_conditions.parquet``.

    Raises:
        MissingStage: chapter 7 has not trained any detector.
    """
    stage = run.stage("robustness", config, needs=("detectors", "pairs", "masks"))
    if stage.finished:
        return load(run)
    with stage:
        table = _score(run, config)
        stage.outputs(scores.CONDITIONS)
    return table


def _score(run: Run, config: RobustnessConfig) -> pd.DataFrame:
    paired, learnt = pairs.load(run), run.require("detectors")["config"]
    test = pairs.classes(paired.manifest, learnt["fake_arms"], ("test",), learnt["inpainters"])
    test = test.drop_duplicates(["image_id", "arm"])
    once = test.drop_duplicates("image_id")
    chosen = once.iloc[choose_photographs(once, config.count, config.seed)]["image_id"]
    test = test[test["image_id"].isin(chosen)]
    images = paired.cache[test.index.to_numpy()]
    seeds = rng.hashes(config.seed, test["path"]) % 2**31
    trained = [predict.load(run, *key) for key in predict.available(run)]
    tables = []
    spliced = (test["arm"] == sharpness.ARM).to_numpy()
    every = (scores.CLEAN, *([sharpness.MATCHED] if spliced.any() else []), *config.conditions)
    with tqdm(total=len(trained) * len(every), desc="conditions", unit="set") as progress:
        for condition in every:
            judged, pictures = np.ones(len(test), bool), images
            if condition == sharpness.MATCHED:
                judged = spliced | (test["label"] == "real").to_numpy()
                pictures, holes = images.copy(), masks.load(run).by_id(test.loc[spliced, "mask_id"])
                pictures[spliced] = sharpness.match(images[spliced], holes, seeds[spliced])
            elif condition != scores.CLEAN:
                pictures = corruptions.apply(condition, images, seeds)
            for detector in trained:
                logits = predict.score(detector, pictures[judged])
                tables.append(scores.table(test[judged], logits, detector.name, detector.seed, condition))
                progress.update()
    return scores.write(run, scores.CONDITIONS, tables)


def load(run: Run) -> pd.DataFrame:
    """The scores under all conditions; raises :class:`MissingStage` before :func:`score`."""
    run.require("robustness")
    if not (run / scores.CONDITIONS).exists():
        raise MissingStage(f"'{run / scores.CONDITIONS}' is missing. Run chapter 8 again to restore it.")
    return pd.read_parquet(run / scores.CONDITIONS)


def summarise(table: pd.DataFrame, config: EvaluationConfig) -> list[dict[str, object]]:
    """AUROC and accuracy of every detector, seed, fake arm and condition: records with intervals."""
    records = []
    for (name, seed, condition), own in table.groupby(["detector", "seed", "condition"], sort=False):
        for arm in [arm for arm in ARMS if ARMS[arm] == "fake" and arm in set(own["arm"])]:
            rows = of_arm(own, arm)
            found = metrics.summary(rows, config.draws, config.seed, config.confidence)
            kept = {metric: found[metric] for metric in ("auroc", "accuracy", "recall", "specificity")}
            records.append({"detector": name, "seed": seed, "arm": arm, "condition": condition, **kept})
    return records
