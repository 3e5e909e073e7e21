"""The generator: five residual layers from r to a picture, with short+long-term attention and outputs at several sizes.

Source: TDANet, section 3.4. Departures in the ``repaired`` preset: enlarging by nearest neighbours and convolution, the
caption steers the normalisation of each layer, each position reads the words once more after the first layers, and each
finer resolution is given the encoder's features of it (skip connections), the finest one the known pixels
themselves. In both presets each scale adds to the enlarged smaller one what it knows better (as in a Laplacian
pyramid), where the released code feeds the smaller picture into the next layer.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nbsupport.tdanet.attention import ShortLongAttention, WordReader
from nbsupport.tdanet.encoder import Encoded
from nbsupport.tdanet.layers import ResidualLayer, norm, pool_mask, widths
from nbsupport.tdanet.text import Text

LAYERS = 5


class Generator(nn.Module):
    """Layer 1 keeps the resolution of v_h, layer 2 doubles it (attention follows), the rest goes up to the picture.

    Args:
        base_channels, max_channels, downs: as for the encoder. latent_channels: Z. text_channels: D.
        output_scales: how many sizes of the picture are put out, the last one being the whole.
        repaired: see the module. word_readers: after how many of the layers each position reads the words, from the
            coarsest on; at 64 px the first sees 8x8 positions, which a bill and a crown may share, the second 16x16.
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
        word_readers: int = 1,
    ) -> None:
        super().__init__()
        width = widths(base_channels, max_channels, downs)
        self.enter = nn.Conv2d(latent_channels, width[-1], 1)
        levels = [downs, downs - 1] + [max(0, downs - 2 - i + (LAYERS - 1 - downs)) for i in range(LAYERS - 2)]
        self.levels = levels  # log2 of the stride after each layer
        layers, before = [], downs
        for level in levels:
            layers.append(
                ResidualLayer(
                    width[before],
                    width[level],
                    "up" if level < before else "keep",
                    condition_channels=2 * text_channels if repaired else 0,
                    transposed=not repaired,
                    lean=repaired,
                )
            )
            before = level
        self.layers = nn.ModuleList(layers)
        self.reader = WordReader(width[-1], text_channels) if repaired else None
        finer_layers = range(1, word_readers) if repaired else ()
        self.finer_readers = nn.ModuleDict({str(n): WordReader(width[levels[n]], text_channels) for n in finer_layers})
        self.attention = ShortLongAttention(width[-2], width[-2])
        finer = range(1, downs - 1) if repaired else ()  # the resolutions between the picture's and v_l's
        self.skips = nn.ModuleDict({str(level): nn.Conv2d(width[level], width[level], 1) for level in finer})
        # The last layer of each resolution puts out a picture; the coarsest are dropped when fewer scales are wanted.
        last = [number for number, level in enumerate(levels) if level not in levels[number + 1 :]]
        self.heads = nn.ModuleDict(
            {
                str(number): nn.Sequential(
                    nn.Identity() if repaired and levels[number] == 0 else norm(width[levels[number]]),
                    nn.LeakyReLU(0.1),
                    nn.Conv2d(width[levels[number]], 3, 3, padding=1),
                )
                for number in last[-output_scales:]
            }
        )
        self.known = nn.Conv2d(4, width[0], 3, padding=1) if repaired else None

    def forward(self, joined: Tensor, latent: Tensor, seen: Encoded, holes: Tensor, text: Text, kept: Tensor):
        """Paint the whole picture.

        Args:
            joined: (B, C, h, w) float, h of the inpainting path (in both paths). latent: (B, Z, h, w) float, the
                sample of N(mu, sigma). seen: the visible part, of which v_l and the finer features are read.
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
                features = self.attention(features, seen.low, pool_mask(holes, features.shape[-2:]))
            if str(number) in self.finer_readers:
                features = self.finer_readers[str(number)](features, text)
            level = self.levels[number]
            if level != self.levels[number - 1] and str(level) in self.skips:
                features = features + self.skips[str(level)](seen.fine[level])
            if level == 0 and self.known is not None and number + 1 == LAYERS:
                features = features + self.known(seen.fine[0])
            if str(number) in self.heads:
                detail = self.heads[str(number)](features).float()
                if colours is not None:
                    colours = F.interpolate(colours, size=detail.shape[-2:], mode="bilinear", align_corners=False)
                    detail = detail + colours
                colours = detail
                outputs.append(torch.tanh(detail))
        return outputs
