"""Contracts of TDANet: shapes, gradients, masks, attention, presets, filling."""

import numpy as np
import pytest
import torch

from nbsupport.config import TDANetConfig
from nbsupport.core import rng
from nbsupport.core.errors import UserError
from nbsupport.core.rng import seeded
from nbsupport.tdanet.attention import DualAttention, ShortLongAttention, WordReader
from nbsupport.tdanet.discriminator import Discriminator
from nbsupport.tdanet.encoder import ImageEncoder
from nbsupport.tdanet.layers import pool_mask, widths
from nbsupport.tdanet.model import create, fill
from nbsupport.tdanet.text import Text, TextEncoder

SMALL = {
    "base_channels": 8,
    "latent_channels": 8,
    "text_channels": 32,
    "word_channels": 16,
    "vocabulary_size": 30,
    "caption_length": 6,
}


def inputs(config, height, width, count=2, seed=0):
    draw = torch.Generator().manual_seed(seed)
    images = torch.rand((count, 3, height, width), generator=draw) * 2 - 1
    holes = torch.zeros((count, 1, height, width), dtype=torch.bool)
    holes[:, :, height // 4 : height // 2, width // 4 : width // 2] = True
    lengths = torch.tensor([config.caption_length, 3] * count)[:count]
    tokens = torch.randint(2, config.vocabulary_size, (count, config.caption_length), generator=draw)
    return images, holes, tokens.masked_fill(torch.arange(config.caption_length) >= lengths[:, None], 0), lengths


def noise(model, images, seed=1):
    shape = (len(images), *model.latent_shape(*images.shape[-2:]))
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("preset", ["repaired", "faithful"])
@pytest.mark.parametrize(("size", "height", "width"), [(32, 32, 32), (64, 64, 64), (64, 48, 80), (128, 128, 160)])
def test_shapes_ranges_and_finite_values(preset, size, height, width):
    config = TDANetConfig(image_size=size, preset=preset, **SMALL)
    model = create(config, 0).eval()
    images, holes, tokens, lengths = inputs(config, height, width)
    z = noise(model, images)
    painted = model(images, holes, tokens, lengths, z, z)
    assert [tuple(o.shape) for o in painted.outputs] == [(2, 3, height >> k, width >> k) for k in (3, 2, 1, 0)]
    for output in [*painted.outputs, *painted.auxiliary_outputs]:
        assert torch.isfinite(output).all() and output.abs().max() <= 1
    assert painted.latent.mean.shape == z.shape and (painted.latent.deviation > 0).all()
    cells = z.shape[2] * z.shape[3]
    assert painted.attention.shape == (2, cells, config.caption_length)
    torch.testing.assert_close(painted.attention.sum(-1), torch.ones(2, cells))
    assert (painted.attention[1, :, 3:] == 0).all()  # padding is never attended to


@pytest.mark.parametrize("preset", ["repaired", "faithful"])
def test_gradient_reaches_every_parameter(preset):
    config = TDANetConfig(image_size=32, preset=preset, **SMALL)
    model = create(config, 0)
    with torch.no_grad():
        model.generator.attention.gain_short += 0.5
    images, holes, tokens, lengths = inputs(config, 32, 32)
    z = noise(model, images)
    painted = model(images, holes, tokens, lengths, z, z)
    # The auxiliary path's h is never used, only its distribution: so both outputs together must reach everything.
    (sum(o.square().sum() for o in painted.outputs) + sum(o.sum() for o in painted.auxiliary_outputs)).backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert missing == []
    judge = Discriminator(8, 3)
    judge(images).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in judge.parameters())


def test_the_inpainting_path_never_sees_the_hole_and_the_auxiliary_path_sees_only_it():
    config = TDANetConfig(image_size=32, **SMALL)
    model = create(config, 0).eval()
    images, holes, tokens, lengths = inputs(config, 32, 32)
    z = noise(model, images)
    before = model(images, holes, tokens, lengths, z, z)
    inside = model(torch.where(holes, -images, images), holes, tokens, lengths, z, z)
    torch.testing.assert_close(inside.outputs[-1], before.outputs[-1])
    assert not torch.allclose(inside.auxiliary_latent.mean, before.auxiliary_latent.mean)
    outside = model(torch.where(holes, images, -images), holes, tokens, lengths, z, z)
    torch.testing.assert_close(outside.auxiliary_latent.mean, before.auxiliary_latent.mean)
    assert not torch.allclose(outside.outputs[-1], before.outputs[-1])


