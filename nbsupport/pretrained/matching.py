"""The two encoders of chapter 4's matching that come with the package: text and picture, in half precision.

``matching/<name>.safetensors`` holds the weights, ``<name>.json`` their sizes, the vocabulary and the R-precision on
held-out photographs, ``<name>.md`` the model card. A training starts from them word by word: words that both
vocabularies hold keep what was learnt of them. Not here: the inpainter's weights (:mod:`nbsupport.pretrained`).
"""

from pathlib import Path

from nbsupport import pretrained, runs
from nbsupport.data.captions import Vocabulary
from nbsupport.errors import ConfigError, unknown
from nbsupport.runs import Run
from nbsupport.tdanet.layers import seeded
from nbsupport.tdanet.text import words_of
from nbsupport.training import checkpoints, matching

_CARD = """# Matching of captions and photographs, {name}

A text encoder and a picture encoder that tell which caption belongs to which photograph (DAMSM of AttnGAN, Xu et al.
2018, arXiv 1711.10485). Trained on the training split of `{dataset}` (split seed {seed}), {steps:,} steps. On
{photographs:,} held-out photographs the caption is found among {wrong} wrong ones in {r_precision:.1%} (chance
{chance:.0%}). Stored in half precision, {megabytes:.1f} MB.

**Licence.** The weights are under the licence of this repository. {data_licence}
**Use.** A start for `matching_start_from` in chapter 4, where captions are of the same kind; nothing else.
**Rebuild.** `{command}`, then `python -m nbsupport export --run RUN --name {name}`.
"""


def folder() -> Path:
    """Where the weights lie."""
    return pretrained.FOLDER / "matching"


def names() -> list[str]:
    """The names of the encoders that came with the package."""
    return sorted(path.stem for path in folder().glob("*.safetensors"))


def load(name: str) -> tuple[matching.Matcher, Vocabulary]:
    """Both encoders (float32, evaluation mode, on the CPU) and the vocabulary of the text encoder.

    Raises:
        ConfigError: there are no such weights.
    """
    if name not in names():
        raise ConfigError(unknown("pretrained matching", name, names() or ["none yet"]))
    about = runs.read_json(folder() / f"{name}.json")
    with seeded(0):  # the first weights are overwritten, but drawing them must not move the global state
        model = matching.Matcher(matching.MatchingWeights.from_mapping(about["config"]))
    checkpoints.load_into(model, folder() / f"{name}.safetensors")
    return model.eval(), Vocabulary(about["vocabulary"])


def export(run: Run, name: str, command: str, target: Path | None = None) -> Path:
    """Write a run's encoders in half precision, with their description and model card; returns the weights' path.

    Raises:
        MissingStage: the run has no trained matching.
    """
    target, trained = target or folder(), matching.load(run)
    path, about = target / f"{name}.safetensors", run.require("index")["config"]
    checkpoints.save_weights(path, {k: pretrained.half(v) for k, v in trained.model.state_dict().items()})
    facts = {"dataset": about["dataset"], "seed": about["seed"], "name": name, "command": command}
    held = {"config": trained.model.config.to_mapping(), "results": trained.result}
    runs.write_json(target / f"{name}.json", facts | held | {"vocabulary": list(trained.vocabulary.words)})
    size = {"megabytes": path.stat().st_size / 1e6, "data_licence": pretrained.LICENCES[about["dataset"]]}
    with runs.atomic_path(target / f"{name}.md") as temporary:
        temporary.write_text(_CARD.format(**trained.result | facts | size), "utf-8")
    return path


def start(model: matching.Matcher, name: str, vocabulary: Vocabulary) -> None:
    """Give an untrained matcher the weights of the package; words that those do not know begin as they were drawn.

    Raises:
        ConfigError: no such weights. UserError: they are of other sizes.
    """
    other, words = load(name)
    weights = other.state_dict()
    key = "text.embedding.weight"
    weights[key] = words_of(weights[key], words, model.text.embedding.weight, vocabulary)
    checkpoints.fill(model, weights, name)
