"""How many synthetic birds a second are drawn and written (JPEG, segmentation, captions, tables).

python tests/benchmarks/bench_synthetic.py --count 1000 --size 96
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from nbsupport.data import synthetic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--size", type=int, default=96)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        synthetic.write(Path(folder) / "birds", options.count, size=options.size)
        seconds = time.perf_counter() - start
    result = {"birds": options.count, "size": options.size, "seconds": round(seconds, 2),
              "birds_per_second": round(options.count / seconds, 1)}  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
