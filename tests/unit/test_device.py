import pytest
import torch

from nbsupport.core import device
from nbsupport.core.errors import ConfigError


def test_auto_takes_bfloat16_only_where_the_cpu_has_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for has, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(device, "cpu_has_bfloat16", lambda has=has: has)
        chosen = device.choose("auto")
        assert chosen.dtype == expected and chosen.device.type == "cpu" and "bfloat16" in chosen.why


def test_auto_takes_bfloat16_on_a_gpu_that_has_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    for has, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has: has)
        assert device.choose("auto").dtype == expected


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_what_is_asked_for_is_taken(name):
    assert device.choose(name).dtype == getattr(torch, name)


def test_an_unknown_precision_is_an_error():
    with pytest.raises(ConfigError, match="float16"):
        device.choose("float16")


def test_autocast_and_layout():
    chosen = device.Device(torch.device("cpu"), torch.bfloat16, "test")
    layer = chosen.place(torch.nn.Conv2d(3, 4, 3))
    assert layer.weight.is_contiguous(memory_format=torch.channels_last)
    with chosen.autocast():
        assert layer(torch.zeros(1, 3, 8, 8)).dtype == torch.bfloat16
    plain = device.Device(torch.device("cpu"), torch.float32, "test")
    with plain.autocast():
        assert layer(torch.zeros(1, 3, 8, 8)).dtype == torch.float32
