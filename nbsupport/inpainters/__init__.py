"""One way to fill a hole, whoever fills it: the trained TDANet and the classical methods behind one protocol.

An inpainter takes photographs, holes (**True = hole**), captions and one seed for each photograph, and returns its
*whole* output; :func:`splice` puts the hole of an output back into the untouched photograph. :func:`create` returns an
inpainter whose input and output are checked, so that nothing of the wrong shape, type or value reaches a data set.
Two names are prefixes of what others have trained (:mod:`.others`): ``lama:<file>`` is a LaMa in TorchScript,
``diffusers:<folder or model id>`` an inpainting pipeline of the library diffusers (extra ``diffusion``).

Sources: Telea 2004 and Bertalmio et al. 2001 (OpenCV), Damelin & Hoang 2018 (biharmonic, scikit-image), Zhang et al.
2020 (TDANet). Not here: training, and judging how good a fill is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import cv2
import numpy as np
import torch

from nbsupport import rng
from nbsupport.errors import UserError, unknown
from nbsupport.runs import Run


class Inpainter(Protocol):
    """Anything that paints holes. ``name`` goes into manifests and file names.

    One that reads no captions says so by an attribute ``reads_captions = False``; see :func:`reads_captions`. One that
    leaves visible pixels as they are says so by ``keeps_visible = True``, and is held to it.
    """

    name: str

    def fill(
        self, images: np.ndarray, masks: np.ndarray, captions: Sequence[str], *, seeds: Sequence[int]
    ) -> np.ndarray:
        """Fill the holes and return the whole output, not spliced.

        Args:
            images: (B, H, W, 3) uint8 RGB; what lies in the hole is there to be ignored.
            masks: (B, H, W) bool, True = hole.
            captions: B texts; an empty one is allowed. Classical methods do not read them.
            seeds: B integers of up to 63 bits; the randomness of each fill comes from its own seed alone.

        Returns:
            (B, H, W, 3) uint8 RGB.
        """


class InpainterError(UserError):
    """An inpainter was given something it cannot fill, or returned something that is no picture."""


def mean_colour(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Paint the hole with the mean colour of the visible pixels: what any better method must beat.

    Args: image (H, W, 3) uint8; mask (H, W) bool, True = hole, not all True. Returns (H, W, 3) uint8.
    """
    filled = image.copy()
    filled[mask] = np.rint(image[~mask].mean(axis=0)).astype(np.uint8)
    return filled