@pytest.mark.parametrize("cosine", [True, False])
def test_negation_keeps_what_the_picture_does_not_explain(cosine):
    """One word looks like the picture, one does not: +scores keep the first, -scores the second."""
    attention = DualAttention(2, 2, cosine=cosine)
    with torch.no_grad():
        attention.query.weight.copy_(torch.eye(2)[:, :, None, None] * 4)
        attention.key.weight.copy_(torch.eye(2)[:, :, None] * 4)
    words = torch.tensor([[[1.0, 0.0, 9.0], [0.0, 1.0, 9.0]]])  # word 0 = axis 0, word 1 = axis 1, then padding
    text = Text(words, words[:, :, 0], torch.tensor([[True, True, False]]))
    features = torch.tensor([1.0, 0.0])[None, :, None, None].expand(1, 2, 3, 3)
    everywhere = torch.ones(1, 1, 3, 3, dtype=torch.bool)
    kept, plus = attention(features, text, everywhere, negate=False)
    left, minus = attention(features, text, everywhere, negate=True)
    assert (plus[..., 0] > 0.99).all() and (minus[..., 1] > 0.99).all()
    assert (plus[..., 2] == 0).all() and (minus[..., 2] == 0).all()
    torch.testing.assert_close(kept[0], torch.tensor([1.0, 0.0]), atol=0.01, rtol=0)
    torch.testing.assert_close(left[0], torch.tensor([0.0, 1.0]), atol=0.01, rtol=0)


