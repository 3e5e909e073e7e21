"""The image encoder: seven residual layers; the last gives v_h (what is there), the one before it v_l (how it looks).

Source: TDANet, section 3.1. Both paths share it: the inpainting path shows it the visible part I_m, the auxiliary path
(in training) the removed part I_c. Departure from the paper (preset ``repaired``): a fourth input channel says which
pixels are unknown, so that a grey region and a hole are told apart.
"""

import torch
from torch import Tensor, nn

from nbsupport.tdanet.layers import ResidualLayer, widths

LAYERS = 7


def halvings(image_size: int) -> int:
    """How often the encoder halves the picture: v_h is 8x8 at 64 and at 128 pixels, 16x16 at 256."""
    return 3 if image_size < 128 else 4


class ImageEncoder(nn.Module):
    """Layers 1 … d-1 halve the resolution, the next ones keep it (v_l), the seventh halves it once more (v_h).

    Args:
        base_channels: width at half the resolution. max_channels: the largest width.
        downs: d, number of halvings. mask_channel: whether the mask is a fourth input channel.
    """

    def __init__(self, base_channels: int, max_channels: int, downs: int, mask_channel: bool = True) -> None:
        super().__init__()
        width = widths(base_channels, max_channels, downs)
        self.mask_channel = mask_channel
        self.low_channels, self.high_channels = width[-2], width[-1]
        self.stem = nn.Conv2d(3 + mask_channel, width[0], 3, padding=1)
        layers = [ResidualLayer(width[level], width[level + 1], "down") for level in range(downs - 1)]
        layers += [ResidualLayer(width[-2], width[-2]) for _ in range(LAYERS - downs)]
        self.low = nn.Sequential(*layers)
        self.high = ResidualLayer(width[-2], width[-1], "down")

    def forward(self, images: Tensor, unknown: Tensor) -> tuple[Tensor, Tensor]:
        """Encode what is known of a picture.

        Args:
            images: (B, 3, H, W) float in [-1, 1]; whatever stands in unknown pixels is replaced by 0.
            unknown: (B, 1, H, W) bool, True = not shown to the encoder: the hole in the inpainting path, everything
                *but* the hole in the auxiliary path.

        Returns:
            v_l (B, C_l, 2h, 2w) and v_h (B, C_h, h, w), unbounded floats, h = H / 2**downs.
        """
        known = images.masked_fill(unknown, 0.0)
        if self.mask_channel:
            known = torch.cat([known, unknown.to(known.dtype)], dim=1)
        low = self.low(self.stem(known))
        return low, self.high(low)
