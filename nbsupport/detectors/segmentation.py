"""A small network that says of every pixel whether it was painted: the upper reference for heat maps.

It is shown the true holes in training, which no detector of the study is, so a heat map that came near it would have
found out from one bit a picture what this network was told pixel by pixel. It sees the picture and the high-pass
residuals of the forensic baseline (``networks.high_pass``). Its
training is here too.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from nbsupport import masks as masks_of
from nbsupport import pairs as pairs_of
from nbsupport.config import SegmentationConfig
from nbsupport.core import checkpoints, device, rng
from nbsupport.core.errors import MissingStage, UserError
from nbsupport.core.rng import seeded
from nbsupport.detectors.networks import high_pass
from nbsupport.detectors.predict import to_tensor
from nbsupport.masks import MaskSet
from nbsupport.pairs import Pairs
from nbsupport.runs import Run

NAME = "segmentation"
_BATCH = 128


def _layer(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(True))


class SegmentationNet(nn.Module):
    """Two halvings, one skip connection, logits at half the resolution, enlarged. `channels`: width at full size."""

    def __init__(self, channels: int = 12) -> None:
        super().__init__()
        self.register_buffer("filters", high_pass(), persistent=False)
        self.entrance = _layer(12, channels)
        self.fine = nn.Sequential(_layer(channels, 2 * channels, 2), _layer(2 * channels, 2 * channels))
        self.coarse = nn.Sequential(
            _layer(2 * channels, 4 * channels, 2),
            _layer(4 * channels, 4 * channels),
            nn.Conv2d(4 * channels, 2 * channels, 1),
        )
        self.head = nn.Sequential(_layer(2 * channels, 2 * channels), nn.Conv2d(2 * channels, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) float in [-1, 1] -> (B, H, W) float logits; positive means painted (hole)."""
        size = images.shape[-2:]
        residuals = functional.conv2d(images, self.filters.to(images.dtype), padding=2, groups=3)
        seen = torch.cat([images, (8 * residuals).clamp(-3, 3)], dim=1)  # (B, 12, H, W)
        fine = self.fine(self.entrance(seen))  # (B, 2C, H/2, W/2)
        coarse = functional.interpolate(self.coarse(fine), fine.shape[-2:], mode="bilinear", align_corners=False)
        return functional.interpolate(self.head(fine + coarse), size, mode="bilinear", align_corners=False).squeeze(1)


def checkpoint(run: Run, seed: int) -> Path:
    """Where the weights lie; their configuration lies beside them (.json)."""
    return run / "checkpoints" / f"segmentation_seed{seed}.safetensors"


def load(run: Run) -> SegmentationNet:
    """The trained network in evaluation mode; raises MissingStage before chapter 10 trained it."""
    seed = run.require("segmentation")["config"]["seed"]
    path = checkpoint(run, seed)
    if not path.exists():
        raise MissingStage(f"'{path}' is missing. Run chapter 10 again to restore it.")
    config = checkpoints.read_config(path, SegmentationConfig)
    model = SegmentationNet(config.channels)
    checkpoints.load_into(model, path)
    return model.eval()


def maps(model: nn.Module, pictures: np.ndarray) -> np.ndarray:
    """Probability of paint at every pixel: (N, H, W, 3) uint8 -> (N, H, W) float32 in [0, 1]."""
    place = next(model.parameters()).device
    parts = [np.empty((0, *pictures.shape[1:3]), np.float32)]
    with torch.inference_mode():
        for start in range(0, len(pictures), _BATCH):
            batch = to_tensor(np.array(pictures[start : start + _BATCH]), place)
            parts.append(torch.sigmoid(model(batch)).cpu().numpy())
    return np.concatenate(parts)


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
            "holes from. Make more pairs in chapter 6."
        )
    return chosen


def make(run: Run, config: SegmentationConfig) -> nn.Module:
    """The stage "segmentation": train, or load what was trained; returns the network in evaluation mode.

    Raises:
        MissingStage: chapter 7 has not run. UserError: a split holds nothing to learn from.
    """
    stage = run.stage("segmentation", config, needs=("detectors",))
    if stage.finished:
        return load(run)
    inpainters = list(run.require("detectors")["config"].get("inpainters") or ())
    with stage:
        weights, notes = train(pairs_of.load(run), masks_of.load(run), config, inpainters)
        path = checkpoint(run, config.seed)
        checkpoints.save_weights(path, weights, config)
        stage.outputs(path, path.with_suffix(".json"))
        stage.note(**notes)
    return load(run)


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
        model = SegmentationNet(config.channels).to(place)
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
