"""Files handed in at the demo: what is read, what is refused, and that no name of a file is ever believed."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from nbsupport.core.errors import UnusableImage
from nbsupport.demo import uploads


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def smooth(width=80, height=60):
    draw = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(cv2.resize(draw, (width, height), interpolation=cv2.INTER_CUBIC))


def png_header(width, height):
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9)) + chunk(b"IEND", b"")
    )


GOOD = {
    "photo.jpg": encoded(smooth(), "JPEG"),
    "cmyk.jpg": encoded(smooth().convert("CMYK"), "JPEG"),
    "sixteen.png": encoded(Image.fromarray((np.arange(80 * 60, dtype=np.uint16) * 13).reshape(60, 80))),
    "alpha.webp": encoded(smooth().convert("RGBA"), "WEBP"),
    "animated.gif": encoded(smooth(), "GIF", save_all=True, append_images=[smooth().rotate(90)]),
    "palette.bmp": encoded(smooth().convert("P"), "BMP"),
    "a photo without a suffix": encoded(smooth(), "TIFF"),
    "wrong suffix.txt": encoded(smooth(), "PNG"),
}
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="80" height="60"><script>alert(1)</script></svg>'
BAD = {
    "empty.png": (b"", "0 bytes"),
    "truncated.jpg": (encoded(smooth(400, 300), "JPEG")[:2000], "truncated"),
    "bomb.png": (png_header(60_000, 60_000), "gigantic"),
    "fifty.png": (png_header(8000, 6250), "more than the"),
    "text.png": (b"this is a text, not a picture", "not a picture"),
    "script.svg": (SVG, "not a picture"),
    "page.html": (b"<html><script>alert(1)</script></html>", "not a picture"),
    "program.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 80 60\nshowpage\n", "not a picture"),
    "narrow.png": (encoded(smooth(4, 300)), "shorter than"),
    "corrupt.png": (encoded(smooth())[:60] + bytes(300), "broken data stream"),
    "float.tiff": (encoded(Image.fromarray(np.ones((60, 80), np.float32)), "TIFF"), "floating-point"),
}


@pytest.mark.parametrize("name", GOOD)
def test_photographs_are_read_whatever_they_are_called(name):
    upload = uploads.read_photograph(name, memoryview(GOOD[name]))
    assert upload.image.shape == (60, 80, 3) and upload.image.dtype == np.uint8 and upload.name == name
    assert len(upload.sha256) == 64 and upload.note == "" and upload.image.std() > 5


def test_a_losslessly_saved_photograph_arrives_as_it_was():
    assert np.array_equal(uploads.read_photograph("x.png", encoded(smooth())).image, np.asarray(smooth()))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert uploads.read_photograph("x.jpg", encoded(smooth(), "JPEG", exif=exif)).image.shape == (80, 60, 3)


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_with_a_reason(name):
    data, reason = BAD[name]
    with pytest.raises(UnusableImage) as caught:
        uploads.read_photograph(name, data)
    assert reason in str(caught.value) and f"'{name}'" in str(caught.value)


def test_a_file_with_too_many_bytes_is_refused_before_it_is_read():
    with pytest.raises(UnusableImage, match="MB"):
        uploads.read_photograph("x.png", bytes(uploads.MAX_BYTES + 1))


def test_a_large_photograph_is_made_smaller_and_says_so():
    upload = uploads.read_photograph("x.png", encoded(smooth(2000, 1000)))
    assert upload.image.shape == (800, 1600, 3) and "2000 x 1000 to 1600 x 800" in upload.note


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\bird.png", "bird.png"),
        ("a\nb\x00\u202ec.png", "abc.png"),
        ("", "a file"),
        ("x" * 100, "x" * 59 + "…"),
    ],
)
def test_a_name_is_only_ever_shown(name, shown):
    assert uploads.shown_name(name) == shown


@pytest.mark.parametrize("level", [1, 7, 255])
def test_masks_are_read_as_own_folders_read_them(level):
    values = np.zeros((30, 20), np.uint8)
    values[5:10, 5:15] = level
    hole = uploads.read_mask("m.png", encoded(Image.fromarray(values)))
    assert hole.dtype == bool and np.array_equal(hole, values > 0)
    with pytest.raises(UnusableImage, match="'m.png' cannot be used as a mask"):
        uploads.read_mask("m.png", b"x")
