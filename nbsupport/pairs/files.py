"""The one path by which every picture of the set, real or fake, becomes a file.

A detector takes whatever tells the classes apart most cheaply. If real photographs were JPEG files and fakes were PNG,
or merely saved by two libraries, it would learn the encoder. Hence: one function, one set of parameters, no metadata.
"""

import hashlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from nbsupport.errors import UserError
from nbsupport.runs import atomic_path

SUFFIX = ".png"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encode(image: np.ndarray) -> bytes:
    """Encode (H, W, 3) uint8 RGB as PNG: lossless, fixed compression level, no ancillary chunk."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", compress_level=1, optimize=False)
    return buffer.getvalue()


def decode(content: bytes, name: object = "the file") -> np.ndarray:
    """Decode what :func:`encode` wrote: (H, W, 3) uint8 RGB.

    Raises:
        UserError: cut short, or not such a file; `name` is said in the message.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.format != "PNG" or picture.mode != "RGB":
                raise UserError(f"'{name}' is {picture.format} {picture.mode}, not a PNG in RGB of a paired set.")
            return np.array(picture)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UserError(f"'{name}' is not a whole PNG file ({error}). Delete it and run chapter 5 again.") from error


def write(path: Path, image: np.ndarray) -> tuple[str, int]:
    """Encode `image` (H, W, 3) uint8 into `path`, atomically; return its SHA-256 and its size in bytes."""
    content = encode(image)
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise UserError(
            f"'{path}' cannot be written ({error.strerror}). Make room or choose another folder with NBSUPPORT_RUNS, "
            "then run chapter 5 again; it goes on where it stopped."
        ) from error
    return hashlib.sha256(content).hexdigest(), len(content)


def read(path: Path) -> np.ndarray:
    """Read one picture: (H, W, 3) uint8 RGB; raises :class:`UserError` if it is missing or broken."""
    try:
        return decode(Path(path).read_bytes(), path)
    except FileNotFoundError:
        raise UserError(f"'{path}' is missing from the paired set. Run chapter 5 again to restore it.") from None


def form(content: bytes) -> dict[str, object]:
    """Everything about a PNG file that is not its pixels: what must be the same in both classes.

    Returns:
        ``header`` (width, height, bit depth, colour type, compression, filter method, interlace), ``chunks`` (their
        types in order, repeated ones once), ``zlib`` (the two header bytes that tell window and level), ``tail`` (bytes
        after the end).
    """
    if not content.startswith(_SIGNATURE):
        return {"header": None, "chunks": (), "zlib": None, "tail": len(content)}
    position, chunks, header, stream = len(_SIGNATURE), [], None, None
    while position + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        body = content[position + 8 : position + 8 + length]
        if zlib.crc32(kind + body) != struct.unpack_from(">I", content, position + 8 + length)[0]:
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
