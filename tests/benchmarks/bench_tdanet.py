"""A training step and a fill of TDANet: how fast, against a plain float32 NCHW step, and against the machine's peak.

``python tests/benchmarks/bench_tdanet.py --size 128 --batch 16`` prints one JSON object. A step is the whole one: both
paths on every picture, both discriminators, matching loss, optimisers, moving average. The chosen way (the precision
that the device supports, channels_last) and the plain way (the same modules in float32, NCHW) take turns, so that both
see the same machine; medians over the repeats. The data are random numbers, since no time depends on them. The peak is
measured with one large convolution. Shares of time come from PyTorch's profiler.
"""

import argparse
import json
import os
import resource
import statistics
import time

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from nbsupport.config import TDANetConfig, TrainingConfig
from nbsupport.core import device
from nbsupport.core.rng import seeded
from nbsupport.inpainters.tdanet import TDANetInpainter
from nbsupport.tdanet import damsm
from nbsupport.tdanet.model import create
from nbsupport.training.batches import Batch
from nbsupport.training.step import Trainer

KINDS = {"convolution": "convolution", "norm": "normalisation", "mm": "matrix products", "leaky_relu": "activation"}


class Words:
    """Stands in for a vocabulary: every caption is the same fifteen words."""

    def encode(self, texts, length):
        return np.full((len(texts), length), 2), np.full(len(texts), min(15, length))


def seconds(work) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def alternate(works: dict, repeats: int) -> dict[str, float]:
    """Median seconds of each of `works`, run in turns; the first two rounds warm caches up."""
    times = [{name: seconds(work) for name, work in works.items()} for _ in range(repeats + 2)][2:]
    return {name: statistics.median(round_[name] for round_ in times) for name in works}


def peak_gflops(place: device.Device, channels: int = 128, size: int = 32) -> float:
    """GFLOP/s of a 3x3 convolution of 128 channels, the best of ten, in the chosen precision and layout."""
    layer = place.place(nn.Conv2d(channels, channels, 3, padding=1))
    images = torch.randn(32, channels, size, size).to(place.device, memory_format=torch.channels_last)

    def work():
        with torch.no_grad(), place.autocast():
            layer(images)

    best = min(seconds(work) for _ in range(12))
    return 2 * 9 * channels**2 * size**2 * 32 / best / 1e9


def plain_layout(trainer: Trainer) -> Trainer:
    for module in (trainer.model, trainer.adversary, trainer.matcher):
        module.to(memory_format=torch.contiguous_format)
    return trainer


def shares(work) -> dict[str, float]:
    """Which share of a step's own CPU time goes where."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        work()
    events = profiler.key_averages()
    whole = sum(event.self_cpu_time_total for event in events)
    found = dict.fromkeys([*KINDS.values(), "other"], 0.0)
    for event in events:
        kind = next((name for key, name in KINDS.items() if key in event.key), "other")
        found[kind] += event.self_cpu_time_total / whole
    return {name: round(share, 3) for name, share in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--fill-batch", type=int, default=16)
    parser.add_argument("--base-channels", type=int, default=32)
    parser.add_argument("--latent-channels", type=int, default=64)
    parser.add_argument("--auxiliary-share", type=float, default=1.0)
    parser.add_argument("--preset", default="repaired")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    sizes = {"base_channels": options.base_channels, "latent_channels": options.latent_channels}
    config = TrainingConfig(
        batch_size=options.batch, auxiliary_share=options.auxiliary_share, preset=options.preset, **sizes
    )
    place = device.choose("auto")

    def trainer(precision: str) -> Trainer:
        with seeded(0):
            matcher = damsm.Matcher(damsm.MatchingWeights(vocabulary_size=500, image_channels=16))
        network = TDANetConfig(image_size=options.size, vocabulary_size=500, preset=options.preset, **sizes)
        return Trainer(create(network, 0), matcher, config, device.fabric(precision))

    chosen, plain = trainer("auto"), plain_layout(trainer("float32"))
    draw = np.random.default_rng(0)
    shape = (options.batch, options.size, options.size)
    pictures = draw.integers(0, 256, (*shape, 3), dtype=np.uint8)
    holes = np.zeros(shape, bool)
    holes[:, options.size // 4 : -options.size // 4, options.size // 4 : -options.size // 4] = True
    tokens, lengths = (torch.from_numpy(part).to(place.device) for part in Words().encode([""] * options.batch, 18))

    def batch(layout: torch.memory_format) -> Batch:
        images = (torch.from_numpy(pictures).permute(0, 3, 1, 2).to(place.device).float() / 127.5 - 1).contiguous(
            memory_format=layout
        )
        masks = torch.from_numpy(holes)[:, None].to(place.device)
        return Batch(np.arange(options.batch), images, masks, tokens, lengths, np.zeros(options.batch, bool))

    quick, slow = batch(torch.channels_last), batch(torch.contiguous_format)
    step = alternate(
        {"chosen": lambda: chosen.train_step(quick), "plain": lambda: plain.train_step(slow)}, options.repeats
    )
    with FlopCounterMode(display=False) as counter:
        chosen.train_step(quick)
    step_gflop = counter.get_total_flops() / 1e9
    painter = TDANetInpainter(chosen.model, Words())
    many = np.resize(pictures, (options.fill_batch, *pictures.shape[1:]))
    where = np.resize(holes, many.shape[:3])
    captions, seeds = [""] * options.fill_batch, range(options.fill_batch)

    def fill():
        painter.fill(many, where, captions, seeds=seeds)

    filling = alternate({"fill": fill}, options.repeats)["fill"]
    noise = torch.zeros((options.batch, *chosen.model.latent_shape(options.size, options.size)), device=place.device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():  # it cannot count in inference mode
        chosen.model(quick.images, quick.holes, tokens, lengths, noise)
    fill_gflop, peak = counter.get_total_flops() / 1e9 / options.batch, peak_gflops(place)
    chosen.model.train()
    report = {
        **vars(options),
        "device": str(place.device),
        "precision": place.why,
        "threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
        "parameters": sum(parameter.numel() for parameter in chosen.model.parameters()),
        "peak_gflops": round(peak, 1),
        "step_seconds": round(step["chosen"], 4),
        "step_seconds_plain_float32_nchw": round(step["plain"], 4),
        "times_faster": round(step["plain"] / step["chosen"], 2),
        "train_images_per_second": round(options.batch / step["chosen"], 1),
        "step_gflop": round(step_gflop, 1),
        "step_share_of_peak": round(step_gflop / step["chosen"] / peak, 3),
        "fill_images_per_second": round(options.fill_batch / filling, 1),
        "fill_gflop_per_image": round(fill_gflop, 2),
        "fill_share_of_peak": round(fill_gflop * options.fill_batch / filling / peak, 3),
        "step_time_shares": shares(lambda: chosen.train_step(quick)),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
