"""Mappings of segments that readers hold, and those that are kept for the next reader of the same segment.

To map a gigabyte is nothing, to touch it for the first time is: the system enters each of its pages into the process's table, which
takes as long as a sum over it. So a mapping that nobody looks at any more is kept, and whoever gets the same segment next, with
its old content or a new one, finds its pages there. Mappings are private and writable; one that was written to holds pages that
are not the file's and is not kept. The system's own page map tells; where there is none, nothing is kept.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.sessions.timer import Timer

LEAST = 1 << 20
MOST_BYTES = 4 << 30
MOST = 16
LOOK_S = 10.0
_PAGEMAP = "/proc/self/pagemap"
_OF_FILE = np.uint64(1 << 61)
_CHUNK_PAGES = 1 << 15

Key = tuple[int, int, int]  # device, inode, size


@dataclass(slots=True, eq=False)
class _Mapping:
    """A private mapping of a file, and a descriptor without a lock that tells whether the file still has a name."""

    key: Key
    memory: mmap.mmap
    descriptor: int

    def close(self) -> None:
        os.close(self.descriptor)


class _Held(np.ndarray[Any, Any]):
    """The bytes of a mapping; whatever is a view of them keeps it, and it keeps the lock."""

    hold: _Hold


class _Hold:
    """Holds the shared lock of a segment while views live; then the mapping is kept or let go, and the lock too."""

    def __init__(self, mapping: _Mapping, locked: int) -> None:
        self.mapping = mapping
        self.locked = locked
        self.pid = os.getpid()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the interpreter may be ending
            KEPT.give_back(self.mapping)
        with contextlib.suppress(OSError):
            os.close(self.locked)


class KeptMappings:
    """Clean mappings that nobody looks at, for the next reader of the same file in this process."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, _Mapping] = OrderedDict()
        self._lock = threading.RLock()  # a collection of garbage may come back here
        self._timer = Timer(LOOK_S, self.tidy)

    def view(self, locked: int, path: str, facts: os.stat_result) -> memoryview:
        """Return the bytes of a segment under a lock, which is let go when the last view of them is gone.

        Parameters
        ----------
        locked : int
            A descriptor with the shared lock; from now on it belongs to the view.
        path : str
            Published name of the file.
        """
        key = (facts.st_dev, facts.st_ino, facts.st_size)
        with self._lock:
            mapping = self._kept.pop(key, None)
        if mapping is None:
            mapping = self._map(key, locked, path)
        # Directly over the mapping: numpy passes over an array between an array and its base, and the lock would be lost.
        held = _Held((facts.st_size,), np.uint8, buffer=mapping.memory)
        held.hold = _Hold(mapping, locked)
        return memoryview(held)  # type: ignore[arg-type]

    def _map(self, key: Key, locked: int, path: str) -> _Mapping:
        # Through a descriptor of its own: a mapping keeps the one it is made with, and this one must outlive the lock.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            facts = os.fstat(descriptor)
            if (facts.st_dev, facts.st_ino) == key[:2]:
                return _Mapping(key, mmap.mmap(descriptor, key[2], access=mmap.ACCESS_COPY), descriptor)
            # replaced between two looks: the lock goes with the mapping then
            mapping = mmap.mmap(locked, key[2], access=mmap.ACCESS_COPY)
            return _Mapping((0, 0, 0), mapping, os.dup(locked))
        except BaseException:
            os.close(descriptor)
            raise

    def give_back(self, mapping: _Mapping) -> None:
        """Keep a mapping that nobody looks at any more, if it is worth it and was not written to."""
        size = mapping.key[2]
        if size < LEAST or os.fstat(mapping.descriptor).st_nlink == 0 or not is_clean(mapping.memory):
            mapping.close()
            return
        with self._lock:
            before = self._kept.pop(mapping.key, None)
            if before is not None:
                before.close()
            self._kept[mapping.key] = mapping
            while len(self._kept) > MOST or sum(key[2] for key in self._kept) > MOST_BYTES:
                self._kept.popitem(last=False)[1].close()
            self._timer.start()

    def tidy(self) -> bool:
        """Let go of the mappings of files that have no name any more; return whether any others are kept."""
        with self._lock:
            for key, mapping in list(self._kept.items()):
                if os.fstat(mapping.descriptor).st_nlink == 0:
                    del self._kept[key]
                    mapping.close()
            return bool(self._kept)


def is_clean(memory: mmap.mmap) -> bool:
    """Tell whether all pages of a private mapping are still the file's; false where this cannot be known."""
    view = np.frombuffer(memory, np.uint8)
    first = view.__array_interface__["data"][0] // mmap.PAGESIZE
    pages = -(-len(view) // mmap.PAGESIZE)
    try:
        descriptor = os.open(_PAGEMAP, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        for begin in range(0, pages, _CHUNK_PAGES):
            count = min(_CHUNK_PAGES, pages - begin)
            data = os.pread(descriptor, count * 8, (first + begin) * 8)
            entries = np.frombuffer(data, np.uint64)
            if len(entries) != count:
                return False
            if np.bitwise_and.reduce(entries) & _OF_FILE:  # all of the file: the usual case, and a quick look
                continue
            if not ((entries == 0) | (entries & _OF_FILE != 0)).all():
                return False
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


KEPT = KeptMappings()
