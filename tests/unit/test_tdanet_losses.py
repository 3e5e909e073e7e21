"""TDANet's losses against torch.distributions, naive loops, and their own limits."""

import math

import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl

from nbsupport.tdanet import losses
from nbsupport.tdanet.fusion import Gaussian


def gaussian(seed, shape=(3, 4, 2, 2)):
    draw = torch.Generator().manual_seed(seed)
    return Gaussian(torch.randn(shape, generator=draw), torch.rand(shape, generator=draw) + 0.2)


def test_kl_divergence_equals_torch_distributions():
    p, q = gaussian(0), gaussian(1)
    torch.testing.assert_close(losses.kl_divergence(p, q), torch_kl(Normal(*p), Normal(*q)).mean())
    assert losses.kl_divergence(p, p).abs() < 1e-6


def test_kl_losses_pull_the_right_distributions():
    holes = torch.zeros(3, 1, 8, 8, dtype=torch.bool)
    holes[0, :, :2], holes[1, :, :4], holes[2] = True, True, True
    p, q = gaussian(0), gaussian(1)
    q.mean.requires_grad_(), p.mean.requires_grad_()
    to_prior, to_auxiliary = losses.kl_losses(p, q, holes)
    deviation = losses.prior_deviation(holes)
    prior = Normal(torch.zeros_like(q.mean), deviation.expand_as(q.deviation))
    torch.testing.assert_close(to_prior, torch_kl(Normal(*q), prior).mean())
    torch.testing.assert_close(to_auxiliary, torch_kl(Normal(*q), Normal(*p)).mean())
    assert deviation[0] < deviation[1] < deviation[2] < 1  # more may stand in a larger hole
    to_auxiliary.backward()
    assert p.mean.grad is not None and q.mean.grad is None  # the auxiliary distribution stands still


def test_multi_scale_l1_runs_over_the_scales_whatever_the_batch():
    """The released code loops over the batch when it is smaller than the number of scales."""
    for count in (1, 2, 7):
        images = torch.zeros(count, 3, 16, 16)
        holes = torch.zeros(count, 1, 16, 16, dtype=torch.bool)
        holes[..., :8, :] = True
        outputs = [torch.full((count, 3, side, side), value) for side, value in ((4, 0.4), (8, 0.2), (16, 0.6))]
        assert losses.multi_scale_l1(outputs, images, holes, 0.5).item() == pytest.approx(0.4)
        assert losses.multi_scale_l1(outputs, images, holes, 0.0).item() == pytest.approx(0.4)


def test_hole_weight_is_the_share_of_the_hole():
    images, holes = torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    holes[..., :2, :2] = True
    output = torch.where(holes, 1.0, 0.25).expand(1, 3, 8, 8)
    assert losses.multi_scale_l1([output], images, holes, 0.75).item() == pytest.approx(0.75 * 1 + 0.25 * 0.25)
    assert losses.multi_scale_l1([output], images, holes, 0.0).item() == pytest.approx((4 + 60 * 0.25) / 64)
    assert losses.multi_scale_l1([images + 1], images, holes & False, 0.75).item() == pytest.approx(1), "no hole"


def test_lsgan_is_zero_where_it_should_be():
    ones, zeros = torch.ones(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    assert losses.lsgan_discriminator(ones, zeros) == 0 and losses.lsgan_discriminator(zeros, ones) == 1
    assert losses.lsgan_generator(ones) == 0 and losses.lsgan_generator(zeros) == 0.5


def naive_word_score(regions, words, gamma1, gamma2):
    """AttnGAN, equations 7 to 10, one picture (D, N) and one caption (D, L without padding) at a time."""
    s = torch.zeros(words.shape[1], regions.shape[1])
    for i in range(words.shape[1]):
        for j in range(regions.shape[1]):
            s[i, j] = torch.dot(words[:, i], regions[:, j])
    s = torch.stack([s[:, j].exp() / s[:, j].exp().sum() for j in range(s.shape[1])], dim=1)
    total = 0.0
    for i in range(words.shape[1]):
        alpha = (gamma1 * s[i]).exp() / (gamma1 * s[i]).exp().sum()
        context = sum(alpha[j] * regions[:, j] for j in range(regions.shape[1]))
        relevance = torch.dot(context, words[:, i]) / (context.norm() * words[:, i].norm())
        total = total + math.exp(gamma2 * relevance)
    return math.log(total) / gamma2


def test_word_scores_equal_a_naive_loop():
    draw = torch.Generator().manual_seed(0)
    regions, words = torch.randn(3, 8, 5, generator=draw), torch.randn(4, 8, 6, generator=draw)
    lengths = [6, 2, 4, 1]
    present = torch.arange(6) < torch.tensor(lengths)[:, None]
    scores = losses.word_scores(regions, words * present[:, None], present, 4.0, 5.0)
    for a in range(3):
        for b in range(4):
            expected = naive_word_score(regions[a], words[b, :, : lengths[b]], 4.0, 5.0)
            assert scores[a, b].item() == pytest.approx(expected, abs=1e-5)


def test_matching_loss_equals_a_naive_loop_and_spares_captions_of_the_same_photograph():
    scores = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    photographs = torch.tensor([7, 8, 7, 9])  # 0 and 2 show the same photograph

    def naive(matrix):
        total = 0.0
        for i in range(4):
            allowed = [j for j in range(4) if j == i or photographs[j] != photographs[i]]
            total -= 10 * matrix[i, i].item() - math.log(sum(math.exp(10 * matrix[i, j].item()) for j in allowed))
        return total / 4

    loss = losses.matching_loss(scores, photographs, 10.0).item()
    assert loss == pytest.approx((naive(scores) + naive(scores.T)) / 2, rel=1e-5)
    flat = losses.matching_loss(torch.zeros(4, 4), torch.arange(4), 10.0).item()
    assert flat == pytest.approx(math.log(4))
    assert losses.matching_loss(torch.eye(4), torch.arange(4), 10.0).item() < 0.01
