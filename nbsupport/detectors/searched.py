"""The space of networks that the architecture search looks through, and the network that a point of it stands for.

The space was made for this task: what a stem sees (colours, high-pass residuals or both), whether it keeps the full
resolution, in which way resolution is given up later (a generator's traces are what aliasing destroys), and how the
last map becomes a vector (paint in a small hole is an outlier that a mean hides). Not here: the search
(``detectors.search``).
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from timm.layers import BlurPool2d, SelectAdaptivePool2d, SqueezeExcite
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from nbsupport.core.errors import ConfigError, unknown
from nbsupport.detectors.networks import high_pass

#: What can be chosen, and from what.
SPACE: dict[str, tuple] = {
    "stem": ("colour", "residual", "both"),
    "stem_stride": (1, 2),
    "width": (16, 24, 32, 48),
    "growth": (1.5, 2.0),  # of the width from stage to stage
    "stages": (2, 3, 4),
    "depth": (1, 2, 3),  # blocks of each stage
    "block": ("residual", "inverted", "plain"),
    "kernel": (3, 5),
    "down": ("stride", "blur", "max"),
    "squeeze": (False, True),
    "pool": ("avg", "catavgmax"),
}


def check(architecture: Mapping[str, Any]) -> None:
    """Raise :class:`ConfigError` for a point outside the space."""
    for name, choices in SPACE.items():
        if name not in architecture:
            raise ConfigError(f"The searched network lacks '{name}', one of: {', '.join(map(str, choices))}.")
        if architecture[name] not in choices:
            raise ConfigError(unknown(name, str(architecture[name]), map(str, choices)))
    for name in architecture:
        if name not in SPACE:
            raise ConfigError(unknown("part of a searched network", name, SPACE))


def _act(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.SiLU(inplace=True))


def _down(kind: str, before: int, after: int, kernel: int) -> nn.Module:
    """Half the resolution, `after` channels."""

    def conv(stride: int) -> nn.Conv2d:
        return nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)

    if kind == "stride":
        return nn.Sequential(conv(2), _act(after))
    shrink = BlurPool2d(after) if kind == "blur" else nn.MaxPool2d(2)
    return nn.Sequential(conv(1), _act(after), shrink)


class Block(nn.Module):
    """A block that keeps its shape: two convolutions around a shortcut, an inverted bottleneck, or one convolution."""

    def __init__(self, channels: int, kind: str, kernel: int, squeeze: bool) -> None:
        super().__init__()
        half = kernel // 2
        if kind == "inverted":
            wide = 2 * channels
            layers = [
                nn.Conv2d(channels, wide, 1, bias=False), _act(wide),
                nn.Conv2d(wide, wide, kernel, 1, half, groups=wide, bias=False), _act(wide),
                nn.Conv2d(wide, channels, 1, bias=False), nn.BatchNorm2d(channels),
            ]  # fmt: skip
        else:
            layers = [nn.Conv2d(channels, channels, kernel, 1, half, bias=False), nn.BatchNorm2d(channels)]
            if kind == "residual":
                layers += [nn.SiLU(inplace=True), nn.Conv2d(channels, channels, kernel, 1, half, bias=False)]
                layers += [nn.BatchNorm2d(channels)]
        if squeeze:
            layers.append(SqueezeExcite(channels, rd_ratio=0.25))
        self.layers, self.shortcut = nn.Sequential(*layers), kind != "plain"

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) float -> the same shape."""
        found = self.layers(features)
        return functional.silu(found + features if self.shortcut else found)


class SearchedNet(nn.Module):
    """The network of one point of :data:`SPACE`.

    Args: architecture: a value for each name of :data:`SPACE`. Raises ConfigError for any other.
    """

    def __init__(self, architecture: Mapping[str, Any]) -> None:
        super().__init__()
        check(architecture)
        self.stem = architecture["stem"]
        self.register_buffer("filters", high_pass(), persistent=False)
        seen = {"colour": 3, "residual": 9, "both": 12}[self.stem]
        kernel, width = architecture["kernel"], architecture["width"]
        layers: list[nn.Module] = [
            nn.Conv2d(seen, width, kernel, architecture["stem_stride"], kernel // 2, bias=False),
            _act(width),
        ]
        for stage in range(architecture["stages"]):
            if stage:
                wider = round(width * architecture["growth"] / 8) * 8
                layers.append(_down(architecture["down"], width, wider, kernel))
                width = wider
            layers += [
                Block(width, architecture["block"], kernel, architecture["squeeze"])
                for _ in range(architecture["depth"])
            ]
        self.layers = nn.Sequential(*layers)
        self.pool = SelectAdaptivePool2d(pool_type=architecture["pool"], flatten=True)
        self.head = nn.Linear(width * self.pool.feat_mult(), 1)

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) float in [-1, 1] -> (B, 1) logits."""
        parts = [images] if self.stem != "residual" else []
        if self.stem != "colour":
            residuals = functional.conv2d(images, self.filters.to(images.dtype), padding=2, groups=3)
            parts.append((8 * residuals).clamp(-3, 3))
        return self.head(self.pool(self.layers(torch.cat(parts, dim=1))))


def cost(build: Callable[[], nn.Module], image_size: int) -> dict[str, float]:
    """What a network costs: ``mega_macs`` (million multiply-adds of one picture's forward pass), ``parameters``.

    Args: build: makes the network, which takes (B, 3, `image_size`, `image_size`) float.
    """
    model = build().eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, image_size, image_size))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"mega_macs": counter.get_total_flops() / 2e6, "parameters": parameters}
