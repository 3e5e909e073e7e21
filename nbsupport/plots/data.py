"""Figures of chapter 1: photographs with their captions, labels, splits, near-duplicates, sizes, words."""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from nbsupport.config import CAPTION_LENGTH, SPLITS
from nbsupport.data import splits as splitting
from nbsupport.data.captions import tokenise
from nbsupport.data.index import Dataset
from nbsupport.data.summary import captions_by_split
from nbsupport.plots.style import COLOURS, picture_grid

_SPLIT_COLOURS = {"train": COLOURS["neutral"], "validation": COLOURS["reconstructed"], "test": COLOURS["regenerated"]}


def choose(dataset: Dataset, count: int, split: str | None = "train") -> np.ndarray:
    """Rows to show: `count` of a split, spread evenly over the labels; (n,) int64."""
    rows = dataset.rows(split)
    rows = rows[np.argsort(dataset.index["label"].to_numpy()[rows], kind="stable")]
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))]


def samples(dataset: Dataset, rows: Sequence[int], captions: int = 3) -> Figure:
    """A line for each photograph: as cached, with its object tinted and its parts dotted, and its first captions."""
    count = len(rows)
    figure, axes = plt.subplots(
        count, 3, figsize=(9, 1.55 * count), squeeze=False, width_ratios=(1, 1, 4), layout="constrained"
    )
    for (plain, marked, words), row in zip(axes, rows, strict=True):
        image, entry = dataset.cache.batch([row])[0], dataset.index.iloc[row]
        plain.imshow(image)
        marked.imshow(_tinted(image, dataset.cache.objects[row]))
        points = np.array(list(dataset.cache.parts_of(row).values())).reshape(-1, 2)
        # the pixel in column c covers [c, c + 1); imshow centres it on c
        marked.scatter(*(points.T - 0.5), s=12, color=COLOURS["fake"], edgecolors="white", linewidths=0.5)
        lines = [textwrap.shorten(text, 150, placeholder=" …") for text in entry["captions"][:captions]]
        wrapped = [textwrap.fill(_plain(line), 76, initial_indent="– ", subsequent_indent="   ") for line in lines]
        words.text(0, 1, _plain(entry["label"]), va="top", weight="bold", transform=words.transAxes)
        words.text(0, 0.82, "\n".join(wrapped), va="top", fontsize=8.5, transform=words.transAxes)
        for axis in (plain, marked, words):
            axis.set_axis_off()
    axes[0, 0].set_title("photograph", loc="center", fontsize=9)
    axes[0, 1].set_title("object and parts", loc="center", fontsize=9)
    plt.close(figure)
    return figure


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # a dollar would begin a formula


def _tinted(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture with everything outside the object paled; unchanged where no object is known."""
    if not mask.any():
        return image
    return np.where(mask[..., None], image, 255 - (255 - image) // 3).astype(np.uint8)


def files(pictures: Mapping[str, np.ndarray], per_row: int = 5) -> Figure:
    """Pictures of differing sizes, (H, W, 3) uint8, with their names over them."""
    names = list(pictures)
    rows = -(-len(names) // per_row)
    figure, axes = plt.subplots(rows, per_row, figsize=(1.8 * per_row, 1.95 * rows), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, name in zip(axes.flat, names, strict=False):
        axis.imshow(pictures[name])
        axis.set_title(name, loc="center", fontsize=8)
    plt.close(figure)
    return figure


def labels_and_splits(dataset: Dataset) -> Figure:
    """Photographs of each label, stacked by split, and how each split's share varies over the labels."""
    table = dataset.index.groupby(["label", "split"]).size().unstack(fill_value=0)
    table = table.reindex(columns=SPLITS, fill_value=0)
    table = table.loc[table.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), width_ratios=(2, 1))
    bottom = np.zeros(len(table))
    for name in SPLITS:
        left.bar(range(len(table)), table[name], bottom=bottom, color=_SPLIT_COLOURS[name], label=name, width=0.85)
        bottom += table[name].to_numpy()
    left.set(title="photographs of each label", ylabel="photographs", xlabel=f"{len(table)} labels, by frequency")
    left.legend()
    if len(table) <= 16:
        left.set_xticks(range(len(table)), [textwrap.shorten(str(n), 18) for n in table.index], rotation=60, ha="right")
    shares = table.div(table.sum(axis=1), axis=0)
    positions = range(len(SPLITS))
    boxes = right.boxplot(
        shares.to_numpy(), positions=positions, widths=0.6, patch_artist=True, medianprops={"color": "black"}
    )
    for patch, name in zip(boxes["boxes"], SPLITS, strict=True):
        patch.set_facecolor(_SPLIT_COLOURS[name])
    wanted = (dataset.config.validation_fraction, dataset.config.test_fraction)
    for position, share in zip(positions, (1 - sum(wanted), *wanted), strict=True):
        right.hlines(share, position - 0.42, position + 0.42, color=COLOURS["fake"], linewidth=2, zorder=3)
    right.set_xticks(list(positions), SPLITS)
    right.set(title="share of each label (line: as wanted)", ylim=(-0.03, 1.03))
    plt.close(figure)
    return figure


