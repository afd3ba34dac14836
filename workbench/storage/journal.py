"""Records on their way: lines at the end of an open file, until they lie in their places.

To make a file takes a disk up to half a millisecond, a line at the end of an open one some microseconds. What must be kept before
it may be told is kept here, and brought to its place later, many at a time. What a process left that was killed in between, the
next one that looks takes up. A record may have bytes attached, as small arrays are to the record of their dataset.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.process_identity import is_gone, this_process
from workbench.storage import forked
from workbench.storage.store import Store

LARGEST = 4 << 20  # bytes of a file: the next line begins another one
MOST_IDLE = 1 << 18  # bytes of a file that need no keeping any more: whoever looks would read them all
LOOKS = 3
ATTACHED = "attached"  # the key that says how many bytes follow a record
SILENT_S = 60.0
UNSIGNED_S = 60.0  # a file without its first line is not being made any more
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)


class _File:
    """One file: who writes it, then a line for each record, and one for those that need no keeping any more."""

    def __init__(self, folder: Path, mode: int) -> None:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        self.path = folder / f"{uuid.uuid4().hex}.jsonl"
        self.open: dict[str, bytes] = {}  # the lines that need keeping, by id
        self.size = 0
        self.descriptor = os.open(self.path, _CREATE, mode & 0o666)
        pid, started, host, _ = this_process()
        node = os.fstat(
            self.descriptor
        ).st_ino  # a copy of the file has another one, and nobody who writes it
        try:
            self.write(json.dumps([pid, started, host, node]).encode() + b"\n")
        except BaseException:
            self.remove()
            raise
        self._first = self.size

    def write(self, data: bytes) -> None:
        """Write whole lines, or nothing."""
        try:
            written = os.write(self.descriptor, data)
            while written < len(data):
                written += os.write(self.descriptor, data[written:])
        except BaseException:
            with suppress(OSError):
                os.ftruncate(self.descriptor, self.size)  # half a line would swallow the next one
            raise
        self.size += len(data)

    @property
    def idle(self) -> int:
        """Bytes that need no keeping any more."""
        return self.size - self._first - sum(map(len, self.open.values()))

    def empty(self) -> None:
        os.ftruncate(self.descriptor, self._first)
        self.size = self._first

    def remove(self) -> None:
        os.close(self.descriptor)
        self.path.unlink(missing_ok=True)


class Journal:
    """What this process keeps of records on their way; safe to use from several threads.

    Parameters
    ----------
    folder : Path
        Of all processes that share the places; made when the first record comes.
    mode : int
        Rights of the folder.
    fsync : bool
        Whether a record that is kept also survives a power cut.
    """

    def __init__(self, folder: Path, *, mode: int = 0o777, fsync: bool = False) -> None:
        self._folder = folder
        self._mode = mode
        self._fsync = fsync
        self.begin_anew()
        forked.remember(self)

    def begin_anew(self) -> None:
        """Begin without files: those before a fork are the parent's."""
        self._lock = threading.Lock()
        self._files: list[_File] = []

    def keep(self, id: str, record: bytes, attached: bytes | bytearray = b"") -> None:
        """Keep a record, in one line of JSON.

        Parameters
        ----------
        id : str
        record : bytes
            A JSON object with the key ``id``.
        attached : bytes
            What belongs to it; its length is then in the record, under the key ``attached``.

        Raises
        ------
        OSError
            If it cannot be written; nothing is kept then.
        """
        with self._lock:
            if not self._files or self._files[-1].size > LARGEST:
                self._files.append(_File(self._folder, self._mode))
            file = self._files[-1]
            line = b"\n".join((record, attached, b"") if attached else (record, b""))
            file.write(line)
            if self._fsync:
                os.fsync(file.descriptor)
            file.open[id] = line

    def done(self, ids: Iterable[str]) -> None:
        """Forget records that lie in their places now."""
        ids = set(ids)
        with self._lock:
            for file in self._files[:]:
                done = file.open.keys() & ids
                for id in done:
                    del file.open[id]
                with suppress(OSError):  # on a full disk they are taken up once more, which changes nothing
                    if not done:
                        continue
                    if not file.open:
                        self._drop(file)
                    elif file.idle > MOST_IDLE:
                        self._move(file)
                    else:
                        file.write(json.dumps(sorted(done)).encode() + b"\n")

    def _drop(self, file: _File) -> None:
        """Let go of a file of which nothing needs keeping."""
        if file is self._files[-1]:
            file.empty()
        else:
            self._files.remove(file)
            file.remove()

    def _move(self, file: _File) -> None:
        """Bring what needs keeping of a file to a new one."""
        new = _File(self._folder, self._mode)
        try:
            new.write(b"".join(file.open.values()))
            if self._fsync:
                os.fsync(new.descriptor)
        except BaseException:
            new.remove()
            raise
        new.open = file.open
        self._files[self._files.index(file)] = new
        file.remove()

    def find(self, id: str) -> list[bytes]:
        """Return what processes keep of a record, also those that live."""
        return [record for record in self.all() if _id(record) == id]

    def all(self) -> list[bytes]:
        """Return all records that processes keep, also those that live."""
        with self._lock:
            found = [line for file in self._files for line in file.open.values()]
        return found + self.of_others()

    def of_others(self) -> list[bytes]:
        """Return the records that other processes keep, also those that live."""
        with self._lock:
            known = {file.path for file in self._files}
        return self._of_others(known)

    def _of_others(self, known: set[Path]) -> list[bytes]:
        """Return what lies in the files of other processes; one that went while it was looked for may have been moved."""
        for _ in range(LOOKS):
            found: list[bytes] = []
            has_gone = False
            for path in self._paths():
                if path not in known:
                    try:
                        found += _records(path)
                    except FileNotFoundError:
                        has_gone = True
                    except OSError:
                        continue
            if not has_gone:
                break
        return found

    def take_up(self, use: Callable[[list[bytes]], None]) -> None:
        """Pass on what processes have left that have ended, file by file; two that do so wait for each other.

        Parameters
        ----------
        use : callable
            Brings records to their places; what it was given is then forgotten.
        """
        for path in self._paths():
            try:
                self._take_up(path, use)
            except WorkbenchError:
                raise
            except OSError:  # taken up by another one; another user's; in a place that can only be read
                continue

    def close(self, use: Callable[[list[bytes]], None]) -> None:
        """Pass on what is kept still, and end."""
        with self._lock:
            files, self._files = self._files, []
            for file in files:
                if file.open:
                    use(_records(file.path))
                file.remove()

    def _paths(self) -> list[Path]:
        try:
            names = os.listdir(self._folder)  # noqa: PTH208 - half the time
        except OSError:
            return []
        return [self._folder / name for name in names if name.endswith(".jsonl")]

    def _take_up(self, path: Path, use: Callable[[list[bytes]], None]) -> None:
        with path.open("rb+") as file:
            first = file.readline()
            try:
                writer = json.loads(first)
            except ValueError:
                if time.time() - path.stat().st_mtime > UNSIGNED_S:
                    path.unlink()
                return
            if not _is_left(writer, os.fstat(file.fileno())):
                return
            with suppress(ImportError):
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)
            if not os.fstat(file.fileno()).st_nlink:
                return
            use(_records(path))
            path.unlink()


