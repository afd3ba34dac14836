"""Revisions of algorithms that come with something else, such as an RO-Crate: checked as an exported algorithm is, all of them or none."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from workbench.algorithms.archive import Archive, ArchiveWriter
from workbench.algorithms.package import SUFFIX
from workbench.algorithms.stored import ASSETS, PACKAGES
from workbench.algorithms.transfer import Import

if TYPE_CHECKING:
    from workbench.algorithms.deploy import Deployer
    from workbench.catalog import Catalog
    from workbench.models import Revision
    from workbench.storage.store import Store


class Parts(Protocol):
    """Has the packages, assets and patches of revisions."""

    def unpack(self, name: str, target: Path) -> bool:
        """Write what a revision names to a file; tell whether it is there."""


def bring(
    revisions: Sequence[Revision],
    parts: Parts,
    origin: Path,
    store: Store,
    catalog: Catalog,
    deployer: Deployer,
    *,
    dry_run: bool,
    check: bool,
) -> list[str]:
    """Import revisions; return the ids that were not here. The gate has passed all of them before the first is stored."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="workbench-import-")))
        imports = []
        for number, name in enumerate(sorted({revision.name for revision in revisions})):
            those = sorted((r for r in revisions if r.name == name), key=lambda r: (r.created, r.id))
            archive = stack.enter_context(Archive(_written(those, parts, scratch / f"{number}{SUFFIX}")))
            archive.path = origin  # for messages
            imports.append(Import(archive, store, catalog, deployer))
        if not dry_run:
            made = [
                found.checked(scratch / f"folders-{number}", check=check)
                for number, found in enumerate(imports)
            ]
            for found, folders in zip(imports, made, strict=True):
                found.store(folders)
        return [revision.id for found in imports for revision in found.new]


def _written(revisions: Sequence[Revision], parts: Parts, path: Path) -> Path:
    """Write revisions of one name as an exported algorithm."""
    with ArchiveWriter(path) as archive:
        for revision in revisions:
            names = [
                f"{PACKAGES}/{revision.package}.zip",
                *(f"{ASSETS}/{d}" for d in revision.assets.values()),
            ]
            if revision.git is not None and revision.git.diff:
                names.append(f"environments/{revision.git.diff}.patch")
            for name in names:
                part = path.with_suffix(".part")
                if name not in archive.parts and parts.unpack(name, part):
                    with part.open("rb") as file:
                        archive.add(name, file)
        archive.finish(revisions[0].name, revisions, {})
    return path
