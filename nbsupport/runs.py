"""The run folder: where one stage leaves its output and the next one finds it.

``runs/<name>/`` holds everything that one run of the book makes. Each file is written under a temporary name and
renamed, so that a crash leaves either the old file or the new one. Each stage leaves ``stages/<stage>.json`` when it
is finished: its parameters, the fingerprints of what it read, the version of its code, time, memory, versions, device
and commit. A stage whose record matches is not run again; one that was made from something else than what is there now
is *stale*, and nothing reads it. One process at a time works on a run. ``NAME@VARIANT`` is a run beside ``NAME`` that
takes from it what it does not make itself. Not here: what the files mean; each stage knows its own.
"""

import contextlib
import datetime
import functools
import importlib.metadata
import json
import os
import platform
import re
import resource
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nbsupport.config import Config
from nbsupport.core.code_version import code_version
from nbsupport.core.errors import ConfigError, MissingStage, StaleStage, UserError
from nbsupport.core.files import _plain, fingerprint, hash_file, read_json, write_json

#: Which chapter makes which stage, in the order in which they run.
CHAPTER_OF_STAGE = {
    "index": 1,
    "masks": 2,
    "matching": 4,
    "tdanet": 4,
    "pairs": 6,
    "search": 7,
    "detectors": 7,
    "studies": 8,
    "robustness": 8,
    "ensembles": 9,
    "segmentation": 10,
    "localization": 10,
    "errors": 10,
}
LAST_CHAPTER = 11
#: The function that makes each stage: with all that it reaches, the code whose version the stage carries.
MAKER_OF_STAGE = {
    "index": "nbsupport.data.index:prepare",
    "masks": "nbsupport.masks.evaluation_set:make",
    "matching": "nbsupport.training.matching:fit",
    "tdanet": "nbsupport.training.tdanet:fit",
    "pairs": "nbsupport.pairs.making:make",
    "search": "nbsupport.detectors.search:run_search",
    "detectors": "nbsupport.detectors.classifier:fit",
    "studies": "nbsupport.evaluation.studies:make",
    "robustness": "nbsupport.evaluation.robustness:score",
    "ensembles": "nbsupport.detectors.ensemble:make",
    "segmentation": "nbsupport.detectors.segmentation:make",
    "localization": "nbsupport.evaluation.localization:make",
    "errors": "nbsupport.evaluation.error_analysis:make",
}
#: ``1``: a stage may be made over one that was made with other parameters (the command ``run`` sets it for chapters).
REPLACE = "NBSUPPORT_REPLACE"
#: Path of the run that the parent of this process holds the lock of.
HOLDS = "NBSUPPORT_HOLDS"
_HELD: set[Path] = set()  # runs that this process holds
#: What a stage leaves beside its outputs, for those that adopt it: the drawn birds, the files of the pairs.
_FOLDERS = {"index": ("source",), "pairs": ("pairs/shards",)}
_VERSIONED = ("nbsupport", "torch", "torchvision", "timm", "numpy", "pandas", "pillow", "opencv-python-headless")


def project_root() -> Path:
    """The checkout this package runs from, or the current folder when the package was installed without one."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "notebooks").is_dir() else Path.cwd()


def runs_root() -> Path:
    """Where run folders lie: ``NBSUPPORT_RUNS``, or ``runs/`` in the checkout."""
    return Path(os.environ.get("NBSUPPORT_RUNS") or project_root() / "runs")


def rank() -> int:
    """This process's number among those that torchrun started; 0 without it."""
    return int(os.environ.get("RANK", 0))


def stage_code(stage: str, config: Mapping[str, Any]) -> str:
    """The version of the code that makes `stage` with these parameters (see :mod:`nbsupport.core.code_version`)."""
    roots = [MAKER_OF_STAGE[stage]]
    if stage == "index":  # the source's module is chosen by name
        roots.append(f"nbsupport.data.{config['dataset']}")
    return code_version(*roots)


def given_weights(config: Mapping[str, Any]) -> dict[str, str]:
    """Hashes of the weights that a stage begins from: a file, or weights of that name that come with the package."""
    found = {}
    for key in ("start_from", "weights"):
        if name := config.get(key):
            files = [Path(name)] if Path(name).is_file() else []
            files = files or sorted((Path(__file__).parent / "pretrained").rglob(f"{name}.safetensors"))
            found |= {
                f"{key} {path.parent.name}/{path.name}": _hash_once(path, path.stat().st_mtime_ns) for path in files
            }
    return found


