"""The adversary that paints texture: what it is shown, what each patch is told, and that it learns to find a fill."""

import tdanet_data
import torch
from test_training_options import one_step, trainer_for

from nbsupport.config import TrainingConfig
from nbsupport.tdanet import losses
from nbsupport.tdanet.discriminator import TextureDiscriminator
from nbsupport.training import adversary
from nbsupport.training.batches import Sampler

TEXTURE = {"discriminator": "texture", "weight_adversarial": 1.0, "weight_r1": 0.05, "auxiliary_share": 0.0}


def batch_of(number=1):
    return Sampler(tdanet_data.dataset(12), 12, 6, 0, shares={"centre": 1.0}).batch(number)


def test_share_is_one_inside_zero_outside_and_between_at_the_rim():
    holes = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    holes[..., 8:24, 8:24] = True
    share = losses.inpainted_share(holes, 4)
    assert share.shape == (1, 1, 8, 8)
    assert share[0, 0, 4, 4] == 1 and share[0, 0, 0, 0] == 0 and 0 < share[0, 0, 4, 1] < share[0, 0, 4, 2] < 1


def test_right_answers_cost_nothing_and_inpainted_and_visible_patches_count_alike():
    share = torch.zeros(1, 1, 8, 8)
    share[..., 0, 0] = 1  # one inpainted patch among 64
    real = torch.ones(1, 1, 8, 8)
    assert losses.texture_discriminator(real, 1 - share, share) == 0
    missed, alarm = real.clone(), 1 - share
    alarm = torch.where(share > 0, alarm, 0.0)
    torch.testing.assert_close(losses.texture_discriminator(real, missed, share), torch.tensor(0.5))
    torch.testing.assert_close(losses.texture_discriminator(real, alarm, share), torch.tensor(0.5))
    assert losses.texture_generator(1 - share, share) == 0.5 and losses.texture_generator(real, share) == 0


def test_penalty_is_the_squared_length_of_the_gradient():
    images = torch.randn(2, 3, 8, 8, requires_grad=True)
    scores = (images * torch.tensor([3.0, 0.0, 4.0])[:, None, None]).sum(1, keepdim=True)
    torch.testing.assert_close(losses.gradient_penalty(scores, images), torch.tensor(25.0))


def test_adversary_sees_the_photograph_outside_of_the_hole_and_the_fill_inside():
    batch = batch_of()
    pictures = torch.full_like(batch.images, 0.25)
    spliced = adversary.splice(batch, pictures)
    inside = batch.holes.expand_as(spliced)
    assert (spliced[inside] == 0.25).all() and torch.equal(spliced[~inside], batch.images[~inside])


def test_residual_of_a_flat_picture_is_zero_up_to_its_edge():
    seen = []
    network = TextureDiscriminator(8)
    network.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    assert network(torch.full((1, 3, 16, 16), 0.5)).shape == (1, 1, 4, 4)
    assert seen[0].shape[1] == 6 and seen[0][:, 3:].abs().max() < 1e-6


def test_adversary_learns_to_tell_a_soft_fill_from_a_photograph():
    own = adversary.create(TrainingConfig(**TEXTURE), ("inpainting",), 3)
    optimiser = torch.optim.Adam(own.parameters(), 2e-3)
    for step in range(120):
        batch = batch_of(step + 1)
        soft = torch.nn.functional.avg_pool2d(batch.images, 5, stride=1, padding=2)
        optimiser.zero_grad()
        own.discriminator_loss(batch, {"inpainting": soft}, step).backward()
        optimiser.step()
    share = losses.inpainted_share(batch.holes, 4)
    scores = own.discriminator(adversary.splice(batch, soft))
    inside, outside = losses.weighted_mean(scores, share), losses.weighted_mean(scores, 1 - share)
    assert outside - inside > 0.3


def test_while_the_adversary_trains_alone_the_network_stands_still():
    changes = TEXTURE | {"discriminator_alone": 2}
    waiting, values = one_step(changes, number=2)
    fresh = trainer_for(tdanet_data.dataset(12), **changes)
    assert values["discriminators"] > 0 and values["gradient"] == 0
    assert not changed(fresh.model, waiting.model)
    moved = [
        not torch.equal(*pair)
        for pair in zip(fresh.adversary.parameters(), waiting.adversary.parameters(), strict=True)
    ]
    assert any(moved)
    going, _ = one_step(changes, number=3)
    assert changed(fresh.model, going.model)


def changed(before, after):
    return any(not torch.equal(*pair) for pair in zip(before.parameters(), after.parameters(), strict=True))


def test_perceptual_loss_reaches_the_network():
    trainer, values = one_step(
        {"weight_perceptual": 1.0, "weight_l1": 0.0, "weight_adversarial": 0.0, "auxiliary_share": 0.0}
    )
    assert values["perceptual"] > 0 and values["gradient"] > 0
