"""The files below a folder: hidden ones left out, links followed without going in circles."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(base: Path) -> Iterator[Path]:
    """Every file below `base`, folder by folder in the order of names.

    A linked folder is entered where it stands, once each; what begins with a dot is left out, and so is a folder that
    cannot be opened.
    """
    seen = {os.path.realpath(base)}
    folders = [str(base)]
    while folders:
        try:
            entries = sorted(os.scandir(folders.pop()), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real not in seen:
                    seen.add(real)
                    folders.append(entry.path)
            elif entry.is_file():
                yield Path(entry.path)
