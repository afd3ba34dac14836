"""One page of a list: filters, order and cursor as SQL that walks an index and stops.

A list is walked in the order of an index, from the cursor on, until the page is full. Filters on the first columns
of that index narrow the walk; all others are checked on the way. Only where a filter leaves so few records that it is
quicker (`_FEW`), these are found first and then sorted. Left slow, up to 0.1 s for each 100,000 records, are filters
that each leave many records and together none: two common tags that never meet, or a pattern such as ``*text*``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Generic

import sqlalchemy as sa

from workbench.catalog.family import Family, R
from workbench.errors import InvalidInputError, did_you_mean

Condition = sa.ColumnElement[bool]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FEW = 1000


@dataclass(frozen=True)
class Walk:
    """One index to walk: one of the table's own, or that of a link table for one value."""

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
        Column to value: with those of the walk, the beginning of one index.
    where : sequence of conditions
        Checked on the way; write columns that have an index as ``checked(column)``.
    tags : sequence of str
        The record has all of them.
    pattern : str, optional
        For names, with ``*`` and ``?``.
    since, until : datetime, optional
        From ``since`` on, and before ``until``.
    order : str
        ``"created"``, ``"name"``, or either with ``-`` in front for the reverse.
    """

    family: Family[R]
    walks: Sequence[Walk] = (Walk(),)
    equal: Mapping[str, Any] = field(default_factory=dict)
    where: Sequence[Condition] = ()
    tags: Sequence[str] = ()
    pattern: str | None = None
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
        columns = self.family.orders[check_order(self.order, self.family.orders).removeprefix("-")]
        if isinstance(self.limit, bool) or not isinstance(self.limit, int) or self.limit < 1:
            raise InvalidInputError(
                f"limit is {self.limit!r}, expected a whole number of 1 or more, such as limit=50."
            )
        start = None if self.after is None else decode_cursor(self.after, self.order, len(columns))
        walks, tags, is_small = self._plan(connection)
        selects = [self._select(walk, columns, tags, is_small, start) for walk in walks]
        if len(selects) > 1 and connection.dialect.name == "postgresql":
            # its planner would sort each walk as a whole before it merges them; SQLite reads them side by side
            selects = [sa.select(select.limit(self.limit + 1).subquery()) for select in selects]
        statement = selects[0] if len(selects) == 1 else self._merge(selects, columns)
        rows = connection.execute(statement.limit(self.limit + 1)).all()
        records = [self.family.parse(row) for row in rows[: self.limit]]
        if len(rows) <= self.limit:
            return records, None
        return records, encode_cursor(self.order, rows[self.limit - 1][-len(columns) :])

    def _plan(self, connection: sa.Connection) -> tuple[Sequence[Walk], Sequence[str], bool]:
        """Return what to walk, the tags left to check, and whether so few are found that they can be sorted."""
        by_name = self.order.endswith("name")
        if self.tags and self.walks[0].link is None:
            numbers = {tag: self._up_to_few(connection, [self.family.tags.c.tag == tag]) for tag in self.tags}
            rarest = min(self.tags, key=lambda tag: numbers[tag])
            is_small = numbers[rarest] <= _FEW
            if is_small or not (by_name or self.equal):
                walks = [replace(walk, link=self.family.tags, value=rarest) for walk in self.walks]
                return walks, [tag for tag in self.tags if tag != rarest], is_small
        elif not (by_name or self.equal) and self.walks[0] == Walk():
            names = (
                between(self.family.table.c["name"], literal_prefix(self.pattern or ""))
                if self.pattern
                else []
            )
            return self.walks, self.tags, bool(names) and self._up_to_few(connection, names) <= _FEW
        return self.walks, self.tags, False

    def _up_to_few(self, connection: sa.Connection, where: Sequence[Condition]) -> int:
        """Return how many rows fulfil a condition on an index; no more than ``_FEW + 1`` are counted."""
        some = sa.select(sa.literal(1)).where(*where).limit(_FEW + 1).subquery()
        return connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0

    def _select(
        self,
        walk: Walk,
        columns: Sequence[str],
        tags: Sequence[str],
        is_small: bool,
        start: Sequence[Any] | None,
    ) -> sa.Select[Any]:
        table, link = self.family.table, walk.link
        by_name = columns[0] == "name"
        sort: list[sa.ColumnElement[Any]] = [table.c[name] for name in columns]
        created: sa.ColumnElement[Any] = checked(table.c.created) if by_name or is_small else table.c.created
        where: list[Condition] = [*self.where, *walk.where]
        where += [has_value(self.family, self.family.tags, [tag]) for tag in tags]
        if link is not None:
            owner, value, created = link.c
            sort = [checked(column) for column in sort] if by_name else [created, owner]
            where += [value == walk.value, owner == table.c.id]
        elif is_small:
            sort = [created, table.c.id]
        for name, wanted in {**self.equal, **walk.equal}.items():
            is_walked = link is None and (name == "name" or not by_name)
            where.append((table.c[name] if is_walked else checked(table.c[name])) == wanted)
        if self.pattern is not None:
            where.append(checked(table.c["name"]).like(like(self.pattern), escape="\\"))
            if link is None and (by_name or is_small):
                where += between(table.c["name"], literal_prefix(self.pattern))
        since, until = micros(self.since, "since"), micros(self.until, "until")
        where += [] if since is None else [created >= since]
        where += [] if until is None else [created < until]
        descending = self.order.startswith("-")
        if start is not None:
            position, here = sa.tuple_(*sort), sa.tuple_(*start)
            where.append(position < here if descending else position > here)
        shown = [c.label(name) for c, name in zip(sort, columns, strict=True)]
        statement = sa.select(*self.family.shown, *shown).where(*where)
        return statement.order_by(*(c.desc() if descending else c.asc() for c in sort))

    def _merge(self, selects: Sequence[sa.Select[Any]], columns: Sequence[str]) -> sa.CompoundSelect[Any]:
        """Merge walks that are each in the order of the list."""
        merged = sa.union_all(*(select.order_by(None) for select in selects))
        by = [merged.selected_columns[name] for name in columns]
        return merged.order_by(*(c.desc() if self.order.startswith("-") else c.asc() for c in by))


def check_order(order: str, orders: Iterable[str]) -> str:
    """Return the order if it is one of these, or one with ``-`` in front.

    Raises
    ------
    InvalidInputError
        With the allowed ones.
    """
    allowed = [sign + name for name in orders for sign in ("-", "")]
    if order in allowed:
        return order
    raise InvalidInputError(
        f"order is {order!r}, expected one of {', '.join(map(repr, allowed))}."
        f"{did_you_mean(str(order), allowed)}"
    )


def checked(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return the column as an expression that no index answers: it is checked on the way."""
    return sa.func.coalesce(column, "" if isinstance(column.type, sa.String) else 0)


def has_value(family: Family[Any], link: sa.Table, values: Iterable[str]) -> Condition:
    """Return the condition that a record has one of the values in a link table."""
    owner, value, _ = link.alias().c  # its own name: the walk may be over the same table
    return sa.exists().where(owner == family.table.c.id, value.in_(list(values)))


def exact_or_pattern(name: str | None) -> tuple[str | None, str | None]:
    """Return what is asked for: (name, None), or (None, pattern) if it holds ``*`` or ``?``."""
    return (None, name) if name is not None and ("*" in name or "?" in name) else (name, None)


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
        if len(values) != length or not all(isinstance(v, (int, float, str)) for v in values):
            raise ValueError(values)
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidInputError(
            f"after is {cursor!r}, expected the cursor that came with the page before."
            " Leave it out for the first page."
        ) from error
    if made_for != order:
        raise InvalidInputError(
            f"after belongs to a list with order={made_for!r}, and this one has order={order!r}."
            " Use the same order."
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
