"""What a reader plays with in a notebook: the inpainting panel and the error browser.

Their logic is in ``state`` and ``browser_state``, without any widget.
"""

from nbsupport.widgets.browser import ErrorBrowser
from nbsupport.widgets.panel import InpaintPanel
from nbsupport.widgets.state import Session

__all__ = ["ErrorBrowser", "InpaintPanel", "Session"]
