"""The loop of the host: one selector, timers, and a way in for other threads. Nothing in it ever waits for a peer."""

from __future__ import annotations

import heapq
import itertools
import queue
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from workbench.execution.wire import Outbox
from workbench.hosting.awake import look_awhile

Step = Callable[[], None]


class Peer(Protocol):
    """The other side of a socket that does not block."""

    connection: socket.socket
    outbox: Outbox


class Loop:
    """Calls steps when sockets are ready, when time has come, or when another thread asks for it."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Step]] = []
        self._numbers = itertools.count()
        self._asked: queue.SimpleQueue[Step] = queue.SimpleQueue()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ, self._woken)
        self._written: set[socket.socket] = set()  # for which something waits to be sent
        self._has_ended = False
        self._was_ready = False

    def run(self) -> None:
        """Go on until `end`."""
        while not self._has_ended:
            for key, mask in self._ready():
                key.data(mask)
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()

    def _ready(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for sockets; after each that was ready, look a moment longer before sleeping."""
        ready = look_awhile(lambda: self._selector.select(0)) if self._was_ready else []
        if not ready:
            ready = self._selector.select(self._until_timer())
        self._was_ready = bool(ready)
        return ready

    def _until_timer(self) -> float | None:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def end(self) -> None:
        """End after this step."""
        self._has_ended = True

    def at(self, seconds: float, step: Step) -> None:
        """Do a step in so many seconds."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), step))

    def from_thread(self, step: Step) -> None:
        """Do a step in the loop's thread; called from any other."""
        self._asked.put(step)
        with suppress(OSError):  # full: it is awake
            self._wake_out.send(b"w")

    def add(self, connection: socket.socket, ready: Callable[[int], None]) -> None:
        """Call a function whenever a socket can be read, or written when that was asked for."""
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ, ready)

    def remove(self, connection: socket.socket) -> None:
        """Forget a socket and close it."""
        self._written.discard(connection)
        with suppress(KeyError, ValueError):
            self._selector.unregister(connection)
        connection.close()

    def watch_writing(self, peer: Peer) -> None:
        """Be told when a peer's socket takes more, as long as something waits for it."""
        connection, is_due = peer.connection, not peer.outbox.is_empty
        if is_due == (connection in self._written):
            return
        with suppress(KeyError, ValueError):
            key = self._selector.get_key(connection)
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if is_due else 0)
            self._selector.modify(connection, events, key.data)
            (self._written.add if is_due else self._written.discard)(connection)

    def _woken(self, mask: int) -> None:
        with suppress(BlockingIOError):
            self._wake_in.recv(4096)
        while not self._asked.empty():
            self._asked.get()()
