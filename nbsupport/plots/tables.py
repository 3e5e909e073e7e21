"""Tables of chapters 4 and 5: numbers with their intervals, and words such as "better" that come from an interval.

They are made from what ``results/*.json`` holds, so that no number has to be typed. Not here: the numbers
(``quality.report``) and the figures of them (``plots.training``).
"""

import warnings
from collections.abc import Mapping

import itables
import pandas as pd
from IPython.display import HTML

from nbsupport.quality import intervals
from nbsupport.stats.intervals import format_interval, verdict


def readable(name: str) -> str:
    """The name of a method or measure for a figure.

    >>> readable("navier_stokes"), readable("tdanet")
    ('Navier–Stokes', 'TDANet')
    """
    known = {"navier_stokes": "Navier–Stokes", "patchmatch": "PatchMatch", "telea": "Telea", "tdanet": "TDANet",
             "tdanet_mismatched": "TDANet, mismatched caption", "lpips_alex": "LPIPS",
             "st_lpips_alex": "ST-LPIPS", "st_lpips_vgg": "ST-LPIPS (VGG)",
             "hole_l1": "L1", "hole_psnr": "PSNR", "hole_ssim": "SSIM", "hole_tv": "TV",
             "hole_tv_photograph": "TV of the photograph"}  # fmt: skip
    return known.get(name, name.replace("_", " "))


def measure_heads(perceptual: str | None, short: bool = False) -> dict[str, str]:
    """Measure -> head of its column, or name of its row: those in the hole, and the perceptual one if there is any.

    Args: perceptual: its name, e.g. ``st_lpips_alex``. short: only L1, SSIM and the perceptual one.
    """
    heads = {"hole_l1": "L1", "hole_psnr": "PSNR, dB", "hole_ssim": "SSIM", "hole_tv": "TV"}
    heads["hole_tv_photograph"] = "TV of the photograph"
    if short:
        heads = {"hole_l1": "L1 in the hole", "hole_ssim": "SSIM in the hole"}
    return heads | ({perceptual: f"{readable(perceptual)}, whole picture"} if perceptual else {})


def differences_table(against: Mapping[str, Mapping[str, Mapping]], names: Mapping[str, str]) -> pd.DataFrame:
    """Baseline minus network for each measure, with its interval and whether the network is better by it.

    Args: against: baseline -> measure -> interval (``quality.report(...)["against"]``). names: measure -> its column.
    """
    rows = {}
    for baseline, own in against.items():
        said = intervals.better(own)
        rows[readable(baseline)] = {head: f"{format_interval(own[m], 4)}, {said[m]}" for m, head in names.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def interval_table(intervals: Mapping[str, Mapping], words: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Rows of differences with their intervals and what they allow to say.

    Args: intervals: name -> {value, low, high}. words: ``above``, ``below``, ``tie`` for :func:`verdict`.
    """
    rows = {
        readable(name): {
            **{key: own[key] for key in ("value", "low", "high")},
            "verdict": verdict(own, **(words or {})),
        }
        for name, own in intervals.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def shares_table(shares: Mapping[str, Mapping], head: str) -> pd.DataFrame:
    """A row for each share with its interval, in percent. Args: head: of the column."""
    return pd.DataFrame({head: {name: format_interval(own, percent=True) for name, own in shares.items()}})


def measures_table(measures: Mapping[str, Mapping[str, Mapping]], names: Mapping[str, str]) -> pd.DataFrame:
    """Some measures of every method with intervals, as text.

    Args: measures: as for :func:`comparison`. names: measure -> head of its column; a measure nobody has is left out.
    """
    rows = {}
    for method, kinds in measures.items():
        for kind, own in kinds.items():
            label = readable(method) + (f", {kind} caption" if kind != "none" else "")
            digits = {name: 1 if "psnr" in name else 3 for name in names}
            rows[label] = {
                head: format_interval(own[name], digits[name]) for name, head in names.items() if name in own
            }
    return pd.DataFrame.from_dict(rows, orient="index")


def caption_table(effects: Mapping[str, Mapping[str, Mapping]], names: Mapping[str, str]) -> pd.DataFrame:
    """What another caption costs: a row for each measure and kind, the paired difference, and the p values.

    Args: effects: ``mismatched``, ``empty`` -> measure -> interval with ``t_test`` and ``wilcoxon``, from
        ``quality.report(...)["caption_effect"]``. names: measure -> what the row is called.
    """
    rows = []
    for name, label in names.items():
        for kind, own in effects.items():
            if name in own:
                held = own[name]
                p_values = {test: _p_value(held[key]) for test, key in (("t-test", "t_test"), ("Wilcoxon", "wilcoxon"))}
                rows.append({"measure": label, "instead": kind, "costs": format_interval(held, 4), **p_values})
    return pd.DataFrame(rows)


def _p_value(value: float | None) -> str:
    if value is None:
        return "–"
    return "below 0.0001" if value < 1e-4 else f"{value:.4f}"


def enable_sorting() -> None:
    """Put the library of sortable tables (about 1 MB) into this cell's output; call it once, before the tables."""
    itables.init_notebook_mode(all_interactive=False, connected=False)


def sortable(table: pd.DataFrame) -> HTML:
    """A table that a reader can sort by a click on a column's head; :func:`enable_sorting` comes first, once.

    Cells such as ``0.812 [0.765, 0.857]`` sort by their first number, as long as all have as many digits.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return HTML(
            itables.to_html_datatable(  # type: ignore[call-arg]
                table, connected=False, paging=False, info=False, searching=len(table) > 12, classes="display compact",
                maxBytes=0, allow_html=False,
            )
        )  # fmt: skip
