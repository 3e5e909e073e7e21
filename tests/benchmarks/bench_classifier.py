"""How fast detectors train and score, against the plain way; JSON on standard output.

The plain way is what a first script does: PNG files decoded one by one with PIL in the training process, float32,
weights in NCHW order, an optimiser that is not fused. Ours takes batches from the memory-mapped cache, with
channels_last and the precision that the device supports best. Both train the same network on the same pairs, in turn,
in one process; medians over steps.

Run: ``python tests/benchmarks/bench_classifier.py [--names resnet34 …] [--steps 8] [--threads 2]``.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import binary_cross_entropy_with_logits

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1] / "unit")]

from detector_data import make_pairs  # noqa: E402

from nbsupport import pairs  # noqa: E402
from nbsupport.core import device  # noqa: E402
from nbsupport.detectors import (  # noqa: E402
    classifier,  # noqa: E402
    predict,
    zoo,
)
from nbsupport.detectors.classifier import PairSampler  # noqa: E402
from nbsupport.pairs import files  # noqa: E402
from nbsupport.runs import Run  # noqa: E402

BATCH, PHOTOGRAPHS = 32, 120


def median_rate(step: Callable[[], int], steps: int) -> float:
    """Pictures a second: the median over `steps` calls, after one unmeasured."""
    step()
    rates = []
    for _ in range(steps):
        begin = time.perf_counter()
        count = step()
        rates.append(count / (time.perf_counter() - begin))
    return statistics.median(rates)


def endless(sampler: PairSampler):
    """Batches of one epoch after another."""
    epoch = 0
    while True:
        yield from sampler.epoch(epoch)
        epoch += 1


def ours(made: pairs.Pairs, name: str, size: int) -> Callable[[], int]:
    """One step of the package's own loop."""
    fabric = device.fabric()
    model = device.choose().place(zoo.create(name, "none", size)[0]).train()
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    batches = endless(sampler_of(made))

    def step() -> int:
        batch = next(batches)
        pictures = made.cache[batch.rows]
        pictures[batch.flips] = pictures[batch.flips, :, ::-1]
        classifier.step(model, pictures, batch.labels, optimiser, fabric)
        return len(batch.rows)

    return step


def plain(made: pairs.Pairs, name: str, size: int) -> Callable[[], int]:
    """One step of the plain way."""
    model = zoo.create(name, "none", size)[0].train()
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    batches, paths = endless(sampler_of(made)), made.manifest["path"]

    def step() -> int:
        batch = next(batches)
        pictures = [np.array(Image.open(made.root / paths[row]).convert("RGB")) for row in batch.rows]
        images = torch.stack([torch.from_numpy(p).permute(2, 0, 1).float().contiguous() / 127.5 - 1 for p in pictures])
        loss = binary_cross_entropy_with_logits(model(images), torch.from_numpy(batch.labels))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return len(batch.rows)

    return step


def scoring(made: pairs.Pairs, name: str) -> Callable[[], int]:
    """Scoring of a hundred pictures."""
    place = device.choose()
    model = place.place(zoo.create(name, "none", made.cache.shape[1])[0]).eval()
    return lambda: len(predict.raw_logits(model, made.cache[:100], place))


def sampler_of(made: pairs.Pairs) -> PairSampler:
    """Batches of the training split."""
    training = made.manifest[made.manifest["split"] == "train"]
    return PairSampler(training, ("spliced", "regenerated"), BATCH, 0, 0)


def measure(names: list[str], size: int, steps: int) -> dict[str, object]:
    """Rates of training both ways and of scoring, for each detector, on made-up pairs of `size` pixels."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "bench")
        make_pairs(run, PHOTOGRAPHS, size)
        made = pairs.load(run)
        encoding = files.Encoding.parse("png")
        for path, picture in zip(made.manifest["path"], made.cache, strict=True):
            (run / path).parent.mkdir(parents=True, exist_ok=True)
            (run / path).write_bytes(encoding.encode(picture))
        for name in names:
            steps_of = {
                "train": ours(made, name, size),
                "train_plain": plain(made, name, size),
                "score": scoring(made, name),
            }
            rates = {key: median_rate(step, steps) for key, step in steps_of.items()}
            results[name] = {key: round(rate, 1) for key, rate in rates.items()}
            results[name]["times_faster"] = round(rates["train"] / rates["train_plain"], 2)
    chosen = device.choose()
    return {
        "size": size,
        "batch": BATCH,
        "threads": torch.get_num_threads(),
        "device": str(chosen.device),
        "precision": str(chosen.dtype),
        "images_per_second": results,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", nargs="+", default=["resnet34", "efficientnet_lite0", "residual_net"])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch chooses")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    print(json.dumps(measure(arguments.names, arguments.size, arguments.steps), indent=2))
