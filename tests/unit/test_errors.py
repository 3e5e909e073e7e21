"""Errors are found, joined with their holes and counted; a run with nothing wrong, or one hole, is no trouble."""

import numpy as np
import pandas as pd
import pytest
from detector_data import make_pairs
from scipy.special import expit

from nbsupport import masks, pairs
from nbsupport.config import DetectorConfig, ErrorsConfig
from nbsupport.core.errors import MissingStage, UserError
from nbsupport.data import index
from nbsupport.detectors import scores
from nbsupport.evaluation import error_analysis, strata
from nbsupport.plots import evaluation as figures
from nbsupport.runs import Run

CONFIG = ErrorsConfig(draws=60)
SIZE = 32


def make_holes(manifest):
    """One centred hole for each photograph, as the manifest of detector_data says."""
    once = manifest.drop_duplicates("image_id")
    hole = np.zeros((SIZE, SIZE), bool)
    hole[8:24, 8:24] = True
    table = pd.DataFrame({"mask_id": once["mask_id"].to_numpy(), "row": once["row"].to_numpy()})
    table = table.assign(image_id=once["image_id"].to_numpy(), kind="centre", coverage=0.25, part="", fallback=False)
    return masks.MaskSet(table, np.packbits(np.stack([hole.ravel()] * len(table)), axis=1), (SIZE, SIZE))


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """A run whose detector "sees" answers +2 or -2 and misses splices of even photographs; "blind" says 0.4 always."""
    run = Run(tmp_path / "run")
    make_pairs(run, photographs=60, size=SIZE)
    path = run / pairs.store.MANIFEST
    manifest = pd.read_parquet(path)
    number = manifest["row"].to_numpy()
    manifest = manifest.assign(
        mask_id=manifest["image_id"] + "-m",
        mask=pd.factorize(manifest["image_id"])[0],
        caption="a bird",
        coverage=np.array([0.03, 0.05, 0.2, 0.5])[number % 4],
        mask_kind=np.array(["centre", "part", "object"])[number % 3],
    )
    manifest.to_parquet(path)
    holes = make_holes(manifest)
    holes.table["fallback"] = (holes.table["row"] % 3 == 1).to_numpy()  # no photograph has parts
    photographs = manifest.drop_duplicates("image_id")[["image_id", "row"]]
    photographs = photographs.assign(label=[f"species {n % 2}" for n in photographs["row"]])
    monkeypatch.setattr(masks, "load", lambda run: holes)
    monkeypatch.setattr(index, "load", lambda run: type("Dataset", (), {"index": photographs}))
    fake = (manifest["label"] == "fake").to_numpy()
    missed = (manifest["arm"] == "spliced").to_numpy() & (number % 2 == 0)
    sees = np.where(fake & ~missed, 2.0, -2.0) + number / 100
    with (stage := run.stage("detectors", DetectorConfig(inpainters=(), train_count=0), needs=("pairs",))):
        tables = [scores.table(manifest, sees, "sees", 0), scores.table(manifest, 0 * sees - 0.4, "blind", 0)]
        scores.write(run, scores.DETECTORS, tables)
        stage.outputs(scores.DETECTORS)
    with (stage := run.stage("ensembles", CONFIG, needs=("detectors",))):
        scores.write(run, scores.ENSEMBLES, [scores.table(manifest, sees / 2, "soft_vote", 0)])
        stage.outputs(scores.ENSEMBLES)
    return run, manifest


def share_of(result, **wanted):
    found = [record for record in result["shares"] if all(record[key] == value for key, value in wanted.items())]
    assert len(found) == 1, found
    return found[0]


def test_counts_what_was_planted(scored):
    run, manifest = scored
    found = error_analysis.make(run, CONFIG)
    test = manifest[manifest["split"] == "test"]
    assert found.best in {("sees", 0), ("soft_vote", 0)}
    assert found.result["pictures"] == len(test) == len(found.of("sees", 0))
    assert set(found.of("sees", 0, "spliced")["outcome"]) == {"found", "miss"}
    assert set(found.of("sees", 0, "original")["outcome"]) == {"passed"}
    assert (found.of("blind", 0)["outcome"] == found.of("blind", 0)["label"].map({1: "miss", 0: "passed"})).all()
    even = (test.query("arm == 'spliced'")["row"] % 2 == 0).mean()
    whole = share_of(found.result, detector="sees", arm="spliced", by="all")
    assert whole["value"] == pytest.approx(1 - even) and whole["low"] < whole["value"] < whole["high"]
    for number, recall in enumerate((0.0, 1.0)):
        own = share_of(found.result, detector="sees", arm="spliced", by="species", category=f"species {number}")
        assert own["value"] == recall and own["high"] - own["low"] > 0.2, "a few pictures settle nothing"
    assert share_of(found.result, detector="sees", arm="original", by="all")["measure"] == "false alarms"
    contrast = [c for c in found.result["contrasts"] if (c["detector"], c["arm"]) == ("sees", "spliced")]
    assert {c["quantity"] for c in contrast} == {"coverage", "hole_l1"}
    coverage = next(c for c in contrast if c["quantity"] == "coverage")
    assert coverage["value"] == pytest.approx(coverage["missed"] - coverage["found"])


