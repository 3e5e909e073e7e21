import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbsupport import runs
from nbsupport.config import DataConfig, MaskConfig, MatchingConfig, PairsConfig
from nbsupport.core import files
from nbsupport.core.errors import ConfigError, MissingStage, StaleStage, UserError
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
    with pytest.raises(MissingStage, match=r"python -m nbsupport run --run a --only 1-6"):
        Run("a").require("pairs")
    with pytest.raises(ConfigError, match="'mask' is no stage"):
        Run("a").stage("mask", MaskConfig())


def test_records_say_how_long_where_and_from_what(runs_folder):
    run = Run("a")
    finish(run)
    record = run.record("index")
    assert record["seconds"] >= 0 and record["peak_memory_mb"] > 1
    assert record["versions"]["torch"] and record["config"]["dataset"] == "synthetic"
    assert files.read_json(run / "config.json")["stages"]["index"] == record["config"]


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
    files.write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), files.atomic_path(path) as temporary:
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
        files.read_json(tmp_path / "x.json")


@given(st.dictionaries(st.text(), VALUES, min_size=2, max_size=5))
def test_fingerprints_do_not_depend_on_the_order_of_keys(value):
    turned = dict(reversed(list(value.items())))
    assert files.fingerprint(value) == files.fingerprint(turned)


@given(VALUES, VALUES)
def test_fingerprints_differ_where_values_do(first, second):
    same = json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    assert (files.fingerprint(first) == files.fingerprint(second)) == same


# --- stages belong to what they were made from -----------------------------------------------------------------------


def chain(run):
    finish(run)
    finish(run, "masks", MaskConfig(), ["index"], "masks.npy")
    finish(run, "pairs", PairsConfig(), ["masks", "index"], "pairs/manifest.parquet")


@pytest.fixture
def run(runs_folder):
    run = Run("a")
    (run.path / "pairs").mkdir()
    chain(run)
    return run


def test_other_code_makes_a_stage_anew_and_what_follows_stale(run, monkeypatch, capsys):
    original = runs.stage_code
    monkeypatch.setattr(runs, "stage_code", lambda name, config: "new" if name == "masks" else original(name, config))
    assert not run.stage("masks", MaskConfig(), ["index"]).finished
    assert "[masks] its code has changed since it was made: it is made again." in capsys.readouterr().out
    assert run.stale("masks") == "the code that makes it has changed" and not run.stale("index")
    assert run.stale("pairs") == "'masks', from which it was made, is stale (the code that makes it has changed)"
    with pytest.raises(StaleStage, match="stage 'masks' of the run 'a' is stale: the code"):
        run.stage("pairs", PairsConfig(), ["masks", "index"])
    assert run.require("pairs"), "what was made can still be looked at"


def test_an_index_replaced_under_finished_masks_is_refused_and_told(run):
    finish(run, config=DataConfig(seed=5))
    assert run.stale("masks") == "it was made from another 'index' than the run holds now"
    for refused in (lambda: run.stage("pairs", PairsConfig(), ["masks", "index"]), lambda: run.require("pairs")):
        with pytest.raises(StaleStage, match=r"stale.*python -m nbsupport run --run a --dataset synthetic --only 1-"):
            refused()
    finish(run, "masks", MaskConfig(), ["index"], "masks.npy")
    assert run.require("masks") and run.stale("pairs")


def test_an_index_belongs_to_the_content_of_its_source(runs_folder):
    run = Run("a")
    with run.stage("index", DataConfig(), source={"source": "one"}):
        pass
    assert run.stage("index", DataConfig(), source={"source": "one"}).finished
    assert not run.stage("index", DataConfig(), source={"source": "two"}).finished


def test_other_weights_of_the_same_name_are_other_input(runs_folder, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"one")
    config, run = MatchingConfig(start_from=str(tmp_path / "w.safetensors")), Run("a")
    finish(run)
    finish(run, "matching", config, ["index"], "matching.safetensors")
    assert run.stage("matching", config, ["index"]).finished
    (tmp_path / "w.safetensors").write_bytes(b"two")
    os.utime(tmp_path / "w.safetensors", ns=(1, 1))
    assert not run.stage("matching", config, ["index"]).finished and "weights" in run.stale("matching")
    assert runs.given_weights({"start_from": "synthetic64"}), "weights of the package count by content too"


