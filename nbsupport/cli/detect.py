"""``python -m nbsupport detect``: what detectors of a run, or of the package, say of photographs of one's own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from PIL import Image
from rich.progress import track
from rich.table import Column, Table

from nbsupport.cli.common import err, out, plain, readable_errors
from nbsupport.core.errors import ConfigError, UserError

if TYPE_CHECKING:
    from nbsupport.detectors.inspection import Finding, Inspector

_COLOURS = {"real": "blue", "unsure": "yellow", "inpainted": "red"}
FINDINGS = "findings.jsonl"


@readable_errors
def detect(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Photographs, or folders of them.")],
    run_name: Annotated[
        str | None,
        typer.Option("--run", "-r", metavar="NAME", help="The run of the detectors; default: the package's."),
    ] = None,
    packaged: Annotated[
        str, typer.Option("--packaged", metavar="NAME", help="Without a run: which set of detectors of the package.")
    ] = "cub64",
    detector: Annotated[
        list[str] | None, typer.Option("--detector", metavar="NAME", help="Ask this one only; may be repeated.")
    ] = None,
    ensemble: Annotated[
        str,
        typer.Option("--ensemble", metavar="NAME", help="What makes one answer of theirs, such as stack_logistic."),
    ] = "soft_vote",
    save: Annotated[
        Path | None,
        typer.Option(
            "--save", metavar="FOLDER", help="Keep findings.jsonl and heat maps there, and continue from them."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines and nothing else.")] = False,
) -> None:
    """Say of photographs whether a part of them was painted in: verdict, probability, how far to trust it.

    The verdict is real, inpainted, or unsure where validation pictures of such a probability were of both kinds. It
    holds for pictures like those that the detectors learnt from; others get none.

    [bold]Examples[/bold]

      python -m nbsupport detect holiday.jpg

      python -m nbsupport detect album/ --save findings

      python -m nbsupport detect album/ --run cub-quick --ensemble stack_logistic --json > findings.jsonl
    """
    from nbsupport.detectors import inspection

    files = list(inspection.find_files([path.expanduser() for path in paths], save))
    inspector = _inspector(run_name, packaged, detector or (), ensemble)
    made = {"by": inspector.title, "ensemble": inspector.voice, "detectors": [own.name for own in inspector.trained]}
    done = _done(save, made)
    table = Table(Column("File", overflow="fold"), "Verdict", "Probability", "Trust", "Detectors")
    shown = track(files, "looking", console=err, transient=True, disable=as_json or not err.is_terminal)
    read = 0
    for number, path in enumerate(shown):
        stamp = _stamp(path)
        told = done.get(tuple(stamp.values()))
        if told is None:
            finding = inspector.inspect(path, heat=save is not None)
            told = finding.to_mapping()
            told |= {"each": told.pop("detectors"), **stamp, **made}
            if save is not None:
                _keep(save, told, f"{number:05d}_{path.stem}.png", finding)
        read += not told["problem"]
        if as_json:
            print(json.dumps(told, ensure_ascii=False), flush=True)
        elif told["problem"]:
            table.add_row(plain(path), "[dim]not read[/dim]", "", plain(told["problem"]), "")
        else:
            table.add_row(plain(path), *_cells(told))
    if not as_json:
        out.print(table)
        _explain(inspector, save)
    if not read:
        err.print("None of these files could be read.")
        raise typer.Exit(1)


def _inspector(run_name: str | None, packaged: str, names: Sequence[str], ensemble: str) -> "Inspector":
    """The detectors of a run, or of the package where no run is named."""
    from nbsupport import runs
    from nbsupport.book import status as statuses
    from nbsupport.detectors import inspection
    from nbsupport.detectors.packaged import sets

    if run_name in sets() and not (runs.runs_root() / run_name).is_dir():
        run_name, packaged = None, run_name
    if run_name is not None:
        return inspection.Inspector.of_run(statuses.open_existing(run_name), names, ensemble)
    if ensemble != "soft_vote":
        raise ConfigError(
            f"The package's detectors have no ensemble '{ensemble}': leave --ensemble out, or name --run."
        )
    return inspection.Inspector.of_package(packaged, names)


def _stamp(path: Path) -> dict[str, object]:
    """What tells whether a file was looked at before."""
    try:
        found = path.stat()
    except OSError:
        return {"path": path.as_posix(), "bytes": 0, "changed": 0}
    return {"path": path.as_posix(), "bytes": found.st_size, "changed": found.st_mtime_ns}


def _done(save: Path | None, made: dict) -> dict[tuple, dict]:
    """What an earlier call of these detectors wrote; a line that was cut off is left out."""
    kept: dict[tuple, dict] = {}
    if save is None or not (save / FINDINGS).exists():
        return kept
    for line in (save / FINDINGS).read_text("utf-8", errors="replace").splitlines():
        try:
            told = json.loads(line)
        except json.JSONDecodeError:
            continue
        if all(told.get(key) == value for key, value in made.items()):
            kept[told["path"], told["bytes"], told["changed"]] = told
    return kept


def _keep(save: Path, told: dict, name: str, finding: "Finding") -> None:
    """Append a finding to the folder, after its heat map."""
    import numpy as np

    from nbsupport.core import images
    from nbsupport.core.files import atomic_path
    from nbsupport.detectors import inspection

    try:
        if finding.heat is not None:
            seen = inspection.overlay(np.asarray(images.read_image(finding.path)), finding.heat)
            with atomic_path(save / name) as temporary:
                Image.fromarray(seen).save(temporary)
        save.mkdir(parents=True, exist_ok=True)
        with open(save / FINDINGS, "a+b") as file:
            if file.tell() and file.seek(-1, 2) is not None and file.read(1) != b"\n":
                file.write(b"\n")  # a line was cut off
            file.write(json.dumps(told, ensure_ascii=False).encode() + b"\n")
    except OSError as error:
        raise UserError(
            f"'{save}' cannot be written to ({error.strerror}). Make room, or name another folder with --save; what "
            "was found is kept, and the same command continues from there."
        ) from None


def _explain(inspector: "Inspector", save: Path | None) -> None:
    band = inspector.bands[inspector.voice]
    low, high = band.low, band.high
    out.print(
        f"By {plain(inspector.title)}, one answer by {inspector.voice}. Unsure between {low:.2f} and {high:.2f}, "
        "or where saving the picture again changes the verdict. Judged: squares that cover the picture, each as small "
        "as the detectors need. Trust is that of validation pictures."
    )
    if inspector.kind is None:
        out.print("Which pictures these detectors know is not known: photographs of another kind may be judged worse.")
    if save is not None:
        out.print(
            f"{FINDINGS}, and heat maps of photographs of at least {2 * inspector.size} pixels (blue: real, white: "
            f"even odds, orange: inpainted): {plain(save)}"
        )


def _cells(told: dict) -> tuple[str, str, str, str]:
    """Verdict, probability, empirical precision and detectors, as the table shows them."""
    verdict = told["verdict"]
    if verdict not in _COLOURS:
        return "[dim]none[/dim]", "", "not a picture of the kind that these detectors know", ""
    share = "too few validation pictures like it to say how often that is right"
    if told["flips"]:
        share = f"the verdict changes after: {', '.join(told['flips'])}"
    elif precision := told["precision"]:
        share = (
            f"{precision['value']:.0%} of such pictures were inpainted ({precision['low']:.0%}–{precision['high']:.0%})"
        )
    each = ", ".join(f"{name} {probability:.2f}" for name, probability in told["each"].items())
    return f"[{_COLOURS[verdict]}]{verdict}[/{_COLOURS[verdict]}]", f"{told['probability']:.2f}", share, each
