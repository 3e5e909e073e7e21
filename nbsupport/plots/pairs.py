"""Figures of the paired set: the arms side by side, where they differ, the holes, and the spectra."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nbsupport.masks import MaskSet
from nbsupport.pairs import ARMS, Pairs
from nbsupport.plots.style import COLOURS, hide_region, picture_grid

if TYPE_CHECKING:
    from nbsupport.demo.state import Filled

_STYLES = ("-", ":", "--", "-", "--", "-.")  # as many as there are arms

#: Differences are multiplied by this before they are shown, since most are too small to see.
GAIN = 4


def difference(first: np.ndarray, second: np.ndarray, gain: float = GAIN) -> np.ndarray:
    """How far two pictures are apart, for showing: (H, W, 3) uint8 twice -> (H, W) float in [0, 1], white = far."""
    return np.clip(np.abs(first.astype(np.float32) - second).mean(axis=-1) / 255 * gain, 0, 1)


def choose(pairs: Pairs, count: int, split: str = "test") -> list[str]:
    """Image ids for a contact sheet: `count` of a split (or of the set, if it has none), evenly spread over it."""
    table = pairs.manifest[pairs.manifest["split"] == split]
    ids = (table if len(table) else pairs.manifest)["image_id"].drop_duplicates().tolist()
    steps = np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int)
    return [ids[step] for step in dict.fromkeys(steps.tolist())]


def contact_sheet(pairs: Pairs, masks: MaskSet, image_ids: Sequence[str], inpainter: str | None = None) -> Figure:
    """One row for each photograph: its real arms, the hole, its fake arms, and the difference that the inpainter made.

    The difference is between the original and the regenerated picture (the first fake arm, if there is none).
    """
    sets = pairs.sets(inpainter)
    real, fakes = ([arm for arm in sets.columns if ARMS[arm] == label] for label in ("real", "fake"))
    shown = "regenerated" if "regenerated" in fakes else fakes[0]
    rows, captions = [], []
    for image_id in image_ids:
        numbers = sets.loc[image_id]
        entry = pairs.manifest.iloc[numbers[shown]]
        original = np.asarray(pairs.cache[numbers["original"]])
        before, after = ([np.asarray(pairs.cache[numbers[arm]]) for arm in arms] for arms in (real, fakes))
        masked = hide_region(original, masks.by_id([entry["mask_id"]])[0])
        rows.append([*before, masked, *after, difference(original, pairs.cache[numbers[shown]])])
        words = entry["caption"].replace("$", r"\$") or "(no caption)"  # a dollar would begin a formula
        captions.append(f"{entry['mask_kind']}, {entry['coverage']:.0%}: {words}")
    titles = [name.replace("_", "\n") for name in (*real, "masked", *fakes, f"difference × {GAIN}")]
    return picture_grid(rows, titles, captions, cell=1.15)


def coverages(manifest: pd.DataFrame) -> Figure:
    """Histogram of the holes' coverage, one panel for each kind of mask, on common axes."""
    once = manifest[manifest["mask"] >= 0].drop_duplicates(["image_id", "mask_id"])
    kinds = sorted(once["mask_kind"].unique())
    edges = np.linspace(0, max(0.4, once["coverage"].max() + 0.02), 21)
    figure, axes = plt.subplots(1, len(kinds), figsize=(1.9 * len(kinds) + 0.4, 2.1), sharex=True, sharey=True)
    for axis, kind in zip(np.atleast_1d(axes), kinds, strict=True):
        held = once.loc[once["mask_kind"] == kind, "coverage"]
        axis.hist(held, edges, color=COLOURS["hole"])
        axis.set_title(f"{kind} ({len(held)})")
        axis.set_xlabel("coverage")
        axis.xaxis.set_major_formatter("{x:.0%}")
    np.atleast_1d(axes)[0].set_ylabel("photographs")
    plt.close(figure)
    return figure


