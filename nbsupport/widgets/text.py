"""The sentences and tables of the demo as HTML. Whatever a reader or a data set wrote is escaped here, once."""

from collections.abc import Sequence
from html import escape

from nbsupport.plots.style import COLOURS
from nbsupport.widgets.state import Filled, Verdict


def note(text: str, kind: str = "neutral") -> str:
    """One escaped line of text in a colour of the book (``neutral``, ``good``, ``fake`` for trouble)."""
    return f'<p style="margin:0;color:{COLOURS[kind]}">{escape(text)}</p>' if text else ""


def caption(text: str) -> str:
    """A caption as it is shown under a picture, escaped; a remark if it is empty."""
    return f"<i>{escape(text)}</i>" if text.strip() else "<i>(no caption)</i>"


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


def filled(result: Filled, arm: str) -> str:
    """One line about a fill: how much was painted, by whom, from which seed, in what time."""
    return note(
        f"{result.coverage:.0%} of the picture painted by {result.inpainter} in {result.seconds:.2f} s "
        f"(seed {result.seed}); shown: {arm}."
    )


def _bar(probability: float) -> str:
    colour = COLOURS["fake"] if probability >= 0.5 else COLOURS["real"]
    return (
        '<td style="min-width:110px"><div style="background:#e6e6e6;height:10px">'
        f'<div style="background:{colour};height:10px;width:{100 * probability:.0f}%"></div></div></td>'
        f'<td style="padding:0 16px 0 6px">{probability:.2f}</td>'
    )


def verdict(picture: Verdict, original: Verdict) -> str:
    """A table: each detector's probability of "inpainted", for this picture and for the untouched photograph."""
    if picture.missing:
        return note(picture.missing)
    rows = [*picture.probabilities.items(), ("soft vote", picture.vote)]
    before = {**original.probabilities, "soft vote": original.vote}
    lines = [
        f'<tr><th style="text-align:left;padding-right:8px">{escape(name)}</th>{_bar(value)}{_bar(before[name])}</tr>'
        for name, value in rows
    ]
    head = '<tr><th></th><th colspan="2">this picture</th><th colspan="2">the photograph</th></tr>'
    return f"<table><caption>Probability of being inpainted</caption>{head}{''.join(lines)}</table>"
