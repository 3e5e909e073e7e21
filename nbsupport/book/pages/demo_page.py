"""The page "demo": fills of a few held-out synthetic birds and what every detector says of them, computed beforehand.

A reader chooses a bird, a hole, a caption, a seed and an inpainter; the page shows the fill and the verdicts, also
after the picture was saved again as a JPEG. Captions that name a colour speak of the part that the hole hides most of,
so that the true and the edited one differ in one word. Not here: the demo with a kernel, where anything can be painted
(``demo.panel``).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm

from nbsupport.book.pages import assets
from nbsupport.config import SOFT_VOTE
from nbsupport.core import rng
from nbsupport.core.errors import UserError
from nbsupport.data.synthetic import BirdParameters, caption_with, regions
from nbsupport.demo.state import Session
from nbsupport.detectors import corruptions
from nbsupport.detectors.inspection import Inspector
from nbsupport.inpainters import base, registry
from nbsupport.quality import attributes
from nbsupport.runs import Run
from nbsupport.stats.calibration import VERDICTS, Band

BIRDS = 8
HOLES = ("centre", "part", "object", "strokes")
SEEDS = (0, 1)
CONDITION = "jpeg 60"
_BATCH = 32


@dataclass(frozen=True)
class Scene:
    """One bird with one hole: photograph (H, W, 3) uint8, hole (H, W) bool, True = hole, and the captions to try.

    Attributes:
        hidden: the part that the captions speak of. captions: (kind, text) of each, kinds as the page names them.
    """

    image_id: str
    kind: str
    photograph: np.ndarray
    hole: np.ndarray
    hidden: str
    captions: tuple[tuple[str, str], ...]


def html(run: Run) -> str:
    """The page of a run, smaller than ``assets.LIMIT`` bytes; with fewer birds where they would not fit.

    Raises:
        MissingStage: chapter 4 or 7 has not run.
        UserError: the birds are too small for their parts to be hidden.
    """
    run.require("tdanet")
    run.require("detectors")
    data = collect(run, BIRDS)
    while True:
        content = assets.assembled("demo_page", "Demo", with_sheets(data))
        if len(content.encode()) < assets.LIMIT or len(data["birds"]) <= 1:
            return content
        data = data | {"birds": data["birds"][:-1]}


def collect(run: Run, count: int) -> dict[str, object]:
    """Everything that the page shows but its sheets: JSON values, and arrays where pictures and holes stand.

    Returns:
        ``size``, ``gain``, ``condition``, ``detectors`` (names, the vote last), ``bands`` ([low, high] of each),
        ``birds``: each with ``id, species, picture, said`` and ``holes``: each with ``kind, hole, coverage, hidden,
        captions`` and ``fills``: by "inpainter caption seed" the whole ``picture`` and what is said of both arms.
        ``said``: of the clean picture and of the one that went through the condition: probabilities in thousandths and
        a digit of ``VERDICTS`` for each of the detectors.
    """
    session, inspector = Session(run), Inspector.of_run(run)
    known = regions.birds_of(run, session.dataset)
    birds = choose_birds(session, count)
    scenes = [scene for place in range(len(birds)) for scene in scenes_of(session, known, birds, place)]
    if not scenes:
        raise UserError(
            "No part of these birds is large enough to be hidden and named. Give more photographs or a larger "
            "`image_size` in chapter 1."
        )
    birds = list(dict.fromkeys(scene.image_id for scene in scenes))
    fills = list(fill(run, scenes))
    judge = Judge(inspector)
    pictures = [scene.photograph for scene in scenes]
    for scene, _, output in fills:
        pictures += [output, base.splice(scene.photograph, output, scene.hole)]
    judge.ask(pictures)
    table = session.dataset.index.set_index("image_id")["label"]
    records = [
        {"id": name, "species": str(table[name]), "picture": session.image(name),
         "said": judge.said(session.image(name)),
         "holes": [hole_record(scene, fills, judge) for scene in scenes if scene.image_id == name]}
        for name in birds
    ]  # fmt: skip
    return {
        "size": list(session.masks.shape),
        "gain": assets.GAIN,
        "run": run.name,
        "condition": CONDITION.upper(),
        "detectors": ["soft vote" if name == SOFT_VOTE else name for name in judge.bands],
        "bands": [[band.low, band.high] for band in judge.bands.values()],
        "verdicts": list(VERDICTS),
        "seeds": list(SEEDS),
        "held_out": bool((session.photographs["split"] == session.split).all()),
        "birds": records,
    }


def with_sheets(data: Mapping) -> dict[str, object]:
    """The same with pictures in sheets and holes packed; arrays become numbers."""
    store = assets.Store()

    def plain(value: object) -> object:
        if isinstance(value, np.ndarray):
            return store.hole(value) if value.dtype == bool else store.picture(value)
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list) else value

    birds = plain(data["birds"])
    return dict(data) | {"birds": birds, "holes": store.holes, "sheets": assets.sheets(store.pictures)}


def choose_birds(session: Session, count: int) -> list[str]:
    """Held-out birds of different species, by chance, those first that can have every kind of hole."""
    table = session.photographs
    order = table.iloc[rng.generator(0, "demo page").permutation(len(table))]
    able = [len(set(HOLES) & {*session.mask_kinds(name)}) for name in order["image_id"]]
    order = order.assign(able=able).sort_values("able", ascending=False, kind="stable")
    again = order.groupby("label").cumcount()  # first one of each species, then the second of each …
    return order.iloc[np.argsort(again.to_numpy(), kind="stable")]["image_id"].head(count).tolist()


def scenes_of(
    session: Session, known: Mapping[str, BirdParameters], birds: Sequence[str], place: int
) -> Iterator[Scene]:
    """The holes of one of the birds, each with its captions; the hole "part" hides the largest coloured part whole."""
    name = birds[place]
    row, held = session.row(name), set(session.mask_kinds(name))
    params = attributes.bird_of(session.dataset, known, row)
    parts = regions.hidden_parts(session.dataset, params, row)
    largest = max(parts, key=lambda part: part.region.sum(), default=None)
    if largest is None:
        return
    for kind in HOLES:
        if kind != "part" and kind not in held:
            continue
        hole = largest.hole if kind == "part" else session.mask(name, kind)
        hidden = max(parts, key=lambda part: (part.region & hole).sum()).part
        other = birds[(place + 1) % len(birds)]
        texts = {
            "true colour": caption_with(params, hidden),
            "another colour": caption_with(params, hidden, attributes.edited_colours(params, hidden, 0)[0]),
            "another bird's": next(iter(session.captions(other)), ""),
            "none": "",
        }
        yield Scene(name, kind, session.image(name), np.asarray(hole, bool), hidden, tuple(texts.items()))


def fill(run: Run, scenes: Sequence[Scene]) -> Iterator[tuple[Scene, str, np.ndarray]]:
    """Each scene painted by TDANet for each caption and seed and once by Telea: (scene, name of the fill, picture)."""
    jobs = [
        (scene, f"tdanet {number} {seed}", text, seed)
        for scene in scenes
        for number, (_, text) in enumerate(scene.captions)
        for seed in SEEDS
    ]
    inpainter = registry.create("tdanet", run)
    for start in tqdm(range(0, len(jobs), _BATCH), desc="demo page: fills", unit="batch", leave=False):
        batch = jobs[start : start + _BATCH]
        photographs, holes = (np.stack([getattr(job[0], name) for job in batch]) for name in ("photograph", "hole"))
        outputs = inpainter.fill(photographs, holes, [job[2] for job in batch], seeds=[job[3] for job in batch])
        yield from ((scene, name, output) for (scene, name, *_), output in zip(batch, outputs, strict=True))
    telea = registry.create("telea")
    for scene in scenes:
        yield scene, "telea", telea.fill(scene.photograph[None], scene.hole[None], [""], seeds=[0])[0]


class Judge:
    """All detectors of a run over many pictures at once, as they are and after the condition.

    Attributes:
        bands: detector -> thresholds of its verdict on validation pictures; the vote last.
    """

    def __init__(self, inspector: Inspector) -> None:
        self.inspector = inspector
        self.bands: dict[str, Band] = inspector.bands
        self._said: dict[bytes, list[dict[str, object]]] = {}

    def ask(self, pictures: Sequence[np.ndarray]) -> None:
        """Judge pictures, each (H, W, 3) uint8, and keep the answers."""
        once = list({picture.tobytes(): picture for picture in pictures}.values())
        for start in tqdm(range(0, len(once), _BATCH), desc="demo page: verdicts", unit="batch", leave=False):
            clean = np.stack(once[start : start + _BATCH])
            saved = corruptions.apply(CONDITION, clean, [0] * len(clean))
            answers = self._answers(np.concatenate([clean, saved]))
            for n, picture in enumerate(clean):
                self._said[picture.tobytes()] = [answers[n], answers[len(clean) + n]]

    def _answers(self, pictures: np.ndarray) -> list[dict[str, object]]:
        table = np.stack(list(self.inspector.probabilities(pictures).values()), axis=1)  # (N, detectors + 1)
        return [
            {
                "p": [int(np.floor(1000 * value)) for value in line],
                "v": "".join(
                    str(VERDICTS.index(band.verdict(value)))
                    for band, value in zip(self.bands.values(), line, strict=True)
                ),
            }
            for line in table
        ]

    def said(self, picture: np.ndarray) -> list[dict[str, object]]:
        """What was said of a picture: as it is, and after the condition."""
        return self._said[picture.tobytes()]


def hole_record(scene: Scene, fills: Sequence[tuple[Scene, str, np.ndarray]], judge: Judge) -> dict[str, object]:
    """One hole of a bird as the page has it."""
    record = {"kind": scene.kind, "hole": scene.hole, "coverage": round(float(scene.hole.mean()), 4),
              "hidden": scene.hidden, "captions": [list(pair) for pair in scene.captions], "fills": {}}  # fmt: skip
    for own, name, output in fills:
        if own is scene:
            spliced = base.splice(scene.photograph, output, scene.hole)
            said = {"spliced": judge.said(spliced), "regenerated": judge.said(output)}
            record["fills"][name] = {"picture": output, "said": said}
    return record
