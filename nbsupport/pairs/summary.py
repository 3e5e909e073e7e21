"""The numbers of a paired set that the book prints, computed from its cache in constant memory."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from nbsupport.config import SPLITS
from nbsupport.inpainters import classical
from nbsupport.masks import MaskSet
from nbsupport.pairs.generation import Tally
from nbsupport.pairs.store import Pairs


def summary(pairs: Pairs, masks: MaskSet, tally: Tally, seconds: float, checks: dict) -> dict[str, object]:
    """What goes into ``results/pairs.json``: counts, cost, differences and verification; plain JSON values."""
    manifest = pairs.manifest
    counts = manifest.groupby(["split", "arm", "inpainter"]).size()
    fakes = manifest[manifest["label"] == "fake"].drop_duplicates("call")
    return {
        "files": len(manifest),
        "photographs": manifest["image_id"].nunique(),
        "groups": manifest["group"].nunique(),
        "size": pairs.cache.shape[1:3],
        "counts": [{"split": s, "arm": a, "inpainter": i, "files": n} for (s, a, i), n in counts.items()],
        "fills": len(fakes),
        "mask_kinds": fakes["mask_kind"].value_counts().sort_index().to_dict(),
        "caption_kinds": fakes["caption_kind"].value_counts().sort_index().to_dict(),
        "caption_words_mean": fakes["caption"].str.split().str.len().mean(),
        "coverage_mean": fakes["coverage"].mean(),
        "shards": int(manifest["shard"].iloc[-1]) + 1,
        "bytes": tally.bytes,
        "bytes_per_file": tally.bytes / max(len(manifest), 1),
        "files_made": tally.made,
        "files_kept": tally.kept,
        "seconds_fill": tally.seconds_fill,
        "seconds_encode": tally.seconds_encode,
        "seconds_write": tally.seconds_write,
        "seconds": seconds,
        "files_per_second": tally.made / seconds if tally.made else None,
        "differences": _means(differences(pairs, masks)),
        "checks": checks,
        "checks_passed": all(check["passed"] for check in checks.values()),
    }


def _means(table: pd.DataFrame) -> list[dict[str, object]]:
    """Mean differences by inpainter, arm and split."""
    columns = ["hole_l1", "mean_colour_l1", "outside_l1", "outside_changed"]
    means = table.groupby(["inpainter", "arm", "split"])[columns].mean().reset_index()
    order = means["split"].map({split: n for n, split in enumerate(SPLITS)})
    return means.assign(order=order).sort_values(["inpainter", "arm", "order"]).drop(columns="order").to_dict("records")


def differences(pairs: Pairs, masks: MaskSet) -> pd.DataFrame:
    """How far every fake is from its original, inside and outside the hole; one row for each fake file.

    Returns:
        ``image_id, split, arm, inpainter, mask_kind, coverage``; ``hole_l1`` (mean absolute difference in the hole, on
        the scale of -1 to 1, as TDANet's loss), ``mean_colour_l1`` (the same for the mean colour of the visible part
        in the same hole), ``outside_l1`` (outside the hole, same scale) and ``outside_changed`` (share of the pixels
        outside the hole that differ at all, in [0, 1]).
    """
    real = pairs.manifest[pairs.manifest["arm"] == "original"]
    position = dict(zip(real["image_id"], real.index, strict=True))
    fake = pairs.manifest[pairs.manifest["label"] == "fake"]
    records = []
    for rows in pairs.batches(fake.index.to_numpy()):
        table = pairs.manifest.iloc[rows]
        holes = masks.get(table["mask"].to_numpy())
        for n, image_id, hole in zip(rows, table["image_id"], holes, strict=True):
            original = pairs.cache[position[image_id]]
            distance = np.abs(original.astype(np.int16) - pairs.cache[n])
            plain = np.abs(original.astype(np.int16) - classical.mean_colour(original, hole))
            outside = distance[~hole]
            records.append(
                (distance[hole].mean() / 127.5, plain[hole].mean() / 127.5, outside.mean() / 127.5,
                 outside.any(axis=1).mean())
            )  # fmt: skip
    numbers = pd.DataFrame(
        records, columns=["hole_l1", "mean_colour_l1", "outside_l1", "outside_changed"], index=fake.index
    )
    return fake[["image_id", "split", "arm", "inpainter", "mask_kind", "coverage"]].join(numbers)


def reading(found: Mapping[str, Mapping[str, float]]) -> str:
    """How the arms differ from photographs outside the hole and in fine detail, in Markdown.

    Args: found: ``results/fake_set.json``: by arm ``high_frequency_ratio`` (mean power over that of the photographs,
        upper half of the frequencies) and ``outside_difference_grey_levels``.
    """
    ratios, outside = found["high_frequency_ratio"], found["outside_difference_grey_levels"]
    lines = []
    for arm, ratio in ratios.items():
        side = "about as much as" if abs(ratio - 1) < 0.02 else "more than" if ratio > 1 else "less than"
        lines.append(f"- `{arm}`: {ratio:.2f} of the photographs' power at fine detail ({side} they have).")
    if ratios:
        nearest = min(ratios, key=lambda arm: abs(ratios[arm] - 1))
        lines.append(f"- Closest to photographs in fine detail: `{nearest}`.")
    changed = [f"`{arm}` by {value:.2f} grey levels" for arm, value in outside.items() if value > 0]
    same = [f"`{arm}`" for arm, value in outside.items() if value == 0]
    lines.append(
        f"- Outside the hole, changed: {', '.join(changed) or 'none'}; unchanged: {', '.join(same) or 'none'}."
    )
    return "\n".join(lines)
