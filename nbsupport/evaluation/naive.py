"""The protocol one should not use, on purpose: how high a number it would have given, and what each repair takes away.

One cheap classifier (logistic regression over the power spectrum, colours, and the seams of 8 x 8 blocks) is judged
four times. First as is often done: photographs as the JPEG files they came as, fakes as PNG, the network's whole output
as the fake, and files dealt out at random, so that a photograph may be in training and its painted twin in the test.
Then with nothing changed but the hole; then with one encoder for both classes; then split by photograph. Not here: the
protocol that the book uses (:mod:`.audit`, ``detectors.comparison``).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nbsupport import pairs as paired
from nbsupport import rng
from nbsupport.config import EvaluationConfig
from nbsupport.errors import ConfigError, unknown
from nbsupport.evaluation import metrics
from nbsupport.evaluation.audit import look
from nbsupport.pairs import Pairs
from nbsupport.pairs.files import Encoding
from nbsupport.runs import Run

_BLOCK = 8
_TEST_SHARE = 0.25


@dataclass(frozen=True)
class Step:
    """One protocol: what it is called, and what is done otherwise than in the book."""

    name: str
    mixed: bool  # photographs went through JPEG, fakes did not
    by_file: bool  # files, and not photographs, are dealt out to training and test
    arm: str


STEPS: tuple[Step, ...] = (
    Step("as is often done", mixed=True, by_file=True, arm="regenerated"),
    Step("only the hole differs", mixed=True, by_file=True, arm="spliced"),
    Step("one encoder for both classes", mixed=False, by_file=True, arm="spliced"),
    Step("split by photograph", mixed=False, by_file=False, arm="spliced"),
)


def seams(pictures: np.ndarray) -> np.ndarray:
    """How much slopes change at each column and row of an 8 x 8 block: (N, H, W, 3) uint8 -> (N, 16) float."""
    grey = pictures.astype(np.float32).mean(axis=-1)
    found = []
    for axis in (1, 2):
        change = np.abs(np.diff(grey, 2, axis=axis)).mean(axis=3 - axis)  # (N, length - 2)
        found += [change[:, phase::_BLOCK].mean(axis=1) for phase in range(_BLOCK)]
    return np.log(np.stack(found, axis=1) + 1e-3)


def features(pictures: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) uint8 -> (N, F) float."""
    return np.column_stack([look(pictures), seams(pictures)])


def ladder(pairs: Pairs, config: EvaluationConfig, quality: int = 90, most: int = 2000) -> list[dict[str, object]]:
    """Accuracy and AUROC of the cheap classifier under each protocol of :data:`STEPS`.

    Args: quality: of the photographs' JPEG files. most: photographs that are looked at.

    Returns:
        records ``protocol, arm, accuracy, auroc`` (intervals by a bootstrap over groups)``, pictures``.

    Raises:
        ConfigError: the set lacks an arm.
    """
    for step in STEPS:
        if step.arm not in set(pairs.manifest["arm"]):
            raise ConfigError(unknown("arm of the paired set", step.arm, set(pairs.manifest["arm"])))
    jpeg = Encoding.parse(f"jpeg:{quality}")
    return [_judge(pairs, step, jpeg.through, config, most) for step in STEPS]


def _judge(
    pairs: Pairs, step: Step, resave: Callable[[np.ndarray], np.ndarray], config: EvaluationConfig, most: int
) -> dict[str, object]:
    table = pairs.manifest[pairs.manifest["arm"].isin(("original", step.arm))].drop_duplicates(["image_id", "arm"])
    order = rng.hashes(config.seed, table["image_id"], "naive")
    table = table[np.argsort(np.argsort(order, kind="stable"), kind="stable") < 2 * most]
    pictures = np.array(pairs.cache[table.index.to_numpy()])
    if step.mixed:
        for n in np.flatnonzero(table["arm"] == "original"):
            pictures[n] = resave(pictures[n])
    if step.by_file:
        draw = rng.hashes(config.seed, table["path"], "dealt") / 2.0**63
        test = draw < _TEST_SHARE
    else:
        test = (table["split"] == "test").to_numpy()
    told, fake = features(pictures), (table["arm"] == step.arm).to_numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000, C=0.1)).fit(told[~test], fake[~test])
    judged = table[test].assign(
        logit=model.decision_function(told[test]),
        probability=model.predict_proba(told[test])[:, 1],
        label=fake[test].astype(int),
    )
    found = metrics.summary(judged, config.draws, config.seed, config.confidence)
    return {
        "protocol": step.name,
        "arm": step.arm,
        "accuracy": found["accuracy"],
        "auroc": found["auroc"],
        "pictures": len(judged),
    }


def ladder_run(run: Run, config: EvaluationConfig, quality: int = 90, most: int = 2000) -> dict[str, object]:
    """:func:`ladder` of a run's paired set, written to ``results/naive.json``."""
    records = ladder(paired.load(run), config, quality, most)
    inflation = records[0]["accuracy"]["value"] - records[-1]["accuracy"]["value"]
    return run.write_result("naive", {"steps": records, "inflation": inflation, "quality": quality})
