"""The generator: five residual layers from r to a picture, with short+long-term attention and outputs at several sizes.

Source: TDANet, section 3.4. Departures in the ``repaired`` preset: enlarging by nearest neighbours and convolution, the
caption steers the normalisation of each layer, and each position reads the words once more at the lowest resolution.
In both presets each scale adds to the enlarged smaller one what it knows better (as in a Laplacian pyramid), where the
released code feeds the smaller picture into the next layer.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nbsupport.tdanet.attention import ShortLongAttention, WordReader
from nbsupport.tdanet.layers import ResidualLayer, norm, pool_mask, widths
from nbsupport.tdanet.text import Text

LAYERS = 5


class Generator(nn.Module):
    """Layer 1 keeps the resolution of v_h, layer 2 doubles it (attention follows), the rest goes up to the picture.

    Args:
        base_channels, max_channels, downs: as for the encoder. latent_channels: Z. text_channels: D.
        output_scales: how many sizes of the picture are put out, the last one being the whole.
        repaired: see the module.
    """

    def __init__(
        self,
        base_channels: int,
        max_channels: int,
        downs: int,
        latent_channels: int,
        text_channels: int,
        output_scales: int = 4,
        repaired: bool = True,
    ) -> None:
        super().__init__()
        width = widths(base_channels, max_channels, downs)
        steer = 2 * text_channels if repaired else 0
        options = {"condition_channels": steer, "transposed": not repaired}
        self.enter = nn.Conv2d(latent_channels, width[-1], 1)
        levels = [downs, downs - 1] + [max(0, downs - 2 - i + (LAYERS - 1 - downs)) for i in range(LAYERS - 2)]
        self.levels = levels  # log2 of the stride after each layer
        layers, before = [], downs
        for level in levels:
            resize = "up" if level < before else "keep"
            layers.append(ResidualLayer(width[before], width[level], resize, **options))
            before = level
        self.layers = nn.ModuleList(layers)
        self.reader = WordReader(width[-1], text_channels) if repaired else None
        self.attention = ShortLongAttention(width[-2], width[-2])
        # The last layer of each resolution puts out a picture; the coarsest are dropped when fewer scales are wanted.
        last = [number for number, level in enumerate(levels) if level not in levels[number + 1 :]]
        self.heads = nn.ModuleDict(
            {
                str(number): nn.Sequential(
                    norm(width[levels[number]]),
                    nn.LeakyReLU(0.1),
                    nn.Conv2d(width[levels[number]], 3, 3, padding=1),
                )
                for number in last[-output_scales:]
            }
        )

    def forward(self, joined: Tensor, latent: Tensor, low: Tensor, holes: Tensor, text: Text, kept: Tensor):
        """Paint the whole picture.

        Args:
            joined: (B, C, h, w) float, h of the inpainting path (in both paths). latent: (B, Z, h, w) float, the
                sample of N(mu, sigma). low: (B, C_l, 2h, 2w) float, v_l of the visible part.
            holes: (B, 1, H, W) bool, True = hole. text: the caption. kept: (B, D) float, pooled words.

        Returns:
            list of (B, 3, H/2**k, W/2**k) float in [-1, 1], small to large; the last one has the input's size. All of
            the picture is painted, its visible part too.
        """
        features = joined + self.enter(latent)  # r = h + N(mu, sigma)
        condition = torch.cat([kept, text.sentence], dim=1).to(features.dtype)
        outputs: list[Tensor] = []
        colours = None
        for number, layer in enumerate(self.layers):
            features = layer(features, condition)
            if number == 0 and self.reader is not None:
                features = self.reader(features, text)
            if number == 1:
                features = self.attention(features, low, pool_mask(holes, features.shape[-2:]))
            if str(number) in self.heads:
                detail = self.heads[str(number)](features).float()
                if colours is not None:
                    colours = F.interpolate(colours, size=detail.shape[-2:], mode="bilinear", align_corners=False)
                    detail = detail + colours
                colours = detail
                outputs.append(torch.tanh(detail))
        return outputs
