import json
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from nbsupport import runs
from nbsupport.cli.app import app
from nbsupport.core import files

COMMANDS = ("run", "book", "status", "info", "data")


@pytest.fixture
def call():
    def invoke(*arguments):
        result = CliRunner().invoke(
            app, [str(argument) for argument in arguments], env={"COLUMNS": "200", "TERM": "dumb"}
        )
        assert "Traceback" not in result.output
        return result

    return invoke


def test_help_teaches(call):
    words = call("--help").output
    assert all(command in words for command in COMMANDS)
    assert "python -m nbsupport run --profile quick" in words


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "info"])
def test_each_command_shows_an_example(call, command):
    assert f"python -m nbsupport {command}" in call(command, "--help").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--profile", "quik"], "Did you mean 'quick'"),
        (["run", "--dataset", "cup"], "Did you mean 'cub'"),
        (["run", "--only", "12"], "Unknown chapter '12'"),
        (["run", "--set", "1.stepps=3"], "Did you mean 'steps'"),
        (["run", "--set", "1.steps=many"], "Chapter 1, parameter steps (in --set) must be a whole number"),
        (["run", "--set", "steps=3"], "chapter.parameter=value"),
        (["run", "--set", "9.steps=3"], "Unknown chapter '9'"),
        (["run", "--data", "/no/such/folder"], "there is no folder '/no/such/folder'"),
        (["run", "--run", "a*b"], "run name"),
        (["book", "--profile", "ful"], "Unknown profile 'ful'"),
        (["data", "birds"], "Unknown dataset 'birds'"),
        (["data", "folder"], "--target PATH"),
    ],
)
def test_what_does_not_exist_is_named_with_exit_code_2(call, small_book, runs_folder, arguments, message):
    result = call(*arguments)
    assert result.exit_code == 2 and message in result.stderr
    assert not runs_folder.exists() or not list(runs_folder.iterdir()), "a refused command leaves nothing behind"


@pytest.mark.parametrize("command", ["book", "status"])
def test_an_unknown_run_lists_those_there_are(call, small_book, runs_folder, command):
    files.write_json(runs_folder / "mine" / "stages" / "index.json", {})
    files.write_json(runs_folder / "failed" / "notebooks" / "01_first.failed.ipynb", {})  # a failed start is no run
    result = call(command, "--run", "yours")
    assert result.exit_code == 1 and "There is no run 'yours' (there are: mine)" in result.stderr
    assert not (runs_folder / "yours").exists()
    assert call("runs").output.split() == ["mine"]


def test_run_executes_then_skips_and_status_tells(call, small_book, runs_folder):
    first = call("run", "--profile", "smoke", "--set", "1.steps=21")
    assert first.exit_code == 0, first.output
    assert re.search(r"01 The first: \d+\.\d s", first.output) and "--run synthetic-smoke" in first.output
    executed = json.loads((runs_folder / "synthetic-smoke" / "notebooks" / "01_first.ipynb").read_text())
    assert executed["metadata"]["nbsupport"]["made_from"]["parameters"] == {"steps": 21}
    again = call("run", "--profile", "smoke", "--set", "1.steps=21", "--only", "1")
    assert "01 The first: finished before, matches: skipped" in again.output
    told = call("status", "--profile", "smoke").output
    assert "The first" in told and told.count("executed") == 2


def index_of(runs_folder, name, dataset, root):
    files.write_json(
        runs_folder / name / "stages" / "index.json",
        {
            **{"fingerprint": "f", "inputs": {}, "outputs": [], "seconds": 1.0, "peak_memory_mb": 1.0},
            **{"config": {"dataset": dataset, "data": str(root)}, "notes": {"root": str(root)}, "code": None},
        },
    )


@pytest.mark.parametrize("command", ["run", "train", "pairs make"])
def test_a_run_of_one_data_set_is_not_replaced_by_another(call, small_book, runs_folder, tmp_path, command):
    (tmp_path / "my album").mkdir()
    index_of(runs_folder, "mine", "folder", tmp_path / "my album")
    before = files.read_json(runs_folder / "mine" / "stages" / "index.json")
    refused = call(*command.split(), "--run", "mine", "--profile", "smoke")
    assert refused.exit_code == 2 and "made from folder photographs" in refused.stderr and "--force" in refused.stderr
    assert f"--dataset folder --data '{tmp_path / 'my album'}'" in refused.stderr
    assert files.read_json(runs_folder / "mine" / "stages" / "index.json") == before
    assert not (runs_folder / "mine" / "notebooks").exists()


def test_an_existing_run_keeps_its_photographs_without_data(call, small_book, runs_folder, tmp_path):
    index_of(runs_folder, "mine", "folder", tmp_path)
    (tmp_path / "other").mkdir()
    assert call("run", "--run", "mine", "--dataset", "folder", "--data", tmp_path / "other").exit_code == 2
    done = call("run", "--run", "mine", "--profile", "smoke", "--dataset", "folder")
    assert done.exit_code == 0, done.output
    assert files.read_json(runs_folder / "mine" / "command.json")["data"] == str(tmp_path)
    told = call("status", "--run", "mine").output
    assert "stale" in told and f"--run mine --dataset folder --data {tmp_path} --profile smoke" in told.replace(
        "\n", " "
    )


