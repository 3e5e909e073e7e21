"""The image encoder: seven residual layers; the last gives v_h (what is there), the one before it v_l (how it looks).

Source: TDANet, section 3.1. Both paths share it: the inpainting path shows it the visible part I_m, the auxiliary path
(in training) the removed part I_c. Departures from the paper (preset ``repaired``): a fourth input channel says which
pixels are unknown, so that a grey region and a hole are told apart; the first convolution halves the picture, since
full resolution is where a step spends its time; and the features of each finer resolution are handed to the generator
(skip connections), so that v_h need not carry what can be seen.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from nbsupport.tdanet.layers import ResidualLayer, widths

LAYERS = 7


class Encoded(NamedTuple):
    """What a picture became."""

    low: Tensor  # (B, C_l, 2h, 2w) float, v_l
    high: Tensor  # (B, C_h, h, w) float, v_h
    fine: dict[int, Tensor]  # log2 of the stride -> features at that resolution; 0: the known pixels and the mask


class ImageEncoder(nn.Module):
    """Six layers down to v_l, of which the last ones keep the resolution, and a seventh that halves it once more (v_h).

    Args:
        base_channels: width at half the resolution. max_channels: the largest width.
        downs: number of halvings in all. repaired: see the module.
    """

    def __init__(self, base_channels: int, max_channels: int, downs: int, repaired: bool = True) -> None:
        super().__init__()
        width = widths(base_channels, max_channels, downs)
        self.repaired = repaired
        self.low_channels, self.high_channels = width[-2], width[-1]
        if repaired:  # the stem halves once, layer 1 keeps that resolution, layers 2 … halve on to v_l's
            self.stem = nn.Conv2d(4, width[1], 4, stride=2, padding=1)
            levels = [1, *range(2, downs)]
        else:
            self.stem = nn.Conv2d(3, width[0], 3, padding=1)
            levels = [*range(1, downs)]
        levels += [downs - 1] * (LAYERS - 1 - len(levels))
        layers, before = [], 1 if repaired else 0
        for level in levels:
            layers.append(
                ResidualLayer(width[before], width[level], "down" if level > before else "keep", lean=repaired)
            )
            before = level
        self.levels = levels  # log2 of the stride after each layer
        self.low = nn.ModuleList(layers)
        self.high = ResidualLayer(width[-2], width[-1], "down", lean=repaired)

    def forward(self, images: Tensor, unknown: Tensor) -> Encoded:
        """Encode what is known of a picture.

        Args:
            images: (B, 3, H, W) float in [-1, 1]; whatever stands in unknown pixels is replaced by 0.
            unknown: (B, 1, H, W) bool, True = not shown to the encoder: the hole in the inpainting path, everything
                *but* the hole in the auxiliary path.

        Returns:
            Encoded: unbounded floats, h = H / 2**downs; `fine` is empty in the ``faithful`` preset.
        """
        known = images.masked_fill(unknown, 0.0)
        fine: dict[int, Tensor] = {}
        if self.repaired:
            fine[0] = known = torch.cat([known, unknown.to(known.dtype)], dim=1)
        features = self.stem(known)
        for level, layer in zip(self.levels, self.low, strict=True):
            features = layer(features)
            if self.repaired and level < self.levels[-1]:
                fine[level] = features
        return Encoded(features, self.high(features), fine)
