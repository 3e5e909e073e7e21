"""How fast photographs are indexed and cached pictures read; JSON on standard output.

* ``index``: the work of the stage for each file (read, checksum, decode, perceptual hash, resize to the cache), and the
  whole stage from an empty run folder, listing, grouping, splitting and vocabulary included.
* ``batches``: random batches from the memory-mapped cache, as a training loop asks for them.

Run: ``python tests/benchmarks/bench_data.py --data PATH [--dataset cub] [--count 0] [--size 64]``.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from nbsupport.config import DataConfig  # noqa: E402
from nbsupport.data import ingest  # noqa: E402
from nbsupport.runs import Run  # noqa: E402


def cached_batches(cache, batch_size: int, seconds: float) -> float:
    """Pictures a second over random batches, the first pass through the file left out."""
    generator = np.random.default_rng(0)
    cache.batch(np.arange(len(cache)))
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        cache.batch(generator.integers(0, len(cache), batch_size))
        done += batch_size
    return done / (time.perf_counter() - start)


def main() -> None:
    from nbsupport.data import index  # here: worker processes import this file too, and need no tables

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the data set's folder or its parent")
    parser.add_argument("--dataset", default="cub")
    parser.add_argument("--count", type=int, default=0, help="photographs to use, 0: all")
    parser.add_argument("--size", type=int, default=64)
    arguments = parser.parse_args()
    config = DataConfig(
        dataset=arguments.dataset, data=str(arguments.data), count=arguments.count, image_size=arguments.size
    )
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "bench")
        start = time.perf_counter()
        dataset = index.prepare(run, config)
        whole = time.perf_counter() - start
        notes = run.record("index")["notes"]
        found = {
            "cores": ingest.workers_available(),
            "load_average": os.getloadavg()[0],
            "photographs": len(dataset),
            "rejected": len(dataset.rejected),
            "index_photographs_per_second": notes["photographs_per_second"],
            "stage_photographs_per_second": round(notes["chosen"] / whole, 1),
            "stage_seconds": round(whole, 2),
            "cached_images_per_second": {n: round(cached_batches(dataset.cache, n, 2.0)) for n in (32, 256)},
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
