"""Each measure of single pictures against another implementation of it, and against what it must do."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage import metrics
from torchmetrics.functional.image import total_variation

from nbsupport import quality
from nbsupport.core.errors import UserError


@pytest.fixture
def scene():
    """Three textured pictures, noisy versions of them, and holes of different sizes well inside."""
    draw = np.random.default_rng(0)
    originals = gaussian_filter(draw.uniform(0, 255, (3, 32, 40, 3)), (0, 1.5, 1.5, 0)).astype(np.uint8)
    noise = draw.normal(0, 1, originals.shape) * np.array([4, 12, 30])[:, None, None, None]
    outputs = np.clip(originals + noise, 0, 255).astype(np.uint8)
    holes = np.zeros((3, 32, 40), bool)
    for number in range(3):
        holes[number, 8 : 16 + number, 10 : 25 - number] = True
    return originals, outputs, holes


def test_l1_and_psnr_agree_with_plain_loops_and_with_scikit_image(scene):
    originals, outputs, holes = scene
    values = quality.measures(originals, outputs, holes)
    assert list(values) == list(quality.MEASURES)
    for number, (original, output, hole) in enumerate(zip(*scene, strict=True)):
        x, y = original / 127.5 - 1, output / 127.5 - 1
        assert values["whole_l1"][number] == pytest.approx(np.abs(x - y).mean(), rel=1e-5)
        assert values["hole_l1"][number] == pytest.approx(np.abs(x - y)[hole].mean(), rel=1e-5)
        whole = metrics.peak_signal_noise_ratio(original, output, data_range=255)
        assert values["psnr"][number] == pytest.approx(whole, rel=1e-5)
        inside = metrics.peak_signal_noise_ratio(original[hole], output[hole], data_range=255)
        assert values["hole_psnr"][number] == pytest.approx(inside, rel=1e-9)


def test_ssim_agrees_with_scikit_image_and_with_scipys_filters(scene):
    originals, outputs, holes = scene
    whole, inside = quality.ssim(originals, outputs), quality.ssim(originals, outputs, holes)
    for number, (original, output, hole) in enumerate(zip(*scene, strict=True)):
        settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
        _, full = metrics.structural_similarity(original, output, channel_axis=-1, full=True, **settings)
        assert inside[number] == pytest.approx(full[hole].mean(), abs=1e-4)  # away from the border, where both agree

        def blur(values):
            return gaussian_filter(values, (1.5, 1.5, 0), truncate=3.5, mode="mirror")

        x, y = original / 255, output / 255
        mx, my = blur(x), blur(y)
        vx, vy, vxy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
        ours = (2 * mx * my + 1e-4) * (2 * vxy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
        assert whole[number] == pytest.approx(ours.mean(), abs=1e-4)


def test_total_variation_agrees_with_torchmetrics_and_counts_no_seam(scene):
    _, outputs, holes = scene
    everything = np.ones_like(holes)
    floats = torch.from_numpy(outputs).permute(0, 3, 1, 2).double() / 127.5
    steps = 3 * (31 * 40 + 32 * 39)
    assert quality.total_variation(outputs, everything) == pytest.approx(
        (total_variation(floats, reduction="none") / steps).numpy(), rel=1e-5
    )
    crops = [outputs[n : n + 1, 8 : 16 + n, 10 : 25 - n] for n in range(3)]
    alone = [quality.total_variation(crop, np.ones(crop.shape[:3], bool))[0] for crop in crops]
    assert quality.total_variation(outputs, holes) == pytest.approx(alone)
    flat = outputs.copy()
    flat[holes] = 7
    assert quality.total_variation(flat, holes).tolist() == [0, 0, 0]


def test_equal_pictures_have_no_error(scene):
    originals, _, holes = scene
    values = quality.measures(originals, originals.copy(), holes)
    for name in ("hole_l1", "whole_l1"):
        assert (values[name] == 0).all(), name
    for name in ("hole_psnr", "psnr"):
        assert np.isposinf(values[name]).all(), name
    for name in ("hole_ssim", "ssim"):
        assert values[name] == pytest.approx(1, abs=1e-5), name
    assert (values["hole_tv"] == values["hole_tv_photograph"]).all()


def test_a_worse_fill_gets_worse_numbers_by_every_measure(scene):
    originals, outputs, holes = scene
    where, worse = holes[..., None], np.where(originals > 127, 0, 255).astype(np.uint8)
    better_values = quality.measures(originals, np.where(where, outputs, originals), holes)
    worse_values = quality.measures(originals, np.where(where, worse, originals), holes)
    for name, (_, better) in quality.MEASURES.items():
        if better:
            sign = 1 if better == "higher" else -1
            assert (sign * better_values[name] > sign * worse_values[name]).all(), name


def test_numbers_of_the_hole_see_the_hole_alone(scene):
    originals, outputs, holes = scene
    elsewhere = np.where(holes[..., None], originals, 255 - originals)
    assert (quality.hole_l1(originals, elsewhere, holes) == 0).all()
    assert np.isposinf(quality.psnr(originals, elsewhere, holes)).all()
    spliced = np.where(holes[..., None], outputs, originals)
    assert (quality.hole_l1(originals, spliced, holes) == quality.hole_l1(originals, outputs, holes)).all()
    nothing = quality.measures(originals, outputs, np.zeros_like(holes))
    assert all(np.isnan(nothing[name]).all() for name in nothing if name.startswith("hole"))
    assert all(np.isfinite(nothing[name]).all() for name in nothing if not name.startswith("hole"))


def test_each_picture_is_measured_by_itself(scene):
    together = quality.measures(*scene)
    for number in range(3):
        alone = quality.measures(*(part[number : number + 1] for part in scene))
        for name, values in together.items():
            assert values[number] == pytest.approx(alone[name][0], rel=1e-6), name


def test_pictures_of_one_colour_are_measured():
    black, white = np.zeros((1, 16, 16, 3), np.uint8), np.full((1, 16, 16, 3), 255, np.uint8)
    hole = np.ones((1, 16, 16), bool)
    assert quality.measures(black, white, hole)["hole_l1"] == pytest.approx(2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b, h: (a / 255, b, h), "originals must be .* float64"),
        (lambda a, b, h: (a, b[:, :20], h), "one shape"),
        (lambda a, b, h: (a, b, h.astype(np.uint8)), "True = hole"),
        (lambda a, b, h: (a, b, h[:1]), "holes must be"),
        (lambda a, b, h: (a[:, :8], b[:, :8], h[:, :8]), "at least 11 x 11"),
    ],
)
def test_wrong_input_is_a_clear_error(scene, change, message):
    with pytest.raises(UserError, match=message):
        quality.measures(*change(*scene))
