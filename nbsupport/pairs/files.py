"""The one path by which every picture of the set, real or fake, becomes a file.

A detector takes whatever tells the classes apart most cheaply. If real photographs were JPEG files and fakes were PNG,
or merely saved by two libraries, it would learn the encoder. Hence: one function, one set of parameters, no metadata.
Not here: which files stand together on the disk (:mod:`.storage`).
"""

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from nbsupport.core.errors import ConfigError, UserError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FORMATS = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP"}


@dataclass(frozen=True)
class Encoding:
    """How a picture is written: a format and, for the lossy ones, a quality.

    PNG: compression level 1, no ancillary chunk. JPEG: 4:2:0, baseline, standard Huffman tables. WebP: lossy, method 4.
    """

    format: str  # png | jpeg | webp
    quality: int | None = None  # 1 to 100, None for png

    @classmethod
    def parse(cls, text: str) -> "Encoding":
        """Read ``png``, ``jpeg:QUALITY`` or ``webp:QUALITY``; raises :class:`ConfigError` for anything else."""
        name, colon, quality = text.partition(":")
        if text == "png":
            return cls("png")
        if name in _FORMATS and name != "png" and colon and quality.isdecimal() and 1 <= int(quality) <= 100:
            return cls(name, int(quality))
        raise ConfigError(f"'{text}' is no encoding. Write png, or jpeg:90 or webp:80 with a quality from 1 to 100.")

    @property
    def suffix(self) -> str:
        """The ending of file names, e.g. ``.png``."""
        return {"jpeg": ".jpg"}.get(self.format, f".{self.format}")

    @property
    def lossless(self) -> bool:
        """Whether decoding gives the very pixels that were encoded."""
        return self.format == "png"

    def encode(self, image: np.ndarray) -> bytes:
        """Encode (H, W, 3) uint8 RGB."""
        options = {
            "png": {"compress_level": 1, "optimize": False},
            "jpeg": {"quality": self.quality, "subsampling": 2, "optimize": False, "progressive": False},
            "webp": {"quality": self.quality, "method": 4, "lossless": False},
        }[self.format]
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(image)).save(buffer, _FORMATS[self.format], **options)
        return buffer.getvalue()

    def through(self, image: np.ndarray) -> np.ndarray:
        """What is left of (H, W, 3) uint8 RGB after encoding and decoding."""
        return decode(self.encode(image))


def decode(content: bytes, name: object = "the file") -> np.ndarray:
    """Decode what :meth:`Encoding.encode` wrote: (H, W, 3) uint8 RGB.

    Raises:
        UserError: cut short, or not such a file; `name` is said in the message.
    """
    try:
        with Image.open(io.BytesIO(content), formats=tuple(_FORMATS.values())) as picture:
            if picture.mode != "RGB":
                raise UserError(f"'{name}' is {picture.format} {picture.mode}, not RGB as a paired set's files are.")
            return np.array(picture)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UserError(f"'{name}' is not a whole PNG, JPEG or WebP file ({error}). Make the set again.") from error


def form(content: bytes) -> dict[str, object]:
    """Everything about a file that is not its pixels: what must be the same in both classes.

    Returns:
        PNG: ``header`` (width, height, bit depth, colour type, compression, filter method, interlace), ``chunks``
        (their types in order, repeated ones once), ``zlib`` (the two header bytes that tell window and level), ``tail``
        (bytes after the end). JPEG: ``size``, ``mode``, ``tables`` (quantisation), ``segments`` (markers in order).
        WebP: ``size``, ``mode``, ``chunks``. Anything else: ``tail``.
    """
    if content.startswith(_SIGNATURE):
        return _form_png(content)
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "WEBP")) as picture:
            told = {"format": picture.format, "size": picture.size, "mode": picture.mode}
            if isinstance(picture, JpegImageFile):
                tables = {key: tuple(table) for key, table in picture.quantization.items()}
                return told | {"tables": tables, "segments": _jpeg_segments(content)}
            return told | {"chunks": _webp_chunks(content)}
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return {"format": None, "tail": len(content)}


def _form_png(content: bytes) -> dict[str, object]:
    position, chunks, header, stream = len(_SIGNATURE), [], None, None
    while position + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        body = content[position + 8 : position + 8 + length]
        whole = position + 12 + length <= len(content)
        if not whole or zlib.crc32(kind + body) != struct.unpack_from(">I", content, position + 8 + length)[0]:
            kind = b"bad!"
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", body)
        if kind == b"IDAT" and stream is None:
            stream = body[:2].hex()
        if not chunks or chunks[-1] != kind.decode("latin-1"):
            chunks.append(kind.decode("latin-1"))
        position += 12 + length
        if kind == b"IEND":
            break
    return {"header": header, "chunks": tuple(chunks), "zlib": stream, "tail": len(content) - position}


def _jpeg_segments(content: bytes) -> tuple[str, ...]:
    """The markers up to the picture's data, with the lengths of those that are not entropy-coded."""
    position, found = 2, []
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker, length = content[position + 1], struct.unpack_from(">H", content, position + 2)[0]
        found.append(f"{marker:02x}:{length}")
        if marker == 0xDA:  # start of scan: the compressed data follow
            break
        position += 2 + length
    return tuple(found)


def _webp_chunks(content: bytes) -> tuple[str, ...]:
    position, found = 12, []
    while position + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, position)
        found.append(kind.decode("latin-1"))
        position += 8 + length + length % 2
    return tuple(found)
