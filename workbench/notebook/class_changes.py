"""Says what a cell changed in a class with versioned fields: "reduce: major change: n_components 2 -> 3"."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.versions import Version


class ClassChanges:
    """Looks, after each cell, at the classes with versioned fields that the notebook has defined.

    Parameters
    ----------
    shell : InteractiveShell
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._known: dict[str, tuple[type, Version]] = {}

    def look(self, *result: Any) -> None:
        """Print what changed since the cell before, or since the step was last saved; never raises."""
        if "workbench.versions" not in sys.modules:  # so the cell has defined none
            return
        from workbench.versions import Versioned, version_of

        for variable, cls in list(self._shell.user_ns.items()):
            is_ours = isinstance(cls, type) and issubclass(cls, Versioned) and cls.__module__ == "__main__"
            if not is_ours or variable.startswith("_"):
                continue
            name = str(getattr(cls, "name", cls.__name__))
            before = self._known.get(name)
            if before is not None and before[0] is cls:
                continue
            version = version_of(cls)
            self._known[name] = (cls, version)
            note = _note(name, before[1] if before is not None else _saved(name), version)
            if note:
                print(note)


def _note(name: str, before: Version | None, version: Version) -> str:
    from workbench.versions import change_note

    if before is None:
        return ""
    try:
        links = _links()
        outdated = links.outdated(name, version) if links is not None else ()
    except (WorkbenchError, OSError):
        outdated = ()
    return change_note(name, before, version, outdated)


def _saved(name: str) -> Version | None:
    """Return the version under which a step was last saved, without its training."""
    from workbench.versions.version import TRAINED

    try:
        links = _links()
        found = links.versions(name) if links is not None else []
    except (WorkbenchError, OSError):
        return None
    version: Version | None = found[0].version if found else None
    if version is None or version.fields is None:
        return None
    return replace(version, fields={n: facts for n, facts in version.fields.items() if n != TRAINED})


def _links() -> Any:
    """Return the links of the workspace that is open, and None where none is."""
    workspace = sys.modules.get("workbench.workspace")
    opened = workspace.opened() if workspace is not None else None
    return opened.links if opened is not None else None


def install(shell: Any) -> None:
    """Look after each cell of a shell."""
    remove(shell)
    shell.events.register("post_run_cell", ClassChanges(shell).look)


def remove(shell: Any) -> None:
    """Look no more."""
    for callback in list(shell.events.callbacks["post_run_cell"]):
        if isinstance(getattr(callback, "__self__", None), ClassChanges):
            shell.events.unregister("post_run_cell", callback)
