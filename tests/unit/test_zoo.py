"""The contract that every detector of the registry keeps, and what happens when weights cannot be had."""

import pytest
import torch
from safetensors.torch import save_file

from nbsupport.core.errors import ConfigError, UserError
from nbsupport.detectors import networks, searched, zoo

SIZE = 64
ARCHITECTURE = {name: choices[0] for name, choices in searched.SPACE.items()}  # for "searched" alone
every_detector = pytest.mark.parametrize("name", sorted(zoo.ZOO))


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module", params=sorted(zoo.ZOO))
def model(request):
    """Each detector, made once, since the largest take seconds; what is asked of it holds whatever its weights are."""
    return zoo.create(request.param, "none", SIZE, architecture=ARCHITECTURE)[0].eval()


def test_one_finite_logit_a_picture_whatever_the_company(model):
    images = pictures(2)
    with torch.inference_mode():
        together = model(images)
        apart = torch.cat([model(image[None]) for image in images])
    assert together.shape == (2,) and together.dtype == torch.float32 and together.isfinite().all()
    assert torch.allclose(together, apart, atol=1e-4), "a verdict must not depend on the other pictures of a batch"
    assert together.std() > 0, "the output does not depend on the picture"


def test_the_gradient_reaches_every_parameter(model):
    if not zoo.trainable(model):
        pytest.skip("a baseline without parameters")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # residual branches end in a scale of zero; nothing behind a zero gets a gradient
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    model(pictures(2)).sum().backward()
    silent = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


@every_detector
def test_every_entry_has_a_reason(name):
    entry = zoo.ZOO[name]
    assert len(entry.description.split()) >= 6
    assert sum([bool(entry.timm_name), bool(entry.build), entry.searchable]) == 1


@pytest.mark.parametrize("name", ["resnet34", "power_spectrum"])
def test_random_weights_are_a_function_of_the_seed(name):
    first, again, other = (zoo.create(name, "none", SIZE, seed=seed)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_pictures_are_normalised_inside():
    seen = []
    body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 4, 1))
    body.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    zero_to_one = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    zoo.Detector(body, mean, std)(zero_to_one * 2 - 1)
    expected = (zero_to_one - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.allclose(seen[0], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet34", "efficientnet_lite0"])
def test_a_dense_stem_doubles_the_resolution(name):
    def after_stem(dense):
        model, shapes = zoo.create(name, "none", SIZE, dense_stem=dense)[0].eval(), []
        first = model.body.layer1 if name == "resnet34" else model.body.blocks
        first.register_forward_pre_hook(lambda module, inputs: shapes.append(inputs[0].shape[-1]))
        with torch.inference_mode():
            assert model(pictures(1)).shape == (1,)
        return shapes[0]

    assert after_stem(True) == 2 * after_stem(False)


def test_unknown_names_and_impossible_wishes_are_explained():
    with pytest.raises(ConfigError, match="Did you mean 'resnet34'"):
        zoo.create("resnet43")
    with pytest.raises(ConfigError, match="dense_stem works for: resnet34"):
        zoo.create("power_spectrum", dense_stem=True)
    with pytest.raises(UserError, match="no ImageNet weights for 'residual_net'"):
        zoo.create("residual_net", "imagenet")
    with pytest.raises(UserError, match="There is no weights file"):
        zoo.create("resnet34", "nowhere.safetensors")


def test_imagenet_weights_out_of_reach_name_the_way_out(monkeypatch):
    def offline(*arguments, pretrained=False, **options):
        raise OSError("Name or service not known")

    monkeypatch.setattr(zoo.timm, "create_model", offline)
    with pytest.raises(UserError, match="weights='none'"):
        zoo.create("resnet34", "imagenet")
    monkeypatch.setitem(zoo.ZOO, "efficientnet_lite0", zoo.Entry("x", "x", offline=lambda: None))
    with pytest.raises(UserError, match=r"offline-weights"):
        zoo.create("efficientnet_lite0", "imagenet")


def test_weights_from_a_file(tmp_path):
    source = zoo.create("residual_net", "none", seed=5)[0]
    path = tmp_path / "own.safetensors"
    save_file(source.state_dict(), path)
    model, used = zoo.create("residual_net", str(path), seed=6)
    assert used == str(path)
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in source.state_dict().items())
    with pytest.raises(UserError, match="do not fit this network; the first difference is"):
        zoo.create("power_spectrum", str(path))
    (tmp_path / "broken.pth").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(UserError, match="cannot be read as weights"):
        zoo.create("residual_net", str(tmp_path / "broken.pth"))


def test_a_head_of_another_size_is_left_out(tmp_path):
    state = {
        f"body.{key}": tensor for key, tensor in zoo.create("resnet34", "none", seed=1)[0].body.state_dict().items()
    }
    state["body.fc.weight"], state["body.fc.bias"] = torch.zeros(1000, 512), torch.zeros(1000)
    save_file(state, tmp_path / "thousand.safetensors")
    model = zoo.create("resnet34", str(tmp_path / "thousand.safetensors"), seed=2)[0]
    assert torch.equal(model.body.conv1.weight, state["body.conv1.weight"]) and model.body.fc.weight.shape == (1, 512)


def test_the_residual_filters_are_blind_to_content():
    net = networks.ResidualNet()
    ramp = torch.linspace(-1, 1, SIZE).expand(1, 3, SIZE, SIZE)
    seen = torch.nn.functional.conv2d(ramp + 0.0, net.filters, groups=3)
    assert seen.abs().max() < 1e-5, "a ramp of brightness is content"
    assert torch.allclose(net.filters.sum(dim=(2, 3)), torch.zeros(9, 1), atol=1e-6)


def test_the_spectrum_finds_a_grating():
    net = networks.PowerSpectrum(SIZE)
    for cycles in (5, 11, 23):
        wave = torch.sin(2 * torch.pi * cycles * torch.arange(SIZE) / SIZE).expand(1, 3, SIZE, SIZE)
        assert int(net.spectrum(wave).argmax()) == cycles
