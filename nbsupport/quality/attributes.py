"""Whether the network paints the colour that the caption names, measured on the synthetic birds.

A part of a bird is hidden, the caption names one colour for it, and the colour that was painted there is read back. The
caption is true, or edited to name another colour, or empty: an empty one shows how far the visible part alone leads.
The same idea judges text-to-image generators (attribute binding in T2I-CompBench, arXiv 2307.06350); here the part's
place is known to the pixel, so nothing has to be found first.

Two things in the picture can give a colour away and are left as they are: another visible part that carries the same
colour (column ``visible_elsewhere``), and what goes with a colour: a ring around the eye is white on a dark head, and
half of the parts have their species' usual colour. ``hole="body"`` hides all of the bird. Not here: photographs, of
whose colours nobody has a list (``text_alignment``).
"""

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from nbsupport.core import rng
from nbsupport.core.errors import ConfigError, UserError, unknown
from nbsupport.data import synthetic
from nbsupport.data.index import Dataset
from nbsupport.data.synthetic import COLOURED_PARTS, BirdParameters, part_colours
from nbsupport.data.synthetic.regions import birds_of, hidden_parts
from nbsupport.inpainters.base import Inpainter, checked
from nbsupport.quality.colours import reader_of
from nbsupport.runs import Run
from nbsupport.stats.bootstrap import bootstrap_groups, share

#: What the caption says of the hidden part: its colour, another colour, or nothing.
KINDS = ("true", "edited", "empty")


def edited_colours(params: BirdParameters, part: str, seed: int, count: int = 1) -> list[str]:
    """`count` different colours that the part comes in but does not have here: a pure function of the arguments."""
    others = [name for name in part_colours(part) if name != getattr(params, part)]
    if not 1 <= count <= len(others):
        raise ConfigError(f"The {part} comes in {len(others)} other colours, so count={count} of them cannot be named.")
    order = rng.generator(seed, "edited colour", params.seed, params.number, part).permutation(len(others))
    return [others[i] for i in order[:count]]


def bird_of(dataset: Dataset, birds: Mapping[str, BirdParameters], row: int) -> BirdParameters:
    """The parameters of the bird in one row of the index; a UserError where `birds` does not hold it."""
    image_id = dataset.index["image_id"].iloc[row]
    if image_id not in birds:
        raise UserError(f"'{image_id}' is not among the birds given. Take them from the same run: birds_of(run, data).")
    return birds[image_id]


