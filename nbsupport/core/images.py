"""Reading any photograph file as upright 8-bit RGB, or saying in one sentence why it cannot be read.

What people keep in folders of photographs is wider than what networks eat: CMYK scans, palettes, 16-bit grey, alpha,
animations, turned phones, half-copied files. Each is either read properly or rejected with a reason; none stops the
rest, and none changes a global setting of Pillow. Also here: the perceptual hash that finds near-duplicates.
Not here: how a picture becomes a square; see ``geometry``.
"""

import functools
import io
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from nbsupport.core.errors import TooManyPixels, UnusableImage

#: More pixels than this are not decoded: a small file can claim a gigantic picture and fill the memory.
MAX_PIXELS = 120_000_000  # a telephone's 108 megapixels pass
MAX_BYTES = 1 << 30
#: A picture with a side shorter than this holds nothing that could be painted in.
MIN_SIDE = 16

# Photographs only. Other formats that Pillow knows run outside programs (EPS) or draw (WMF).
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "MPO", "PPM", "JPEG2000", "AVIF", "TGA", "HEIF")
_SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jfif",
        ".jpe",
        ".png",
        ".webp",
        ".avif",
        ".bmp",
        ".tif",
        ".tiff",
        ".gif",
        ".jp2",
        ".ppm",
        ".tga",
    }
)
_ORIENTATION = 0x0112  # EXIF tag


