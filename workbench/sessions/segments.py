"""Segments: files that hold a body and buffers, published whole, and mapped by any process without a copy.

A segment begins with a fixed head and a table of its buffers; the buffers are aligned, large ones to pages, so that an array
over a mapping is as good as any other. A published file is never written again: whoever mapped it may look at it for ever, also
when its name is gone. The one exception is the digest in the head, which is added when somebody asked for it.

A reader holds a shared lock on its own descriptor for as long as a view lives (the mapping keeps the descriptor), and a file is
written anew only under the exclusive lock, while it has no published name.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.errors import DamagedError
from workbench.sessions.locks import try_shared
from workbench.storage.failures import is_full

MAGIC = b"WBITEM01"
HEAD = struct.Struct("<8sIIIIQQ32s")  # magic, flags, arrays, other buffers, 0, bytes of meta, of body, digest
ENTRY = struct.Struct("<QQ")  # offset and length of a buffer
DIGEST_AT = HEAD.size - 32
NO_DIGEST = bytes(32)
PAGE = 4096
LINE = 64
COPIED = 64 << 10  # smaller files are read, not mapped
WRITE_BYTES = 1 << 30  # of one call; the system takes no more than 2 GiB

_POPULATE_WRITE = 23  # of madvise, Linux 5.14
LIVE = 1  # flag: its maker still writes to it, see `Session.empty`
LOCAL = 2  # flag: the object stayed in the process that owns it


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies in a segment: its first bytes, the offsets of its buffers, its size."""

    first: bytes
    offsets: tuple[int, ...]
    size: int


def lay_out(
    meta: bytes, body: bytes, arrays: Sequence[int], others: Sequence[int] = (), flags: int = 0
) -> Layout:
    """Plan a segment.

    Parameters
    ----------
    meta, body : bytes
        What lies in front: facts for listings, and for instance a pickle.
    arrays, others : sequence of int
        Lengths of the buffers in bytes.
    """
    lengths = [*arrays, *others]
    end = HEAD.size + ENTRY.size * len(lengths) + len(meta) + len(body)
    offsets = []
    position = end
    for length in lengths:
        if length:
            step = PAGE if length >= COPIED else LINE
            position = -(-position // step) * step
            offsets.append(position)
            position += length
        else:
            offsets.append(end)
    first = b"".join(
        (
            HEAD.pack(MAGIC, flags, len(arrays), len(others), 0, len(meta), len(body), NO_DIGEST),
            *(ENTRY.pack(o, n) for o, n in zip(offsets, lengths, strict=True)),
            meta,
            body,
        )
    )
    return Layout(first, tuple(offsets), position)


def write_new(path: str, layout: Layout, buffers: Sequence[memoryview]) -> None:
    """Write a segment into a file that is not there yet; on failure nothing is left.

    Written and not mapped: new pages of a mapping cost several times a copy, and on a full disk they are a SIGBUS.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if layout.size < COPIED and buffers:
            whole = bytearray(layout.size)
            whole[: len(layout.first)] = layout.first
            for offset, buffer in zip(layout.offsets, buffers, strict=True):
                whole[offset : offset + len(buffer)] = buffer
            _write_at(descriptor, memoryview(whole), 0)
        else:
            _write_at(descriptor, memoryview(layout.first), 0)
            for offset, buffer in zip(layout.offsets, buffers, strict=True):
                _write_at(descriptor, buffer, offset)
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(descriptor)


def allocate(path: str, layout: Layout) -> None:
    """Make a file with a segment's head and really allocated, empty buffers."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, layout.size)
        else:
            zeros = memoryview(bytes(1 << 20))
            for offset in range(0, layout.size, len(zeros)):
                _write_at(descriptor, zeros[: layout.size - offset], offset)
        _write_at(descriptor, memoryview(layout.first), 0)
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(descriptor)


def _write_at(descriptor: int, data: memoryview, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done : done + WRITE_BYTES], offset + done)


@dataclass(slots=True)
class Segment:
    """An open segment. Its buffers are private and writable: what is written to them is seen by nobody else.

    Parameters
    ----------
    flags : int
    meta, body : bytes
    arrays, others : list of memoryview
    digest : bytes
        As remembered in the file; zeros if nobody asked for it yet.
    inode : int
    size : int
        Of the file.
    """

    flags: int
    meta: bytes
    body: bytes
    arrays: list[memoryview]
    others: list[memoryview]
    digest: bytes
    inode: int
    size: int


def open_segment(path: str, now_ns: int | None = None) -> Segment:
    """Open what is published under a name.

    Parameters
    ----------
    now_ns : int, optional
        Kept as the time of last use.

    Raises
    ------
    FileNotFoundError
        If nothing is.
    DamagedError
        If it is no segment.
    """
    while True:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            facts = os.fstat(descriptor)
            if facts.st_size >= COPIED:
                # A file that was taken from this name since may be written anew right now, or hold something else already.
                if not try_shared(descriptor) or not _is_at(path, facts):
                    continue
                data = _map(descriptor, path, facts)
            else:
                data = memoryview(bytearray(os.read(descriptor, COPIED)))
            if now_ns is not None:
                _note_use(descriptor, now_ns)
        finally:
            os.close(descriptor)
        return _parse(path, data, facts)


