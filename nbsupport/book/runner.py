"""Runs chapters with papermill: each in a fresh kernel, its output kept in the run folder.

An executed chapter (``runs/<run>/notebooks/04_training.ipynb``) carries a record of what it was made from: parameters,
notebook, package, photographs and the stages it read. While that still holds, the chapter is skipped. A chapter that
fails leaves ``04_training.failed.ipynb``, beside the last good one, and an error that names the cell. Not here: what
the chapters and their parameters are (:mod:`nbsupport.book.chapters`), and the book (:mod:`nbsupport.book.build`).
"""

import contextlib
import datetime
import functools
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbsupport import runs
from nbsupport.book.chapters import Chapter
from nbsupport.config import DataConfig
from nbsupport.core import files, threads
from nbsupport.core.errors import UserError
from nbsupport.runs import CHAPTER_OF_STAGE, Run

#: Modules that show and carry what was computed but cannot change it: editing them makes no chapter stale.
_NOT_COMPUTING = {
    *("__main__.py", "core/code_version.py", "core/files.py", "core/threads.py", "runs.py"),
    *("book/build.py", "book/chapters.py", "book/runner.py", "book/status.py"),
    *("cli/app.py", "cli/common.py", "cli/demo.py", "cli/detect.py", "cli/pairs.py"),
}

OnCell = Callable[[int, int], None]  #: called with (number of cells begun, number of all cells)


class ChapterFailed(UserError):
    """A chapter's notebook raised; the message names chapter, cell, exception and where the output lies."""


@dataclass(frozen=True)
class Outcome:
    """What became of one chapter of a run."""

    chapter: Chapter
    path: Path  # the executed notebook
    seconds: float  # of the execution, also when that was an earlier one
    skipped: bool


def executed_path(run: Run, chapter: Chapter) -> Path:
    """Where the executed notebook of `chapter` lies in `run`."""
    return run.path / "notebooks" / f"{chapter.name}.ipynb"


def failed_path(run: Run, chapter: Chapter) -> Path:
    """Where the notebook lies, with its traceback, when the chapter failed."""
    return run.path / "notebooks" / f"{chapter.name}.failed.ipynb"


@functools.cache
def package_hash() -> str:
    """A hash of the package's sources that take part in the computation."""
    folder = Path(runs.__file__).parent
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.py"))}
    return files.fingerprint(
        {name: files.hash_file(path) for name, path in found.items() if name not in _NOT_COMPUTING}
    )


@functools.cache
def device_words() -> str:
    """Device and precision that ``auto`` chooses here, and why."""
    from nbsupport.core import device

    chosen = device.choose("auto")
    return f"{chosen.device.type}, {str(chosen.dtype).removeprefix('torch.')} ({chosen.why})"


def read_executed(path: Path) -> dict[str, Any] | None:
    """The record inside an executed notebook, or None when there is none that can be read."""
    try:
        return _read_record(path, path.stat().st_mtime_ns)
    except (FileNotFoundError, KeyError, json.JSONDecodeError, UnicodeDecodeError):
        return None


@functools.lru_cache(maxsize=64)  # notebooks hold pictures, and each is asked about by all chapters after it
def _read_record(path: Path, _: int) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))["metadata"]["nbsupport"]


def made_from(run: Run, chapter: Chapter, parameters: Mapping[str, Any], chapters: Sequence[Chapter]) -> dict[str, Any]:
    """What an execution of `chapter` depends on; two equal answers mean that running it again changes nothing.

    `chapters` are all chapters of the book: of the earlier ones, the stages they left and the parameters they ran with
    count (and not their prose).
    """
    earlier = [other for other in chapters if other.number < chapter.number]
    records = {other.name: read_executed(executed_path(run, other)) for other in earlier}
    stages = [name for name, number in CHAPTER_OF_STAGE.items() if number < chapter.number]
    return {
        "parameters": dict(parameters),
        "notebook": chapter.source_hash,
        "package": package_hash(),
        "stages": {name: (run.record(name) or {}).get("fingerprint") for name in stages},
        "upstream": {name: record and record["made_from"]["parameters"] for name, record in records.items()},
        "source": _source(run, parameters) if chapter.number == CHAPTER_OF_STAGE["index"] else None,
    }


