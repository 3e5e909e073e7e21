"""How long the error browser takes to answer a filter and show the first page of small pictures; JSON out.

A made-up table, with noise as pictures. Run:
``python tests/benchmarks/bench_browser.py [--pictures 12000] [--detectors 8] [--size 64] [--repeats 5]``.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from nbsupport.demo.browser import ErrorBrowser  # noqa: E402
from nbsupport.demo.browser_state import BrowserState  # noqa: E402
from nbsupport.evaluation.error_analysis import OUTCOMES  # noqa: E402

LIMIT = 0.3  # seconds
ARMS = ("original", "regenerated", "spliced")


def error_table(pictures: int, detectors: int) -> pd.DataFrame:
    """Made-up judgements with the columns of ``errors.parquet`` that the browser reads."""
    draw = np.random.default_rng(0)
    number = np.arange(pictures)
    once = pd.DataFrame(
        {"number": number, "path": [f"pairs/{n:06d}.png" for n in number], "image_id": [f"b{n // 3}" for n in number],
         "group": number // 3, "arm": np.array(ARMS)[number % 3], "label": (number % 3 > 0).astype(int),
         "mask_kind": draw.choice(["centre", "part", "object"], pictures), "mask_id": "m",
         "part": draw.choice(["crown", "belly", "tail"], pictures), "coverage": draw.uniform(0.02, 0.5, pictures),
         "species": draw.choice([f"species {n}" for n in range(200)], pictures), "hole_l1": draw.uniform(size=pictures),
         "caption": "a small bird with a red crown", "inpainter": np.where(number % 3 > 0, "tdanet", "")}
    )  # fmt: skip
    parts = []
    for detector in range(detectors):
        probability = draw.uniform(size=pictures)
        outcome = [OUTCOMES[key] for key in zip(once["label"], probability >= 0.5, strict=True)]
        error = (probability - once["label"]).abs()
        parts.append(
            once.assign(detector=f"d{detector}", seed=0, probability=probability, outcome=outcome, error=error)
        )
    table = pd.concat(parts, ignore_index=True)
    wrong = table["outcome"].isin(["miss", "false alarm"])
    return table.assign(wrong_detectors=wrong.groupby(table["path"]).transform("sum"))


def measure(pictures: int, detectors: int, size: int, repeats: int) -> dict[str, object]:
    """Seconds of each filter: the callback from the change of a control to the last small picture."""
    draw = np.random.default_rng(1)
    images = draw.integers(0, 256, (pictures, size, size, 3), dtype=np.uint8)
    begin = time.perf_counter()
    browser = ErrorBrowser(BrowserState(error_table(pictures, detectors), images, ("d0", 0)))
    opened = time.perf_counter() - begin
    changes = {
        "detector": lambda turn: setattr(browser.detector, "value", (f"d{1 + turn % (detectors - 1)}", 0)),
        "outcome": lambda turn: setattr(browser.choices["outcome"], "value", ("miss", "found")[turn % 2]),
        "species": lambda turn: setattr(browser.choices["species"], "value", f"species {turn}"),
        "reset": lambda turn: browser.reset.click(),
        "coverage": lambda turn: setattr(browser.ranges["coverage"], "value", (0.1, 0.3 + turn / 100)),
        "wrong": lambda turn: setattr(browser.ranges["wrong"], "value", (2, 3 + turn % (detectors - 3))),
        "probability": lambda turn: setattr(browser.ranges["probability"], "value", (0.0, 0.4 + turn / 100)),
        "sort": lambda turn: setattr(browser.sort, "value", browser.sort.options[1 + turn % 5]),
        "next page": lambda turn: browser.next.click(),
        "look": lambda turn: browser.look(turn),
    }
    taken: dict[str, list[float]] = {name: [] for name in changes}
    for turn in range(repeats):
        for name, change in changes.items():
            begin = time.perf_counter()
            change(turn)
            taken[name].append(time.perf_counter() - begin)
    seconds = {name: round(statistics.median(values), 4) for name, values in taken.items()}
    worst = max(max(values) for name, values in taken.items() if name != "look")
    return {"seconds": seconds, "open": round(opened, 3), "slowest_filter": round(worst, 4), "limit": LIMIT}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("pictures", 12_000), ("detectors", 8), ("size", 64), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    result = measure(**vars(arguments))
    print(json.dumps(vars(arguments) | result, indent=2))
    sys.exit(result["slowest_filter"] > LIMIT)
