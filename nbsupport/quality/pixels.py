"""Pixel by pixel: how far a filled picture lies from the photograph, one number for each picture.

Colours stay colours here: every measure is over the three channels of RGB, and every one of them is given
for the hole alone where that makes sense, since three quarters of a spliced picture are the photograph itself and
flatter any method. Differences are on the scale from -1 to 1, so that an L1 of 2 is black for white.

Not here: distances in a network's features (:mod:`.perceptual`), and between sets (:mod:`.distributions`).

Sources: SSIM of Wang et al. 2004 (Gaussian window, sigma 1.5) and PSNR by torchmetrics.
"""

import numpy as np
import torch

from nbsupport.core.errors import UserError

#: SSIM looks at windows of 11 x 11 and mirrors 5 pixels at the border.
SMALLEST = 11

#: What each measure of :func:`measures` is, and which direction is better ("" where neither is).
MEASURES: dict[str, tuple[str, str]] = {
    "hole_l1": ("mean absolute difference in the hole, scale -1 to 1", "lower"),
    "whole_l1": ("mean absolute difference over the whole picture, scale -1 to 1", "lower"),
    "hole_psnr": ("PSNR in the hole, dB", "higher"),
    "psnr": ("PSNR over the whole picture, dB", "higher"),
    "hole_ssim": ("SSIM of RGB, mean over the windows centred in the hole", "higher"),
    "ssim": ("SSIM of RGB over the whole picture", "higher"),
    "hole_tv": ("mean step between neighbours in the hole, scale -1 to 1", ""),
    "hole_tv_photograph": ("the same of the photograph: what a natural fill has", ""),
}


def measures(originals: np.ndarray, outputs: np.ndarray, holes: np.ndarray) -> dict[str, np.ndarray]:
    """Every measure of this module, of each picture.

    Args:
        originals, outputs: (B, H, W, 3) uint8 RGB, at least 11 x 11. holes: (B, H, W) bool, True = hole.

    Returns:
        measure -> (B,) float64, with the keys of :data:`MEASURES`; NaN where a hole is empty.

    Raises:
        UserError: shapes or types are others.
    """
    _check(originals, outputs, holes)
    structure = _ssim_map(originals, outputs)
    return {
        "hole_l1": hole_l1(originals, outputs, holes),
        "whole_l1": whole_l1(originals, outputs),
        "hole_psnr": psnr(originals, outputs, holes),
        "psnr": psnr(originals, outputs),
        "hole_ssim": _inside(structure, holes),
        "ssim": structure.mean(axis=(1, 2)),
        "hole_tv": total_variation(outputs, holes),
        "hole_tv_photograph": total_variation(originals, holes),
    }


