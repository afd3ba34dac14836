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
from typing import Any

from workbench.catalog.conditions import Condition, Slot, slotted
from workbench.catalog.entry_statements import (
    MANY,
    Asked,
    Lead,
    counted,
    far,
    leads_of,
    led,
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


class _Search:
    """A search for so many rows."""

    def __init__(self, reader: Reader, asked: Asked, values: dict[str, Any], limit: int) -> None:
        self._reader = reader
        self._asked = asked
        self._values = values
        self._limit = limit
        self._top = 0  # the highest number that an entry has

    def rows(self, question: EntryQuestion) -> list[Row]:
        """Return the rows of the page, and one more if there is a next one."""
        asked = self._asked
        given = {"a": question.application, "d": question.domain, "k": question.kind, "key": asked.field}
        statement = scopes_of(question.domain is not None, question.kind is not None, asked.by_key)
        found = self._reader.rows(statement, given)
        if not found:
            return []
        self._top = found[0][1] or 0
        if not asked.by_key:
            return self._of([row[0] for row in found], None)
        columns = {  # numbers come before texts
            "value": [scope for scope, _, has_value, _ in found if has_value],
            "text": [scope for scope, _, _, has_text in found if has_text],
        }
        rows: list[Row] = []
        order = ["text", "value"] if asked.descending else ["value", "text"]
        if asked.start is not None:
            at = "text" if asked.start[0].type is str else "value"
            order = order[order.index(at) :]
        for column in order:
            if columns[column] and len(rows) < self._limit:
                begun = asked.start is not None and column == at
                rows += self._of(columns[column], column, begun)[: self._limit - len(rows)]
        return rows

    def _of(self, scopes: list[int], column: str | None, begun: bool = True) -> list[Row]:
        """Return the rows of these domains and kinds; by a key, those that have it in one of its columns."""
        asked = self._asked
        if not begun:
            asked = replace(asked, start=None)
        exact, _ = exact_or_pattern(asked.name)
        if asked.versions is not None or exact is not None:
            statement = led(asked, None, column, exact is not None and asked.versions is None)
            return self._rows(statement, scopes)
        leads = [] if asked.trashed else leads_of(asked.where)
        few = isqrt(self._limit * self._top)  # to find and sort them takes as long as the walk to a page
        lead = None
        if not (len(leads) == 1 and leads[0].key == asked.field):  # else it is a part of the walk
            lead = self._narrowest(leads, scopes, min(few, _AT_ONCE))
            if lead is None and column is not None:
                lead = self._narrowest(leads, scopes, few)
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
        top, size = self._top, _WINDOW
        if len(scopes) == 1 and not asked.where and asked.name is None:
            size = top + 1  # nothing is to be checked: the index stops by itself
        at = (top if down else 0) if asked.start is None else int(self._values["start0"]) - (not down)
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
