"""The architecture search: every point is a network, a stopped search continues, the front is the front."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from detector_data import make_pairs
from hypothesis import given, settings
from hypothesis import strategies as st

from nbsupport.config import DetectorConfig, SearchConfig
from nbsupport.core.errors import ConfigError, MissingStage, UserError
from nbsupport.core.files import read_json
from nbsupport.detectors import classifier, predict, search, searched, zoo
from nbsupport.runs import Run

FIRST = {name: choices[0] for name, choices in searched.SPACE.items()}
SMALL = SearchConfig(
    inpainters=(), train_count=0, trials=3, epochs=2, batch_size=8, max_mega_macs=60.0, learning_rate=3e-3
)


@settings(max_examples=12, deadline=None)
@given(st.fixed_dictionaries({name: st.sampled_from(choices) for name, choices in searched.SPACE.items()}))
def test_every_point_is_a_network_that_learns(architecture):
    network = searched.SearchedNet(architecture)
    output = network(torch.randn(2, 3, 32, 32))
    assert output.shape == (2, 1)
    output.square().sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None]
    assert not silent


@pytest.mark.parametrize("name", list(searched.SPACE))
def test_every_choice_makes_another_network(name):
    def shapes(choice):
        torch.manual_seed(0)
        network = searched.SearchedNet(FIRST | {name: choice})
        return network(torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)).item(), [
            tuple(p.shape) for p in network.parameters()
        ]

    found = [shapes(choice) for choice in searched.SPACE[name]]
    for (out, form), (other, another) in itertools.combinations(found, 2):
        assert out != other or form != another


def test_cost_is_counted_as_by_hand():
    architecture = FIRST | {"stages": 2, "depth": 1, "block": "plain", "growth": 2.0}
    macs = 64 * 64 * 9 * (3 * 16 + 16 * 16) + 32 * 32 * 9 * (16 * 32 + 32 * 32) + 32
    found = searched.cost(lambda: searched.SearchedNet(architecture), 64)
    assert found["mega_macs"] == pytest.approx(macs / 1e6)
    assert found["parameters"] == sum(p.numel() for p in searched.SearchedNet(architecture).parameters())


def test_points_outside_the_space_are_refused():
    with pytest.raises(ConfigError, match="lacks 'kernel'"):
        searched.check({key: value for key, value in FIRST.items() if key != "kernel"})
    with pytest.raises(ConfigError, match="Unknown block 'resdual'.*residual"):
        searched.check(FIRST | {"block": "resdual"})
    with pytest.raises(ConfigError, match="part of a searched network"):
        searched.check(FIRST | {"colour": 1})
    with pytest.raises(UserError, match="no searched network yet"):
        zoo.create("searched")


def test_searches_goes_on_and_the_find_is_a_detector(tmp_path, monkeypatch):
    run = Run(tmp_path / "run")
    with pytest.raises(MissingStage):
        search.run_search(run, SMALL)
    make_pairs(run, 40)
    calls, train = [], classifier.train

    def killed(*arguments, **named):
        calls.append(named["architecture"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*arguments, **named)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(classifier, "train", killed)
        search.run_search(run, SMALL)
    assert run.record("search") is None and len(calls) == 2
    with monkeypatch.context() as patch:
        patch.setattr(classifier, "train", lambda *a, **k: calls.append(k["architecture"]) or train(*a, **k))
        result = search.run_search(run, SMALL)
    assert calls[2] == calls[1], "the trial that was cut off comes again"
    trained = [trial for trial in result["trials"] if trial["state"] in ("complete", "pruned")]
    assert len(trained) == 3 and len(calls) == 4
    assert all(trial["mega_macs"] <= 60 for trial in trained)
    complete = [trial for trial in trained if trial["state"] == "complete"]
    assert result["chosen"]["auroc"] == max(trial["auroc"] for trial in complete)
    assert all(trial["epochs"] == 2 for trial in complete) and any(trial["front"] for trial in complete)

    table = classifier.fit(
        run, DetectorConfig(inpainters=(), train_count=0, names=("searched",), epochs=2, batch_size=8)
    )
    assert table.loc[0, "architecture"] == result["chosen"]["architecture"] and table.loc[0, "weights_used"] == "none"
    detector = predict.load(run, "searched")
    assert isinstance(detector.model.body, searched.SearchedNet)
    before = read_json(run / "stages" / "detectors.json")["inputs"]
    assert set(before) == {"pairs", "search"}, "another search, another detector"
    assert search.run_search(run, SMALL) == result


def test_without_a_search_there_is_no_such_detector(tmp_path):
    run = Run(tmp_path / "run")
    make_pairs(run, 20)
    with pytest.raises(MissingStage, match="search"):
        classifier.fit(run, DetectorConfig(inpainters=(), train_count=0, names=("searched",)))


def test_a_budget_that_nothing_fits_is_an_error(tmp_path):
    run = Run(tmp_path / "run")
    make_pairs(run, 20)
    with pytest.raises(UserError, match="search_max_mega_macs"):
        search.run_search(run, SearchConfig(inpainters=(), train_count=0, trials=1, epochs=1, max_mega_macs=1.0))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_front_against_the_definition(points):
    table = pd.DataFrame(points, columns=["mega_macs", "auroc"]).assign(number=np.arange(len(points)))
    found = search.front(table)
    for number, (cost, auroc) in enumerate(points):
        beaten = any((c <= cost and a >= auroc) and (c, a) != (cost, auroc) for c, a in points)
        if number in found:
            assert not beaten
        elif not beaten:  # of equals, one stands for all
            assert any(points[other] == (cost, auroc) for other in found)
