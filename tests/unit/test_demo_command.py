"""``python -m nbsupport demo`` before a browser comes in: ports, the page's notebook, errors as sentences."""

import ast
import importlib.util
import socket

import nbformat
import pytest
from typer.testing import CliRunner

from nbsupport.cli import demo
from nbsupport.cli.app import app
from nbsupport.core.errors import UserError


def test_a_free_port_is_found_and_a_taken_one_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"Port {number} cannot be used"):
            demo.choose_port(number)
        assert demo.choose_port(0) not in (0, number)
    assert demo.choose_port(number) == number


@pytest.mark.parametrize("folder", [None, "/a 'quoted' folder/run"])
def test_the_page_is_a_valid_notebook_of_one_cell(folder):
    page = demo.page_source(folder)
    nbformat.validate(nbformat.from_dict(page))
    code = ast.parse(page["cells"][0]["source"])
    call = code.body[-1].value
    assert call.func.id == "Demo" and len(page["cells"]) == 1
    assert (call.args[0].args[0].value == folder) if folder else not call.args


@pytest.fixture
def served(monkeypatch):
    """What would have been served, in place of a server."""
    calls, opened = [], []

    def serve(page, port, ready):
        ready()
        calls.append((page.read_text(), port, opened.pop() if opened else None))

    monkeypatch.setattr(demo.webbrowser, "open", opened.append)
    monkeypatch.setattr(demo, "serve", serve)
    return calls


def test_the_command_prints_the_link_and_serves_the_page(served, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    done = CliRunner().invoke(app, ["demo", "--no-browser"])
    assert done.exit_code == 0, done.output
    ((source, port, link),) = served
    assert f"http://127.0.0.1:{port}/" in done.output and "Demo()" in source and link is None
    assert CliRunner().invoke(app, ["demo"]).exit_code == 0 and served[1][2].startswith("http://127.0.0.1:")


def test_a_run_must_exist_and_have_its_masks(served, runs_folder):
    unknown = CliRunner().invoke(app, ["demo", "--run", "nothing"])
    assert unknown.exit_code == 1 and "There is no run 'nothing'" in unknown.output
    (runs_folder / "empty").mkdir(parents=True)
    empty = CliRunner().invoke(app, ["demo", "--run", "empty"])
    assert empty.exit_code == 1 and "--only 1-2" in empty.output.replace("\n", "")
    assert not served


def test_a_missing_extra_is_named(served, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "voila" else object())
    done = CliRunner().invoke(app, ["demo"])
    assert done.exit_code == 1 and "needs voila" in done.output and "pip install" in done.output and not served
