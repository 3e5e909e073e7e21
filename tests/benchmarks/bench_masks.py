"""How fast masks are drawn, against the two ways of doing it that are in common use; JSON on standard output.

Both baselines draw each stroke with library calls of its own and pass the picture through PIL:

* ``free_form``: the free-form brush of DeepFill v2 (Yu et al. 2019), as in its public ports: ``PIL.ImageDraw`` draws a
  line for each stroke and one disc at each joint, ``numpy.asarray`` converts.
* ``released``: ``random_irregular_mask`` of TDANet's released code (from PIC, Zheng et al. 2019): one OpenCV call for
  each of 16 to 64 lines, circles and ellipses, then ``PIL.Image`` and a float copy for each of three channels.

Run: ``python tests/benchmarks/bench_masks.py [--size 256] [--repeats 200]``. All in one process and in turn, medians.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from nbsupport import masks  # noqa: E402
from nbsupport.config import MASK_KINDS  # noqa: E402
from nbsupport.core import rng  # noqa: E402

COVERAGE = (0.04, 0.35)


def free_form(size: int, generator: np.random.Generator) -> np.ndarray:
    """DeepFill v2's brush: 1 to 4 strokes of 4 to 12 joints, one ``line`` and many ``ellipse`` calls each."""
    mask = Image.new("L", (size, size), 0)
    draw = ImageDraw.Draw(mask)
    mean_length = math.sqrt(2) * size / 8
    for _ in range(generator.integers(1, 5)):
        angle_range = (2 * math.pi / 5 - generator.uniform(0, 2 * math.pi / 15), 2 * math.pi / 5 + 2 * math.pi / 15)
        points = [tuple(generator.integers(0, size, 2).tolist())]
        for joint in range(generator.integers(4, 13)):
            angle = generator.uniform(*angle_range)
            angle = 2 * math.pi - angle if joint % 2 == 0 else angle
            length = float(np.clip(generator.normal(mean_length, mean_length / 2), 0, 2 * mean_length))
            x = float(np.clip(points[-1][0] + length * math.cos(angle), 0, size))
            y = float(np.clip(points[-1][1] + length * math.sin(angle), 0, size))
            points.append((int(x), int(y)))
        width = int(generator.uniform(12, 40) * size / 256)
        draw.line(points, fill=255, width=width)
        for x, y in points:
            draw.ellipse((x - width // 2, y - width // 2, x + width // 2, y + width // 2), fill=255)
    if generator.random() > 0.5:
        mask = mask.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if generator.random() > 0.5:
        mask = mask.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return np.asarray(mask) > 127


def released(size: int, generator: np.random.Generator) -> np.ndarray:
    """The released TDANet's irregular mask, with a seeded generator in place of the global one."""
    canvas = np.zeros((size, size, 1), np.uint8)
    for _ in range(generator.integers(16, 65)):
        model = generator.random()
        if model < 0.6:
            (x1, y1, x2, y2), thickness = generator.integers(1, size, 4).tolist(), int(generator.integers(4, 21))
            cv2.line(canvas, (x1, y1), (x2, y2), (1, 1, 1), thickness)
        elif model < 0.8:
            (x1, y1), radius = generator.integers(1, size, 2).tolist(), int(generator.integers(4, 21))
            cv2.circle(canvas, (x1, y1), radius, (1, 1, 1), -1)
        else:
            x1, y1, s1, s2 = generator.integers(1, size, 4).tolist()
            a1, a2, a3 = generator.integers(3, 181, 3).tolist()
            thickness = int(generator.integers(4, 21))
            cv2.ellipse(canvas, (x1, y1), (s1, s2), a1, a2, a3, (1, 1, 1), thickness)
    picture = np.asarray(Image.fromarray(canvas.reshape(size, size) * 255), np.float32) / 255
    mask = np.ones((3, size, size), np.float32)
    for channel in range(3):
        mask[channel] = picture < 1
    return mask[0] == 0


def median_rate(function: Callable[[int], object], repeats: int, per_call: int = 1) -> float:
    """Masks a second: the median over `repeats` calls after a few unmeasured ones."""
    for number in range(5):
        function(number)
    times = []
    for number in range(repeats):
        start = time.perf_counter()
        function(number)
        times.append(time.perf_counter() - start)
    return per_call / statistics.median(times)


def measure(size: int, repeats: int) -> dict[str, object]:
    """Rates of baselines and of ours at `size` pixels, and of training batches at 64 pixels."""
    yy, xx = np.mgrid[:size, :size] / size
    object_mask = (xx - 0.5) ** 2 / 0.1 + (yy - 0.55) ** 2 / 0.05 < 1

    def ours(kind: str) -> Callable[[int], np.ndarray]:
        return lambda number: masks.draw(
            kind, size, seed=0, image_id=f"{number:06d}", coverage=COVERAGE, object_mask=object_mask,
            part_xy=(0.4 * size, 0.6 * size),
        )  # fmt: skip

    rates = {
        "baseline free_form": median_rate(lambda n: free_form(size, rng.generator(0, n)), repeats),
        "baseline released": median_rate(lambda n: released(size, rng.generator(0, n)), repeats),
    }
    rates |= {f"draw {kind}": median_rate(ours(kind), repeats) for kind in MASK_KINDS}
    generator = rng.generator(0, "bench")
    rates["sample_batch 64 px"] = median_rate(
        lambda _: masks.sample_batch(generator, 64, 64, COVERAGE, ("centre", "rectangles", "strokes")),
        max(10, repeats // 10), 64,
    )  # fmt: skip
    return {
        "size": size,
        "repeats": repeats,
        "masks_per_second": {name: round(rate) for name, rate in rates.items()},
        "strokes_times_faster": {
            name: round(rates["draw strokes"] / rates[f"baseline {name}"], 2) for name in ("free_form", "released")
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=300)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print(json.dumps(measure(arguments.size, arguments.repeats), indent=2))
