"""The workspace around code that was given none: an entry point of papermill, a cell of a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from workbench.registry import Registry

if TYPE_CHECKING:
    from workbench.algorithms import Algorithms
    from workbench.batch.templates import Templates
    from workbench.library import Datasets
    from workbench.storage.store import Store

# named as text, for it lies above
_WORKSPACES = Registry("workspace", "workbench.workspaces", {"current": "workbench.workspace:current"})


class Surroundings(Protocol):
    """What is needed of a workspace here."""

    store: Store

    @property
    def url(self) -> str: ...

    @property
    def datasets(self) -> Datasets: ...

    @property
    def algorithms(self) -> Algorithms: ...

    @property
    def templates(self) -> Templates: ...


def current() -> Surroundings:
    """Return the current workspace of this process."""
    found: Any = _WORKSPACES.get("current")()
    return cast(Surroundings, found)
