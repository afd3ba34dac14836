"""A `Store` over any fsspec URL: a folder, ``file://``, ``memory://name``, ``s3://bucket/prefix`` and others."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar
from urllib.parse import unquote, urlsplit

from workbench.errors import (
    AlreadyExistsError,
    ConflictError,
    InUseError,
    InvalidInputError,
    NotFoundError,
    WorkbenchError,
)
from workbench.models import ObjectInfo
from workbench.names import check_key, check_name
from workbench.storage.etags import Bytes, object_etag
from workbench.storage.failures import is_foreign, is_full, translate
from workbench.storage.folder import STALE_S
from workbench.storage.places import locate
from workbench.storage.store import Data, Store
from workbench.storage.threads import in_threads

T = TypeVar("T")
R = TypeVar("R")


class FsspecStore(Store):
    """Objects at a URL.

    Where objects are files, a key cannot be the beginning of another (``a`` and ``a/b``): a `ConflictError` says so.

    Parameters
    ----------
    url : str or path
        A folder, or a URL of any protocol that fsspec knows. A user and password in it are used and never shown.
    storage_options : mapping, optional
        Options for the fsspec file system, such as ``{"key": ..., "secret": ..., "endpoint_url": ...}``.
    durability : {"process", "fsync"}
        What a reported put survives: the death of the process, or a power cut too (folders only).
    threads : int
        Parts of one object sent or fetched at once.

    Raises
    ------
    InvalidInputError
        If the URL has no meaning.

    Examples
    --------
    >>> store = FsspecStore("memory://example")
    >>> store.create_collections(["notes"])
    ['notes']
    >>> store.put("notes", "today", "seen").etag == store.head("notes", "today").etag
    True
    >>> store.get("notes", "today")
    b'seen'
    """

    def __init__(
        self,
        url: str | os.PathLike[str],
        storage_options: Mapping[str, Any] | None = None,
        durability: Literal["process", "fsync"] = "process",
        threads: int = 4,
    ) -> None:
        self.url, self._place = locate(os.fspath(url), dict(storage_options or {}), durability, threads)
        self._secret = unquote(urlsplit(os.fspath(url)).password or "") if "@" in os.fspath(url) else ""
        self.is_local = self._place.is_local
        self.is_shared = self._place.is_shared
        self._known: set[str] = set()  # collections seen: a put need not ask again

    def __repr__(self) -> str:
        return f"FsspecStore({self.url!r})"

    # -- the place itself, apart from its collections

    @property
    def root(self) -> str:
        """The folder, or the path within the file system."""
        return self._place.root

    def is_empty(self) -> bool:
        """Tell whether nothing is there, hidden files apart; a place that does not exist is empty."""
        with self._errors(""):
            return self._place.is_empty()

    def read_marker(self, name: str) -> bytes | None:
        """Return the bytes of a file beside the collections, or None if it is absent."""
        try:
            with self._errors(""):
                return self._place.read("", name, 0, None)
        except NotFoundError:
            return None

    def write_marker(self, name: str, data: bytes) -> bool:
        """Publish a file beside the collections; return False if it was there, and leave it then."""
        try:
            with self._errors("", writing=True):
                if self.is_local:
                    Path(self.root).mkdir(parents=True, exist_ok=True)
                self._place.write("", name, data, overwrite=False)
        except AlreadyExistsError:
            return False
        return True

    # -- collections

    def create_collections(self, names: Iterable[str]) -> list[str]:
        names = [check_name(name, "Collection name") for name in names]
        new = []
        for name in dict.fromkeys(names):
            with self._errors(name, writing=True):
                if self._place.make_collection(name):
                    new.append(name)
            self._known.add(name)
        return new

    def list_collections(self) -> list[str]:
        with self._errors(""):
            return self._place.collections()

    def collections_exist(self, names: Iterable[str]) -> list[bool]:
        return self._each(
            lambda name: self._has(name), [check_name(name, "Collection name") for name in names]
        )

    def delete_collections(self, names: Iterable[str], *, force: bool = False) -> list[bool]:
        names = [check_name(name, "Collection name") for name in names]
        there = self.collections_exist(names)
        present = list(dict.fromkeys(name for name, has in zip(names, there, strict=True) if has))
        if not force:
            used = [name for name in present if any(True for _ in self.list(name, limit=1))]
            if used:
                raise InUseError(
                    f"Nothing was deleted: {', '.join(used)} in {self.url} "
                    f"{'holds' if len(used) == 1 else 'hold'} objects. Delete those first, or pass force=True.",
                    users=used,
                )
        for name in present:
            self._known.discard(name)
            with self._errors(name, writing=True):
                self._place.drop_collection(name)
        return [name in present and names.index(name) == i for i, name in enumerate(names)]

    def sweep_stale(self, older_than_s: float = STALE_S) -> int:
        """Remove what processes that died were writing ``older_than_s`` seconds ago or earlier; return how many.

        `create_collections` does it once a day for folders, so calling it is rarely needed.
        """
        count = 0
        for name in self.list_collections():
            with self._errors(name, writing=True):
                count += self._place.sweep(name, older_than_s)
        return count

    # -- writing

    def put(self, collection: str, key: str, data: Data, *, overwrite: bool = True) -> ObjectInfo:
        check_key(key)
        self._require(collection)
        with self._errors(collection, key, writing=True):
            return self._place.write(collection, key, _content(data), overwrite)

    def replace(self, collection: str, key: str, data: Data, was: Data) -> ObjectInfo:
        check_key(key)
        self._require(collection)
        with self._errors(collection, key, writing=True):
            done = self._place.replace(collection, key, _content(data), _content(was))
        if done is None:
            raise ConflictError(
                f"{collection}/{key} was changed in {self.url} meanwhile, and stays as it is. Read it again, then change it."
            )
        return done

    def put_many(
        self, collection: str, objects: Mapping[str, Data], *, overwrite: bool = True
    ) -> list[ObjectInfo]:
        contents = [(check_key(key), _content(data)) for key, data in objects.items()]
        self._require(collection)
        return self._each(lambda item: self.put(collection, *item, overwrite=overwrite), contents)

    def put_unique(self, collection: str, objects: Mapping[str, Data]) -> dict[str, str]:
        contents = {check_key(key): _content(data) for key, data in objects.items()}
        sizes = {key: memoryview(data).nbytes for key, data in contents.items()}
        wanted = set(sizes.values())
        holders: dict[tuple[int, str], str] = {}
        etags = dict(zip(contents, self._each(object_etag, list(contents.values())), strict=True))
        for found in self.list(collection):
            if found.size not in wanted:
                continue
            tag = found.etag or self._etag_if_there(collection, found.key)
            # what this very call replaces by something else holds nothing for the others
            if tag is not None and etags.get(found.key, tag) == tag:
                holders.setdefault((found.size, tag), found.key)
                if found.key in contents:
                    holders[found.size, tag] = found.key
        out: dict[str, str] = {}
        new: dict[str, Data] = {}
        for key, data in contents.items():
            out[key] = holders.setdefault((sizes[key], etags[key]), key)
            if out[key] == key:
                new[key] = data
        self.put_many(collection, new)
        return out

    @contextmanager
    def stage(self, collection: str) -> Iterator[StagedFile]:
        self._require(collection)
        with self._errors(collection, writing=True):
            staged = StagedFile(self, collection, self._place.temporary(collection))
        try:
            yield staged
        except OSError as error:
            ours = is_full(error) or str(error.filename) == str(staged.path)  # and not of what is being read
            if isinstance(error, WorkbenchError) or not ours:
                raise
            raise translate(error, self.url, collection, None, writing=True) from error
        finally:
            self._place.discard(str(staged.path))

    # -- reading

    def get(self, collection: str, key: str, start: int | None = None, stop: int | None = None) -> bytes:
        check_key(key)
        check_name(collection, "Collection name")
        first = 0 if start is None else start
        if first < 0 or (stop is not None and stop < 0):
            raise InvalidInputError(
                f"Bytes {start} to {stop} of {key!r}: both count from 0. Use head(...).size."
            )
        if stop is not None and stop <= first:
            self.head(collection, key)
            return b""
        with self._errors(collection, key):
            return self._place.read(collection, key, first, stop)

    def get_many(self, collection: str, keys: Iterable[str]) -> list[bytes | None]:
        def get(key: str) -> bytes | None:
            try:
                return self.get(collection, key)
            except NotFoundError:
                return None

        return self._each(get, [check_key(key) for key in keys])

    def open(self, collection: str, key: str) -> BinaryIO:
        check_key(key)
        check_name(collection, "Collection name")
        with self._errors(collection, key):
            return self._place.open(collection, key)

    def local_path(self, collection: str, key: str) -> Path | None:
        return self._place.path(check_name(collection, "Collection name"), check_key(key))

    def head(self, collection: str, key: str) -> ObjectInfo:
        check_key(key)
        check_name(collection, "Collection name")
        with self._errors(collection, key):
            info = self._place.info(collection, key)
            if info.etag is None:
                info = info.model_copy(update={"etag": self._place.etag(collection, key)})
            return info

    def exist(self, collection: str, keys: Iterable[str]) -> list[bool]:
        check_name(collection, "Collection name")

        def exists(key: str) -> bool:
            with self._errors(collection, key):
                return self._place.exists(collection, key)

        return self._each(exists, [check_key(key) for key in keys])

    def list(
        self, collection: str, *, prefix: str = "", after: str | None = None, limit: int | None = None
    ) -> Iterator[ObjectInfo]:
        if prefix:
            check_key(prefix + "x", "Prefix")
        self._require(collection, fresh=True)
        return self._list(collection, prefix, after or "", limit)

    def _list(self, collection: str, prefix: str, after: str, limit: int | None) -> Iterator[ObjectInfo]:
        with self._errors(collection):
            yield from islice(self._place.scan(collection, prefix, after, limit), limit)

    # -- deleting

    def delete(self, collection: str, keys: Iterable[str]) -> Sequence[bool]:
        check_name(collection, "Collection name")
        keys = [check_key(key) for key in keys]
        with self._errors(collection, writing=True):
            return self._place.delete(collection, keys)

    # -- inside

    def _each(self, call: Callable[[T], R], items: Sequence[T]) -> builtins.list[R]:
        return in_threads(self._place.workers, call, items)

    def _has(self, collection: str) -> bool:
        with self._errors(collection):
            return self._place.has_collection(collection)

    def _require(self, collection: str, *, fresh: bool = False) -> None:
        """Raise unless the collection is there; ``fresh`` asks again even if it was there before."""
        if collection in self._known and not fresh:
            return
        check_name(collection, "Collection name")
        if not self._has(collection):
            self._known.discard(collection)
            raise NotFoundError(
                f"There is no collection {collection!r} in {self.url}. "
                f"Make it with store.create_collections([{collection!r}])."
            )
        self._known.add(collection)

    def _etag_if_there(self, collection: str, key: str) -> str | None:
        try:
            return self._place.etag(collection, key)
        except FileNotFoundError:  # deleted in this moment
            return None

    @contextmanager
    def _errors(self, collection: str, key: str | None = None, writing: bool = False) -> Iterator[None]:
        """Raise what comes from below as an error of workbench."""
        try:
            yield
        except WorkbenchError:
            raise
        except Exception as error:
            if not isinstance(error, (OSError, ImportError)) and not is_foreign(error):
                raise
            if isinstance(error, FileNotFoundError) and key is not None:
                self._require(collection, fresh=True)  # perhaps it is the collection that is absent
            raised = translate(error, self.url, collection, key, writing)
            if self._secret and self._secret in str(error):
                raise type(raised)(str(raised).replace(self._secret, "***"), **raised.facts) from None
            raise raised from error


class StagedFile:
    """A file being written; see `Staged`."""

    def __init__(self, store: FsspecStore, collection: str, path: str) -> None:
        self.path = Path(path)
        self._store = store
        self._collection = collection

    def publish(self, key: str, *, overwrite: bool = True) -> bool:
        check_key(key)
        if not self.path.exists():
            raise InvalidInputError(
                f"Nothing was written to {self.path} to be published as {key!r}. Write the file first."
            )
        with self._store._errors(self._collection, key, writing=True):
            try:
                self._store._place.publish(str(self.path), self._collection, key, overwrite)
            except FileExistsError:
                if overwrite:
                    raise
                return False
        return True


def _content(data: Data) -> Bytes:
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, (bytes, bytearray, memoryview)):
        return data
    raise InvalidInputError(
        f"An object is bytes or text, and this is {type(data).__name__}. Convert it first, for instance json.dumps(...)."
    )
