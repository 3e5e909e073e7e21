"""From folders of captioned photographs to an index, an image cache and a vocabulary.

Each source is a module with ``load`` (see ``photo``); they are imported when first asked for.
"""

import importlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from nbsupport.config import DATASETS, DataConfig
from nbsupport.core.errors import ConfigError, UserError, unknown
from nbsupport.runs import Run, project_root


class _Sources(Mapping[str, ModuleType]):
    """Name of a source -> its module, imported on first use."""

    def __getitem__(self, name: str) -> ModuleType:
        if name not in DATASETS:
            raise ConfigError(unknown("dataset", name, DATASETS))
        return importlib.import_module(f"nbsupport.data.{name}")

    def __iter__(self) -> Iterator[str]:
        return iter(DATASETS)

    def __len__(self) -> int:
        return len(DATASETS)


#: ``SOURCES["cub"].load(root)``: every source that ``--dataset`` can name.
SOURCES: Mapping[str, ModuleType] = _Sources()

# Where below the folder that was given a source may lie, and what shows that it does.
_PLACES = {
    "synthetic": (("", "synthetic"), ("images.txt",)),
    "cub": (("", "CUB_200_2011", "cub/CUB_200_2011", "cub", "birds/CUB_200_2011"), ("images.txt",)),
    "pets": (("", "oxford-iiit-pet", "pets/oxford-iiit-pet", "pets"), ("annotations", "images")),
    "folder": (("",), ()),
}


def find_root(dataset: str, base: Path) -> Path:
    """The root of `dataset` at or below the folder `base`; an error that says what was looked for where."""
    places, markers = _PLACES[dataset]
    base = Path(base).expanduser()
    for place in places:
        root = base / place
        if root.is_dir() and all((root / marker).exists() for marker in markers):
            return root.resolve()
    if not base.is_dir():
        problem = f"There is no folder '{base}'."
    else:
        names = ", ".join(f"'{base / place}'" for place in places)
        problem = f"No '{dataset}' photographs were found: looked for {' and '.join(markers)} in {names}."
    mend = {
        "synthetic": "Leave `data` empty and the birds are drawn again.",
        "folder": "Give the folder of your photographs with --data PATH.",
    }.get(dataset, f"Download them with:  python -m nbsupport data {dataset} --target {project_root() / 'data'}")
    raise UserError(f"{problem} {mend}")


def resolve_root(config: DataConfig, run: Run) -> Path:
    """The folder of the source that `config` names: the one given, or ``NBSUPPORT_DATA``, or ``data/`` of the project.

    The folder may be the source itself or its parent. Synthetic birds are drawn into ``source/`` of the run unless
    `config.data` says where they already are.
    """
    if config.dataset == "synthetic" and config.data is None:
        return _drawn_birds(config, run)
    base = config.data or os.environ.get("NBSUPPORT_DATA") or project_root() / "data"
    if config.dataset == "folder" and not config.data and not os.environ.get("NBSUPPORT_DATA"):
        raise ConfigError("Say which folder holds your photographs:  --dataset folder --data PATH")
    return find_root(config.dataset, Path(base))


def _drawn_birds(config: DataConfig, run: Run) -> Path:
    """Draw the birds into ``source/`` of the run; a set of the same number, size and seed is left as it is."""
    if config.count < 1:
        raise ConfigError("Say how many synthetic birds to draw, e.g. count=800 (0 means 'all' for real photographs).")
    from nbsupport.data import synthetic

    size = config.image_size * 3 // 2  # larger than the cache, so that resizing is a real step for them too
    return synthetic.write(run / "source", config.count, size=size, seed=config.seed)
