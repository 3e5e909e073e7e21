"""Pictures as numpy bytes and as torch tensors, and the way between the two."""

import numpy as np
import torch
from torch import Tensor

from nbsupport.core.errors import InpainterError


def to_tensor(images: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float in [-1, 1], channels_last (the bytes already lie so)."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).to(device).float().div(127.5).sub(1)


def to_uint8(output: torch.Tensor) -> np.ndarray:
    """Turn (B, 3, H, W) float in [-1, 1] into (B, H, W, 3) uint8; values outside are clipped.

    Raises:
        InpainterError: NaN or an infinity; rounding would turn it into a colour and hide it.
    """
    output = output.float()
    broken = ~torch.isfinite(output).flatten(1).all(dim=1)
    if broken.any():
        raise InpainterError(
            f"The network returned NaN or infinite values for picture {int(broken.nonzero()[0])} of the batch. Its "
            "training has diverged; train it again with a lower learning_rate (chapter 4)."
        )
    pixels = ((output.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).cpu().numpy())
