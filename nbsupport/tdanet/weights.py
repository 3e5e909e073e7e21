"""Trained weights on disk: those of a run and those that come with the package, of TDANet and of DAMSM's two encoders.

``<name>.safetensors`` holds the weights, ``<name>.json`` the architecture, the vocabulary and where it came from,
``<name>.md`` the card; ``matching/`` below holds the encoders. A run whose photographs are split as the run behind the
weights can use them without a leak: the split depends on the photographs and the seed alone. Words that both
vocabularies hold keep what was learnt of them. Not here: writing cards (``book.export``), detectors
(``detectors.packaged``).
"""

from pathlib import Path

import torch

from nbsupport.config import Config, TDANetConfig
from nbsupport.core import checkpoints, files
from nbsupport.core.errors import ConfigError, unknown
from nbsupport.core.rng import seeded
from nbsupport.data import index
from nbsupport.data.captions import Vocabulary
from nbsupport.runs import Run
from nbsupport.tdanet import damsm
from nbsupport.tdanet.model import TDANet
from nbsupport.tdanet.text import words_of

#: Where the package's weights lie.
FOLDER = Path(__file__).resolve().parents[1] / "pretrained"
#: Where a run keeps its own.
WEIGHTS, MATCHING_WEIGHTS = "checkpoints/tdanet.safetensors", "checkpoints/matching.safetensors"

#: What the photographs show, and so what weights trained on them can paint.
SUBJECTS = {"cub": "birds", "pets": "cats and dogs", "synthetic": "drawn birds", "folder": "what it was trained on"}

#: What may be done with the photographs that weights were trained on.
LICENCES = {
    "cub": "CUB-200-2011, whose photographs they were trained on, is for non-commercial research and education.",
    "pets": "The Oxford-IIIT Pet photographs are under CC BY-SA 4.0, their owners keep the copyright.",
    "synthetic": "The synthetic birds are drawn by this project.",
    "folder": "The photographs belong to whoever made the run.",
}


def load_run(run: Run) -> tuple[TDANet, Vocabulary]:
    """The trained network of a run (evaluation mode, on the CPU) and its vocabulary; MissingStage before chapter 4."""
    run.require("tdanet")
    with seeded(0):  # the first weights are overwritten, but drawing them must not move the global state
        model = TDANet(checkpoints.read_config(run / WEIGHTS, TDANetConfig))
    checkpoints.load_into(model, run / WEIGHTS)
    return model.eval(), index.load(run).vocabulary


def names() -> list[str]:
    """The names of the weights that came with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def load(name: str) -> tuple[TDANet, Vocabulary]:
    """The network (float32, evaluation mode, on the CPU) and the vocabulary it reads.

    Raises:
        ConfigError: there are no such weights.
    """
    if name not in names():
        raise ConfigError(unknown("pretrained network", name, names()))
    about = describe(name)
    with seeded(0):  # the first weights are overwritten, but drawing them must not move the global state
        model = TDANet(TDANetConfig.from_mapping(about["config"]))
    checkpoints.load_into(model, FOLDER / f"{name}.safetensors")
    return model.eval(), Vocabulary(about["vocabulary"])


def describe(name: str) -> dict:
    """What ``<name>.json`` says: config, vocabulary, results, provenance."""
    return files.read_json(FOLDER / f"{name}.json")


#: What shapes the weights, of TDANet and of the matching.
_SHAPE = (
    "preset", "base_channels", "max_channels", "latent_channels", "word_readers", "output_scales", "text_channels",
    "word_channels", "recurrent", "image_trunk", "image_channels",
)  # fmt: skip


def check_fits(name: str, stored: Config, wanted: Config, prefix: str = "") -> None:
    """Raise ConfigError, with what to change, where weights of the package are of another architecture than asked for.

    Args: stored, wanted: configurations of one class. prefix: of the chapter's parameters.
    """
    fields = [f for f in _SHAPE if getattr(stored, f, None) != getattr(wanted, f, None)]
    if fields:
        differing = ", ".join(f"{f} {getattr(stored, f)!r} (asked for: {getattr(wanted, f)!r})" for f in fields)
        raise ConfigError(
            f"The weights '{name}' are of another architecture: {differing}. Ask for theirs, or begin with random "
            f"numbers ({prefix}start_from: null on the command line, {prefix}start_from = None in the notebook)."
        )


def half(tensor: torch.Tensor) -> torch.Tensor:
    """Half precision for what is floating, clipped to its range; counters stay as they are."""
    if not tensor.is_floating_point():
        return tensor
    return tensor.clamp(-65504, 65504).half()


def matching_folder() -> Path:
    """Where the weights lie."""
    return FOLDER / "matching"


def matching_names() -> list[str]:
    """The names of the encoders that came with the package."""
    return sorted(path.stem for path in matching_folder().glob("*.safetensors"))


def load_matching(name: str) -> tuple[damsm.Matcher, Vocabulary]:
    """Both encoders (float32, evaluation mode, on the CPU) and the vocabulary of the text encoder.

    Raises:
        ConfigError: there are no such weights.
    """
    if name not in matching_names():
        raise ConfigError(unknown("pretrained matching", name, matching_names() or ["none yet"]))
    about = files.read_json(matching_folder() / f"{name}.json")
    with seeded(0):  # the first weights are overwritten, but drawing them must not move the global state
        model = damsm.Matcher(damsm.MatchingWeights.from_mapping(about["config"]))
    checkpoints.load_into(model, matching_folder() / f"{name}.safetensors")
    return model.eval(), Vocabulary(about["vocabulary"])


def start_matching(model: damsm.Matcher, name: str, vocabulary: Vocabulary) -> None:
    """Give an untrained matcher the weights of the package; words that those do not know begin as they were drawn.

    Raises:
        ConfigError: no such weights, or of another architecture.
    """
    other, words = load_matching(name)
    check_fits(name, other.config, model.config, "matching_")
    weights = other.state_dict()
    key = "text.embedding.weight"
    weights[key] = words_of(weights[key], words, model.text.embedding.weight, vocabulary)
    checkpoints.fill(model, weights, name)
