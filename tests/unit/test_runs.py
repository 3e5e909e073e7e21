import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbsupport import runs
from nbsupport.config import DataConfig, MaskConfig
from nbsupport.errors import ConfigError, MissingStage, UserError
from nbsupport.runs import Run

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def finish(run, name="index", config=None, needs=(), output="index.parquet"):
    stage = run.stage(name, config or DataConfig(), needs)
    with stage:
        (run.path / output).write_text("made")
        stage.outputs(output)
    return stage


def test_a_stage_is_finished_only_with_the_same_parameters_and_its_files(runs_folder, capsys):
    run = Run("a")
    finish(run)
    assert run.stage("index", DataConfig()).finished
    assert "loaded" in capsys.readouterr().out
    assert not run.stage("index", DataConfig(seed=1)).finished
    (run.path / "index.parquet").unlink()
    assert not run.stage("index", DataConfig()).finished


def test_a_stage_that_raises_leaves_no_record_and_removes_the_old_one(runs_folder):
    run = Run("a")
    finish(run)
    with pytest.raises(ZeroDivisionError), run.stage("index", DataConfig()):
        raise ZeroDivisionError
    assert run.record("index") is None
    assert not run.stage("index", DataConfig()).finished


def test_a_change_upstream_makes_what_follows_stale(runs_folder):
    run = Run("a")
    finish(run)
    finish(run, "masks", MaskConfig(), ["index"], "masks.npy")
    assert run.stage("masks", MaskConfig(), ["index"]).finished
    finish(run, config=DataConfig(seed=5))
    assert not run.stage("masks", MaskConfig(), ["index"]).finished


def test_a_missing_stage_names_the_command_that_makes_it(runs_folder):
    with pytest.raises(MissingStage, match=r"python -m nbsupport run --run a --only 1-5"):
        Run("a").require("pairs")
    with pytest.raises(ConfigError, match="'mask' is no stage"):
        Run("a").stage("mask", MaskConfig())


def test_records_say_how_long_where_and_from_what(runs_folder):
    run = Run("a")
    finish(run)
    record = run.record("index")
    assert record["seconds"] >= 0 and record["peak_memory_mb"] > 1
    assert record["versions"]["torch"] and record["config"]["dataset"] == "synthetic"
    assert runs.read_json(run / "config.json")["stages"]["index"] == record["config"]


@pytest.mark.parametrize("name", ["", "  ", "a*b", "x?y", "semi;colon"])
def test_impossible_run_names_are_errors(runs_folder, name):
    with pytest.raises(ConfigError):
        Run(name)


def test_a_run_can_be_a_path(tmp_path):
    run = Run(tmp_path / "deep" / "er")
    assert run.path == tmp_path / "deep" / "er" and run.name == "er"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_a_readable_error(tmp_path, monkeypatch):
    tmp_path.chmod(0o500)
    monkeypatch.setenv("NBSUPPORT_RUNS", str(tmp_path))
    with pytest.raises(UserError, match="NBSUPPORT_RUNS"):
        Run("a")


def test_a_file_in_the_place_of_the_run_folder_is_a_readable_error(runs_folder):
    runs_folder.mkdir()
    (runs_folder / "a").write_text("not a folder")
    with pytest.raises(UserError, match="cannot be created"):
        Run("a")


def test_atomic_writes_keep_the_old_file_when_the_writer_fails(tmp_path):
    path = tmp_path / "x.json"
    runs.write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), runs.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_results_are_plain_json(runs_folder):
    value = {"n": np.int64(3), "x": np.array([1.5, np.nan]), "inf": float("inf")}
    assert Run("a").write_result("r", value) == {"n": 3, "x": [1.5, None], "inf": None}
    with pytest.raises(MissingStage, match="it has: r"):
        Run("a").result("s")


def test_broken_json_names_the_file(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(UserError, match=r"x\.json.*is not valid JSON"):
        runs.read_json(tmp_path / "x.json")


@given(st.dictionaries(st.text(), VALUES, min_size=2, max_size=5))
def test_fingerprints_do_not_depend_on_the_order_of_keys(value):
    turned = dict(reversed(list(value.items())))
    assert runs.fingerprint(value) == runs.fingerprint(turned)


@given(VALUES, VALUES)
def test_fingerprints_differ_where_values_do(first, second):
    same = json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    assert (runs.fingerprint(first) == runs.fingerprint(second)) == same
