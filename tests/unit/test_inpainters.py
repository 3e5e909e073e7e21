"""Every inpainter keeps the protocol; what breaks it is an error that says how."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nbsupport import inpainters
from nbsupport.config import TDANetConfig
from nbsupport.data.captions import Vocabulary
from nbsupport.errors import MissingStage
from nbsupport.inpainters import InpainterError
from nbsupport.runs import Run
from nbsupport.tdanet import model as tdanet_model

CLASSICAL = [name for name in inpainters.NAMES if name != "tdanet"]


def pictures(count=2, height=20, width=28):
    """Smooth pictures with a block for a hole: (B, H, W, 3) uint8 and (B, H, W) bool."""
    y, x = np.mgrid[:height, :width]
    images = np.stack([np.stack([4 * x + 9 * k, 5 * y, 3 * (x + y)], axis=-1) for k in range(count)]).astype(np.uint8)
    masks = np.zeros((count, height, width), bool)
    masks[:, 6:12, 8:16] = True
    return images, masks


@pytest.mark.parametrize("name", CLASSICAL)
def test_classical_methods_paint_the_hole_and_only_the_hole(name):
    images, masks = pictures()
    hidden = images.copy()
    hidden[masks] = 255  # what lies in the hole must not be seen
    output = inpainters.create(name).fill(hidden, masks, ["", "a bird"], seeds=[0, 1])
    assert output.shape == images.shape and output.dtype == np.uint8
    assert np.array_equal(output[~masks], images[~masks])
    error = np.abs(output[masks].astype(float) - images[masks]).mean()
    assert error < np.abs(255.0 - images[masks]).mean() / 3
    assert np.array_equal(output, inpainters.create(name).fill(images, masks, ["", ""], seeds=[5, 6]))


def test_mean_colour_is_the_mean_of_the_visible_pixels():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2] = (10, 20, 30)
    image[2:] = (20, 40, 60)
    mask = np.zeros((4, 4), bool)
    mask[0] = True  # visible: 4 pixels of the first colour, 8 of the second
    assert inpainters.mean_colour(image, mask)[0, 0].tolist() == [17, 33, 50]


@pytest.mark.parametrize("name", CLASSICAL)
def test_no_hole_leaves_the_photograph_as_it_is(name):
    images, masks = pictures()
    output = inpainters.create(name).fill(images, np.zeros_like(masks), ["", ""], seeds=[0, 0])
    assert np.array_equal(output, images)


def test_names_are_checked(runs_folder):
    with pytest.raises(InpainterError, match="Did you mean 'telea'"):
        inpainters.create("tela")
    with pytest.raises(InpainterError, match="read from a run folder"):
        inpainters.create("tdanet")
    with pytest.raises(MissingStage, match="--only 1-4"):
        inpainters.create("tdanet", Run("empty"))


class Painter:
    """Returns what it was built with, or what its function makes of the images."""

    name = "odd"

    def __init__(self, make):
        self.make = make

    def fill(self, images, masks, captions, *, seeds):
        return self.make(images)


def nan_picture(images):
    output = images.astype(np.float32)
    output[1, 2, 3] = np.nan
    return output


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda i: i[:, ::2], "got .*10.* uint8"),
        (lambda i: i[:1], "got .1, "),
        (lambda i: i / 255.0, "float64"),
        (nan_picture, "NaN"),
        (lambda i: None, "NoneType"),
        (lambda i: i.__iadd__(1), "wrote into"),
    ],
)
def test_bad_output_is_a_clear_error(make, message):
    images, masks = pictures()
    with pytest.raises(InpainterError, match=message) as error:
        inpainters.checked(Painter(make)).fill(images, masks, ["", ""], seeds=[0, 0])
    assert "odd" in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((2, 20, 28), np.uint8)}, "images must be"),
        ({"images": np.zeros((2, 20, 28, 3))}, "float64"),
        ({"masks": np.zeros((2, 20, 28), np.uint8)}, "True = hole"),
        ({"masks": np.zeros((2, 28, 20), bool)}, "masks must be"),
        ({"masks": np.ones((2, 20, 28), bool)}, "covers all of it"),
        ({"captions": ["a"]}, "as many captions"),
        ({"seeds": [1, 2, 3]}, "as many captions and seeds"),
    ],
)
def test_bad_input_is_a_clear_error(change, message):
    images, masks = pictures()
    given = {"images": images, "masks": masks, "captions": ["", ""], "seeds": [0, 0]} | change
    with pytest.raises(InpainterError, match=message):
        inpainters.create("mean_colour").fill(given["images"], given["masks"], given["captions"], seeds=given["seeds"])


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.integers(4, 24), st.integers(4, 24), st.integers(0, 2**32))
def test_splice_takes_each_pixel_from_the_right_side(count, height, width, seed):
    draw = np.random.default_rng(seed)
    original, output = draw.integers(0, 256, (2, count, height, width, 3), dtype=np.uint8)
    masks = draw.random((count, height, width)) < 0.4
    spliced = inpainters.splice(original, output, masks)
    assert spliced.dtype == np.uint8
    assert np.array_equal(spliced[masks], output[masks])
    assert np.array_equal(spliced[~masks], original[~masks])


def test_every_byte_survives_the_way_to_floats_and_back():
    images = np.arange(256 * 3, dtype=np.int64).astype(np.uint8).reshape(1, 16, 16, 3)
    floats = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert np.array_equal(inpainters.to_uint8(floats), images)
    assert inpainters.to_uint8(torch.full((1, 3, 2, 2), 7.0)).max() == 255
    with pytest.raises(InpainterError, match="diverged"):
        inpainters.to_uint8(torch.tensor([float("nan")]).expand(1, 3, 2, 2))


def test_an_untrained_tdanet_fills_by_its_seeds_alone():
    vocabulary = Vocabulary.build(["a red bird", "a red bird"], min_count=1)
    config = TDANetConfig(
        image_size=32, base_channels=8, max_channels=32, latent_channels=8, text_channels=32, word_channels=16,
        vocabulary_size=len(vocabulary), output_scales=2,
    )  # fmt: skip
    model = tdanet_model.create(config, seed=0)
    painter = inpainters.checked(inpainters.TDANetInpainter(model, vocabulary, precision="float32"))
    images, masks = pictures(3, 32, 32)
    captions = ["a red bird", "", "an unheard word " * 40]
    together = painter.fill(images, masks, captions, seeds=[3, 4, 5])
    alone = [painter.fill(images[k : k + 1], masks[k : k + 1], captions[k : k + 1], seeds=[3 + k])[0] for k in range(3)]
    assert np.abs(together.astype(int) - np.stack(alone)).max() <= 1  # the order of floating-point sums
    assert np.array_equal(together, painter.fill(images, masks, captions, seeds=[3, 4, 5]))
    other = images.copy()
    other[masks] = 0  # what lies in the hole must not be seen
    assert np.array_equal(together, painter.fill(other, masks, captions, seeds=[3, 4, 5]))
