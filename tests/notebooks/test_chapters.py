"""Every chapter of the table of contents: runs with the smoke profile, asserts a value, keeps to the form."""

import ast
import importlib.util
import json
import re
import statistics
from pathlib import Path

import pytest

from nbsupport import runs
from nbsupport.book import chapters, runner
from nbsupport.book.chapters import source

CHAPTERS = chapters.all_chapters()
CHECKS = Path(__file__).parent / "checks"
#: Absolute paths of somebody's machine, put together here so that this file holds none itself.
HOMES = re.compile("|".join(f"/{folder}/" for folder in ("home", "root", "work", "Users", "mnt")) + r"|[A-Z]:\\\\")
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)


def code_cells(chapter):
    return [cell for cell in chapter.cells if cell["cell_type"] == "code"]


def tags(cell):
    return cell.get("metadata", {}).get("tags", [])


def lines_of(cell):
    return [line for line in source(cell).splitlines() if line.strip()]


def test_the_table_of_contents_names_every_notebook():
    folder = CHAPTERS[0].path.parent
    assert sorted(chapter.path for chapter in CHAPTERS) == sorted(folder.glob("[0-9]*.ipynb"))
    assert [chapter.number for chapter in CHAPTERS] == list(range(1, len(CHAPTERS) + 1))


# --- it runs, and something came of it -----------------------------------------------------------------------------


@each_chapter
def test_runs_and_reaches_its_values(chapter, smoke_run):
    outcome = smoke_run.outcomes.get(chapter.number)
    if outcome is None:
        pytest.fail(f"not executed, because: {smoke_run.error}")
    cells = [cell for cell in json.loads(outcome.path.read_text())["cells"] if cell["cell_type"] == "code"]
    errors = [out for cell in cells for out in cell["outputs"] if out["output_type"] == "error"]
    assert not errors and all(cell["execution_count"] for cell in cells if source(cell).strip())
    path = CHECKS / f"check_{chapter.number:02d}.py"
    assert path.exists(), f"chapter {chapter.number} has no {path.name} that asserts a value of it"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.check(smoke_run.run)


@each_chapter
def test_leaves_a_result(chapter, smoke_run):
    """Numbers of the book are read from results, so every chapter that was executed must have left one."""
    if chapter.number not in smoke_run.outcomes:
        pytest.skip("not executed; its other test says why")
    code = "\n".join(source(cell) for cell in code_cells(chapter))
    written = list((smoke_run.run.path / "results").glob("*.json"))
    assert len(written) >= 1 and re.search(r"result", code), "no result is written or read in this chapter"


def test_a_second_run_skips_every_chapter(smoke_run):
    if smoke_run.error:
        pytest.skip("the first run did not finish")
    parameters = chapters.plan(CHAPTERS, "smoke")
    stale = [c.name for c in CHAPTERS if not runner.is_current(smoke_run.run, c, parameters[c.number], CHAPTERS)]
    assert not stale


def test_the_last_chapter_is_the_one_that_messages_name():
    assert CHAPTERS[-1].number == runs.LAST_CHAPTER and max(runs.CHAPTER_OF_STAGE.values()) <= runs.LAST_CHAPTER


# --- its form ------------------------------------------------------------------------------------------------------


@each_chapter
def test_source_is_stripped(chapter):
    for cell in code_cells(chapter):
        assert cell["outputs"] == [] and cell["execution_count"] is None


@each_chapter
def test_a_cell_shows_the_defaults_of_its_configurations(chapter):
    """The quick profile is the default: a value stands in the cell, for papermill, and in the configuration."""
    assert list(chapter.parameters)[0] == "run_name" and chapter.parameters["run_name"] == "synthetic-quick"
    assert len(chapter.parameters) <= 14 and not chapter.parameters.get("more")
    assert not chapters.load_profile("quick", CHAPTERS)
    for part in chapters.CONFIGURATIONS.get(chapter.number, ()):
        defaults = part.kind().to_mapping()
        for name, field in part.names.items():
            if name in chapter.parameters:
                default = defaults[field]
                assert chapter.parameters[name] == (list(default) if isinstance(default, tuple) else default), name


@each_chapter
@pytest.mark.parametrize("profile", chapters.profile_names())
def test_profiles_know_the_parameters(chapter, profile):
    """A profile lists what differs from the defaults, and nothing else."""
    planned, plain = (chapters.plan(CHAPTERS, name)[chapter.number] for name in (profile, "quick"))
    built, default = (chapters.configurations(values, chapter.number) for values in (planned, plain))
    known = {name for part in chapters.CONFIGURATIONS.get(chapter.number, ()) for name in part.names}
    for name in chapters.load_profile(profile, CHAPTERS).get(chapter.number, {}):
        if name in known:
            places = [
                (getattr(new, part.names[name]), getattr(old, part.names[name]))
                for part, new, old in zip(chapters.CONFIGURATIONS[chapter.number], built, default, strict=True)
                if name in part.names
            ]
            assert any(new != old for new, old in places), f"{name} is the default"
        else:
            assert planned[name] != plain[name], f"{name} is the default"


@each_chapter
def test_defines_no_class_and_no_long_function(chapter):
    for cell in code_cells(chapter):
        for node in ast.walk(ast.parse(re.sub(r"^[%!].*$", "pass", source(cell), flags=re.MULTILINE))):
            assert not isinstance(node, ast.ClassDef), f"class {node.name}"
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno < 10, f"function {node.name} is longer than ten lines"


@each_chapter
def test_cells_are_short(chapter):
    lengths = [len(lines_of(cell)) for cell in code_cells(chapter) if "parameters" not in tags(cell)]
    assert statistics.median(lengths) <= 6 and max(lengths) <= 25


@each_chapter
def test_is_prose_with_code_in_it(chapter):
    words = sum(len(re.findall(r"\w+", source(cell))) for cell in chapter.cells if cell["cell_type"] == "markdown")
    code = [line for cell in code_cells(chapter) for line in lines_of(cell) if "parameters" not in tags(cell)]
    code = [line for line in code if not line.lstrip().startswith("#")]
    assert words >= 8 * len(code), f"{words} words to {len(code)} lines of code"


@each_chapter
def test_has_its_parts_in_order(chapter):
    text = "\n".join(source(cell) for cell in chapter.cells if cell["cell_type"] == "markdown")
    assert re.match(rf"# {chapter.number}\. \S", text), "the title must carry the chapter's number"
    assert len(re.findall(r"^# ", text, flags=re.MULTILINE)) == 1, "one title"
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert headings.index("Summary") < headings.index("Exercises")


@each_chapter
def test_has_exercises_with_solutions(chapter):
    start = next(i for i, cell in enumerate(chapter.cells) if "## Exercises" in source(cell))
    solutions = [cell for cell in chapter.cells[start:] if cell["cell_type"] == "code" and "hide-cell" in tags(cell)]
    assert 2 <= len(solutions) <= 4
    assert all(source(cell).strip() for cell in solutions)


@each_chapter
def test_carries_no_path_of_a_machine(chapter):
    assert not HOMES.search("\n".join(map(source, chapter.cells)))
