"""What the results of chapters 7 and 8 say, in words that are computed from them.

A sentence that judges a result is written here, with the result as its only source, so that another data set or a
longer training cannot leave a page that contradicts its own figures. Every function takes records as the results files
hold them and returns Markdown. Differences count where their interval leaves out zero, and a level where its interval
leaves out one half. Not here: the findings of chapter 10 (:mod:`.findings`).
"""

from collections.abc import Iterable, Mapping, Sequence

from nbsupport.evaluation.sharpness import MATCHED
from nbsupport.stats.intervals import format_interval

Records = Sequence[Mapping]
BLUR = "local_sharpness"


def listed(parts: Iterable[str]) -> str:
    """``a, b and c``."""
    *first, last = list(parts)
    return f"{', '.join(first)} and {last}" if first else last


def _first_seed(records: Records) -> list[Mapping]:
    lowest = min((record["seed"] for record in records), default=0)
    return [record for record in records if record["seed"] == lowest]


def above_chance(found: Mapping) -> bool:
    """Whether an interval of an AUROC or accuracy lies above one half."""
    return found["low"] is not None and found["low"] > 0.5


def search(found: Mapping) -> str:
    """What the architecture search tried, and which trial won. Args: found: ``results/search.json``."""
    trials, chosen = found["trials"], found["chosen"]
    states = [trial["state"] for trial in trials]
    counted = listed(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    trained = [trial for trial in trials if trial["auroc"] is not None]
    text = (
        f"{len(trials)} networks were proposed ({counted}), {len(trained)} of them trained at least in part. Trial "
        f"{chosen['number']} won with a validation AUROC of {chosen['auroc']:.3f}: {chosen['mega_macs']:.0f} million "
        f"multiply-adds a picture, {chosen['parameters']:,} parameters."
    )
    if trained and chosen["number"] == trained[0]["number"]:
        text += " It was the first network trained: the search did not improve on a random draw."
    return text


def accuracy(result: Mapping, fakes: float, earlier: Mapping) -> str:
    """What an accuracy is to be set beside: an earlier study, and a detector that always says *inpainted*.

    Args: result: ``results/detectors.json``. fakes: the share of fakes among the pictures, in [0, 1]. earlier: a row
        of ``detector_metrics.published``.
    """
    return (
        f"The first column is the number to set beside the {earlier['hard']:.0%} of {earlier['study']}. But a detector "
        f"that always says *inpainted* would reach {fakes:.0%} here, for that is the share of fakes among these "
        f"pictures ({result['photographs']} photographs of the test split, {result['groups']} groups)."
    )


def gap(records: Records) -> str:
    """Who loses AUROC from regenerated to spliced fakes. Args: records: ``results/detectors.json``'s ``gap``."""
    own = _first_seed(records)
    if not own:
        return "The set lacks one of the two kinds of fake, so there is no gap to measure."
    says = {
        "higher": "owe part of their success to traces outside the hole, which pasting removes",
        "lower": "do *better* on spliced fakes, against what this section expects",
        "no difference shown": "show no difference: the interval holds zero",
    }
    lines = []
    for verdict, meaning in says.items():
        named = [f"{record['detector']} ({format_interval(record)})" for record in own if record["verdict"] == verdict]
        if named:
            lines.append(f"- {listed(named)} {meaning}.")
    return "\n".join(lines)


def blur(left: Records) -> str:
    """What is left of each detector once fills are as sharp as their surroundings. Args: left: ``sharpness.left``."""
    own = _first_seed(left)
    if not own:
        return "The set holds no spliced fakes, so there is nothing to match."
    base = next((record for record in own if record["detector"] == BLUR), None)
    lines = []
    if base is not None:
        level = "so it is at chance here" if not above_chance(base["before"]) else "without any training"
        lines.append(f"The blur baseline `{BLUR}` has {format_interval(base['before'])} on spliced fakes, {level}.")
    for record in (record for record in own if record is not base):
        after, lost = record["after"], record["verdict"] == "higher"
        if not above_chance(record["before"]):
            meaning = "not shown to find spliced fakes at all"
        elif above_chance(after):
            meaning = "part of what it found was blur, and something else is left" if lost else "no loss is shown"
        elif after["high"] is not None and after["high"] < 0.5:
            meaning = "upside down: it takes the textured hole for more real than the photograph, so it measured blur"
        else:
            meaning = "nothing is shown to be left: what it found was blur"
        lines.append(
            f"{record['detector']}: {format_interval(record['before'])} → {format_interval(after)}; {meaning}."
        )
    return "\n".join(f"- {line}" for line in lines)


def hard(records: Records, detector: str) -> str:
    """Whether small holes are the hard ones for a detector. Args: records: of ``strata.auroc_by`` by coverage."""
    lines = []
    for arm in dict.fromkeys(record["arm"] for record in records):
        own = [r for r in _first_seed(records) if (r["detector"], r["arm"], r["by"]) == (detector, arm, "coverage")]
        own = [record for record in own if record["auroc"]["low"] is not None]
        if len(own) < 2:
            continue
        small, large = own[0], own[-1]
        if large["auroc"]["low"] > small["auroc"]["high"]:
            meaning = "small holes are the hard ones"
        elif large["auroc"]["high"] < small["auroc"]["low"]:
            meaning = "large holes are the hard ones, against expectation"
        else:
            meaning = "the intervals overlap, so no effect of the size is shown"
        sizes = " and ".join(f"{format_interval(record['auroc'])} at {record['category']}" for record in (small, large))
        lines.append(f"- `{arm}`: {sizes}; {meaning}.")
    return "\n".join(lines) or "Too few fakes of each size for an answer."


def conditions(records: Records, arm: str) -> str:
    """What recompression, resizing and noise cost on one arm. Args: records: of ``robustness.summarise``."""
    lines = []
    own = [record for record in _first_seed(records) if record["arm"] == arm]
    for detector in dict.fromkeys(record["detector"] for record in own):
        found = {record["condition"]: record["auroc"] for record in own if record["detector"] == detector}
        clean = found.pop("clean")
        if not found:
            continue
        worst = min(found, key=lambda name: found[name]["value"])
        lost = listed(name for name in found if not above_chance(found[name])) if any(
            not above_chance(value) for value in found.values()
        ) else ""  # fmt: skip
        text = f"- {detector}: {format_interval(clean)} clean, {format_interval(found[worst])} at its worst ({worst})"
        lines.append(text + (f"; not shown to be better than chance under {lost}." if lost else "."))
    return "\n".join(lines)


def sizes(records: Records, arm: str) -> str:
    """Whether more photographs help. Args: records: of ``studies.summarise``."""
    own = [r for r in _first_seed(records) if r["study"] == "size" and r["arm"] == arm]
    own.sort(key=lambda record: record["training_photographs"])
    if len(own) < 2:
        return f"On `{arm}` fakes: one number of photographs was tried, so there is no curve to read."
    few, many = own[0], own[-1]
    a, b = few["auroc"], many["auroc"]
    if b["low"] > a["high"]:
        meaning = "more photographs help"
    elif b["high"] < a["low"]:
        meaning = "more photographs did harm, which calls for another learning rate or more epochs"
    else:
        meaning = "the intervals overlap, so no gain is shown"
    return (
        f"On `{arm}` fakes: {format_interval(a)} with {few['training_photographs']:,} photographs, "
        f"{format_interval(b)} with {many['training_photographs']:,}; {meaning}."
    )


def matrix(records: Records, arm: str) -> str:
    """What a detector knows of an inpainter that it has not met. Args: records: of ``studies.summarise``."""
    own = [r for r in _first_seed(records) if r["study"] == "matrix" and r["arm"] == arm and r["condition"] == "clean"]
    lines = []
    for variant in dict.fromkeys(record["variant"] for record in own):
        met = variant.removesuffix(" + degraded")
        found = {record["inpainter"]: record["auroc"] for record in own if record["variant"] == variant}
        if met not in found:
            continue
        for other in (name for name in found if name != met):
            level = "still finds" if above_chance(found[other]) else "is not shown to find"
            home, away = format_interval(found[met]), format_interval(found[other])
            lines.append(f"- trained on {variant}: {home} at home; it {level} fakes by {other}, {away}.")
    return "\n".join(lines) or "The set holds the fakes of one inpainter alone."


def winners(result: Mapping, arms: Sequence[str]) -> str:
    """Who has the highest AUROC on each arm, and with whom it ties. Args: result: ``results/detectors.json``."""
    lines = []
    for arm in arms:
        own = [record for record in _first_seed(result["metrics"]) if record["arm"] == arm]
        top = max(own, key=lambda record: record["auroc"]["value"])
        against = [
            pair for pair in result["pairwise"]
            if pair["arm"] == arm and pair["seed"] == top["seed"] and top["detector"] in (pair["first"], pair["second"])
        ]  # fmt: skip
        ties = [
            pair["second"] if pair["first"] == top["detector"] else pair["first"]
            for pair in against if pair["verdict"] == "tie"
        ]  # fmt: skip
        if not against:
            meaning = "there was no other"
        else:
            meaning = f"a tie with {listed(ties)}" if ties else "ahead of every other one"
        lines.append(f"- **{arm}**: {format_interval(top['auroc'])} by {top['detector']}; {meaning}.")
    return "\n".join(lines)


def summary(result: Mapping, flags: Sequence[str]) -> str:
    """The results of chapter 7 in a few lines, the negative ones too.

    Args: result: ``results/detectors.json``. flags: of ``results/audit.json``.
    """
    lines = [line for line in winners(result, [a for a in ("regenerated", "spliced") if _has(result, a)]).splitlines()]
    own = _first_seed(result["gap"])
    if own:
        losing = [record["detector"] for record in own if record["verdict"] == "higher"]
        lines.append(
            f"- The gap from regenerated to spliced fakes is shown for {len(losing)} of {len(own)} detectors"
            + (f" ({listed(losing)})." if losing else ".")
        )
    lines.append(f"- Shortcut probes flagged on spliced fakes: {listed(flags) if flags else 'none'}.")
    return "\n".join(lines)


def held(under: Records, left: Records, studied: Records, arms: Sequence[str]) -> str:
    """The results of chapter 8 in a few lines: corruptions, sharpness, unseen inpainters.

    Args: under: of ``robustness.summarise``. left: of ``sharpness.left``. studied: of ``studies.summarise``.
    """
    lines = []
    for arm in arms:
        own = [r for r in _first_seed(under) if r["arm"] == arm and r["condition"] != MATCHED]
        names = list(dict.fromkeys(record["detector"] for record in own))
        firm = [n for n in names if all(above_chance(record["auroc"]) for record in own if record["detector"] == n)]
        lines.append(
            f"- On `{arm}` fakes, {len(firm)} of {len(names)} detectors are shown to be better than chance under every "
            "corruption" + (f" ({listed(firm)})." if firm else ".")
        )
    after = [record for record in _first_seed(left) if record["detector"] != BLUR and above_chance(record["before"])]
    if after:
        kept = [record["detector"] for record in after if above_chance(record["after"])]
        lines.append(
            f"- With fills as sharp as their surroundings, {len(kept)} of {len(after)} detectors are still shown to "
            "be better than chance" + (f" ({listed(kept)})." if kept else ": what they had found was blur.")
        )
    away = [
        record["auroc"] for record in _first_seed(studied)
        if record["study"] == "matrix" and record["condition"] == "clean" and record["arm"] == arms[0]
        and record["variant"].removesuffix(" + degraded") != record["inpainter"]
    ]  # fmt: skip
    if away:
        lines.append(
            f"- Of {len(away)} trainings judged on the `{arms[0]}` fakes of an unseen inpainter, "
            f"{sum(map(above_chance, away))} are shown to find them."
        )
    return "\n".join(lines)


def _has(result: Mapping, arm: str) -> bool:
    return any(record["arm"] == arm for record in result["metrics"])
