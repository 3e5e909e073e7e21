"""Draws a bird from its parameters, anti-aliased, with shading, feather texture and a background of natural noise.

The bird is painted as a map of labels at three times the size, back to front; colours are looked up in it and the
whole is averaged down. The label map also says exactly where each part is to be seen. Not here: what to draw
(``parameters``).
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from nbsupport.data.synthetic.parameters import COLOURS, BirdParameters, contrasting
from nbsupport.rng import generator

_OVER = 3  # supersampling: ten levels along an edge

# Labels. Several labels may belong to one part (a wing and the dark edges of its feathers).
(_NONE, _PERCH, _TAIL, _BACK, _BELLY, _THROAT, _CROWN, _WING, _BILL, _LEG, _EYE, _GLINT, _FEATURE, _WING_EDGE,
 _WING_MARK, _BELLY_MARK, _TAIL_EDGE, _BRANCH, _LEAF) = range(19)  # fmt: skip
_PART_LABELS = {
    "crown": (_CROWN,),
    "throat": (_THROAT,),
    "back": (_BACK,),
    "wing": (_WING, _WING_EDGE, _WING_MARK),
    "belly": (_BELLY, _BELLY_MARK),
    "tail": (_TAIL, _TAIL_EDGE),
    "bill": (_BILL,),
    "leg": (_LEG,),
    "eye": (_EYE, _GLINT, _FEATURE),
}
_BIRD_LABELS = sorted({label for labels in _PART_LABELS.values() for label in labels})


class Drawing(NamedTuple):
    """A drawn bird. `parts` holds the official CUB names of the visible parts and their points in pixels."""

    image: np.ndarray  # (S, S, 3) uint8 RGB
    object_mask: np.ndarray  # (S, S) bool, True = bird
    parts: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class _Frame:
    """From the bird's own coordinates (facing right, y down, half a body long = 1) to supersampled pixels."""

    params: BirdParameters
    pixels: int

    def __call__(self, points: np.ndarray | list) -> np.ndarray:
        points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        p = self.params
        angle = np.deg2rad(-p.angle)
        cos, sin = np.cos(angle), np.sin(angle)
        turned = points @ np.array([[cos, sin], [-sin, cos]])
        if p.facing == "left":
            turned[:, 0] *= -1
        return (np.array([p.x, p.y]) + turned * self.unit) * self.pixels

    @property
    def unit(self) -> float:
        return self.params.type.scale * self.params.scale


def _ellipse(cx: float, cy: float, a: float, b: float, degrees: float = 0.0, count: int = 40) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    angle = np.deg2rad(-degrees)  # y runs down: a positive angle raises the right end
    x, y = a * np.cos(t), b * np.sin(t)
    return np.stack([cx + x * np.cos(angle) - y * np.sin(angle), cy + x * np.sin(angle) + y * np.cos(angle)], 1)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Pixels with three binary places, as OpenCV draws them with ``shift=3``."""
    return np.round(points * 8).astype(np.int32)


def _smooth(points: list, count: int = 12) -> np.ndarray:
    """A closed Catmull–Rom curve through `points`: outlines of birds have no corners."""
    p = np.asarray(points, dtype=np.float64)
    t = np.linspace(0, 1, count, endpoint=False)[:, None, None]
    a, b, c, d = (np.roll(p, shift, axis=0)[None] for shift in (1, 0, -1, -2))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return curve.transpose(1, 0, 2).reshape(-1, 2)


class _Canvas:
    """A label map that shapes are painted onto, in the bird's coordinates."""

    def __init__(self, params: BirdParameters, size: int) -> None:
        self.pixels = size * _OVER
        self.labels = np.zeros((self.pixels, self.pixels), np.uint8)
        self.frame = _Frame(params, self.pixels)

    def polygon(self, points: np.ndarray | list, label: int, inside: tuple[int, ...] | None = None) -> None:
        """Fill a polygon; with `inside`, only where one of these labels was."""
        corners = self.frame(points)
        if inside is None:
            cv2.fillPoly(self.labels, [_fixed(corners)], label, shift=3)
        else:
            rows, columns, shape = self._patch(corners, 1)
            cv2.fillPoly(shape, [_fixed(corners - [columns.start, rows.start])], 1, shift=3)
            self._clip(rows, columns, shape, label, inside)

    def line(self, points: np.ndarray | list, width: float, label: int, inside: tuple[int, ...] | None = None) -> None:
        """Draw a line of `width` (the bird's units)."""
        thick = max(1, round(width * self.frame.unit * self.pixels))
        ends = self.frame(points)
        if inside is None:
            cv2.polylines(self.labels, [_fixed(ends)], False, label, thick, cv2.LINE_8, shift=3)
        else:
            rows, columns, shape = self._patch(ends, thick)
            cv2.polylines(shape, [_fixed(ends - [columns.start, rows.start])], False, 1, thick, cv2.LINE_8, shift=3)
            self._clip(rows, columns, shape, label, inside)

    def _patch(self, points: np.ndarray, margin: int) -> tuple[slice, slice, np.ndarray]:
        """The rows and columns around `points`, with an empty map of that size: small shapes stay cheap."""
        low = np.clip(np.floor(points.min(0)) - margin, 0, self.pixels - 1).astype(int)
        high = np.clip(np.ceil(points.max(0)) + margin + 1, low + 1, self.pixels).astype(int)
        return slice(low[1], high[1]), slice(low[0], high[0]), np.zeros(high[::-1] - low[::-1], np.uint8)

    def _clip(self, rows: slice, columns: slice, shape: np.ndarray, label: int, inside: tuple[int, ...]) -> None:
        under = self.labels[rows, columns]
        allowed = under == inside[0]
        for other in inside[1:]:
            allowed |= under == other
        under[allowed & (shape > 0)] = label


