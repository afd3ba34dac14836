"""Words of a line about versions of code become a call: for the magics and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import NotFoundError, did_you_mean, nearest
from workbench.pages import Page, Row

if TYPE_CHECKING:
    from workbench.links import Links, SavedPipelines
    from workbench.workspace import Workspace


def versions_words(
    workspace: Workspace, name: str | None = None, before: str | None = None, after: str | None = None
) -> Page[Any]:
    """Return the versions of an algorithm, step or pipeline, newest first; without a name, what has versions.

    With one version, what changed since then; with two, between them: field by field.

    Raises
    ------
    NotFoundError
        With near names.
    """
    if name is None:
        return _overview(workspace)
    if name in workspace.algorithms.names():
        if before is None:
            return workspace.algorithms.history(name)
        refs = [name if version is None else f"{name}@{version}" for version in (before, after)]
        return workspace.algorithms.field_changes(*refs)
    kept = _keeper(workspace, name)
    if kept is not None:
        return kept.versions(name) if before is None else kept.compare(name, before, after or "latest")
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


def _keeper(workspace: Workspace, name: str) -> Links | SavedPipelines | None:
    """Return what keeps the versions of a step or pipeline."""
    if name in workspace.links.steps():
        return workspace.links
    return workspace.pipelines if name in [p.name for p in workspace.pipelines.list()] else None


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
