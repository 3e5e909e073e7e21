"""Labels, and a map of labels that shapes are painted onto in the bird's own coordinates.

Painting labels instead of colours makes a part's region exact: what is seen of it is where its label is left.
Not here: which shapes make a bird (``anatomy``).
"""

from functools import cache

import cv2
import numpy as np

from nbsupport.data.synthetic.parameters import BirdParameters

#: Pixels of the label map along each pixel of the picture: ten levels along an edge.
OVER = 3

# Labels. Several may belong to one part (a wing and the dark edges of its feathers).
(NONE, PERCH, TAIL, BACK, BELLY, THROAT, CROWN, WING, BILL, LEG, EYE, GLINT, FEATURE, WING_EDGE, WING_MARK,
 BELLY_MARK, TAIL_EDGE, BRANCH, LEAF, VEIN) = range(20)  # fmt: skip
PART_LABELS = {  # the part itself first, then its marks
    "crown": (CROWN,),
    "throat": (THROAT,),
    "back": (BACK,),
    "wing": (WING, WING_EDGE, WING_MARK),
    "belly": (BELLY, BELLY_MARK),
    "tail": (TAIL, TAIL_EDGE),
    "bill": (BILL,),
    "leg": (LEG,),
    "eye": (EYE, GLINT, FEATURE),
}
BIRD_LABELS = tuple(sorted({label for labels in PART_LABELS.values() for label in labels}))
LABELS = tuple(range(1, 20))


class Frame:
    """From the bird's own coordinates (facing right, y down, half a body long = 1) to pixels of the label map."""

    def __init__(self, params: BirdParameters, pixels: int) -> None:
        angle = np.deg2rad(-params.angle)
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, sin], [-sin, cos]])
        if params.facing == "left":
            turn[:, 0] *= -1
        self.unit = params.type.scale * params.scale * pixels  # pixels in half a body
        self._matrix = turn * self.unit
        self._origin = np.array([params.x, params.y]) * pixels

    def __call__(self, points: np.ndarray | list) -> np.ndarray:
        """(N, 2) points -> (N, 2) pixels."""
        return np.asarray(points, dtype=np.float64).reshape(-1, 2) @ self._matrix + self._origin


@cache
def _circle(count: int) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(t), np.sin(t)], 1)


def ellipse(cx: float, cy: float, a: float, b: float, degrees: float = 0.0, count: int = 40) -> np.ndarray:
    """(count, 2) points of an ellipse with half-axes `a` and `b`; a positive angle raises its right end."""
    if not degrees:
        return _circle(count) * (a, b) + (cx, cy)
    angle = np.deg2rad(-degrees)  # y runs down
    cos, sin = np.cos(angle), np.sin(angle)
    return _circle(count) @ np.array([[a * cos, a * sin], [-b * sin, b * cos]]) + (cx, cy)


@cache
def _catmull_rom(points: int, count: int) -> np.ndarray:
    """(points * count, points) weights of a closed curve: row by row, how much of each given point is in it."""
    t = np.linspace(0, 1, count, endpoint=False)
    before = 0.5 * (-t + 2 * t**2 - t**3)
    here = 0.5 * (2 - 5 * t**2 + 3 * t**3)
    after = 0.5 * (t + 4 * t**2 - 3 * t**3)
    beyond = 0.5 * (-(t**2) + t**3)
    weights = np.zeros((points, count, points))
    for i in range(points):
        for shift, weight in ((-1, before), (0, here), (1, after), (2, beyond)):
            weights[i, :, (i + shift) % points] += weight
    return weights.reshape(points * count, points)


def smooth(points: list, count: int = 12) -> np.ndarray:
    """A closed Catmull–Rom curve through `points`, `count` for each: outlines of birds have no corners."""
    return _catmull_rom(len(points), count) @ np.asarray(points, dtype=np.float64)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Pixels with three binary places, as OpenCV draws them with ``shift=3``."""
    return np.rint(points * 8).astype(np.int32)


class Canvas:
    """A label map, (3S, 3S) uint8, that shapes are painted onto, each over what is there already."""

    def __init__(self, params: BirdParameters, size: int) -> None:
        self.pixels = size * OVER
        self.labels = np.zeros((self.pixels, self.pixels), np.uint8)
        self.frame = Frame(params, self.pixels)

    def polygon(self, points: np.ndarray | list, label: int, inside: tuple[int, ...] | None = None) -> None:
        """Fill a polygon; with `inside`, only where one of these labels was."""
        corners = self.frame(points)
        if inside is None:
            cv2.fillPoly(self.labels, [_fixed(corners)], label, shift=3)
        else:
            rows, columns, shape = self._patch(corners, 1)
            cv2.fillPoly(shape, [_fixed(corners - (columns.start, rows.start))], 1, shift=3)
            self._clip(rows, columns, shape, label, inside)

    def spots(self, polygons: np.ndarray, label: int, inside: tuple[int, ...]) -> None:
        """Fill many small convex polygons, (count, corners, 2), at once."""
        corners = self.frame(polygons)
        rows, columns, shape = self._patch(corners, 1)
        for corner in _fixed(corners - (columns.start, rows.start)).reshape(polygons.shape):
            cv2.fillConvexPoly(shape, corner, 1, shift=3)
        self._clip(rows, columns, shape, label, inside)

    def line(self, points: np.ndarray | list, width: float, label: int, inside: tuple[int, ...] | None = None) -> None:
        """Draw a line of `width` (the bird's units)."""
        thick = max(1, round(width * self.frame.unit))
        ends = self.frame(points)
        if inside is None:
            cv2.polylines(self.labels, [_fixed(ends)], False, label, thick, cv2.LINE_8, shift=3)
        else:
            rows, columns, shape = self._patch(ends, thick)
            cv2.polylines(shape, [_fixed(ends - (columns.start, rows.start))], False, 1, thick, cv2.LINE_8, shift=3)
            self._clip(rows, columns, shape, label, inside)

    def _patch(self, points: np.ndarray, margin: int) -> tuple[slice, slice, np.ndarray]:
        """The rows and columns around `points`, with an empty map of that size: small shapes stay cheap."""
        (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
        last = self.pixels - 1
        left, top = min(max(int(x0) - margin, 0), last), min(max(int(y0) - margin, 0), last)
        right, bottom = (max(min(int(end) + margin + 2, last + 1), start + 1) for end, start in ((x1, left), (y1, top)))
        return slice(top, bottom), slice(left, right), np.zeros((bottom - top, right - left), np.uint8)

    def _clip(self, rows: slice, columns: slice, shape: np.ndarray, label: int, inside: tuple[int, ...]) -> None:
        under = self.labels[rows, columns]
        allowed = under == inside[0]
        for other in inside[1:]:
            allowed |= under == other
        under[allowed & (shape > 0)] = label
