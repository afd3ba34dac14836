"""One page of entries: which index leads to it, and what is checked on the way.

There are three ways, and each stops when the page is full. What leaves few entries (a comparison, versions, a name) is found in
its index and sorted. Else the list is walked in its order, a window at a time, and each entry is checked by the primary key of
its values. Where many windows gave no full page, what fulfils the conditions lies far off: then the narrowest of them leads.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any, NamedTuple

from workbench.catalog.conditions import Condition, Slot, slotted
from workbench.catalog.entry_statements import (
    MANY,
    Asked,
    Lead,
    counted,
    far,
    leads_of,
    led,
    of_scopes,
    scopes_of,
    sorted_by_key,
    window,
)
from workbench.catalog.family import chunks
from workbench.catalog.reader import Reader
from workbench.catalog.search import decode_cursor, encode_cursor, exact_or_pattern
from workbench.errors import InvalidInputError

Row = tuple[Any, int, str]  # what it is sorted by, number, record

_WINDOW = 1024  # the first window of a walk; each next one is four times as long
_PATIENCE = 65_536  # after a window so long without a full page, what leaves no more than MANY leads
_GLANCE = 4096  # after a window so long, what leaves few leads
_AT_ONCE = 2000  # what leaves no more leads before anything is walked
_BRANCHES = 50  # domains and kinds that one statement merges


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
        ``"created"`` (the order in which they were added), ``"version"``, ``"size"``, ``"name"``, ``"domain"``, ``"kind"`` or a key
        of the metadata, with ``-`` in front for descending. Entries without the key are left out.
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


def page(reader: Reader, question: EntryQuestion) -> tuple[list[str], str | None]:
    """Return the records of a page, as text, and the cursor of the next page, or None at the end.

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
    values: dict[str, Any] = {}
    start = None
    if question.after is not None:
        at = decode_cursor(question.after, order, 2)
        start = tuple(Slot(f"start{i}", type(value)) for i, value in enumerate(at))
        values = {slot.name: value for slot, value in zip(start, at, strict=True)}
    versions = question.versions
    asked = Asked(
        where=tuple(slotted(part, values) for part in question.where),
        order=order,
        trashed=question.trashed,
        name=question.name,
        versions=versions if versions is None or isinstance(versions, str) else tuple(versions),
        start=start,
    )
    rows = _Search(reader, asked, values, limit + 1).rows(question)
    cursor = encode_cursor(order, rows[limit - 1][:2]) if len(rows) > limit else None
    return [row[2] for row in rows[:limit]], cursor


class _Scope(NamedTuple):
    """A domain and kind, as `scopes_of` finds it."""

    id: int
    domain: str
    kind: str
    last: int
    top: int | None
    has_value: bool = False
    has_text: bool = False


