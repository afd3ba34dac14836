"""What subprocesses and compiled code write to the standard streams of a worker, past Python: it belongs to the run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MOST_BYTES = 1 << 20  # of one run


class RawOutput:
    """A file that stands for standard output and error while a run goes on.

    A file and no pipe: nobody need read it while the run goes on, and it is still there when the process has crashed.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        self._former = (os.dup(1), os.dup(2))

    def fileno(self) -> int:
        """Return the descriptor of the file."""
        return self._file

    @contextmanager
    def of_run(self) -> Iterator[None]:
        """Take what is written meanwhile."""
        if os.fstat(self._file).st_size:
            os.ftruncate(self._file, 0)
        os.dup2(self._file, 1)
        os.dup2(self._file, 2)
        try:
            yield
        finally:
            os.dup2(self._former[0], 1)
            os.dup2(self._former[1], 2)

    def lines(self) -> list[str]:
        """Return what has been written in this run."""
        size = os.fstat(self._file).st_size
        if not size:
            return []
        return _lines(os.pread(self._file, MOST_BYTES, max(0, size - MOST_BYTES)))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)
        with suppress(OSError):
            self._path.unlink()


def raw_path(folder: Path, pid: int) -> Path:
    """Return the file of a worker."""
    return folder / f"worker-{pid}.out"


def last_words(path: Path) -> list[str]:
    """Return what a worker that has ended had written in its last run, and take the file away."""
    try:
        data = path.read_bytes()[-MOST_BYTES:]
        path.unlink()
    except OSError:
        return []
    return _lines(data)


def _lines(data: bytes) -> list[str]:
    text = data.decode("utf-8", "replace")
    return [line.rsplit("\r", 1)[-1] for line in text.splitlines() if line.strip()]
