"""Paints a bird as a map of labels, back to front, and says where its named parts are.

Lengths are in units of half a body, y runs down, and the bird faces right until its frame turns it (``shapes``).
Not here: colours and light (``drawing``).
"""

from typing import NamedTuple

import cv2
import numpy as np

from nbsupport.core.rng import generator
from nbsupport.data.synthetic import shapes
from nbsupport.data.synthetic.parameters import BirdParameters
from nbsupport.data.synthetic.shapes import OVER, Canvas, ellipse, smooth


class Anatomy(NamedTuple):
    """A painted bird. `points`: CUB's name of a part -> its (x, y) in pixels, and the label to be seen there."""

    labels: np.ndarray  # (3S, 3S) uint8
    points: dict[str, tuple[np.ndarray, int]]
    feet: np.ndarray  # (x, y) pixels of the picture, between the toes
    unit: float  # pixels of the picture in half a body


class _Body:
    """The lines that all parts are placed by: the body's axes, the head, the feet."""

    def __init__(self, params: BirdParameters) -> None:
        kind = params.type
        tilt = np.deg2rad(kind.tilt)
        self.forward = np.array([np.cos(tilt), -np.sin(tilt)])
        self.up = np.array([-np.sin(tilt), -np.cos(tilt)])
        self.head = self.at(0.78, 0.34) + np.array([0.10, -0.20]) + kind.neck * np.array([0.40, -0.92])
        self.feet = np.array([0.02, kind.plump * 0.80 + kind.leg + 0.12])
        self.eye = self.head + np.array([0.34, -0.10]) * kind.head

    def at(self, along: float, above: float = 0.0) -> np.ndarray:
        """A point of the body's own axes: along it towards the head, and above it."""
        return along * self.forward + above * self.up


def paint(params: BirdParameters, size: int) -> Anatomy:
    """Paint the bird for a picture of `size` x `size` pixels: a pure function of its arguments."""
    rng = generator(params.seed, "drawing", params.number)
    canvas, body = Canvas(params, size), _Body(params)
    if params.perch:
        y = body.feet[1] + 0.10
        canvas.line([[-4, y], [4, y + rng.uniform(-0.45, 0.4)]], 0.17, shapes.PERCH)
    _paint_legs(canvas, body, params)
    _paint_tail(canvas, body, params)
    _paint_trunk(canvas, body, params)
    _paint_belly_marks(canvas, body, params, rng)
    _paint_wing(canvas, body, params)
    middle = _paint_bill(canvas, body, params)
    _paint_eye(canvas, body, params)
    _paint_occluder(canvas, params, rng)
    points = {name: (canvas.frame(point)[0] / OVER, label) for name, (point, label) in
              _points(body, params, middle).items()}  # fmt: skip
    return Anatomy(canvas.labels, points, canvas.frame(body.feet)[0] / OVER, canvas.frame.unit / OVER)


def _paint_legs(canvas: Canvas, body: _Body, params: BirdParameters) -> None:
    for x in (-0.10, 0.16):
        knee = np.array([x - 0.03, (params.type.plump * 0.6 + body.feet[1]) / 2])
        foot = np.array([x + 0.02, body.feet[1]])
        canvas.line([body.at(-0.05) + [x, params.type.plump * 0.5], knee, foot], 0.075, shapes.LEG)
        for toe in (-0.12, 0.10, 0.18):
            canvas.line([foot, foot + [toe, 0.05]], 0.05, shapes.LEG)


def _paint_tail(canvas: Canvas, body: _Body, params: BirdParameters) -> None:
    at, (length, width, fork) = body.at, params.type.tail
    end = at(-0.80 - length, -0.05)
    upper, lower = at(-0.80 - length, -0.05 + width), at(-0.80 - length, -0.05 - width)
    canvas.polygon([at(-0.72, 0.20), upper, end + fork * body.forward, lower, at(-0.72, -0.16)], shapes.TAIL)
    for share in (-0.45, 0.0, 0.45):
        canvas.line(
            [at(-0.85, 0.02), at(-0.78 - length, -0.05 + share * width)], 0.035, shapes.TAIL_EDGE, inside=(shapes.TAIL,)
        )


