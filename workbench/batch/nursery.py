"""A process that has imported what notebooks need, and forks a fresh child for each one that asks.

It only imports, and makes the shell that each child begins with: it computes nothing and makes no thread, event loop or ZeroMQ
context, since those do not survive a fork. Whoever wants a child connects to its socket and sends an order; the child answers on
that connection, and when it has ended, the nursery says how.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from workbench.batch import learned
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
    "faulthandler",
    "ipywidgets",
    "tornado.platform.asyncio",
    "workbench.batch.cells",
    "workbench.batch.kernel_child",
    "workbench.batch.memory_kernel",
    "workbench.batch.notebook_child",
)

_SPARE_AFTER_S = 0.2  # a kernel that was handed out has the processor first
_LEARN_AFTER_S = 0.3  # whoever waits for the notebook that has ended has the processor first
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
    with suppress(Exception):
        importlib.import_module("workbench.batch.memory_kernel").prepare_kernel()
    with suppress(Exception):
        importlib.import_module("workbench.batch.fresh").choose_backend()
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        finalizer.atexit = False


class _Nursery:
    """The loop: connections come, children end, clients go.

    There are two sockets: at one, each connection gets a child that reads its order; at the other, a kernel that was set up ahead.
    """

    def __init__(self, path: Path, idle_s: float) -> None:
        self._path = path
        self._idle_s = idle_s
        self._children: dict[int, socket.socket] = {}  # pid -> the line to who asked for it
        self._spare: tuple[int, socket.socket] | None = (
            None  # a kernel that nobody has yet, and the line to it
        )
        self._spare_of: object = None  # the user's configuration that it has read
        self._spare_due: float | None = None
        self._to_learn = learned.read(learned.path_in(path.parent))
        self._learned = set(self._to_learn)
        self._learn_due: float | None = time.monotonic() if self._to_learn else None
        self._probe: tuple[int, str] | None = None  # a child that tries an import, and of what
        _sweep(path.parent)
        self._listener = _listening(path)
        self._kernels = _listening(kernels_path(path))
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
            for source in (self._listener, self._kernels, self._wake):
                watched.register(source, select.POLLIN)
            for connection in self._children.values():
                watched.register(connection, 0)  # hang-ups only: what is sent is for the child
            timeout = min(self._idle_s, _LOOK_S)
            for due in (self._spare_due, self._learn_due):
                if due is not None:
                    timeout = max(0.0, min(timeout, due - time.monotonic()))
            events = watched.poll(timeout * 1000)
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
            if self._kernels.fileno() in ready:
                self._accept_kernel()
            if self._spare_due is not None and time.monotonic() >= self._spare_due:
                self._spare_due = None
                self._make_spare()
            if self._learn_due is not None and time.monotonic() >= self._learn_due:
                self._learn_due = None
                self._learn()
        self._path.unlink(missing_ok=True)
        kernels_path(self._path).unlink(missing_ok=True)
        if self._spare is not None:
            os.killpg(self._spare[0], signal.SIGKILL)

    def _reap(self) -> None:
        while self._children or self._spare is not None or self._probe is not None:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for left in self._path.parent.glob(f"k{pid}-*"):  # a killed kernel's sockets
                left.unlink(missing_ok=True)
            if self._spare is not None and pid == self._spare[0]:
                self._spare[1].close()
                self._spare = None
            if self._probe is not None and pid == self._probe[0]:
                self._take_up(self._probe[1], is_safe=status == 0)
            connection = self._children.pop(pid, None)
            if connection is not None and self._learn_due is None:
                self._learn_due = time.monotonic() + _LEARN_AFTER_S
            if connection is not None:
                with suppress(OSError), connection:
                    connection.settimeout(1.0)
                    connection.sendall(encode({"event": "ended", "code": os.waitstatus_to_exitcode(status)}))

    def _learn(self) -> None:
        """Let a child try what notebooks have imported and is not here yet, one module after the other."""
        if self._probe is not None:
            return  # its end comes here again
        for name in learned.read(learned.path_in(self._path.parent)):
            if name not in self._learned:
                self._learned.add(name)
                self._to_learn.append(name)
        while self._to_learn:
            name = self._to_learn.pop(0)
            if name in sys.modules:
                continue
            pid = os.fork()
            if pid == 0:
                self._become(partial(learned.probe, name))
            self._probe = (pid, name)
            return

    def _take_up(self, name: str, *, is_safe: bool) -> None:
        """Import what a child could import, for all children to come."""
        self._probe = None
        if is_safe:
            with suppress(Exception):
                importlib.import_module(name)
            gc.collect()
            gc.freeze()
        self._learn_due = time.monotonic() + _LEARN_AFTER_S

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        pid = os.fork()
        if pid == 0:
            self._become(lambda: follow(connection))
        self._children[pid] = connection

    def _accept_kernel(self) -> None:
        try:
            connection, _ = self._kernels.accept()
        except BlockingIOError:
            return
        self._spare_due = time.monotonic() + _SPARE_AFTER_S
        if self._spare is not None:
            pid, line = self._spare
            self._spare = None
            try:
                if self._spare_of != _configuration():
                    os.killpg(pid, signal.SIGKILL)
                    raise ProcessLookupError
                with line:
                    socket.send_fds(line, [b"k"], [connection.fileno()])
                self._children[pid] = connection
                return
            except OSError:  # it has just died, or its user's configuration has changed
                pass
        pid = os.fork()
        if pid == 0:
            self._become(lambda: self._kernel(connection))
        self._children[pid] = connection

    def _make_spare(self) -> None:
        self._spare_of = _configuration()
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._become(lambda: self._kernel_ahead(theirs))
        theirs.close()
        self._spare = (pid, ours)

    def _kernel(self, connection: socket.socket) -> int:
        """Be a kernel for whoever waits at the other end."""
        from workbench.batch import kernel_child

        order = _first(connection)
        if order is not None:
            kernel_child.serve_now(self._sockets(), connection, order)
        return 0

    def _kernel_ahead(self, line: socket.socket) -> int:
        """Be a kernel for whoever will be handed over."""
        from workbench.batch import kernel_child

        app = kernel_child.prepare(self._sockets())
        connection = _handed(line)
        order = _first(connection) if connection is not None else None
        if connection is not None and order is not None:
            kernel_child.serve_prepared(app, connection, order)
        return 0

    def _sockets(self) -> str:
        return str(self._path.parent / f"k{os.getpid()}")

    def _become(self, work: Callable[[], int]) -> NoReturn:
        """Be a child."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()  # what it starts ends with it
            self._listener.close()
            self._kernels.close()
            os.close(self._wake)
            os.close(self._waker)
            for other in self._children.values():
                other.close()
            if self._spare is not None:
                self._spare[1].close()
            code = work()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)


