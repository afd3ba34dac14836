"""What datasets, revisions and runs have in common: a table of records, and link tables beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from workbench.catalog.reader import Reader, ServerReader
from workbench.errors import DamagedError
from workbench.models import DatasetRecord, Revision, RunRecord

R = TypeVar("R", DatasetRecord, Revision, RunRecord)
T = TypeVar("T")

_CHUNK = 500  # ids in one statement; SQLite allows 32,766 variables


@dataclass(frozen=True, eq=False)
class Family(Generic[R]):
    """How records of one type lie in the database.

    Parameters
    ----------
    type : type
        The record's class.
    table : Table
        Where records are kept whole.
    row : callable
        Returns the columns of a record.
    tags : Table
        The link table of tags.
    links : mapping
        Link table to a callable that returns the values which a record has in it.
    orders : mapping
        Name of an order to the columns of the index that gives it.
    extra : sequence of str
        Columns that are newer than the record's text.
    merge : callable, optional
        Puts these columns into the record.
    """

    type: type[R]
    table: sa.Table
    row: Callable[[R], dict[str, Any]]
    tags: sa.Table
    links: Mapping[sa.Table, Callable[[R], Iterable[str]]]
    orders: Mapping[str, tuple[str, ...]]
    extra: Sequence[str] = ()
    merge: Callable[..., R] | None = None

    @property
    def shown(self) -> list[sa.ColumnElement[Any]]:
        """Return the columns that make a record."""
        return [self.table.c.record, *(self.table.c[name] for name in self.extra)]

    def parse(self, row: Sequence[Any]) -> R:
        """Return the record of a row that begins with the columns ``shown``.

        Raises
        ------
        DamagedError
            If the text is not such a record.
        """
        try:
            record = self.type.model_validate_json(row[0])
        except ValueError as error:
            raise DamagedError(
                f"The catalog holds a {self.type.__name__} that cannot be read: {str(row[0])[:80]!r}."
                " Run: workbench reindex; it is rebuilt from the store."
            ) from error
        return record if self.merge is None else self.merge(record, *row[1 : 1 + len(self.extra)])

    def get(self, reader: Reader, ids: Iterable[str]) -> dict[str, R]:
        """Return the records that are there, by id, in the order of the ids."""
        wanted = list(dict.fromkeys(ids))
        found: dict[str, R] = {}
        for some in chunks(wanted):
            statement = _select_one(self) if len(some) == 1 else _select_many(self)
            for id_, *row in reader.rows(statement, {"id": some[0] if len(some) == 1 else some}):
                found[id_] = self.parse(row)
        return {id_: found[id_] for id_ in wanted if id_ in found}

    def put(
        self,
        connection: sa.Connection,
        records: Iterable[R],
        known: Mapping[str, R] | None = None,
        *,
        only_new: bool = False,
    ) -> None:
        """Insert records or replace those of the same id, with their links.

        ``known`` holds what is there of those ids, for a caller who knows; otherwise it is looked up. With ``only_new`` those
        that are there already stay as they are.
        """
        insert = _insert(connection.dialect.name)
        for some in chunks(list({record.id: record for record in records}.values())):
            rows = [self.row(record) for record in some]
            old = self.get(ServerReader(connection), (row["id"] for row in rows)) if known is None else known
            added_rows = (
                insert(self.table).on_conflict_do_nothing() if only_new else _upsert(self.table, insert)
            )
            connection.execute(added_rows, rows)
            for link, values_of in self.links.items():
                owner, value, created = link.c.keys()
                stale, added = [], []
                for record, row in zip(some, rows, strict=True):
                    before, values = old.get(row["id"]), set(values_of(record))
                    if before is not None:
                        if only_new:
                            continue
                        if values == set(values_of(before)) and record.created == before.created:
                            continue
                        stale.append(row["id"])
                    added += [{owner: row["id"], value: v, created: row["created"]} for v in values]
                if stale:
                    connection.execute(sa.delete(link).where(link.c[owner].in_(stale)))
                if added:
                    connection.execute(_insert_link(link, insert), added)

    def put_quickly(
        self, connection: sqlite3.Connection, record: R, before: R | None, *, only_new: bool = False
    ) -> None:
        """Put one record of which the caller knows what is there, by statements that are compiled once.

        With ``only_new`` a record that is there already stays as it is; its links are those of the new one all the same.
        """
        row = self.row(record)
        links: list[tuple[sa.Table, set[str], bool]] = []
        for link, values_of in self.links.items():
            values = set(values_of(record))
            known = set(values_of(before)) if before is not None else set()
            if values != known:
                links.append((link, values, bool(known)))
        statement = _quick_insert(self.table) if only_new else _quick_upsert(self.table)
        if links:
            connection.execute("BEGIN IMMEDIATE")
        connection.execute(statement.text, [row[name] for name in statement.parameters])
        for link, values, is_stale in links:
            owner, value, created = link.c.keys()
            if is_stale:
                connection.execute(f"DELETE FROM {link.name} WHERE {owner} = ?", [row["id"]])
            added = _quick_link(link)
            given = [{owner: row["id"], value: v, created: row["created"]} for v in values]
            connection.executemany(added.text, [[g[name] for name in added.parameters] for g in given])
        if links:
            connection.execute("COMMIT")

    def delete(self, connection: sa.Connection, ids: Sequence[str]) -> list[bool]:
        """Delete records with their links and tell for each id whether it was there."""
        there: set[str] = set()
        for some in chunks(list(ids)):
            there |= set(connection.scalars(sa.select(self.table.c.id).where(self.table.c.id.in_(some))))
            connection.execute(sa.delete(self.table).where(self.table.c.id.in_(some)))
        return [id_ in there for id_ in ids]


def count(connection: sa.Connection, column: sa.ColumnElement[str], values: Iterable[str]) -> dict[str, int]:
    """Return for each value how many rows have it in an indexed column."""
    counts = dict.fromkeys(values, 0)
    for some in chunks(list(counts)):
        statement = sa.select(column, sa.func.count()).where(column.in_(some)).group_by(column)
        counts.update((value, number) for value, number in connection.execute(statement))
    return counts


def chunks(items: Sequence[T], size: int = _CHUNK) -> Iterator[list[T]]:
    """Yield the items in lists short enough for one statement."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def distinct(
    connection: sa.Connection, column: sa.ColumnElement[str], where: Sequence[sa.ColumnElement[bool]]
) -> Iterator[str]:
    """Yield the different texts of an indexed column in their order, with one look into the index each.

    ``SELECT DISTINCT`` would read every row of a name that a hundred thousand rows share.
    """
    statement = sa.select(sa.func.min(column)).where(*where, column > sa.bindparam("last"))
    last: str | None = connection.scalar(statement, {"last": ""})
    while last is not None:
        yield last
        last = connection.scalar(statement, {"last": last})