class _Search:
    """A search for so many rows."""

    def __init__(self, reader: Reader, asked: Asked, values: dict[str, Any], limit: int) -> None:
        self._reader = reader
        self._asked = asked
        self._values = values
        self._limit = limit
        self._top = 0  # the highest number that an entry has
        self._last = 0  # the highest version

    def rows(self, question: EntryQuestion) -> list[Row]:
        """Return the rows of the page, and one more if there is a next one."""
        asked, apart = self._asked, of_scopes(self._asked.where)
        given = {"a": question.application, "d": question.domain, "k": question.kind, "key": asked.field}
        statement = scopes_of(question.domain is not None, question.kind is not None, asked.by_key, apart)
        found = [_Scope(*row) for row in self._reader.rows(statement, {**self._values, **given})]
        if not found:
            return []
        self._top, self._last = found[0].top or 0, max(scope.last for scope in found)
        asked = self._asked = replace(asked, where=tuple(part for part in asked.where if part not in apart))
        if asked.by_scope:
            return self._by_scope(found)
        if not asked.by_key:
            return self._of(asked, [scope.id for scope in found], _column_of(asked))
        columns = {  # numbers come before texts
            "value": [scope.id for scope in found if scope.has_value],
            "text": [scope.id for scope in found if scope.has_text],
        }
        rows: list[Row] = []
        order = ["text", "value"] if asked.descending else ["value", "text"]
        if asked.start is not None:
            at = "text" if asked.start[0].type is str else "value"
            order = order[order.index(at) :]
        for column in order:
            if columns[column] and len(rows) < self._limit:
                begun = asked.start is not None and column == at
                part = asked if begun else replace(asked, start=None)
                rows += self._of(part, columns[column], column)[: self._limit - len(rows)]
        return rows

    def _by_scope(self, found: Sequence[_Scope]) -> list[Row]:
        """Return the rows in the order of their domains or kinds, and of each in the order in which they were added."""
        asked, down = self._asked, self._asked.descending
        groups: dict[str, list[int]] = {}
        for scope in found:
            groups.setdefault(getattr(scope, asked.field), []).append(scope.id)
        at = None if asked.start is None else self._values[asked.start[0].name]
        rows: list[Row] = []
        for value in sorted(groups, reverse=down):
            if at is not None and (value > at if down else value < at):
                continue
            start = (asked.start[1],) * 2 if asked.start is not None and value == at else None
            part = replace(asked, order="-created" if down else "created", start=start)
            rows += [(value, *row[1:]) for row in self._of(part, groups[value], None)]
            if len(rows) >= self._limit:
                break
        return rows[: self._limit]

    def _of(self, asked: Asked, scopes: list[int], column: str | None) -> list[Row]:
        """Return the rows of these domains and kinds; by a key, those that have it in one of its columns."""
        exact, _ = exact_or_pattern(asked.name)
        if asked.versions is not None or exact is not None:
            statement = led(asked, None, column, exact is not None and asked.versions is None)
            return self._rows(statement, scopes)
        leads = [] if asked.trashed else leads_of(asked.where)
        few = isqrt(self._limit * self._top)  # to find and sort them takes as long as the walk to a page
        if column is not None:
            leads = [lead for lead in leads if lead.key != asked.field]  # that is a part of the walk
        lead = self._narrowest(leads, scopes, min(few, _AT_ONCE) if column is None else few)
        if lead is not None:
            statement = far(asked, lead) if column is None else led(asked, lead, column, False)
            return self._rows(statement, scopes)
        if column is not None:
            return self._sorted_walk(asked, scopes, column)
        return self._walk(asked, scopes, leads, few)

    def _rows(self, statement: Any, scopes: Sequence[int], **values: Any) -> list[Row]:
        return self._reader.rows(
            statement, {"scopes": scopes, "limit": self._limit, **self._values, **values}
        )

    def _narrowest(self, leads: Iterable[Lead], scopes: Sequence[int], most: int) -> Lead | None:
        """Return what leaves the fewest entries, if these are no more than so many."""
        best, fewest = None, most + 1
        for lead in leads:
            given = {"scopes": scopes, "most": fewest, **self._values}
            number = self._reader.rows(counted(lead), given)[0][0]
            if number < fewest:
                best, fewest = lead, number
        return best

    def _walk(self, asked: Asked, scopes: Sequence[int], leads: Sequence[Lead], few: int) -> list[Row]:
        """Walk in the order of numbers or versions, window by window; what few matches show to be far off is led to."""
        down, statement = asked.descending, window(asked)
        top, size = self._top if asked.field == "created" else self._last, _WINDOW
        if len(scopes) == 1 and not asked.where and asked.name is None:
            size = top + 1  # nothing is to be checked: the index stops by itself
        at = top if down else 0
        if asked.start is not None:
            at = int(self._values[asked.start[0].name]) - (not down)
        rows: list[Row] = []
        while len(rows) < self._limit and (at > 0 if down else at <= top):
            low, high = (at - size, at) if down else (at, at + size)
            left = self._limit - len(rows)
            rows += self._rows(statement, scopes, low=low, high=high, limit=left)
            at = low if down else high
            if size in (_GLANCE, _PATIENCE) and len(rows) < self._limit:
                lead = self._narrowest(leads, scopes, few if size == _GLANCE else MANY)
                if lead is not None:
                    return self._rows(far(asked, lead), scopes)
            size *= 4
        return rows

    def _sorted_walk(self, asked: Asked, scopes: Sequence[int], column: str) -> list[Row]:
        """Walk in the order of a key, through all domains and kinds side by side."""
        found: list[list[Row]] = []
        for some in chunks(scopes, _BRANCHES):
            statement = sorted_by_key(asked, column, len(some), self._reader.dialect)
            given = {f"scope{i}": scope for i, scope in enumerate(some)}
            found.append(self._reader.rows(statement, {**given, "limit": self._limit, **self._values}))
        return list(heapq.merge(*found, key=lambda row: row[:2], reverse=asked.descending))[: self._limit]


def _column_of(asked: Asked) -> str | None:
    """Return the column whose index is walked side by side in all domains and kinds; None for numbers and versions."""
    return None if asked.field in ("created", "version") else asked.field
