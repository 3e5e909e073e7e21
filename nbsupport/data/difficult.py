"""Picture files as they turn up in real folders: read with care, or rejected with a reason. For tests and chapter 1."""

import io
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

#: What :func:`write` makes and the reader must reject; everything else must be read.
UNREADABLE = ("truncated.jpg", "empty.jpg", "text.jpg", "gigantic.png", "tiny.png", "float.tiff", "damaged.png")


def write(folder: Path, picture: np.ndarray) -> dict[str, Path]:
    """Write one picture, (H, W, 3) uint8 RGB, in many difficult ways into `folder`: file name -> path.

    The name says what is difficult. ``gigantic.png`` claims 60,000 x 60,000 pixels in a file of a few dozen bytes.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.ascontiguousarray(picture))
    grey = np.asarray(image.convert("L"))
    alpha = Image.fromarray(np.broadcast_to(np.linspace(0, 255, grey.shape[1]), grey.shape).astype(np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6  # "turn by 90 degrees to the right to see it upright"
    mirror = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)

    image.save(folder / "plain.jpg", quality=90)
    image.convert("CMYK").save(folder / "cmyk.jpg", quality=90)
    image.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", quality=90, exif=turned)
    image.quantize(64).save(folder / "palette.png")
    image.quantize(64).save(folder / "palette_transparent.png", transparency=0)
    Image.merge("RGBA", [*image.split(), alpha]).save(folder / "alpha.png")
    Image.merge("LA", [image.convert("L"), alpha]).save(folder / "grey_alpha.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(folder / "grey_16_bit.png")
    image.quantize(64).save(folder / "animated.gif", save_all=True, append_images=[mirror.quantize(64)], duration=80)
    image.save(folder / "several.mpo", "MPO", save_all=True, append_images=[mirror])

    whole = (folder / "plain.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("This is not the page you are looking for.")
    (folder / "gigantic.png").write_bytes(_png_that_claims(60_000, 60_000))
    Image.fromarray(np.ascontiguousarray(picture[:8, :12])).save(folder / "tiny.png")
    Image.fromarray(grey.astype(np.float32)).save(folder / "float.tiff")
    stream = io.BytesIO()
    image.save(stream, "PNG")
    damaged = bytearray(stream.getvalue())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 64] = b"\xff" * 64
    (folder / "damaged.png").write_bytes(damaged)
    return {path.name: path for path in sorted(folder.iterdir())}


def _png_that_claims(width: int, height: int) -> bytes:
    """A PNG whose header names a size that its few bytes of pixels do not have."""
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "PNG")
    data = bytearray(stream.getvalue())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")  # IHDR follows signature, length and name
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)
