"""The five findings of chapter 10: a sentence made of the numbers, with its interval, its figure and where it is read.

Each finding reads one interval out of ``results/*.json`` by key; the wording follows from where that interval lies. Not
one word of a verdict is written before the number is known: an interval on the expected side says *supported*, one on
the other side *contradicted*, one that holds zero *tie*, and a missing one *too few*.
"""

from collections.abc import Callable, Mapping
from typing import Any

from nbsupport.core.errors import MissingStage
from nbsupport.runs import Run
from nbsupport.stats.intervals import format_interval

VERDICTS = ("supported", "contradicted", "tie", "too few")
#: figure of a finding -> the section of chapter 10 in which it stands.
SECTIONS: dict[str, str] = {
    "pointing": "Does the detector know where the hole is?",
    "density": "Does the detector know where the hole is?",
    "arms": "Does the detector know where the hole is?",
    "quality": "Does a better fill escape?",
    "agreement": "Do all detectors fail on the same pictures?",
}
KEYS = ("claim", "verdict", "number", "low", "high", "figure", "section", "source", "question")


def verdict(low: float | None, high: float | None, expected: int = 1) -> str:
    """Where an interval lies: `expected` 1: above zero would support the claim, -1: below zero would."""
    if low is None or high is None:
        return "too few"
    side = 1 if low > 0 else -1 if high < 0 else 0
    return "tie" if side == 0 else "supported" if side == expected else "contradicted"


def source_of(result: str, key: str, number: int, *inner: str) -> str:
    """A path into the results: ``errors.json: escapes[3].correlation``."""
    return f"{result}.json: {key}[{number}]" + "".join(f".{name}" for name in inner)


