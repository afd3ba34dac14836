"""Widgets below a widget."""

from __future__ import annotations

from typing import Any

from ipywidgets import Widget


def close_below(widget: Any) -> None:
    """Close all that a widget consists of, not the widget itself.

    Closing a box leaves its children, and every widget's layout and style, open for good.
    """
    for child in getattr(widget, "children", ()):
        close_below(child)
        child.close()
    for part in (getattr(widget, "layout", None), getattr(widget, "style", None)):
        if isinstance(part, Widget):
            part.close()
