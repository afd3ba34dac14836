"""An IPython kernel without sockets: what it would publish is handed to a function.

Everything else is ipykernel's own: its application reads the profile and sets up matplotlib, its shell formats displays and
errors.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
import uuid
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from IPython.core.application import ENV_CONFIG_DIRS, SYSTEM_CONFIG_DIRS
from IPython.paths import get_ipython_dir
from jupyter_client.session import Session
from traitlets import Any as AnyTrait
from traitlets import default

from workbench.settings import chosen_environment


class NeedsKernelError(BaseException):
    """The cell does what only a kernel with a client can; not for the ``except Exception`` of a cell."""


class MemorySession(Session):  # type: ignore[misc]
    """Hands messages over instead of sending them."""

    deliver: Callable[[dict[str, Any]], None]

    def send(
        self,
        stream: Any,
        msg_or_type: Any,
        content: Any = None,
        parent: Any = None,
        ident: Any = None,
        buffers: Any = None,
        track: bool = False,
        header: Any = None,
        metadata: Any = None,
    ) -> dict[str, Any] | None:
        if os.getpid() != self.pid:  # a process that the cell forked has no place to show anything
            return None
        message: dict[str, Any] = msg_or_type
        if not isinstance(msg_or_type, dict):
            message = self.msg(msg_or_type, content=content, parent=parent, header=header, metadata=metadata)
        self.deliver(message)
        return message


class MemoryKernel(IPythonKernel):  # type: ignore[misc]
    """The kernel; its shell is a kernel's shell."""

    shell_stream = AnyTrait()
    io_loop: Any

    #: Why a real kernel must run the notebook.
    needed = ""

    def raw_input(self, prompt: str = "") -> str:
        self.need("a cell asks for input()")

    def getpass(self, prompt: str = "", stream: Any = None, **options: Any) -> str:
        self.need("a cell asks for a password")

    def need(self, why: str) -> NoReturn:
        """Stop the cell."""
        self.needed = self.needed or why
        raise NeedsKernelError(why)

    def _abort_queues(self, subshell_id: Any = None) -> None:
        """Nothing is queued."""

    async def run(self, code: str) -> dict[str, Any]:
        """Run the code of a cell and return the content of the reply."""
        parent = self.session.msg(
            "execute_request",
            {
                "code": code,
                "silent": False,
                "store_history": True,
                "user_expressions": {},
                "allow_stdin": False,
            },
        )
        self.replied: dict[str, Any] = {}
        self.set_parent([], parent)
        await self.execute_request(None, [], parent)
        return self.replied


class MemoryKernelApp(IPKernelApp):  # type: ignore[misc]
    """Sets the kernel up as a kernel process does, apart from all that needs a client.

    In two steps, for the first one takes most of the time and can be done before a fork: `initialize` makes the shell, and `begin`
    does what belongs to a process, its environment and its user.
    """

    kernel_class = MemoryKernel
    outstream_class = "workbench.batch.streams.CellStream"
    _deliver: Callable[[dict[str, Any]], None]
    config_as_read: Any

    @default("session")  # type: ignore[untyped-decorator]
    def _own_session(self) -> MemorySession:
        session = MemorySession(parent=self)
        session.deliver = self._take
        return session

    def _take(self, message: dict[str, Any]) -> None:
        kind = message["header"]["msg_type"]
        kernel = getattr(self, "kernel", None)
        if kind == "execute_reply" and kernel is not None:
            kernel.replied = message["content"]
        elif kind == "comm_open" and kernel is not None:
            kernel.need("a cell opens a comm, as widgets do")
        else:
            self._deliver(message)

    def _nothing(self, *arguments: Any) -> None:
        """There are no sockets, no connection file and no parent to watch."""

    parse_command_line = _nothing  # there is none, and looking takes longer than a cell
    init_connection_file = init_poller = init_sockets = init_heartbeat = _nothing
    write_connection_file = log_connection_info = init_signal = init_crash_handler = _nothing

    def _later(self) -> None:
        """Not before `begin`."""

    init_io = init_path = init_gui_pylab = init_extensions = init_code = _later

    def init_kernel(self) -> None:
        import ipykernel.debugger as debugger

        self.config_as_read = deepcopy(self.config)  # the shell adds to it what is no option
        is_there = debugger._is_debugpy_available
        debugger._is_debugpy_available = False  # nobody could attach to this one
        try:
            self.kernel = self.kernel_class.instance(
                parent=self,
                session=self.session,
                iopub_socket=SimpleNamespace(),
                shell_channel_thread=SimpleNamespace(parent_thread=threading.main_thread()),
                log=self.log,
                profile_dir=self.profile_dir,
                user_ns=self.user_ns,
            )
        finally:
            debugger._is_debugpy_available = is_there  # for a real kernel that is forked from here

    def begin(self, deliver: Callable[[dict[str, Any]], None]) -> None:
        """Belong to this process; to be called in a running event loop."""
        self._deliver = deliver
        self.session.pid = os.getpid()
        self.session.session = uuid.uuid4().hex
        # exit() would stop the loop under the notebook; whoever runs the cells asks the shell instead
        self.kernel.io_loop = SimpleNamespace(
            add_callback=asyncio.get_running_loop().call_soon_threadsafe,
            call_later=self._nothing,
            stop=self._nothing,
        )
        super().init_io()
        self.displayhook.get_execution_count = lambda: self.kernel.execution_count
        shell = self.shell
        shell.save_sys_module_state()
        shell.init_environment()
        shell.user_ns["_dh"][:] = [Path.cwd()]
        session = chosen_environment(["JPY_SESSION_NAME"])["JPY_SESSION_NAME"]
        if session:
            shell.user_ns["__session__"] = session
        super().init_path()
        if (
            "" not in sys.path and not self.ignore_cwd
        ):  # the run host, whose child this may be, does not look beside itself
            installed = (i for i, path in enumerate(sys.path) if path.endswith("-packages"))
            sys.path.insert(next(installed, 0), "")  # after the standard library, as IPython does
        super().init_gui_pylab()
        super().init_extensions()
        super().init_code()
        sys.stdout.flush()
        sys.stderr.flush()


