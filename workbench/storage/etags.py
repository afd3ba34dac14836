"""ETags: how an object is recognised by its content, by the rule that S3 uses.

Below two parts of 8 MiB the ETag is the MD5 of the whole; from there on it is the MD5 of the parts' binary MD5s with the
number of parts behind it. Both are hexadecimal and quoted, as S3 sends them. Every store follows this rule, and uploads are
cut into the same parts, so equal content has an equal ETag wherever it lies.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from workbench.storage.threads import in_threads

PART_SIZE = 8 * 2**20
MAX_PARTS = 10_000  # of one S3 upload
_READ_SIZE = 2**20

Bytes = bytes | bytearray | memoryview


def part_size(size: int) -> int:
    """Return the part size in bytes for an object of ``size`` bytes: 8 MiB, or more where S3 would run out of parts.

    >>> part_size(100) == part_size(78 * 2**30) == 8 * 2**20
    True
    """
    return PART_SIZE * max(1, -(-size // (PART_SIZE * MAX_PARTS)))


def is_multipart(size: int) -> bool:
    """Tell whether an object of ``size`` bytes is uploaded, and its ETag made, in parts."""
    return size >= 2 * part_size(size)


def etag(data: Bytes) -> str:
    """Return the plain ETag: the quoted MD5.

    >>> etag(b"")
    '"d41d8cd98f00b204e9800998ecf8427e"'
    """
    return f'"{_md5(data).hexdigest()}"'


def multipart_etag(data: Bytes, part_size: int = PART_SIZE) -> str:
    """Return the ETag that S3 gives an upload in parts of ``part_size`` bytes; empty data counts as one part.

    >>> multipart_etag(b"")
    '"59adb24ef3cdbe0297f05b395827453f-1"'
    """
    view = memoryview(data).cast("B")
    return _join(len(view), part_size, lambda start: _md5(view[start : start + part_size]).digest())


def object_etag(data: Bytes) -> str:
    """Return the ETag of an object with this content, by the rule that all stores use."""
    size = memoryview(data).nbytes
    return multipart_etag(data, part_size(size)) if is_multipart(size) else etag(data)


def file_etag(path: str | Path) -> str:
    """Return the ETag of a file's content by the same rule, without holding it in memory."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        size = os.fstat(descriptor).st_size
        if not is_multipart(size):
            return f'"{_file_md5(descriptor, 0, size).hexdigest()}"'
        part = part_size(size)
        return _join(size, part, lambda start: _file_md5(descriptor, start, min(part, size - start)).digest())
    finally:
        os.close(descriptor)


def _md5(data: Bytes) -> hashlib._Hash:
    return hashlib.md5(data, usedforsecurity=False)


def _file_md5(descriptor: int, start: int, length: int) -> hashlib._Hash:
    md5 = _md5(b"")
    end = start + length
    while start < end and (data := os.pread(descriptor, min(_READ_SIZE, end - start), start)):
        md5.update(data)
        start += len(data)
    return md5


def _join(size: int, part: int, digest: Callable[[int], bytes]) -> str:
    starts = range(0, max(size, 1), part)
    # MD5 of large data runs without the interpreter's lock
    digests = in_threads(os.cpu_count() or 1, digest, starts)
    return f'"{_md5(b"".join(digests)).hexdigest()}-{len(digests)}"'
