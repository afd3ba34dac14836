"""Executes statements that read: on SQLite's own connection, compiled before, for that takes half the time; else by SQLAlchemy."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import sqlalchemy as sa


class Reader(Protocol):
    """Executes statements, which are made once and kept by their makers."""

    @property
    def dialect(self) -> str:
        """The database's name in SQLAlchemy."""
        ...

    def rows(self, statement: Any, values: Mapping[str, Any]) -> list[Any]:
        """Return the rows of a statement for values by name, of which it may leave some; lists are for ``IN``."""
        ...


class ServerReader:
    """Reads through SQLAlchemy: what any database can, and within a transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    @property
    def dialect(self) -> str:
        return self._connection.dialect.name

    def rows(self, statement: Any, values: Mapping[str, Any]) -> list[Any]:
        return [tuple(row) for row in self._connection.execute(statement, dict(values))]


class QuickReader:
    """Reads on SQLite's own connection. Columns must be such as SQLite gives them: numbers and texts."""

    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, statement: Any, values: Mapping[str, Any]) -> list[Any]:
        lengths = tuple((name, len(v) if isinstance(v, list) else None) for name, v in values.items())
        ready = _ready(statement, lengths)
        flat: dict[str, Any] = {**ready.fixed, **values}
        for name, length in lengths:
            if length is not None:
                flat.update((f"{name}_{i}", value) for i, value in enumerate(values[name], 1))
        return self._connection.execute(ready.text, [flat[name] for name in ready.names]).fetchall()


@dataclass(frozen=True, slots=True)
class _Ready:
    """A statement as SQLite takes it, the names of its question marks, and the values it brings itself."""

    text: str
    names: tuple[str, ...]
    fixed: dict[str, Any]


@lru_cache(512)
def _ready(statement: Any, lengths: tuple[tuple[str, int | None], ...]) -> _Ready:
    from sqlalchemy.dialects import sqlite

    given = {name: None if n is None else [0] * n for name, n in lengths}
    state = statement.compile(dialect=sqlite.dialect()).construct_expanded_state(given)
    return _Ready(state.statement, tuple(state.positiontup), dict(state.parameters))
