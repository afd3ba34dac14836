"""Objects as files in a local folder, by plain system calls: what a `FsspecStore` on a folder works with.

Raises the builtin errors of the operating system; the store makes its own of them.
"""

# ruff: noqa: PTH102, PTH103, PTH104, PTH105, PTH106, PTH108, PTH113, PTH116, PTH123
# Why: a small put takes some tens of microseconds, and Path objects would take most of them.
from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from workbench.models import ObjectInfo
from workbench.storage.etags import Bytes, file_etag, object_etag

MARKER = ".collection"
TEMPORARY = ".tmp-"
STALE_S = 24 * 3600.0
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}  # file systems without hard links


class Folder:
    """A local root folder; each collection is a folder in it, with an empty file ``.collection`` as its sign.

    The sign tells a collection from a folder that is something else, such as another store in a subfolder.
    """

    is_local = True
    is_shared = True

    def __init__(self, root: str, fsync: bool, threads: int) -> None:
        self.root = root
        self.workers = threads if fsync else 1  # without waiting for the disk, threads only cost
        self._fsync = fsync

    # -- collections

    def has_collection(self, name: str) -> bool:
        return os.path.lexists(f"{self.root}/{name}/{MARKER}")

    def make_collection(self, name: str) -> bool:
        folder = f"{self.root}/{name}"
        marker = f"{folder}/{MARKER}"
        try:
            # at most once a day, since a sweep reads the whole folder
            if time.time() - os.stat(marker).st_mtime > STALE_S:
                with contextlib.suppress(OSError):  # a read-only folder opens all the same
                    os.utime(marker)
                    self.sweep(name, STALE_S)
            return False
        except FileNotFoundError:
            pass
        os.makedirs(folder, exist_ok=True)
        try:
            os.close(os.open(marker, _CREATE, 0o666))
        except FileExistsError:  # another process was faster
            return False
        if self._fsync:
            for path in (folder, self.root):
                _fsync(path)
        return True

    def collections(self) -> list[str]:
        try:
            with os.scandir(self.root) as entries:
                names = [e.name for e in entries if not e.name.startswith(".") and e.is_dir()]
        except FileNotFoundError:
            return []
        return sorted(name for name in names if self.has_collection(name))

    def is_empty(self) -> bool:
        try:
            with os.scandir(self.root) as entries:
                return all(e.name.startswith(".") for e in entries)
        except FileNotFoundError:
            return True

    def drop_collection(self, name: str) -> None:
        tomb = f"{self.root}/{TEMPORARY}{os.urandom(8).hex()}"
        os.rename(f"{self.root}/{name}", tomb)  # gone at once for everyone
        shutil.rmtree(tomb, ignore_errors=True)

    def sweep(self, name: str, older_than_s: float) -> int:
        """Remove what dead processes were writing in a collection; return how many files."""
        count = 0
        with os.scandir(f"{self.root}/{name}") as entries:
            for entry in entries:
                if not entry.name.startswith(TEMPORARY):
                    continue
                with contextlib.suppress(FileNotFoundError):  # published or swept in this moment
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime >= older_than_s:
                        os.unlink(entry.path)
                        count += 1
        return count

    # -- writing

    def write(self, collection: str, key: str, data: Bytes, overwrite: bool) -> ObjectInfo:
        temporary = self.temporary(collection)
        try:
            descriptor = os.open(temporary, _CREATE, 0o666)
            try:
                view = memoryview(data).cast("B")
                written = os.write(descriptor, view)
                while written < len(view):  # a full disk and files over 2 GiB take it in pieces
                    written += os.write(descriptor, view[written:])
                if self._fsync:
                    os.fsync(descriptor)
                modified = os.fstat(descriptor).st_mtime
            finally:
                os.close(descriptor)
            self._publish(temporary, collection, key, overwrite)
        except BaseException:
            self.discard(temporary)
            raise
        return ObjectInfo(key=key, size=len(view), modified=_time(modified), etag=object_etag(data))

    def replace(self, collection: str, key: str, data: Bytes, was: Bytes) -> ObjectInfo | None:
        try:
            is_same = self.read(collection, key, 0, None) == was
        except FileNotFoundError:
            return None
        return self.write(collection, key, data, overwrite=True) if is_same else None

    def temporary(self, collection: str) -> str:
        """Return the path of a file to write in the collection's folder, which no listing shows."""
        return f"{self.root}/{collection}/{TEMPORARY}{os.urandom(8).hex()}"

    def publish(self, path: str, collection: str, key: str, overwrite: bool) -> None:
        """Make the temporary file at ``path`` the object."""
        if self._fsync:
            _fsync(path)
        self._publish(path, collection, key, overwrite)

    def discard(self, path: str) -> None:
        """Remove a temporary file if it is there."""
        with contextlib.suppress(
            OSError
        ):  # what cannot be removed now is swept later; the first error counts
            os.unlink(path)

    def _publish(self, temporary: str, collection: str, key: str, overwrite: bool) -> None:
        target = f"{self.root}/{collection}/{key}"
        for _ in range(100):  # a parent can vanish again: deleting its last object removes it
            try:
                if overwrite:
                    os.replace(temporary, target)
                else:
                    _create(temporary, target)
                break
            except FileNotFoundError:
                if "/" not in key or not os.path.lexists(temporary):
                    raise
                self._make_parents(collection, key)
        if self._fsync:
            parts = key.split("/")[:-1]
            for depth in range(len(parts), -1, -1):
                _fsync("/".join([self.root, collection, *parts[:depth]]))

    def _make_parents(self, collection: str, key: str) -> None:
        # one by one from the collection on, never the collection itself: it may have been deleted
        path = f"{self.root}/{collection}"
        for part in key.split("/")[:-1]:
            path = f"{path}/{part}"
            with contextlib.suppress(FileExistsError):
                os.mkdir(path)

    # -- reading

    def read(self, collection: str, key: str, start: int, stop: int | None) -> bytes:
        descriptor = os.open(f"{self.root}/{collection}/{key}", _READ)
        try:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                raise FileNotFoundError(errno.ENOENT, "is a folder", key)
            stop = info.st_size if stop is None else min(stop, info.st_size)
            pieces = []
            while start < stop and (piece := os.pread(descriptor, stop - start, start)):
                pieces.append(piece)
                start += len(piece)
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        finally:
            os.close(descriptor)

    def open(self, collection: str, key: str) -> BinaryIO:
        return open(f"{self.root}/{collection}/{key}", "rb")

    def path(self, collection: str, key: str) -> Path | None:
        return Path(f"{self.root}/{collection}/{key}")

    def info(self, collection: str, key: str) -> ObjectInfo:
        found = os.stat(f"{self.root}/{collection}/{key}")
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(errno.ENOENT, "is a folder", key)
        return ObjectInfo(key=key, size=found.st_size, modified=_time(found.st_mtime))

    def etag(self, collection: str, key: str) -> str:
        return file_etag(f"{self.root}/{collection}/{key}")

    def exists(self, collection: str, key: str) -> bool:
        return os.path.isfile(f"{self.root}/{collection}/{key}")

    def scan(self, collection: str, prefix: str, after: str, limit: int | None) -> Iterator[ObjectInfo]:
        folder, _, _ = prefix.rpartition("/")
        return self._scan(f"{self.root}/{collection}/", f"{folder}/" if folder else "", prefix, after)

    def _scan(self, base: str, folder: str, prefix: str, after: str) -> Iterator[ObjectInfo]:
        # Sorting each folder with a slash behind the names of folders gives the order of the whole keys.
        try:
            with os.scandir(base + folder) as entries:
                names = sorted(
                    folder + e.name + ("/" if e.is_dir() else "")
                    for e in entries
                    if not e.name.startswith(".")
                )
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in names:
            if not name.startswith(prefix) or (name <= after and not after.startswith(name)):
                continue
            if name.endswith("/"):
                yield from self._scan(base, name, prefix, after)
            elif name > after:
                try:
                    found = os.stat(base + name)
                except FileNotFoundError:  # deleted in this moment
                    continue
                yield ObjectInfo(key=name, size=found.st_size, modified=_time(found.st_mtime))

    # -- deleting

    def delete(self, collection: str, keys: Sequence[str]) -> list[bool]:
        return [self._delete(collection, key) for key in keys]

    def _delete(self, collection: str, key: str) -> bool:
        try:
            os.unlink(f"{self.root}/{collection}/{key}")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return False
        parents = key.split("/")[:-1]
        while parents:  # a folder left empty would stand in the way of an object of its name
            try:
                os.rmdir("/".join([self.root, collection, *parents]))
            except OSError:
                break
            parents.pop()
        return True


def _create(temporary: str, target: str) -> None:
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # No hard links here: two processes creating one key in the same instant could both succeed.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "is there already", target) from None
        os.replace(temporary, target)
    else:
        os.unlink(temporary)


def _fsync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
