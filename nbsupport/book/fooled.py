"""The generated part of the page "What would fool this detector": what lowers detection most.

Degradations, holes, better fills and unseen inpainters, each with the AUROC or the share found that is left and its
interval. What a run lacks is said in a sentence. Not here: how the numbers come about (chapters 7, 8 and 10).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from nbsupport.core.errors import MissingStage
from nbsupport.runs import Run
from nbsupport.stats.intervals import format_interval

MOST = 8  # lines of a table


def _table(head: list[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [head, ["---"] * len(head), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _result(run: Run, name: str) -> dict[str, Any]:
    try:
        return run.result(name)
    except MissingStage:
        return {}


def degradations(result: Mapping[str, Any], detector: str, seed: int, arm: str = "spliced") -> list[tuple]:
    """(condition, AUROC, change against clean), clean first, then the most harmful; empty when nothing was degraded."""
    own = [r for r in result.get("records", ()) if (r["detector"], r["seed"], r["arm"]) == (detector, seed, arm)]
    clean = next((r["auroc"]["value"] for r in own if r["condition"] == "clean"), None)
    held = [r for r in own if r["condition"] != "clean" and r["auroc"]["value"] is not None]
    held.sort(key=lambda r: r["auroc"]["value"])
    first = [("none (clean)", format_interval(r["auroc"], 2), "–") for r in own if r["condition"] == "clean"]
    return first + [
        (
            r["condition"],
            format_interval(r["auroc"], 2),
            "–" if clean is None else f"{r['auroc']['value'] - clean:+.2f}",
        )
        for r in held
    ]


def holes(result: Mapping[str, Any], arm: str = "spliced", least: int = 5) -> list[tuple]:
    """(property, category, share found, pictures) of the best detector, the least found first."""
    best = result.get("best", {})
    own = [
        r
        for r in result.get("shares", ())
        if r["detector"] == best["detector"] and r["seed"] == best["seed"] and r["arm"] == arm
        and r["by"] in ("coverage", "kind", "position", "part") and r["pictures"] >= least
    ]  # fmt: skip
    own.sort(key=lambda r: r["value"])
    return [(r["by"], r["category"], format_interval(r, 2, percent=True), r["pictures"]) for r in own[:MOST]]


def missed(result: Mapping[str, Any], arm: str = "spliced") -> str:
    """Which holes of the table are missed more often than found, and which may be, by where the intervals lie."""
    rows, best = [], result.get("best", {})
    for r in result.get("shares", ()):
        if (r["detector"], r["seed"], r["arm"]) == (best["detector"], best["seed"], arm) and r["by"] == "coverage":
            rows.append(r)
    mostly = [r["category"] for r in rows if r["high"] is not None and r["high"] < 0.5]
    perhaps = [r["category"] for r in rows if r["low"] is not None and r["low"] < 0.5 <= r["high"]]
    said = []
    if mostly:
        said.append(f"Holes of these sizes are missed more often than found: {', '.join(mostly)}.")
    if perhaps:
        said.append(f"Of these sizes it is open whether more are found than missed: {', '.join(perhaps)}.")
    if not said:
        said.append("Of every size of hole more are found than missed." if rows else "")
    return " ".join(said) + "\n"


def inpainters(result: Mapping[str, Any], arm: str = "spliced") -> list[tuple]:
    """(trained on, asked about, AUROC) of the matrix, unseen inpainters only, the worst first."""
    own = [
        r
        for r in result.get("records", ())
        if r["study"] == "matrix" and r["arm"] == arm and r["condition"] == "clean" and r["variant"] != r["inpainter"]
        and not r["variant"].endswith("degraded") and r["auroc"]["value"] is not None
    ]  # fmt: skip
    own.sort(key=lambda r: r["auroc"]["value"])
    return [(r["variant"], r["inpainter"], format_interval(r["auroc"], 2)) for r in own[:MOST]]


def markdown(run: Run) -> str:
    """The tables and the sentences under them; a run without a chapter's results says which are missing."""
    detectors, errors = _result(run, "detectors"), _result(run, "errors")
    if not errors or not detectors:
        return "This run does not hold the results of chapters 7 and 10, so nothing can be listed.\n"
    best = detectors["best_on_validation"]
    seed = min(map(int, best))
    name, judge = best[str(seed)], errors["best"]
    parts = [
        f"The single detector spoken of is **{name}**, the combined answer **{judge['detector']}**. Spliced pictures, "
        f"in which only the hole was painted. Intervals at {errors['confidence']:.0%}.\n",
        "## Later treatment\n",
    ]
    rows = degradations(_result(run, "robustness"), name, seed)
    parts.append(
        _table(["Treatment", "AUROC left", "change"], rows) if rows else "No treatment was tried in this run.\n"
    )
    parts.append("## Holes\n")
    rows = holes(errors)
    parts.append(
        _table(["By", "Hole", "share found", "pictures"], rows) if rows else "Too few spliced pictures were judged.\n"
    )
    parts.append(missed(errors))
    parts.append(_crossing(errors, judge))
    parts.append("## Better fills\n")
    parts.append(_fills(errors, judge))
    parts.append("## Other inpainters\n")
    rows = inpainters(_result(run, "studies"))
    parts.append(
        _table(["Trained on", "Asked about", "AUROC"], rows) if rows else "No other inpainter was tried in this run.\n"
    )
    return "\n".join(parts)


def _crossing(errors: Mapping[str, Any], judge: Mapping[str, Any]) -> str:
    found = [r for r in errors.get("crossings", ()) if r["arm"] == "spliced" and r["detector"] == judge["detector"]
             and r["seed"] == judge["seed"]]  # fmt: skip
    if not found or found[0]["state"] == "too few":
        return "Too few pictures to say from which size of hole on paint is found.\n"
    own = found[0]
    first = own["curve"][0] if own["curve"] else None
    start = (
        f", from {first['coverage']:.0%} of the picture on "
        f"({format_interval({**first, 'value': first['auroc']}, 2)} there)"
        if first
        else ""
    )
    words = {
        "crosses": f"The AUROC of {own['detector']} stays above {own['target']} from holes of "
        f"{format_interval(own, 2, percent=True)} of the picture on.",
        "always above": f"The AUROC of {own['detector']} is above {own['target']} in every window of sizes{start}.",
        "never": f"The AUROC of {own['detector']} does not stay above {own['target']} at any size of hole tried.",
    }
    also = (
        "AUROC ranks fakes against photographs; the shares above count what is called fake at a fixed limit, so that a "
        "good ranking and many misses can stand side by side."
    )
    return f"{words[own['state']]} {also}\n"


def _fills(errors: Mapping[str, Any], judge: Mapping[str, Any]) -> str:
    names = {"hole_l1": "distance of the paint from the photograph", "hole_ssim": "structural similarity in the hole"}
    own = [r for r in errors.get("escapes", ()) if r["arm"] == "spliced" and r["detector"] == judge["detector"]
           and r["seed"] == judge["seed"]]  # fmt: skip
    if not own:
        return "Too few spliced pictures were judged.\n"
    rows = [
        (names[r["quality"]], format_interval(r["correlation"], 2), format_interval(r["regression"], 2)) for r in own
    ]
    head = ["Quality of the fill", "rank correlation with the answer", "log-odds of a miss, coverage held fixed"]
    return _table(head, rows)
