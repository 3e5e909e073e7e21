"""TDANet's training as a stage of a run: the loop, its checkpoints, its validation, and what is kept.

Every `checkpoint_every` steps the whole state is written; a training that was killed continues from there and ends with
the very same weights (on the CPU). What is kept is the moving average of the weights: the last one, or with `patience`
the one that was best on validation photographs. Not here: the architecture (``nbsupport.tdanet``), one step of it
(``training.step``), what is written to be looked at (``training.progress``).
"""

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from nbsupport import quality
from nbsupport.config import NetworkConfig, TDANetConfig, TextConfig, TrainingConfig
from nbsupport.core import checkpoints, device, rng
from nbsupport.core.errors import ConfigError
from nbsupport.data import index
from nbsupport.data.captions import MANY_UNKNOWN, Vocabulary
from nbsupport.data.index import Dataset
from nbsupport.inpainters import base, tdanet
from nbsupport.runs import Run
from nbsupport.tdanet import damsm, weights
from nbsupport.tdanet.model import TDANet, create
from nbsupport.tdanet.text import words_of
from nbsupport.training import matching, progress
from nbsupport.training.batches import NamedParts, Sampler
from nbsupport.training.step import Trainer, TrainingDiverged

if TYPE_CHECKING:
    from lightning_fabric import Fabric

STATE, LOG = "checkpoints/tdanet_state.pt", "tdanet_log.csv"
BEST = "checkpoints/tdanet_best.safetensors"
#: Share of the training pictures without any hole: the arm ``reconstructed`` of chapter 6 asks for such a repainting,
#: and a network that never saw one paints something wild.
EMPTY_HOLES = 0.06
#: Steps from which a training says beforehand how long it will take; that costs some steps by itself.
ESTIMATED = 1000
#: How many times the best validation error says that the weights are lost; adversarial losses cost a tenth or two.
DIVERGED = 2.0
SHOWN = ("hole_l1", "kl", "adversarial", "matching")


@dataclass(frozen=True)
class TrainedTDANet:
    """The network in evaluation mode, the vocabulary it reads, the losses as they fell, and ``results/tdanet.json``."""

    model: TDANet
    vocabulary: Vocabulary
    log: pd.DataFrame
    result: dict


def fit(run: Run, config: TrainingConfig, watch: Callable[[pd.DataFrame], None] | None = None) -> TrainedTDANet:
    """Train TDANet on the train split (stage ``tdanet``), or continue with one that was stopped, or load it.

    Writes ``checkpoints/tdanet.safetensors`` (+ ``tdanet.json``, the TDANetConfig), ``tdanet_log.csv`` (losses of every
    step), TensorBoard curves, grids of samples, and ``results/tdanet.json``: steps, seconds, images_per_second, and on
    the test split's centre holes the in-hole L1 of TDANet and the baselines with intervals. Started by torchrun, the
    processes share each batch, and the first one writes.

    Args: watch: called with the log so far after each validation, e.g. to draw the losses as they fall.

    Raises:
        MissingStage: chapter 1 or the matching is missing. TrainingDiverged. UserError: the picture size does not fit.
    """
    stage = run.stage("tdanet", config, needs=("index", "matching"))
    if stage.finished:
        return load(run)
    fabric = device.fabric(config.precision)
    if not fabric.is_global_zero:
        _train(run, None, _trainer(run, config, fabric), stage.fingerprint)
        fabric.barrier()
        return load(run)
    with stage:
        trainer = _trainer(run, config, fabric)
        log = _train(run, watch, trainer, stage.fingerprint)
        if config.patience and (run / BEST).exists():
            checkpoints.load_into(trainer.average.module, run / BEST)
        checkpoints.save_weights(run / weights.WEIGHTS, trainer.average.module.state_dict(), trainer.model.config)
        run.write_result("tdanet", _judge(log, trainer, index.load(run)))
        stage.outputs(weights.WEIGHTS, "checkpoints/tdanet.json", LOG, "results/tdanet.json")
        stage.note(
            text_encoder=run.record("matching")["notes"].get("weights"),
            device=str(fabric.device),
            precision=device.choose(config.precision).why,
            processes=fabric.world_size,
        )
        for name in (STATE, BEST):
            (run / name).unlink(missing_ok=True)
    if fabric.world_size > 1:
        fabric.barrier()
    return load(run)


def _trainer(run: Run, config: TrainingConfig, fabric: "Fabric") -> Trainer:
    matcher, dataset = matching.load(run).model, index.load(run)
    model = build(dataset, matcher, config)
    if config.start_from:
        _start(model, config.start_from, dataset.vocabulary)
    return Trainer(model, matcher, config, fabric)


