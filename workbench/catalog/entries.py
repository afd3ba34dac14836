"""Entries in the catalog: versions are allocated here; `entry_search` finds pages of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import sqlalchemy as sa

from workbench.catalog.conditions import as_float, digits_of, exact_key, kept_text
from workbench.catalog.engine import Database
from workbench.catalog.entry_search import EntryQuestion, page
from workbench.catalog.entry_statements import scopes_of
from workbench.catalog.family import Compiled, chunks, compiled, count, distinct
from workbench.catalog.search import micros
from workbench.catalog.tables import entries, entry_parents, entry_scopes, entry_values
from workbench.models import EntryRecord

Key = tuple[str, str, str]  # application, domain, kind


def key_of(record: EntryRecord) -> Key:
    """Return what a record's versions are counted in."""
    return (record.application, record.domain, str(record.kind))


# made once: it takes as long to make a statement as to execute it
_S = entry_scopes.c
_SCOPE = sa.select(_S.id, _S.last).where(
    _S.application == sa.bindparam("a"), _S.domain == sa.bindparam("d"), _S.kind == sa.bindparam("k")
)
_QUICK_SCOPE = "SELECT id, last FROM entry_scopes WHERE application = ? AND domain = ? AND kind = ?"
_RAISE = sa.update(entry_scopes).where(_S.id == sa.bindparam("scope")).values(last=sa.bindparam("given"))
_INSERT = {table: sa.insert(table) for table in (entries, entry_values, entry_parents)}


