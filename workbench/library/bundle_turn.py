"""Pulls into one folder take turns, and one that fails leaves no folder that it has made."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from workbench.errors import ReadOnlyError, StorageError, StorageFullError, WorkbenchError


@contextmanager
def turn_in(folder: Path) -> Iterator[None]:
    """Wait until nobody else pulls into a folder, here or in another process, and keep others waiting meanwhile.

    The folder is made if it is not there, and goes away again if this fails and nothing lies in it. The system ends the turn of a
    process that is killed. A disk that has no such locks, as many a network's, lets all go at once: then one of them may be told
    to pull again.

    Raises
    ------
    StorageError
        If the folder cannot be made.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    with writing(folder):
        descriptor = _taken(folder)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # something lies in it
            for path in missing:
                path.rmdir()
        raise
    finally:
        if descriptor is not None:
            os.close(descriptor)  # and with it the turn


def _taken(folder: Path) -> int | None:
    """Return the folder, open and locked; None where the system cannot open folders."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        if os.name == "nt":
            return None
        descriptor = -1
        with suppress(FileNotFoundError):  # whoever had made it and failed has taken it away again
            # the folder itself: a lock on it leaves nothing behind
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            _lock(descriptor)
            if os.path.samestat(os.fstat(descriptor), folder.stat()):
                return descriptor
        if descriptor >= 0:
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    import fcntl

    with suppress(OSError):  # this disk has no locks
        fcntl.flock(descriptor, fcntl.LOCK_EX)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say it in our words when the folder cannot be written."""
    try:
        yield
    except OSError as error:
        if isinstance(error, WorkbenchError):
            raise
        kind = {errno.ENOSPC: StorageFullError, errno.EACCES: ReadOnlyError, errno.EROFS: ReadOnlyError}
        raise kind.get(error.errno or 0, StorageError)(
            f"{folder} could not be written: {error}. Files that took their place are whole; pull again to get the others."
        ) from error
