"""What the scores amount to: metrics with intervals for every detector and fake arm, gaps, differences, agreement.

Intervals come from a bootstrap over *groups* of photographs (Efron & Tibshirani 1993): pictures of one photograph rise
and fall together, and to count them as independent would make every interval too narrow. Where two numbers are
compared, both are computed in the same draws, so that what the test photographs have in common cancels.
Not here: single metrics (``stats.metrics``), figures (``plots.detectors``).
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import roc_auc_score

from nbsupport.config import EvaluationConfig
from nbsupport.detectors import classifier, scores
from nbsupport.runs import Run
from nbsupport.stats import metrics, paired
from nbsupport.stats.bootstrap import Interval, bootstrap_groups
from nbsupport.stats.intervals import format_interval

ALL = "all"
KEYS = ["detector", "seed"]

#: Results of others, to stand beside ours: study, what was measured, on the easy and on the hard kind of fake.
PUBLISHED = (
    ("the study this book replicates", "accuracy, files split at random", None, 0.63),
    ("INP-X (2026), Corvi2023", "AUROC, regenerated / original pixels restored", 0.989, 0.519),
    ("INP-X (2026), Corvi2023", "accuracy, regenerated / original pixels restored", 0.942, 0.554),
    ("TGIF (2024), best of 25 detectors", "AUROC, regenerated / spliced", 0.999, 0.658),
    ("TGIF (2024), mean of 25 detectors", "AUROC, regenerated / spliced", 0.698, 0.550),
    ("GenImage (2023), ResNet-50", "accuracy, generator seen in training / mean of eight", 0.999, 0.721),
    ("GenImage (2023), Swin-T", "accuracy, generator seen in training / mean of eight", 0.999, 0.748),
)


def published() -> pd.DataFrame:
    """Numbers of others as a table: study, measured, easy, hard. Values are fractions."""
    return pd.DataFrame(PUBLISHED, columns=["study", "measured", "easy", "hard"])


def fake_arms(table: pd.DataFrame) -> list[str]:
    """The fake arms of a score table in the order easy to hard where known, then "all" if there are several."""
    arms = sorted(table.loc[table["label"] == 1, "arm"].unique())
    return [*arms, ALL] if len(arms) > 1 else arms


def of_arm(table: pd.DataFrame, arm: str, split: str = "test") -> pd.DataFrame:
    """Rows of a split: all photographs, and the fakes of one arm (or of ``all``)."""
    return scores.select(table, split, None if arm == ALL else arm)


def metric_table(
    table: pd.DataFrame, config: EvaluationConfig, thresholds: dict[tuple[str, int], float] | None = None
) -> list[dict[str, object]]:
    """Every metric of every detector, seed and fake arm on the test split.

    Args:
        table: the score table.
        config: draws, confidence and seed of the bootstrap.
        thresholds: of detectors, chosen on validation; they get ``accuracy_at_threshold`` beside ``accuracy`` at 0.5.

    Returns:
        Records ``detector, seed, arm, pictures, groups`` and for each metric of ``stats.metrics`` an interval
        ``{value, low, high}``. The accuracy on photographs alone is ``specificity``, that on fakes alone ``recall``.
    """
    settings = {"draws": config.draws, "seed": config.seed, "confidence": config.confidence}
    records = []
    for (name, seed), own in table.groupby(KEYS, sort=False):
        for arm in fake_arms(own):
            chosen = of_arm(own, arm)
            found = metrics.summary(chosen, **settings, threshold=(thresholds or {}).get((name, seed)))
            counts = {"pictures": len(chosen), "groups": chosen["group"].nunique()}
            records.append({"detector": name, "seed": seed, "arm": arm, **counts, **found})
    return records


def difference(first: pd.DataFrame, second: pd.DataFrame, config: EvaluationConfig) -> Interval:
    """AUROC of `first` minus AUROC of `second`, paired: both on the same draws of groups. ``{value, low, high}``."""
    sides = [(table["logit"].to_numpy(), table["label"].to_numpy()) for table in (first, second)]

    def statistic(weights: np.ndarray) -> np.ndarray:
        of_first, of_second = weights[:, : len(first)], weights[:, len(first) :]
        return metrics.weighted_auroc(*sides[0], of_first) - metrics.weighted_auroc(*sides[1], of_second)

    groups = pd.concat([first["group"], second["group"]]).to_numpy()
    return bootstrap_groups(groups, statistic, config.draws, config.seed, config.confidence)


def verdict(found: Interval) -> str:
    """What the interval of a difference allows to say: ``higher``, ``lower`` or ``no difference shown``."""
    if found["low"] is not None and found["low"] > 0:
        return "higher"
    return "lower" if found["high"] is not None and found["high"] < 0 else "no difference shown"


def gaps(table: pd.DataFrame, config: EvaluationConfig, easy: str = "regenerated", hard: str = "spliced") -> list[dict]:
    """How much AUROC each detector loses from the easy to the hard arm; empty when an arm is missing."""
    if not {easy, hard} <= set(table["arm"]):
        return []
    records = []
    for (name, seed), own in table.groupby(KEYS, sort=False):
        found = difference(of_arm(own, easy), of_arm(own, hard), config)
        records.append({"detector": name, "seed": seed, **found, "verdict": verdict(found)})
    return records


def best_on_validation(table: pd.DataFrame) -> dict[int, str]:
    """For each seed, the detector with the highest AUROC over all arms of the validation split.

    The winner must not be picked on the test split: the best of several is best there partly by luck.
    """
    best = {}
    for seed, own in table[table["split"] == "validation"].groupby("seed"):
        found = {name: roc_auc_score(rows["label"], rows["logit"]) for name, rows in own.groupby("detector")}
        best[seed] = max(found, key=found.get)
    return best


def pairwise(table: pd.DataFrame, threshold: float = 0.5) -> list[dict[str, object]]:
    """Every pair of detectors of one seed on the test split, for each fake arm: clustered DeLong and
    McNemar, Holm over all of them.

    Returns:
        records ``first, second, seed, arm, difference`` (of AUROC, {value, low, high}), ``delong_p, mcnemar_p,
        first_only, second_only, delong_holm, mcnemar_holm`` (corrected), ``verdict``: ``first``, ``second`` or ``tie``,
        by the corrected p-value of DeLong below 0.05.
    """
    records = []
    for seed, own in table[table["split"] == "test"].groupby("seed", sort=False):
        for arm in fake_arms(own):
            chosen = of_arm(own, arm)
            logits = chosen.pivot(index="path", columns="detector", values="logit").dropna()
            known = chosen.drop_duplicates("path").set_index("path").loc[logits.index]
            labels, groups = known["label"].to_numpy() == 1, known["group"].to_numpy()
            probability = chosen.pivot(index="path", columns="detector", values="probability").loc[logits.index]
            right = (probability >= threshold).eq(labels, axis=0)
            for a, b in combinations([name for name in dict.fromkeys(own["detector"]) if name in logits], 2):
                auroc = paired.delong(labels, logits[a].to_numpy(), logits[b].to_numpy(), groups)
                errors = paired.mcnemar(right[a].to_numpy(), right[b].to_numpy(), groups)
                interval = {"value": auroc.difference, "low": auroc.low, "high": auroc.high}
                records.append(
                    {"first": a, "second": b, "seed": seed, "arm": arm, "difference": interval, "delong_p": auroc.p}
                    | {"mcnemar_p": errors["p"], "first_only": errors["first_only"]}
                    | {"second_only": errors["second_only"]}
                )
    for test in ("delong", "mcnemar"):
        corrected = paired.holm([record[f"{test}_p"] for record in records])
        for record, p in zip(records, corrected, strict=True):
            record[f"{test}_holm"] = float(p)
    for record in records:
        ahead = "first" if record["difference"]["value"] > 0 else "second"
        record["verdict"] = ahead if record["delong_holm"] < 0.05 else "tie"
    return records


def agreement(table: pd.DataFrame, arm: str, threshold: float = 0.5) -> pd.DataFrame:
    """For each pair of detectors on the test split: shares of pictures both, one, or neither judge correctly.

    ``expected_neither`` is the share that neither would get right if their errors were independent within each class; a
    larger ``neither`` means that they fail on the same pictures, and that an ensemble has little to win.
    """
    chosen = of_arm(table, arm)
    wide = chosen.assign(right=(chosen["probability"] >= threshold) == (chosen["label"] == 1))
    wide = wide.pivot(index=["path", "label", "seed"], columns="detector", values="right").dropna().astype(bool)
    labels = wide.index.get_level_values("label").to_numpy()
    records = []
    for a, b in combinations([name for name in dict.fromkeys(table["detector"]) if name in wide], 2):
        first, second = wide[a].to_numpy(), wide[b].to_numpy()
        by_class = [np.mean(labels == k) * (~first[labels == k]).mean() * (~second[labels == k]).mean() for k in (0, 1)]
        records.append(
            {
                "first": a,
                "second": b,
                "both": np.mean(first & second),
                "first_only": np.mean(first & ~second),
                "second_only": np.mean(~first & second),
                "neither": np.mean(~first & ~second),
                "expected_neither": sum(by_class),
            }
        )
    return pd.DataFrame(records)


def detectors(run: Run, config: EvaluationConfig) -> dict[str, object]:
    """Judge the single detectors and write ``results/detectors.json``; returns it. Raises MissingStage before ch. 6."""
    table, trained = scores.load(run), classifier.trained(run)
    thresholds = {(row["name"], row["seed"]): row["threshold"] for _, row in trained.iterrows()}
    test = table[table["split"] == "test"]
    return run.write_result(
        "detectors",
        {
            "confidence": config.confidence,
            "draws": config.draws,
            "photographs": test["image_id"].nunique(),
            "groups": test["group"].nunique(),
            "trained": trained.drop(columns="fingerprint").to_dict("records"),
            "metrics": metric_table(table, config, thresholds),
            "gap": gaps(table, config),
            "pairwise": pairwise(table),
            "best_on_validation": best_on_validation(table),
        },
    )


def flat(records: Sequence[dict], names: Sequence[str]) -> pd.DataFrame:
    """Records of metrics as a table to print: by arm, detector and seed, with "value [low, high]" in the cells."""
    rows = [
        {key: record[key] for key in ("arm", *KEYS)} | {name: format_interval(record[name]) for name in names}
        for record in records
    ]
    return pd.DataFrame(rows).set_index(["arm", *KEYS]).sort_index(level=0, sort_remaining=False)


def across_seeds(records: Sequence[dict], name: str = "auroc") -> pd.DataFrame:
    """A metric of each detector and arm over the seeds it was trained with.

    Args: records: of :func:`metric_table`. name: a metric of them.

    Returns:
        one row each: ``arm, detector, seeds, mean, lowest, highest`` (over seeds), ``low, high``: interval of the mean
        for new photographs and new seeds, the seeds a random effect. The test photographs are the same for all seeds,
        so that their part of the uncertainty (half the mean width of the intervals) does not shrink with more seeds; to
        it comes, in squares, the standard error of the mean over seeds times the t-quantile (nothing for one seed).
    """
    flat = pd.DataFrame([{**{key: r[key] for key in ("arm", "detector", "seed")}, **r[name]} for r in records])
    flat = flat.assign(below=flat["value"] - flat["low"], above=flat["high"] - flat["value"])
    grouped = flat.groupby(["arm", "detector"], sort=False)
    found = grouped.agg(
        seeds=("seed", "nunique"), mean=("value", "mean"), lowest=("value", "min"), highest=("value", "max"),
        below=("below", "mean"), above=("above", "mean"), spread=("value", "std"),
    )  # fmt: skip
    count = found["seeds"].to_numpy()
    training = np.nan_to_num(found.pop("spread") * stats.t.ppf(0.975, np.maximum(count - 1, 1)) / np.sqrt(count))
    found["low"] = found["mean"] - np.hypot(found.pop("below"), training)
    found["high"] = found["mean"] + np.hypot(found.pop("above"), training)
    bounds = (0, 1)  # of every metric
    return found.assign(low=found["low"].clip(*bounds), high=found["high"].clip(*bounds)).reset_index()
