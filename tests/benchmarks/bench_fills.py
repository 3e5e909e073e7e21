"""What an inpainter's fills are worth on held-out photographs: ``python tests/benchmarks/bench_fills.py RUN NAME``.

RUN is a run with photographs (``python -m nbsupport run --dataset cub --data DATA --profile cub64 --only 1``), NAME an
inpainter, e.g. ``tdanet:cub64-texture``. The middle quarter of test photographs is filled. Prints, with 95 % intervals
over groups: L1 in the hole; ST-LPIPS by VGG16, which no training here has used; the hole's total variation as a share
of the photographs'; what a wrong caption costs; the AUROC of the blur baseline ``local_sharpness`` on spliced fills;
and FID by EfficientNet-Lite0 over all test photographs. `--count` photographs for all but the last; 0: all.
"""

import argparse

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from nbsupport import quality
from nbsupport.core import rng
from nbsupport.core.tensors import to_tensor
from nbsupport.data import index
from nbsupport.detectors.networks import LocalSharpness
from nbsupport.inpainters import create, splice
from nbsupport.runs import Run
from nbsupport.stats.intervals import format_interval


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("name")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    run = Run(asked.run)
    dataset, inpainter = index.load(run), create(asked.name, run)
    everything = rows = dataset.rows("test")
    if 0 < asked.count < len(rows):
        rows = np.sort(rng.generator(asked.seed, "bench fills").choice(rows, asked.count, replace=False))
    eye = quality.Perceptual("st_lpips_vgg")
    table = quality.evaluate(
        dataset, {asked.name: inpainter}, rows, asked.seed, baselines=("telea", "biharmonic"), perceptual=eye
    )
    report = quality.report(table, asked.seed)
    print(f"{report['photographs']} photographs of {report['groups']} groups")
    for method, kinds in report["measures"].items():
        for kind, own in kinds.items():
            variation = own["hole_tv"]["value"] / own["hole_tv_photograph"]["value"]
            print(f"{method:24s} {kind:10s} L1 {format_interval(own['hole_l1'], 4)}, ST-LPIPS (VGG) "
                  f"{format_interval(own[eye.name], 4)}, variation {variation:.3f}", flush=True)  # fmt: skip
    if wrong := report["caption_effect"].get(asked.name, {}).get("mismatched"):
        print(f"a wrong caption costs {format_interval(wrong['hole_l1'], 4)} of L1")
    print(f"blur baseline on spliced fills: AUROC {blur(dataset, inpainter, rows, asked.seed):.3f}", flush=True)
    sets = quality.distances(
        dataset, {asked.name: inpainter}, everything, asked.seed, baselines=(),
        extractor=quality.Extractor("efficientnet_lite0"),
    )  # fmt: skip
    for kind, found in sets[asked.name].items():
        print(f"FID {found['fid']:.1f}, KID {found['kid']:.4f}, {kind}, {found['photographs']} photographs")


def blur(dataset: index.Dataset, inpainter, rows: np.ndarray, seed: int, batch: int = 64) -> float:
    """The AUROC with which the local sharpness of a picture, low or high, tells spliced fills from photographs."""
    images = dataset.cache.batch(rows)
    holes, (captions, _) = (
        quality.centre_holes(len(rows), images.shape[1:3]),
        quality.pick_captions(dataset, rows, seed),
    )
    parts = [slice(start, start + batch) for start in range(0, len(rows), batch)]
    fills = [inpainter.fill(images[p], holes[p], captions[p], seeds=[int(row) for row in rows[p]]) for p in parts]
    network = LocalSharpness(images.shape[1]).eval()
    with torch.inference_mode():
        real, fake = (
            network(to_tensor(pictures)).flatten().numpy()
            for pictures in (images, splice(images, np.concatenate(fills), holes))
        )
    area = roc_auc_score(np.repeat([0, 1], len(rows)), np.r_[real, fake])
    return float(max(area, 1 - area))


if __name__ == "__main__":
    main()
