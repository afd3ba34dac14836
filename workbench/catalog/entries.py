"""Entries in the catalog: versions are allocated here, and conditions on metadata answered by its indexes."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeGuard

import sqlalchemy as sa

from workbench.catalog.conditions import Comparison, Condition, Group
from workbench.catalog.engine import Database
from workbench.catalog.family import chunks, count, distinct
from workbench.catalog.search import checked, decode_cursor, encode_cursor, exact_or_pattern, like
from workbench.catalog.tables import entries, entry_parents, entry_scopes, entry_values
from workbench.errors import InvalidInputError
from workbench.models import EntryRecord

_FEW = 10_000  # so many are found and sorted in a few milliseconds
Key = tuple[str, str, str]  # application, domain, kind
Sql = sa.ColumnElement[bool]


def key_of(record: EntryRecord) -> Key:
    """Return what a record's versions are counted in."""
    return (record.application, record.domain, str(record.kind))


# made once: it takes as long to make a statement as to execute it
_S = entry_scopes.c
_SCOPE = sa.select(_S.id, _S.last).where(
    _S.application == sa.bindparam("a"), _S.domain == sa.bindparam("d"), _S.kind == sa.bindparam("k")
)
_RAISE = sa.update(entry_scopes).where(_S.id == sa.bindparam("scope")).values(last=sa.bindparam("given"))
_ADD, _ADD_VALUES, _ADD_PARENTS = (sa.insert(table) for table in (entries, entry_values, entry_parents))
_RECORDS = sa.select(entries.c.number, entries.c.record).where(
    entries.c.number.in_(sa.bindparam("numbers", expanding=True))
)
_SCOPE_ID: sa.BindParameter[int] = sa.bindparam("scope", type_=sa.Integer)
_NEWEST = sa.select(sa.func.max(entries.c.version)).where(
    entries.c.scope == _SCOPE_ID, entries.c.trashed == 0
)
_V = entry_values.c
_HAS = {
    name: sa.select(sa.literal(1))
    .where(_V.scope == _SCOPE_ID, _V.key == sa.bindparam("key"), _V[name].is_not(None))
    .limit(1)
    for name in ("value", "text")
}


class EntryChange:
    """A transaction that has the domains and kinds it changes for itself.

    Parameters
    ----------
    connection : Connection
    scopes : mapping
        Key to its row, with id and last version; absent domains and kinds are not made before something is put there.
    """

    def __init__(self, connection: sa.Connection, scopes: Mapping[Key, Any]) -> None:
        self._connection = connection
        self._ids: dict[Key, int] = {key: row.id for key, row in scopes.items()}
        self._last: dict[Key, int] = {key: row.last for key, row in scopes.items()}

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
            self._connection.execute(_RAISE, {"scope": self._ids[key], "given": version})
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
            if len(some) == 1:
                numbers = [self._connection.execute(_ADD, rows[0]).inserted_primary_key[0]]  # type: ignore[index]
            else:
                self._connection.execute(_ADD, rows)
                c = entries.c
                by_id = dict(
                    self._connection.execute(
                        sa.select(c.id, c.number).where(c.id.in_([record.id for record in some]))
                    ).all()
                )
                numbers = [by_id[record.id] for record in some]
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

    def delete(self, ids: Iterable[str]) -> None:
        """Forget entries; their versions are not given again."""
        for some in chunks(list(ids)):
            self._connection.execute(sa.delete(entries).where(entries.c.id.in_(some)))

    def users_of(self, files: Iterable[str]) -> dict[str, int]:
        """Return for each file of ours how many entries have it."""
        return count(self._connection, entries.c.file, files)

    def _row(self, record: EntryRecord) -> dict[str, Any]:
        return {
            "id": record.id,
            "scope": self._ids[key_of(record)],
            "version": record.version,
            "name": record.name,
            "file": "" if record.path else record.file_key,
            "trashed": int(record.trashed is not None),
            "record": record.model_dump_json(),
        }

    def _index(self, records: Mapping[int, EntryRecord]) -> None:
        values = [
            {"entry": number, "key": key, "scope": self._ids[key_of(record)], **_columns(value)}
            for number, record in records.items()
            if record.trashed is None
            for key, value in record.metadata.items()
            if isinstance(value, (int, float, str))
        ]
        if values:
            self._connection.execute(_ADD_VALUES, values)
        parents = [
            {"entry": number, "parent": parent}
            for number, record in records.items()
            for parent in dict.fromkeys(record.parents)
        ]
        if parents:
            self._connection.execute(_ADD_PARENTS, parents)


