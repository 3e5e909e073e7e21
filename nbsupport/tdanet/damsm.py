"""DAMSM: a text encoder and an image encoder whose features of a caption and its photograph lie together.

Source: AttnGAN (arXiv 1711.10485, section 3.2). TDANet takes over the text encoder, and uses both encoders as its
matching loss. Departure: AttnGAN's image encoder is Inception-v3 at 299 pixels; here it is EfficientNet-Lite0 with its
ImageNet weights (whose features stand still and are computed once for each photograph), or a small network trained from
scratch. Not here: their training (``training.matching``).
"""

import itertools
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nbsupport.config import Config, between
from nbsupport.core import lite0
from nbsupport.core.errors import UserError
from nbsupport.data.captions import Vocabulary
from nbsupport.tdanet import losses
from nbsupport.tdanet.text import Text, TextEncoder


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
        regions, whole = self.image(images)
        return self.compare(regions, whole, text, photographs)

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
