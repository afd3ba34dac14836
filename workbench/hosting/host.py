"""The run host: one small process that outlives kernels, queues their runs and keeps workers for them.

A single thread with one selector talks to clients and workers and never waits for either. What touches the store or starts
processes happens in threads of their own, which hand their results back through a queue.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from workbench.execution.host_address import made_at
from workbench.execution.host_client import PROTOCOL
from workbench.execution.wire import Message
from workbench.hosting.clients import Client, Clients
from workbench.hosting.dispatcher import Dispatcher
from workbench.hosting.guard import Guard
from workbench.hosting.loop import Loop
from workbench.hosting.workers import resident_bytes
from workbench.process_identity import this_process
from workbench.version import __version__

LOOK_EVERY_S = 1.0
HELLO_WITHIN_S = 60.0


class Host:
    """Answers clients, for one workspace, from the first hello to its end.

    Parameters
    ----------
    listener : socket
        Bound to the host's address and listening.
    path : Path
        The socket's file.
    guard : Guard
        Told of all workers.
    """

    def __init__(self, listener: socket.socket, path: Path, guard: Guard) -> None:
        self._listener = listener
        self._path = path
        self._guard = guard
        self._loop = Loop()
        self._clients = Clients(self._loop, listener, self._answer, self._client_left)
        self._dispatcher: Dispatcher | None = None  # once somebody has said which workspace this is for
        self._made: str | None = None
        self._is_retired = False
        self._began = time.monotonic()

    def serve(self) -> None:
        """Serve until told to stop, idle for long, or without a workspace."""
        self._loop.at(LOOK_EVERY_S, self._look)
        try:
            self._loop.run()
        finally:
            self._leave_address()
            if self._dispatcher is not None:
                self._dispatcher.close()

    def _leave_address(self) -> None:
        if not self._is_retired:
            self._is_retired = True
            self._loop.remove(self._listener)
            with suppress(OSError):
                self._path.unlink()

    def _client_left(self, client: Client) -> None:
        if self._dispatcher is not None:
            self._dispatcher.client_left(client)

    def _answer(self, client: Client, message: Message) -> None:
        op, dispatcher = message["op"], self._dispatcher
        if op == "hello":
            self._greet(client, message)
        elif op == "status":
            self._clients.tell(client, {"ask": message["ask"], **self._status()})
        elif op == "stop":
            self._stop(client, message)
        elif dispatcher is None:
            raise ValueError(f"{op!r} before any hello")
        elif op == "submit":
            dispatcher.submit(client, message)
        elif op == "cancel":
            dispatcher.cancel(message["run"])
        elif op == "cancel group":
            dispatcher.cancel_group(message["group"])
        elif op == "watch group":
            dispatcher.runs.answer_watch_group(client, message)
        elif op == "watch":
            dispatcher.runs.answer_watch(client, message)

    def _greet(self, client: Client, message: Message) -> None:
        pid, started, _, _ = this_process()
        theirs, ours = (message["protocol"], message["version"]), (PROTOCOL, __version__)
        dispatcher = self._dispatcher
        is_new_place = dispatcher is not None and made_at(dispatcher.settings.url) != self._made
        if theirs != ours or is_new_place:
            stays = not is_new_place and _is_older(*theirs)
            refusal = {"welcome": False, "pid": pid, "version": __version__, "stays": stays}
            self._clients.tell(client, refusal)
            if not stays:  # a newer package is asking, or a new workspace has come to the place of the one that this host is for:
                # leave the address to its host and end after what is left
                self._leave_address()
                self._end_if_idle(0.0)
            return
        client.pid = message["pid"]
        if dispatcher is None:
            self._dispatcher = Dispatcher(
                message["settings"], self._loop, self._clients, self._guard, self._run_ended
            )
            self._made = made_at(self._dispatcher.settings.url)
            self._dispatcher.begin()
        elif not dispatcher.has_worker(client.pid):  # a worker that conducts has its settings from here
            dispatcher.adopt({name: message["settings"][name] for name in message.get("chosen", ())})
        self._clients.tell(client, {"welcome": True, "pid": pid, "started": started, "version": __version__})

    def _stop(self, client: Client, message: Message) -> None:
        dispatcher = self._dispatcher
        active = 0 if dispatcher is None else len(dispatcher.runs)
        if active and not message.get("force"):
            self._clients.tell(client, {"ask": message["ask"], "stopping": False, "active": active})
            return
        self._leave_address()
        if dispatcher is not None:
            for run in dispatcher.runs:
                dispatcher.cancel(run.id, kill=True)
        self._clients.tell(client, {"ask": message["ask"], "stopping": True, "active": active})
        self._end_if_idle(0.0)

    def _status(self) -> Message:
        pid, started, _, _ = this_process()
        work = {"running": [], "queued": 0, "completed": 0, "forks": False, "workers": []}
        return {
            "pid": pid,
            "started": started,
            "version": __version__,
            "clients": len(self._clients),
            "rss": resident_bytes(pid),
            **(work if self._dispatcher is None else self._dispatcher.status()),
        }

    def _run_ended(self) -> None:
        if self._is_retired:
            self._end_if_idle(0.0)

    def _look(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.look()
            settings = self._dispatcher.settings
            self._end_if_idle(0.0 if self._is_retired else settings.host_idle_s)
            if made_at(settings.url) != self._made:
                self._loop.end()  # the workspace was deleted, and what runs in it
        elif time.monotonic() - self._began > HELLO_WITHIN_S:
            self._loop.end()  # nobody ever said hello
        self._loop.at(LOOK_EVERY_S, self._look)

    def _end_if_idle(self, seconds: float) -> None:
        dispatcher = self._dispatcher
        if dispatcher is None or (
            not len(dispatcher.runs) and time.monotonic() - dispatcher.last_work >= seconds
        ):
            self._loop.end()


def _is_older(protocol: int, version: str) -> bool:
    """Tell whether a kernel has loaded an older package than this process."""
    from packaging.version import Version

    return (protocol, Version(version)) < (PROTOCOL, Version(__version__))


def main() -> None:
    """Be the host at the address in the arguments: the socket's path, and where to say that it listens."""
    os.chdir("/")
    path, ready = Path(sys.argv[1]), int(sys.argv[2])
    guard = Guard(path.parent)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with suppress(OSError):
        path.unlink()  # of a host that was killed: whoever started this one holds the lock and found nobody there
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(64)
    os.write(ready, b"ready")
    os.close(ready)
    sys.argv[:] = ["workbench-host"]
    Host(listener, path, guard).serve()
    os._exit(0)
