"""Every inpainter keeps the protocol; what breaks it is an error that says how."""

import shutil
import sys
import time
import warnings

import numpy as np
import pytest
import requests
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nbsupport import quality
from nbsupport.config import TDANetConfig
from nbsupport.core import (
    device,  # noqa: F401 - lightning, which it needs, moves random state when imported
    tensors,
)
from nbsupport.core.errors import InpainterError, MissingStage
from nbsupport.data.captions import Vocabulary
from nbsupport.inpainters import base, classical, registry, tdanet
from nbsupport.runs import Run
from nbsupport.tdanet import model as tdanet_model

CLASSICAL = classical.CLASSICAL


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
    output = registry.create(name).fill(hidden, masks, ["", "a bird"], seeds=[0, 1])
    assert output.shape == images.shape and output.dtype == np.uint8
    assert np.array_equal(output[~masks], images[~masks])
    error = np.abs(output[masks].astype(float) - images[masks]).mean()
    assert error < np.abs(255.0 - images[masks]).mean() / 3
    seeds = [0, 1] if name == "patchmatch" else [5, 6]  # it alone draws
    assert np.array_equal(output, registry.create(name).fill(images, masks, ["", ""], seeds=seeds))


@pytest.mark.skipif(not classical.HAS_PATCHMATCH, reason="PyPatchMatch is made for Linux on x86-64 alone")
def test_patchmatch_copies_patches_and_its_seed_decides_which():
    generator = np.random.default_rng(0)
    picture = np.kron(generator.integers(0, 255, (8, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
    picture = np.clip(picture + generator.integers(-20, 20, picture.shape), 0, 255).astype(np.uint8)
    hole = np.zeros((64, 64), bool)
    hole[16:48, 16:48] = True
    one, same, other = (classical.patchmatch(picture, hole, seed) for seed in (3, 3, 2**62))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    smooth = classical.biharmonic(picture, hole)
    steps = {name: quality.total_variation(fill[None], hole[None])[0] for name, fill in
             (("photograph", picture), ("patchmatch", one), ("biharmonic", smooth))}  # fmt: skip
    assert steps["biharmonic"] < 0.6 * steps["photograph"] < steps["patchmatch"], "as sharp as what it copies"


def test_without_its_library_patchmatch_names_the_package(monkeypatch):
    monkeypatch.setattr(classical, "HAS_PATCHMATCH", False)
    images, masks = pictures()
    with pytest.raises(InpainterError, match="pip install pypatchmatch"):
        registry.create("patchmatch").fill(images, masks, ["", ""], seeds=[0, 0])


def test_mean_colour_is_the_mean_of_the_visible_pixels():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2] = (10, 20, 30)
    image[2:] = (20, 40, 60)
    mask = np.zeros((4, 4), bool)
    mask[0] = True  # visible: 4 pixels of the first colour, 8 of the second
    assert classical.mean_colour(image, mask)[0, 0].tolist() == [17, 33, 50]


@pytest.mark.parametrize("name", CLASSICAL)
def test_no_hole_leaves_the_photograph_as_it_is(name):
    images, masks = pictures()
    output = registry.create(name).fill(images, np.zeros_like(masks), ["", ""], seeds=[0, 0])
    assert np.array_equal(output, images)


def test_names_are_checked(runs_folder):
    with pytest.raises(InpainterError, match="Did you mean 'telea'.*Also: tdanet:<name.*lama:<file.*diffusers:<folder"):
        registry.create("tela")
    with pytest.raises(InpainterError, match="read from a run folder"):
        registry.create("tdanet")
    with pytest.raises(MissingStage, match="--only 1-4"):
        registry.create("tdanet", Run("empty"))


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
        base.checked(Painter(make)).fill(images, masks, ["", ""], seeds=[0, 0])
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
        registry.create("mean_colour").fill(given["images"], given["masks"], given["captions"], seeds=given["seeds"])


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.integers(4, 24), st.integers(4, 24), st.integers(0, 2**32))
def test_splice_takes_each_pixel_from_the_right_side(count, height, width, seed):
    draw = np.random.default_rng(seed)
    original, output = draw.integers(0, 256, (2, count, height, width, 3), dtype=np.uint8)
    masks = draw.random((count, height, width)) < 0.4
    spliced = base.splice(original, output, masks)
    assert spliced.dtype == np.uint8
    assert np.array_equal(spliced[masks], output[masks])
    assert np.array_equal(spliced[~masks], original[~masks])


def test_every_byte_survives_the_way_to_floats_and_back():
    images = np.arange(256 * 3, dtype=np.int64).astype(np.uint8).reshape(1, 16, 16, 3)
    floats = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert np.array_equal(tensors.to_uint8(floats), images)
    assert tensors.to_uint8(torch.full((1, 3, 2, 2), 7.0)).max() == 255
    with pytest.raises(InpainterError, match="diverged"):
        tensors.to_uint8(torch.tensor([float("nan")]).expand(1, 3, 2, 2))


def test_an_untrained_tdanet_fills_by_its_seeds_alone():
    vocabulary = Vocabulary.build(["a red bird", "a red bird"], min_count=1)
    config = TDANetConfig(
        image_size=32, base_channels=8, max_channels=32, latent_channels=8, text_channels=32, word_channels=16,
        vocabulary_size=len(vocabulary), output_scales=2,
    )  # fmt: skip
    model = tdanet_model.create(config, seed=0)
    painter = base.checked(tdanet.TDANetInpainter(model, vocabulary, precision="float32"))
    images, masks = pictures(3, 32, 32)
    captions = ["a red bird", "", "an unheard word " * 40]
    together = painter.fill(images, masks, captions, seeds=[3, 4, 5])
    alone = [painter.fill(images[k : k + 1], masks[k : k + 1], captions[k : k + 1], seeds=[3 + k])[0] for k in range(3)]
    assert np.abs(together.astype(int) - np.stack(alone)).max() <= 1  # the order of floating-point sums
    assert np.array_equal(together, painter.fill(images, masks, captions, seeds=[3, 4, 5]))
    other = images.copy()
    other[masks] = 0  # what lies in the hole must not be seen
    assert np.array_equal(together, painter.fill(other, masks, captions, seeds=[3, 4, 5]))


def test_who_reads_captions():
    assert not any(base.reads_captions(registry.create(name)) for name in CLASSICAL)
    assert base.reads_captions(base.checked(Painter(lambda images: images)))


# --- LaMa ----------------------------------------------------------------------------------------------------------


class TinyLaMa(torch.nn.Module):
    """The interface of big-lama.pt: paints red into the hole, darkens the rest a little, wants multiples of 8."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        assert image.shape[2] % 8 == 0 and image.shape[3] % 8 == 0
        assert bool((image * mask == 0).all()), "what lies in the hole must not be seen"
        assert bool(image.max() <= 1) and bool(image.min() >= 0)
        red = torch.zeros_like(image)
        red[:, 0] = 1.0
        return image * (1 - mask) * 0.5 + red * mask


class BrokenLaMa(torch.nn.Module):
    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return image / 0.0 * 0.0


def scripted(module, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.script(module).save(str(path))
    return path


def test_lama_is_read_from_its_file_and_padded(tmp_path):
    painter = registry.create(f"lama:{scripted(TinyLaMa(), tmp_path / 'big lama.pt')}")
    images, masks = pictures(2, 21, 27)
    output = painter.fill(images, masks, ["", "a bird"], seeds=[0, 1])
    assert painter.name == "lama_big_lama" and not base.reads_captions(painter)
    assert (output[masks] == (255, 0, 0)).all()
    assert np.abs(output[~masks].astype(float) - images[~masks] / 2).max() <= 0.5
    assert painter.fill(images[:0], masks[:0], [], seeds=[]).shape == (0, 21, 27, 3)


def test_a_lama_that_cannot_be_used_is_a_clear_error(tmp_path):
    with pytest.raises(InpainterError, match="no file '.*none.pt'.*big-lama.pt"):
        registry.create(f"lama:{tmp_path / 'none.pt'}")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "weights.pt")
    with pytest.raises(InpainterError, match="cannot be read as TorchScript.*not a checkpoint"):
        registry.create(f"lama:{tmp_path / 'weights.pt'}")
    images, masks = pictures()
    broken = registry.create(f"lama:{scripted(BrokenLaMa(), tmp_path / 'broken.pt')}")
    with pytest.raises(InpainterError, match="'lama_broken' returned NaN"):
        broken.fill(images, masks, ["", ""], seeds=[0, 0])


# --- diffusers -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline_folder(tmp_path_factory):
    """A tiny Stable Diffusion inpainting pipeline of random weights, in a folder as a hub would hold it."""
    diffusers, transformers = pytest.importorskip("diffusers"), pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("tiny-pipeline")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = {name: number for number, name in enumerate([*letters, *(f"{a}</w>" for a in letters)])}
    words |= {"<|startoftext|>": len(words), "<|endoftext|>": len(words) + 1}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = diffusers.UNet2DConditionModel(
            sample_size=16, in_channels=9, out_channels=4, block_out_channels=(8, 16), layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16, attention_head_dim=4, norm_num_groups=4,
        )  # fmt: skip
        vae = diffusers.AutoencoderKL(
            block_out_channels=(8, 8), in_channels=3, out_channels=3, latent_channels=4, norm_num_groups=4,
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        )  # fmt: skip
        text = transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                max_position_embeddings=77, bos_token_id=len(words) - 2, eos_token_id=len(words) - 1, pad_token_id=1,
            )
        )  # fmt: skip
    pipeline = diffusers.StableDiffusionInpaintPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=transformers.CLIPTokenizer(vocab=words, merges=[], model_max_length=77),
        unet=unet,
        scheduler=diffusers.DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny_diffusion(pipeline_folder):
    painter = registry.create(f"diffusers:{pipeline_folder}")
    painter.inner.steps = 2
    return painter


def test_a_pipeline_is_loaded_from_its_folder_and_works_at_its_own_size(tiny_diffusion, pipeline_folder):
    inner = tiny_diffusion.inner
    assert tiny_diffusion.name == f"diffusers_{pipeline_folder.name}" and base.reads_captions(tiny_diffusion)
    assert inner.native_size == 32 and inner.working_size(64, 64) == (32, 32)
    assert inner.working_size(20, 28) == (32, 44) and inner.working_size(500, 250) == (64, 32)


def test_a_pipelines_fill_depends_on_its_own_seed_and_caption_alone(tiny_diffusion):
    images, masks = pictures(3)
    captions = ["a red bird", "a cat", ""]
    output = tiny_diffusion.fill(images, masks, captions, seeds=[1, 2, 3])
    assert np.array_equal(output, tiny_diffusion.fill(images, masks, captions, seeds=[1, 2, 3]))
    for number in range(3):
        part = slice(number, number + 1)
        alone = tiny_diffusion.fill(images[part], masks[part], captions[part], seeds=[number + 1])
        assert np.abs(alone[0].astype(int) - output[number]).max() <= 1  # the order of floating-point sums
    other = tiny_diffusion.fill(images, masks, captions, seeds=[9, 2, 3])
    assert (other[0] != output[0]).any() and np.abs(other[1:].astype(int) - output[1:]).max() <= 1
    spoken = tiny_diffusion.fill(images, masks, ["a blue dog", "a cat", ""], seeds=[1, 2, 3])
    assert (spoken[0] != output[0]).any() and np.abs(spoken[1:].astype(int) - output[1:]).max() <= 1
    hidden = images.copy()
    hidden[masks] = 255  # what lies in the hole must not be seen
    assert np.array_equal(output, tiny_diffusion.fill(hidden, masks, captions, seeds=[1, 2, 3]))


def test_a_withheld_picture_is_an_error_and_not_a_black_fill(tiny_diffusion, monkeypatch):
    inner = tiny_diffusion.inner
    call = type(inner.pipeline).__call__

    def flag(self, **settings):
        result = call(self, **settings)
        result.nsfw_content_detected = [False, True]
        return result

    monkeypatch.setattr(type(inner.pipeline), "__call__", flag)
    images, masks = pictures()
    with pytest.raises(InpainterError, match="withheld picture 1"):
        tiny_diffusion.fill(images, masks, ["a", "b"], seeds=[1, 2])


def test_without_the_extra_diffusers_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(InpainterError, match=r"pip install 'nbsupport\[diffusion\]'"):
        registry.create("diffusers:owner/model")


def test_weights_that_cannot_be_had_are_a_clear_error_at_once(monkeypatch, tmp_path):
    pytest.importorskip("diffusers")

    def refuse(url, **settings):
        raise requests.ConnectionError("no connection")

    monkeypatch.setattr(requests, "head", refuse)
    start = time.perf_counter()
    with pytest.raises(InpainterError, match="'nobody/no-such-model' are not on this machine.*no connection"):
        registry.create("diffusers:nobody/no-such-model")
    assert time.perf_counter() - start < 15
    with pytest.raises(InpainterError, match="holds no inpainting pipeline"):
        registry.create(f"diffusers:{tmp_path}")
    with pytest.raises(InpainterError, match="no folder '/no/such/folder'"):
        registry.create("diffusers:/no/such/folder")


def test_a_pipeline_whose_weights_are_pickles_is_refused(pipeline_folder, tmp_path):
    folder = shutil.copytree(pipeline_folder, tmp_path / "pickled")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({}, folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(InpainterError, match="weights in safetensors"):
        registry.create(f"diffusers:{folder}")


def test_the_caption_strength_goes_on_from_the_fill_without_a_caption(monkeypatch):
    config = TDANetConfig(
        image_size=32, base_channels=8, latent_channels=8, text_channels=32, word_channels=16, vocabulary_size=4
    )
    vocabulary = Vocabulary(("<pad>", "<unk>", "red", "bird"))

    def painted(strength, caption="red bird"):
        model = tdanet_model.create(config, seed=0)
        brush = tdanet.TDANetInpainter(model, vocabulary, "float32", caption_strength=strength)
        images = np.random.default_rng(0).integers(60, 190, (1, 32, 32, 3), np.uint8)
        masks = np.zeros((1, 32, 32), bool)
        masks[:, 8:24, 8:24] = True
        return brush.fill(images, masks, [caption], seeds=[1]).astype(int)

    silent, plain, double = painted(1.0, ""), painted(1.0), painted(2.0)
    assert (plain != silent).any()
    assert np.array_equal(painted(0.0), silent)
    inside = (double > 0) & (double < 255)
    assert np.abs(double - (2 * plain - silent))[inside].max() <= 2  # rounding, three times
    assert np.array_equal(painted(3.0, ""), silent)


@pytest.mark.parametrize("name", ["tdanet@", "tdanet@much", "tdanet@-1", "tdanet:cub64@99"])
def test_a_caption_strength_that_is_none_is_refused(name):
    with pytest.raises(InpainterError, match="from 0 to 20"):
        registry.create(name)


def test_a_caption_strength_is_part_of_the_name():
    brush = registry.create("tdanet:cub64@2.5")
    assert brush.name == "tdanet:cub64@2.5" and brush.inner.caption_strength == 2.5
