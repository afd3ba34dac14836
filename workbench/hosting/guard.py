"""Ends what algorithms have started when the host cannot any more: a process that only waits for the host's end."""

from __future__ import annotations

import os
import signal
from contextlib import suppress


class Guard:
    """A process beside the host that knows its workers, and kills their process groups when the host has vanished.

    Workers themselves end with their host. What they have started does not, and `kill -9` leaves nobody else to end it.
    Make it before anything else is open: it is a fork of this process and keeps what it finds.
    """

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        if os.fork() == 0:
            os.setsid()  # not in the host's group: who kills that one does not reach this one
            os.close(self._writing)
            _watch(reading)
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
