"""The two pages of the book that need no kernel: a browser of judged pictures, and a demo of fills and verdicts.

Each is one HTML file that holds everything it shows: pictures, numbers, script. Nothing is loaded from elsewhere while
it is read. Pictures of synthetic birds only: photographs of a data set may not be published, so for a run on
photographs, and for one that lacks what a page needs, the page says so. Not here: what stands on them
(:mod:`.error_browser`, :mod:`.demo_page`).
"""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

from nbsupport.book.pages import assets, demo_page, error_browser
from nbsupport.core.errors import MissingStage, UserError
from nbsupport.core.files import atomic_path, fingerprint, read_json, write_json
from nbsupport.runs import Run

#: File name without suffix -> title, the stages that the page is made from, and what makes it.
PAGES: dict[str, tuple[str, tuple[str, ...], Callable[[Run], str]]] = {
    "error_browser": ("Error browser", ("index", "masks", "pairs", "detectors", "errors"), error_browser.html),
    "demo_page": ("Demo", ("index", "masks", "tdanet", "detectors"), demo_page.html),
}
FOLDER = "pages"  # of the run: where finished pages are kept
FRAME = "page_frame.js"  # Jupyter Book loads it on each of its pages: it sets the height of the frames


def write(run: Run, folder: Path) -> list[Path]:
    """Write both pages of a run into a folder, as ``<name>.html``; what was made before is copied.

    A page that cannot be shown is written as a notice that says why, and which command makes what is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FRAME).write_text(assets.template(FRAME), "utf-8")
    return [Path(shutil.copyfile(page(run, name), folder / f"{name}.html")) for name in PAGES]


def page(run: Run, name: str) -> Path:
    """The file of one page in the run folder; made unless it is there, from the same stages and templates."""
    title, stages, make = PAGES[name]
    path = run / FOLDER / f"{name}.html"
    records = {stage: (run.record(stage) or {}).get("fingerprint") for stage in stages}
    key = fingerprint([name, records, assets.templates_fingerprint()])
    beside = path.with_suffix(".json")
    if path.exists() and beside.exists() and read_json(beside).get("made_from") == key:
        return path
    try:
        content = make(run) if (why := refusal(run)) is None else assets.notice(title, why)
    except MissingStage as error:
        sentence, _, command = _told(run, error).rpartition("  ")
        content = assets.notice(title, sentence or command, command if sentence else "")
    except UserError as error:
        content = assets.notice(title, _told(run, error))
    with atomic_path(path) as temporary:
        temporary.write_text(content, "utf-8")
    write_json(beside, {"made_from": key, "bytes": len(content.encode())})
    return path


def _told(run: Run, error: UserError) -> str:
    """An error's message without paths of this machine."""
    told, data = str(error).replace(str(run.path), run.name), run.asked().get("data")
    return told.replace(shlex.quote(data), "DATA").replace(data, "DATA") if data else told


def refusal(run: Run) -> str | None:
    """Why the pictures of a run are not shown; None for synthetic birds. Raises MissingStage before chapter 1."""
    dataset = run.require("index")["config"]["dataset"]
    if dataset == "synthetic":
        return None
    return (
        f"The pictures of this run come from the photographs '{dataset}', which may not be published again, so this "
        "page shows none of them. Build the book of a run on synthetic birds to see it, or use the same browser and "
        "demo in the notebooks of chapters 10 and 11 on your own machine."
    )
