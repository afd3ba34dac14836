"""HDF5 files kept open for the next reader: opening one takes as long as reading a slice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.storage import hdf5

if TYPE_CHECKING:
    import h5py

Key = tuple[str, int, int, int]


@dataclass
class _Entry:
    file: h5py.File
    users: int = 0


class OpenFiles:
    """Read-only files by path, shared by all readers in this process; the least recently used ones are closed.

    A file that was replaced or mended on disk is another file.

    Parameters
    ----------
    most : int
        Files kept open beyond those in use.
    """

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self._entries: dict[Key, _Entry] = {}  # the last used come last
        self._lock = threading.Lock()

    @contextmanager
    def open(self, path: Path, what: str) -> Iterator[h5py.File]:
        """Give the file at a path.

        Raises
        ------
        DamagedError
            If it is no HDF5 file or is truncated.
        """
        from workbench.library.shared_file import SharedFile

        found = path.stat()
        key = (str(path), found.st_ino, found.st_mtime_ns, found.st_size)
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is None or not entry.file:  # a reader may have closed it
                entry = _Entry(hdf5.open_file(path, what, SharedFile))
            entry.users += 1
            self._entries[key] = entry
            self._shrink(self._most)
        try:
            yield entry.file
        finally:
            with self._lock:
                entry.users -= 1
                self._shrink(self._most)

    def close(self) -> None:
        """Close all files that nobody reads."""
        with self._lock:
            self._shrink(0)

    def forget(self, path: Path) -> None:
        """Close the file at a path, which is about to be deleted."""
        with self._lock:
            for key in [k for k, entry in self._entries.items() if k[0] == str(path) and not entry.users]:
                self._entries.pop(key).file.close()

    def _shrink(self, most: int) -> None:
        idle = [key for key, entry in self._entries.items() if not entry.users]
        for key in idle[: max(0, len(idle) - most)]:
            self._entries.pop(key).file.close()
