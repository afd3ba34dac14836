"""The version of the tables: making them, migrating older ones, refusing newer ones."""

from __future__ import annotations

import time
from pathlib import Path

import sqlalchemy as sa

from workbench.catalog import tables
from workbench.catalog.engine import BUSY_S, Database
from workbench.catalog.version import HEAD, VERSION_TABLE
from workbench.errors import ReadOnlyError, WorkspaceError
from workbench.version import __version__

MIGRATIONS = Path(__file__).parent / "migrations"

_version = sa.table(VERSION_TABLE, sa.column("version_num", sa.String()))


def prepare(database: Database) -> bool:
    """Bring the tables to this version; return True if there were none.

    Costs one query when there is nothing to do. Any number of processes may do this at once.

    Raises
    ------
    WorkspaceError
        If a newer workbench wrote the catalog, or if the database belongs to something else.
    ReadOnlyError
        If the tables are older and cannot be changed.
    """
    with database.read() as connection:
        stored = stored_version(connection)
    if stored == HEAD:
        return False
    if database.read_only:
        raise ReadOnlyError(
            f"The catalog {database.where} has {_named(stored)}, this workbench needs {HEAD}, and the place is"
            " read-only. Open it once where it can be written."
        )
    if database.file is not None:
        _use_wal(database)
    with database.write() as connection:
        database.lock(connection, "schema")
        stored = stored_version(connection)  # another process may have been quicker
        if stored == HEAD:
            return False
        if stored is None:
            _create(connection, database.where)
            return True
        _migrate(connection, stored, database.where)
        return False


def stored_version(connection: sa.Connection) -> str | None:
    """Return the version that the database has, or None where there are no tables of ours."""
    if connection.dialect.name == "sqlite":
        known = "SELECT 1 FROM sqlite_master WHERE name = :name"
    else:
        # to_regclass() would answer from a cache that a wait for the lock does not refresh
        known = "SELECT 1 FROM pg_tables WHERE tablename = :name AND schemaname = ANY(current_schemas(false))"
    if connection.scalar(sa.text(known), {"name": VERSION_TABLE}) is None:
        return None
    return connection.scalar(sa.select(_version.c.version_num))


def _create(connection: sa.Connection, where: str) -> None:
    taken = sorted(set(sa.inspect(connection).get_table_names()) & set(tables.metadata.tables))
    if taken:
        raise WorkspaceError(
            f"The database {where} has tables of something else: {', '.join(taken)}."
            " Give the catalog an empty database."
        )
    tables.metadata.create_all(connection, checkfirst=False)
    # as Alembic makes it
    connection.execute(
        sa.text(
            f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL,"
            f" CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num))"
        )
    )
    connection.execute(sa.insert(_version).values(version_num=HEAD))


def _migrate(connection: sa.Connection, stored: str, where: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    steps = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
    if stored not in steps:
        raise WorkspaceError(
            f"The catalog {where} has {_named(stored)}, written by a newer workbench; this one"
            f" ({__version__}) knows up to {HEAD}. Run: pip install -U jupyter-workbench; or, where the older"
            " one must do, delete the catalog and run: workbench reindex"
        )
    command.upgrade(config, "head")


def _use_wal(database: Database) -> None:
    """Switch a new SQLite file to write-ahead logging, which stays with the file.

    Two processes that do this at once get "database is locked" immediately, without the usual wait.
    """
    deadline = time.monotonic() + BUSY_S
    while True:
        with database.in_our_words(), database.engine.connect() as connection:
            try:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                return
            except sa.exc.OperationalError as error:
                name = getattr(error.orig, "sqlite_errorname", "")
                if not name.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                    raise
        time.sleep(0.01)


def _named(version: str | None) -> str:
    return "no tables" if version is None else f"tables of version {version}"
