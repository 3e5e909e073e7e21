"""The demo without a browser: its session says what is missing, its panels show no unescaped word, fills stay true."""

import datetime
import inspect
import io
import json
import types
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import expit

from nbsupport import masks
from nbsupport.config import DataConfig, MaskConfig
from nbsupport.core.errors import ConfigError, MissingStage, UserError
from nbsupport.data import index
from nbsupport.data.captions import Vocabulary
from nbsupport.demo import Demo, InpaintPanel, Session, experiments, pictures, saving, text, uploads
from nbsupport.demo.detect_panel import DetectPanel
from nbsupport.detectors import heatmaps, inspection, packaged, predict
from nbsupport.inpainters import base, classical, registry
from nbsupport.runs import Run
from nbsupport.stats import calibration
from nbsupport.tdanet import weights

COUNT, SIZE = 6, 32
EVIL = "<img src=x onerror=alert(1)> a grue & bird"


@pytest.fixture(scope="module", autouse=True)
def used_once():
    """Libraries that import parts of themselves at first use move Python's random state: have them do it here."""
    values = np.linspace(0, 1, 20)
    calibration.fit_band(values > 0.5, values)
    calibration.empirical_precision(values > 0.5, values, np.arange(20), 0.5)
    page = InpaintPanel(Session())
    page.tools.editor.rectangle((5, 5), (20, 20))
    page.inpainter.value = "telea"
    page.fill()
    assert page.result is not None


@pytest.fixture
def run(runs_folder, monkeypatch):
    """A run with photographs and masks, without TDANet and detectors."""
    run = Run("panel-test")
    with run.stage("index", DataConfig()):
        pass
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (COUNT, SIZE, SIZE, 3), dtype=np.uint8)
    table = pd.DataFrame(
        {
            "image_id": [f"b{k}" for k in range(COUNT)],
            "label": ["<b>wren</b>"] * COUNT,
            "split": ["train", "test", "test", "validation", "test", "train"],
            "captions": [[f"a bird {k}", "second"] if k != 4 else [] for k in range(COUNT)],
        }
    )
    objects = np.zeros((COUNT, SIZE, SIZE), bool)
    objects[1, 8:20, 8:20] = True
    cache = types.SimpleNamespace(
        images=images,
        objects=objects,
        has_object=objects.any(axis=(1, 2)),
        parts=pd.DataFrame({"image_id": ["b1"], "row": [1], "part": ["crown"], "x": [12.0], "y": [9.0]}),
    )
    dataset = types.SimpleNamespace(index=table, cache=cache)
    monkeypatch.setattr(index, "load", lambda run: dataset)
    masks.make(run, MaskConfig(kinds=("centre", "rectangles", "object")))
    return run


class Reader:
    """A stand-in for TDANet: paints by the length of the caption and the seed."""

    name = "tdanet"
    caption_length = 4
    vocabulary = Vocabulary.build(["a bird with red wings"], min_count=1)

    def fill(self, images, masks, captions, *, seeds):
        values = [[(len(c) + s) % 256] for c, s in zip(captions, seeds, strict=True)]
        return np.broadcast_to(np.array(values, np.uint8)[:, None, None], images.shape).copy()


def detector(name, logit_of, size=SIZE):
    return types.SimpleNamespace(name=name, seed=0, logit_of=logit_of, record={"image_size": size})


@pytest.fixture
def complete(run, monkeypatch):
    """The same with a TDANet and two detectors, all stand-ins: one goes by brightness, one is sure of everything."""
    for stage in ("tdanet", "detectors"):
        with run.stage(stage, DataConfig()):
            pass
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "tdanet.safetensors").write_bytes(b"weights")
    create = registry.create
    monkeypatch.setattr(
        registry, "create", lambda name, run=None: base.checked(Reader()) if name == "tdanet" else create(name)
    )
    made = {
        "bright": detector("bright", lambda picture: (picture.mean() - 128) / 16),
        "sure": detector("sure", lambda picture: 50.0),
    }
    monkeypatch.setattr(predict, "available", lambda run: [(name, 0) for name in made])
    monkeypatch.setattr(predict, "load", lambda run, name, seed: made[name])
    monkeypatch.setattr(predict, "score", lambda model, images: np.array([model.logit_of(image) for image in images]))
    monkeypatch.setattr(heatmaps, "target_layer", lambda trained: trained.name if trained.name == "bright" else None)
    monkeypatch.setattr(heatmaps, "grad_cam", lambda trained, p: p.mean(axis=-1).astype(np.float32) / 255)
    values = np.linspace(0.01, 0.99, 40)
    table = pd.DataFrame({"label": (values > 0.5).astype(int), "group": np.arange(40), "bright": values, "sure": 1.0})
    monkeypatch.setattr(packaged, "validation_table", lambda run, chosen: table)
    return run


