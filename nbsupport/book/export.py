"""Exports of a run: weights for the package with their model cards, and the numbers that are kept with the book.

Not here: detectors (``detectors.packaged``), and loading weights (``tdanet.weights``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from nbsupport import runs
from nbsupport.config import TDANetConfig
from nbsupport.core import checkpoints, files
from nbsupport.core.errors import UserError
from nbsupport.runs import Run
from nbsupport.stats.intervals import format_interval
from nbsupport.tdanet.weights import FOLDER, LICENCES, SUBJECTS, half

if TYPE_CHECKING:
    from nbsupport.data.index import Dataset

from nbsupport.tdanet import weights
from nbsupport.tdanet.weights import matching_folder as folder
from nbsupport.training import matching

_MATCHING_CARD = """# Matching of captions and photographs, {name}

A text encoder and a picture encoder that tell which caption belongs to which photograph (DAMSM of AttnGAN, Xu et al.
2018, arXiv 1711.10485). Trained on the training split of `{dataset}` (split seed {seed}), {steps:,} steps. On
{photographs:,} held-out photographs the caption is found among {wrong} wrong ones in {r_precision:.1%} (chance
{chance:.0%}). Stored in half precision, {megabytes:.1f} MB.

**Licence.** The weights are under the licence of this repository. {data_licence}
**Use.** A start for `matching_start_from` in chapter 4, where captions are of the same kind; nothing else.
**Rebuild.** `{command}`, then `python -m nbsupport export --run RUN --name {name}`.
"""


def export_matching(run: Run, name: str, command: str, target: Path | None = None) -> Path:
    """Write a run's encoders in half precision, with their description and model card; returns the weights' path.

    Raises:
        MissingStage: the run has no trained matching.
    """
    target, trained = target or folder(), matching.load(run)
    path, about = target / f"{name}.safetensors", run.require("index")["config"]
    checkpoints.save_weights(path, {k: weights.half(v) for k, v in trained.model.state_dict().items()})
    facts = {"dataset": about["dataset"], "seed": about["seed"], "name": name, "command": command}
    held = {"config": trained.model.config.to_mapping(), "results": trained.result}
    files.write_json(target / f"{name}.json", facts | held | {"vocabulary": list(trained.vocabulary.words)})
    size = {"megabytes": path.stat().st_size / 1e6, "data_licence": LICENCES[about["dataset"]]}
    with files.atomic_path(target / f"{name}.md") as temporary:
        temporary.write_text(_MATCHING_CARD.format(**trained.result | facts | size), "utf-8")
    return path


_CARD = """# TDANet, {name}

An inpainting network that paints the hole of a photograph from what is visible and from a caption: TDANet
(Zhang et al. 2020, arXiv 2004.03212), preset `{preset}` of this project, at {size} pixels.

| | |
| --- | --- |
| Trained on | {photographs:,} photographs of `{dataset}` (training split, seed {seed}) |
| Made from | {source} |
| Pictures seen | {images:,}{before} |
| Parameters | {parameters:,}, stored in half precision ({megabytes:.1f} MB) |
| Time | {minutes:.0f} minutes on {device} |
| Text encoder | {text_encoder} |
{more}
Error on {judged:,} held-out photographs, middle quarter hidden (mean absolute difference in the hole, from 0 to 2; 95 %
interval from a bootstrap over groups):

| method | in-hole L1 |
| --- | --- |
{rows}

{measures}A caption of another photograph costs {effect[value]:.4f} ({effect[low]:.4f} to {effect[high]:.4f}).

