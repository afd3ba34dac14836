"""Ends what algorithms have started when the host cannot any more: a process that only waits for the host's end, and tells how."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from workbench.execution.host_address import last_signal

KEPT_S = 86400.0


class Guard:
    """A process beside the host that knows its workers, and kills their process groups when the host has vanished.

    Workers themselves end with their host. What they have started does not, and `kill -9` leaves nobody else to end it.
    Make it before anything else is open: it is this process, which keeps what it finds, and the host goes on as its child, so that
    the system tells it of the signal that ends the host.

    Parameters
    ----------
    folder : Path
        Where the signal is noted.
    """

    def __init__(self, folder: Path) -> None:
        reading, self._writing = os.pipe()
        host = os.fork()
        if host:
            os.setsid()  # not in the host's group: who kills that one does not reach this one
            os.close(self._writing)
            _watch(reading)
            _note_end(folder, host)
            os._exit(0)
        os.close(reading)

    def add(self, worker: int) -> None:
        """Know a worker by its process id, which is the one of its group."""
        self._say(f"+{worker}\n")

    def remove(self, worker: int) -> None:
        """Forget a worker that has ended, for its number may come again."""
        self._say(f"-{worker}\n")

    def _say(self, line: str) -> None:
        with suppress(OSError):  # killed itself: the host goes on without it
            os.write(self._writing, line.encode())


def _watch(reading: int) -> None:
    """Know what is told until the host ends, which closes its side; then kill what is left."""
    workers: set[int] = set()
    with os.fdopen(reading) as told:
        for line in told:
            (workers.add if line[0] == "+" else workers.discard)(int(line[1:]))
    for worker in workers:
        with suppress(OSError):
            os.killpg(worker, signal.SIGKILL)


def _note_end(folder: Path, host: int) -> None:
    """Note which signal has ended the host, for whoever settles its runs."""
    with suppress(OSError):
        _, status = os.waitpid(host, 0)
        for old in folder.glob("*.signal"):
            if time.time() - old.stat().st_mtime > KEPT_S:
                old.unlink()
        if os.WIFSIGNALED(status):
            last_signal(folder, host).write_text(str(os.WTERMSIG(status)))
