"""One page of a list: filters, order and cursor as SQL that walks an index and stops.

The rule behind all of it: a list is walked in the order of one index, from the cursor on, until a page is full. Filters on
columns of that index narrow the walk; all others are checked on the way.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from workbench.catalog.family import Family
from workbench.errors import InvalidInputError, did_you_mean
from workbench.models import Record

R = TypeVar("R", bound=Record)
Condition = sa.ColumnElement[bool]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FEW = 1000  # names that match a pattern: up to so many are sorted, more are found by walking the list


@dataclass(frozen=True)
class Walk:
    """One index to walk: the table's own, or that of a link table for one value."""

    equal: Mapping[str, Any] = field(default_factory=dict)
    link: sa.Table | None = None
    value: str = ""
    where: Sequence[Condition] = ()


@dataclass(frozen=True)
class Search(Generic[R]):
    """A question for a page of records.

    Parameters
    ----------
    family : Family
        What is listed.
    walks : sequence of Walk
        Merged in the order of the list; no record may be in two of them.
    equal : mapping
        Column to value.
    where : sequence of conditions
        Checked on the way.
    name : str, optional
        A name or a pattern with ``*`` and ``?``.
    since, until : datetime, optional
        From ``since`` on, and before ``until``.
    order : str
        ``"created"``, ``"name"``, or either with ``-`` in front for the reverse.
    """

    family: Family[R]
    walks: Sequence[Walk] = (Walk(),)
    equal: Mapping[str, Any] = field(default_factory=dict)
    where: Sequence[Condition] = ()
    name: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    order: str = "-created"
    limit: int = 50
    after: str | None = None

    def page(self, connection: sa.Connection) -> tuple[list[R], str | None]:
        """Return the records of the page, and the cursor of the next page or None at the end.

        Raises
        ------
        InvalidInputError
            For a wrong order, limit, time or cursor.
        """
        columns = self.family.orders.get(self.order.removeprefix("-") if isinstance(self.order, str) else "")
        if columns is None:
            allowed = [sign + name for name in self.family.orders for sign in ("-", "")]
            raise InvalidInputError(
                f"order is {self.order!r}, expected one of {', '.join(map(repr, allowed))}."
                f"{did_you_mean(str(self.order), allowed)}"
            )
        if isinstance(self.limit, bool) or not isinstance(self.limit, int) or self.limit < 1:
            raise InvalidInputError(
                f"limit is {self.limit!r}, expected a whole number of 1 or more, such as limit=50."
            )
        start = None if self.after is None else decode_cursor(self.after, self.order, len(columns))
        bounds = (micros(self.since, "since"), micros(self.until, "until"))
        few = self._few_names(connection)
        selects = [self._select(walk, columns, start, bounds, few) for walk in self.walks]
        statement = selects[0] if len(selects) == 1 else self._merge(selects, columns)
        rows = connection.execute(statement.limit(self.limit + 1)).all()
        records = [self.family.parse(row) for row in rows[: self.limit]]
        if len(rows) <= self.limit:
            return records, None
        return records, encode_cursor(self.order, rows[self.limit - 1][-len(columns) :])

    def _select(
        self,
        walk: Walk,
        columns: Sequence[str],
        start: Sequence[Any] | None,
        bounds: tuple[int | None, int | None],
        few: bool,
    ) -> sa.Select[Any]:
        table, link = self.family.table, walk.link
        sort: list[sa.ColumnElement[Any]] = [table.c[name] for name in columns]
        created: sa.ColumnElement[Any] = table.c.created
        where: list[Condition] = [*self.where, *walk.where]
        if link is not None:
            owner, value, created = link.c
            sort = [created, owner]
            where += [value == walk.value, owner == table.c.id]
        if few:
            sort = [
                table.c.created + 0,
                table.c.id,
            ]  # the walk is that of the names, and the order a small sort
        # Where another index gives the order, an equality must not lead the database to walk that of its own column.
        leads = link is None and columns[0] == "created"
        for name, wanted in {**self.equal, **walk.equal}.items():
            where.append((table.c[name] if leads else checked(table.c[name])) == wanted)
        if self.name is not None:
            where += self._named(leads, few, columns[0] == "name")
        if bounds[0] is not None:
            where.append(created >= bounds[0])
        if bounds[1] is not None:
            where.append(created < bounds[1])
        descending = self.order.startswith("-")
        if start is not None:
            position, here = sa.tuple_(*sort), sa.tuple_(*start)
            where.append(position < here if descending else position > here)
        shown = [c.label(name) for c, name in zip(sort, columns, strict=True)]
        statement = sa.select(*self.family.shown, *shown).where(*where)
        return statement.order_by(*(c.desc() if descending else c.asc() for c in sort))

    def _merge(self, selects: Sequence[sa.Select[Any]], columns: Sequence[str]) -> sa.CompoundSelect[Any]:
        """Merge sorted walks: both databases read them side by side and stop when the page is full."""
        merged = sa.union_all(*(s.order_by(None) for s in selects))
        by = [merged.selected_columns[name] for name in columns]
        return merged.order_by(*(c.desc() if self.order.startswith("-") else c.asc() for c in by))

    def _named(self, leads: bool, few: bool, by_name: bool) -> list[Condition]:
        column = self.family.table.c.name
        name = str(self.name)
        if not is_pattern(name):
            return [(column if leads or by_name else checked(column)) == name]
        found: list[Condition] = [checked(column).like(like(name), escape="\\")]
        return [*found, *between(column, literal_prefix(name))] if few or by_name else found

    def _few_names(self, connection: sa.Connection) -> bool:
        """Tell whether a pattern that begins with letters matches so few names that sorting them is the quick way."""
        if self.name is None or not is_pattern(self.name) or not self.order.endswith("created"):
            return False
        prefix = literal_prefix(self.name)
        if not prefix or self.equal or any(walk.link is not None or walk.equal for walk in self.walks):
            return False
        column = self.family.table.c.name
        some = sa.select(sa.literal(1)).where(*between(column, prefix)).limit(_FEW + 1).subquery()
        return (connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0) <= _FEW


