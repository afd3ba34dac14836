"""A folder of this process alone: files being written, segments kept for reuse. It goes with its process, however that ends."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import threading
import time
import weakref
from pathlib import Path

from workbench.names import new_id
from workbench.sessions.locks import release, try_exclusive

LOCK = "lock"
YOUNG_S = 60.0  # a folder without a lock may be one that is being made


class WorkFolder:
    """A folder below ``parent``, made at its first use and locked as long as this process lives.

    The lock tells the others that the owner lives: better than its process id, which says nothing in another container.
    """

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._path: str | None = None
        self._pid = 0
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._finalizer: weakref.finalize[..., WorkFolder] | None = None

    @property
    def id(self) -> str:
        """Name of the folder: who this process is, for the others."""
        return Path(self.path).name

    @property
    def path(self) -> str:
        if self._path is None or self._pid != os.getpid():
            with self._lock:
                if self._path is None or self._pid != os.getpid():
                    self._make()
        assert self._path is not None
        return self._path

    def new_name(self) -> str:
        """Return the path of a file that does not exist yet."""
        return f"{self.path}/{next(self._numbers)}"

    def close(self) -> None:
        """Delete the folder with all that is in it."""
        if self._finalizer is not None and self._pid == os.getpid():
            self._finalizer()
        self._path = None

    def _make(self) -> None:
        self._parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            path = self._parent / new_id()
            path.mkdir(mode=0o700)
            descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if try_exclusive(descriptor):
                break
            os.close(descriptor)  # somebody who swept was quicker
        self._pid = os.getpid()
        self._finalizer = weakref.finalize(self, _end, str(path), descriptor, self._pid)
        self._path = str(path)


def _end(path: str, descriptor: int, pid: int) -> None:
    if os.getpid() != pid:  # a forked child is not the owner
        return
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.close(descriptor)


def is_alive(parent: Path, owner: str) -> bool:
    """Tell whether the process that owns a folder lives."""
    try:
        descriptor = os.open(parent / owner / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if try_exclusive(descriptor):
            release(descriptor)
            return False
        return True
    finally:
        os.close(descriptor)


def sweep(parent: Path) -> int:
    """Delete the folders whose process has ended; return how many there were."""
    swept = 0
    try:
        entries = [Path(e.path) for e in os.scandir(parent)]
    except OSError:
        return 0
    for entry in entries:
        try:
            descriptor = os.open(entry / LOCK, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            try:
                if time.time() - entry.stat().st_mtime < YOUNG_S:
                    continue
            except OSError:
                continue
            descriptor = -1
        except OSError:
            continue
        try:
            if descriptor < 0 or try_exclusive(descriptor):
                shutil.rmtree(entry, ignore_errors=True)
                swept += 1
        finally:
            if descriptor >= 0:
                os.close(descriptor)
    return swept