def test_a_second_command_on_one_run_is_told_so(call, runs_folder):
    import filelock

    from nbsupport.runs import Run

    held = filelock.FileLock(Run("synthetic-smoke").path / ".lock")
    with held:
        for command in (["run"], ["train"], ["pairs", "make"]):
            result = call(*command, "--profile", "smoke")
            assert result.exit_code == 1 and "is being worked on at this moment" in result.stderr
    assert not (runs_folder / "synthetic-smoke" / "notebooks").exists()


def test_a_failing_chapter_stops_the_run_with_exit_code_1(call, small_book, runs_folder, make_notebook):
    make_notebook(small_book / "notebooks", "01_first", "1 / 0")
    result = call("run", "--profile", "smoke")
    assert result.exit_code == 1
    assert (
        "Chapter 1" in result.stderr
        and "ZeroDivisionError" in result.stderr
        and "01_first.failed.ipynb" in result.stderr
    )
    assert "01 A title" in result.output and "02 The second" not in result.output
    incomplete = call("book", "--profile", "smoke")
    assert incomplete.exit_code == 1 and "python -m nbsupport run --run synthetic-smoke" in incomplete.stderr
    assert "failed" in call("status", "--profile", "smoke").output
    assert "synthetic-smoke" not in call("runs").output, "a failed start is no run"


def test_info_names_versions_device_and_why(call, runs_folder):
    result = call("info")
    assert result.exit_code == 0
    assert all(word in result.output for word in ("torch", "Device", "bfloat16", "Commit", "EfficientNet-Lite0"))


def test_it_runs_as_a_module_from_any_directory(tmp_path):
    command = [sys.executable, "-m", "nbsupport", "run", "--profile", "quik"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(runs.project_root()), "PATH": "/bin"},
    )
    assert done.returncode == 2 and "Did you mean 'quick'" in done.stderr and "Traceback" not in done.stderr


def test_pairs_are_made_verified_and_exported_from_the_command_line(call, tmp_path, runs_folder, monkeypatch):
    from nbsupport import masks
    from nbsupport.config import DataConfig, MaskConfig
    from nbsupport.data import index
    from nbsupport.runs import Run

    run = Run("painted")
    index.prepare(run, DataConfig(dataset="synthetic", count=20, image_size=32))
    masks.make(run, MaskConfig(kinds=("centre",)))
    settings = ("--set", "6.inpainters=[telea]", "--set", "6.kinds=[centre]")
    made = call("pairs", "make", "--run", "painted", *settings, "--workers", "1")
    assert made.exit_code == 0 and "120 pictures of 20 photographs" in made.output
    assert call("pairs", "verify", "--run", "painted").exit_code == 0
    out = call("pairs", "export", "--run", "painted", "--to", str(tmp_path / "out"), "--size", "8")
    assert out.exit_code == 0 and len(list((tmp_path / "out").rglob("*.png"))) == 8
    monkeypatch.delenv(runs.REPLACE)
    capped = call("pairs", "make", "--run", "painted", *settings, "--set", "6.count=4")
    monkeypatch.setenv(runs.REPLACE, "1")
    assert capped.exit_code == 2 and "count 640, now 4" in capped.stderr and "--force" in capped.stderr
    assert call("pairs", "verify", "--run", "painted").exit_code == 0, "the set is as it was"
    assert "6.count" not in run.command() and "6.kinds" in run.command(), "what was refused is not advised later"
    first = sorted((run / "pairs/shards").rglob("*.png"))[0]
    first.write_bytes(first.read_bytes()[:-1])
    broken = call("pairs", "verify", "--run", "painted")
    assert broken.exit_code == 1 and first.name[:20] in broken.output.replace("\n", "")
    again = call("pairs", "export", "--run", "painted", "--to", str(tmp_path / "out"))
    assert again.exit_code == 2 and "does not exist yet" in again.output
    index.prepare(run, DataConfig(dataset="synthetic", count=20, image_size=32, seed=1))
    stale = call("pairs", "verify", "--run", "painted")
    assert stale.exit_code == 1 and "is stale" in stale.stderr and "another 'index'" in stale.stderr
    assert call("pairs", "verify", "--run", "nobody").exit_code != 0


def test_progress_bars_do_not_flood_a_log():
    program = (
        "import time, nbsupport.__main__\nfrom tqdm.auto import tqdm\nfor _ in tqdm(range(300)): time.sleep(0.005)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert "300/300" in done.stderr and done.stderr.count("\r") <= 3


def test_a_folder_is_checked_file_by_file(call, tmp_path):
    import numpy as np
    from PIL import Image

    for number in range(30):
        blocks = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(blocks.repeat(10, 0).repeat(10, 1)).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "metadata.csv").write_text(
        "file_name,text\n" + "".join(f"{n}.png,a pattern\n" for n in (*range(30), 99)) + "broken.jpg,x\n"
    )
    done = call("data", "folder", "--target", tmp_path)
    assert done.exit_code == 0, done.output
    for part in ("e.g. broken.jpg", "the file is missing, e.g. 99.png", "30 photographs", "enough for every chapter"):
        assert part in done.output.replace("\n", " ")
    for number in range(10, 30):
        (tmp_path / f"{number}.png").unlink()
    few = call("data", "folder", "--target", tmp_path)
    assert few.exit_code == 1 and "at least 27" in few.stderr.replace("\n", " ")
