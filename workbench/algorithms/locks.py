"""One writer at a time for the algorithms of a store."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.errors import ConflictError
from workbench.storage.store import Store

WAIT_S = 60.0
_threads: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


@contextmanager
def writing(store: Store, collection: str) -> Iterator[None]:
    """Hold the right to change a collection's records, against threads and, on a local store, other processes.

    On a remote store nothing holds other machines off: who writes there looks again afterwards.

    It is not taken twice by one thread.

    Raises
    ------
    ConflictError
        If another process holds it for a minute.
    """
    with _threads[store.url]:
        inside = store.local_path(collection, "x") if store.is_local else None
        if inside is None or os.name == "nt":
            yield
            return
        descriptor = os.open(inside.parent, os.O_RDONLY)  # the folder itself: nothing to leave behind
        try:
            _lock(descriptor, inside.parent)
            yield
        finally:
            os.close(descriptor)  # and with it the lock


def _lock(descriptor: int, folder: Path) -> None:
    import fcntl

    end = time.monotonic() + WAIT_S
    pause = 0.001
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise ConflictError(
                    f"Another process has been changing {folder} for {WAIT_S:g} s. Wait for it, or end it if it hangs."
                ) from None
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
