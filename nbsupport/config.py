"""The parameters of every stage, as frozen dataclasses, and the profile files that set them.

A stage reads its parameters from one class here and from nowhere else. Building a class checks types and ranges, so
that a typing error in a notebook's ``parameters`` cell fails at once and says which name was meant.
Not here: what a parameter does to the pictures; that stands where it is used.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from nbsupport.core.errors import ConfigError, nearest, unknown

MaskKind = Literal["centre", "rectangles", "strokes", "object", "part"]
MASK_KINDS: tuple[str, ...] = typing.get_args(MaskKind)
EnsembleName = Literal["soft_vote", "weighted_vote", "stack_logistic", "stack_forest", "stack_boosting", "stack_svm"]
ENSEMBLES: tuple[str, ...] = typing.get_args(EnsembleName)
SOFT_VOTE = ENSEMBLES[0]  # the mean of the probabilities, which needs no fit
#: Words of a caption that the networks read, unless another number is asked for; chapter 1 counts what that cuts off.
CAPTION_LENGTH = 24
CaptionKind = Literal["matched", "mismatched", "empty"]
#: The arms of a paired set; what each holds, and which real arm is whose partner: ``pairs.planning``.
FakeArm = Literal["regenerated", "spliced", "spliced_reencoded"]
Arm = Literal["original", "reencoded", "reconstructed", "regenerated", "spliced", "spliced_reencoded"]
#: What training pictures can meet, and what test pictures are sent through: ``detectors.corruptions``.
Augmentation = Literal["jpeg", "webp", "resize", "blur", "noise", "crop"]
Condition = Literal[
    "jpeg 95", "jpeg 80", "jpeg 60", "jpeg 30", "webp 80", "webp 60", "resize 0.5", "resize 0.75", "resize 1.5",
    "blur 1", "noise 5", "crop 0.85",
]  # fmt: skip
Transfer = Literal["full", "gradual", "head", "full slower below", "gradual slower below", "head slower below"]
DATASETS: tuple[str, ...] = ("synthetic", "cub", "pets", "folder")
SPLITS: tuple[str, ...] = ("train", "validation", "test")


_WORDS = {int: "a whole number (int)", float: "a number (float)", bool: "True or False (bool)", str: "text (str)"}


def _matches(value: Any, hint: Any) -> bool:
    """Whether `value` is of the annotated type; an int passes for a float, a bool never passes for an int."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_matches(value, option) for option in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if arguments[-1] is Ellipsis:
            return all(_matches(item, arguments[0]) for item in value)
        return len(value) == len(arguments) and all(map(_matches, value, arguments))
    if origin is dict:
        return isinstance(value, dict) and all(
            _matches(key, arguments[0]) and _matches(item, arguments[1]) for key, item in value.items()
        )
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint if isinstance(hint, type) else object)


def _unknown_items(value: Any, hint: Any) -> str:
    """What is wrong with a list of names, of which there is a fixed choice: the first unknown one and the nearest."""
    if typing.get_origin(hint) not in (tuple, dict) or not isinstance(value, tuple | dict):
        return ""
    choices = typing.get_args(typing.get_args(hint)[0])
    for item in value:
        if choices and isinstance(item, str) and item not in choices:
            return f"cannot hold {item!r}. {nearest(item, choices)}"
    return ""


