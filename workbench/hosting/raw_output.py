"""What subprocesses and compiled code write to the standard streams of a worker, past Python: it belongs to the run."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

MOST_BYTES = 1 << 20  # of one run


class RawOutput:
    """A file that stands for standard output and error while a run goes on.

    A file and no pipe: nobody need read it in time, and it is still there when the process has crashed. How much of it lies in the
    run's log already stands in a second file.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        self._mark = os.open(_mark_of(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._taken = 0
        self._lock = threading.Lock()
        self._is_taken_from = False
        self._former = (os.dup(1), os.dup(2))

    def fileno(self) -> int:
        """Return the descriptor of the file."""
        return self._file

    def of_run(self) -> AbstractContextManager[None]:
        """Take what is written meanwhile."""
        return _OfRun(self)

    def begin(self) -> None:
        """Be the standard streams, empty."""
        if os.fstat(self._file).st_size:
            os.ftruncate(self._file, 0)
        self._take_to(0)
        os.dup2(self._file, 1)
        os.dup2(self._file, 2)
        self._is_taken_from = True

    def end(self) -> None:
        """Be them no more."""
        self._is_taken_from = False
        os.dup2(self._former[0], 1)
        os.dup2(self._former[1], 2)

    def take(self, use: Callable[[str], None], *, all_of_it: bool) -> None:
        """Pass on the lines that have been written in this run since the last time; without ``all_of_it`` whole ones, and not too many."""
        with self._lock:
            size = os.fstat(self._file).st_size
            if not self._is_taken_from or size <= self._taken or not (all_of_it or size <= MOST_BYTES):
                return
            data = os.pread(self._file, MOST_BYTES, max(self._taken, size - MOST_BYTES))
            if not all_of_it:
                data = data[: data.rfind(b"\n") + 1]
                size = self._taken + len(data)
            for line in _lines(data):
                use(line)
            self._take_to(size)

    def _take_to(self, size: int) -> None:
        if size != self._taken:
            self._taken = size
            with suppress(
                OSError
            ):  # on a full disk a crash has lines in the log twice, and nothing else suffers
                os.pwrite(self._mark, b"%20d" % size, 0)

    def close(self) -> None:
        """Let go of the file."""
        for descriptor in (self._file, self._mark):
            os.close(descriptor)
        for path in (self._path, _mark_of(self._path)):
            path.unlink(missing_ok=True)


class _OfRun:
    def __init__(self, raw: RawOutput) -> None:
        self._raw = raw

    def __enter__(self) -> None:
        self._raw.begin()

    def __exit__(self, *args: object) -> None:
        self._raw.end()


def raw_path(folder: Path, pid: int) -> Path:
    """Return the file of a worker."""
    return folder / f"worker-{pid}.out"


def last_words(path: Path) -> list[str]:
    """Return what a worker that has ended had written in its last run and is not in the log, and take the file away."""
    mark, taken = _mark_of(path), 0
    with suppress(OSError, ValueError):
        taken = int(mark.read_bytes() or b"0")
    try:
        data = path.read_bytes()[taken:][-MOST_BYTES:]
        path.unlink()
        mark.unlink(missing_ok=True)
    except OSError:
        return []
    return _lines(data)


def _mark_of(path: Path) -> Path:
    return path.with_suffix(".taken")


def _lines(data: bytes) -> list[str]:
    text = data.decode("utf-8", "replace")
    return [line.rsplit("\r", 1)[-1] for line in text.splitlines() if line.strip()]
