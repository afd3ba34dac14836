"""The code in an RO-Crate: algorithms with their assets, and the functions of pipelines. It is brought only where somebody asks for it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from workbench.library.crate_files import CrateFiles
from workbench.models import Revision

_RECORD = re.compile(r"algorithms/[^/]+\.json")
_PART = re.compile(r"packages/[0-9a-f]{64}\.zip|assets/[0-9a-f]{64}|environments/[0-9a-f]{32}\.patch")


class BringRevisions(Protocol):
    """Deploys revisions that came with something else, all or none; see `Algorithms.import_revisions`."""

    def __call__(
        self, revisions: Mapping[str, Revision], parts: CrateCode, origin: Path, *, dry_run: bool
    ) -> list[str]: ...


def folder_name(revision: Revision) -> str:
    """Return the folder of a revision in a crate."""
    return f"algorithms/{revision.name}-{revision.version}-{revision.id}"


def record_name(revision: Revision) -> str:
    """Return the file of what is known of a revision."""
    return f"{folder_name(revision)}.json"


class CrateCode:
    """The revisions of algorithms in a crate, of those that are wanted.

    Parameters
    ----------
    files : CrateFiles
    wanted : collection of str
        The ids of revisions.

    Raises
    ------
    DamagedError
        If a record or a file is not what it was.
    """

    def __init__(self, files: CrateFiles, wanted: Collection[str]) -> None:
        self._files = files
        self._names = frozenset(files.names)
        self._places: dict[str, str] = {}  # what a revision names -> where that lies in the crate
        self.revisions: dict[str, Revision] = {}
        for name in sorted(self._names):
            if _RECORD.fullmatch(name):
                revision = self._record(name)
                if revision.id in wanted:
                    self.revisions[revision.id] = revision
                    self._find(revision)

    def unpack(self, name: str, target: Path) -> bool:
        """Write what a revision names to a file; tell whether it is in the crate: a patch may not be."""
        if name not in self._places:
            return False
        with target.open("wb") as file:
            for block in self._files.blocks(self._places[name]):
                file.write(block)
        return True

    def _record(self, name: str) -> Revision:
        try:
            revision = Revision.model_validate_json(self._files.read(name))
        except ValueError as error:
            raise self._files.damaged(f"{name} is no record") from error
        if record_name(revision) != name:
            raise self._files.damaged(f"{name} holds the record of {revision.ref} ({revision.id})")
        return revision

    def _find(self, revision: Revision) -> None:
        folder = folder_name(revision)
        places = {f"packages/{revision.package}.zip": f"{folder}/package.zip"}
        places |= {f"assets/{digest}": f"{folder}/{path}" for path, digest in revision.assets.items()}
        patch = f"environments/{revision.git.diff}.patch" if revision.git is not None else ""
        if patch in self._names:
            places[patch] = patch
        for part, place in places.items():
            if place not in self._names:
                raise self._files.damaged(f"{place} is not in it")
            if not _PART.fullmatch(part):
                raise self._files.damaged(f"{record_name(revision)} names {part!r}, which is no digest")
            self._files.verify(place)
        self._places |= places
