"""One process fills a catalog from the store, and all that would write meanwhile wait for it.

The transaction that fills is the lock itself: it ends with its process, and whoever waits takes over. What is here lets others
wait as long as that takes, and not only as long as for an ordinary writer.
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

try:
    import fcntl
except ImportError:  # Windows: there others wait as for any writer
    fcntl = None  # type: ignore[assignment]

WORD_S = 2.0  # after which somebody who waits hears why
_PAUSE_S = 0.01
_LOCK_TIMEOUT = "55P03"
_NAME = "'workbench:filling'"  # the advisory lock that everybody who writes to PostgreSQL shares


class FillLock:
    """The file ``catalog.sqlite.filling``, locked while a process fills the catalog beside it.

    It is gone when nobody does, so that a look at its name is all that an ordinary write pays.

    Parameters
    ----------
    file : Path
        Of the catalog.
    """

    def __init__(self, file: Path) -> None:
        self._where = str(file)
        self._path = lock_path(file)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the right to fill the catalog; wait for another one who has it."""
        descriptor = self._take(os.O_RDWR | os.O_CREAT)
        try:
            yield
        finally:
            self._release(descriptor)

    def wait(self) -> None:
        """Wait until nobody fills the catalog; take away what a process has left that was killed."""
        if os.path.exists(self._path):  # noqa: PTH110 - half the time, before every write
            self._release(self._take(os.O_RDONLY))

    def _take(self, flags: int) -> int | None:
        """Return the descriptor of the locked file; None where there is none to wait for, or no such locks."""
        if fcntl is None:
            return None
        start, said = time.monotonic(), False
        while True:
            try:
                descriptor = os.open(self._path, flags | os.O_CLOEXEC, 0o666)
            except OSError:  # nobody fills it any more; or it cannot be opened here
                return None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_nlink:
                    return descriptor
                os.close(descriptor)  # who had it has ended, and taken its name away
                continue
            except BlockingIOError:
                os.close(descriptor)
            except OSError:  # a file system without locks
                os.close(descriptor)
                return None
            if not said and time.monotonic() - start > WORD_S:
                said = True
                _say(self._where)
            time.sleep(_PAUSE_S)

    def _release(self, descriptor: int | None) -> None:
        if descriptor is None:
            return
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # also for a child that was forked meanwhile
        os.close(descriptor)


def lock_path(file: Path) -> Path:
    """Return the file that is there while a catalog in a file is filled.

    Before catalogs noted what they were filled from, it meant that one had been filled in part.
    """
    return file.with_name(f"{file.name}.filling")


def share(connection: sa.Connection, where: str) -> None:
    """Keep others from filling a catalog on PostgreSQL until the transaction ends; wait for one that fills it."""
    _lock(connection, "_shared", where)


def exclude(connection: sa.Connection, where: str) -> None:
    """Keep others from writing to a catalog on PostgreSQL until the transaction ends."""
    _lock(connection, "", where)


def _lock(connection: sa.Connection, kind: str, where: str) -> None:
    if connection.scalar(sa.text(f"SELECT pg_try_advisory_xact_lock{kind}(hashtext({_NAME}))")):
        return
    wait = sa.text(f"SELECT pg_advisory_xact_lock{kind}(hashtext({_NAME}))")
    try:
        with connection.begin_nested():
            connection.execute(sa.text(f"SET LOCAL lock_timeout = '{WORD_S:g}s'"))
            connection.execute(wait)
            connection.execute(sa.text("SET LOCAL lock_timeout TO DEFAULT"))
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_TIMEOUT:
            raise
        _say(where)
        connection.execute(wait)


def _say(where: str) -> None:
    warnings.warn(
        f"Another process fills the catalog {where} from the store, or has much to write. Waiting until it has done so.",
        stacklevel=2,
    )
