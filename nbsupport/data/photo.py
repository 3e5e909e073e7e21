"""What a source knows about a photograph before the file is opened, and the ids that photographs go by.

A source is a module of this package with ``load(root, *, captions=None, seed=0) -> list[Photo]`` (an error that says
how to mend it when the layout is not there) and, where it has object masks, ``read_object_mask(root, object_mask) ->
(H, W) bool, True = object``, which opens the file that ``Photo.object_mask`` names (with ``MASKS_MUST_FIT = True``
one that cannot be read or does not fit rejects its photograph, else it is left out). A source whose captions must be
measured in the pictures may leave them empty and give ``compose_captions(root, photo, image, object_mask, seed) ->
tuple[str, ...]`` besides: it is called while the picture is open anyway, with the square that goes into the cache,
(S, S, 3) uint8 RGB, and the object mask cut alike, (S, S) bool, or None where none is known.
Not here: anything that opens a picture; see ``images`` and ``index``.
"""

import dataclasses
import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

_LONGEST = 150  # characters of an id: files are called after it, with more behind, and a name has room for 255


@dataclass(frozen=True)
class Photo:
    """One photograph as its source lists it.

    Attributes:
        image_id: unique in its source, of ``[A-Za-z0-9_.-]`` only, so that it can be a file name.
        path: relative to the source's root, with forward slashes.
        label: species, breed or class.
        captions: sentences about this photograph, at least one by the time it is indexed.
        split: the official split, where the set has one. Kept beside ours and never used for it.
        box: the object's bounding box ``(x, y, width, height)`` in pixels of the upright picture, or None.
        object_mask: path of the object mask relative to the root; the source's ``read_object_mask`` opens it.
        parts: visible parts only, name -> ``(x, y)`` in pixels of the upright picture.
        keys: anything else that two photographs may share and that must keep them in one split (a scene, a burst).
    """

    image_id: str
    path: str
    label: str
    captions: tuple[str, ...] = ()
    split: str | None = None
    box: tuple[float, float, float, float] | None = None
    object_mask: str | None = None
    parts: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    keys: tuple[str, ...] = ()


def safe_name(text: str) -> str:
    """`text` with everything but ``[A-Za-z0-9_.-]`` taken out: accents dropped, other signs turned into ``_``."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", plain).strip("._")


def unique_ids(paths: Sequence[str]) -> list[str]:
    """An id for each path: its stem made file-name safe, with the folder or a short hash where that is not unique.

    An id depends on the set of paths only, not on their order; two ids never differ by case alone.

    >>> unique_ids(["a/cat.jpg", "b/cat.jpg", "a/dög 1.png"])
    ['a_cat', 'b_cat', 'dog_1']
    """
    stems = [safe_name(PurePosixPath(path).stem)[:_LONGEST] for path in paths]
    folders = [safe_name("_".join(PurePosixPath(path).with_suffix("").parts))[:_LONGEST] for path in paths]
    hashes = [hashlib.blake2b(path.encode(errors="surrogateescape"), digest_size=5).hexdigest() for path in paths]
    ids = stems
    for choice in (folders, [f"{stem or 'photo'}-{digest}" for stem, digest in zip(stems, hashes, strict=True)]):
        taken = Counter(name.lower() for name in ids)
        ids = [old if old and taken[old.lower()] == 1 else new for old, new in zip(ids, choice, strict=True)]
    return ids
