"""The command line: ``python -m nbsupport``. It parses, calls the rooms, and prints; it computes nothing.

Exit codes: 0 done; 1 something failed; 2 something was asked for that does not exist (the message names the nearest).
"""

import shlex
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from nbsupport.book import chapters as book_chapters
from nbsupport.cli import pairs
from nbsupport.cli.common import (
    DataOption,
    DatasetOption,
    ForceOption,
    ProfileOption,
    RunOption,
    SettingsOption,
    asked,
    choose_run,
    err,
    out,
    plain,
    readable_errors,
)
from nbsupport.cli.demo import demo
from nbsupport.cli.detect import detect
from nbsupport.config import DATASETS
from nbsupport.core import threads
from nbsupport.core.errors import ConfigError, UserError, unknown
from nbsupport.runs import Run, rank

app = typer.Typer(
    name="python -m nbsupport",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Can a machine tell a photograph from the same photograph with a part painted in by a text-guided network?

    A run of the book is a folder, [bold]runs/NAME/[/bold], that its eleven chapters fill one after the other.

    [bold]The usual way[/bold]: run all chapters on synthetic birds, then build the book from them

      python -m nbsupport run --profile quick

      python -m nbsupport book

    [bold]On real photographs[/bold]: download CUB-200-2011 (about 1.2 GB), run all chapters on it

      python -m nbsupport data cub --target data

      python -m nbsupport run --dataset cub --data data
    """,
)
app.add_typer(pairs.app, name="pairs")
app.command("detect")(detect)
app.command("demo")(demo)


@app.command()
@readable_errors
def run(
    profile: ProfileOption = "quick",
    dataset: DatasetOption = "synthetic",
    data: DataOption = None,
    only: Annotated[str | None, typer.Option(metavar="4-6", help="Chapters to run, e.g. 4 or 4-6 or 1,3.")] = None,
    name: RunOption = None,
    settings: SettingsOption = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Run again what is finished and matches; replace a run of other photographs."),
    ] = False,
) -> None:
    """Run chapters in their order with papermill; skip what is finished and matches.

    Each executed chapter is kept in runs/NAME/notebooks. A chapter is run again when its parameters, its notebook, the
    package, the photographs or what it reads have changed. One that fails stops the run, and leaves
    NN_….failed.ipynb to look at beside the last good one. Photographs of an existing run are found without --data.

    [bold]Examples[/bold]

      python -m nbsupport run --profile smoke

      python -m nbsupport run --dataset folder --data ~/campus

      python -m nbsupport run --only 4-7 --set 4.steps=3000
    """
    name, overruled, place, parameters = asked(name, dataset, profile, settings, data, force)
    chapters = book_chapters.all_chapters()
    wanted = book_chapters.select(chapters, only)
    opened = Run(name)
    start = time.perf_counter()
    with opened.alone():
        opened.remember(dataset=dataset, data=place, profile=profile, settings=overruled)
        out.print(
            f"Run [bold]{plain(opened.name)}[/bold] in {plain(opened.path)}: {len(wanted)} of {len(chapters)} chapters"
        )
        _run_chapters(opened, chapters, wanted, parameters, profile, force)
    out.print(f"Done in {time.perf_counter() - start:.0f} s. Executed chapters: {plain(opened.path / 'notebooks')}")
    if len(wanted) == len(chapters):
        out.print(f"Build the book:  python -m nbsupport book --run {plain(shlex.quote(name))}")


def _run_chapters(opened: Run, chapters: list, wanted: list, parameters: dict, profile: str, force: bool) -> None:
    from nbsupport.book import runner

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        whole = progress.add_task("chapters", total=len(wanted))
        for chapter in wanted:
            label = f"{chapter.number:02d} {chapter.title}"
            cells = progress.add_task(f"{plain(label)}, cells", total=len(chapter.cells) + 1)
            if not err.is_terminal:
                out.print(f"  {plain(label)} …")

            def tell(done: int, total: int, task: Any = cells) -> None:
                progress.update(task, completed=done, total=total)

            outcome = runner.run_chapter(
                opened, chapter, parameters[chapter.number], chapters, profile=profile, force=force, on_cell=tell
            )
            progress.remove_task(cells)
            progress.advance(whole)
            words = "finished before, matches: skipped" if outcome.skipped else f"{outcome.seconds:.1f} s"
            out.print(f"  {plain(label)}: {words}")


@app.command()
@readable_errors
def train(
    profile: ProfileOption = "quick",
    dataset: DatasetOption = "synthetic",
    data: DataOption = None,
    name: RunOption = None,
    settings: SettingsOption = None,
    ablations: Annotated[
        list[str] | None,
        typer.Option("--ablation", metavar="NAME", help="Compare with a part taken away; may be repeated, or 'all'."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Train the text encoder and TDANet without notebooks (chapters 1 and 4), e.g. on a machine without Jupyter.

    A training that was stopped continues where it was; one with other parameters is replaced with --force only. With
    torchrun, the processes share each batch; torchrun has options of its own that begin with --run, so write -r for the
    run's name there.

    [bold]Examples[/bold]

      python -m nbsupport train --profile cub64 --dataset cub --data data

      torchrun --nproc-per-node 2 -m nbsupport train --profile quick

      python -m nbsupport train --ablation "no negation" --ablation repaired
    """
    name, overruled, place, parameters = asked(name, dataset, profile, settings, data, force)
    threads.choose_waiting()  # before PyTorch is loaded
    from nbsupport.book import recipe

    opened = Run(name, replace=force or None)
    with opened.alone():
        if ablations:
            chosen = () if "all" in ablations else ablations
            told = ("DATA" if data and word == str(data) else word for word in sys.argv[1:])  # no path of a machine
            command = " ".join(["python -m nbsupport", *told])
            out.print(recipe.ablate(opened, parameters, chosen, command).round(4).to_string(index=False))
            return
        result = recipe.train(opened, parameters).result
        if not rank():
            opened.remember(dataset=dataset, data=place, profile=profile, settings=overruled)
    rate, error = result["images_per_second"], result["validation_hole_l1"]
    out.print(f"{result['images']:,} pictures in {result['seconds']:.0f} s ({rate:.1f}/s).")
    out.print(f"In-hole L1 on validation photographs {error:.4f}. Results: {plain(opened.path / 'results')}")


@app.command()
@readable_errors
def export(
    run_name: Annotated[str, typer.Option("--run", metavar="NAME", help="The run that holds the trained TDANet.")],
    name: Annotated[
        str,
        typer.Option("--name", metavar="NAME", help="What to call the weights, e.g. cub64; without: only numbers."),
    ] = "",
    command: Annotated[str, typer.Option("--command", help="How the run was made; stands in the model card.")] = "",
    detectors: Annotated[
        list[str] | None,
        typer.Option("--detectors", metavar="NAME…", help="Write these detectors instead, e.g. residual_net searched."),
    ] = None,
    more: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
) -> None:
    """Write a run's TDANet into nbsupport/pretrained (half precision, model card) and its numbers into book/results.

    Without --name only the numbers are written. With --detectors, only those detectors are written, with what the demo
    needs for their verdicts, into nbsupport/pretrained/detectors/NAME.
    Numbers and weights only: no photograph, and no picture made from one, leaves the run folder.

    [bold]Example[/bold]

      python -m nbsupport export --run cub-quick --name cub64 --detectors residual_net efficientnet_lite0
    """
    from nbsupport.book import export
    from nbsupport.book import status as statuses

    opened = statuses.open_existing(run_name)
    if detectors or more:
        if not detectors or not name:
            raise ConfigError("Detectors are exported with --name NAME --detectors FIRST SECOND …")
        from nbsupport.detectors import packaged

        made = command or opened.command()
        place = packaged.export(opened, name, [*detectors, *(more or [])], made)
        for path in sorted(place.iterdir()):
            out.print(f"{plain(path)} ({path.stat().st_size / 1e6:.2f} MB)")
        return
    if name:
        path = export.export(opened, name, command or opened.command(verb="train"))
        out.print(f"Weights and card: {plain(path.parent)} ({path.stat().st_size / 1e6:.1f} MB)")
        if opened.require("matching")["notes"]["weights"] == "trained":
            path = export.export_matching(opened, name, command or opened.command(verb="train"))
            out.print(f"Matching: {plain(path.parent)} ({path.stat().st_size / 1e6:.1f} MB)")
    for written in export.export_results(opened):
        out.print(f"Numbers: {plain(written)}")


@app.command()
@readable_errors
def book(
    name: RunOption = None,
    dataset: DatasetOption = "synthetic",
    profile: ProfileOption = "quick",
    output: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where to build; default: _build.")] = None,
) -> None:
    """Build the book from the executed chapters of a run, and print the path of its index page.

    Nothing is executed here. Warnings are errors: a book with a broken link is not built.

    [bold]Examples[/bold]

      python -m nbsupport book

      python -m nbsupport book --run cub-smoke --output /tmp/book
    """
    from nbsupport.book import status as statuses

    opened = statuses.open_existing(choose_run(name, dataset, profile))
    from nbsupport.book import build as builder

    start = time.perf_counter()
    index = builder.build(opened, output)
    out.print(f"Built in {time.perf_counter() - start:.0f} s. Open:")
    print(index)


@app.command()
@readable_errors
def status(
    name: RunOption = None,
    dataset: DatasetOption = "synthetic",
    profile: ProfileOption = "quick",
) -> None:
    """Show what a run folder holds: chapters, stages, how long each took, memory, sizes, results.

    [bold]Example[/bold]

      python -m nbsupport status --run cub-smoke
    """
    from nbsupport.book import status as statuses

    opened = statuses.open_existing(choose_run(name, dataset, profile))
    chapters = Table("Chapter", "Title", "State", "Seconds", "Profile", "Begun", title=f"Run {opened.name}")
    lines = statuses.chapter_lines(opened)
    for number, title, record, state in lines:
        told = (f"{record['seconds']:.1f}", record["profile"], record["started"][:16]) if record else ("", "", "")
        chapters.add_row(f"{number:02d}", title, state, *told)
    stages = Table("Stage", "Chapter", "State", "Seconds", "Peak MB", "Written MB", "Notes", title="Stages")
    stale = []
    for line in statuses.stage_lines(opened):
        notes = ", ".join(f"{key}: {value}" for key, value in line.notes.items())
        size = f"{line.megabytes:.1f}"
        stages.add_row(
            line.name, str(line.chapter), "stale" if line.stale else "current", f"{line.seconds:.1f}",
            f"{line.peak_memory_mb:.0f}", size, notes[:60],
        )  # fmt: skip
        if line.stale:
            stale.append(f"{line.name}: {line.stale}")
    out.print(chapters)
    out.print(stages)
    if stale or any(state.startswith("stale") for *_, state in lines):
        more = f"; and {len(stale) - 1} more stages" if len(stale) > 1 else ""
        told = f"{stale[0]}{more}" if stale else "see the chapters"
        out.print(f"[yellow]Stale[/yellow]: {plain(told)}")
        out.print(f"Make it again; what matches is kept:  {plain(opened.command())}")
    results = sorted(path.stem for path in (opened.path / "results").glob("*.json"))
    out.print(f"Results: {', '.join(results) or 'none'}")
    out.print(f"{statuses.folder_size(opened.path):.1f} MB in {plain(opened.path)}")


@app.command()
@readable_errors
def info() -> None:
    """Show versions, device, the precision chosen and why, and which weights and data are found."""
    from nbsupport.book import status as statuses

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in statuses.info().items():
        table.add_row(key, plain(value))
    out.print(table)


@app.command()
@readable_errors
def data(
    source: Annotated[str, typer.Argument(metavar="|".join(DATASETS), help="Which source to prepare.")],
    target: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where to put it; default: data.")] = None,
    count: Annotated[int, typer.Option(min=1, help="synthetic: how many birds to draw.")] = 800,
    size: Annotated[int, typer.Option(min=16, max=1024, help="synthetic: their width and height in pixels.")] = 96,
    seed: Annotated[int, typer.Option(min=0, help="synthetic: other seeds draw other birds.")] = 0,
) -> None:
    """Prepare a source of photographs: draw synthetic birds, download a research set, or check a folder.

    Downloads come from the official addresses, continue where they were broken off, and are refused when size or
    checksum differ. `folder` downloads nothing: it opens every photograph in --target and says what can be read of it,
    what cannot, and whether there are enough for every chapter.

    [bold]Examples[/bold]

      python -m nbsupport data synthetic --count 2000 --size 128

      python -m nbsupport data cub --target data

      python -m nbsupport data folder --target ~/campus
    """
    from nbsupport import data as sources
    from nbsupport.runs import project_root

    if source not in DATASETS:
        raise ConfigError(unknown("dataset", source, DATASETS))
    if source == "folder" and target is None:
        raise ConfigError("Say which folder: python -m nbsupport data folder --target PATH")
    target = (target or project_root() / "data").expanduser().resolve()
    if source == "synthetic":
        from nbsupport.data import synthetic

        target = target / "synthetic" if target == project_root() / "data" else target
        place = synthetic.write(target, count, size=size, seed=seed)
    elif source == "folder":
        place = target
    else:
        from nbsupport.data import fetch

        place = fetch.fetch(source, target)
    place = sources.find_root(source, Path(place or target))
    if source == "folder":
        _check_folder(place)
    else:
        photos = sources.SOURCES[source].load(place)
        labels = len({photo.label for photo in photos})
        out.print(f"{len(photos):,} photographs of {labels:,} labels in {plain(place)}")
    out.print(
        f"Run the book on them:  python -m nbsupport run --dataset {source} --data {plain(shlex.quote(str(place)))}"
    )


def _check_folder(place: Path) -> None:
    """Print what a folder of photographs is worth for the book; ends with an error where that is too little."""
    from nbsupport.config import DataConfig
    from nbsupport.data import index

    found = index.check(place, DataConfig(dataset="folder", data=str(place), count=0))
    reasons = Counter(reason for _, reason in found.rejected)
    example = {reason: path for path, reason in reversed(found.rejected)}
    for reason, times in reasons.most_common(10):
        out.print(f"{times:,} cannot be used: {plain(reason)}, e.g. {plain(example[reason])}")
    if found.table:
        labels, splits = Counter(found.table["label"]), Counter(found.table["split"])
        most = ", ".join(f"{plain(label)} ({times:,})" for label, times in labels.most_common(5))
        out.print(f"{len(found.table['path']):,} photographs of {len(labels):,} labels in {plain(place)}: {most}")
        out.print(
            f"{len(set(found.table['group'])):,} of them are independent (near-duplicates count once): "
            + ", ".join(f"{splits[name]:,} {name}" for name in ("train", "validation", "test"))
        )
    out.print(f"{found.masks:,} have an object mask.")
    if found.problem:
        raise UserError(found.problem)
    out.print("That is enough for every chapter.")


@app.command()
@readable_errors
def picture(
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: book/figures/readme.png.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Other seeds draw other birds.")] = 0,
) -> None:
    """Draw the README's picture: synthetic birds, with a hole, and what their captions say.

    Without --output the book's own figure of a bird is drawn again beside it.
    """
    from nbsupport.plots import synthetic
    from nbsupport.runs import project_root

    figures = project_root() / "book" / "figures"
    written = [synthetic.save(output or figures / "readme.png", seed=seed)]
    if output is None:
        written.append(synthetic.save_labelled(figures / "labelled_bird.png"))
    for path in written:
        out.print(f"{plain(path)}: {path.stat().st_size / 1000:.0f} kB")


@app.command("runs")
@readable_errors
def list_runs() -> None:
    """List the runs there are, newest first."""
    from nbsupport.book import status as statuses

    for name in statuses.find_runs():
        out.print(plain(name))


def main() -> None:
    """Entry point of ``python -m nbsupport`` and of the script ``nbsupport``."""
    app()
