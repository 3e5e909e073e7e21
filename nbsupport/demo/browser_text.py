"""The error browser's sentences, bars and exported files. Whatever came with the data is escaped here, once."""

import base64
import io
from collections.abc import Mapping
from html import escape

import numpy as np
import pandas as pd
from PIL import Image

from nbsupport.demo import text
from nbsupport.demo.browser_state import BrowserState, Detail, Query
from nbsupport.plots.evaluation import outlined

#: Pictures in an exported page; more would make a file that no browser opens gladly.
MOST_EXPORTED = 400
_FACTS = ("image_id", "species", "arm", "inpainter", "mask_kind", "part", "coverage", "outcome", "probability")
_COLOURS = {"found": "#00704F", "passed": "#00704F", "miss": "#B04500", "false alarm": "#B04500"}  # dark: small text
_TABLE = 'style="line-height:1.6"'
_WORDS = {
    "found": "✓ found",
    "passed": "✓ passed",
    "miss": "✗ miss",
    "false alarm": "✗ false alarm",
}


def word(value: object) -> str:
    """A fact as it is shown: escaped, shares in per cent, nothing for what is missing."""
    if value is None or (isinstance(value, float) and np.isnan(value)) or value == "":
        return "–"
    return f"{value:.1%}" if isinstance(value, float | np.floating) else escape(str(value))


def outcome(name: str) -> str:
    """An outcome with its sign and colour."""
    return f'<b style="white-space:nowrap;color:{_COLOURS[name]}">{_WORDS[name]}</b>'


def found(rows: pd.DataFrame, whole: int, first: int, last: int) -> str:
    """One line about an answer: how many, of how many, what outcomes, which of them are shown."""
    if not len(rows):
        return text.note("No picture of this run fits these filters. Widen one of them, or press Reset.", "fake")
    outcomes = rows["outcome"].value_counts()
    counts = ", ".join(f"{escape(name)} {number:,}" for name, number in outcomes.items())
    return f'<p style="margin:0"><b>{len(rows):,}</b> of {whole:,} pictures ({counts}); shown: {first:,}–{last:,}</p>'


def thumb(row: Mapping) -> str:
    """The line under a small picture."""
    words = f"{outcome(row['outcome'])}<br>{row['probability']:.2f} · {word(row['arm'])}"
    return f'<div style="font-size:12px;line-height:1.3">{words}</div>'


def facts(row: Mapping) -> str:
    """A table of what is known of a picture."""
    names = {"image_id": "picture", "inpainter": "painted by", "mask_kind": "hole", "coverage": "hole's area",
             "probability": "probability of inpainted"}  # fmt: skip
    shown = {key: row.get(key) for key in _FACTS if key not in ("outcome", "probability")}
    if row["label"] == 0:
        shown["inpainter"] = "nobody: a photograph; the hole is that of its fakes"
    shown["wrong single detectors"] = int(row["wrong_detectors"])
    cells = [
        f'<tr><th style="text-align:left;padding-right:8px;font-weight:normal;color:#5A5A5A">{names.get(key, key)}</th>'
        f"<td>{word(value)}</td></tr>"
        for key, value in shown.items()
    ]
    return f"<table {_TABLE}>{''.join(cells)}</table>"


def bars(scores: pd.DataFrame) -> str:
    """Every detector's probability of "inpainted" as a bar, with the outcome in words; ensembles last."""
    several = scores["seed"].nunique() > 1
    lines = []
    for row in scores.to_dict("records"):
        name = escape(str(row["detector"])) + (f" ({row['seed']})" if several else "")
        width = 100 * float(row["probability"])
        lines.append(
            f'<tr><th style="text-align:left;padding-right:8px;font-weight:normal">{name}</th>'
            '<td style="min-width:120px"><div style="position:relative;background:#e6e6e6;height:10px">'
            f'<div style="background:{"#D55E00" if width >= 50 else "#0072B2"};height:10px;width:{width:.0f}%"></div>'
            '<div style="position:absolute;left:50%;top:-2px;width:1px;height:14px;background:#555"></div></div></td>'
            f'<td style="padding:0 10px 0 6px">{row["probability"]:.2f}</td><td>{outcome(row["outcome"])}</td></tr>'
        )
    caption = '<caption style="text-align:left;color:#5A5A5A">Probability of being inpainted</caption>'
    return f"<table {_TABLE}>{caption}{''.join(lines)}</table>"


