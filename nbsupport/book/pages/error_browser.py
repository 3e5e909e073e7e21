"""The page "error browser": judged test pictures of a run with all scores, to be filtered and sorted without a kernel.

Pictures are kept without loss. A spliced fake is not stored where the untouched photograph and the inpainter's whole
output give it back bit for bit; the page puts it together. When the page would grow too large, photographs are left
out, drawn by chance, each with all of its arms. Not here: the same browser in a notebook (``demo.browser``).
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import pandas as pd

from nbsupport import masks, pairs
from nbsupport.book.pages import assets
from nbsupport.core import rng
from nbsupport.demo.browser_state import BrowserState
from nbsupport.detectors import ensemble, predict
from nbsupport.evaluation import error_analysis, strata
from nbsupport.inpainters import base
from nbsupport.runs import Run

HEAT_SIDE = 16  # cells along a side of a heat map
_HEAT_BYTES = HEAT_SIDE**2 * 4 // 3 + 2  # of one map in base64
#: Pictures on the page at most, so that making their heat maps takes seconds.
MOST = 600


def html(run: Run) -> str:
    """The page of a run, smaller than ``assets.LIMIT`` bytes.

    Raises:
        MissingStage: chapter 10 has not run.
    """
    found, paired, holes = error_analysis.load(run), pairs.load(run), masks.load(run)
    state = BrowserState(found.table, paired.cache, found.best, holes, run)
    most = MOST
    while True:
        data = collect(state, paired, most)
        shown = len(data["items"])
        size = len(assets.assembled("error_browser", "Error browser", data).encode()) + shown * _HEAT_BYTES
        if size < assets.LIMIT or most == 0:
            break
        most = min(most - 1, int(0.95 * shown * assets.LIMIT / size))
    data["heat"] = heat(state, [record["number"] for record in data["items"]])
    return assets.assembled("error_browser", "Error browser", data)


def collect(state: BrowserState, paired: pairs.Pairs, most: int) -> dict[str, Any]:
    """What the page shows, as JSON values.

    Returns:
        ``size`` (H, W), ``detectors`` (name, ensemble), ``best`` (its place among them), ``threshold``, ``counts``,
        ``values`` (of the filters), ``sheets``, ``holes``, ``items`` (one for each picture) and ``heat`` (of which
        detector, cells of 8 bits; None: :func:`html` puts them in when it is known which pictures are shown).
    """
    shown = choose(state, most)
    table = state.of_detector(*state.best)
    store, own = assets.Store(), table[table["number"].isin(shown)].sort_values("number")
    detectors = detectors_of(state)
    scores = {pair: state.of_detector(*pair).set_index("number")["probability"] for pair in detectors}
    rows = own.to_dict("records")
    partners = Partners(state, paired)
    items = [
        item(row, place, [scores[pair][row["number"]] for pair in detectors], partners, store)
        for place, row in enumerate(rows)
    ]
    places = {row["number"]: place for place, row in enumerate(rows)}
    for record, row in zip(items, rows, strict=True):
        if row["outcome"] in ("miss", "false alarm") and (near := neighbour(state, own, row)) is not None:
            record["like"] = places[near]
    return {
        "size": list(state.pictures.shape[1:3]),
        "detectors": [{"name": name, "ensemble": name in ensemble.NAMES} for name, _ in detectors],
        "best": detectors.index(state.best),
        "threshold": error_analysis.THRESHOLD,
        "gain": assets.GAIN,
        "counts": {
            "shown": len(rows),
            "total": len(table),
            "photographs": int(own["image_id"].nunique()),
            "run": "" if state.run is None else state.run.name,
        },
        "values": {name: values(items, name) for name in ("arm", "kind", "species", "part", "by")},
        "sheets": assets.sheets(store.pictures),
        "holes": store.holes,
        "items": items,
        "heat": None,
    }


def choose(state: BrowserState, most: int) -> np.ndarray:
    """Manifest rows to show: all, or whole photographs by chance, at most `most` pictures and at least one."""
    table = state.of_detector(*state.best)
    sizes = table.groupby("image_id", sort=True).size()
    order = rng.generator(0, "error browser page").permutation(len(sizes))
    kept = max(1, int((sizes.to_numpy()[order].cumsum() <= most).sum()))
    return table.loc[table["image_id"].isin(sizes.index[order[:kept]]), "number"].to_numpy()


def detectors_of(state: BrowserState) -> list[tuple[str, int]]:
    """One (detector, seed) for each name: the seed of the best one, or the first; single ones first."""
    chosen: dict[str, tuple[str, int]] = {}
    for name, seed in state.detectors:
        if name not in chosen or seed == state.best[1]:
            chosen[name] = (name, seed)
    return list(chosen.values())


class Partners:
    """For a judged picture: its untouched photograph, and the inpainter's whole output that it was spliced from."""

    def __init__(self, state: BrowserState, paired: pairs.Pairs) -> None:
        self.state = state
        manifest = paired.manifest
        originals = manifest[manifest["arm"] == "original"]
        self.originals = dict(zip(originals["image_id"], originals.index, strict=True))
        outputs = manifest[manifest["arm"] == "regenerated"]
        self.outputs = dict(zip(outputs["call"], outputs.index, strict=True))
        self.calls = manifest["call"].to_numpy()

    def original(self, row: Mapping) -> np.ndarray | None:
        """The untouched photograph, (H, W, 3) uint8, if the paired set holds it."""
        number = self.originals.get(row["image_id"])
        return None if number is None else self.state.picture(number)

    def parts(self, row: Mapping, hole: np.ndarray | None) -> tuple[np.ndarray, np.ndarray] | None:
        """Photograph and whole output, if splicing them gives the judged picture bit for bit."""
        outside, number = self.original(row), self.outputs.get(self.calls[row["number"]])
        if row["arm"] != "spliced" or outside is None or number is None or hole is None:
            return None
        inside = self.state.picture(number)
        same = np.array_equal(base.splice(outside, inside, hole), self.state.picture(row["number"]))
        return (outside, inside) if same else None


