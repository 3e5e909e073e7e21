"""A paired set of a run without a network: noise photographs whose fakes are smooth, in the hole or everywhere."""

import cv2
import numpy as np
import pandas as pd

from nbsupport.config import MaskConfig, PairsConfig
from nbsupport.core import rng
from nbsupport.core.files import atomic_path
from nbsupport.pairs import COLUMNS
from nbsupport.pairs.store import CACHE, MANIFEST
from nbsupport.runs import Run

ARMS = ("original", "regenerated", "spliced")


def photograph(number: int, size: int) -> np.ndarray:
    """Coarse colours under fine grain, (size, size, 3) uint8."""
    generator = rng.generator(0, "photograph", number)
    coarse = cv2.resize(generator.uniform(60, 190, (4, 4, 3)), (size, size), interpolation=cv2.INTER_CUBIC)
    return (coarse + generator.normal(0, 18, (size, size, 3))).clip(0, 255).astype(np.uint8)


def arms_of(number: int, size: int) -> dict[str, np.ndarray]:
    """The three arms of one photograph; the hole is the middle half of both sides."""
    original = photograph(number, size)
    smooth = cv2.GaussianBlur(original, (0, 0), 2)
    spliced, hole = original.copy(), slice(size // 4, 3 * size // 4)
    spliced[hole, hole] = smooth[hole, hole]
    return {"original": original, "regenerated": smooth, "spliced": spliced}


def make_masks(run: Run, photographs: int = 40, size: int = 32) -> None:
    """Write the stage "masks" that goes with :func:`make_pairs`: the middle half of both sides of every photograph."""
    hole = np.zeros((size, size), bool)
    hole[size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = True
    ids = [f"p{number:03d}" for number in range(photographs)]
    table = pd.DataFrame({"mask_id": [f"{i}__centre" for i in ids], "row": range(photographs), "image_id": ids})
    with run.stage("masks", MaskConfig()) as stage:
        np.save(run / "masks.npy", np.packbits(np.stack([hole.ravel()] * photographs), axis=1))
        table.assign(kind="centre", coverage=0.25, part="", fallback=False, seed=0).to_parquet(run / "masks.parquet")
        stage.outputs("masks.npy", "masks.parquet")
        stage.note(shape=(size, size))


def make_pairs(run: Run, photographs: int = 40, size: int = 32, learnable: bool = True) -> pd.DataFrame:
    """Write the stage "pairs" into a run. Not `learnable`: all arms are the photograph itself."""
    records, pictures = [], []
    for number in range(photographs):
        split = ("train", "train", "train", "validation", "test")[number % 5]
        made = arms_of(number, size)
        for arm in ARMS:
            pictures.append(made[arm if learnable else "original"])
            records.append(
                {
                    "image_id": f"p{number:03d}",
                    "group": number // 10 * 5 + number % 5,  # two photographs of one split in each
                    "split": split,
                    "label": "real" if arm == "original" else "fake",
                    "arm": arm,
                    "inpainter": "" if arm == "original" else "blur",
                    "mask_kind": "centre",
                    "coverage": 0.25,
                    "mask_id": f"p{number:03d}__centre",
                    "path": f"pairs/images/{arm}/p{number:03d}.png",
                    "row": number,
                }
            )
    manifest = pd.DataFrame(records).reindex(columns=list(COLUMNS))
    stage = run.stage("pairs", PairsConfig(count=photographs))
    with stage:
        (run / "pairs").mkdir(exist_ok=True)
        np.save(run / CACHE, np.stack(pictures))
        with atomic_path(run / MANIFEST) as temporary:
            manifest.to_parquet(temporary)
        stage.outputs(MANIFEST, CACHE)
    return manifest