**Licence.** The weights are under the licence of this repository. {data_licence}
**Use.** Research on inpainting and its detection. The network paints {subject} in the middle of small pictures; it
knows nothing else{soft}. It cannot restore what really stood in the hole.
**Load.** `inpainters.create("tdanet:{name}")`.
**Rebuild.** `{command}`, then `python -m nbsupport export --run RUN --name {name}`.
"""


def export(run: Run, name: str, command: str, folder: Path = FOLDER) -> Path:
    """Write a run's trained TDANet in half precision, with its description and model card; returns the weights' path.

    Args: command: how the run was made, for the card.

    Raises:
        MissingStage: the run has no trained TDANet.
    """
    record, indexed = run.require("tdanet"), run.require("index")
    weights = checkpoints.read_weights(run / "checkpoints/tdanet.safetensors")
    config = checkpoints.read_config(run / "checkpoints/tdanet.safetensors", TDANetConfig)
    result, matched = run.result("tdanet"), run.result("matching")
    if not record.get("commit"):
        raise UserError(
            "The run does not say from which commit it was made, so its weights cannot be rebuilt. Train it in a git "
            "checkout of this project, with git installed, and export it again."
        )
    path = folder / f"{name}.safetensors"
    checkpoints.save_weights(path, {key: half(value) for key, value in weights.items()})
    from nbsupport.data import index

    dataset = index.load(run)
    training = dict(record["config"])
    if training.get("start_from"):
        training["start_from"] = Path(training["start_from"]).name  # a path says nothing on another machine
    about = {
        "name": name,
        "config": config.to_mapping(),
        "dataset": indexed["config"]["dataset"],
        "split_seed": indexed["config"]["seed"],
        "training": training,
        "provenance": {key: record.get(key) for key in ("versions", "commit", "cores", "notes")},
        "results": {"tdanet": result, "matching": matched} | _heard(run),
        "vocabulary": list(dataset.vocabulary.words),
    }
    files.write_json(folder / f"{name}.json", about)
    means = sorted(result["hole_l1"].items(), key=lambda pair: pair[1]["value"])
    rows = "\n".join(f"| {m} | {v['value']:.4f} ({v['low']:.4f}–{v['high']:.4f}) |" for m, v in means)
    card = _CARD.format(
        name=name,
        preset=config.preset,
        size=config.image_size,
        subject=SUBJECTS[about["dataset"]],
        photographs=len(dataset.rows("train")),
        dataset=about["dataset"],
        seed=about["split_seed"],
        images=result["images"],
        before=" since the earlier weights it began from" if training.get("start_from") else "",
        parameters=result["parameters"],
        megabytes=path.stat().st_size / 1e6,
        minutes=result["seconds"] / 60,
        device=f"{record['cores']} cores" if record["notes"]["device"] == "cpu" else record["notes"]["device"],
        more=_more(training, about["results"].get("attributes"), about["dataset"]),
        text_encoder=_text_encoder(matched, training),
        soft="" if training.get("weight_adversarial") else ", and its fills are soft",
        judged=result["photographs"],
        rows=rows,
        source=_source(dataset),
        measures=measures_rows(run.result("quality")) if (run / "results/quality.json").exists() else "",
        effect=result["caption_effect"],
        data_licence=LICENCES[about["dataset"]],
        command=command,
    )
    with files.atomic_path(folder / f"{name}.md") as temporary:
        temporary.write_text(card, "utf-8")
    return path


def _source(dataset: "Dataset") -> str:
    """What the photographs were, in words: how many, of how many species or breeds, and of which sizes."""
    index = dataset.index
    said = f"{len(index):,} photographs"
    if "label" in index and index["label"].nunique() > 1:
        said += f" of {index['label'].nunique()} classes"
    if "width" in index:
        sides = index[["width", "height"]].drop_duplicates()
        size = f"{sides.iloc[0, 0]}x{sides.iloc[0, 1]}" if len(sides) == 1 else "various sizes"
        said += f", files of {size} pixels" if len(sides) == 1 else f", files of {size}"
    return f"{said}, `fit` {dataset.config.fit}"


def measures_rows(report: Mapping) -> str:
    """All judged measures of the network and every baseline as a table of the card, and what they say together.

    Args: report: ``results/quality.json`` of chapter 4.
    """
    from nbsupport import quality
    from nbsupport.plots.tables import readable

    own = report["measures"]
    names = [n for n in own["tdanet"]["matched"] if n in ("hole_l1", "hole_ssim") or "lpips" in n]
    lines = [f"All measures, on {report['photographs']:,} held-out photographs (L1 and LPIPS: less is better):", ""]
    lines += ["| method | " + " | ".join(map(readable, names)) + " |", "| --- |" + " --- |" * len(names)]
    for method, kinds in own.items():
        held = kinds.get("matched") or kinds["none"]
        lines.append(f"| {readable(method)} | " + " | ".join(format_interval(held[n]) for n in names) + " |")
    lines += ["", "TDANet against each baseline, by the intervals of the paired differences:", ""]
    for baseline, difference in report["against"]["tdanet"].items():
        lines.append(f"- {readable(baseline)}: {quality.conclusion(difference)}.")
    return "\n".join(lines) + "\n\n"


def _heard(run: Run) -> dict:
    """How often named colours were painted, where chapter 5 has measured it."""
    path = run / "results" / "text_alignment.json"
    measured = files.read_json(path).get("attributes") if path.exists() else None
    return {"attributes": {key: measured[key] for key in ("asked", "accuracy", "chance")}} if measured else {}


def _text_encoder(matched: Mapping, training: Mapping) -> str:
    if not matched["steps"] and training.get("start_from"):
        return f"that of `{training['start_from']}`, trained along"
    found, chance = matched["r_precision"], matched["chance"]
    return f"pre-trained; R-precision {found:.1%} on held-out photographs (chance {chance:.0%})"


def _more(training: dict, heard: dict | None, dataset: str) -> str:
    """Rows of the card that not every network has: how it was made to follow captions, and whether it does."""
    rows = ""
    if not training.get("weight_adversarial"):
        rows += "| Switched off | the discriminators: no adversarial loss (`weight_adversarial` 0) |\n"
    if training.get("discriminator") == "texture":
        weights = {"adversarial": "adversarial ", "r1": "R1 ", "perceptual": "ST-LPIPS by AlexNet ", "l1": "L1 "}
        told = ", ".join(f"{said}{training[f'weight_{name}']:g}" for name, said in weights.items())
        rows += f"| Texture | a discriminator of patches of the spliced picture; weights of the losses: {told} |\n"
        rows += "| Judged by | ST-LPIPS with VGG16, since AlexNet took part in the training |\n"
    if not training.get("auxiliary_share"):
        rows += "| Switched off | the auxiliary path and the latent (`auxiliary_share` 0): one hole has one fill |\n"
    if training.get("named_parts") and dataset == "synthetic":
        rows += (
            f"| Whole parts hidden | in {training['named_parts']:.0%} of the pictures, the caption names the part |\n"
        )
    for kind, said in (("true", "the true colour"), ("edited", "another colour")):
        if heard and kind in heard["accuracy"]:
            own = heard["accuracy"][kind]
            rows += (
                f"| Caption names {said} | painted in {own['value']:.1%} ({own['low']:.1%}–{own['high']:.1%}) of "
                f"{heard['asked']:,} hidden parts (chance {heard['chance']['uniform']:.0%}) |\n"
            )
    return rows


#: Results that are kept with the book: chapters 4 and 5's, then those of chapters 6 to 8.
RESULTS = ("matching", "tdanet", "quality", "switched_off", "text_alignment", "ablations", "pairs", "audit", "naive",
           "search", "detectors", "strata", "robustness", "sharpness", "studies")  # fmt: skip


def export_results(run: Run, folder: Path | None = None) -> list[Path]:
    """Copy a run's numbers to ``book/results/<data set>``: results of chapters 4 to 8 as JSON, curves thinned as CSV.

    Returns: the files written; results that the run does not have are left out.
    """
    folder = folder or runs.project_root() / "book" / "results" / run.require("index")["config"]["dataset"]
    written = []
    for stem in RESULTS:
        if (run / "results" / f"{stem}.json").exists():
            written.append(folder / f"{stem}.json")
            files.write_json(written[-1], run.result(stem))
    for stem, every in (("matching_log", 20), ("tdanet_log", 20)):
        if (run / f"{stem}.csv").exists():
            log = pd.read_csv(run / f"{stem}.csv")
            means = log.groupby((log["step"] - 1) // every).mean()  # of what was measured in those steps
            means["step"] = log.groupby((log["step"] - 1) // every)["step"].max()
            written.append(folder / f"{stem}.csv")
            with files.atomic_path(written[-1]) as temporary:
                means.round(5).to_csv(temporary, index=False)
    return written
