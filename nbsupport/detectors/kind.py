"""Is a picture of the kind that these detectors know? Distances in features to the photographs they learnt from.

For each detector the input of its last layer, and, where the package with the ImageNet weights is there, the mean and
deviation of each channel of the middle blocks of EfficientNet-Lite0: detectors forget what a picture shows, those do
not. A picture's distance is Mahalanobis's, to the nearest of the two classes' means with a common covariance (Lee et
al. 2018, arXiv 1807.03888), in as many principal components as :data:`COMPONENTS` says. Distances are divided by
their 95th percentile over untouched validation photographs; the largest counts; and the threshold leaves
:data:`ALLOWED` of those photographs beyond it. Not here: what is said then (``detectors.inspection``).
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file
from torch import nn

from nbsupport import pairs
from nbsupport.core import checkpoints, lite0
from nbsupport.core.errors import UserError
from nbsupport.core.files import read_json, write_json
from nbsupport.detectors import predict, zoo
from nbsupport.runs import Run

#: Share of untouched validation photographs that are taken for another kind.
ALLOWED = 0.05
COMPONENTS = {"imagenet": 256}  # of others: 32
_OTHERS, _MOST, _BLOCKS = 32, 1200, slice(2, 7)
FEWEST = 20  # untouched photographs of the training and of the validation split; with fewer, no kind is learnt
FILE = "kind.safetensors"
SENTENCE = "not a picture of the kind that these detectors know"


@dataclass(frozen=True)
class Kind:
    """What is known of the photographs that detectors learnt from.

    Attributes:
        arrays: ``<source>.means`` (classes, D) and ``<source>.whiten`` (D, K) float32.
        scales: source -> the 95th percentile of its distances. threshold: from which a picture is of another kind.
        rates: name of a set of validation pictures -> share of them taken for another kind.
    """

    arrays: Mapping[str, np.ndarray]
    scales: Mapping[str, float]
    threshold: float
    rates: Mapping[str, float]

    def distances(self, trained: Sequence[predict.Trained], pictures: np.ndarray) -> np.ndarray:
        """(N, S, S, 3) uint8 -> (N,): the largest of the scaled distances; above `threshold`: another kind."""
        found = [np.zeros(len(pictures))]
        for source, values in features(trained, pictures, self.scales).items():
            found.append(_distance(values, self.arrays, source) / self.scales[source])
        return np.max(found, axis=0)

    def knows(self, trained: Sequence[predict.Trained], pictures: np.ndarray) -> np.ndarray:
        """(N, S, S, 3) uint8 -> (N,) bool."""
        return self.distances(trained, pictures) <= self.threshold

    def to_mapping(self) -> dict:
        """Everything but the arrays, for JSON."""
        return {"scales": dict(self.scales), "threshold": self.threshold, "allowed": ALLOWED, "rates": dict(self.rates)}

    def save(self, folder: Path) -> None:
        """Write :data:`FILE` into a folder; :meth:`to_mapping` goes into the record beside it."""
        checkpoints.save_weights(folder / FILE, {key: torch.from_numpy(value) for key, value in self.arrays.items()})


def load(folder: Path, about: Mapping | None) -> Kind | None:
    """What an export left, or None for a set from before it was kept; raises UserError for a damaged file."""
    if not about or not (folder / FILE).exists():
        return None
    try:
        arrays = load_file(folder / FILE)
    except Exception as error:
        raise UserError(f"'{folder / FILE}' is damaged ({error}). Install the package again.") from error
    return Kind(arrays, about["scales"], about["threshold"], about["rates"])


def features(
    trained: Sequence[predict.Trained], pictures: np.ndarray, sources: Mapping | None = None
) -> dict[str, np.ndarray]:
    """Source -> (N, D) float32 features; `sources`: only these."""
    found = {}
    for own in trained:
        last = [module for module in own.model.body.modules() if isinstance(module, nn.Linear)]
        if last and (sources is None or own.name in sources):
            found[own.name] = _inputs(own.model, last[-1:], pictures, before=True)
    if sources is None or "imagenet" in sources:
        network = _imagenet(int(pictures.shape[1]))
        if network is not None:
            found["imagenet"] = _inputs(network, list(network.body.blocks)[_BLOCKS], pictures, before=False)
    return found


_NETWORKS: dict[int, nn.Module | None] = {}


def _imagenet(size: int) -> nn.Module | None:
    if size not in _NETWORKS:
        held = lite0.load() is not None
        _NETWORKS[size] = zoo.create("efficientnet_lite0", "imagenet", size, False)[0].eval() if held else None
    return _NETWORKS[size]


def _inputs(model: nn.Module, modules: list[nn.Module], pictures: np.ndarray, before: bool) -> np.ndarray:
    """Inputs of a layer, or mean and deviation of each channel of the outputs of several.

    Only what passes in the calling thread is kept: the demo loads its detectors in a second one, and the ImageNet
    network is one object for all.
    """
    parts: list[list[torch.Tensor]] = [[] for _ in modules]
    caller = threading.get_ident()

    def keep(place: list, value: torch.Tensor) -> None:
        if threading.get_ident() != caller:
            return
        value = value.detach().float()
        if not before:
            value = torch.cat([value.mean((2, 3)), value.std((2, 3), correction=0)], dim=1)
        place.append(value.flatten(1).cpu())

    handles = [
        module.register_forward_pre_hook(lambda _, given, place=place: keep(place, given[0]))
        if before
        else module.register_forward_hook(lambda _, __, output, place=place: keep(place, output))
        for module, place in zip(modules, parts, strict=True)
    ]
    where = next(model.buffers()).device
    try:
        with torch.inference_mode():
            for start in range(0, len(pictures), predict.BATCH):
                model(predict.to_tensor(np.asarray(pictures[start : start + predict.BATCH]), where))
    finally:
        for handle in handles:
            handle.remove()
    return torch.cat([torch.cat(own) for own in parts], dim=1).numpy()


def _distance(values: np.ndarray, arrays: Mapping[str, np.ndarray], source: str) -> np.ndarray:
    whiten = arrays[f"{source}.whiten"]
    return np.min([np.linalg.norm((values - mean) @ whiten, axis=1) for mean in arrays[f"{source}.means"]], axis=0)


def fit(
    trained: Sequence[predict.Trained],
    classes: Sequence[np.ndarray],
    validation: np.ndarray,
    others: Mapping[str, np.ndarray] | None = None,
) -> Kind:
    """Learn the kind. All pictures (N, S, S, 3) uint8.

    Args: classes: training photographs, and their fakes. validation: untouched validation photographs. others: further
        sets of which the share taken for another kind is noted.
    """
    seen = [features(trained, own) for own in classes if len(own)]
    tried = features(trained, validation)
    arrays, scales = {}, {}
    for source in seen[0]:
        means = np.stack([own[source].mean(axis=0) for own in seen])
        centred = np.concatenate([own[source] - mean for own, mean in zip(seen, means, strict=True)])
        _, values, axes = np.linalg.svd(centred, full_matrices=False)
        count = min(COMPONENTS.get(source, _OTHERS), len(centred) // 4, int((values > 1e-3 * values[0]).sum()))
        whiten = axes[:count].T / (values[:count] / np.sqrt(len(centred)))
        arrays |= {f"{source}.means": means.astype(np.float32), f"{source}.whiten": whiten.astype(np.float32)}
        scales[source] = max(float(np.quantile(_distance(tried[source], arrays, source), 1 - ALLOWED)), 1e-6)
    first = Kind(arrays, scales, 0.0, {})
    threshold = float(np.quantile(first.distances(trained, validation), 1 - ALLOWED))
    found = Kind(arrays, scales, threshold, {})
    sets = {"untouched": validation, **(others or {}), **enlarged(validation)}
    rates = {name: float(1 - found.knows(trained, own).mean()) for name, own in sets.items() if len(own)}
    return Kind(arrays, scales, threshold, rates)


def enlarged(pictures: np.ndarray, factors: Sequence[float] = (1.5, 2)) -> dict[str, np.ndarray]:
    """Copies made smaller by a factor and as large again as they were."""
    size, made = pictures.shape[1], {}
    for factor in factors:
        less = max(1, round(size / factor))
        both = [Image.fromarray(p).resize((less, less), 3).resize((size, size), 3) for p in pictures]
        made[f"enlarged x {factor:g}"] = np.stack([np.asarray(one) for one in both])
    return made


def of_run(run: Run, trained: Sequence[predict.Trained]) -> Kind | None:
    """The kind of a run's training photographs, fitted once and kept in ``checkpoints/``; None where they are few."""
    if run.record("pairs") is None:
        return None
    key = {"detectors": run.require("detectors")["fingerprint"], "names": [t.name for t in trained]}
    folder = run / "checkpoints" / "kind"
    if (folder / "kind.json").exists() and (held := read_json(folder / "kind.json"))["of"] == key:
        return load(folder, held)
    paired = pairs.load(run)
    table = paired.manifest

    def of(split: str, chosen) -> np.ndarray:
        rows = table.index[(table["split"] == split) & chosen].to_numpy()
        return np.asarray(
            paired.cache[rows[np.unique(np.linspace(0, len(rows) - 1, min(_MOST, len(rows))).astype(int))]]
        )

    real, fake = table["arm"] == "original", table["label"] == "fake"
    learnt, validation = of("train", real), of("validation", real)
    if min(len(learnt), len(validation)) < FEWEST:
        return None
    found = fit(trained, [learnt, of("train", fake)], validation, {"fakes": of("validation", fake)})
    found.save(folder)
    write_json(folder / "kind.json", {"of": key, **found.to_mapping()})
    return found