@cache
def _select_one(family: Family[Any]) -> sa.Select[Any]:
    id_ = family.table.c.id
    return sa.select(id_, *family.shown).where(id_ == sa.bindparam("id"))


@cache
def _select_many(family: Family[Any]) -> sa.Select[Any]:
    id_ = family.table.c.id
    return sa.select(id_, *family.shown).where(id_.in_(sa.bindparam("id", expanding=True)))


@cache
def _insert(dialect: str) -> Any:
    """Return the database's own INSERT, which can replace; only the dialect in use is imported."""
    return import_module(f"sqlalchemy.dialects.{dialect}").insert


@cache
def _upsert(table: sa.Table, insert: Any) -> Any:
    statement = insert(table)
    changed = {column.name: statement.excluded[column.name] for column in table.c if column.name != "id"}
    return statement.on_conflict_do_update(index_elements=["id"], set_=changed)


@cache
def _insert_link(link: sa.Table, insert: Any) -> Any:
    return insert(link).on_conflict_do_nothing()


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement as SQLite takes it, and the columns in the order of its question marks."""

    text: str
    parameters: tuple[str, ...]


def compiled(statement: Any, table: sa.Table, columns: Sequence[str] = ()) -> Compiled:
    """Return a statement for SQLite's own connection, where it takes half the time."""
    from sqlalchemy.dialects import sqlite

    found = statement.compile(dialect=sqlite.dialect(), column_keys=list(columns or table.c.keys()))
    return Compiled(str(found), tuple(found.positiontup))


@cache
def _quick_upsert(table: sa.Table) -> Compiled:
    return compiled(_upsert(table, _insert("sqlite")), table)


@cache
def _quick_insert(table: sa.Table) -> Compiled:
    return compiled(_insert("sqlite")(table).on_conflict_do_nothing(), table)


@cache
def _quick_link(link: sa.Table) -> Compiled:
    return compiled(_insert_link(link, _insert("sqlite")), link)
