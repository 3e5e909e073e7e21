"""Detectors that come with the package: weights in half precision, and all that a verdict needs, without the run.

``detectors/<set>/`` holds one safetensors file for each detector, ``detectors.json`` (their records with temperature,
shift and threshold; what they said of the validation pictures, from which bands and empirical precision are fitted
again; metrics on the test split), ``kind.safetensors`` (which pictures they know: ``detectors.kind``) and
``README.md``, the model card.
Not here: asking them (``detectors.predict``) and TDANet's weights.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import load_file
from scipy.special import expit

from nbsupport import masks, pairs, runs
from nbsupport.core import checkpoints, files
from nbsupport.core.errors import ConfigError, unknown
from nbsupport.detectors import heatmaps, kind, predict, scores
from nbsupport.runs import Run
from nbsupport.stats import bootstrap
from nbsupport.stats.intervals import format_interval
from nbsupport.tdanet import weights

#: The largest weights file, in bytes (16 MiB), and the largest sum of all weights of the package.
MAX_FILE, MAX_TOTAL = 16 << 20, 40_000_000
_COMPARED = 64  # validation pictures that the halved weights are tried on

_CARD = """# Detectors, {name}

Networks that say of a picture of {size} pixels whether a part of it was painted in; one logit each, calibrated on
validation photographs (temperature, shift), soft vote: the mean of their probabilities.

| | |
| --- | --- |
| Trained on | pairs of {photographs:,} training photographs of `{dataset}` (split seed {split_seed}) |
| Fakes by | {painters} |
| Real class | untouched photographs; of the pairs, {degraded} |
| Calibrated on | {validation:,} pictures of {groups:,} validation groups |
| Stored | half precision, {megabytes:.1f} MB; moves a probability by at most {moved:.3f} ({compared} pictures) |

On test photographs (area under the ROC curve; 95 % interval from a bootstrap over groups):

| detector | parameters | {arms} |
| --- | --- |{lines} --- |
{rows}

**Kind.** {kinds}