def test_a_session_says_what_is_missing_and_the_package_steps_in(run, monkeypatch):
    monkeypatch.setattr(packaged, "sets", lambda: [])
    session = Session(run)
    assert session.photographs["image_id"].tolist() == ["b1", "b2", "b4"]
    assert "tdanet" not in session.methods and session.methods[-len(classical.CLASSICAL) :] == classical.CLASSICAL
    assert session.methods[: -len(classical.CLASSICAL)] == tuple(f"tdanet:{name}" for name in weights.names())
    assert f"python -m nbsupport run --run {run.name} --dataset synthetic --only 1-4" in session.inpainters.missing
    result = session.fill("b2", session.mask("b2", "centre"), "a bird", "telea")
    assert not result.reads_caption and result.unknown_words == ()
    assert np.array_equal(result.spliced[~result.mask], result.original[~result.mask])
    assert result.coverage == result.mask.mean()
    verdict = session.verdict(result.spliced)
    assert verdict.vote is None and "--only 1-7" in verdict.missing and session.using_detectors() == [verdict.missing]
    with pytest.raises(MissingStage):
        session.sweep(result.spliced)


def test_a_run_without_photographs_shows_drawn_birds_and_says_so(runs_folder):
    session = Session(Run("not-yet"))
    assert len(session.photographs) == 40 and session.methods[0].startswith("tdanet:")
    assert "holds no photographs yet" in session.using()[0] and "--run not-yet --only 1-2" in session.using()[0]


def test_without_a_run_birds_are_drawn(monkeypatch):
    monkeypatch.setattr(packaged, "sets", lambda: [])
    session, other = Session(), Session()
    ids = session.photographs["image_id"].tolist()
    assert len(set(ids)) == 40 and session.image(ids[0]).shape == (64, 64, 3)
    assert np.array_equal(session.image(ids[3]), other.image(ids[3])) and session.captions(ids[3])
    assert session.inpainters.missing == "" and "--only 1-7" in session.no_detectors
    for kind in session.mask_kinds(ids[0]):
        assert 0.08 < session.mask(ids[0], kind).mean() < 0.22
    part = session.parts(ids[0])[0]
    x, y = session.samples.parts(ids[0])[part]
    assert session.part(ids[0], part)[int(y), int(x)], "the hole lies over the part"
    with pytest.raises(ConfigError, match="Unknown photograph"):
        session.image("nobody")
    with pytest.raises(ConfigError, match="Unknown part"):
        session.part(ids[0], "trunk")


def test_a_session_offers_only_holes_that_the_photograph_can_have(run):
    session = Session(run)
    assert session.mask_kinds("b1") == ["centre", "rectangles", "object"]
    assert session.mask_kinds("b2") == ["centre", "rectangles"]
    assert session.captions("b1") == ["a bird 1", "second"] and session.captions("b4") == []
    assert session.parts("b1") == ["crown"] and session.parts("b2") == []
    with pytest.raises(ConfigError, match="Unknown photograph 'b9'"):
        session.image("b9")


def test_a_session_tells_unknown_and_unread_words(complete):
    session = Session(complete)
    assert session.methods[0] == "tdanet" and session.inpainters.missing == ""
    result = session.fill("b1", session.mask("b1", "object"), "A grue bird grue with wings", "tdanet", seed=7)
    assert result.unknown_words == ("grue",) and result.cut_words == ("with", "wings")
    assert (result.regenerated == len("A grue bird grue with wings") + 7).all()
    assert result.output("spliced") is result.spliced and result.output("regenerated") is result.regenerated
    with pytest.raises(ConfigError, match="regenerated"):
        result.output("regenerate")


def test_several_fills_take_seeds_one_after_the_other(complete):
    session = Session(complete)
    fills = session.fills("b1", session.mask("b1", "centre"), "ab", "tdanet", seed=5, count=3)
    assert [f.seed for f in fills] == [5, 6, 7] and [int(f.regenerated[0, 0, 0]) for f in fills] == [7, 8, 9]
    with pytest.raises(UserError, match="no hole yet"):
        session.fills("b1", np.zeros((SIZE, SIZE), bool), "", "tdanet")
    with pytest.raises(ConfigError, match="pixels"):
        session.fills("b1", np.zeros((4, 4), bool), "", "tdanet")


