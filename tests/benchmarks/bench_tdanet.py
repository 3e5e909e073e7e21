"""Time of a training step and of a fill: ``python tests/benchmarks/bench_tdanet.py`` prints one JSON object.

A step is the whole one: both paths, both discriminators, matching loss, optimisers. Medians over the repeats; the data
are random numbers, since no time depends on them.
"""

import argparse
import json
import resource
import statistics
import time

import numpy as np
import torch

from nbsupport.config import TDANetConfig, TrainingConfig
from nbsupport.inpainters import TDANetInpainter
from nbsupport.tdanet.layers import seeded
from nbsupport.tdanet.model import create
from nbsupport.training import device, matching, tdanet
from nbsupport.training.batches import Batch


class Words:
    """Stands in for a vocabulary: every caption is the same fifteen words."""

    def encode(self, texts, length):
        return np.full((len(texts), length), 2), np.full(len(texts), min(15, length))


def median_seconds(work, repeats: int, place: device.Device) -> float:
    times = []
    for _ in range(repeats + 2):  # the first two warm caches up
        start = time.perf_counter()
        work()
        if place.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--base-channels", type=int, default=16)
    parser.add_argument("--latent-channels", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=8)
    options = parser.parse_args()
    sizes = {"base_channels": options.base_channels, "latent_channels": options.latent_channels}
    place = device.choose("auto")
    with seeded(0):
        matcher = matching.Matcher(matching.MatchingWeights(vocabulary_size=500, image_channels=16))
    config = TrainingConfig(batch_size=options.batch, **sizes)
    model = create(TDANetConfig(image_size=options.size, vocabulary_size=500, **sizes), 0)
    trainer = tdanet.Trainer(model, matcher, config, place)
    draw = np.random.default_rng(0)
    shape = (options.batch, options.size, options.size)
    pictures = draw.integers(0, 256, (*shape, 3), dtype=np.uint8)
    holes = np.zeros(shape, bool)
    holes[:, options.size // 4 : -options.size // 4, options.size // 4 : -options.size // 4] = True
    tokens, lengths = (torch.from_numpy(part).to(place.device) for part in Words().encode([""] * options.batch, 18))
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(place.device).float() / 127.5 - 1
    batch = Batch(np.arange(options.batch), images, torch.from_numpy(holes)[:, None].to(place.device), tokens, lengths)
    step = median_seconds(lambda: trainer.train_step(batch), options.repeats, place)
    painter = TDANetInpainter(model, Words())
    captions, seeds = [""] * options.batch, range(options.batch)
    fill = median_seconds(lambda: painter.fill(pictures, holes, captions, seeds=seeds), options.repeats, place)
    report = {
        **vars(options),
        "device": str(place.device),
        "precision": place.why,
        "threads": torch.get_num_threads(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "step_seconds": round(step, 4),
        "train_images_per_second": round(options.batch / step, 1),
        "fill_images_per_second": round(options.batch / fill, 1),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