def test_other_parameters_never_destroy_a_finished_stage_unasked(run, monkeypatch):
    monkeypatch.delenv(runs.REPLACE)
    held = Run("a")
    with pytest.raises(ConfigError) as caught, held.stage("masks", MaskConfig(coverage_high=0.2), ["index"]):
        pytest.fail("was made")
    message = str(caught.value)
    assert "coverage_high 0.35, now 0.2" in message and "-p run_name a@NAME" in message
    assert "--run a --dataset synthetic --only 2-11" in message and "--force" in message and runs.REPLACE in message
    assert run.stage("masks", MaskConfig(), ["index"]).finished and run.require("pairs")
    with Run("a", replace=True).stage("masks", MaskConfig(coverage_high=0.2), ["index"]):
        pass
    assert run.record("masks")["config"]["coverage_high"] == 0.2
    finish(Run("a"), config=DataConfig())  # with the same parameters a stage may always be made again


def test_a_variant_takes_what_it_does_not_make_and_leaves_the_run_alone(run, monkeypatch):
    monkeypatch.delenv(runs.REPLACE)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    variant = Run("a@small")
    finish(variant, "masks", MaskConfig(coverage_high=0.2), ["index"], "masks.npy")
    assert variant.require("index")["fingerprint"] == run.require("index")["fingerprint"]
    with pytest.raises(MissingStage):
        variant.require("pairs")  # those of the run were made with its own holes
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before
    assert Run("a@same").stage("masks", MaskConfig(), ["index"]).finished, "what matches is taken, not made"
    with pytest.raises(ConfigError, match="variant of the run 'b'"):
        Run("b@small")


def test_commands_repeat_how_the_run_was_asked_for(runs_folder):
    run = Run("my photos")
    run.remember(dataset="folder", data="/p q/campus", profile="smoke", settings={1: {"count": 30}})
    run.remember(profile="quick", settings={6: {"inpainters": ["telea"]}})
    expected = (
        "python -m nbsupport run --run 'my photos' --dataset folder --data '/p q/campus' --profile quick "
        "--set 1.count=30 --set '6.inpainters=[\"telea\"]' --only 1-6"
    )
    assert run.command("1-6") == expected
    with pytest.raises(MissingStage) as caught:
        run.require("pairs")
    assert expected in str(caught.value)
    assert Run("my photos@few").command("1-6") == expected.replace("'my photos'", "'my photos@few'")


def test_a_mistyped_run_leaves_no_folder(runs_folder):
    with pytest.raises(MissingStage):
        Run("typo").require("masks")
    assert not (runs_folder / "typo").exists()


HOLDER = """
import sys, time
from nbsupport.runs import Run
with Run(sys.argv[1]).alone():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_told_and_a_killed_one_leaves_no_lock(run, monkeypatch):
    monkeypatch.delenv(runs.HOLDS, raising=False)
    command = [sys.executable, "-c", HOLDER, str(run.path)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
    try:
        assert first.stdout.readline() == "held\n"
        for stage, needs in (("index", ()), ("masks", ("index",)), ("pairs", ("masks",))):
            config = {"index": DataConfig(), "masks": MaskConfig(), "pairs": PairsConfig()}[stage]
            with (
                pytest.raises(UserError, match=rf"worked on .*process {first.pid} on "),
                run.stage(stage, config, needs),
            ):
                pytest.fail("was made")
            assert run.record(stage), "the record of a stage that could not begin stays"
        monkeypatch.setenv(runs.HOLDS, str(run.path))  # a chapter's kernel, whose parent holds the run
        finish(run, config=DataConfig())
        monkeypatch.delenv(runs.HOLDS)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
        first.stdout.close()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            finish(run, config=DataConfig())
            break
        except UserError:
            time.sleep(0.05)
    assert not run.held and run.stage("index", DataConfig()).finished