def _readable(hint: Any) -> str:
    """A type in words, e.g. ``a list of a whole number (int)``."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("None (null)" if option is type(None) else _readable(option) for option in arguments)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, arguments))
    if origin is tuple:
        return f"a list, each item {_readable(arguments[0])}"
    if origin is dict:
        return f"a mapping of {_readable(arguments[0])} to {_readable(arguments[1])}"
    return _WORDS.get(hint, getattr(hint, "__name__", str(hint)))


@dataclass(frozen=True)
class Config:
    """Base of all stage configurations: checks types on construction and builds itself from plain mappings."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):  # YAML and papermill know lists only
                value = tuple(value)
                object.__setattr__(self, field.name, value)
            if problem := self.problem(field.name, value):
                raise ConfigError(f"{type(self).__name__}.{field.name} {problem}.")
        if problem := self.contradiction():
            raise ConfigError(f"{type(self).__name__}: {problem}.")

    @classmethod
    def problem(cls, name: str, value: Any) -> str:
        """What is wrong with a value for the field `name`, as the end of a sentence; empty if nothing is."""
        hint, value = typing.get_type_hints(cls)[name], tuple(value) if isinstance(value, list) else value
        about = cls.__dataclass_fields__[name].metadata
        limits = about.get("between")
        if wrong := _unknown_items(value, hint):
            return wrong
        if not _matches(value, hint):
            allowed = f" from {limits[0]} to {limits[1]}" if limits else ""
            return f"must be {_readable(hint)}{allowed}, got {value!r}"
        if limits and value is not None:
            for item in value if isinstance(value, tuple) else (value,):
                if not limits[0] <= item <= limits[1]:
                    return f"must lie between {limits[0]} and {limits[1]}, got {item!r}"
        if "repeats" in about and not value:
            return "must not be empty"
        if about.get("repeats") is False and len(set(value)) < len(value):
            return f"must name nothing twice, got {value!r}"
        if about.get("shares") and not (value and min(value.values()) > 0):
            return f"must give at least one of them a share above 0, and none less, got {value!r}"
        if (wanted := about.get("form")) and not re.fullmatch(wanted[0], value):
            return f"must be {wanted[1]}, got {value!r}"
        return ""

    def contradiction(self) -> str:
        """What two parameters, each of them possible, have against each other, as a sentence; empty if nothing."""
        low, high = getattr(self, "coverage_low", 0.0), getattr(self, "coverage_high", 1.0)
        return f"coverage_low ({low}) must not lie above coverage_high ({high})" if low > high else ""

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Build the configuration from a mapping; an unknown key is an error that names the nearest valid one."""
        names = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in names:
                raise ConfigError(unknown(f"{cls.__name__} parameter", str(key), names))
        return cls(**values)

    def to_mapping(self) -> dict[str, Any]:
        """Return the parameters as plain JSON-ready values."""
        return dataclasses.asdict(self)


def between(default: Any, low: float, high: float) -> Any:
    """A dataclass field with a default and an inclusive range, checked on construction (each item of a tuple)."""
    return dataclasses.field(default=default, metadata={"between": (low, high)})


def some(default: Any, repeats: bool = False) -> Any:
    """A dataclass field for a tuple that must hold something, and nothing twice unless `repeats`."""
    return dataclasses.field(default=default, metadata={"repeats": repeats})


def shares(names: tuple[str, ...]) -> Any:
    """A dataclass field for a mapping of names to how often each comes, by default all equally often."""
    return dataclasses.field(default_factory=lambda: dict.fromkeys(names, 1.0), metadata={"shares": True})


def codec(default: str) -> Any:
    """A dataclass field that names how a picture is encoded."""
    form = r"png|(jpeg|webp):([1-9]\d?|100)", "png, or jpeg:90 or webp:80 with a quality from 1 to 100"
    return dataclasses.field(default=default, metadata={"form": form})


@dataclass(frozen=True)
class DataConfig(Config):
    """Chapter 1: which photographs, at what size, and how they are split.

    `count` is the number of synthetic birds to draw, or for real photographs the largest number to use (0: all of
    them). `fit` says how a photograph becomes a square: ``crop`` takes the largest square around the middle of the
    box (or of the picture), ``box`` the box itself, stretched, ``stretch`` the whole picture.
    """

    dataset: Literal["synthetic", "cub", "pets", "folder"] = "synthetic"
    data: str | None = None
    count: int = between(2400, 0, 10_000_000)  # birds to draw; photographs at most, 0: all
    image_size: int = between(64, 16, 1024)
    fit: Literal["crop", "box", "stretch"] = "crop"
    captions: str | None = None  # a caption file or folder of its own; None: what lies beside the photographs
    validation_fraction: float = between(0.15, 0.01, 0.45)
    test_fraction: float = between(0.25, 0.01, 0.45)
    near_duplicate_bits: int = between(2, 0, 32)  # perceptual hashes this close (of 64 bits) are one group
    max_megapixels: int = between(120, 1, 178)  # larger photographs are left out; Pillow decodes none above 178
    seed: int = between(0, 0, 2**31 - 1)


@dataclass(frozen=True)
class MaskConfig(Config):
    """Chapter 2: the fixed set of holes, one of each kind for each photograph. Coverages are fractions of the area."""

    kinds: tuple[MaskKind, ...] = some(MASK_KINDS)
    coverage_low: float = between(0.04, 0.001, 0.9)
    coverage_high: float = between(0.35, 0.001, 0.9)
    seed: int = between(0, 0, 2**31 - 1)


@dataclass(frozen=True)
class TextConfig(Config):
    """The architecture of the text encoder, which the matching trains and TDANet reads."""

    text_channels: int = between(256, 16, 2048)  # word and sentence features; half in each direction of the GRU
    word_channels: int = between(128, 8, 2048)  # word embedding
    recurrent: Literal["gru", "lstm"] = "gru"
    caption_length: int = between(CAPTION_LENGTH, 4, 128)  # tokens; longer captions are cut


@dataclass(frozen=True)
class MatchingConfig(TextConfig):
    """Chapter 4, first half: pre-training of the text and image encoders (DAMSM of AttnGAN)."""

    steps: int = between(60, 0, 10_000_000)  # 0: leave the encoders untrained
    start_from: str | None = "synthetic64"  # encoders of the package to start from (tdanet.weights)
    batch_size: int = between(32, 2, 4096)
    learning_rate: float = between(1e-3, 1e-7, 1.0)
    image_trunk: Literal["small", "efficientnet_lite0"] = "small"  # trained from scratch, or frozen ImageNet features
    image_channels: int = between(16, 4, 512)  # width of the small image trunk
    dropout: float = between(0.0, 0.0, 0.9)  # of the trunk's features
    word_dropout: float = between(0.0, 0.0, 0.9)  # share of the words that training replaces by the unknown word
    word_pairs: int = between(0, 0, 4096)  # pairs of the batch that the word loss compares, 0: all
    weight_decay: float = between(0.01, 0.0, 1.0)
    gamma_words: float = 4.0  # gamma 1 of AttnGAN: sharpness of the attention over regions
    gamma_sentence: float = 5.0  # gamma 2: how much the best-found words dominate a caption's score
    gamma_match: float = 10.0  # gamma 3: sharpness of the choice among a batch
    seed: int = between(0, 0, 2**31 - 1)


def halvings(image_size: int) -> int:
    """How often TDANet's encoder halves the picture: v_h is 8x8 at 64 and at 128 pixels, 16x16 at 256."""
    return 3 if image_size < 128 else 4


