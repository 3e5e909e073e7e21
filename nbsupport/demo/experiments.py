"""Chapter 11's five experiments, worked out without a hand: each gives fills and a table, from one session.

They are the same steps that a reader takes in the panels. Not here: figures (``plots.demo``).
"""

from collections.abc import Sequence

import cv2
import numpy as np
import pandas as pd

from nbsupport import masks
from nbsupport.core.errors import ConfigError, MissingStage, unknown
from nbsupport.data.synthetic import COLOURS
from nbsupport.demo.state import Filled, Session

_PLURAL = {"wing", "leg"}


def choose(session: Session, sample: int, part: str) -> tuple[str, str]:
    """A sample and the part of it to hide: from the `sample`-th on the first that shows `part`, or any part at all.

    Returns: image_id and the part's name; empty where no sample has parts.
    """
    ids = session.photographs["image_id"].tolist()
    ids = ids[sample % len(ids) :] + ids[: sample % len(ids)]
    shown = {image_id: session.parts(image_id) for image_id in ids[:60]}
    for image_id, parts in shown.items():
        if part in parts:
            return image_id, part
    for image_id, parts in shown.items():
        if parts:
            return image_id, parts[0]
    return ids[0], ""


def first_hole(session: Session, image_id: str, part: str, kind: str = "centre") -> np.ndarray:
    """The hole over a part, or of `kind` (else of the first kind that the picture can have) where there is no part."""
    if part:
        return session.part(image_id, part)
    kinds = session.mask_kinds(image_id)
    return session.mask(image_id, kind if kind in kinds else kinds[0])


def in_hole(first: Filled, second: np.ndarray) -> float:
    """Mean absolute difference of a fill to another picture inside its hole, in grey levels of 255."""
    return float(np.abs(first.spliced[first.mask].astype(float) - second[first.mask]).mean())


def name_colours(
    session: Session, image_id: str, part: str, hole: np.ndarray, colours: Sequence[str], inpainter: str, seed: int
) -> tuple[list[Filled], pd.DataFrame]:
    """The same hole and seed, one fill for each colour that the caption names.

    Returns:
        The fills, and columns ``colour, caption, nearest`` (the named colour that the hole's median tone is nearest to,
        in CIELAB), ``distance`` (from the named one), ``apart`` (mean difference in the hole to the first fill).

    Raises:
        ConfigError: a colour that the palette lacks.
    """
    for colour in colours:
        if colour not in COLOURS:
            raise ConfigError(unknown("colour", colour, COLOURS))
    noun = part or "body"
    fills, rows = [], []
    tones = _lab(np.array([COLOURS[colour] for colour in colours], np.uint8))
    for number, colour in enumerate(colours):
        article = "" if noun in _PLURAL else ("an " if colour[0] in "aeiou" else "a ")
        caption = f"this bird has {article}{colour} {noun}."
        fills.append(session.fill(image_id, hole, caption, inpainter, seed))
        found = _lab(np.median(fills[-1].spliced[hole], axis=0).astype(np.uint8)[None])[0]
        far = np.linalg.norm(tones - found, axis=1)
        apart = in_hole(fills[-1], fills[0].spliced)
        rows.append((colour, caption, colours[int(far.argmin())], float(far[number]), apart))
    return fills, pd.DataFrame(rows, columns=["colour", "caption", "nearest", "distance", "apart"])


