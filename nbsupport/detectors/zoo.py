"""The registry of detectors: one entry for each architecture, one function that builds any of them.

To add a network of timm, add one line to :data:`ZOO`. Every entry becomes a :class:`Detector`: pictures in [-1, 1] in,
one logit out, so that training, scoring and the demo treat all alike. Not here: training (``detectors.classifier``),
weights files (:mod:`.weights`).

A word on small pictures. Networks made for 224 px halve the resolution early: a ResNet's stem turns 64 px into 16, and
the traces of a generator live in exactly the detail that goes first. `dense_stem` takes one halving out of the stem, as
Gragnaniello et al. 2021 ("Are GAN generated images easy to detect?") did with success. It costs four times the
time, which is why it is an option and not the default.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from nbsupport.core import lite0
from nbsupport.core.errors import ConfigError, UserError, unknown
from nbsupport.core.rng import seeded
from nbsupport.detectors.networks import LocalSharpness, PowerSpectrum, ResidualNet
from nbsupport.detectors.searched import SearchedNet
from nbsupport.detectors.weights import fill, read


class Detector(nn.Module):
    """A network with one output behind a common entrance: it normalises its pictures itself.

    Args:
        body: takes (B, 3, H, W) normalised by `mean` and `std`, gives (B, 1).
        mean, std: of each channel, for values in [0, 1], as the body's weights expect them.
    """

    def __init__(self, body: nn.Module, mean: tuple[float, ...] = (0.5,) * 3, std: tuple[float, ...] = (0.5,) * 3):
        super().__init__()
        self.body = body
        # (x + 1) / 2 is in [0, 1]; the two affine maps are one.
        self.register_buffer("scale", 0.5 / torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", ((0.5 - torch.tensor(mean)) / torch.tensor(std)).view(1, 3, 1, 1), False)

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) float in [-1, 1] -> (B,) float32 logits; positive means inpainted."""
        return self.body(images * self.scale + self.shift).squeeze(1).float()


@dataclass(frozen=True)
class Entry:
    """What the registry knows of one detector.

    Attributes:
        description: one reasoned line: why it is in the study.
        timm_name: the network in timm, or None for one of our own.
        weights: what ``weights="default"`` means: none or imagenet.
        sized: whether the network is built for one picture size.
        build: makes a network of our own from the picture size.
        offline: ImageNet weights (timm's names) from an installed package, or None when it is not there.
        densify: takes one halving out of the stem, in place; None where the network has no such stem.
        searchable: the network is a point of ``searched.SPACE``, which must be given to build it.
    """

    description: str
    timm_name: str | None = None
    weights: str = "none"
    sized: bool = False
    build: Callable[[int], nn.Module] | None = None
    offline: Callable[[], dict[str, Tensor] | None] | None = None
    densify: Callable[[nn.Module], None] | None = None
    searchable: bool = False


def _no_pool(body: nn.Module) -> None:
    body.maxpool = nn.Identity()


def _unit_stride(body: nn.Module) -> None:
    body.conv_stem.stride = (1, 1)


ZOO: dict[str, Entry] = {
    "resnet34": Entry(
        "The plain residual network that the earlier study found best; from scratch, so that nothing but our pairs "
        "has taught it.",
        "resnet34",
        densify=_no_pool,
    ),
    "efficientnet_lite0": Entry(
        "Small, fast and pre-trained on ImageNet: what transfer buys when there are few pictures.",
        "tf_efficientnet_lite0",
        weights="imagenet",
        offline=lite0.load,
        densify=_unit_stride,
    ),
    "resnext50": Entry(
        "Grouped convolutions: more paths for the same cost.", "resnext50_32x4d", weights="imagenet", densify=_no_pool
    ),
    "resnext101": Entry(
        "The same with eight times the width and twice the depth, as the earlier study used it; for a GPU.",
        "resnext101_32x8d",
        weights="imagenet",
        densify=_no_pool,
    ),
    "swin_tiny": Entry(
        "Attention in shifted windows: can compare distant parts of a picture.",
        "swin_tiny_patch4_window7_224",
        weights="imagenet",
        sized=True,
    ),
    "swin_v2_tiny": Entry(
        "Its second version: scores by cosine, which keeps large windows stable.",
        "swinv2_tiny_window8_256",
        weights="imagenet",
        sized=True,
    ),
    "efficientnet_b4": Entry(
        "The usual backbone of face-forgery detectors.", "efficientnet_b4", weights="imagenet", densify=_unit_stride
    ),
    "efficientnet_v2_s": Entry(
        "Fused convolutions in its early layers, where a generator's traces are; tried in the earlier study.",
        "tf_efficientnetv2_s",
        weights="imagenet",
        densify=_unit_stride,
    ),
    "vgg16_bn": Entry(
        "No shortcuts and no stride before its first pooling: sees every pixel. Tried in the earlier study.",
        "vgg16_bn",
        weights="imagenet",
    ),
    "residual_net": Entry(
        "The forensic baseline: sees high-pass residuals only, never what the picture shows.",
        build=lambda size: ResidualNet(),
    ),
    "power_spectrum": Entry(
        "The cheap baseline: logistic regression over the radial power spectrum.",
        build=PowerSpectrum,
    ),
    "local_sharpness": Entry(
        "The blur baseline: the tenth percentile of the local high-pass energy. Nothing in it is trained.",
        build=LocalSharpness,
    ),
    "searched": Entry(
        "What the architecture search found on this very set; made for the task, from scratch.",
        searchable=True,
    ),
}


