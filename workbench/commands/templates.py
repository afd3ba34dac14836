"""Templates that are made from algorithms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.errors import (
    AlreadyExistsError,
)

if TYPE_CHECKING:
    from workbench.workspace import Workspace


def make_template(workspace: Workspace, ref: str, place: str | None = None, *, force: bool = False) -> str:
    """Write a template that runs an algorithm and return where it is; default: ``NAME.ipynb`` here.

    Raises
    ------
    AlreadyExistsError
        If something is there and ``force`` is not given.
    """
    import nbformat

    from workbench.batch.new_template import new_template
    from workbench.batch.places import SCHEME, exists, key_of, write_text

    algorithm = workspace.algorithms.get(ref)
    target = place or f"{algorithm.name}.ipynb"
    if exists(target, workspace.store) and not force:
        raise AlreadyExistsError(f"{target} is there already. Give another path, or --force to replace it.")
    notebook = new_template(algorithm)
    if target.startswith(SCHEME):
        return workspace.templates.put(notebook, key_of(target)).source
    return write_text(target, nbformat.writes(notebook) + "\n")
