"""One process at a time gives the points of a sweep away."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from workbench.errors import ConflictError

_PAUSE_S = 0.02


class SweepLock:
    """The right to give the points of one sweep away, against other kernels and threads of this machine.

    The system lets go of it when its holder dies, however that happens. Where several machines share a store, nothing holds the
    others off.

    Parameters
    ----------
    path : Path
        A file that is there while the lock is held, with the holder's process id in it.
    sweep : str
        For messages.
    wait_s : float
        How long to wait for whoever holds it.

    Raises
    ------
    ConflictError
        If it is still held then.
    """

    def __init__(self, path: Path, sweep: str, wait_s: float) -> None:
        self._path = path
        self._descriptor = -1
        self._is_kept = False
        end = time.monotonic() + wait_s
        while not self._take():
            if time.monotonic() > end:
                holder = ""
                with suppress(OSError):
                    holder = path.read_text()
                raise ConflictError(
                    f"Sweep {sweep} is being worked on by process {holder or 'unknown'}. Follow it: "
                    f"ws.sweeps.get({sweep!r}).wait(); or end that process first, and resume then."
                )
            time.sleep(_PAUSE_S)

    def _take(self) -> bool:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            if os.name != "nt":
                import fcntl

                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # whoever held it may have deleted the file meanwhile: then this one is nobody's
            if not os.path.samestat(os.fstat(descriptor), self._path.stat()):
                raise FileNotFoundError(self._path)
        except (BlockingIOError, FileNotFoundError):
            os.close(descriptor)
            return False
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor
        return True

    def keep(self) -> None:
        """Hold it beyond the end of its ``with``."""
        self._is_kept = True

    def release(self) -> None:
        """Let go of it, if it is held."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):
                self._path.unlink()
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_kept:
            self.release()
