"""workbench: deploy algorithms, run them on your data, find everything again. In Jupyter, from one folder."""

from __future__ import annotations

from workbench.version import __version__

TYPE_CHECKING = False  # type checkers take it for true; importing typing would cost more than all the rest
if TYPE_CHECKING:
    from typing import Any

    from workbench.batch.record import record as record
    from workbench.notebook.viewer import show as show
    from workbench.pipelines import Node as Node
    from workbench.pipelines import Pipeline as Pipeline
    from workbench.workspace import Workspace as Workspace
    from workbench.workspace import current as current
    from workbench.workspace import open as open

__all__ = ["Node", "Pipeline", "Workspace", "__version__", "current", "open", "record", "show"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `import workbench` costs a few milliseconds, not the import of SQL, HDF5 and widgets.
    if name in {"Workspace", "current", "open"}:
        from workbench import workspace

        return getattr(workspace, name)
    if name == "show":
        from workbench.notebook.viewer import show

        return show
    if name in {"Node", "Pipeline"}:
        from workbench import pipelines

        return getattr(pipelines, name)
    if name == "record":
        from workbench.batch.record import record

        return record
    raise AttributeError(f"module 'workbench' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(shell: Any) -> None:
    """Register the magics: ``%load_ext workbench``."""
    from workbench.notebook.magics import register

    register(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics away again: ``%unload_ext workbench``."""
    from workbench.notebook.magics import unregister

    unregister(shell)
