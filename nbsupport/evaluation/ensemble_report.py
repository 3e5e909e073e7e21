"""Does an ensemble know more than its best member, and why (not)? Writes ``results/ensembles.json``.

Each ensemble is compared with the member that was best on *validation* (on that kind of fake) and with the plain mean
of all members, on the same test pictures: AUROC by DeLong, errors by McNemar, both corrected by Holm over all of the
questions asked here, and beside them the interval over groups, which knows that near-duplicates are not independent.
It is called higher or lower only if DeLong (corrected) and that interval both say so.
Not here: fits (``ensembles.folds``), figures (``plots.ensembles``).
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from nbsupport.config import EnsembleConfig, EvaluationConfig
from nbsupport.detectors import ensemble, scores
from nbsupport.detectors.ensembles import folds
from nbsupport.evaluation import detector_metrics, diversity
from nbsupport.runs import Run
from nbsupport.stats import paired
from nbsupport.stats.intervals import format_interval

BEST, MEAN = "best member", "plain mean"
_WEIGHTED = ("weighted_vote", "stack_logistic")
_LEVEL = 0.05


def write(run: Run, config: EnsembleConfig) -> dict[str, object]:
    """Judge the ensembles of a run; returns what ``results/ensembles.json`` holds.

    Keys: ``metrics`` and ``gap`` of members and ensembles, ``comparisons``, ``winners`` (ensembles above the best
    member somewhere), ``any_wins``, ``weights`` with their spread, ``diversity`` and ``explains``.

    Raises:
        MissingStage: before chapter 7 or 9.
    """
    run.require("ensembles")
    table = scores.all_scores(run)
    single = table[~table["detector"].isin(ensemble.NAMES)]
    evaluation = EvaluationConfig(draws=config.draws, confidence=config.confidence, seed=config.seed)
    metrics, against = detector_metrics.metric_table(table, evaluation), comparisons(table, evaluation)
    winners = {c["ensemble"] for c in against if c["reference"] == BEST and c["verdict"] == "higher"}
    found, best = diversities(single), best_members(table)
    return run.write_result(
        "ensembles",
        {
            "confidence": config.confidence,
            "draws": config.draws,
            "members": list(dict.fromkeys(single["detector"])),
            "ensembles": [name for name in ensemble.NAMES if name in set(table["detector"])],
            "best_on_validation": [{"seed": s, "arm": a, "detector": name} for (s, a), name in best.items()],
            "metrics": metrics,
            "gap": detector_metrics.gaps(table, evaluation),
            "comparisons": against,
            "winners": sorted(winners),
            "any_wins": bool(winners),
            "weights": weights(single, [n for n in _WEIGHTED if n in set(table["detector"])], config),
            "diversity": found,
            "explains": explains(metrics, found, best),
        },
    )


def _questions(table: pd.DataFrame) -> Iterator[tuple[str, int, str, str, str]]:
    """(ensemble, seed, arm, against, reference) for everything that is asked."""
    held = set(table["detector"])
    best = best_members(table)
    for name in [name for name in ensemble.NAMES if name in held]:
        for (seed, arm), member in best.items():
            yield name, seed, arm, member, BEST
            if name != ensemble.SOFT_VOTE and ensemble.SOFT_VOTE in held:
                yield name, seed, arm, ensemble.SOFT_VOTE, MEAN


def best_members(table: pd.DataFrame) -> dict[tuple[int, str], str]:
    """(seed, arm) -> the member with the highest AUROC on that arm of the validation split.

    For each arm by itself: against the member that is best over all of them, an ensemble would look good where
    another member is better on that arm.
    """
    single = table[~table["detector"].isin(ensemble.NAMES)]
    found = {}
    for seed, own in single.groupby("seed"):
        for arm in detector_metrics.fake_arms(own):
            best = detector_metrics.best_on_validation(detector_metrics.of_arm(own, arm, "validation"))
            found[int(seed), arm] = best[seed]
    return found


def comparisons(table: pd.DataFrame, config: EvaluationConfig) -> list[dict[str, object]]:
    """Every ensemble minus its references on the test split.

    Returns:
        records ``ensemble, seed, arm, against, reference``; ``difference`` of AUROC with DeLong's interval and
        ``by_groups`` with that of the bootstrap over groups, {value, low, high} each; ``delong_p, mcnemar_p`` and
        ``delong_holm, mcnemar_holm``; ``ensemble_only, against_only``: pictures that only one judged correctly;
        ``verdict`` on AUROC and ``errors`` on errors: higher, lower or tie (fewer, more or tie).
    """
    records, cut = [], {}
    for (name, seed), own in table[table["split"] == "test"].groupby(["detector", "seed"]):
        for arm in detector_metrics.fake_arms(own):
            cut[name, seed, arm] = detector_metrics.of_arm(own, arm).sort_values("path")
    for name, seed, arm, against, reference in _questions(table):
        first, second = cut[name, seed, arm], cut[against, seed, arm]
        labels = first["label"].to_numpy() == 1
        auroc = paired.delong(labels, first["logit"], second["logit"], first["group"], config.confidence)
        right = [(own["probability"].to_numpy() >= 0.5) == labels for own in (first, second)]
        errors = paired.mcnemar(right[0], right[1], first["group"])
        records.append(
            {"ensemble": name, "seed": seed, "arm": arm, "against": against, "reference": reference}
            | {"difference": {"value": auroc.difference, "low": auroc.low, "high": auroc.high}}
            | {"by_groups": detector_metrics.difference(first, second, config)}
            | {"delong_p": auroc.p, "mcnemar_p": errors["p"]}
            | {"ensemble_only": errors["first_only"], "against_only": errors["second_only"]}
        )
    for test in ("delong", "mcnemar"):
        corrected = paired.holm([record[f"{test}_p"] for record in records])
        for record, p in zip(records, corrected, strict=True):
            record[f"{test}_holm"] = float(p)
    for record in records:
        said = detector_metrics.verdict(record["by_groups"])
        record["verdict"] = said if record["delong_holm"] < _LEVEL and said in ("higher", "lower") else "tie"
        fewer = "fewer" if record["ensemble_only"] > record["against_only"] else "more"
        record["errors"] = fewer if record["mcnemar_holm"] < _LEVEL else "tie"
    return records


def weights(single: pd.DataFrame, names: list[str], config: EnsembleConfig) -> list[dict[str, object]]:
    """How much each member counts in the weighted vote and the logistic stack: records ``ensemble, seed, detector``,
    and ``value, low, high`` over fits to drawn validation groups."""
    records = []
    for name in names:
        for seed, own in single.groupby("seed"):
            found = folds.weight_spread(own, name, config.weight_draws, config.seed, config.confidence)
            records += [{"ensemble": name, "seed": int(seed), "detector": d, **own} for d, own in found.items()]
    return records


def diversities(single: pd.DataFrame) -> list[dict[str, object]]:
    """``diversity.pairs`` of the members on the test split, with ``seed`` and ``arm``."""
    records = []
    for seed, own in single[single["split"] == "test"].groupby("seed"):
        for arm in detector_metrics.fake_arms(own):
            wide = folds.matrix(detector_metrics.of_arm(own, arm))
            labels = own.drop_duplicates(folds.KEYS).set_index(folds.KEYS).loc[wide.index, "label"].to_numpy()
            records += [{"seed": int(seed), "arm": arm, **pair} for pair in diversity.pairs(wide, labels)]
    return records


def explains(metrics: list[dict], pairs: list[dict], best: dict[tuple[int, str], str]) -> list[dict[str, object]]:
    """What the soft vote gained beside how diverse its members are; records for each seed and arm.

    ``gain_over_mean`` and ``gain_over_best``: AUROC of the soft vote less that of the mean member, and of the member
    that was best on validation, on that arm. ``spread``: AUROC of the strongest member less that of the weakest.
    """
    records = []
    for seed, arm in dict.fromkeys((pair["seed"], pair["arm"]) for pair in pairs):
        found = {m["detector"]: m["auroc"]["value"] for m in metrics if (m["seed"], m["arm"]) == (seed, arm)}
        single = [value for name, value in found.items() if name not in ensemble.NAMES]
        vote = found.get(ensemble.SOFT_VOTE)
        if vote is None:
            continue
        own = diversity.mean([pair for pair in pairs if (pair["seed"], pair["arm"]) == (seed, arm)])
        gains = {"gain_over_mean": vote - float(np.mean(single)), "gain_over_best": vote - found[best[seed, arm]]}
        records.append({"seed": seed, "arm": arm, **gains, "spread": max(single) - min(single), **own})
    return records


def wins_reading(found: dict) -> str:
    """How often each ensemble beats, loses to and ties with the best member, in Markdown. Args: found: the report."""
    asked = [own for own in found["comparisons"] if own["reference"] == BEST]
    lines = []
    for name in sorted({own["ensemble"] for own in asked}):
        told = [own["verdict"] for own in asked if own["ensemble"] == name]
        lines.append(
            f"- **{name}** against the best member: higher in {told.count('higher')}, lower in {told.count('lower')}, "
            f"a tie in {told.count('tie')} of {len(told)} comparisons."
        )
    if found["any_wins"]:
        lines += ["", f"**Shown to be above the best member somewhere:** {', '.join(found['winners'])}."]
    else:
        lines += ["", "**No ensemble wins:** none is shown to be above the best member on any kind of fake."]
    return "\n".join(lines)


def gain_reading(found: dict) -> str:
    """Where the soft vote gained most over its mean member, and what the members are like there, in Markdown.

    Args: found: the report, whose ``explains`` holds records of :func:`explains`.
    """
    most = max(found["explains"], key=lambda own: own["gain_over_mean"])
    return (
        f"The vote gained most over the *mean* member on **{most['arm']}** ({most['gain_over_mean']:+.3f}), where the "
        f"members disagree on {most['disagreement']:.0%} of the pictures. Against the *best* member the same vote has "
        f"{most['gain_over_best']:+.3f}; strongest and weakest member lie {most['spread']:.3f} apart."
    )


def reading(found: dict) -> str:
    """Whether any ensemble beats its best member, and what that rests on, in Markdown. Args: found: the report."""
    asked = [own for own in found["comparisons"] if own["reference"] == BEST]
    lines = []
    if found["winners"]:
        lines.append(f"- Shown to be above the best member somewhere: {', '.join(found['winners'])}.")
    else:
        lines.append("- No ensemble is shown to be above its best member on any kind of fake.")
    for verdict in ("higher", "lower", "tie"):
        count = sum(own["verdict"] == verdict for own in asked)
        lines.append(f"- {verdict}: {count} of {len(asked)} comparisons with the best member.")
    if asked:
        top = max(asked, key=lambda own: own["by_groups"]["value"])
        lines.append(
            f"- The largest difference in AUROC is that of {top['ensemble']} on `{top['arm']}` fakes: "
            f"{format_interval(top['by_groups'])} against {top['against']} ({top['verdict']})."
        )
    return "\n".join(lines)
