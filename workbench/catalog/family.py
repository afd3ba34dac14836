"""What datasets, revisions and runs have in common in the catalog: a table of records, and link tables beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from workbench.errors import DamagedError
from workbench.models import Record

R = TypeVar("R", bound=Record)
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

    def get(self, connection: sa.Connection, ids: Iterable[str]) -> dict[str, R]:
        """Return the records that are there, by id, in the order of the ids."""
        wanted = list(dict.fromkeys(ids))
        found: dict[str, R] = {}
        for some in chunks(wanted):
            for id_, *row in connection.execute(_select_by_id(self), {"ids": some}):
                found[id_] = self.parse(row)
        return {id_: found[id_] for id_ in wanted if id_ in found}

    def put(self, connection: sa.Connection, records: Iterable[R]) -> None:
        """Insert records or replace those of the same id, with their links."""
        insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        for some in chunks(list({self.row(record)["id"]: record for record in records}.values())):
            rows = {row["id"]: row for row in map(self.row, some)}
            old = self.get(connection, rows)
            connection.execute(_upsert(self.table, insert), list(rows.values()))
            moved = []
            for record, (id_, row) in zip(some, rows.items(), strict=True):
                before = old.get(id_)
                if before is None or self._links(before) != self._links(record):
                    moved.append((id_, row["created"], self._links(record)))
            self._relink(connection, insert, moved, [id_ for id_, _, _ in moved if id_ in old])

    def delete(self, connection: sa.Connection, ids: Sequence[str]) -> list[bool]:
        """Delete records with their links and tell for each id whether it was there."""
        there: set[str] = set()
        for some in chunks(list(ids)):
            there |= set(connection.scalars(sa.select(self.table.c.id).where(self.table.c.id.in_(some))))
            connection.execute(sa.delete(self.table).where(self.table.c.id.in_(some)))
        return [id_ in there for id_ in ids]

    def _links(self, record: R) -> list[set[str]]:
        return [set(values(record)) for values in self.links.values()]

    def _relink(self, connection: sa.Connection, insert: Any, moved: list[Any], stale: list[str]) -> None:
        for position, link in enumerate(self.links):
            if stale:
                connection.execute(sa.delete(link).where(link.c[0].in_(stale)))
            owner, value, created = link.c.keys()
            rows = [
                {owner: id_, value: v, created: time}
                for id_, time, links in moved
                for v in sorted(links[position])
            ]
            if rows:
                connection.execute(_insert_link(link, insert), rows)


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
def _select_by_id(family: Family[Any]) -> sa.Select[Any]:
    id_ = family.table.c.id
    return sa.select(id_, *family.shown).where(id_.in_(sa.bindparam("ids", expanding=True)))


@cache
def _upsert(table: sa.Table, insert: Any) -> Any:
    statement = insert(table)
    changed = {column.name: statement.excluded[column.name] for column in table.c if column.name != "id"}
    return statement.on_conflict_do_update(index_elements=["id"], set_=changed)


@cache
def _insert_link(link: sa.Table, insert: Any) -> Any:
    return insert(link).on_conflict_do_nothing()