def captions(manifest: pd.DataFrame) -> Figure:
    """Number of words of the captions that the fills were made with, one line for each kind of caption."""
    fakes = manifest[manifest["mask"] >= 0].drop_duplicates("call")
    words = fakes["caption"].str.split().str.len()
    figure, axis = plt.subplots(figsize=(5.4, 2.4))
    edges = np.arange(words.max() + 2) - 0.5
    for (kind, own), colour in zip(words.groupby(fakes["caption_kind"]), ("good", "fake", "neutral"), strict=False):
        axis.hist(own, edges, histtype="step", lw=2, color=COLOURS[colour], label=f"{kind} ({len(own)})")
    axis.set(xlabel="words of the caption", ylabel="fills")
    axis.legend()
    plt.close(figure)
    return figure


def distance_profile(pairs: Pairs, masks: MaskSet, count: int = 200, inpainter: str | None = None) -> pd.DataFrame:
    """Mean absolute difference to the original by distance from the hole's edge.

    Returns:
        Index ``distance`` in pixels (negative: inside the hole), one column for each fake arm, in grey levels of 255.
    """
    sets = pairs.sets(inpainter)
    sets = sets.iloc[np.unique(np.linspace(0, len(sets) - 1, min(count, len(sets))).astype(int))]
    fakes = [arm for arm in sets.columns if ARMS[arm] == "fake"]
    tables = []
    for _, numbers in sets.iterrows():
        hole = masks.by_id([pairs.manifest["mask_id"].iloc[numbers[fakes[0]]]])[0].astype(np.uint8)
        outside = cv2.distanceTransform(1 - hole, cv2.DIST_L2, 3)
        inside = cv2.distanceTransform(hole, cv2.DIST_L2, 3)
        signed = np.where(hole, -np.ceil(inside), np.ceil(outside)).astype(int).ravel()
        original = pairs.cache[numbers["original"]].astype(np.int16)
        columns = {arm: np.abs(original - pairs.cache[numbers[arm]]).mean(axis=-1).ravel() for arm in fakes}
        tables.append(pd.DataFrame({"distance": signed, "pixels": 1, **columns}).groupby("distance").sum())
    total = pd.concat(tables).groupby("distance").sum()
    total = total[total["pixels"] >= 20]  # a handful of pixels is no mean
    return total[fakes].div(total["pixels"], axis=0)


def distances(profile: pd.DataFrame, reach: int = 16) -> Figure:
    """Draw :func:`distance_profile` around the hole's edge."""
    figure, axis = plt.subplots(figsize=(6.2, 2.8))
    shown = profile[(profile.index >= -reach) & (profile.index <= reach)]
    axis.axvspan(min(shown.index.min(), -1), 0, color=COLOURS["hole"], alpha=0.15, lw=0)
    for arm, style in zip(shown.columns, _STYLES, strict=False):
        for part in (shown[shown.index < 0], shown[shown.index > 0]):  # nothing lies between -1 and 1
            label = arm if part.index.min() > 0 or not (shown.index > 0).any() else None
            axis.plot(part.index, part[arm], style, color=COLOURS.get(arm), label=label, lw=2)
    axis.set_xlabel("pixels from the hole's edge (left of 0: in the hole)")
    axis.set_ylabel("mean |difference|\n(grey levels)")
    axis.set_ylim(bottom=0)
    axis.legend()
    plt.close(figure)
    return figure


def radial_spectrum(images: np.ndarray) -> np.ndarray:
    """Mean power over rings of equal spatial frequency.

    Args: images (B, H, W, 3) uint8. Returns (min(H, W) // 2 + 1,) float: power of the grey picture, by cycles a picture
    width, after a Hann window (else the picture's border would look like an edge).
    """
    grey = images.astype(np.float32).mean(axis=-1)
    height, width = grey.shape[1:]
    window = np.outer(np.hanning(height), np.hanning(width))
    grey = (grey - grey.mean(axis=(1, 2), keepdims=True)) * window
    power = (np.abs(np.fft.fft2(grey)) ** 2).mean(axis=0)
    fy, fx = np.fft.fftfreq(height) * min(height, width), np.fft.fftfreq(width) * min(height, width)
    ring = np.rint(np.hypot(fy[:, None], fx)).astype(int).ravel()
    size = min(height, width) // 2 + 1
    return (np.bincount(ring, power.ravel()) / np.maximum(np.bincount(ring), 1))[:size]


