"""Stages the executed chapters of a run beside the book's other pages, and builds the book with warnings as errors.

Staging copies; sources and chapters of the run do not change. In the copies, the parameters cell shows the values that
were really used; progress bars, warnings and what stages print of their own state are dropped; live widgets are
replaced by a note, and paths of this machine are shortened. Two pages that need no kernel are made from the run and put
beside them (:mod:`nbsupport.book.pages`), and kept in the run folder. Not here: executing chapters
(:mod:`nbsupport.book.runner`).
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbsupport.book import fooled, pages, status
from nbsupport.book.chapters import Chapter, all_chapters, assignments, source, toc_pages
from nbsupport.book.runner import executed_path, read_executed, why_stale
from nbsupport.core.errors import UserError
from nbsupport.runs import Run, project_root

#: What a chapter's page says where the notebook has something live.
WIDGET_NOTE = "*This part is interactive: open the notebook in JupyterLab to use it.*"

_WIDGET = "application/vnd.jupyter.widget-view+json"
_PROGRESS = re.compile(r"\d+%\|")  # how tqdm writes itself
#: What a stage prints of its own state (made before, made again, continued), which tells a reader nothing.
_ABOUT_THE_RUN = re.compile(r"\[\w+\] .*(loaded|made again|continues|kept from|taken from the run)")


def require_executed(run: Run, chapters: list[Chapter]) -> None:
    """Raise :class:`UserError`, with the command that fixes it, unless `run` holds every chapter, executed, none stale.

    A chapter is stale when it does not belong to what the run holds now (:func:`nbsupport.book.runner.why_stale`).
    """
    missing = [chapter for chapter in chapters if read_executed(executed_path(run, chapter)) is None]
    if missing:
        names = ", ".join(chapter.name for chapter in missing)
        only = "" if len(missing) == len(chapters) else ",".join(str(chapter.number) for chapter in missing)
        raise UserError(
            f"The run '{run.name}' does not hold all chapters, executed; missing: {names}. Run them with:  "
            f"{run.command(only)}"
        )
    stale = {chapter.name: reason for chapter in chapters if (reason := why_stale(run, chapter, chapters))}
    if stale:
        name, reason = next(iter(stale.items()))
        others = f" (and {len(stale) - 1} more chapters)" if len(stale) > 1 else ""
        raise UserError(
            f"The run '{run.name}' is not of one piece, and no book is built from it: {name} is stale, {reason}"
            f"{others}. What matches is kept; make the rest again with:  {run.command()}"
        )


def shown_parameters(code: str, values: Mapping[str, Any], where: str) -> str:
    """The text of a parameters cell with its defaults replaced by `values`; comments and order stay.

    >>> shown_parameters("steps = 5  # of Adam", {"steps": 9}, "x")
    'steps = 9  # of Adam'
    """
    lines = code.splitlines()
    for name, _, node in reversed(assignments(code, where)):
        if name in values:
            before = lines[node.lineno - 1].encode()[: node.col_offset].decode()
            after = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode()
            lines[node.lineno - 1 : node.end_lineno] = [before + _literal(values[name]) + after]
    return "\n".join(lines)


def _literal(value: Any) -> str:
    """Python source of a plain value, with double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items()) + "}"
    return repr(value)


def staged_notebook(notebook: Mapping[str, Any], run: Run, where: str) -> dict[str, Any]:
    """Return an executed notebook as the book shows it (see the head of this module)."""
    record = notebook["metadata"]["nbsupport"]
    values = record["made_from"]["parameters"] | {"run_name": run.name}
    cells = []
    for cell in notebook["cells"]:
        tags = cell.get("metadata", {}).get("tags", [])
        if "injected-parameters" in tags:
            continue
        cell = {**cell, "metadata": {"tags": tags} if tags else {}}
        if "parameters" in tags:
            cell["source"] = shown_parameters(source(cell), values, where)
        if "outputs" in cell:
            cell["outputs"] = [shown for output in cell["outputs"] if (shown := _shown_output(output)) is not None]
        cells.append(cell)
    kernel = {key: notebook["metadata"][key] for key in ("kernelspec", "language_info") if key in notebook["metadata"]}
    staged = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": notebook["nbformat_minor"]}
    return _shorten_paths(staged, _machine_paths(run, values))


