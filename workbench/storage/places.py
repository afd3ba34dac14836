"""Where a `FsspecStore` keeps its objects: what such a place can do, and which one a URL means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from workbench.errors import InvalidInputError, UnsupportedError
from workbench.models import ObjectInfo
from workbench.storage.etags import Bytes
from workbench.storage.failures import translate
from workbench.storage.folder import Folder


class Place(Protocol):
    """Where the objects lie: a `Folder`, or `Remote` and its kin. Names and keys are checked, errors are the builtin ones.

    ``replace`` returns None where something else is there than what it was to replace.
    """

    root: str
    is_local: bool
    is_shared: bool
    workers: int

    def has_collection(self, name: str) -> bool: ...
    def make_collection(self, name: str) -> bool: ...
    def collections(self) -> list[str]: ...
    def is_empty(self) -> bool: ...
    def drop_collection(self, name: str) -> None: ...
    def sweep(self, name: str, older_than_s: float) -> int: ...
    def write(self, collection: str, key: str, data: Bytes, overwrite: bool) -> ObjectInfo: ...
    def replace(self, collection: str, key: str, data: Bytes, was: Bytes) -> ObjectInfo | None: ...
    def temporary(self, collection: str) -> str: ...
    def publish(self, path: str, collection: str, key: str, overwrite: bool) -> None: ...
    def discard(self, path: str) -> None: ...
    def read(self, collection: str, key: str, start: int, stop: int | None) -> bytes: ...
    def open(self, collection: str, key: str) -> BinaryIO: ...
    def path(self, collection: str, key: str) -> Path | None: ...
    def info(self, collection: str, key: str) -> ObjectInfo: ...
    def etag(self, collection: str, key: str) -> str: ...
    def exists(self, collection: str, key: str) -> bool: ...
    def scan(self, collection: str, prefix: str, after: str, limit: int | None) -> Iterator[ObjectInfo]: ...
    def delete(self, collection: str, keys: Sequence[str]) -> list[bool]: ...


def locate(url: str, options: dict[str, Any], durability: str, threads: int) -> tuple[str, Place]:
    """Return the URL as it may be shown, and the place it means."""
    protocol, separator, rest = url.partition("://")
    if not separator or protocol in {"file", "local"}:
        if separator:
            if not rest.startswith("/"):
                raise InvalidInputError(
                    f"{url!r} names a host or a relative path; write file:///absolute/path or a plain path."
                )
            rest = unquote(rest)
        root = str(Path(rest if separator else url).expanduser().absolute())
        return root, Folder(root, durability == "fsync", threads)
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    shown = f"{protocol}://{host}{parts.path}".rstrip("/")
    if protocol in {"s3", "s3a"}:
        from workbench.storage.s3 import S3

        if not host:
            raise InvalidInputError(f"{shown!r} names no bucket. Write s3://bucket/prefix.")
        if parts.username:
            options.setdefault("key", unquote(parts.username))
            options.setdefault("secret", unquote(parts.password or ""))
        return shown, S3(f"{host}{parts.path}".rstrip("/"), options, threads)
    from workbench.storage.remote import Remote

    try:
        return shown, Remote(protocol, url, options, threads)
    except ValueError as error:
        raise UnsupportedError(
            f"{shown} has the protocol {protocol!r}, which fsspec does not know: {error}. "
            "Use a folder, file://, memory:// or s3://bucket/prefix."
        ) from None
    except ImportError as error:
        raise translate(error, shown, "", None, writing=False) from error
