"""The run folder: where one stage leaves its output and the next one finds it.

``runs/<name>/`` holds everything that one run of the book makes. Each file is written under a temporary name and
renamed, so that a crash leaves either the old file or the new one. Each stage leaves ``stages/<stage>.json`` when it
is finished: its parameters, the fingerprints of what it read, time, memory, versions, device and commit. A stage whose
record matches is not run again. Not here: what the files mean; each stage knows its own.
"""

import contextlib
import dataclasses
import datetime
import functools
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nbsupport.config import Config
from nbsupport.errors import ConfigError, MissingStage, UserError

#: Which chapter makes which stage, in the order in which they run.
CHAPTER_OF_STAGE = {
    "index": 1,
    "masks": 2,
    "matching": 4,
    "tdanet": 4,
    "pairs": 5,
    "search": 6,
    "detectors": 6,
    "studies": 6,
    "robustness": 6,
    "ensembles": 7,
    "segmentation": 8,
    "localization": 8,
    "errors": 8,
}
_VERSIONED = ("nbsupport", "torch", "torchvision", "timm", "numpy", "pandas", "pillow", "opencv-python-headless")


def project_root() -> Path:
    """The checkout this package runs from, or the current folder when the package was installed without one."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "notebooks").is_dir() else Path.cwd()


def runs_root() -> Path:
    """Where run folders lie: ``NBSUPPORT_RUNS``, or ``runs/`` in the checkout."""
    return Path(os.environ.get("NBSUPPORT_RUNS") or project_root() / "runs")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` on success, remove it on any error.

    The temporary name keeps the suffix, since many writers choose their format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """Turn numpy scalars, arrays, paths and dataclasses into JSON values; NaN and infinities become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return value.as_posix()
    return value


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file; a broken one is an error that names it."""
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"'{path}' is not valid JSON ({error}). Delete it and run the stage again.") from error


def fingerprint(value: Any) -> str:
    """A 16-digit hash of any JSON-ready value, independent of the order of keys."""
    text = json.dumps(_plain(value), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def provenance() -> dict[str, Any]:
    """Versions, machine and commit of this process, for the records of a run."""
    versions = {}
    for name in _VERSIONED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "versions": versions,
        "commit": _commit(),
    }


def _commit() -> str | None:
    command = ["git", "-C", str(project_root()), "describe", "--always", "--dirty", "--abbrev=12"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    return None


class Stage:
    """One stage of a run: knows whether it is finished, and records itself when it is.

    >>> stage = run.stage("masks", config, needs=("index",))     # doctest: +SKIP
    >>> if not stage.finished:
    ...     with stage:                                          # the record is written only if nothing was raised
    ...         write_the_masks(stage.run)
    """

    def __init__(self, run: "Run", name: str, config: Config, needs: Sequence[str]) -> None:
        self.run, self.name, self.config, self.needs = run, name, config, tuple(needs)
        self.notes: dict[str, Any] = {}
        self.inputs = {need: run.require(need)["fingerprint"] for need in self.needs}
        self.fingerprint = fingerprint([name, config.to_mapping(), self.inputs])

    @property
    def record_path(self) -> Path:
        """Where the record of the finished stage lies: ``stages/<name>.json`` of the run."""
        return self.run.path / "stages" / f"{self.name}.json"

    @property
    def finished(self) -> bool:
        """Whether a record with the same parameters and inputs exists, and all files it lists still do.

        Prints one line when it is, since a reader should know that an artefact was loaded and not made.
        """
        record = self.run.record(self.name)
        if record is None or record["fingerprint"] != self.fingerprint:
            return False
        if not all((self.run.path / name).exists() for name in record["outputs"]):
            return False
        print(f"[{self.name}] finished before with these parameters (took {record['seconds']:.0f} s): loaded.")
        return True

    def outputs(self, *paths: Path | str) -> None:
        """Name the files that must exist for this stage to count as finished (relative to the run folder)."""
        self._outputs.extend(Path(self.run.path / path).relative_to(self.run.path).as_posix() for path in paths)

    def note(self, **values: Any) -> None:
        """Keep a remark in the record, e.g. which weights were really used."""
        self.notes.update(values)

    def __enter__(self) -> "Stage":
        self.record_path.unlink(missing_ok=True)  # from here on the old output is no longer whole
        self._outputs: list[str] = []
        self._start = time.perf_counter()
        self._started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        record = {
            "stage": self.name,
            "fingerprint": self.fingerprint,
            "config": self.config.to_mapping(),
            "inputs": self.inputs,
            "outputs": self._outputs,
            "started": self._started,
            "seconds": round(time.perf_counter() - self._start, 3),
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "notes": self.notes,
            **provenance(),
        }
        write_json(self.record_path, record)
        self.run.write_config()


class Run:
    """A run folder, opened by name (``runs/<name>``) or by path.

    >>> run = Run("synthetic-quick")           # created when it does not exist yet
    >>> run.path / "index.parquet"             # doctest: +SKIP
    """

    def __init__(self, name: str | Path) -> None:
        if not str(name).strip():
            raise ConfigError("The run needs a name, e.g. run_name='synthetic-quick'.")
        path = Path(name).expanduser()
        is_path = path.is_absolute() or len(path.parts) > 1
        if not is_path and not re.fullmatch(r"[\w.\- ]+", str(name)):
            raise ConfigError(f"The run name {str(name)!r} may hold letters, digits, '.', '-', '_' and spaces only.")
        self.path = path.resolve() if is_path else runs_root().resolve() / path
        self.name = self.path.name
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"The run folder '{self.path}' cannot be created ({error.strerror}). "
                "Set NBSUPPORT_RUNS to a folder you can write to."
            ) from error

    def __repr__(self) -> str:
        return f"Run({self.name!r})"

    def __truediv__(self, name: str) -> Path:
        """``run / "results" / "x.json"``: a path inside the run folder."""
        return self.path / name

    def stage(self, name: str, config: Config, needs: Sequence[str] = ()) -> Stage:
        """Open a stage; raises :class:`MissingStage` when one of `needs` is not finished in this run."""
        if name not in CHAPTER_OF_STAGE:
            raise ConfigError(f"'{name}' is no stage. Stages: {', '.join(CHAPTER_OF_STAGE)}.")
        return Stage(self, name, config, needs)

    def record(self, stage: str) -> dict[str, Any] | None:
        """The record of a finished stage, or None."""
        path = self.path / "stages" / f"{stage}.json"
        return read_json(path) if path.exists() else None

    def require(self, stage: str) -> dict[str, Any]:
        """The record of a stage that must be finished; else an error that says which command makes it."""
        record = self.record(stage)
        if record is None:
            chapter = CHAPTER_OF_STAGE[stage]
            raise MissingStage(
                f"The run folder '{self.name}' does not hold the stage '{stage}', which this chapter reads. Make it "
                f"with:  python -m nbsupport run --run {self.name} --only 1-{chapter}"
            )
        return record

    def adopt(self, other: "Run", *stages: str) -> None:
        """Take over finished stages of another run: its files are linked (copied, where links cannot be made)."""
        for stage in stages:
            for name in [*other.require(stage)["outputs"], f"stages/{stage}.json"]:
                target = self.path / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                try:
                    os.link(other.path / name, target)
                except OSError:
                    shutil.copy2(other.path / name, target)

    def share(self, other: "Run", folder: str) -> None:
        """Have a folder of another run here too, if it has it: by a link (a copy, where links cannot be made)."""
        own, source = self.path / folder, (other.path / folder).resolve()
        if own.exists() or not source.exists():
            return
        try:
            own.symlink_to(source, target_is_directory=True)
        except OSError:
            shutil.copytree(source, own)

    def write_config(self) -> None:
        """Gather the records of all finished stages into ``config.json``."""
        records = {name: self.record(name) for name in CHAPTER_OF_STAGE}
        stages = {name: record for name, record in records.items() if record}
        config = {"run": self.name, **provenance(), "stages": {name: r["config"] for name, r in stages.items()}}
        write_json(self.path / "config.json", config)

    def write_result(self, name: str, value: Mapping[str, Any]) -> dict[str, Any]:
        """Write ``results/<name>.json`` and return what a reader of it gets (plain JSON values)."""
        write_json(self.path / "results" / f"{name}.json", value)
        return self.result(name)

    def result(self, name: str) -> dict[str, Any]:
        """Read ``results/<name>.json``: the only place from which the book takes numbers."""
        path = self.path / "results" / f"{name}.json"
        if not path.exists():
            held = ", ".join(sorted(p.stem for p in path.parent.glob("*.json"))) or "none"
            raise MissingStage(f"The run '{self.name}' has no result '{name}' (it has: {held}). Run its chapter first.")
        return read_json(path)

    def load_or_make(self, stage: Stage, load: Callable[[], Any], make: Callable[[], Any]) -> Any:
        """Load a finished stage, or make it under its record."""
        if stage.finished:
            return load()
        with stage:
            return make()
