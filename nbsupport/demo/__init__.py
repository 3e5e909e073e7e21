"""What a reader plays with in a notebook: the demo's two panels and the error browser.

Their logic is in modules without any widget, above all ``state`` and ``browser_state``. Each class is imported when it
is first asked for, so that the demo does not wait for the browser's tables, nor the browser for the demo's networks.
"""

import importlib

_HOMES = {"Demo": "app", "ErrorBrowser": "browser", "InpaintPanel": "panel", "Session": "state"}

__all__ = ["Demo", "ErrorBrowser", "InpaintPanel", "Session"]  # noqa: F822 - found by __getattr__


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
