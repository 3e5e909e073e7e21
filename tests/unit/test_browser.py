"""The error browser: filters find what was planted, every text is escaped, exports are whole, nothing found says so."""

import dataclasses
import io
import re

import numpy as np
import pandas as pd
import pytest
from pages_data import EVIL, judged
from PIL import Image

from nbsupport.config import DataConfig
from nbsupport.core.errors import ConfigError, MissingStage, UserError
from nbsupport.data import index
from nbsupport.demo import ErrorBrowser, browser_text
from nbsupport.demo.browser_state import BrowserState, Query
from nbsupport.detectors import heatmaps, predict
from nbsupport.runs import Run


@pytest.fixture
def state():
    return judged()[0]


@pytest.fixture
def browser(state):
    return ErrorBrowser(state)


def ask(state, **wanted):
    return state.ask(Query(**{"detector": "sees", **wanted}))


def test_filters_find_what_was_planted(state):
    whole = ask(state)
    assert len(whole) == 30 and whole["error"].is_monotonic_decreasing
    misses = ask(state, outcome="miss")
    assert set(misses["image_id"]) == {"b0", "b2", "b4", "b6", "b8"} and set(misses["arm"]) == {"spliced"}
    assert ask(state, outcome="false alarm")["image_id"].tolist() == ["b3"]
    assert len(ask(state, species="jay", arm="original")) == 5
    assert set(ask(state, part="crown")["image_id"]) == {"b0", "b3", "b6", "b9"}
    assert set(ask(state, kind="object", inpainter="tdanet")["group"] % 2) == {1}
    assert set(ask(state, wrong=(2, 2))["image_id"]) == {"b0", "b2", "b4", "b6", "b8"}
    assert len(ask(state, outcome="miss", arm="original")) == 0


def test_ranges_hold_their_ends(state):
    covered = sorted(ask(state)["coverage"].unique())
    found = ask(state, coverage=(covered[2], covered[4]))
    assert sorted(found["coverage"].unique()) == covered[2:5]
    assert (ask(state, probability=(0.9, 1.0))["probability"] >= 0.9).all()
    assert len(ask(state, probability=(0.9, 1.0))) == 16
    assert len(ask(state, error=(0.8, 1.0))) == 6


@pytest.mark.parametrize(
    ("sort", "column", "down"),
    [("hole, small first", "coverage", False), ("probability of inpainted, high first", "probability", True)],
)
def test_orders(state, sort, column, down):
    values = ask(state, sort=sort)[column]
    assert values.is_monotonic_decreasing if down else values.is_monotonic_increasing


def test_unknown_names_are_errors(state):
    with pytest.raises(ConfigError, match="sees 0"):
        ask(state, detector="seer")
    with pytest.raises(ConfigError, match="most confident"):
        ask(state, sort="most confidant errors first")
    with pytest.raises(ConfigError, match="species"):
        state.values("spezies")
    with pytest.raises(UserError, match="nothing to browse"):
        BrowserState(state.table.iloc[:0], state.pictures, state.best)


def test_all_scores_stand_with_ensembles_last(state):
    scores = state.scores(0)
    assert scores["detector"].tolist() == ["sees", "blind", "soft_vote"]
    assert scores["probability"].tolist() == pytest.approx([0.1, 0.4, 0.25])


def test_the_nearest_is_right_of_the_same_class_and_of_another_photograph(state):
    for row in ask(state, outcome="miss").to_dict("records"):
        near = state.neighbour(row)
        assert near["outcome"] == "found" and near["label"] == 1 and near["group"] != row["group"]
    twin = dataclasses.replace(Query("sees"), outcome="miss")
    row = state.ask(twin).iloc[0].to_dict()
    state.pictures[13] = state.picture(row["number"])  # a fake of another photograph that looks the very same
    state.__dict__.pop("_descriptors", None)
    assert state.neighbour(row)["number"] == 13


def test_a_neighbour_named_by_the_table_is_taken(state):
    named = BrowserState(state.table.assign(neighbour=-1), state.pictures, state.best, state.holes)
    row = named.ask(Query("sees", outcome="miss")).iloc[0].to_dict()
    assert named.neighbour(row) is None
    assert named.neighbour(row | {"neighbour": 16})["number"] == 16


