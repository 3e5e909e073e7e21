"""One photograph file, read once: checksum, perceptual hash, square, mask, points and measured captions.

Runs in worker processes, so it imports little. Not here: what the whole set makes of it; see ``index``.
"""

import functools
import hashlib
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nbsupport.config import DataConfig
from nbsupport.core import images
from nbsupport.core.errors import TooManyPixels, UnusableImage
from nbsupport.data import SOURCES, geometry
from nbsupport.data.photo import Photo

#: With fewer photographs, starting worker processes takes longer than it saves.
WORTH_A_POOL = 400
#: A box that covers more of the frame than this says nothing about where in the picture the object is.
BOX_SAYS_NOTHING = 0.9


@dataclass(frozen=True)
class Ingested:
    """What one file gave: size in pixels (upright), hashes, the square of the cache with its mask and points."""

    width: int
    height: int
    sha256: str
    phash: int | None
    image: np.ndarray  # (S, S, 3) uint8 RGB
    object_mask: np.ndarray | None  # (S, S) bool, True = object
    parts: dict[str, tuple[float, float]]  # in pixels of the square
    captions: tuple[str, ...]  # the photograph's own, or those that its source measured
    mask_problem: str | None = None


def ingest(photo: Photo, *, root: Path, config: DataConfig) -> Ingested | str:
    """Read one photograph; a file that cannot be used gives the reason as a string."""
    source, size, fit = config.dataset, config.image_size, config.fit
    compose = getattr(SOURCES[source], "compose_captions", None)
    if not photo.captions and compose is None:
        return "no caption"
    try:
        data = images.read_bytes(Path(root) / photo.path)
        picture = images.decode(data, config.max_megapixels * 1_000_000)
    except TooManyPixels as error:
        return f"{error} (chapter 1: max_megapixels)"
    except UnusableImage as error:
        return str(error)
    width, height = picture.size
    frame = geometry.choose_frame(width, height, photo.box, fit)
    image = geometry.cut_image(picture, frame, size)
    mask, problem = _object_mask(photo, source, root, (height, width))
    if problem and getattr(SOURCES[source], "MASKS_MUST_FIT", False):
        return problem
    mask = None if mask is None else geometry.cut_mask(mask, frame, size)
    # before a box stands in for the mask: it is too coarse to measure colours in
    captions = photo.captions or compose(Path(root), photo, image, mask, config.seed)
    if mask is None and geometry.clip_box(photo.box, width, height):
        mask = geometry.cut_box(photo.box, frame, size)
        mask = mask if mask.mean() <= BOX_SAYS_NOTHING else None
    return Ingested(
        width=width,
        height=height,
        sha256=hashlib.sha256(data).hexdigest(),
        phash=images.perceptual_hash(picture),
        image=image,
        object_mask=mask,
        parts=geometry.cut_points(photo.parts, frame, size),
        captions=captions,
        mask_problem=problem,
    )


def _object_mask(photo: Photo, source: str, root: Path, shape: tuple[int, int]) -> tuple[np.ndarray | None, str | None]:
    """The object mask of the source, (H, W) bool of the picture's `shape`, or None, and what is wrong with it if it is.

    A mask of the picture's aspect ratio is brought to its size. One that cannot be read, or of another ratio, is no
    reason to lose the photograph: it is left out and said.
    """
    if photo.object_mask is None:
        return None, None
    try:
        mask = SOURCES[source].read_object_mask(Path(root), photo.object_mask)
    except Exception as error:  # foreign bytes again
        return None, f"the object mask cannot be read: {error}"
    if not geometry.same_aspect(mask.shape, shape):
        return None, f"the object mask is {mask.shape[1]} x {mask.shape[0]}, the picture {shape[1]} x {shape[0]}"
    mask = np.asarray(mask, dtype=bool)
    return (mask if mask.shape == shape else geometry.resize_mask(mask, shape)), None


def workers_available() -> int:
    """How many processes this machine grants us, at most 16."""
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(granted, 16)


def ingest_all(
    photos: Sequence[Photo],
    *,
    root: Path,
    config: DataConfig,
    workers: int | None = None,
) -> Iterator[Ingested | str]:
    """Read photographs in several processes and yield what each gave, in their order.

    Processes are spawned, not forked: a notebook's threads do not survive a fork. Where no process can be started, or
    one dies (out of memory), the rest is read in this one.
    """
    work = functools.partial(ingest, root=Path(root), config=config)
    workers = workers_available() if workers is None else workers
    done = 0
    if workers > 1 and len(photos) >= WORTH_A_POOL:
        try:
            with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
                for result in pool.map(work, photos, chunksize=16):
                    yield result
                    done += 1
        except (BrokenProcessPool, OSError):
            pass
    for photo in photos[done:]:
        yield work(photo)
