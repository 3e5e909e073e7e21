"""Drawing one hole from a seed and a name, or a batch of fresh ones from a generator."""

from collections.abc import Mapping, Sequence

import numpy as np

from nbsupport.config import MASK_KINDS
from nbsupport.core import rng
from nbsupport.core.errors import ConfigError, unknown
from nbsupport.masks import fields, strokes


def tolerance(height: int, width: int) -> float:
    """How far the coverage of a hole may lie outside the interval that was asked for, as a fraction of the area.

    Half of one edge of pixels: rectangles grow by whole edges. Strokes, objects and parts are cut to the pixel up to
    1.5 times ``fields.GRID`` pixels a side, and within this tolerance above it.
    """
    return max(0.5 / min(height, width), 1 / (height * width))


def drawable(kind: str, object_mask: np.ndarray | None = None, part_xy: tuple[float, float] | None = None) -> bool:
    """Whether a photograph can have a hole of this kind.

    ``object`` needs an object that is neither nothing nor everything, ``part`` a finite point. `object_mask` is
    (H, W) bool, True = object; `part_xy` is (x, y) in pixels of the mask.
    """
    if kind == "object":
        return object_mask is not None and bool(object_mask.any()) and not bool(object_mask.all())
    return kind != "part" or (part_xy is not None and bool(np.isfinite(part_xy).all()))


def _check(kinds: Sequence[str], height: int, width: int, coverage: tuple[float, float]) -> None:
    for kind in kinds:
        if kind not in MASK_KINDS:
            raise ConfigError(unknown("mask kind", str(kind), MASK_KINDS))
    if not kinds:
        raise ConfigError(f"At least one mask kind is needed. Valid: {', '.join(MASK_KINDS)}.")
    if height < 1 or width < 1 or height * width < 2:
        raise ConfigError(f"A mask needs at least two pixels, got {height} x {width}: a hole is never all or nothing.")
    low, high = coverage
    if not 0 < low <= high < 1:
        raise ConfigError(f"The coverage must be (low, high) with 0 < low <= high < 1, got {tuple(coverage)!r}.")


def _draw(
    kind: str,
    height: int,
    width: int,
    generator: np.random.Generator,
    coverage: tuple[float, float],
    object_mask: np.ndarray | None,
    part_xy: tuple[float, float] | None,
    seed: int = 0,
    favour_small: bool = False,
) -> np.ndarray:
    """Draw one hole of a kind that is known to be drawable.

    The wanted coverage is uniform in the interval, or with `favour_small` its logarithm is.
    """
    low, high = coverage
    area, drawn = height * width, generator.random()
    wanted = low * (high / low) ** drawn if favour_small else low + (high - low) * drawn
    count = min(max(round(wanted * area), 1), area - 1)
    if kind == "centre":
        return fields.cut_edges(fields.centre(height, width), round(low * area), count, round(high * area))
    if kind == "rectangles":
        field = fields.rectangles(generator, height, width)
        return fields.cut_edges(field, round(low * area), count, round(high * area))
    if kind == "object":
        return fields.cut(fields.object_shape(object_mask, count), count)
    rows, columns = fields.grid_shape(height, width)
    if kind == "strokes":
        field = strokes.varied(generator, seed, (rows, columns), (height, width), count / area)
        return fields.cut_near(field, count)
    x = (part_xy[0] + 0.5) * columns / width - 0.5
    y = (part_xy[1] + 0.5) * rows / height - 0.5
    field = fields.blob(generator, rows, columns, x, y)
    return fields.enlarge_and_cut(field, height, width, count)