def _start(model: TDANet, source: str, vocabulary: Vocabulary) -> None:
    """Take the weights of an earlier training: a file, or a name of ``tdanet.weights``.

    A file must be of the same vocabulary. Weights of the package come with theirs: a word that both know keeps what was
    learnt of it, any other begins as it was drawn.
    """
    if source not in weights.names():
        if not Path(source).exists():
            raise ConfigError(
                f"There are no weights '{source}' to start from: neither a file nor a name of the weights that come "
                f"with the package ({', '.join(weights.names())})."
            )
        checkpoints.load_into(model, source)
        return
    other, words = weights.load(source)
    weights.check_fits(source, other.config, model.config)
    if (unknown := words.unknown_share(vocabulary.words[2:])) > MANY_UNKNOWN:
        print(f"[tdanet] {unknown:.0%} of this run's words are unknown to the weights {source}: these begin untrained.")
    state, key = other.state_dict(), "text.embedding.weight"
    state[key] = words_of(state[key], words, model.text.embedding.weight, vocabulary)
    checkpoints.fill(model, state, source)


def build(dataset: Dataset, matcher: damsm.Matcher, config: TrainingConfig) -> TDANet:
    """The untrained network for a data set, with the pre-trained text encoder in it."""
    chosen = {
        field.name: getattr(source, field.name)
        for source, kind in ((config, NetworkConfig), (matcher.config, TextConfig))
        for field in dataclasses.fields(kind)
    }
    model = create(
        TDANetConfig(
            **chosen,
            image_size=dataset.cache.size,
            vocabulary_size=matcher.config.vocabulary_size,
            latent=bool(config.auxiliary_share),  # nothing else would tell it what to carry
        ),
        config.seed,
    )
    model.latent_shape(dataset.cache.size, dataset.cache.size)  # a size that does not fit fails here, not in a forward
    model.text.load_state_dict(matcher.text.state_dict())
    return model


def load(run: Run) -> TrainedTDANet:
    """What :func:`fit` left in a run; MissingStage before chapter 4."""
    model, vocabulary = weights.load_run(run)
    return TrainedTDANet(model, vocabulary, pd.read_csv(run / LOG), run.result("tdanet"))


def _train(run: Run, watch: Callable | None, trainer: Trainer, fingerprint: str) -> pd.DataFrame:
    """The loop. Of several processes the first validates and writes; all of them hear when to stop."""
    config, fabric, dataset = trainer.config, trainer.fabric, index.load(run)
    sampler = Sampler(
        dataset,
        trainer.model.config.caption_length,
        config.batch_size,
        config.seed,
        shares=config.mask_shares,
        coverage=(config.coverage_low, config.coverage_high),
        empty=EMPTY_HOLES,
        caption_dropout=config.caption_dropout,
        named=NamedParts(dataset, quality.birds_of(run, dataset)) if _asks(dataset, config) else None,
        named_share=config.named_parts,
    )
    best, waited = math.inf, 0
    state = checkpoints.load_state(run / STATE, fingerprint)
    if state is not None:
        trainer.restore(state)
        best, waited = state["best"], state["waited"]
    first = fabric.is_global_zero
    if first and state is None:
        progress.clear(run, LOG)
    log = progress.Log(run, LOG, trainer.step) if first else None
    if state is not None and first:
        print(f"[tdanet] continues from the checkpoint of step {trainer.step}.")
    if config.steps - trainer.step >= ESTIMATED:
        told = _estimate(_trainer(run, config, fabric), sampler, config.steps - trainer.step)
        if first:
            print(f"[tdanet] {told}")
    with tqdm(total=config.steps, initial=trainer.step, desc="TDANet", unit="step", disable=not first) as bar:
        while trainer.step < config.steps and not (config.patience and waited >= config.patience):
            start = time.perf_counter()
            values = trainer.train_step(sampler.batch(trainer.step + 1, fabric.device))
            row = {"step": trainer.step, **values, "seconds": time.perf_counter() - start}
            last = trainer.step == config.steps
            if trainer.step % config.validate_every == 0 or last:
                score = validation_l1(trainer, dataset) if first else None
                score = fabric.broadcast(score) if fabric.world_size > 1 else score
                row["validation_hole_l1"] = score
                best, waited = _compare(run, trainer, score, best, waited)
            if first:
                log.add(row)
                _look(run, trainer, dataset, log, last)
                if "validation_hole_l1" in row and watch is not None:
                    watch(log.table())
                if trainer.step % config.checkpoint_every == 0:
                    log.write()
                    checkpoints.save_state(run / STATE, trainer.state(fingerprint) | {"best": best, "waited": waited})
                bar.update()
                if trainer.step % 20 == 0:
                    bar.set_postfix({name: f"{values[name]:.3f}" for name in SHOWN if name in values})
    if not first:
        return pd.DataFrame()
    table = log.write()
    log.close()
    if trainer.step < config.steps:
        print(f"[tdanet] stopped early at step {trainer.step}: {config.patience} validations without an improvement.")
    return table


def _estimate(spare: Trainer, sampler: Sampler, left: int) -> str:
    """How long `left` steps take, measured on a trainer of their own, which is thrown away: a sentence."""
    config = spare.config
    spare.step = config.discriminator_alone  # what comes before is cheaper
    lasted = []
    for number in range(1, 2 * config.matching_every + 3):
        start = time.perf_counter()
        spare.train_step(sampler.batch(number, spare.fabric.device))
        lasted.append(time.perf_counter() - start)
    each = float(np.mean(lasted[2:]))  # the first ones are slower
    said = f"{left:,} steps of {config.batch_size} photographs at {config.batch_size / each:.0f} photographs/s"
    return f"{said}: about {max(1, round(left * each / 60)):,} minutes, beside what else this machine does."


