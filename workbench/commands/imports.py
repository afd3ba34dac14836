"""What is brought from elsewhere under its own ids: exported algorithms and RO-Crates, for the magics and the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidInputError
from workbench.library.crate_files import METADATA

if TYPE_CHECKING:
    from workbench.workspace import Workspace


def is_crate(path: str | Path) -> bool:
    """Tell whether a path is meant as an RO-Crate: a ``.zip``, or a folder with its metadata."""
    return Path(path).suffix == ".zip" or (Path(path) / METADATA).is_file()


def bring(
    workspace: Workspace,
    path: str | Path,
    *,
    dry_run: bool = False,
    check: bool = True,
    code: bool = False,
) -> Any:
    """Import an exported algorithm, or the datasets and runs of an RO-Crate, with its code where that is asked for; return what came."""
    if is_crate(path):
        return workspace.import_crate(path, dry_run=dry_run, check=check, code=code)
    if code:
        raise InvalidInputError(f"--code is for RO-Crates; {path} is nothing but code. Leave it out.")
    return workspace.algorithms.import_file(path, dry_run=dry_run, check=check)
