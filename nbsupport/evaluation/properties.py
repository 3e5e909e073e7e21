"""What wrong answers share: properties of pictures, each tested against the rest, with correction, and clusters.

Texture and brightness are measured in the picture *around* the hole, since the paint inside is what is judged. Numbers
are compared by Mann-Whitney's test, categories (as yes or no) by Fisher's; rows of one group of photographs are first
reduced to one, so that near-duplicates do not count twice. Benjamini & Hochberg's correction runs over all tests of one
table. Clusters are the leaves of a shallow decision tree in which errors are frequent: a leaf is described by the
questions that lead to it. Not here: which answers are wrong (``evaluation.error_analysis``).
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact, mannwhitneyu
from sklearn.tree import DecisionTreeClassifier
from statsmodels.stats.multitest import multipletests

from nbsupport.stats import bootstrap

NUMBERS = ("coverage", "brightness", "texture", "gradient", "colourfulness")
CATEGORIES = ("mask_kind", "position", "part", "species")
WORDS = 12  # of the captions, the ones in most pictures but not in all
FEWEST = 3  # pictures on either side of a test

_DULL = frozenset("a an the and with of in on its it is has this that at by to very bird".split())


def around(pictures: np.ndarray, holes: np.ndarray) -> pd.DataFrame:
    """What the visible part of each picture looks like.

    Args:
        pictures: (N, H, W, 3) uint8 RGB. holes: (N, H, W) bool, True = hole; these pixels are not looked at.

    Returns:
        N rows: ``brightness`` (mean grey, 0 to 255), ``texture`` (mean local deviation of grey in 3x3 neighbours),
        ``gradient`` (mean size of the gradient), ``colourfulness`` (Hasler & Süsstrunk 2003). A picture that is all
        hole is measured whole.
    """
    records = []
    for picture, hole in zip(pictures, holes, strict=True):
        seen = np.ones_like(hole) if hole.all() else ~hole
        red, green, blue = (picture[..., c].astype(np.float64) for c in range(3))
        grey = (red + green + blue) / 3
        padded = np.pad(grey, 1, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
        slope = np.hypot(*np.gradient(grey))
        rg, yb = (red - green)[seen], (0.5 * (red + green) - blue)[seen]
        colour = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
        records.append((grey[seen].mean(), windows.std(axis=(2, 3))[seen].mean(), slope[seen].mean(), colour))
    return pd.DataFrame(records, columns=["brightness", "texture", "gradient", "colourfulness"])


def words(captions: Sequence[str], most: int = WORDS) -> dict[str, np.ndarray]:
    """The `most` frequent words that some captions hold and some do not -> (N,) bool; empty without captions."""
    told = [set(re.findall(r"[a-z]+", str(caption).lower())) - _DULL for caption in captions]
    counts = pd.Series([word for held in told for word in held], dtype=object).value_counts()
    counts = counts[(counts >= FEWEST) & (counts <= len(told) - FEWEST)]
    chosen = sorted(counts.index, key=lambda word: (-counts[word], word))[:most]
    return {word: np.array([word in held for held in told]) for word in chosen}


def features(table: pd.DataFrame) -> pd.DataFrame:
    """Every property as a column: numbers as they are, categories and words as yes or no ("species: Crow")."""
    columns = {
        name: table[name].to_numpy(np.float64) for name in NUMBERS if name in table and table[name].notna().all()
    }
    for name in CATEGORIES:
        if name in table and table[name].nunique() > 1:
            for value in sorted(table[name].dropna().unique(), key=str):
                columns[f"{name.replace('mask_', '')}: {value}"] = (table[name] == value).to_numpy()
    if "caption" in table:
        columns |= {f"caption says: {word}": held for word, held in words(table["caption"].fillna("")).items()}
    return pd.DataFrame(columns, index=table.index)


def tests(table: pd.DataFrame, wrong: np.ndarray, level: float = 0.05) -> list[dict[str, object]]:
    """Compare the pictures in `wrong` (N,) bool with the rest, property by property.

    Returns:
        records ``property, test, wrong, rest`` (means or shares), ``effect`` (of a number: the probability that a wrong
        one exceeds another, minus one half; of a category: the difference of shares), ``p, corrected, survives``, from
        the smallest p. Empty when either side holds fewer than three groups.
    """
    table = table.assign(_wrong=np.asarray(wrong, bool))
    # One row for each group and side: the first; a group on both sides stays on the wrong one.
    table = table.sort_values("_wrong", ascending=False, kind="stable").drop_duplicates("group")
    own = table["_wrong"].to_numpy()
    if own.sum() < FEWEST or (~own).sum() < FEWEST:
        return []
    records = []
    for name, column in features(table).items():
        values = column.to_numpy()
        first, rest = values[own], values[~own]
        if values.dtype == bool:
            if values.sum() < FEWEST or (~values).sum() < FEWEST:
                continue
            p = fisher_exact([[first.sum(), (~first).sum()], [rest.sum(), (~rest).sum()]])[1]
            effect, test = first.mean() - rest.mean(), "Fisher"
        else:
            found = mannwhitneyu(first, rest)
            p, effect, test = found.pvalue, found.statistic / (len(first) * len(rest)) - 0.5, "Mann-Whitney"
        records.append(
            {
                "property": name,
                "test": test,
                "wrong": first.mean(),
                "rest": rest.mean(),
                "effect": effect,
                "p": float(p),
            }
        )
    if not records:
        return []
    survives, corrected = multipletests([record["p"] for record in records], level, "fdr_bh")[:2]
    for record, p, stays in zip(records, corrected, survives, strict=True):
        record |= {"corrected": float(p), "survives": bool(stays)}
    return sorted(records, key=lambda record: record["p"])


def clusters(
    table: pd.DataFrame, wrong: np.ndarray, depth: int = 2, least: int = 6, confidence: float = 0.95, seed: int = 0
) -> tuple[np.ndarray, list[dict[str, object]]]:
    """Groups of pictures in which errors are more frequent than among all, in words.

    Args:
        table: with the columns of :func:`features` and ``group``. wrong: (N,) bool. depth: questions at most.
        least: pictures in a cluster.

    Returns:
        (N,) int64, the cluster of each *wrong* picture, -1 outside clusters and for right ones; and records
        ``cluster, words, pictures, errors, whole`` (the share of all) and the share of errors as ``value, low, high``.
        The tree was fitted on these very pictures, so the shares are descriptions, not tests. None may be found.
    """
    wrong, numbers = np.asarray(wrong, bool), np.full(len(table), -1, np.int64)
    columns = features(table)
    if wrong.sum() < FEWEST or wrong.all() or len(table) < 2 * least or not columns.shape[1]:
        return numbers, []
    tree = DecisionTreeClassifier(max_depth=depth, min_samples_leaf=least, random_state=seed)
    leaves = tree.fit(columns.to_numpy(np.float64), wrong).apply(columns.to_numpy(np.float64))
    shares = pd.Series(wrong).groupby(leaves).mean().sort_values(ascending=False, kind="stable")
    records = []
    for leaf in shares.index[shares > wrong.mean()]:
        inside = leaves == leaf
        if wrong[inside].sum() < FEWEST:  # one or two errors are no cluster
            continue
        numbers[inside & wrong] = len(records)
        found = bootstrap.share(wrong[inside], table["group"].to_numpy()[inside], confidence)
        facts = {"words": path_words(tree, leaf, columns), "pictures": inside.sum(), "errors": wrong[inside].sum()}
        records.append({"cluster": len(records), **facts, "whole": wrong.mean(), **found})
    return numbers, records


def path_words(tree: DecisionTreeClassifier, leaf: int, columns: pd.DataFrame) -> str:
    """The questions from the root to a leaf, e.g. "coverage up to 0.12 and not species: Crow"."""
    inner = tree.tree_
    steps, node = [], leaf
    while node != 0:
        above = int(np.flatnonzero((inner.children_left == node) | (inner.children_right == node))[0])
        name, low = columns.columns[inner.feature[above]], inner.children_left[above] == node
        if pd.api.types.is_bool_dtype(columns.dtypes.iloc[inner.feature[above]]):
            steps.append(f"not {name}" if low else name)
        else:
            steps.append(f"{name} {'up to' if low else 'above'} {inner.threshold[above]:.3g}")
        node = above
    return " and ".join(reversed(steps)) or "all pictures"
