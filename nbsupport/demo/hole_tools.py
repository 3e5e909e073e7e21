"""The left side of the painting panel: the surface, the tools around it, and masks that come and go as files."""

import base64
from collections.abc import Callable

import ipywidgets as w
import numpy as np

from nbsupport.demo import text, uploads
from nbsupport.demo.canvas import SIDE, TOOLS, DrawingSurface
from nbsupport.demo.mask_editor import MaskEditor

_HINT = "add a hole …"


class HoleTools(w.VBox):
    """Paint a hole over a picture.

    Args:
        on_change: called when the hole has changed.
        guard: runs a reaction and shows what went wrong.
    """

    def __init__(self, on_change: Callable[[], None], guard: Callable[[Callable[[], None]], None]) -> None:
        self._on_change, self._guard = on_change, guard
        self._holes: dict[str, Callable[[], np.ndarray]] = {}
        self.surface = DrawingSurface(self.changed)
        self._build()
        super().__init__(self._rows(), layout=w.Layout(width=f"{SIDE + 8}px", flex="0 0 auto"))
        self._connect()

    def _build(self) -> None:
        self.tool = w.ToggleButtons(
            options=TOOLS, style={"button_width": "124px"},
            tooltips=["paint a hole with the mouse held down", "take paint away", "drag from corner to corner"],
        )  # fmt: skip
        self.brush = w.IntSlider(36, min=4, max=120, step=2, description="brush size", readout=True,
                                 layout={"width": f"{SIDE}px"}, style={"description_width": "72px"})  # fmt: skip
        self.buttons = {
            name: w.Button(description=name, tooltip=tip, icon=icon, layout={"width": "92px"})
            for name, tip, icon in (
                ("undo", "take the last step back", "undo"), ("redo", "take it again", "repeat"),
                ("clear", "no hole", "trash-o"), ("invert", "hole and visible part change places", "adjust"),
            )
        }  # fmt: skip
        self.ready = w.Dropdown(options=[_HINT], layout={"width": f"{SIDE}px"})
        self.upload = w.FileUpload(accept="image/*", description="mask from file", icon="upload",
                                   layout={"width": "152px"}, tooltip="white = hole, black = visible")  # fmt: skip
        self.save = w.HTML()
        self.coverage = w.HTML()
        named = {"tool": self.tool, "brush": self.brush, "ready": self.ready, "mask-upload": self.upload,
                 "mask-save": self.save, "coverage": self.coverage, "canvas": self.surface.canvas,
                 **self.buttons}  # fmt: skip
        for name, widget in named.items():
            widget.add_class(f"inpaint-{name}")

    def _rows(self) -> list[w.Widget]:
        return [
            self.surface.canvas, self.coverage, self.tool, self.brush, w.HBox(list(self.buttons.values())), self.ready,
            w.HBox([self.upload, self.save], layout=w.Layout(align_items="center")),
        ]  # fmt: skip

    def _connect(self) -> None:
        self.tool.observe(lambda change: setattr(self.surface, "tool", change["new"]), "value")
        self.brush.observe(lambda change: setattr(self.surface, "diameter", change["new"]), "value")
        for name, button in self.buttons.items():
            button.on_click(lambda _, name=name: self._guard(lambda: self._step(name)))
        self.ready.observe(lambda _: self._guard(self._add_ready), "value")
        self.upload.observe(lambda _: self._guard(self._load), "value")

    @property
    def editor(self) -> MaskEditor:
        """The hole that is painted now."""
        return self.surface.editor

    def show(self, image: np.ndarray, holes: dict[str, Callable[[], np.ndarray]]) -> None:
        """Take another picture, (H, W, 3) uint8, and the ready-made holes it can have: label -> makes (H, W) bool."""
        self._holes = holes
        self.ready.options = [_HINT, *holes]
        self.ready.value = _HINT
        self.surface.show(image)
        self._refresh()

    def changed(self) -> None:
        """What follows every change of the hole."""
        self._refresh()
        self._on_change()

    def _refresh(self) -> None:
        editor = self.editor
        self.buttons["undo"].disabled, self.buttons["redo"].disabled = not editor.can_undo, not editor.can_redo
        self.coverage.value = text.coverage(editor.mask)
        data = base64.b64encode(editor.to_png()).decode()
        self.save.value = text.download("save mask (PNG)", "mask.png", "image/png", data) if editor.mask.any() else ""

    def _step(self, name: str) -> None:
        if getattr(self.editor, name)():
            self.surface.redraw_hole()
            self.changed()

    def _add_ready(self) -> None:
        if self.ready.value in (None, _HINT):
            return
        hole = self._holes[self.ready.value]()
        self.ready.value = _HINT  # so that the same one can be added again
        if self.editor.add(hole):
            self.surface.redraw_hole()
            self.changed()

    def _load(self) -> None:
        if not self.upload.value:
            return
        item = self.upload.value[-1]
        self.upload.value = ()
        name, data = str(item["name"]), bytes(item["content"])
        if self.editor.load_png(data, lambda data: uploads.read_mask(name, data)):
            self.surface.redraw_hole()
            self.changed()