def _source(run: Run, parameters: Mapping[str, Any]) -> str | None:
    """The fingerprint of the user's photographs; None for birds that are drawn, and where there are none."""
    own = {key: value for key, value in parameters.items() if key in DataConfig.__dataclass_fields__}
    if own.get("dataset", "synthetic") == "synthetic" and own.get("data") is None:
        return None
    from nbsupport import data
    from nbsupport.data import index

    try:
        config = DataConfig(**own)
        return index.source_signature(run, config, data.resolve_root(config, run))
    except (UserError, OSError):
        return None


def why_stale(run: Run, chapter: Chapter, chapters: Sequence[Chapter]) -> str:
    """Why an executed chapter does not belong to what `run` holds now, as the end of a sentence; empty if it does.

    Neither its prose nor code outside the stages count here (:func:`is_current` minds them too).
    """
    record = read_executed(executed_path(run, chapter))
    if record is None:
        return ""
    made = record["made_from"]
    now = made_from(run, chapter, made.get("parameters", {}), chapters)
    for name in record.get("stages_left", []):
        reason = run.stale(name) if run.record(name) else "it is no longer there"
        if reason := reason or _lacking(run, name):
            return f"its stage '{name}': {reason}"
        left = record.get("left", {}).get(name)
        if left and left != run.record(name)["fingerprint"]:
            return f"its stage '{name}' has been made again since, with other parameters or from other input"
    for name, seen in made.get("stages", {}).items():
        if now["stages"].get(name) != seen:
            return f"the stage '{name}', which it reads, is another now"
        if reason := run.stale(name):
            return f"the stage '{name}', which it reads: {reason}"
    if now["source"] != made.get("source") and now["source"] is not None:
        return "its photographs or captions have changed"
    for name, seen in made.get("upstream", {}).items():
        if now["upstream"].get(name) != seen:
            return f"{name} has run since with other parameters"
    return ""


def _lacking(run: Run, stage: str) -> str:
    lacking = [name for name in run.record(stage)["outputs"] if not (run.path / name).exists()]
    return f"'{lacking[0]}' is missing" if lacking else ""


def is_current(run: Run, chapter: Chapter, parameters: Mapping[str, Any], chapters: Sequence[Chapter]) -> bool:
    """Whether `run` already holds this chapter, executed from exactly the same things."""
    record = read_executed(executed_path(run, chapter))
    if record is None:
        return False
    wanted = made_from(run, chapter, parameters, chapters)
    own = [name for name, number in CHAPTER_OF_STAGE.items() if number == chapter.number]
    left = record.get("left", {name: None for name in record.get("stages_left", [])})
    kept = all(
        (held := run.record(name)) and left[name] in (None, held["fingerprint"]) and not run.stale(name)
        and not _lacking(run, name)
        for name in own if name in left
    )  # fmt: skip
    return kept and files.fingerprint(record["made_from"]) == files.fingerprint(wanted)


def run_chapter(
    run: Run,
    chapter: Chapter,
    parameters: Mapping[str, Any],
    chapters: Sequence[Chapter],
    *,
    profile: str = "",
    force: bool = False,
    on_cell: OnCell | None = None,
) -> Outcome:
    """Execute one chapter into the run folder, or skip it when that would change nothing.

    Args:
        parameters: all but ``run_name``, which is taken from `run`.
        force: run it again, its stages too, whatever is there.

    Raises:
        ChapterFailed: a cell raised, or the kernel died.
    """
    target = executed_path(run, chapter)
    if not force and is_current(run, chapter, parameters, chapters):
        return Outcome(chapter, target, read_executed(target)["seconds"], skipped=True)
    if force:
        for stage, number in CHAPTER_OF_STAGE.items():
            if number == chapter.number:
                (run.path / "stages" / f"{stage}.json").unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    failed = failed_path(run, chapter)
    working = target.with_name(f".{chapter.name}.part.ipynb")
    failed.unlink(missing_ok=True)
    dependencies = made_from(run, chapter, parameters, chapters)
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    try:
        _execute(run, chapter, parameters, working, on_cell)
    except BaseException as error:
        kept = _keep_failed(working, failed)
        if not isinstance(error, Exception):  # interrupted by hand
            raise
        raise ChapterFailed(_explain(chapter, error, kept)) from error
    seconds = round(time.perf_counter() - clock, 2)
    own = [name for name, number in CHAPTER_OF_STAGE.items() if number == chapter.number and run.record(name)]
    record = {
        "chapter": chapter.number,
        "title": chapter.title,
        "profile": profile,
        "started": started.isoformat(timespec="seconds"),
        "seconds": seconds,
        "stages_left": own,
        "left": {name: run.record(name)["fingerprint"] for name in own},
        "device": device_words(),
        "made_from": dependencies,
        **runs.provenance(),
    }
    notebook = json.loads(working.read_text("utf-8"))
    notebook["metadata"]["nbsupport"] = record
    with files.atomic_path(target) as temporary:
        temporary.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")
    working.unlink()
    return Outcome(chapter, target, seconds, skipped=False)


