"""Numbers with their intervals (forest plots), drawn by seaborn: a line for each thing, a mark for each variant of it.

Not here: which numbers those are (the module of each chapter), and the intervals themselves (``stats``).
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn.objects as so
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nbsupport.plots.style import COLOURS, PALETTE

MARKERS = "osD^vPX"
ENDS = ["value", "low", "high"]


def flat(records: Iterable[Mapping], key: str = "auroc") -> pd.DataFrame:
    """A row for each record: the interval under `key` as ``value, low, high`` (float; NaN: none), and its fields."""
    rows = [{**record, **{end: record[key][end] for end in ENDS}} for record in records]
    table = pd.DataFrame(rows, columns=None if rows else ENDS)
    return table.astype(dict.fromkeys(ENDS, float))


def named(table: pd.DataFrame) -> pd.Series:
    """What each row is called: its ``detector``, with its ``seed`` where the table holds several of a detector."""
    several = table.groupby("detector")["seed"].transform("nunique") > 1
    return table["detector"].where(~several, table["detector"] + ", seed " + table["seed"].astype(str))


def looks(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Name -> (colour, marker): the colours with a meaning keep it, others follow each other."""
    free = [colour for colour in PALETTE if colour not in {COLOURS[name] for name in names if name in COLOURS}]
    return {name: (COLOURS.get(name, free[n % len(free)]), MARKERS[n % len(MARKERS)]) for n, name in enumerate(names)}


def marks(
    axis: Axes, table: pd.DataFrame, row: str, by: str, rows: Sequence, variants: Mapping[str, tuple[str, str]],
    filled: str | None = None, upright: bool = False,
) -> None:  # fmt: skip
    """Draw values with their intervals on one axis; arguments as for :func:`forest`."""
    table = table.dropna(subset=["value"])
    if table.empty:
        return
    value, thing = ("y", "x") if upright else ("x", "y")
    dodge = so.Dodge(by=["color"], gap=0.35)
    ends = {f"{value}min": "low", f"{value}max": "high"}
    (
        so.Plot(table.assign(**{row: table[row].astype(str)}), **{value: "value", thing: row}, color=by, marker=by)
        .add(so.Range(linewidth=1.6), dodge, **ends, legend=False, orient=thing)
        .add(so.Dot(pointsize=5.5), dodge, fill=filled, legend=False, orient=thing)
        .scale(
            color={name: colour for name, (colour, _) in variants.items()},
            marker={name: marker for name, (_, marker) in variants.items()},
            fill=so.Boolean([True, False] if filled is None or table[filled].any() else [False]),
            **{thing: so.Nominal(order=[str(name) for name in rows])},
        )
        .on(axis)
        .plot()
    )
    axis.set(xlabel="", ylabel="")


def forest(
    table: pd.DataFrame,
    row: str,
    by: str,
    panel: str | None = None,
    *,
    filled: str | None = None,
    reference: float | Mapping[str, float] | None = None,
    xlabel: str = "",
    colours: Mapping[str, str] | None = None,
    width: float | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Values with intervals: a line for each `row`, a colour and mark for each `by`, a column for each `panel`.

    Args:
        table: of :func:`flat`. row, by, panel, filled: its columns; marks are open where `filled` is False.
        reference: where a dotted line stands, e.g. chance; or panel -> where.
        colours: name of a `by` -> its colour, where it is none of ``style.COLOURS``.
        width: of a panel, in inches; None: as the book's column allows. limits: of the values' axis.
    """
    rows, names = list(dict.fromkeys(table[row])), list(dict.fromkeys(table[by]))
    panels = list(dict.fromkeys(table[panel])) if panel else [None]
    variants = looks(names)
    variants |= {name: (colour, variants[name][1]) for name, colour in (colours or {}).items() if name in variants}
    width = width or (2.8 if len(panels) < 3 else 2.1)
    longest = max((len(str(name)) for name in rows), default=0)
    size = (width * len(panels) + 0.4 + 0.075 * longest, 1.0 + (0.24 + 0.07 * len(names)) * len(rows))
    figure, axes = plt.subplots(1, len(panels), figsize=size, squeeze=False, sharey=True)
    for axis, name in zip(axes[0], panels, strict=True):
        own = table if panel is None else table[table[panel] == name]
        marks(axis, own, row, by, rows, variants, filled)
        at = reference.get(name) if isinstance(reference, Mapping) else reference
        if at is not None:
            axis.axvline(at, color=COLOURS["neutral"], lw=1, ls=":")
        title = "\n".join(textwrap.wrap(str(name or ""), int(11 * width), break_on_hyphens=False))
        axis.set(title=title, xlabel=xlabel, xlim=limits)
        axis.tick_params(axis="y", length=0, labelleft=axis is axes[0, 0])
    axes[0, 0].set_ylim(len(rows) - 0.5, -0.5)
    legend(figure, variants if len(names) > 1 else {})
    plt.close(figure)
    return figure


def legend(figure: Figure, variants: Mapping[str, tuple[str, str]], lines: Mapping[str, str] | None = None) -> None:
    """Name the marks under a figure, and `lines` (name -> style) in black, in as many columns as there is room for."""
    handles = [plt.Line2D([], [], ls="", marker=marker, color=colour) for colour, marker in variants.values()]
    handles += [plt.Line2D([], [], ls=style, color="black", lw=1.2) for style in (lines or {}).values()]
    if handles:
        columns = max(1, min(len(handles), int(figure.get_figwidth() / 1.9)))
        names = [*variants, *(lines or {})]
        figure.legend(handles, names, loc="outside lower center", ncols=columns, fontsize=8)
