"""A cache on the same memory as sessions: segments by the digest of their content, let go first when room is needed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from workbench.sessions.ground import Ground
from workbench.sessions.keys import file_name
from workbench.sessions.room import CACHE, Room
from workbench.sessions.segments import Segment, is_full, lay_out


class SegmentCache:
    """Bytes by key that all processes map: ``ws.sessions.cache``.

    What lies here can be had again from elsewhere. So it never goes to disk, goes away before any item of a session does, and a
    put that finds no room is no error.

    Examples
    --------
    >>> cache.publish(digest, b'{"dtype": "<f4"}', [memoryview(array)])  # doctest: +SKIP
    True
    >>> cache.map(digest).arrays[0]                                      # doctest: +SKIP
    """

    def __init__(self, ground: Ground, room: Room) -> None:
        self._ground = ground
        self._room = room

    def publish(self, key: str, meta: bytes, buffers: Sequence[memoryview]) -> bool:
        """Keep buffers of bytes under a key, aligned, with a few bytes about them; return False if there is no room."""
        (self._ground.session(CACHE) / "items").mkdir(mode=0o700, parents=True, exist_ok=True)
        layout = lay_out(meta, b"", [len(b) for b in buffers])
        if not self._room.make(CACHE, layout.size, file_name(key)):
            return False
        try:
            path, kept = self._ground.write(layout, buffers)
        except OSError as error:
            if not is_full(error):
                raise
            return False
        self._ground.publish(CACHE, file_name(key), path, kept, time.time_ns())
        return True

    def map(self, key: str) -> Segment | None:
        """Return the segment of a key, or None. Its buffers are private and writable, and stay while a view of them lives."""
        try:
            return self._ground.open(CACHE, file_name(key), time.time_ns())[0]
        except FileNotFoundError:
            return None

    def __contains__(self, key: str) -> bool:
        return os.path.exists(self._ground.path(CACHE, file_name(key)))

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self._ground.totals.of(CACHE).nbytes

    def clear(self) -> None:
        """Let go of everything."""
        for item in self._ground.items((CACHE,), spilled=False):
            self._ground.remove([item], None)
        self._ground.pool.clear()
