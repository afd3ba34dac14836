"""The files ``entries/<application>/<domain>/<kind>/<version>.json``: what a reindex builds the catalog's entries from."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from workbench.catalog.entries import key_of
from workbench.errors import ConflictError
from workbench.models import EntryRecord, EntryVersion

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog
    from workbench.catalog.entries import EntryChange, Key
    from workbench.storage.store import Store

RECORDS = "entries"
_BATCH = 500
_SHARED = "workbench.open(url, catalog='postgresql+psycopg://user@host/database')"


class VersionChange:
    """A transaction of the catalog in which files of versions are replaced too, before it is committed.

    What the file of a version says, and the catalog has not heard, is recorded before anything is changed there: another machine
    with a catalog of its own has written it, or a process that was killed before its commit.
    """

    def __init__(self, change: EntryChange, store: Store) -> None:
        self.catalog = change
        self._store = store
        self._before: dict[str, bytes | None] = {}
        self._were: dict[str, set[str]] = {}
        self._gone: dict[str, tuple[str, ...]] = {}
        self._written: dict[str, bytes] = {}

    def next_version(self, key: Key) -> int:
        """Return the version after all that are known to the catalog or the store."""
        while True:
            version = self.catalog.last(key) + 1
            if not self._take_up(key, version):
                return version

    def of_version(self, key: Key, version: int) -> list[EntryRecord]:
        """Return all entries of a version, with those in the trash; its file may be written then."""
        self._take_up(key, version)
        return self.catalog.of_version(key, version)

    def write(self, key: Key, version: int, entries: Iterable[EntryRecord] | None = None) -> None:
        """Replace the file of a version by what the catalog holds now, or by these entries.

        Raises
        ------
        ConflictError
            If another machine has given or changed the version in this moment.
        """
        name = _name(key, version)
        self._take_up(key, version)
        content = self._before[name]
        found = tuple(self.catalog.of_version(key, version) if entries is None else entries)
        text = EntryVersion(entries=found, purged=self._purged(name, found)).to_json().encode()
        try:
            self._put(name, text, self._written.get(name, content))
        except ConflictError as error:
            what = "changed" if content is not None else "given"
            again = "it is read again then" if content is not None else "for the next one"
            raise ConflictError(
                f"{key[1]}/{key[2]} version {version} was {what} by another machine in this moment; nothing was changed here. "
                f"Try again, {again}. Machines that write to one workspace share a catalog: {_SHARED}."
            ) from error
        self._written[name] = text

    def _put(self, name: str, text: bytes, was: bytes | None) -> None:
        """Put a file in the place of what it was; in a folder all who write have one catalog, and with it this turn."""
        if was is None:
            self._store.put(RECORDS, name, text, overwrite=False)
        elif self._store.is_local:
            self._store.put(RECORDS, name, text)
        else:
            self._store.replace(RECORDS, name, text, was)

    def _purged(self, name: str, found: Iterable[EntryRecord]) -> tuple[str, ...]:
        """Return the ids of all that was purged in a version: it was there, and is now neither there nor elsewhere."""
        gone = self._were.get(name, set()) - {record.id for record in found}
        return (*self._gone.get(name, ()), *sorted(gone - self.catalog.get(gone).keys()))

    def undo(self) -> None:
        """Put all files back."""
        for name, text in self._written.items():
            content = self._before[name]
            if content is None:
                self._store.delete(RECORDS, [name])
            else:
                with suppress(
                    ConflictError
                ):  # another machine has changed it since, and knows what we had written
                    self._put(name, content, text)

    def _take_up(self, key: Key, version: int) -> bool:
        """Record what the file of a version says and the catalog has not heard; return whether there is a file."""
        name = _name(key, version)
        if name in self._before:
            return self._before[name] is not None
        is_there = self._store.exist(RECORDS, [name])[0]
        self._before[name] = content = self._store.get_many(RECORDS, [name])[0] if is_there else None
        if content is None:
            return False
        is_new = version > self.catalog.last(key)
        self.catalog.note_version(key, version)
        try:
            said = EntryVersion.model_validate_json(content)
        except ValueError as error:
            _say_damaged(name, error)
            return True
        self.catalog.take_up(said.entries)
        self.catalog.delete(said.purged)
        if not self._store.is_local:
            self._let_go(key, version, said)
        self._were[name] = {record.id for record in self.catalog.of_version(key, version)}
        self._gone[name] = said.purged
        if is_new and not self._store.is_local:
            warnings.warn(
                f"{key[1]}/{key[2]} has a version {version} that the catalog here did not know; it does now. "
                f"Machines that write to one workspace share a catalog: {_SHARED}.",
                stacklevel=2,
            )
        return True

    def _let_go(self, key: Key, version: int, said: EntryVersion) -> None:
        """Forget what another machine has moved out of a version, which a change here would put back there."""
        there = {record.id for record in said.entries}
        moved = [record for record in self.catalog.of_version(key, version) if record.id not in there]
        if moved:
            self.catalog.delete([record.id for record in moved])
            warnings.warn(
                f"Another machine, or a process that was killed, has moved {', '.join(record.name for record in moved)} out of {key[1]}/{key[2]} version {version}. "
                f"Run: workbench reindex; then the catalog here knows where. "
                f"Machines that write to one workspace share a catalog: {_SHARED}.",
                stacklevel=2,
            )


@contextmanager
def changing(
    catalog: Catalog, store: Store, keys: Iterable[Key], files: Iterable[str] = ()
) -> Iterator[VersionChange]:
    """Give a transaction over domains and kinds; an error leaves catalog and files as they were."""
    with catalog.change_entries(keys, files) as change:
        mine = VersionChange(change, store)
        try:
            yield mine
        except BaseException:
            mine.undo()
            raise


def reindex(catalog: Catalog, store: Store) -> int:
    """Record all entries that the store holds and no others, in the order in which they were added; return how many."""
    found: dict[str, EntryRecord] = {}
    purged: set[str] = set()
    highest: dict[Key, int] = {}
    with catalog.rebuild():
        for name, content in _contents(store):
            try:
                application, domain, kind, file = name.split("/")
                version = int(file.removesuffix(".json"))
                key = (application, domain, kind)
                highest[key] = max(
                    version, highest.get(key, 0)
                )  # of a damaged one too: it is not given again
                said = EntryVersion.model_validate_json(content)
            except ValueError as error:
                _say_damaged(name, error)
                continue
            purged.update(said.purged)
            for record in said.entries:
                known = found.get(record.id)  # twice, when a move was killed: the newer state counts
                if known is None or record.age > known.age:
                    found[record.id] = record
        for id in purged:
            found.pop(id, None)
        ordered = sorted(found.values(), key=lambda record: (record.created, record.id))
        catalog.clear_entries()
        with catalog.change_entries({*highest, *map(key_of, ordered)}) as change:
            change.add(ordered)
            for key, version in highest.items():
                change.note_version(key, version)
    return len(ordered)


def _contents(store: Store) -> Iterator[tuple[str, bytes]]:
    """Yield the files of all versions with their names."""
    names = [info.key for info in store.list(RECORDS)]
    for start in range(0, len(names), _BATCH):
        some = names[start : start + _BATCH]
        for name, content in zip(some, store.get_many(RECORDS, some), strict=True):
            yield name, content or b"{}"


def _say_damaged(name: str, error: ValueError) -> None:
    problem = str(error).splitlines()[0]
    warnings.warn(f"{RECORDS}/{name} is damaged and was passed over: {problem}", stacklevel=3)


def _name(key: Key, version: int) -> str:
    return f"{'/'.join(key)}/{version}.json"
