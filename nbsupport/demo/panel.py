"""The painting panel: choose a picture, paint a hole, write a caption, fill it; nothing is computed here.

Here: what stands where, and which change leads to which. The surface is in ``hole_tools``, what comes of a fill in
``results``.
"""

from collections.abc import Callable

import ipywidgets as w
import numpy as np

from nbsupport.core.errors import UserError
from nbsupport.demo import text, uploads, words
from nbsupport.demo.hole_tools import HoleTools
from nbsupport.demo.results import MOST_SAMPLES, Results
from nbsupport.demo.state import Filled, Session
from nbsupport.demo.uploads import Upload
from nbsupport.inpainters import tdanet
from nbsupport.runs import Run

_OWN = ""  # in the list of photographs: the uploaded one
_WIDE = "100%"
_STYLE = {"description_width": "92px"}


class InpaintPanel(w.VBox):
    """Choose a photograph, a hole and a caption; press *Fill*; see the fills and the detectors' verdict.

    Args:
        run: a run folder with at least chapters 1 and 2, a session, or None for birds drawn on the spot.
        limit: the largest number of photographs in the list.
        on_fill: called whenever the shown fill changes.
    """

    def __init__(
        self, run: Run | Session | None = None, limit: int = 200, on_fill: Callable[[], None] = lambda: None
    ) -> None:
        self.session = run if isinstance(run, Session) else Session(run)
        self._on_fill = on_fill
        self.uploaded: Upload | None = None
        self._build(limit)
        right = w.VBox([self._controls(), self.results], layout=w.Layout(flex="1 1 440px", min_width="340px"))
        super().__init__([w.HBox([self.tools, right], layout=w.Layout(flex_flow="row wrap", grid_gap="20px"))])
        self.add_class("inpaint-panel")
        self._connect()
        self._on_photograph()

    def _build(self, limit: int) -> None:
        table = self.session.photographs.head(limit)
        names = [f"{label} · {name}" for label, name in zip(table["label"], table["image_id"], strict=True)]
        options = list(zip(names, table["image_id"], strict=True))
        wide = {"width": _WIDE}
        self._samples = options
        self.photograph = w.Dropdown(options=options, description="photograph", layout=wide, style=_STYLE)
        self.upload = w.FileUpload(
            accept="image/*", description="photograph of my own", icon="upload", layout={"width": "220px"}
        )
        self.about = w.HTML(text.note(uploads.LIMITS))
        self.caption = w.Textarea(description="caption", rows=3, layout=wide, style=_STYLE, placeholder="a bird with …")
        self.suggestion = w.Dropdown(
            options=[("suggestions …", None)], layout=wide, style=_STYLE, description="or take"
        )
        methods = [(self.session.inpainters.describe(name), name) for name in self.session.methods]
        self.inpainter = w.Dropdown(options=methods, description="painted by", layout=wide, style=_STYLE)
        self.seed = w.BoundedIntText(
            0, min=0, max=2**31 - 1, description="seed", layout={"width": "180px"}, style=_STYLE
        )
        self.count = w.BoundedIntText(1, min=1, max=MOST_SAMPLES, description="samples", layout={"width": "180px"},
                                      style=_STYLE)  # fmt: skip
        self.strength = w.BoundedFloatText(
            1.0, min=0, max=tdanet.MAX_STRENGTH, step=0.5, description="caption ×", layout={"width": "180px"},
            style=_STYLE, tooltip="1: the network as it is; 0: without the caption; more exaggerates what it says",
        )  # fmt: skip
        self.strength.add_class("inpaint-strength")
        self.button = w.Button(
            description="Fill", button_style="primary", icon="magic", layout={"width": "100%", "height": "36px"}
        )
        self.message, self.words = w.HTML(), w.HTML(layout={"margin": "0 0 4px 100px"})
        self.tools = HoleTools(self._on_hole, self._guard)
        self.results = Results(self.session, lambda: self._on_fill(), self._guard)
        for name, widget in {"fill": self.button, "caption": self.caption, "words": self.words, "by": self.inpainter,
                             "message": self.message, "photograph": self.photograph, "upload": self.upload,
                             "seed": self.seed, "samples": self.count, "suggestion": self.suggestion,
                             "about": self.about}.items():  # fmt: skip
            widget.add_class(f"inpaint-{name}")

    def _controls(self) -> w.Widget:
        row = w.Layout(flex_flow="row wrap")
        return w.VBox(
            [self.photograph, self.upload, self.about, self.caption, self.words, self.suggestion, self.inpainter,
             w.HBox([self.seed, self.count, self.strength], layout=row), self.button, self.message],
            layout=w.Layout(max_width="620px"),
        )  # fmt: skip

    def _connect(self) -> None:
        self.photograph.observe(lambda _: self._guard(self._on_photograph), "value")
        self.upload.observe(lambda _: self._guard(self._on_upload), "value")
        for control in (self.caption, self.inpainter):
            control.observe(lambda _: self._guard(self._on_words), "value")
        self.suggestion.observe(lambda _: self._guard(self._on_suggestion), "value")
        for control in (self.seed, self.count, self.strength):
            control.observe(lambda _: self.results.forget(), "value")
        self.button.on_click(lambda _: self.fill())

    def _guard(self, action: Callable[[], None]) -> None:
        """Run a reaction; say what went wrong where the reader looks, since a callback's traceback is shown nowhere."""
        try:
            action()
        except UserError as error:
            self.results.forget()
            self.message.value = text.note(str(error), "fake")
        except Exception as error:
            self.results.forget()
            self.message.value = text.note(f"Unexpected {type(error).__name__}: {error}", "fake")
            raise

    @property
    def result(self) -> Filled | None:
        """The fill that is shown, None if there is none."""
        return self.results.chosen

    @property
    def picture(self) -> str | Upload:
        """What is painted on: a sample's id, or an uploaded photograph."""
        return self.uploaded or self.photograph.value

    @property
    def image(self) -> np.ndarray:
        """Its pixels, (H, W, 3) uint8."""
        return self.uploaded.image if self.uploaded else self.session.image(self.photograph.value)

    @property
    def method(self) -> str:
        """The inpainter's name, with the caption's strength behind it where that is not 1."""
        name, strength = self.inpainter.value, self.strength.value
        return f"{name}@{strength:g}" if name.startswith("tdanet") and strength != 1 else name

    def hole(self) -> np.ndarray:
        """The hole painted now: (H, W) bool, True = hole; a UserError if it is nothing or everything."""
        return self.tools.editor.usable()

    def fill(self) -> None:
        """What the button does: paint the hole, show it, ask the detectors."""
        self.button.disabled = True
        self.message.value = text.note("Filling …")
        try:
            self._guard(self._fill)
        finally:
            self.button.disabled = False

    def _fill(self) -> None:
        fills = self.session.fills(
            self.picture, self.hole(), self.caption.value, self.method, self.seed.value, self.count.value
        )
        self.message.value = ""
        self.results.show(fills)

    def _on_photograph(self) -> None:
        image_id = self.photograph.value
        if image_id == _OWN:
            return
        if self.uploaded is not None:
            self.uploaded = None
            self.photograph.options = self._samples
            self.photograph.value = image_id
        holes = {f"{kind} (a hole of the study)": lambda kind=kind: self.session.mask(image_id, kind)
                 for kind in self.session.mask_kinds(image_id)}  # fmt: skip
        holes |= {f"part: {part}": lambda part=part: self.session.part(image_id, part)
                  for part in self.session.parts(image_id)}  # fmt: skip
        self.message.value = text.note(self.session.inpainters.missing)
        self._show_picture(holes, self.session.captions(image_id))

    def _on_upload(self) -> None:
        if not self.upload.value:
            return
        item = self.upload.value[-1]
        self.upload.value = ()
        try:
            self.uploaded = uploads.read_photograph(str(item["name"]), item["content"])
        except UserError as error:  # what is on the page stays
            self.message.value = text.note(str(error), "fake")
            return
        self.photograph.options = [(f"my own: {self.uploaded.name}", _OWN), *self._samples]
        self.photograph.value = _OWN
        self._show_picture({}, [])
        note = f"; {self.uploaded.note}" if self.uploaded.note else ""
        self.message.value = text.note(f"Loaded {self.uploaded.name}{note}. Paint a hole and write a caption.", "good")

    def _show_picture(self, holes: dict[str, Callable[[], np.ndarray]], captions: list[str]) -> None:
        self.results.forget()
        self.tools.show(self.image, holes)
        self.results.before(self.image, self.tools.editor.mask)
        self.results.status.value = text.note("Paint a hole, then press Fill.")
        listed = words.suggestions(captions)
        shown = [(f"{why}: {said}" if said else why, said) for why, said in listed]
        self.suggestion.options = [("suggestions …", None), *dict(shown).items()]
        self.suggestion.index = 0
        self.caption.value = next(iter(captions), "")
        self._on_words()

    def _on_suggestion(self) -> None:
        if self.suggestion.value is not None:
            self.caption.value = self.suggestion.value

    def _on_hole(self) -> None:
        self.results.forget()
        self.message.value = ""
        self.results.before(self.image, self.tools.editor.mask)
        self.results.status.value = text.note("Press Fill." if self.tools.editor.mask.any() else "Paint a hole.")

    def _on_words(self) -> None:
        self.results.forget()
        self.show_words()

    def show_words(self) -> None:
        """Say which words the chosen inpainter does not know; while networks are being loaded, that it will be said."""
        name = self.inpainter.value
        if self.session.loading:
            self.words.value = text.note("The networks are being loaded …")
            return
        reads = name.startswith("tdanet")
        if reads and not self.caption.value.strip():
            self.words.value = text.note("No caption: the network paints from what is visible.")
            return
        self.words.value = text.reading(*self.session.reading(self.caption.value, name), reads)
