"""DAMSM pre-training: a text encoder and a small image encoder learn which caption belongs to which photograph.

Source: AttnGAN (arXiv 1711.10485, section 3.2). TDANet takes over the text encoder, and uses both encoders as its
matching loss. Departure: the image encoder is a small network trained from scratch at 64 pixels, where AttnGAN uses
Inception-v3 at 299. Not here: TDANet's own training.
"""

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from nbsupport import rng
from nbsupport.config import Config, MatchingConfig, between
from nbsupport.data import index
from nbsupport.data.captions import Vocabulary
from nbsupport.data.index import Dataset
from nbsupport.errors import UserError
from nbsupport.runs import Run, atomic_path
from nbsupport.tdanet import losses
from nbsupport.tdanet.layers import seeded
from nbsupport.tdanet.text import Text, TextEncoder
from nbsupport.training import checkpoints, device
from nbsupport.training.batches import Sampler, to_tensor

WEIGHTS, LOG = "checkpoints/matching.safetensors", "matching_log.csv"
SIDE = 64  # pixels that the image encoder sees


class MatchingImageEncoder(nn.Module):
    """Six convolutions from 64x64 pixels to 8x8 regions and one vector for the picture.

    Args: channels: width at half resolution. text_channels: D, that of the words it is compared with.
    """

    def __init__(self, channels: int, text_channels: int) -> None:
        super().__init__()
        width = (3, channels, 2 * channels, 4 * channels)
        stages = []
        for before, after in itertools.pairwise(width):
            # Batch normalisation: photographs are told apart by their colours, which group normalisation takes away.
            stages += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.LeakyReLU(0.1)]
            stages += [nn.Conv2d(after, after, 3, padding=1), nn.BatchNorm2d(after), nn.LeakyReLU(0.1)]
        self.trunk = nn.Sequential(*stages)
        self.regions = nn.Conv2d(width[-1], text_channels, 1)
        self.picture = nn.Linear(width[-1], text_channels)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images: (B, 3, H, W) float in [-1, 1], any size. Returns regions (B, D, 64) and picture (B, D), float32."""
        if images.shape[-2:] != (SIDE, SIDE):
            images = F.interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=True)
        features = self.trunk(images)
        picture = self.picture(features.float().mean(dim=(2, 3)))
        return self.regions(features).flatten(2).float(), picture.float()


@dataclass(frozen=True)
class MatchingWeights(Config):
    """What it takes to build the two encoders again: the training's parameters and the size of the vocabulary."""

    text_channels: int = between(256, 16, 2048)
    word_channels: int = between(128, 8, 2048)
    recurrent: Literal["gru", "lstm"] = "gru"
    image_trunk: Literal["small", "efficientnet_lite0"] = "small"
    image_channels: int = between(32, 4, 512)
    caption_length: int = between(18, 4, 128)
    vocabulary_size: int = between(2, 2, 10_000_000)
    gamma_words: float = 4.0
    gamma_sentence: float = 5.0
    gamma_match: float = 10.0
    steps: int = between(0, 0, 10_000_000)


class Matcher(nn.Module):
    """Both encoders and the two scores between them."""

    def __init__(self, config: MatchingWeights) -> None:
        super().__init__()
        self.config = config
        self.text = TextEncoder(
            config.vocabulary_size, config.word_channels, config.text_channels, config.recurrent
        )
        self.image = MatchingImageEncoder(config.image_channels, config.text_channels)

    def loss(self, images: Tensor, text: Text, photographs: Tensor) -> tuple[Tensor, Tensor]:
        """Word loss and sentence loss of a batch: scalars >= 0, log(B) at chance.

        Args: images (B, 3, H, W) float in [-1, 1]; text: the encoded captions, B of them; photographs: (B,) int64,
            two entries of the same photograph are not held against each other.
        """
        regions, picture = self.image(images)
        c = self.config
        by_words = losses.word_scores(regions, text.words.float(), text.present, c.gamma_words, c.gamma_sentence)
        by_sentence = losses.sentence_scores(picture, text.sentence.float())
        return tuple(losses.matching_loss(s, photographs, c.gamma_match) for s in (by_words, by_sentence))


@dataclass(frozen=True)
class TrainedMatching:
    """The two encoders, their vocabulary, the losses as they fell, and the retrieval result."""

    model: Matcher
    vocabulary: Vocabulary
    log: pd.DataFrame
    result: dict


