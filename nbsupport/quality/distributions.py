"""How far a set of filled pictures lies from the set of photographs, as a network describes them: FID and KID.

FID (Heusel et al. 2017) compares the means and covariances of features; it is biased upwards for small sets, by far
more than methods differ when there are fewer pictures than features. KID (Binkowski et al. 2018) has no such bias and
comes with a deviation over subsets: below some 2,000 photographs, read KID. Both by torchmetrics.

The features are Inception's, as everywhere in the literature, where its weights can be had (91 MB, downloaded once),
and else those of EfficientNet-Lite0 (ImageNet, 1,280 values after its pooling), whose weights a package holds. The two
are on different scales: every result names its ``features``, and numbers of different features must not be compared.
Pictures are enlarged to what the network was trained on: 299 pixels for Inception, 224 for EfficientNet-Lite0.
A filled picture is paired with its own photograph here, so both numbers are lower than between independent sets.
"""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate

from nbsupport.core import lite0
from nbsupport.core.errors import ConfigError, UserError, unknown
from nbsupport.core.rng import seeded
from nbsupport.data.index import Dataset
from nbsupport.inpainters.base import Inpainter
from nbsupport.quality import weights
from nbsupport.quality.comparison import ALL_BASELINES, KINDS, fills

FEATURES = ("inception", "efficientnet_lite0")
LITE0_SIZE = 224
SUBSETS = 100  # of KID, and at most how many pictures each holds: the settings of Binkowski et al.
SUBSET_SIZE = 1000
_INCEPTION = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
)


class Extractor:
    """A network that describes a picture by numbers. ``name`` says which one, and belongs beside every number.

    Args:
        which: ``inception``, ``efficientnet_lite0``, or ``auto``: the first of these two that can be had.

    Raises:
        ConfigError: no such features.
        UserError: the weights cannot be had; the message says how to get them.
    """

    def __init__(self, which: str = "auto") -> None:
        if which not in ("auto", *FEATURES):
            raise ConfigError(unknown("kind of features", which, ("auto", *FEATURES)))
        self.name, self._network = _load(which)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network.eval().requires_grad_(False).to(self.device)

    @torch.inference_mode()
    def __call__(self, images: np.ndarray, batch_size: int = 32) -> np.ndarray:
        """images: (B, H, W, 3) uint8 RGB -> (B, F) float32; F is 2,048 for Inception, 1,280 for EfficientNet-Lite0."""
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise UserError(f"images must be (B, H, W, 3) uint8, got {images.shape} {images.dtype}.")
        features = []
        for start in range(0, len(images), batch_size):
            part = torch.from_numpy(np.array(images[start : start + batch_size])).to(self.device)
            features.append(self._network(part.permute(0, 3, 1, 2)).float().cpu())
        return torch.cat(features).numpy()


class _Lite0(nn.Module):
    """EfficientNet-Lite0 up to its pooling, enlarging its pictures itself."""

    def __init__(self) -> None:
        super().__init__()
        self.body = lite0.network()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images: (B, 3, H, W) uint8 -> (B, 1280) float32."""
        size = (LITE0_SIZE, LITE0_SIZE)
        pictures = interpolate(images.float(), size=size, mode="bicubic", antialias=True, align_corners=False)
        pictures = pictures.clamp(0, 255) / 127.5 - 1
        return self.body.forward_head(self.body.forward_features(pictures), pre_logits=True)


def _load(which: str) -> tuple[str, nn.Module]:
    """The name and network of the features asked for; of ``auto``, the first that can be had."""
    if which == "inception":
        return which, _inception()
    if which == "efficientnet_lite0":
        return which, _Lite0()
    try:
        return _load("inception")
    except UserError:
        return _load("efficientnet_lite0")


def _inception() -> nn.Module:
    try:
        import torch_fidelity  # noqa: F401 - torchmetrics' Inception is its
        from torchmetrics.image.fid import NoTrainInceptionV3
    except ImportError as error:
        raise UserError(
            f"Inception's features need a package that is not installed ({error.name}). Install it:  "
            "pip install torch-fidelity"
        ) from None
    path = weights.fetch(_INCEPTION)
    with seeded(0, "inception"):
        return NoTrainInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))


def fid(first: np.ndarray, second: np.ndarray) -> float:
    """Fréchet distance of two sets of features: (n, F) and (m, F) float, n and m at least 2 -> float, 0 if equal."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=_Given(_check(first, second)))
    metric.update(torch.from_numpy(np.array(first)), real=True)
    metric.update(torch.from_numpy(np.array(second)), real=False)
    return float(metric.compute())