def png_uri(picture: np.ndarray, enlarge: int = 1) -> str:
    """A picture (H, W, 3) uint8 as a data URI, enlarged by a whole factor."""
    grown = np.ascontiguousarray(picture.repeat(enlarge, axis=0).repeat(enlarge, axis=1))
    buffer = io.BytesIO()
    Image.fromarray(grown).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def sentence(query: Query) -> str:
    """What a query asks for, in words, not escaped."""
    parts = [f"detector {query.detector}, seed {query.seed}"]
    for name in ("outcome", "arm", "species", "kind", "part", "inpainter"):
        if (value := getattr(query, name)) is not None:
            parts.append(f"{name} {value}")
    for name in ("coverage", "probability", "error", "wrong"):
        if (limits := getattr(query, name)) is not None:
            parts.append(f"{name} from {limits[0]:g} to {limits[1]:g}")
    return "; ".join(parts) + f"; sorted by: {query.sort}"


def _card(detail: Detail, enlarge: int) -> str:
    hole = detail.hole if detail.hole is not None else np.zeros(detail.picture.shape[:2], bool)
    pictures = f'<img alt="the picture as judged" src="{png_uri(detail.picture, enlarge)}">'
    pictures += f'<img alt="the same with its hole outlined" src="{png_uri(outlined(detail.picture, hole, enlarge))}">'
    return (
        f"<article><div>{pictures}</div><p>{text.caption(str(detail.row['caption']))}</p>"
        f"{facts(detail.row)}{bars(detail.scores)}</article>"
    )


def html_export(state: BrowserState, rows: pd.DataFrame, query: Query, photographs: bool) -> str:
    """A page of its own with the first :data:`MOST_EXPORTED` pictures of an answer; nothing is loaded from elsewhere.

    Args: photographs: whether the pictures are photographs of a data set; the page then says that it is not to be
        published.
    """
    shown = rows.head(MOST_EXPORTED)
    enlarge = max(1, 160 // state.pictures.shape[2])
    cards = [_card(state.detail(row), enlarge) for row in shown.to_dict("records")]
    limit = "" if len(shown) == len(rows) else f" The first {len(shown):,} are shown; the CSV file holds all."
    warning = "<p><b>These are photographs of a data set: do not publish this page.</b></p>" if photographs else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Selected pictures</title><style>'
        "body{font:14px/1.4 system-ui,sans-serif;margin:16px;color:#222;background:#fff}main{display:flex;flex-wrap:"
        "wrap;gap:16px}article{border:1px solid #ccc;border-radius:6px;padding:12px;max-width:410px}img{image-rendering"
        ":pixelated;margin-right:6px}p{margin:6px 0}caption{text-align:left;color:#5A5A5A}</style></head><body>"
        f"<h1>{len(rows):,} selected pictures</h1><p>{escape(sentence(query))}.{limit}</p>{warning}"
        f"<main>{''.join(cards)}</main></body></html>"
    )


def csv_export(rows: pd.DataFrame) -> str:
    """The rows of an answer as CSV. A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    safe = rows.copy()
    for column in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[column]):
            values = safe[column].astype(object)
            risky = values.map(lambda value: isinstance(value, str) and value[:1] in tuple("=+-@\t\r"))
            safe[column] = values.where(~risky, "'" + values.astype(str))
    return safe.to_csv(index=False)
