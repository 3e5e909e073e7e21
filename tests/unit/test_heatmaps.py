"""Grad-CAM of the detectors: its shape, where it looks, and the layer it is taken from."""

import numpy as np
import pytest
import pytorch_grad_cam  # noqa: F401  (its first import draws from Python's global random state)
import torch

from nbsupport.core.errors import ConfigError
from nbsupport.detectors import heatmaps, predict, zoo


def trained(name: str, size: int = 64) -> predict.Trained:
    model, _ = zoo.create(name, "none", size)
    return predict.Trained(name, 0, model.eval(), 1.0, 0.0, 0.5, {"image_size": size})


@pytest.fixture(scope="module", params=["resnet34", "efficientnet_lite0", "swin_tiny", "residual_net", "vgg16_bn"])
def detector(request):
    """Each made once: the largest takes seconds."""
    return trained(request.param)


def test_maps_have_the_pictures_size_and_range_and_leave_no_gradient(detector):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    maps = heatmaps.grad_cam(detector, pictures)
    assert maps.shape == (2, 64, 64) and maps.dtype == np.float32
    assert maps.min() >= 0 and maps.max() <= 1
    assert all(p.grad is None and p.requires_grad for p in detector.model.parameters())


def test_the_layer_is_the_last_with_eight_cells(detector):
    layer = heatmaps.target_layer(detector)
    shapes = [shape[-2:] for module, shape in heatmaps._shapes(detector) if module is layer]
    assert shapes[-1] == (8, 8)


def test_the_map_finds_the_only_place_that_counts():
    """A detector that answers by the texture of what it sees must have its map where the texture is."""
    detector = trained("residual_net")
    layers = detector.model.body.layers
    for module in layers:  # every convolution passes on the mean of what it sees: texture in, texture out
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data.fill_(1 / module.weight[0].numel())
    detector.model.body.head.weight.data.fill_(1.0)
    picture = np.full((1, 64, 64, 3), 128, np.uint8)
    picture[0, 8:24, 40:56] = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    heat = heatmaps.grad_cam(detector, picture)[0]
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 4 <= row < 28 and 36 <= column < 60
    assert heat[8:24, 40:56].mean() > 3 * heat[40:, :30].mean()


def test_a_detector_without_places_says_so():
    with pytest.raises(ConfigError, match="no heat map"):
        heatmaps.grad_cam(trained("power_spectrum"), np.zeros((1, 64, 64, 3), np.uint8))
