"""The adversaries of TDANet's training: which discriminators there are, what they are shown, and both sides' losses.

:class:`PathDiscriminators` is the paper's: a discriminator for each path, shown whole pictures. :class:`Texture` is the
one that paints texture: a single discriminator of *spliced* pictures, told by the mask which patches are inpainted.
Not here: their layers (``tdanet.discriminator``), the formulas (``tdanet.losses``), the optimisers (``training.step``).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nbsupport.config import TrainingConfig
from nbsupport.tdanet import losses
from nbsupport.tdanet.discriminator import Discriminator, TextureDiscriminator
from nbsupport.training.batches import Batch

#: R1 needs a second backward pass, so it is taken in every n-th step with n times its weight (StyleGAN2).
R1_EVERY = 8


def create(config: TrainingConfig, paths: tuple[str, ...], downs: int) -> "PathDiscriminators | Texture":
    """The adversary that `config` asks for. Args: paths: which are trained. downs: the network's halvings."""
    if config.discriminator == "texture":
        return Texture(config.weight_r1)
    return PathDiscriminators({path: Discriminator(config.base_channels, downs) for path in paths})


class PathDiscriminators(nn.Module):
    """One discriminator for each path; `pictures` are the outputs (B', 3, H, W) of the paths by name."""

    def __init__(self, discriminators: Mapping[str, Discriminator]) -> None:
        super().__init__()
        self.of = nn.ModuleDict(discriminators)

    def discriminator_loss(self, batch: Batch, pictures: Mapping[str, Tensor], step: int) -> Tensor:
        """Least squares: photographs towards 1, the paths' pictures towards 0. A scalar >= 0."""
        loss = batch.images.new_zeros(())
        for path, discriminator in self.of.items():
            fake = pictures[path].detach()
            real, fake = discriminator(torch.cat([batch.images[: len(fake)], fake])).chunk(2)
            loss = loss + losses.lsgan_discriminator(real, fake)
        return loss

    def generator_loss(self, batch: Batch, pictures: Mapping[str, Tensor]) -> Tensor:
        """Least squares: the paths' pictures towards 1. A scalar >= 0."""
        return sum(losses.lsgan_generator(own(pictures[path])) for path, own in self.of.items())


class Texture(nn.Module):
    """One discriminator of spliced pictures; only the inpainting path is trained against it."""

    def __init__(self, weight_r1: float = 0.0) -> None:
        super().__init__()
        self.discriminator, self.weight_r1 = TextureDiscriminator(), weight_r1

    def discriminator_loss(self, batch: Batch, pictures: Mapping[str, Tensor], step: int) -> Tensor:
        """``losses.texture_discriminator``, in every :data:`R1_EVERY`-th step with R1. A scalar >= 0."""
        share = losses.inpainted_share(batch.holes, TextureDiscriminator.STRIDE)
        spliced = splice(batch, pictures["inpainting"].detach())
        penalised = bool(self.weight_r1) and step % R1_EVERY == 0
        images = batch.images.detach().requires_grad_(penalised)
        real, fake = self.discriminator(torch.cat([images, spliced])).chunk(2)
        loss = losses.texture_discriminator(real, fake, share)
        if penalised:
            loss = loss + 0.5 * R1_EVERY * self.weight_r1 * losses.gradient_penalty(real, images)
        return loss

    def generator_loss(self, batch: Batch, pictures: Mapping[str, Tensor]) -> Tensor:
        """``losses.texture_generator`` of the spliced pictures. A scalar >= 0."""
        share = losses.inpainted_share(batch.holes, TextureDiscriminator.STRIDE)
        return losses.texture_generator(self.discriminator(splice(batch, pictures["inpainting"])), share)


def splice(batch: Batch, pictures: Tensor) -> Tensor:
    """The network's pictures (B, 3, H, W) inside the holes of a batch, its photographs outside."""
    return torch.where(batch.holes, pictures, batch.images)
