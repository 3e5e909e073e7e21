import dataclasses
import typing

import numpy as np
import pytest

from nbsupport import config, masks
from nbsupport.config import Config, DataConfig, MaskConfig, PairsConfig, TrainingConfig
from nbsupport.core.errors import ConfigError

CLASSES = [
    item for item in vars(config).values() if isinstance(item, type) and issubclass(item, Config) and item is not Config
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_defaults_are_valid_frozen_and_survive_json(kind):
    built = kind()
    assert kind.from_mapping(built.to_mapping()) == built
    with pytest.raises(dataclasses.FrozenInstanceError):
        built.seed = 1


def test_unknown_key_names_the_nearest():
    with pytest.raises(ConfigError, match=r"Unknown TrainingConfig parameter 'step'\. Did you mean 'steps'\?"):
        TrainingConfig.from_mapping({"step": 3})


@pytest.mark.parametrize(
    ("kind", "values", "key"),
    [
        (TrainingConfig, {"steps": "200"}, "steps"),
        (TrainingConfig, {"steps": True}, "steps"),
        (TrainingConfig, {"steps": 1.5}, "steps"),
        (TrainingConfig, {"learning_rate": "fast"}, "learning_rate"),
        (MaskConfig, {"kinds": "centre"}, "kinds"),
        (DataConfig, {"dataset": "dogs"}, "dataset"),
        (DataConfig, {"data": 3}, "data"),
    ],
)
def test_wrong_type_is_an_error_that_names_the_key(kind, values, key):
    with pytest.raises(ConfigError, match=rf"{kind.__name__}\.{key} must be"):
        kind.from_mapping(values)


@pytest.mark.parametrize("value", [0, -3, 1025])
def test_out_of_range_is_an_error(value):
    with pytest.raises(ConfigError, match="image_size must lie between 16 and 1024"):
        DataConfig(image_size=value)


def test_ranges_hold_for_each_item_of_a_list():
    with pytest.raises(ConfigError, match="seeds must lie between"):
        config.DetectorConfig(inpainters=(), train_count=0, seeds=[0, -1])


def test_lists_become_tuples_and_ints_pass_for_floats():
    built = MaskConfig.from_mapping({"kinds": ["part"]})
    assert built.kinds == ("part",)
    assert TrainingConfig(weight_l1=3).weight_l1 == 3


def test_split_fractions_leave_something_to_train_on():
    limits = {field.name: field.metadata.get("between") for field in dataclasses.fields(DataConfig)}
    assert limits["validation_fraction"][1] + limits["test_fraction"][1] < 1


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (MaskConfig, {"kinds": ["centre", "centr"]}, r"kinds cannot hold 'centr'\. Did you mean 'centre'"),
        (MaskConfig, {"kinds": []}, "kinds must not be empty"),
        (MaskConfig, {"kinds": ["part", "part"]}, "kinds must name nothing twice"),
        (MaskConfig, {"coverage_low": 0.5, "coverage_high": 0.4}, r"\(0.5\) must not lie above coverage_high \(0.4\)"),
        (PairsConfig, {"arms": ["original", "splice"]}, "Did you mean 'spliced'"),
        (PairsConfig, {"encoding": "jpeg:101"}, "quality from 1 to 100"),
        (TrainingConfig, {"discriminator": "texture", "weight_adversarial": 0.0}, "needs a weight_adversarial above 0"),
        (TrainingConfig, {"steps": 10, "discriminator_alone": 10}, "must leave some of the 10 steps"),
    ],
)
def test_impossible_values_and_contradictions(kind, values, message):
    with pytest.raises(ConfigError, match=message):
        kind.from_mapping(values)


def test_a_kind_of_hole_may_come_twice_as_often_in_training():
    assert TrainingConfig(mask_shares={"centre": 2, "strokes": 1}).mask_shares["centre"] == 2
    for wrong in ({}, {"centre": 0}, {"centre": -1.0}, {"middle": 1}, ["centre"]):
        with pytest.raises(ConfigError, match="mask_shares"):
            TrainingConfig(mask_shares=wrong)
    generator, size, coverage = np.random.default_rng(0), (16, 16), (0.2, 0.2)
    drawn = masks.sample_batch(generator, size, 400, coverage, {"centre": 3, "strokes": 1})
    centre = masks.draw("centre", size, seed=0, image_id="", coverage=coverage)
    assert 0.65 < (drawn == centre).all(axis=(1, 2)).mean() < 0.85


def test_names_that_are_checked_early_are_those_that_exist():
    from nbsupport import pairs
    from nbsupport.detectors import corruptions

    assert typing.get_args(config.Arm) == tuple(pairs.ARMS)
    assert set(typing.get_args(config.FakeArm)) == {arm for arm, label in pairs.ARMS.items() if label == "fake"}
    assert typing.get_args(config.Condition) == tuple(corruptions.CONDITIONS)
    assert typing.get_args(config.Augmentation) == tuple(corruptions.AUGMENTATIONS)