def start_kernel(deliver: Callable[[dict[str, Any]], None]) -> MemoryKernel:
    """Make the kernel of this process; to be called in a running event loop, once.

    Parameters
    ----------
    deliver : callable
        Gets each message that a kernel would publish.
    """
    if _prepared and _prepared[0][1] != configuration():
        forget_prepared()
    app = _prepared[0][0] if _prepared else _made()
    app.begin(deliver)
    kernel: MemoryKernel = app.kernel
    return kernel


#: A kernel that processes forked from this one begin with, and what it was made in.
_prepared: list[tuple[MemoryKernelApp, object]] = []


def prepare_kernel() -> None:
    """Make the kernel that processes forked from this one begin with."""
    app = _made()
    for extension in app.default_extensions:
        app.shell.extension_manager.load_extension(extension)
    app.shell.display_formatter.format(
        app.shell.transform_cell("0")
    )  # makes what the first cell would have to
    app.shell.run_cell("None", silent=True)
    _prepared[:] = [(app, configuration())]
    if threading.active_count() > 1:  # a thread would be missing in them
        forget_prepared()


def forget_prepared() -> None:
    """Let this process have no kernel, so that it can make another one."""
    while _prepared:
        app, _ = _prepared.pop()
        atexit.unregister(app.shell.atexit_operations)
        for made in (app.shell, app.kernel, app):
            made.clear_instance()


def give_prepared() -> MemoryKernelApp | None:
    """Leave the shell that was made before the fork, if it is still right, to another kernel of this process."""
    if _prepared and _prepared[0][1] != configuration():
        forget_prepared()
    if not _prepared:
        return None
    app, _ = _prepared.pop()
    for made in (app.kernel, app):
        made.clear_instance()
    return app


def _made() -> MemoryKernelApp:
    from traitlets.config import Config

    app: MemoryKernelApp = MemoryKernelApp.instance()
    app.update_config(Config({"HistoryManager": {"enabled": False}}))  # its file is for people who type
    app.initialize([])
    return app


def configuration() -> object:
    """Return what the first step of a kernel reads: its user's configuration, and the virtual environment."""
    folder = Path(get_ipython_dir()) / "profile_default"
    places = [folder, Path(get_ipython_dir()), *map(Path, (*ENV_CONFIG_DIRS, *SYSTEM_CONFIG_DIRS))]
    files = [path for place in places for path in _configs(place)]
    return chosen_environment(["VIRTUAL_ENV"]), folder, [(path, path.stat().st_mtime_ns) for path in files]


def _configs(folder: Path) -> list[Path]:
    try:
        return sorted(folder / name for name in os.listdir(folder) if "config" in name)  # noqa: PTH208 - half the time
    except OSError:
        return []
