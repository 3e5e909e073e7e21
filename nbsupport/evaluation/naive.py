"""The protocol one should not use, on purpose: how high a number it would have given, and what each repair takes away.

One cheap classifier (logistic regression over the power spectrum, colours, and the seams of 8 x 8 blocks) is judged
under three protocols. First as is often done: photographs as the JPEG files they came as, fakes as PNG, and files dealt
out at random, so that a photograph may be in training and its painted twin in the test. Then with one encoder for both
classes; then split by photograph. All three are measured on each kind of fake, the network's whole output and the
splice: how much a protocol inflates a number is one question, how much harder one task is than the other is another.
Not here: the protocol that the book uses (:mod:`.audit`, ``evaluation.detector_metrics``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nbsupport import pairs as paired
from nbsupport.config import EvaluationConfig
from nbsupport.core import rng
from nbsupport.core.errors import ConfigError, unknown
from nbsupport.evaluation.audit import look, seams
from nbsupport.pairs import Pairs
from nbsupport.pairs.files import Encoding
from nbsupport.runs import Run
from nbsupport.stats import metrics
from nbsupport.stats.bootstrap import mean_difference
from nbsupport.stats.intervals import format_interval

_TEST_SHARE = 0.25
#: The kinds of fake, from the easy to the hard one.
TASKS: tuple[str, ...] = ("regenerated", "spliced")


@dataclass(frozen=True)
class Step:
    """One protocol: what it is called, and what is done otherwise than in the book."""

    name: str
    mixed: bool  # photographs went through JPEG, fakes did not
    by_file: bool  # files, and not photographs, are dealt out to training and test


STEPS: tuple[Step, ...] = (
    Step("as is often done", mixed=True, by_file=True),
    Step("one encoder for both classes", mixed=False, by_file=True),
    Step("split by photograph", mixed=False, by_file=False),
)


def features(pictures: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) uint8 -> (N, F) float."""
    return np.column_stack([look(pictures), seams(pictures)])


def sweep(pairs: Pairs, config: EvaluationConfig, quality: int = 90, most: int = 2000) -> dict[str, list[dict]]:
    """The cheap classifier under each protocol of :data:`STEPS`, on each of :data:`TASKS`.

    Args: quality: of the photographs' JPEG files. most: photographs that are looked at.

    Returns:
        ``steps``: records ``protocol, arm, accuracy, auroc`` (intervals by a bootstrap over groups)``, pictures``;
        ``differences``: records ``kind`` (``protocol`` or ``task``)``, what, arm`` and the accuracy's difference
        {value, low, high}: of each protocol minus the next, and of the easy task minus the hard one, both under the
        last protocol.

    Raises:
        ConfigError: the set lacks an arm.
    """
    for arm in TASKS:
        if arm not in set(pairs.manifest["arm"]):
            raise ConfigError(unknown("arm of the paired set", arm, set(pairs.manifest["arm"])))
    jpeg = Encoding.parse(f"jpeg:{quality}")
    settings = {"draws": config.draws, "seed": config.seed, "confidence": config.confidence}
    judged = {(step.name, arm): _judge(pairs, step, arm, jpeg.through, config, most) for arm in TASKS for step in STEPS}
    steps = []
    for (name, arm), table in judged.items():
        found = metrics.summary(table, **settings)
        kept = {key: found[key] for key in ("accuracy", "auroc")}
        steps.append({"protocol": name, "arm": arm, **kept, "pictures": len(table)})

    def minus(first: pd.DataFrame, second: pd.DataFrame) -> dict:
        both = pd.concat([first, second])
        right = (both["probability"] >= 0.5).to_numpy() == (both["label"] == 1).to_numpy()
        return mean_difference(right, np.arange(len(both)) < len(first), both["group"].to_numpy(), **settings)

    differences = [
        {"kind": "protocol", "what": after.name, "arm": arm, **minus(judged[before.name, arm], judged[after.name, arm])}
        for arm in TASKS
        for before, after in zip(STEPS[:-1], STEPS[1:], strict=True)
    ]
    last = [judged[STEPS[-1].name, arm] for arm in TASKS]
    differences.append({"kind": "task", "what": f"{TASKS[0]} minus {TASKS[1]}", "arm": TASKS[1], **minus(*last)})
    return {"steps": steps, "differences": differences}


def _judge(
    pairs: Pairs,
    step: Step,
    arm: str,
    resave: Callable[[np.ndarray], np.ndarray],
    config: EvaluationConfig,
    most: int,
) -> pd.DataFrame:
    """The test pictures of one protocol and task, with what the classifier said of them."""
    table = pairs.manifest[pairs.manifest["arm"].isin(("original", arm))].drop_duplicates(["image_id", "arm"])
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
    told, fake = features(pictures), (table["arm"] == arm).to_numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000, C=0.1)).fit(told[~test], fake[~test])
    return table[test].assign(
        logit=model.decision_function(told[test]),
        probability=model.predict_proba(told[test])[:, 1],
        label=fake[test].astype(int),
    )


def reading(found: Mapping) -> str:
    """What a protocol adds and what a task takes away, in Markdown. Args: found: ``results/naive.json``."""
    lines = []
    for difference in found["differences"]:
        points = " ".join(
            f"{100 * difference[key]:+.0f}" if key == "value" else f"{end}{100 * difference[key]:+.0f}{close}"
            for key, end, close in (("value", "", ""), ("low", "[", ","), ("high", "", "]"))
        )
        if difference["low"] > 0:
            meaning = "a real inflation" if difference["kind"] == "protocol" else "the second task is harder"
        elif difference["high"] < 0:
            meaning = "the accuracy rises" if difference["kind"] == "protocol" else "the first task is harder"
        else:
            meaning = "no difference is shown"
        name = f"`{difference['arm']}`, {difference['what']}"
        if difference["kind"] == "task":
            name = f"the task, {difference['what']}"
        lines.append(f"- {name}: {points} percentage points; {meaning}.")
    ends = {(step["protocol"], step["arm"]): step["accuracy"] for step in found["steps"]}
    hard = [ends[STEPS[number].name, TASKS[1]] for number in (0, -1)]
    easy = ends[STEPS[0].name, TASKS[0]]
    return "\n".join(lines) + (
        f"\n\nThe most careless number of all, {format_interval(easy)} on `{TASKS[0]}` fakes, and the honest one on "
        f"`{TASKS[1]}` fakes, {format_interval(hard[1])}, differ by both. On `{TASKS[1]}` fakes alone the protocol "
        f"moves the accuracy from {format_interval(hard[0])} to {format_interval(hard[1])}."
    )


def ladder_run(run: Run, config: EvaluationConfig, quality: int = 90, most: int = 2000) -> dict[str, object]:
    """:func:`sweep` of a run's paired set, written to ``results/naive.json``."""
    return run.write_result("naive", sweep(paired.load(run), config, quality, most) | {"quality": quality})