def _execute(run: Run, chapter: Chapter, parameters: Mapping[str, Any], output: Path, on_cell: OnCell | None) -> None:
    """Let papermill execute the notebook in a fresh kernel that finds this package and this run folder."""
    import papermill

    logging.getLogger("papermill").setLevel(logging.ERROR)  # it warns of things that were checked before
    begun = 0

    def cell_started(cell: Any, cell_index: int) -> None:
        nonlocal begun
        begun = max(begun, cell_index + 1)
        if on_cell:
            on_cell(begun, len(chapter.cells) + 1)  # papermill adds one cell, with the parameters

    with _kernel_environment(run):
        papermill.execute_notebook(
            str(chapter.path),
            str(output),
            parameters={"run_name": _run_name(run), **parameters},
            kernel_name="python3",
            language="python",
            progress_bar=False,
            cwd=str(run.path),
            start_timeout=180,
            on_cell_start=cell_started,
            extra_arguments=["--IPKernelApp.log_level=50"],  # not the note that its ports are this machine's own
        )


def _run_name(run: Run) -> str:
    """The name when the folder lies where names are looked up, else the path: the kernel works in another folder."""
    return run.name if run.path.parent == runs.runs_root().resolve() else str(run.path)


@contextlib.contextmanager
def _kernel_environment(run: Run) -> Iterator[None]:
    """Environment variables that the kernel inherits; put back afterwards."""
    package_parent = str(Path(runs.__file__).resolve().parent.parent)
    changes = {
        "NBSUPPORT_RUNS": str(runs.runs_root().resolve()),
        "PYTHONPATH": os.pathsep.join(filter(None, [package_parent, os.environ.get("PYTHONPATH")])),
        runs.REPLACE: "1",  # who runs a chapter with other parameters has asked for it
        **({runs.HOLDS: str(run.path)} if run.held else {}),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # ipykernel's debugger warns about frozen modules otherwise
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        threads.VARIABLE: threads.waiting_policy(),
    }
    if data := os.environ.get("NBSUPPORT_DATA"):
        changes["NBSUPPORT_DATA"] = str(Path(data).expanduser().resolve())
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _keep_failed(working: Path, failed: Path) -> Path | None:
    if not working.exists():
        return None
    os.replace(working, failed)
    return failed


def _explain(chapter: Chapter, error: Exception, kept: Path | None) -> str:
    """The message of :class:`ChapterFailed`: which chapter, which cell, what was raised, where to look."""
    import papermill

    where = f"Chapter {chapter.number}, '{chapter.title}', failed"
    look = f"\nThe notebook as far as it got, with the traceback: {kept}" if kept else ""
    if isinstance(error, papermill.PapermillExecutionError):
        lines = [line for line in error.source.splitlines() if line.strip() and not line.strip().startswith("#")]
        # papermill puts its parameters in as a cell of its own, which the reader's notebook does not have
        tags = [cell.get("metadata", {}).get("tags", []) for cell in chapter.cells]
        at = next((i for i, cell_tags in enumerate(tags) if "parameters" in cell_tags), len(tags))
        number = error.cell_index + 1 - (1 if error.cell_index > at else 0)
        last = re.sub(r"\x1b\[[0-9;]*m", "", str(error.evalue)).strip()
        code = f" (`{lines[0].strip()}` …)" if lines else ""
        return f"{where} in its cell {number}{code}:\n{error.ename}: {last}{look}"
    if type(error).__name__ == "DeadKernelError":
        return f"{where}: its kernel died, most likely for want of memory. Try a smaller profile or batch_size.{look}"
    return f"{where}: {type(error).__name__}: {error}{look}"