def _lab(rgb: np.ndarray) -> np.ndarray:
    """(N, 3) uint8 RGB -> (N, 3) float CIELAB."""
    return cv2.cvtColor(rgb[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]


def shrink_hole(
    session: Session, image_ids: Sequence[str], coverages: Sequence[float], inpainter: str, seed: int
) -> tuple[list[Filled], pd.DataFrame]:
    """A central hole that grows smaller, in several pictures.

    Returns:
        The fills, picture by picture in the order of `coverages`, and columns ``image_id, coverage`` (wanted; 0: the
        untouched picture)``, name, probability, verdict`` for each detector and the vote.
    """
    fills, rows = [], []
    for image_id in image_ids:
        image = session.image(image_id)
        caption = next(iter(session.captions(image_id)), "")
        rows += [(image_id, 0.0, *told) for told in _told(session, image)]
        for coverage in coverages:
            wanted = (coverage, coverage)
            hole = masks.draw("centre", image.shape[:2], seed=0, image_id=image_id, coverage=wanted)
            filled = session.fill(image_id, hole, caption, inpainter, seed)
            rows += [(image_id, coverage, *told) for told in _told(session, filled.spliced)]
            fills.append(filled)
    return fills, pd.DataFrame(rows, columns=["image_id", "coverage", "name", "probability", "verdict"])


def _told(session: Session, picture: np.ndarray) -> list[tuple[str, float, str]]:
    if session.inspector is None:
        raise MissingStage(session.no_detectors)
    found = session.inspector.probabilities(session.view(picture).picture[None])
    return [(name, float(p[0]), session.inspector.bands[name].verdict(float(p[0]))) for name, p in found.items()]


def save_again(session: Session, fills: Sequence[Filled], steps: Sequence[str], arm: str = "spliced") -> pd.DataFrame:
    """Several fills saved in each way and judged again: ``Session.sweep`` with a column ``image_id``."""
    tables = [session.sweep(filled.output(arm), steps).assign(image_id=filled.image_id)
              for filled in fills]  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def change_inpainter(
    session: Session, image_id: str, hole: np.ndarray, caption: str, inpainters: Sequence[str], seed: int
) -> tuple[list[Filled], pd.DataFrame]:
    """The same hole by several inpainters.

    Returns:
        The fills, and columns ``inpainter, hole_l1`` (to the photograph, grey levels of 255)``, vote, verdict``.
    """
    fills = [session.fill(image_id, hole, caption, inpainter, seed) for inpainter in inpainters]
    return fills, _judged(session, fills, [f.inpainter for f in fills], "inpainter")


def change_caption(
    session: Session, image_id: str, hole: np.ndarray, captions: dict[str, str], inpainter: str, seed: int
) -> tuple[list[Filled], pd.DataFrame]:
    """The same hole by one inpainter from several captions, name -> text; columns as :func:`change_inpainter`'s."""
    fills = [session.fill(image_id, hole, text, inpainter, seed) for text in captions.values()]
    table = _judged(session, fills, list(captions), "caption")
    return fills, table.assign(apart=[in_hole(filled, fills[0].spliced) for filled in fills])


def _judged(session: Session, fills: Sequence[Filled], names: Sequence[str], column: str) -> pd.DataFrame:
    rows = []
    for name, filled in zip(names, fills, strict=True):
        *_, (_, vote, verdict) = _told(session, filled.spliced)
        rows.append((name, in_hole(filled, filled.original), vote, verdict))
    return pd.DataFrame(rows, columns=[column, "hole_l1", "vote", "verdict"])


def inpainters_reading(table: pd.DataFrame, inpainter: str) -> str:
    """How the vote on one inpainter's fill compares with that on others', in a sentence: an anecdote, said to be one.

    Args: table: of :func:`change_inpainter`. inpainter: the one on whose fakes the detectors were trained.
    """
    votes = table.set_index("inpainter")["vote"]
    if inpainter not in votes or len(votes) < 2:
        return "Only one inpainter was asked."
    others = votes.drop(inpainter)
    above = int((others > votes[inpainter]).sum())
    called = table.loc[table["verdict"] == "inpainted", "inpainter"].tolist()
    return (
        f"The vote on {inpainter}'s fill is {votes[inpainter]:.2f}; {above} of {len(others)} other inpainters get a "
        f"higher one in this hole. Called *inpainted*: {', '.join(called) or 'none'}."
    )


def colours_reading(table: pd.DataFrame, part: str, hole: np.ndarray) -> str:
    """Whether fills take the colour that their caption names, in Markdown.

    Args: table: of :func:`name_colours`. part: the hidden part, empty for a hole at the centre. hole: (H, W) bool,
        True = hole.
    """
    right = int((table["nearest"] == table["colour"]).sum())
    if right == len(table):
        listens = "follows this word"
    else:
        listens = "does not follow this word" if right <= 1 else "follows it at times"
    return (
        f"Hidden: {part or 'the centre'}, {hole.mean():.1%} of the picture. The tone in the hole is nearest to the "
        f"colour that was named in **{right} of {len(table)}** fills; from one colour to another the hole changes by "
        f"up to {table['apart'].max():.1f} grey levels of 255. By this measure the inpainter {listens} here."
    )


def by_coverage(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """What one detector or the vote says of holes of each size. Args: table: of :func:`shrink_hole`. name: who.

    Returns:
        index: the coverage wanted, from 0 (untouched) upwards; ``probability``: the mean over the pictures;
        ``inpainted``: how many pictures are called so; ``pictures``: of how many.
    """
    own = table[table["name"] == name]
    groups = own.groupby("coverage")
    called = own[own["verdict"] == "inpainted"].groupby("coverage").size()
    probability = groups["probability"].mean()
    called = called.reindex(probability.index, fill_value=0)
    return pd.DataFrame({"probability": probability, "inpainted": called, "pictures": groups.size()})


def shrinking_reading(votes: pd.DataFrame) -> str:
    """How the vote falls as the hole shrinks, in Markdown. Args: votes: of :func:`by_coverage`, two sizes at least."""
    none, smallest, largest = (votes.iloc[place] for place in (0, 1, -1))
    return (
        f"Mean of the vote: {largest['probability']:.2f} at the largest hole, {smallest['probability']:.2f} at the "
        f"smallest, {none['probability']:.2f} with none. Called *inpainted*: {largest['inpainted']:.0f} of "
        f"{largest['pictures']:.0f} pictures at the largest, {smallest['inpainted']:.0f} at the smallest, "
        f"{none['inpainted']:.0f} with no hole at all."
    )


def flips_reading(flips: pd.Series, coverage: float) -> str:
    """Which way of saving a picture turns verdicts, in Markdown.

    Args: flips: step -> share of the verdicts that it turns, in [0, 1]. coverage: of the holes, in [0, 1].
    """
    most = f"Most are turned by **{flips.idxmax()}**." if flips.any() else "No step turned any."
    shares = ", ".join(f"{step} {share:.0%}" for step, share in flips.items())
    return f"With holes of {coverage:.1%}, each step turns this share of the vote's verdicts: {shares}. {most}"
