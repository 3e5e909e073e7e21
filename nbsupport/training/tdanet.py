"""TDANet's training: one plain loop over both paths, two discriminators and the matching loss.

Each step is a pure function of the weights and of ``(seed, step)``, and every `checkpoint_every` steps the whole state
is written; a training that was killed goes on from there and ends with the very same weights (on the CPU). A loss that
is no longer finite stops the training before it reaches the weights. Not here: the architecture (``nbsupport.tdanet``).
"""

import math
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from nbsupport import inpainters, quality, rng
from nbsupport.config import TDANetConfig, TrainingConfig
from nbsupport.data import index
from nbsupport.data.captions import Vocabulary
from nbsupport.data.index import Dataset
from nbsupport.errors import UserError
from nbsupport.runs import Run, Stage, atomic_path
from nbsupport.tdanet import losses
from nbsupport.tdanet.discriminator import Discriminator
from nbsupport.tdanet.layers import seeded
from nbsupport.tdanet.model import TDANet, create
from nbsupport.training import checkpoints, device, matching
from nbsupport.training.batches import Batch, Sampler

WEIGHTS, STATE, LOG = "checkpoints/tdanet.safetensors", "checkpoints/tdanet_state.pt", "tdanet_log.csv"
PATHS = ("inpainting", "auxiliary")


class TrainingDiverged(UserError):
    """A loss or a gradient is no longer a finite number."""


@dataclass(frozen=True)
class TrainedTDANet:
    """The network in evaluation mode, the vocabulary it reads, the losses as they fell, and ``results/tdanet.json``."""

    model: TDANet
    vocabulary: Vocabulary
    log: pd.DataFrame
    result: dict