def _paint_trunk(canvas: Canvas, body: _Body, params: BirdParameters) -> None:
    """Body, belly, neck, head, throat, crown and crest."""
    at, head, kind = body.at, body.head, params.type
    r, plump = kind.head, kind.plump
    outline = smooth([at(0.98, 0.05), at(0.62, 0.50 * plump + 0.12), at(0.0, plump * 0.92), at(-0.7, 0.34),
                      at(-1.02, 0.06), at(-0.72, -0.34), at(0.0, -plump), at(0.66, -0.78 * plump)])  # fmt: skip
    canvas.polygon(outline, shapes.BACK)
    below = outline[6 * 12 - 18 : 8 * 12]
    line = [at(0.95, -0.02), at(0.45, -0.10), at(-0.30, -0.14), at(-0.85, -0.10)]
    canvas.polygon([*below, *line], shapes.BELLY, inside=(shapes.BACK,))
    neck = [at(0.52, 0.52), head + [-0.80 * r, 0.10 * r], head + [0.75 * r, 0.45 * r], at(0.95, -0.18), at(0.5, -0.2)]
    canvas.polygon(smooth(neck), shapes.BACK)
    canvas.polygon(ellipse(*head, r, 0.94 * r), shapes.BACK)
    front = [head + [0.10 * r, 0.20 * r], head + [1.1 * r, 0.10 * r], head + [1.1 * r, 1.0 * r], at(1.15, -0.12),
             at(0.62, -0.16), at(0.66, 0.16)]  # fmt: skip
    canvas.polygon(smooth(front), shapes.THROAT, inside=(shapes.BACK, shapes.BELLY))
    crown = [head + [-1.2 * r, -0.02 * r], head + [-0.9 * r, -1.2 * r], head + [0.9 * r, -1.2 * r],
             head + [1.1 * r, -0.30 * r], head + [0.2 * r, -0.26 * r]]  # fmt: skip
    canvas.polygon(crown, shapes.CROWN, inside=(shapes.BACK,))
    if kind.crest:
        tip = head + np.array([-1.0 * r - 0.3 * kind.crest, -0.75 * r - kind.crest])
        canvas.polygon(smooth([head + [-0.75 * r, -0.45 * r], tip, head + [0.55 * r, -0.80 * r]]), shapes.CROWN)


def _paint_belly_marks(canvas: Canvas, body: _Body, params: BirdParameters, rng: np.random.Generator) -> None:
    if params.belly_pattern == "plain":
        return
    thin, long = (0.045, 0.04) if params.belly_pattern == "spots" else (0.024, 0.09)
    along, above = rng.uniform(-0.7, 0.75, 26), rng.uniform(-params.type.plump, -0.12, 26)
    centres = np.outer(along, body.forward) + np.outer(above, body.up)
    canvas.spots(centres[:, None] + ellipse(0, 0, thin, long, count=12), shapes.BELLY_MARK, inside=(shapes.BELLY,))


def _paint_wing(canvas: Canvas, body: _Body, params: BirdParameters) -> None:
    at, plump = body.at, params.type.plump
    wing = smooth([at(0.52, 0.16), at(0.30, 0.40 * plump + 0.10), at(-0.35, 0.42 * plump + 0.06), at(-1.12, 0.10),
                   at(-0.95, -0.06), at(-0.30, -0.30), at(0.32, -0.28)])  # fmt: skip
    canvas.polygon(wing, shapes.WING)
    for share in (0.75, 0.45, 0.15):  # flight feathers
        start = at(-0.05 + 0.2 * share, -0.30 + 0.45 * share)
        canvas.line([start, at(-1.05, 0.02 + 0.05 * share)], 0.03, shapes.WING_EDGE, inside=(shapes.WING,))
    for along in (0.24, 0.02):  # rows of coverts
        arc = [at(along - 0.10, 0.34), at(along - 0.02, 0.16), at(along, -0.02), at(along - 0.06, -0.22)]
        canvas.line(arc, 0.022, shapes.WING_EDGE, inside=(shapes.WING,))
    canvas.line(np.vstack([wing, wing[:1]]), 0.035, shapes.WING_EDGE, inside=(shapes.WING,))
    if params.wing_pattern == "bars":
        for along in (0.18, -0.12):
            canvas.line(
                [at(along, 0.42), at(along - 0.10, -0.34)],
                0.075,
                shapes.WING_MARK,
                inside=(shapes.WING, shapes.WING_EDGE),
            )
    elif params.wing_pattern == "patch":
        canvas.polygon(
            ellipse(*at(0.12, 0.04), 0.20, 0.13, params.type.tilt),
            shapes.WING_MARK,
            inside=(shapes.WING, shapes.WING_EDGE),
        )


def _paint_bill(canvas: Canvas, body: _Body, params: BirdParameters) -> np.ndarray:
    """Return its middle."""
    long, deep, drop = params.type.bill
    base = body.head + np.array([0.86 * params.type.head, 0.08 * params.type.head])
    tip = base + np.array([long, drop + 0.02])
    middle = (base + tip) / 2
    upper, lower = base + [-0.1, -deep / 2], base + [-0.1, deep / 2]
    if params.type.bill_word == "broad flat":
        bill = smooth([upper, middle + [0, -deep * 0.28], tip + [0, -0.05], tip + [0, 0.06],
                       middle + [0, deep * 0.42], lower])  # fmt: skip
    else:
        hook = 0.10 if params.type.bill_word == "hooked" else 0.0
        bill = [upper, middle + [0, -deep * 0.36 + drop * 0.2], tip + [0, hook],
                middle + [0, deep * 0.34 + drop * 0.5], lower]  # fmt: skip
    canvas.polygon(bill, shapes.BILL)
    return middle


