"""Statements that are compiled once give the same on SQLite's own connection as through SQLAlchemy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from workbench.catalog.reader import QuickReader, Reader, ServerReader

TABLE = sa.Table(
    "things",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String),
    sa.Column("size", sa.Float),
)
C = TABLE.c
SOME = (
    sa.select(C.id, C.kind)
    .where(C.kind.in_(sa.bindparam("kinds", expanding=True)), C.size < sa.bindparam("most"), C.id != 3)
    .order_by(C.id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)


@pytest.fixture(params=["sqlalchemy", "quick"])
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reader]:
    file = tmp_path / "things.sqlite"
    engine = sa.create_engine(f"sqlite:///{file}")
    TABLE.metadata.create_all(engine)
    with engine.begin() as connection:
        rows = [{"id": i, "kind": "abc"[i % 3], "size": i / 2} for i in range(12)]
        connection.execute(sa.insert(TABLE), rows)
    if request.param == "quick":
        own = sqlite3.connect(file)
        yield QuickReader(own)
        own.close()
    else:
        with engine.connect() as connection:
            yield ServerReader(connection)
    engine.dispose()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"kinds": ["a"], "most": 4.0, "limit": 9}, [(0, "a"), (6, "a")]),
        ({"kinds": ["b", "c"], "most": 3.0, "limit": 3}, [(1, "b"), (2, "c"), (4, "b")]),
        ({"kinds": ["c", "b"], "most": 3.0, "limit": 9}, [(1, "b"), (2, "c"), (4, "b"), (5, "c")]),
        ({"kinds": [], "most": 3.0, "limit": 9}, []),
        ({"kinds": ["it's"], "most": 3.0, "limit": 9, "for another statement": 1}, []),
    ],
)
def test_values_are_put_in_by_name(
    reader: Reader, values: dict[str, Any], expected: list[tuple[int, str]]
) -> None:
    assert reader.rows(SOME, values) == expected
    assert reader.rows(SOME, values) == expected
    assert reader.dialect == "sqlite"