@dataclass(frozen=True)
class NetworkConfig(Config):
    """What a training chooses of TDANet's architecture. Sizes are channels unless said otherwise.

    `preset` ``repaired`` shows the encoder the mask, halves in the first convolution, normalises once in a layer, hands
    the encoder's finer features to the generator, enlarges without transposed convolutions, lets the caption steer
    each layer and each position read the words once more, and scores words by cosine; ``faithful`` does none of it.
    """

    preset: Literal["repaired", "faithful"] = "repaired"
    base_channels: int = between(16, 4, 256)  # "ngf" of the released code
    latent_channels: int = between(32, 4, 1024)  # "z" of the paper
    word_readers: int = between(3, 1, 4)  # layers of the generator after which each position reads the words once more
    negate: bool = True  # False (an ablation): the inpainting path keeps the words that the visible part *does* explain
    max_pool: bool = True  # False (an ablation): words are averaged over the positions


@dataclass(frozen=True)
class TDANetConfig(NetworkConfig, TextConfig):
    """The whole architecture of TDANet (chapter 3): what belongs to its weights."""

    image_size: int = between(64, 32, 512)
    max_channels: int = between(256, 8, 2048)
    vocabulary_size: int = between(5000, 2, 10_000_000)
    output_scales: int = between(4, 1, 6)
    latent: bool = True  # False: the mean of the distribution takes the sample's place, so that one hole has one fill


