"""The protocol: DeLong, McNemar and Holm against brute force, probes at chance where they must be, real codecs."""

import itertools

import detector_data
import numpy as np
import pandas as pd
import pytest
from IPython.display import Markdown
from matplotlib.figure import Figure
from scipy import stats

from nbsupport import masks, pairs
from nbsupport.config import DataConfig, EvaluationConfig, MaskConfig, PairsConfig, RobustnessConfig
from nbsupport.core.errors import ConfigError, MissingStage
from nbsupport.core.files import read_json
from nbsupport.data import index
from nbsupport.detectors import corruptions, scores
from nbsupport.evaluation import audit, detector_metrics, naive, readings, robustness, sharpness
from nbsupport.plots import protocol
from nbsupport.runs import Run, project_root
from nbsupport.stats import paired


def drawn(count=60, ties=False, seed=0):
    draw = np.random.default_rng(seed)
    labels = draw.random(count) < 0.4
    first, second = labels + draw.normal(0, 1, count), 0.4 * labels + draw.normal(0, 1, count)
    return (labels, np.round(first), np.round(second)) if ties else (labels, first, second)


def kernel(x, y):
    return 1.0 if x > y else 0.5 if x == y else 0.0


@pytest.mark.parametrize("ties", [False, True])
def test_delong_is_that_of_all_pairs_of_pictures(ties):
    labels, first, second = drawn(ties=ties)
    found = paired.delong(labels, first, second, np.arange(len(labels)))
    parts = []
    for scores_ in (first, second):
        table = np.array([[kernel(x, y) for y in scores_[~labels]] for x in scores_[labels]])
        parts.append((table.mean(), table.mean(axis=1), table.mean(axis=0)))
    assert found.first == pytest.approx(parts[0][0], abs=1e-12)
    assert found.second == pytest.approx(parts[1][0], abs=1e-12)
    covariances = [np.cov(parts[0][side], parts[1][side]) / len(parts[0][side]) for side in (1, 2)]
    variance = sum(c[0, 0] + c[1, 1] - 2 * c[0, 1] for c in covariances)
    z = (parts[0][0] - parts[1][0]) / np.sqrt(variance)
    t = stats.t(len(labels) - 1)
    assert found.p == pytest.approx(2 * t.sf(abs(z)), abs=1e-9)
    assert found.high - found.difference == pytest.approx(t.isf(0.025) * np.sqrt(variance), rel=1e-5)


def test_holm_steps_down():
    p = [0.01, 0.04, 0.03, 0.005]
    expected = [0.03, 0.06, 0.06, 0.02]  # worked by hand: sorted times 4, 3, 2, 1, and never falling
    assert paired.holm(p) == pytest.approx(expected) and len(paired.holm([])) == 0


def test_pairs_of_detectors_are_told_apart_or_called_a_tie():
    labels, good, bad = drawn(300)
    draw, tables = np.random.default_rng(1), []
    logits = {"good": 3 * good, "bad": bad * 0 + draw.normal(size=300), "same": 3 * good + draw.normal(0, 1e-3, 300)}
    for name, values in logits.items():
        tables.append(pd.DataFrame({
            "image_id": [f"i{n}" for n in range(300)], "group": np.arange(300), "detector": name, "seed": 0,
            "arm": np.where(labels, "spliced", "original"), "condition": "clean", "logit": values, "split": "test",
            "probability": 1 / (1 + np.exp(-values)), "label": labels.astype(int),
            "path": [f"p{n}" for n in range(300)],
        }))  # fmt: skip
    found = {(r["first"], r["second"]): r for r in detector_metrics.pairwise(pd.concat(tables))}
    assert len(found) == 3 and found["good", "bad"]["verdict"] == "first"
    assert found["good", "same"]["verdict"] == "tie"
    p = [r["delong_p"] for r in found.values()]
    assert [r["delong_holm"] for r in found.values()] == pytest.approx(list(paired.holm(p)))
    brute = paired.delong(labels, logits["good"], logits["bad"], np.arange(300))
    assert found["good", "bad"]["difference"]["value"] == pytest.approx(brute.difference)


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """A set of synthetic birds filled by Telea's method: spliced and regenerated are the same there."""
    run = Run(tmp_path_factory.mktemp("audit") / "run")
    index.prepare(run, DataConfig(dataset="synthetic", count=120, image_size=32))
    masks.make(run, MaskConfig(kinds=("centre", "strokes"), coverage_low=0.15, coverage_high=0.35))
    pairs.make(run, PairsConfig(inpainters=("telea",), kinds=("centre", "strokes")), processes=1)
    return run


