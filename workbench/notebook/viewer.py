"""The door to the image viewer; the widget itself (``viewer_widget``) is imported when the first one is shown.

>>> from workbench.notebook.viewer import show
>>> show(stack, mask=labels)                                                                    # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.notebook.viewer_widget import Viewer as Viewer

__all__ = ["Viewer", "show"]


def show(source: Any, **options: Any) -> Viewer:
    """Return a viewer of an array, an HDF5 dataset or a Dataset; options are those of ``Viewer``."""
    from workbench.notebook.viewer_widget import Viewer

    return Viewer(source, **options)


def __getattr__(name: str) -> Any:
    # anywidget and ipywidgets cost a third of a second: not when the magics register
    if name == "Viewer":
        from workbench.notebook.viewer_widget import Viewer

        return Viewer
    raise AttributeError(f"module 'workbench.notebook.viewer' has no attribute {name!r}")
