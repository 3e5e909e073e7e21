"""How often untouched photographs are called inpainted: ``python tests/benchmarks/bench_detect.py FOLDER … [--run R]``.

Of each folder `count` photographs are drawn, and judged as they are, cut to the largest square and enlarged (a quarter
of its size made large again, 1,024 pixels). Prints the number of verdicts of each kind. Then what tiles of the
network's size at the photograph's own scale would do, which are no part of a verdict: the share of them that the
detectors know as pictures of their kind, and of the photographs with a known tile that would be called inpainted.
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from nbsupport.book import status
from nbsupport.core import images
from nbsupport.detectors import inspection


def main() -> None:
    """Draw, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--run")
    parser.add_argument("--packaged", default="cub64")
    parser.add_argument("--count", type=int, default=100)
    asked = parser.parse_args()
    inspector = inspection.Inspector.of_package(asked.packaged)
    if asked.run:
        inspector = inspection.Inspector.of_run(status.open_existing(asked.run))
    print(f"{inspector.title}; kind known: {inspector.kind is not None}")
    for folder in asked.folders:
        files = list(inspection.find_files([folder]))
        files = np.random.default_rng(0).permutation(np.array(files, dtype=object))[: asked.count]
        counts: dict[str, Counter] = {"untouched": Counter(), "square": Counter(), "enlarged": Counter()}
        with tempfile.TemporaryDirectory() as place:
            for path in files:
                counts["untouched"][inspector.inspect(path, heat=False).verdict] += 1
                image = Image.fromarray(images.read_image(path))
                side = min(image.size)
                square = image.crop((0, 0, side, side))
                small = square.resize((side // 8, side // 8), Image.Resampling.BICUBIC)
                for name, made in (("square", square), ("enlarged", small.resize((1024, 1024), 3))):
                    target = Path(place) / f"{name}.png"
                    made.save(target)
                    counts[name][inspector.inspect(target, heat=False).verdict] += 1
        for name, found in counts.items():
            print(f"{folder.name:24s} {name:10s} {dict(found)}", flush=True)
        known, called = tiles(inspector, files)
        print(
            f"{folder.name:24s} tiles      known {known:.0%}, with a known one called inpainted {called:.0%}",
            flush=True,
        )


def tiles(inspector: inspection.Inspector, files: np.ndarray, most: int = 48) -> tuple[float, float]:
    """Mean share of known tiles, and share of photographs with a known tile of the verdict "inpainted"."""
    shares, called, side = [], [], inspector.size
    band = inspector.bands[inspector.voice]
    for path in files:
        picture = images.read_image(path)
        height, width = picture.shape[:2]
        corners = [(y, x) for y in range(0, height - side + 1, side) for x in range(0, width - side + 1, side)][:most]
        if inspector.kind is None or not corners:
            continue
        cut = np.stack([picture[y : y + side, x : x + side] for y, x in corners])
        known = inspector.kind.knows(inspector.trained, cut)
        told = inspector.probabilities(cut)[inspector.voice][known]
        shares.append(known.mean())
        called.append(any(band.verdict(float(value)) == "inpainted" for value in told))
    return (float(np.mean(shares)), float(np.mean(called))) if shares else (float("nan"), float("nan"))


if __name__ == "__main__":
    main()
