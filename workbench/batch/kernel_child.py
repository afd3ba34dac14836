"""A real kernel in a forked process: made ahead, and handed out once."""

from __future__ import annotations

import atexit
import os
import signal
import socket
from pathlib import Path
from typing import Any

from ipykernel.kernelapp import IPKernelApp
from traitlets.config import Config

from workbench.batch.fresh import INLINE, end_quietly, make_fresh, make_random
from workbench.batch.memory_kernel import forget_prepared
from workbench.execution.wire import Message, encode
from workbench.settings import chosen_environment, enter_environment


class WarmKernelApp(IPKernelApp):  # type: ignore[misc]
    """A kernel that is set up before anyone has asked for it; what the user's profile runs waits until then."""

    def _later(self) -> None:
        """Not before the kernel has its environment."""

    def _nothing(self, *arguments: Any) -> None:
        """There is no command line, and whoever gets the kernel writes the connection file."""

    init_extensions = init_code = _later
    parse_command_line = _nothing
    init_connection_file = write_connection_file = log_connection_info = _nothing

    def hand_over(self, order: Message) -> dict[str, Any]:
        """Become the kernel of an order; return how to connect to it."""
        _enter(order)
        shell = self.shell
        shell.init_environment()
        shell.user_ns["_dh"][:] = [Path.cwd()]
        session = chosen_environment(["JPY_SESSION_NAME"])["JPY_SESSION_NAME"]
        if session:
            shell.user_ns["__session__"] = session
        super().init_extensions()
        super().init_code()
        ports = {f"{name}_port": getattr(self, f"{name}_port") for name in _CHANNELS}
        key = self.session.key.decode()
        return {"transport": self.transport, "ip": self.ip, "key": key, **ports}


_CHANNELS = ("shell", "iopub", "stdin", "control", "hb")


def prepare(prefix: str, *, ahead: bool) -> WarmKernelApp:
    """Return a kernel with sockets at paths that begin so; ``ahead`` if nobody waits for it yet."""
    _quiet_signals()
    forget_prepared()
    app: WarmKernelApp = WarmKernelApp.instance(transport="ipc", ip=prefix)
    app.update_config(
        Config({"HistoryManager": {"enabled": False}})
    )  # its file is for people who type in a terminal
    app.initialize([])
    if ahead:  # what the first cell would have to make
        for extension in app.default_extensions:
            app.shell.extension_manager.load_extension(extension)
        app.shell.run_cell("None", silent=True)
    make_random()
    return app


def serve_prepared(app: WarmKernelApp, connection: socket.socket, order: Message) -> None:
    """Be the kernel of whoever has sent the order."""
    info = app.hand_over(order)
    connection.sendall(encode({"event": "hello", "pid": os.getpid()}))
    connection.sendall(encode({"event": "kernel", "connection": info}))
    _run(app)


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
