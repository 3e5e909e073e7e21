"""Ideas of the paper switched off in filling: the numbers are those of the disturbed network, the words follow them."""

import numpy as np
import pytest
import tdanet_data
import torch

from nbsupport.config import TDANetConfig
from nbsupport.core.errors import UserError
from nbsupport.inpainters import base, tdanet
from nbsupport.quality import ablation
from nbsupport.tdanet import model


def painter(data, **changes):
    config = TDANetConfig(
        image_size=32, vocabulary_size=len(data.vocabulary), base_channels=8, latent_channels=8, text_channels=32,
        word_channels=16, caption_length=12, **changes,
    )  # fmt: skip
    return tdanet.TDANetInpainter(model.create(config, 0), data.vocabulary)


def test_each_disturbance_is_that_of_its_own_box():
    data = tdanet_data.dataset(12)
    report = ablation.ablate(data, painter(data), np.arange(12), batch_size=5)
    assert report["photographs"] == 12 and set(report["change"]) == set(ablation.SWITCHED)
    assert all(own["value"] != 0 for own in report["change"].values())
    plain = ablation.ablate(data, painter(data, negate=False), np.arange(12), batch_size=5)
    assert plain["change"]["no negation"]["value"] == 0  # there was none
    assert plain["hole_l1"]["as it is"]["value"] == pytest.approx(report["hole_l1"]["no negation"]["value"], abs=1e-6)
    with pytest.raises(UserError, match="two photographs"):
        ablation.ablate(data, painter(data), np.arange(1))


def test_the_attention_of_one_and_the_same_picture_changes_nothing():
    data = tdanet_data.dataset(4)
    data.cache.images[:] = data.cache.images[0]
    report = ablation.ablate(data, painter(data), np.arange(4))
    assert report["change"]["attention of another picture"]["value"] == pytest.approx(0, abs=1e-6)


def test_a_latent_that_carries_nothing_is_measured():
    data = tdanet_data.dataset(4)
    brush = painter(data)
    assert ablation.ablate(data, base.checked(brush), np.arange(4))["mu_rms"] > 0
    for parameter in brush.model.fusion_auxiliary.leave.parameters():
        torch.nn.init.zeros_(parameter)
    report = ablation.ablate(data, brush, np.arange(4))
    assert report["mu_rms"] == 0


def test_the_words_follow_the_numbers():
    def interval(value, width):
        return {"value": value, "low": value - width, "high": value + width}

    report = {"hole_l1": {"as it is": interval(0.2, 0.01)}, "kl_prior": 0.0004, "mu_rms": 0.002}
    inert = {name: interval(0.0001, 0.0002) for name in ablation.SWITCHED}
    said = ablation.said(report | {"change": inert})
    assert said.count("does not measurably change") == 3 and "*posterior collapse*" in said
    small = ablation.said(report | {"change": inert | {"no negation": interval(0.0004, 0.0001)}})
    assert "not negated, the error in the hole hardly changes (+0.0004" in small
    alive = {"no negation": interval(0.02, 0.001), "auxiliary path": interval(-0.05, 0.01)}
    said = ablation.said(report | {"change": inert | alive, "kl_prior": 0.3})
    assert "not negated, the error in the hole rises" in said and "sees the answer, the error in the hole falls" in said
    assert "No posterior collapse" in said


def test_the_tutor_is_judged_by_the_losses():
    assert "no closer" in ablation.tutor(0.140, 0.1395) and "no closer" in ablation.tutor(0.1, 0.2)
    assert "closer to the photograph by 9.3% (L1 0.127 against 0.140" in ablation.tutor(0.140, 0.127)
    assert ablation.tutor(0.1, float("nan")) == "No auxiliary path was trained."


def test_a_tiny_difference_is_not_written_as_zero():
    small = {"value": -2e-6, "low": -9e-6, "high": -1e-7}
    report = {"hole_l1": {"as it is": {"value": 0.2}}, "kl_prior": 0.0001, "mu_rms": 0.01}
    sentence = ablation.said(report | {"change": dict.fromkeys(ablation.SWITCHED, small)})
    assert "(-2e-06, -9e-06 to -1e-07; 0.0%)" in sentence and "0.0000," not in sentence
