"""What a trained TDANet loses when one idea of the paper is switched off in filling, without training again.

The same photographs, centre holes, captions and noise; only one box is disturbed. An idea whose loss changes nothing
does nothing in these weights. Not here: trainings without an idea (``book.recipe.ABLATIONS``).
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch

from nbsupport.core import rng
from nbsupport.core.errors import UserError
from nbsupport.core.tensors import to_uint8
from nbsupport.data.index import Dataset
from nbsupport.inpainters.tdanet import TDANetInpainter
from nbsupport.quality.comparison import centre_holes, pick_captions
from nbsupport.quality.pixels import hole_l1
from nbsupport.stats.bootstrap import mean_interval
from nbsupport.tdanet import losses

#: What is switched off -> how it is said.
SWITCHED = {
    "no negation": "the attention is not negated",
    "attention of another picture": "the words are weighed by the attention of another picture",
    "auxiliary path": "the auxiliary path paints, which sees the answer",
}
#: A change below this share of the error is called none, however narrow its interval.
NEGLIGIBLE = 0.01


def _without_negation(module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    return args, kwargs | {"negate": False}


def _of_another_picture(module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """The features and the region of the next picture of the batch, with the picture's own words."""
    features, text, where = args
    return (features.roll(1, 0), text, where.roll(1, 0)), kwargs


HOOKS: dict[str, Callable] = {
    "no negation": _without_negation,
    "attention of another picture": _of_another_picture,
}


@torch.inference_mode()
def ablate(dataset: Dataset, inpainter: TDANetInpainter, rows: np.ndarray, seed: int = 0, batch_size: int = 32) -> dict:
    """In-hole L1 as the network is and with each of :data:`SWITCHED`, and how much the latent carries.

    Returns:
        ``photographs``; ``hole_l1``: ``as it is`` and each name -> interval; ``change``: name -> interval of that minus
        as it is, photograph by photograph (above 0: the idea helps; for the auxiliary path, below 0: seeing the answer
        helps); ``kl_prior``: KL(auxiliary || prior) in nats for each element; ``kl_paths``: KL(auxiliary ||
        inpainting); ``mu_rms``: root mean square of the auxiliary path's means.

    Raises:
        UserError: fewer than two photographs.
    """
    rows, inpainter = np.asarray(rows), getattr(inpainter, "inner", inpainter)  # what checks an inpainter wraps it
    if len(rows) < 2:
        raise UserError("The attention of another picture needs at least two photographs. Choose a split with more.")
    model, place = inpainter.model, inpainter.device.device
    captions = np.array(pick_captions(dataset, rows, seed)[0], object)
    errors: dict[str, list] = {name: [] for name in ("as it is", *SWITCHED)}
    latent = np.zeros(3)
    for part in np.array_split(np.arange(len(rows)), max(1, len(rows) // max(2, batch_size))):
        images = np.asarray(dataset.cache.batch(rows[part]))
        holes = centre_holes(len(images), images.shape[1:3])
        tokens, lengths = (
            torch.as_tensor(own, device=place)
            for own in inpainter.vocabulary.encode(list(captions[part]), inpainter.caption_length)
        )
        noise = inpainter._latents(images.shape[1:3], [rng.torch_seed(seed, "fill", int(r)) for r in rows[part]])
        pictures = torch.from_numpy(images).permute(0, 3, 1, 2).to(place).float() / 127.5 - 1
        hidden, noise = torch.from_numpy(holes)[:, None].to(place), noise.to(place)
        inputs = (pictures, hidden, tokens, lengths, noise)
        whole = model(*inputs, noise_auxiliary=noise)
        outputs = {"as it is": whole.outputs[-1], "auxiliary path": whole.auxiliary_outputs[-1]}
        for name, hook in HOOKS.items():
            handle = model.attention.register_forward_pre_hook(hook, with_kwargs=True)
            try:
                outputs[name] = model(*inputs).outputs[-1]
            finally:
                handle.remove()
        for name, output in outputs.items():
            errors[name].extend(hole_l1(images, to_uint8(output.float()), holes))
        prior, paths = losses.kl_losses(whole.latent, whole.auxiliary_latent, hidden)
        square = whole.auxiliary_latent.mean.float().square().mean()
        latent += len(part) / len(rows) * np.array([float(prior), float(paths), float(square)])
    groups = dataset.index["group"].to_numpy()[rows]
    table = {name: np.array(own, float) for name, own in errors.items()}
    return {
        "photographs": len(rows),
        "hole_l1": {name: mean_interval(own, groups, seed) for name, own in table.items()},
        "change": {name: mean_interval(table[name] - table["as it is"], groups, seed) for name in SWITCHED},
        "kl_prior": float(latent[0]),
        "kl_paths": float(latent[1]),
        "mu_rms": float(latent[2] ** 0.5),
    }


def said(report: Mapping) -> str:
    """What :func:`ablate`'s numbers allow to say, a sentence for each idea and one for the latent."""
    error = report["hole_l1"]["as it is"]["value"]
    sentences = []
    for name, words in SWITCHED.items():
        own = report["change"][name]
        better = -1 if own["high"] < 0 else int(own["low"] > 0)  # of the disturbed network's error
        share = abs(own["value"]) / error
        if not better or share < NEGLIGIBLE:
            effect = "hardly changes" if better else "does not measurably change"
        else:
            effect = "rises" if better > 0 else "falls"
        change = f"{_signed(own['value'])}, {_signed(own['low'])} to {_signed(own['high'])}; {share:.1%}"
        sentences.append(f"When {words}, the error in the hole {effect} ({change}).")
    helped = report["change"]["auxiliary path"]
    blind = helped["high"] >= 0 or -helped["value"] / error < NEGLIGIBLE
    told = f"KL to the prior {report['kl_prior']:.4f} nats for each element, rms of mu {report['mu_rms']:.4f}"
    if blind and report["kl_prior"] < 0.01:
        sentences.append(f"The latent carries nothing of the answer ({told}): *posterior collapse*.")
    else:
        sentences.append(f"No posterior collapse is shown ({told}).")
    return " ".join(sentences)


def _signed(value: float) -> str:
    """A difference with four decimals, or with one digit where four decimals would all be zero."""
    return f"{value:+.4f}" if abs(value) >= 5e-5 or not value else f"{value:+.0e}"


def tutor(painting: float, auxiliary: float) -> str:
    """Whether the auxiliary path, which sees the answer, is closer to the photograph than the inpainting path.

    Args: means of both L1 losses over the last steps of a training; NaN for an auxiliary path that was not trained.
    """
    if not np.isfinite(auxiliary):
        return "No auxiliary path was trained."
    ahead = (painting - auxiliary) / painting
    numbers = f"L1 {auxiliary:.3f} against {painting:.3f} over the last steps"
    if ahead > NEGLIGIBLE:
        return f"The auxiliary path is closer to the photograph by {ahead:.1%} ({numbers})."
    return f"The auxiliary path is no closer to the photograph, though it sees the answer ({numbers})."
