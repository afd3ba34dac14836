"""The workers of a host: started, told, ended, and why one has ended."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from workbench.execution.wire import Decoder, Message, Outbox, encode
from workbench.hosting.worker import serve

CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
SERVER_GONE = 255  # multiprocessing's exit code of a process whose fork server died before it could tell


@dataclass(eq=False)
class WorkerHandle:
    """A worker process as the host sees it."""

    process: Any  # multiprocessing.Process of some context
    connection: socket.socket
    started: float
    settings: dict[str, Any]  # of the workspace, as it was started with
    decoder: Decoder = field(default_factory=Decoder)
    run_id: str | None = None
    loaded: set[tuple[str, str]] = field(default_factory=set)
    caches: list[dict[str, Any]] = field(default_factory=list)
    filing: set[str] = field(default_factory=set)  # runs that have ended and are not in the catalog yet
    is_ready: bool = False
    is_used: bool = False  # has been given a run
    is_leaving: bool = False
    conducts: bool = False  # what it was given last was a pipeline
    oom_kills: int = 0  # of the machine, a second or two ago
    rss: int = 0  # bytes, when last looked at
    idle_since: float = 0.0
    end: socket.socket | None = None  # readable when the process has ended

    def __post_init__(self) -> None:
        self.connection.setblocking(False)
        self.outbox = Outbox(self.connection)

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def tell(self, message: Message, body: bytes = b"") -> None:
        """Send a message; a worker that is gone is noticed by its end."""
        self.outbox.put(encode(message, body))

    def send_away(self) -> None:
        """Let it end by itself, when it has filed its runs."""
        self.tell({"op": "end"})
        self.is_ready, self.is_leaving = False, True

    def kill(self) -> None:
        """End the process now, with all that it has started."""
        with suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(OSError, ValueError):
            self.process.kill()

    def watch_end(self) -> socket.socket | None:
        """Return what becomes readable when the process has ended, also while a fork of it holds its line to the host."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except (OSError, AttributeError):  # gone already, or no Linux: the end of its line tells then
            return None
        return _Descriptor(descriptor)  # type: ignore[return-value]

    @property
    def was_killed(self) -> bool:
        """Whether something outside has ended it, as far as is known: by a signal that is no crash, or with its server."""
        code = self.process.exitcode
        return code == SERVER_GONE or (code is not None and code < 0 and -code not in CRASHES)

    def why_ended(self) -> str:
        """Return how the process ended, in words."""
        with suppress(Exception):
            self.process.join(timeout=2.0)
        code = self.process.exitcode
        if code is None:
            return "has closed its line to the host"
        if code >= 0:
            return f"ended itself with exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "unknown signal"
        text = f"was killed by signal {-code} ({name})"
        if -code == signal.SIGKILL and oom_kills() > self.oom_kills:
            text += (
                f" because the machine ran out of memory; it had {self.rss / 1e9:.1f} GB when last looked at"
            )
        elif -code == signal.SIGSEGV:
            text += ": compiled code has crashed"
        return text


class _Descriptor:
    """A file descriptor in the place of a socket."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def setblocking(self, flag: bool) -> None:
        """Do nothing: it is only watched."""

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class WorkerStarter:
    """Starts workers in a thread of its own, so that the host never waits for one.

    The server that forks workers imports for seconds what they need; a worker that is wanted before it is ready is started as a
    new interpreter instead.

    Parameters
    ----------
    settings : dict
        Settings of the workspace, for the workers.
    deliver : callable
        Called with each new worker, in the thread.
    """

    def __init__(self, settings: dict[str, Any], deliver: Callable[[WorkerHandle | Exception], None]) -> None:
        self.settings = settings
        self._deliver = deliver
        self._forking = multiprocessing.get_context("forkserver")
        self._forking.set_forkserver_preload(["workbench.hosting.preload"])
        self._is_warm = threading.Event()
        self._wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()
        threading.Thread(target=self._warm, name="workbench-warm", daemon=True).start()
        threading.Thread(target=self._work, name="workbench-starter", daemon=True).start()

    @property
    def is_warm(self) -> bool:
        """Whether workers are forked now."""
        return self._is_warm.is_set()

    def want(self) -> None:
        """Start one more worker."""
        self._wanted.put(True)

    def _warm(self) -> None:
        process = self._forking.Process(target=_nothing)
        process.start()  # returns when the server has imported everything and forked
        process.join()
        self._is_warm.set()

    def _work(self) -> None:
        spawning = multiprocessing.get_context("spawn")
        while True:
            self._wanted.get()
            try:
                self._deliver(self._start(self._forking if self.is_warm else spawning))
            except Exception as error:
                self._deliver(error)

    def _start(self, context: BaseContext) -> WorkerHandle:
        import time

        ours, theirs = socket.socketpair()
        settings = self.settings
        try:
            process = context.Process(  # type: ignore[attr-defined]
                target=serve, args=(theirs, settings), name="workbench-worker", daemon=False
            )
            process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return WorkerHandle(process, ours, time.monotonic(), settings)


def _nothing() -> None:
    """Be forked."""


def oom_kills() -> int:
    """Return how many processes the machine has killed for want of memory since it started."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def resident_bytes(pid: int) -> int:
    """Return how much memory a process has, or 0 if that is not known."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