def fit(run: Run, config: MatchingConfig) -> TrainedMatching:
    """Train the encoders on the train split (stage ``matching``), or load them when that is done.

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
            model = place.place(Matcher(MatchingWeights(vocabulary_size=len(dataset.vocabulary), **sizes)))
        log = _train(model, dataset, config, place)
        with atomic_path(run / LOG) as temporary:
            log.to_csv(temporary, index=False)
        checkpoints.save_weights(run / WEIGHTS, model.state_dict(), model.config)
        run.write_result("matching", {"steps": config.steps, **r_precision(model, dataset, config.seed)})
        stage.outputs(WEIGHTS, "checkpoints/matching.json", LOG, "results/matching.json")
        stage.note(weights="trained" if config.steps else "untrained", device=str(place.device), precision=place.why)
    return load(run)


def load(run: Run) -> TrainedMatching:
    """The trained encoders of a run, in evaluation mode on the CPU; MissingStage when chapter 4 has not been run."""
    run.require("matching")
    with seeded(0):  # the first weights are overwritten, but drawing them must not move the global state
        model = Matcher(checkpoints.read_config(run / WEIGHTS, MatchingWeights))
    checkpoints.load_into(model, run / WEIGHTS)
    log = pd.read_csv(run / LOG)
    return TrainedMatching(model.eval(), index.load(run).vocabulary, log, run.result("matching"))


def _train(model: Matcher, dataset: Dataset, config: MatchingConfig, place: device.Device) -> pd.DataFrame:
    columns = ("step", "words", "sentence")
    if config.steps == 0:
        return pd.DataFrame(columns=columns)
    sampler = Sampler(dataset, config.caption_length, config.batch_size, config.seed)
    optimiser = torch.optim.AdamW(model.parameters(), config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    warm = max(1, min(100, config.steps // 10))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.steps + 1, pct_start=min(0.5, warm / config.steps)
    )
    rows = []
    with tqdm(range(1, config.steps + 1), desc="matching", unit="step", mininterval=1.0) as progress:
        for step in progress:
            batch = sampler.pictures(step, place.device)
            with place.autocast():
                text = model.text(batch.tokens, batch.lengths)
                parts = model.loss(batch.images, text, torch.from_numpy(batch.rows).to(place.device))
            optimiser.zero_grad(set_to_none=True)
            sum(parts).backward()
            size = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            if not torch.isfinite(size):
                raise UserError(
                    f"Matching diverged at step {step}: a loss is not finite. Lower its learning rate in chapter 4."
                )
            optimiser.step()
            schedule.step()
            rows.append((step, *(part.item() for part in parts)))
            if step % 20 == 0:
                progress.set_postfix(words=f"{rows[-1][1]:.3f}", sentence=f"{rows[-1][2]:.3f}")
    return pd.DataFrame(rows, columns=columns)


@torch.inference_mode()
def r_precision(model: Matcher, dataset: Dataset, seed: int, split: str = "test", wrong: int = 99) -> dict:
    """How often a photograph's own caption beats `wrong` captions of other photographs (AttnGAN's R-precision).

    Each photograph of the split is compared by the sentence score with one of its captions and with one caption of
    each of `wrong` others (fewer where the split is smaller).

    Returns:
        ``r_precision`` in [0, 1], ``chance``, ``photographs``, ``wrong``; r_precision is None without photographs.
    """
    rows = dataset.rows(split)
    rows = rows[[len(dataset.index["captions"].iloc[row]) > 0 for row in rows]] if len(rows) else rows
    wrong = min(wrong, len(rows) - 1)
    if wrong < 1:
        return {"r_precision": None, "chance": None, "photographs": len(rows), "wrong": max(0, wrong)}
    model, home = model.eval(), next(model.parameters()).device
    captions = [dataset.index["captions"].iloc[row] for row in rows]
    draws = [rng.generator(seed, "r-precision", int(row)) for row in rows]
    texts = [own[draw.integers(len(own))] for own, draw in zip(captions, draws, strict=True)]
    tokens, lengths = dataset.vocabulary.encode(texts, model.config.caption_length)
    sentences, pictures = [], []
    for start in range(0, len(rows), 128):
        part = slice(start, start + 128)
        sentences.append(model.text(torch.from_numpy(tokens[part]).to(home), torch.from_numpy(lengths[part])).sentence)
        pictures.append(model.image(to_tensor(dataset.cache.batch(rows[part]), home))[1])
    scores = losses.sentence_scores(torch.cat(pictures), torch.cat(sentences)).cpu().numpy()
    hits = []
    for number in range(len(rows)):
        others = np.delete(np.arange(len(rows)), number)
        others = rng.generator(seed, "wrong captions", int(rows[number])).choice(others, wrong, replace=False)
        hits.append(scores[number, number] > scores[number, others].max())
    return {
        "r_precision": float(np.mean(hits)),
        "chance": 1 / (wrong + 1),
        "photographs": len(rows),
        "wrong": wrong,
    }
