"""Checkpoints: weights as safetensors beside a JSON of the configuration, and the state a stopped training needs.

Weights can be opened without running code from the file (safetensors), and so can the training state (PyTorch's
``weights_only`` loading). Every file is written under another name and renamed: a kill leaves the old one or the new.
Not here: what is in a state; each training loop says so.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nbsupport.core.errors import MissingStage, UserError
from nbsupport.core.files import atomic_path, read_json, write_json

_AGAIN = (
    "If it belongs to a run, delete it and run the chapter that made it again; if it is a file of your own, name "
    "weights of this architecture."
)


class Config(Protocol):
    """What is kept beside weights: parameters that go to a mapping and come back (``nbsupport.config``)."""

    def to_mapping(self) -> dict[str, Any]:
        """The parameters as plain JSON-ready values."""

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Built again from what :meth:`to_mapping` gave."""


AnyConfig = TypeVar("AnyConfig", bound=Config)


def save_weights(path: Path, weights: Mapping[str, Tensor], config: Config | None = None) -> None:
    """Write a state dict to `path` (``.safetensors``) and `config` beside it (``.json``), each atomically."""
    plain = {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in weights.items()}
    with atomic_path(path) as temporary:
        save_file(plain, temporary)
    if config is not None:
        write_json(Path(path).with_suffix(".json"), config.to_mapping())


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a ``.safetensors`` file; a missing or damaged one is an error that says what to do."""
    if not Path(path).exists():
        raise MissingStage(f"There are no weights at '{path}'. Run chapter 4 of this run first.")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"'{path}' is damaged ({error}). {_AGAIN}") from error


def read_config(path: Path, kind: type[AnyConfig]) -> AnyConfig:
    """Read the configuration that lies beside a weights file."""
    return kind.from_mapping(read_json(Path(path).with_suffix(".json")))


def load_into(module: nn.Module, path: Path) -> None:
    """Load a weights file into a module of the same architecture; else an error that names the first difference."""
    fill(module, read_weights(path), path)


def fill(module: nn.Module, weights: Mapping[str, Tensor], source: object) -> None:
    """Put weights into a module of the same architecture; `source` is what an error calls them."""
    own = module.state_dict()
    for name in sorted(set(weights) ^ set(own)):
        where = "lacks" if name in own else "has, beyond the network,"
        raise UserError(f"'{source}' does not fit this network: it {where} '{name}'. {_AGAIN}")
    for name, tensor in weights.items():
        if tensor.shape != own[name].shape:
            raise UserError(
                f"'{source}' does not fit this network: '{name}' is {tuple(tensor.shape)}, expected "
                f"{tuple(own[name].shape)}. {_AGAIN}"
            )
    module.load_state_dict(weights)


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write what a stopped training needs to continue (state dicts, numbers, strings), atomically."""
    with atomic_path(path) as temporary:
        torch.save(dict(state), temporary)


def load_state(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """Read a training state, or None when there is none, it is damaged, or belongs to other parameters.

    Read with ``weights_only=True``: the file can hold tensors and plain values, never code.
    """
    if not Path(path).exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        print(f"'{path}' cannot be read ({type(error).__name__}): training starts from the beginning.")
        return None
    return state if state.get("fingerprint") == fingerprint else None