def test_probes_are_at_chance_where_both_classes_are_given_the_same(audited):
    learnt = {"fake_arms": ("spliced",), "inpainters": (), "batch_size": 8, "train_count": 0}
    found = audit.audit_run(audited, EvaluationConfig(draws=200), most=60, learnt=learnt)
    by = {(r["probe"], r["arm"], r["real"]): r for r in found["probes"]}
    for probe in ("file", *audit.PIXELS, "mask", "compression"):
        record = by[probe, "spliced", "original"]
        assert record["auroc"]["value"] == 0.5 and record["at_chance"] and not record["flag"], probe
        assert record["by_construction"] == (probe != "file")
    assert by["file size", "spliced", "original"]["auroc"]["value"] > 0.6, "smooth fills take fewer bytes"
    assert not found["flags"], "the file's size sees the paint: reported, no flag"
    for probe in ("grain", "network", "compression"):
        assert by[probe, "spliced_reencoded", "original"]["auroc"]["low"] > 0.5, "the encoder touched what is visible"
    assert found["guard"] == {"spliced": 120, "equal": 120}
    assert found["training"]["arms"] == [
        {"real": "original", "fake": "spliced", "pairs": 3 * 72}
    ]  # 60 % of 120, in three epochs
    assert found["training"]["equal_outside"] == 1 and not found["training"]["flags"]
    assert audited.result("audit") == found
    assert len(protocol.audit(found["probes"]).axes) == 3 and protocol.controls(found["controls"]).axes
    for axis in protocol.audit(found["probes"]).axes:
        low, high = axis.get_xlim()
        assert all(low < r["auroc"][key] < high for r in found["probes"] for key in ("value", "low", "high"))
    text = audit.reading(found)
    assert "120 spliced pictures all equal" in text and "arm: none" in text
    worse = found | {"guard": {"spliced": 120, "equal": 119}, "flags": ["grain (original against spliced)"]}
    assert "only 119 equal" in audit.reading(worse) and "arm: grain" in audit.reading(worse)


def test_a_planted_shortcut_is_flagged(audited):
    """One class of fewer grey levels outside the hole: the probes that see only the outside must notice."""
    made, holes = pairs.load(audited), masks.load(audited)
    pictures = np.array(made.cache)
    spliced = made.rows(arm="spliced")
    outside = ~holes.get(made.manifest["mask"].to_numpy()[spliced])
    pictures[spliced] = np.where(
        outside[..., None] & (pictures[spliced] < 250), pictures[spliced] // 8 * 8, pictures[spliced]
    )
    made.__dict__["cache"] = pictures
    found = {(r["probe"], r["arm"], r["real"]): r for r in audit.audit(made, holes, draws=200, most=60)}
    assert found["grain", "spliced", "original"]["flag"]
    assert not found["mask", "spliced", "original"]["flag"]
    assert audit.guard(made, holes)["equal"] < 10


def test_every_planted_shortcut_is_found_and_nothing_where_nothing_was_planted(audited):
    records = {r["shortcut"]: r for r in audit.controls(pairs.load(audited), masks.load(audited), draws=200)}
    assert set(records) == {"nothing", *audit.SHORTCUTS}
    for name in audit.SHORTCUTS:
        if name != "random least bits":  # 64 training pictures of 32 pixels are too few for it; on photographs: below
            assert records[name]["found"], (name, records[name])
    assert records["random least bits"]["probes"]["grain"]["low"] > 0.5
    assert not any(audit.leaves_chance(found) for found in records["nothing"]["probes"].values())
    text = audit.reading({"guard": {"spliced": 1, "equal": 1}, "flags": [], "controls": list(records.values())})
    assert "where nothing was planted: none" in text
    records["JPEG at quality 85"]["found"] = False
    text = audit.reading({"guard": {"spliced": 1, "equal": 1}, "flags": [], "controls": list(records.values())})
    assert "JPEG at quality 85" in text


