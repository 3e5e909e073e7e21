"""Look inside TDANet: one photograph through every box, with what goes in and out of each, for chapters 3 to 5.

Not here: drawing (``plots.tdanet``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from nbsupport.core.tensors import to_tensor
from nbsupport.data.captions import tokenise
from nbsupport.data.index import Dataset
from nbsupport.tdanet.layers import pool_mask
from nbsupport.tdanet.model import Painted, TDANet

#: The boxes of the paper's figure: attribute of the network -> what the figure calls it.
BOXES = {
    "text": "text encoder",
    "encoder": "image encoder",
    "attention": "dual attention",
    "join": "multimodal feature h",
    "fusion": "fusion F",
    "fusion_auxiliary": "fusion F'",
    "generator.attention": "short+long-term attention",
    "generator": "generator",
}


@dataclass(frozen=True)
class Example:
    """One photograph, its hole and its caption, as TDANet takes them; the first axis has length 1."""

    images: Tensor  # (1, 3, H, W) float in [-1, 1]
    holes: Tensor  # (1, 1, H, W) bool, True = hole
    tokens: Tensor  # (1, L) int64
    lengths: Tensor  # (1,) int64
    caption: str
    words: tuple[str, ...]  # as the network reads them: cut to L, unknown ones marked

    @property
    def picture(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        return to_pictures(self.images)[0]

    @property
    def hole(self) -> np.ndarray:
        """(H, W) bool, True = hole."""
        return self.holes[0, 0].numpy()

    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """In the order of `TDANet.forward`."""
        return self.images, self.holes, self.tokens, self.lengths


def to_pictures(images: Tensor) -> np.ndarray:
    """(B, 3, H, W) float in [-1, 1] -> (B, H, W, 3) uint8."""
    pixels = ((images.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).cpu().numpy()


def example(dataset: Dataset, row: int, hole: np.ndarray, length: int, caption: str | None = None) -> Example:
    """Prepare one photograph.

    Args: row of the index; hole (H, W) bool, True = hole; length L of the caption in words; caption: its own first
        one when None.
    """
    if caption is None:
        captions = dataset.index["captions"].iloc[row]
        caption = captions[0] if len(captions) else ""
    tokens, lengths = dataset.vocabulary.encode([caption], length)
    unknown = set(dataset.vocabulary.unknown_words(caption))
    words = [f"{word}?" if word in unknown else word for word in tokenise(caption)][:length]
    return Example(
        to_tensor(dataset.cache.batch([row])),
        torch.from_numpy(hole)[None, None],
        torch.from_numpy(tokens),
        torch.from_numpy(lengths),
        caption,
        tuple(words) or ("(no words)",),
    )


def noise(model: TDANet, chosen: Example, seed: int, count: int = 1) -> Tensor:
    """`count` draws of standard normal noise for a photograph: (count, Z, h, w) float."""
    shape = model.latent_shape(*chosen.images.shape[-2:])
    return torch.randn((count, *shape), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def run_both_paths(model: TDANet, chosen: Example, seed: int) -> Painted:
    """The inpainting and the auxiliary path on one photograph, in evaluation mode."""
    draws = noise(model.eval(), chosen, seed, 2)
    return model(*chosen.inputs(), draws[:1], draws[1:])


@torch.no_grad()
def sample(model: TDANet, chosen: Example, seed: int, count: int) -> np.ndarray:
    """Paint one hole `count` times with different noise: (count, H, W, 3) uint8."""
    repeated = [part.expand(count, *part.shape[1:]) for part in chosen.inputs()]
    return to_pictures(model.eval()(*repeated, noise(model, chosen, seed, count)).outputs[-1])


def _tensors(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [tensor for key in sorted(value) for tensor in _tensors(value[key])]
    return [tensor for item in value for tensor in _tensors(item)] if isinstance(value, tuple | list) else []


def _shapes(value: object) -> str:
    return ", ".join("x".join(map(str, tensor.shape[1:])) or "1" for tensor in _tensors(value))


def trace(model: TDANet, chosen: Example, seed: int) -> pd.DataFrame:
    """Run both paths and note, at each box, the shapes (without the batch axis) and the range that really passed.

    Returns:
        columns ``box, input, output, smallest, largest, parameters``, one row for each call of a box, in order.
    """
    rows: list[dict] = []

    def note(module: nn.Module, inputs: tuple, output: object, name: str) -> None:
        values = torch.cat([tensor.flatten().float() for tensor in _tensors(output)])
        rows.append(
            {
                "box": BOXES[name],
                "input": _shapes(inputs),
                "output": _shapes(output),
                "smallest": float(values.min()),
                "largest": float(values.max()),
                "parameters": sum(p.numel() for p in module.parameters()),
            }
        )

    handles = [
        model.get_submodule(name).register_forward_hook(lambda m, i, o, name=name: note(m, i, o, name))
        for name in BOXES
    ]
    try:
        run_both_paths(model, chosen, seed)
    finally:
        for handle in handles:
            handle.remove()
    return pd.DataFrame(rows)


@torch.no_grad()
def levels(model: TDANet, chosen: Example) -> dict[str, np.ndarray]:
    """What the encoder makes of the visible part, from fine to coarse: a name with its shape -> (C, h, w) float."""
    encoded = model.eval().encoder(chosen.images, chosen.holes)
    found = {f"skip, stride {2**level}": encoded.fine[level] for level in sorted(encoded.fine) if level}
    found |= {"v_l": encoded.low, "v_h": encoded.high}
    return {f"{name}\n{'x'.join(map(str, part.shape[1:]))}": part[0].float().numpy() for name, part in found.items()}


@torch.no_grad()
def kept_words(model: TDANet, chosen: Example) -> pd.DataFrame:
    """How much each path attends to each word, as the mean over the positions that take part in it.

    Returns:
        index: the words; ``visible part``: attention of the visible part before negation (what it explains);
        ``inpainting path``: after negation (what is left to paint); ``auxiliary path``: of the removed part. Each
        column sums to 1.
    """
    text = model.eval().text(chosen.tokens, chosen.lengths)
    count = int(chosen.lengths[0])
    columns = {}
    for name, unknown, negate in (
        ("visible part", chosen.holes, False),
        ("inpainting path", chosen.holes, model.config.negate),
        ("auxiliary path", ~chosen.holes, False),
    ):
        high = model.encoder(chosen.images, unknown).high
        where = pool_mask(~unknown, high.shape[-2:])
        _, weights = model.attention(high, text, where, negate=negate)
        columns[name] = weights[0, where.flatten()].mean(dim=0)[:count].numpy()
    return pd.DataFrame(columns, index=pd.Index(chosen.words[:count], name="word"))


def word_maps(painted: Painted, chosen: Example, auxiliary: bool = False) -> np.ndarray:
    """The attention of the positions of a path to each word: (L', h, w) float in [0, 1], L' the number of words.

    NaN where a position takes no part: in the hole for the inpainting path, outside it for the auxiliary path.
    """
    weights = painted.auxiliary_attention if auxiliary else painted.attention
    size = painted.latent.mean.shape[-2:]
    maps = weights[0].float().T[: int(chosen.lengths[0])].reshape(-1, *size)
    where = pool_mask(chosen.holes if auxiliary else ~chosen.holes, size)[0]
    return maps.masked_fill(~where, float("nan")).numpy()


@torch.no_grad()
def texture_sources(model: TDANet, chosen: Example, seed: int, places: Sequence[tuple[int, int]]) -> np.ndarray:
    """The long-term attention of some cells: how much each visible cell's v_l weighs in what they fetch.

    Args: places: (row, column) of cells at v_l's resolution. Returns (len(places), h, w) float; each sums to 1.
    """
    box, caught = model.generator.attention, []
    handle = box.register_forward_pre_hook(lambda module, inputs: caught.append(inputs))
    try:
        model.eval()(*chosen.inputs(), noise(model, chosen, seed))
    finally:
        handle.remove()
    decoder, low, hole = caught[0]
    query = box.query(decoder).flatten(2).transpose(1, 2)  # (1, N, K)
    energy = (query @ query.transpose(1, 2)).float() / query.shape[-1] ** 0.5
    hidden = hole.flatten(1)[:, None, :]
    weights = energy.masked_fill(hidden & ~hidden.all(), float("-inf")).softmax(dim=-1)[0]
    height, width = low.shape[-2:]
    return weights[[row * width + column for row, column in places]].reshape(-1, height, width).numpy()


def reading(model: TDANet, trained: bool, weights: str | None) -> str:
    """Which network is looked at, and how large it is: a sentence."""
    state = "untrained: its weights are random numbers"
    if trained:
        state = "trained in chapter 4"
    elif weights:
        state = f"that of the packaged weights `{weights}`"
    count = sum(parameter.numel() for parameter in model.parameters())
    return f"The network looked at here has {count:,} parameters and is **{state}**."


def latent_maps(painted: Painted) -> dict[str, np.ndarray]:
    """Mean and deviation of both paths' latents at each position, averaged over channels: title -> (h, w) float."""
    latents = {"painting": painted.latent, "auxiliary": painted.auxiliary_latent}
    maps = {f"size of mu, {name}": latent.mean[0].abs().mean(0).numpy() for name, latent in latents.items()}
    return maps | {f"sigma, {name}": latent.deviation[0].mean(0).numpy() for name, latent in latents.items()}


def output_scales(painted: Painted) -> dict[str, list[np.ndarray]]:
    """Path -> its outputs from coarse to fine, (h, w, 3) uint8 each."""
    both = {"inpainting path": painted.outputs, "auxiliary path": painted.auxiliary_outputs}
    return {name: [to_pictures(output)[0] for output in outputs] for name, outputs in both.items()}


def rank_correlations(kept: pd.DataFrame) -> tuple[float, float]:
    """Spearman's correlation of the words that the inpainting path keeps (:func:`kept_words`) with those that the
    visible part explains, and with those that the auxiliary path keeps.
    """
    ranks = kept.corr(method="spearman")["inpainting path"]
    return ranks["visible part"], ranks["auxiliary path"]


def agreement(correlation: float) -> str:
    """What the rank correlation of the words that both paths keep allows to say of them."""
    if correlation > 0.3:
        return "keep the same words"
    if correlation < -0.3:
        return "keep opposite words, so elimination has not found what the hole showed"
    return "have little in common"


def words_reading(kept: pd.DataFrame) -> str:
    """Both of :func:`rank_correlations` in a sentence, and what they mean."""
    visible, auxiliary = rank_correlations(kept)
    return (
        f"Rank correlation of orange with grey: **{visible:.2f}** (exact opposites, word by word, would give -1); of "
        f"orange with blue: **{auxiliary:.2f}** (the same words would give 1). On this photograph the two paths "
        f"**{agreement(auxiliary)}**."
    )
