"""The numbers of chapter 1: what was indexed, what was not and why, how it is grouped, split and captioned."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nbsupport.config import SPLITS
from nbsupport.data import splits
from nbsupport.data.captions import Vocabulary, tokenise
from nbsupport.data.index import Dataset
from nbsupport.runs import Run


def summarise(run: Run, dataset: Dataset) -> dict[str, Any]:
    """Everything that chapter 1 says in numbers, ready for ``run.write_result("preprocessing", …)``."""
    index, record = dataset.index, run.require("index")
    groups = index["group"].to_numpy()
    sizes = np.bincount(groups)
    captions = captions_by_split(dataset)
    per_photograph = index["captions"].map(len)
    by_file = split_by_file(dataset)
    held_out = max(int((by_file != "train").sum()), 1)
    return {
        "dataset": dataset.config.dataset,
        "listed": record["notes"]["listed"],
        "indexed": len(index),
        "rejected": len(dataset.rejected),
        "rejected_reasons": reasons(dataset.rejected["reason"]),
        "labels": int(index["label"].nunique()),
        "groups": len(sizes),
        "largest_group": int(sizes.max()),
        "photographs_in_shared_groups": int(sizes[sizes > 1].sum()),
        "group_sizes": {str(size): int(n) for size, n in sorted(Counter(sizes.tolist()).items())},
        "splits": {name: len(dataset.rows(name)) for name in SPLITS},
        "groups_in_splits": {name: len(np.unique(groups[dataset.rows(name)])) for name in SPLITS},
        "groups_in_two_splits": groups_across_splits(dataset),
        "leaked_if_split_by_file": int(splits.leaked(groups, by_file).sum()),
        "leaked_share_if_split_by_file": float(splits.leaked(groups, by_file).sum() / held_out),
        "captions": int(per_photograph.sum()),
        "captions_per_photograph": {"mean": float(per_photograph.mean()), "least": int(per_photograph.min())},
        "vocabulary_size": len(dataset.vocabulary),
        "unknown_rate": {name: unknown_rate(dataset.vocabulary, texts) for name, texts in captions.items()},
        "with_object": int(dataset.cache.has_object.sum()),
        "with_parts": int(dataset.cache.parts["row"].nunique()),
        "warning": record["notes"].get("warning"),
        "photographs_per_second": record["notes"]["photographs_per_second"],
        "seconds": record["seconds"],
    }


def captions_by_split(dataset: Dataset) -> dict[str, list[str]]:
    """All captions of each split."""
    captions = dataset.index["captions"]
    return {name: [text for own in captions.iloc[dataset.rows(name)] for text in own] for name in SPLITS}


def unknown_rate(vocabulary: Vocabulary, texts: Iterable[str]) -> float | None:
    """Share of the words of `texts` that the vocabulary does not hold, between 0 and 1; None where there is no word."""
    words = [word for text in texts for word in tokenise(text)]
    return sum(word not in vocabulary for word in words) / len(words) if words else None


def unknown_words(vocabulary: Vocabulary, texts: Iterable[str], count: int = 20) -> dict[str, int]:
    """The most frequent words of `texts` that the vocabulary does not hold, with how often they occur."""
    found = Counter(word for text in texts for word in vocabulary.unknown_words(text))
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))[:count])


def reasons(texts: Iterable[str]) -> dict[str, int]:
    """Reasons of rejection with how often each occurs; what differs from file to file (numbers, details) left out."""
    kinds = Counter(re.sub(r"\d[\d,.]*", "N", text.partition(":")[0]) for text in texts)
    return dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0])))


def groups_across_splits(dataset: Dataset) -> int:
    """How many groups have photographs in more than one split; anything but 0 would be a fault."""
    return int((dataset.index.groupby("group")["split"].nunique() > 1).sum())


def split_by_file(dataset: Dataset) -> np.ndarray:
    """The split as it would be if every file were a group of its own: (N,) str. For comparison only."""
    config = dataset.config
    alone = np.arange(len(dataset))
    return splits.assign(
        alone, dataset.index["label"].tolist(), config.validation_fraction, config.test_fraction, config.seed
    )


def leak_of_variants(dataset: Dataset, variants: int) -> float:
    """What splitting file by file does to a set with several files of each photograph, as real and inpainted versions.

    Returns:
        The share of held-out files whose photograph is in train too, when each of `variants` files of a photograph is
        sent to a split on its own; by group it is 0.
    """
    config = dataset.config
    photograph = np.repeat(np.arange(len(dataset)), variants)
    labels = np.repeat(dataset.index["label"].to_numpy(), variants)
    alone = np.arange(len(photograph))
    split = splits.assign(alone, labels, config.validation_fraction, config.test_fraction, config.seed)
    return float(splits.leaked(photograph, split)[split != "train"].mean())


def words_reading(captions: Iterable[str]) -> str:
    """How the words of captions are spread, in a sentence: a long tail, or the cliff that a template leaves."""
    counts = sorted(Counter(token for text in captions for token in tokenise(text)).values(), reverse=True)
    if not counts:
        return "There are no captions."
    once, ten = sum(count == 1 for count in counts) / len(counts), sum(counts[:10]) / sum(counts)
    shape = (
        "a long tail, as in human language" if once >= 0.2 else "a cliff and hardly a tail, as captions of a template"
    )
    return (
        f"{len(counts):,} different words; the ten most frequent make up {ten:.0%} of all, and {once:.0%} of the words "
        f"occur once: **{shape}**."
    )


def reading(found: Mapping[str, Any], leaked: float) -> str:
    """The chapter's results in three lines, in Markdown.

    Args: found: of :func:`summarise`. leaked: of :func:`leak_of_variants` for three files a photograph, in [0, 1].
    """
    return (
        f"- {found['indexed']:,} photographs indexed, {found['rejected']:,} files rejected, "
        f"{found['groups']:,} groups.\n"
        f"- Groups in two splits: {found['groups_in_two_splits']}; a split by file of three files a photograph would "
        f"have put {leaked:.0%} of the held-out files' photographs into training.\n"
        f"- Unknown words in test captions: {found['unknown_rate']['test']:.2%}."
    )
