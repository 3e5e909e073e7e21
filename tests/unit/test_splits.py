"""Groups hold together what looks alike, splits never part a group, and neither depends on the order of rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbsupport.core.errors import ConfigError, UserError
from nbsupport.data.splits import assign, check_enough, leaked, near_duplicate_groups, nearest, needed

HASH = st.integers(0, 2**64 - 1)


def by_comparing_all(hashes, bits, keys):
    """The same groups by the plainest algorithm: flood fill over all pairs."""
    count = len(hashes)
    group = np.full(count, -1)
    for start in range(count):
        if group[start] >= 0:
            continue
        todo, number = [start], group.max() + 1
        while todo:
            a = todo.pop()
            if group[a] >= 0:
                continue
            group[a] = number
            near = [(hashes[a] ^ hashes[b]).bit_count() <= bits or set(keys[a]) & set(keys[b]) for b in range(count)]
            todo += [b for b in range(count) if near[b]]
    return group


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_groups_equal_the_plain_algorithm(data):
    base = data.draw(st.lists(HASH, min_size=1, max_size=6))
    hashes = list(base)
    for _ in range(data.draw(st.integers(0, 14))):  # neighbours of what is there, some bits away
        value = data.draw(st.sampled_from(hashes))
        for bit in data.draw(st.lists(st.integers(0, 63), max_size=5)):
            value ^= 1 << bit
        hashes.append(value)
    keys = [data.draw(st.lists(st.sampled_from("abcdefgh"), max_size=1)) for _ in hashes]
    bits = data.draw(st.integers(0, 12))
    groups = near_duplicate_groups(np.array(hashes, dtype=np.uint64), bits, keys)
    assert groups.tolist() == by_comparing_all(hashes, bits, keys).tolist()


def test_photographs_without_a_hash_join_by_key_only():
    hashes = np.zeros(4, dtype=np.uint64)
    groups = near_duplicate_groups(hashes, 2, [["x"], [], ["x"], []], hashed=np.array([False, False, False, True]))
    assert groups.tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize("bits", [0, 1, 32, 64])
def test_edges_of_the_limit(bits):
    hashes = np.array([0, 1, 2**64 - 1], dtype=np.uint64)
    assert len(np.unique(near_duplicate_groups(hashes, bits))) == {0: 3, 1: 2, 32: 2, 64: 1}[bits]
    assert near_duplicate_groups(np.array([], dtype=np.uint64), bits).shape == (0,)


def test_many_hashes_are_grouped_quickly_and_completely():
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**64, 20_000, dtype=np.uint64)
    hashes[10_000:] = hashes[:10_000] ^ (np.uint64(1) << generator.integers(0, 64, 10_000, dtype=np.uint64))
    groups = near_duplicate_groups(hashes, 2)
    assert (groups[:10_000] == groups[10_000:]).all() and len(np.unique(groups)) == 10_000


def test_nearest_equals_the_plain_algorithm():
    hashes = np.random.default_rng(1).integers(0, 2**64, 70, dtype=np.uint64)
    position, distance = nearest(hashes)
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None]).astype(int) + 99 * np.eye(70, dtype=int)
    assert (distance == apart.min(axis=1)).all() and (apart[np.arange(70), position] == distance).all()
    assert nearest(hashes[:1])[0].tolist() == [-1]


GROUPED = st.lists(st.tuples(st.integers(0, 40), st.sampled_from("pqrst")), min_size=1, max_size=120)


@settings(max_examples=80, deadline=None)
@given(
    rows=GROUPED, seed=st.integers(0, 5), held=st.sampled_from([(0.15, 0.25), (0.1, 0.1), (0.45, 0.45), (0.01, 0.3)])
)
def test_no_group_is_parted_and_no_split_empty(rows, seed, held):
    groups, labels = np.array([g for g, _ in rows]), [label for _, label in rows]
    split = assign(groups, labels, *held, seed)
    assert not leaked(groups, split).any()
    for group in np.unique(groups):
        assert len(set(split[groups == group])) == 1
    count = len(np.unique(groups))
    assert len(set(split)) == min(count, 3) and "train" in split


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 100), shuffle=st.integers(0, 100))
def test_the_order_of_rows_does_not_matter(seed, shuffle):
    generator = np.random.default_rng(7)
    groups, labels = generator.integers(0, 60, 150), generator.choice(list("abcd"), 150)
    order = np.random.default_rng(shuffle).permutation(150)
    assert (
        assign(groups, labels, 0.15, 0.25, seed)[order] == assign(groups[order], labels[order], 0.15, 0.25, seed)
    ).all()


@settings(max_examples=30, deadline=None)
@given(count=st.integers(100, 600), classes=st.integers(1, 120), seed=st.integers(0, 9))
def test_fractions_are_kept_however_small_the_labels(count, classes, seed):
    labels = [f"c{n % classes}" for n in range(count)]
    split = assign(np.arange(count), labels, 0.15, 0.25, seed)
    for name, fraction in (("train", 0.6), ("validation", 0.15), ("test", 0.25)):
        assert abs((split == name).mean() - fraction) <= 2 / count + 1e-9


def test_each_label_is_shared_out():
    labels = np.repeat(["a", "b", "c"], [200, 40, 20])
    split = assign(np.arange(260), labels, 0.15, 0.25, 0)
    for label, count in (("a", 200), ("b", 40), ("c", 20)):
        assert abs((split[labels == label] == "test").sum() - 0.25 * count) <= 2


def test_the_seed_matters_and_is_kept_to():
    split = [assign(np.arange(90), ["x"] * 90, 0.2, 0.2, seed).tolist() for seed in (0, 0, 1)]
    assert split[0] == split[1] != split[2]


def test_a_split_by_file_leaks_where_one_by_group_does_not():
    groups, labels = np.arange(300) // 3, ["x"] * 300
    assert leaked(groups, assign(np.arange(300), labels, 0.15, 0.25, 0)).mean() > 0.2
    assert not leaked(groups, assign(groups, labels, 0.15, 0.25, 0)).any()


def test_impossible_fractions():
    with pytest.raises(ConfigError, match="training"):
        assign(np.arange(3), ["a"] * 3, 0.5, 0.5, 0)


@pytest.mark.parametrize("count", [4, 15])
def test_too_few_photographs_are_refused_with_a_number_that_is_enough(count):
    enough = needed(0.15, 0.25)
    split = assign(np.arange(count), ["x"] * count, 0.15, 0.25, 0)
    with pytest.raises(UserError, match=f"at least {enough} photographs"):
        check_enough(np.arange(count), split, 0.15, 0.25)
    split = assign(np.arange(enough), ["x"] * enough, 0.15, 0.25, 0)
    check_enough(np.arange(enough), split, 0.15, 0.25)


def test_near_duplicates_count_once():
    split = np.repeat(["train", "validation", "test"], [20, 10, 10])
    check_enough(np.arange(40), split, 0.25, 0.25)
    with pytest.raises(UserError, match="1 of them would choose"):
        check_enough(np.where(split == "validation", 99, np.arange(40)), split, 0.25, 0.25)
