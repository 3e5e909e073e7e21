"""How different two pictures look to a network: closer to the eye than any difference of pixels.

Three measures, never mixed in one column, since their numbers are not on one scale:

- ``st_lpips_alex``: ST-LPIPS (Ghildyal & Liu, ECCV 2022), LPIPS with an anti-aliased AlexNet that a shift by a pixel
  does not upset. Its weights travel in a package, so it works without a connection and is the default.
- ``st_lpips_vgg``: the same with VGG16, whose weights travel in that package too. Weights that were trained against
  ``st_lpips_alex`` are judged by this one.
- ``lpips_alex``: LPIPS (Zhang et al., CVPR 2018) by torchmetrics; its AlexNet is downloaded once (233 MB).

All were made for pictures of 64 pixels and more; smaller ones are enlarged (bicubic) until their shorter side has 64.
Not here: distances between sets of pictures (:mod:`.distributions`).
"""

import contextlib
import io

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from nbsupport.core.errors import ConfigError, UserError, unknown
from nbsupport.core.rng import seeded
from nbsupport.quality import weights

SMALLEST = 64
NAMES = ("st_lpips_alex", "lpips_alex", "st_lpips_vgg")
_ALEXNET = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
_INSTALL = "pip install 'nbsupport[offline-weights]'"


class Perceptual:
    """A perceptual distance. ``name`` says which one it is, and belongs beside every number.

    Args:
        which: one of :data:`NAMES`, or ``auto``: the first of them that can be had.
        device: where it runs; None: the GPU where there is one.

    Raises:
        ConfigError: no such measure.
        UserError: its package is not installed, or its weights cannot be downloaded.
    """

    def __init__(self, which: str = "auto", device: torch.device | None = None) -> None:
        if which not in ("auto", *NAMES):
            raise ConfigError(unknown("perceptual distance", which, ("auto", *NAMES)))
        self.name, self._network = _load(which)
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network.eval().requires_grad_(False).to(self.device)

    @torch.inference_mode()
    def __call__(self, originals: np.ndarray, outputs: np.ndarray, batch_size: int = 32) -> np.ndarray:
        """The distance of each pair of pictures.

        Args:
            originals, outputs: (B, H, W, 3) uint8 RGB. batch_size: pairs at a time; it changes the memory used only.

        Returns:
            (B,) float64, 0 for equal pictures; no upper bound, around 0.5 for unrelated ones.
        """
        if originals.shape != outputs.shape or originals.ndim != 4 or originals.shape[-1] != 3:
            raise UserError(f"Two (B, H, W, 3) uint8 are compared, got {originals.shape} and {outputs.shape}.")
        values = [
            self.distance(*(self._prepare(images[part]) for images in (originals, outputs))).double().cpu()
            for part in (slice(start, start + batch_size) for start in range(0, len(originals), batch_size))
        ]
        return torch.cat(values).numpy() if values else np.zeros(0)

    def distance(self, originals: Tensor, outputs: Tensor) -> Tensor:
        """The same for two (B, 3, H, W) float in [-1, 1], as a loss: (B,) float32, with a gradient to both."""
        return self._network(self._enlarged(originals), self._enlarged(outputs)).flatten()

    def _prepare(self, images: np.ndarray) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [-1, 1]."""
        return torch.from_numpy(np.array(images)).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1

    @staticmethod
    def _enlarged(pictures: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3, H', W'), the shorter side at least 64."""
        height, width = pictures.shape[2:]
        scale = SMALLEST / min(height, width)
        if scale <= 1:
            return pictures
        size = (max(SMALLEST, round(height * scale)), max(SMALLEST, round(width * scale)))
        return interpolate(pictures, size=size, mode="bicubic", align_corners=False).clamp(-1, 1)


def _load(which: str) -> tuple[str, nn.Module]:
    """The name and network of the measure asked for; of ``auto``, the first that can be had."""
    if which.startswith("st_lpips_"):
        return which, _st_lpips(which.removeprefix("st_lpips_"))
    if which == "lpips_alex":
        return which, _lpips()
    reasons = []
    for name in NAMES:
        try:
            return _load(name)
        except UserError as error:
            reasons.append(str(error))
    raise UserError(f"No perceptual distance can be had. {' '.join(reasons)}")


def _st_lpips(net: str) -> nn.Module:
    try:
        from stlpips_pytorch import stlpips
    except ImportError as error:
        raise UserError(
            f"The perceptual distance 'st_lpips_{net}' needs a package that is not installed ({error.name}). Install "
            f"it:  {_INSTALL}"
        ) from None
    # The package prints what it does, and draws weights that the file then replaces.
    with contextlib.redirect_stdout(io.StringIO()), seeded(0, "stlpips"):
        return stlpips.LPIPS(net=net, variant="shift_tolerant", verbose=False)


def _lpips() -> nn.Module:
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    weights.fetch(_ALEXNET)  # into the folder where torchvision looks for it
    with contextlib.redirect_stdout(io.StringIO()), seeded(0, "lpips"):
        return LearnedPerceptualImagePatchSimilarity(net_type="alex").net
