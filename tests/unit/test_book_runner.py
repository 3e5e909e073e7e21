"""The runner itself, on notebooks of a few lines: what it must refuse, report, skip and keep."""

import json
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from nbsupport import runs
from nbsupport.book import build, chapters, runner, status
from nbsupport.book.chapters import Chapter
from nbsupport.config import MaskConfig
from nbsupport.core import files
from nbsupport.core.errors import ConfigError, UserError
from nbsupport.runs import Run

# --- what is asked for ---------------------------------------------------------------------------------------------


def test_chapters_come_from_the_table_of_contents(small_book):
    found = chapters.all_chapters()
    assert [(c.number, c.name, c.title) for c in found] == [(1, "01_first", "The first"), (2, "02_second", "A title")]
    assert found[1].parameters == {"run_name": "x", "steps": 5, "rates": [0.1], "note": None}


@pytest.mark.parametrize(
    ("text", "numbers"), [(None, [1, 2]), ("2", [2]), ("1-2", [1, 2]), ("2,1", [1, 2]), (" 1 , 2 ", [1, 2])]
)
def test_select(small_book, text, numbers):
    assert [c.number for c in chapters.select(chapters.all_chapters(), text)] == numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [("3", "Unknown chapter '3'"), ("2-1", "backwards"), ("x", "not understood"), ("", "not under")],
)
def test_select_refuses(small_book, text, message):
    with pytest.raises(ConfigError, match=message):
        chapters.select(chapters.all_chapters(), text)


def test_settings_are_yaml():
    texts = ["4.steps=200", "04.rate=1e-3", "2.kinds=[a, b]", "1.data=null", "1.flag=true", "1.word=a=b"]
    assert chapters.parse_settings(texts) == {
        4: {"steps": 200, "rate": 0.001},
        2: {"kinds": ["a", "b"]},
        1: {"data": None, "flag": True, "word": "a=b"},
    }


@pytest.mark.parametrize("text", ["steps=3", "4.steps", "four.steps=3", "4 steps=3"])
def test_malformed_settings_show_the_form(text):
    with pytest.raises(ConfigError, match="chapter.parameter=value"):
        chapters.parse_settings([text])


def test_plan_merges_defaults_profile_and_settings(small_book):
    planned = chapters.plan(chapters.all_chapters(), "quick", settings={1: {"steps": 9}})
    assert planned == {1: {"steps": 9}, 2: {"steps": 5, "rates": [0.001], "note": None}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"profile": "quik"}, "Unknown profile 'quik'. Did you mean 'quick'"),
        ({"dataset": "cubs"}, "Unknown dataset 'cubs'. Did you mean 'cub'"),
        ({"settings": {1: {"step": 1}}}, "Unknown parameter of chapter 1 .*'step'. Did you mean 'steps'"),
        ({"settings": {7: {"steps": 1}}}, "Unknown chapter '7'"),
        ({"settings": {1: {"run_name": "y"}}}, "--run"),
    ],
)
def test_plan_refuses_what_does_not_exist(small_book, arguments, message):
    with pytest.raises(ConfigError, match=message):
        chapters.plan(chapters.all_chapters(), **{"profile": "smoke", **arguments})


def test_a_profile_with_an_unknown_parameter_is_an_error(small_book):
    (small_book / "notebooks" / "profiles" / "smoke.yaml").write_text('"01":\n  stepps: 1\n')
    with pytest.raises(ConfigError, match="stepps.*Did you mean 'steps'"):
        chapters.plan(chapters.all_chapters(), "smoke")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("4.steps=many", r"Chapter 4, parameter steps \(in --set\) must be a whole number \(int\) from 1 to .*'many'"),
        ("4.steps=true", "Chapter 4, parameter steps .*True"),
        ("4.matching_steps=-1", "Chapter 4, parameter matching_steps .*between 0 and 10000000, got -1"),
        ("1.count=2.5", "Chapter 1, parameter count .*whole number"),
        ("2.coverage_high=3", "Chapter 2, parameter coverage_high .*between 0.001 and 0.9"),
        ("2.kinds=[middle]", "Chapter 2, parameter kinds .*'middle'.*Valid: centre, rectangles"),
        ("7.search_count=x", "Chapter 7, parameter search_count .*whole number"),
        ("8.condition_count=-2", "Chapter 8, parameter condition_count .*between 0"),
        ("9.ensembles=[foo]", "Chapter 9, parameter ensembles .*soft_vote"),
        ("6.inpainters=[telae]", "Did you mean 'telea'"),
        ("7.names=[resnet43]", "Did you mean 'resnet34'"),
        ("10.map_count=a", "Chapter 10, parameter map_count .*whole number"),
        ("11.photographs=[1]", "Chapter 11, parameter photographs .*whole number such as"),
        ("4.judged=-5", "Chapter 4, parameter judged .*between 0"),
        ("11.coverages=[a]", "Chapter 11, parameter coverages .*'a'"),
    ],
)
def test_values_are_checked_before_anything_runs(text, message):
    with pytest.raises(ConfigError, match=message):
        chapters.plan(chapters.all_chapters(), "smoke", settings=chapters.parse_settings([text]))
    number, name, value = *text.split("=")[0].split("."), text.split("=")[1]
    injected = f"# Parameters\n{name} = {chapters.parse_settings([text])[int(number)][name]!r}\n"
    with pytest.raises(ConfigError, match=f"Chapter {number}, parameter {name}"):  # the same by papermill -p
        chapters.check_parameters({"In": ["", injected]}, int(number))
    assert value


