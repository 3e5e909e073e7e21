"""Trained detectors of a run: load them, ask them.

Logits are calibrated: each detector carries a temperature, a shift and a threshold, fitted on validation photographs,
and ``sigmoid(logit)`` is the probability that a picture was inpainted. Not here: training (``detectors.classifier``).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from nbsupport.core import device
from nbsupport.core.errors import ConfigError, MissingStage, UserError, unknown
from nbsupport.core.files import read_json
from nbsupport.detectors import zoo
from nbsupport.runs import Run
from nbsupport.stats.calibration import Band

BATCH = 256
_AGAIN = "Delete its weights and run chapter 7 again."


@dataclass(frozen=True)
class Trained:
    """A trained detector of a run.

    Attributes:
        model: in evaluation mode; gives logits that are not calibrated yet.
        temperature, shift: ``(logit - shift) / temperature`` of the model's logit is calibrated.
        threshold: the probability from which a picture counts as inpainted, chosen on validation.
        record: everything that was noted when it was trained (``checkpoints/detector_<name>_seed<k>.json``).
    """

    name: str
    seed: int
    model: zoo.Detector
    temperature: float
    shift: float
    threshold: float
    record: dict

    @property
    def band(self) -> Band:
        """The thresholds of its verdict (real / unsure / inpainted), by the same validation pictures.

        Raises:
            UserError: its record is from a time when they were not kept.
        """
        if "band" not in self.record:
            raise UserError(f"The detector '{self.name} {self.seed}' was trained before thresholds were kept. {_AGAIN}")
        return Band(**self.record["band"])


def checkpoint(run: Run, name: str, seed: int) -> Path:
    """Where the weights of a detector lie; its record (.json) and training log (.csv) lie beside them."""
    return run / "checkpoints" / f"detector_{name}_seed{seed}.safetensors"


def available(run: Run) -> list[tuple[str, int]]:
    """(name, seed) of every detector that the finished stage of this run holds; empty when chapter 7 has not run."""
    record = run.record("detectors")
    if record is None:
        return []
    config = record["config"]
    return [(name, seed) for name in config["names"] for seed in config["seeds"]]


def first_seeds(run: Run) -> dict[str, int]:
    """Detector -> the first of the seeds that it was trained with; empty when chapter 7 has not run."""
    first: dict[str, int] = {}
    for name, seed in available(run):
        first.setdefault(name, seed)
    return first


def load(run: Run, name: str, seed: int = 0) -> Trained:
    """Load one trained detector.

    Raises:
        MissingStage: chapter 7 has not run, or its weights are gone.
        ConfigError: it was run without this detector.
        UserError: the weights are damaged.
    """
    run.require("detectors")
    held = available(run)
    if (name, seed) not in held:
        raise ConfigError(unknown("trained detector", f"{name} {seed}", [f"{n} {s}" for n, s in held]))
    return load_checkpoint(checkpoint(run, name, seed))


def load_checkpoint(path: Path) -> Trained:
    """Load a detector from its weights file and the record beside it; errors as in :func:`load`."""
    if not path.exists() or not path.with_suffix(".json").exists():
        raise MissingStage(f"'{path}' or the .json beside it is missing. Run chapter 7 again to restore it.")
    return assemble(read_json(path.with_suffix(".json")), path, _AGAIN)


def assemble(record: dict, weights: Path, remedy: str) -> Trained:
    """A detector from its record and its weights file, in single or half precision, on the device that is there.

    Raises:
        UserError: the file is gone, damaged or of another network; `remedy` is the sentence that says what to do then.
    """
    try:
        architecture = record.get("architecture", record.get("genes"))  # what it was called before
        model, _ = zoo.create(
            record["name"], "none", record["image_size"], record["dense_stem"], architecture=architecture
        )
        model.load_state_dict(load_file(weights))  # into single precision, whatever the file holds
        numbers = {key: float(record[key]) for key in ("temperature", "shift", "threshold")}
    except (SafetensorError, RuntimeError, KeyError, OSError) as error:
        kind = type(error).__name__
        raise UserError(f"'{weights}' is missing, damaged or of another network ({kind}). {remedy}") from error
    return Trained(record["name"], record["seed"], device.choose().place(model).eval(), record=record, **numbers)


def to_tensor(images: np.ndarray, place: torch.device | str = "cpu") -> Tensor:
    """(B, H, W, 3) uint8 RGB -> (B, 3, H, W) float32 in [-1, 1], in channels_last order, on the device `place`."""
    tensor = torch.from_numpy(np.require(images, requirements=("C", "W"))).to(place)
    return tensor.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def raw_logits(model: nn.Module, images: np.ndarray, place: device.Device, batch_size: int = BATCH) -> np.ndarray:
    """Logits, not calibrated, of a model in evaluation mode: (N, H, W, 3) uint8 (a memory map too) -> (N,) float64."""
    parts = [np.empty(0)]
    with torch.inference_mode(), place.autocast():
        for start in range(0, len(images), batch_size):
            batch = to_tensor(images[start : start + batch_size], place.device)
            parts.append(model(batch).double().cpu().numpy())
    return np.concatenate(parts)


def score(trained: Trained, images: np.ndarray, batch_size: int = BATCH, precision: str = "auto") -> np.ndarray:
    """Calibrated logits of pictures: (N, H, W, 3) uint8 RGB -> (N,) float64; ``sigmoid`` of it is the probability.

    Raises:
        UserError: the array is not a batch of RGB pictures.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise UserError(f"Expected pictures of shape (N, H, W, 3) in uint8, got {images.shape} in {images.dtype}.")
    raw = raw_logits(trained.model, images, device.choose(precision), batch_size)
    return (raw - trained.shift) / trained.temperature
