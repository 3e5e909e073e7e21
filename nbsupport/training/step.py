"""One step of TDANet's training: the networks, their optimisers, the moving average, and how a batch changes them.

A step is a pure function of the weights and of ``(seed, step)``. Under several processes (torchrun) each takes its
share of the same batch and the gradients are averaged, so that the number of processes changes the speed, not the
curve; the matching loss alone compares within a process's share. A loss or gradient that is not finite stops the
training before it reaches the weights. Not here: the loop, logs and files (``training.tdanet``).
"""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from nbsupport.config import TrainingConfig
from nbsupport.core import rng
from nbsupport.core.errors import UserError
from nbsupport.core.rng import seeded
from nbsupport.quality.perceptual import Perceptual
from nbsupport.tdanet import damsm, losses
from nbsupport.tdanet.model import Painted, TDANet
from nbsupport.training import adversary
from nbsupport.training.batches import Batch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PATHS = ("inpainting", "auxiliary")


class TrainingDiverged(UserError):
    """A loss or a gradient is no longer a finite number."""


def learning_rate_factor(step: int, steps: int, warmup: int) -> float:
    """Warm-up over the first steps, then half a cosine down to 2 %: the factor of the learning rate in (0, 1]."""
    warm = max(1, min(warmup, steps // 10))
    if step <= warm:
        return step / warm
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of the weights; its first updates weigh more, so that it forgets the start.

    The decay after n updates is the smaller of `decay` and (1 + n) / (10 + n).
    """

    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        number = int(count)
        weight = 1 - min(decay, (1 + number) / (10 + number))
        torch._foreach_lerp_(averaged, current, weight)

    return AveragedModel(model, multi_avg_fn=update)


class Trainer:
    """The networks, their optimisers, and one training step.

    Args:
        model: the network; `matcher`: the pre-trained encoders of the matching loss, which stay as they are.
        fabric: device, precision and processes (``device.fabric``).

    Raises:
        UserError: a process would have no picture of a batch, or none for the auxiliary path.
    """

    def __init__(self, model: TDANet, matcher: damsm.Matcher, config: TrainingConfig, fabric: "Fabric") -> None:
        self.config, self.fabric, self.step = config, fabric, 0
        if 0 < self._with_auxiliary < fabric.world_size or config.batch_size < fabric.world_size:
            raise UserError(
                f"Each of the {fabric.world_size} processes needs a picture of every batch, and one that takes the "
                f"auxiliary path; a batch of {config.batch_size} with auxiliary_share {config.auxiliary_share} has "
                f"{self._with_auxiliary} of those. Raise batch_size or auxiliary_share, set auxiliary_share to 0, or "
                "start fewer processes."
            )
        self.model = self._place(model).train()
        self.matcher = self._place(matcher).eval().requires_grad_(False)
        model.text.requires_grad_(config.train_text)
        with seeded(config.seed, "discriminators"):
            self.adversary = self._place(adversary.create(config, self.paths, model.downs)).train()
        self.perceptual = Perceptual("st_lpips_alex", fabric.device) if config.weight_perceptual else None
        self.average = moving_average(model, config.ema_decay)
        painted = [p for p in model.parameters() if p.requires_grad]
        self.optimisers = {
            "model": torch.optim.Adam(painted, config.learning_rate, betas=(config.momentum, 0.99), fused=True),
            "adversary": torch.optim.Adam(
                self.adversary.parameters(),
                config.discriminator_learning_rate,
                betas=(0.5 if config.discriminator == "texture" else 0.0, 0.99),
                fused=True,
            ),
        }

    @property
    def paths(self) -> tuple[str, ...]:
        """Which paths are trained: without a share for the auxiliary path, the inpainting path alone."""
        return PATHS if self.config.auxiliary_share else PATHS[:1]

    @property
    def _with_auxiliary(self) -> int:
        """How many pictures of a batch take the auxiliary path."""
        return math.ceil(self.config.auxiliary_share * self.config.batch_size)

    def _place(self, module: nn.Module) -> nn.Module:
        return self.fabric.to_device(module).to(memory_format=torch.channels_last)

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One step of the discriminators, then one of the network. Returns every loss as a number, unweighted.

        `batch` is the whole one; of several processes each takes every world-size-th picture.
        Raises TrainingDiverged before any weight is changed by a loss or gradient that is not finite.
        """
        self.step += 1
        config, fabric = self.config, self.fabric
        noise, noise_auxiliary = self._noise(batch)
        with_hole = batch.holes.flatten(1).any(dim=1).sum().clamp(min=1) / fabric.world_size  # of the whole batch
        if fabric.world_size > 1:
            batch = batch.share(fabric.global_rank, fabric.world_size)
        waits = self.step <= config.discriminator_alone
        with fabric.autocast(), torch.set_grad_enabled(not waits):
            painted = self.model(batch.images, batch.holes, batch.tokens, batch.lengths, noise, noise_auxiliary)
        pictures = {"inpainting": painted.outputs[-1]}
        if noise_auxiliary is not None:
            pictures["auxiliary"] = painted.auxiliary_outputs[-1]
        values: dict[str, Tensor] = {}
        if config.weight_adversarial:
            values["discriminators"] = self._train_adversary(batch, pictures)
        total = self._reconstruction(values, painted, batch)
        if config.weight_adversarial:
            with fabric.autocast():
                values["adversarial"] = self.adversary.generator_loss(batch, pictures)
            total = total + config.weight_adversarial * values["adversarial"]
        if self.perceptual is not None:
            spliced = adversary.splice(batch, pictures["inpainting"])
            values["perceptual"] = self.perceptual.distance(batch.images, spliced).mean()
            total = total + config.weight_perceptual * values["perceptual"]
        if config.weight_matching and self.step % config.matching_every == 0:
            values["matching"] = self._matching(pictures["inpainting"], batch)
            total = total + config.matching_every * config.weight_matching * values["matching"]
        values["total"] = total
        values["gradient"] = total.new_zeros(()) if waits else self._descend("model", total, self.model)
        if not waits:
            self.average.update_parameters(self.model)
        with torch.no_grad():
            error = (painted.outputs[-1] - batch.images).abs().mean(dim=1, keepdim=True)
            inside = (error * batch.holes).sum((1, 2, 3)) / batch.holes.sum((1, 2, 3)).clamp(min=1)
            values["hole_l1"] = inside.sum() / with_hole
            numbers = torch.stack([value.detach().float() for value in values.values()])
        if fabric.world_size > 1:
            numbers = fabric.all_reduce(numbers, reduce_op="mean")
        return dict(zip(values, numbers.tolist(), strict=True))

    def _noise(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The noise of both paths: drawn for the whole batch, so that it does not depend on the processes."""
        shape = (len(batch.images), *self.model.latent_shape(*batch.images.shape[-2:]))
        draw = torch.Generator().manual_seed(rng.torch_seed(self.config.seed, "noise", self.step))
        some = self._with_auxiliary
        mine = slice(self.fabric.global_rank, None, self.fabric.world_size)
        both = torch.randn(shape, generator=draw)[mine], torch.randn(shape, generator=draw)[:some][mine]
        noise, noise_auxiliary = (part.to(self.fabric.device) for part in both)
        return noise, noise_auxiliary if len(noise_auxiliary) else None

    def _reconstruction(self, values: dict[str, Tensor], painted: Painted, batch: Batch) -> Tensor:
        """Multi-scale L1 and KL of both paths, noted in `values`; their weighted sum."""
        config = self.config
        hole_weight = 0.0 if config.preset == "faithful" else config.hole_weight
        values["l1"] = losses.multi_scale_l1(painted.outputs, batch.images, batch.holes, hole_weight)
        if painted.auxiliary_outputs is None:  # no posterior to follow, and no latent
            return config.weight_l1 * values["l1"]
        some = len(painted.auxiliary_outputs[-1])
        images, holes = batch.images[:some], batch.holes[:some]
        values["l1_auxiliary"] = losses.multi_scale_l1(painted.auxiliary_outputs, images, holes, hole_weight)
        latent = painted.latent._replace(mean=painted.latent.mean[:some], deviation=painted.latent.deviation[:some])
        values["kl_auxiliary"], values["kl"] = losses.kl_losses(latent, painted.auxiliary_latent, holes)
        l1 = values["l1"] + config.auxiliary_share * values["l1_auxiliary"]
        return config.weight_l1 * l1 + config.weight_kl * (values["kl"] + values["kl_auxiliary"])

    def _train_adversary(self, batch: Batch, pictures: dict[str, Tensor]) -> Tensor:
        self.adversary.requires_grad_(True)
        with self.fabric.autocast():
            loss = self.adversary.discriminator_loss(batch, pictures, self.step)
        self._descend("adversary", loss, self.adversary)
        self.adversary.requires_grad_(False)  # the network's step needs its gradient, but does not change it
        return loss

    def _matching(self, pictures: Tensor, batch: Batch) -> Tensor:
        photographs = torch.from_numpy(batch.rows).to(self.fabric.device)
        with self.fabric.autocast():
            return sum(self.matcher.loss(pictures, self.matcher.text(batch.tokens, batch.lengths), photographs))

    def _descend(self, which: str, loss: Tensor, module: nn.Module) -> Tensor:
        """Backward, average over processes, clip, check, step; returns the gradient's norm before clipping."""
        optimiser = self.optimisers[which]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.fabric.world_size > 1:
            self._average_gradients(module)
        size = nn.utils.clip_grad_norm_(module.parameters(), self.config.clip_gradient)
        if not (torch.isfinite(size) and torch.isfinite(loss)):
            raise TrainingDiverged(
                f"TDANet's training diverged at step {self.step}: the loss of the {which} is {loss.item():.3g}, its "
                f"gradient {size.item():.3g}. The last checkpoint is untouched. Lower learning_rate or "
                "weight_adversarial in chapter 4, then run it."
            )
        base = self.config.learning_rate if which == "model" else self.config.discriminator_learning_rate
        for group in optimiser.param_groups:
            group["lr"] = base * learning_rate_factor(self.step, self.config.steps, self.config.warmup_steps)
        optimiser.step()
        return size

    def _average_gradients(self, module: nn.Module) -> None:
        """One message for all gradients of a module; the same parameters have gradients in every process."""
        owners = [p for p in module.parameters() if p.grad is not None]
        flat = self.fabric.all_reduce(torch.cat([p.grad.flatten() for p in owners]), reduce_op="mean")
        for parameter, part in zip(owners, flat.split([p.numel() for p in owners]), strict=True):
            parameter.grad.copy_(
                part.view_as(parameter)
            )  # in its own memory layout, which fused Adam takes for granted

    def state(self, fingerprint: str) -> dict:
        """Everything that the next step depends on."""
        return {
            "fingerprint": fingerprint,
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "adversary": self.adversary.state_dict(),
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
        }

    def restore(self, state: dict) -> None:
        """Go on from a state of :meth:`state`."""
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.adversary.load_state_dict(state["adversary"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
