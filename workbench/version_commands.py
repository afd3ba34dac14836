"""Words of a line about versions of code become a call: for the magics and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import NotFoundError, did_you_mean, nearest
from workbench.pages import Page, Row

if TYPE_CHECKING:
    from workbench.workspace import Workspace


def versions_words(workspace: Workspace, name: str | None = None) -> Page[Any]:
    """Return the versions of an algorithm, step or pipeline, newest first; without a name, what has versions.

    Raises
    ------
    NotFoundError
        With near names.
    """
    if name is None:
        return _overview(workspace)
    if name in workspace.algorithms.names():
        return workspace.algorithms.history(name)
    if name in workspace.links.steps():
        return workspace.links.versions(name)
    if workspace.pipelines.exists(name):
        return workspace.pipelines.versions(name)
    known = [row["name"] for row in _overview(workspace).rows()]
    raise NotFoundError(
        f"Nothing that has versions is called {name!r}.{did_you_mean(name, known)} See: %versions, without a name.",
        near=nearest(name, known),
    )


def links_words(
    workspace: Workspace, downstream: str | None = None, upstream: str | None = None
) -> Page[Any]:
    """Return which versions of steps worked together.

    Raises
    ------
    NotFoundError
        For a step that is not known.
    """
    known = workspace.links.steps()
    for name in (downstream, upstream):
        if name is not None and name not in known:
            raise NotFoundError(
                f"There is no step {name!r}.{did_you_mean(name, known)} See: %versions.",
                near=nearest(name, known),
            )
    return workspace.links.list(downstream, upstream)


def _overview(workspace: Workspace) -> Page[Row]:
    algorithms = workspace.algorithms.names()
    rows: list[Row] = []
    for name in algorithms:
        found = workspace.algorithms.history(name)
        rows.append(_row(name, "algorithm", found.rows()))
    for name in workspace.links.steps():
        if name not in algorithms:
            rows.append(_row(name, "step", workspace.links.versions(name).rows()))
    for pipeline in workspace.pipelines.list():
        rows.append(_row(pipeline.name, "pipeline", workspace.pipelines.versions(pipeline.name).rows()))
    return Page(
        rows, lambda row: row, None, "versions", "Deploy an algorithm, or save a pipeline: pipe.save()."
    )


def _row(name: str, kind: str, versions: list[Row]) -> Row:
    newest = versions[0] if versions else {}
    return {
        "name": name,
        "kind": kind,
        "newest": newest.get("number"),
        "time": newest.get("time"),
        "versions": len(versions),
    }
