"""The bundles of a workspace: folders kept in step by checksum, each push a numbered version."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from workbench.errors import InvalidInputError, NotFoundError, did_you_mean, nearest
from workbench.library import bundle_files
from workbench.library.bundle import Bundle, row_of
from workbench.library.bundle_contents import contents
from workbench.library.bundle_files import FILES
from workbench.library.bundle_folder import WHAT, Scope
from workbench.library.folders_in_step import FoldersInStep, parsed_name, progress_bar
from workbench.library.input_folders import SOURCE, named
from workbench.models import BundleFile, BundleRecord
from workbench.pages import Page

if TYPE_CHECKING:
    from workbench.library.lineage import Direction, Lineage

_MOST_READ = 1000


class Bundles(FoldersInStep):
    """Folders, pushed as versions and pulled anywhere; contents are stored once.

    Hidden files and ``__pycache__`` are no part of a bundle. In a folder, ``.workbench-bundle.json`` remembers digests (by size,
    time and inode) and how it last was in step: what both sides have changed since is a conflict, never passed over.

    Parameters
    ----------
    store : Store
    catalog : Catalog
    """

    # -- finding

    def list(self) -> Page[Bundle]:
        """List the bundles, by name, each with its newest version."""
        return self._page(self._catalog.newest_bundles())

    def versions(self, name: str) -> Page[Bundle]:
        """List the versions of a bundle, the newest first.

        Raises
        ------
        NotFoundError
            With near names.
        """
        found = self._catalog.bundle_versions(name)
        if not found:
            raise self._stored.absent(name, None)
        return self._page(found)

    def get(self, name: str, version: int | None = None, what: str = "all") -> Bundle:
        """Return a version of a bundle, or a part of one.

        Parameters
        ----------
        name : str
            ``name`` (the newest), or ``name@version``.
        version : int, optional
        what : {"all", "data", "model"}
            ``data`` is what lies in ``data/`` and ``config/``, ``model`` what lies in ``output/`` and ``config/``: its files are then
            only these, also for a run whose input it is.

        Raises
        ------
        NotFoundError
            With near names, or the versions that there are.
        InvalidInputError
            For a version or part that cannot be.
        """
        name, version = parsed_name(name, version)
        scope = Scope(what)
        return Bundle(self._stored.known(name, version), self, scope)

    def files_of(self, record: BundleRecord) -> Mapping[str, BundleFile]:
        """Return the files of a version, by path."""
        return record.files or self._stored.with_files(record).files

    def folders_of(self, record: BundleRecord) -> tuple[str, ...]:
        """Return the paths of the empty folders of a version."""
        return self._stored.with_files(record).folders

    def open_file(self, record: BundleRecord, path: str) -> BinaryIO:
        """Open a file of a version for reading."""
        files = self.files_of(record)
        if path not in files:
            raise NotFoundError(
                f"There is no file {path!r} in {record.name}@{record.version}.{did_you_mean(path, files)}",
                near=nearest(path, files),
            )
        return self._store.open(FILES, files[path].digest)

    def verify(self, name: str, version: int | None = None, *, progress: bool = False) -> Bundle:
        """Read all contents of a version and compare them with their digests.

        Raises
        ------
        DamagedError
            If one is another, or gone.
        """
        bundle = self.get(name, version)
        with progress_bar(progress, f"verify {bundle.ref}") as tick:
            for path, file in bundle.files.items():
                bundle_files.check_content(self._store, path, file.digest, tick)
        return bundle

    def lineage(self, record: BundleRecord, generations: int = 10, direction: Direction = "both") -> Lineage:
        """Return the lineage of a version; see `Bundle.lineage`."""
        from workbench.library.lineage import lineage

        read = self._read_as(record)
        if not read:
            raise NotFoundError(
                f"No run has read {record.name}@{record.version}. Give it to one: ws.run('train', ws.bundles.get("
                f"{record.name!r}, {record.version}))."
            )
        return lineage(self._catalog, read[0], "dataset", generations, direction, self._store)

    def _read_as(self, record: BundleRecord) -> builtins.list[str]:
        """Return the datasets that runs have read a version as, or a part of it, the newest first."""
        from workbench.storage import hdf5

        files = contents(self._stored.with_files(record))
        digests = {hdf5.digest(named(Scope(what).those_of(files))) for what in WHAT}
        source = f"{SOURCE}{record.name}@{record.version}"
        found = [self._catalog.list_datasets(digest=digest, limit=_MOST_READ)[0] for digest in digests]
        return sorted({d.id for some in found for d in some if d.source == source}, reverse=True)

    # -- changing

    def restore(self, name: str, version: int | None = None, *, message: str = "") -> Bundle:
        """Make a new version with the files of an older one (``name@version``); no bytes travel, and nothing is lost.

        Raises
        ------
        InvalidInputError
            If no version is named.
        NotFoundError
            If it is not there.
        """
        name, version = parsed_name(name, version)
        if version is None:
            raise InvalidInputError(
                f"Which version of {name!r}? Write one, such as '{name}@1'. See ws.bundles.versions({name!r})."
            )
        with self._catalog.change_bundles() as change:  # its contents stay while this goes on
            known = next((r for r in change.versions(name) if r.version == version), None)
            old = None if known is None else self._stored.with_files(known)
            if old is not None:
                text = message or f"version {version} again"
                made = self._stored.publish(change, name, contents(old), old.what, text, old.parents)
        if old is None:
            raise self._stored.absent(name, version)
        return Bundle(made, self)

    def delete(self, name: str, version: int | None = None, *, force: bool = False) -> int:
        """Delete a bundle with all its versions, or one version (``name@version``), and contents that no other one has.

        Returns
        -------
        int
            How many versions were deleted.

        Raises
        ------
        NotFoundError
            With near names, or the versions that there are.
        InUseError
            If entries, datasets or other bundles were made from it, or a run read it. ``force=True`` deletes it nevertheless.
        """
        name, version = parsed_name(name, version)
        doomed = [r for r in self._catalog.bundle_versions(name) if version in (None, r.version)]
        read_as: builtins.list[str] = []
        for record in doomed if not force else ():
            with suppress(NotFoundError):  # of a deletion that was killed
                read_as += self._read_as(record)
        return self._stored.delete(name, version, force=force, read_as=read_as)

    def reindex(self) -> int:
        """Record in the catalog what the store holds; return how many versions there are."""
        return self._stored.reindex()

    # -- inside

    def _page(self, records: Iterable[BundleRecord]) -> Page[Bundle]:
        return Page(
            [Bundle(record, self) for record in records],
            lambda bundle: row_of(bundle.record),
            None,
            "bundles",
            "Make one: ws.bundles.push('insects', 'folder').",
        )
