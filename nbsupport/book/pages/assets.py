"""What the pages are put together from: templates, sheets of pictures, packed holes, and JSON that cannot break out."""

import base64
import functools
import hashlib
import html
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

#: Bytes of a page at most; pictures are left out until it is smaller.
LIMIT = 3_000_000
GAIN = 4  # by which differences between pictures are multiplied
_COLUMNS, _EACH = 8, 64  # pictures in a row of a sheet, and in a sheet
_TEMPLATES = Path(__file__).resolve().parent / "templates"


def template(name: str) -> str:
    """The text of a file of the folder ``templates``."""
    return (_TEMPLATES / name).read_text("utf-8")


@functools.cache
def templates_fingerprint() -> str:
    """Hash of all templates and of the modules that fill them: another version of the package makes the page again."""
    files = sorted([*_TEMPLATES.glob("*.*"), *_TEMPLATES.parent.glob("*.py")])
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def embedded_json(value: object) -> str:
    """JSON for a script element: ``<``, ``>`` and ``&`` are escaped, so that no text can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def filled(values: Mapping[str, str]) -> str:
    """The frame of a page with its parts put in, all at once: what is put in is not searched for placeholders."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template("page.html"))


def assembled(name: str, title: str, data: object) -> str:
    """A whole page: the templates ``<name>.html``, ``.css`` and ``.js`` around its data."""
    return filled(
        {
            "title": html.escape(title),
            "style": template("base.css") + template(f"{name}.css"),
            "body": template(f"{name}.html"),
            "data": embedded_json(data),
            "script": template("common.js") + template(f"{name}.js"),
        }
    )


def notice(title: str, sentence: str, command: str = "") -> str:
    """A page that says why there is nothing to see, and which command makes it."""
    line = f"<pre><code>{html.escape(command)}</code></pre>" if command else ""
    body = template("notice.html").replace("{{command}}", line)
    body = body.replace("{{title}}", html.escape(title)).replace("{{sentence}}", html.escape(sentence))
    nothing = {"size": [1, 1], "sheets": {"sources": [], "each": _EACH, "columns": _COLUMNS}}
    return filled(
        {
            "title": html.escape(title),
            "style": template("base.css"),
            "body": body,
            "data": embedded_json(nothing),
            "script": template("common.js") + template("notice.js"),
        }
    )


def sheet(pictures: np.ndarray) -> str:
    """Pictures (N, H, W, 3) uint8, N at most 64, side by side in one lossless WebP, as a data URI."""
    height, width = pictures.shape[1:3]
    rows = -(-len(pictures) // _COLUMNS)
    whole = np.zeros((rows * height, _COLUMNS * width, 3), np.uint8)
    for n, picture in enumerate(pictures):
        top, left = n // _COLUMNS * height, n % _COLUMNS * width
        whole[top : top + height, left : left + width] = picture
    buffer = io.BytesIO()
    Image.fromarray(whole).save(buffer, "WEBP", lossless=True, quality=60, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def sheets(pictures: Sequence[np.ndarray]) -> dict[str, object]:
    """Pictures, each (H, W, 3) uint8, as sheets: number n is on sheet ``n // each``, at place ``n % each``."""
    parts = [np.stack(pictures[start : start + _EACH]) for start in range(0, len(pictures), _EACH)]
    return {"sources": [sheet(part) for part in parts], "each": _EACH, "columns": _COLUMNS}


def packed(hole: np.ndarray) -> str:
    """A hole (H, W) bool, True = hole, as base64, eight pixels a byte, rows from the top."""
    return base64.b64encode(np.packbits(hole.ravel()).tobytes()).decode()


class Store:
    """Pictures and holes collected for a page, each kept once.

    Attributes:
        pictures: (H, W, 3) uint8 each. holes: base64 texts.
    """

    def __init__(self) -> None:
        self.pictures: list[np.ndarray] = []
        self.holes: list[str] = []
        self._pictures: dict[bytes, int] = {}
        self._holes: dict[str, int] = {}

    def picture(self, picture: np.ndarray) -> int:
        """The number of a picture in the sheets."""
        key = hashlib.blake2b(np.ascontiguousarray(picture).tobytes(), digest_size=16).digest()
        if key not in self._pictures:
            self._pictures[key] = len(self.pictures)
            self.pictures.append(np.asarray(picture))
        return self._pictures[key]

    def hole(self, hole: np.ndarray) -> int:
        """The number of a hole."""
        text = packed(hole)
        if text not in self._holes:
            self._holes[text] = len(self.holes)
            self.holes.append(text)
        return self._holes[text]