def item(
    row: Mapping, place: int, scores: Sequence[float], partners: Partners, store: assets.Store
) -> dict[str, object]:
    """One picture as the page has it; probabilities are in thousandths, rounded down, so that 0.5 stays a border."""
    hole, original = partners.state.hole(row), partners.original(row)
    parts = partners.parts(row, hole)
    held = {"splice": [store.picture(part) for part in parts]} if parts else {
        "picture": store.picture(partners.state.picture(row["number"]))
    }  # fmt: skip
    return held | {
        "place": place,
        "number": int(row["number"]),
        "original": -1 if original is None else store.picture(original),
        "hole": -1 if hole is None else store.hole(hole),
        "id": str(row["image_id"]),
        "fake": bool(row["label"]),
        "arm": str(row["arm"]),
        "kind": str(row["mask_kind"]),
        "part": "" if pd.isna(row["part"]) else str(row["part"]),
        "species": str(row["species"]),
        "by": str(row["inpainter"]),
        "coverage": round(float(row["coverage"]), 4) if np.isfinite(row["coverage"]) else 0.0,
        "caption": str(row["caption"]),
        "scores": [int(np.floor(1000 * value)) for value in scores],
    }


def values(items: Sequence[Mapping], name: str) -> list[str]:
    """What a filter can be set to, in the order of the book."""
    return sorted({record[name] for record in items} - {""}, key=strata.order)


def neighbour(state: BrowserState, shown: pd.DataFrame, row: Mapping) -> int | None:
    """The picture of the page that looks most like this one, of the same class and judged correctly by the best."""
    near = state.neighbour(row)
    return int(near["number"]) if near is not None and (shown["number"] == near["number"]).any() else None


def heat(state: BrowserState, numbers: Sequence[int]) -> dict[str, object] | None:
    """Heat maps of the best detector, or of the best that has any, in cells of 8 bits."""
    from nbsupport.detectors import heatmaps

    source = state.heat_source(*state.best)
    if source is None:
        return None
    trained = predict.load(state.run, *source)
    maps = heatmaps.grad_cam(trained, np.asarray(state.pictures[np.asarray(numbers)]))
    small = [cv2.resize(one, (HEAT_SIDE, HEAT_SIDE), interpolation=cv2.INTER_AREA) for one in maps]
    cells = np.rint(255 * np.stack(small)).clip(0, 255).astype(np.uint8)
    return {"detector": source[0], "side": HEAT_SIDE, "values": base64.b64encode(cells.tobytes()).decode()}
