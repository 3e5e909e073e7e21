"""The demo: its session says what is missing and what the network does not know, its panel shows no unescaped word."""

import io
import types

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from nbsupport import inpainters, masks
from nbsupport.config import DataConfig, MaskConfig
from nbsupport.data import index
from nbsupport.data.captions import Vocabulary
from nbsupport.detectors import predict
from nbsupport.errors import ConfigError, UserError
from nbsupport.runs import Run
from nbsupport.widgets import InpaintPanel, Session, panel, text

COUNT, SIZE = 6, 32
EVIL = "<img src=x onerror=alert(1)> a grue & bird"


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
        parts=pd.DataFrame({"image_id": [], "row": [], "part": [], "x": [], "y": []}),
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


@pytest.fixture
def complete(run, monkeypatch):
    """The same with a TDANet and two detectors (one of them with two seeds), all stand-ins."""
    with run.stage("tdanet", DataConfig()):
        pass
    create = inpainters.create
    monkeypatch.setattr(
        inpainters,
        "create",
        lambda name, run=None: inpainters.checked(Reader()) if name == "tdanet" else create(name),
    )
    logits = {("resnet34", 0): 1000.0, ("resnet34", 1): 0.0, ("lite0", 0): -1000.0}
    monkeypatch.setattr(predict, "available", lambda run: list(logits))
    monkeypatch.setattr(predict, "load", lambda run, name, seed: logits[name, seed])
    monkeypatch.setattr(predict, "score", lambda model, images: np.full(len(images), model))
    return run


def test_a_session_says_what_is_missing_and_does_the_rest(run):
    session = Session(run)
    assert session.photographs["image_id"].tolist() == ["b1", "b2", "b4"]
    assert "tdanet" not in session.methods and "telea" in session.methods
    assert f"python -m nbsupport run --run {run.name} --only 4" in session.missing
    result = session.fill("b2", session.mask("b2", "centre"), "a bird", "telea")
    assert not result.reads_caption and result.unknown_words == ()
    assert np.array_equal(result.spliced[~result.mask], result.original[~result.mask])
    assert result.coverage == result.mask.mean()
    verdict = session.verdict(result.spliced)
    assert verdict.vote is None and "--only 6" in verdict.missing


def test_a_session_offers_only_holes_that_the_photograph_can_have(run):
    session = Session(run)
    assert session.mask_kinds("b1") == ["centre", "rectangles", "object"]
    assert session.mask_kinds("b2") == ["centre", "rectangles"]
    assert session.captions("b1") == ["a bird 1", "second"] and session.captions("b4") == []
    with pytest.raises(ConfigError, match="Unknown photograph 'b9'"):
        session.image("b9")


def test_a_rectangle_is_in_shares_of_the_picture(run):
    session = Session(run)
    mask = session.rectangle(0.25, 0.5, 0.5, 0.25)
    expected = np.zeros((SIZE, SIZE), bool)
    expected[16:24, 8:24] = True
    assert np.array_equal(mask, expected)
    assert session.rectangle(0.9, 0.9, 1, 1).sum() == 9
    for wrong, message in (
        ((0.5, 0.5, 0, 0.5), "no pixel"),
        ((0, 0, 1, 1), "whole picture"),
        ((1, 1, 1, 1), "no pixel"),
    ):
        with pytest.raises(ConfigError, match=message):
            session.rectangle(*wrong)


def test_a_session_tells_unknown_and_unread_words(complete):
    session = Session(complete)
    assert session.methods[0] == "tdanet" and session.missing == ""
    result = session.fill("b1", session.mask("b1", "object"), "A grue bird grue with wings", "tdanet", seed=7)
    assert result.unknown_words == ("grue",) and result.cut_words == ("with", "wings")
    assert (result.regenerated == len("A grue bird grue with wings") + 7).all()
    assert result.output("spliced") is result.spliced and result.output("regenerated") is result.regenerated
    with pytest.raises(ConfigError, match="regenerated"):
        result.output("regenerate")


