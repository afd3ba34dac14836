"""The files ``entries/<application>/<domain>/<kind>/<version>.json``: what a reindex builds the catalog's entries from."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from workbench.catalog.entries import key_of
from workbench.models import EntryRecord, EntryVersion

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog
    from workbench.catalog.entries import EntryChange, Key
    from workbench.storage.store import Store

RECORDS = "entries"
_BATCH = 500


class VersionChange:
    """A transaction of the catalog in which files of versions are replaced too, before it is committed."""

    def __init__(self, change: EntryChange, store: Store) -> None:
        self.catalog = change
        self._store = store
        self._before: dict[str, str | None] = {}

    def write(self, key: Key, version: int, entries: Iterable[EntryRecord] | None = None) -> None:
        """Replace the file of a version by what the catalog holds now, or by these entries."""
        found = self.catalog.of_version(key, version) if entries is None else entries
        self._store.put(RECORDS, _name(key, version), EntryVersion(entries=tuple(found)).to_json())

    def remember(self, key: Key, version: int, entries: Iterable[EntryRecord]) -> None:
        """Keep what the file of a version is to be when this fails: none, where no entry was there."""
        kept = tuple(entries)
        text = EntryVersion(entries=kept).to_json() if kept or version <= self.catalog.last(key) else None
        self._before.setdefault(_name(key, version), text)

    def undo(self) -> None:
        """Put all files back."""
        for name, text in self._before.items():
            if text is None:
                self._store.delete(RECORDS, [name])
            else:
                self._store.put(RECORDS, name, text)


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
    """Record all entries that the store holds, in the order in which they were added; return how many."""
    found: dict[str, EntryRecord] = {}
    highest: dict[Key, int] = {}
    names = [info.key for info in store.list(RECORDS)]
    for start in range(0, len(names), _BATCH):
        some = names[start : start + _BATCH]
        for name, content in zip(some, store.get_many(RECORDS, some), strict=True):
            try:
                application, domain, kind, file = name.split("/")
                version = int(file.removesuffix(".json"))
                records = EntryVersion.model_validate_json(content or b"{}").entries
            except ValueError as error:
                problem = str(error).splitlines()[0]
                warnings.warn(f"{RECORDS}/{name} is damaged and was passed over: {problem}", stacklevel=2)
                continue
            key = (application, domain, kind)
            highest[key] = max(version, highest.get(key, 0))
            for record in records:
                known = found.get(
                    record.id
                )  # twice, when a move was killed: then it is where it was moved to
                if known is None or len(record.promotions) > len(known.promotions):
                    found[record.id] = record
    ordered = sorted(found.values(), key=lambda record: (record.created, record.id))
    with catalog.change_entries({*highest, *map(key_of, ordered)}) as change:
        change.add(ordered)
        for key, version in highest.items():
            change.note_version(key, version)
    return len(ordered)


def _name(key: Key, version: int) -> str:
    return f"{'/'.join(key)}/{version}.json"
