"""Run hosts of tests: all those in a folder are ended, whatever they are doing."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

import psutil

from workbench.execution.wire import Decoder, Message, encode, receive


def ask(path: Path, message: Message) -> Message | None:
    """Ask the host at a socket; None if there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, suppress(OSError):
        connection.settimeout(10.0)
        connection.connect(str(path))
        connection.sendall(encode({"ask": 1, **message}))
        decoder = Decoder()
        while (messages := receive(connection, decoder)) is not None:
            if messages:
                return messages[0]
    return None


def processes(pid: int) -> list[psutil.Process]:
    """Return a process and everything below it."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def stop_hosts(folder: Path) -> None:
    """End all hosts whose sockets are in a folder, with their workers."""
    everyone: list[psutil.Process] = []
    for path in folder.glob("*.sock"):
        status = ask(path, {"op": "status"})
        if status is not None:
            everyone += processes(status["pid"])
            ask(path, {"op": "stop", "force": True})
    _, alive = psutil.wait_procs(everyone, timeout=10.0)
    for process in alive:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
