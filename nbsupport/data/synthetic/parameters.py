"""What a synthetic bird is: the types, the palette, and the parameters drawn for bird number n of a seed.

The colours of the parts are only half determined by the type, so that a caption says things about a hidden part that
the visible picture does not give away. Not here: drawing (``drawing``) and words (``captions``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from nbsupport.core.errors import ConfigError, unknown
from nbsupport.core.rng import generator

#: Palette name -> RGB (uint8). Far enough apart that a median colour can be named again.
COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (30, 30, 34),
    "white": (240, 240, 236),
    "grey": (134, 136, 142),
    "brown": (116, 74, 42),
    "tan": (208, 176, 126),
    "red": (200, 34, 36),
    "orange": (236, 128, 24),
    "yellow": (242, 210, 52),
    "green": (58, 142, 62),
    "blue": (40, 96, 196),
    "purple": (122, 62, 156),
    "pink": (236, 144, 172),
}
_PLUMAGE = tuple(COLOURS)
_BARE = ("black", "grey", "yellow", "orange", "red", "brown", "pink")  # colours that bills and legs come in

#: The parts whose colour a caption can name, in the order of the attribute table.
COLOURED_PARTS: tuple[str, ...] = ("crown", "throat", "back", "wing", "belly", "tail", "bill", "leg")

BACKGROUNDS: tuple[str, ...] = ("sky", "foliage", "grass", "water", "ground", "blossom")
_TYPICAL_SHARE = 0.5  # how often a part has its type's typical colour


@dataclass(frozen=True)
class BirdType:
    """A species-like type. Lengths are in units of half the body's length."""

    name: str
    size: str  # the word a caption uses
    scale: float  # half the body's length as a fraction of the picture
    plump: float  # half the body's height
    tilt: float  # degrees the body is raised from level
    head: float  # radius
    neck: float  # distance of the head's centre from the body's, beyond the usual
    bill: tuple[float, float, float]  # length, depth at the base, drop of the tip
    bill_word: str
    tail: tuple[float, float, float]  # length, width at the end, depth of the fork
    leg: float
    crest: float  # height of a crest, 0 for none
    colours: tuple[str, str, str, str, str, str, str, str]  # typical, in the order of COLOURED_PARTS
    homes: tuple[str, ...]  # backgrounds


TYPES: tuple[BirdType, ...] = (
    BirdType("Finch", "small", 0.27, 0.60, 28, 0.40, 0.00, (0.30, 0.28, 0.05), "short cone-shaped", (0.75, 0.26, 0.10),
             0.42, 0.0, ("red", "red", "brown", "brown", "tan", "brown", "grey", "brown"), ("foliage", "blossom")),
    BirdType("Warbler", "small", 0.25, 0.56, 18, 0.38, 0.02, (0.32, 0.13, 0.00), "thin pointed", (0.72, 0.20, 0.04),
             0.45, 0.0, ("black", "yellow", "green", "grey", "yellow", "grey", "black", "black"), ("foliage",)),
    BirdType("Sparrow", "small", 0.26, 0.58, 15, 0.39, 0.00, (0.27, 0.22, 0.03), "short thick", (0.80, 0.22, 0.08),
             0.40, 0.0, ("brown", "white", "brown", "brown", "grey", "brown", "yellow", "pink"), ("grass", "ground")),
    BirdType("Thrush", "medium-sized", 0.29, 0.58, 32, 0.37, 0.08, (0.36, 0.15, 0.03), "straight", (0.85, 0.24, 0.0),
             0.55, 0.0, ("brown", "white", "brown", "brown", "orange", "brown", "yellow", "pink"), ("ground", "grass")),
    BirdType("Jay", "medium-sized", 0.255, 0.52, 24, 0.38, 0.06, (0.40, 0.18, 0.03), "stout", (1.25, 0.32, -0.10),
             0.45, 0.42, ("blue", "white", "blue", "blue", "white", "blue", "black", "black"), ("foliage", "sky")),
    BirdType("Crow", "large", 0.27, 0.52, 16, 0.36, 0.10, (0.55, 0.22, 0.08), "long stout", (0.95, 0.36, -0.06),
             0.52, 0.0, ("black", "black", "black", "black", "black", "black", "black", "black"), ("ground", "sky")),
    BirdType("Woodpecker", "medium-sized", 0.28, 0.48, 58, 0.37, 0.06, (0.58, 0.15, 0.00), "long chisel-like",
             (0.70, 0.12, 0.0), 0.25, 0.26, ("red", "white", "black", "black", "white", "black", "grey", "grey"),
             ("foliage", "sky")),
    BirdType("Hummingbird", "tiny", 0.24, 0.46, 38, 0.36, 0.04, (1.05, 0.07, 0.06), "very long needle-like",
             (0.60, 0.26, 0.14), 0.14, 0.0, ("green", "purple", "green", "grey", "white", "green", "black", "black"),
             ("blossom", "foliage")),
    BirdType("Gull", "large", 0.27, 0.50, 8, 0.36, 0.10, (0.55, 0.17, 0.12), "hooked", (0.70, 0.28, 0.0),
             0.50, 0.0, ("white", "white", "grey", "grey", "white", "white", "yellow", "pink"), ("water", "sky")),
    BirdType("Duck", "large", 0.29, 0.58, 4, 0.38, 0.22, (0.55, 0.20, 0.02), "broad flat", (0.45, 0.14, 0.0),
             0.28, 0.0, ("green", "green", "grey", "grey", "white", "black", "yellow", "orange"), ("water", "grass")),
    BirdType("Heron", "very large", 0.225, 0.50, 30, 0.32, 0.72, (1.05, 0.17, 0.00), "long dagger-like",
             (0.55, 0.22, 0.0), 1.15, 0.30, ("black", "white", "grey", "grey", "white", "grey", "yellow", "yellow"),
             ("water", "grass")),
    BirdType("Kingfisher", "small", 0.26, 0.56, 42, 0.46, 0.00, (0.85, 0.20, 0.00), "long heavy", (0.42, 0.18, 0.0),
             0.20, 0.34, ("blue", "white", "blue", "blue", "orange", "blue", "black", "red"), ("water", "foliage")),
)  # fmt: skip


