"""What a reader plays with in a notebook: the inpainting panel. Its logic is in ``state``, without any widget."""

from nbsupport.widgets.panel import InpaintPanel
from nbsupport.widgets.state import Session

__all__ = ["InpaintPanel", "Session"]