def _paint_eye(canvas: Canvas, body: _Body, params: BirdParameters) -> None:
    head, eye, r = body.head, body.eye, params.type.head
    feathers = (shapes.BACK, shapes.THROAT, shapes.CROWN)
    if params.eye_feature == "stripe":
        stripe = [head + [-0.85 * r, -0.02 * r], eye, head + [0.95 * r, 0.02]]
        canvas.line(stripe, 0.40 * r, shapes.FEATURE, inside=feathers)
    elif params.eye_feature == "eyebrow":
        brow = [head + [-0.65 * r, -0.28 * r], eye + [0, -0.32 * r], head + [0.85 * r, -0.24 * r]]
        canvas.line(brow, 0.20 * r, shapes.FEATURE, inside=feathers)
    elif params.eye_feature == "ring":
        canvas.polygon(ellipse(*eye, 0.36 * r, 0.36 * r), shapes.FEATURE)
    canvas.polygon(ellipse(*eye, 0.21 * r, 0.21 * r), shapes.EYE)
    canvas.polygon(ellipse(*(eye + [0.06 * r, -0.07 * r]), 0.07 * r, 0.07 * r, count=10), shapes.GLINT)


def _paint_occluder(canvas: Canvas, params: BirdParameters, rng: np.random.Generator) -> None:
    """What stands in front of the bird: a branch across it, or leaves at the picture's rim."""
    pixels = canvas.pixels
    if params.occluder == "branch":
        y = rng.uniform(0.35, 0.85)
        ends = np.array([[-0.05, y + rng.uniform(-0.2, 0.2)], [0.5, y], [1.05, y + rng.uniform(-0.2, 0.2)]])
        cv2.polylines(canvas.labels, [np.int32(ends * pixels)], False, shapes.BRANCH, max(2, round(0.028 * pixels)))
    elif params.occluder == "leaves":
        corner = rng.choice([0.06, 0.94], size=2)
        leaf = np.array([[-1, 0], [-0.45, -0.36], [0.15, -0.40], [1, 0], [0.15, 0.40], [-0.45, 0.36]])
        for _ in range(8):
            centre, turn = (corner + rng.normal(0, 0.12, 2)) * pixels, rng.uniform(0, 2 * np.pi)
            long = rng.uniform(0.08, 0.13) * pixels
            axes = long * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
            cv2.fillPoly(canvas.labels, [np.int32(smooth(leaf * 1.06, 5) @ axes + centre)], shapes.VEIN)  # a pale rim
            cv2.fillPoly(canvas.labels, [np.int32(smooth(leaf, 5) @ axes + centre)], shapes.LEAF)
            vein = np.int32([centre - 0.9 * axes[0], centre + 0.8 * axes[0]])
            cv2.polylines(canvas.labels, [vein], False, shapes.VEIN, max(1, round(0.006 * pixels)))


def _points(body: _Body, params: BirdParameters, bill: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
    """CUB's name of a part -> its point in the bird's coordinates, and the label that is there when it is visible."""
    at, head, kind = body.at, body.head, params.type
    r, shin = kind.head, (kind.plump * 0.8 + body.feet[1]) / 2 + 0.05
    near, far = ("right", "left") if params.facing == "right" else ("left", "right")
    return {
        "back": (at(0.28, kind.plump * 0.66), shapes.BACK),
        "beak": (bill, shapes.BILL),
        "belly": (at(-0.05, -kind.plump * 0.74), shapes.BELLY),
        "breast": (at(0.62, -kind.plump * 0.50), shapes.BELLY),
        "crown": (head + [0.0, -0.62 * r], shapes.CROWN),
        "forehead": (head + [0.66 * r, -0.48 * r], shapes.CROWN),
        "nape": (head + [-0.62 * r, 0.42 * r], shapes.BACK),
        "tail": (at(-0.80 - 0.6 * kind.tail[0], -0.04), shapes.TAIL),
        "throat": (head + [0.50 * r, 0.62 * r], shapes.THROAT),
        f"{near} eye": (body.eye, shapes.EYE),
        f"{near} wing": (at(-0.20, 0.06), shapes.WING),
        f"{near} leg": (np.array([0.15, shin]), shapes.LEG),
        f"{far} leg": (np.array([-0.11, shin]), shapes.LEG),
    }
