"""The version of the tables, and a look at a SQLite file for it without the import of SQLAlchemy."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

HEAD = "0009"  # the newest step in migrations/versions
VERSION_TABLE = "catalog_version"


def is_current(file: Path) -> bool:
    """Tell whether a SQLite file is a catalog of exactly this version, whose opening can wait for its first use.

    False says nothing more than that `Catalog.open` is to look closer.
    """
    if not file.is_file():
        return False
    try:
        with closing(
            sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
        ) as connection:
            return connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall() == [(HEAD,)]
    except sqlite3.Error:
        return False