def test_the_ensemble_votes_and_says_unsure_between_its_thresholds(complete):
    session = Session(complete)
    for level in (10, 120, 128, 136, 250):
        verdict = session.verdict(np.full((SIZE, SIZE, 3), level, np.uint8))
        bright = expit((level - 128) / 16)
        assert verdict.probabilities == pytest.approx({"bright": bright, "sure": 1.0})
        assert verdict.vote == pytest.approx((bright + 1) / 2)
        own = verdict.predictions["bright"]
        assert own.verdict == session.inspector.bands["bright"].verdict(own.probability)
        assert own.precision is None or own.precision["low"] <= own.precision["value"] <= own.precision["high"]
    said = [session.verdict(np.full((SIZE, SIZE, 3), v, np.uint8)).predictions["bright"].verdict for v in (10, 250)]
    assert said == ["real", "inpainted"]


def test_the_demo_is_as_strict_as_every_other_verdict_and_says_how_strict():
    assert inspect.signature(calibration.fit_band).parameters["allowed"].default == calibration.ALLOWED
    assert f"at most {100 * calibration.ALLOWED:.0f}% of the validation pictures" in text.EXPLANATION


def test_the_ladder_marks_verdicts_that_turn(complete):
    session = Session(complete)
    table = session.sweep(session.image("b1"), steps=("jpeg 60", "resize 0.5"))
    assert list(dict.fromkeys(table["step"])) == ["as it is", "jpeg 60", "resize 0.5"]
    assert not table.loc[table["step"] == "as it is", "flips"].any()
    turned = pd.DataFrame(
        [("as it is", "soft_vote", 0.9, "inpainted", False), ("jpeg 60", "soft_vote", 0.1, "real", True)],
        columns=["step", "name", "probability", "verdict", "flips"],
    )
    assert "changes (⇄) after: jpeg 60" in text.sweep(turned) and "survives" in text.sweep(turned.iloc[:1])


def test_an_overlap_is_that_of_the_hottest_pixels():
    hole = np.zeros((10, 10), bool)
    hole[2:6, 2:7] = True
    assert heatmaps.overlap(hole.astype(float), hole) == (1.0, pytest.approx(0.2 / 1.8))
    assert heatmaps.overlap(-hole.astype(float), hole)[0] == 0
    with pytest.raises(UserError):
        heatmaps.overlap(np.zeros((4, 4)), np.zeros((4, 4), bool))


def test_a_heat_map_is_of_one_detector_or_of_all_that_look_at_places(complete):
    session = Session(complete)
    image = session.image("b1")
    assert np.array_equal(session.inspector.heat_map(image, "soft_vote"), session.inspector.heat_map(image, "bright"))
    with pytest.raises(ConfigError, match="no detector"):
        session.inspector.heat_map(image, "nobody")


def test_an_uploaded_photograph_is_filled_around_its_hole_and_judged_whole(complete):
    session = Session(complete)
    draw = np.random.default_rng(0).integers(0, 256, (90, 140, 3), dtype=np.uint8)
    upload = uploads.Upload("x.png", draw, "ab" * 32)
    hole = np.zeros((90, 140), bool)
    hole[30:60, 100:130] = True
    result = session.fill(upload, hole, "a bird", "telea")
    assert result.sha256 == "ab" * 32 and result.square.side == 60
    assert np.array_equal(result.spliced[~hole], draw[~hole]) and (result.spliced[hole] != draw[hole]).any()
    seen = session.view(result.spliced)
    assert seen.picture.shape == (SIZE, SIZE, 3) and "square" in seen.name
    left, top, right, bottom = map(round, seen.frame)
    assert session.view_hole(hole, seen).mean() == pytest.approx(hole[top:bottom, left:right].mean(), abs=0.03)
    record = saving.record(session, result, {"spliced": session.verdict(result.spliced)})
    assert record["picture"] == {"upload": "x.png", "sha256": "ab" * 32, "height": 90, "width": 140}
    assert record["square"]["side"] == 60 and record["weights"] is None


