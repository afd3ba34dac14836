"""Tables: two ways to make them, one result; older, newer, foreign and simultaneous ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from workbench.catalog import Catalog, schema
from workbench.errors import WorkspaceError


def alembic_config(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def description(url: str) -> dict[str, Any]:
    """Return all that a database says of its tables."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    inspector = sa.inspect(engine)
    found: dict[str, Any] = {}
    for name in inspector.get_table_names():
        found[name] = (
            [
                (c["name"], str(c["type"]), c["nullable"], getattr(c["type"], "collation", None))
                for c in inspector.get_columns(name)
            ],
            inspector.get_pk_constraint(name)["constrained_columns"],
            sorted((i["name"], tuple(i["column_names"]), i["unique"]) for i in inspector.get_indexes(name)),
            [
                (f["constrained_columns"], f["referred_table"], f["options"])
                for f in inspector.get_foreign_keys(name)
            ],
        )
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            found["without rowid"] = sorted(
                connection.scalars(sa.text("SELECT name FROM sqlite_master WHERE sql LIKE '%WITHOUT ROWID%'"))
            )
    return found


def test_head_is_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [schema.HEAD]


def test_migrations_make_the_same_tables_as_a_new_catalog(new_url: Callable[[], str]) -> None:
    made, migrated = new_url(), new_url()
    Catalog.open(made).close()
    engine = sa.create_engine(migrated, poolclass=sa.NullPool)
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "head")
    assert description(migrated) == description(made)


def test_second_opening_finds_the_tables(url: str) -> None:
    with Catalog.open(url) as catalog:
        assert catalog.is_new
    with Catalog.open(url) as catalog:
        assert not catalog.is_new


def test_catalog_of_a_newer_version_is_refused_with_both_versions(url: str) -> None:
    Catalog.open(url).close()
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '0999'"))
    with pytest.raises(WorkspaceError, match=rf"0999.*{schema.HEAD}.*pip install -U jupyter-workbench"):
        Catalog.open(url)
    with engine.connect() as connection:
        assert connection.scalar(sa.text(f"SELECT version_num FROM {schema.VERSION_TABLE}")) == "0999"


def test_database_with_tables_of_something_else_is_refused(url: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE runs (distance INTEGER)"))
    with pytest.raises(WorkspaceError, match="tables of something else: runs"):
        Catalog.open(url)
