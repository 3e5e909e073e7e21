"""Detectors' training: one plain loop, the same for all, on batches that hold both members of every pair.

A detector that sees a photograph and, in the same batch, the same photograph with a hole painted in, gains nothing from
what the photograph shows: only the paint tells the two apart. Each batch holds as many photographs as fakes, so that
"real" and "inpainted" are equally likely beforehand. The best epoch is chosen by AUROC on validation photographs, then
the logits are calibrated there; test photographs are scored once, at the end. Each detector is finished by
itself: a run that was stopped, or that asks for one detector more, trains only what it lacks.
Not here: which networks there are (``detectors.zoo``), what the scores mean (``detectors.comparison``).
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm.auto import tqdm

from nbsupport import pairs, rng
from nbsupport.config import DetectorConfig
from nbsupport.detectors import calibration, predict, scores, zoo
from nbsupport.errors import ConfigError, UserError, unknown
from nbsupport.pairs import Pairs
from nbsupport.runs import Run, Stage, atomic_path, fingerprint, read_json, write_json
from nbsupport.tdanet.layers import seeded
from nbsupport.training import checkpoints, device

HELD_OUT = ("validation", "test")
_FORMAT = 2  # of records and weights: a detector kept by an older version is trained again


@dataclass(frozen=True)
class Batch:
    """Manifest rows (B,) int64 of a batch, labels (B,) float32 (1 = inpainted), flips (B,) bool (left to right)."""

    rows: np.ndarray
    labels: np.ndarray
    flips: np.ndarray


class PairSampler:
    """Batches of pairs: a photograph and one of its fakes, drawn anew in each epoch, flipped alike.

    A pure function of ``(seed, epoch)``.

    Args:
        manifest: of the pairs, with its positions as index.
        fake_arms: the arms to draw fakes from.
        size: pictures in a batch; batches of an epoch differ by one pair at most.
        count: photographs to use (0: all), the same ones in every epoch.

    Raises:
        UserError: fewer than two photographs have a fake.
    """

    def __init__(self, manifest: pd.DataFrame, fake_arms: tuple[str, ...], size: int, count: int, seed: int) -> None:
        fake = manifest[(manifest["label"] == "fake") & manifest["arm"].isin(fake_arms)]
        real = manifest[(manifest["label"] == "real") & manifest["image_id"].isin(fake["image_id"])]
        fakes = fake.groupby("image_id", sort=False).indices
        reals = real.groupby("image_id", sort=False).indices
        self.pairs = [(real.index[reals[i]].to_numpy(), fake.index[fakes[i]].to_numpy()) for i in fakes if i in reals]
        if count and count < len(self.pairs):
            chosen = rng.generator(seed, "training photographs").permutation(len(self.pairs))[:count]
            self.pairs = [self.pairs[n] for n in np.sort(chosen)]
        if len(self.pairs) < 2:
            raise UserError(
                f"The training split holds {len(self.pairs)} photographs with fakes of the arms "
                f"{', '.join(fake_arms)}; at least 2 are needed. Make more pairs in chapter 5."
            )
        self.seed, self.batches = seed, -(-len(self.pairs) // max(size // 2, 2))
        self.batches = min(self.batches, len(self.pairs) // 2)  # batch normalisation needs more than one pair

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch; every photograph is in exactly one of them."""
        generator = rng.generator(self.seed, "batches", number)
        for chosen in np.array_split(generator.permutation(len(self.pairs)), self.batches):
            real = np.array([generator.choice(self.pairs[n][0]) for n in chosen])
            fake = np.array([generator.choice(self.pairs[n][1]) for n in chosen])
            labels = np.repeat(np.float32([0, 1]), len(chosen))
            yield Batch(np.concatenate([real, fake]), labels, np.tile(generator.random(len(chosen)) < 0.5, 2))


def fit(run: Run, config: DetectorConfig) -> pd.DataFrame:
    """The stage "detectors": train every detector with every seed, then score validation and test pictures.

    Writes ``checkpoints/detector_<name>_seed<k>`` (.safetensors, .json, .csv) and ``scores.parquet``.

    Returns:
        What was noted of each: :func:`trained`.

    Raises:
        MissingStage: chapter 5 has not run.
        UserError: weights that cannot be had, too few pictures, or a loss that is no number.
    """
    stage = run.stage("detectors", config, needs=("pairs",))
    if not stage.finished:
        _check(config)
        with stage:
            made = pairs.load(run)
            held_out = _pictures(made.manifest, config.fake_arms, HELD_OUT)
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
    """The training log of a detector: epoch, step, loss, validation_loss, validation_auroc, seconds."""
    return pd.read_csv(predict.checkpoint(run, name, seed).with_suffix(".csv"))


def fit_one(run: Run, made: Pairs, config: DetectorConfig, name: str, seed: int, stage: Stage) -> dict:
    """Train one detector, or load its record when it was trained before with these parameters on these pairs."""
    path = predict.checkpoint(run, name, seed)
    common = {key: value for key, value in config.to_mapping().items() if key not in ("names", "seeds")}
    mark = fingerprint([_FORMAT, name, seed, common, stage.inputs])
    files = [path.with_suffix(suffix) for suffix in (".safetensors", ".csv", ".json")]
    stage.outputs(*files)
    if all(file.exists() for file in files) and read_json(files[-1]).get("fingerprint") == mark:
        print(f"[detectors] {name}, seed {seed}: trained before with these parameters, loaded.")
        return read_json(files[-1])
    files[-1].unlink(missing_ok=True)  # the record comes last: while it is missing, nothing here counts
    weights, history, record = train(made, config, name, seed)
    checkpoints.save_weights(path, weights)
    with atomic_path(files[1]) as temporary:
        history.to_csv(temporary, index=False)
    record |= {"fingerprint": mark}
    write_json(files[-1], record)
    return record