def test_a_picture_of_another_kind_or_a_verdict_that_flips_is_said(complete, monkeypatch):
    session = Session(complete)
    picture = session.image(session.photographs["image_id"].iloc[0])
    judges, prediction = session.inspector, inspection.Prediction
    monkeypatch.setattr(judges, "bands", {name: calibration.Band(-1.0, 0.0, 0.2) for name in judges.names})
    kept = session.verdict(picture).predictions["soft_vote"]
    assert kept.verdict == "inpainted"
    look = judges.look

    def turned(picture, check=True):
        found = look(picture, check)
        if not check:
            vote = found.predictions["soft_vote"]
            found.predictions["soft_vote"] = prediction(vote.name, vote.probability, "real")
        return found

    monkeypatch.setattr(judges, "look", turned)
    flipped = session.verdict(picture).predictions["soft_vote"]
    assert flipped.verdict == "unsure" and flipped.precision is None
    monkeypatch.setattr(judges, "look", look)
    judges.kind = types.SimpleNamespace(knows=lambda trained, pictures: np.zeros(len(pictures), bool))
    told = session.verdict(picture)
    assert not told.predictions and "not a picture of the kind" in told.missing
    assert "not a picture of the kind" in text.predictions(told) and "kind" in text.verdict(told, told)


def test_the_zip_holds_what_was_shown_and_where_it_came_from(complete):
    session = Session(complete)
    result = session.fill("b1", session.mask("b1", "centre"), EVIL, "tdanet", seed=3)
    with zipfile.ZipFile(
        io.BytesIO(saving.archive(session, result, {"spliced": session.verdict(result.spliced)}))
    ) as z:
        files = {name: z.read(name) for name in z.namelist()}
    record = json.loads(files["provenance.json"])
    assert np.array_equal(np.array(Image.open(io.BytesIO(files["spliced.png"]))), result.spliced)
    assert np.array_equal(np.array(Image.open(io.BytesIO(files["mask.png"]))) == 255, result.mask)
    assert record["caption"] == EVIL and record["seed"] == 3 and record["picture"]["image_id"] == "b1"
    assert record["weights"]["from"] == f"run: {complete.name}" and len(record["weights"]["sha256"]) == 64
    assert set(record["verdicts"]["spliced"]) == {"bright", "sure", "soft_vote"}


def test_nothing_that_was_written_by_others_reaches_the_page_as_markup(complete):
    page = InpaintPanel(complete)
    page.tools.editor.add(page.session.mask("b1", "centre"))
    page.caption.value = EVIL
    page.fill()
    upload = uploads.Upload(EVIL, np.zeros((SIZE, SIZE, 3), np.uint8), "0" * 64)
    result = page.session.fill(upload, page.hole(), EVIL, "tdanet")
    panel = DetectPanel(page.session, lambda: result)
    panel.judge()
    shown = [
        page.message.value, page.words.value, page.results.verdict.value, page.results.status.value,
        page.results.caption.value, panel.message.value, panel.predictions.value, panel.sweep.value,
        text.caption(EVIL), text.note(EVIL), text.download(EVIL, EVIL, "text/plain", ""),
        text.attention(pd.DataFrame({"inpainting path": [1.0], "visible part": [1.0]}, index=[EVIL])),
    ]  # fmt: skip
    assert not any("<img" in html for html in shown) and "&lt;img" in panel.message.value
    assert "&lt;img" in page.results.caption.value and "&amp;" in text.caption(EVIL)
    assert "<b>img</b>" in page.words.value  # the tokeniser keeps words only
    assert "&lt;x&gt;" in text.reading(("<x>",), ("<y>",), True) and "<y>" not in text.reading((), ("<y>",), True)


def picture(widget):
    return np.array(Image.open(io.BytesIO(widget.value)))


def test_the_panel_fills_shows_and_forgets(complete):
    page = InpaintPanel(complete)
    shown = page.results.pictures
    assert page.photograph.value == "b1" and page.caption.value == "a bird 1"
    assert picture(shown["original"]).shape == (192, 192, 3)
    blank = shown["filled"].value
    page.fill()
    assert "no hole yet" in page.message.value and page.result is None and not page.button.disabled
    hole = page.session.mask("b1", "centre")

    def paint():
        page.tools.editor.replace(hole)
        page.tools.changed()
        page.fill()

    paint()
    assert page.result is not None and np.array_equal(page.result.mask, hole)
    assert np.array_equal(picture(shown["filled"])[::6, ::6], page.result.spliced)
    assert "painted by tdanet" in page.results.status.value and "bright" in page.results.verdict.value
    page.results.arm.value = "regenerated"
    assert np.array_equal(picture(shown["filled"])[::6, ::6], page.result.regenerated)
    for change in (
        lambda: setattr(page.seed, "value", 3),
        lambda: setattr(page.count, "value", 2),
        lambda: setattr(page.caption, "value", "a red bird"),
        lambda: page.tools.buttons["invert"].click(),
        lambda: setattr(page.photograph, "value", "b2"),
    ):
        paint()
        assert shown["filled"].value != blank
        change()
        assert page.result is None and shown["filled"].value == blank and page.results.verdict.value == ""