@dataclass(frozen=True)
class EntryQuestion:
    """What entries are asked for.

    Parameters
    ----------
    application : str
    domain, kind : str, optional
        Default: all.
    versions : sequence of int or "latest", optional
        ``"latest"`` is the highest one of each domain and kind.
    name : str, optional
        Of the file; may hold ``*`` and ``?``.
    where : sequence of conditions
        All are fulfilled.
    order : str
        ``"created"``, ``"version"`` or a key of the metadata, with ``-`` in front for descending. Entries without the key are
        left out.
    trashed : bool
        Those in the trash instead, whose metadata cannot be searched.
    """

    application: str
    domain: str | None = None
    kind: str | None = None
    versions: Sequence[int] | str | None = None
    name: str | None = None
    where: Sequence[Condition] = ()
    order: str = "-created"
    trashed: bool = False
    limit: int = 50
    after: str | None = None


class EntryCatalog:
    """What may be asked and recorded about entries."""

    _database: Database

    @contextmanager
    def change_entries(self, keys: Iterable[Key], files: Iterable[str] = ()) -> Iterator[EntryChange]:
        """Give a transaction over these domains and kinds, and files of ours, that no other one changes meanwhile.

        Raises
        ------
        WorkbenchError
            Whatever goes wrong inside; then the catalog is as it was.
        """
        with self._database.write() as connection:
            scopes: dict[Key, Any] = {}
            for key in sorted(set(keys)):  # everybody in one order, so that no two wait for each other
                self._database.lock(connection, "entries " + "/".join(key))
                row = connection.execute(_SCOPE, dict(zip("adk", key, strict=True))).first()
                if row is not None:
                    scopes[key] = row
            for file in sorted(set(files)):
                self._database.lock(connection, f"file {file}")
            yield EntryChange(connection, scopes)

    def get_entries(self, ids: Iterable[str]) -> dict[str, EntryRecord]:
        """Return the entries that are there, by id, also those in the trash."""
        found: dict[str, EntryRecord] = {}
        with self._database.read() as connection:
            for some in chunks(list(ids)):
                c = entries.c
                for id_, text in connection.execute(sa.select(c.id, c.record).where(c.id.in_(some))):
                    found[id_] = EntryRecord.model_validate_json(text)
        return found

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
                found |= set(distinct(connection, c.key, [c.scope == scope]))
        return sorted(found)

    def children_of_entry(self, id: str) -> list[str]:
        """Return the ids of entries that were made from this one."""
        c = entry_parents.c
        statement = sa.select(entries.c.id).join(entry_parents, c.entry == entries.c.number)
        with self._database.read() as connection:
            return list(connection.scalars(statement.where(c.parent == id).order_by(c.entry)))

    def search_entries(self, question: EntryQuestion) -> tuple[list[EntryRecord], str | None]:
        """Return a page of entries and the cursor of the next, or None at the end.

        Raises
        ------
        InvalidInputError
            For a wrong limit or cursor.
        """
        limit, order = question.limit, question.order
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise InvalidInputError(
                f"limit is {limit!r}, expected a whole number of 1 or more, such as limit=50."
            )
        start = None if question.after is None else tuple(decode_cursor(question.after, order, 2))
        c = entry_scopes.c
        given = ((c.domain, question.domain), (c.kind, question.kind))
        where = [
            c.application == question.application,
            *(column == v for column, v in given if v is not None),
        ]
        with self._database.read() as connection:
            found: list[list[tuple[Any, int]]] = []
            for scope in connection.scalars(sa.select(c.id).where(*where)).all():
                statement = _statement(connection, question, scope, start)
                if statement is not None:
                    rows = connection.execute(statement, {"scope": scope, "limit": limit + 1})
                    found.append([(value, number) for value, number in rows])
            merged = list(heapq.merge(*found, key=_sort_key, reverse=order.startswith("-")))[: limit + 1]
            numbers = [number for _, number in merged[:limit]]
            texts: dict[int, str] = {}
            for some in chunks(numbers):
                texts |= dict(connection.execute(_RECORDS, {"numbers": some}).all())
        records = [EntryRecord.model_validate_json(texts[n]) for n in numbers if n in texts]
        return records, encode_cursor(order, merged[limit - 1]) if len(merged) > limit else None


