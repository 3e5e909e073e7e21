"""How much of a pre-trained network is trained, and when: its head alone, from the head downwards, or all of it.

A network's parameters are taken in groups from the stem to the head, as timm divides them; a network of our own is one
group, so that all of this leaves it as it is. Early groups hold what serves every picture and may be given smaller
learning rates (Howard & Ruder 2018, arXiv 1801.06146, who call it discriminative fine-tuning and gradual unfreezing).
Frozen batch normalisation keeps its statistics too. Not here: the training loop (``detectors.classifier``).
"""

from typing import Literal

from timm.models import group_parameters
from torch import nn

from nbsupport.detectors.zoo import Detector

Transfer = Literal["full", "gradual", "head"]


def groups(detector: Detector) -> list[list[nn.Parameter]]:
    """The detector's parameters from the stem to the head, each in one group."""
    body, named = detector.body, dict(detector.body.named_parameters())
    if not hasattr(body, "group_matcher"):
        return [list(named.values())]
    found: dict[int, list[nn.Parameter]] = {}
    for name, number in group_parameters(body, body.group_matcher(coarse=True), reverse=True).items():
        found.setdefault(number, []).append(named[name])
    return [found[number] for number in sorted(found)]


def thawed(transfer: Transfer, epoch: int, epochs: int, count: int) -> int:
    """How many of `count` groups, counted from the head, are trained in an epoch (from 0).

    ``gradual`` begins with the head and has thawed all groups when half of the epochs are over.

    >>> [thawed("gradual", epoch, 8, 6) for epoch in range(8)]
    [1, 2, 3, 4, 6, 6, 6, 6]
    """
    if transfer == "full":
        return count
    if transfer == "head":
        return 1
    return min(count, 1 + (count - 1) * epoch // max(1, epochs // 2))


class Schedule:
    """Which groups of a detector are trained, epoch by epoch, and how fast.

    Args:
        detector: to be trained. transfer: ``full``, ``gradual`` or ``head``.
        layer_decay: in (0, 1]: each group learns this much slower than the one above it.
    """

    def __init__(self, detector: Detector, transfer: Transfer, layer_decay: float) -> None:
        self.detector, self.transfer = detector, transfer
        self.groups = groups(detector)
        last = len(self.groups) - 1
        self.factors = [layer_decay ** (last - number) for number in range(len(self.groups))]

    def parameter_groups(self, learning_rate: float) -> list[dict]:
        """For the optimiser: ``params`` and ``lr`` of each group, from the stem to the head."""
        return [
            {"params": group, "lr": learning_rate * factor}
            for group, factor in zip(self.groups, self.factors, strict=True)
        ]

    def begin(self, epoch: int, epochs: int) -> int:
        """Thaw and freeze for an epoch, and set training mode; returns how many groups are trained."""
        count = thawed(self.transfer, epoch, epochs, len(self.groups))
        for number, group in enumerate(self.groups):
            for parameter in group:
                parameter.requires_grad_(number >= len(self.groups) - count)
        self.detector.train()
        for module in self.detector.modules():
            own = list(module.parameters(recurse=False))
            if own and not any(parameter.requires_grad for parameter in own):
                module.eval()
        return count