def test_strokes_on_the_surface_become_a_hole(complete):
    page = InpaintPanel(complete)
    surface = page.tools.surface
    assert surface.shown == (384, 384) and surface.canvas.layout.width == "384px"
    surface._begin(96, 96)
    surface._move(288, 96)
    surface._end(288, 96)
    mask = page.tools.editor.mask
    assert mask[8, 8:24].all() and not mask[16:].any() and "covers" in page.tools.coverage.value
    page.tools.tool.value = "eraser"
    surface._begin(192, 96)
    surface._end(192, 96)
    assert not page.tools.editor.mask[8, 16] and page.tools.editor.mask[8, 9]
    page.tools.buttons["undo"].click()
    assert page.tools.editor.mask[8, 16] and not page.tools.buttons["redo"].disabled
    page.tools.tool.value = "rectangle"
    surface._begin(0, 192)
    surface._move(100, 300)
    surface._end(384, 384)
    assert page.tools.editor.mask[16:25, :9].all()
    surface._end()
    surface._move(5, 5)  # no button is held down: nothing happens
    page.tools.ready.value = "part: crown"
    assert page.tools.editor.mask[9, 12] and page.tools.ready.value.startswith("add")


def test_several_samples_can_be_chosen(complete):
    page = InpaintPanel(complete)
    page.tools.editor.add(page.session.mask("b1", "centre"))
    page.count.value = 3
    page.fill()
    assert [button.description for button in page.results.pick[:3]] == ["seed 0", "seed 1", "seed 2"]
    page.results.pick[2].click()
    assert page.result.seed == 2
    assert np.array_equal(picture(page.results.pictures["filled"])[::6, ::6], page.result.spliced)


def file(name, data):
    when = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    return ({"name": name, "content": memoryview(data), "size": len(data), "type": "", "last_modified": when},)


def test_files_of_ones_own_replace_the_photograph_and_bad_ones_do_not(complete):
    page = InpaintPanel(complete)
    buffer = io.BytesIO()
    Image.fromarray(np.full((50, 70, 3), 90, np.uint8)).save(buffer, "PNG")
    page.upload.value = file("mine.png", buffer.getvalue())
    assert "Loaded mine.png" in page.message.value and page.photograph.label == "my own: mine.png"
    assert page.image.shape == (50, 70, 3) and page.tools.surface.shown == (274, 384)
    assert page.tools.editor.shape == (50, 70) and page.caption.value == ""
    page.tools.editor.rectangle((10, 10), (30, 30))
    page.inpainter.value = "telea"
    page.fill()
    filled = page.result
    assert filled.image_id == "mine.png" and filled.square is not None
    page.upload.value = file("<b>text</b>.png", b"a text")
    assert "cannot be used" in page.message.value and "<b>" not in page.message.value
    assert page.result is filled and page.image.shape == (50, 70, 3), "a refused file leaves everything as it was"
    page.tools.upload.value = file("mask.png", b"a text")
    assert "as a mask" in page.message.value and page.tools.editor.mask.sum() == 400
    page.photograph.value = "b2"
    assert page.uploaded is None and page.image.shape == (SIZE, SIZE, 3)


def test_the_captions_strength_goes_into_the_painters_name(complete):
    page = InpaintPanel(complete)
    assert page.method == "tdanet"
    page.strength.value = 2.5
    assert page.method == "tdanet@2.5"
    page.inpainter.value = "telea"
    assert page.method == "telea"
    assert saving.weights(page.session, "tdanet@2.5") == saving.weights(page.session, "tdanet")


def test_a_suggestion_becomes_the_caption(complete):
    page = InpaintPanel(complete)
    page.suggestion.value = "second"
    assert page.caption.value == "second"


def test_an_error_of_the_inpainter_is_shown_where_the_reader_looks(complete, monkeypatch):
    page = InpaintPanel(complete)
    page.tools.editor.add(page.session.mask("b1", "centre"))

    def fail(*_, **__):
        raise UserError("the <network> is tired")

    monkeypatch.setattr(page.session, "fills", fail)
    page.fill()
    assert "the &lt;network&gt; is tired" in page.message.value and not page.button.disabled


