"""The renamed ImageNet weights: every key has its place, and the logits are those of an independent forward pass."""

import pytest
import timm
import torch
from torch.nn import functional

from nbsupport.core import lite0
from nbsupport.core.errors import UserError
from nbsupport.detectors import zoo

needs_weights = pytest.mark.skipif(lite0.weights_file() is None, reason="the extra offline-weights is not installed")


@pytest.fixture(scope="module")
def raw() -> dict[str, torch.Tensor]:
    return torch.load(lite0.weights_file(), weights_only=True)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """A photograph of a cat (it comes with scikit-image) in two croppings, (2, 3, 224, 224) in [-1, 1]."""
    from skimage.data import chelsea

    cat = torch.from_numpy(chelsea().copy()).permute(2, 0, 1)[None].float()
    crops = [cat[..., 0:300, 60:360], cat[..., 20:240, 100:320]]
    small = [functional.interpolate(crop, 224, mode="bilinear", antialias=True) for crop in crops]
    return torch.cat(small) / 127.5 - 1


def same_convolution(x, weight, stride=1, groups=1, symmetric=False):
    """Convolution with TensorFlow's "same" padding: as much as the stride needs, the odd pixel right and below."""
    size, kernel = x.shape[-1], weight.shape[-1]
    padding = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    before = (padding + 1) // 2 if symmetric else padding // 2
    x = functional.pad(x, (before, padding - before, before, padding - before))
    return functional.conv2d(x, weight, stride=stride, groups=groups)


def reference(state, x, eps=1e-3, symmetric=False):
    """EfficientNet-Lite0 straight from the package's state dict; strides and blocks from the paper's table."""

    def conv(x, name, **options):
        return same_convolution(x, state[f"{name}.weight"], symmetric=symmetric, **options)

    def norm(x, name):
        keys = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(state[f"{name}.{key}"] for key in keys), eps=eps)

    x = functional.relu6(norm(conv(x, "_conv_stem", stride=2), "_bn0"))
    number = 0
    for repeats, stride in ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)):
        for repeat in range(repeats):
            block, y = f"_blocks.{number}", x
            if f"{block}._expand_conv.weight" in state:
                y = functional.relu6(norm(conv(y, f"{block}._expand_conv"), f"{block}._bn0"))
            y = conv(y, f"{block}._depthwise_conv", stride=stride if repeat == 0 else 1, groups=y.shape[1])
            y = functional.relu6(norm(y, f"{block}._bn1"))
            y = norm(conv(y, f"{block}._project_conv"), f"{block}._bn2")
            x = x + y if repeat else y
            number += 1
    x = functional.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean(dim=(2, 3))
    return functional.linear(x, state["_fc.weight"], state["_fc.bias"])


@needs_weights
def test_logits_equal_an_independent_forward(raw, images):
    model = timm.create_model("tf_efficientnet_lite0").eval()
    model.load_state_dict(lite0.load(), strict=True)
    with torch.inference_mode():
        ours, theirs = model(images), reference(raw, images)
        # A network of the right shapes but the wrong details must not pass for equal.
        other_eps = reference(raw, images, eps=1e-5)
        other_padding = reference(raw, images, symmetric=True)
    assert (ours - theirs).abs().max() < 1e-4 < 1e-2 < (ours - other_eps).abs().max()
    assert (ours - other_padding).abs().max() > 0.1
    assert set(ours.argmax(1).tolist()) <= {281, 282, 283, 284, 285}, "the weights know a cat when they see one"


@needs_weights
def test_every_key_is_mapped_once(raw):
    model = timm.create_model("tf_efficientnet_lite0")
    mapped = lite0.to_timm(raw)
    assert mapped.keys() == model.state_dict().keys() and len(mapped) == len(raw)
    assert all(mapped[name].shape == tensor.shape for name, tensor in model.state_dict().items())


@needs_weights
def test_the_zoo_uses_them_and_says_so():
    detector, used = zoo.create("efficientnet_lite0", "default", 64)
    assert used.startswith("imagenet (package")
    weights = lite0.load()
    held = detector.body.state_dict()
    assert torch.equal(held["conv_head.weight"], weights["conv_head.weight"])
    assert held["classifier.weight"].shape == (1, 1280)


def test_a_name_of_another_network_is_refused():
    for name in ("_blocks.16._bn0.weight", "_blocks.0._expand_conv.weight", "layer1.0.conv1.weight", "_blocks.x._bn0"):
        with pytest.raises(UserError, match="not part of EfficientNet-Lite0"):
            lite0.timm_name(name)


def test_without_the_package_there_is_nothing_to_load(monkeypatch):
    monkeypatch.setattr(lite0.importlib.util, "find_spec", lambda name: None)
    assert lite0.weights_file() is None and lite0.load() is None
    assert lite0.timm_name("_bn1.bias") == "bn2.bias"
