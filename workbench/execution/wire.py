"""Messages between processes of one user: JSON in frames with a length, over a Unix socket.

Nothing that is received is ever executed: no pickle crosses this border.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

from pydantic_core import from_json, to_json

Message = dict[str, Any]

_LENGTHS = struct.Struct("!II")  # of the message, and of the body behind it
_READ = 1 << 16
#: A frame beyond this is no message of ours.
MOST_BYTES = 1 << 28


def encode(message: Message, body: bytes = b"") -> bytes:
    """Return a message as a frame; what only the last receiver reads goes as its body, and nobody between looks into it."""
    try:
        head = to_json(message)
    except ValueError:  # a path that is no text, say: names of files may be any bytes
        head = json.dumps(message).encode()
    return b"".join([_LENGTHS.pack(len(head), len(body)), head, body])


class Decoder:
    """Takes bytes as they come and gives whole messages; a body is in ``message["body"]``."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that are whole now.

        Raises
        ------
        ValueError
            If the bytes are no messages.
        """
        self._bytes += data
        messages = []
        while len(self._bytes) >= _LENGTHS.size:
            head, body = _LENGTHS.unpack_from(self._bytes)
            if head + body > MOST_BYTES:
                raise ValueError(f"a frame of {head + body} bytes is no message")
            middle = _LENGTHS.size + head
            end = middle + body
            if len(self._bytes) < end:
                break
            message = _decoded(bytes(self._bytes[_LENGTHS.size : middle]))
            if body:
                message["body"] = bytes(self._bytes[middle:end])
            messages.append(message)
            del self._bytes[:end]
        return messages


def _decoded(head: bytes) -> Message:
    try:
        message: Message = from_json(head)
    except ValueError:
        message = json.loads(head)
    return message


def receive(connection: socket.socket, decoder: Decoder) -> list[Message] | None:
    """Wait for bytes and return the messages that are whole now; None when the other side is gone."""
    try:
        data = connection.recv(_READ)
    except (ConnectionError, OSError):
        return None
    return decoder.feed(data) if data else None


class Outbox:
    """What is still to be sent over a socket that must never be waited for.

    Parameters
    ----------
    connection : socket
        Non-blocking.
    most : int
        Bytes that may wait; a reader that lets more pile up has stopped reading.
    """

    def __init__(self, connection: socket.socket, most: int = 1 << 24) -> None:
        self._connection = connection
        self._waiting = bytearray()
        self._most = most

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    def put(self, frame: bytes) -> bool:
        """Send what goes at once and keep the rest; False if the other side is gone or does not read."""
        if self._waiting:
            self._waiting += frame
        else:
            try:
                sent = self._connection.send(frame)
            except BlockingIOError:
                sent = 0
            except OSError:
                return False
            if sent < len(frame):
                self._waiting += frame[sent:]
        return len(self._waiting) <= self._most

    def flush(self) -> bool:
        """Send more of what waits; False if the other side is gone."""
        try:
            while self._waiting:
                del self._waiting[: self._connection.send(self._waiting)]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True
