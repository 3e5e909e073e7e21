"""``python -m nbsupport pairs``: make, verify and export the paired set without notebooks."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from nbsupport.cli.common import (
    DatasetOption,
    ForceOption,
    ProfileOption,
    RunOption,
    SettingsOption,
    asked,
    out,
    plain,
    readable_errors,
)
from nbsupport.runs import CHAPTER_OF_STAGE, Run, rank

app = typer.Typer(no_args_is_help=True, help="Make, verify and export the paired set.")
PairsRun = Annotated[str, typer.Option("--run", "-r", metavar="NAME", help="The run that holds the paired set.")]


@app.command("make")
@readable_errors
def make(
    profile: ProfileOption = "quick",
    dataset: DatasetOption = "synthetic",
    name: RunOption = None,
    settings: SettingsOption = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes on this machine; default: as many as are worth it.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Make the paired set of a run without notebooks (chapter 6; chapters 1 to 4 must be finished).

    One that was stopped continues where it was; one of other parameters is replaced with --force only. With torchrun,
    on one machine or several that share the run folder, the processes share the shards; write -r for the run's name
    there.

    [bold]Examples[/bold]

      python -m nbsupport pairs make --workers 2 --set 6.count=2000

      torchrun --nproc-per-node 2 -m nbsupport pairs make -r cub64 --dataset cub
    """
    from nbsupport import pairs as paired
    from nbsupport.book import chapters

    name, overruled, _, planned = asked(name, dataset, profile, settings)
    parameters = planned[CHAPTER_OF_STAGE["pairs"]]
    (config,) = chapters.configurations(parameters, CHAPTER_OF_STAGE["pairs"])
    opened = Run(name, replace=force or None)
    with opened.alone():
        made = paired.make(opened, config, workers or parameters["processes"])
        if not rank():
            opened.remember(dataset=dataset, profile=profile, settings=overruled)
    out.print(f"{len(made):,} pictures of {made.manifest['image_id'].nunique():,} photographs in {plain(opened.path)}")


@app.command("verify")
@readable_errors
def verify(run_name: PairsRun = "synthetic-quick") -> None:
    """Read a paired set again and prove its promises (hashes, forms, counts, identities, plan); exit code 1 if not."""
    from nbsupport import pairs as paired
    from nbsupport.book import status as statuses

    checks = paired.verify_run(statuses.open_existing(run_name))
    table = Table("Check", "Checked", "Failed", "Examples", title=f"Paired set of {run_name}")
    for name, check in checks.items():
        mark = "[green]holds[/green]" if check["passed"] else "[bold red]fails[/bold red]"
        examples = plain(", ".join(map(str, check["examples"]))[:80])
        table.add_row(f"{name}: {mark}", f"{check['checked']:,}", f"{check['failed']:,}", examples)
    out.print(table)
    if not all(check["passed"] for check in checks.values()):
        raise typer.Exit(1)


@app.command("export")
@readable_errors
def export(
    target: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Must not exist yet, or be empty.")],
    form: Annotated[str, typer.Option(metavar="real_fake|imagefolder|webdataset|parquet", help="How.")] = "real_fake",
    run_name: PairsRun = "synthetic-quick",
    size: Annotated[int, typer.Option(min=0, help="Pictures of a balanced subset; 0: the whole set.")] = 0,
    arms: Annotated[str, typer.Option(metavar="REAL,FAKE", help="Arms of the subset.")] = "original,spliced",
    seed: Annotated[int, typer.Option(min=0, help="Of the subset.")] = 0,
) -> None:
    """Write a paired set, or a balanced subset of it, as other detectors and libraries read it.

    [bold]Examples[/bold]

      python -m nbsupport pairs export --to exported --form real_fake

      python -m nbsupport pairs export --to small --form webdataset --size 400 --arms original,regenerated
    """
    from nbsupport import pairs as paired
    from nbsupport.book import status as statuses

    made = paired.load(statuses.open_existing(run_name))
    rows = made.sample(size, arms=tuple(arm.strip() for arm in arms.split(",")), seed=seed) if size else None
    count = paired.export(made, target.expanduser(), form, rows)
    out.print(f"{count:,} pictures in {plain(target)}")