def read(results: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    """The record that a finding's `source` names; raises KeyError or IndexError when it is not there."""
    name, path = source.split(".json: ")
    key, rest = path.split("[", 1)
    number, _, inner = rest.partition("]")
    found = results[name][key][int(number)]
    for step in filter(None, inner.split(".")):
        found = found[step]
    return found


def _find(records: list[Mapping[str, Any]], **wanted: Any) -> int | None:
    """Number of the first record that has all of these values."""
    return next((n for n, r in enumerate(records) if all(r.get(k) == v for k, v in wanted.items())), None)


def shown(results: Mapping[str, Any]) -> tuple[str, int]:
    """The single detector whose map is talked about: the best on validation, or the first that has a map."""
    best = results["detectors"]["best_on_validation"]
    seed = min(map(int, best), default=0)
    records = results["localization"]["records"]
    held = [(r["detector"], r["seed"]) for r in records if r["detector"] not in ("uniform", "centre", "segmentation")]
    wanted = (best.get(str(seed)), seed)
    return wanted if wanted in held else held[0] if held else wanted


def _finding(results, question: str, figure: str, source: str | None, expected: int, words: Mapping[str, str]) -> dict:
    empty = {"value": None, "low": None, "high": None}
    found = read(results, source) if source else empty
    said = verdict(found["low"], found["high"], expected) if found["value"] is not None else "too few"
    number = format_interval(found, 2, sign=True) if said != "too few" else ""
    claim = words[said].format(number=number)
    numbers = {"number": found["value"], "low": found["low"], "high": found["high"]}
    place = {"figure": figure, "section": SECTIONS[figure], "source": source}
    return {"question": question, "claim": claim, "verdict": said, **numbers, **place}


_FIXED = {
    "supported": "With the size of the hole held fixed, closer paint is missed more often too.",
    "contradicted": "With the size of the hole held fixed, closer paint is missed less often.",
    "tie": "With the size of the hole held fixed, the interval holds zero: the size may be behind it.",
    "too few": "With the size of the hole held fixed, this run cannot tell.",
}
_FEW = "This run holds too few pictures to answer this."


def _of_map(results, where: str, question: str, figure: str, words: Mapping[str, str], inner=(), **wanted) -> dict:
    """A finding about the heat map that is talked about, from the record of ``localization[where]`` with `wanted`."""
    name, seed = shown(results)
    at = _find(results["localization"][where], detector=name, seed=seed, **wanted)
    source = None if at is None else source_of("localization", where, at, *inner)
    said = {verdict: f"The map of {name} {text}" for verdict, text in words.items()} | {"too few": _FEW}
    return _finding(results, question, figure, source, 1, said)


def _over_centre(results, metric: str, question: str, figure: str, words: Mapping[str, str]) -> dict:
    """The same about spliced pictures, against a blob in the middle that sees no picture."""
    return _of_map(results, "records", question, figure, words, ("over_centre",), arm="spliced", metric=metric)


def _seam(results: Mapping[str, Any]) -> dict:
    # Against the blob in the middle: holes are seldom in a corner, so even a map that sees no picture is denser in
    # them than beside them.
    words = {
        "supported": "prefers the hole to the ring around it more than a blob in the middle does, by {number} of the "
        "density of chance: it looks at the paint, and not only at the seam.",
        "contradicted": "prefers the hole to the ring around it less than a blob in the middle does ({number} of the "
        "density of chance): nothing shows that it looks at the paint rather than the seam.",
        "tie": "prefers the hole to the ring around it about as much as a blob in the middle does ({number} of the "
        "density of chance): paint and seam cannot be told apart by it.",
    }
    found = _over_centre(results, "inside_minus_ring", "Is it the paint or the seam?", "density", words)
    if found["verdict"] == "supported" and _pointing(results)["verdict"] != "supported":
        # Mass inside the hole and the rank of its pixels can disagree; then neither is evidence that it knows the hole.
        found["claim"] = found["claim"].replace(
            ": it looks at the paint, and not only at the seam.",
            ". Yet it does not find the hole's pixels better than that blob (the finding before), so this is no "
            "evidence that it looks at the paint.",
        )
    return found


def _pointing(results: Mapping[str, Any]) -> dict:
    words = {
        "supported": "finds the pixels of spliced holes better than a blob in the middle that sees no picture: average "
        "precision {number} above it.",
        "contradicted": "finds the pixels of spliced holes worse than a blob in the middle that sees no picture: "
        "average precision {number} against it.",
        "tie": "finds the pixels of spliced holes no better than a blob in the middle that sees no picture: average "
        "precision {number} against it.",
    }
    return _over_centre(results, "ap", "Does the map know where the hole is?", "pointing", words)


def _arms(results: Mapping[str, Any]) -> dict:
    words = {
        "supported": "finds the hole better in spliced pictures than in regenerated ones of the same photographs "
        "(average precision {number}): where traces are everywhere, the map does not point.",
        "contradicted": "finds the hole better in regenerated pictures than in spliced ones of the same photographs "
        "(average precision {number}).",
        "tie": "finds the hole equally well in spliced and in regenerated pictures, as far as this run can tell "
        "(average precision {number}).",
    }
    question = "Does the map point better where only the hole was painted?"
    return _of_map(results, "arms", question, "arms", words, metric="ap")


def _escape(results: Mapping[str, Any]) -> dict:
    best = results["errors"]["best"]
    at = _find(results["errors"]["escapes"], arm="spliced", quality="hole_l1", **best)
    words = {
        "supported": f"A better fill escapes: the farther spliced paint is from the photograph, the surer is "
        f"{best['detector']} (rank correlation {{number}}).",
        "contradicted": f"A better fill does not escape: the closer spliced paint is to the photograph, the surer is "
        f"{best['detector']} (rank correlation {{number}}).",
        "tie": f"Whether a better fill escapes {best['detector']} is open: the rank correlation of the paint's "
        "distance with the answer holds zero ({number}).",
        "too few": _FEW,
    }
    source = None if at is None else source_of("errors", "escapes", at, "correlation")
    found = _finding(results, "Does a better fill escape?", "quality", source, 1, words)
    if at is not None and found["verdict"] != "too few":  # large holes are harder to fill and easier to find
        fixed = results["errors"]["escapes"][at].get("regression") or {}
        # log-odds of a *miss*: a negative number says that paint far from the photograph is missed less
        found["claim"] += " " + _FIXED[verdict(fixed.get("low"), fixed.get("high"), -1)]
    return found


def _shared(results: Mapping[str, Any]) -> dict:
    at = _find(results["errors"]["shared"], arm="spliced")
    words = {
        "supported": "Detectors fail together: the share of spliced pictures that all of them miss is {number} above "
        "what independent errors would give.",
        "contradicted": "Detectors fail on different pictures: the share of spliced pictures that all of them miss is "
        "{number} against what independent errors would give.",
        "tie": "Detectors fail together no more often than chance allows: the share of spliced pictures that all miss "
        "differs by {number} from independent errors.",
        "too few": _FEW,
    }
    source = None if at is None else source_of("errors", "shared", at)
    return _finding(results, "Do all detectors fail on the same pictures?", "agreement", source, 1, words)


FINDINGS: tuple[Callable[[Mapping[str, Any]], dict], ...] = (_pointing, _seam, _arms, _escape, _shared)


def compose(results: Mapping[str, Any]) -> list[dict]:
    """The findings of results (``detectors, localization, errors``), each with :data:`KEYS`; a pure function."""
    return [finding(results) for finding in FINDINGS]


def make(run: Run) -> list[dict]:
    """Compose the findings of a run and write ``results/findings.json``; raises MissingStage before them."""
    results = {name: run.result(name) for name in ("detectors", "localization", "errors")}
    return run.write_result("findings", {"findings": compose(results)})["findings"]


def load(run: Run) -> list[dict]:
    """What :func:`make` wrote; empty when the run has no findings yet."""
    try:
        return run.result("findings")["findings"]
    except MissingStage:
        return []