def _shown_output(output: dict[str, Any]) -> dict[str, Any] | None:
    if output.get("output_type") == "stream":
        lines = "".join(output.get("text", "")).splitlines(keepends=True)
        text = "".join(line for line in lines if not _ABOUT_THE_RUN.match(line))
        return {**output, "text": text} if text.strip() and output.get("name") != "stderr" else None
    data = output.get("data", {})
    if _WIDGET not in data:
        return output
    if _PROGRESS.search("".join(data.get("text/plain", ""))):
        return None
    others = {kind: value for kind, value in data.items() if kind.startswith("image/") or kind == "text/html"}
    return {**output, "metadata": {}, "data": others or {"text/markdown": WIDGET_NOTE, "text/plain": WIDGET_NOTE}}


def _machine_paths(run: Run, parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Paths of this machine and what the book says instead, longest first so that the most telling one wins."""
    paths = {
        str(run.path): f"runs/{run.name}",
        str(project_root()): ".",
        sys.prefix: "<python>",
        str(Path.home()): "~",
    }
    for data in (parameters.get("data"), os.environ.get("NBSUPPORT_DATA")):
        if data:
            paths.setdefault(str(Path(data).expanduser().resolve()), "<data>")
            paths.setdefault(str(data), "<data>")
    return sorted(((p, name) for p, name in paths.items() if len(p) > 1), key=lambda item: -len(item[0]))


def _shorten_paths(value: Any, paths: list[tuple[str, str]], key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _shorten_paths(item, paths, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_shorten_paths(item, paths, key) for item in value]
    if isinstance(value, str) and not key.startswith("image/"):
        for path, name in paths:
            if path in value:
                value = re.sub(re.escape(path) + r"(?![\w-])", lambda _, name=name: name, value)
    return value


def stage(run: Run, folder: Path) -> Path:
    """Write everything the book is built from into `folder` (emptied before) and return it.

    Raises:
        UserError: a chapter of ``_toc.yml`` is not executed in `run`.
    """
    root, chapters = project_root(), all_chapters()
    require_executed(run, chapters)
    if folder.exists():
        shutil.rmtree(folder)
    (folder / "notebooks").mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(root / name, folder / name)
    shutil.copytree(root / "book", folder / "book", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for chapter in chapters:
        notebook = json.loads(executed_path(run, chapter).read_text("utf-8"))
        staged = staged_notebook(notebook, run, chapter.name)
        target = folder / "notebooks" / chapter.path.name
        target.write_text(json.dumps(staged, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / "book" / "status_table.md").write_text(status.markdown(run), "utf-8")
    (folder / "book" / "fooled_table.md").write_text(fooled.markdown(run), "utf-8")
    pages.write(run, folder / "_static")
    return folder


def build(run: Run, output: Path | None = None) -> Path:
    """Stage and build the book of `run`; return the path of its index page.

    Args:
        output: folder for ``src/`` (what was staged), ``html/`` (the book) and ``build.log``; None: ``_build/``.

    Raises:
        UserError: a chapter is not executed, or the build warned; the message holds the warnings.
    """
    output = (output or project_root() / "_build").resolve()
    staged = stage(run, output / "src")
    work = output / "work"
    shutil.rmtree(work, ignore_errors=True)
    command = [
        sys.executable,
        "-c",
        "from jupyter_book.cli.main import main; main()",
        "build",
        str(staged),
        "--path-output",
        str(work),
    ]
    done = subprocess.run(
        [*command, "-W", "--keep-going"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "NO_COLOR": "1", "TERM": "dumb"},
    )
    log = output / "build.log"
    log.write_text(done.stdout, "utf-8")
    if done.returncode != 0:
        raise UserError(
            f"The book does not build without warnings:\n{_complaints(done.stdout, staged)}\nAll of it: {log}"
        )
    html = output / "html"
    shutil.rmtree(html, ignore_errors=True)
    shutil.move(work / "_build" / "html", html)
    shutil.rmtree(work)
    lacking = [page for page in toc_pages() if not (html / Path(page).with_suffix(".html")).exists()]
    if lacking:
        raise UserError(f"The book was built, but without these pages of _toc.yml: {', '.join(lacking)}. See {log}.")
    return html / "index.html"


def _complaints(log: str, staged: Path) -> str:
    """The lines of a build log that say what is wrong."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", log).replace(f"{staged}/", "")
    lines = [line for line in text.splitlines() if re.search(r"WARNING|ERROR|Error|CRITICAL", line)]
    return "\n".join(dict.fromkeys(lines[:40])) or "\n".join(text.splitlines()[-15:])
