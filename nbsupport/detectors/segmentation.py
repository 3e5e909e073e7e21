"""A small network that says of every pixel whether it was painted: the upper reference for heat maps.

It is shown the true holes in training, which no detector of the study is, so a heat map that came near it would have
found out from one bit a picture what this network was told pixel by pixel. It sees the picture and the high-pass
residuals of the forensic baseline (``networks.high_pass``). Not here: its
training (``detectors.segmentation_training``).
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nbsupport.config import SegmentationConfig
from nbsupport.core import checkpoints
from nbsupport.core.errors import MissingStage
from nbsupport.detectors.networks import high_pass
from nbsupport.detectors.predict import to_tensor
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
    """The trained network in evaluation mode; raises MissingStage before chapter 8 trained it."""
    seed = run.require("segmentation")["config"]["seed"]
    path = checkpoint(run, seed)
    if not path.exists():
        raise MissingStage(f"'{path}' is missing. Run chapter 8 again to restore it.")
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