@dataclass(frozen=True)
class TrainingConfig(NetworkConfig):
    """Chapter 4, second half: TDANet's training."""

    steps: int = between(260, 1, 100_000_000)
    batch_size: int = between(16, 1, 4096)
    start_from: str | None = "synthetic64"  # an earlier training: a file or a name of tdanet.weights; None: random
    learning_rate: float = between(1e-3, 1e-8, 1.0)
    discriminator_learning_rate: float = between(2e-4, 1e-8, 1.0)
    warmup_steps: int = between(100, 1, 1_000_000)  # at most a tenth of the steps
    clip_gradient: float = between(10.0, 1e-3, 1e6)  # largest norm of a gradient
    momentum: float = between(0.9, 0.0, 0.999)  # of the network's Adam (its first beta); 0.5 is usual with a GAN
    ema_decay: float = between(0.995, 0.0, 0.99999)  # of the moving average of the weights, which is what is kept
    patience: int = between(0, 0, 10_000)  # validations without improvement before stopping; 0: run to the end
    weight_l1: float = between(20.0, 0.0, 1e4)
    hole_weight: float = between(0.85, 0.0, 1.0)  # share of the L1 loss that the hole gets; 0: plain L1
    weight_kl: float = between(1.0, 0.0, 1e4)
    weight_adversarial: float = between(0.1, 0.0, 1e4)
    discriminator: Literal["paths", "texture"] = "paths"  # one for each path (paper), or one of the spliced picture
    discriminator_alone: int = between(0, 0, 1_000_000)  # first steps, in which the discriminator alone is trained
    weight_r1: float = between(0.0, 0.0, 1e4)  # penalty on the texture discriminator's gradient at photographs
    weight_perceptual: float = between(0.0, 0.0, 1e4)  # ST-LPIPS (AlexNet) of the spliced picture
    weight_matching: float = between(0.1, 0.0, 1e4)
    matching_every: int = between(4, 1, 1000)  # the matching loss in every n-th step, with n times its weight
    auxiliary_share: float = between(0.125, 0.0, 1.0)  # of each batch takes the auxiliary path; 0: none, and no latent
    caption_dropout: float = between(0.1, 0.0, 1.0)  # share of the pictures without their caption: `caption_strength`
    named_parts: float = between(0.3, 0.0, 1.0)  # synthetic birds alone: hide a whole part that the caption names
    train_text: bool = False  # let the inpainting losses change the pre-trained text encoder
    mask_shares: dict[MaskKind, float] = shares(MASK_KINDS)  # kinds of hole, and how often each comes
    coverage_low: float = between(0.04, 0.001, 0.9)
    coverage_high: float = between(0.35, 0.001, 0.9)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    checkpoint_every: int = between(300, 1, 10_000_000)
    validate_every: int = between(52, 1, 10_000_000)
    sample_every: int = between(52, 0, 10_000_000)  # grids of samples; 0: none
    seed: int = between(0, 0, 2**31 - 1)

    def contradiction(self) -> str:
        """As every configuration's, and a discriminator that nobody trains, or that the network never meets."""
        if self.discriminator == "texture" and not self.weight_adversarial:
            return "discriminator 'texture' needs a weight_adversarial above 0"
        if self.discriminator_alone >= self.steps:
            return f"discriminator_alone ({self.discriminator_alone}) must leave some of the {self.steps} steps"
        return super().contradiction()


@dataclass(frozen=True)
class QualityConfig(Config):
    """Chapter 4, last part: how the trained network is judged."""

    judged: int = between(200, 0, 10_000_000)  # photographs of the test split, 0: all
    perceptual: Literal["auto", "none", "st_lpips_alex", "st_lpips_vgg", "lpips_alex"] = "st_lpips_alex"
    distances: bool = False  # FID and KID: minutes
    features: Literal["auto", "inception", "efficientnet_lite0"] = "auto"  # for them; auto: the first that can be had
    diverse: int = between(20, 1, 10_000_000)  # photographs that are filled several times
    samples: int = between(5, 2, 1000)
    seed: int = between(0, 0, 2**31 - 1)