def residual_spectra(
    pairs: Pairs, masks: MaskSet, arms: Sequence[str] = ("reencoded", "reconstructed", "regenerated"), count: int = 400
) -> Figure:
    """What each arm changed *outside* the hole, as a two-dimensional spectrum: the mean amplitude of (arm - original).

    The hole is set to zero in every arm, so that only repainted visible pixels are seen. Zero frequency is the middle,
    the edge is half a cycle a pixel; each panel is scaled to its own largest value, on a logarithmic scale. A grid of
    dots is a pattern that repeats in the picture: every eight pixels for JPEG's blocks, every two or four for a network
    that enlarges without smoothing.
    """
    sets = pairs.sets()
    arms = [arm for arm in arms if arm in sets]
    sets = sets.iloc[np.unique(np.linspace(0, len(sets) - 1, min(count, len(sets))).astype(int))]
    fakes = [arm for arm in sets.columns if ARMS[arm] == "fake"]
    holes = masks.get(pairs.manifest["mask"].to_numpy()[sets[fakes[0]]])
    originals = pairs.cache[np.sort(sets["original"].to_numpy())].astype(np.float32).mean(axis=-1)
    figure, axes = plt.subplots(1, len(arms), figsize=(2.5 * len(arms) + 0.4, 2.7), squeeze=False)
    for axis, arm in zip(axes[0], arms, strict=True):
        changed = pairs.cache[np.sort(sets[arm].to_numpy())].astype(np.float32).mean(axis=-1) - originals
        changed[holes] = 0
        amplitude = np.fft.fftshift(np.abs(np.fft.fft2(changed)).mean(axis=0))
        top = max(float(amplitude.max()), 1e-6)
        axis.imshow(np.log10(amplitude / top + 1e-3), extent=(-0.5, 0.5, -0.5, 0.5), cmap="magma", vmin=-3, vmax=0)
        axis.set_title(f"{arm}\nmean |change| {np.abs(changed).mean():.2f}", fontsize=9)
        axis.set_xticks([-0.5, 0, 0.5])
        axis.set_yticks([-0.5, 0, 0.5])
    axes[0, 0].set_ylabel("cycles a pixel")
    plt.close(figure)
    return figure


def arm_spectra(pairs: Pairs, count: int = 400, inpainter: str | None = None) -> pd.DataFrame:
    """Mean radial spectrum of each arm over the same photographs; index ``frequency`` in cycles a pixel."""
    sets = pairs.sets(inpainter)
    sets = sets.iloc[np.unique(np.linspace(0, len(sets) - 1, min(count, len(sets))).astype(int))]
    spectra = {arm: radial_spectrum(pairs.cache[np.sort(sets[arm].to_numpy())]) for arm in sets.columns}
    table = pd.DataFrame(spectra)
    table.index = pd.Index(np.arange(len(table)) / min(pairs.cache.shape[1:3]), name="frequency")
    return table


def spectra(table: pd.DataFrame) -> Figure:
    """Draw :func:`arm_spectra`: the power of each arm, and each fake arm's ratio to the original."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3))
    table = table.iloc[1:]  # the mean brightness was taken out
    for arm, style in zip(table.columns, _STYLES, strict=False):
        left.semilogy(table.index, table[arm], style, color=COLOURS.get(arm), label=arm, lw=2)
        if arm != "original":
            right.plot(table.index, table[arm] / table["original"], style, color=COLOURS.get(arm), label=arm, lw=2)
    right.axhline(1, color=COLOURS["neutral"], lw=1)
    left.set_title("power")
    right.set_title("power relative to the original")
    right.set_ylim(bottom=0)
    for axis in (left, right):
        axis.set_xlabel("spatial frequency (cycles a pixel)")
    left.legend(fontsize=8)
    plt.close(figure)
    return figure


def fill_row(filled: "Filled", arm: str = "spliced") -> Figure:
    """One fill of the demo as a row: original, masked, filled, difference, with its caption under it."""
    picture = filled.output(arm)
    masked = hide_region(filled.original, filled.mask)
    words = filled.caption.replace("$", r"\$") or "(no caption)"
    line = f"{filled.inpainter}, {filled.coverage:.0%} of the picture: {words}"
    titles = ["original", "masked", arm, f"difference × {GAIN}"]
    return picture_grid([[filled.original, masked, picture, difference(filled.original, picture)]], titles, [line], 1.9)
