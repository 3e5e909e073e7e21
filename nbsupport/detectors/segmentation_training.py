"""Training of the segmentation network: photographs with an empty mask, fakes with their hole, a few hundred steps.

The weights that are kept are those with the smallest loss on the validation split. Every batch is a pure function of
the seed and the number of the step. Not here: the network (``detectors.segmentation``), what its maps are worth
(``evaluation.localization``).
"""

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional
from tqdm.auto import tqdm

from nbsupport import masks as masks_of
from nbsupport import pairs as pairs_of
from nbsupport.config import SegmentationConfig
from nbsupport.core import checkpoints, device, rng
from nbsupport.core.errors import UserError
from nbsupport.core.rng import seeded
from nbsupport.detectors import segmentation
from nbsupport.detectors.predict import to_tensor
from nbsupport.masks import MaskSet
from nbsupport.pairs import Pairs
from nbsupport.runs import Run

_MOST = 256  # validation pictures of which the loss is taken
_TOGETHER = 64


def holes_of(manifest: pd.DataFrame, holes: MaskSet) -> np.ndarray:
    """The hole of each manifest row: (N, H, W) bool, True = hole; empty for rows of photographs."""
    found = holes.by_id(manifest["mask_id"])
    found[(manifest["label"] == "real").to_numpy()] = False
    return found


def pictures_of(manifest: pd.DataFrame, split: str, config: SegmentationConfig, inpainters: list[str]) -> pd.DataFrame:
    """The manifest rows of a split to learn from: photographs and fakes of the configured arms and `inpainters`.

    Raises:
        UserError: one of the two kinds is missing.
    """
    chosen = pairs_of.classes(manifest, config.fake_arms, (split,), inpainters)
    if chosen["label"].nunique() < 2:
        raise UserError(
            f"The split '{split}' holds no photographs or no fakes of the arms {', '.join(config.fake_arms)} to learn "
            "holes from. Make more pairs in chapter 5."
        )
    return chosen


def make(run: Run, config: SegmentationConfig) -> nn.Module:
    """The stage "segmentation": train, or load what was trained; returns the network in evaluation mode.

    Raises:
        MissingStage: chapter 6 has not run. UserError: a split holds nothing to learn from.
    """
    stage = run.stage("segmentation", config, needs=("detectors",))
    if stage.finished:
        return segmentation.load(run)
    painters = list(run.require("detectors")["config"].get("inpainters") or ())
    with stage:
        weights, notes = train(pairs_of.load(run), masks_of.load(run), config, painters)
        path = segmentation.checkpoint(run, config.seed)
        checkpoints.save_weights(path, weights, config)
        stage.outputs(path, path.with_suffix(".json"))
        stage.note(**notes)
    return segmentation.load(run)


def train(
    paired: Pairs, holes: MaskSet, config: SegmentationConfig, inpainters: list[str]
) -> tuple[dict[str, torch.Tensor], dict]:
    """Train on the training split; returns the best weights, and ``{best_step, loss, first_loss}`` of validation."""
    rows = pictures_of(paired.manifest, "train", config, inpainters)
    held_out = pictures_of(paired.manifest, "validation", config, inpainters)
    order = rng.generator(config.seed, "segmentation validation").permutation(len(held_out))[:_MOST]
    held_out = held_out.iloc[np.sort(order)]
    targets, wanted = holes_of(rows, holes), holes_of(held_out, holes)
    numbers, place = rows.index.to_numpy(), device.choose("float32").device
    arms = {arm: np.flatnonzero(rows["arm"] == arm) for arm in sorted(set(rows["arm"]))}
    with seeded(config.seed, "segmentation"):
        model = segmentation.SegmentationNet(config.channels).to(place)
    optimiser = torch.optim.AdamW(model.parameters(), config.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=config.steps + 1)
    best, first, log = (np.inf, 0, {}), None, tqdm(range(1, config.steps + 1), desc="segmentation", unit="step")
    for step in log:
        generator = rng.generator(config.seed, "segmentation", step)
        chosen = np.concatenate([generator.choice(own, -(-config.batch_size // len(arms))) for own in arms.values()])
        images, hole = np.array(paired.cache[numbers[chosen]]), targets[chosen]
        flips = generator.random(len(chosen)) < 0.5
        images[flips], hole[flips] = images[flips][:, :, ::-1], hole[flips][:, :, ::-1]
        model.train()
        loss = functional.binary_cross_entropy_with_logits(
            model(to_tensor(images, place)), torch.from_numpy(hole).to(place).float()
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % config.validate_every == 0 or step == config.steps:
            found = validate(model, paired.cache, held_out.index.to_numpy(), wanted)
            first = found if first is None else first
            log.set_postfix(loss=f"{loss.item():.3f}", validation=f"{found:.3f}")
            if found < best[0] or not best[2]:
                best = (found, step, {name: value.clone() for name, value in model.state_dict().items()})
    return best[2], {"best_step": best[1], "loss": best[0], "first_loss": first, "pictures": len(rows)}


def validate(model: nn.Module, cache: np.ndarray, rows: np.ndarray, wanted: np.ndarray) -> float:
    """Mean cross-entropy of pixels, of cache rows (N,) against their holes (N, H, W) bool."""
    model.eval()
    place, total = next(model.parameters()).device, 0.0
    with torch.inference_mode():
        for start in range(0, len(rows), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            logits = model(to_tensor(np.array(cache[rows[part]]), place))
            target = torch.from_numpy(wanted[part]).to(place).float()
            loss = functional.binary_cross_entropy_with_logits(logits, target)
            total += loss.item() * len(logits)
    return total / len(rows)