def test_a_kind_that_fell_back_counts_as_what_was_drawn(scored):
    found = error_analysis.make(scored[0], CONFIG)
    kinds = {record["category"] for record in found.result["shares"] if record["by"] == "kind"}
    assert kinds == {"centre", "rectangles", "object"}


def test_wrong_detectors_leave_ensembles_out(scored):
    found = error_analysis.make(scored[0], CONFIG)
    spliced = found.of("sees", 0, "spliced").set_index("image_id")
    assert set(spliced.loc[spliced["outcome"] == "miss", "wrong_detectors"]) == {2}
    assert set(spliced.loc[spliced["outcome"] == "found", "wrong_detectors"]) == {1}
    agreed = pd.DataFrame(found.result["agreement"]).query("arm == 'spliced'")
    assert agreed["pictures"].sum() == len(spliced) and agreed["expected"].sum() == pytest.approx(len(spliced))
    assert agreed.set_index("wrong")["pictures"].to_dict() == {0: 0, **spliced["wrong_detectors"].value_counts()}


def test_bins_of_coverage():
    found = strata.coverage_bin(pd.Series([0.0, 0.049, 0.05, 0.0999, 0.1, 0.3, 1.0]))
    numbers = [strata.COVERAGE_BINS.index(name) for name in found]
    assert numbers == [0, 0, 1, 1, 2, 3, 3]


def test_the_worst_come_first_and_once(scored):
    found = error_analysis.make(scored[0], CONFIG)
    worst = found.worst("miss", 3, "spliced")
    assert len(worst) == 3 and worst["image_id"].is_unique and worst["error"].is_monotonic_decreasing
    assert worst["error"].iloc[0] == found.of(*found.best, "spliced")["error"].max()
    assert len(found.worst("false alarm", 3)) == 0


def test_is_loaded_the_second_time(scored, capsys):
    run, _ = scored
    first = error_analysis.make(run, CONFIG)
    again = error_analysis.make(run, CONFIG)
    assert "loaded" in capsys.readouterr().out
    pd.testing.assert_frame_equal(first.table, again.table)
    with pytest.raises(MissingStage, match="--only 1-10"):
        error_analysis.load(Run(run.path.parent / "empty"))


def test_scores_of_another_set_are_an_error(scored):
    run, manifest = scored
    table = scores.all_scores(run).assign(path="pairs/images/other.png")
    with pytest.raises(UserError, match="other.png"):
        error_analysis.judged(table, pairs.load(run), masks.load(run), index.load(run).index)
    with pytest.raises(UserError, match="No detector"):
        error_analysis.judged(table.iloc[:0], pairs.load(run), masks.load(run), index.load(run).index)


def test_figures_of_all_and_of_nothing(scored):
    found, paired, holes = error_analysis.make(scored[0], CONFIG), pairs.load(scored[0]), masks.load(scored[0])
    assert len(figures.gallery(found.worst("miss", 2), paired, holes).axes) == 8
    assert len(figures.gallery(found.worst("miss", 0), paired, holes).axes) == 1
    assert len(figures.photographs(found.of("sees", 0, "original").head(7), paired).axes) == 12
    assert len(figures.photographs(found.worst("false alarm", 4), paired).axes) == 1
    assert len(figures.shares(found, ["kind", "coverage"]).axes) == 2
    assert len(figures.shares(found, ["species"], "false alarms", most=1).axes) == 1
    assert len(figures.shares(found, ["strange"]).axes) == 1
    assert len(figures.agreement(found).axes) == 3 and len(figures.paint(found).axes) == 2


def test_an_outline_stays_near_the_border():
    image, hole = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool)
    hole[2:6, 2:6] = True
    drawn = figures.outlined(image, hole, 3)
    changed = drawn.any(axis=-1)
    assert drawn.shape == (24, 24, 3) and changed.any() and not image.any()
    assert not changed[9:15, 9:15].any() and not changed[:6].any(), "only the border"


def test_probabilities_and_logits_agree(scored):
    table = error_analysis.make(scored[0], CONFIG).table
    np.testing.assert_allclose(expit(table["logit"]), table["probability"])
