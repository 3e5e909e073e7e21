"""The paired set at scale: rates, bytes and memory; a million rows planned; twenty kills.

``python tests/benchmarks/bench_pairs.py rates --images 1000 10000 50000`` makes sets of synthetic birds by a TDANet of
the real size (its weights do not change the time) and prints one JSON object; each set is made by a fresh process, so
that its memory is its own. ``simulate`` plans, shards and samples a manifest of a million rows, no pixels. ``kills``
makes a set once in peace and once more with a process that is killed at random moments, and compares every byte.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from nbsupport import masks, pairs
from nbsupport.book import recipe
from nbsupport.config import DataConfig, MaskConfig, PairsConfig
from nbsupport.pairs import generation, planning
from nbsupport.pairs.store import Pairs
from nbsupport.runs import Run

TRIPLE = ("original", "regenerated", "spliced")


def prepare(run: Run, photographs: int, size: int, base: int) -> None:
    """Stages index, masks and tdanet; the network is trained for one step, since its weights change no time."""
    network = {"steps": 1, "batch_size": 4, "base_channels": base, "latent_channels": 32, "weight_adversarial": 0.0}
    matching = {f"matching_{key}": value for key, value in {"steps": 1, "batch_size": 8, "image_channels": 16}.items()}
    chapters = {
        1: DataConfig(dataset="synthetic", count=photographs, image_size=size).to_mapping(),
        4: {"seed": 0, **network, **matching},
    }
    recipe.train(run, chapters)
    masks.make(run, MaskConfig(kinds=("centre", "rectangles", "strokes")))


def config_of(images: int, arms: tuple[str, ...]) -> PairsConfig:
    return PairsConfig(kinds=("centre", "rectangles", "strokes"), arms=arms, count=max(3, images // len(arms)))


def make_one(folder: str, images: int, arms: tuple[str, ...], workers: int | None) -> dict[str, object]:
    """Make a set in this process and tell what it took."""
    run = Run(folder)
    start = time.perf_counter()
    made = pairs.make(run, config_of(images, arms), workers)
    seconds, result = time.perf_counter() - start, run.result("pairs")
    return {
        "images": len(made),
        "fills": result["fills"],
        "arms": len(arms),
        "seconds_making": round(result["seconds"], 2),
        "seconds_with_plan_and_verification": round(seconds, 2),
        "images_per_second": round(len(made) / result["seconds"], 1),
        "fills_per_second": round(result["fills"] / result["seconds"], 1),
        "share_fill": round(result["seconds_fill"] / (result["seconds_fill"] + result["seconds_encode"]
                            + result["seconds_write"]), 3),
        "bytes": result["bytes"],
        "bytes_per_image": round(result["bytes_per_file"], 1),
        "peak_mb_main": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "peak_mb_worker": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
        "checks_passed": result["checks_passed"],
    }  # fmt: skip


def rates(options: argparse.Namespace) -> list[dict[str, object]]:
    told = []
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "bench")
        prepare(run, max(options.images) // len(options.arms), options.size, options.base_channels)
        for images in options.images:
            command = [
                sys.executable,
                __file__,
                "one",
                str(run.path),
                str(images),
                ",".join(options.arms),
            ]
            command += [str(options.workers)] if options.workers else []
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            told.append(json.loads(done.stdout.splitlines()[-1]))
            print(json.dumps(told[-1]), file=sys.stderr)
    return told


def simulate(rows: int) -> dict[str, object]:
    """Plan, shard and sample `rows` rows of six arms; no pixel is made."""
    count = -(-rows // len(planning.ARMS))
    kinds = ("centre", "rectangles", "strokes", "object", "part")
    draw = np.random.default_rng(0)
    ids = [f"Simulated_{n:08d}" for n in range(count)]
    index = pd.DataFrame(
        {
            "image_id": ids,
            "group": np.arange(count) // 2,
            "split": np.array(["train", "train", "train", "validation", "test"])[np.arange(count) // 2 % 5],
        }
    )
    index["captions"] = [[f"a bird with a wing of colour {n % 97}"] for n in range(count)]
    table = pd.DataFrame(
        {
            "mask_id": [f"{image_id}__{kind}" for image_id in ids for kind in kinds],
            "row": np.repeat(np.arange(count), len(kinds)),
            "kind": np.tile(kinds, count),
            "coverage": draw.uniform(0.04, 0.35, count * len(kinds)),
        }
    )
    times = {}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        config = PairsConfig(kinds=kinds)
        manifest = pairs.plan(index, table, config)
        times["plan"] = time.perf_counter() - start
        start = time.perf_counter()
        edges = generation.write_plan(Path(folder), manifest)
        assert (
            len(generation.read_planned(Path(folder), len(edges) // 2))
            == edges[len(edges) // 2 + 1] - edges[len(edges) // 2]
        )
        times["shard"] = time.perf_counter() - start
        start = time.perf_counter()
        sizes = [len(Pairs(Path(folder), manifest, config).sample(size)) for size in (2_000, 4_000, 13_000, 100_000)]
        times["sample"] = time.perf_counter() - start
        megabytes = (Path(folder) / generation.PLAN).stat().st_size / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "rows": len(manifest),
        "shards": len(edges) - 1,
        "sampled": sizes,
        "seconds": {name: round(value, 2) for name, value in times.items()},
        "seconds_in_all": round(sum(times.values()), 2),
        "plan_megabytes": round(megabytes, 1),
        "peak_mb": round(peak),
    }


def digest(run: Run) -> dict[str, str]:
    """Hash of every file of a finished set, and of its manifest's rows."""
    files = [path for path in sorted((run / "pairs").rglob("*")) if path.is_file() and path.suffix != ".json"]
    kept = {path.relative_to(run.path).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return {name: value for name, value in kept.items() if "records" not in name}


def kills(options: argparse.Namespace) -> dict[str, object]:
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "bench")
        prepare(run, options.images // len(planning.ARMS), options.size, options.base_channels)
        command = [
            sys.executable,
            __file__,
            "one",
            str(run.path),
            str(options.images),
            ",".join(planning.ARMS),
            "files",
        ]
        command += [str(options.workers)] if options.workers else []
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        whole = digest(run)
        (run / "stages/pairs.json").unlink()
        pairs.store.clear(run)
        killed = []
        while len(killed) < options.kills:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            before = len(list((run / "pairs/records").glob("*.parquet")))
            if draw.random() < 0.75:  # in the midst of the making: some time after a new shard is whole
                while process.poll() is None and len(list((run / "pairs/records").glob("*.parquet"))) <= before:
                    time.sleep(0.05)
                time.sleep(draw.uniform(0.0, 3.0))
            else:  # anywhere, the start included
                time.sleep(draw.uniform(0.5, 12.0))
            if process.poll() is not None:
                break  # finished before the next kill
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            time.sleep(1.5)  # its workers notice and end
            killed.append(len(list((run / "pairs/records").glob("*.parquet"))))
            print(f"kill {len(killed)}: {killed[-1]} shards whole", file=sys.stderr)
            if killed[-1] and draw.random() < options.lose:  # so that twenty kills find something to interrupt
                for record in sorted((run / "pairs/records").glob("*.parquet"))[::2]:
                    record.unlink()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        again = digest(run)
    return {
        "kills": len(killed),
        "whole_shards_after_each": killed,
        "files": len(whole),
        "identical": again == whole,
        "differing": sorted(set(whole.items()) ^ set(again.items()))[:5],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_subparsers(dest="what", required=True)
    for name in ("rates", "kills"):
        sub = what.add_parser(name)
        sub.add_argument("--size", type=int, default=64)
        sub.add_argument("--base-channels", type=int, default=16)
        sub.add_argument("--workers", type=int)
        if name == "rates":
            sub.add_argument("--images", type=int, nargs="+", default=[1000, 10_000])
            sub.add_argument("--arms", nargs="+", default=list(planning.ARMS))
        else:
            sub.add_argument("--images", type=int, default=3000)
            sub.add_argument("--kills", type=int, default=20)
            sub.add_argument("--seed", type=int, default=0)
            sub.add_argument(
                "--lose", type=float, default=0.5, help="chance of forgetting half the shards after a kill"
            )
    what.add_parser("simulate").add_argument("--rows", type=int, default=1_000_000)
    one = what.add_parser("one")
    for name in ("folder", "images", "arms"):
        one.add_argument(name)
    one.add_argument("workers", nargs="?")
    options = parser.parse_args()
    if options.what == "rates":
        print(json.dumps(rates(options), indent=2))
    elif options.what == "simulate":
        print(json.dumps(simulate(options.rows), indent=2))
    elif options.what == "kills":
        print(json.dumps(kills(options), indent=2))
    else:
        workers = int(options.workers) if options.workers else None
        arms = tuple(options.arms.split(","))
        print(json.dumps(make_one(options.folder, int(options.images), arms, workers)))


if __name__ == "__main__":
    main()