@dataclass(frozen=True)
class BirdParameters:
    """All that there is to know about one bird: drawing and captions are pure functions of it."""

    seed: int
    number: int
    type_number: int
    crown: str
    throat: str
    back: str
    wing: str
    belly: str
    tail: str
    bill: str
    leg: str
    eye_feature: str  # plain, ring, stripe, eyebrow
    wing_pattern: str  # plain, bars, patch
    belly_pattern: str  # plain, spots, streaks
    pattern_colour: str
    background: str
    facing: str  # left, right
    angle: float  # degrees; positive raises the head
    scale: float  # times the type's own
    x: float  # centre of the body, fractions of the picture
    y: float
    perch: bool
    occluder: str  # none, branch, leaves

    @property
    def type(self) -> BirdType:
        """The kind of bird that it belongs to: one of :data:`TYPES`."""
        return TYPES[self.type_number]

    @property
    def colours(self) -> dict[str, str]:
        """Part -> palette name, for the parts of COLOURED_PARTS."""
        return {part: getattr(self, part) for part in COLOURED_PARTS}


def part_colours(part: str) -> tuple[str, ...]:
    """The names of the colours that a part (one of COLOURED_PARTS) comes in; bills and legs come in fewer.

    Raises:
        ConfigError: there is no such part.
    """
    if part not in COLOURED_PARTS:
        raise ConfigError(unknown("part", part, COLOURED_PARTS))
    return _BARE if part in ("bill", "leg") else _PLUMAGE


def pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    """One of `choices` (twenty times as fast as ``Generator.choice``, which makes an array of them first)."""
    return choices[int(rng.integers(len(choices)))]


def contrasting(*used: str) -> str:
    """White on dark parts, black on light ones: a pattern has to be seen."""
    dark = sum(sum(COLOURS[name]) for name in used) / len(used) < 380
    return "white" if dark else "black"


def _perches(kind: BirdType, background: str, likely: bool) -> bool:
    """In the air and among leaves a bird needs something to sit on; on the ground only some use it."""
    if kind.name == "Hummingbird":
        return False  # it hovers
    return background in ("sky", "foliage", "blossom") or (likely and kind.name not in ("Duck", "Gull", "Heron"))


def sample_parameters(seed: int, number: int) -> BirdParameters:
    """The parameters of bird `number`: a pure function of `(seed, number)`, however many others are drawn."""
    rng = generator(seed, "synthetic bird", number)
    type_number = int(rng.integers(len(TYPES)))
    kind = TYPES[type_number]
    colours = {}
    for part, typical in zip(COLOURED_PARTS, kind.colours, strict=True):
        colours[part] = typical if rng.random() < _TYPICAL_SHARE else pick(rng, part_colours(part))
    scale = float(rng.uniform(0.82, 1.12))
    background = pick(rng, kind.homes if rng.random() < 0.75 else BACKGROUNDS)
    return BirdParameters(
        seed=seed,
        number=number,
        type_number=type_number,
        **colours,
        eye_feature=pick(rng, ["plain", "plain", "ring", "stripe", "eyebrow"]),
        wing_pattern=pick(rng, ["plain", "plain", "bars", "patch"]),
        belly_pattern=pick(rng, ["plain", "plain", "spots", "streaks"]),
        pattern_colour=contrasting(colours["wing"]),
        background=background,
        facing=pick(rng, ["left", "right"]),
        angle=float(rng.normal(0, 9)),
        scale=scale,
        x=float(np.clip(rng.normal(0.5, 0.05), 0.4, 0.6)),
        y=float(np.clip(rng.normal(0.52 if kind.neck < 0.5 else 0.58, 0.04), 0.4, 0.66)),
        perch=_perches(kind, background, bool(rng.random() < 0.4)),
        occluder=pick(rng, ["none", "none", "none", "none", "branch", "leaves"]),
    )


PARAMETER_NAMES: tuple[str, ...] = tuple(field.name for field in fields(BirdParameters))
