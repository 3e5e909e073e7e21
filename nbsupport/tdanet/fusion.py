"""Fusion: picture and missing words become one feature h and a distribution of what may fill the hole.

Source: TDANet, section 3.3. ``F`` (inpainting path) and its own ``F'`` (auxiliary path) are five residual layers with
spectral normalisation that give the mean and the deviation of a normal distribution at each position of v_h. The
generator then starts from r = h + N(mu, sigma), and in the auxiliary path from r' = h + N(mu', sigma') with the *same*
h: the auxiliary path differs only in knowing, through mu' and sigma', what the hole really showed.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nbsupport.tdanet.layers import ResidualLayer

LAYERS = 5


class Gaussian(NamedTuple):
    """A normal distribution at each position, independent in each channel."""

    mean: Tensor  # (B, Z, h, w) float
    deviation: Tensor  # (B, Z, h, w) float > 0

    def sample(self, noise: Tensor) -> Tensor:
        """mean + deviation * noise, with noise (B, Z, h, w) standard normal: gradients reach both parameters."""
        return self.mean + self.deviation * noise


class Join(nn.Module):
    """The multimodal feature h: v_h beside the words kept and the sentence, spread over all positions."""

    def __init__(self, image_channels: int, text_channels: int) -> None:
        super().__init__()
        self.image = nn.Conv2d(image_channels, image_channels, 1)
        self.text = nn.Linear(2 * text_channels, image_channels)

    def forward(self, high: Tensor, pooled: Tensor, sentence: Tensor) -> Tensor:
        """high: (B, C, h, w); pooled, sentence: (B, D). Returns h: (B, C, h, w).

        A 1x1 convolution over the concatenation, written as a sum so that the text is not copied to each position.
        """
        return self.image(high) + self.text(torch.cat([pooled, sentence], dim=1))[:, :, None, None]


class Fusion(nn.Module):
    """Five spectrally normalised residual layers, then mean and deviation."""

    def __init__(self, channels: int, latent_channels: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, latent_channels, 1)
        layers = [ResidualLayer(latent_channels, latent_channels, spectral=True) for _ in range(LAYERS)]
        self.layers = nn.Sequential(*layers)
        self.leave = nn.Conv2d(latent_channels, 2 * latent_channels, 1)

    def forward(self, joined: Tensor) -> Gaussian:
        """joined: (B, C, h, w) float. Returns mean and deviation, (B, Z, h, w) float32, deviation in (0.001, inf)."""
        mean, raw = self.leave(F.leaky_relu(self.layers(self.enter(joined)), 0.1)).float().chunk(2, dim=1)
        return Gaussian(mean, F.softplus(raw) + 1e-3)  # the floor keeps the KL divergence finite
