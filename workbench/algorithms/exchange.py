"""Algorithms to and from other places, and beside each other: part of what ``ws.algorithms`` is."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from workbench.algorithms.lookup import Lookup

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from workbench.algorithms.algorithm import Algorithm
    from workbench.algorithms.aliases import Aliases
    from workbench.algorithms.brought import Parts
    from workbench.algorithms.code_digest import Code
    from workbench.algorithms.comparison import Comparison
    from workbench.algorithms.deploy import Deployer
    from workbench.algorithms.stored import StoredAlgorithms
    from workbench.algorithms.transfer import Imported
    from workbench.catalog import Catalog
    from workbench.models import Revision
    from workbench.storage.store import Store


class Exchange(ABC):
    """Export to a file and import from one, clone what was deployed, compare revisions."""

    _store: Store
    _catalog: Catalog
    _lookup: Lookup
    _deployer: Deployer
    _stored: StoredAlgorithms
    _aliases: Aliases

    @abstractmethod
    def get(self, ref: str | Algorithm) -> Algorithm:
        """Return an algorithm."""

    @abstractmethod
    def sources(self, revision: Revision) -> dict[str, bytes]:
        """Return path to content."""

    @abstractmethod
    def code(self, revision: Revision) -> Code:
        """Return what the code means."""

    def export(
        self,
        ref: str | Algorithm,
        path: str | os.PathLike[str],
        *,
        lineage: bool = True,
        data: bool = False,
        overwrite: bool = False,
    ) -> Path:
        """Write a version of an algorithm to one file, to be imported elsewhere.

        Parameters
        ----------
        ref : str or Algorithm
            A version goes with all its revisions; a revision id goes alone.
        path : path
            Such as ``denoise.wbalg``.
        lineage : bool
            Also the records and logs of its runs, and of the datasets that they read and made.
        data : bool
            Also the arrays of these datasets.
        overwrite : bool
            Replace a file that is there.

        Raises
        ------
        NotFoundError, InvalidInputError, AlreadyExistsError
            For an unknown algorithm, another suffix, a file that is there.
        """
        from workbench.algorithms.transfer import export

        revision = self._lookup.find(ref)
        alone = isinstance(ref, str) and revision.id in ref
        revisions = [revision] if alone else self._lookup.revisions(revision)
        options = {"lineage": lineage, "data": data, "overwrite": overwrite}
        return export(
            self._store, self._catalog, sorted(revisions, key=lambda r: (r.created, r.id)), path, **options
        )

    def import_file(
        self, path: str | os.PathLike[str], *, dry_run: bool = False, check: bool = True
    ) -> Imported:
        """Bring an algorithm that was exported, with its revisions under their own ids; what is here already is left alone.

        Its code passes the gate of a deploy before anything is stored. Runs of others never stand for a run here.

        Parameters
        ----------
        path : path
        dry_run : bool
            Only look into the file, and say what it would bring.
        check : bool
            As for `deploy`.

        Raises
        ------
        NotFoundError, UnsupportedError
            If there is no such file, or it is something else.
        DamagedError
            If it was damaged or tampered with.
        ConflictError
            If an id of it is here with other content.
        InvalidAlgorithmError
            If the gate found problems. In none of these cases is anything imported.
        """
        from workbench.algorithms.archive import Archive
        from workbench.algorithms.transfer import Import, Imported

        with Archive(path) as archive:
            newest = max(archive.manifest.revisions, key=lambda r: (r.major, r.minor, r.created, r.id))
            found = Import(archive, self._store, self._catalog, self._deployer)
            notes = []
            if found.absent:
                notes.append(
                    f"{len(found.absent)} datasets of its runs are elsewhere: lineages name them. export(..., data=True) "
                    "brings their arrays along."
                )
            aliases: dict[str, str | None] = dict(found.aliases())
            kept = [alias for alias in archive.manifest.aliases if alias not in aliases]
            if kept:
                notes.append(f"Aliases that are here stay as they are: {', '.join(kept)}.")
            if not dry_run:
                found.carry_out(check=check)
                if aliases:
                    self._aliases.change(newest.name, aliases)
            return Imported(
                archive.path,
                newest.ref,
                None if dry_run else self.get(newest.id),
                [r.id for r in found.new],
                [r.id for r in found.runs],
                [d.id for d in found.datasets],
                notes,
            )

    def import_revisions(
        self,
        revisions: Mapping[str, Revision],
        parts: Parts,
        origin: Path,
        *,
        dry_run: bool = False,
        check: bool = True,
    ) -> list[str]:
        """Bring revisions that came with something else, as `import_file` does, all of them or none; return the ids that are new.

        Parameters
        ----------
        revisions : dict of str to Revision
        parts : object with ``unpack``
            Writes what a revision names (``packages/<digest>.zip``, ``assets/<digest>``) to a file.
        origin : path
            Where they came from, for messages.
        dry_run, check : bool
            As for `import_file`.
        """
        from workbench.algorithms.brought import bring

        places = (self._store, self._catalog, self._deployer)
        return bring(list(revisions.values()), parts, origin, *places, dry_run=dry_run, check=check)

    def compare(self, a: str | Algorithm, b: str | Algorithm | None = None) -> Comparison:
        """Return two revisions side by side: what they declare, parameters, assets, code.

        Parameters
        ----------
        a, b : str or Algorithm
            Versions, dates (``denoise@2026-03-01``) or revision ids, of one algorithm or of two. Without ``b``, the revision before
            ``a`` and ``a``.

        Raises
        ------
        NotFoundError
            If one is not there, or there is none before.
        """
        from workbench.algorithms.comparison import compare_revisions

        new = self._lookup.find(a)
        if b is None:
            return compare_revisions(self._lookup.before(new), new, self)
        return compare_revisions(new, self._lookup.find(b), self)

    def checkout(
        self,
        ref: str | Algorithm,
        folder: str | os.PathLike[str],
        source: str | os.PathLike[str] | None = None,
    ) -> Path:
        """Clone the repository that a revision was deployed from, go to its commit, and apply what was not committed then.

        Parameters
        ----------
        ref : str or Algorithm
        folder : path
            Empty, or not there yet.
        source : path or URL, optional
            What to clone. Default: the checkout that it was deployed from, else its ``origin``.

        Returns
        -------
        Path
            The algorithm's folder in the clone.

        Raises
        ------
        InvalidInputError
            If it was not deployed from a checkout.
        AlreadyExistsError
            If the folder is not empty.
        NotFoundError, UnsupportedError
            If nothing can be cloned, or the commit is not there any more.
        """
        from pathlib import Path

        from workbench.algorithms.git_source import check_known, checkout

        revision = self._lookup.find(ref)
        git = check_known(revision)
        return checkout(git, self._stored.patch(revision), Path(folder).expanduser(), source)

    def check_source(self, ref: str | Algorithm, source: str | os.PathLike[str] | None = None) -> str:
        """Make the code of a revision anew from a fresh clone and its uncommitted changes; return what was found, in a sentence.

        Raises
        ------
        UnsupportedError
            If it is not the same, with the files; and as `checkout`.
        """
        import tempfile
        from pathlib import Path

        from workbench.algorithms.git_source import check_known, checkout, what_differs
        from workbench.errors import UnsupportedError

        revision = self._lookup.find(ref)
        git = check_known(revision)
        advice = "run.replay(from_source='https://...')"
        with tempfile.TemporaryDirectory(prefix="workbench-clone-") as scratch:
            made = checkout(git, self._stored.patch(revision), Path(scratch, "clone"), source, advice)
            differ = what_differs(made, revision)
        if differ:
            large = f" {len(git.left_out)} files were too large to be kept." if git.left_out else ""
            raise UnsupportedError(
                f"A fresh clone at {git.commit[:10]} with the uncommitted changes does not make {revision.ref} ({revision.id}): "
                f"{', '.join(differ[:10])} differ.{large} Its package has the code as it was."
            )
        changes = f" and {git.files} uncommitted files" if git.files else ""
        return f"A fresh clone at {git.commit[:10]}{changes} makes the same code, file by file."