def attribute_accuracy(
    dataset: Dataset,
    birds: Mapping[str, BirdParameters],
    inpainter: Inpainter,
    rows: np.ndarray,
    seed: int = 0,
    parts: Sequence[str] = COLOURED_PARTS,
    kinds: Sequence[str] = KINDS,
    hole: str = "part",
) -> pd.DataFrame:
    """Hide each part of each bird, have it painted for each kind of caption with the same noise, and read the colour.

    Args:
        dataset, birds: of a run with synthetic birds; see :func:`birds_of`.
        inpainter: whoever paints. rows: of the index. parts: which to hide, one at a time.
        kinds: some of ``KINDS``. hole: ``part`` or ``body``, see :func:`hidden_parts`.

    Returns:
        one row for each photograph, part and kind: ``row, group, part, kind, caption``; ``named``: the colour that the
        caption names (for an empty one the true colour); ``original``: the true colour; ``read``: what was painted, and
        ``distance``, how far its tone is from that colour's (CIELAB); ``correct``: read is named; ``read_original``:
        the colour read in the untouched photograph; ``visible_elsewhere``: another visible part has the named colour;
        ``hole_share``: the hole's area over the picture's.

    Raises:
        ConfigError: an unknown part, kind or hole.
        UserError: a photograph that is not among `birds`, or no part that can be asked for.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigError(unknown("kind of caption", kind, KINDS))
    inpainter, groups, table = checked(inpainter), dataset.index["group"].to_numpy(), []
    for row in tqdm([int(row) for row in rows], desc="named colours", unit="photo", leave=False):
        params, photograph = bird_of(dataset, birds, row), dataset.cache.batch([row])[0]
        reader = reader_of(dataset, row)
        asked = [
            (hidden, kind, *_caption(params, hidden.part, kind, seed))
            for hidden in hidden_parts(dataset, params, row, parts, hole)
            if hidden.part in reader.tones
            for kind in kinds
        ]
        if not asked:
            continue
        outputs = inpainter.fill(
            np.repeat(photograph[None], len(asked), axis=0),
            np.stack([hidden.hole for hidden, *_ in asked]),
            [caption for *_, caption in asked],
            seeds=[rng.torch_seed(seed, "fill", row, hidden.part) for hidden, *_ in asked],
        )
        for (hidden, kind, named, caption), output in zip(asked, outputs, strict=True):
            read, distance = reader.read(output, hidden.region, hidden.part)
            table.append({
                "row": row, "group": groups[row], "part": hidden.part, "kind": kind, "caption": caption, "named": named,
                "original": getattr(params, hidden.part), "read": read, "distance": distance, "correct": read == named,
                "read_original": reader.read(photograph, hidden.region, hidden.part)[0],
                "visible_elsewhere": named in hidden.elsewhere, "hole_share": float(hidden.hole.mean()),
            })  # fmt: skip
    if not table:
        raise UserError(
            "No part of these birds can be hidden and read. Give more photographs, or a larger `image_size` in chapter "
            "1; hole='body' also needs fit='crop', so that something is left around the bird."
        )
    return pd.DataFrame(table)


def named_colours(
    run: Run, dataset: Dataset, inpainter: Inpainter, rows: np.ndarray, seed: int = 0
) -> tuple[Mapping[str, BirdParameters], pd.DataFrame | None, dict | None]:
    """The birds of a run, :func:`attribute_accuracy` of `rows` and its summary; ({}, None, None) for photographs."""
    if dataset.config.dataset != "synthetic":
        return {}, None, None
    birds = birds_of(run, dataset)
    table = attribute_accuracy(dataset, birds, inpainter, rows, seed)
    return birds, table, attribute_summary(table, seed)


def _caption(params: BirdParameters, part: str, kind: str, seed: int) -> tuple[str, str]:
    """The colour named and the caption."""
    named = edited_colours(params, part, seed)[0] if kind == "edited" else getattr(params, part)
    return named, "" if kind == "empty" else synthetic.caption_with(params, part, named)


def attribute_summary(table: pd.DataFrame, seed: int = 0) -> dict:
    """What :func:`attribute_accuracy`'s table says. Intervals ({value, low, high}) are 95 %, over groups.

    Returns:
        ``photographs``; ``asked``: (photograph, part) pairs; ``accuracy``: kind -> interval, how often the named colour
        was painted; ``keeps_original``: how often the true colour was painted although the caption named another;
        ``caption_effect``: kind -> accuracy minus how often an *empty* caption gives that same colour (paired; above 0:
        the caption is followed); ``reader``: how often the true colour is read in the untouched photograph, the most
        that can be reached; ``chance``: ``uniform``, a guess among the part's colours, and ``majority``, kind -> always
        the part's most frequent colour; ``seen_elsewhere``: kind -> ``share``, and the accuracy ``when_seen`` and
        ``when_hidden``; ``parts``: part -> the first of these for it alone. Kinds that the table lacks are left out.
    """
    kinds = [kind for kind in KINDS if (table["kind"] == kind).any()]
    by_kind = {kind: table[table["kind"] == kind] for kind in kinds}
    once = by_kind[kinds[0]]
    result = {
        "photographs": int(once["row"].nunique()),
        **_rates(by_kind),
        "caption_effect": _caption_effect(by_kind, seed),
        "seen_elsewhere": {
            kind: {
                "share": float(own["visible_elsewhere"].mean()),
                "when_seen": _share(own, own["correct"], own["visible_elsewhere"]),
                "when_hidden": _share(own, own["correct"], ~own["visible_elsewhere"]),
            }
            for kind, own in by_kind.items()
        },
    }
    present = [part for part in COLOURED_PARTS if (once["part"] == part).any()]
    result["parts"] = {
        part: _rates({kind: own[own["part"] == part] for kind, own in by_kind.items()}) for part in present
    }
    return result


def _rates(by_kind: Mapping[str, pd.DataFrame]) -> dict:
    once = next(iter(by_kind.values()))
    common = once.groupby("part")["original"].agg(lambda colours: colours.value_counts().sort_index().idxmax())
    rates = {
        "asked": len(once),
        "accuracy": {kind: _share(own, own["correct"]) for kind, own in by_kind.items()},
        "reader": _share(once, once["read_original"] == once["original"]),
        "chance": {
            "uniform": float(np.mean([1 / len(part_colours(part)) for part in once["part"]])),
            "majority": {k: float((own["named"] == own["part"].map(common)).mean()) for k, own in by_kind.items()},
        },
    }
    if "edited" in by_kind:
        rates["keeps_original"] = _share(by_kind["edited"], by_kind["edited"]["read"] == by_kind["edited"]["original"])
    return rates


def _share(table: pd.DataFrame, right: pd.Series, where: pd.Series | None = None) -> dict:
    where = np.ones(len(table), bool) if where is None else where.to_numpy()
    return share(right.to_numpy()[where], table["group"].to_numpy()[where])


def _caption_effect(by_kind: Mapping[str, pd.DataFrame], seed: int) -> dict:
    """Kind -> mean over (photograph, part) of: named colour painted, minus the same colour painted for no caption."""
    if "empty" not in by_kind:
        return {}
    without = by_kind["empty"].set_index(["row", "part"])["read"]
    effect = {}
    for kind in (kind for kind in by_kind if kind != "empty"):
        own = by_kind[kind]
        anyway = without.loc[list(zip(own["row"], own["part"], strict=True))].to_numpy() == own["named"].to_numpy()
        difference = own["correct"].to_numpy().astype(float) - anyway
        effect[kind] = bootstrap_groups(own["group"], functools.partial(_weighted_mean, difference), seed=seed)
    return effect


def _weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """values (N,), weights (B, N): (B,), NaN where nothing weighs."""
    with np.errstate(invalid="ignore"):
        return weights @ values / weights.sum(axis=1)