def _columns(value: float | str) -> dict[str, Any]:
    return {"value": None, "text": value} if isinstance(value, str) else {"value": float(value), "text": None}


def _sort_key(row: tuple[Any, int]) -> tuple[bool, Any, int]:
    return (isinstance(row[0], str), *row)


def _statement(
    connection: sa.Connection, question: EntryQuestion, scope: int, start: tuple[Any, ...] | None
) -> sa.Select[Any] | None:
    """Return the statement that gives (what is sorted by, number) of one domain and kind; None if there can be nothing."""
    field, descending = question.order.removeprefix("-"), question.order.startswith("-")
    versions = question.versions
    if versions == "latest":
        versions = [connection.scalar(_NEWEST, {"scope": scope}) or 0]
    column = None
    if field not in ("created", "version"):
        column = _sorted_column(connection, field, scope)
        if column is None:
            return None
        if start is not None and isinstance(start[0], str) is not (column == "text"):
            if isinstance(start[0], str) is not descending:
                return None  # numbers come before texts, so these have all been
            start = None
    where = tuple(question.where)
    is_range = all(_is_inline(part, field) for part in where)
    few = None if is_range else _fewest(connection, where, scope)
    chosen = None if versions is None else tuple(versions)
    return _walk(where, question.order, question.trashed, question.name, chosen, few, column, start)


def _is_inline(part: Condition, field: str) -> TypeGuard[Comparison]:
    """Tell whether a condition is a range of the key that the list is sorted by."""
    return isinstance(part, Comparison) and part.key == field and part.sign != "!=" and field not in _ON_ENTRY


@lru_cache(256)  # the statement of one domain is that of all, and of the next search
def _walk(
    conditions: tuple[Condition, ...],
    order: str,
    trashed: bool,
    name: str | None,
    versions: tuple[Any, ...] | None,
    few: Comparison | None,
    column: str | None,
    start: tuple[Any, ...] | None,
) -> sa.Select[Any]:
    e, field = entries.c, order.removeprefix("-")
    exact, pattern = exact_or_pattern(name)
    on_entry: list[Sql] = []
    on_entry += [] if versions is None else [e.version.in_(versions)]
    on_entry += [] if exact is None else [e.name == exact]
    on_entry += [] if pattern is None else [e.name.like(like(pattern), escape="\\")]
    others = [part for part in conditions if part is not few]
    source: sa.FromClause = entries
    if column is None:
        sort: list[sa.ColumnElement[Any]] = [e.number if field == "created" else e.version, e.number]
        where = [_sql(part, e.number) for part in others]
        if few is None:
            where += [e.scope == _SCOPE_ID, e.trashed == int(trashed), *on_entry]
        elif field == "created" and not on_entry:  # all that is needed stands in the index of the values
            v = entry_values.alias().c
            source, sort = v.entry.table, [v.entry, v.entry]
            where = [_sql(part, v.entry) for part in others]
            where += _compared(v, few)
        else:
            v = entry_values.alias().c
            where += [e.number.in_(sa.select(v.entry).where(*_compared(v, few))), *on_entry]
    else:
        v = entry_values.alias().c
        source, sort = v.entry.table, [v[column], v.entry]
        where = [_sign(v, part) if _is_inline(part, field) else _sql(part, v.entry) for part in others]
        if few is None or _is_inline(few, field):
            where += [v.scope == _SCOPE_ID, v.key == field, v[column].is_not(None)]
            where += [_sign(v, few)] if few is not None else []
        else:
            d = entry_values.alias().c
            where += [v.entry.in_(sa.select(d.entry).where(*_compared(d, few)))]
            where += [v.key == field, checked(v.scope) == _SCOPE_ID, v[column].is_not(None)]
        if on_entry:
            where.append(sa.exists().where(e.number == v.entry, *on_entry))
    descending = order.startswith("-")
    if start is not None:
        here, position = sa.tuple_(*sort), sa.tuple_(*start)
        where.append(here < position if descending else here > position)
    by = sort[1:] if sort[0] is sort[1] else sort
    statement = sa.select(sort[0].label("a"), sort[1].label("b")).select_from(source).where(*where)
    return statement.order_by(*(c.desc() if descending else c for c in by)).limit(sa.bindparam("limit"))


