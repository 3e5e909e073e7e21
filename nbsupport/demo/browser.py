"""The error browser of chapter 10: a :class:`~nbsupport.demo.browser_state.BrowserState` behind ipywidgets.

Here: what stands where, and which change leads to which. Not here: anything computed.
"""

from collections.abc import Callable, Mapping

import ipywidgets as w
import numpy as np

from nbsupport.core.errors import UserError
from nbsupport.core.files import atomic_path
from nbsupport.data import index
from nbsupport.demo import browser_text, text
from nbsupport.demo.browser_state import CHOICES, SORTS, BrowserState, Detail, Query
from nbsupport.demo.pictures import BLANK, png
from nbsupport.detectors.inspection import overlay
from nbsupport.pairs.files import Encoding
from nbsupport.plots.evaluation import outlined
from nbsupport.runs import Run

#: Small pictures on a page.
PAGE = 12
_SMALL, _LARGE = 96, 192  # pixels on the page
_CONTROL = "310px"
_LABELS = {"kind": "hole", "inpainter": "painted by", "wrong": "wrong ones"}
_ANY = ""  # a list that says None shows nothing at all


def _thumb(picture: np.ndarray) -> bytes:
    """A small picture as PNG; hardly compressed, since a page of them is made at every filter."""
    factor = max(1, -(-_SMALL // picture.shape[1]))
    return Encoding("png").encode(picture.repeat(factor, axis=0).repeat(factor, axis=1))


class ErrorBrowser(w.VBox):
    """Filter the judged test pictures, look at each, and take a selection away as HTML or CSV.

    Args:
        run: a run folder in which chapter 10 has run; or a :class:`BrowserState`, for tests and tables of one's own.

    Raises:
        MissingStage: chapter 10 has not run.
    """

    def __init__(self, run: Run | BrowserState) -> None:
        self.state = run if isinstance(run, BrowserState) else BrowserState.of(run)
        self.rows = self.state.table.iloc[:0]
        self.first = 0
        self.chosen: Mapping | None = None
        self._quiet = False
        self._build_filters()
        self._build_views()
        left = w.VBox([self.detector, *self.choices.values(), *self.ranges.values(), self.sort, self.reset])
        pager, savers = w.HBox([self.previous, self.next, self.where]), w.HBox([self.save_html, self.save_csv])
        views = [self.status, self.grid, pager, self.detail, savers, self.saved]
        right = w.VBox(views, layout={"max_width": "860px"})
        super().__init__([w.HBox([left, right], layout=w.Layout(flex_flow="row wrap", grid_gap="16px"))])
        self.add_class("error-browser")
        self._connect()
        self._guard(self.search)

    def _build_filters(self) -> None:
        style, wide, state = {"description_width": "86px"}, {"width": _CONTROL}, self.state
        several = len({seed for _, seed in state.detectors}) > 1
        names = [(f"{name} ({seed})" if several else name, (name, seed)) for name, seed in state.detectors]
        self.detector = w.Dropdown(options=names, value=state.best, description="detector", layout=wide, style=style)
        self.choices = {
            name: w.Dropdown(options=[("any", _ANY), *((value, value) for value in state.values(name))],
                             description=_LABELS.get(name, name), layout=wide, style=style)
            for name in CHOICES
        }  # fmt: skip
        common = {"continuous_update": False, "layout": wide, "style": style}
        self.ranges = {
            name: w.FloatRangeSlider(value=(0, 1), min=0, max=1, step=0.01, readout_format=".2f",
                                     description=_LABELS.get(name, name), **common)
            for name in ("coverage", "probability", "error")
        }  # fmt: skip
        most = state.wrong_most
        self.ranges["wrong"] = w.IntRangeSlider(value=(0, most), min=0, max=most, description="wrong ones", **common)
        self.ranges["wrong"].tooltip = "how many single detectors are wrong about the picture"
        self.sort = w.Dropdown(options=list(SORTS), description="sort by", layout=wide, style=style)
        self.reset = w.Button(description="Reset", icon="undo", layout=wide)

    def _build_views(self) -> None:
        self.status, self.where, self.saved = w.HTML(), w.HTML(), w.HTML()
        self.thumbs = [
            (w.Image(format="png", width=_SMALL), w.HTML(), w.Button(description="look", layout={"width": "96px"}))
            for _ in range(PAGE)
        ]
        self.cells = [w.VBox(list(widgets), layout=w.Layout(width="112px")) for widgets in self.thumbs]
        self.grid = w.HBox(self.cells, layout=w.Layout(flex_flow="row wrap", max_width="690px"))
        self.previous = w.Button(description="Back", icon="arrow-left", layout={"width": "96px"})
        self.next = w.Button(description="Next", icon="arrow-right", layout={"width": "96px"})
        titles = ("as judged", "where the hole is", "heat map", "nearest judged correctly")
        self.pictures = {title: w.Image(format="png", width=_LARGE) for title in titles}
        self.titles = {title: w.HTML(title) for title in titles}
        views = [w.VBox([self.titles[title], view], layout={"width": "198px"}) for title, view in self.pictures.items()]
        self.caption, self.facts, self.bars, self.remark = w.HTML(), w.HTML(), w.HTML(), w.HTML()
        tables = w.HBox([self.facts, self.bars], layout=w.Layout(flex_flow="row wrap", grid_gap="24px"))
        row = w.HBox(views, layout=w.Layout(flex_flow="row wrap"))
        self.detail = w.VBox([row, self.remark, self.caption, tables])
        self.save_html = w.Button(description="Save as HTML", icon="download")
        self.save_csv = w.Button(description="Save as CSV", icon="download")
        for name in ("status", "grid", "detail", "caption", "facts", "bars", "remark", "saved", "next", "previous"):
            getattr(self, name).add_class(f"browser-{name}")

    def _connect(self) -> None:
        for control in (self.detector, *self.choices.values(), *self.ranges.values(), self.sort):
            control.observe(lambda _: self._guard(self.search), "value")
        self.reset.on_click(lambda _: self._guard(self._reset))
        self.previous.on_click(lambda _: self._guard(lambda: self._turn(-PAGE)))
        self.next.on_click(lambda _: self._guard(lambda: self._turn(PAGE)))
        self.save_html.on_click(lambda _: self._guard(lambda: self._save("html")))
        self.save_csv.on_click(lambda _: self._guard(lambda: self._save("csv")))
        for place, (_, _, button) in enumerate(self.thumbs):
            button.on_click(lambda _, place=place: self._guard(lambda: self.look(self.first + place)))

    def _guard(self, action: Callable[[], None]) -> None:
        """Run a reaction; say what went wrong where the reader looks, since a callback's traceback is shown nowhere."""
        try:
            action()
        except UserError as error:
            self.status.value = text.note(str(error), "fake")
        except Exception as error:
            self.status.value = text.note(f"Unexpected {type(error).__name__}: {error}", "fake")
            raise

    @property
    def query(self) -> Query:
        """What the filters ask for now."""
        detector, seed = self.detector.value
        chosen = {name: control.value or None for name, control in self.choices.items()}
        limits = {name: control.value for name, control in self.ranges.items()
                  if control.value != (control.min, control.max)}  # fmt: skip
        return Query(detector, seed, **chosen, **limits, sort=self.sort.value)

    def search(self) -> None:
        """Answer the filters as they stand and show the first page."""
        if self._quiet:
            return
        self.rows = self.state.ask(self.query)
        self.first, self.chosen = 0, None
        self.saved.value = ""
        self.detail.layout.display = "none"
        self._show_page()

    def _reset(self) -> None:
        self._quiet = True
        try:
            for control in self.choices.values():
                control.value = _ANY
            for control in self.ranges.values():
                control.value = (control.min, control.max)
            self.sort.value = self.sort.options[0]
        finally:
            self._quiet = False
        self.search()

    def _turn(self, step: int) -> None:
        last = max(0, (len(self.rows) - 1) // PAGE * PAGE)
        self.first = min(max(0, self.first + step), last)
        self._show_page()

    def _show_page(self) -> None:
        shown = self.rows.iloc[self.first : self.first + PAGE].to_dict("records")
        end = self.first + len(shown)
        whole = len(self.state.of_detector(*self.detector.value))
        self.status.value = browser_text.found(self.rows, whole, self.first + 1, end)
        for place, (image, line, _) in enumerate(self.thumbs):
            self.cells[place].layout.display = None if place < len(shown) else "none"
            if place < len(shown):
                image.value = _thumb(self.state.picture(shown[place]["number"]))
                line.value = browser_text.thumb(shown[place])
        self.previous.disabled, self.next.disabled = self.first == 0, end >= len(self.rows)
        pages = max(1, -(-len(self.rows) // PAGE))
        self.where.value = f"page {self.first // PAGE + 1:,} of {pages:,}"
        self.save_html.disabled = self.save_csv.disabled = not len(self.rows)

    def look(self, place: int) -> None:
        """Show the picture at a place of the answer, with everything that is known of it."""
        detail = self.state.detail(self.rows.iloc[place].to_dict())
        self.chosen = detail.row
        hole = np.zeros(detail.picture.shape[:2], bool) if detail.hole is None else detail.hole
        enlarge = max(1, -(-_LARGE // detail.picture.shape[1]))
        pictures = list(self.pictures.values())
        pictures[0].value = png(detail.picture, _LARGE)
        pictures[1].value = png(outlined(detail.picture, hole, enlarge), _LARGE)
        pictures[3].value = png(BLANK if detail.neighbour is None else detail.neighbour_picture, _LARGE)
        self.caption.value = text.caption(str(detail.row["caption"]))
        self.facts.value = browser_text.facts(detail.row)
        self.bars.value = browser_text.bars(detail.scores)
        self.remark.value = "" if detail.neighbour else text.note("No picture of this class is judged correctly.")
        self.detail.layout.display = None
        self._show_heat(detail)

    def _show_heat(self, detail: Detail) -> None:
        title, view = "heat map", self.pictures["heat map"]
        source = self.state.heat_source(*self.detector.value)
        if source is None:
            view.value, self.titles[title].value = png(BLANK, _LARGE), "heat map: no trained detector"
            return
        heat = self.state.heat(detail.row["number"], source)
        view.value = png(overlay(detail.picture, heat), _LARGE)
        whose = "" if source == self.detector.value else f" of {source[0]}"
        reading = "orange: signs of paint" if heat.any() else "no sign of paint"
        self.titles[title].value = text.note(f"heat map{whose} ({reading})")

    def _save(self, kind: str) -> None:
        run = self.state.run
        if run is None:
            raise UserError("This table belongs to no run folder, so there is no place to save a selection.")
        photographs = index.load(run).config.dataset != "synthetic"
        if kind == "html":
            content = browser_text.html_export(self.state, self.rows, self.query, photographs)
        else:
            content = browser_text.csv_export(self.rows)
        with atomic_path(run / "selection" / f"selection.{kind}") as path:
            path.write_text(content, "utf-8")
        self.saved.value = text.note(f"Saved as selection/selection.{kind} in the run folder '{run.name}'.", "good")
