"""Detectors' training: one plain loop, the same for all, on batches that hold both members of every pair.

A detector that sees a photograph and, in the same batch, the same photograph with a hole painted in, gains nothing from
what the photograph shows: only the paint tells the two apart. Each batch holds as many photographs as fakes, so that
"real" and "inpainted" are equally likely beforehand. The best epoch is chosen by AUROC on validation photographs, then
the logits are calibrated there; test photographs are scored once, at the end. Each detector is finished by
itself: a run that was stopped, or that asks for one detector more, trains only what it lacks, and a training that was
killed continues from its last epoch, to the very same weights (on the CPU).
Not here: which networks there are (``detectors.zoo``), what the scores mean (``evaluation.detector_metrics``).
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from sklearn.metrics import roc_auc_score
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm.auto import tqdm

from nbsupport import pairs
from nbsupport.config import DetectorConfig
from nbsupport.core import checkpoints, device, rng
from nbsupport.core.errors import ConfigError, UserError
from nbsupport.core.files import atomic_path, fingerprint, read_json, write_json
from nbsupport.core.rng import seeded
from nbsupport.detectors import corruptions, platt, predict, scores, transfer, zoo
from nbsupport.pairs import Pairs
from nbsupport.pairs.planning import REAL, classes
from nbsupport.runs import Run, Stage
from nbsupport.stats.calibration import fit_band

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Batch:
    """Manifest rows (B,) int64 of a batch, labels (B,) float32 (1 = inpainted), flips (B,) bool (left to right)."""

    rows: np.ndarray
    labels: np.ndarray
    flips: np.ndarray


class PairSampler:
    """Batches of pairs: one of a photograph's fakes, drawn again in each epoch, and its real twin, flipped alike.

    The twin is of the real arm that ``planning.REAL`` names for the fake's arm: the untouched photograph, and for a
    fake that was encoded once more the photograph that was too. A pure function of ``(seed, epoch)``.

    Args:
        manifest: of the pairs, with its positions as index.
        fake_arms: the arms to draw fakes from.
        size: pictures in a batch; batches of an epoch differ by one pair at most.
        count: photographs to use (0: all), the same ones in every epoch; those of a smaller count are among those of a
            larger one.
        inpainters: draw only fakes that these painted; empty: of all.

    Raises:
        UserError: fewer than two photographs have a fake. ConfigError: as ``planning.classes``.
    """

    def __init__(
        self,
        manifest: pd.DataFrame,
        fake_arms: Sequence[str],
        size: int,
        count: int,
        seed: int,
        inpainters: Sequence[str] = (),
    ) -> None:
        used = classes(manifest, fake_arms, inpainters=inpainters)
        fake, real = (used[used["label"] == label] for label in ("fake", "real"))
        twin = pd.Series(real.index, pd.MultiIndex.from_frame(real[["image_id", "arm"]]))
        wanted = pd.MultiIndex.from_arrays([fake["image_id"], fake["arm"].map(REAL)])
        both = pd.DataFrame({"image_id": fake["image_id"], "fake": fake.index, "real": twin.reindex(wanted).to_numpy()})
        rows = both.dropna().groupby("image_id", sort=False)[["real", "fake"]]
        self.pairs = [own.to_numpy(np.int64) for _, own in rows]  # (fakes, 2) each: a real row and a fake row
        if count and count < len(self.pairs):
            chosen = rng.generator(seed, "training photographs").permutation(len(self.pairs))[:count]
            self.pairs = [self.pairs[n] for n in np.sort(chosen)]
        if len(self.pairs) < 2:
            raise UserError(
                f"The training split holds {len(self.pairs)} photographs with fakes of the arms "
                f"{', '.join(fake_arms)}; at least 2 are needed. Make more pairs in chapter 6."
            )
        self.seed, self.batches = seed, -(-len(self.pairs) // max(size // 2, 2))
        self.batches = min(self.batches, len(self.pairs) // 2)  # batch normalisation needs more than one pair

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch; every photograph is in exactly one of them."""
        generator = rng.generator(self.seed, "batches", number)
        for chosen in np.array_split(generator.permutation(len(self.pairs)), self.batches):
            drawn = np.stack([generator.choice(self.pairs[n]) for n in chosen])  # (B / 2, 2)
            labels = np.repeat(np.float32([0, 1]), len(chosen))
            yield Batch(drawn.T.ravel(), labels, np.tile(generator.random(len(chosen)) < 0.5, 2))

    def degrade(self, epoch: int, number: int, batch: Batch, pictures: np.ndarray, names: Sequence[str], share: float):
        """Augment the pictures (B, H, W, 3) uint8 of batch `number` of an epoch in place: flips, then corruptions."""
        pictures[batch.flips] = pictures[batch.flips, :, ::-1]  # the third axis is the width
        if names:
            members = np.tile(np.arange(len(batch.rows) // 2), 2)
            generator = rng.generator(self.seed, "degradations", epoch, number)
            corruptions.augment(pictures, members, names, share, generator)


HELD_OUT = ("validation", "test")
SAVE_EVERY = 5.0  # seconds between the states that a killed training can continue from, at the ends of epochs
_FORMAT = 4  # of records and weights: a detector kept by an older version is trained again


class TrainingDiverged(UserError):
    """The loss of a detector is no longer a finite number."""


def fit(run: Run, config: DetectorConfig) -> pd.DataFrame:
    """The stage "detectors": train every detector with every seed, then score validation and test pictures.

    Writes ``checkpoints/detector_<name>_seed<k>`` (.safetensors, .json, .csv) and ``scores.parquet``.

    Returns:
        What was noted of each: :func:`trained`.

    Raises:
        MissingStage: chapter 6 has not run.
        UserError: weights that cannot be had, too few pictures, or a loss that is no number.
    """
    _check(config)
    searched = any(zoo.entry(name).searchable for name in config.names)
    stage = run.stage("detectors", config, needs=("pairs", "search") if searched else ("pairs",))
    if not stage.finished:
        with stage:
            made = pairs.load(run)
            held_out = pairs.classes(made.manifest, config.fake_arms, HELD_OUT, config.inpainters)
            pictures = made.cache[held_out.index.to_numpy()]
            tables, used = [], {}
            for name in config.names:
                for seed in config.seeds:
                    record = fit_one(run, made, config, name, seed, stage)
                    detector = predict.load_checkpoint(predict.checkpoint(run, name, seed))
                    logits = predict.score(detector, pictures, precision=config.precision)
                    tables.append(scores.table(held_out, logits, name, seed))
                    used[f"{name} seed {seed}"] = record["weights_used"]
            scores.write(run, scores.DETECTORS, tables)
            stage.outputs(scores.DETECTORS)
            stage.note(weights=used, device=str(device.choose(config.precision)))
    return trained(run)


def trained(run: Run) -> pd.DataFrame:
    """One row for each trained detector: weights, parameters, speed, best epoch, temperature, threshold, log."""
    records = [read_json(predict.checkpoint(run, *key).with_suffix(".json")) for key in predict.available(run)]
    return pd.DataFrame(records)


def log(run: Run, name: str, seed: int = 0) -> pd.DataFrame:
    """The training log of a detector: epoch, step, loss, validation_loss, validation_auroc, seconds, thawed groups."""
    return pd.read_csv(predict.checkpoint(run, name, seed).with_suffix(".csv"))


def fit_one(run: Run, made: Pairs, config: DetectorConfig, name: str, seed: int, stage: Stage) -> dict:
    """Train one detector, or load its record when it was trained before with these parameters on these pairs."""
    path = predict.checkpoint(run, name, seed)
    common = {key: value for key, value in config.to_mapping().items() if key not in ("names", "seeds")}
    architecture = run.result("search")["chosen"]["architecture"] if zoo.entry(name).searchable else None
    mark = fingerprint([_FORMAT, name, seed, common, stage.inputs["pairs"], architecture, stage.code, stage.weights])
    files = [path.with_suffix(suffix) for suffix in (".safetensors", ".csv", ".json")]
    stage.outputs(*files)
    if all(file.exists() for file in files) and read_json(files[-1]).get("fingerprint") == mark:
        print(f"[detectors] {name}, seed {seed}: trained before with these parameters, loaded.")
        return read_json(files[-1])
    files[-1].unlink(missing_ok=True)  # the record comes last: while it is missing, nothing here counts
    state = path.with_name(f"{path.stem}_state.pt")
    weights, history, record = train(made, config, name, seed, state, mark, architecture)
    checkpoints.save_weights(path, weights)
    with atomic_path(files[1]) as temporary:
        history.to_csv(temporary, index=False)
    record |= {"fingerprint": mark}
    write_json(files[-1], record)
    state.unlink(missing_ok=True)
    return record


def train(
    made: Pairs,
    config: DetectorConfig,
    name: str,
    seed: int,
    state: Path | None = None,
    mark: str = "",
    architecture: Mapping[str, Any] | None = None,
    report: Callable[[int, float], None] | None = None,
    quiet: bool = False,
) -> tuple[dict, pd.DataFrame, dict]:
    """Train one detector.

    Args:
        state: where to keep, at the ends of epochs, what a killed training needs; `mark` says whose it is.
        architecture: of the detector ``searched``. report: called after each epoch with its number (from 1) and AUROC
            on validation; it may raise, to give up. quiet: without a progress bar.

    Returns:
        the best epoch's weights, the log by epochs, and the record.
    """
    training = made.manifest[made.manifest["split"] == "train"]
    validation = pairs.classes(made.manifest, config.fake_arms, ("validation",), config.inpainters)
    sampler = PairSampler(training, config.fake_arms, config.batch_size, config.train_count, seed, config.inpainters)
    checked, truth = made.cache[validation.index.to_numpy()], (validation["label"] == "fake").to_numpy().astype(int)
    place, size = device.choose(config.precision), made.cache.shape[1]
    model, used = zoo.create(name, config.weights, size, config.dense_stem, seed, architecture)
    place.place(model)
    progress = Progress()
    if zoo.trainable(model):
        _optimise(model, made, sampler, checked, truth, config, progress, name, state, mark, report, quiet)
    else:
        progress.keep(model, 0, predict.raw_logits(model.eval(), checked, place), truth)
    temperature, shift = platt.fit(progress.logits, truth)
    calibrated = (progress.logits - shift) / temperature
    record = {
        "name": name,
        "seed": seed,
        "weights_used": used,
        "image_size": size,
        "dense_stem": config.dense_stem,
        "architecture": dict(architecture) if architecture else None,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "transfer": config.transfer,
        "augment": list(config.augment),
        "augment_share": config.augment_share,
        "fake_arms": list(config.fake_arms),
        "inpainters": list(config.inpainters),
        "training_photographs": len(sampler.pairs),
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "validation_auroc": progress.best[0],
        "temperature": temperature,
        "shift": shift,
        "threshold": platt.fit_threshold(calibrated, truth),
        "band": fit_band(truth == 1, expit(calibrated)).to_mapping(),  # of the verdict real / unsure / inpainted
        "seconds": round(progress.seconds, 2),
        "images_per_second": round(progress.seen / progress.seconds, 1) if progress.seconds else None,
        "precision": str(place.dtype).removeprefix("torch."),
        "device": str(place.device),
    }
    columns = ["epoch", "step", "loss", "validation_loss", "validation_auroc", "seconds", "thawed"]
    return progress.kept, pd.DataFrame(progress.history, columns=columns), record


@dataclass
class Progress:
    """How far a training has come, and the best epoch's weights and raw validation logits so far."""

    epoch: int = 0
    best: tuple[float, float] = (-1.0, 0.0)  # AUROC and minus the loss, on validation
    best_epoch: int = 0
    history: list[list[float]] = field(default_factory=list)
    seconds: float = 0.0
    seen: int = 0  # pictures
    kept: dict[str, torch.Tensor] = field(default_factory=dict)
    logits: np.ndarray = field(default_factory=lambda: np.empty(0))

    def keep(self, model: torch.nn.Module, epoch: int, logits: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
        """Note AUROC and loss of an epoch's raw validation logits, and its weights if it is the best so far."""
        auroc, loss = _auroc(truth, logits), platt.balanced_loss(logits, truth)
        if (auroc, -loss) > self.best or not self.kept:
            self.best, self.best_epoch, self.logits = (auroc, -loss), epoch, logits
            self.kept = {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
        self.epoch = epoch
        return auroc, loss


def _optimise(
    model: torch.nn.Module,
    made: Pairs,
    sampler: PairSampler,
    checked: np.ndarray,
    truth: np.ndarray,
    config: DetectorConfig,
    progress: Progress,
    name: str,
    state: Path | None,
    mark: str,
    report: Callable[[int, float], None] | None,
    quiet: bool,
) -> None:
    """The training loop: epochs over the sampler's pairs; `progress` holds what came of it. See :func:`train`."""
    place, fabric, seed = device.choose(config.precision), device.fabric(config.precision), sampler.seed
    schedule = transfer.Schedule(model, config.transfer, config.layer_decay)
    optimiser = torch.optim.AdamW(
        schedule.parameter_groups(config.learning_rate), config.learning_rate, weight_decay=0.01, fused=True
    )
    steps = config.epochs * sampler.batches
    rates = torch.optim.lr_scheduler.OneCycleLR(  # warm-up, then half a cosine down to nothing
        optimiser, [group["lr"] for group in optimiser.param_groups], total_steps=steps + 1,
        pct_start=min(0.15, 50 / steps), cycle_momentum=False,
    )  # fmt: skip
    parts: dict[str, Any] = {"model": model, "optimiser": optimiser, "rates": rates}
    found = checkpoints.load_state(state, mark) if state is not None else None
    if found is not None:
        for key, part in parts.items():
            part.load_state_dict(found[key])
        vars(progress).update(found["progress"] | {"logits": found["progress"]["logits"].numpy()})
        progress.best = tuple(progress.best)
        print(f"[detectors] {name}, seed {seed}: continues after epoch {progress.epoch}.")
    saved = time.perf_counter()
    with tqdm(
        total=steps, initial=progress.epoch * sampler.batches, desc=f"{name}, seed {seed}", unit="step", disable=quiet
    ) as bar:
        for epoch in range(progress.epoch, config.epochs):
            begin, losses = time.perf_counter(), []
            thawed = schedule.begin(epoch, config.epochs)
            with seeded(seed, "training", name, epoch):  # dropout
                for number, batch in enumerate(sampler.epoch(epoch)):
                    pictures = made.cache[batch.rows]
                    sampler.degrade(epoch, number, batch, pictures, config.augment, config.augment_share)
                    losses.append(step(model, pictures, batch.labels, optimiser, fabric))
                    if not np.isfinite(losses[-1]):
                        raise TrainingDiverged(
                            f"The loss of '{name}' is no finite number in epoch {epoch + 1}. Use a smaller "
                            f"learning_rate than {config.learning_rate:g} in chapter 7."
                        )
                    rates.step()
                    progress.seen += len(batch.rows)
                    bar.update()
            progress.seconds += time.perf_counter() - begin
            auroc, loss = progress.keep(model, epoch + 1, predict.raw_logits(model.eval(), checked, place), truth)
            taken = len(losses) * (epoch + 1)
            progress.history.append([epoch + 1, taken, float(np.mean(losses)), loss, auroc, progress.seconds, thawed])
            bar.set_postfix(loss=f"{np.mean(losses):.3f}", validation_auroc=f"{auroc:.3f}")
            if report is not None:
                report(epoch + 1, auroc)
            if state is not None and time.perf_counter() - saved > SAVE_EVERY and epoch + 1 < config.epochs:
                so_far = vars(progress) | {"logits": torch.from_numpy(progress.logits)}
                whole = {key: part.state_dict() for key, part in parts.items()}
                checkpoints.save_state(state, whole | {"progress": so_far, "fingerprint": mark})
                saved = time.perf_counter()


def step(model, pictures: np.ndarray, labels: np.ndarray, optimiser, fabric: "Fabric") -> float:
    """One step of the optimiser on pictures (B, H, W, 3) uint8 and labels (B,) float32; returns the loss."""
    images, labels = predict.to_tensor(pictures, fabric.device), torch.from_numpy(labels).to(fabric.device)
    with fabric.autocast():
        logits = model(images)
    loss = binary_cross_entropy_with_logits(logits, labels)
    optimiser.zero_grad(set_to_none=True)
    fabric.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimiser.step()
    return loss.item()


def _auroc(truth: np.ndarray, logits: np.ndarray) -> float:
    if len(np.unique(truth)) < 2 or not np.isfinite(logits).all():
        raise UserError(
            "The validation split holds one class only, or a detector gave no finite number there. Use more "
            "photographs (chapters 1 and 6) or a smaller learning_rate (chapter 7)."
        )
    return float(roc_auc_score(truth, logits))


def _check(config: DetectorConfig) -> None:
    """Raise :class:`ConfigError` before any training for names that no one knows."""
    for name in config.names:
        zoo.entry(name)
    for what, values in (("name", config.names), ("seed", config.seeds)):
        if not values or len(set(values)) < len(values):
            raise ConfigError(f"DetectorConfig needs at least one {what} and none twice, got {values!r}.")