def test_training_rows_with_reals_of_all_variants_are_flagged(audited):
    """As detectors were once trained: a quarter of the reals had been JPEG, and no fake ever was."""
    made, holes = pairs.load(audited), masks.load(audited)
    own = made.manifest[made.manifest["split"] == "train"]
    fakes, reals = own[own["arm"] == "spliced"], own[own["label"] == "real"].groupby("image_id").indices
    rows = own[own["label"] == "real"].index.to_numpy()
    draw = np.random.default_rng(0)
    mixed = [rows[draw.choice(reals[name])] for name in fakes["image_id"]]
    found = audit.training_rows(made, holes, np.stack([mixed, fakes.index.to_numpy()]), draws=200)
    assert {record["real"] for record in found["arms"]} == {"original", "reencoded", "reconstructed"}
    assert found["equal_outside"] < 0.9 and set(found["flags"]) & {"grain", "network"}


@pytest.mark.parametrize("condition", list(corruptions.CONDITIONS))
def test_conditions_change_pictures_and_keep_their_form(condition):
    images = np.stack([detector_data.photograph(n, 32) for n in range(3)])
    changed = corruptions.apply(condition, images, [1, 2, 3])
    assert changed.shape == images.shape and changed.dtype == np.uint8
    assert (changed != images).any(axis=(1, 2, 3)).all()
    assert np.abs(changed.astype(int) - images).mean() < 40, "still the same picture"
    assert np.array_equal(changed, corruptions.apply(condition, images, [1, 2, 3]))


def test_a_codec_is_the_real_one_and_quality_matters():
    import io

    from PIL import Image

    image = detector_data.photograph(1, 32)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=60, subsampling="4:2:0")
    decoded = np.array(Image.open(buffer).convert("RGB"))
    assert np.array_equal(corruptions.apply("jpeg 60", image[None], [0])[0], decoded)
    errors = [
        np.abs(corruptions.apply(f"jpeg {q}", image[None], [0])[0].astype(int) - image).mean() for q in (95, 80, 60, 30)
    ]
    assert all(a < b for a, b in itertools.pairwise(errors))


def test_scores_under_conditions_are_kept_and_summarised(runs_folder):
    from nbsupport.config import DetectorConfig
    from nbsupport.detectors import classifier

    run = Run("robust")
    detector_data.make_masks(run, 40)
    detector_data.make_pairs(run, 40)
    with pytest.raises(MissingStage):
        robustness.score(run, RobustnessConfig())
    classifier.fit(
        run,
        DetectorConfig(
            inpainters=(), train_count=0, names=("power_spectrum", "local_sharpness"), epochs=2, batch_size=8
        ),
    )
    with pytest.raises(ConfigError, match="jpeg 60"):
        robustness.score(run, RobustnessConfig(conditions=("jpg 60",)))
    config = RobustnessConfig(conditions=("jpeg 60", "noise 5"), count=6)
    table = robustness.score(run, config)
    every = {"clean", sharpness.MATCHED, "jpeg 60", "noise 5"}
    assert set(table["condition"]) == every and table["image_id"].nunique() == 6
    assert set(table.loc[table["condition"] == sharpness.MATCHED, "arm"]) == {"original", "spliced"}
    clean, whole = table[table["condition"] == "clean"], scores.load(run)
    both = clean.merge(whole, on=["path", "detector", "seed"])
    assert len(both) == len(clean) and np.allclose(both["logit_x"], both["logit_y"], atol=1e-4)
    before = (run / scores.CONDITIONS).stat().st_mtime_ns
    pd.testing.assert_frame_equal(robustness.score(run, config), table)
    assert (run / scores.CONDITIONS).stat().st_mtime_ns == before, "not scored again"
    records = robustness.summarise(table, EvaluationConfig(draws=50))
    assert len(records) == (3 * 2 + 1) * 2 and {r["condition"] for r in records} == every
    assert len(protocol.conditions(records).axes) == 2 and protocol.reliability(whole).axes
    left = {r["detector"]: r for r in sharpness.left(table, EvaluationConfig(draws=200))}
    blur = left["local_sharpness"]
    assert blur["before"]["value"] > 0.95 > 0.7 > blur["after"]["value"], "nothing but blur was in these fakes"
    assert blur["verdict"] == "higher" and blur["loss"]["value"] == pytest.approx(
        blur["before"]["value"] - blur["after"]["value"]
    )
    assert protocol.sharpness(list(left.values())).axes