def draw(
    kind: str,
    size: int | tuple[int, int],
    *,
    seed: int,
    image_id: str,
    coverage: tuple[float, float],
    object_mask: np.ndarray | None = None,
    part_xy: tuple[float, float] | None = None,
) -> np.ndarray:
    """Draw the hole of one photograph: a pure function of its arguments, above all of (seed, image_id, kind).

    Args:
        kind: centre, rectangles, strokes, object or part. Where the photograph cannot have the kind (see
            :func:`drawable`), rectangles are drawn in its place.
        size: (height, width), or one number for both, in pixels.
        seed: the seed of the set of masks.
        image_id: the photograph's name.
        coverage: (low, high), the wanted hole area over the picture's area, drawn uniformly between them and reached
            within :func:`tolerance`. All kinds share one distribution of area, so that they can be compared.
        object_mask: (height, width) bool, True = object.
        part_xy: (x, y) of the part in pixels of the mask.

    Returns:
        (height, width) bool, True = hole; never empty and never everything.

    Raises:
        ConfigError: an unknown kind, an impossible coverage or size, or an object of another shape.
    """
    height, width = (size, size) if isinstance(size, int | np.integer) else size
    _check((kind,), height, width, coverage)
    if kind == "object" and object_mask is not None and object_mask.shape != (height, width):
        raise ConfigError(f"The object mask of '{image_id}' is {object_mask.shape}, the mask {(height, width)}.")
    generator = rng.generator(seed, image_id, "mask", kind)
    used = kind if drawable(kind, object_mask, part_xy) else "rectangles"
    return _draw(used, height, width, generator, coverage, object_mask, part_xy, seed)


def part_points(parts, count: int) -> list[np.ndarray]:
    """Sort the table of parts by photograph, for :func:`sample_batch`.

    Args:
        parts: table with the columns ``row, x, y`` (``ImageCache.parts``; pixels of the cache).
        count: number of photographs.

    Returns:
        For each row a (P, 2) float array of (x, y); P is 0 where nothing is known.
    """
    ordered = parts.sort_values("row", kind="stable")
    edges = np.searchsorted(ordered["row"].to_numpy(), np.arange(count + 1))
    points = ordered[["x", "y"]].to_numpy(np.float64)
    return [points[start:stop] for start, stop in zip(edges[:-1], edges[1:], strict=True)]


def sample_batch(
    generator: np.random.Generator,
    size: int | tuple[int, int],
    count: int,
    coverage: tuple[float, float],
    kinds: Sequence[str] | Mapping[str, float],
    objects: np.ndarray | None = None,
    part_points: Sequence[np.ndarray] | None = None,
) -> np.ndarray:
    """Draw fresh holes for one training batch, each of a random kind among `kinds`.

    Args:
        generator: source of all randomness; equal states give equal batches.
        size: (height, width), or one number for both, in pixels.
        count: B, the number of masks.
        coverage: (low, high), uniform between them, as in :func:`draw`; for the kind ``part`` its logarithm is uniform,
            since most parts of an animal are small.
        kinds: kinds to choose from, each as likely as the others; or a mapping of each to how often it comes.
        objects: (B, height, width) bool, True = object, for the kind ``object``.
        part_points: B arrays (P, 2) of (x, y) in pixels, for the kind ``part``; one of the P is chosen.
            A kind that a photograph cannot have becomes rectangles.

    Returns:
        (B, height, width) bool, True = hole; none is empty or everything.

    Raises:
        ConfigError: as :func:`draw`, or objects or part points of another batch size.
    """
    height, width = (size, size) if isinstance(size, int | np.integer) else size
    kinds, weights = list(kinds), np.array(list(kinds.values()) if isinstance(kinds, Mapping) else [1.0] * len(kinds))
    _check(kinds, height, width, coverage)
    if objects is not None and objects.shape != (count, height, width):
        raise ConfigError(f"objects must be {(count, height, width)}, got {objects.shape}.")
    if part_points is not None and len(part_points) != count:
        raise ConfigError(f"part_points must hold {count} arrays, one for each mask, got {len(part_points)}.")
    if np.ptp(weights):
        chosen = generator.choice(len(kinds), count, p=weights / weights.sum())
    else:
        chosen = generator.integers(0, len(kinds), count)
    batch = np.empty((count, height, width), bool)
    for number, choice in enumerate(chosen):
        kind, target, point = kinds[choice], None, None
        if kind == "object" and objects is not None:
            target = objects[number]
        if kind == "part" and part_points is not None and len(part_points[number]):
            point = tuple(part_points[number][generator.integers(len(part_points[number]))])
        used = kind if drawable(kind, target, point) else "rectangles"
        batch[number] = _draw(used, height, width, generator, coverage, target, point, favour_small=used == "part")
    return batch
