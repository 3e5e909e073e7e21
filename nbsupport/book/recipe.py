"""The whole training, from photographs to a network that paints, without notebooks: for a GPU machine without Jupyter.

It makes the stages of chapters 1 and 4 that TDANet needs, from those chapters' parameters, so that a run begun here
continues in the notebooks and the other way round. Also: the ablations, each a training in a run folder inside the
first, over the same photographs and the same text encoder.
Not here: which parameters there are (the chapters, and ``nbsupport.config``).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from nbsupport.book import chapters
from nbsupport.core import device
from nbsupport.core.errors import ConfigError, unknown
from nbsupport.data import index
from nbsupport.runs import Run
from nbsupport.training import matching, tdanet

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: What can be taken away from the repaired network, one at a time, and the parameters that do it.
ABLATIONS: dict[str, dict[str, Any]] = {
    "repaired": {},
    "no auxiliary path": {"auxiliary_share": 0.0},
    "no negation": {"negate": False},
    "no max-pooling": {"max_pool": False},
    "no matching loss": {"weight_matching": 0.0},
    "no adversarial loss": {"weight_adversarial": 0.0},
    "no named parts": {"named_parts": 0.0},
    "plain L1": {"hole_weight": 0.0},
    "faithful": {"preset": "faithful"},
}


def train(run: Run, parameters: Mapping[int, Mapping[str, Any]]) -> tdanet.TrainedTDANet:
    """Index the photographs, train the matching and TDANet; what is finished and matches is loaded.

    Under torchrun the first process does all of it but TDANet's steps, which the processes share.

    Args: parameters: of chapters 1 and 4, by number.
    """
    _, config, _ = chapters.configurations(parameters[4], 4)
    _prepare(run, parameters, device.fabric(config.precision))
    return tdanet.fit(run, config)


def _prepare(run: Run, parameters: Mapping[int, Mapping[str, Any]], fabric: "Fabric") -> None:
    """Photographs and text encoder, made by the first process while the others wait."""
    if fabric.is_global_zero:
        index.prepare(run, *chapters.configurations(parameters[1], 1))
        matching.fit(run, chapters.configurations(parameters[4], 4)[0])
    if fabric.world_size > 1:
        fabric.barrier()


def ablate(
    run: Run, parameters: Mapping[int, Mapping[str, Any]], names: Sequence[str] = (), command: str = ""
) -> pd.DataFrame:
    """Train the network once for each ablation, with everything else equal, and compare on held-out photographs.

    Each is a run of its own, ``<run>/ablations/<name>``, so that a stopped comparison continues where it was; all share
    the photographs and the text encoder of `run`. `command` is noted with the results.

    Returns:
        one row for each: ``variant, hole_l1`` (value, low, high), ``caption_effect`` (value, low, high), ``seconds``,
        ``images``; also ``results/ablations.json``.

    Raises:
        ConfigError: no such ablation.
    """
    chosen = list(names) or list(ABLATIONS)
    for name in chosen:
        if name not in ABLATIONS:
            raise ConfigError(unknown("ablation", name, ABLATIONS))
    _, whole, _ = chapters.configurations(parameters[4], 4)
    rows, fabric = [], device.fabric(whole.precision)
    _prepare(run, parameters, fabric)
    for name in chosen:
        own = Run(run.path / "ablations" / name.replace(" ", "_"), run.replace)
        if fabric.is_global_zero:
            own.adopt(run, "index", "matching")
            own.share(run, "source")  # of drawn birds, whose parts are known from there
        if fabric.world_size > 1:
            fabric.barrier()
        result = tdanet.fit(own, dataclasses.replace(whole, **ABLATIONS[name])).result
        row = {"variant": name, "images": result["images"], "seconds": result["seconds"]}
        for key, numbers in (("hole_l1", result["hole_l1"]["tdanet"]), ("caption_effect", result["caption_effect"])):
            row |= {key: numbers["value"], f"{key}_low": numbers["low"], f"{key}_high": numbers["high"]}
        rows.append(row)
        about = {
            "data": f"{parameters[1].get('dataset')}, {parameters[1].get('image_size')} pixels",
            "command": command,
        }
        if fabric.is_global_zero:
            run.write_result("ablations", {"rows": rows, **about})
    return pd.DataFrame(rows)
