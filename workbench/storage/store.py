"""The one contract for bytes: named objects in named collections.

Every store keeps it to the letter; ``storage.testing.StoreTests`` is the proof and is there for third parties too.

- Data is ``bytes``, ``bytearray``, ``memoryview`` or ``str`` (stored as UTF-8); what is read is always ``bytes``.
- An absent object or collection is a `NotFoundError` where one thing was asked for, and ``False`` or ``None`` in its place
  where many were.
- Publishing is atomic: a reader sees the old object, the new one or none, never a part.
- Keys are checked by ``names.check_key``, collections by ``names.check_name``, before anything happens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

from workbench.models import ObjectInfo

Data = bytes | bytearray | memoryview | str


class Staged(Protocol):
    """A local file being written, which becomes an object when it is published."""

    path: Path

    def publish(self, key: str, *, overwrite: bool = True) -> bool:
        """Make the file the object ``key``, atomically; return False if it was there and ``overwrite`` is False."""
        ...


class Store(ABC):
    """Objects by key in flat collections; see the module's text for the contract."""

    #: where it is, ready to be passed to ``workbench.open``
    url: str
    #: other processes see the same objects
    is_shared: bool
    #: ``local_path`` gives paths
    is_local: bool

    # -- collections

    @abstractmethod
    def create_collections(self, names: Iterable[str]) -> list[str]:
        """Create the collections that are absent and return the names of the new ones."""

    @abstractmethod
    def list_collections(self) -> list[str]:
        """Return the names of all collections, sorted."""

    @abstractmethod
    def collections_exist(self, names: Iterable[str]) -> list[bool]:
        """Tell for each name whether the collection is there."""

    @abstractmethod
    def delete_collections(self, names: Iterable[str], *, force: bool = False) -> list[bool]:
        """Delete collections and tell for each whether it was there.

        Raises
        ------
        InUseError
            If one holds objects and ``force`` is False; then none is deleted.
        """

    # -- objects

    @abstractmethod
    def put(self, collection: str, key: str, data: Data, *, overwrite: bool = True) -> ObjectInfo:
        """Publish one object atomically.

        Raises
        ------
        AlreadyExistsError
            If it is there and ``overwrite`` is False.
        NotFoundError
            If the collection is absent.
        ReadOnlyError, StorageFullError, StorageError
            If the place does not take it; then nothing has changed.
        """

    @abstractmethod
    def replace(self, collection: str, key: str, data: Data, was: Data) -> ObjectInfo:
        """Publish one object in the place of this very content.

        S3 compares while it replaces, so that of several writers one succeeds; elsewhere the content is compared just before.

        Raises
        ------
        ConflictError
            If the object is another by now, or gone; then nothing has changed.
        """

    def put_many(
        self, collection: str, objects: Mapping[str, Data], *, overwrite: bool = True
    ) -> list[ObjectInfo]:
        """Publish many objects, in parallel where that helps; each one atomically."""
        return [self.put(collection, key, data, overwrite=overwrite) for key, data in objects.items()]

    @abstractmethod
    def put_unique(self, collection: str, objects: Mapping[str, Data]) -> dict[str, str]:
        """Publish what is not there yet under any key, and return for each key the key that holds its content.

        Equal content is recognised by size and ETag against one listing of the collection, and among the given.
        """

    @abstractmethod
    def get(self, collection: str, key: str, start: int | None = None, stop: int | None = None) -> bytes:
        """Return the bytes of an object, or those from ``start`` up to ``stop``."""

    def get_many(self, collection: str, keys: Iterable[str]) -> list[bytes | None]:
        """Return the bytes of many objects, in parallel where that helps; None for an absent one."""
        from workbench.errors import NotFoundError

        out: list[bytes | None] = []
        for key in keys:
            try:
                out.append(self.get(collection, key))
            except NotFoundError:
                out.append(None)
        return out

    @abstractmethod
    def open(self, collection: str, key: str) -> BinaryIO:
        """Return a seekable binary file over the object, which reads only what is asked for."""

    @abstractmethod
    def stage(self, collection: str) -> AbstractContextManager[Staged]:
        """Give a local file to write, to be published under a key: the way of large objects, with no copy in memory.

        What was not published when the context ends is removed.
        """

    @abstractmethod
    def local_path(self, collection: str, key: str) -> Path | None:
        """Return the local file that is the object, or None where the store has no local files."""

    @abstractmethod
    def head(self, collection: str, key: str) -> ObjectInfo:
        """Return size, time and ETag of an object."""

    @abstractmethod
    def exist(self, collection: str, keys: Iterable[str]) -> list[bool]:
        """Tell for each key whether the object is there."""

    @abstractmethod
    def list(
        self, collection: str, *, prefix: str = "", after: str | None = None, limit: int | None = None
    ) -> Iterator[ObjectInfo]:
        """Yield the objects in order of their keys, any number of them; ETags only where the listing brings them."""

    @abstractmethod
    def delete(self, collection: str, keys: Iterable[str]) -> Sequence[bool]:
        """Delete objects and tell for each whether it was there."""

    def close(self) -> None:  # noqa: B027 - most stores hold nothing open
        """Let go of connections."""
