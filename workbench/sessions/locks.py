"""Locks on files between processes: the system lets go of them when their process ends, however it ends."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Self

from workbench.errors import UnsupportedError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    raise UnsupportedError(
        "Sessions need file locks of a kind that this system does not have; they work on Linux and macOS."
    ) from None


def try_shared(descriptor: int) -> bool:
    """Take the shared lock unless somebody holds the exclusive one."""
    return _try(descriptor, fcntl.LOCK_SH)


def try_exclusive(descriptor: int) -> bool:
    """Take the exclusive lock unless somebody holds any."""
    return _try(descriptor, fcntl.LOCK_EX)


def release(descriptor: int) -> None:
    """Let go of the lock."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class FileLock:
    """An exclusive lock between threads and processes, and the open file that it is on.

    A forked child opens the file again: with the parent's descriptor it would share the lock instead of waiting for it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor = -1
        self._pid = 0
        self._thread = threading.RLock()
        self._depth = 0

    def __enter__(self) -> Self:
        if self._pid != os.getpid():
            self._thread, self._depth, self._pid = threading.RLock(), 0, os.getpid()
            self.descriptor = -1
        self._thread.acquire()
        try:
            if self.descriptor < 0:
                self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if self._depth == 0:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            self._depth += 1
        except BaseException:
            self._thread.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        self._thread.release()

    def close(self) -> None:
        """Close the file."""
        if self.descriptor >= 0 and self._pid == os.getpid():
            os.close(self.descriptor)
        self.descriptor = -1