@dataclass(frozen=True)
class AlignmentConfig(Config):
    """Chapter 5: whether the trained network follows its caption."""

    judged: int = between(200, 0, 10_000_000)  # photographs of the test split, 0: all; as in chapter 4
    attribute_birds: int = between(40, 1, 10_000_000)  # synthetic birds whose parts are hidden one by one
    recoloured_part: str = "wing"
    caption_strengths: tuple[float, ...] = between((1.0, 1.5, 2.0, 3.0), 0.0, 100.0)  # 1: the network as it is
    own_captions: tuple[str, ...] = ()  # for one hole in a photograph; empty: made from its own caption
    seed: int = between(0, 0, 2**31 - 1)


@dataclass(frozen=True)
class PairsConfig(Config):
    """Chapter 6: which inpainters fill which holes of which photographs, into which arms and files."""

    inpainters: tuple[str, ...] = some(("tdanet", "telea"))
    kinds: tuple[MaskKind, ...] = some(MASK_KINDS)
    kinds_each: int = between(1, 0, 100)  # holes of each photograph: this many of the kinds, 0: all of them
    coverage_low: float = between(0.0, 0.0, 1.0)  # holes below and above are passed over
    coverage_high: float = between(1.0, 0.0, 1.0)
    caption_kinds: tuple[CaptionKind, ...] = some(("matched",))
    samples: int = between(1, 1, 10_000)  # fills of each hole and caption, each from another latent
    arms: tuple[Arm, ...] = some(typing.get_args(Arm))
    count: int = between(640, 0, 100_000_000)  # photographs to use, 0: all
    encoding: str = codec("png")  # of every file: png, jpeg:QUALITY or webp:QUALITY
    reencode: str = codec("jpeg:85")  # what the reencoded arms went through before that
    shard_size: int = between(64, 1, 1_000_000)  # photographs in a shard, the unit of work and of resuming
    batch_size: int = between(32, 1, 4096)
    seed: int = between(0, 0, 2**31 - 1)


#: What both members of a training pair meet by default; all that there are: ``detectors.corruptions.AUGMENTATIONS``.
AUGMENT: tuple[Augmentation, ...] = ("jpeg", "webp", "resize", "blur")


#: Fields of :class:`PairTrainingConfig` in which the search and the studies do as the detectors do.
SHARED_TRAINING = ("batch_size", "augment", "augment_share", "fake_arms", "inpainters", "precision")


@dataclass(frozen=True)
class PairTrainingConfig(Config):
    """What every training of a detector has in common, in chapters 7 and 8."""

    train_count: int = between(128, 0, 10_000_000)  # photographs to train on, 0: all of the training split
    epochs: int = between(2, 1, 10_000)
    batch_size: int = between(32, 4, 4096)  # pictures: half of them photographs, half their inpainted twins
    learning_rate: float = between(3e-3, 1e-8, 1.0)
    augment: tuple[Augmentation, ...] = AUGMENT  # degradations that both members of a pair meet, one of them at a time
    augment_share: float = between(0.5, 0.0, 1.0)  # share of the pairs that meet one
    fake_arms: tuple[FakeArm, ...] = some(("spliced", "regenerated"))
    inpainters: tuple[str, ...] = ("tdanet",)  # learn from the fakes of these, and judge them; empty: of all
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


@dataclass(frozen=True)
class DetectorConfig(PairTrainingConfig):
    """Chapter 7: the classifiers and their common training budget.

    `epochs` are passes over the photographs; in each, a photograph appears once as it is and once inpainted.
    """

    names: tuple[str, ...] = ("resnet34", "efficientnet_lite0", "residual_net", "searched", "local_sharpness")
    weights: str = "default"  # none, imagenet, the path of a weights file, or default: each detector's own choice
    dense_stem: bool = False  # take one halving of the resolution out of the stem: finer traces, four times the time
    train_count: int = between(256, 0, 10_000_000)
    epochs: int = between(3, 1, 10_000)
    learning_rate: float = between(1e-3, 1e-8, 1.0)
    transfer: Literal["full", "gradual", "head"] = "full"  # what is trained: all, from the head down, or the head
    layer_decay: float = between(1.0, 0.01, 1.0)  # each group of layers learns so much slower than the one above it
    seeds: tuple[int, ...] = between((0,), 0, 2**31 - 1)


