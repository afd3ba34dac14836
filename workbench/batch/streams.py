"""``sys.stdout`` and ``sys.stderr`` of a cell, with what subprocesses and compiled code write straight to the descriptors."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from typing import Any

from ipykernel.iostream import OutStream

#: Text waits this long for more before it is published, as in a kernel.
FLUSH_S = 0.2

_LOCK = threading.RLock()
_STREAMS: list[CellStream] = []
_WAKE: list[int] = []


class CellStream(OutStream):  # type: ignore[misc]
    """A kernel's output stream that publishes in this process, without sockets.

    It is an ``OutStream``, since libraries ask for that to know a kernel. Unlike there, ``fileno()`` is the descriptor that the cell
    shows, so ``subprocess.run(..., stdout=sys.stdout)`` lands in the cell too, in the order in which it was written.

    Parameters
    ----------
    session
        What publishes: ``session.send`` takes messages.
    pub_thread
        Not used; kernels have one.
    name : str
        ``stdout`` or ``stderr``.
    """

    def __init__(self, session: Any, pub_thread: Any, name: str, **kernel_options: Any) -> None:
        # not the parent's: it needs a thread with an event loop
        self.session = session
        self.pub_thread = pub_thread or self
        self.name = name
        self.echo = None
        self._isatty = False
        self._local = threading.local()
        self._master_pid = os.getpid()
        self._parts: list[str] = []
        self._since = 0.0
        self._cut = b""
        getattr(sys, f"__{name}__").flush()
        self._number = 1 if name == "stdout" else 2
        self._pipe, written = os.pipe()
        os.set_blocking(self._pipe, False)
        os.dup2(written, self._number, inheritable=True)
        os.close(written)
        _watch(self)

    def fileno(self) -> int:
        return self._number

    @property
    def closed(self) -> bool:
        return False

    def close(self) -> None:
        self.flush()

    def set_parent(self, parent: Any) -> None:
        """Outputs belong to the cell that runs, whichever thread makes them."""

    def set_thread_parent(self, parent: Any) -> None:
        """The same."""

    def reset_thread_parent(self, token: Any) -> None:
        """The same."""

    def write(self, string: str) -> int:
        if not isinstance(string, str):
            raise TypeError(f"write() argument must be str, not {type(string)}")
        if os.getpid() != self._master_pid:  # a process that the cell forked: through the descriptor
            os.write(self._number, string.encode(errors="replace"))
            return len(string)
        with _LOCK:
            self.drain()
            self._keep(string)
        return len(string)

    def flush(self) -> None:
        if os.getpid() != self._master_pid:
            return
        with _LOCK:
            self.drain()
            if not self._parts:
                return
            text = "".join(self._parts)
            self._parts = []
            message = self.session.msg("stream", {"name": self.name, "text": text})
            for hook in self._hooks:
                message = hook(message)
                if message is None:
                    return
            self.session.send(None, message)

    def drain(self) -> None:
        """Take what was written to the descriptor."""
        while True:
            try:
                data = os.read(self._pipe, 1 << 16)
            except OSError:  # nothing there now
                return
            if not data:
                return
            text, self._cut = _decoded(self._cut + data)
            self._keep(text)

    def _keep(self, text: str) -> None:
        if not text:
            return
        if not self._parts:
            self._since = time.monotonic()
            os.write(_WAKE[1], b".")
        self._parts.append(text)


def _decoded(data: bytes) -> tuple[str, bytes]:
    """Return text, and the bytes of a character of which the end is still to come."""
    for cut in range(1, min(4, len(data) + 1)):
        lead = data[-cut]
        if lead >= 0xC0:  # the first byte of a character of 2, 3 or 4
            length = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            if length > cut:
                return data[:-cut].decode(errors="replace"), data[-cut:]
            break
        if lead < 0x80:
            break
    return data.decode(errors="replace"), b""


def _watch(stream: CellStream) -> None:
    """Read a stream's pipe while the cell is busy, so that nobody who writes to it has to wait."""
    _STREAMS.append(stream)
    if not _WAKE:
        _WAKE.extend(os.pipe())
        os.set_blocking(_WAKE[0], False)
        os.set_blocking(_WAKE[1], False)
        threading.Thread(target=_pump, name="workbench-output", daemon=True).start()
    else:
        os.write(_WAKE[1], b".")


def _pump() -> None:
    while True:
        waiting = [s._since + FLUSH_S for s in _STREAMS if s._parts]
        timeout = max(0.0, min(waiting) - time.monotonic()) if waiting else None
        ready, _, _ = select.select([_WAKE[0], *(s._pipe for s in _STREAMS)], [], [], timeout)
        if _WAKE[0] in ready:
            os.read(_WAKE[0], 4096)
        now = time.monotonic()
        for stream in list(_STREAMS):
            with _LOCK:
                if stream._pipe in ready:
                    stream.drain()
                if stream._parts and now - stream._since >= FLUSH_S:
                    stream.flush()