def entry(name: str) -> Entry:
    """The entry of a detector; an unknown name is an error that names the nearest one."""
    if name not in ZOO:
        raise ConfigError(unknown("detector", name, ZOO))
    return ZOO[name]


def trainable(model: nn.Module) -> bool:
    """Whether there is anything in a detector to train; not so for ``local_sharpness``."""
    return any(parameter.requires_grad for parameter in model.parameters())


def create(
    name: str,
    weights: str = "default",
    image_size: int = 64,
    dense_stem: bool = False,
    seed: int = 0,
    architecture: Mapping[str, Any] | None = None,
) -> tuple[Detector, str]:
    """Build a detector.

    Args:
        name: a key of :data:`ZOO`.
        weights: ``none`` (random, from `seed`), ``imagenet``, ``default`` (the entry's own choice of these two), or
            the path of a weights file: one of our detector checkpoints, or a state dict under timm's names.
        image_size: height and width of the pictures; networks that are not built for one size take others as well.
        dense_stem: take one halving out of the stem (see the module's text).
        seed: of the random weights: of the whole network, or of its head alone.
        architecture: of the detector ``searched``: a point of ``searched.SPACE``.

    Returns:
        The detector, in training mode, and which weights it really got: ``none``, ``imagenet (<source>)`` or the path.

    Raises:
        ConfigError: unknown name, or `dense_stem` for a network without such a stem.
        UserError: the weights cannot be had, or do not fit.
    """
    found = entry(name)
    weights = found.weights if weights == "default" else weights
    with seeded(seed, "detector", name):
        body, used = _body(name, found, weights, image_size, architecture)
    if dense_stem:
        if found.densify is None:
            able = [key for key, value in ZOO.items() if value.densify]
            raise ConfigError(f"'{name}' has no stem to make dense. dense_stem works for: {', '.join(able)}.")
        found.densify(body)
    if found.timm_name is None:
        return Detector(body), used
    return Detector(body, tuple(body.default_cfg["mean"]), tuple(body.default_cfg["std"])), used


def _body(
    name: str, found: Entry, weights: str, image_size: int, architecture: Mapping[str, Any] | None
) -> tuple[nn.Module, str]:
    """The network behind the entrance with one output, and the weights it got."""

    def plain(pretrained: bool = False) -> nn.Module:
        if found.searchable:
            if architecture is None:
                raise UserError("There is no searched network yet. Search for one first (chapter 7, search_trials).")
            return SearchedNet(architecture)
        if found.build is not None:
            return found.build(image_size)
        sized = {"img_size": image_size} if found.sized else {}
        body = timm.create_model(found.timm_name, pretrained=pretrained, num_classes=1, **sized)
        # timm draws some heads for a thousand classes; with one, their first logits would be far from "undecided".
        torch.nn.init.normal_(body.get_classifier().weight, std=0.01)
        torch.nn.init.zeros_(body.get_classifier().bias)
        return body

    if weights == "none":
        return plain(), "none"
    if weights != "imagenet":
        body = plain()
        fill(body, read(Path(weights)), weights)
        return body, weights
    if found.timm_name is None:
        raise UserError(f"There are no ImageNet weights for '{name}'. Choose weights='none'.")
    state = found.offline() if found.offline else None
    if state is not None:
        body = plain()
        fill(body, state, "the installed package")
        return body, f"imagenet (package {lite0.PACKAGE})"
    try:
        print(f"Fetching the ImageNet weights of '{name}' …")
        return plain(pretrained=True), f"imagenet (timm hub, {timm.get_pretrained_cfg(found.timm_name).tag})"
    except Exception as error:  # the hub's client raises a dozen kinds: no network, no such file, no space, a checksum
        package = f", or install them with:  {lite0.INSTALL}" if found.offline else ""
        raise UserError(
            f"The ImageNet weights of '{name}' cannot be had ({type(error).__name__}). Choose weights='none' to train "
            f"from scratch, give the path of a weights file{package}."
        ) from error
