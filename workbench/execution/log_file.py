"""A run's log: whole lines, in order, on disk as soon as they are written."""

from __future__ import annotations

import os
import threading
from functools import cached_property
from pathlib import Path

from workbench.models import now
from workbench.storage.failures import translate
from workbench.storage.journal import spool
from workbench.storage.store import Store

COLLECTION = "runs"


def log_key(run_id: str) -> str:
    """Return the key of a run's log."""
    return f"{run_id}.log"


class LogFile:
    """The log of a run that is being written.

    On a folder the object itself grows line by line, so every kernel can read along and a kill loses nothing. On other stores
    the lines are spooled in a local file and published at the end.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._key = log_key(run_id)
        self._lock = threading.Lock()
        self._is_spooled = not store.is_local
        self._descriptor: int | None = (
            None  # opened by the first line: a run that says nothing leaves no file
        )
        self._is_closed = False
        self._size = 0

    @cached_property
    def _path(self) -> Path:
        return log_path(self._store, self._run_id)

    def write(self, level: str, message: str) -> str:
        """Write a message, stamped with local time and zone; return the lines as written.

        Lines look like ``2026-03-01 09:30:00.123+0100 INFO text``; further lines of one message are indented.

        Raises
        ------
        StorageError
            If the disk does not take it.
        """
        stamp = now().astimezone().isoformat(" ", "milliseconds")
        first = f"{stamp[:-3]}{stamp[-2:]} {level} "
        text = first + message.rstrip("\n").replace("\n", "\n    ") + "\n"
        with self._lock:
            if not self._is_closed:
                data = memoryview(text.encode("utf-8", "backslashreplace"))
                try:
                    while data:
                        written = os.write(self._open(), data)
                        self._size += written  # not before: who is told of it reads the file
                        data = data[written:]
                except OSError as error:
                    raise translate(error, self._store.url, COLLECTION, self._key, True) from error
        return text

    def read(self) -> str:
        """Return all that was written so far."""
        with self._lock:
            if self._is_closed:
                return read_log(self._store, self._run_id)
            return self._path.read_text(encoding="utf-8") if self._descriptor is not None else ""

    def close(self) -> None:
        """End the log; publish it where it was spooled."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            if self._descriptor is None:
                return
            os.close(self._descriptor)
            self.publish()

    def publish(self) -> None:
        """Put a log that was spooled on this machine into the store; nothing if there is none."""
        if self._is_spooled and self._path.exists():
            self._store.put(COLLECTION, self._key, self._path.read_bytes())
            self._path.unlink(missing_ok=True)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    def _open(self) -> int:
        if self._descriptor is None:
            if self._is_spooled:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        return self._descriptor


def log_path(store: Store, run_id: str) -> Path:
    """Return the file of a log while it is written: the object itself, or a spool on this machine."""
    return store.local_path(COLLECTION, log_key(run_id)) or _spool(run_id)


def _spool(run_id: str) -> Path:
    return spool("logs") / log_key(run_id)


def read_log(store: Store, run_id: str) -> str:
    """Return the log of a run; empty when nothing was written."""
    from workbench.errors import NotFoundError

    try:
        return store.get(COLLECTION, log_key(run_id)).decode("utf-8", "replace")
    except NotFoundError:
        pass
    try:  # still written by a process of this machine
        return log_path(store, run_id).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
