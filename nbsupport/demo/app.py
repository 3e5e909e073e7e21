"""The demo as a whole: the painting panel and the detector panel on two tabs, over one session."""

import threading

import ipywidgets as w
import numpy as np

from nbsupport.config import SOFT_VOTE
from nbsupport.core.errors import UserError
from nbsupport.demo import text
from nbsupport.demo.detect_panel import DetectPanel
from nbsupport.demo.panel import InpaintPanel
from nbsupport.demo.state import Session
from nbsupport.runs import Run

_WELCOME = """
<h2 style="margin:0">Paint a hole, write a caption, be judged</h2>
<ol style="margin:4px 0 4px 20px;line-height:1.5">
<li><b>Paint</b>: choose a picture, cover a part of it with the brush, say what should be there,
press <i>Fill</i>.</li>
<li><b>Detect</b>: see what the detectors say of the fill, where they look, and whether
saving it again changes that.</li>
</ol>
"""


def warm_up(session: Session) -> None:
    """Load what the first fill and the first verdict need, and use it once."""
    first = session.photographs["image_id"].iloc[0]
    hole = np.zeros(session.image(first).shape[:2], bool)
    hole[: len(hole) // 4, : len(hole) // 4] = True
    painted = session.fill(first, hole, "a bird", session.methods[0])
    session.attention(painted)
    if session.inspector is not None:
        session.verdict(painted.spliced)
        session.inspector.heat_map(painted.spliced, SOFT_VOTE)


class Demo(w.VBox):
    """Both panels for one reader.

    The panels are there at once; a thread loads and tries the networks while the reader looks for a picture.

    Args: run: the run whose photographs and networks to use; None: birds drawn on the spot and the package's weights.
    """

    def __init__(self, run: Run | None = None) -> None:
        self.session = Session(run)
        self.session.loading = True
        self.paint = InpaintPanel(self.session, on_fill=self._on_fill)
        self.detect = DetectPanel(self.session, lambda: self.paint.result)
        self.tabs = w.Tab([self.paint, self.detect], titles=["Paint", "Detect"])
        self._judged: tuple | None = None
        self.tabs.observe(lambda _: self._on_tab(), "selected_index")
        self.using = w.HTML(text.notes([*self.session.using(), "Detectors: loading …"]))
        self.using.add_class("demo-using")
        super().__init__([w.HTML(_WELCOME), self.using, self.tabs], layout=w.Layout(max_width="1240px"))
        self.add_class("demo")
        self.loading = threading.Thread(target=self._load, daemon=True)
        self.loading.start()

    def _load(self) -> None:
        """Load the networks and use each once; then say which they are, or what is wrong with them."""
        try:
            warm_up(self.session)
            said = text.notes([*self.session.using(), *self.session.using_detectors()])
        except UserError as error:
            said = text.notes(self.session.using()) + text.note(str(error), "fake")
        finally:
            self.session.loading = False
        self.using.value = said
        self.paint.show_words()
        self.detect.loaded()

    def _on_fill(self) -> None:
        if hasattr(self, "tabs") and self.tabs.selected_index == 1:
            self.detect.fill_changed()

    def _on_tab(self) -> None:
        """The detectors are asked for heat map and sweep only when somebody looks."""
        if self.tabs.selected_index == 1 and self._judged is not self.paint.result:
            self._judged = self.paint.result
            self.detect.fill_changed()
