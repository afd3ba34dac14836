"""A real kernel in a forked process: made ahead, and handed out once."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from ipykernel import ipkernel
from ipykernel.kernelapp import IPKernelApp
from traitlets.config import Config

from workbench.batch.fresh import INLINE, end_quietly, make_fresh, make_random
from workbench.batch.memory_kernel import MemoryKernelApp, forget_prepared, give_prepared
from workbench.execution.wire import Message, encode
from workbench.settings import chosen_environment, enter_environment


class WarmKernelApp(IPKernelApp):  # type: ignore[misc]
    """A kernel that is set up before anyone has asked for it; what the user's profile runs waits until then."""

    #: whose shell and configuration this one takes, as it was made before the fork
    _made_before: MemoryKernelApp | None = None

    #: the line to whoever waits for this one
    _waits: socket.socket | None = None

    def _later(self) -> None:
        """Not before the kernel has its environment."""

    def _nothing(self, *arguments: Any) -> None:
        """There is no command line, and whoever gets the kernel writes the connection file."""

    init_extensions = init_code = _later
    parse_command_line = _nothing
    init_connection_file = log_connection_info = _nothing

    def write_connection_file(self, **kwargs: Any) -> None:
        """Tell who waits that it may connect: its sockets are there, and what it sends is kept until the rest is."""
        if self._waits is not None:
            ports = {f"{name}_port": getattr(self, f"{name}_port") for name in _CHANNELS}
            key = self.session.key.decode()
            info = {"transport": self.transport, "ip": self.ip, "key": key, **ports}
            self._waits.sendall(encode({"event": "hello", "pid": os.getpid()}))
            self._waits.sendall(encode({"event": "kernel", "connection": info}))

    def _configure_logging(self) -> None:
        if self._made_before is None:
            super()._configure_logging()

    def init_profile_dir(self) -> None:
        if self._made_before is None:
            super().init_profile_dir()
        else:
            self.profile_dir = self._made_before.profile_dir
            self.config_file_paths = self._made_before.config_file_paths

    def init_config_files(self) -> None:
        if self._made_before is None:
            super().init_config_files()

    def load_config_file(self, suppress_errors: bool | None = None) -> None:
        if self._made_before is None:
            super().load_config_file(suppress_errors)
        else:
            self.config = self._made_before.config_as_read

    def init_kernel(self) -> None:
        before = self._made_before
        if before is None:
            super().init_kernel()
            return
        with _no_modules():
            super().init_kernel()  # takes the shell that is there already
        kernel, shell = self.kernel, self.kernel.shell
        kernel._kernel_modules = before.kernel._kernel_modules
        if hasattr(kernel, "debugger"):
            kernel.debugger.kernel_modules = kernel._kernel_modules
        shell.parent = shell.kernel = kernel
        shell.configurables.remove(before)
        shell.save_sys_module_state()

    def begin(self) -> None:
        """Do what needs the folder and the environment of whoever has it."""
        shell = self.shell
        shell.init_environment()
        shell.user_ns["_dh"][:] = [Path.cwd()]
        session = chosen_environment(["JPY_SESSION_NAME"])["JPY_SESSION_NAME"]
        if session:
            shell.user_ns["__session__"] = session
        super().init_extensions()
        super().init_code()


@contextmanager
def _no_modules() -> Iterator[None]:
    """Hide the modules from a kernel's constructor: it looks at each for its debugger, and a look copies the page it lies on.

    With torch that took 14 ms of 48. The list is there from before the fork.
    """
    ipkernel.sys = _SysWithoutModules()
    try:
        yield
    finally:
        ipkernel.sys = sys


class _SysWithoutModules:
    modules: ClassVar[dict[str, Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


_CHANNELS = ("shell", "iopub", "stdin", "control", "hb")


def prepare(prefix: str) -> WarmKernelApp:
    """Return a kernel that nobody waits for yet, with sockets at paths that begin so."""
    app = _made(prefix, None)
    # what the first cell would have to make
    for extension in app.default_extensions:
        app.shell.extension_manager.load_extension(extension)
    app.shell.run_cell("None", silent=True)
    make_random()
    return app


def serve_prepared(app: WarmKernelApp, connection: socket.socket, order: Message) -> None:
    """Be the kernel of whoever has sent the order."""
    _enter(order)
    app.begin()
    app._waits = connection
    app.write_connection_file()
    _run(app)


def serve_now(prefix: str, connection: socket.socket, order: Message) -> None:
    """Be the kernel of whoever has sent the order and waits."""
    _enter(order)
    make_random()
    app = _made(prefix, connection)
    app.begin()
    _run(app)


def _made(prefix: str, waits: socket.socket | None) -> WarmKernelApp:
    _quiet_signals()
    before = give_prepared()
    WarmKernelApp._made_before, WarmKernelApp._waits = before, waits
    app: WarmKernelApp = WarmKernelApp.instance(
        transport="ipc", ip=prefix, **({} if before is None else {"log": before.log})
    )
    app.update_config(
        Config({"HistoryManager": {"enabled": False}})
    )  # its file is for people who type in a terminal
    app.initialize([])
    return app


def execute(connection: socket.socket, order: Message) -> None:
    """Be a kernel with the connection file of an order, as one that is started again has to be."""
    _quiet_signals()
    forget_prepared()
    _enter(order)
    make_random()
    connection.sendall(encode({"event": "hello", "pid": os.getpid()}))
    app = IPKernelApp.instance()
    app.initialize(["-f", order["connection_file"], "--HistoryManager.enabled=False"])
    connection.sendall(encode({"event": "kernel", "connection": None}))
    _run(app)


def _enter(order: Message) -> None:
    make_fresh(order["cwd"], order["environment"])
    if not chosen_environment(["MPLBACKEND"])["MPLBACKEND"]:
        enter_environment({"MPLBACKEND": INLINE})


def _quiet_signals() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # until a cell runs, as in every kernel


def _run(app: Any) -> None:
    app.start()
    # closing every socket in its order takes longer than all the rest, and the end of the process closes them too
    atexit.unregister(app.close)
    end_quietly(app.shell)