def hole_l1(originals: np.ndarray, outputs: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """Mean absolute difference in the hole, of each picture.

    Args:
        originals, outputs: (B, H, W, 3) uint8. holes: (B, H, W) bool, True = hole.

    Returns:
        (B,) float64 in [0, 2]; NaN where a hole is empty.
    """
    return _inside(_difference(originals, outputs), holes)


def whole_l1(originals: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Mean absolute difference over the whole picture: (B, H, W, 3) uint8 twice -> (B,) float64 in [0, 2]."""
    return _difference(originals, outputs).mean(axis=(1, 2), dtype=np.float64)


def psnr(originals: np.ndarray, outputs: np.ndarray, holes: np.ndarray | None = None) -> np.ndarray:
    """Peak signal-to-noise ratio in dB, over the whole picture, or over the hole where `holes` are given.

    Args:
        originals, outputs: (B, H, W, 3) uint8. holes: (B, H, W) bool, True = hole, or None.

    Returns:
        (B,) float64; infinite for equal pixels, NaN where a hole is empty.
    """
    _check(originals, outputs, holes, smallest=1)
    if holes is None:
        from torchmetrics.functional.image import peak_signal_noise_ratio

        value = peak_signal_noise_ratio(
            _floats(outputs), _floats(originals), data_range=1.0, dim=(1, 2, 3), reduction="none"
        )
        return value.double().numpy()
    squares = (originals.astype(np.float64) - outputs) ** 2
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255.0**2 / _inside(squares.mean(axis=-1), holes))


def ssim(originals: np.ndarray, outputs: np.ndarray, holes: np.ndarray | None = None) -> np.ndarray:
    """Structural similarity of RGB pictures, over all windows, or over those centred in the hole.

    A window centred near the hole's edge also sees pixels outside, so the number for the hole is of the picture given:
    of the spliced one, where spliced ones are compared.

    Args:
        originals, outputs: (B, H, W, 3) uint8, at least 11 x 11. holes: (B, H, W) bool, True = hole, or None.

    Returns:
        (B,) float64 in [-1, 1]; NaN where a hole is empty.
    """
    _check(originals, outputs, holes)
    structure = _ssim_map(originals, outputs)
    return structure.mean(axis=(1, 2)) if holes is None else _inside(structure, holes)


def total_variation(images: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """Mean absolute step between horizontal and vertical neighbours that both lie in the hole, over all channels.

    Low: the fill is smooth; far below the photograph's own number: it is too smooth. The hole's seam does not count.

    Args:
        images: (B, H, W, 3) uint8. holes: (B, H, W) bool, True = hole.

    Returns:
        (B,) float64 in [0, 2]; NaN where no two neighbours lie in the hole.
    """
    _check(images, images, holes, smallest=1)
    values = images.astype(np.float32) / 127.5
    steps = np.zeros((2, len(images)))
    for axis in (1, 2):
        first, second = (_without(holes, axis, end) for end in (-1, 0))
        pairs = first & second
        step = np.abs(np.diff(values, axis=axis)).mean(axis=-1)
        steps += (step * pairs).sum(axis=(1, 2), dtype=np.float64), pairs.sum(axis=(1, 2))
    return _ratio(*steps)


def _ssim_map(originals: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """SSIM of the window around each pixel, mean over the channels: (B, H, W) float64."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    _, structure = structural_similarity_index_measure(
        _floats(outputs), _floats(originals), data_range=1.0, sigma=1.5, reduction="none", return_full_image=True
    )
    return structure.mean(dim=1).double().numpy()


def _floats(images: np.ndarray) -> torch.Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 255


def _difference(originals: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Absolute difference of each pixel, mean over the channels: (B, H, W) float32 in [0, 2]."""
    _check(originals, outputs, smallest=1)
    return np.abs(originals.astype(np.float32) - outputs.astype(np.float32)).mean(axis=-1) / 127.5


def _inside(values: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """Mean of a map over each hole: (B, H, W) float and bool -> (B,) float64, NaN where a hole is empty."""
    return _ratio((values * holes).sum(axis=(1, 2), dtype=np.float64), holes.sum(axis=(1, 2)))


def _ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=np.asarray(counts) > 0)


def _without(values: np.ndarray, axis: int, end: int) -> np.ndarray:
    """`values` without the first (0) or last (-1) place along an axis."""
    keep = slice(None, -1) if end else slice(1, None)
    return values[tuple(keep if number == axis else slice(None) for number in range(values.ndim))]


def _check(originals: np.ndarray, outputs: np.ndarray, holes: np.ndarray | None = None, smallest: int = SMALLEST):
    for what, images in (("originals", originals), ("outputs", outputs)):
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise UserError(f"{what} must be (B, H, W, 3) uint8, got {images.shape} {images.dtype}.")
    if originals.shape != outputs.shape:
        raise UserError(f"originals and outputs must have one shape, got {originals.shape} and {outputs.shape}.")
    if holes is not None and (holes.shape != originals.shape[:3] or holes.dtype != bool):
        raise UserError(f"holes must be {originals.shape[:3]} bool (True = hole), got {holes.shape} {holes.dtype}.")
    if min(originals.shape[1:3]) < smallest:
        raise UserError(
            f"This measure needs pictures of at least {smallest} x {smallest} pixels, got "
            f"{originals.shape[1]} x {originals.shape[2]}. Prepare the data with a larger image_size."
        )