class EntryChange:
    """A transaction that has the domains and kinds it changes for itself.

    Parameters
    ----------
    connection : Connection
    keys : iterable
        Domains and kinds; absent ones are not made before something is put there.
    """

    def __init__(self, connection: sa.Connection, keys: Iterable[Key]) -> None:
        self._connection = connection
        driver = connection.connection.driver_connection
        self._raw = driver if isinstance(driver, sqlite3.Connection) else None  # for many small statements
        self._ids: dict[Key, int] = {}
        self._last: dict[Key, int] = {}
        for key in keys:
            if self._raw is None:
                row: Any = connection.execute(_SCOPE, dict(zip("adk", key, strict=True))).first()
            else:
                row = self._raw.execute(_QUICK_SCOPE, key).fetchone()
            if row is not None:
                self._ids[key], self._last[key] = row

    def last(self, key: Key) -> int:
        """Return the highest version that was ever given; 0 before the first."""
        return self._last.get(key, 0)

    def of_version(self, key: Key, version: int) -> list[EntryRecord]:
        """Return all entries of a version, with those in the trash, in the order in which they were added."""
        if key not in self._ids:
            return []
        c = entries.c
        statement = sa.select(c.record).where(
            c.scope == self._ids[key], c.trashed.in_((0, 1)), c.version == version
        )
        found = self._connection.scalars(statement.order_by(c.number))
        return [EntryRecord.model_validate_json(text) for text in found]

    def note_version(self, key: Key, version: int) -> None:
        """Note that a version was given."""
        if key not in self._ids:
            made = sa.insert(entry_scopes).values(
                application=key[0], domain=key[1], kind=key[2], last=version
            )
            self._ids[key] = self._connection.execute(made).inserted_primary_key[0]  # type: ignore[index]
        elif version > self._last[key]:
            if self._raw is None:
                self._connection.execute(_RAISE, {"scope": self._ids[key], "given": version})
            else:
                self._raw.execute("UPDATE entry_scopes SET last = ? WHERE id = ?", [version, self._ids[key]])
        self._last[key] = max(version, self.last(key))

    def add(self, records: Sequence[EntryRecord]) -> None:
        """Record new entries."""
        highest: dict[Key, int] = {}
        for record in records:
            highest[key_of(record)] = max(record.version, highest.get(key_of(record), 0))
        for key, version in highest.items():
            self.note_version(key, version)
        for some in chunks(list(records)):
            rows = [self._row(record) for record in some]
            self._insert(entries, rows)
            c = entries.c
            if self._raw is not None and len(some) == 1:
                numbers = [self._raw.execute("SELECT last_insert_rowid()").fetchone()[0]]
            else:
                ids = [record.id for record in some]
                found = self._connection.execute(sa.select(c.id, c.number).where(c.id.in_(ids)))
                by_id = {row.id: row.number for row in found}
                numbers = [by_id[id_] for id_ in ids]
            self._index(dict(zip(numbers, some, strict=True)))

    def replace(self, records: Sequence[EntryRecord]) -> None:
        """Replace entries by what they have become."""
        c = entries.c
        for record in records:
            self.note_version(key_of(record), record.version)
            number = self._connection.scalar(sa.select(c.number).where(c.id == record.id))
            self._connection.execute(sa.update(entries).where(c.number == number).values(**self._row(record)))
            for table in (entry_values, entry_parents):
                self._connection.execute(sa.delete(table).where(table.c.entry == number))
            assert number is not None
            self._index({number: record})

    def get(self, ids: Iterable[str]) -> dict[str, EntryRecord]:
        """Return the entries that are there, by id, wherever they are."""
        return _get(self._connection, ids)

    def take_up(self, records: Sequence[EntryRecord]) -> None:
        """Record entries that are not known, and replace those of which an older state is."""
        known = self.get([record.id for record in records])
        self.add([record for record in records if record.id not in known])
        self.replace([r for r in records if r.id in known and r.age > known[r.id].age])

    def delete(self, ids: Iterable[str]) -> None:
        """Forget entries; their versions are not given again."""
        for some in chunks(list(ids)):
            self._connection.execute(sa.delete(entries).where(entries.c.id.in_(some)))

    def users_of(self, files: Iterable[str]) -> dict[str, int]:
        """Return for each file (`EntryRecord.place`) how many entries have it."""
        return count(self._connection, entries.c.file, files)

    def _row(self, record: EntryRecord) -> dict[str, Any]:
        return {
            "id": record.id,
            "scope": self._ids[key_of(record)],
            "version": record.version,
            "name": record.name,
            "file": record.place,
            "trashed": int(record.trashed is not None),
            "record": record.model_dump_json(),
            "size": record.size,
            "created": micros(record.created),
        }

    def _index(self, records: Mapping[int, EntryRecord]) -> None:
        values = [
            {"entry": number, "key": key, "scope": self._ids[key_of(record)], **columns}
            for number, record in records.items()
            if record.trashed is None
            for key, columns in _searched({**_made_by(record), **record.metadata})
        ]
        if values:
            self._insert(entry_values, values)
        parents = [
            {"entry": number, "parent": parent}
            for number, record in records.items()
            for parent in dict.fromkeys(record.parents)
        ]
        if parents:
            self._insert(entry_parents, parents)

    def _insert(self, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        if self._raw is None:
            self._connection.execute(_INSERT[table], rows)
        else:
            statement = _quick_insert(table, tuple(rows[0]))
            self._raw.executemany(statement.text, [[row[n] for n in statement.parameters] for row in rows])


class EntryCatalog:
    """What may be asked and recorded about entries."""

    _database: Database

    @contextmanager
    def change_entries(self, keys: Iterable[Key], files: Iterable[str] = ()) -> Iterator[EntryChange]:
        """Give a transaction over these domains and kinds, and files, that no other one changes meanwhile.

        Raises
        ------
        WorkbenchError
            Whatever goes wrong inside; then the catalog is as it was.
        """
        with self._database.write() as connection:
            mine = sorted(set(keys))  # everybody in one order, so that no two wait for each other
            for key in mine:
                self._database.lock(connection, "entries " + "/".join(key))
            for file in sorted(set(files)):
                self._database.lock(connection, f"file {file}")
            yield EntryChange(connection, mine)

    def clear_entries(self) -> None:
        """Forget all entries and versions, before those that the store holds are recorded."""
        with self._database.write() as connection:
            for table in (entry_values, entry_parents, entries, entry_scopes):
                connection.execute(sa.delete(table))

    def get_entries(self, ids: Iterable[str]) -> dict[str, EntryRecord]:
        """Return the entries that are there, by id, also those in the trash."""
        with self._database.read() as connection:
            return _get(connection, ids)

    def entries_of_version(self, key: Key, version: int) -> list[EntryRecord]:
        """Return all entries of a version, with those in the trash."""
        with self._database.read() as connection:
            return EntryChange(connection, [key]).of_version(key, version)

    def entry_scopes(self, application: str) -> list[tuple[str, str]]:
        """Return domains and kinds of an application that ever had an entry, in order."""
        c = entry_scopes.c
        statement = sa.select(c.domain, c.kind).where(c.application == application)
        with self._database.read() as connection:
            return [tuple(row) for row in connection.execute(statement.order_by(c.domain, c.kind))]

    def last_entry_version(self, key: Key) -> int:
        """Return the highest version that was ever given; 0 before the first."""
        with self._database.read() as connection:
            row = connection.execute(_SCOPE, dict(zip("adk", key, strict=True))).first()
        return 0 if row is None else int(row.last)

    def entry_versions(self, key: Key) -> list[int]:
        """Return the versions that have entries outside of the trash, lowest first."""
        c, s = entries.c, entry_scopes.c
        scope = (
            sa.select(s.id)
            .where(s.application == key[0], s.domain == key[1], s.kind == key[2])
            .scalar_subquery()
        )
        where = (c.scope == scope, c.trashed == 0)
        with self._database.read() as connection:
            # one look into the index for each version, however many files it has
            statement = sa.select(sa.func.min(c.version)).where(*where, c.version > sa.bindparam("last"))
            found = []
            last = connection.scalar(statement, {"last": 0})
            while last is not None:
                found.append(last)
                last = connection.scalar(statement, {"last": last})
            return found

    def entry_keys(self, application: str) -> list[str]:
        """Return the keys of searchable metadata that entries of an application have, in order."""
        c, found = entry_values.c, set()
        with self._database.read() as connection:
            scopes = sa.select(entry_scopes.c.id).where(entry_scopes.c.application == application)
            for scope in connection.scalars(scopes).all():
                # on SQLite numbers and texts have an index each; on PostgreSQL either knows all keys
                both = [[c.value.is_not(None)], [c.text.is_not(None)]] if self._database.is_sqlite else [[]]
                for some in both:
                    found |= set(distinct(connection, c.key, [c.scope == scope, *some]))
        return sorted(key for key in found if not key.startswith("="))

    def has_entry_key(self, application: str, key: str) -> bool:
        """Tell whether an entry of an application has this key in its searchable metadata."""
        statement = scopes_of(domain=False, kind=False, by_key=True)
        with self._database.read() as connection:
            rows = connection.execute(statement, {"a": application, "key": key})
            return any(row.has_value or row.has_text for row in rows)

    def children_of_entry(self, id: str) -> list[str]:
        """Return the ids of entries that were made from this one."""
        c = entry_parents.c
        statement = sa.select(entries.c.id).join(entry_parents, c.entry == entries.c.number)
        with self._database.read() as connection:
            return list(connection.scalars(statement.where(c.parent == id).order_by(c.entry)))

    def search_entries(self, question: EntryQuestion) -> tuple[list[str], str | None]:
        """Return a page of records, as text, and the cursor of the next, or None at the end.

        Raises
        ------
        InvalidInputError
            For a wrong limit or cursor.
        """
        with self._database.reader() as reader:
            return page(reader, question)


def _made_by(record: EntryRecord) -> dict[str, str]:
    """Return what is searched for beside the metadata: ``step@1.2.0``, or the id of a run."""
    maker = record.made_by
    return {} if maker is None else {"made_by": maker.id or str(maker)}


def _get(connection: sa.Connection, ids: Iterable[str]) -> dict[str, EntryRecord]:
    found: dict[str, EntryRecord] = {}
    for some in chunks(list(ids)):
        c = entries.c
        for id_, text in connection.execute(sa.select(c.id, c.record).where(c.id.in_(some))):
            found[id_] = EntryRecord.model_validate_json(text)
    return found


@cache
def _quick_insert(table: sa.Table, columns: tuple[str, ...]) -> Compiled:
    return compiled(_INSERT[table], table, columns)


def _searched(facts: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield keys and what is recorded under them: a number or a text; of a large number its digits too."""
    for key, value in facts.items():
        if isinstance(value, str):
            yield key, {"value": None, "text": kept_text(value)}
        elif isinstance(value, (int, float)):
            yield key, {"value": as_float(value), "text": None}
            digits = digits_of(value)
            if digits is not None:
                yield exact_key(key), {"value": None, "text": kept_text(digits)}