def telea(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """March from the hole's edge inwards, extending colours along their gradients (Telea 2004). As `mean_colour`."""
    return cv2.inpaint(np.ascontiguousarray(image), mask.astype(np.uint8), 3, cv2.INPAINT_TELEA)


def navier_stokes(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Carry the lines of equal brightness into the hole as a fluid flows (Bertalmio et al. 2001). As `mean_colour`."""
    return cv2.inpaint(np.ascontiguousarray(image), mask.astype(np.uint8), 3, cv2.INPAINT_NS)


def biharmonic(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Stretch the smoothest surface over the hole (Damelin & Hoang 2018). As `mean_colour`; slow for large holes."""
    from skimage.restoration import inpaint_biharmonic  # imported here: it takes half a second

    filled = inpaint_biharmonic(image, mask, channel_axis=-1)  # float in [0, 1], overshooting at strong edges
    return np.rint(np.clip(filled, 0, 1) * 255).astype(np.uint8)


_CLASSICAL: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "telea": telea,
    "navier_stokes": navier_stokes,
    "biharmonic": biharmonic,
    "mean_colour": mean_colour,
}

#: The methods that need neither training nor weights.
CLASSICAL: tuple[str, ...] = tuple(_CLASSICAL)
#: Every name that :func:`create` knows, beside the prefixed ones.
NAMES: tuple[str, ...] = ("tdanet", *CLASSICAL)
#: The largest strength of a caption; beyond it nothing but saturated colours is left.
MAX_STRENGTH = 20.0
#: What stands before ":" in the name of an inpainter of :mod:`.others`.
PREFIXES: tuple[str, ...] = ("lama", "diffusers")


@dataclass(frozen=True)
class Classical:
    """A method that sees one picture and its hole, and neither caption nor chance."""

    name: str
    method: Callable[[np.ndarray, np.ndarray], np.ndarray]
    reads_captions: ClassVar[bool] = False
    keeps_visible: ClassVar[bool] = True

    def fill(self, images, masks, captions, *, seeds) -> np.ndarray:
        """As :meth:`Inpainter.fill`, one picture after the other; captions and seeds change nothing."""
        filled = [self.method(i, m) if m.any() else i for i, m in zip(images, masks, strict=True)]
        return np.stack(filled) if filled else images.copy()


class TDANetInpainter:
    """A trained TDANet and its vocabulary as an inpainter.

    The latent of each picture is drawn from its own seed, so that a fill does not depend on which other pictures
    share its batch, except for the order in which floating point sums are taken.

    Args: caption_strength: how far to go on in the direction in which the caption moves the fill away from the fill
        without a caption: 1 is the network as it is, 0 paints without the caption, more exaggerates it and takes twice
        the time (guidance without a classifier, Ho & Salimans 2022, arXiv 2207.12598, for a single-step generator).
    """

    def __init__(
        self, model: torch.nn.Module, vocabulary: "object", precision: str = "auto", caption_strength: float = 1.0
    ) -> None:
        from nbsupport.training import device

        self.caption_strength = caption_strength
        self.name = "tdanet" if caption_strength == 1 else f"tdanet@{caption_strength:g}"
        self.device = device.choose(precision)
        self.model = self.device.place(model).eval()
        self.vocabulary = vocabulary

    @property
    def caption_length(self) -> int:
        """The number of words of a caption that the network reads; the rest is cut."""
        return self.model.config.caption_length

    @torch.inference_mode()
    def fill(self, images, masks, captions, *, seeds) -> np.ndarray:
        """As :meth:`Inpainter.fill`: the network's whole output, which differs outside the hole too."""
        place = self.device.device
        # A transposed view of HWC bytes is already in channels_last order.
        pictures = torch.from_numpy(images).permute(0, 3, 1, 2).to(place).float() / 127.5 - 1
        holes = torch.from_numpy(masks)[:, None].to(place)
        latents = self._latents(images.shape[1:3], seeds).to(place)
        output = self._paint(pictures, holes, list(captions), latents)
        if self.caption_strength != 1:
            silent = self._paint(pictures, holes, [""] * len(captions), latents)
            output = silent + self.caption_strength * (output - silent)
        return to_uint8(output)

    def _paint(self, pictures: torch.Tensor, holes: torch.Tensor, captions: list[str], latents: torch.Tensor):
        """(B, 3, H, W) float in [-1, 1], the whole output."""
        from nbsupport.tdanet.model import fill

        place = self.device.device
        encoded = self.vocabulary.encode(captions, self.caption_length)
        ids, lengths = (torch.as_tensor(part, device=place) for part in encoded)
        with self.device.autocast():
            return fill(self.model, pictures, holes, ids, lengths, latents=latents).float()

    def _latents(self, size: tuple[int, int], seeds: Sequence[int]) -> torch.Tensor:
        shape = self.model.latent_shape(*size)  # (channels, height, width)
        draws = [torch.Generator().manual_seed(rng.torch_seed(int(seed), "latent")) for seed in seeds]
        return torch.stack([torch.randn(shape, generator=draw) for draw in draws])


def to_uint8(output: torch.Tensor) -> np.ndarray:
    """Turn (B, 3, H, W) float in [-1, 1] into (B, H, W, 3) uint8; values outside are clipped.

    Raises:
        InpainterError: NaN or an infinity; rounding would turn it into a colour and hide it.
    """
    output = output.float()
    broken = ~torch.isfinite(output).flatten(1).all(dim=1)
    if broken.any():
        raise InpainterError(
            f"The network returned NaN or infinite values for picture {int(broken.nonzero()[0])} of the batch. Its "
            "training has diverged; train it again with a lower learning_rate (chapter 4)."
        )
    pixels = ((output.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).cpu().numpy())


@dataclass(frozen=True)
class Checked:
    """An inpainter whose input and output are verified; see :func:`checked`."""

    inner: Inpainter

    @property
    def name(self) -> str:
        """That of the inpainter behind it."""
        return self.inner.name

    def fill(self, images, masks, captions, *, seeds) -> np.ndarray:
        """As :meth:`Inpainter.fill`; raises InpainterError for a wrong input, and for an output that is no picture."""
        images, masks = np.asarray(images), np.asarray(masks)
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise InpainterError(f"images must be (B, H, W, 3) uint8, got {images.shape} {images.dtype}.")
        if masks.shape != images.shape[:3] or masks.dtype != bool:
            raise InpainterError(
                f"masks must be {images.shape[:3]} bool (True = hole), got {masks.shape} {masks.dtype}."
            )
        if not len(captions) == len(seeds) == len(images):
            raise InpainterError(
                f"{len(images)} images need as many captions and seeds, got {len(captions)} and {len(seeds)}."
            )
        everything = masks.all(axis=(1, 2))
        if everything.any():
            raise InpainterError(
                f"The hole of picture {int(everything.argmax())} covers all of it: nothing is left to paint from. "
                "Use a smaller coverage."
            )
        before = images.copy() if not isinstance(images, np.memmap) else None
        output = self.inner.fill(images, masks, captions, seeds=seeds)
        self._check_output(output, images)
        if getattr(self.inner, "keeps_visible", False) and (output != images)[~masks].any():
            raise InpainterError(
                f"The inpainter '{self.name}' changed pixels outside the hole, which it promises to keep."
            )
        if before is not None and not np.array_equal(before, images):
            raise InpainterError(f"The inpainter '{self.name}' wrote into the photographs it was given.")
        return output

    def _check_output(self, output: object, images: np.ndarray) -> None:
        who = f"The inpainter '{self.name}' must return {images.shape} uint8"
        if not isinstance(output, np.ndarray):
            raise InpainterError(f"{who}, got {type(output).__name__}.")
        if np.issubdtype(output.dtype, np.floating) and not np.isfinite(output).all():
            raise InpainterError(f"{who}, got {output.dtype} with NaN or infinite values.")
        if output.shape != images.shape or output.dtype != np.uint8:
            raise InpainterError(f"{who}, got {output.shape} {output.dtype}.")


def checked(inpainter: Inpainter) -> Inpainter:
    """Wrap an inpainter so that wrong input, and output of a wrong shape or type or with NaN, is a clear error."""
    return inpainter if isinstance(inpainter, Checked) else Checked(inpainter)


def reads_captions(inpainter: Inpainter) -> bool:
    """Whether another caption can make another fill; taken for granted of an inpainter that does not say."""
    inner = inpainter.inner if isinstance(inpainter, Checked) else inpainter
    return getattr(inner, "reads_captions", True)


def create(name: str, run: Run | None = None) -> Inpainter:
    """Return the inpainter called `name`, checked.

    Args:
        name: one of ``NAMES``: ``tdanet`` needs `run`, the run folder that holds its trained weights; the others need
            nothing. ``tdanet:<name>`` for weights that come with the package (``nbsupport.pretrained``); either with
            ``@<number>`` behind it for another caption strength (see :class:`TDANetInpainter`). Or
            ``lama:<path of a TorchScript file>``, or ``diffusers:<folder or model id of a hub>``.

    Raises:
        InpainterError: no such inpainter, ``tdanet`` without a run, or weights that cannot be had.
        MissingStage: the run has no trained TDANet; the message says how to train it.
    """
    if name in _CLASSICAL:
        return checked(Classical(name, _CLASSICAL[name]))
    if name.startswith("tdanet") and "@" in name:
        return _strengthened(name, run)
    prefix, colon, source = name.partition(":")
    if colon and prefix == "tdanet":
        from nbsupport import pretrained

        return checked(TDANetInpainter(*pretrained.load(source)))
    if colon and prefix in PREFIXES:
        from nbsupport.inpainters import others

        return checked(others.LaMa(source) if prefix == "lama" else others.Diffusers(source))
    if name != "tdanet":
        also = "Also: tdanet:<name of pretrained weights>, lama:<file of a TorchScript LaMa>, diffusers:<folder or id>."
        raise InpainterError(f"{unknown('inpainter', name, NAMES)} {also}")
    if run is None:
        raise InpainterError("The inpainter 'tdanet' is read from a run folder: inpainters.create('tdanet', run).")
    run.require("tdanet")
    from nbsupport.training import tdanet

    return checked(TDANetInpainter(*tdanet.load(run)))


def _strengthened(name: str, run: Run | None) -> Inpainter:
    """``tdanet@4`` and ``tdanet:<name>@4``: the network before the sign, with that caption strength."""
    plain, _, number = name.rpartition("@")
    try:
        strength = float(number)
        if not 0 <= strength <= MAX_STRENGTH:
            raise ValueError
    except ValueError:
        raise InpainterError(
            f"'{name}': the caption strength after '@' must be a number from 0 to {MAX_STRENGTH:g}, e.g. tdanet@3."
        ) from None
    inner = create(plain, run).inner
    inner.caption_strength, inner.name = strength, name
    return checked(inner)


def splice(original: np.ndarray, output: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Take `output` inside the hole and `original`, bit for bit, outside.

    Args: original and output (..., H, W, 3) uint8; masks (..., H, W) bool, True = hole. Returns (..., H, W, 3) uint8.
    """
    return np.where(np.asarray(masks)[..., None], output, original)