def kernels_path(path: Path) -> Path:
    """Return the socket at which kernels are handed out."""
    return path.with_suffix(".kernels")


def _configuration() -> object:
    from workbench.batch.memory_kernel import configuration

    return configuration()


def _listening(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(128)
    listener.setblocking(False)
    return listener


def _sweep(folder: Path) -> None:
    """Remove the sockets of kernels that have ended after their nursery."""
    for left in folder.glob("k*-*"):
        pid = left.name[1:].partition("-")[0]
        if pid.isdecimal() and len(pid) < 8:  # eight are the name of a kernel that was not forked
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                left.unlink(missing_ok=True)
            except PermissionError:  # somebody else's by now
                pass


def _handed(line: socket.socket) -> socket.socket | None:
    """Wait until a connection is handed over; None if the nursery is gone."""
    with line:
        _, descriptors, _, _ = socket.recv_fds(line, 1, 1)
    return socket.socket(fileno=descriptors[0]) if descriptors else None


def _first(connection: socket.socket) -> Message | None:
    decoder = Decoder()
    connection.setblocking(True)
    while (messages := receive(connection, decoder)) is not None:
        if messages:
            return messages[0]
    return None


def follow(connection: socket.socket) -> int:
    """Do what the first message of a connection orders; return an exit code."""
    order = _first(connection)
    if order is not None:
        module, name = _TASKS[order["op"]]
        task: Callable[[socket.socket, Message], None] = getattr(importlib.import_module(module), name)
        task(connection, order)
    return 0
