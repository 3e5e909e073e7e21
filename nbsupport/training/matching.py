"""DAMSM pre-training: a text encoder and a small image encoder learn which caption belongs to which photograph.

Source: AttnGAN (arXiv 1711.10485, section 3.2). TDANet takes over the text encoder, and uses both encoders as its
matching loss. Departure: AttnGAN's image encoder is Inception-v3 at 299 pixels; here it is EfficientNet-Lite0 with its
ImageNet weights (whose features stand still and are computed once for each photograph), or a small network trained from
scratch. Not here: TDANet's own training.
"""

import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from nbsupport import rng
from nbsupport.config import Config, MatchingConfig, between
from nbsupport.data import index
from nbsupport.data.captions import Vocabulary
from nbsupport.data.index import Dataset
from nbsupport.detectors import lite0
from nbsupport.errors import UserError
from nbsupport.runs import Run, atomic_path
from nbsupport.tdanet import losses
from nbsupport.tdanet.layers import seeded
from nbsupport.tdanet.text import Text, TextEncoder
from nbsupport.training import checkpoints, device, retrieval
from nbsupport.training.batches import Batch, Sampler, to_tensor

WEIGHTS, LOG = "checkpoints/matching.safetensors", "matching_log.csv"
STATE = "checkpoints/matching_state.pt"  # what a stopped training needs
SAVE_EVERY = 20.0  # seconds between the states that a killed training continues from