def _paint_labels(params: BirdParameters, size: int) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, int]]]:
    """The label map (3S, 3S) uint8, and for each CUB part its point in pixels with the label seen there."""
    kind, rng = params.type, generator(params.seed, "drawing", params.number)
    canvas = _Canvas(params, size)
    tilt = np.deg2rad(kind.tilt)
    forward, up = np.array([np.cos(tilt), -np.sin(tilt)]), np.array([-np.sin(tilt), -np.cos(tilt)])

    def at(along: float, above: float = 0.0) -> np.ndarray:
        """A point of the body's own axes: along it towards the head, and above it."""
        return along * forward + above * up

    head = at(0.78, 0.34) + np.array([0.10, -0.20]) + kind.neck * np.array([0.40, -0.92])
    r = kind.head
    feet = np.array([0.02, kind.plump * 0.80 + kind.leg + 0.12])
    if params.perch:
        canvas.line([[-4, feet[1] + 0.10], [4, feet[1] + rng.uniform(-0.35, 0.5)]], 0.17, _PERCH)
    for x in (-0.10, 0.16):
        knee = np.array([x - 0.03, (kind.plump * 0.6 + feet[1]) / 2])
        foot = np.array([x + 0.02, feet[1]])
        canvas.line([at(-0.05) + [x, kind.plump * 0.5], knee, foot], 0.075, _LEG)
        for toe in (-0.12, 0.10, 0.18):
            canvas.line([foot, foot + [toe, 0.05]], 0.05, _LEG)
    length, width, fork = kind.tail
    root_a, root_b, end = at(-0.72, 0.20), at(-0.72, -0.16), at(-0.80 - length, -0.05)
    canvas.polygon(
        [root_a, at(-0.80 - length, -0.05 + width), end + fork * forward, at(-0.80 - length, -0.05 - width), root_b],
        _TAIL,
    )
    for share in (-0.45, 0.0, 0.45):
        canvas.line([at(-0.85, 0.02), at(-0.78 - length, -0.05 + share * width)], 0.035, _TAIL_EDGE, inside=(_TAIL,))
    body = _smooth([at(0.98, 0.05), at(0.62, 0.50 * kind.plump + 0.12), at(0.0, kind.plump * 0.92), at(-0.7, 0.34),
                    at(-1.02, 0.06), at(-0.72, -0.34), at(0.0, -kind.plump), at(0.66, -0.78 * kind.plump)])  # fmt: skip
    canvas.polygon(body, _BACK)
    canvas.polygon([*body[6 * 12 - 18 : 8 * 12], at(0.95, -0.02), at(0.45, -0.10), at(-0.30, -0.14), at(-0.85, -0.10)],
                   _BELLY, inside=(_BACK,))  # fmt: skip
    neck = [at(0.52, 0.52), head + [-0.80 * r, 0.10 * r], head + [0.75 * r, 0.45 * r], at(0.95, -0.18), at(0.5, -0.2)]
    canvas.polygon(_smooth(neck), _BACK)
    canvas.polygon(_ellipse(*head, r, 0.94 * r), _BACK)
    front = [head + [0.10 * r, 0.20 * r], head + [1.1 * r, 0.10 * r], head + [1.1 * r, 1.0 * r], at(1.15, -0.12),
             at(0.62, -0.16), at(0.66, 0.16)]  # fmt: skip
    canvas.polygon(_smooth(front), _THROAT, inside=(_BACK, _BELLY))
    crown = [head + [-1.2 * r, -0.02 * r], head + [-0.9 * r, -1.2 * r], head + [0.9 * r, -1.2 * r],
             head + [1.1 * r, -0.30 * r], head + [0.2 * r, -0.26 * r]]  # fmt: skip
    canvas.polygon(crown, _CROWN, inside=(_BACK,))
    if kind.crest:
        tip = head + np.array([-1.0 * r - 0.3 * kind.crest, -0.75 * r - kind.crest])
        canvas.polygon(_smooth([head + [-0.75 * r, -0.45 * r], tip, head + [0.55 * r, -0.80 * r]]), _CROWN)
    if params.belly_pattern != "plain":
        for _ in range(34):
            spot = at(rng.uniform(-0.7, 0.75), rng.uniform(-kind.plump, -0.12))
            long, thin = (0.045, 0.04) if params.belly_pattern == "spots" else (0.09, 0.024)
            canvas.polygon(_ellipse(*spot, thin, long, count=12), _BELLY_MARK, inside=(_BELLY,))
    wing = _smooth([at(0.52, 0.16), at(0.30, 0.40 * kind.plump + 0.10), at(-0.35, 0.42 * kind.plump + 0.06),
                    at(-1.12, 0.10), at(-0.95, -0.06), at(-0.30, -0.30), at(0.32, -0.28)])  # fmt: skip
    canvas.polygon(wing, _WING)
    for share in (0.75, 0.45, 0.15):
        canvas.line([at(-0.05 + 0.2 * share, -0.30 + 0.45 * share), at(-1.05, 0.02 + 0.05 * share)], 0.03,
                    _WING_EDGE, inside=(_WING,))  # fmt: skip
    canvas.line(np.vstack([wing, wing[:1]]), 0.035, _WING_EDGE, inside=(_WING,))
    if params.wing_pattern == "bars":
        for along in (0.18, -0.12):
            canvas.line([at(along, 0.42), at(along - 0.10, -0.34)], 0.075, _WING_MARK, inside=(_WING, _WING_EDGE))
    elif params.wing_pattern == "patch":
        canvas.polygon(_ellipse(*at(0.12, 0.04), 0.20, 0.13, kind.tilt), _WING_MARK, inside=(_WING, _WING_EDGE))
    long, deep, drop = kind.bill
    base = head + np.array([0.86 * r, 0.08 * r])
    tip = base + np.array([long, drop + 0.02])
    middle = (base + tip) / 2
    if kind.bill_word == "broad flat":
        bill = _smooth([base + [-0.1, -deep / 2], middle + [0, -deep * 0.28], tip + [0, -0.05], tip + [0, 0.06],
                        middle + [0, deep * 0.42], base + [-0.1, deep / 2]])  # fmt: skip
    else:
        hook = 0.10 if kind.bill_word == "hooked" else 0.0
        bill = np.array([base + [-0.1, -deep / 2], middle + [0, -deep * 0.36 + drop * 0.2], tip + [0, hook],
                         middle + [0, deep * 0.34 + drop * 0.5], base + [-0.1, deep / 2]])  # fmt: skip
    canvas.polygon(bill, _BILL)
    eye = head + np.array([0.34 * r, -0.10 * r])
    if params.eye_feature == "stripe":
        canvas.line([head + [-0.85 * r, -0.02 * r], eye, head + [0.95 * r, 0.02]], 0.40 * r, _FEATURE,
                    inside=(_BACK, _THROAT, _CROWN))  # fmt: skip
    elif params.eye_feature == "eyebrow":
        canvas.line([head + [-0.65 * r, -0.28 * r], eye + [0, -0.32 * r], head + [0.85 * r, -0.24 * r]], 0.20 * r,
                    _FEATURE, inside=(_BACK, _THROAT, _CROWN))  # fmt: skip
    elif params.eye_feature == "ring":
        canvas.polygon(_ellipse(*eye, 0.36 * r, 0.36 * r), _FEATURE)
    canvas.polygon(_ellipse(*eye, 0.21 * r, 0.21 * r), _EYE)
    canvas.polygon(_ellipse(*(eye + [0.06 * r, -0.07 * r]), 0.07 * r, 0.07 * r, count=10), _GLINT)
    _occlude(canvas, params, rng)
    right = params.facing == "right"
    near, far = ("right", "left") if right else ("left", "right")
    points = {
        "back": (at(0.28, kind.plump * 0.66), _BACK),
        "beak": (middle, _BILL),
        "belly": (at(-0.05, -kind.plump * 0.74), _BELLY),
        "breast": (at(0.62, -kind.plump * 0.50), _BELLY),
        "crown": (head + [0.0, -0.62 * r], _CROWN),
        "forehead": (head + [0.66 * r, -0.48 * r], _CROWN),
        "nape": (head + [-0.62 * r, 0.42 * r], _BACK),
        "tail": (at(-0.80 - 0.6 * length, -0.04), _TAIL),
        "throat": (head + [0.50 * r, 0.62 * r], _THROAT),
        f"{near} eye": (eye, _EYE),
        f"{near} wing": (at(-0.20, 0.06), _WING),
        f"{near} leg": (np.array([0.15, (kind.plump * 0.8 + feet[1]) / 2 + 0.05]), _LEG),
        f"{far} leg": (np.array([-0.11, (kind.plump * 0.8 + feet[1]) / 2 + 0.05]), _LEG),
    }
    placed = {name: (canvas.frame([point])[0] / _OVER, label) for name, (point, label) in points.items()}
    return canvas.labels, placed


