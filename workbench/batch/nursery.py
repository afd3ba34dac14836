"""A process that has imported what notebooks need, and forks a fresh child for each one that asks.

It only imports: it computes nothing and makes no thread, event loop or ZeroMQ context, since those do not survive a fork. Whoever
wants a child connects to its socket and sends an order; the child answers on that connection, and when it has ended, the nursery
says how.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import os
import select
import signal
import socket
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from workbench.execution.wire import Decoder, Message, encode, receive
from workbench.settings import enter_environment

#: What runs the cells, and kernels.
_OWN = (
    "nbformat",
    "nbformat.v4",
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.zmqshell",
    "ipykernel.debugger",
    "ipykernel.pylab.backend_inline",
    "IPython.core.completer",
    "IPython.core.completerlib",
    "IPython.core.magics",
    "IPython.core.debugger",
    "IPython.core.oinspect",
    "IPython.core.ultratb",
    "IPython.extensions.storemagic",
    "jupyter_client.localinterfaces",
    "matplotlib_inline.config",
    "comm",
    "ipywidgets",
    "workbench.batch.cells",
    "workbench.batch.memory_kernel",
    "workbench.batch.notebook_child",
)

_LOOK_S = 30.0  # so often it looks whether its folder is still there

#: Op of an order -> what the child does.
_TASKS: dict[str, tuple[str, str]] = {
    "notebook": ("workbench.batch.notebook_child", "execute"),
    "kernel": ("workbench.batch.kernel_child", "execute"),
}


def main(path: str, lock_path: str, idle_s: float, modules: Sequence[str]) -> None:
    """Be the nursery at that socket, unless there is one; end after ``idle_s`` seconds without a child."""
    lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    enter_environment({"PYDEVD_DISABLE_FILE_VALIDATION": "1"})  # it would warn of what nobody asked for
    for module in (*_OWN, *modules):
        with suppress(
            Exception
        ):  # what is missing is missed by the notebook that needs it, with its own error
            importlib.import_module(module)
    _look_ahead()
    gc.collect()
    gc.freeze()  # a collection in a child would touch, and so copy, every page
    _Nursery(Path(path), idle_s).run()


def _look_ahead() -> None:
    """Do here what is done once, and leave out of the end of every child what is only for the end of this process."""
    with suppress(Exception):
        importlib.import_module("jupyter_client.localinterfaces").localhost()
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        finalizer.atexit = False


class _Nursery:
    """The loop: connections come, children end, clients go."""

    def __init__(self, path: Path, idle_s: float) -> None:
        self._path = path
        self._idle_s = idle_s
        self._children: dict[int, socket.socket] = {}  # pid -> the line to who asked for it
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(128)
        self._listener.setblocking(False)
        self._wake, self._waker = os.pipe()
        for end in (self._wake, self._waker):
            os.set_blocking(end, False)

    def run(self) -> None:
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        idle_since = time.monotonic()
        while True:
            watched = select.poll()
            watched.register(self._listener, select.POLLIN)
            watched.register(self._wake, select.POLLIN)
            for connection in self._children.values():
                watched.register(connection, 0)  # hang-ups only: what is sent is for the child
            events = watched.poll(min(self._idle_s, _LOOK_S) * 1000)
            if self._children:
                idle_since = time.monotonic()
            elif not events and (time.monotonic() - idle_since > self._idle_s or not self._path.exists()):
                break
            ready = {descriptor for descriptor, _ in events}
            if self._wake in ready:
                with suppress(BlockingIOError):
                    os.read(self._wake, 4096)
            self._reap()
            for pid, connection in self._children.items():
                if connection.fileno() in ready:  # nobody waits for it any more
                    with suppress(ProcessLookupError):
                        os.killpg(pid, signal.SIGKILL)
            if self._listener.fileno() in ready:
                self._accept()
        self._path.unlink(missing_ok=True)

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            connection = self._children.pop(pid, None)
            if connection is not None:
                with suppress(OSError), connection:
                    connection.settimeout(1.0)
                    connection.sendall(encode({"event": "ended", "code": os.waitstatus_to_exitcode(status)}))

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        pid = os.fork()
        if pid == 0:
            self._become_child(connection)
        self._children[pid] = connection

    def _become_child(self, connection: socket.socket) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()  # what it starts ends with it
            self._listener.close()
            os.close(self._wake)
            os.close(self._waker)
            for other in self._children.values():
                other.close()
            connection.setblocking(True)
            code = follow(connection)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)


def follow(connection: socket.socket) -> int:
    """Do what the first message of a connection orders; return an exit code."""
    decoder = Decoder()
    while (messages := receive(connection, decoder)) is not None:
        if messages:
            order = messages[0]
            module, name = _TASKS[order["op"]]
            task: Callable[[socket.socket, Message], None] = getattr(importlib.import_module(module), name)
            task(connection, order)
            return 0
    return 0