def sizes_and_light(dataset: Dataset) -> Figure:
    """The shorter side of the files against the cache's size, and the mean brightness of the pictures in each split."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.6))
    sides = np.minimum(dataset.index["width"], dataset.index["height"]).to_numpy()
    top = max(sides.max(), dataset.cache.size)
    left.hist(sides, bins=np.linspace(0, 1.05 * top, 43), color=COLOURS["neutral"])  # from 0: all may be of one size
    left.axvline(dataset.cache.size, color=COLOURS["fake"], label=f"cache: {dataset.cache.size} px")
    left.set(title="shorter side of the files", xlabel="pixels", ylabel="photographs")
    left.legend()
    light = np.array([image.mean() for image in dataset.cache.images])
    bins = np.linspace(0, 255, 26)
    for name in SPLITS:
        rows = dataset.rows(name)
        share = np.full(len(rows), 1 / max(len(rows), 1))
        right.hist(
            light[rows], bins, weights=share, histtype="step", linewidth=1.6, color=_SPLIT_COLOURS[name], label=name
        )
    right.set(title="mean brightness", xlabel="grey level", ylabel="share of the split")
    right.legend()
    plt.close(figure)
    return figure


def neighbours(dataset: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows that have a perceptual hash, the row nearest to each, and its distance in bits: (n,) int64 each."""
    rows = np.flatnonzero(dataset.index["phash"].notna().to_numpy())
    hashes = np.array([int(value, 16) for value in dataset.index["phash"].iloc[rows]], dtype=np.uint64)
    position, distance = splitting.nearest(hashes)
    known = position >= 0
    return rows[known], rows[position[known]], distance[known]


def closest_pairs(dataset: Dataset, count: int = 5) -> Figure:
    """The pairs of photographs whose hashes are nearest, nearest first, and whether they were joined."""
    rows, mates, bits = neighbours(dataset)
    groups = dataset.index["group"].to_numpy()
    order = np.argsort(bits, kind="stable")
    pairs = list(dict.fromkeys((*sorted((int(rows[n]), int(mates[n]))), int(bits[n])) for n in order[: 4 * count]))
    pairs = pairs[:count]
    pictures = [
        [dataset.cache.batch([row])[0] for row in column] for column in zip(*[p[:2] for p in pairs], strict=True)
    ]
    titles = [f"{bits} bits: {'joined' if groups[a] == groups[b] else 'apart'}" for a, b, bits in pairs]
    return picture_grid(pictures or [[np.zeros((8, 8, 3), np.uint8)]], titles)


def neighbour_distances(dataset: Dataset) -> Figure:
    """How many bits each photograph's hash is from its nearest neighbour's, with the limit for near-duplicates.

    Drawn in steps of two bits: a hash has as many ones as zeros, so two of them differ in an even number of bits.
    """
    _, _, bits = neighbours(dataset)
    figure, axis = plt.subplots(figsize=(7, 2.5))
    axis.hist(bits, bins=np.arange(-0.5, 34, 2), color=COLOURS["neutral"])
    limit = dataset.config.near_duplicate_bits
    axis.axvspan(
        -0.5, limit - limit % 2 + 1.5, color=COLOURS["fake"], alpha=0.25, label=f"near-duplicates: at most {limit} bits"
    )
    axis.set(xlabel="bits of 64 that differ from the nearest other photograph", ylabel="photographs")
    axis.legend()
    plt.close(figure)
    return figure


def words(dataset: Dataset, cut: int = CAPTION_LENGTH) -> Figure:
    """How long the captions are, and how often each word of the train captions occurs, from the most frequent on.

    Args:
        cut: the number of words that the networks read, marked in the left panel.
    """
    train = [tokenise(text) for text in captions_by_split(dataset)["train"]]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.8))
    lengths = np.array([len(tokens) for tokens in train])
    left.hist(lengths, bins=np.arange(0.5, max(lengths.max(initial=1), cut) + 2), color=COLOURS["neutral"])
    left.axvline(cut + 0.5, color=COLOURS["fake"], label=f"cut after {cut} words")
    left.set(title="words in a caption", xlabel="words", ylabel="train captions")
    left.legend()
    counts = np.array(sorted(Counter(word for tokens in train for word in tokens).values(), reverse=True))
    kept = len(dataset.vocabulary) - len(dataset.vocabulary.SPECIAL)
    right.loglog(np.arange(1, len(counts) + 1), counts, color=COLOURS["neutral"])
    right.axvspan(kept + 0.5, max(len(counts), kept + 1) + 0.5, color=COLOURS["fake"], alpha=0.25, label="left out")
    right.set(title="how often each word occurs", xlabel="rank of the word", ylabel="occurrences")
    right.legend()
    plt.close(figure)
    return figure