def _occlude(canvas: _Canvas, params: BirdParameters, rng: np.random.Generator) -> None:
    """Paint what stands in front of the bird: a branch across it, or leaves at the picture's rim."""
    pixels = canvas.pixels
    if params.occluder == "branch":
        y = rng.uniform(0.35, 0.85)
        ends = np.array([[-0.05, y + rng.uniform(-0.2, 0.2)], [0.5, y], [1.05, y + rng.uniform(-0.2, 0.2)]])
        cv2.polylines(canvas.labels, [np.int32(ends * pixels)], False, _BRANCH, max(2, round(0.028 * pixels)))
    elif params.occluder == "leaves":
        corner = rng.choice([0.08, 0.92], size=2)
        for _ in range(7):
            centre = (corner + rng.normal(0, 0.11, 2)) * pixels
            axes = (round(0.10 * pixels), round(0.045 * pixels))
            turn = float(rng.uniform(0, 180))
            cv2.ellipse(canvas.labels, np.int32(centre).tolist(), axes, turn, 0, 360, _LEAF, -1)


def _noise(rng: np.random.Generator, size: int, slope: float = 1.0, stretch: tuple[int, int] = (1, 1)) -> np.ndarray:
    """(S, S) float32 noise, mean about 0 and deviation about 1, whose amplitude falls as 1/f**slope by octaves."""
    total, weight = np.zeros((size, size), np.float32), 0.0
    cells = 3
    while cells < size:
        shape = (max(2, cells * stretch[1]), max(2, cells * stretch[0]))
        layer = rng.standard_normal(shape, dtype=np.float32)
        amplitude = cells**-slope
        total += amplitude * cv2.resize(layer, (size, size), interpolation=cv2.INTER_CUBIC)
        weight += amplitude**2
        cells *= 2
    return total / np.float32(np.sqrt(weight))