def _is_at(path: str, facts: os.stat_result) -> bool:
    there = os.stat(path)
    return (there.st_ino, there.st_dev) == (facts.st_ino, facts.st_dev)


def _map(descriptor: int, path: str, facts: os.stat_result) -> memoryview:
    """Return the bytes of a segment; while a view of them lives, so does the lock of the descriptor."""
    from workbench.sessions.mappings import KEPT

    size = facts.st_size
    locked = -1
    try:
        locked = os.dup(descriptor)
        return KEPT.view(locked, path, facts)
    except FileNotFoundError:  # it lost its name just now; under its lock it is still what it was
        return memoryview(mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY))
    except OSError as error:
        if locked >= 0:
            os.close(locked)
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        # more views than the system allows open files: a copy needs none
        copy = memoryview(bytearray(size))
        done = 0
        while done < size:
            done += os.preadv(descriptor, [copy[done : done + WRITE_BYTES]], done)
        return copy


def _note_use(descriptor: int, now_ns: int) -> None:
    with contextlib.suppress(OSError):  # a place that can only be read
        os.utime(descriptor, ns=(now_ns, now_ns))


def _parse(path: str, data: memoryview, facts: os.stat_result) -> Segment:
    if len(data) < HEAD.size:
        raise DamagedError(f"{path} is no session item: it has {len(data)} bytes. Delete that file.")
    magic, flags, n_arrays, n_others, _, meta_bytes, body_bytes, digest = HEAD.unpack_from(data)
    table = HEAD.size + ENTRY.size * (n_arrays + n_others)
    if magic != MAGIC or table + meta_bytes + body_bytes > len(data):
        raise DamagedError(f"{path} is no session item: its head is not ours. Delete that file.")
    spans = list(ENTRY.iter_unpack(data[HEAD.size : table]))
    if any(offset + length > len(data) for offset, length in spans):
        raise DamagedError(f"{path} is damaged: it ends before its buffers do. Delete that file.")
    views = [data[offset : offset + length] for offset, length in spans]
    meta = bytes(data[table : table + meta_bytes])
    body = bytes(data[table + meta_bytes : table + meta_bytes + body_bytes])
    return Segment(flags, meta, body, views[:n_arrays], views[n_arrays:], digest, facts.st_ino, facts.st_size)


def read_meta(path: str) -> tuple[int, bytes]:
    """Return flags and meta of a segment without mapping it.

    Raises
    ------
    FileNotFoundError, DamagedError
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        first = os.pread(descriptor, PAGE, 0)
        if len(first) < HEAD.size or not first.startswith(MAGIC):
            raise DamagedError(f"{path} is no session item: its head is not ours. Delete that file.")
        _, flags, n_arrays, n_others, _, meta_bytes, _, _ = HEAD.unpack_from(first)
        table = HEAD.size + ENTRY.size * (n_arrays + n_others)
        if table + meta_bytes > len(first):
            return flags, os.pread(descriptor, meta_bytes, table)
        return flags, first[table : table + meta_bytes]
    finally:
        os.close(descriptor)


def flags_of(descriptor: int) -> int:
    """Return the flags of an open segment."""
    first = os.pread(descriptor, HEAD.size, 0)
    return int(HEAD.unpack(first)[1]) if len(first) == HEAD.size else 0


def remember_digest(path: str, inode: int, digest: bytes) -> None:
    """Keep a digest in the head of what is published under a name, if it still is the same."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:  # gone, or only to be read: it is computed again then
        return
    try:
        facts = os.fstat(descriptor)
        if (
            facts.st_ino == inode
            and (facts.st_size < COPIED or try_shared(descriptor))
            and _is_at(path, facts)
        ):
            os.pwrite(descriptor, digest, DIGEST_AT)
            os.utime(descriptor, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    except OSError:
        return
    finally:
        os.close(descriptor)


def map_shared(path: str, size: int) -> Any:
    """Map a file so that what is written is seen by all; the mapping holds the shared lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        try_shared(descriptor)
        mapping = mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)
    populate(mapping)
    return mapping


def populate(mapping: mmap.mmap) -> None:
    """Bring all pages of a writable mapping in at once: one by one costs twice a copy. Where this is unknown it is left out."""
    if hasattr(mapping, "madvise"):
        with contextlib.suppress(OSError):
            mapping.madvise(_POPULATE_WRITE)


__all__ = [
    "COPIED", "LIVE", "LOCAL", "NO_DIGEST", "Layout", "Segment", "allocate", "flags_of", "is_full", "lay_out", "map_shared",
    "open_segment", "populate", "read_meta", "remember_digest", "write_new",
]  # fmt: skip
