"""Where in a picture a detector finds its reason to say "inpainted": Grad-CAM (Selvaraju et al. 2017) for any of them.

The package ``grad-cam`` does the work; here it is decided *at which layer*. The customary last stage of a network made
for 224 px has 2 x 2 cells at 64 px, which tells nothing about a hole. So the map is taken where the network still has
:data:`FINEST` cells a side, at the last module that does. How good such a map is: ``evaluation.localization``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from nbsupport.core.errors import ConfigError, UserError
from nbsupport.detectors import predict

FINEST = 8  # cells along the shorter side of a map, if the network has a layer of such a size
_BATCH = 64


def _shapes(trained: predict.Trained) -> list[tuple[nn.Module, tuple[int, ...]]]:
    """Every module with a map as output, in the order in which they end, and that output's shape (channels first)."""
    found, handles = [], []

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            found.append((module, tuple(channels_first(trained, output).shape)))

    for name, module in trained.model.body.named_modules():
        stage = not trained.name.startswith("swin") or re.fullmatch(r"layers\.\d+", name)  # inside them: windows
        if name and stage:
            handles.append(module.register_forward_hook(note))
    size = trained.record["image_size"]
    try:
        with torch.inference_mode():
            trained.model(torch.zeros(1, 3, size, size, device=_place(trained)))
    finally:
        for handle in handles:
            handle.remove()
    return found


def _place(trained: predict.Trained) -> torch.device:
    return next(trained.model.buffers()).device  # of a baseline without weights too


def channels_first(trained: predict.Trained, output: Tensor) -> Tensor:
    """Swin transformers keep their channels last; all others are returned as they are."""
    return output.permute(0, 3, 1, 2) if trained.name.startswith("swin") else output


def target_layer(trained: predict.Trained) -> nn.Module | None:
    """The layer whose map is shown; None for a detector without any, such as the power spectrum's."""
    maps = _shapes(trained)
    if not maps:
        return None
    fine = [module for module, shape in maps if min(shape[-2:]) >= FINEST]
    return fine[-1] if fine else maps[0][0]


@contextmanager
def _gradients_from(model: nn.Module, layer: nn.Module) -> Iterator[None]:
    """Meanwhile gradients end at the output of `layer`, and no weight gets one: neither is needed for a map."""
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # A copy, since what follows may work in place.
    handle = layer.register_forward_hook(lambda _, __, output: output.detach().requires_grad_().clone())
    try:
        for parameter in wanted:
            parameter.requires_grad_(False)
        yield
    finally:
        handle.remove()
        for parameter in wanted:
            parameter.requires_grad_()


def grad_cam(trained: predict.Trained, pictures: np.ndarray) -> np.ndarray:
    """Maps of the evidence for "inpainted": (N, H, W, 3) uint8 -> (N, H, W) float32 in [0, 1].

    Each map is stretched to the full range by itself, so maps tell *where*, not how much; a map of nothing but zeros
    says that nothing in the picture spoke for "inpainted".

    Raises:
        ConfigError: the detector has no layer with places in it.
    """
    from pytorch_grad_cam import GradCAM

    layer = target_layer(trained)
    if layer is None:
        raise ConfigError(f"The detector '{trained.name}' looks at no places of a picture, so it has no heat map.")

    def reshape(output: Tensor) -> Tensor:
        return channels_first(trained, output)

    maps = [np.empty((0, *pictures.shape[1:3]), np.float32)]
    with _gradients_from(trained.model, layer), GradCAM(trained.model, [layer], reshape_transform=reshape) as cam:
        for start in range(0, len(pictures), _BATCH):
            batch = predict.to_tensor(np.asarray(pictures[start : start + _BATCH]), _place(trained))
            wanted = [lambda logit: logit] * len(batch)  # the logit itself: what speaks for "inpainted"
            maps.append(cam(input_tensor=batch, targets=wanted).astype(np.float32))
    return np.concatenate(maps)


def no_better_than_chance(records: Sequence[Mapping], seeds: Mapping[str, int]) -> set[str]:
    """Detectors whose heat maps were not shown to lie more on the hole than an even map does, in any arm.

    Args: records: of chapter 10's ``localization``. seeds: detector -> the seed that is asked.
    """
    better = {
        record["detector"]
        for record in records
        if record["metric"] == "inside_density"
        and record["seed"] == seeds.get(record["detector"])
        and (record["over_uniform"]["low"] or 0) > 0
    }
    return {record["detector"] for record in records if record["detector"] in seeds} - better


def overlap(heat: np.ndarray, hole: np.ndarray) -> tuple[float, float]:
    """How well the hottest pixels of a map, as many as the hole has, cover the hole.

    Args: heat (H, W) float; hole (H, W) bool, True = hole, neither empty nor everything.

    Returns:
        Intersection over union, and what equally many pixels at random would reach on average.
    """
    count = int(hole.sum())
    if not 0 < count < hole.size:
        raise UserError("An overlap needs a hole that is neither empty nor the whole picture.")
    order = np.argsort(-heat.ravel(), kind="stable")[:count]
    hot = np.zeros(hole.size, bool)
    hot[order] = True
    both = (hot & hole.ravel()).sum()
    share = count / hole.size
    return float(both / (2 * count - both)), share / (2 - share)