def checked(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return the column as an expression that no index answers: it is checked on the way."""
    return sa.func.coalesce(column, "" if isinstance(column.type, sa.String) else 0)


def has_value(family: Family[Any], link: sa.Table, values: Iterable[str]) -> Condition:
    """Return the condition that a record has one of the values in a link table."""
    owner, value, _ = link.alias().c  # its own name: the walk may be over the same table
    return sa.exists().where(owner == family.table.c.id, value.in_(list(values)))


def is_pattern(name: str) -> bool:
    """Tell whether a name holds ``*`` or ``?``."""
    return "*" in name or "?" in name


def like(pattern: str) -> str:
    r"""Return the LIKE pattern, escaped by a backslash, of one with ``*`` and ``?``.

    >>> like("50%_*.v?")
    '50\\%\\_%.v_'
    """
    special = {"*": "%", "?": "_", "%": r"\%", "_": r"\_", "\\": r"\\"}
    return "".join(special.get(c, c) for c in pattern)


def literal_prefix(pattern: str) -> str:
    """Return what stands before the first ``*`` or ``?``.

    >>> literal_prefix("img-0?1*")
    'img-0'
    """
    return pattern[: min((pattern.index(c) for c in "*?" if c in pattern), default=len(pattern))]


def between(column: sa.ColumnElement[str], prefix: str) -> list[Condition]:
    """Return the conditions that a text begins with a prefix, as a range of an index."""
    return [column >= prefix, column < prefix + "\U0010ffff"] if prefix else []


def micros(time: datetime | None, what: str = "created") -> int | None:
    """Return a time as whole microseconds since 1970 (UTC); a time without a zone is local.

    Raises
    ------
    InvalidInputError
        If it is no datetime.
    """
    if time is None:
        return None
    if not isinstance(time, datetime):
        raise InvalidInputError(f"{what} is {time!r}, expected a datetime such as datetime(2026, 1, 31).")
    return (time.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)


def encode_cursor(order: str, values: Iterable[Any]) -> str:
    """Return the place after a record as text."""
    return (
        base64.urlsafe_b64encode(json.dumps([order, *values], separators=(",", ":")).encode())
        .decode()
        .rstrip("=")
    )


def decode_cursor(cursor: str, order: str, length: int) -> list[Any]:
    """Return the values of a cursor.

    Raises
    ------
    InvalidInputError
        If it is none of ours, or one of a list in another order.
    """
    try:
        found = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        made_for, *values = found
        if len(values) != length or not all(isinstance(v, (int, str)) for v in values):
            raise ValueError(values)
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidInputError(
            f"after is {cursor!r}, expected the cursor that came with the page before. Leave it out for the first page."
        ) from error
    if made_for != order:
        raise InvalidInputError(
            f"after belongs to a list with order={made_for!r}, and this one has order={order!r}. Use the same order."
        )
    return list(values)


def tags_of(tags: Iterable[str]) -> list[str]:
    """Return tags as a list; one text is one tag."""
    return [tags] if isinstance(tags, str) else list(dict.fromkeys(tags))


def one_of(value: str | None, allowed: type[StrEnum], what: str) -> str | None:
    """Return a text if it is one of the allowed.

    Raises
    ------
    InvalidInputError
        With the allowed values.
    """
    if value is None or value in list(allowed):
        return None if value is None else str(value)
    known = [str(member) for member in allowed]
    raise InvalidInputError(
        f"{what} is {value!r}, expected one of {', '.join(known)}.{did_you_mean(str(value), known)}"
    )
