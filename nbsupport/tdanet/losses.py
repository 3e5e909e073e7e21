"""TDANet's losses, each a function of tensors: L1 at several scales, KL of both paths, LSGAN, and DAMSM matching.

Sources: TDANet, section 3.5; the hole-scaled prior from PICNet (arXiv 1903.04227, section 3.2); word and sentence
losses from AttnGAN (arXiv 1711.10485, section 3.2). Departures from the *released* code are named where they stand.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from nbsupport.tdanet.fusion import Gaussian
from nbsupport.tdanet.layers import pool_mask


def multi_scale_l1(outputs: Sequence[Tensor], images: Tensor, holes: Tensor, hole_weight: float) -> Tensor:
    """Absolute error at each output scale, averaged over the scales.

    The released code loops over the *batch* in place of the scales when the batch is the smaller of the two.

    Args:
        outputs: pictures (B, 3, h_k, w_k) float in [-1, 1], small to large. images: (B, 3, H, W) float in [-1, 1].
        holes: (B, 1, H, W) bool, True = hole.
        hole_weight: share of the loss that the hole gets, in [0, 1]: hole_weight x (mean error inside) +
            (1 - hole_weight) x (mean error outside), of each picture; one without a hole counts whole. 0 means plain
            L1 over the picture (preset ``faithful``).

    Returns:
        a scalar float >= 0.
    """
    total = images.new_zeros(())
    for output in outputs:
        size = output.shape[-2:]
        target = images if size == images.shape[-2:] else F.adaptive_avg_pool2d(images, size)
        error = (output - target).abs().mean(dim=1, keepdim=True)
        if hole_weight == 0:
            total = total + error.mean()
            continue
        hole = pool_mask(holes, size)
        inside, outside = ((error * part).sum((1, 2, 3)) / part.sum((1, 2, 3)).clamp(min=1) for part in (hole, ~hole))
        weight = hole_weight * hole.flatten(1).any(dim=1)
        total = total + (weight * inside + (1 - weight) * outside).mean()
    return total / len(outputs)


def kl_divergence(first: Gaussian, second: Gaussian) -> Tensor:
    """KL(first || second) of independent normal distributions, averaged over all elements; a scalar >= 0, in nats."""
    ratio = (first.deviation / second.deviation).square()
    distance = ((first.mean - second.mean) / second.deviation).square()
    return 0.5 * (ratio + distance - 1 - ratio.log()).mean()


def prior_deviation(holes: Tensor) -> Tensor:
    """Deviation of the prior: near 1 for a large hole (much may stand in it), small for a small one (PICNet).

    Args: holes (B, 1, H, W) bool, True = hole. Returns (B, 1, 1, 1) float in (0.16, 1).
    """
    visible = 1 - holes.float().mean(dim=(1, 2, 3), keepdim=True)
    return 1 / (1 + torch.exp(8 * (visible - 0.8)))


def kl_losses(inpainting: Gaussian, auxiliary: Gaussian, holes: Tensor) -> tuple[Tensor, Tensor]:
    """Both KL terms.

    The auxiliary distribution (it has seen the removed part: a posterior) is pulled to N(0, s²) with s by the hole's
    size. The inpainting distribution is pulled to the auxiliary one, which stands still for it.

    Returns:
        (KL(auxiliary || N(0, s²)), KL(auxiliary || inpainting)), scalars >= 0.
    """
    still = Gaussian(auxiliary.mean.detach(), auxiliary.deviation.detach())
    return kl_to_prior(auxiliary, holes), kl_divergence(still, inpainting)


def kl_to_prior(latent: Gaussian, holes: Tensor) -> Tensor:
    """KL(latent || N(0, s²)) with s by the hole's size (`prior_deviation`); a scalar >= 0."""
    prior = Gaussian(torch.zeros_like(latent.mean), prior_deviation(holes).expand_as(latent.deviation))
    return kl_divergence(latent, prior)


def lsgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Least squares for a discriminator: scores of photographs towards 1, of painted pictures towards 0."""
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def lsgan_generator(fake: Tensor) -> Tensor:
    """Least squares for the generator: the scores of its pictures towards 1."""
    return 0.5 * (fake - 1).square().mean()


def inpainted_share(holes: Tensor, stride: int) -> Tensor:
    """How much of the surroundings of each patch is inpainted, the softened mask of a patch discriminator.

    Args: holes (B, 1, H, W) bool, True = hole. stride: pixels between two scores.
    Returns: (B, 1, H/stride, W/stride) float in [0, 1], means over squares of twice the stride.
    """
    return F.avg_pool2d(holes.float(), 2 * stride, stride=stride, padding=stride // 2, count_include_pad=False)


def texture_discriminator(real: Tensor, spliced: Tensor, share: Tensor) -> Tensor:
    """Least squares: patches of a photograph towards 1, those of its spliced twin towards 1 - `share`.

    Inpainted and visible patches are averaged apart: averaged together the few inpainted ones are drowned.

    Args: real, spliced, share: (B, 1, h, w) float. Returns: a scalar >= 0.
    """
    wrong = (spliced - (1 - share)).square()
    inside, outside = weighted_mean(wrong, share), weighted_mean(wrong, 1 - share)
    return 0.5 * (inside + outside + weighted_mean((real - 1).square(), share))


def texture_generator(spliced: Tensor, share: Tensor) -> Tensor:
    """Least squares for the generator: inpainted patches towards 1. Shapes as above; a scalar >= 0."""
    return 0.5 * weighted_mean((spliced - 1).square(), share)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean of `values` by `weights` >= 0 of the same shape; 0 where all weights are 0."""
    return (values * weights).sum() / weights.sum().clamp(min=1e-6)


def gradient_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """R1 (Mescheder et al. 2018): squared length of the gradient of a picture's scores, a mean over the scores.

    Args: scores: (B, 1, h, w) float, of `images` (B, 3, H, W) float that require a gradient. Returns: a scalar >= 0.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradient.square().sum() / scores.numel()


def same_photograph(photographs: Tensor) -> Tensor:
    """Pairs that are no wrong answer: (B, B) bool, True where two *different* entries show the same photograph.

    Args: photographs (B,) int, the number of the photograph of each picture and caption of the batch.
    """
    same = photographs[:, None] == photographs[None, :]
    return same & ~torch.eye(len(photographs), dtype=torch.bool, device=photographs.device)


def word_scores(regions: Tensor, words: Tensor, present: Tensor, gamma_words: float, gamma_sentence: float) -> Tensor:
    """How well each caption's words are found in each picture's regions (AttnGAN, equations 7 to 10).

    For each word the picture's regions are weighed by how much they resemble it; the resemblance between the word and
    that weighted mean, summed over the words on a soft-maximum scale, is the score.

    Args:
        regions: (A, D, N) float. words: (B, D, L) float. present: (B, L) bool, True = a word.
        gamma_words: sharpness of the attention over regions (the paper's gamma 1).
        gamma_sentence: how much the best-found words dominate (gamma 2).

    Returns:
        (A, B) float, row = picture, column = caption.
    """
    pictures, captions, length = len(regions), len(words), words.shape[-1]
    flat = words.transpose(0, 1).flatten(1)  # (D, B L): one matrix product for all pairs
    products = (regions.transpose(1, 2) @ flat).unflatten(-1, (captions, length))  # (A, N, B, L)
    explained = products.masked_fill(~present, float("-inf")).softmax(dim=-1)  # over the words
    weights = (gamma_words * explained).softmax(dim=1)  # over the regions
    # cosine(context, word) with context = regions @ weights, without building the contexts: the product is the weighted
    # mean of the products above, and the context's length comes from the regions' Gram matrix.
    product = (weights * products).sum(dim=1)  # (A, B, L)
    spread = weights.flatten(2)
    gram = regions.transpose(1, 2) @ regions
    norm = (spread * (gram @ spread)).sum(dim=1).clamp(min=1e-12).sqrt().reshape(pictures, captions, length)
    found = product / (norm * words.norm(dim=1).clamp(min=1e-6))
    found = (gamma_sentence * found).masked_fill(~present, float("-inf"))
    return found.logsumexp(dim=-1) / gamma_sentence


def sentence_scores(pictures: Tensor, sentences: Tensor) -> Tensor:
    """Cosine of each picture (A, D) with each sentence (B, D): (A, B) float in [-1, 1]."""
    return F.normalize(pictures, dim=1) @ F.normalize(sentences, dim=1).T


def matching_loss(scores: Tensor, photographs: Tensor, gamma_match: float) -> Tensor:
    """Find the caption of each picture and the picture of each caption among those of the batch (cross entropy).

    Args: scores (B, B) float, row = picture, column = caption. photographs: (B,) int, see `same_photograph`.
        gamma_match: sharpness of the choice (gamma 3).

    Returns: a scalar >= 0; log(B) at chance, per direction averaged.
    """
    logits = (gamma_match * scores).masked_fill(same_photograph(photographs), float("-inf"))
    target = torch.arange(len(scores), device=scores.device)
    return 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))