_GROUND = {  # top and bottom colour, colour of the noise's crests, how strong it is, stretch (across, down)
    "sky": ((118, 166, 222), (206, 224, 240), (246, 248, 250), 0.34, (1, 1)),
    "foliage": ((52, 88, 46), (78, 112, 56), (150, 178, 92), 0.30, (1, 1)),
    "grass": ((112, 146, 66), (76, 112, 44), (182, 192, 104), 0.36, (5, 1)),
    "water": ((92, 128, 148), (62, 98, 124), (178, 204, 212), 0.34, (1, 5)),
    "ground": ((166, 142, 110), (124, 100, 74), (204, 184, 150), 0.38, (1, 1)),
    "blossom": ((86, 118, 70), (120, 140, 84), (232, 208, 212), 0.32, (1, 1)),
}


def _background(params: BirdParameters, size: int, rng: np.random.Generator) -> np.ndarray:
    """(S, S, 3) float32 in 0..255: a gradient, 1/f noise, and out-of-focus discs in front of trees and blossom."""
    top, bottom, crest, strength, stretch = _GROUND[params.background]
    height = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    picture = np.float32(top) * (1 - height) + np.float32(bottom) * height
    amount = np.clip(strength * _noise(rng, size, 0.9, stretch), -0.75, 0.9)[..., None]
    picture = picture + amount * (np.float32(crest) - picture)
    if params.background in ("foliage", "blossom"):
        discs = np.zeros((size, size, 3), np.float32)
        cover = np.zeros((size, size), np.float32)
        for _ in range(int(rng.integers(5, 14))):
            centre, radius = rng.integers(0, size, 2).tolist(), int(size * rng.uniform(0.03, 0.09)) + 1
            tone = (np.float32(crest) * rng.uniform(0.75, 1.05)).tolist()
            cv2.circle(discs, centre, radius, tone, -1, cv2.LINE_AA)
            cv2.circle(cover, centre, radius, 0.55, -1, cv2.LINE_AA)
        cover = cv2.GaussianBlur(cover, (0, 0), size / 60)[..., None]
        picture = picture * (1 - cover) + cv2.GaussianBlur(discs, (0, 0), size / 60) * cover / 0.55 * 0.55
    return picture * np.float32(rng.uniform(0.88, 1.1)) + rng.normal(0, 6, 3).astype(np.float32)