def test_cosine_scores_see_neither_what_all_words_share_nor_how_long_they_are():
    with seeded(0):
        attention = DualAttention(4, 6)
    features = torch.randn(1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    words = torch.randn(1, 6, 5, generator=torch.Generator().manual_seed(1))
    present = torch.tensor([[True, True, True, True, False]])
    where = torch.ones(1, 1, 3, 3, dtype=torch.bool)

    def weights(words):
        return attention(features, Text(words, words[:, :, 0], present), where, negate=False)[1]

    torch.testing.assert_close(weights(words + 7 * torch.ones(1, 6, 1)), weights(words), atol=1e-4, rtol=0)
    torch.testing.assert_close(weights(30 * words), weights(words), atol=1e-4, rtol=0)
    with torch.no_grad():
        attention.sharpness.fill_(99.0)  # the bound holds: no position can be surer than exp(2 x 20)
    assert torch.isfinite(weights(words)).all()


def test_pooling_takes_the_largest_value_over_the_positions_asked_for():
    with seeded(0):
        attention = DualAttention(4, 6)
    features = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    words = torch.randn(1, 6, 5, generator=torch.Generator().manual_seed(1))
    text = Text(words, words[:, :, 0], torch.ones(1, 5, dtype=torch.bool))
    where = torch.tensor([[[[True, False], [True, False]]]])
    pooled, weights = attention(features, text, where, negate=True)
    each = torch.stack([sum(weights[0, n, j] * words[0, :, j] for j in range(5)) for n in (0, 2)])
    torch.testing.assert_close(pooled[0], each.amax(0))
    nowhere, _ = attention(features, text, torch.zeros_like(where), negate=True)
    all_over, _ = attention(features, text, torch.ones_like(where), negate=True)
    torch.testing.assert_close(nowhere, all_over)


def test_masks_at_feature_resolution_are_bool_and_keep_every_hole():
    mask = torch.zeros(1, 1, 16, 24, dtype=torch.bool)
    mask[0, 0, 5, 17] = True
    small = pool_mask(mask, (4, 6))
    assert small.dtype == torch.bool and small.sum() == 1 and small[0, 0, 1, 4]
    assert pool_mask(~mask, (4, 6)).all()  # each cell still has a visible pixel


def test_the_encoder_tells_a_grey_region_from_a_hole():
    with seeded(0):
        encoder, blind = ImageEncoder(8, 64, 3), ImageEncoder(8, 64, 3, repaired=False)
    grey, hole = torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    hole[..., 8:24, 8:24] = True
    assert not torch.allclose(encoder(grey, hole)[1], encoder(grey, ~hole | hole & False)[1])
    torch.testing.assert_close(blind(grey, hole)[1], blind(grey, hole & False)[1])


def test_long_term_attention_fetches_from_visible_cells_only():
    with seeded(0):
        attention = ShortLongAttention(8, 4)
    draw = torch.Generator().manual_seed(0)
    decoder, low = torch.randn(1, 8, 4, 4, generator=draw), torch.randn(1, 4, 4, 4, generator=draw)
    hole = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    hole[..., 1:3, 1:3] = True
    changed = torch.where(hole, low + 5, low)
    torch.testing.assert_close(attention(decoder, low, hole), attention(decoder, changed, hole))
    assert torch.isfinite(attention(decoder, low, hole | True)).all()


def test_word_reader_ignores_padding():
    with seeded(0):
        reader = WordReader(8, 6)
    draw = torch.Generator().manual_seed(0)
    features, words = torch.randn(1, 8, 4, 4, generator=draw), torch.randn(1, 6, 5, generator=draw)
    present = torch.tensor([[True, True, False, False, False]])
    other = torch.where(present[:, None], words, words + 3)
    one, two = (reader(features, Text(w, w[:, :, 0], present)) for w in (words, other))
    torch.testing.assert_close(one, two)


def test_more_readers_bring_words_to_finer_positions():
    """One reader is the plain network, key by key; a second reads at twice the resolution, and gets a gradient."""
    plain, more = (create(TDANetConfig(image_size=64, word_readers=n, **SMALL), 0) for n in (1, 2))
    added = set(more.state_dict()) - set(plain.state_dict())
    assert added and all(name.startswith("generator.finer_readers.1.") for name in added)
    images, holes, tokens, lengths = inputs(more.config, 64, 64)
    seen = []
    more.generator.finer_readers["1"].register_forward_hook(lambda _, args, __: seen.append(args[0].shape[-2:]))
    more(images, holes, tokens, lengths, noise(more, images)).outputs[-1].mean().backward()
    assert seen == [(16, 16)]
    assert all(
        p.grad.abs().sum() > 0 for name, p in more.named_parameters() if name in added and "query.bias" not in name
    )


def test_text_encoder_does_not_depend_on_padding_or_on_its_neighbours():
    with seeded(0):
        encoder = TextEncoder(30, 16, 32).eval()
    tokens, lengths = torch.tensor([[5, 6, 7, 0, 0, 0], [8, 9, 10, 11, 12, 13]]), torch.tensor([3, 6])
    both = encoder(tokens, lengths)
    alone = encoder(tokens[:1, :3], lengths[:1])
    torch.testing.assert_close(both.sentence[:1], alone.sentence)
    torch.testing.assert_close(both.words[:1, :, :3], alone.words)
    assert (both.words[0, :, 3:] == 0).all() and both.present.tolist()[0] == [True] * 3 + [False] * 3


def test_filling_is_fixed_by_its_seed_and_varies_with_it():
    config = TDANetConfig(image_size=32, **SMALL)
    model = create(config, 0).eval()
    images, holes, tokens, lengths = inputs(config, 32, 32)
    global_before = torch.random.get_rng_state()
    one, again, other = (
        fill(model, images, holes, tokens, lengths, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert one.shape == images.shape and one.abs().max() <= 1 and not one.requires_grad
    assert torch.equal(torch.random.get_rng_state(), global_before)
    z = noise(model, images)
    both = fill(model, images, holes, tokens, lengths, latents=z)
    torch.testing.assert_close(both[:1], fill(model, images[:1], holes[:1], tokens[:1], lengths[:1], latents=z[:1]))
    with pytest.raises(UserError, match="exactly one"):
        fill(model, images, holes, tokens, lengths)


def test_empty_and_whole_holes_are_painted():
    config = TDANetConfig(image_size=32, **SMALL)
    model = create(config, 0).eval()
    images, holes, tokens, lengths = inputs(config, 32, 32)
    for every in (holes & False, holes | True):
        assert torch.isfinite(fill(model, images, every, tokens, lengths, latents=noise(model, images))).all()


def test_a_size_that_does_not_fit_is_named():
    model = create(TDANetConfig(image_size=64, **SMALL), 0)
    with pytest.raises(UserError, match="60x64.*multiples of 8"):
        model.latent_shape(60, 64)


def test_creation_is_a_function_of_the_seed_and_leaves_global_randomness_alone():
    before = torch.random.get_rng_state()
    config = TDANetConfig(image_size=32, **SMALL)
    one, same, other = (create(config, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_widths_double_up_to_the_largest():
    assert widths(32, 256, 4) == [16, 32, 64, 128, 256] and widths(32, 64, 4) == [16, 32, 64, 64, 64]
    assert rng.torch_seed(0, "a") != rng.torch_seed(0, "b") and np.isfinite(widths(4, 8, 3)).all()