def read_image(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a photograph: (H, W, 3) uint8 RGB, upright (EXIF orientation applied), transparency laid on white.

    Of an animation the first frame is read; 16-bit grey is scaled to 8 bits.

    Raises:
        UnusableImage: the file is missing, empty, truncated, corrupt, no picture, has more than `max_pixels` pixels
            (judged by its header, before anything is decoded), or a side below ``MIN_SIDE`` pixels.
    """
    return np.asarray(decode(read_bytes(path), max_pixels))


def read_grey(path: str | os.PathLike) -> np.ndarray:
    """Read a mask file as greys, (H, W) uint8, alpha left out; raises :class:`UnusableImage` as :func:`read_image`."""
    return np.asarray(_mask_picture(read_bytes(path), MAX_PIXELS)[0].convert("L"))


def read_mask(source: str | os.PathLike | bytes, *, trimap: bool = False, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read an object mask in any of the usual forms, upright: (H, W) bool, True = object.

    A palette holds classes: all but 0 (background) and 255 (void) are object. Transparency that varies is the mask.
    Colours are classes too, on black. Greys are 0/255, shades cut at the middle, 0/1, or ids of which all but 0 are
    object. What could be two of these is refused.

    Args:
        source: a file, or the bytes of one.
        trimap: levels of 1, 2 and 3 alone are a trimap of the Oxford pets: 1 is object, 2 not, 3 the border, object.
        max_pixels: more are not decoded.

    Raises:
        UnusableImage: as :func:`read_image`, or a picture that does not say what is object; the message says what does.
    """
    image, lossy = _mask_picture(source if isinstance(source, bytes) else read_bytes(source), max_pixels)
    if image.mode in ("LA", "La", "RGBA", "RGBa", "PA"):
        alpha = np.asarray(image.getchannel("A" if image.mode[-1] == "A" else "a"))
        if alpha.min() < alpha.max():
            return alpha > 127
        image = image.convert("RGB")
    if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
        image = image.convert("RGB")
        values = np.asarray(image)
        if (np.ptp(values.astype(np.int16), axis=2) > (40 if lossy else 0)).any():
            return _coloured_mask(values, lossy)
        image = image.convert("L")
    values = np.asarray(image)
    if values.dtype == bool:
        return values
    if trimap and not lossy and values.min() >= 1 and values.max() <= 3:
        return values != 2
    if image.mode == "P":
        return (values != 0) & (values != 255)
    return _grey_mask(
        values.astype(np.int64), 65535 if values.dtype.itemsize > 1 and values.max() > 255 else 255, lossy
    )


def _mask_picture(data: bytes, max_pixels: int) -> tuple[Image.Image, bool]:
    """A mask file decoded with its own levels, and whether its format changes levels on saving."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = _open(data, max_pixels)
            image.load()
            lossy = image.format in ("JPEG", "MPO", "AVIF", "JPEG2000", "WEBP", "HEIF")
            if image.mode == "P" and "transparency" in image.info:
                image = image.convert("RGBA")
            return _upright(image), lossy
        except UnusableImage:
            raise
        except UnidentifiedImageError:
            raise UnusableImage("not a picture, or of a format that is not read") from None
        except Exception as error:  # foreign bytes: each decoder fails in ways of its own
            raise UnusableImage(f"corrupt: {str(error) or type(error).__name__}") from None


_SAVE_IT = "Save it as a PNG of 0 (not object) and 255 (object)"


def _coloured_mask(values: np.ndarray, lossy: bool) -> np.ndarray:
    """Classes by colour, (H, W, 3) uint8, as the palette of VOC has them: black is background, its cream is void."""
    colours = np.unique(values.reshape(-1, 3), axis=0)
    black = (values == 0).all(axis=2)
    if lossy or len(colours) > 256 or not black.any():
        raise UnusableImage(f"a coloured picture, not classes in single colours on black. {_SAVE_IT}")
    return ~black & (values != (224, 224, 192)).any(axis=2)


def _grey_mask(values: np.ndarray, full: int, lossy: bool) -> np.ndarray:
    """What is object in greys from 0 to `full`, (H, W) int64."""
    middle, levels = full // 2, np.unique(values)
    low, high = levels[(levels > 0) & (levels <= middle)], levels[levels > middle]
    if len(levels) == 1 and 0 < levels[0] <= middle:
        raise UnusableImage(f"a mask of one grey level ({levels[0]}), of which nobody knows what it means. {_SAVE_IT}")
    if not len(high):
        if lossy and len(low):
            raise UnusableImage(f"levels of at most {levels[-1]} in a format that changes them. {_SAVE_IT}")
        if len(levels) > 1 and levels[0] > 0:
            raise UnusableImage(f"levels {levels[0]} to {levels[-1]} without 0 for what is not object. {_SAVE_IT}")
        return values > 0
    if len(low) and not lossy:
        if high[-1] < full * 0.78:
            raise UnusableImage(f"levels up to {high[-1]}, which may be ids or shades. {_SAVE_IT}")
        if len(high) == 1 and len(low) < 40 and (values == 0).any() and np.isin(values, low).mean() > 0.02:
            raise UnusableImage(f"levels {low[0]} to {low[-1]} and {high[0]}, which may be ids and void. {_SAVE_IT}")
    return values > middle


def read_bytes(path: str | os.PathLike) -> bytes:
    """The bytes of a file; raises :class:`UnusableImage` where it is missing, unreadable, empty or over 1 GiB."""
    try:
        size = os.stat(path).st_size
        if size > MAX_BYTES:
            raise UnusableImage(f"the file has {size / 2**20:.0f} MiB, more than {MAX_BYTES >> 20}")
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise UnusableImage("the file is missing") from None
    except OSError as error:
        raise UnusableImage(f"the file cannot be opened: {error.strerror}") from None
    if not data:
        raise UnusableImage("the file is empty")
    return data


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """The picture with its header read and nothing decoded yet; raises TooManyPixels, and what Pillow raises."""
    image = Image.open(io.BytesIO(data), formats=_known_formats())
    if image.width * image.height > max_pixels:
        raise TooManyPixels(f"{image.width} x {image.height} pixels, more than the {max_pixels:,} allowed")
    return image


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode the bytes of a picture file to an upright Pillow image of mode RGB; see :func:`read_image`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged EXIF and the like; what matters raises
        try:
            image = _open(data, max_pixels)
            if min(image.size) < MIN_SIDE:
                raise UnusableImage(f"{image.width} x {image.height} pixels, a side is shorter than {MIN_SIDE}")
            image.load()
            return _to_rgb(_in_srgb(_upright(image)))
        except UnusableImage:
            raise
        except UnidentifiedImageError:
            raise UnusableImage("not a picture, or of a format that is not read") from None
        except Image.DecompressionBombError as error:
            raise UnusableImage(f"gigantic: {error}") from None
        except MemoryError:
            raise UnusableImage("too large for the memory of this machine") from None
        except Exception as error:  # foreign bytes: each decoder fails in ways of its own
            reason = "truncated" if "truncated" in str(error) or isinstance(error, EOFError) else "corrupt"
            raise UnusableImage(f"{reason}: {str(error) or type(error).__name__}") from None


@functools.cache
def suffixes() -> frozenset[str]:
    """File endings taken for photographs in a folder; those of HEIC where ``pillow-heif`` can decode it."""
    try:
        import pillow_heif
    except ImportError:
        return _SUFFIXES
    pillow_heif.register_heif_opener()
    return _SUFFIXES | {".heic", ".heif"}


def _known_formats() -> list[str]:
    Image.init()  # loads the decoders; which of them exist depends on how Pillow was built
    suffixes()  # and the one of HEIC
    return [name for name in _FORMATS if name in Image.OPEN]


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; EXIF that cannot be read counts as none."""
    try:
        turned = image.getexif().get(_ORIENTATION, 1) not in (None, 0, 1)
    except Exception:  # the picture itself is whole
        return image
    return ImageOps.exif_transpose(image) if turned else image


def _in_srgb(image: Image.Image) -> Image.Image:
    """Colours by the picture's own ICC profile, turned into sRGB; a damaged profile counts as none."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "CMYK") or "transparency" in image.info:
        return image
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16") or image.mode == "I":
        return _grey_from_integers(image)
    if image.mode == "F":
        raise UnusableImage("floating-point pixels, whose range the file does not say")
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        # Pillow goes from La and PA to RGBA in steps of its own
        image = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _grey_from_integers(image: Image.Image) -> Image.Image:
    """16-bit grey to RGB; ``convert`` would clip everything above 255 to white."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise UnusableImage("32-bit pixels, whose range the file does not say")
    grey = np.rint(values / 257).astype(np.uint8)
    return Image.fromarray(grey, "L").convert("RGB")


# The first 8 rows of the 32-point DCT-II, unscaled as in scipy.fft.dct.
_DCT = 2 * np.cos(np.pi * np.outer(np.arange(8), 2 * np.arange(32) + 1) / 64)


def perceptual_hash(image: Image.Image) -> int | None:
    """The 64-bit DCT hash of a picture, equal to ``imagehash.phash``; the first coefficient is the highest bit.

    The picture is reduced to 32 x 32 greys; a bit says whether one of its 8 x 8 lowest frequencies lies above their
    median. Of a picture that is all but plain the bits are rounding noise, and two such pictures would look alike or
    not by chance: it has no hash (None) and is compared by its bytes alone.

    Source: Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions (2010), as in ImageHash.
    """
    small = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), dtype=np.float64)
    if small.std() < 2.0:  # of 255 grey levels
        return None
    low = _DCT @ small @ _DCT.T
    bits = (low > np.median(low)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