def _lookup(params: BirdParameters, rng: np.random.Generator) -> np.ndarray:
    """(256, 3) float32: the colour of each label, with a slight variation of its own for each bird."""
    table = np.zeros((256, 3), np.float32)
    mark = COLOURS[params.pattern_colour]
    feature = "white" if params.eye_feature != "stripe" else "black"
    if params.eye_feature != "stripe" and contrasting(params.crown, params.back) == "black":
        feature = "black"
    tones = {
        _PERCH: (104, 82, 62), _TAIL: COLOURS[params.tail], _BACK: COLOURS[params.back],
        _BELLY: COLOURS[params.belly], _THROAT: COLOURS[params.throat], _CROWN: COLOURS[params.crown],
        _WING: COLOURS[params.wing], _BILL: COLOURS[params.bill], _LEG: COLOURS[params.leg], _EYE: (22, 18, 18),
        _GLINT: (250, 250, 250), _FEATURE: COLOURS[feature], _WING_MARK: mark,
        _BELLY_MARK: COLOURS[contrasting(params.belly)], _BRANCH: (92, 72, 52), _LEAF: (66, 112, 48),
    }  # fmt: skip
    for label, tone in tones.items():
        table[label] = np.float32(tone) + rng.normal(0, 3.0, 3)
    table[_WING_EDGE] = table[_WING] * 0.72 + 4
    table[_TAIL_EDGE] = table[_TAIL] * 0.72 + 4
    return table


def _coverage(labels: np.ndarray, wanted: list[int] | tuple[int, ...], size: int) -> np.ndarray:
    """(S, S) float32 in [0, 1]: how much of each pixel the wanted labels cover."""
    table = np.zeros(256, np.uint8)
    table[list(wanted)] = 255
    return cv2.resize(cv2.LUT(labels, table), (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def draw_bird(params: BirdParameters, size: int = 96) -> Drawing:
    """Draw a bird, `size` x `size` pixels: a pure function of its arguments."""
    labels, placed = _paint_labels(params, size)
    rng = generator(params.seed, "paint", params.number, size)
    table = _lookup(params, rng)
    painted = cv2.LUT(cv2.merge([labels] * 3), table.clip(0, 255).astype(np.uint8)[:, None])
    colour = cv2.resize(painted, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)  # times coverage
    alpha = _coverage(labels, list(range(1, 19)), size)[..., None]
    bird = _coverage(labels, _BIRD_LABELS, size)
    depth = cv2.distanceTransform((bird > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    rounding = 0.90 + 0.10 * np.minimum(depth / (0.035 * size), 1.0)
    light = np.linspace(1.05, 0.97, size, dtype=np.float32)[:, None]
    feathers = 1 + 0.045 * _noise(rng, size, 0.45, (1, 3))
    shade = (np.where(bird > 0.5, rounding, 1.0) * light * feathers)[..., None].astype(np.float32)
    picture = colour * shade + (1 - alpha) * _background(params, size, rng)
    picture += rng.normal(0, rng.uniform(1.5, 3.5), (size, size, 1)).astype(np.float32)  # the camera's noise
    image = picture.clip(0, 255).round().astype(np.uint8)
    parts = {}
    for name, ((x, y), label) in placed.items():
        if 0 <= x < size and 0 <= y < size:
            seen = labels[min(int(y * _OVER), labels.shape[0] - 1), min(int(x * _OVER), labels.shape[1] - 1)]
            related = next(group for group in _PART_LABELS.values() if label in group)
            if seen in related or (label != _LEG and seen in _BIRD_LABELS):
                parts[name] = (float(x), float(y))
    return Drawing(image, bird > 0.5, parts)


def part_region(params: BirdParameters, part: str, size: int = 96) -> np.ndarray:
    """(S, S) bool, True where `part` (one of COLOURED_PARTS, or ``eye``) is to be seen in the drawing of that size."""
    labels, _ = _paint_labels(params, size)
    return _coverage(labels, _PART_LABELS[part], size) > 0.5