def _asks(dataset: Dataset, config: TrainingConfig) -> bool:
    """Whether whole parts are hidden under captions that name them: where somebody knows the parts."""
    return bool(config.named_parts) and dataset.config.dataset == "synthetic"


def _compare(run: Run, trainer: Trainer, score: float | None, best: float, waited: int) -> tuple[float, int]:
    """The best validation so far and how many came since; with `patience` the best weights are kept.

    Raises TrainingDiverged where the error is :data:`DIVERGED` times the best one: no loss need be infinite for it.
    """
    if score is None:
        return best, waited
    if score > DIVERGED * best:
        raise TrainingDiverged(
            f"TDANet's training diverged by step {trainer.step}: the L1 in the hole of validation photographs is "
            f"{score:.3f}, after {best:.3f}. Lower learning_rate ({trainer.config.learning_rate:g}) or "
            "weight_adversarial in chapter 4, then run it; it begins anew."
        )
    if score >= best:
        return best, waited + 1
    if trainer.config.patience and trainer.fabric.is_global_zero:
        checkpoints.save_weights(run / BEST, trainer.average.module.state_dict())
    return score, 0


def _look(run: Run, trainer: Trainer, dataset: Dataset, log: progress.Log, last: bool, most: int = 8) -> None:
    """Every `sample_every` steps, and at the end, fill the same few photographs and keep the picture of it."""
    every = trainer.config.sample_every
    rows = _chosen(dataset.rows("validation"), most, trainer.config.seed, "samples")
    if not every or not len(rows) or not (trainer.step % every == 0 or last):
        return
    images = dataset.cache.batch(rows)
    holes = quality.centre_holes(len(rows), images.shape[1:3])
    captions, _ = quality.pick_captions(dataset, rows, trainer.config.seed)
    output = inpainter(trainer, dataset.vocabulary).fill(images, holes, captions, seeds=[int(row) for row in rows])
    shown = np.where(holes[..., None], np.uint8(128), images)
    picture = progress.grid([shown, base.splice(images, output, holes), output, images])
    progress.save_grid(run, picture, trainer.step)
    log.add_picture("hole, filled, whole output, photograph", picture, trainer.step)


def inpainter(trainer: Trainer, vocabulary: Vocabulary) -> tdanet.TDANetInpainter:
    """The moving average of a training as an inpainter; it stays in evaluation mode, the trained network does not."""
    return tdanet.TDANetInpainter(trainer.average.module, vocabulary, trainer.config.precision)


def validation_l1(trainer: Trainer, dataset: Dataset, most: int = 128) -> float | None:
    """Mean in-hole L1 on the centre holes of up to `most` validation photographs, drawn by the seed; None without any.

    The index is in the order of the files, often by species: its first rows are no sample of it.
    """
    rows = _chosen(dataset.rows("validation"), most, trainer.config.seed, "validation")
    if not len(rows):
        return None
    captions, _ = quality.pick_captions(dataset, rows, trainer.config.seed)
    network, errors = inpainter(trainer, dataset.vocabulary), []
    for start in range(0, len(rows), 32):
        part = slice(start, start + 32)
        images = dataset.cache.batch(rows[part])
        holes = quality.centre_holes(len(images), images.shape[1:3])
        output = network.fill(images, holes, captions[part], seeds=[int(row) for row in rows[part]])
        errors.append(quality.hole_l1(images, output, holes))
    return float(np.concatenate(errors).mean())


def _chosen(rows: np.ndarray, most: int, seed: int, purpose: str) -> np.ndarray:
    """At most `most` of the rows, drawn without replacement by the seed, in their order."""
    if len(rows) <= most:
        return rows
    return np.sort(rng.generator(seed, purpose).choice(rows, most, replace=False))


def _judge(log: pd.DataFrame, trainer: Trainer, dataset: Dataset, most: int = 500) -> dict:
    """What ``results/tdanet.json`` holds. At most 500 test photographs are judged, chosen by the seed."""
    config = trainer.config
    rows = _chosen(dataset.rows("test"), most, config.seed, "judged")
    seconds = float(log["seconds"].sum())
    result = {
        "steps": len(log),
        "batch_size": config.batch_size,
        "images": len(log) * config.batch_size,
        "seconds": seconds,
        "images_per_second": len(log) * config.batch_size / seconds,
        "median_step_seconds": float(log["seconds"].median()),
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "preset": config.preset,
        "hole_l1_first_steps": float(log["hole_l1"].head(10).mean()),
        "hole_l1_last_steps": float(log["hole_l1"].tail(10).mean()),
        "validation_hole_l1": float(log["validation_hole_l1"].dropna().iloc[-1]),
    }
    if len(rows):
        table = quality.compare(dataset, inpainter(trainer, dataset.vocabulary), rows, config.seed)
        result |= quality.summary(table, config.seed)
    return result