def learning_rate_factor(step: int, steps: int) -> float:
    """Warm-up over the first steps, then half a cosine down to 2 %: the factor of the learning rate in (0, 1]."""
    warm = max(1, min(100, steps // 10))
    if step <= warm:
        return step / warm
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


class Trainer:
    """The networks, their optimisers, and one training step."""

    def __init__(self, model: TDANet, matcher: matching.Matcher, config: TrainingConfig, place: device.Device) -> None:
        self.config, self.place, self.step = config, place, 0
        self.model = place.place(model).train()
        self.matcher = place.place(matcher).eval().requires_grad_(False)
        model.text.requires_grad_(config.train_text)
        with seeded(config.seed, "discriminators"):
            self.judges = place.place(
                nn.ModuleDict({path: Discriminator(config.base_channels, model.downs) for path in PATHS})
            ).train()
        painted = [p for p in model.parameters() if p.requires_grad]
        self.optimisers = {
            "model": torch.optim.Adam(painted, config.learning_rate, betas=(0.9, 0.999), fused=True),
            "judges": torch.optim.Adam(
                self.judges.parameters(), config.discriminator_learning_rate, betas=(0.0, 0.999), fused=True
            ),
        }

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One step of the discriminators, then one of the network. Returns every loss as a number, unweighted.

        Raises TrainingDiverged before any weight is changed by a loss or gradient that is not finite.
        """
        self.step += 1
        config = self.config
        noise = self._noise(batch)
        with self.place.autocast():
            painted = self.model(batch.images, batch.holes, batch.tokens, batch.lengths, *noise)
        pictures = {"inpainting": painted.outputs[-1], "auxiliary": painted.auxiliary_outputs[-1]}
        values: dict[str, Tensor] = {}
        if config.weight_adversarial:
            values["discriminators"] = self._train_judges(batch.images, pictures)
        hole_weight = 0.0 if config.preset == "faithful" else config.hole_weight
        l1 = [
            losses.multi_scale_l1(outputs, batch.images, batch.holes, hole_weight)
            for outputs in (painted.outputs, painted.auxiliary_outputs)
        ]
        values["l1"], values["l1_auxiliary"] = l1
        kl = losses.kl_losses(painted.latent, painted.auxiliary_latent, batch.holes)
        values["kl_auxiliary"], values["kl"] = kl
        total = config.weight_l1 * sum(l1) + config.weight_kl * sum(kl)
        if config.weight_adversarial:
            values["adversarial"] = self._fooled(pictures)
            total = total + config.weight_adversarial * values["adversarial"]
        if config.weight_matching:
            values["matching"] = self._matching(pictures["inpainting"], batch)
            total = total + config.weight_matching * values["matching"]
        values["total"] = total
        values["gradient"] = self._descend("model", total, self.model, largest=10.0)
        with torch.no_grad():
            error = (painted.outputs[-1] - batch.images).abs().mean(dim=1, keepdim=True)
            values["hole_l1"] = (error * batch.holes).sum() / batch.holes.sum()
        return {name: float(value.detach()) for name, value in values.items()}

    def _noise(self, batch: Batch) -> list[Tensor]:
        shape = (len(batch.images), *self.model.latent_shape(*batch.images.shape[-2:]))
        draw = torch.Generator().manual_seed(rng.torch_seed(self.config.seed, "noise", self.step))
        return [torch.randn(shape, generator=draw).to(self.place.device) for _ in PATHS]

    def _train_judges(self, images: Tensor, pictures: dict[str, Tensor]) -> Tensor:
        self.judges.requires_grad_(True)
        loss = images.new_zeros(())
        with self.place.autocast():
            for path, judge in self.judges.items():
                real, fake = judge(torch.cat([images, pictures[path].detach()])).chunk(2)
                loss = loss + losses.lsgan_discriminator(real, fake)
        self._descend("judges", loss, self.judges, largest=10.0)
        self.judges.requires_grad_(False)  # the network's step needs their gradient, but does not change them
        return loss

    def _fooled(self, pictures: dict[str, Tensor]) -> Tensor:
        with self.place.autocast():
            return sum(losses.lsgan_generator(judge(pictures[path])) for path, judge in self.judges.items())

    def _matching(self, pictures: Tensor, batch: Batch) -> Tensor:
        photographs = torch.from_numpy(batch.rows).to(self.place.device)
        with self.place.autocast():
            return sum(self.matcher.loss(pictures, self.matcher.text(batch.tokens, batch.lengths), photographs))

    def _descend(self, which: str, loss: Tensor, module: nn.Module, largest: float) -> Tensor:
        """Backward, clip, check, step; returns the gradient's norm before clipping."""
        optimiser = self.optimisers[which]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        size = nn.utils.clip_grad_norm_(module.parameters(), largest)
        if not (torch.isfinite(size) and torch.isfinite(loss)):
            raise TrainingDiverged(
                f"TDANet's training diverged at step {self.step}: the loss of the {which} is {loss.item():.3g}. "
                "The last checkpoint is untouched. Lower learning_rate or weight_adversarial in chapter 4, then run it."
            )
        base = self.config.learning_rate if which == "model" else self.config.discriminator_learning_rate
        for group in optimiser.param_groups:
            group["lr"] = base * learning_rate_factor(self.step, self.config.steps)
        optimiser.step()
        return size

    def state(self, fingerprint: str) -> dict:
        """Everything that the next step depends on."""
        return {
            "fingerprint": fingerprint,
            "step": self.step,
            "model": self.model.state_dict(),
            "judges": self.judges.state_dict(),
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
        }

    def restore(self, state: dict) -> None:
        """Go on from a state of :meth:`state`."""
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.judges.load_state_dict(state["judges"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])


def fit(run: Run, config: TrainingConfig) -> TrainedTDANet:
    """Train TDANet on the train split (stage ``tdanet``), or go on with one that was stopped, or load it.

    Writes ``checkpoints/tdanet.safetensors`` (+ ``tdanet.json``, the TDANetConfig), ``tdanet_log.csv`` (losses of every
    step) and ``results/tdanet.json``: steps, seconds, images_per_second, and on the test split's centre holes the
    in-hole L1 of TDANet and the baselines with intervals.

    Raises:
        MissingStage: chapter 1 or the matching is missing. TrainingDiverged. UserError: the picture size does not fit.
    """
    stage = run.stage("tdanet", config, needs=("index", "matching"))
    if stage.finished:
        return _load(run)
    with stage:
        dataset, place = index.load(run), device.choose(config.precision)
        matcher = matching.load(run).model
        model = build(dataset, matcher, config)
        trainer = Trainer(model, matcher, config, place)
        log = _train(run, stage, trainer, dataset)
        checkpoints.save_weights(run / WEIGHTS, model.state_dict(), model.config)
        run.write_result("tdanet", _judge(run, log, trainer, dataset))
        stage.outputs(WEIGHTS, "checkpoints/tdanet.json", LOG, "results/tdanet.json")
        stage.note(
            text_encoder=run.record("matching")["notes"].get("weights"), device=str(place.device), precision=place.why
        )
        (run / STATE).unlink(missing_ok=True)
    return _load(run)


def build(dataset: Dataset, matcher: matching.Matcher, config: TrainingConfig) -> TDANet:
    """The untrained network for a data set, with the pre-trained text encoder in it."""
    text = matcher.config
    model = create(
        TDANetConfig(
            image_size=dataset.cache.size,
            preset=config.preset,
            base_channels=config.base_channels,
            latent_channels=config.latent_channels,
            text_channels=text.text_channels,
            word_channels=text.word_channels,
            caption_length=text.caption_length,
            vocabulary_size=text.vocabulary_size,
        ),
        config.seed,
    )
    model.latent_shape(dataset.cache.size, dataset.cache.size)  # a size that does not fit fails here, not in a forward
    model.text.load_state_dict(matcher.text.state_dict())
    return model


def load(run: Run) -> tuple[TDANet, Vocabulary]:
    """The trained network of a run (evaluation mode, on the CPU) and its vocabulary; MissingStage before chapter 4."""
    run.require("tdanet")
    with seeded(0):  # the first weights are overwritten, but drawing them must not move the global state
        model = TDANet(checkpoints.read_config(run / WEIGHTS, TDANetConfig))
    checkpoints.load_into(model, run / WEIGHTS)
    return model.eval(), index.load(run).vocabulary


def _load(run: Run) -> TrainedTDANet:
    model, vocabulary = load(run)
    return TrainedTDANet(model, vocabulary, pd.read_csv(run / LOG), run.result("tdanet"))


def _train(run: Run, stage: Stage, trainer: Trainer, dataset: Dataset) -> pd.DataFrame:
    config, home = trainer.config, trainer.place.device
    sampler = Sampler(
        dataset,
        trainer.model.config.caption_length,
        config.batch_size,
        config.seed,
        kinds=config.mask_kinds,
        coverage=(config.coverage_low, config.coverage_high),
    )
    rows: list[dict[str, float]] = []
    state = checkpoints.load_state(run / STATE, stage.fingerprint)
    if state is not None and (run / LOG).exists():
        trainer.restore(state)
        rows = pd.read_csv(run / LOG).query("step <= @trainer.step").to_dict("records")
        print(f"[tdanet] goes on from the checkpoint of step {trainer.step}.")
    progress = tqdm(total=config.steps, initial=trainer.step, desc="TDANet", unit="step", mininterval=1.0)
    with progress:
        while trainer.step < config.steps:
            start = time.perf_counter()
            values = trainer.train_step(sampler.batch(trainer.step + 1, home))
            rows.append({"step": trainer.step, **values, "seconds": time.perf_counter() - start})
            if trainer.step % config.validate_every == 0 or trainer.step == config.steps:
                rows[-1]["validation_hole_l1"] = validation_l1(trainer.model, dataset, trainer.place, config.seed)
            if trainer.step % config.checkpoint_every == 0:
                _write_log(run, rows)
                checkpoints.save_state(run / STATE, trainer.state(stage.fingerprint))
            progress.update()
            if trainer.step % 20 == 0:
                shown = ("hole_l1", "kl", "adversarial", "matching")
                progress.set_postfix({name: f"{values[name]:.3f}" for name in shown if name in values})
    return _write_log(run, rows)


def _write_log(run: Run, rows: list[dict[str, float]]) -> pd.DataFrame:
    log = pd.DataFrame(rows)
    with atomic_path(run / LOG) as temporary:
        log.to_csv(temporary, index=False)
    return log


def validation_l1(model: TDANet, dataset: Dataset, place: device.Device, seed: int, most: int = 64) -> float | None:
    """Mean in-hole L1 on the centre holes of up to `most` validation photographs; None when there are none."""
    rows = dataset.rows("validation")[:most]
    if not len(rows):
        return None
    painter = inpainters.TDANetInpainter(model, dataset.vocabulary)
    painter.device = place
    table = quality.compare(dataset, painter, rows, seed, baselines=())
    model.train()
    return float(table["tdanet"].mean())


def _judge(run: Run, log: pd.DataFrame, trainer: Trainer, dataset: Dataset, most: int = 500) -> dict:
    """What ``results/tdanet.json`` holds. At most 500 test photographs are judged, chosen by the seed."""
    config, rows = trainer.config, dataset.rows("test")
    if len(rows) > most:
        rows = np.sort(rng.generator(config.seed, "judged").choice(rows, most, replace=False))
    seconds = float(log["seconds"].sum())
    result = {
        "steps": config.steps,
        "batch_size": config.batch_size,
        "images": config.steps * config.batch_size,
        "seconds": seconds,
        "images_per_second": config.steps * config.batch_size / seconds,
        "median_step_seconds": float(log["seconds"].median()),
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "preset": config.preset,
        "hole_l1_first_steps": float(log["hole_l1"].head(10).mean()),
        "hole_l1_last_steps": float(log["hole_l1"].tail(10).mean()),
        "validation_hole_l1": float(log["validation_hole_l1"].iloc[-1]),
    }
    if len(rows):
        painter = inpainters.TDANetInpainter(trainer.model, dataset.vocabulary)
        painter.device = trainer.place
        result |= quality.summary(quality.compare(dataset, painter, rows, config.seed), config.seed)
    return result
