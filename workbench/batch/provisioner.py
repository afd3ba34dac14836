"""The kernel provisioner ``workbench-warm``: kernels that are ready before they are asked for.

A kernelspec names it, so JupyterLab, nbclient and papermill start such kernels as they start any other.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import sys
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_client.provisioning import LocalProvisioner

from workbench.errors import WorkbenchError
from workbench.execution.wire import Decoder, Message, encode
from workbench.settings import Settings, environment_here, load

_READY_S = 20.0
_END_S = 1.0


class ForkedKernel:
    """The part of ``Popen`` that a provisioner uses, for a kernel that is the nursery's child.

    Parameters
    ----------
    connection : socket
        The line to it; it is killed when the line is closed.
    """

    stdin = stdout = stderr = None

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._decoder = Decoder()
        self.pid = 0
        self.returncode: int | None = None

    async def ready(self) -> dict[str, Any] | None:
        """Wait until it can be connected to; return how, or None if it was told how.

        Raises
        ------
        OSError
            If it does not come.
        """
        self._connection.setblocking(False)
        while True:
            with suppress(BlockingIOError):
                for message in self._receive():
                    if message["event"] == "kernel":
                        connection: dict[str, Any] | None = message["connection"]
                        return connection
            if self.returncode is not None:
                raise ConnectionError("it has ended while it started")
            await self._something(_READY_S)

    def poll(self) -> int | None:
        """Return its exit code, or None while it lives."""
        if self.returncode is None:
            with suppress(BlockingIOError):
                self._receive()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for its end."""
        if self.poll() is None:
            select.select([self._connection], [], [], timeout)
        return self.poll()

    async def ended(self, timeout_s: float | None = None) -> bool:
        """Wait for its end without keeping others waiting; return whether it has come."""
        try:
            while self.poll() is None:
                await self._something(timeout_s)
        except TimeoutError:
            return False
        return True

    async def _something(self, timeout_s: float | None) -> None:
        """Wait until the line has something to say."""
        loop = asyncio.get_running_loop()
        came = asyncio.Event()
        loop.add_reader(self._connection, came.set)
        try:
            await asyncio.wait_for(came.wait(), timeout_s)
        finally:
            loop.remove_reader(self._connection)

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Give up the line to it."""
        self._connection.close()

    def _receive(self) -> list[Message]:
        try:
            data = self._connection.recv(4096)
        except ConnectionError:
            data = b""
        if not data:
            self.returncode = -1 if self.returncode is None else self.returncode
            return []
        messages = self._decoder.feed(data)
        for message in messages:
            if message["event"] == "hello":
                self.pid = message["pid"]
            elif message["event"] == "ended":
                self.returncode = message["code"]
        return messages


class WarmProvisioner(LocalProvisioner):  # type: ignore[misc]
    """Gives out kernels of the nursery; starts an interpreter, and says why, where that cannot be."""

    _is_again = False

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Choose sockets of the file system instead of ports."""
        manager = self.parent
        self._is_again = bool(manager is not None and manager.shell_port)
        if manager is not None and not self._is_again and manager.transport == "tcp" and _has_files():
            from workbench.execution.host_address import private_folder

            with suppress(WorkbenchError):
                folder = private_folder(_settings().host_folder)
                manager.transport = "ipc"
                manager.ip = str(folder / f"k{uuid.uuid4().hex[:8]}")
        launching: dict[str, Any] = await super().pre_launch(**kwargs)
        return launching

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Launch a kernel: a prepared one, a forked one when it is started again, else an interpreter."""
        why, forked = await self._fork(cmd, kwargs)
        if forked is None:
            self.log.warning(f"This kernel starts cold, because {why}.")
            return await super().launch_kernel(cmd, **kwargs)
        self.process: ForkedKernel | None = forked
        self.pid = self.pgid = forked.pid
        self.cwd = kwargs.get("cwd") or Path.cwd()
        return self.connection_info

    async def _fork(self, cmd: list[str], kwargs: dict[str, Any]) -> tuple[str, ForkedKernel | None]:
        manager = self.parent
        if not _has_files():
            return "this system does not fork", None
        if Path(cmd[0]).absolute() != Path(sys.executable).absolute():
            return f"it is of another environment ({cmd[0]})", None
        if kwargs.get("independent"):
            return "it is to outlive its parent", None
        own = [part for part in cmd[1:] if part.startswith("--") and not part.startswith("--HistoryManager.")]
        if own:
            return f"it has options of its own ({' '.join(own)})", None
        # not above: they need locks that not every system has
        from workbench.batch.children import connected, nursery_address, start_nursery
        from workbench.batch.nursery import kernels_path

        try:
            settings = _settings()
            environment = {
                k: v for k, v in (kwargs.get("env") or environment_here()).items() if k != "JPY_PARENT_PID"
            }
            address = nursery_address(settings, environment)
        except WorkbenchError as error:
            return str(error), None
        is_new = not self._is_again and manager is not None
        connection = connected(kernels_path(address.socket) if is_new else address.socket)
        if connection is None:
            start_nursery(settings, environment)
            return "the process that forks kernels is only starting now", None
        order = {
            "op": "kernel",
            "cwd": str(kwargs.get("cwd") or Path.cwd()),
            "environment": environment,
            "connection_file": cmd[cmd.index("-f") + 1] if "-f" in cmd else manager.connection_file,
        }
        forked = ForkedKernel(connection)
        try:
            connection.sendall(encode(order))
            info = await forked.ready()
        except OSError as error:  # TimeoutError is one
            forked.close()
            return f"forking it has failed ({error})", None
        if info is not None:
            self._connect_to(info)
        return "", forked

    def _connect_to(self, info: dict[str, Any]) -> None:
        """Let the manager, and its connection file, know the sockets of a prepared kernel."""
        manager = self.parent
        manager.load_connection_info({**info, "signature_scheme": "hmac-sha256"})
        for name, value in info.items():  # what the manager has already chosen for itself
            if name == "key":
                manager.session.key = value.encode()
            else:
                setattr(manager, name, value)
        manager._connection_file_written = False
        manager.write_connection_file()
        self.connection_info = manager.get_connection_info()

    async def wait(self) -> int | None:
        """Wait for the end of the kernel."""
        if not isinstance(self.process, ForkedKernel):
            code: int | None = await super().wait()
            return code
        await self.process.ended()
        code = self.process.returncode
        self.process.close()
        self.process = None
        return code

    async def kill(self, restart: bool = False) -> None:
        """End the kernel, and see it end: managers look only ten times a second."""
        await super().kill(restart=restart)
        await self._see_end()

    async def shutdown_requested(self, restart: bool = False) -> None:
        """See a kernel end that was asked to, if it does so soon."""
        await super().shutdown_requested(restart=restart)
        await self._see_end()

    async def _see_end(self) -> None:
        if isinstance(self.process, ForkedKernel):
            await self.process.ended(_END_S)


def _has_files() -> bool:
    return sys.platform != "win32" and hasattr(os, "fork")


def _settings() -> Settings:
    return load()[0]
