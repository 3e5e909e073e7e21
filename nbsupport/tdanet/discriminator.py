"""The discriminators: does a patch of the picture look like a photograph?

Source: TDANet, section 3.5: least-squares adversarial loss, spectrally normalised convolutions, one discriminator for
each path. The released code trains both of its discriminators on the auxiliary path's output only; they score the
pictures of the inpainting path, the ones that are used, without being trained on them. Here each path has its own.
Departures: plain strided convolutions (released: residual blocks with self-attention), and no ``ad_l2`` loss.
"""

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
