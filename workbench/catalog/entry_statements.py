"""The statements that find pages of entries; `entry_search` says when each is used.

They are made once for equal questions, for that takes longer than to execute them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from workbench.catalog.conditions import (
    NUMBERS_OF_ENTRIES,
    TEXTS_OF_ENTRIES,
    Comparison,
    Condition,
    Group,
    Slot,
    keys_of,
)
from workbench.catalog.search import checked, exact_or_pattern, like
from workbench.catalog.tables import entries, entry_scopes, entry_values

Sql = sa.ColumnElement[bool]
Start = tuple[Slot, ...]

MANY = 200_000  # no more are sorted before they are checked
_ON_SCOPE = ("domain", "kind")  # the columns of `entry_scopes` that a condition may name
_ON_ENTRY = ("name", *NUMBERS_OF_ENTRIES)  # and those of `entries`; all else are keys of the metadata
_SCOPES: sa.BindParameter[Any] = sa.bindparam("scopes", expanding=True)
_TYPES: dict[type, Any] = {str: sa.String, int: sa.BigInteger, float: sa.Float}
_LIMIT: sa.BindParameter[Any] = sa.bindparam("limit", type_=sa.Integer)


@dataclass(frozen=True)
class Lead:
    """Conditions on one key, of one type, that are a range or a few values of an index."""

    key: str
    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Asked:
    """What a statement is made of, without the values that it is executed with; equal ones share it."""

    where: tuple[Condition, ...]
    order: str
    trashed: bool
    name: str | None
    versions: tuple[int, ...] | str | None
    start: Start | None

    @property
    def field(self) -> str:
        return self.order.removeprefix("-")

    @property
    def by_key(self) -> bool:
        """Whether it is sorted by a key of the metadata."""
        return self.field not in (*_ON_ENTRY, *_ON_SCOPE)

    @property
    def by_scope(self) -> bool:
        """Whether it is sorted by what all entries of a domain and kind have in common."""
        return self.field in _ON_SCOPE

    @property
    def descending(self) -> bool:
        return self.order.startswith("-")


def leads_of(where: Iterable[Condition]) -> list[Lead]:
    """Return the conditions that an index can answer, those on one key together."""
    found: dict[tuple[str, bool], list[Condition]] = {}
    for part in where:
        parts = part.parts if isinstance(part, Group) and part.how == "or" else (part,)
        compared = [p for p in parts if isinstance(p, Comparison)]
        kinds = {(p.key, p.is_text) for p in compared}
        signs = {p.sign for p in compared}
        is_range = part is parts[0] and "!=" not in signs
        if len(compared) == len(parts) and len(kinds) == 1 and (is_range or signs <= {"==", "in"}):
            key, is_text = kinds.pop()
            if key not in _ON_SCOPE and _fits(key, is_text):
                found.setdefault((key, is_text), []).append(part)
    return [Lead(key, tuple(parts)) for (key, _), parts in found.items()]


def of_scopes(where: Iterable[Condition]) -> tuple[Condition, ...]:
    """Return the conditions that whole domains and kinds fulfil or do not."""
    return tuple(part for part in where if all(key in _ON_SCOPE for key in keys_of([part])))


@lru_cache(64)
def scopes_of(
    domain: bool, kind: bool, by_key: bool, conditions: tuple[Condition, ...] = ()
) -> sa.Select[Any]:
    """Return the statement that finds domains and kinds, and the highest number that any entry has."""
    c = entry_scopes.c
    shown: list[Any] = [
        c.id,
        c.domain,
        c.kind,
        c.last,
        sa.select(sa.func.max(entries.c.number)).scalar_subquery().label("top"),
    ]
    if by_key:
        v = entry_values.c
        for name in ("value", "text"):
            some = sa.exists().where(v.scope == c.id, v.key == sa.bindparam("key"), v[name].is_not(None))
            shown.append(some.label(f"has_{name}"))
    where = [c.application == sa.bindparam("a")]
    where += [c.domain == sa.bindparam("d")] if domain else []
    where += [c.kind == sa.bindparam("k")] if kind else []
    where += [_sql(part, None, c) for part in conditions]
    return sa.select(*shown).where(*where)


@lru_cache(256)
def counted(lead: Lead) -> sa.Select[Any]:
    table, where = _range(lead, entries.c, entry_values.c, _SCOPES)
    some = sa.select(sa.literal(1)).select_from(table).where(*where)
    limited = some.limit(sa.bindparam("most", type_=sa.Integer)).subquery()
    return sa.select(sa.func.count()).select_from(limited)


@lru_cache(256)
def window(asked: Asked) -> sa.Select[Any]:
    """Return the statement that walks a window of numbers or versions."""
    e = entries.c
    position = e.number if asked.field == "created" else e.version
    where = [
        e.scope.in_(_SCOPES),
        e.trashed == int(asked.trashed),
        position > sa.bindparam("low", type_=sa.BigInteger),
        position <= sa.bindparam("high", type_=sa.BigInteger),
        *_file_name(asked, checked(e.name)),
        *(_sql(part, e.number, e) for part in asked.where),
    ]
    return _limited(asked, [position, e.number], entries, where)


@lru_cache(256)
def led(asked: Asked, lead: Lead | None, column: str | None, by_name: bool) -> sa.Select[Any]:
    """Return the statement that finds what leaves few, checks it and sorts it."""
    e, v = entries.c, entry_values.c
    others = [part for part in asked.where if lead is None or part not in lead.parts]
    source: sa.FromClause = entries
    if lead is None:
        where: list[Sql] = [e.scope.in_(_SCOPES), e.trashed == int(asked.trashed)]
        if by_name:
            where += _file_name(asked, e.name)
        elif asked.versions == "latest":
            newest = _newest()
            source = sa.join(newest, entries, sa.and_(e.scope == newest.c.id, e.version == newest.c.version))
            where = [e.trashed == int(asked.trashed), *_file_name(asked, checked(e.name))]
        else:
            where += [e.version.in_(asked.versions or ()), *_file_name(asked, checked(e.name))]
    else:
        source, where = _range(lead, e, v, _SCOPES)
        where += [e.trashed == 0] if source is entries else []
        where += _file_name(asked, checked(e.name))
    on_entry = source is not entry_values
    number = e.number if on_entry else v.entry
    where += [_sql(part, number, e if on_entry else None) for part in others]
    first: Any
    if asked.field == "created":
        first = number
    elif asked.field in _ON_ENTRY:
        first = e[asked.field] if on_entry else _of_entry(asked.field, number)
    elif lead is not None and lead.key == asked.field and not on_entry:
        first = v[str(column)]
        where.append(first.is_not(None))  # the condition may be on the other type
    else:
        w = entry_values.alias().c
        first = sa.select(w[str(column)]).where(w.entry == number, w.key == asked.field).scalar_subquery()
        where.append(first.is_not(None))
    if not on_entry and asked.name is not None:
        source = sa.join(entry_values, entries, e.number == v.entry)
    return _limited(asked, [first, number], source, where)


@lru_cache(256)
def far(asked: Asked, lead: Lead) -> sa.Select[Any]:
    """Return the statement that sorts what a condition leaves, and then checks one after the other until the page is full."""
    e, v = entries.c, entry_values.c
    source, where = _range(lead, e, v, _SCOPES)
    number = e.number if source is entries else v.entry
    first: Any = number
    if asked.field == "version":
        first = e.version if source is entries else _of_entry("version", number)
    some = sa.select(first.label("a"), number.label("b")).select_from(source).where(*where)
    # PostgreSQL would rather walk all entries in their order than sort those that are left
    sort = [checked(c) for c in ([number] if first is number else [first, number])]
    some = some.order_by(*(c.desc() if asked.descending else c for c in sort))
    rows = some.limit(MANY + 1).subquery()  # a limit keeps the databases from checking before they sort
    others = [_sql(part, rows.c.b, None) for part in asked.where if part not in lead.parts]
    others += [_of_entry("name", rows.c.b, condition) for condition in _file_names(asked)]
    found = sa.select(rows.c.a, rows.c.b).where(*others, *_after(asked, [rows.c.a, rows.c.b]))
    return _with_record(asked, _ordered(asked, found, "a", "b").limit(_LIMIT))


@lru_cache(256)
def sorted_by_key(asked: Asked, column: str, branches: int, dialect: str) -> Any:
    """Return the statement that walks an index for several domains and kinds, and merges these walks.

    It is that of a key's numbers or texts, or of a column of `entries`.
    """
    selects = []
    for i in range(branches):
        c = (entry_values if asked.by_key else entries).alias().c
        number, on = (c.entry, None) if asked.by_key else (c.number, c)
        where = [c.scope == sa.bindparam(f"scope{i}", type_=sa.Integer)]
        if asked.by_key:
            where += [c.key == asked.field, c[column].is_not(None)]
            where += [_of_entry("name", number, condition) for condition in _file_names(asked)]
        else:
            where += [c.trashed == int(asked.trashed), *_file_name(asked, checked(c.name))]
        for part in asked.where:
            ranged = _of_index(part, c, asked.field)
            where.append(_sql(part, number, on) if ranged is None else ranged)
        where += _after(asked, [c[column], number])
        selects.append(sa.select(c[column].label("a"), number.label("b")).where(*where))
    if branches > 1 and dialect == "postgresql":
        selects = [
            sa.select(_ordered(asked, select, "a", "b").limit(_LIMIT).subquery()) for select in selects
        ]
    rows = selects[0] if branches == 1 else sa.union_all(*selects)
    return _with_record(asked, _ordered(asked, rows, "a", "b").limit(_LIMIT))


def _limited(
    asked: Asked, sort: Sequence[Any], source: sa.FromClause, where: Sequence[Sql]
) -> sa.Select[Any]:
    by = sort[1:] if sort[0] is sort[1] else sort
    rows = sa.select(sort[0].label("a"), sort[1].label("b")).select_from(source)
    rows = rows.where(*where, *_after(asked, sort))
    return _with_record(
        asked, rows.order_by(*(c.desc() if asked.descending else c for c in by)).limit(_LIMIT)
    )


def _with_record(asked: Asked, select: Any) -> sa.Select[Any]:
    """Return the rows of a page with their records, which are read for no other rows."""
    rows, e = select.subquery(), entries.alias().c
    shown = sa.select(rows.c.a, rows.c.b, e.record).where(e.number == rows.c.b)
    return shown.order_by(*(c.desc() if asked.descending else c for c in (rows.c.a, rows.c.b)))


def _ordered(asked: Asked, select: Any, *names: str) -> Any:
    by = [select.selected_columns[name] for name in names]
    return select.order_by(*(c.desc() if asked.descending else c for c in by))


def _after(asked: Asked, sort: Sequence[Any]) -> list[Sql]:
    """Return the condition that an entry comes after the cursor."""
    if asked.start is None:
        return []
    here, position = (
        sa.tuple_(*sort),
        sa.tuple_(*(sa.bindparam(s.name, type_=_TYPES[s.type]) for s in asked.start)),
    )
    return [here < position if asked.descending else here > position]


def _newest() -> sa.Subquery:
    s, other = entry_scopes.c, entries.alias().c
    version = sa.select(sa.func.max(other.version)).where(other.scope == s.id, other.trashed == 0)
    return sa.select(s.id, version.scalar_subquery().label("version")).where(s.id.in_(_SCOPES)).subquery()


# -- conditions


def _range(lead: Lead, e: Any, v: Any, scopes: Any) -> tuple[sa.Table, list[Sql]]:
    """Return a table and the conditions that are a range of one of its indexes."""
    if lead.key in _ON_ENTRY:
        return entries, [e.scope.in_(scopes), e.trashed == 0, *(_plain(part, e) for part in lead.parts)]
    return entry_values, [v.scope.in_(scopes), v.key == lead.key, *(_plain(part, v) for part in lead.parts)]


def _plain(part: Condition, columns: Any) -> Sql:
    if isinstance(part, Group):
        return sa.or_(*(_plain(p, columns) for p in part.parts))
    return _sign(columns, part)


def _of_index(part: Condition, columns: Any, key: str) -> Sql | None:
    """Return the condition as a part of the range that an index of that key is walked in, if it can be one."""
    if not isinstance(part, Comparison) or part.key != key or part.sign == "!=":
        return None
    return _sign(columns, part) if _fits(key, part.is_text) else None


def _fits(key: str, is_text: bool) -> bool:
    """Tell whether a key may have a text, or a number: those of the metadata may have either."""
    return not is_text if key in NUMBERS_OF_ENTRIES else is_text or key not in TEXTS_OF_ENTRIES


def _column(columns: Any, part: Comparison) -> Any:
    if part.key in _ON_ENTRY and part.key in columns:
        return columns[part.key]
    return columns.text if part.is_text else columns.value


def _sql(condition: Condition, number: Any, on: Any, inverted: bool = False) -> Sql:
    """Return the condition on an entry, checked on the way; ``on`` has the columns of its tables that are at hand.

    Each key is looked up by itself: as a join, PostgreSQL would read all entries that have it.
    """
    if isinstance(condition, Group):
        inverted = inverted or condition.how == "not"
        parts = [_sql(part, number, on, inverted) for part in condition.parts]
        if condition.how == "not":
            return sa.not_(sa.and_(*parts))
        return sa.and_(*parts) if condition.how == "and" else sa.or_(*parts)
    if not _fits(condition.key, condition.is_text):
        return sa.false()
    if on is not None and condition.key in (*_ON_ENTRY, *_ON_SCOPE) and condition.key in on:
        return _compare(checked(on[condition.key]), condition)
    found: Any
    if condition.key in _ON_ENTRY:
        found = _of_entry(condition.key, number, condition)
    elif condition.key in _ON_SCOPE:
        s = entry_scopes.alias().c
        some = sa.select(s.id).where(_compare(s[condition.key], condition))
        scope = _of_entry("scope", number) if on is None else checked(on.scope)
        return scope.in_(some)
    else:
        v = entry_values.alias().c
        looked = sa.select(_sign(v, condition)).where(v.entry == number, v.key == condition.key)
        found = looked.scalar_subquery()
    # an entry without the key does not fulfil it, and so fulfils its opposite
    return sa.func.coalesce(found, sa.false(), type_=sa.Boolean) if inverted else found


def _of_entry(name: str, number: Any, condition: Any = None) -> Any:
    """Return a column of the entry of that number, or what it compares to."""
    e = entries.alias().c
    shown: Any = e[name]
    if isinstance(condition, Comparison):
        shown = _compare(e[name], condition)
    elif condition is not None:
        shown = condition(e[name])
    return sa.select(shown).where(e.number == number).scalar_subquery()


def _file_names(asked: Asked) -> Iterator[Any]:
    exact, pattern = exact_or_pattern(asked.name)
    if exact is not None:
        yield lambda column: column == exact
    if pattern is not None:
        yield lambda column: column.like(like(pattern), escape="\\")


def _file_name(asked: Asked, column: Any) -> list[Sql]:
    return [condition(column) for condition in _file_names(asked)]


def _sign(columns: Any, comparison: Comparison) -> Sql:
    return _compare(_column(columns, comparison), comparison)


def _compare(column: Any, comparison: Comparison) -> Sql:
    assert isinstance(comparison.value, Slot)
    if comparison.sign == "in":
        return column.in_(sa.bindparam(comparison.value.name, expanding=True))  # type: ignore[no-any-return]
    # of the column's type, but for whole numbers that are compared with one that is none
    type_ = sa.Float if comparison.key in NUMBERS_OF_ENTRIES and comparison.value.type is float else None
    value: Any = sa.bindparam(comparison.value.name, type_=type_)
    found: dict[str, Any] = {
        "<": column < value,
        "<=": column <= value,
        ">": column > value,
        ">=": column >= value,
        "==": column == value,
        "!=": column != value,
    }
    return found[comparison.sign]  # type: ignore[no-any-return]