{blur}**Licence.** The weights are under the licence of this repository. {data_licence}
**Use.** Research on inpainting and its detection, and the demo. They learnt one inpainter's traces in small pictures of
one kind; of other inpainters, other subjects and larger photographs made small they know nothing. No verdict is
evidence.
**Load.** `packaged.load("{name}/{first}")` (`nbsupport.detectors.packaged`).
**Rebuild.** `{command}`, then `python -m nbsupport export --run RUN --name {name} --detectors {detectors}`.
"""


def folder() -> Path:
    """Where the sets of detectors lie."""
    return weights.FOLDER / "detectors"


def sets() -> list[str]:
    """The names of the sets of detectors that came with the package."""
    return sorted(path.parent.name for path in folder().glob("*/detectors.json"))


def describe(name: str) -> dict:
    """What ``detectors.json`` of a set says; an unknown set is a :class:`ConfigError`."""
    if name not in sets():
        raise ConfigError(unknown("set of pretrained detectors", name, sets() or ["none yet"]))
    return files.read_json(folder() / name / "detectors.json")


def load(name: str) -> predict.Trained:
    """One detector by ``<set>/<detector>``, as ``predict.load`` gives those of a run.

    Raises:
        ConfigError: no such set or detector. UserError: its weights are missing or damaged.
    """
    own, _, detector = name.partition("/")
    held = describe(own)["detectors"]
    if detector not in held:
        raise ConfigError(unknown("pretrained detector", name, [f"{own}/{key}" for key in held]))
    path = folder() / own / f"{detector}.safetensors"
    return predict.assemble(held[detector]["record"], path, "Install the package again.")


def load_all(name: str) -> tuple[list[predict.Trained], pd.DataFrame]:
    """The detectors of a set, and what they said of validation pictures: columns ``label, group`` and each detector."""
    about = describe(name)
    return [load(f"{name}/{detector}") for detector in about["detectors"]], pd.DataFrame(about["validation"])


def kind_of(name: str) -> kind.Kind | None:
    """Which pictures the detectors of a set know; None for a set that was exported before this was kept."""
    return kind.load(folder() / name, describe(name).get("kind"))


def validation_table(run: Run, chosen: Sequence[tuple[str, int]]) -> pd.DataFrame:
    """What detectors (name, seed) of a run said of its validation pictures: ``label, group``, a column for each;
    indexed by ``path``.

    Raises:
        MissingStage: chapter 7 has not run.
    """
    table = scores.load(run)
    table = table[(table["split"] == "validation") & (table["condition"] == scores.CLEAN)]
    columns = {}
    for name, seed in chosen:
        own = table[(table["detector"] == name) & (table["seed"] == seed)].drop_duplicates("path").set_index("path")
        columns |= {"label": own["label"], "group": own["group"]} if not columns else {}
        columns[name] = own["probability"]
    return pd.DataFrame(columns).dropna()


def export(run: Run, name: str, detectors: Sequence[str], command: str, target: Path | None = None) -> Path:
    """Write detectors of a run as a set of the package; returns its folder.

    The first seed of each is taken. `command`: how the run was made, for the card. `target`: in place of
    ``nbsupport/pretrained/detectors``.

    Raises:
        MissingStage: chapters 6 or 7 have not run. ConfigError: no such detector, or one that is too large.
    """
    held = predict.first_seeds(run)
    run.require("detectors")
    for detector in detectors:
        if detector not in held:
            raise ConfigError(unknown("trained detector", detector, held))
    if not detectors:
        raise ConfigError(f"Name at least one detector to export. The run has: {', '.join(held)}.")
    detectors = list(dict.fromkeys(detectors))
    halved = {}
    for detector in detectors:
        state = load_file(predict.checkpoint(run, detector, held[detector]))
        halved[detector] = {key: weights.half(value) for key, value in state.items()}
        size = sum(tensor.nbytes for tensor in halved[detector].values())
        if size > MAX_FILE - (1 << 16):  # the header
            raise ConfigError(
                f"'{detector}' needs {size / 2**20:.0f} MiB in half precision, more than the {MAX_FILE >> 20} MiB that "
                "a file of the package may have. Leave it out."
            )
    place = (target or folder()) / name
    for detector, state in halved.items():
        checkpoints.save_weights(place / f"{detector}.safetensors", state)
    chosen = [(detector, held[detector]) for detector in detectors]
    about = _describe(run, name, chosen)
    about["half_precision"] = _moved(run, chosen, halved)
    known = kind.of_run(run, [predict.load(run, *own) for own in chosen])
    if known is not None:
        known.save(place)
    about["kind"] = known and known.to_mapping()
    about["heat"] = _heat(run, chosen)
    about["fit"] = run.require("index")["config"].get("fit", "crop")
    files.write_json(place / "detectors.json", about)
    with files.atomic_path(place / "README.md") as temporary:
        temporary.write_text(_card(about, place, command), "utf-8")
    return place


def _describe(run: Run, name: str, chosen: Sequence[tuple[str, int]]) -> dict:
    indexed, paired = run.require("index"), pairs.load(run)
    validation = validation_table(run, chosen)
    codes = pd.factorize(validation["group"])[0]  # numbers: no name of a photograph leaves the run
    columns = {"label": validation["label"].astype(int).tolist(), "group": codes.tolist()}
    columns |= {detector: validation[detector].round(5).tolist() for detector, _ in chosen}
    measured = run.result("detectors")["metrics"] if (run / "results" / "detectors.json").exists() else []
    kept = ("arm", "auroc", "accuracy", "recall", "specificity", "pictures", "groups")
    detectors = {}
    for detector, seed in chosen:
        record = files.read_json(predict.checkpoint(run, detector, seed).with_suffix(".json"))
        own = [m for m in measured if m["detector"] == detector and m["seed"] == seed]
        metrics = [{key: m.get(key) for key in kept} for m in own]
        detectors[detector] = {"record": record, "metrics": metrics}
    fakes = paired.manifest[paired.manifest["label"] == "fake"]
    learnt = run.require("detectors")["config"].get("inpainters")  # empty: of all
    return {
        "name": name,
        "dataset": indexed["config"]["dataset"],
        "split_seed": indexed["config"]["seed"],
        "image_size": detectors[chosen[0][0]]["record"]["image_size"],
        "photographs": max(held["record"]["training_photographs"] for held in detectors.values()),
        "blur": _blur(run, chosen),
        "painters": sorted(learnt or fakes["inpainter"].dropna().unique().tolist()),
        "detectors": detectors,
        "validation": columns,
        "provenance": runs.provenance(),
    }


def _blur(run: Run, chosen: Sequence[tuple[str, int]]) -> dict | None:
    """What the blur baseline reaches on spliced fakes, and what matching the sharpness leaves; None if not measured."""
    path = run / "results" / "sharpness.json"
    if not path.exists():
        return None
    records = {(r["detector"], r["seed"]): r for r in files.read_json(path)["records"]}
    base = next((r["before"] for (name, _), r in records.items() if name == "local_sharpness"), None)
    return {"baseline": base, "left": {key[0]: records[key]["after"] for key in chosen if key in records}}


def _blur_words(found: dict | None) -> str:
    if not found or not found["left"]:
        return ""
    base = (
        f"The blur baseline, which nobody trained, reaches {format_interval(found['baseline'])} there. "
        if found["baseline"]
        else ""
    )
    left = ", ".join(f"{name} {format_interval(own)}" for name, own in found["left"].items())
    return (
        f"**Blur.** {base}With fills as sharp as their surroundings the AUROC on spliced fakes is: {left}. Set these "
        "numbers beside published ones for inpainters that paint sharply.\n\n"
    )


def _moved(run: Run, chosen: Sequence[tuple[str, int]], halved: dict) -> dict[str, float]:
    """How far the calibrated probabilities of validation pictures move by the halving: the largest, and how many."""
    paired = pairs.load(run)
    rows = paired.manifest.index[paired.manifest["split"] == "validation"]
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(_COMPARED, len(rows))).astype(int))]
    pictures, largest = np.asarray(paired.cache[np.sort(rows.to_numpy())]), 0.0
    for detector, seed in chosen:
        trained = predict.load(run, detector, seed)
        before = expit(predict.score(trained, pictures))
        trained.model.load_state_dict({key: value.float() for key, value in halved[detector].items()})
        largest = max(largest, float(np.abs(expit(predict.score(trained, pictures)) - before).max()))
    return {"largest": largest, "pictures": len(rows)}


def _kinds(about: dict | None) -> str:
    if about is None:
        return "Not known: there were too few photographs to learn which pictures these detectors know."
    rates = ", ".join(f"{share:.0%} ({name})" for name, share in about["rates"].items())
    return (
        f"Taken for *{kind.SENTENCE}*, so without a verdict, of validation pictures: {rates}. Other subjects are "
        "noticed less often than another sharpness."
    )


def _heat(run: Run, chosen: Sequence[tuple[str, int]]) -> dict[str, dict | None]:
    """How much denser each detector's heat map is in the hole of a spliced validation fake than everywhere: {value,
    low, high} over groups, 1 is chance. None: there are no maps, or fewer than eight such fakes."""
    if run.record("masks") is None:
        return dict.fromkeys((name for name, _ in chosen), None)
    paired, drawn = pairs.load(run), masks.load(run)
    table = paired.manifest
    table = table[(table["split"] == "validation") & (table["arm"] == "spliced")].drop_duplicates("image_id")
    table = table.iloc[: 2 * _COMPARED]
    found: dict[str, dict | None] = {}
    for name, seed in chosen:
        trained = predict.load(run, name, seed)
        found[name] = None
        if len(table) < 8 or heatmaps.target_layer(trained) is None:
            continue
        maps = heatmaps.grad_cam(trained, np.stack([np.asarray(paired.cache[row]) for row in table.index]))
        holes = [drawn.of(*own) for own in zip(table["image_id"], table["mask_kind"], strict=True)]
        density = [
            float(own[hole].sum() / max(own.sum(), 1e-9) / max(hole.mean(), 1e-9)) if own.any() else 1.0
            for own, hole in zip(maps, holes, strict=True)
        ]
        means = pd.Series(density).groupby(table["group"].to_numpy()).mean().to_numpy()
        generator = np.random.default_rng(0)
        draws = generator.choice(means, (1000, len(means))).mean(axis=1)
        found[name] = bootstrap.interval(float(means.mean()), draws)
    return found


def no_heat(about: dict) -> set[str]:
    """Detectors of a set whose heat maps are known to be no better than chance (an interval that holds 1)."""
    return {name for name, own in (about.get("heat") or {}).items() if own and (own["low"] or 0) <= 1}


def _card(about: dict, place: Path, command: str) -> str:
    arms = sorted({m["arm"] for held in about["detectors"].values() for m in held["metrics"]})
    rows = []
    for detector, held in about["detectors"].items():
        own = {m["arm"]: m["auroc"] for m in held["metrics"]}
        cells = [f"{own[arm]['value']:.3f} ({own[arm]['low']:.3f}–{own[arm]['high']:.3f})" if arm in own else "–"
                 for arm in arms]  # fmt: skip
        rows.append(f"| {detector} | {held['record']['parameters']:,} | {' | '.join(cells) or '–'} |")
    return _CARD.format(
        name=about["name"],
        size=about["image_size"],
        photographs=about["photographs"],
        dataset=about["dataset"],
        split_seed=about["split_seed"],
        painters=", ".join(about["painters"]) or "an unknown method",
        degraded=_degraded(next(iter(about["detectors"].values()))["record"]),
        blur=_blur_words(about.get("blur")),
        validation=len(about["validation"]["label"]),
        groups=len(set(about["validation"]["group"])),
        megabytes=sum(path.stat().st_size for path in place.glob("*.safetensors")) / 1e6,
        moved=about["half_precision"]["largest"],
        compared=about["half_precision"]["pictures"],
        arms=" | ".join(arms) or "test",
        lines=" --- |" * max(0, len(arms) - 1),
        rows="\n".join(rows),
        kinds=_kinds(about["kind"]),
        data_licence=weights.LICENCES[about["dataset"]],
        first=next(iter(about["detectors"])),
        detectors=" ".join(about["detectors"]),
        command=command,
    )


def _degraded(record: dict) -> str:
    """What the pairs went through in training, in words."""
    names, share = record.get("augment") or [], record.get("augment_share", 0.5)
    return f"{share:.0%} met one of {', '.join(names)}" if names and share else "none was degraded"
