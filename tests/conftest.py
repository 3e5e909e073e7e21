"""Shared by all tests: markers by folder, and one smoke run of all chapters for those tests that look at its result."""

import dataclasses
import json
import os
import random
from pathlib import Path

import numpy as np
import pytest

os.environ.pop("COLUMNS", None)  # xdist gives its workers one, and consoles made at import would keep it
os.environ.setdefault("NBSUPPORT_REPLACE", "1")  # tests make stages of their own runs again with other parameters

ROOT = Path(__file__).resolve().parent.parent

#: tests/<folder> -> marker; also the order in which the tiers run: cheap ones first.
TIERS = {"unit": "unit", "notebooks": "notebooks", "book": "book", "browser": "browser", "benchmarks": "benchmark"}


#: Tiers that look at one smoke run of all chapters, which one worker of xdist makes for all of them.
OF_THE_SMOKE_RUN = ("notebooks", "book", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test by its folder and run the cheap tiers first."""

    def tier(item: pytest.Item) -> str:
        return item.path.relative_to(ROOT / "tests").parts[0]

    for item in items:
        if tier(item) in TIERS:
            item.add_marker(getattr(pytest.mark, TIERS[tier(item)]))
    order = list(TIERS)
    items.sort(key=lambda item: order.index(tier(item)) if tier(item) in order else len(order))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Under xdist the tests of a file stay together, and all that look at the smoke run; the largest lot goes first."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return "smoke run" if file.split("/")[1] in OF_THE_SMOKE_RUN else file

    return ByFile(config, log)


@pytest.fixture(autouse=True)
def global_randomness_untouched():
    """No function of the package may use or move global random state."""
    python, numpy_state = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    yield
    assert random.getstate() == python, "the test moved Python's global random state"
    assert (np.random.get_state()[1] == numpy_state).all(), "the test moved numpy's global random state"  # noqa: NPY002


@pytest.fixture
def runs_folder(tmp_path, monkeypatch) -> Path:
    """An empty folder for runs; the user's own runs are never touched."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("NBSUPPORT_RUNS", str(folder))
    return folder


@pytest.fixture
def make_notebook():
    """A function that writes a chapter of a few lines: heading, parameters cell, and the code cells given."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    from nbsupport.book.chapters import Chapter

    def make(folder, name, *code, parameters='run_name = "x"\nsteps = 5  # of work', title="# 1. A title"):
        first = new_code_cell(parameters, metadata={"tags": ["parameters"]})
        content = new_notebook(cells=[new_markdown_cell(title), first, *map(new_code_cell, code)])
        folder.mkdir(parents=True, exist_ok=True)
        nbformat.write(content, folder / f"{name}.ipynb")
        return Chapter(folder / f"{name}.ipynb")

    return make


@pytest.fixture
def small_book(tmp_path, monkeypatch, make_notebook) -> Path:
    """A book of its own in a temporary folder: two chapters, two profiles, a table of contents."""
    from nbsupport.book import chapters

    root = tmp_path / "small_book"
    second = 'run_name = "x"\nsteps = 5\nrates = [0.1]\nnote = None'
    make_notebook(root / "notebooks", "01_first", "print(steps * 2)", title="# 1. The first")
    make_notebook(root / "notebooks", "02_second", "steps", parameters=second)
    (root / "notebooks" / "profiles").mkdir()
    (root / "notebooks" / "profiles" / "smoke.yaml").write_text('"01":\n  steps: 1\n"02": {}\n')
    (root / "notebooks" / "profiles" / "quick.yaml").write_text('"01":\n  steps: 5\n"02":\n  rates: [1e-3]\n')
    pages = [{"file": "notebooks/01_first"}, {"file": "notebooks/02_second"}]
    (root / "_toc.yml").write_text(json.dumps({"root": "book/intro", "parts": [{"chapters": pages}]}))
    monkeypatch.setattr(chapters, "project_root", lambda: root)
    return root


@dataclasses.dataclass
class SmokeRun:
    """The smoke run of this test session: the run, the error of the chapter that failed, if one did."""

    run: object
    outcomes: dict
    error: Exception | None


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory) -> SmokeRun:
    """Run all chapters once, on synthetic birds with the smoke profile, in a folder of this session.

    A chapter that fails does not fail the fixture: the chapter's own test reports it, those after it say they lack it.
    """
    from nbsupport.book import chapters, runner
    from nbsupport.core.errors import UserError
    from nbsupport.runs import Run

    folder = tmp_path_factory.mktemp("session-runs")
    before = {name: os.environ.get(name) for name in ("NBSUPPORT_RUNS", "NBSUPPORT_DATA")}
    os.environ["NBSUPPORT_RUNS"] = str(folder)
    os.environ.pop("NBSUPPORT_DATA", None)  # the embedded birds must need nothing from outside
    result = SmokeRun(Run("synthetic-smoke"), {}, None)
    try:
        all_chapters = chapters.all_chapters()
        parameters = chapters.plan(all_chapters, "smoke")
        for chapter in all_chapters:
            try:
                result.outcomes[chapter.number] = runner.run_chapter(
                    result.run, chapter, parameters[chapter.number], all_chapters, profile="smoke"
                )
            except UserError as error:
                result.error = error
                break
        yield result
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