def journal_folder(store: Store, of: str = "") -> Path:
    """Return the folder of a store's journals: beside its collections, or of this machine where the store is not."""
    beside = store.local_path("runs", "x")
    if beside is not None:
        return beside.parent.parent / ".journal" / of
    from blake3 import blake3

    return spool("journal") / blake3(store.url.encode()).hexdigest()[:16] / of


def spool(kind: str) -> Path:
    """Return this user's folder of this machine for what is on its way to a store that is elsewhere."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"workbench-{user}" / kind


def _records(path: Path) -> list[bytes]:
    """Return the newest record of each id in a file that needs keeping still."""
    data = path.read_bytes()
    found: dict[str, bytes] = {}
    end = data.find(b"\n") + 1
    while begin := end:
        end = (
            data.find(b"\n", begin) + 1
        )  # 0 at the end, and where its writer was killed: nothing was told of that
        try:
            said = json.loads(data[begin:end]) if end else None
        except ValueError:  # a power cut leaves zeros
            continue
        if isinstance(said, list):
            for id in said:
                found.pop(id, None)
        elif isinstance(said, dict):
            if said.get(ATTACHED):
                end += said[ATTACHED] + 1
                if end > len(data):
                    break
            found[said["id"]] = data[begin:end]
    return list(found.values())


def _is_left(writer: list[Any], found: os.stat_result) -> bool:
    """Tell whether nobody writes a file any more.

    A writer of another machine, which may be a container that is there no more, is gone when it has not written for a minute: what is
    kept is in its place after milliseconds.
    """
    pid, started, host, *node = writer
    is_copy = bool(node) and node[0] != found.st_ino
    is_silent = host != this_process()[2] and time.time() - found.st_mtime > SILENT_S
    return is_copy or is_silent or is_gone(pid, started, host)


def _id(record: bytes) -> str:
    return str(json.loads(record.partition(b"\n")[0])["id"])
