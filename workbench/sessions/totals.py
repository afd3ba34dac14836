"""How many items and bytes there are: counters under one lock, built anew from the folders when a process died while it held it."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from workbench.sessions.locks import FileLock

_COUNTS = struct.Struct("<4q")  # items and bytes on the place, items and bytes on the spill disk
_ALL = struct.Struct(
    "<8s2q64s"
)  # magic, bytes on the place, bytes on the spill disk, the session that is being changed
_MAGIC = b"WBSUM001"
_EVERY = b"*"


@dataclass(slots=True)
class Counts:
    """Items and bytes of a session, on the place and on the spill disk."""

    items: int = 0
    nbytes: int = 0
    spilled_items: int = 0
    spilled_bytes: int = 0


class Totals:
    """The counters of all sessions of a workspace.

    Parameters
    ----------
    root : Path
        Folder of the workspace on the place.
    spill : Path, optional
        The same on the spill disk.
    """

    def __init__(self, root: Path, spill: Path | None) -> None:
        self._root = root
        self._spill = spill
        self.lock = FileLock(str(root / "lock"))

    @contextmanager
    def changing(self, token: str) -> Iterator[Counts]:
        """Give the counts of a session for change, under the lock of the workspace.

        What is changed in the folders belongs in here too. If that raises, or the process dies, the counts are built anew by
        whoever comes next.
        """
        with self.lock as lock:
            used, spilled = self._all(lock.descriptor)
            counts = self._read(token)
            before = (counts.nbytes, counts.spilled_bytes)
            os.pwrite(lock.descriptor, _ALL.pack(_MAGIC, used, spilled, token.encode()), 0)
            yield counts
            self._write(token, counts)
            used += counts.nbytes - before[0]
            spilled += counts.spilled_bytes - before[1]
            os.pwrite(lock.descriptor, _ALL.pack(_MAGIC, used, spilled, b""), 0)

    @contextmanager
    def changing_sessions(self) -> Iterator[None]:
        """Hold the lock while sessions come and go; the sum is built anew."""
        with self.lock as lock:
            self._all(lock.descriptor)
            os.pwrite(lock.descriptor, _ALL.pack(_MAGIC, 0, 0, _EVERY), 0)
            yield
            os.pwrite(lock.descriptor, _ALL.pack(_MAGIC, *self._sum(), b""), 0)

    def used(self) -> tuple[int, int]:
        """Return the bytes of all sessions on the place and on the spill disk."""
        with self.lock as lock:
            return self._all(lock.descriptor)

    def of(self, token: str) -> Counts:
        """Return the counts of a session; zeros if it is gone."""
        with self.lock as lock:
            self._all(lock.descriptor)
            return self._read(token)

    def sessions(self) -> list[str]:
        """Return the tokens of all sessions."""
        try:
            return sorted(e.name for e in os.scandir(self._root / "sessions"))
        except FileNotFoundError:
            return []

    def _all(self, descriptor: int) -> tuple[int, int]:
        """Return the sums; first mend what a process that died left half done."""
        data = os.pread(descriptor, _ALL.size, 0)
        if len(data) == _ALL.size:
            magic, used, spilled, changing = _ALL.unpack(data)
            changing = changing.rstrip(b"\0")
            if magic == _MAGIC and not changing:
                return used, spilled
            tokens = [changing.decode()] if magic == _MAGIC and changing != _EVERY else self.sessions()
        else:
            tokens = self.sessions()
        for token in tokens:
            self._count(token)
        used, spilled = self._sum()
        os.pwrite(descriptor, _ALL.pack(_MAGIC, used, spilled, b""), 0)
        return used, spilled

    def _sum(self) -> tuple[int, int]:
        every = [self._read(token) for token in self.sessions()]
        return sum(c.nbytes for c in every), sum(c.spilled_bytes for c in every)

    def _count(self, token: str) -> None:
        """Build the counts of a session from its folders; a spilled copy of what is on the place again goes."""
        counts = Counts()
        here = _sizes(self._root / "sessions" / token / "items")
        counts.items, counts.nbytes = len(here), sum(here.values())
        if self._spill is not None:
            folder = self._spill / "sessions" / token / "items"
            there = _sizes(folder)
            for name in here.keys() & there.keys():
                (folder / name).unlink(missing_ok=True)
                del there[name]
            counts.spilled_items, counts.spilled_bytes = len(there), sum(there.values())
        self._write(token, counts)

    def _read(self, token: str) -> Counts:
        try:
            descriptor = os.open(f"{self._root}/sessions/{token}/totals", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return Counts()
        try:
            data = os.read(descriptor, _COUNTS.size)
        finally:
            os.close(descriptor)
        return Counts(*_COUNTS.unpack(data)) if len(data) == _COUNTS.size else Counts()

    def _write(self, token: str, counts: Counts) -> None:
        data = _COUNTS.pack(counts.items, counts.nbytes, counts.spilled_items, counts.spilled_bytes)
        path = f"{self._root}/sessions/{token}/totals"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # the session was dropped, and with it what there was to count
            return
        try:
            os.pwrite(descriptor, data, 0)
        finally:
            os.close(descriptor)


def _sizes(folder: Path) -> dict[str, int]:
    found = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    found[entry.name] = entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:
                    continue
    except FileNotFoundError:
        pass
    return found