def train(made: Pairs, config: DetectorConfig, name: str, seed: int) -> tuple[dict, pd.DataFrame, dict]:
    """Train one detector. Returns the best epoch's weights, the log by epochs, and the record."""
    training = made.manifest[made.manifest["split"] == "train"]
    validation = _pictures(made.manifest, config.fake_arms, ("validation",))
    sampler = PairSampler(training, config.fake_arms, config.batch_size, config.train_count, seed)
    checked, truth = made.cache[validation.index.to_numpy()], (validation["label"] == "fake").to_numpy().astype(int)
    place, size = device.choose(config.precision), made.cache.shape[1]
    model, used = zoo.create(name, config.weights, size, config.dense_stem, seed)
    place.place(model)
    optimiser = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=0.01, fused=True)
    steps = config.epochs * sampler.batches
    schedule = torch.optim.lr_scheduler.OneCycleLR(  # warm-up, then half a cosine down to nothing
        optimiser, config.learning_rate, total_steps=steps + 1, pct_start=min(0.15, 50 / steps), cycle_momentum=False
    )
    best: tuple[float, float] = (-1.0, 0.0)
    kept, logits, history, seconds, seen = {}, np.empty(0), [], 0.0, 0
    with tqdm(total=steps, desc=f"{name}, seed {seed}", unit="step") as bar, seeded(seed, "training", name):
        for epoch in range(config.epochs):
            begin, losses = time.perf_counter(), []
            model.train()
            for batch in sampler.epoch(epoch):
                losses.append(_step(model, made.cache, batch, optimiser, place))
                if not np.isfinite(losses[-1]):
                    raise UserError(
                        f"The loss of '{name}' is no finite number in epoch {epoch + 1}. Use a smaller learning_rate "
                        f"than {config.learning_rate:g} in chapter 6."
                    )
                schedule.step()
                seen += len(batch.rows)
                bar.update()
            seconds += time.perf_counter() - begin
            found = predict.raw_logits(model.eval(), checked, place)
            auroc, loss = _auroc(truth, found), calibration.balanced_loss(found, truth)
            history.append((epoch + 1, len(losses) * (epoch + 1), np.mean(losses), loss, auroc, seconds))
            bar.set_postfix(loss=f"{np.mean(losses):.3f}", validation_auroc=f"{auroc:.3f}")
            if (auroc, -loss) > best or not kept:
                best, logits, best_epoch = (auroc, -loss), found, epoch + 1
                kept = {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
    temperature, shift = calibration.fit(logits, truth)
    record = {
        "name": name,
        "seed": seed,
        "weights_used": used,
        "image_size": size,
        "dense_stem": config.dense_stem,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "training_photographs": len(sampler.pairs),
        "epochs": config.epochs,
        "best_epoch": best_epoch,
        "validation_auroc": best[0],
        "temperature": temperature,
        "shift": shift,
        "threshold": calibration.fit_threshold((logits - shift) / temperature, truth),
        "seconds": round(seconds, 2),
        "images_per_second": round(seen / seconds, 1),
        "precision": str(place.dtype).removeprefix("torch."),
        "device": str(place.device),
    }
    columns = ["epoch", "step", "loss", "validation_loss", "validation_auroc", "seconds"]
    return kept, pd.DataFrame(history, columns=columns), record


def _pictures(manifest: pd.DataFrame, fake_arms: tuple[str, ...], splits: tuple[str, ...]) -> pd.DataFrame:
    """Rows of the manifest: the untouched photographs of these splits, and their fakes of these arms."""
    for arm in fake_arms:
        if arm not in set(manifest["arm"]):
            raise ConfigError(
                unknown("fake arm of the paired set", arm, set(manifest["arm"][manifest["label"] == "fake"]))
            )
    return manifest[manifest["split"].isin(splits) & manifest["arm"].isin(("original", *fake_arms))]


def _step(model, cache: np.ndarray, batch: Batch, optimiser, place: device.Device) -> float:
    """One step of the optimiser; returns the loss."""
    pictures = cache[batch.rows]
    pictures[batch.flips] = pictures[batch.flips, :, ::-1]  # (B, H, W, 3): the third axis is the width
    images, labels = predict.to_tensor(pictures, place.device), torch.from_numpy(batch.labels).to(place.device)
    with place.autocast():
        logits = model(images)
    loss = binary_cross_entropy_with_logits(logits, labels)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimiser.step()
    return loss.item()


def _auroc(truth: np.ndarray, logits: np.ndarray) -> float:
    if len(np.unique(truth)) < 2 or not np.isfinite(logits).all():
        raise UserError(
            "The validation split holds one class only, or a detector gave no finite number there. Use more "
            "photographs (chapters 1 and 5) or a smaller learning_rate (chapter 6)."
        )
    return float(roc_auc_score(truth, logits))


def _check(config: DetectorConfig) -> None:
    """Raise :class:`ConfigError` before any training for names that no one knows."""
    for name in config.names:
        zoo.entry(name)
    fakes = [arm for arm, label in pairs.ARMS.items() if label == "fake"]
    for arm in config.fake_arms:
        if arm not in fakes:
            raise ConfigError(unknown("fake arm", arm, fakes))
    for what, values in (("name", config.names), ("seed", config.seeds), ("fake arm", config.fake_arms)):
        if not values or len(set(values)) < len(values):
            raise ConfigError(f"DetectorConfig needs at least one {what} and none twice, got {values!r}.")
