"""One idea carries all kinds of hole: a *field* says in which order pixels join the hole, a *cut* says when to stop.

A field is (H, W) float32, the lower the earlier. Cutting it at its N-th smallest value gives a hole of N pixels, so the
wanted coverage is reached by construction, without drawing again and again until it happens to fit.
Fields of the simple shapes are here; those of brush strokes are in ``strokes``.
"""

import cv2
import numpy as np

#: Smooth fields are drawn on a grid whose longer side has this many points and enlarged from there.
GRID = 64


def cut(field: np.ndarray, count: int) -> np.ndarray:
    """The `count` pixels of lowest field as a mask, exactly; equal values join in reading order.

    Args:
        field: (H, W) float, the lower the earlier.
        count: pixels of the hole, 1 to H * W - 1.

    Returns:
        (H, W) bool, True = hole.
    """
    threshold = np.partition(field.ravel(), count - 1)[count - 1]
    hole = field < threshold
    missing = count - np.count_nonzero(hole)
    hole.ravel()[np.flatnonzero(field == threshold)[:missing]] = True
    return hole


def cut_edges(field: np.ndarray, low: int, count: int, high: int) -> np.ndarray:
    """Cut between two levels of the field, so that rectangles keep straight edges.

    A level (all pixels of one value) joins whole or not at all. Of the two cuts around `count` pixels, the one inside
    [`low`, `high`] is taken, and the nearer one when both or neither are. Returns (H, W) bool, True = hole.
    """
    threshold = np.partition(field.ravel(), count - 1)[count - 1]
    inner, outer = field < threshold, field <= threshold
    sizes = {id(hole): int(np.count_nonzero(hole)) for hole in (inner, outer)}
    usable = [hole for hole in (inner, outer) if 0 < sizes[id(hole)] < field.size]
    if not usable:  # one level holds the whole picture: only possible for a few pixels
        return cut(field, count)
    return min(usable, key=lambda hole: (not low <= sizes[id(hole)] <= high, abs(sizes[id(hole)] - count)))


def cut_near(field: np.ndarray, count: int) -> np.ndarray:
    """Cut a smooth field near `count` pixels: (H, W) bool, True = hole.

    The threshold is read from some of the pixels (several times faster than from all) and kept when the hole is within
    half a row of `count`; otherwise the cut is made exactly.
    """
    height, width = field.shape
    step = max(1, min(height, width) // GRID)
    if step == 1:
        return cut(field, count)
    sparse = field[step // 2 :: step, step // 2 :: step].ravel()
    rank = min(max(round(count * sparse.size / field.size), 1), sparse.size) - 1
    hole = field <= np.partition(sparse, rank)[rank]
    near = abs(cv2.countNonZero(hole.view(np.uint8)) - count) <= min(height, width) // 2
    return hole if near else cut(field, count)


def enlarge_and_cut(field: np.ndarray, height: int, width: int, count: int) -> np.ndarray:
    """Enlarge a field drawn on the grid to (`height`, `width`) and cut it there, see `cut_near`."""
    if field.shape != (height, width):
        field = cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR)
    return cut_near(field, count)


def grid_shape(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the grid for a picture of (`height`, `width`): the picture itself up to 1.5 times GRID."""
    longer = max(height, width)
    if longer <= 1.5 * GRID:
        return height, width
    return max(2, round(height * GRID / longer)), max(2, round(width * GRID / longer))


def _rectangle(height: int, width: int, x: float, y: float, half_width: float, half_height: float) -> np.ndarray:
    """Field of one rectangle growing about (x, y): the factor that its half sides need to hold each pixel."""
    columns = np.abs(np.arange(width, dtype=np.float32) - np.float32(x)) / np.float32(half_width)
    rows = np.abs(np.arange(height, dtype=np.float32) - np.float32(y)) / np.float32(half_height)
    return np.maximum.outer(rows, columns)


def centre(height: int, width: int) -> np.ndarray:
    """Field of a rectangle of the picture's proportions around its centre, (height, width) float32.

    It grows about a point a fraction of a pixel off the centre, so that its four edges join one after the other.
    """
    return _rectangle(height, width, (width - 1) / 2 + 0.25, (height - 1) / 2 + 0.12345, width, height)


def rectangles(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Field of the union of one to four rectangles that grow together, (height, width) float32.

    Centres are uniform, sides differ by up to a factor of three, and each keeps its proportions.
    """
    number = int(generator.integers(1, 5))
    values = generator.random((number, 4))
    size = np.exp(0.55 * (values[:, 2] - 0.5) * 2)
    aspect = np.exp(0.6 * (values[:, 3] - 0.5) * 2)
    field = None
    for (x, y), s, a in zip(values[:, :2], size, aspect, strict=True):
        one = _rectangle(height, width, x * width - 0.5, y * height - 0.5, s * a, s / a)
        field = one if field is None else np.minimum(field, one, out=field)
    return field


def object_shape(object_mask: np.ndarray, count: int) -> np.ndarray:
    """Field of the object, widened or worn down evenly along its outline to reach `count` pixels.

    Args:
        object_mask: (H, W) bool, True = object, neither empty nor everything.
        count: the wanted pixels; decides whether distances are needed outside the object or inside it.

    Returns:
        (H, W) float32: the distance to the object in pixels when it must grow, else minus the depth inside it. The
        frame counts as an outline, so that what is left of a worn-down object is its middle.
    """
    inside = object_mask.astype(np.uint8)
    if count >= np.count_nonzero(inside):
        return cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    padded = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return -cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]


def blob(generator: np.random.Generator, height: int, width: int, x: float, y: float) -> np.ndarray:
    """Field of an irregular, star-shaped blob about the pixel (x, y), (height, width) float32.

    The radius is the exponential of a random sum of three waves around the circle, so it is smooth and never zero.
    """
    rows = np.arange(height, dtype=np.float32)[:, None] - np.float32(y)
    columns = np.arange(width, dtype=np.float32)[None, :] - np.float32(x)
    angle = cv2.phase(np.broadcast_to(columns, (height, width)).copy(), np.broadcast_to(rows, (height, width)).copy())
    phases = generator.uniform(0, 2 * np.pi, 3)
    heights = generator.uniform(0.05, 0.22, 3)
    wave = sum(
        h * np.cos((k + 2) * angle + p, dtype=np.float32) for k, (h, p) in enumerate(zip(heights, phases, strict=True))
    )
    return np.sqrt(rows**2 + columns**2) * np.exp(-wave, dtype=np.float32)
