"""Fresh processes for notebooks: forked by the nursery where it is warm, else started while it warms."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.batch.learned import expect, path_in
from workbench.errors import WorkbenchError
from workbench.execution.host_address import HostAddress, private_folder
from workbench.execution.wire import Decoder, Message, encode
from workbench.settings import Settings, environment_here, load
from workbench.version import __version__

if TYPE_CHECKING:
    from nbformat import NotebookNode

# Last in the path, since notebooks see it too: it is needed only where we are not installed.
# The empty path of an interpreter that runs a text goes: a folder's random.py shall not hide Python's.
_FIND = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; "
    "{ours!r} in sys.path or sys.path.append({ours!r})".format(ours=str(Path(__file__).parents[2]))
)
# The child of the started process is the nursery: an orphan of nobody's.
_NURSERY = "import os; os.fork() and os._exit(0); {find}; from workbench.batch.nursery import main; main(*{arguments})"
_COLD = "{find}; from workbench.batch.notebook_child import main; main({descriptor})"
_ENDED_S = 5.0
#: What an interpreter and its libraries read only once, so that a forked child could not have it otherwise.
_READ_ONCE = re.compile(
    r"PYTHON.*|LANG|LC_.*|TZ|LD_LIBRARY_PATH|LD_PRELOAD|VIRTUAL_ENV|IPYTHONDIR|MPLCONFIGDIR|MATPLOTLIBRC|HDF5_.*"
    r"|(OMP|OPENBLAS|MKL|NUMEXPR|VECLIB)_.*THREADS"
)


class Child:
    """A process that works on one order.

    Parameters
    ----------
    connection : socket
        The line to it.
    cold : subprocess.Popen, optional
        The process, where it is an interpreter of its own; else the nursery says how it ended.
    """

    def __init__(self, connection: socket.socket, cold: subprocess.Popen[bytes] | None = None) -> None:
        self.connection = connection
        self.is_warm = cold is None
        self.pid = None if cold is None else cold.pid
        #: Exit code, negative for a signal; None while it lives, or where it is not known.
        self.code: int | None = None
        self._cold = cold

    def events(self, timeout_s: float | None = None) -> Iterator[Message]:
        """Give its messages until it has ended.

        Raises
        ------
        TimeoutError
            If nothing comes for so long. Ask again, or kill it.
        """
        decoder = Decoder()
        self.connection.settimeout(timeout_s)
        while True:
            try:
                data = self.connection.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                break
            for message in decoder.feed(data):
                if message["event"] == "hello":
                    self.pid = message["pid"]
                elif message["event"] == "ended":
                    self.code = message["code"]
                    return
                else:
                    yield message
        if self._cold is not None:
            with suppress(subprocess.TimeoutExpired):
                self.code = self._cold.wait(_ENDED_S)

    def interrupt(self) -> None:
        """Interrupt the cell that runs."""
        if self.pid is not None and self.code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGINT)

    def close(self) -> None:
        """End it now if it still lives, with all that it has started."""
        if self._cold is not None and self._cold.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._cold.pid, signal.SIGKILL)
            self._cold.wait()
        self.connection.close()  # the nursery kills a child that nobody waits for

    def why_ended(self) -> str:
        """Return how it ended, in words."""
        if self.code is None:
            return "has ended"
        if self.code >= 0:
            return f"ended itself with exit code {self.code}"
        try:
            name = signal.Signals(-self.code).name
        except ValueError:
            name = "unknown signal"
        crashed = ": compiled code has crashed" if -self.code in (signal.SIGSEGV, signal.SIGBUS) else ""
        return f"was killed by signal {-self.code} ({name}){crashed}"


def fresh_child(order: Message, body: bytes = b"", settings: Settings | None = None) -> Child:
    """Return a fresh process that has begun with an order.

    Parameters
    ----------
    order : dict
        What ``notebook_child.serve`` takes.
    body : bytes
        The notebook's JSON.
    settings : Settings, optional
        Where the nursery is and what it imports; default: those in force here.
    """
    settings = settings or load()[0]
    address = nursery_address(settings)
    connection = connected(address.socket)
    cold = None
    if connection is None:
        start_nursery(settings)
        connection, cold = _cold_child()
    try:
        connection.settimeout(None)
        learned = path_in(address.folder)
        connection.sendall(encode({"op": "notebook", "learned": str(learned), **order}, body))
    except OSError:  # it ends just now, as the events will tell
        pass
    return Child(connection, cold)


class NurseryAddress(HostAddress):
    """The files of one nursery, beside those of the run hosts."""

    @property
    def socket(self) -> Path:
        return self.folder / f"{self.name}.nursery"

    @property
    def lock(self) -> Path:
        """Locked by the nursery while it lives; it has its process id."""
        return self.folder / f"{self.name}.lock"


@lru_cache(maxsize=8)
def _address(folder: str | None, identity: str) -> NurseryAddress:
    from blake3 import blake3

    return NurseryAddress(private_folder(folder), blake3(identity.encode()).hexdigest()[:16])


def nursery_address(settings: Settings, environment: Mapping[str, str] | None = None) -> NurseryAddress:
    """Return where the nursery of this user, interpreter and list of modules is, whether it runs or not.

    Parameters
    ----------
    settings : Settings
    environment : mapping, optional
        Variables that its children will have; default: those of this process.
    """
    variables = sorted((environment_here() if environment is None else environment).items())
    once = [f"{name}={value}" for name, value in variables if _READ_ONCE.fullmatch(name)]
    ours = str(
        Path(__file__).parent
    )  # and which version is there: another one's modules do not fit those in memory
    identity = "\0".join([sys.prefix, sys.executable, ours, __version__, *settings.notebook_preload, *once])
    return _address(settings.host_folder, identity)


def expect_imports(notebook: NotebookNode, settings: Settings) -> None:
    """Let what starts now, a nursery or a run host, import beforehand what a notebook will."""
    with suppress(WorkbenchError, OSError):
        expect(path_in(private_folder(settings.host_folder)), notebook)


def start_nursery(settings: Settings, environment: Mapping[str, str] | None = None) -> None:
    """Start the nursery without waiting for it, unless it is there or coming."""
    address = nursery_address(settings, environment)
    lock = os.open(address.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    finally:
        os.close(lock)
    arguments = (str(address.socket), str(address.lock), settings.host_idle_s, settings.notebook_preload)
    with address.log.open("ab") as log:
        subprocess.run(
            [sys.executable, "-c", _NURSERY.format(find=_FIND, arguments=arguments)],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=False,
        )


def stop_nursery(settings: Settings) -> None:
    """End the nursery, if it runs; its children go on."""
    address = nursery_address(settings)
    with suppress(OSError, ValueError):
        if is_warm(settings):
            os.kill(int(address.lock.read_text()), signal.SIGTERM)
        address.socket.unlink()


def is_warm(settings: Settings) -> bool:
    """Return whether children are forked now."""
    connection = connected(nursery_address(settings).socket)
    if connection is None:
        return False
    connection.close()
    return True


def connected(path: Path) -> socket.socket | None:
    """Return a connection to a socket of the file system, or None if nobody listens there."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        return None
    return connection


def _cold_child() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    ours, theirs = socket.socketpair()
    with theirs:
        descriptor = theirs.fileno()
        options: dict[str, Any] = {"pass_fds": [descriptor], "start_new_session": True}
        process = subprocess.Popen(
            [sys.executable, "-c", _COLD.format(find=_FIND, descriptor=descriptor)],
            stdin=subprocess.DEVNULL,
            **options,
        )
    return ours, process
