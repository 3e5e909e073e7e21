"""DAMSM pre-training: a text encoder and an image encoder learn which caption belongs to which photograph.

Not here: the encoders and where they come from (``tdanet.damsm``), TDANet's own training.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from nbsupport.config import MatchingConfig
from nbsupport.core import checkpoints, device, rng
from nbsupport.core.errors import UserError
from nbsupport.core.files import atomic_path
from nbsupport.core.rng import seeded
from nbsupport.core.tensors import to_tensor
from nbsupport.data import index
from nbsupport.data.captions import Vocabulary
from nbsupport.data.index import Dataset
from nbsupport.runs import Run
from nbsupport.tdanet import retrieval
from nbsupport.tdanet import weights as stored
from nbsupport.tdanet.damsm import Matcher, MatchingWeights, TrainedMatching
from nbsupport.training.batches import Batch, Sampler

LOG = "matching_log.csv"
STATE = "checkpoints/matching_state.pt"  # what a stopped training needs
SAVE_EVERY = 20.0  # seconds between the states that a killed training continues from


def fit(run: Run, config: MatchingConfig) -> TrainedMatching:
    """Train the encoders on the train split (stage ``matching``), continue a stopped training, or load them.

    Writes ``checkpoints/matching.safetensors`` (+ ``.json``), ``matching_log.csv`` and ``results/matching.json`` with
    R-precision on the test split. With ``steps=0`` the encoders stay untrained, and the stage's record says so.
    """
    stage = run.stage("matching", config, needs=("index",))
    if stage.finished:
        return load(run)
    with stage:
        dataset, place = index.load(run), device.choose("auto")
        sizes = {name: getattr(config, name) for name in MatchingWeights.__dataclass_fields__ if hasattr(config, name)}
        with seeded(config.seed, "matching"):
            model = place.place(
                Matcher(MatchingWeights(vocabulary_size=len(dataset.vocabulary), **sizes), imagenet=True)
            )
        if config.start_from:
            stored.start_matching(model, config.start_from, dataset.vocabulary)
        log = _train(model, dataset, config, place, run / STATE, stage.fingerprint)
        with atomic_path(run / LOG) as temporary:
            log.to_csv(temporary, index=False)
        checkpoints.save_weights(run / stored.MATCHING_WEIGHTS, model.state_dict(), model.config)
        run.write_result("matching", {"steps": config.steps, **retrieval.r_precision(model, dataset, config.seed)})
        stage.outputs(stored.MATCHING_WEIGHTS, "checkpoints/matching.json", LOG, "results/matching.json")
        stage.note(
            weights="trained" if config.steps or config.start_from else "untrained",
            device=str(place.device),
            precision=place.why,
        )
        (run / STATE).unlink(missing_ok=True)
    return load(run)


def load(run: Run) -> TrainedMatching:
    """The trained encoders of a run, in evaluation mode on the CPU; MissingStage when chapter 4 has not been run."""
    run.require("matching")
    with seeded(0):  # the first weights are overwritten, but drawing them must not move the global state
        model = Matcher(checkpoints.read_config(run / stored.MATCHING_WEIGHTS, MatchingWeights))
    checkpoints.load_into(model, run / stored.MATCHING_WEIGHTS)
    log = pd.read_csv(run / LOG)
    return TrainedMatching(model.eval(), index.load(run).vocabulary, log, run.result("matching"))


def _train(
    model: Matcher, dataset: Dataset, config: MatchingConfig, place: device.Device, state: Path, fingerprint: str
) -> pd.DataFrame:
    """The loop; what is random in a step follows from its number, so that a resumed training ends at the same weights.

    Args: state: file of what a killed training needs, written every SAVE_EVERY seconds; `fingerprint` says whose it is.
    """
    columns = ("step", "words", "sentence")
    if config.steps == 0:
        return pd.DataFrame(columns=columns)
    sampler = Sampler(dataset, config.caption_length, config.batch_size, config.seed)
    learned = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        learned, config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay, fused=True
    )
    warm = max(1, min(100, config.steps // 10))
    total = max(2, config.steps) + 1  # it divides by zero for a single step
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=total, pct_start=min(0.5, warm / config.steps)
    )
    pictures = _Pictures(model, dataset, config.batch_size, place)
    rows: list[tuple] = []
    parts_kept: dict[str, Any] = {"model": model, "optimiser": optimiser, "schedule": schedule}
    if (found := checkpoints.load_state(state, fingerprint)) is not None:
        for name, part in parts_kept.items():
            part.load_state_dict(found[name])
        rows = [tuple(row) for row in found["rows"]]
        print(f"[matching] continues after step {len(rows)}.")
    saved, first = time.perf_counter(), len(rows) + 1
    model.train()
    with tqdm(
        range(first, config.steps + 1), desc="matching", unit="step", initial=len(rows),
        total=config.steps,
    ) as progress:  # fmt: skip
        for step in progress:
            batch = sampler.pictures(step, place.device)
            tokens = _forget(batch.tokens, config.word_dropout, rng.torch_seed(config.seed, "forget", step))
            with place.autocast(), seeded(config.seed, "dropout", step):
                text = model.text(tokens, batch.lengths)
                encoded = pictures.encode(batch)
                parts = model.compare(*encoded, text, torch.from_numpy(batch.rows).to(place.device), config.word_pairs)
            optimiser.zero_grad(set_to_none=True)
            sum(parts).backward()
            size = nn.utils.clip_grad_norm_(learned, 1.0)
            if not torch.isfinite(size):
                raise UserError(
                    f"Matching diverged at step {step}: a loss is not finite. Lower its learning rate in chapter 4."
                )
            optimiser.step()
            schedule.step()
            rows.append((step, *(part.item() for part in parts)))
            if time.perf_counter() - saved > SAVE_EVERY and step < config.steps:
                kept = {name: part.state_dict() for name, part in parts_kept.items()}
                checkpoints.save_state(state, kept | {"rows": rows, "fingerprint": fingerprint})
                saved = time.perf_counter()
            if step % 20 == 0:
                progress.set_postfix(words=f"{rows[-1][1]:.3f}", sentence=f"{rows[-1][2]:.3f}")
    return pd.DataFrame(rows, columns=columns)


def _forget(tokens: Tensor, share: float, seed: int) -> Tensor:
    """Replace a share of the words by the unknown word, so that no single one is relied upon."""
    if not share:
        return tokens
    drawn = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(seed)).to(tokens.device) < share
    return torch.where(drawn & (tokens != Vocabulary.PADDING), torch.full_like(tokens, Vocabulary.UNKNOWN), tokens)


class _Pictures:
    """The image encoder's output for training batches; a frozen trunk runs once over each photograph and its mirror."""

    def __init__(self, model: Matcher, dataset: Dataset, batch_size: int, place: device.Device) -> None:
        self.image, self.kept = model.image, None
        if not model.image.trunk.frozen:
            return
        rows = dataset.rows("train")
        self.position = np.full(len(dataset), -1)
        self.position[rows] = np.arange(len(rows))
        self.kept = [([], []), ([], [])]
        for start in tqdm(range(0, len(rows), batch_size), desc="features", unit="batch", leave=False):
            images = to_tensor(dataset.cache.batch(rows[start : start + batch_size]), place.device)
            with torch.inference_mode(), place.autocast():
                for side, pictures in zip(self.kept, (images, images.flip(3)), strict=True):
                    for kept, part in zip(side, model.image.trunk(pictures), strict=True):
                        kept.append(part.half().cpu())
        self.kept = [tuple(map(torch.cat, side)) for side in self.kept]

    def encode(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Regions (B, D, N) and picture (B, D) of a batch."""
        if self.kept is None:
            return self.image(batch.images)
        where, home = torch.from_numpy(self.position[batch.rows]), batch.images.device
        mirrored = torch.from_numpy(batch.flipped)
        parts = []
        for plain, mirror in zip(*self.kept, strict=True):
            chosen = torch.where(mirrored.view(-1, *[1] * (plain.ndim - 1)), mirror[where], plain[where])
            parts.append(chosen.to(home))
        return self.image.project(*parts)
