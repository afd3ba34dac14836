"""How bundles lie in the store: ``bundles/<name>/<version>.json``, and their contents ``bundle-files/<digest>``."""

from __future__ import annotations

import getpass
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from workbench.catalog.family import chunks
from workbench.errors import DamagedError, NotFoundError, did_you_mean, nearest
from workbench.library.bundle_contents import divided
from workbench.library.bundle_files import FILES
from workbench.library.bundle_folder import check_tree
from workbench.library.in_use import refuse_if_used, users_of
from workbench.models import BundleFile, BundleRecord, now
from workbench.names import new_id

if TYPE_CHECKING:
    from workbench.catalog.bundles import BundleChange
    from workbench.catalog.catalog import Catalog
    from workbench.storage.store import Store

RECORDS = "bundles"
_SHOWN = 10


class StoredBundles:
    """Reads and writes what `Bundles` keeps.

    Parameters
    ----------
    store : Store
    catalog : Catalog
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog

    def with_files(self, record: BundleRecord) -> BundleRecord:
        """Return a version with its files.

        Raises
        ------
        NotFoundError, DamagedError
            If it was deleted meanwhile, or its record is damaged.
        """
        try:
            found = BundleRecord.model_validate_json(self._store.get(RECORDS, _key(record)))
        except (NotFoundError, ValueError) as error:
            raise DamagedError(
                f"{self._store.url}, {RECORDS}/{_key(record)} is gone or damaged. Restore it, then: workbench reindex."
            ) from error
        if found.deleted is not None:
            raise NotFoundError(
                f"Bundle {record.name}@{record.version} was deleted meanwhile. See ws.bundles.list()."
            )
        return found

    def newest(self, name: str) -> BundleRecord | None:
        """Return the newest version with its files; None where there is no such bundle."""
        found = self._catalog.bundle_versions(name)
        return self.with_files(found[0]) if found else None

    def known(self, name: str, version: int | None) -> BundleRecord:
        """Return a version without its files; None is the newest.

        Raises
        ------
        NotFoundError
            With near names, or the versions that there are.
        """
        found = self._catalog.bundle_versions(name)
        record = next((r for r in found if version in (None, r.version)), None)
        if record is None:
            raise self.absent(name, version)
        return record

    def absent(self, name: str, version: int | None) -> NotFoundError:
        """Return the error of a bundle or version that is not there."""
        there = [record.version for record in self._catalog.bundle_versions(name)]
        if there:
            shown = ", ".join(map(str, reversed(there[:_SHOWN])))
            return NotFoundError(f"Bundle {name!r} has no version {version}. It has: {shown}.")
        names = [record.name for record in self._catalog.newest_bundles()]
        known = f" There are: {', '.join(names[:_SHOWN])}." if names else " There are none yet."
        return NotFoundError(
            f"There is no bundle {name!r}.{did_you_mean(name, names) or known} Make one: ws.bundles.push('insects', 'folder').",
            near=nearest(name, names),
        )

    def publish(
        self,
        change: BundleChange,
        name: str,
        files: dict[str, BundleFile],
        what: str,
        message: str,
        parents: Iterable[Any],
    ) -> BundleRecord:
        """Make the next version of a bundle of these files and empty folders, whose contents are stored."""
        check_tree(files)
        files, folders = divided(files)
        last = change.newest(name, deleted=True)
        id_ = new_id()
        record = BundleRecord(
            id=id_,
            bundle=last.bundle if last else id_,
            name=name,
            version=last.version + 1 if last else 1,
            files=files,
            folders=folders,
            count=len(files),
            size=sum(file.size for file in files.values()),
            what=what,
            message=message,
            parents=tuple(str(getattr(parent, "id", parent)) for parent in parents),
            user=getpass.getuser(),
            created=now(),
        )
        change.put(record)
        self._store.put(RECORDS, _key(record), record.to_json())
        return record

    def delete(
        self, name: str, version: int | None, *, force: bool = False, read_as: Sequence[str] = ()
    ) -> int:
        """Delete a version, or all of them, and contents that no other one has; return how many versions.

        Unless it is forced, nobody may need them, nor the datasets that runs have read them as.
        """
        known = self.known(name, version)
        if not force:
            doomed = [r for r in self._catalog.bundle_versions(name) if version in (None, r.version)]
            ids = [record.id for record in doomed] + ([known.bundle] if version is None else [])
            called = f"{name}@{version}" if version else name
            remedy = f"ws.bundles.delete({called!r}, force=True)"
            refuse_if_used(f"Bundle {called}", users_of(self._catalog, [*ids, *read_as]), remedy)
        time = now()
        digests: set[str] = set()
        with self._catalog.change_bundles() as change:
            doomed = [r for r in change.versions(name) if version in (None, r.version)]
            for record in doomed:
                with suppress(NotFoundError):  # of a deletion that was killed
                    digests |= {file.digest for file in self.with_files(record).files.values()}
                gone = record.model_copy(update={"deleted": time, "files": {}, "folders": ()})
                change.put(gone)
                self._store.put(RECORDS, _key(gone), gone.to_json())
        for some in chunks(sorted(digests)):  # not all at once: whoever pushes waits meanwhile
            with self._catalog.change_bundles() as change:
                used = change.users_of(some)
                self._store.delete(FILES, [digest for digest in some if not used[digest]])
        return len(doomed)

    def reindex(self) -> int:
        """Record in the catalog what the store holds; return how many versions there are."""
        count = 0
        with self._catalog.change_bundles() as change:
            for info in self._store.list(RECORDS):
                try:
                    record = BundleRecord.model_validate_json(self._store.get(RECORDS, info.key))
                except ValueError as error:
                    problem = str(error).splitlines()[0]
                    warnings.warn(
                        f"{RECORDS}/{info.key} is damaged and was passed over: {problem}", stacklevel=2
                    )
                    continue
                change.put(record)
                count += record.deleted is None
        return count


def _key(record: BundleRecord) -> str:
    return f"{record.name}/{record.version}.json"