@dataclass(frozen=True)
class SearchConfig(PairTrainingConfig):
    """Chapter 7: the search for a network of our own. Each trial trains one; the weaker ones are given up early."""

    trials: int = between(4, 1, 100_000)
    max_mega_macs: float = between(100.0, 1.0, 1e6)  # dearer networks are not trained (ResNet34 at 64 px: 300)
    seed: int = between(0, 0, 2**31 - 1)


@dataclass(frozen=True)
class StudyConfig(PairTrainingConfig):
    """Chapter 8: one detector trained again and again, with one thing changed each time."""

    detector: str = "residual_net"
    sizes: tuple[int, ...] = (40, 100, 256)  # photographs to train on, for the curve
    transfers: tuple[Transfer, ...] = ()
    matrix: bool = True  # train on each inpainter of the set by itself, without and with `augment`
    conditions: tuple[Condition, ...] = ("jpeg 60",)  # of the matrix, beside clean pictures
    seeds: tuple[int, ...] = between((0,), 0, 2**31 - 1)


@dataclass(frozen=True)
class RobustnessConfig(Config):
    """Chapter 8: what the test pictures go through before they are judged once more."""

    conditions: tuple[Condition, ...] = ("jpeg 80", "jpeg 60", "webp 60", "resize 0.5", "blur 1")
    count: int = between(60, 0, 10_000_000)  # test photographs, 0: all
    seed: int = between(0, 0, 2**31 - 1)


@dataclass(frozen=True)
class EnsembleConfig(Config):
    """Chapter 9: which ensembles are fitted, and the intervals of what they add."""

    names: tuple[EnsembleName, ...] = ENSEMBLES
    folds: int = between(5, 2, 100)  # by group, for the ensembles' own validation answers
    weight_draws: int = between(100, 10, 100_000)  # fits to drawn groups, for the spread of the weights
    draws: int = between(1000, 10, 1_000_000)  # of the bootstrap over groups
    confidence: float = between(0.95, 0.5, 0.999)
    seed: int = between(0, 0, 2**31 - 1)


@dataclass(frozen=True)
class EvaluationConfig(Config):
    """Chapters 7 to 10: intervals by bootstrap over groups."""

    draws: int = between(2000, 10, 1_000_000)
    confidence: float = between(0.95, 0.5, 0.999)
    seed: int = between(0, 0, 2**31 - 1)


@dataclass(frozen=True)
class SegmentationConfig(Config):
    """Chapter 10: the small network that is shown the true holes in training, as the upper reference for heat maps."""

    steps: int = between(200, 1, 10_000_000)
    batch_size: int = between(24, 2, 4096)
    learning_rate: float = between(4e-3, 1e-8, 1.0)
    channels: int = between(12, 2, 512)  # width at full resolution
    validate_every: int = between(60, 1, 10_000_000)
    fake_arms: tuple[FakeArm, ...] = some(("spliced", "regenerated"))
    seed: int = between(0, 0, 2**31 - 1)


@dataclass(frozen=True)
class LocalizationConfig(EvaluationConfig):
    """Chapter 10: whose heat maps are held against the true holes, and on how many photographs."""

    count: int = between(60, 0, 10_000_000)  # test photographs, 0: all
    validation: int = between(24, 0, 10_000_000)  # photographs on which the maps' thresholds are chosen, 0: all
    arms: tuple[FakeArm, ...] = some(("spliced", "regenerated"))
    ring: float = between(0.06, 0.005, 0.5)  # width of the ring around a hole, as a share of the picture's side


@dataclass(frozen=True)
class ErrorsConfig(EvaluationConfig):
    """Chapter 10: what wrong answers have in common, and at which size of hole detection becomes good enough."""

    confident: float = between(0.75, 0.5, 0.999)  # a wrong answer is confident from this distance from the truth
    depth: int = between(2, 1, 5)  # questions that describe a cluster at most
    least: int = between(6, 2, 10_000)  # pictures in a cluster at least
    target: float = between(0.75, 0.5, 0.999)  # the AUROC whose coverage is looked for
