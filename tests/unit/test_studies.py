"""Studies: each variant changes one thing, is judged on every inpainter, and is trained once."""

import numpy as np
import pandas as pd
import pytest
from detector_data import make_pairs
from sklearn.metrics import roc_auc_score

from nbsupport import pairs
from nbsupport.config import EvaluationConfig, StudyConfig
from nbsupport.core.errors import ConfigError, MissingStage
from nbsupport.detectors import classifier
from nbsupport.evaluation import studies
from nbsupport.runs import Run

CONFIG = StudyConfig(
    inpainters=(),
    train_count=0,
    sizes=(4, 12),
    augment=("jpeg",),
    transfers=("head",),
    epochs=2,
    batch_size=8,
    learning_rate=3e-3,
)


def two_painters(run: Run) -> pd.DataFrame:
    """The made-up pairs, whose photographs are filled by "blur" and by "grey"."""
    made = make_pairs(run, 40)
    cache = np.load(run / pairs.store.CACHE)
    more, pictures = [], []
    for number, row in made[made["label"] == "fake"].iterrows():
        picture = cache[number].copy()
        picture[8:24, 8:24] = 127
        pictures.append(picture)
        more.append(row.to_dict() | {"inpainter": "grey", "path": row["path"].replace(".png", "-grey.png")})
    whole = pd.concat([made, pd.DataFrame(more)], ignore_index=True)
    whole.to_parquet(run / pairs.store.MANIFEST)
    np.save(run / pairs.store.CACHE, np.concatenate([cache, np.stack(pictures)]))
    return whole


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("studies") / "run")
    with pytest.raises(MissingStage):
        studies.make(run, CONFIG)
    manifest = two_painters(run)
    return run, manifest, studies.make(run, CONFIG)


def test_every_variant_judges_every_test_picture(studied):
    _, manifest, table = studied
    test = manifest[(manifest["split"] == "test")]
    keys = ["study", "variant", "condition"]
    names = {key for key, _ in table.groupby(keys)}
    assert names == {
        ("size", "4", "clean"), ("size", "12", "clean"), ("transfer", "head", "clean"),
        *(("matrix", name, condition) for name in ("blur", "grey", "blur + degraded", "grey + degraded")
          for condition in ("clean", "jpeg 60")),
    }  # fmt: skip
    for _, own in table.groupby(keys):
        assert sorted(own["path"]) == sorted(test["path"])
        assert set(own.loc[own["label"] == 1, "inpainter"]) == {"blur", "grey"}
    sizes = table.drop_duplicates(["study", "variant"]).set_index(["study", "variant"])["training_photographs"]
    assert sizes["size", "4"] == 4 and sizes["size", "12"] == 12 and sizes["matrix", "blur"] == 24


def test_the_summary_is_what_the_scores_say(studied):
    _, _, table = studied
    records = studies.summarise(table, EvaluationConfig(draws=50))
    found = {(r["study"], r["variant"], r["condition"], r["arm"], r["inpainter"]): r["auroc"] for r in records}
    own = table[(table["study"] == "matrix") & (table["variant"] == "blur") & (table["condition"] == "clean")]
    rows = own[(own["label"] == 0) | ((own["arm"] == "spliced") & (own["inpainter"] == "grey"))]
    value = found["matrix", "blur", "clean", "spliced", "grey"]
    assert value["value"] == pytest.approx(roc_auc_score(rows["label"], rows["logit"]))
    assert value["low"] <= value["value"] <= value["high"]
    assert found["matrix", "blur", "clean", "regenerated", "blur"]["value"] > 0.9, "it learnt its own inpainter"
    assert ("size", "4", "clean", "spliced", "all") in found and ("size", "4", "clean", "spliced", "grey") not in found


def test_nothing_is_trained_twice(studied, monkeypatch):
    run, _, table = studied
    trained = []
    train = classifier.train
    monkeypatch.setattr(classifier, "train", lambda *a, **k: trained.append(a[1]) or train(*a, **k))
    pd.testing.assert_frame_equal(studies.make(run, CONFIG), table)
    assert not trained
    more = StudyConfig(**(vars(CONFIG) | {"sizes": (4, 6, 12)}))
    assert len(studies.make(run, more)) > len(table)
    assert [config.train_count for config in trained] == [6]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"detector": "residual_nat"}, "Did you mean 'residual_net'"),
        ({"transfers": ("heads",)}, "Did you mean 'head'"),
        ({"augment": ("jpg",)}, "Did you mean 'jpeg'"),
        ({"conditions": ("jpeg 61",)}, "Did you mean 'jpeg 60'"),
    ],
)
def test_names_that_no_one_knows_fail_first(studied, wrong, message):
    with pytest.raises(ConfigError, match=message):
        studies.make(studied[0], StudyConfig(**(vars(CONFIG) | wrong)))
