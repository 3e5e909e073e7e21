"""A trained TDANet as an inpainter (Zhang et al. 2020, arXiv 2004.03212).

Not here: the network (``nbsupport.tdanet``) and its training (``nbsupport.training``).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from nbsupport.core import rng
from nbsupport.core.tensors import to_uint8

if TYPE_CHECKING:
    from nbsupport.data.captions import Vocabulary

#: The largest strength of a caption; beyond it nothing but saturated colours is left.
MAX_STRENGTH = 20.0


class TDANetInpainter:
    """A trained TDANet and its vocabulary as an inpainter.

    The latent of each picture is drawn from its own seed, so that a fill does not depend on which other pictures
    share its batch, except for the order in which floating point sums are taken.

    Args: caption_strength: how far to go in the direction in which the caption moves the fill away from the fill
        without a caption: 1 is the network as it is, 0 paints without the caption, more exaggerates it and takes twice
        the time (guidance without a classifier, Ho & Salimans 2022, arXiv 2207.12598, for a single-step generator).
    """

    def __init__(
        self, model: torch.nn.Module, vocabulary: "Vocabulary", precision: str = "auto", caption_strength: float = 1.0
    ) -> None:
        from nbsupport.core import device

        self.caption_strength = caption_strength
        self.name = "tdanet" if caption_strength == 1 else f"tdanet@{caption_strength:g}"
        self.device = device.choose(precision)
        self.model = self.device.place(model).eval()
        self.vocabulary = vocabulary

    @property
    def caption_length(self) -> int:
        """The number of words of a caption that the network reads; the rest is cut."""
        return self.model.config.caption_length

    @torch.inference_mode()
    def fill(self, images, masks, captions, *, seeds) -> np.ndarray:
        """As :meth:`Inpainter.fill`: the network's whole output, which differs outside the hole too."""
        place = self.device.device
        # A transposed view of HWC bytes is already in channels_last order.
        pictures = torch.from_numpy(images).permute(0, 3, 1, 2).to(place).float() / 127.5 - 1
        holes = torch.from_numpy(masks)[:, None].to(place)
        latents = self._latents(images.shape[1:3], seeds).to(place)
        output = self._paint(pictures, holes, list(captions), latents)
        if self.caption_strength != 1:
            silent = self._paint(pictures, holes, [""] * len(captions), latents)
            output = silent + self.caption_strength * (output - silent)
        return to_uint8(output)

    def _paint(self, pictures: torch.Tensor, holes: torch.Tensor, captions: list[str], latents: torch.Tensor):
        """(B, 3, H, W) float in [-1, 1], the whole output."""
        from nbsupport.tdanet.model import fill

        place = self.device.device
        encoded = self.vocabulary.encode(captions, self.caption_length)
        ids, lengths = (torch.as_tensor(part, device=place) for part in encoded)
        with self.device.autocast():
            return fill(self.model, pictures, holes, ids, lengths, latents=latents).float()

    def _latents(self, size: tuple[int, int], seeds: Sequence[int]) -> torch.Tensor:
        shape = self.model.latent_shape(*size)  # (channels, height, width)
        draws = [torch.Generator().manual_seed(rng.torch_seed(int(seed), "latent")) for seed in seeds]
        return torch.stack([torch.randn(shape, generator=draw) for draw in draws])
