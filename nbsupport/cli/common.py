"""What all commands share: where they print, their common options, and errors as sentences."""

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console

from nbsupport.book import chapters
from nbsupport.config import DATASETS
from nbsupport.core.errors import ConfigError, UserError, unknown
from nbsupport.runs import Run, runs_root

# Where there is no terminal, tables take the width they need for a log.
_WIDTH = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 140
if not sys.stderr.isatty():  # a log: a line every half minute, not ten a second (tqdm reads these when it is imported)
    os.environ.setdefault("TQDM_MININTERVAL", "30")
    os.environ.setdefault("TQDM_MAXINTERVAL", "60")
out = Console(highlight=False, soft_wrap=True, width=_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)

RunOption = Annotated[
    str | None, typer.Option("--run", "-r", metavar="NAME", help="Name of the run; default: DATASET-PROFILE.")
]
DatasetOption = Annotated[str, typer.Option(metavar="|".join(DATASETS), help="Where the photographs come from.")]
ProfileOption = Annotated[
    str,
    typer.Option(metavar="|".join(chapters.profile_names()) or "NAME", help="How much work: minutes, a book, hours."),
]
DataOption = Annotated[
    Path | None, typer.Option(metavar="PATH", help="The data set's folder or its parent; default: NBSUPPORT_DATA.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Replace what was made with other parameters or from other photographs.")
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="CHAPTER.PARAMETER=VALUE", help="Overrule one parameter; may be repeated."),
]


def readable_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Print errors that a user can fix as a sentence, without a traceback."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except UserError as error:
            err.print(f"[bold red]Error:[/bold red] {plain(error)}")
            raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from None
        except KeyboardInterrupt:
            err.print("Interrupted. What was finished is kept; the same command continues from there.")
            raise typer.Exit(130) from None

    return wrapped


def plain(value: object) -> str:
    """Text in which rich sees no markup."""
    return str(value).replace("[", r"\[")


def choose_run(name: str | None, dataset: str, profile: str) -> str:
    """The name given, or the default one; data set and profile are checked in either case."""
    if dataset not in DATASETS:
        raise ConfigError(unknown("dataset", dataset, DATASETS))
    valid = chapters.profile_names()
    if profile not in valid:
        raise ConfigError(unknown("profile", profile, valid))
    return name or f"{dataset}-{profile}"


def existing(data: Path | None) -> str | None:
    """An absolute path, since the chapters run in another folder."""
    if data is None:
        return None
    path = data.expanduser().resolve()
    if not path.exists():
        raise ConfigError(f"--data: there is no folder '{path}'. Download one with:  python -m nbsupport data --help")
    return str(path)


class Asked(NamedTuple):
    """What a command that works on a run was asked for, checked before anything slow is loaded."""

    name: str
    settings: dict[int, dict[str, Any]]  # those of --set alone
    data: str | None
    parameters: dict[int, dict[str, Any]]  # of every chapter, all of them


def asked(
    name: str | None,
    dataset: str,
    profile: str,
    settings: list[str] | None,
    data: Path | None = None,
    force: bool = False,
) -> Asked:
    """The run's name, what `--set` says, where its photographs lie, and the parameters of every chapter.

    Raises:
        ConfigError: something that does not exist or cannot be, or a run of other photographs (see :func:`own_data`).
    """
    name = choose_run(name, dataset, profile)
    overruled = chapters.parse_settings(settings or [])
    place = own_data(name, dataset, existing(data), force)
    planned = chapters.plan(chapters.all_chapters(), profile, dataset=dataset, data=place, settings=overruled)
    return Asked(name, overruled, place, planned)


def own_data(name: str, dataset: str, data: str | None, force: bool) -> str | None:
    """Where the photographs lie: `data`, else where those of the run `name` lie, if there is such a run.

    Raises:
        ConfigError: the run was made from another data set or folder, and it may not be replaced (`force`).
    """
    path = Path(name).expanduser()
    path = path if path.is_absolute() or len(path.parts) > 1 else runs_root() / name
    held = Run(path) if path.is_dir() else None
    record = held.record("index") if held else None
    if record is None:
        return data
    own, root = record["config"], record["notes"].get("root")
    other = own["dataset"] != dataset
    if not other and data and root and Path(data) not in (Path(root), *Path(root).parents):
        other = True
    if other and not force:
        raise ConfigError(
            f"The run '{held.name}' was made from {own['dataset']} photographs in '{root}', and would be replaced by "
            f"one of {dataset}{f' in {data!r}' if data else ''}. Continue it with:  {held.command()}  Give the other "
            "one another name (--run NAME), or replace this one with --force."
        )
    return data or (None if other else own.get("data"))
