"""Weights files: read one, and fill a network with it. Not here: which weights a detector gets (:mod:`.zoo`)."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from nbsupport.core.errors import UserError


def read(path: Path) -> dict[str, Tensor]:
    """A state dict from a .safetensors file, or from a .pth file that holds nothing but tensors.

    Raises:
        UserError: there is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise UserError(f"There is no weights file '{path}'. weights is none, imagenet, default or the path of a file.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(
            f"'{path}' cannot be read as weights ({type(error).__name__}). Fetch or make it again."
        ) from error


def fill(body: nn.Module, state: dict[str, Tensor], source: object) -> None:
    """Load `state` into `body`; a head for another number of classes is left as it is.

    Args: state: names as in `body`, or with ``body.`` before them. source: where it comes from, for the error.

    Raises:
        UserError: any other difference.
    """
    own = body.state_dict()
    state = {name.removeprefix("body."): tensor for name, tensor in state.items()}
    head = (
        {f"{body.default_cfg['classifier']}.{kind}" for kind in ("weight", "bias")} & set(own)
        if hasattr(body, "default_cfg")
        else set()
    )
    fitting = {n: t for n, t in state.items() if n not in head or t.shape == own[n].shape}
    wrong = (set(own) - head) ^ (set(fitting) - head)
    wrong |= {name for name in set(fitting) & set(own) if fitting[name].shape != own[name].shape}
    if wrong:
        raise UserError(f"The weights of {source} do not fit this network; the first difference is '{min(wrong)}'.")
    body.load_state_dict(fitting, strict=False)
