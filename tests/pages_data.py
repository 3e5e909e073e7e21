"""Judged pictures and demo records without a run: noise photographs, smooth fakes, texts that try to break out."""

import types

import cv2
import numpy as np
import pandas as pd

from nbsupport import masks
from nbsupport.core import rng
from nbsupport.demo.browser_state import BrowserState
from nbsupport.evaluation.error_analysis import OUTCOMES
from nbsupport.inpainters import base

EVIL = '</script><img src=x onerror="document.title=\'HACKED\'"> & "bird"'
DETECTORS = (("sees", 0), ("blind", 0), ("soft_vote", 0))


def photograph(number: int, size: int) -> np.ndarray:
    """Coarse colours under fine grain, (size, size, 3) uint8."""
    draw = rng.generator(0, "page", number)
    coarse = cv2.resize(draw.uniform(60, 190, (4, 4, 3)), (size, size), interpolation=cv2.INTER_CUBIC)
    return (coarse + draw.normal(0, 12, (size, size, 3))).clip(0, 255).astype(np.uint8)


def hole_of(number: int, size: int) -> np.ndarray:
    """(size, size) bool, True = hole: a rectangle that is larger for larger numbers."""
    hole = np.zeros((size, size), bool)
    hole[4 : 8 + number, 6 : 14 + number] = True
    return hole


def judged(photographs: int = 10, size: int = 32) -> tuple[BrowserState, types.SimpleNamespace]:
    """A browser's state without a run, and a stand-in for the paired set with ``manifest``.

    "sees" misses the splices of even photographs and calls photograph 3 inpainted; "blind" says 0.4 always. The splice
    of photograph 1 was changed outside its hole, so it cannot be put together from photograph and output.
    """
    pictures, rows = [], []
    holes = [hole_of(number, size) for number in range(photographs)]
    for number in range(photographs):
        original = photograph(number, size)
        output = cv2.GaussianBlur(original, (0, 0), 2)
        spliced = base.splice(original, output, holes[number])
        if number == 1:
            spliced[-1, -1] = 255 - spliced[-1, -1]
        for arm, picture in (("original", original), ("regenerated", output), ("spliced", spliced)):
            fake = arm != "original"
            rows.append(
                {"number": len(pictures), "path": f"pairs/{number}_{arm}.png", "image_id": f"b{number}", "arm": arm,
                 "group": number, "label": int(fake), "call": number if fake else -1, "mask_id": f"m{number}",
                 "mask_kind": ("centre", "object")[number % 2], "part": "crown" if number % 3 == 0 else None,
                 "coverage": float(holes[number].mean()), "caption": EVIL if number == 0 else f"bird {number}",
                 "species": "<b>wren</b>" if number % 2 else "jay", "inpainter": "tdanet" if fake else "",
                 "hole_l1": 0.1 if fake else np.nan}
            )  # fmt: skip
            pictures.append(picture)
    once = pd.DataFrame(rows)
    index, fake = once["group"].to_numpy(), once["label"].to_numpy() == 1
    missed = (once["arm"] == "spliced").to_numpy() & (index % 2 == 0)
    sees = np.where(fake & ~missed | ~fake & (index == 3), 0.9, 0.1) + index / 1000
    tables = []
    for (name, seed), probability in zip(DETECTORS, (sees, np.full(len(once), 0.4), sees / 2 + 0.2), strict=True):
        outcome = [OUTCOMES[key] for key in zip(once["label"], probability >= 0.5, strict=True)]
        error = np.abs(probability - once["label"])
        tables.append(
            once.assign(detector=name, seed=seed, probability=probability, outcome=outcome, error=error).drop(
                columns="call"
            )
        )
    table = pd.concat(tables, ignore_index=True)
    wrong = table["outcome"].isin(["miss", "false alarm"]) & (table["detector"] != "soft_vote")
    table["wrong_detectors"] = wrong.groupby(table["path"]).transform("sum")
    held = masks.MaskSet(
        pd.DataFrame({"mask_id": [f"m{number}" for number in range(photographs)]}),
        np.packbits(np.stack([hole.ravel() for hole in holes]), axis=1),
        (size, size),
    )
    state = BrowserState(table, np.stack(pictures), ("sees", 0), held)
    return state, types.SimpleNamespace(manifest=once)


def demo_record(size: int = 32) -> dict[str, object]:
    """What ``demo_page.collect`` returns, for two birds with two holes each and made-up verdicts."""

    def said(number: int) -> list[dict[str, object]]:
        clean, saved = [100 + 13 * number % 80, 500, 300], [900, 500, 700]
        return [{"p": clean, "v": "011"}, {"p": saved, "v": "212"}]

    captions = [["true colour", "this bird has a red crown."], ["another colour", EVIL], ["none", ""]]
    birds, count = [], 0
    for bird in range(2):
        original, holes = photograph(bird, size), []
        for n, kind in enumerate(("centre", "strokes")):
            hole, fills = hole_of(3 + 6 * n, size), {}
            for name in [*(f"tdanet {c} {s}" for c in range(len(captions)) for s in (0, 1)), "telea"]:
                count += 1
                picture = photograph(100 + count, size)
                output = base.splice(original, picture, hole) if name == "telea" else picture
                fills[name] = {"picture": output, "said": {"spliced": said(count), "regenerated": said(500 + count)}}
            coverage = float(hole.mean())
            holes.append(
                {"kind": kind, "hole": hole, "coverage": coverage, "hidden": "crown", "captions": captions,
                 "fills": fills}
            )  # fmt: skip
        species = ("wren", "<i>jay</i>")[bird]
        birds.append({"id": f"b{bird}", "species": species, "picture": original, "said": said(0), "holes": holes})
    bands = [[0.2, 0.8], [-1, 2], [0.25, 0.75]]
    return {
        "size": [size, size], "gain": 4, "run": "made up", "condition": "JPEG 60", "seeds": [0, 1], "held_out": True,
        "bands": bands,
        "detectors": ["sees", "blind", "soft vote"], "verdicts": ["real", "unsure", "inpainted"], "birds": birds,
    }  # fmt: skip
