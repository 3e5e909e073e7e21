"""Maps are measured as other implementations do; good maps beat bad ones; the network learns planted holes."""

import numpy as np
import pandas as pd
import pytest
import torch
from detector_data import make_pairs
from sklearn.metrics import average_precision_score, jaccard_score

from nbsupport import masks, pairs
from nbsupport.config import DetectorConfig, LocalizationConfig, SegmentationConfig
from nbsupport.core import rng
from nbsupport.detectors import scores, segmentation
from nbsupport.evaluation import localization
from nbsupport.plots import localization as figures
from nbsupport.runs import Run

SIZE = 32


@pytest.fixture
def maps_and_holes():
    generator = rng.generator(0, "maps")
    holes = np.zeros((6, 20, 24), bool)
    for n in range(6):
        holes[n, 3 + n : 9 + n, 5 : 12 + n] = True
    return generator.random((6, 20, 24)).round(2), holes


def test_overlap_and_precision_agree_with_other_implementations(maps_and_holes):
    maps, holes = maps_and_holes
    found = localization.measure(maps, holes, 0.6)
    for n in range(len(maps)):
        own = (maps[n] - maps[n].min()) / (maps[n].max() - maps[n].min())
        assert found["iou"][n] == pytest.approx(jaccard_score(holes[n].ravel(), own.ravel() >= 0.6))
        assert found["ap"][n] == pytest.approx(average_precision_score(holes[n].ravel(), maps[n].ravel()))
        levels = [jaccard_score(holes[n].ravel(), own.ravel() >= t) for t in localization.THRESHOLDS]
        assert found["best_iou"][n] == pytest.approx(max(levels))
        share = own[holes[n]].sum() / own.sum() / holes[n].mean()
        assert found["inside_density"][n] == pytest.approx(share, rel=1e-4)


def test_the_truth_scores_one_and_a_flat_map_scores_chance(maps_and_holes):
    _, holes = maps_and_holes
    area = holes.mean((1, 2))
    best = localization.measure(holes.astype(float), holes, 0.5)
    assert (best[["pointing", "iou", "best_iou", "ap"]] == 1).all().all() and (best["ring_density"] == 0).all()
    flat = localization.measure(np.zeros(holes.shape), holes, 0.5)
    for metric in ("pointing", "iou", "best_iou", "ap"):
        assert flat[metric].to_numpy() == pytest.approx(area)
    assert flat[["inside_density", "ring_density"]].to_numpy() == pytest.approx(1, abs=1e-4)


def test_a_map_of_the_seam_is_told_from_one_of_the_paint(maps_and_holes):
    _, holes = maps_and_holes
    rings = np.stack([localization.ring_of(hole, 1) for hole in holes]).astype(float)
    assert not (rings.astype(bool) & holes).any()
    assert (localization.measure(rings, holes, 0.5)["inside_minus_ring"] < 0).all()
    assert (localization.measure(holes.astype(float), holes, 0.5)["inside_minus_ring"] > 0).all()


def test_intervals_hold_the_mean_and_see_groups():
    values, groups = rng.generator(0, "values").normal(1, 1, (40, 2)), np.repeat(np.arange(8), 5)
    values[:, 1] = groups  # alike within a group
    own, alone = (localization.means(values, g, LocalizationConfig(draws=300)) for g in (groups, np.arange(40)))
    assert own[0]["value"] == pytest.approx(values[:, 0].mean()) and own[0]["low"] < own[0]["value"] < own[0]["high"]
    assert own[1]["high"] - own[1]["low"] > 1.5 * (alone[1]["high"] - alone[1]["low"])


@pytest.fixture
def run(tmp_path, monkeypatch):
    run = Run(tmp_path / "run")
    manifest = make_pairs(run, photographs=60, size=SIZE)
    manifest = manifest.assign(mask_id=manifest["image_id"] + "-m")
    manifest.to_parquet(run / pairs.store.MANIFEST)
    once = manifest.drop_duplicates("image_id")
    hole = np.zeros((SIZE, SIZE), bool)
    hole[8:24, 8:24] = True
    table = pd.DataFrame({"mask_id": once["mask_id"].to_numpy(), "image_id": once["image_id"].to_numpy()})
    held = masks.MaskSet(table, np.packbits(np.stack([hole.ravel()] * len(table)), axis=1), (SIZE, SIZE))
    monkeypatch.setattr(masks, "load", lambda run: held)
    with (stage := run.stage("detectors", DetectorConfig(train_count=0, names=(), inpainters=()), needs=("pairs",))):
        scores.write(run, scores.DETECTORS, [scores.table(manifest, np.zeros(len(manifest)), "none", 0)])
        stage.outputs(scores.DETECTORS)
    return run


def test_the_segmentation_network_learns_planted_holes_and_is_measured(run, capsys):
    config = SegmentationConfig(steps=60, batch_size=12, channels=6, validate_every=15)
    segmentation.make(run, config)
    record = run.record("segmentation")
    assert record["notes"]["loss"] < 0.35 < record["notes"]["first_loss"]
    again = segmentation.make(run, config)
    assert "loaded" in capsys.readouterr().out and not again.training
    found = localization.make(run, LocalizationConfig(draws=50))
    ap = found.table.groupby(["detector", "arm"])["ap"].mean()
    assert ap["segmentation", "spliced"] > 0.5 > ap["uniform", "spliced"] == pytest.approx(0.25)
    assert {r["arm"] for r in found.result["records"]} == {"spliced", "regenerated"}
    flat = [r["over_uniform"]["value"] for r in found.result["records"] if r["detector"] == "uniform"]
    assert np.allclose(flat, 0)
    for figure in (figures.scores(found), figures.densities(found), figures.arms(found)):
        assert len(figure.axes) >= 2


def test_photographs_have_empty_masks(run):
    manifest = pairs.load(run).manifest
    found = segmentation.holes_of(manifest.head(6), masks.load(run))
    assert (found.any((1, 2)) == (manifest.head(6)["label"] == "fake")).all()


@pytest.mark.parametrize("shape", [(32, 32), (30, 46)])
def test_the_network_keeps_the_size_and_trains_all_its_parameters(shape):
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        model = segmentation.SegmentationNet(4)
    logits = model(torch.rand(2, 3, *shape, generator=generator) * 2 - 1)
    assert logits.shape == (2, *shape)
    logits.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
