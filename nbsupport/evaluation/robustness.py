"""What a picture goes through before it reaches a detector: real codecs, resizing, blur, noise, cropping.

Each condition is a function of one picture; noise is drawn from its seed. Sizes stay as they were, since detectors are
built for one: a resized or cropped picture is brought back, as a platform's thumbnail would be. Both classes go through
the same, and the scores are kept (stage ``robustness``), so that a new figure never scores again.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from nbsupport import pairs, rng
from nbsupport.config import EvaluationConfig, RobustnessConfig
from nbsupport.detectors import predict, scores
from nbsupport.errors import ConfigError, MissingStage, unknown
from nbsupport.evaluation import metrics
from nbsupport.pairs.files import Encoding
from nbsupport.pairs.planning import ARMS, choose_photographs
from nbsupport.runs import Run

Condition = Callable[[np.ndarray, int], np.ndarray]


def _codec(text: str) -> Condition:
    encoding = Encoding.parse(text)
    return lambda image, seed: encoding.through(image)


def _resized(factor: float) -> Condition:
    def apply(image: np.ndarray, seed: int) -> np.ndarray:
        height, width = image.shape[:2]
        size = max(1, round(width * factor)), max(1, round(height * factor))
        there = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
        return cv2.resize(there, (width, height), interpolation=cv2.INTER_CUBIC if factor < 1 else cv2.INTER_AREA)

    return apply


def _blurred(sigma: float) -> Condition:
    return lambda image, seed: cv2.GaussianBlur(image, (0, 0), sigma)


def _noisy(sigma: float) -> Condition:
    def apply(image: np.ndarray, seed: int) -> np.ndarray:
        noise = rng.generator(seed, "robustness noise").normal(0, sigma, image.shape)
        return np.rint(np.clip(image + noise, 0, 255)).astype(np.uint8)

    return apply


def _cropped(share: float) -> Condition:
    def apply(image: np.ndarray, seed: int) -> np.ndarray:
        height, width = image.shape[:2]
        top, left = round(height * (1 - share) / 2), round(width * (1 - share) / 2)
        middle = image[top : height - top, left : width - left]
        return cv2.resize(middle, (width, height), interpolation=cv2.INTER_CUBIC)

    return apply


#: name -> what is done; in the order of the figures. Quality, factor, standard deviation (pixels, grey levels), share.
CONDITIONS: dict[str, Condition] = {
    "jpeg 95": _codec("jpeg:95"),
    "jpeg 80": _codec("jpeg:80"),
    "jpeg 60": _codec("jpeg:60"),
    "jpeg 30": _codec("jpeg:30"),
    "webp 80": _codec("webp:80"),
    "webp 60": _codec("webp:60"),
    "resize 0.5": _resized(0.5),
    "resize 0.75": _resized(0.75),
    "resize 1.5": _resized(1.5),
    "blur 1": _blurred(1.0),
    "noise 5": _noisy(5.0),
    "crop 0.85": _cropped(0.85),
}


def apply(condition: str, images: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
    """Send pictures through one condition.

    Args: images: (B, H, W, 3) uint8 RGB. seeds: B integers, for the noise.

    Returns:
        (B, H, W, 3) uint8 RGB.

    Raises:
        ConfigError: no such condition.
    """
    if condition not in CONDITIONS:
        raise ConfigError(unknown("condition", condition, CONDITIONS))
    change = CONDITIONS[condition]
    return np.stack([change(np.ascontiguousarray(image), seed) for image, seed in zip(images, seeds, strict=True)])


def score(run: Run, config: RobustnessConfig) -> pd.DataFrame:
    """Score the test pictures of a run under every condition by every trained detector (stage ``robustness``).

    Returns:
        the score table's columns, ``condition`` being :data:`CONDITIONS`' names and ``clean``; also written to
        ``scores_conditions.parquet``.

    Raises:
        MissingStage: chapter 6 has not trained any detector. ConfigError: no such condition or arm.
    """
    for condition in config.conditions:
        if condition not in CONDITIONS:
            raise ConfigError(unknown("condition", condition, CONDITIONS))
    for arm in config.arms:
        if arm not in ARMS:
            raise ConfigError(unknown("arm", arm, ARMS))
    stage = run.stage("robustness", config, needs=("detectors", "pairs"))
    if stage.finished:
        return load(run)
    with stage:
        table = _score(run, config)
        stage.outputs(scores.CONDITIONS)
    return table


def _score(run: Run, config: RobustnessConfig) -> pd.DataFrame:
    paired = pairs.load(run)
    test = paired.manifest[(paired.manifest["split"] == "test") & paired.manifest["arm"].isin(config.arms)]
    test = test.drop_duplicates(["image_id", "arm"])
    once = test.drop_duplicates("image_id")
    chosen = once.iloc[choose_photographs(once, config.count, config.seed)]["image_id"]
    test = test[test["image_id"].isin(chosen)]
    images = paired.cache[test.index.to_numpy()]
    seeds = rng.hashes(config.seed, test["path"]) % 2**31
    trained = [predict.load(run, *key) for key in predict.available(run)]
    tables = []
    with tqdm(total=len(trained) * (1 + len(config.conditions)), desc="conditions", unit="set") as progress:
        for condition in (scores.CLEAN, *config.conditions):
            pictures = images if condition == scores.CLEAN else apply(condition, images, seeds)
            for detector in trained:
                logits = predict.score(detector, pictures)
                tables.append(scores.table(test, logits, detector.name, detector.seed, condition))
                progress.update()
    return scores.write(run, scores.CONDITIONS, tables)


def load(run: Run) -> pd.DataFrame:
    """The scores under all conditions; raises :class:`MissingStage` before :func:`score`."""
    run.require("robustness")
    if not (run / scores.CONDITIONS).exists():
        raise MissingStage(f"'{run / scores.CONDITIONS}' is missing. Run chapter 6 again to restore it.")
    return pd.read_parquet(run / scores.CONDITIONS)


def summarise(table: pd.DataFrame, config: EvaluationConfig) -> list[dict[str, object]]:
    """AUROC and accuracy of every detector, seed, fake arm and condition: records with intervals."""
    records = []
    for (name, seed, condition), own in table.groupby(["detector", "seed", "condition"], sort=False):
        for arm in [arm for arm in ARMS if ARMS[arm] == "fake" and arm in set(own["arm"])]:
            rows = own[(own["label"] == 0) | (own["arm"] == arm)]
            found = metrics.summary(rows, config.draws, config.seed, config.confidence)
            kept = {metric: found[metric] for metric in ("auroc", "accuracy", "recall", "specificity")}
            records.append({"detector": name, "seed": seed, "arm": arm, "condition": condition, **kept})
    return records
