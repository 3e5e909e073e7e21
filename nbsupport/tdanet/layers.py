"""What several boxes of TDANet share: residual layers, norms that a caption can steer, masks at feature resolution.

Two presets exist. ``repaired`` (the default) enlarges by nearest neighbours and then convolves, since transposed
convolutions leave a grid in the picture (Odena et al. 2016, distill.pub/2016/deconv-checkerboard), and normalises once
in a layer, which costs half the memory traffic; ``faithful`` keeps the transposed convolutions of the released code.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


def widths(base: int, largest: int, levels: int) -> list[int]:
    """Channels at strides 1, 2, 4 … 2**levels: the base at half resolution, doubling downwards up to `largest`.

    Full resolution gets half of the base, in eights: a convolution there is the dearest, and the detail it adds
    needs few channels.

    >>> widths(32, 256, 3)
    [16, 32, 64, 128]
    """
    full = max(8, base // 2 // 8 * 8)
    return [min(full, base)] + [min(base * 2**level, largest) for level in range(levels)]


def pool_mask(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring a mask to feature resolution: a cell is True when *any* of its pixels is (max-pooling, nothing blurred).

    Args:
        masks: (B, 1, H, W) bool; for the cells that hold a visible pixel pass ``~masks``.
        size: (h, w), divisors of (H, W).

    Returns:
        (B, 1, h, w) bool.
    """
    return F.adaptive_max_pool2d(masks.float(), size) > 0


def norm(channels: int) -> nn.GroupNorm:
    """Group normalisation: unlike batch normalisation it does not depend on the other pictures of a batch."""
    groups = next(count for count in (8, 4, 2, 1) if channels % count == 0)
    return nn.GroupNorm(groups, channels)


class SteeredNorm(nn.Module):
    """Group normalisation whose scale and shift come from a vector, here from the caption (FiLM, Perez et al. 2018)."""

    def __init__(self, channels: int, condition_channels: int) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.steer = nn.Linear(condition_channels, 2 * channels)
        nn.init.normal_(self.steer.weight, std=0.01)
        nn.init.zeros_(self.steer.bias)  # starts as the plain normalisation

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """features: (B, C, h, w) float; condition: (B, K) float. Returns (B, C, h, w)."""
        scale, shift = self.steer(condition)[:, :, None, None].chunk(2, dim=1)
        return self.norm(features) * (1 + scale) + shift


class ResidualLayer(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016), keeping, halving or doubling the resolution.

    Args:
        inputs, outputs: channels.
        resize: ``keep``, ``down`` (half) or ``up`` (double).
        condition_channels: width of the vector that steers the normalisation; 0: plain normalisation.
        spectral: bound each convolution's gain by spectral normalisation instead of normalising its input.
        transposed: enlarge by a transposed convolution (the ``faithful`` preset) instead of nearest + convolution.
        lean: normalise the input only, not once more between the two convolutions (the ``repaired`` preset); the second
            convolution then starts at a tenth of its size, so that a deep stack starts close to its shortcuts.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        resize: str = "keep",
        condition_channels: int = 0,
        spectral: bool = False,
        transposed: bool = False,
        lean: bool = False,
    ) -> None:
        super().__init__()
        wrap = spectral_norm if spectral else (lambda module: module)
        make_norm = (lambda c: SteeredNorm(c, condition_channels)) if condition_channels else norm
        self.resize = resize
        self.norm1 = nn.Identity() if spectral else make_norm(inputs)
        self.norm2 = nn.Identity() if spectral or lean else make_norm(outputs)
        self.enlarge_first = resize == "up" and not transposed
        if resize == "up" and transposed:
            first = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
        else:
            first = nn.Conv2d(inputs, outputs, 3, stride=2 if resize == "down" else 1, padding=1)
        self.conv1, self.conv2 = wrap(first), wrap(nn.Conv2d(outputs, outputs, 3, padding=1))
        if lean:
            with torch.no_grad():
                self.conv2.weight.mul_(0.1)
        self.shortcut = nn.Identity() if inputs == outputs else wrap(nn.Conv2d(inputs, outputs, 1))

    def _beside(self, features: Tensor) -> Tensor:
        if self.resize == "down":
            return self.shortcut(F.avg_pool2d(features, 2))
        features = self.shortcut(features)  # a 1x1 convolution and nearest enlarging commute: the cheap order
        return F.interpolate(features, scale_factor=2, mode="nearest") if self.resize == "up" else features

    def forward(self, features: Tensor, condition: Tensor | None = None) -> Tensor:
        """features: (B, inputs, h, w) float; condition: (B, K) float or None. Returns (B, outputs, h', w') float."""

        def normalise(layer: nn.Module, values: Tensor) -> Tensor:
            return layer(values, condition) if isinstance(layer, SteeredNorm) else layer(values)

        hidden = F.leaky_relu(normalise(self.norm1, features), 0.1)  # not in place: the shortcut reads `features`
        if self.enlarge_first:
            hidden = F.interpolate(hidden, scale_factor=2, mode="nearest")
        hidden = F.leaky_relu(normalise(self.norm2, self.conv1(hidden)), 0.1)
        return self._beside(features) + self.conv2(hidden)