def test_the_demo_judges_what_was_painted(complete):
    demo = Demo(complete)
    demo.loading.join(60)
    assert "Detectors of the run" in demo.using.value
    assert [name for _, name in demo.detect.detector.options] == ["bright", "sure", "soft_vote"]
    assert demo.detect.detector.label == "soft vote"
    demo.tabs.selected_index = 1
    assert "no fill yet" in demo.detect.message.value
    demo.tabs.selected_index = 0
    demo.paint.tools.editor.add(demo.session.mask("b1", "centre"))
    demo.paint.fill()
    demo.tabs.selected_index = 1
    assert "Together the detectors say" in demo.detect.predictions.value and "jpeg 60" in demo.detect.sweep.value
    assert "intersection over union" in demo.detect.overlap.value
    demo.detect.detector.value = "sure"
    assert "hottest pixels of sure" in demo.detect.overlap.value
    demo.paint.seed.value = 9
    assert demo.detect.predictions.value == "" and "no fill yet" in demo.detect.message.value


def test_experiments_change_one_thing_at_a_time(complete):
    session = Session(complete)
    image_id, part = experiments.choose(session, 1, "crown")
    assert (image_id, part) == ("b1", "crown")
    hole = experiments.first_hole(session, image_id, part)
    fills, table = experiments.name_colours(session, image_id, part, hole, ["red", "blue"], "tdanet", 0)
    assert table["caption"].tolist() == ["this bird has a red crown.", "this bird has a blue crown."]
    assert table["apart"].tolist() == [0.0, 1.0] and all(np.array_equal(f.mask, hole) for f in fills)
    fills, shrunk = experiments.shrink_hole(session, ["b1", "b2"], [0.2, 0.05], "tdanet", 0)
    assert [f.coverage for f in fills] == pytest.approx([0.2, 0.05] * 2, abs=0.02)
    assert shrunk.groupby("image_id").size().tolist() == [9, 9]
    assert sorted(shrunk["coverage"].unique()) == [0.0, 0.05, 0.2]
    _, judged = experiments.change_inpainter(session, "b1", hole, "", ["telea", "mean_colour"], 0)
    assert judged["inpainter"].tolist() == ["telea", "mean_colour"] and (judged["hole_l1"] > 0).all()
    _, told = experiments.change_caption(session, "b1", hole, {"own": "abc", "none": ""}, "tdanet", 0)
    assert told["apart"].tolist() == [0.0, 3.0]
    with pytest.raises(ConfigError, match="colour"):
        experiments.name_colours(session, "b1", part, hole, ["ultraviolet"], "tdanet", 0)


def test_a_picture_is_enlarged_without_smoothing():
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = np.array(Image.open(io.BytesIO(pictures.png(image, 5))))
    assert large.shape == (6, 6, 3) and np.array_equal(large[::3, ::3], image)
    grey = np.array(Image.open(io.BytesIO(pictures.png(np.array([[0.0, 1.0]]), 2))))
    assert grey.tolist() == [[0, 255]]
    assert np.array(Image.open(io.BytesIO(pictures.png(np.zeros((300, 900, 3), np.uint8), 100)))).shape == (67, 200, 3)


def test_maps_of_a_run_that_chapter_8_found_no_better_than_chance_are_left_out(complete):
    def record(name, arm, low, seed=0):
        over = {"value": low + 0.2, "low": low, "high": low + 0.4}
        return {"detector": name, "seed": seed, "arm": arm, "metric": "inside_density", "over_uniform": over}

    records = [
        record("bright", "spliced", -0.1),
        record("bright", "regenerated", -0.3),
        record("bright", "spliced", 1, 1),
    ]
    with complete.stage("localization", DataConfig()):
        complete.write_result("localization", {"records": records})
    held = inspection.Inspector.of_run(complete)
    assert held.no_heat == {"bright"}
    with pytest.raises(ConfigError, match="chance"):
        held.heat_map(np.zeros((64, 64, 3), np.uint8), "bright")
    assert heatmaps.no_better_than_chance([*records, record("bright", "spliced", 0.1)], {"bright": 0}) == set()
    assert heatmaps.no_better_than_chance(records, {"other": 0}) == set()


def test_without_a_run_the_page_says_what_it_uses():
    said = Session().using()
    assert len(said) == 2 and said[0].startswith("Samples: ") and said[1].startswith("Inpainter: ")
