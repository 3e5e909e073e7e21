"""``python -m nbsupport detect``: what the detectors of a run say of photographs of one's own."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from PIL import Image
from rich.progress import track
from rich.table import Column, Table

from nbsupport.commands.common import err, out, plain, readable_errors

if TYPE_CHECKING:
    from nbsupport.detectors.inspection import Finding

_COLOURS = {"real": "blue", "unsure": "yellow", "inpainted": "red"}


@readable_errors
def detect(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Photographs, or folders of them.")],
    run_name: Annotated[
        str, typer.Option("--run", "-r", metavar="NAME", help="The run of the detectors.")
    ] = "synthetic-quick",
    detector: Annotated[
        list[str] | None, typer.Option("--detector", metavar="NAME", help="Ask this one only; may be repeated.")
    ] = None,
    ensemble: Annotated[
        str,
        typer.Option("--ensemble", metavar="NAME", help="What makes one answer of theirs, such as stack_logistic."),
    ] = "soft_vote",
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FOLDER", help="Write findings.json and a heat map of each file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines and nothing else.")] = False,
) -> None:
    """Say of photographs whether a part of them was painted in: verdict, probability, how far to trust it.

    The verdict is real, inpainted, or unsure where validation pictures of such a probability were of both kinds. It
    holds for pictures like those that the run's detectors learnt from, and for no others.

    [bold]Examples[/bold]

      python -m nbsupport detect holiday.jpg

      python -m nbsupport detect album/ --run cub-quick --save findings

      python -m nbsupport detect album/ --ensemble stack_logistic --json > findings.jsonl
    """
    import numpy as np

    from nbsupport import status as statuses
    from nbsupport.data import images
    from nbsupport.detectors import inspection
    from nbsupport.runs import atomic_path, write_json

    files = list(inspection.find_files([path.expanduser() for path in paths]))
    inspector = inspection.Inspector(statuses.open_existing(run_name), detector or (), ensemble)
    table = Table(Column("File", overflow="fold"), "Verdict", "Probability", "Trust", "Detectors")
    kept = []
    shown = track(files, "looking", console=err, transient=True, disable=as_json or not err.is_terminal)
    for number, path in enumerate(shown):
        finding = inspector.inspect(path, heat=save is not None)
        kept.append(finding.to_mapping())
        if as_json:
            print(json.dumps(finding.to_mapping(), ensure_ascii=False))
        elif finding.problem:
            table.add_row(plain(path), "[dim]not read[/dim]", "", plain(finding.problem), "")
        else:
            table.add_row(plain(path), *_cells(finding))
        if save is not None and finding.heat is not None:
            seen = inspection.overlay(np.asarray(images.read_image(path)), finding.heat)
            with atomic_path(save / f"{number:05d}_{path.stem}.png") as temporary:
                Image.fromarray(seen).save(temporary)
    if save is not None:
        write_json(
            save / "findings.json",
            {"run": run_name, "ensemble": ensemble, "band": inspector.band.to_mapping(), "findings": kept},
        )
    if as_json:
        return
    out.print(table)
    low, high = inspector.band.low, inspector.band.high
    out.print(
        f"One answer by {ensemble}. Unsure between {low:.2f} and {high:.2f}. Trust is that of validation "
        f"pictures of the run {plain(run_name)}; "
        "photographs of another kind may be judged worse."
    )
    if save is not None:
        out.print(f"findings.json, and heat maps of photographs of at least {2 * inspector.size} pixels: {plain(save)}")


def _cells(finding: "Finding") -> tuple[str, str, str, str]:
    """Verdict, probability, trust and detectors, as the table shows them."""
    colour, trusted = _COLOURS[finding.verdict], finding.trusted
    share = "too few validation pictures to say how far to trust it"
    if trusted is not None:
        share = f"{trusted['value']:.0%} of such pictures were inpainted ({trusted['low']:.0%}–{trusted['high']:.0%})"
    each = ", ".join(f"{name} {probability:.2f}" for name, probability in finding.detectors.items())
    return f"[{colour}]{finding.verdict}[/{colour}]", f"{finding.probability:.2f}", share, each
