"""Are detectors anything but meters of blur? Fakes whose fill is given back the sharpness of its surroundings.

A network that paints soft fills is found by their softness alone (the detector ``local_sharpness``, which nobody
trained). So the spliced test pictures are judged once more after a texture was added to the hole: a random-phase noise
(Galerne et al. 2011) with the spectrum of the visible part's high-pass residual, as strong as it takes for the typical
local high-pass energy of the hole to equal that of a ring around it. No content is added; what a detector still finds
is not blur. The photographs stay as they are. Not here: scoring (:mod:`.robustness`, whose condition
:data:`MATCHED` this is).
"""

from collections.abc import Sequence

import cv2
import numpy as np
import pandas as pd

from nbsupport.config import EvaluationConfig
from nbsupport.core import rng
from nbsupport.detectors.networks import high_pass, window_of
from nbsupport.detectors.scores import CLEAN
from nbsupport.evaluation import detector_metrics
from nbsupport.stats import metrics

MATCHED = "sharpness matched"
ARM = "spliced"
RING = 8  # width of the ring around the hole, in parts of the picture's shorter side: an eighth
_KERNEL = high_pass()[2, 0].numpy()  # as in networks.LocalSharpness


def energy(picture: np.ndarray) -> np.ndarray:
    """Local high-pass energy of the grey picture: (H, W, 3) -> (H, W) float32, in squared grey levels.

    Averaged in windows as those of ``networks.LocalSharpness``.
    """
    residual = cv2.filter2D(picture.astype(np.float32).mean(axis=-1), cv2.CV_32F, _KERNEL)
    return cv2.blur(np.square(residual), (window_of(min(residual.shape)),) * 2)


def texture(picture: np.ndarray, hole: np.ndarray, seed: int) -> np.ndarray:
    """Noise with the spectrum of the visible residual, (H, W, 3) float32.

    All channels get the same random phases, so that the noise has the colours' correlation too.

    Args: picture: (H, W, 3) uint8. hole: (H, W) bool, True = hole.
    """
    picture = picture.astype(np.float32)
    residual = (picture - cv2.GaussianBlur(picture, (0, 0), 1.0)) * ~hole[..., None]
    white = rng.generator(seed, "texture").normal(size=hole.shape)
    phases = np.exp(1j * np.angle(np.fft.rfft2(white)))
    noise = np.fft.irfft2(np.fft.rfft2(residual, axes=(0, 1)) * phases[..., None], s=hole.shape, axes=(0, 1))
    return noise.astype(np.float32) / np.sqrt(max((~hole).mean(), 1e-6))


def match(pictures: np.ndarray, holes: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
    """Fill pictures whose holes are too soft with texture; holes as sharp as their ring stay as they are.

    Args:
        pictures: (B, H, W, 3) uint8 RGB. holes: (B, H, W) bool, True = hole. seeds: B integers.

    Returns:
        (B, H, W, 3) uint8 RGB; outside the holes bit for bit as before.
    """
    found = np.array(pictures)
    for number, (picture, hole, seed) in enumerate(zip(pictures, holes, seeds, strict=True)):
        width = max(2, min(hole.shape) // RING)
        around = cv2.dilate(hole.astype(np.uint8), np.ones((2 * width + 1,) * 2, np.uint8)).astype(bool) & ~hole
        if not around.any() or not hole.any():
            continue
        inner = cv2.erode(hole.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)  # where no filter sees an edge
        inner = inner if inner.any() else hole
        noise, before = texture(picture, hole, seed), energy(picture)
        missing = np.median(before[around]) - np.median(before[inner])
        strength = np.sqrt(max(missing, 0.0) / max(np.median(energy(noise)[inner]), 1e-9))
        mended = np.clip(np.rint(picture + strength * noise), 0, 255).astype(np.uint8)
        found[number] = np.where(hole[..., None], mended, picture)
    return found


def left(table: pd.DataFrame, config: EvaluationConfig) -> list[dict[str, object]]:
    """What matching leaves of each detector on spliced fakes.

    Args: table: scores under conditions, of ``robustness.score``.

    Returns:
        records ``detector, seed, before, after`` (AUROC: {value, low, high})``, loss`` (before minus after, both on the
        same draws of groups)``, verdict`` of the loss; empty without spliced fakes.
    """
    records = []
    for (detector, seed), own in table.groupby(["detector", "seed"], sort=False):
        sides = [detector_metrics.of_arm(own[own["condition"] == name], ARM) for name in (CLEAN, MATCHED)]
        if any(side["label"].nunique() < 2 for side in sides):
            continue
        settings = {"draws": config.draws, "seed": config.seed, "confidence": config.confidence}
        before, after = (metrics.summary(side, **settings)["auroc"] for side in sides)
        loss = detector_metrics.difference(sides[0], sides[1], config)
        facts = {"detector": detector, "seed": seed, "before": before, "after": after}
        records.append({**facts, "loss": loss, "verdict": detector_metrics.verdict(loss)})
    return records
