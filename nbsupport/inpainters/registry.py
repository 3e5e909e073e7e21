"""Inpainters by name: :func:`create`.

Two names are prefixes of what others have trained (``inpainters.external``): ``lama:<file>`` is a LaMa in TorchScript,
``diffusers:<folder or model id>`` an inpainting pipeline of the library diffusers (extra ``diffusion``).
"""

from typing import Any

from nbsupport.core.errors import InpainterError, unknown
from nbsupport.inpainters.base import Inpainter, checked
from nbsupport.inpainters.classical import METHODS, Classical
from nbsupport.inpainters.tdanet import MAX_STRENGTH, TDANetInpainter
from nbsupport.runs import Run
from nbsupport.tdanet import weights

#: Every name that :func:`create` knows, beside the prefixed ones.
NAMES: tuple[str, ...] = ("tdanet", *METHODS)


#: What stands before ":" in the name of an inpainter of ``inpainters.external``.
PREFIXES: tuple[str, ...] = ("lama", "diffusers")


def create(name: str, run: Run | None = None) -> Inpainter:
    """Return the inpainter called `name`, checked.

    Args:
        name: one of ``NAMES``: ``tdanet`` needs `run`, the run folder that holds its trained weights; the others need
            nothing. ``tdanet:<name>`` for weights that come with the package (``tdanet.weights``); either with
            ``@<number>`` behind it for another caption strength (see :class:`TDANetInpainter`). Or
            ``lama:<path of a TorchScript file>``, or ``diffusers:<folder or model id of a hub>``.

    Raises:
        InpainterError: no such inpainter, ``tdanet`` without a run, or weights that cannot be had.
        MissingStage: the run has no trained TDANet; the message says how to train it.
    """
    if name in METHODS:
        return checked(Classical(name))
    if name.startswith("tdanet") and "@" in name:
        return _strengthened(name, run)
    prefix, colon, source = name.partition(":")
    if colon and prefix == "tdanet":
        return checked(TDANetInpainter(*weights.load(source)))
    if colon and prefix in PREFIXES:
        from nbsupport.inpainters import external

        return checked(external.LaMa(source) if prefix == "lama" else external.Diffusers(source))
    if name != "tdanet":
        also = "Also: tdanet:<name of pretrained weights>, lama:<file of a TorchScript LaMa>, diffusers:<folder or id>."
        raise InpainterError(f"{unknown('inpainter', name, NAMES)} {also}")
    if run is None:
        raise InpainterError("The inpainter 'tdanet' is read from a run folder: inpainters.create('tdanet', run).")
    run.require("tdanet")
    return checked(TDANetInpainter(*weights.load_run(run)))


def _strengthened(name: str, run: Run | None) -> Inpainter:
    """``tdanet@4`` and ``tdanet:<name>@4``: the network before the sign, with that caption strength."""
    plain, _, number = name.rpartition("@")
    try:
        strength = float(number)
        if not 0 <= strength <= MAX_STRENGTH:
            raise ValueError
    except ValueError:
        raise InpainterError(
            f"'{name}': the caption strength after '@' must be a number from 0 to {MAX_STRENGTH:g}, e.g. tdanet@3."
        ) from None
    network: Any = create(plain, run)
    inner = network.inner
    inner.caption_strength, inner.name = strength, name
    return checked(inner)
