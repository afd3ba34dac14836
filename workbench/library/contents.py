"""The arrays of datasets: one object per content, published once and dropped with the last dataset that has it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import AlreadyExistsError, DamagedError, NotFoundError, StorageError
from workbench.library.data_cache import DataCache
from workbench.library.open_files import OpenFiles
from workbench.models import DatasetRecord, KeyInfo, now

if TYPE_CHECKING:
    import h5py

    from workbench.catalog.catalog import Catalog
    from workbench.settings import Settings
    from workbench.storage.small_files import SmallFile
    from workbench.storage.store import Store

OBJECTS = "objects"
SMALL = 1 << 20  # bytes below which arrays are kept in memory for the next reader
_LOCK_S = 30.0  # a lock that is older was left by a process that died


class Contents:
    """Contents by digest, in the collection ``objects``.

    A put may meet a delete of the last dataset with the same content, in another process. The put records its dataset,
    then looks for a lock and for the object (`keep`); the delete takes the lock, then looks for datasets (`drop`). So
    either the delete sees the dataset and leaves the object, or the put sees the lock, waits, and publishes again.

    Parameters
    ----------
    store : Store
    catalog : Catalog
    settings : Settings
    settle : callable, optional
        Brings contents that are on their way to their places.
    """

    def __init__(
        self, store: Store, catalog: Catalog, settings: Settings, settle: Callable[[], object] = lambda: None
    ) -> None:
        self._store = store
        self._settle = settle
        self._catalog = catalog
        self._settings = settings
        self._open_files = OpenFiles()
        self.cache = DataCache(settings.data_cache)

    def put(self, tree: Mapping[str, Any]) -> tuple[str, dict[str, KeyInfo]]:
        """Store a tree of values if its content is not there yet; return its digest and what its keys are."""
        from workbench.storage import hdf5

        with self._store.stage(OBJECTS) as staged:
            digest, keys = hdf5.write(staged.path, tree, compression=self._settings.compression)
            staged.publish(f"{digest}.h5", overwrite=False)
        self._remember(digest, keys, tree)
        return digest, keys

    def file_of(self, tree: Mapping[str, Any]) -> SmallFile | None:
        """Return the file that `put` would store for a small tree, and store nothing; None for one that is not small."""
        from workbench.storage.small_files import small_file

        small = small_file(tree) if self._settings.compression == "none" else None
        if small is not None:
            self._remember(small.digest, small.keys, tree)
        return small

    def put_file(self, digest: str, content: bytes | bytearray) -> None:
        """Store the file of a small tree if its content is not there yet."""
        with self._store.stage(OBJECTS) as staged:
            staged.path.write_bytes(content)
            staged.publish(f"{digest}.h5", overwrite=False)

    def keep(self, puts: Mapping[str, Callable[[], object]]) -> None:
        """Publish again what a delete took away, now that datasets with these digests are recorded.

        Parameters
        ----------
        puts : mapping of str to callable
            What stores the content of a digest.
        """
        lost = self._lost(puts)
        while lost:
            for digest in lost:
                puts[digest]()
            lost = self._lost(lost)

    def _remember(self, digest: str, keys: Mapping[str, KeyInfo], tree: Mapping[str, Any]) -> None:
        """Keep small arrays in memory: the next step reads them."""
        if sum(key.nbytes for key in keys.values()) < SMALL:
            for key, value in tree.items():
                if _is_plain(value):
                    self.cache.put(digest, key, value)

    def drop(self, digest: str) -> None:
        """Delete the object of a digest if no dataset has it."""
        with suppress(StorageError):  # a full disk keeps nobody from deleting
            self._settle()
        if self._is_used(digest):
            return
        lock = f"{digest}.lock"
        while True:
            try:
                self._store.put(OBJECTS, lock, b"", overwrite=False)
                break
            except AlreadyExistsError:
                self._wait_for(lock)
        try:
            if not self._is_used(digest):
                path = self._store.local_path(OBJECTS, f"{digest}.h5")
                if path is not None:
                    self._open_files.forget(path)
                self._store.delete(OBJECTS, [f"{digest}.h5"])
        finally:
            self._store.delete(OBJECTS, [lock])

    def present(self, digests: Iterable[str]) -> list[bool]:
        """Tell for each digest whether its object is there."""
        files = [f"{digest}.h5" for digest in digests]
        there = self._store.exist(OBJECTS, files)
        if all(there):
            return there
        self._settle()
        return self._store.exist(OBJECTS, files)

    def read(
        self, record: DatasetRecord, keys: Iterable[str], *, mapped: bool = True, cached: bool = False
    ) -> dict[str, Any]:
        """Read keys of a dataset.

        With ``mapped`` large arrays may be the object's own bytes, see `storage.hdf5.read`; with ``cached`` what is small, or cannot
        be mapped, is kept for the next reader.
        """
        keys = list(keys)
        if not cached or (record.nbytes >= SMALL and self._is_mappable(record)):
            return self._read(record, keys, mapped=mapped)
        found = {key: array for key in keys if (array := self.cache.get(record.digest, key)) is not None}
        missing = [key for key in keys if key not in found]
        if missing:
            read = self._read(record, missing, mapped=False)
            for key, value in read.items():
                if record.keys[key].kind == "array":
                    self.cache.put(record.digest, key, value)
            found.update(read)
        return {key: found[key] for key in keys}

    def _is_mappable(self, record: DatasetRecord) -> bool:
        """Tell whether the arrays of a dataset lie in a local file, as they are in memory."""
        path = self._store.local_path(OBJECTS, f"{record.digest}.h5")
        if path is None:
            return False
        if self._settings.compression == "none" or not path.is_file():
            return True
        # a compressed file is smaller than its arrays; of the others the pages of the system are the cache
        return path.stat().st_size >= record.nbytes

    def _read(self, record: DatasetRecord, keys: Iterable[str], *, mapped: bool) -> dict[str, Any]:
        from workbench.storage import hdf5

        key = f"{record.digest}.h5"

        def read_at(at: int, buffer: memoryview) -> None:
            buffer[:] = self._store.get(OBJECTS, key, at, at + len(buffer))

        with self._source(record) as source:
            return hdf5.read(
                source,
                keys,
                read_at=None if isinstance(source, Path) else read_at,
                threads=max(2, self._settings.threads),
                mapped=mapped,
                what=what(record),
            )

    @contextmanager
    def open(self, record: DatasetRecord) -> Iterator[h5py.File]:
        """Open the file of a dataset, read-only and lazy."""
        from workbench.storage import hdf5

        with self._source(record) as source:
            is_local = isinstance(source, Path)
            opened = (
                self._open_files.open(source, what(record))
                if is_local
                else hdf5.open_file(source, what(record))
            )
            with opened as file:
                yield file

    def close(self) -> None:
        """Close files that were kept open, and let go of what is cached."""
        self._open_files.close()
        self.cache.clear()

    @contextmanager
    def _source(self, record: DatasetRecord) -> Iterator[Any]:
        """Give the local file of a dataset, or a file object over it."""
        key = f"{record.digest}.h5"
        path = self._store.local_path(OBJECTS, key)
        if path is not None:
            if not path.is_file():
                self._settle()
                if not path.is_file():
                    raise _gone(record)
            yield path
            return
        try:
            file = self._store.open(OBJECTS, key)
        except NotFoundError as error:
            raise _gone(record) from error
        with file:
            yield file

    def _is_used(self, digest: str) -> bool:
        return bool(self._catalog.objects_in_use([digest]).get(digest))

    def _lost(self, digests: Iterable[str]) -> list[str]:
        """Return the digests whose object is not there, once no delete of them is under way."""
        digests = list(digests)
        there = self._store.exist(OBJECTS, [f"{d}.{kind}" for kind in ("lock", "h5") for d in digests])
        is_locked, is_kept = there[: len(digests)], there[len(digests) :]
        if not any(is_locked):
            return [digest for digest, kept in zip(digests, is_kept, strict=True) if not kept]
        for digest, locked in zip(digests, is_locked, strict=True):
            if locked:
                self._wait_for(f"{digest}.lock")
        return self._lost(digests)

    def _wait_for(self, lock: str) -> None:
        """Wait until a lock is gone; take away one that a dead process left."""
        while True:
            try:
                age = now() - self._store.head(OBJECTS, lock).modified
            except NotFoundError:
                return
            if age.total_seconds() > _LOCK_S:
                self._store.delete(OBJECTS, [lock])
                return
            time.sleep(0.01)


def what(record: DatasetRecord) -> str:
    """Return what to call a dataset in a message."""
    return f"Dataset {record.name!r} ({record.id})" if record.name else f"Dataset {record.id!r}"


def _is_plain(value: object) -> bool:
    """Tell whether reading gives an array back just as it is in memory."""
    import numpy as np

    return type(value) is np.ndarray and value.dtype.kind in "biufc" and value.dtype.isnative


def _gone(record: DatasetRecord) -> DamagedError:
    return DamagedError(
        f"The arrays of {what(record)} are gone: there is no {OBJECTS}/{record.digest}.h5. "
        f"Restore that file from a backup, or ws.datasets.delete({record.id!r}) and put the data again."
    )