def test_the_vote_averages_detectors_after_their_seeds(complete):
    session = Session(complete)
    verdict = session.verdict(session.image("b1"))
    assert verdict.probabilities == pytest.approx({"resnet34": 0.75, "lite0": 0.0})
    assert verdict.vote == pytest.approx(0.375)
    table = text.verdict(verdict, verdict)
    assert "0.75" in table and "soft vote" in table and f"{0.375:.2f}" in table


def test_nothing_that_was_written_by_others_reaches_the_page_as_markup(complete):
    page = InpaintPanel(complete)
    page.caption.value = EVIL
    page.fill()
    shown = [page.status.value, page.words.value, page.verdict.value, text.caption(EVIL), text.note(EVIL)]
    assert not any("<img" in html for html in shown)
    assert "&lt;img" in text.caption(EVIL) and "&amp;" in text.caption(EVIL)
    assert "<b>img</b>" in page.words.value  # the tokeniser keeps words only
    assert "&lt;x&gt;" in text.reading(("<x>",), ("<y>",), True) and "<y>" not in text.reading((), ("<y>",), True)


def picture(widget):
    return np.array(Image.open(io.BytesIO(widget.value)))


def test_the_panel_fills_shows_and_forgets(complete):
    page = InpaintPanel(complete)
    assert page.photograph.value == "b1" and page.caption.value == "a bird 1"
    assert picture(page.pictures["original"]).shape == (192, 192, 3)
    assert "Press Fill" in page.status.value
    blank = page.pictures["filled"].value
    page.inpainter.value = "tdanet"
    page.button.click()
    assert page.result is not None and not page.button.disabled
    spliced = picture(page.pictures["filled"])[::6, ::6]
    assert np.array_equal(spliced, page.result.spliced)
    assert "painted by tdanet" in page.status.value and "resnet34" in page.verdict.value
    page.arm.value = "regenerated"
    assert np.array_equal(picture(page.pictures["filled"])[::6, ::6], page.result.regenerated)
    for change in (
        lambda: setattr(page.seed, "value", 3),
        lambda: setattr(page.caption, "value", "a red bird"),
        lambda: setattr(page.kind, "value", "object"),
        lambda: setattr(page.photograph, "value", "b2"),
    ):
        page.fill()
        assert page.pictures["filled"].value != blank
        change()
        assert page.result is None and page.pictures["filled"].value == blank and page.verdict.value == ""


def test_the_panel_takes_a_rectangle_and_says_what_is_wrong_with_it(complete):
    page = InpaintPanel(complete)
    assert page.sides["left"].layout.display == "none"
    others = (page.photograph, page.kind, page.caption, page.inpainter, page.seed, page.arm, page.button)
    assert all(control.layout.display is None for control in others), "only the sliders are hidden"
    page.kind.value = panel.OWN_RECTANGLE
    assert page.sides["left"].layout.display is None
    page.fill()
    assert page.result.mask.sum() == page.hole().sum() > 0
    page.sides["width"].value = 0
    assert "no pixel" in page.status.value and page.result is None
    page.fill()
    assert "no pixel" in page.status.value and not page.button.disabled


def test_choosing_another_photograph_keeps_the_kind_of_hole_if_it_can(complete):
    page = InpaintPanel(complete)
    page.kind.value = "rectangles"
    page.photograph.value = "b2"
    assert page.kind.value == "rectangles" and page.caption.value == "a bird 2"
    page.photograph.value = "b1"
    page.kind.value = "object"
    page.photograph.value = "b4"
    assert page.kind.value == "centre" and page.caption.value == ""


def test_an_error_of_the_inpainter_is_shown_where_the_reader_looks(complete, monkeypatch):
    page = InpaintPanel(complete)

    def fail(*_, **__):
        raise UserError("the <network> is tired")

    monkeypatch.setattr(page.session, "fill", fail)
    page.fill()
    assert "the &lt;network&gt; is tired" in page.status.value and not page.button.disabled


def test_a_picture_is_enlarged_without_smoothing():
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = np.array(Image.open(io.BytesIO(panel.png(image, 5))))
    assert large.shape == (6, 6, 3) and np.array_equal(large[::3, ::3], image)
    grey = np.array(Image.open(io.BytesIO(panel.png(np.array([[0.0, 1.0]]), 2))))
    assert grey.tolist() == [[0, 255]]
