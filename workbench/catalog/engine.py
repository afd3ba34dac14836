"""The connection to SQLite or PostgreSQL: short transactions, and errors in our own words."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import quote
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy.pool import Pool, QueuePool, StaticPool

from workbench.catalog import filling
from workbench.catalog.reader import QuickReader, Reader, ServerReader
from workbench.errors import (
    DamagedError,
    InvalidInputError,
    MissingPackageError,
    ReadOnlyError,
    StorageError,
    StorageFullError,
    UnsupportedError,
)

BUSY_S = 30.0
_SQLITE = ("sqlite", "sqlite+pysqlite")
_POSTGRESQL = ("postgresql", "postgresql+psycopg")
Durability = Literal["process", "fsync"]


class Database:
    """An SQLAlchemy engine that hands out connections for reading and transactions for writing.

    Parameters
    ----------
    url : str
        ``sqlite:////absolute/path``, ``sqlite://`` (in memory) or ``postgresql+psycopg://...``.
    durability : {"process", "fsync"}
        ``fsync`` makes every commit survive a power cut; otherwise the death of the process.

    Attributes
    ----------
    where : str
        The file, or the URL without its password; for messages.
    is_sqlite : bool
    read_only : bool
        The SQLite file or its folder cannot be written.
    """

    def __init__(self, url: str, durability: Durability = "process") -> None:
        parsed = parse_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.file = Path(parsed.database) if self.is_sqlite and parsed.database else None
        self.where = str(self.file or parsed.render_as_string(hide_password=True))
        self.read_only = self.file is not None and not _writable(self.file)
        if self.read_only and self.file is not None and not self.file.exists():
            raise ReadOnlyError(
                f"There is no catalog {self.where} and it cannot be made: the folder {self.file.parent} is absent"
                " or read-only. Make the folder writable or open another workspace."
            )
        # All threads share the one connection of a catalog in memory, so they take turns.
        self._turn = threading.RLock() if self.is_sqlite and self.file is None else nullcontext()
        self._durability = durability
        self._mine = threading.local()
        self._owned: WeakSet[_Own] = WeakSet()
        self._filling = filling.FillLock(self.file) if self.file is not None else None
        self.engine = self._sqlite_engine() if self.is_sqlite else self._server_engine(parsed, durability)

        #: called before every read, to record what another process has not recorded yet for this one
        self.before_reading: Callable[[], None] | None = None
        #: called before every look at datasets
        self.before_datasets: Callable[[], object] = lambda: None

    @property
    def is_quick(self) -> bool:
        """Whether `quick` may be used: on SQLite, outside of `alone`."""
        return self.is_sqlite and self._whole is None

    def close(self) -> None:
        """Close all connections."""
        owned, self._owned = list(self._owned), WeakSet()
        for own in owned:
            own.close()
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Give a connection on which every statement sees what is committed."""
        if (whole := self._whole) is not None:
            yield whole
            return
        if self.before_reading is not None:
            self.before_reading()
        with self._turn, self.in_our_words(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Give what executes statements that read, the quickest way there is."""
        if not self.is_sqlite or self._whole is not None:
            with self.read() as connection:
                yield ServerReader(connection)
            return
        if self.before_reading is not None:
            self.before_reading()
        with self._turn, self.in_our_words(), self._raw() as connection:
            yield QuickReader(connection)

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Give a connection in a transaction, which is committed at the end or rolled back by an error.

        Raises
        ------
        ReadOnlyError
            If the catalog cannot be written.
        StorageFullError, StorageError, DamagedError
            If the database cannot take it; then nothing has changed.
        """
        if (whole := self._whole) is not None:
            yield whole
            return
        self._await_turn()
        with self._turn, self.in_our_words(), self.engine.begin() as connection:
            if self.is_sqlite:
                self._begin(connection)
            else:
                filling.share(connection, self.where)
            yield connection

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Make all that this thread reads and writes one transaction, while everybody else who writes waits.

        Others go on reading what was there before. Errors are those of `write`.
        """
        if self._whole is not None:
            yield
            return
        self._check_writable()
        others = nullcontext() if self._filling is None else self._filling.held()
        with self._turn, others, self.in_our_words(), self.engine.begin() as connection:
            if self.is_sqlite:
                self._begin(connection)
            else:
                filling.exclude(connection, self.where)
            self._mine.whole = connection
            try:
                yield
            finally:
                self._mine.whole = None

    @contextmanager
    def quick(self) -> Iterator[sqlite3.Connection]:
        """Give SQLite's own connection for statements that were compiled before: half the time of a small write.

        Each statement is a transaction; between ``BEGIN IMMEDIATE`` and ``COMMIT`` several are one. Errors are those of `write`.
        """
        self._await_turn()
        with self._turn, self.in_our_words(), self._raw() as connection:
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.rollback()  # what an error left

    def settle_datasets(self) -> None:
        """Let datasets that are on their way here be recorded; not by a thread for which all others wait."""
        if self._whole is None:
            self.before_datasets()

    @property
    def _whole(self) -> sa.Connection | None:
        """The connection of the transaction that this thread is in by `alone`."""
        return getattr(self._mine, "whole", None)

    def _check_writable(self) -> None:
        if self.read_only:
            raise ReadOnlyError(
                f"The catalog {self.where} is open for reading only. Make its folder writable and reopen."
            )

    def _await_turn(self) -> None:
        """Raise if nothing can be written; wait while a process fills the catalog."""
        self._check_writable()
        if self._filling is not None:
            self._filling.wait()

    def _begin(self, connection: sa.Connection) -> None:
        # Python's sqlite3 leaves transactions alone (isolation_level=None). The write lock is taken now: a
        # transaction that reads first and asks for it later fails at once instead of waiting its turn.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    @contextmanager
    def _raw(self) -> Iterator[sqlite3.Connection]:
        """Give SQLite's own connection of this thread; to take one from the pool takes as long as a small statement."""
        if self.file is None:
            pooled = self.engine.raw_connection()
            try:
                yield cast(sqlite3.Connection, pooled.driver_connection)
            finally:
                pooled.close()
            return
        own: _Own | None = getattr(self._mine, "own", None)
        if own is None or not own.is_mine or own not in self._owned:
            own = self._mine.own = _Own(self._connect())
            self._owned.add(own)
        yield own.connection

    def lock(self, connection: sa.Connection, name: str) -> None:
        """Make transactions with the same name wait until this one ends; SQLite has one writer anyway."""
        if not self.is_sqlite and self._whole is None:
            connection.execute(
                sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"workbench:{name}"}
            )

    @contextmanager
    def in_our_words(self) -> Iterator[None]:
        """Turn every error of the database into one of ours."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise translate(error.orig, self.where, self.file) from error
        except sqlite3.Error as error:
            raise translate(error, self.where, self.file) from error
        except sa.exc.SQLAlchemyError as error:
            raise StorageError(f"The catalog {self.where} could not be used: {error}") from error

    def _sqlite_engine(self) -> sa.Engine:
        pool: type[Pool] = QueuePool if self.file is not None else StaticPool
        options: dict[str, Any] = {} if self.file is None else {"max_overflow": -1}
        return sa.create_engine("sqlite://", creator=self._connect, poolclass=pool, **options)

    def _connect(self) -> sqlite3.Connection:
        """Open SQLite's file."""
        if self.file is None:
            target = ":memory:"
        elif not self.read_only:
            target = str(self.file)
        else:
            # Without a WAL to merge the file cannot change under us; immutable needs no files beside it.
            merged = not _size(self.file.with_name(self.file.name + "-wal"))
            target = f"file:{quote(str(self.file))}?mode=ro" + ("&immutable=1" if merged else "")
        connection = sqlite3.connect(
            target,
            uri=target.startswith("file:"),
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        connection.execute(f"PRAGMA synchronous={'FULL' if self._durability == 'fsync' else 'NORMAL'}")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA case_sensitive_like=ON")  # as LIKE is on PostgreSQL
        return connection

    def _server_engine(self, url: sa.URL, durability: Durability) -> sa.Engine:
        commit = "on" if durability == "fsync" else "off"
        try:
            return sa.create_engine(
                url,
                pool_pre_ping=True,  # a server that was restarted costs no error
                max_overflow=-1,
                connect_args={"options": f"-c synchronous_commit={commit}"},
            )
        except ImportError as error:
            raise MissingPackageError(
                f"The catalog {self.where} needs a package that is not installed: {error.name}."
                " Run: pip install 'jupyter-workbench[postgres]'",
                package="psycopg",
            ) from error


class _Own:
    """A connection that one thread has to itself; closed with it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._pid = os.getpid()

    @property
    def is_mine(self) -> bool:
        """Whether it is of this process and not of the one that it was forked from."""
        return self._pid == os.getpid()

    def close(self) -> None:
        if self.is_mine:
            self.connection.close()

    def __del__(self) -> None:
        self.close()


def parse_url(url: str) -> sa.URL:
    """Return the parsed URL of a catalog.

    Raises
    ------
    InvalidInputError
        If it is no SQLAlchemy URL; `UnsupportedError` if it is one of another database.
    """
    examples = "'sqlite:////path/catalog.sqlite' or 'postgresql+psycopg://user@host/database'"
    kind, slashes, file = url.partition(":///")
    if slashes and kind in _SQLITE:
        # a path may hold what is special in a URL: "?", "%", "#"
        return sa.URL.create("sqlite", database=None if file == ":memory:" else file)
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise InvalidInputError(
            f"Catalog {url!r} is not an SQLAlchemy URL. Give one such as {examples}."
        ) from error
    if parsed.drivername in _SQLITE:
        if parsed.host or parsed.database:
            raise InvalidInputError(
                f"Catalog {url!r} needs more slashes before its path. Give one such as {examples}."
            )
        return parsed
    if parsed.get_backend_name() in ("mariadb", "mysql"):
        raise UnsupportedError(
            f"Catalog of kind {parsed.drivername!r} is not supported: MariaDB and MySQL index texts up to a fixed length"
            " only, and names and paths here have none. Leave catalog out, then it is SQLite in the workspace's folder;"
            f" or give one such as {examples}."
        )
    if parsed.drivername not in _POSTGRESQL:
        raise UnsupportedError(
            f"Catalog of kind {parsed.drivername!r} is not supported. Give one such as {examples}."
        )
    return parsed.set(drivername="postgresql+psycopg")


def translate(error: BaseException | None, where: str, file: Path | None) -> Exception:
    """Return our error for one of sqlite3 or psycopg."""
    name = getattr(error, "sqlite_errorname", None) or ""
    state = getattr(error, "sqlstate", None) or ""
    if name in {"SQLITE_CORRUPT", "SQLITE_NOTADB"} or name.startswith("SQLITE_CORRUPT_"):
        return DamagedError(
            f"The catalog {where} is damaged: {error}. Run: workbench reindex; it is rebuilt from the store."
        )
    if name == "SQLITE_FULL" or state == "53100" or (name.startswith("SQLITE_IOERR") and _is_full(file)):
        return StorageFullError(
            f"No space is left for the catalog {where}; nothing was recorded. Free some and try again."
        )
    if name.startswith("SQLITE_READONLY") or state in {"25006", "42501"}:
        return ReadOnlyError(
            f"The catalog {where} cannot be written: {error}. Check the rights on it and its folder."
        )
    if name.startswith("SQLITE_BUSY"):
        return StorageError(
            f"Another process has kept the catalog {where} locked for {BUSY_S:.0f} s."
            " End that process, or try again."
        )
    if name.startswith("SQLITE_CANTOPEN"):
        return StorageError(
            f"The catalog {where} cannot be opened: {error}. Check that its folder is there and readable."
        )
    if not name and not state:
        return StorageError(
            f"The database of the catalog {where} does not answer: {error}. Check that it runs."
        )
    return StorageError(f"The catalog {where} could not be used: {error}")


def _writable(file: Path) -> bool:
    # SQLite writes its log beside the file, so the folder counts too.
    return os.access(file.parent, os.W_OK) and (not file.exists() or os.access(file, os.W_OK))


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _is_full(file: Path | None) -> bool:
    if file is None:
        return False
    disk = os.statvfs(file.parent)
    return disk.f_bavail * disk.f_frsize < 1 << 16
