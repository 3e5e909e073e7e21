"""The surface on which a reader paints a hole: a picture, the hole over it, and the pointer's track, on ipycanvas.

What a stroke does to the hole is decided in ``mask_editor``. Its layout is fixed in pixels: a canvas that is free to
stretch takes the whole width of the page.
"""

from collections.abc import Callable

import cv2
import ipywidgets as w
import numpy as np
from ipycanvas import MultiCanvas, hold_canvas

from nbsupport.demo import pictures
from nbsupport.demo.mask_editor import MaskEditor

#: Longer side of the surface in pixels of the page.
SIDE = 384
TOOLS = ("brush", "eraser", "rectangle")
_TRACK = {"brush": "rgba(204, 121, 167, 0.62)", "eraser": "rgba(255, 255, 255, 0.75)", "rectangle": "#CC79A7"}


class DrawingSurface:
    """A canvas over a :class:`MaskEditor`.

    Attributes:
        canvas: the widget. editor: the hole; another one for each picture. tool: one of TOOLS.
        diameter: of brush and eraser, in pixels of the page.

    Args: on_change: called after every change of the hole that was made with the pointer.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.canvas = MultiCanvas(3, width=SIDE, height=SIDE)
        self.canvas.layout = w.Layout(width=f"{SIDE}px", height=f"{SIDE}px", flex="0 0 auto")
        self.tool, self.diameter = TOOLS[0], 36
        self._on_change, self._track = on_change, []
        self.image = np.full((64, 64, 3), 244, np.uint8)
        self.editor = MaskEditor(64, 64)
        self.scale = SIDE / 64
        self.canvas.on_mouse_down(self._begin)
        self.canvas.on_mouse_move(self._move)
        self.canvas.on_mouse_up(self._end)
        self.canvas.on_mouse_out(self._end)
        self.canvas.on_touch_start(lambda points: self._begin(*points[0][:2]))
        self.canvas.on_touch_move(lambda points: self._move(*points[0][:2]))
        self.canvas.on_touch_end(lambda points: self._end())
        self.canvas.on_client_ready(self.redraw)

    def show(self, image: np.ndarray) -> None:
        """Take another picture, (H, W, 3) uint8, with no hole in it yet."""
        height, width = image.shape[:2]
        self.image, self.editor = image, MaskEditor(height, width)
        self.scale = SIDE / max(height, width)
        self._track = []
        rows, columns = self.shown
        if (self.canvas.height, self.canvas.width) != (rows, columns):
            self.canvas.height, self.canvas.width = rows, columns
            self.canvas.layout.height, self.canvas.layout.width = f"{rows}px", f"{columns}px"
        self.redraw()

    @property
    def shown(self) -> tuple[int, int]:
        """Height and width on the page."""
        return tuple(max(1, round(side * self.scale)) for side in self.image.shape[:2])

    def redraw(self) -> None:
        """Draw picture and hole; what was drawn before a page was ready to show it is lost, so this is called again."""
        rows, columns = self.shown
        way = cv2.INTER_NEAREST if self.scale >= 1 else cv2.INTER_AREA
        with hold_canvas(self.canvas):
            self.canvas[0].put_image_data(cv2.resize(self.image, (columns, rows), interpolation=way), 0, 0)
        self.redraw_hole()

    def redraw_hole(self) -> None:
        """Draw the hole again and forget the pointer's track."""
        with hold_canvas(self.canvas):
            self.canvas[2].clear()
            self.canvas[1].put_image_data(pictures.overlay(self.editor.mask, self.shown), 0, 0)

    def _begin(self, x: float, y: float) -> None:
        self._track = [(x, y)]
        if self.tool != "rectangle":
            self._draw_track()

    def _move(self, x: float, y: float) -> None:
        if self._track:
            self._track.append((x, y))
            self._draw_track()

    def _draw_track(self) -> None:
        layer, (x, y) = self.canvas[2], self._track[-1]
        with hold_canvas(self.canvas):
            if self.tool == "rectangle":
                left, top = self._track[0]
                layer.clear()
                layer.stroke_style, layer.line_width = _TRACK["rectangle"], 2
                layer.stroke_rect(min(left, x), min(top, y), abs(x - left), abs(y - top))
                return
            layer.stroke_style = layer.fill_style = _TRACK[self.tool]
            layer.line_width, layer.line_cap = self.diameter, "round"
            if len(self._track) == 1:
                layer.fill_circle(x, y, self.diameter / 2)
            else:
                layer.stroke_line(*self._track[-2], x, y)

    def _end(self, x: float | None = None, y: float | None = None) -> None:
        if not self._track:
            return
        points = [(px / self.scale, py / self.scale) for px, py in self._track]
        self._track = []
        if self.tool == "rectangle":
            changed = self.editor.rectangle(points[0], points[-1])
        else:
            changed = self.editor.stroke(points, self.diameter / self.scale, erase=self.tool == "eraser")
        self.redraw_hole()
        if changed:
            self._on_change()
