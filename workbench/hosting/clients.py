"""The kernels that are connected to a host: what they say is read as it comes, and none of them is waited for."""

from __future__ import annotations

import selectors
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from workbench.execution.wire import Decoder, Message, Outbox, encode
from workbench.hosting.loop import Loop


@dataclass(eq=False)
class Client:
    """A connected process."""

    connection: socket.socket
    pid: int = 0
    decoder: Decoder = field(default_factory=Decoder)
    watches: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.connection.setblocking(False)
        self.outbox = Outbox(self.connection)


class Clients:
    """All connected processes.

    Parameters
    ----------
    loop : Loop
    listener : socket
        Where they connect.
    answer : callable
        Called with a client and each of its messages.
    left : callable
        Called with a client that is there no more.
    """

    def __init__(
        self,
        loop: Loop,
        listener: socket.socket,
        answer: Callable[[Client, Message], None],
        left: Callable[[Client], None],
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._answer = answer
        self._left = left
        self._clients: set[Client] = set()
        loop.add(listener, self._accept)

    def __len__(self) -> int:
        return len(self._clients)

    def _accept(self, mask: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        client = Client(connection)
        self._clients.add(client)
        self._loop.add(connection, lambda mask: self._serve(client, mask))

    def _serve(self, client: Client, mask: int) -> None:
        if mask & selectors.EVENT_WRITE and not client.outbox.flush():
            self._drop(client)
            return
        if mask & selectors.EVENT_READ:
            try:
                data = client.connection.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            try:
                for message in client.decoder.feed(data):
                    self._answer(client, message)
            except (ValueError, KeyError, TypeError) as error:
                print(
                    f"dropped a client that sent no message of ours: {error!r}", file=sys.stderr, flush=True
                )
                data = b""
            if not data:
                self._drop(client)
                return
        self._loop.watch_writing(client)

    def tell(self, client: Client, message: Message, body: bytes = b"") -> None:
        """Send a message to a client, if it is still there."""
        if client in self._clients:
            if client.outbox.put(encode(message, body)):
                if not client.outbox.is_empty:
                    self._loop.watch_writing(client)
            else:  # gone, or does not read: it costs the run nothing
                self._drop(client)

    def _drop(self, client: Client) -> None:
        self._clients.discard(client)
        self._left(client)
        self._loop.remove(client.connection)