def test_a_plan_without_settings_opens_no_slow_room():
    program = (
        "import sys; from nbsupport.book import chapters; chapters.plan(chapters.all_chapters(), 'quick')\n"
        "assert not {'torch', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_values_that_contradict_each_other_are_told_before_anything_runs():
    with pytest.raises(ConfigError, match="Chapter 2: .*coverage_low .* above coverage_high"):
        chapters.plan(chapters.all_chapters(), "smoke", settings=chapters.parse_settings(["2.coverage_low=0.9"]))


def test_every_profile_passes_the_check():
    found = chapters.all_chapters()
    assert [name for name in chapters.profile_names() if not chapters.load_profile(name, found)] == ["quick"]


@pytest.mark.parametrize("cell", ["steps = len([1])", "import os", "a, b = 1, 2", "steps ="])
def test_only_plain_values_in_a_parameters_cell(tmp_path, cell, make_notebook):
    with pytest.raises(ConfigError, match="parameters cell"):
        _ = make_notebook(tmp_path, "01_x", parameters=cell).parameters


def test_a_notebook_without_parameters_cell_is_an_error(tmp_path):
    path = tmp_path / "01_x.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), path)
    with pytest.raises(ConfigError, match="one cell tagged 'parameters'; it has 0"):
        _ = Chapter(path).parameters


# --- execution -----------------------------------------------------------------------------------------------------


def test_a_chapter_runs_once_and_again_when_something_changed(small_book, runs_folder):
    run, all_chapters = Run("a"), chapters.all_chapters()
    first = all_chapters[0]
    cells = []
    outcome = runner.run_chapter(
        run,
        first,
        {"steps": 21},
        all_chapters,
        profile="smoke",
        on_cell=lambda done, total: cells.append((done, total)),
    )
    executed = json.loads(outcome.path.read_text())
    assert not outcome.skipped and "42" in json.dumps(executed["cells"])
    assert cells[-1] == (4, 4)
    assert executed["metadata"]["nbsupport"]["made_from"]["parameters"] == {"steps": 21}

    assert runner.run_chapter(run, first, {"steps": 21}, all_chapters).skipped
    assert not runner.is_current(run, first, {"steps": 22}, all_chapters)
    first.path.write_text(first.path.read_text().replace("steps * 2", "steps * 3"))
    assert not runner.is_current(run, first, {"steps": 21}, all_chapters)


def test_a_chapter_is_stale_when_one_before_it_ran_with_other_parameters(small_book, runs_folder):
    run, (first, second) = Run("a"), chapters.all_chapters()
    files.write_json(
        runner.executed_path(run, first), {"metadata": {"nbsupport": {"made_from": {"parameters": {"steps": 1}}}}}
    )
    dependencies = runner.made_from(run, second, {}, [first, second])
    files.write_json(
        runner.executed_path(run, second), {"metadata": {"nbsupport": {"made_from": dependencies, "stages_left": []}}}
    )
    assert runner.is_current(run, second, {}, [first, second])
    files.write_json(
        runner.executed_path(run, first), {"metadata": {"nbsupport": {"made_from": {"parameters": {"steps": 2}}}}}
    )
    assert not runner.is_current(run, second, {}, [first, second])


def test_a_raising_cell_fails_loudly_and_leaves_the_notebook(tmp_path, runs_folder, make_notebook):
    chapter = make_notebook(tmp_path, "03_bad", "x = 1", 'raise ValueError("the third\\nreason")', "print('never')")
    run = Run("a")
    old = runner.executed_path(run, chapter)
    files.write_json(old, {"the last": "good one"})
    with pytest.raises(runner.ChapterFailed) as caught:
        runner.run_chapter(run, chapter, {}, [chapter])
    message = str(caught.value)
    assert "Chapter 3, 'A title', failed in its cell 4" in message
    assert "ValueError: the third" in message and str(runner.failed_path(run, chapter)) in message
    assert "never" not in json.dumps(
        [c.get("outputs") for c in json.loads(runner.failed_path(run, chapter).read_text())["cells"]]
    )
    assert files.read_json(old) == {"the last": "good one"}, "a failed re-run never costs the last good notebook"
    assert not list(old.parent.glob(".*")), "no temporary file is left"


def test_a_missing_upstream_artefact_names_the_command(tmp_path, runs_folder, make_notebook):
    code = "from nbsupport.runs import Run\nRun(run_name).require('masks')"
    with pytest.raises(runner.ChapterFailed, match="MissingStage.*python -m nbsupport run --run a --only 1-2"):
        chapter = make_notebook(tmp_path, "03_needs", code)
        runner.run_chapter(Run("a"), chapter, {}, [chapter])


def test_the_kernel_finds_the_run_wherever_it_lies(tmp_path, runs_folder, make_notebook):
    code = "from nbsupport.runs import Run\nprint('path is', Run(run_name).path)"
    chapter = make_notebook(tmp_path, "03_where", code)
    run = Run(tmp_path / "elsewhere" / "b")
    outcome = runner.run_chapter(run, chapter, {}, [chapter])
    assert f"path is {run.path}" in outcome.path.read_text()


# --- what belongs together -----------------------------------------------------------------------------------------

MAKES = """
from nbsupport.config import MaskConfig
from nbsupport.runs import Run
with Run(run_name).stage("index", MaskConfig(seed=steps)): pass
"""
READS = """
from nbsupport.config import MaskConfig
from nbsupport.runs import Run
stage = Run(run_name).stage("masks", MaskConfig(), needs=["index"])
if not stage.finished:
    with stage: pass
"""


@pytest.fixture
def two_stages(small_book, runs_folder, make_notebook, monkeypatch):
    """A run of two chapters, each of which makes a stage; the code of stages is the same whatever their parameters."""
    monkeypatch.setattr(runs, "stage_code", lambda name, config: "same")
    monkeypatch.setenv("PYTHONSTARTUP", "")
    make_notebook(
        small_book / "notebooks",
        "01_first",
        "from nbsupport import runs\nruns.stage_code = lambda n, c: 'same'" + MAKES,
    )
    make_notebook(
        small_book / "notebooks",
        "02_second",
        "from nbsupport import runs\nruns.stage_code = lambda n, c: 'same'" + READS,
    )
    run, both = Run("a"), chapters.all_chapters()
    for chapter in both:
        runner.run_chapter(run, chapter, {"steps": 5}, both, profile="smoke")
    return run, both


def test_a_stage_made_by_hand_with_other_parameters_makes_chapters_stale_and_the_book_refuses(two_stages):
    run, both = two_stages
    assert [state for *_, state in status.chapter_lines(run)] == ["executed", "executed"]
    build.require_executed(run, both)
    with run.stage("index", MaskConfig(seed=6)):  # as papermill does, once it is told to replace
        pass
    first, second = [state for *_, state in status.chapter_lines(run)]
    assert first.startswith("stale: its stage 'index' has been made again") and "'index'" in second
    assert [bool(line.stale) for line in status.stage_lines(run)] == [False, True]
    with pytest.raises(UserError, match=r"not of one piece.*01_first is stale.*run --run a .*--profile smoke"):
        build.require_executed(run, both)
    outcomes = [runner.run_chapter(run, chapter, {"steps": 5}, both, profile="smoke") for chapter in both]
    assert not outcomes[0].skipped
    build.require_executed(run, both)


def test_other_code_of_a_stage_runs_its_chapter_again(two_stages, monkeypatch):
    run, both = two_stages
    monkeypatch.setattr(runs, "stage_code", lambda name, config: "other" if name == "masks" else "same")
    assert runner.is_current(run, both[0], {"steps": 5}, both)
    assert not runner.is_current(run, both[1], {"steps": 5}, both)
    assert "the code that makes it has changed" in runner.why_stale(run, both[1], both)


def test_a_later_try_that_failed_is_told_and_the_good_one_still_makes_the_book(two_stages, small_book, make_notebook):
    run, both = two_stages
    make_notebook(small_book / "notebooks", "02_second", "1 / 0")
    broken = chapters.all_chapters()
    with pytest.raises(runner.ChapterFailed):
        runner.run_chapter(run, broken[1], {"steps": 5}, broken)
    assert status.chapter_lines(run)[1][3] == "notebook has changed; a later try failed"
    build.require_executed(run, broken)


def test_photographs_that_changed_run_the_first_chapter_again(small_book, runs_folder, tmp_path, make_notebook):
    album = tmp_path / "album"
    album.mkdir()
    (album / "metadata.csv").write_text("file_name,text\na.png,a gray gate\n")
    Image.new("RGB", (8, 8)).save(album / "a.png")
    cell = f'run_name = "x"\ndataset = "folder"\ndata = {str(album)!r}'
    first = make_notebook(small_book / "notebooks", "01_first", "1", parameters=cell)
    run, parameters = Run("a"), {"dataset": "folder", "data": str(album)}
    runner.run_chapter(run, first, parameters, [first])
    assert runner.run_chapter(run, first, parameters, [first]).skipped
    (album / "metadata.csv").write_text("file_name,text\na.png,a blue gate\n")
    assert "photographs or captions have changed" in runner.why_stale(run, first, [first])
    assert not runner.run_chapter(run, first, parameters, [first]).skipped
    Image.new("RGB", (8, 8), "red").save(album / "b.png")
    assert not runner.is_current(run, first, parameters, [first])


# --- what the book shows -------------------------------------------------------------------------------------------


def test_the_book_shows_the_parameters_that_were_used():
    code = 'run_name = "x"\nkinds = [\n    "a",\n]  # of hole\ndata = None  # Ä\nrate: float = 0.5'
    values = {"run_name": "r", "kinds": ["b", "c"], "data": "/d", "rate": 1}
    assert build.shown_parameters(code, values, "x") == (
        'run_name = "r"\nkinds = ["b", "c"]  # of hole\ndata = "/d"  # Ä\nrate: float = 1'
    )


def test_staging_drops_progress_bars_widgets_and_machine_paths(runs_folder):
    run = Run("a")
    widget = "application/vnd.jupyter.widget-view+json"

    def display(text):
        return {"output_type": "display_data", "metadata": {}, "data": {widget: {"model_id": "1"}, "text/plain": text}}

    def stream(*lines, name="stdout"):
        return {"output_type": "stream", "name": name, "text": list(lines)}

    printed = stream("[pairs] finished before with these parameters: loaded.\n", f"saved in {run.path}/x\n", "a/b")
    told = [stream("[tdanet] continues from the checkpoint of step 3.\n"), stream("UserWarning: old\n", name="stderr")]
    cells = [
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "steps = 1", "outputs": []},
        {"cell_type": "code", "metadata": {"tags": ["injected-parameters"]}, "source": "steps = 2", "outputs": []},
        {
            "cell_type": "code",
            "metadata": {"papermill": {}},
            "source": "go()",
            "outputs": [display(" 0%|   | 0/9"), printed, *told],
        },
        {"cell_type": "code", "metadata": {}, "source": "panel", "outputs": [display("Panel()")]},
    ]
    record = {"made_from": {"parameters": {"steps": 2}}}
    source = {"cells": cells, "metadata": {"nbsupport": record, "widgets": {}}, "nbformat": 4, "nbformat_minor": 5}
    staged = build.staged_notebook(source, run, "x")
    assert [cell["source"] for cell in staged["cells"]] == ["steps = 2", "go()", "panel"]
    assert staged["cells"][1]["outputs"] == [{**printed, "text": "saved in runs/a/x\na/b"}]
    assert widget not in json.dumps(staged) and build.WIDGET_NOTE in json.dumps(staged, ensure_ascii=False)
    assert cells[2]["outputs"][1]["text"][1].startswith("saved in /"), "the executed notebook stays as it was"


def test_an_incomplete_run_builds_no_book_and_names_the_command(small_book, runs_folder, monkeypatch):
    run, (first, second) = Run("a"), chapters.all_chapters()
    files.write_json(
        runner.executed_path(run, first),
        {"metadata": {"nbsupport": {"made_from": {"notebook": ""}, "profile": "smoke"}}},
    )
    with pytest.raises(UserError, match=r"missing: 02_second.*run --run a --profile smoke --only 2"):
        build.require_executed(run, [first, second])
