"""The discriminators: does a patch of the picture look like a photograph?

:class:`Discriminator` is the paper's, :class:`TextureDiscriminator` the one that the texture weights were trained with.

Source: TDANet, section 3.5: least-squares adversarial loss, spectrally normalised convolutions, one discriminator for
each path. The released code trains both of its discriminators on the auxiliary path's output only; they score the
pictures of the inpainting path, the ones that are used, without being trained on them. Here each path has its own.
Departures: plain strided convolutions (released: residual blocks with self-attention), and no ``ad_l2`` loss.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class Discriminator(nn.Module):
    """Strided convolutions down to 1/8 of the picture (1/16 from 128 pixels), then one score for each patch.

    Args: base_channels: width of the second layer. downs: number of halvings.
    """

    def __init__(self, base_channels: int, downs: int = 3) -> None:
        super().__init__()
        width = [3] + [min(max(4, base_channels * 2**level // 2), 256) for level in range(downs)]
        pairs = zip(width[:-1], width[1:], strict=True)
        self.layers = nn.ModuleList(spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)) for a, b in pairs)
        self.score = spectral_norm(nn.Conv2d(width[-1], 1, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) float in [-1, 1]. Returns (B, 1, h, w) float; 1 = photograph, 0 = not."""
        features = images
        for layer in self.layers:
            features = F.leaky_relu(layer(features), 0.2)
        return self.score(features).float()


class TextureDiscriminator(nn.Module):
    """Scores for patches of a *spliced* picture: which of them are inpainted?

    It sees the picture and, four times enlarged, what the picture differs by from its own 3x3 mean: the finest detail,
    in which a soft fill and a photograph differ most. What is known is never inpainted, so that a mask says for each
    patch which answer is right (SM-PatchGAN of AOT-GAN, Zeng et al. 2021, arXiv 2104.01431). Spectral normalisation at
    this width kept it from learning, so that there is none.

    Args: base_channels: width of the first layer; the later ones have twice and four times as much.
    """

    STRIDE = 4  # of the scores
    RESIDUAL_GAIN = 4.0

    def __init__(self, base_channels: int = 32) -> None:
        super().__init__()
        width = [6, base_channels, 2 * base_channels, 4 * base_channels, 4 * base_channels]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 4 if number < 2 else 3, stride=2 if number < 2 else 1, padding=1)
            for number, (before, after) in enumerate(zip(width[:-1], width[1:], strict=True))
        )
        self.score = nn.Conv2d(width[-1], 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) float in [-1, 1]. Returns (B, 1, H/4, W/4) float; 1 = photograph, 0 = inpainted."""
        mean = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        features = torch.cat([images, self.RESIDUAL_GAIN * (images - mean)], dim=1)
        for layer in self.layers:
            features = F.leaky_relu(layer(features), 0.2)
        return self.score(features).float()