def test_heat_is_computed_once_and_for_an_ensemble_by_another(state, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(predict, "available", lambda run: [("power_spectrum", 0), ("sees", 0)])
    monkeypatch.setattr(predict, "load", lambda run, name, seed: name)
    monkeypatch.setattr(
        heatmaps, "grad_cam", lambda trained, p: asked.append(trained) or np.full(p.shape[:3], 0.5, np.float32)
    )
    assert state.heat_source("sees", 0) is None, "no run, no weights"
    state.run = Run(tmp_path / "run")
    assert state.heat_source("soft_vote", 0) == state.heat_source("power_spectrum", 0) == ("sees", 0)
    first, again = state.heat(4, ("sees", 0)), state.heat(4, ("sees", 0))
    assert first is again and asked == ["sees"] and first.shape == (32, 32)


def test_the_browser_filters_pages_and_resets(browser):
    assert "30" in browser.status.value and browser.previous.disabled and not browser.next.disabled
    browser.next.click()
    browser.next.click()
    assert browser.first == 24 and browser.next.disabled and "page 3 of 3" in browser.where.value
    assert [cell.layout.display for cell in browser.cells].count("none") == 6
    browser.choices["outcome"].value = "miss"
    assert browser.first == 0 and len(browser.rows) == 5
    browser.ranges["wrong"].value = (0, 0)
    assert "No picture" in browser.status.value and browser.save_csv.disabled
    assert all(cell.layout.display == "none" for cell in browser.cells)
    browser.reset.click()
    assert len(browser.rows) == 30 and browser.choices["outcome"].label == "any"
    browser.detector.value = ("blind", 0)
    assert set(browser.rows["detector"]) == {"blind"}


def shown(view) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(view.value)))


def test_a_look_shows_the_very_picture_its_hole_and_no_unescaped_text(browser):
    place = browser.rows["image_id"].tolist().index("b0")
    browser.look(place)
    picture = browser.state.picture(browser.rows.iloc[place]["number"])
    assert np.array_equal(shown(browser.pictures["as judged"]), picture.repeat(6, axis=0).repeat(6, axis=1))
    changed = (shown(browser.pictures["where the hole is"]) != shown(browser.pictures["as judged"])).any(axis=-1)
    assert 0 < changed.mean() < 0.2
    assert "&lt;/script&gt;" in browser.caption.value
    pages = browser.caption.value + browser.facts.value + browser.bars.value
    assert EVIL not in pages and "<img" not in pages and "<b>wren" not in pages
    assert "no trained detector" in browser.titles["heat map"].value
    assert browser.bars.value.count("<tr>") == 3


def test_a_failing_reaction_is_said_on_the_page(browser, monkeypatch):
    monkeypatch.setattr(browser.state, "ask", lambda query: (_ for _ in ()).throw(ConfigError("<i>bad</i>")))
    browser.choices["arm"].value = "spliced"
    assert "&lt;i&gt;bad" in browser.status.value
    monkeypatch.setattr(browser.state, "ask", lambda query: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        browser.choices["arm"].value = "original"
    assert "ZeroDivisionError" in browser.status.value


def test_exports_are_whole_and_self_contained(state):
    query = Query("sees", species="<b>wren</b>")
    rows = state.ask(query)
    page = browser_text.html_export(state, rows, query, photographs=False)
    assert page.count("<article>") == len(rows) == 15 and "do not publish" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page) and "<b>wren" not in page
    assert "do not publish" in browser_text.html_export(state, rows, query, photographs=True)
    table = rows.assign(caption="=HYPERLINK(1)")
    back = pd.read_csv(io.StringIO(browser_text.csv_export(table)))
    assert len(back) == len(rows) and set(back["caption"]) == {"'=HYPERLINK(1)"}
    assert back["probability"].tolist() == pytest.approx(rows["probability"].tolist())
    assert (rows["caption"] != "=HYPERLINK(1)").all(), "the table itself stays"


def test_selections_are_saved_in_the_run_folder(state, tmp_path, monkeypatch):
    browser = ErrorBrowser(state)
    browser.save_csv.click()
    assert "no run folder" in browser.status.value
    state.run = Run(tmp_path / "run")
    with state.run.stage("index", DataConfig()):
        pass
    dataset = type("Dataset", (), {"config": DataConfig()})
    monkeypatch.setattr(index, "load", lambda run: dataset)
    browser.choices["outcome"].value = "miss"
    browser.save_csv.click()
    browser.save_html.click()
    assert "selection/selection.html" in browser.saved.value
    assert len(pd.read_csv(tmp_path / "run" / "selection" / "selection.csv")) == 5
    assert (tmp_path / "run" / "selection" / "selection.html").read_text().count("<article>") == 5


def test_before_chapter_8_it_says_what_to_run(tmp_path):
    with pytest.raises(MissingStage, match="--only 1-10"):
        ErrorBrowser(Run(tmp_path / "empty"))
