"""Whether a filled picture shows what its caption says, and one hole painted for several captions.

R-precision (AttnGAN, arXiv 1711.10485, section 4.1) asks a judge that was trained apart, the matching encoders of
chapter 4, to find a filled picture's caption among captions of other photographs. The judge looks at the whole picture,
most of which was never hidden, so that a level means little: compare with the same holes painted for another caption.
TDANet's training uses the same encoders as a loss, so the judge is not impartial either. Not here: colours read back
from synthetic birds (``attributes``).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nbsupport.core import rng
from nbsupport.core.errors import ConfigError, UserError
from nbsupport.data import synthetic
from nbsupport.data.index import Dataset
from nbsupport.data.synthetic import BirdParameters, regions
from nbsupport.inpainters import base
from nbsupport.quality import attributes, colours, comparison, intervals
from nbsupport.stats.bootstrap import mean_interval, share
from nbsupport.stats.intervals import format_interval, verdict
from nbsupport.tdanet import retrieval, walkthrough
from nbsupport.tdanet.damsm import TrainedMatching

#: What the hole was filled for, in the words of :func:`reading`.
_FILLED = {"mismatched": "holes filled for another caption", "empty": "holes filled for none"}
#: The words for colours that people's captions of photographs use.
_TONE = re.compile(r"\b(black|white|gr[ae]y|brown|red|orange|yellow|green|blue|purple|pink)\b")


def caption_found(
    matcher: TrainedMatching,
    dataset: Dataset,
    outputs: np.ndarray,
    rows: np.ndarray,
    captions: Sequence[str],
    seed: int = 0,
    wrong: int = 99,
) -> np.ndarray:
    """For each filled picture, whether its caption beats `wrong` captions of other photographs by the sentence score.

    The wrong captions come from the splits that `rows` are in, one for each photograph, and never from the picture's
    own group; fewer where there are no more. They depend on (seed, row) alone, so that pictures painted for
    different captions meet the same ones and can be compared in pairs. A wrong caption that reads the
    same, word for word as far as the encoder knows them, is passed over.

    Args:
        outputs: (B, H, W, 3) uint8 RGB. rows: (B,) of the index, the photographs that were filled.
        captions: B texts to be found, none of them empty: the caption given, or, for pictures painted for none, the
            matched caption (which gives the level that the visible part alone reaches).

    Returns:
        (B,) bool.

    Raises:
        ConfigError: not as many captions and pictures as rows, or an empty caption.
        UserError: no other group has another caption.
    """
    rows = np.asarray(rows, dtype=np.int64)
    if not len(outputs) == len(rows) == len(captions):
        raise ConfigError(f"{len(rows)} rows need as many, got {len(outputs)} pictures and {len(captions)} captions.")
    if not all(caption.strip() for caption in captions):
        raise ConfigError("An empty caption cannot be found. For pictures painted for none, give the matched captions.")
    pool = _pool(dataset, rows, seed)
    model = matcher.model.eval()
    return retrieval.found(model, matcher.vocabulary, dataset, outputs, rows, captions, pool, seed, wrong)


def _pool(dataset: Dataset, rows: np.ndarray, seed: int) -> tuple[np.ndarray, list[str]]:
    """Every photograph with captions in the splits of `rows`, and one of its captions."""
    splits = dataset.index["split"].to_numpy()
    return retrieval.captions_of(dataset, np.flatnonzero(np.isin(splits, splits[rows])), seed)


def result_r_precision(
    matcher: TrainedMatching,
    dataset: Dataset,
    outputs: np.ndarray,
    rows: np.ndarray,
    captions: Sequence[str],
    seed: int = 0,
    wrong: int = 99,
) -> dict:
    """R-precision of filled pictures; arguments and errors as :func:`caption_found`.

    Returns:
        ``r_precision``: {value, low, high}, 95 % over groups; ``chance``; ``photographs``; ``wrong``: captions that
        each had to beat (the fewest, where groups differ in size).
    """
    hits = caption_found(matcher, dataset, outputs, rows, captions, seed, wrong)
    groups = dataset.index["group"].to_numpy()
    pool, _ = _pool(dataset, np.asarray(rows), seed)
    wrong = retrieval.fewest_wrong(dataset, rows, pool, wrong)
    return {
        "r_precision": share(hits, groups[rows]),
        "chance": 1 / (wrong + 1),
        "photographs": len(rows),
        "wrong": wrong,
    }


def found_by_kind(
    matcher: TrainedMatching, dataset: Dataset, inpainter: base.Inpainter, rows: np.ndarray, seed: int = 0
) -> dict[str, dict]:
    """How often each photograph's caption is found, untouched and with a centre hole filled for each kind of caption.

    Args: rows: of the index; those of photographs without captions are passed over.

    Returns:
        ``caption_found``: ``untouched photograph`` and each of ``comparison.KINDS`` -> the share found;
        ``caption_found_gain``: ``mismatched``, ``empty`` -> what the right caption gains on it, photograph by
        photograph. Intervals of 95 % over groups; both are empty for fewer than two photographs with captions.
    """
    captions = dataset.index["captions"]
    rows = np.array([row for row in rows if len(captions.iloc[row])], np.int64)
    if len(rows) < 2:
        return {"caption_found": {}, "caption_found_gain": {}}
    meant, _ = comparison.pick_captions(dataset, rows, seed)
    seen = {"untouched photograph": [dataset.cache.batch(rows)]}
    for fill in comparison.fills(dataset, {"inpainter": inpainter}, rows, seed, baselines=()):
        seen.setdefault(fill.caption_kind, []).append(fill.outputs)
    hits = {
        kind: caption_found(matcher, dataset, np.concatenate(parts), rows, meant, seed).astype(float)
        for kind, parts in seen.items()
    }
    groups = dataset.index["group"].to_numpy()[rows]
    return {
        "caption_found": {kind: mean_interval(own, groups, seed) for kind, own in hits.items()},
        "caption_found_gain": {
            kind: mean_interval(hits["matched"] - hits[kind], groups, seed) for kind in ("mismatched", "empty")
        },
    }


def five_captions(
    dataset: Dataset,
    inpainter: base.Inpainter,
    row: int,
    hole: np.ndarray,
    captions: Sequence[str],
    seed: int = 0,
) -> np.ndarray:
    """One photograph and one hole, painted with the same noise for each caption (five, or any number).

    Args: hole (S, S) bool, True = hole. captions: texts; an empty one is allowed.

    Returns:
        (len(captions), S, S, 3) uint8 RGB, in the order of the captions; outside the hole the photograph itself.
    """
    count = len(captions)
    images = np.repeat(dataset.cache.batch([row]), count, axis=0)
    holes = np.repeat(np.asarray(hole)[None], count, axis=0)
    seeds = [rng.torch_seed(seed, "fill", int(row))] * count
    outputs = base.checked(inpainter).fill(images, holes, list(captions), seeds=seeds)
    return base.splice(images, outputs, holes)


def other_colours(dataset: Dataset, rows: Sequence[int], seed: int = 0) -> tuple[int, list[str]]:
    """The first of the photographs whose caption names a colour, and captions of it that name others.

    Args: rows: of the index; where no caption names a colour, the first of them, with an empty caption.

    Returns:
        The row, and its own caption, three that name red, yellow and blue in place of its colours, and an empty one.
    """
    captions, _ = comparison.pick_captions(dataset, np.asarray(rows), seed)
    named = (pair for pair in zip(rows, captions, strict=True) if _TONE.search(pair[1]))
    row, own = next(named, (rows[0], ""))
    return int(row), [own, *(_TONE.sub(colour, own) for colour in ("red", "yellow", "blue")), ""]


@dataclass(frozen=True)
class Recoloured:
    """One bird with one part painted for several captions: what ``plots.text_alignment.five_captions`` draws.

    Attributes:
        photograph: (S, S, 3) uint8 RGB. hole: (S, S) bool, True = hole. part: the hidden part.
        captions: the true one, those that name other colours, and an empty one.
        named: the colour that each caption names; None for the empty one.
        pictures: (len(captions), S, S, 3) uint8 RGB. read: the colour painted in each.
    """

    photograph: np.ndarray
    hole: np.ndarray
    part: str
    captions: tuple[str, ...]
    named: tuple[str | None, ...]
    pictures: np.ndarray
    read: tuple[str, ...]


def recoloured(
    dataset: Dataset,
    birds: Mapping[str, BirdParameters],
    inpainter: base.Inpainter,
    row: int,
    part: str,
    seed: int = 0,
    edited: int = 3,
) -> Recoloured:
    """Paint a part of a synthetic bird for its true caption, for `edited` captions of other colours, and for none.

    Args: birds: see ``regions.birds_of``. part: one of COLOURED_PARTS.

    Raises:
        UserError: too little of the part is to be seen in this picture to read its colour.
    """
    params = attributes.bird_of(dataset, birds, row)
    reader, found = colours.reader_of(dataset, row), regions.hidden_parts(dataset, params, row, (part,))
    if not found or part not in reader.tones:
        raise UserError(f"Too little of the {part} is to be seen in photograph {row}. Choose another part or bird.")
    hidden = found[0]
    named = (getattr(params, part), *attributes.edited_colours(params, part, seed, edited), None)
    captions = tuple(synthetic.caption_with(params, part, colour) if colour else "" for colour in named)
    pictures = five_captions(dataset, inpainter, row, hidden.hole, captions, seed)
    read = tuple(reader.read(picture, hidden.region, part)[0] for picture in pictures)
    return Recoloured(dataset.cache.batch([row])[0], hidden.hole, part, captions, named, pictures, read)


def reading(report: Mapping, alignment: Mapping) -> str:
    """What chapter 5 has found, in a few lines of Markdown.

    Args: report: ``results/quality.json``. alignment: ``results/text_alignment.json``.
    """
    cost = alignment["caption_effect"]["mismatched"]["hole_l1"]
    error = report["measures"]["tdanet"]["matched"]["hole_l1"]["value"]
    lines = [intervals.cost_reading(cost, error)]
    for kind, own in alignment["caption_found_gain"].items():
        said = verdict(own, "is found more often", "is found less often", "is not shown to be found more often")
        lines.append(f"In the result the right caption {said} than for {_FILLED[kind]} ({format_interval(own)}).")
    named = (alignment["attributes"] or {}).get("caption_effect", {})
    for kind, own in named.items():
        said = verdict(own, "is painted more often", "is painted less often", "is not shown to be painted more often")
        lines.append(f"The {kind} colour {said} when the caption names it ({format_interval(own)}).")
    lines.append(
        f"Words kept most after negation: {', '.join(alignment['kept_words'])}; the two paths "
        f"{walkthrough.agreement(alignment['paths_agree'])}."
    )
    return "\n".join(f"- {line}" for line in lines)


def kept_reading(quality: Mapping, matching: Mapping) -> str:
    """What the results kept with the book say about captions on photographs.

    Args: quality, matching: results of those names.
    """
    cost = quality["caption_effect"]["tdanet"]["mismatched"]["hole_l1"]
    error = quality["measures"]["tdanet"]["matched"]["hole_l1"]["value"]
    return (
        f"There, the text encoder finds a photograph's caption among {matching['wrong']} others in "
        f"**{matching['r_precision']:.0%}** of {matching['photographs']:,} held-out photographs (chance "
        f"{matching['chance']:.0%}), and a wrong caption costs {format_interval(cost, 4)}, "
        f"{cost['value'] / error:.1%} of the error: the network **{intervals.worth(cost, error)}**."
    )
