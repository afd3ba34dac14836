"""Objects on any fsspec file system: what a `FsspecStore` on anything but a folder works with.

Raises the errors of the file system; the store makes its own of them. A put is as atomic as the file system's own: the
object stores and ``memory://`` publish whole objects.
"""

from __future__ import annotations

import functools
import io
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from workbench.models import ObjectInfo
from workbench.storage.etags import Bytes, object_etag

MARKER = ".collection"
BLOCK_SIZE = 2**20
"""Bytes of one read through `open`. HDF5 reads in many small steps; with the libraries' defaults (read-ahead in blocks of
50 MiB on S3) five of them fetched 124 MB for one small key, with blocks of 1 MiB two."""

BLOCK_CACHE = "workbench-blocks"

_create_lock = threading.Lock()  # "create" of most file systems looks first and writes then


class Remote:
    """Objects below one path of an fsspec file system; a collection is a prefix with an empty object ``.collection``."""

    is_local = False
    is_shared = True
    workers = 16  # these threads wait for the network, they do not compute

    def __init__(self, protocol: str, url: str, options: Mapping[str, Any], threads: int) -> None:
        import fsspec

        self.protocol = protocol
        kind = fsspec.get_filesystem_class(protocol)
        self.root = kind._strip_protocol(url).rstrip("/")
        options = {**kind._get_kwargs_from_urls(url), **options}
        self.threads = threads
        self.is_shared = protocol != "memory"
        self._options = dict(options)
        self._fs: Any = None
        self._pid = 0

    @property
    def fs(self) -> Any:
        """The file system: made on first use, and again in a forked child, where its threads are gone."""
        if self._fs is None or self._pid != os.getpid():
            self._fs = self._connect()
            self._pid = os.getpid()
        return self._fs

    def _connect(self) -> Any:
        import fsspec

        return fsspec.filesystem(self.protocol, **self._options)

    def _path(self, collection: str, key: str) -> str:
        return "/".join(part for part in (self.root, collection, key) if part)

    # -- collections

    def has_collection(self, name: str) -> bool:
        return self.exists(name, MARKER)

    def make_collection(self, name: str) -> bool:
        if self.has_collection(name):
            return False
        try:
            self.write(name, MARKER, b"", overwrite=False)
        except FileExistsError:  # another process was faster
            return False
        return True

    def collections(self) -> list[str]:
        try:
            found = self.fs.ls(self.root, detail=True)
        except FileNotFoundError:
            return []
        names = sorted(e["name"].rstrip("/").rpartition("/")[2] for e in found if e["type"] == "directory")
        return [name for name in names if self.has_collection(name)]

    def is_empty(self) -> bool:
        try:
            return not self.fs.ls(self.root, detail=False)
        except FileNotFoundError:
            return True

    def drop_collection(self, name: str) -> None:
        self.fs.rm(f"{self.root}/{name}", recursive=True)

    def sweep(self, name: str, older_than_s: float) -> int:
        return 0  # nothing unfinished is kept

    # -- writing

    def write(self, collection: str, key: str, data: Bytes, overwrite: bool) -> ObjectInfo:
        content = bytes(data)
        if overwrite:
            try:
                self.fs.pipe_file(self._path(collection, key), content)
            except FileExistsError as error:  # memory:// says so where a part of the key is an object
                raise NotADirectoryError(key) from error
        else:
            with _create_lock:
                self.fs.pipe_file(self._path(collection, key), content, mode="create")
        return ObjectInfo(key=key, size=len(content), modified=datetime.now(UTC), etag=object_etag(content))

    def replace(self, collection: str, key: str, data: Bytes, was: Bytes) -> ObjectInfo | None:
        with _create_lock:
            try:
                is_same = self.read(collection, key, 0, None) == was
            except FileNotFoundError:
                return None
            return self.write(collection, key, data, overwrite=True) if is_same else None

    def temporary(self, collection: str) -> str:
        """Return the path of a file to write in a local folder of its own."""
        return f"{tempfile.mkdtemp(prefix='workbench-')}/object"

    def publish(self, path: str, collection: str, key: str, overwrite: bool) -> None:
        """Upload the temporary file as the object."""
        if overwrite:
            self.fs.put_file(path, self._path(collection, key))
        else:
            with _create_lock:
                self.fs.put_file(path, self._path(collection, key), mode="create")

    def discard(self, path: str) -> None:
        """Remove a temporary file with its folder."""
        shutil.rmtree(Path(path).parent, ignore_errors=True)

    # -- reading

    def read(self, collection: str, key: str, start: int, stop: int | None) -> bytes:
        data: bytes = self.fs.cat_file(self._path(collection, key), start=start or None, end=stop)
        return data

    def open(self, collection: str, key: str) -> BinaryIO:
        _register_block_cache()
        file = self.fs.open(self._path(collection, key), "rb", block_size=BLOCK_SIZE, cache_type=BLOCK_CACHE)
        if isinstance(file, io.BytesIO):  # memory:// hands everyone its one buffer with its one position
            return io.BytesIO(file.getvalue())
        details = getattr(file, "details", None)
        if isinstance(details, dict) and details.get("type", "file") != "file":  # only a prefix of keys
            file.close()
            raise FileNotFoundError(key)
        return cast(BinaryIO, file)

    def path(self, collection: str, key: str) -> Path | None:
        return None

    def info(self, collection: str, key: str) -> ObjectInfo:
        found = self.fs.info(self._path(collection, key))
        if found["type"] != "file":
            raise FileNotFoundError(key)
        return _object_info(key, found)

    def etag(self, collection: str, key: str) -> str:
        return object_etag(self.read(collection, key, 0, None))

    def exists(self, collection: str, key: str) -> bool:
        return bool(self.fs.isfile(self._path(collection, key)))

    def scan(self, collection: str, prefix: str, after: str, limit: int | None) -> Iterator[ObjectInfo]:
        base = self._path(collection, "") + "/"
        folder, _, _ = prefix.rpartition("/")
        found = self.fs.find(base + folder, detail=True)
        for name in sorted(found):
            key = name[len(base) :]
            if key.startswith(prefix) and key > after and not is_hidden(key):
                yield _object_info(key, found[name])

    # -- deleting

    def delete(self, collection: str, keys: Sequence[str]) -> list[bool]:
        return [self._delete(collection, key) for key in keys]

    def _delete(self, collection: str, key: str) -> bool:
        if not self.exists(collection, key):
            return False
        self.fs.rm_file(self._path(collection, key))
        return True


@functools.cache
def _register_block_cache() -> None:
    from fsspec import caching

    class Blocks(caching.BlockCache):  # type: ignore[misc]  # fsspec has no types
        """Blocks for the many small reads; a read over a block long goes straight to its bytes in one request."""

        name = BLOCK_CACHE

        def _fetch(self, start: int | None, end: int | None) -> bytes:
            start = start or 0
            end = self.size if end is None else min(end, self.size)
            data: bytes = (
                self.fetcher(start, end) if end - start > self.blocksize else super()._fetch(start, end)
            )
            return data

    caching.register_cache(Blocks, clobber=True)


def is_hidden(key: str) -> bool:
    """Tell whether a key has a segment that begins with a dot, which no listing shows."""
    return key.startswith(".") or "/." in key


def _object_info(key: str, found: Mapping[str, Any]) -> ObjectInfo:
    when = (
        found.get("LastModified")
        or found.get("last_modified")
        or found.get("mtime")
        or found.get("created")
        or 0
    )
    if not isinstance(when, datetime):
        when = datetime.fromtimestamp(float(when), UTC)
    return ObjectInfo(key=key, size=found["size"], modified=when)