class SmallTrunk(nn.Module):
    """Six convolutions from 64x64 pixels to 8x8 regions; trained along.

    Args: channels: width at half resolution.
    """

    frozen = False

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = (3, channels, 2 * channels, 4 * channels)
        self.region_channels = self.summary_channels = width[-1]
        stages = []
        for before, after in itertools.pairwise(width):
            # Batch normalisation: photographs are told apart by their colours, which group normalisation takes away.
            stages += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.LeakyReLU(0.1)]
            stages += [nn.Conv2d(after, after, 3, padding=1), nn.BatchNorm2d(after), nn.LeakyReLU(0.1)]
        self.layers = nn.Sequential(*stages)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images: (B, 3, H, W) float in [-1, 1]. Returns (B, C, 8, 8) and the mean over the regions (B, C) float32."""
        features = self.layers(_resized(images, 64))
        return features, features.float().mean(dim=(2, 3))


class LiteTrunk(nn.Module):
    """EfficientNet-Lite0 with ImageNet weights, as it is: regions from its fifth stage, a summary of several stages.

    The summary is the mean of the last features and, since captions speak of colours and places, which the last
    features forget, the means of four quarters and the deviation of each channel of the first, second, third and fifth
    stage.

    Raises UserError when the weights are not installed.
    """

    frozen = True
    SIDE = 160  # pixels
    STAGES = (0, 1, 2, 4)
    WIDTHS = (16, 24, 40, 112)

    def __init__(self, imagenet: bool) -> None:
        super().__init__()
        self.network = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
        if imagenet:
            weights = lite0.load()
            if weights is None:
                raise UserError(f"The image trunk efficientnet_lite0 needs its ImageNet weights:  {lite0.INSTALL}")
            self.network.load_state_dict({k: v for k, v in weights.items() if not k.startswith("classifier")})
        self.requires_grad_(False)
        self.region_channels, self.summary_channels = 112, 5 * sum(self.WIDTHS) + 1280
        self.train(False)

    def train(self, mode: bool = True) -> "LiteTrunk":
        """Stays in evaluation mode: its batch statistics are ImageNet's."""
        return super().train(False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images: (B, 3, H, W) float in [-1, 1]. Returns (B, 112, 10, 10) and (B, 2240) float32."""
        net = self.network
        features = net.bn1(net.conv_stem(_resized(images, self.SIDE)))
        summary = []
        for number, stage in enumerate(net.blocks):
            features = stage(features)
            if number in self.STAGES:
                quarters = F.adaptive_avg_pool2d(features, 2).flatten(1)
                summary += [quarters.float(), features.float().std(dim=(2, 3))]
            if number == self.STAGES[-1]:
                regions = features
        summary.append(net.bn2(net.conv_head(features)).float().mean(dim=(2, 3)))
        return regions, torch.cat(summary, dim=1)


def _resized(images: Tensor, side: int) -> Tensor:
    if images.shape[-2:] == (side, side):
        return images
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)


class MatchingImageEncoder(nn.Module):
    """A trunk, and what turns its features into the text's space: regions and one vector for the picture.

    Args: trunk; text_channels: D, that of the words it is compared with; dropout: of the trunk's features.
    """

    def __init__(self, trunk: nn.Module, text_channels: int, dropout: float) -> None:
        super().__init__()
        self.trunk, self.dropout = trunk, nn.Dropout(dropout)
        frozen = trunk.frozen  # features of a network that was trained for something else: brought to one scale
        self.region_norm = nn.BatchNorm2d(trunk.region_channels, affine=False) if frozen else nn.Identity()
        self.summary_norm = nn.BatchNorm1d(trunk.summary_channels, affine=False) if frozen else nn.Identity()
        self.regions = nn.Conv2d(trunk.region_channels, text_channels, 1)
        self.picture = nn.Linear(trunk.summary_channels, text_channels)

    def project(self, features: Tensor, summary: Tensor) -> tuple[Tensor, Tensor]:
        """From a trunk's (B, C, h, w) and (B, K) to regions (B, D, h w) and picture (B, D), float32."""
        regions = self.regions(self.dropout(self.region_norm(features.float())))
        return regions.flatten(2).float(), self.picture(self.dropout(self.summary_norm(summary.float()))).float()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images: (B, 3, H, W) float in [-1, 1], any size. Returns regions (B, D, N) and picture (B, D), float32."""
        return self.project(*self.trunk(images))


@dataclass(frozen=True)
class MatchingWeights(Config):
    """What it takes to build the two encoders again: the training's parameters and the size of the vocabulary."""

    text_channels: int = between(256, 16, 2048)
    word_channels: int = between(128, 8, 2048)
    recurrent: Literal["gru", "lstm"] = "gru"
    image_trunk: Literal["small", "efficientnet_lite0"] = "small"
    image_channels: int = between(32, 4, 512)
    dropout: float = between(0.0, 0.0, 0.9)
    caption_length: int = between(18, 4, 128)
    vocabulary_size: int = between(2, 2, 10_000_000)
    gamma_words: float = 4.0
    gamma_sentence: float = 5.0
    gamma_match: float = 10.0
    steps: int = between(0, 0, 10_000_000)


class Matcher(nn.Module):
    """Both encoders and the two scores between them.

    Args: imagenet: give an EfficientNet trunk its ImageNet weights, for a training; else they come with a checkpoint.
    """

    def __init__(self, config: MatchingWeights, imagenet: bool = False) -> None:
        super().__init__()
        self.config = config
        self.text = TextEncoder(config.vocabulary_size, config.word_channels, config.text_channels, config.recurrent)
        lite = config.image_trunk == "efficientnet_lite0"
        trunk = LiteTrunk(imagenet) if lite else SmallTrunk(config.image_channels)
        self.image = MatchingImageEncoder(trunk, config.text_channels, config.dropout)

    def loss(self, images: Tensor, text: Text, photographs: Tensor) -> tuple[Tensor, Tensor]:
        """Word loss and sentence loss of a batch: scalars >= 0, log(B) at chance.

        Args: images (B, 3, H, W) float in [-1, 1]; text: the encoded captions, B of them; photographs: (B,) int64,
            two entries of the same photograph are not held against each other.
        """
        return self.compare(*self.image(images), text, photographs)

    def compare(
        self, regions: Tensor, picture: Tensor, text: Text, photographs: Tensor, word_pairs: int = 0
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`loss`, from the image encoder's output: regions (B, D, N), picture (B, D).

        The word loss costs the square of the batch; `word_pairs` > 0 takes it over that many pairs from the start.
        """
        c, some = self.config, slice(word_pairs or None)
        words, present = text.words[some].float(), text.present[some]
        by_words = losses.word_scores(regions[some], words, present, c.gamma_words, c.gamma_sentence)
        by_sentence = losses.sentence_scores(picture, text.sentence.float())
        return tuple(losses.matching_loss(s, photographs[: len(s)], c.gamma_match) for s in (by_words, by_sentence))


@dataclass(frozen=True)
class TrainedMatching:
    """The two encoders, their vocabulary, the losses as they fell, and the retrieval result."""

    model: Matcher
    vocabulary: Vocabulary
    log: pd.DataFrame
    result: dict


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
            from nbsupport.pretrained import matching as packaged  # which imports this module

            packaged.start(model, config.start_from, dataset.vocabulary)
        log = _train(model, dataset, config, place, run / STATE, stage.fingerprint)
        with atomic_path(run / LOG) as temporary:
            log.to_csv(temporary, index=False)
        checkpoints.save_weights(run / WEIGHTS, model.state_dict(), model.config)
        run.write_result("matching", {"steps": config.steps, **retrieval.r_precision(model, dataset, config.seed)})
        stage.outputs(WEIGHTS, "checkpoints/matching.json", LOG, "results/matching.json")
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
        model = Matcher(checkpoints.read_config(run / WEIGHTS, MatchingWeights))
    checkpoints.load_into(model, run / WEIGHTS)
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
    rows, parts_kept = [], {"model": model, "optimiser": optimiser, "schedule": schedule}
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