def kid(first: np.ndarray, second: np.ndarray, seed: int = 0, subsets: int = SUBSETS) -> tuple[float, float]:
    """Kernel distance of two sets of features, with the deviation over subsets.

    Args:
        first, second: (n, F) and (m, F) float, at least 4 each; a subset holds half of the smaller set, at most 1,000.
        seed: of the choice of subsets. subsets: their number.

    Returns:
        mean and standard deviation over the subsets; the mean is without bias and may fall below 0.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(SUBSET_SIZE, min(len(first), len(second)) // 2)
    given = _Given(_check(first, second, least=4))
    with warnings.catch_warnings(), seeded(seed, "kid"):
        warnings.filterwarnings("ignore", message=".*save all extracted features")
        metric = KernelInceptionDistance(feature=given, subsets=subsets, subset_size=size)
        metric.update(torch.from_numpy(np.array(first, np.float64)), real=True)
        metric.update(torch.from_numpy(np.array(second, np.float64)), real=False)
        mean, deviation = metric.compute()
    return float(mean), float(deviation)


class _Given(nn.Module):
    """Stands where torchmetrics wants a network: the features have been computed already, once for both metrics."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.num_features = number

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """features: (B, D) float -> the same."""
        return features


def _check(first: np.ndarray, second: np.ndarray, least: int = 2) -> int:
    """The number of features of two fitting sets."""
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise UserError(f"Two sets of features are (n, F) and (m, F), got {first.shape} and {second.shape}.")
    if min(len(first), len(second)) < least:
        raise UserError(
            f"A distance between sets needs at least {least} pictures in each, got {len(first)} and {len(second)}. "
            "Evaluate more photographs."
        )
    return first.shape[1]


def distance(photographs: np.ndarray, filled: np.ndarray, features: str, seed: int = 0) -> dict:
    """FID and KID of two sets of features.

    Args:
        photographs, filled: (n, F) and (m, F) float. features: the name of the extractor. seed: of KID's subsets.

    Returns:
        ``features, photographs`` (how many), ``fid, kid, kid_deviation, few``: True where there are fewer pictures than
        features, so that FID is mostly bias.
    """
    mean, deviation = kid(photographs, filled, seed)
    few = min(len(photographs), len(filled)) <= photographs.shape[1]
    result = {"features": features, "photographs": len(photographs), "fid": fid(photographs, filled)}
    return result | {"kid": mean, "kid_deviation": deviation, "few": bool(few)}


def distances(
    dataset: Dataset,
    methods: Mapping[str, Inpainter],
    rows: np.ndarray,
    seed: int = 0,
    captions: Sequence[str] = KINDS[:1],
    baselines: Sequence[str] = ALL_BASELINES,
    extractor: Extractor | None = None,
    splice: bool = True,
    batch_size: int = 32,
) -> dict[str, dict[str, dict]]:
    """FID and KID between photographs and each method's fills of them; no picture is kept in memory.

    Args:
        dataset, methods, rows, seed, captions, baselines, splice, batch_size: as :func:`~.comparison.evaluate`.
        extractor: whose features; None: Inception's where they can be had, EfficientNet-Lite0's otherwise.

    Returns:
        method -> caption kind (``none`` for what reads no captions) -> as :func:`distance`.
    """
    extractor = extractor or Extractor()
    photographs: list[np.ndarray] = []
    collected: dict[tuple[str, str], list[np.ndarray]] = {}
    latest = None
    for fill in fills(dataset, methods, rows, seed, captions, baselines, splice, batch_size):
        if fill.originals is not latest:
            latest = fill.originals
            photographs.append(extractor(latest))
        collected.setdefault((fill.method, fill.caption_kind), []).append(extractor(fill.outputs))
    result: dict[str, dict[str, dict]] = {}
    for (method, kind), parts in collected.items():
        values = distance(np.concatenate(photographs), np.concatenate(parts), extractor.name, seed)
        result.setdefault(method, {})[kind] = values
    return result
