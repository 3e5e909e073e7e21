"""TDANet as a whole: the boxes joined into two paths for training and one for filling holes.

Training (``auxiliary=True``) runs both paths: the inpainting path sees the visible part I_m, the auxiliary path sees
the removed part I_c. They share everything but the fusion (F and F'). Filling runs the inpainting path alone.
Not here: discriminators and matching loss, which exist only in training (``nbsupport.training.tdanet``).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nbsupport.config import TDANetConfig, halvings
from nbsupport.core.errors import UserError
from nbsupport.core.rng import seeded
from nbsupport.tdanet.attention import DualAttention
from nbsupport.tdanet.encoder import Encoded, ImageEncoder
from nbsupport.tdanet.fusion import Fusion, Gaussian, Join
from nbsupport.tdanet.generator import Generator
from nbsupport.tdanet.layers import pool_mask
from nbsupport.tdanet.text import Text, TextEncoder


@dataclass
class Painted:
    """What a forward pass gives. Tensors of the auxiliary path are None when it did not run."""

    outputs: list[Tensor]  # (B, 3, h_k, w_k) in [-1, 1], small to large; [-1] is the picture
    latent: Gaussian  # the inpainting path's distribution
    attention: Tensor  # (B, h*w, L) in [0, 1]: for each position the words it does *not* explain
    auxiliary_outputs: list[Tensor] | None = None
    auxiliary_latent: Gaussian | None = None
    auxiliary_attention: Tensor | None = None  # (B, h*w, L): for each position the words it *does* explain


class TDANet(nn.Module):
    """The network of the paper; build it under `rng.seeded` to fix its first weights, or by :func:`create`."""

    def __init__(self, config: TDANetConfig) -> None:
        super().__init__()
        self.config = config
        self.downs = halvings(config.image_size)
        repaired = config.preset == "repaired"
        sizes = (config.base_channels, config.max_channels, self.downs)
        self.text = TextEncoder(config.vocabulary_size, config.word_channels, config.text_channels, config.recurrent)
        self.encoder = ImageEncoder(*sizes, repaired)
        high = self.encoder.high_channels
        self.attention = DualAttention(high, config.text_channels, config.max_pool, cosine=repaired)
        self.join = Join(high, config.text_channels)
        self.fusion = Fusion(high, config.latent_channels)
        self.fusion_auxiliary = Fusion(high, config.latent_channels)
        self.generator = Generator(
            *sizes,
            config.latent_channels,
            config.text_channels,
            config.output_scales,
            repaired=repaired,
            word_readers=config.word_readers,
        )

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """(Z, h, w): the shape of one picture's noise. Raises UserError for a size that the network cannot halve."""
        step = 2**self.downs
        if height % step or width % step or min(height, width) < 2 * step:
            raise UserError(
                f"TDANet cannot paint {height}x{width} pixels: with image_size={self.config.image_size} both sides "
                f"must be multiples of {step}, at least {2 * step}. Choose another image_size in chapter 1."
            )
        return self.config.latent_channels, height // step, width // step

    def _distribution(
        self, high: Tensor, text: Text, where: Tensor, auxiliary: bool
    ) -> tuple[Tensor, Tensor, Tensor, Gaussian]:
        kept, weights = self.attention(high, text, where, negate=self.config.negate and not auxiliary)
        joined = self.join(high, kept, text.sentence)
        return joined, kept, weights, (self.fusion_auxiliary if auxiliary else self.fusion)(joined)

    def forward(
        self,
        images: Tensor,
        holes: Tensor,
        tokens: Tensor,
        lengths: Tensor,
        noise: Tensor,
        noise_auxiliary: Tensor | None = None,
    ) -> Painted:
        """Run the inpainting path, and with `noise_auxiliary` the auxiliary path beside it.

        Args:
            images: (B, 3, H, W) float in [-1, 1], whole photographs; the inpainting path never sees inside the hole.
            holes: (B, 1, H, W) bool, True = hole. A hole may be empty, or everything.
            tokens: (B, L) int64, padded with 0. lengths: (B,) int64 in [1, L].
            noise: (B, *latent_shape(H, W)) float, standard normal; zeros give the distribution's mean.
            noise_auxiliary: the same for the auxiliary path, which is run on as many pictures from the start of the
                batch as there is noise for; or None to leave that path out.

        Returns:
            Painted: floats; pictures in [-1, 1], painted everywhere.
        """
        both = noise_auxiliary is not None
        text = self.text(tokens, lengths)
        count = len(images)
        some = slice(len(noise_auxiliary) if both else 0)  # the pictures that take the auxiliary path too
        if both:  # one pass of the shared encoder over I_m and I_c
            encoded = self.encoder(torch.cat([images, images[some]]), torch.cat([holes, ~holes[some]]))
            seen = Encoded(encoded.low[:count], encoded.high[:count], {k: v[:count] for k, v in encoded.fine.items()})
        else:
            seen = self.encoder(images, holes)
        size = seen.high.shape[-2:]
        joined, kept, weights, latent = self._distribution(seen.high, text, pool_mask(~holes, size), auxiliary=False)
        sample = latent.sample(noise) if self.config.latent else latent.mean
        if not both:
            return Painted(self.generator(joined, sample, seen, holes, text, kept), latent, weights)
        _, _, weights_removed, latent_removed = self._distribution(
            encoded.high[count:], Text(*(part[some] for part in text)), pool_mask(holes[some], size), auxiliary=True
        )

        def twice(part: Tensor) -> Tensor:
            return torch.cat([part, part[some]])

        outputs = self.generator(
            twice(joined),
            torch.cat([sample, latent_removed.sample(noise_auxiliary)]),
            Encoded(twice(seen.low), twice(seen.high), {k: twice(v) for k, v in seen.fine.items()}),
            twice(holes),
            Text(*map(twice, text)),
            twice(kept),
        )
        return Painted(
            [output[:count] for output in outputs],
            latent,
            weights,
            [output[count:] for output in outputs],
            latent_removed,
            weights_removed,
        )


def create(config: TDANetConfig, seed: int) -> TDANet:
    """Build an untrained network whose first weights are a pure function of `config` and `seed`."""
    with seeded(seed, "tdanet"):
        return TDANet(config)


@torch.no_grad()
def fill(
    model: TDANet,
    images: Tensor,
    masks: Tensor,
    tokens: Tensor,
    lengths: Tensor,
    generator: torch.Generator | None = None,
    latents: Tensor | None = None,
) -> Tensor:
    """Paint pictures by the inpainting path.

    Args:
        model: in evaluation mode, on the device of the tensors.
        images: (B, 3, H, W) float in [-1, 1]. masks: (B, 1, H, W) bool, True = hole. tokens: (B, L) int64.
        lengths: (B,) int64.
        generator: draws the latent noise (on its own device); or give the noise itself:
        latents: (B, *model.latent_shape(H, W)) float, standard normal. Zeros paint the most expected picture.

    Returns:
        (B, 3, H, W) float in [-1, 1]: the network's whole output, visible pixels repainted too.

    Raises:
        UserError: the size does not fit the network, or neither or both of generator and latents are given.
    """
    shape = (len(images), *model.latent_shape(*images.shape[-2:]))
    if (generator is None) == (latents is None):
        raise UserError("fill() takes its randomness from exactly one of generator= and latents=.")
    if latents is None:
        latents = torch.randn(shape, generator=generator, device=generator.device)
    return model(images, masks, tokens, lengths, latents.to(images.device)).outputs[-1].clamp(-1, 1)
