"""A worker's line to its host: one thread reads it at a time, the one that would have to be woken otherwise."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from workbench.execution.wire import Decoder, Message, encode, receive
from workbench.hosting.awake import look_awhile

LOOK_EVERY_MS = 500


class Line:
    """The line of a worker.

    Between runs the main thread reads it, so that an order finds it without a second thread in between. While a run lasts,
    another thread does: a cancel is heard, and the end of the host ends the worker. A run that is over sooner than that is
    worth waking anybody for has what came meanwhile read after it.

    Parameters
    ----------
    connection : socket
        To the host.
    cancel : callable
        Called with the id of a run and whether it is to be interrupted.
    """

    def __init__(self, connection: socket.socket, cancel: Callable[[str, bool], None]) -> None:
        self._connection = connection
        self._cancel = cancel
        self._decoder = Decoder()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._orders: deque[Message | None] = deque()
        self._reading = threading.Lock()
        self._sending = threading.Lock()
        self._number = 0  # of the run that the main thread has taken
        self._lasting = 0  # the run during which the other thread listens
        self._lasts = threading.Event()
        threading.Thread(target=self._listen, name="workbench-host", daemon=True).start()

    def next_order(self) -> Message | None:
        """Wait for the next run; None if there is to be no more."""
        self._number += 1
        with self._reading:
            while not self._orders:
                look_awhile(lambda: self._poll.poll(0))
                self._read()
            return self._orders.popleft()

    def listen(self) -> None:
        """Have the line listened to until the next order is asked for; called by any thread while a run goes on."""
        if self._lasting != self._number:
            self._lasting = self._number
            self._lasts.set()

    def tell(self, message: Message, body: bytes = b"") -> None:
        """Send a message; a host that is gone is noticed by reading."""
        frame = encode(message, body)
        with self._sending, suppress(OSError):
            self._connection.sendall(frame)

    def _listen(self) -> None:
        poll = select.poll()  # one for each thread
        poll.register(self._connection, select.POLLIN)
        while True:
            self._lasts.wait()
            self._lasts.clear()
            while self._lasting == self._number:
                # the main thread has the lock when it waits for its next order: what comes is for it
                if poll.poll(LOOK_EVERY_MS) and self._reading.acquire(blocking=False):
                    try:
                        if poll.poll(0):
                            self._read()
                    finally:
                        self._reading.release()

    def _read(self) -> None:
        """Read what has come, or wait for it."""
        messages = receive(self._connection, self._decoder)
        if messages is None:
            os._exit(1)  # the host is gone, and nobody would hear of what is done here
        for message in messages:
            if message["op"] == "run":
                self._orders.append(message)
            elif message["op"] == "cancel":
                self._cancel(message["run"], message.get("hard", False))
            elif message["op"] == "end":
                self._orders.append(None)
