"""The inpainting panel of chapter 9: a :class:`~nbsupport.widgets.state.Session` behind ipywidgets.

Here: what stands where, and which change leads to which. Not here: anything computed.
"""

import io
from collections.abc import Callable

import ipywidgets as w
import numpy as np
from PIL import Image

from nbsupport.errors import UserError
from nbsupport.plots.pairs import GAIN, difference
from nbsupport.plots.style import hide_region
from nbsupport.runs import Run
from nbsupport.widgets import text
from nbsupport.widgets.state import Filled, Session

#: The entry of the list of holes that shows the four sliders.
OWN_RECTANGLE = "rectangle of my own"
_SHOWN = 192  # pixels: the width of a picture on the page
_CONTROL = "330px"
_BLANK = np.full((16, 16, 3), 244, np.uint8)


def png(picture: np.ndarray, width: int = _SHOWN) -> bytes:
    """A picture as PNG bytes, enlarged by a whole factor without smoothing, so that its pixels can be seen.

    Args: picture (H, W, 3) uint8 RGB or (H, W) float in [0, 1]; width in pixels to reach at least, if it is smaller.
    """
    if picture.ndim == 2:
        picture = np.rint(np.asarray(picture) * 255).astype(np.uint8)
    factor = max(1, -(-width // picture.shape[1]))
    enlarged = np.ascontiguousarray(picture.repeat(factor, axis=0).repeat(factor, axis=1))
    buffer = io.BytesIO()
    Image.fromarray(enlarged).save(buffer, "PNG")
    return buffer.getvalue()


class InpaintPanel(w.VBox):
    """Choose a photograph, a hole and a caption; press *Fill*; see the fill and the detectors' verdict.

    Args:
        run: a run folder with at least chapters 1 and 2; chapter 4 adds TDANet, chapter 6 the detectors.
        limit: the largest number of photographs in the list.
    """

    def __init__(self, run: Run, limit: int = 200) -> None:
        self.session = Session(run)
        self.result: Filled | None = None
        self._build(limit)
        super().__init__([w.HBox([self._controls(), self._views()], layout=w.Layout(flex_flow="row wrap"))])
        self.add_class("inpaint-panel")
        self._connect()
        self._on_photograph()

    def _build(self, limit: int) -> None:
        style, sliders = {"description_width": "92px"}, w.Layout(width=_CONTROL)  # one layout: shown or hidden together
        table = self.session.photographs.head(limit)
        names = [f"{label} · {name}" for label, name in zip(table["label"], table["image_id"], strict=True)]
        options = list(zip(names, table["image_id"], strict=True))
        self.photograph = w.Dropdown(options=options, description="photograph", layout={"width": _CONTROL}, style=style)
        self.kind = w.Dropdown(options=[], description="hole", layout={"width": _CONTROL}, style=style)
        self.sides = {
            name: w.FloatSlider(value, min=0, max=1, step=0.01, description=name, readout_format=".0%",
                                continuous_update=False, layout=sliders, style=style)
            for name, value in (("left", 0.3), ("top", 0.3), ("width", 0.4), ("height", 0.4))
        }  # fmt: skip
        self.caption = w.Textarea(description="caption", rows=3, layout={"width": _CONTROL}, style=style)
        self.inpainter = w.Dropdown(
            options=self.session.methods, description="painted by", layout={"width": _CONTROL}, style=style
        )
        self.seed = w.BoundedIntText(
            0, min=0, max=2**31 - 1, description="seed", layout={"width": _CONTROL}, style=style
        )
        self.arm = w.ToggleButtons(
            options=["spliced", "regenerated"], description="show", style={**style, "button_width": "auto"},
            tooltips=["the painted hole in the untouched photograph", "the inpainter's whole output"],
            layout={"width": _CONTROL},
        )  # fmt: skip
        self.button = w.Button(
            description="Fill", button_style="primary", icon="paint-brush", layout={"width": _CONTROL}
        )
        self.status, self.words, self.verdict = w.HTML(text.note(self.session.missing)), w.HTML(), w.HTML()
        self.pictures = {
            name: w.Image(format="png", width=_SHOWN) for name in ("original", "masked", "filled", "difference")
        }
        for name, widget in {"fill": self.button, "caption": self.caption, "status": self.status, "words": self.words,
                             "verdict": self.verdict, "arm": self.arm, "kind": self.kind, "by": self.inpainter,
                             **self.pictures}.items():  # fmt: skip
            widget.add_class(f"inpaint-{name}")
        self._slider_layout = sliders

    def _controls(self) -> w.Widget:
        return w.VBox(
            [self.photograph, self.kind, *self.sides.values(), self.caption, self.words, self.inpainter, self.seed,
             self.arm, self.button],
            layout=w.Layout(width="350px"),
        )  # fmt: skip

    def _views(self) -> w.Widget:
        titles = {"difference": f"difference × {GAIN}"}
        columns = [w.VBox([w.HTML(titles.get(name, name)), view]) for name, view in self.pictures.items()]
        return w.VBox([w.HBox(columns, layout=w.Layout(flex_flow="row wrap")), self.status, self.verdict])

    def _connect(self) -> None:
        self.photograph.observe(lambda _: self._guard(self._on_photograph), "value")
        self.kind.observe(lambda _: self._guard(self._on_hole), "value")
        for slider in self.sides.values():
            slider.observe(lambda _: self._guard(self._on_hole), "value")
        for control in (self.caption, self.inpainter):
            control.observe(lambda _: self._guard(self._on_words), "value")
        self.seed.observe(lambda _: self._forget(), "value")
        self.arm.observe(lambda _: self._guard(self._show), "value")
        self.button.on_click(lambda _: self.fill())

    def _guard(self, action: Callable[[], None]) -> None:
        """Run a reaction; say what went wrong where the reader looks, since a callback's traceback is shown nowhere."""
        try:
            action()
        except UserError as error:
            self._forget()
            self.status.value = text.note(str(error), "fake")
        except Exception as error:
            self._forget()
            self.status.value = text.note(f"Unexpected {type(error).__name__}: {error}", "fake")
            raise

    def hole(self) -> np.ndarray:
        """The hole chosen now: (H, W) bool, True = hole."""
        if self.kind.value == OWN_RECTANGLE:
            return self.session.rectangle(**{name: slider.value for name, slider in self.sides.items()})
        return self.session.mask(self.photograph.value, self.kind.value)

    def fill(self) -> None:
        """What the button does: paint the hole, show it, ask the detectors."""
        self.button.disabled = True
        self.status.value = text.note("Filling …")
        try:
            self._guard(self._fill)
        finally:
            self.button.disabled = False

    def _fill(self) -> None:
        self.result = self.session.fill(
            self.photograph.value, self.hole(), self.caption.value, self.inpainter.value, self.seed.value
        )
        self._show()

    def _show(self) -> None:
        if self.result is None:
            return
        picture = self.result.output(self.arm.value)
        self.pictures["filled"].value = png(picture)
        self.pictures["difference"].value = png(difference(self.result.original, picture))
        self.status.value = text.filled(self.result, self.arm.value)
        self.verdict.value = text.verdict(self.session.verdict(picture), self.session.verdict(self.result.original))

    def _forget(self) -> None:
        """A fill that no longer belongs to what is chosen must not stay on the page."""
        self.result = None
        for name in ("filled", "difference"):
            self.pictures[name].value = png(_BLANK)
        self.verdict.value = ""

    def _on_photograph(self) -> None:
        image_id = self.photograph.value
        kinds = [*self.session.mask_kinds(image_id), OWN_RECTANGLE]
        if tuple(kinds) != tuple(self.kind.options):
            chosen = self.kind.value if self.kind.value in kinds else kinds[0]
            self.kind.options = kinds
            self.kind.value = chosen
        self.pictures["original"].value = png(self.session.image(image_id))
        self.caption.value = next(iter(self.session.captions(image_id)), "")
        self._on_hole()
        self._on_words()

    def _on_hole(self) -> None:
        self._slider_layout.display = None if self.kind.value == OWN_RECTANGLE else "none"
        self._forget()
        hole = self.hole()
        self.pictures["masked"].value = png(hide_region(self.session.image(self.photograph.value), hole))
        said = text.note(f"The hole covers {hole.mean():.0%} of the picture. Press Fill.")
        self.status.value = said + text.note(self.session.missing)

    def _on_words(self) -> None:
        self._forget()
        unknown, cut = self.session.reading(self.caption.value, self.inpainter.value)
        self.words.value = text.reading(unknown, cut, self.inpainter.value == "tdanet")
