"""Which photographs must stay together, and which go where: groups of near-duplicates, and splits by group.

Two frames of one burst in different splits let a classifier be tested on what it has learnt by heart. So photographs
are joined into groups first, and a group goes to one split as a whole. Not here: the hashes; see ``images``.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nbsupport.core import rng
from nbsupport.core.errors import ConfigError, UserError

_BLOCK = 2048  # rows compared at once: 2048 x 2048 x 8 bytes
#: Groups that validation and test need each: with fewer, chapters 7 to 10 can neither choose, nor stack, nor compare.
LEAST_GROUPS = 4


def near_duplicate_groups(
    hashes: np.ndarray,
    max_bits: int,
    keys: Sequence[Sequence[str]] = (),
    hashed: np.ndarray | None = None,
) -> np.ndarray:
    """Join photographs whose hashes differ in at most `max_bits` bits, or that share a key, into groups.

    The joins are transitive: if a is near b and b near c, all three are one group. Every pair within `max_bits` is
    found, without comparing all pairs: two hashes that differ in k bits agree in at least one of k + 1 bands of bits
    (pigeonhole), so only photographs that share a band are compared.

    Args:
        hashes: (N,) uint64.
        max_bits: 0 to 64 of 64 bits.
        keys: for each photograph any number of strings; equal strings join. Empty: no keys at all.
        hashed: (N,) bool, False where a photograph has no usable hash and is joined by keys only; default: all True.

    Returns:
        (N,) int64 group numbers 0, 1, 2 …, numbered by first appearance.
    """
    hashes = np.asarray(hashes, dtype=np.uint64)
    count = len(hashes)
    hashed = np.ones(count, dtype=bool) if hashed is None else np.asarray(hashed, dtype=bool)
    edges = [_edges_by_key(keys), _edges_by_hash(hashes, np.flatnonzero(hashed), max_bits)]
    first, second = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    _, start, group = np.unique(component, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(start))[group].astype(np.int64)


def _edges_by_key(keys: Sequence[Sequence[str]]) -> np.ndarray:
    """(2, E) pairs that join each photograph to the first one with the same key."""
    first_with: dict[str, int] = {}
    pairs = [(first_with.setdefault(key, row), row) for row, own in enumerate(keys) for key in own]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], dtype=np.int64).reshape(-1, 2).T


def _edges_by_hash(hashes: np.ndarray, rows: np.ndarray, max_bits: int) -> np.ndarray:
    """(2, E) pairs of `rows` whose hashes differ in at most `max_bits` bits (enough of them to connect each group)."""
    unique, first, which = np.unique(hashes[rows], return_index=True, return_inverse=True)
    found = [np.stack([rows[first[which]], rows])]  # equal hashes
    edges = np.linspace(0, 64, min(max_bits + 1, 64) + 1).astype(int)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        if max_bits == 0:
            break
        band = (unique >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.diff(band[order], prepend=band[order][:1] + np.uint64(1)))
        for bucket in np.split(order, starts[1:]):
            if len(bucket) > 1:
                near = _close_pairs(unique[bucket], max_bits)
                found.append(rows[first[bucket[near]]])
    return np.concatenate(found, axis=1)


def _close_pairs(hashes: np.ndarray, max_bits: int) -> np.ndarray:
    """(2, E) positions i < j in `hashes` that differ in at most `max_bits` bits, compared in blocks."""
    pairs = [np.empty((2, 0), dtype=np.int64)]
    for i in range(0, len(hashes), _BLOCK):
        for j in range(i, len(hashes), _BLOCK):
            differ = np.bitwise_count(hashes[i : i + _BLOCK, None] ^ hashes[None, j : j + _BLOCK])
            a, b = np.nonzero(differ <= max_bits)
            a, b = a + i, b + j
            pairs.append(np.stack([a, b])[:, a < b])
    return np.concatenate(pairs, axis=1)


def nearest(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each hash the nearest other one: its position (N,) int64 and its distance in bits (N,) int64.

    Compares all pairs in blocks: about a second for 10,000 photographs. Of equally near ones the first is given; a
    single hash has no neighbour: position -1, distance 65.
    """
    hashes = np.asarray(hashes, dtype=np.uint64)
    position, distance = np.full(len(hashes), -1, dtype=np.int64), np.full(len(hashes), 65, dtype=np.int64)
    for i in range(0, len(hashes), _BLOCK):
        rows = np.arange(i, min(i + _BLOCK, len(hashes)))
        for j in range(0, len(hashes), _BLOCK):
            differ = np.bitwise_count(hashes[rows, None] ^ hashes[None, j : j + _BLOCK])
            if i == j:
                np.fill_diagonal(differ, 65)  # not its own neighbour
            best = differ.argmin(axis=1)
            bits = differ[np.arange(len(rows)), best]
            nearer = bits < distance[rows]
            position[rows[nearer]], distance[rows[nearer]] = best[nearer] + j, bits[nearer]
    return position, distance