@functools.cache
def _hash_once(path: Path, _: int) -> str:
    return hash_file(path)[:16]


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

    def __init__(
        self, run: "Run", name: str, config: Config, needs: Sequence[str], source: Mapping[str, str] | None = None
    ) -> None:
        self.run, self.name, self.config, self.needs = run, name, config, tuple(needs)
        self.notes: dict[str, Any] = {}
        self.inputs = {need: run.require(need, code=True)["fingerprint"] for need in self.needs} | dict(source or {})
        parameters = config.to_mapping()
        self.code, self.weights = stage_code(name, parameters), given_weights(parameters)
        self.fingerprint = fingerprint([name, parameters, self.inputs, self.code, self.weights])

    @property
    def record_path(self) -> Path:
        """Where the record of the finished stage lies: ``stages/<name>.json`` of the run."""
        return self.run.path / "stages" / f"{self.name}.json"

    @property
    def finished(self) -> bool:
        """Whether a record with the same parameters, inputs and code exists, and all files it lists still do.

        Prints one line when it is, since a reader should know that an artefact was loaded and not made; and one when
        only what it was made from has changed, since that costs the time to make it again.
        """
        record = self.run.record(self.name) or self.run.take(self.name, self.fingerprint)
        if record is None:
            return False
        if record["fingerprint"] != self.fingerprint:
            if record["config"] == _plain(self.config):
                print(f"[{self.name}] {self._difference(record)} since it was made: it is made again.")
            return False
        if not all((self.run.path / name).exists() for name in record["outputs"]):
            return False
        print(f"[{self.name}] finished before with these parameters (took {record['seconds']:.0f} s): loaded.")
        return True

    def _difference(self, record: Mapping[str, Any]) -> str:
        changed = [name for name, seen in self.inputs.items() if record["inputs"].get(name) != seen]
        if changed:
            return f"what it reads ({', '.join(changed)}) has changed"
        return "the weights it begins from have changed" if record.get("code") == self.code else "its code has changed"

    def outputs(self, *paths: Path | str) -> None:
        """Name the files that must exist for this stage to count as finished (relative to the run folder)."""
        self._outputs.extend(Path(self.run.path / path).relative_to(self.run.path).as_posix() for path in paths)

    def note(self, **values: Any) -> None:
        """Keep a remark in the record, e.g. which weights were really used."""
        self.notes.update(values)

    def __enter__(self) -> "Stage":
        self.run.check_replace(self.name, self.config)
        self._lock = self.run.alone()
        self._lock.__enter__()
        self.record_path.unlink(missing_ok=True)  # from here on the old output is no longer whole
        self._outputs: list[str] = []
        self._start = time.perf_counter()
        self._started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._write_record()
        finally:
            self._lock.__exit__(None, None, None)

    def _write_record(self) -> None:
        record = {
            "stage": self.name,
            "fingerprint": self.fingerprint,
            "config": self.config.to_mapping(),
            "inputs": self.inputs,
            "code": self.code,
            "weights": self.weights,
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

    def __init__(self, name: str | Path, replace: bool | None = None) -> None:
        """Open the run `name`. `replace`: stages may be made over ones with other parameters; None: by :data:`REPLACE`.

        Raises:
            ConfigError: an impossible name, or a variant of no run. UserError: the folder cannot be made.
        """
        self.replace = os.environ.get(REPLACE) == "1" if replace is None else replace
        if not str(name).strip():
            raise ConfigError("The run needs a name, e.g. run_name='synthetic-quick'.")
        path = Path(name).expanduser()
        is_path = path.is_absolute() or len(path.parts) > 1
        if not is_path and not re.fullmatch(r"[\w.\- ]+(@[\w.\- ]+)?", str(name)):
            raise ConfigError(
                f"The run name {str(name)!r} may hold letters, digits, '.', '-', '_' and spaces only, and one '@' "
                "before the name of a variant."
            )
        self.path = path.resolve() if is_path else runs_root().resolve() / path
        self.name = self.path.name
        if "@" in self.name and not self.path.with_name(self.name.partition("@")[0]).is_dir():
            raise ConfigError(
                f"'{self.name}' is a variant of the run '{self.name.partition('@')[0]}', which is not there."
            )
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

    def stage(
        self, name: str, config: Config, needs: Sequence[str] = (), source: Mapping[str, str] | None = None
    ) -> Stage:
        """Open a stage; `source`: fingerprints of what it reads from outside the run, by name.

        Raises:
            MissingStage: one of `needs` is not finished in this run. StaleStage: or was made from something else than
                what is there now, or by other code.
        """
        if name not in CHAPTER_OF_STAGE:
            raise ConfigError(f"'{name}' is no stage. Stages: {', '.join(CHAPTER_OF_STAGE)}.")
        return Stage(self, name, config, needs, source)

    def record(self, stage: str) -> dict[str, Any] | None:
        """The record of a finished stage, or None."""
        path = self.path / "stages" / f"{stage}.json"
        return read_json(path) if path.exists() else None

    def require(self, stage: str, code: bool = False) -> dict[str, Any]:
        """The record of a stage that must be finished, and made from what the run holds now.

        Args: code: also by the present code, as what is to be made from it must be; what only reads it need not ask.

        Raises:
            MissingStage, StaleStage: the message holds the command that makes it.
        """
        record = self.record(stage) or self.take(stage)
        again = self.command_up_to(stage)
        if record is None:
            with contextlib.suppress(OSError):
                self.path.rmdir()  # a mistyped name leaves no empty run behind
            raise MissingStage(
                f"The run folder '{self.name}' does not hold the stage '{stage}', which this chapter reads. Make it "
                f"with:  {again}"
            )
        if reason := self.stale(stage, code):
            raise StaleStage(
                f"The stage '{stage}' of the run '{self.name}' is stale: {reason}. Make it again with:  {again}"
            )
        return record

    def stale(self, stage: str, code: bool = True) -> str:
        """Why a finished stage is not what would be made now, as the end of a sentence; empty if it is.

        Followed down to the photographs' index; `code`: whether other code counts. A stage that is not there is not
        stale.
        """
        record = self.record(stage)
        if record is None:
            return ""
        for need, seen in record["inputs"].items():
            if need not in CHAPTER_OF_STAGE:
                continue
            there = self.record(need)
            if there is None or there["fingerprint"] != seen:
                return f"it was made from another '{need}' than the run holds now"
            if reason := self.stale(need, code):
                return reason if reason.startswith("'") else f"'{need}', from which it was made, is stale ({reason})"
        if code and record.get("code") != stage_code(stage, record["config"]):
            return "the code that makes it has changed"
        if code and record.get("weights") != given_weights(record["config"]):
            return "the weights that it begins from have changed"
        return ""

    def check_replace(self, stage: str, config: Config) -> None:
        """Raise :class:`ConfigError` where `stage` is finished with other parameters, unless it may be replaced."""
        record = self.record(stage)
        if record is None or self.replace:
            return
        held, asked = record["config"], _plain(config)
        changed = [
            f"{key} {held[key]!r}, now {asked[key]!r}" for key in asked if key in held and held[key] != asked[key]
        ]
        if not changed:
            return
        chapter = CHAPTER_OF_STAGE[stage]
        variant = f"{self.name.partition('@')[0]}@NAME"
        raise ConfigError(
            f"The run '{self.name}' holds the stage '{stage}', made with other parameters ({'; '.join(changed[:3])}). "
            "It is kept. Either make a variant beside it, which takes from it all that it does not make itself: "
            f"run_name = {variant!r} (papermill: -p run_name {shlex.quote(variant)}). Or replace it, and what was made "
            f"from it, by this command with --set {chapter}.PARAMETER=VALUE added:  "
            f"{self.command(f'{chapter}-{LAST_CHAPTER}')}  "
            f"Or replace it from here: with --force on the command line, else with {REPLACE}=1 in the environment."
        )

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the run: no other process may work on it meanwhile. Of processes by torchrun the first holds it.

        The system takes the lock back when its holder dies, so that none is ever left over.

        Raises:
            UserError: another process holds it; the message says which.
        """
        if self.path in _HELD or os.environ.get(HOLDS) == str(self.path) or rank():
            yield
            return
        import filelock  # a tenth of a second, which no other command needs

        lock, holder = filelock.FileLock(self.path / ".lock"), self.path / ".lock.json"
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            who = "by another process"
            with contextlib.suppress(UserError, OSError):
                told = read_json(holder)
                who = f"by process {told['process']} on {told['machine']}, since {told['since']}"
            raise UserError(
                f"The run '{self.name}' is being worked on at this moment ({who}). Wait until that is done, or give "
                "this run another name."
            ) from None
        except OSError as error:
            raise UserError(
                f"'{self.path}' cannot be written ({error.strerror}). Set NBSUPPORT_RUNS to another."
            ) from error
        since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        _HELD.add(self.path)
        try:
            write_json(holder, {"process": os.getpid(), "machine": socket.gethostname(), "since": since})
            yield
        finally:
            _HELD.discard(self.path)
            holder.unlink(missing_ok=True)
            lock.release()

    @property
    def held(self) -> bool:
        """Whether this process holds the run (see :meth:`alone`)."""
        return self.path in _HELD

    def remember(self, **asked: Any) -> None:
        """Keep how the run was asked for (dataset, data, profile, settings), for the commands that messages name."""
        settings = {int(number): dict(own) for number, own in self.asked().get("settings", {}).items()}
        for number, values in asked.pop("settings", {}).items():
            settings.setdefault(number, {}).update(values)
        write_json(self.path / "command.json", {**self.asked(), **asked, "settings": settings})

    def asked(self) -> dict[str, Any]:
        """What :meth:`remember` kept, of a variant what its run kept, else what the stages' records tell."""
        path = self.path / "command.json"
        if path.exists():
            return read_json(path)
        if "@" in self.name:
            return Run(self.path.with_name(self.name.partition("@")[0])).asked()
        index, told = self.record("index"), {}
        if index:
            told = {key: index["config"].get(key) for key in ("dataset", "data")}
        for path in sorted((self.path / "notebooks").glob("[0-9]*.ipynb")):
            with contextlib.suppress(UserError, KeyError):
                return told | {"profile": read_json(path)["metadata"]["nbsupport"]["profile"]}
        return told

    def command_up_to(self, stage: str) -> str:
        """The command that runs the chapters up to the one that makes a stage."""
        return self.command(f"1-{CHAPTER_OF_STAGE[stage]}")

    def command(self, only: str = "", verb: str = "run") -> str:
        """The command line that works on this run as it was asked for: its name, data set, data, profile, settings.

        Args: only: chapters, e.g. ``1-4``; empty: all. verb: another command that takes the same options.
        """
        asked = self.asked()
        in_place = self.path.parent == runs_root().resolve()
        words = ["--run", self.name if in_place else str(self.path)]
        for key in ("dataset", "data", "profile"):
            words += [f"--{key}", str(asked[key])] if asked.get(key) else []
        for number, values in asked.get("settings", {}).items():
            for key, value in values.items():
                words += ["--set", f"{number}.{key}={json.dumps(value, ensure_ascii=False)}"]
        words += ["--only", only] if only else []
        return f"python -m nbsupport {verb} {shlex.join(words)}"

    def take(self, stage: str, wanted: str | None = None) -> dict[str, Any] | None:
        """In a variant (``NAME@VARIANT``): take over the stage of the run ``NAME`` if it was made from what is here.

        Args: wanted: its fingerprint; None: any.
        """
        name, at, _ = self.name.partition("@")
        if not at:
            return None
        base = Run(self.path.with_name(name))
        record = base.record(stage)
        if record is None or (wanted or record["fingerprint"]) != record["fingerprint"]:
            return None
        for need, seen in record["inputs"].items():
            if need in CHAPTER_OF_STAGE and ((self.record(need) or self.take(need) or {}).get("fingerprint") != seen):
                return None
        self.adopt(base, stage)
        print(f"[{stage}] taken from the run '{name}'.")
        return self.record(stage)

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
            for folder in _FOLDERS.get(stage, ()):
                self.share(other, folder)

    def share(self, other: "Run", folder: str) -> None:
        """Have a folder of another run here too, if it has it: by a link (a copy, where links cannot be made)."""
        own, source = self.path / folder, (other.path / folder).resolve()
        if own.exists() or not source.exists():
            return
        own.parent.mkdir(parents=True, exist_ok=True)
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
