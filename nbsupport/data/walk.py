"""The files below a folder: hidden ones left out, links followed without going in circles."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(base: Path) -> Iterator[Path]:
    """Every file below `base`, folder by folder in the order of names, each folder once.

    Linked folders come last, so that what lies below `base` anyway is listed where it lies. What begins with a dot is
    left out, and so are a folder that cannot be opened and a link that leads nowhere.
    """
    seen, folders, links = set(), [str(base)], []
    while folders or links:
        folder = folders.pop() if folders else links.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(folder) as opened:
                entries = sorted(opened, key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if os.path.isdir(entry.path):  # unlike an entry's own method it takes a link to itself for nothing
                (links if entry.is_symlink() else folders).append(entry.path)
            elif os.path.isfile(entry.path):
                yield Path(entry.path)
