"""The detector panel: verdicts, precision, heat map and sweep, for the fill of the other panel or a reader's file."""

from collections.abc import Callable

import ipywidgets as w
import numpy as np

from nbsupport.config import SOFT_VOTE
from nbsupport.core.errors import UserError
from nbsupport.demo import pictures, text, uploads
from nbsupport.demo.pictures import BLANK, png
from nbsupport.demo.state import Filled, Session

_FILL, _OTHER, _ORIGINAL, _FILE = (
    "the fill, spliced",
    "the fill, regenerated",
    "its untouched photograph",
    "a file of mine",
)


class DetectPanel(w.VBox):
    """Ask the detectors about a picture.

    Args: session: with the detectors. current: gives the fill of the painting panel, or None.
    """

    def __init__(self, session: Session, current: Callable[[], Filled | None] = lambda: None) -> None:
        self.session, self._current = session, current
        self.uploaded: uploads.Upload | None = None
        self._build()
        left = w.VBox([w.HTML("as the detectors see it"), self.seen])
        right = w.VBox([w.HTML("where the evidence lies<br>(dark: none, bright: most of this picture)"), self.heat])
        shown = w.HBox(
            [left, right, w.VBox([self.predictions, self.band])], layout=w.Layout(flex_flow="row wrap", grid_gap="12px")
        )
        super().__init__(
            [self.source, self.file,
             self.message, shown, self.detector, self.overlap, w.HTML("<b>Saved again</b>"), self.sweep,
             w.HTML(text.prose(text.EXPLANATION)), w.HTML(text.prose(text.LIMITS))],
            layout=w.Layout(grid_gap="6px"),
        )  # fmt: skip
        self.add_class("detect-panel")
        self._connect()
        self.message.value = text.note("There is no fill yet: paint a hole on the first tab, or choose a file.")

    def _build(self) -> None:
        wide = {"button_width": "190px", "description_width": "52px"}
        self.source = w.ToggleButtons(
            options=[_FILL, _OTHER, _ORIGINAL, _FILE], description="judge", style=wide, value=_FILL
        )
        self.upload = w.FileUpload(accept="image/*", description="photograph of my own", icon="upload",
                                   layout={"width": "220px"})  # fmt: skip
        about = w.HTML(text.note(uploads.LIMITS))
        self.file = w.VBox([self.upload, about], layout=w.Layout(display="none"))
        self.detector = w.Dropdown(
            options=[(text.shown(SOFT_VOTE), SOFT_VOTE)], description="heat map of", layout={"width": "330px"}
        )
        self.message, self.predictions, self.band, self.overlap = w.HTML(), w.HTML(), w.HTML(), w.HTML()
        self.sweep = w.HTML()
        self.seen, self.heat = (w.Image(format="png", value=png(BLANK), width=pictures.WIDTH) for _ in range(2))
        for name, widget in {"source": self.source, "upload": self.upload, "message": self.message,
                             "predictions": self.predictions, "overlap": self.overlap, "sweep": self.sweep,
                             "seen": self.seen, "heat": self.heat, "detector": self.detector}.items():  # fmt: skip
            widget.add_class(f"detect-{name}")

    def _connect(self) -> None:
        self.source.observe(lambda _: self._guard(self._on_source), "value")
        self.detector.observe(lambda _: self._guard(self._show_heat), "value")
        self.upload.observe(lambda _: self._guard(self._on_upload), "value")

    def loaded(self) -> None:
        """The detectors are there: offer their heat maps."""
        if self.session.inspector is not None and len(self.detector.options) == 1:
            self.detector.options = [(text.shown(name), name) for name in self.session.inspector.names]
            self.detector.value = SOFT_VOTE

    def _guard(self, action: Callable[[], None]) -> None:
        """Run a reaction and say on the page what went wrong."""
        try:
            action()
        except UserError as error:
            self._blank(text.note(str(error), "fake"))
        except Exception as error:
            self._blank(text.note(f"Unexpected {type(error).__name__}: {error}", "fake"))
            raise

    def _blank(self, message: str) -> None:
        self.message.value = message
        for widget in (self.predictions, self.band, self.overlap, self.sweep):
            widget.value = ""
        self.seen.value = self.heat.value = png(BLANK)

    def fill_changed(self) -> None:
        """The painting panel shows another fill, or none: judge again, unless a file is being judged."""
        if self.source.value != _FILE:
            self._guard(self.judge)

    def _on_source(self) -> None:
        self.file.layout.display = None if self.source.value == _FILE else "none"
        self.fill_changed() if self.source.value != _FILE else self.judge()

    def _on_upload(self) -> None:
        if not self.upload.value:
            return
        item = self.upload.value[-1]
        self.upload.value = ()
        self.uploaded = uploads.read_photograph(str(item["name"]), item["content"])
        if self.source.value == _FILE:
            self.judge()
        else:
            self.source.value = _FILE

    def _subject(self) -> tuple[np.ndarray, np.ndarray | None, str]:
        """The picture, its hole if one is known, and what to say of it."""
        if self.source.value == _FILE:
            if self.uploaded is None:
                raise UserError("Choose a photograph first: press the button above.")
            return self.uploaded.image, None, f"Judged: {self.uploaded.name}. {self.uploaded.note}"
        filled = self._current()
        if filled is None:
            raise UserError("There is no fill yet: paint a hole on the first tab and press Fill, or choose a file.")
        if self.source.value == _ORIGINAL:
            return filled.original, None, f"Judged: the untouched {filled.image_id}."
        arm = "spliced" if self.source.value == _FILL else "regenerated"
        return filled.output(arm), filled.mask, f"Judged: {filled.image_id}, {arm}, by {filled.inpainter}."

    def judge(self) -> None:
        """Ask about the chosen picture: verdict first, then heat map, then the sweep, as each is ready."""
        if self.session.inspector is None:
            raise UserError(self.session.no_detectors)
        self.loaded()
        picture, hole, said = self._subject()
        seen = self.session.view(picture)
        self._picture = seen.picture
        self._hole = None if hole is None else self.session.view_hole(hole, seen)
        self.message.value = text.note(f"{said} Seen: {seen.name}.")
        self.heat.value, self.overlap.value, self.sweep.value = png(BLANK), "", text.note("…")  # not the old picture's
        self.seen.value = png(self._picture)
        self.predictions.value = text.predictions(self.session.verdict(picture))
        self.band.value = text.band(self.session.inspector.bands)
        self._show_heat()
        self.sweep.value = text.sweep(self.session.sweep(picture))

    def _show_heat(self) -> None:
        if not self.predictions.value:
            return
        name = self.detector.value
        try:
            heat = self.session.inspector.heat_map(self._picture, name)
        except UserError as error:
            self.heat.value, self.overlap.value = png(BLANK), text.note(str(error))
            return
        from nbsupport.detectors import heatmaps  # with it timm and torch's hooks: only when there is a map

        self.heat.value = png(pictures.heated(self._picture, heat, self._hole))
        known = self._hole is not None and self._hole.any() and not self._hole.all()
        self.overlap.value = text.overlap(name, heatmaps.overlap(heat, self._hole) if known else None)
