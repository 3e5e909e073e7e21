"""The architecture search: optuna proposes networks of ``detectors.searched.SPACE``, the weaker are given up early.

Every trial trains one network for some epochs with the loop of all detectors. After each rung (epoch 1, 2, 4 …) only
the better half continues (successive halving; Jamieson & Talwalkar 2016, arXiv 1502.07943). The measure is AUROC on
validation photographs; what a network costs is counted, and the front of those that no other beats in both is kept. The
study lies in the run folder: a search that was stopped continues, and repeats only the trial that was cut off. Each
proposal is drawn from the seed and from the trials so far. Not here: the space.
"""

import dataclasses
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd
from tqdm.auto import tqdm

from nbsupport import pairs
from nbsupport.config import DetectorConfig, SearchConfig
from nbsupport.core import rng
from nbsupport.core.errors import UserError
from nbsupport.detectors import classifier, searched
from nbsupport.detectors.classifier import TrainingDiverged
from nbsupport.pairs import Pairs
from nbsupport.runs import Run

if TYPE_CHECKING:
    import optuna

STUDY = "search.journal"
OVER_BUDGET, REPEATED = "over budget", "proposed twice"
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "cut off"}  # optuna's names and ours


def run_search(run: Run, config: SearchConfig) -> dict[str, Any]:
    """The stage "search": look for a network, write ``results/search.json`` and return it.

    Returns:
        ``trials``: records ``number, state`` (a value of STATES, or why a proposal was given up), ``architecture``,
        ``auroc`` (validation, of the last epoch reached), ``epochs, mega_macs, parameters, images_per_second, front``;
        ``chosen``: the complete trial with the highest AUROC, by which the detector ``searched`` is built.

    Raises:
        MissingStage: chapter 6 has not run. UserError: no trial was finished.
    """
    stage = run.stage("search", config, needs=("pairs",))
    if stage.finished:
        return run.result("search")
    with stage:
        study = _study(run, stage.fingerprint)
        done = _search(study, pairs.load(run), config)
        result = summary(study, config)
        run.write_result("search", result)
        stage.outputs("results/search.json", STUDY)
        stage.note(trials=done)
    return result


def _study(run: Run, name: str) -> "optuna.Study":
    """The study of these parameters, new or as it was left; studies of others stay in the same file."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        backend = JournalFileBackend(str(run / STUDY))
        storage = optuna.storages.JournalStorage(backend)
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2, bootstrap_count=0)
    study = optuna.create_study(
        study_name=name, storage=storage, direction="maximize", pruner=pruner, load_if_exists=True
    )
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):  # cut off by a kill
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(trial.params, skip_if_exists=False)
    return study


def _search(study: "optuna.Study", made: Pairs, config: SearchConfig) -> int:
    """Trials until as many networks were trained as asked for; those cut off, over budget or tried do not count."""
    import optuna

    state = optuna.trial.TrialState
    with tqdm(total=config.trials, desc="search", unit="network") as progress:
        while True:
            over = study.get_trials(deepcopy=False, states=(state.COMPLETE, state.PRUNED))
            trained = sum(trial.user_attrs.get("why") not in (OVER_BUDGET, REPEATED) for trial in over)
            progress.update(trained - progress.n)
            if trained >= config.trials or len(over) >= 20 * config.trials:
                return trained
            study.sampler = optuna.samplers.TPESampler(
                seed=rng.torch_seed(config.seed, "search", len(over)) % 2**32, n_startup_trials=12
            )
            study.optimize(_objective(made, config), n_trials=1)
            best = _best(study)
            progress.set_postfix(best="–" if best is None else f"{best.value:.3f}")


def _objective(made: Pairs, config: SearchConfig) -> Callable[["optuna.Trial"], float]:
    import optuna

    fields = {field.name for field in dataclasses.fields(DetectorConfig)}
    same = {key: value for key, value in vars(config).items() if key in fields}
    training = DetectorConfig(names=("searched",), weights="none", **same)

    def objective(trial: "optuna.Trial") -> float:
        architecture = {name: trial.suggest_categorical(name, choices) for name, choices in searched.SPACE.items()}
        found = searched.cost(lambda: searched.SearchedNet(architecture), made.cache.shape[1])
        for key, value in found.items():
            trial.set_user_attr(key, value)
        if found["mega_macs"] > config.max_mega_macs:
            trial.set_user_attr("why", OVER_BUDGET)
            raise optuna.TrialPruned
        states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
        if any(other.params == trial.params for other in trial.study.get_trials(deepcopy=False, states=states)):
            trial.set_user_attr("why", REPEATED)
            raise optuna.TrialPruned

        def report(epoch: int, auroc: float) -> None:
            trial.report(auroc, epoch)
            if epoch < config.epochs and trial.should_prune():
                raise optuna.TrialPruned

        try:
            _, history, record = classifier.train(
                made, training, "searched", config.seed, architecture=architecture, report=report, quiet=True
            )
        except TrainingDiverged as error:
            trial.set_user_attr("why", "diverged")
            raise optuna.TrialPruned from error
        trial.set_user_attr("images_per_second", record["images_per_second"])
        return float(history["validation_auroc"].iloc[-1])

    return objective


def _best(study: "optuna.Study") -> "optuna.trial.FrozenTrial | None":
    """The complete trial with the highest AUROC, the cheapest of equals; None before the first."""
    import optuna

    whole = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    return max(whole, key=lambda trial: (trial.value, -trial.user_attrs["mega_macs"]), default=None)


def summary(study: "optuna.Study", config: SearchConfig) -> dict[str, Any]:
    """What ``results/search.json`` holds; raises UserError when no trial was finished."""
    chosen = _best(study)
    if chosen is None:
        raise UserError(
            f"None of the {config.trials} networks was trained to its end. Raise search_trials or search_max_mega_macs "
            "in chapter 7."
        )
    rows = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state.name not in STATES:
            continue
        reached = trial.intermediate_values
        own = {key: trial.user_attrs.get(key) for key in ("mega_macs", "parameters", "images_per_second")}
        rows.append(
            {
                "number": trial.number,
                "state": trial.user_attrs.get("why", STATES[trial.state.name]),
                "auroc": reached[max(reached)] if reached else None,
                "epochs": len(reached),
                **own,
                "architecture": trial.params,
            }
        )
    table = pd.DataFrame(rows)
    on_front = front(table[table["state"] == "complete"])
    for row in rows:
        row["front"] = row["number"] in on_front
    kept = next(row for row in rows if row["number"] == chosen.number)
    return {"trials": rows, "chosen": kept, "space": {key: list(values) for key, values in searched.SPACE.items()}}


def front(table: pd.DataFrame) -> set[int]:
    """Numbers of the networks that no other one beats in AUROC at the same cost or less (Pareto front).

    Args: table: columns ``number, auroc, mega_macs``.
    """
    found, best = set(), float("-inf")
    for _, row in table.sort_values(["mega_macs", "auroc"], ascending=[True, False]).iterrows():
        if row["auroc"] > best:
            found.add(int(row["number"]))
            best = row["auroc"]
    return found