def test_matched_holes_are_as_sharp_as_their_surroundings_and_nothing_else_changes():
    photographs = np.stack([detector_data.photograph(n, 64) for n in range(12)])
    soft = np.stack([detector_data.arms_of(n, 64)["spliced"] for n in range(12)])
    hole = np.zeros((64, 64), bool)
    hole[16:48, 16:48] = True
    holes = np.stack([hole] * 12)
    matched = sharpness.match(soft, holes, range(12))
    assert (matched[~holes] == soft[~holes]).all() and matched.dtype == np.uint8
    inner = np.zeros_like(hole)
    inner[20:44, 20:44] = True

    def share(pictures):
        return [np.median(sharpness.energy(p)[inner]) / np.median(sharpness.energy(p)[~hole]) for p in pictures]

    assert max(share(soft)) < 0.2 and all(0.5 < found < 2 for found in share(matched))
    assert (sharpness.match(matched[:1], holes[:1], [5])[0] - matched[0].astype(int)).std() < 12, (
        "almost nothing missing"
    )
    assert (sharpness.match(soft, holes, range(12)) == matched).all(), "a pure function of the seeds"
    none = np.zeros_like(holes)
    assert (sharpness.match(photographs, none, range(12)) == photographs).all()


def test_the_naive_protocol_is_inflated_by_the_encoder(audited):
    """Telea changes nothing outside the hole, so that the arms are alike and only the encoder gives the class away."""
    found = naive.ladder_run(audited, EvaluationConfig(draws=200), quality=30)
    steps = {(record["protocol"], record["arm"]): record for record in found["steps"]}
    assert set(steps) == {(step.name, arm) for step in naive.STEPS for arm in naive.TASKS}
    first, second, last = (steps[step.name, "spliced"]["accuracy"] for step in naive.STEPS)
    assert first["value"] > 0.9 > second["high"], "JPEG against PNG gives the class away"
    assert steps[naive.STEPS[-1].name, "spliced"]["pictures"] == 2 * 30
    by = {(d["kind"], d["what"], d["arm"]): d for d in found["differences"]}
    encoder = by["protocol", "one encoder for both classes", "spliced"]
    assert encoder["value"] == pytest.approx(first["value"] - second["value"]) and encoder["low"] > 0.1
    task = by["task", "regenerated minus spliced", "spliced"]
    assert task["value"] == pytest.approx(0) and task["low"] <= 0 <= task["high"], "Telea's output is a splice"
    assert len(protocol.sweep(found["steps"]).axes) == 1
    text = naive.reading(found)
    assert "a real inflation" in text and "task, regenerated minus spliced: +0 [" in text
    turned = [d | {"value": -0.2, "low": -0.3, "high": -0.1} for d in found["differences"]]
    text = naive.reading(found | {"differences": turned})
    assert "the accuracy rises" in text and "inflation" not in text and "the first task is harder" in text
    only = pairs.load(audited)
    short = only.manifest[only.manifest["arm"] != "regenerated"]
    with pytest.raises(ConfigError, match="regenerated"):
        naive.sweep(type(only)(only.root, short, only.config), EvaluationConfig(draws=20))


def test_seams_show_where_blocks_meet():
    flat = np.full((1, 32, 32, 3), 100, np.uint8)
    flat[:, :, 8::16] += 20  # one column of another colour every sixteen
    across = audit.seams(flat)[0]
    assert across[:8].max() == across[:8].min(), "nothing changes downwards"
    assert across[8:].argmax() in (6, 7, 0)


def test_the_results_kept_with_the_book_are_shown_whole():
    kept = project_root() / "book" / "results" / "cub"
    real = {name: read_json(kept / f"{name}.json") for name in protocol.KEPT}
    parts = list(protocol.real_photographs(real))
    assert sum(isinstance(part, Figure) for part in parts) == 7
    texts = [part.data for part in parts if isinstance(part, Markdown)]
    assert texts[0] == readings.gap(real["detectors"]["gap"]) and "Shortcut probes flagged" in texts[-1]
    assert all(texts), "a heading without its answer"
