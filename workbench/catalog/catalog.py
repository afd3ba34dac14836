"""The catalog: everything the rest may ask or record about datasets, algorithms and runs.

It is an index. The store holds the same facts as files; ``workbench reindex`` clears the catalog and fills it
again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import sqlalchemy as sa

from workbench.catalog import schema, tables
from workbench.catalog.bundles import BundleCatalog
from workbench.catalog.datasets import DatasetCatalog
from workbench.catalog.engine import Database, Durability, parse_url
from workbench.catalog.entries import EntryCatalog
from workbench.catalog.filling import FillLock
from workbench.catalog.referrers import ReferrerCatalog
from workbench.catalog.revisions import RevisionCatalog
from workbench.catalog.runs import RunCatalog
from workbench.catalog.steps import StepCatalog


class Catalog(
    DatasetCatalog, RevisionCatalog, RunCatalog, EntryCatalog, BundleCatalog, StepCatalog, ReferrerCatalog
):
    """The facts of a workspace in SQLite or PostgreSQL.

    All threads of a process may use one catalog. Each call is one short transaction. Lists are paged: a call
    returns the records and a cursor, which as ``after=`` gives the next page; it is None at the end. Errors of the
    database come as `StorageError`, `StorageFullError`, `ReadOnlyError` or `DamagedError`.

    Attributes
    ----------
    url : str
    where : str
        The file, or the URL without its password; for messages.
    is_new : bool
        Opening it made its tables: it knows nothing yet, whatever the store holds.
    read_only : bool
        Its place cannot be written; recording raises `ReadOnlyError`.
    """

    def __init__(self, url: str, database: Database, is_new: bool) -> None:
        self.url = url
        self.where = database.where
        self.is_new = is_new
        self.read_only = database.read_only
        self._database = database

    @classmethod
    def open(cls, url: str, durability: Durability = "process") -> Catalog:
        """Open a catalog; make or migrate its tables where needed.

        Parameters
        ----------
        url : str
            SQLAlchemy URL: ``sqlite:////path/catalog.sqlite``, ``sqlite://`` (in memory) or
            ``postgresql+psycopg://...``
        durability : {"process", "fsync"}
            What a commit survives: the death of the process, or a power cut too.

        Raises
        ------
        WorkspaceError
            If a newer workbench wrote it, or if the database holds something else.
        ReadOnlyError
            If it is absent or older and its place cannot be written.
        DamagedError
            If the file is no SQLite database.
        StorageError
            If the database does not answer.
        """
        database = Database(url, durability)
        try:
            is_new = schema.prepare(database)
        except BaseException:
            database.close()
            raise
        return cls(url, database, is_new)

    @staticmethod
    def set_aside(url: str, inode: int | None = None) -> str | None:
        """Rename a SQLite catalog that is damaged, so that `open` makes a new one; return its new path.

        None means that there is no such file: an absent catalog, one on a server, or one that another process has replaced, as
        the number ``inode`` of the file tells.
        """
        file = parse_url(url).database
        if parse_url(url).get_backend_name() != "sqlite" or not file or not Path(file).exists():
            return None
        with FillLock(Path(file)).held():
            if not Path(file).exists() or inode not in (None, Path(file).stat().st_ino):
                return None
            aside = f"{file}.damaged-{time.time_ns()}"
            for suffix in ("-wal", "-shm"):
                Path(file + suffix).unlink(missing_ok=True)
            Path(file).rename(aside)
        return aside

    def before_reading(self, step: Callable[[], None]) -> None:
        """Call a function before every read of this process: it records what this process knows and others still record."""
        self._database.before_reading = step

    def before_datasets(self, step: Callable[[], object]) -> None:
        """Call a function before every look at datasets: it records those that are on their way here."""
        self._database.before_datasets = step

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def rebuild(self) -> Iterator[None]:
        """Make all that this thread does to the catalog one transaction; whoever else would write waits until it ends.

        Others go on reading what was there before. An error leaves the catalog as it was, and so does a kill.
        """
        with self._database.alone():
            yield

    def clear(self) -> None:
        """Forget everything but the workspace, in one transaction: the first half of ``workbench reindex``."""
        with self._database.write() as connection:
            for table in reversed(tables.metadata.sorted_tables):
                if table is not tables.workspace:
                    connection.execute(sa.delete(table))

    def workspace(self) -> tuple[str, str] | None:
        """Return id and URL of the workspace that the catalog was filled from; None of one that nobody has filled yet.

        The id is empty if that was before catalogs noted it.
        """
        with self._database.read() as connection:
            row = connection.execute(sa.select(tables.workspace.c.id, tables.workspace.c.url)).first()
        return None if row is None else (row.id, row.url)

    def note_workspace(self, id: str, url: str) -> None:
        """Note which workspace the catalog was filled from."""
        with self._database.write() as connection:
            connection.execute(sa.delete(tables.workspace))
            connection.execute(sa.insert(tables.workspace).values(id=id, url=url))
