"""How long the evaluation of many detectors takes: all metrics with intervals from 2,000 draws over groups; JSON out.

Run: ``python tests/benchmarks/bench_evaluation.py [--pictures 10000] [--detectors 8] [--draws 2000]``.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from nbsupport.config import EvaluationConfig  # noqa: E402
from nbsupport.evaluation import detector_metrics  # noqa: E402


def score_table(pictures: int, detectors: int) -> pd.DataFrame:
    """Made-up scores: half photographs, half fakes, groups of one to three photographs, one fake arm."""
    generator = np.random.default_rng(0)
    photographs = pictures // 2
    groups = np.repeat(np.arange(photographs), generator.integers(1, 4, photographs))[:photographs]
    image = np.tile(np.arange(photographs), 2)
    label = np.repeat([0, 1], photographs)
    parts = []
    for number in range(detectors):
        logit = generator.normal(label * (0.5 + number / 4), 1.0)
        parts.append(
            pd.DataFrame(
                {"image_id": image, "group": groups[image], "label": label, "logit": logit,
                 "probability": 1 / (1 + np.exp(-logit)), "detector": f"d{number}", "seed": 0, "split": "test",
                 "arm": np.where(label == 1, "spliced", "original"), "path": np.arange(len(label))}
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--detectors", type=int, default=8)
    parser.add_argument("--draws", type=int, default=2000)
    arguments = parser.parse_args()
    table = score_table(arguments.pictures, arguments.detectors)
    seconds = {}
    for name, work in (
        ("metrics", lambda: detector_metrics.metric_table(table, EvaluationConfig(draws=arguments.draws))),
        ("pairwise_tests", lambda: detector_metrics.pairwise(table)),
    ):
        start = time.perf_counter()
        made = work()
        seconds[name] = round(time.perf_counter() - start, 2)
        seconds[f"{name}_records"] = len(made)
    print(json.dumps(vars(arguments) | {"seconds": seconds}, indent=2))
