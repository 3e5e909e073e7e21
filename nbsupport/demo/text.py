"""The sentences and tables of the demo as HTML. Whatever a reader or a data set wrote is escaped here, once."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nbsupport.config import SOFT_VOTE
from nbsupport.demo.state import AS_IT_IS, Filled, Verdict
from nbsupport.plots.style import COLOURS
from nbsupport.stats.calibration import ALLOWED

if TYPE_CHECKING:
    from nbsupport.detectors.inspection import Prediction
    from nbsupport.stats.calibration import Band

#: The colours of the three verdicts; each word stands beside its colour, so that no colour has to be seen.
VERDICT_COLOURS = {"real": COLOURS["real"], "unsure": "#8A6D00", "inpainted": COLOURS["fake"]}
_CELL = 'style="padding:1px 8px 1px 0;text-align:left;white-space:nowrap"'

LIMITS = """
<b>What this cannot tell you.</b> A verdict is a statement about pictures like those the detectors learnt from: small
squares of one kind of photograph, painted in by one network. It does not prove that a photograph is genuine, nor
that it is forged. Another inpainter, another subject, a hole that is small beside the picture, or one more saving can
turn it. Photographs of another size are judged in squares, made as small as the detectors need, and traces go with the
detail. A picture unlike those that the detectors know gets no verdict, but not every such picture is noticed. A heat
map shows what moved the answer, which need not be where the paint is. <i>Unsure</i> is an honest answer.
"""
EXPLANATION = f"""
<b>How to read this.</b> Each detector gives a probability that a part of the picture was painted in, calibrated on
photographs it was not trained on, with as many real as painted ones. It says <i>real</i> or <i>inpainted</i> only where
at most {ALLOWED:.0%} of the validation pictures with such a probability were of the other kind; else <i>unsure</i>.
<i>Trust</i> is the share of inpainted ones among validation pictures with such a probability; a dash where too few of
them are known.
The soft vote is the mean of all.
"""


def shown(name: str) -> str:
    """How a detector's or the ensemble's name is shown: the soft vote in words, a detector as it is called."""
    return name.replace("_", " ") if name == SOFT_VOTE else name


def note(text: str, kind: str = "neutral") -> str:
    """One escaped line of text in a colour of the book (``neutral``, ``good``, ``fake`` for trouble)."""
    return f'<p style="margin:0;line-height:1.4;color:{COLOURS[kind]}">{escape(text)}</p>' if text else ""


def notes(lines: Sequence[str]) -> str:
    """Several lines, each escaped."""
    return "".join(note(line) for line in lines)


def prose(markup: str) -> str:
    """Text of our own with markup in it, in the width of a paragraph. Never for what others wrote."""
    return f'<div style="max-width:75ch;line-height:1.4;margin:6px 0">{markup}</div>'


def caption(text: str) -> str:
    """A caption as it is shown under a picture, escaped; a remark if it is empty."""
    return f"<i>{escape(text)}</i>" if text.strip() else "<i>(no caption)</i>"


def coverage(mask: np.ndarray) -> str:
    """How much of the picture is hole, live."""
    if not mask.any():
        return note("No hole yet: paint one with the mouse.")
    if mask.all():
        return note("The hole covers the whole picture: leave something to paint from.", "fake")
    return note(f"The hole covers {mask.mean():.1%} of the picture ({int(mask.sum()):,} pixels).")


def reading(unknown: Sequence[str], cut: Sequence[str], reads: bool) -> str:
    """What the inpainter makes of the caption: the words it does not know and those it does not reach."""
    if not reads:
        return note("This method does not read the caption.")
    lines = []
    if unknown:
        words = ", ".join(f"<b>{escape(word)}</b>" for word in unknown)
        lines.append(f'<p style="margin:0;color:{COLOURS["fake"]}">Words the network does not know: {words}</p>')
    if cut:
        words = escape(" ".join(cut))
        lines.append(f'<p style="margin:0;color:{COLOURS["neutral"]}">Too long, not read: <i>{words}</i></p>')
    return "".join(lines) or note("The network knows every word.", "good")


def filled(result: Filled, arm: str, number: int = 1) -> str:
    """One line about the `number`-th fill: how much was painted, by whom, from which seed, in what time."""
    line = (
        f"Fill {number}: {result.coverage:.1%} of the picture painted by {result.inpainter} in {result.seconds:.2f} s "
        f"(seed {result.seed}); shown: {arm}."
    )
    if result.square is not None:
        line += (
            f" The picture is larger than the network: a square of {result.square.side} pixels around the hole was "
            "made smaller, painted, and put back into the hole; pixels outside the hole are as they were."
        )
    return note(line)


def attention(table: pd.DataFrame | None) -> str:
    """Bars of the attention to each word: what is left to paint, and what the visible part explains already."""
    if table is None:
        return note("Only TDANet attends to words.")
    top = max(float(table[["inpainting path", "visible part"]].to_numpy().max()), 1e-6)
    rows = []
    for word, line in table.iterrows():
        bars = "".join(
            f'<td style="width:120px"><div style="background:{COLOURS[colour]};height:9px;'
            f'width:{100 * line[name] / top:.0f}%"></div></td>'
            for name, colour in (("inpainting path", "fake"), ("visible part", "neutral"))
        )
        rows.append(f"<tr><td {_CELL}>{escape(str(word))}</td>{bars}</tr>")
    head = f"<tr><th {_CELL}>word</th><th {_CELL}>left to paint</th><th {_CELL}>already visible</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _bar(probability: float, verdict: str) -> str:
    filled = f"background:{VERDICT_COLOURS[verdict]};height:10px;width:{100 * probability:.0f}%"
    return (
        '<td style="width:110px"><div style="background:#e6e6e6;height:10px">'
        f'<div style="{filled}"></div></div></td>'
        f"<td {_CELL}>{probability:.2f}</td>"
    )


def _said(verdict: str) -> str:
    return f'<b style="color:{VERDICT_COLOURS[verdict]}">{verdict}</b>'


def verdict(picture: Verdict, original: Verdict) -> str:
    """A table: what each detector says of this picture, and of the untouched photograph."""
    if picture.missing or original.missing:
        return note(picture.missing or f"The untouched photograph: {original.missing}")
    lines = []
    for name, prediction in picture.predictions.items():
        before = original.predictions[name]
        told = "".join(
            f"{_bar(o.probability, o.verdict)}<td {_CELL}>{_said(o.verdict)}</td>" for o in (prediction, before)
        )
        lines.append(f"<tr><th {_CELL}>{escape(shown(name))}</th>{told}</tr>")
    head = f'<tr><th></th><th colspan="3" {_CELL}>this picture</th><th colspan="3" {_CELL}>the photograph</th></tr>'
    return f"<table>{head}{''.join(lines)}</table>"


def predictions(verdict: Verdict) -> str:
    """The full table of the detector panel: verdict, probability and precision of each detector, the vote last."""
    if verdict.missing:
        return note(verdict.missing)
    vote = verdict.predictions[SOFT_VOTE]
    rows = "".join(_prediction_row(prediction) for prediction in verdict.predictions.values())
    heads = f"<th {_CELL}>verdict</th><th colspan='2' {_CELL}>probability</th><th {_CELL}>empirical precision</th>"
    head = f"<tr><th></th>{heads}</tr>"
    return (
        f'<div style="font-size:1.25em;margin-bottom:4px">Together the detectors say: {_said(vote.verdict)}</div>'
        f"<table>{head}{rows}</table>"
    )


def _prediction_row(prediction: "Prediction") -> str:
    precision = "–"
    if prediction.precision and prediction.precision["value"] is not None:
        held = prediction.precision
        precision = f"{held['value']:.0%} of such were inpainted ({held['low']:.0%}–{held['high']:.0%})"
    return (
        f"<tr><th {_CELL}>{escape(shown(prediction.name))}</th><td {_CELL}>{_said(prediction.verdict)}</td>"
        f"{_bar(prediction.probability, prediction.verdict)}<td {_CELL}>{precision}</td></tr>"
    )


def band(bands: Mapping[str, "Band"]) -> str:
    """Between which probabilities the vote is unsure."""
    own = bands[SOFT_VOTE]
    low = f"real up to {own.low:.2f}" if own.low >= 0 else "never real"
    high = f"inpainted from {own.high:.2f}" if own.high <= 1 else "never inpainted"
    return note(f"The soft vote says {low}, {high}, and unsure otherwise.")


def overlap(name: str, found: tuple[float, float] | None) -> str:
    """How well a heat map covers the painted hole."""
    if found is None:
        return note("No painted hole is known for this picture, so the map cannot be compared with one.")
    value, chance = found
    how = "better than chance" if value > chance else "no better than chance"
    return note(
        f"The hottest pixels of {name}, as many as the hole has, overlap the painted hole by {value:.2f} (intersection "
        f"over union); pixels at random would by about {chance:.2f}: {how} here."
    )


def sweep(table: pd.DataFrame) -> str:
    """The sweep: a row for each way of saving, a cell for each detector; a verdict that flips is marked."""
    names = list(dict.fromkeys(table["name"]))
    head = "".join(f"<th {_CELL}>{escape(name)}</th>" for name in ("", *names))
    rows = []
    for step, own in table.groupby("step", sort=False):
        cells = []
        for name in names:
            line = own[own["name"] == name].iloc[0]
            mark = " ⇄" if line["flips"] else ""
            cells.append(f"<td {_CELL}>{line['probability']:.2f} {_said(line['verdict'])}{mark}</td>")
        rows.append(f"<tr><th {_CELL}>{escape(step)}</th>{''.join(cells)}</tr>")
    vote = table[(table["name"] == SOFT_VOTE) & (table["step"] != AS_IT_IS)]
    flipped = vote.loc[vote["flips"], "step"].tolist()
    said = (
        f"The vote's verdict changes (⇄) after: {', '.join(flipped)}."
        if flipped
        else "The vote's verdict survives every step of this sweep."
    )
    return f'{note(said)}<div style="overflow-x:auto"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def download(label: str, name: str, kind: str, data: str) -> str:
    """A link that saves base64 `data` as a file; label and name are escaped."""
    style = f"color:{COLOURS['real']};text-decoration:underline"
    return f'<a style="{style}" download="{escape(name)}" href="data:{kind};base64,{data}">{escape(label)}</a>'
