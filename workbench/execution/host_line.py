"""A kernel's line to its host: a thread reads it, but for the time that somebody waits, when the one who waits does.

To be woken by another thread costs as much as to be woken by another process; who waits for a run hears its end at first hand.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, TypeVar

from workbench.execution.wire import Decoder, Message, encode, receive

T = TypeVar("T")


class HostLine:
    """A line that stands.

    Parameters
    ----------
    connection : socket
    decoder : Decoder
        With what has been received already.
    hear : callable
        Called with each message, in the thread that reads.
    lost : callable
        Called when the other side is gone, in the thread of the line.
    """

    def __init__(
        self,
        connection: socket.socket,
        decoder: Decoder,
        hear: Callable[[Message], None],
        lost: Callable[[HostLine], None],
    ) -> None:
        self._connection = connection
        self._decoder = decoder
        self._hear = hear
        self._lost = lost
        self._pid = os.getpid()
        self._sending = threading.Lock()
        self._reading = threading.Lock()  # held by who reads
        self._door = _Door(connection)
        threading.Thread(target=self._read_all, name="workbench-host-client", daemon=True).start()

    def send(self, message: Message, body: bytes = b"") -> None:
        """Send a message.

        Raises
        ------
        OSError
            If the other side is gone.
        """
        frame = encode(message, body)
        with self._sending:
            self._connection.sendall(frame)

    def read_until(self, is_there: Callable[[], bool], timeout_s: float | None) -> None:
        """Read in the calling thread until something is there; return at once if another one reads, or the line is lost."""
        if self._pid != os.getpid():
            return
        end = None if timeout_s is None else time.monotonic() + timeout_s
        with _HeldInterrupts() as held:
            if not self._reading.acquire(blocking=False):
                return
            try:
                with self._door:
                    self._read_while(lambda: not is_there(), end, held)
            finally:
                self._reading.release()

    def _read_while(self, is_due: Callable[[], bool], end: float | None, held: _HeldInterrupts) -> None:
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        while is_due():
            wait_ms = None if end is None else max(0.0, end - time.monotonic()) * 1000
            if not held.pass_while(lambda: poll.poll(wait_ms)) or not self._read():  # noqa: B023 - called here
                return

    def close(self) -> None:
        """End it; its thread lets go of the socket."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _read_all(self) -> None:
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        is_open = True
        while is_open:
            self._door.wait()
            with self._reading:
                if poll.poll(0):  # nobody has read it meanwhile
                    is_open = self._read()
        self._lost(self)
        self._connection.close()

    def _read(self) -> bool:
        """Take in what has come; False when the other side is gone."""
        messages = receive(self._connection, self._decoder)
        for message in messages or ():
            self._hear(message)
        return messages is not None


class _Door:
    """Where the line's thread waits for what comes. While the door is closed, in a ``with`` block, it is not woken.

    Where the system has no epoll, the thread is woken and finds that another one reads.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._descriptor = connection.fileno()
        self._epoll: Any = select.epoll() if hasattr(select, "epoll") else None
        self._poll: Any = self._epoll or select.poll()
        self._poll.register(connection, select.POLLIN)

    def wait(self) -> None:
        """Wait until something comes through the open door, or the other side has gone."""
        self._poll.poll()

    def __enter__(self) -> None:
        self._listen_for(0)

    def __exit__(self, *args: object) -> None:
        self._listen_for(select.POLLIN)

    def _listen_for(self, events: int) -> None:
        if self._epoll is not None:
            with suppress(OSError):  # the line has been lost meanwhile
                self._epoll.modify(self._descriptor, events)


class _HeldInterrupts:
    """Holds Ctrl-C back while a message is taken in: half of one would make nonsense of all that follow.

    Only the main thread is ever interrupted so.
    """

    def __init__(self) -> None:
        self._before: Any = None
        self._passes = False
        self._has_come = False

    def __enter__(self) -> _HeldInterrupts:
        if threading.get_ident() == threading.main_thread().ident:
            before = signal.getsignal(signal.SIGINT)
            if callable(before):
                self._before = before
                signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(self, *args: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._pass_on()

    def pass_while(self, step: Callable[[], T]) -> T:
        """Do a step that may be interrupted."""
        self._passes = True
        try:
            self._pass_on()
            return step()
        finally:
            self._passes = False

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._has_come = True
        if self._passes:
            self._pass_on()

    def _pass_on(self) -> None:
        if self._has_come:
            self._has_come = False
            self._before(signal.SIGINT, None)
