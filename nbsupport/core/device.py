"""Which device to train on, in which precision and in how many processes: asked of the machine, never assumed."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from nbsupport.core.errors import ConfigError

if TYPE_CHECKING:  # takes seconds to import, which only a training should wait for
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Device:
    """A device with the precision chosen for it; `why` says how the choice was made."""

    device: torch.device
    dtype: torch.dtype
    why: str

    def autocast(self) -> torch.autocast:
        """Context for forward passes: bfloat16 where chosen, a no-op in float32."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def place(self, module: nn.Module) -> nn.Module:
        """Move a module here, with convolution weights in channels_last order."""
        return module.to(self.device, memory_format=torch.channels_last)


def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 natively (AVX512-BF16 or AMX); elsewhere bfloat16 is slower than float32."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check)() for check in checks if hasattr(torch.cpu, check))


def choose(precision: str = "auto") -> Device:
    """Choose the device, and the precision it supports best (``auto``), or the one asked for.

    Raises:
        ConfigError: `precision` is none of auto, float32, bfloat16.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise ConfigError(f"precision must be auto, float32 or bfloat16, got {precision!r}.")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if precision != "auto":
        return Device(device, getattr(torch, precision), "asked for")
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported()
        return Device(device, torch.bfloat16 if supported else torch.float32, f"{torch.cuda.get_device_name()}")
    if cpu_has_bfloat16():
        return Device(device, torch.bfloat16, "this CPU has bfloat16 instructions")
    return Device(device, torch.float32, "this CPU has no bfloat16 instructions")


def fabric(precision: str = "auto") -> "Fabric":
    """Lightning Fabric for :func:`choose`'s device and precision, in the processes that torchrun started (else one).

    Several processes average their gradients by NCCL on GPUs and by gloo on CPUs.
    """
    from lightning_fabric import Fabric

    place, here = choose(precision), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    everywhere = int(os.environ.get("WORLD_SIZE", 1))
    made = Fabric(
        accelerator=place.device.type,
        devices=here,
        num_nodes=max(1, everywhere // here),
        strategy="ddp" if everywhere > 1 else "auto",
        precision="bf16-mixed" if place.dtype == torch.bfloat16 else "32-true",
    )
    made.launch()
    return made