def _sorted_column(connection: sa.Connection, key: str, scope: int) -> str | None:
    """Return the column that a key is sorted by: that of its numbers, or of its texts where it has none."""
    given = {"scope": scope, "key": key}
    return next((name for name, some in _HAS.items() if connection.scalar(some, given)), None)


def _fewest(connection: sa.Connection, where: Sequence[Condition], scope: int) -> Comparison | None:
    """Return the comparison that leaves the fewest entries, if it leaves few."""
    best, fewest = None, _FEW + 1
    for part in where:
        if isinstance(part, Comparison) and part.sign != "!=" and part.key not in _ON_ENTRY:
            number = connection.scalar(_counted(part), {"scope": scope}) or 0
            if number < fewest:
                best, fewest = part, number
    return best


@lru_cache(256)
def _counted(part: Comparison) -> sa.Select[Any]:
    some = sa.select(sa.literal(1)).where(*_compared(entry_values.c, part)).limit(_FEW + 1).subquery()
    return sa.select(sa.func.count()).select_from(some)


_ON_ENTRY = ("version", "name")  # what a condition may name beside keys of the metadata


def _sql(condition: Condition, entry: sa.ColumnElement[Any]) -> Sql:
    """Return the condition on an entry, checked on the way."""
    if isinstance(condition, Group):
        parts = [_sql(part, entry) for part in condition.parts]
        if condition.how == "not":
            return sa.not_(sa.and_(*parts))
        return sa.and_(*parts) if condition.how == "and" else sa.or_(*parts)
    if condition.key in _ON_ENTRY:
        if (condition.key == "name") is not isinstance(condition.value, str):
            return sa.false()
        a = entries.alias().c
        return sa.exists().where(a.number == entry, _compare(a[condition.key], condition))
    v = entry_values.alias().c
    return sa.exists().where(v.entry == entry, v.key == condition.key, _sign(v, condition))


def _compared(columns: Any, comparison: Comparison) -> list[Sql]:
    """Return the comparison as a range of an index."""
    return [columns.scope == _SCOPE_ID, columns.key == comparison.key, _sign(columns, comparison)]


def _sign(columns: Any, comparison: Comparison) -> Sql:
    return _compare(columns.text if isinstance(comparison.value, str) else columns.value, comparison)


def _compare(column: Any, comparison: Comparison) -> Sql:
    value = comparison.value
    found: dict[str, Any] = {
        "<": column < value,
        "<=": column <= value,
        ">": column > value,
        ">=": column >= value,
        "==": column == value,
        "!=": column != value,
    }
    return found[comparison.sign]  # type: ignore[no-any-return]