def assign(groups: np.ndarray, labels: Sequence[str], validation: float, test: float, seed: int) -> np.ndarray:
    """Send each group to one split, so that every label is shared out in the wanted fractions as well as it can be.

    Labels are gone through one after another; what rounding gave a split too much or too little of one label is made up
    for in the next, so that the whole is right even where each label has two photographs. A group counts as of its most
    frequent label. Groups of many are placed first, while there is room: near-duplicates mostly end up in train, and
    what is held out is mostly independent of one another. The result depends on the group numbers and labels, not on
    the order of the rows.

    Args:
        groups: (N,) int; photographs with equal numbers stay together.
        labels: (N,) the label of each photograph.
        validation, test: wanted fractions of the photographs; train has the rest.
        seed: of the shuffle.

    Returns:
        (N,) of "train", "validation" or "test". With three groups or more no split is empty; with two there is no
        validation, with one only train.

    Raises:
        ConfigError: the fractions leave nothing to train on.
    """
    if validation < 0 or test < 0 or validation + test >= 1:
        raise ConfigError(f"validation ({validation}) and test ({test}) must leave a fraction for training.")
    names = np.array(["train", "validation", "test"])
    wanted = np.array([1 - validation - test, validation, test])
    unique, which, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    label_of_group = _majority(which, np.asarray(labels, dtype=object).astype(str), len(unique))

    split = np.zeros(len(unique), dtype=np.int64)
    carried = np.zeros(3)
    present = np.unique(label_of_group)
    for label in rng.generator(seed, "label order").permutation(present):
        members = np.flatnonzero(label_of_group == label)
        members = rng.generator(seed, "split", label).permutation(members)
        members = members[np.argsort(-sizes[members], kind="stable")]  # large groups first: small ones even out
        room = sizes[members].sum() * wanted + carried
        for member in members:
            target = int(np.argmax(room))
            split[member] = target
            room[target] -= sizes[member]
        carried = room
    _fill_empty(split, sizes)
    return names[split][which]


def _majority(which: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """The most frequent label of each of `count` groups, (count,); the first by spelling where two are as frequent."""
    names, codes = np.unique(labels, return_inverse=True)
    pairs, frequency = np.unique(which * len(names) + codes, return_counts=True)
    group, code = np.divmod(pairs, len(names))
    order = np.lexsort((code, -frequency, group))
    first = order[np.unique(group[order], return_index=True)[1]]
    return names[code[first]] if count else names[:0]


def _fill_empty(split: np.ndarray, sizes: np.ndarray) -> None:
    """Give an empty split the smallest group of the split with the most groups; train first, then test."""
    for target in (0, 2, 1):
        groups_in = np.bincount(split, minlength=3)
        spare = groups_in.max() > 1 or target == 0  # training needs photographs before anything else does
        if groups_in[target] == 0 and spare:
            members = np.flatnonzero(split == groups_in.argmax())
            split[members[np.argmin(sizes[members])]] = target


def leaked(groups: np.ndarray, split: Sequence[str]) -> np.ndarray:
    """Which held-out photographs have a group mate in train: (N,) bool; all False for splits by group."""
    groups, split = np.asarray(groups), np.asarray(split, dtype=object)
    return (split != "train") & np.isin(groups, groups[split == "train"])


def needed(validation: float, test: float) -> int:
    """How many photographs, none of them alike, give both held-out splits :data:`LEAST_GROUPS` groups."""
    return math.ceil(round(LEAST_GROUPS / min(validation, test), 6))


def check_enough(groups: Sequence[int], names: Sequence[str], validation: float, test: float) -> None:
    """Raise UserError, with the number needed, where the chapters that judge would have too little to judge on.

    Args: groups, names: the group and the split of each photograph. validation, test: the fractions asked for.
    """
    held = {name: len({g for g, n in zip(groups, names, strict=True) if n == name}) for name in ("validation", "test")}
    if min(held.values()) >= LEAST_GROUPS:
        return
    raise UserError(
        f"{len(groups)} photographs are too few for this book: {held['validation']} of them would choose between "
        f"networks and {held['test']} would test them (near-duplicates count once), and chapters 4 to 11 need "
        f"{LEAST_GROUPS} for each. Use at least {needed(validation, test)} photographs, all different. To judge single "
        "files, no run is needed: python -m nbsupport detect FILES, or the demo."
    )
