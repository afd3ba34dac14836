"""The version of the tables, and a look at a SQLite file for it without the import of SQLAlchemy."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

HEAD = "0012"  # the newest step in migrations/versions
VERSION_TABLE = "catalog_version"
WORKSPACE_TABLE = "catalog_workspace"


def is_current(file: Path, workspace: str) -> bool:
    """Tell whether a SQLite file is a catalog of exactly this version that was filled from a workspace: its opening can wait.

    False says nothing more than that `Catalog.open` is to look closer.

    Parameters
    ----------
    file : Path
    workspace : str
        Its id; of an empty one only that the catalog was filled is asked.
    """
    if not file.is_file():
        return False
    try:
        with closing(
            sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
        ) as connection:
            found = connection.execute(
                f"SELECT version_num, id FROM {VERSION_TABLE}, {WORKSPACE_TABLE}"
            ).fetchall()
    except sqlite3.Error:
        return False
    return [version for version, _ in found] == [HEAD] and workspace in ("", found[0][1])
