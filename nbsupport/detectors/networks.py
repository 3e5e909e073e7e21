"""Three small detectors of our own that stand beside the large ones: what a forensic analyst would try first.

All throw away what the photograph shows and keep how it is grained. If one of them is as good as a deep network, the
network's depth has bought nothing. Not here: networks from timm (:mod:`.zoo`).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def high_pass() -> Tensor:
    """Three fixed filters for each of three channels: (9, 1, 5, 5) float, for a convolution in three groups.

    Second differences in both directions, and the 5x5 "KV" kernel of the spatial rich model (Fridrich & Kodovsky 2012).
    """
    across = torch.zeros(5, 5)
    across[2, 1:4] = torch.tensor([1.0, -2.0, 1.0]) / 2
    edge = torch.tensor([[-1.0, 2.0, -2.0, 2.0, -1.0], [2.0, -6.0, 8.0, -6.0, 2.0]])
    kernel = torch.stack([edge[0], edge[1], torch.tensor([-2.0, 8.0, -12.0, 8.0, -2.0]), edge[1], edge[0]]) / 12
    return torch.stack([across, across.T, kernel]).repeat(3, 1, 1).unsqueeze(1)


class ResidualNet(nn.Module):
    """A small convolutional network that sees high-pass residuals only.

    Fixed filters (:func:`high_pass`) take the picture's content away; four convolutions look at what is left. Nothing
    is downsampled before the second convolution, where pooling would average the traces away.
    """

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        self.register_buffer("filters", high_pass(), persistent=False)
        widths = (9, channels, channels, 2 * channels, 4 * channels)
        layers = []
        for number, (before, after) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
            stride = 1 if number == 0 else 2
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) float in [-1, 1] -> (B, 1) logits."""
        residuals = functional.conv2d(images, self.filters.to(images.dtype), padding=2, groups=3)  # (B, 9, H, W)
        residuals = (8 * residuals).clamp(-3, 3)  # as the rich models do: large residuals are edges, not grain
        return self.head(self.layers(residuals).mean(dim=(2, 3)))


def window_of(image_size: int) -> int:
    """Side of the windows in which sharpness is averaged: a seventh of the picture's, odd."""
    return max(3, image_size // 7 // 2 * 2 + 1)


class LocalSharpness(nn.Module):
    """How blurred the most blurred places are: one fixed number that nobody trained, and that knows of no hole.

    The energy of the grey picture's high-pass residual ("KV" kernel of :func:`high_pass`) is averaged in windows of a
    seventh of the picture; the logit is minus the logarithm of its tenth percentile over all windows. A detector that
    is no better than this has shown that it sees blur, and no more.
    """

    QUANTILE = 0.1

    def __init__(self, image_size: int = 64) -> None:
        super().__init__()
        self.window = window_of(image_size)
        self.register_buffer("kernel", high_pass()[2:3])  # kept with the weights: there is nothing else to keep

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) float in [-1, 1] -> (B, 1) logits, not calibrated."""
        grey = images.float().mean(dim=1, keepdim=True)
        energy = functional.conv2d(grey, self.kernel).square()
        local = functional.avg_pool2d(energy, self.window, 1).flatten(1)  # (B, windows)
        return -torch.log(torch.quantile(local, self.QUANTILE, dim=1) + 1e-8).unsqueeze(1)


class PowerSpectrum(nn.Module):
    """Logistic regression over the radial power spectrum, in decibels: as many inputs as there are frequencies.

    As in Durall et al. 2019 ("Unmasking DeepFakes with simple features"), but trained with the others' loop.
    """

    def __init__(self, image_size: int = 64) -> None:
        super().__init__()
        self.bins = image_size // 2
        self.norm = nn.BatchNorm1d(self.bins, affine=False)
        self.head = nn.Linear(self.bins, 1)

    def spectrum(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float in [-1, 1] -> (B, bins): mean log power of the grey picture in rings of frequency."""
        grey = images.float().mean(dim=1)  # half precision has no Fourier transform
        height, width = grey.shape[-2:]
        window = torch.outer(
            torch.hann_window(height, device=grey.device), torch.hann_window(width, device=grey.device)
        )
        grey = (grey - grey.mean(dim=(1, 2), keepdim=True)) * window  # else the frame's edges are the spectrum
        power = torch.fft.rfft2(grey).abs().square().flatten(1)  # (B, H * (W // 2 + 1))
        down = torch.fft.fftfreq(height, device=grey.device)[:, None]
        radius = torch.hypot(down, torch.fft.rfftfreq(width, device=grey.device)[None])
        ring = (radius * 2 * self.bins).long().clamp(max=self.bins - 1).flatten()
        count = torch.bincount(ring, minlength=self.bins).clamp(min=1)
        sums = torch.zeros(len(power), self.bins, device=grey.device).index_add_(1, ring, power)
        return torch.log10(sums / count + 1e-6)

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) float in [-1, 1] -> (B, 1) logits."""
        return self.head(self.norm(self.spectrum(images)))
