"""Datasets as plain HDF5 files: written and read at the speed of the raw file.

Arrays lie contiguous, so their bytes go around the HDF5 library: the library makes the file and says where each array
lies, then blocks are written there while a second thread takes the digest of the same block. Reading does the reverse,
in parallel parts. Any program that reads HDF5 reads these files; ``workbench_kind`` and ``workbench_dtype`` attributes
mark only what HDF5 itself cannot tell (a Python int from an array, a tuple from a list).

The digest is over the content (`values.header` and the bytes of each array), never over the file: the same content has
the same digest whatever the compression or the version of the library.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from workbench.errors import (
    DamagedError,
    InvalidDataError,
    NotFoundError,
    ReadOnlyError,
    StorageError,
    StorageFullError,
    WorkbenchError,
    nearest,
)
from workbench.models import KeyInfo
from workbench.storage import hdf5_layout as layout
from workbench.storage.hdf5_layout import DTYPE, KIND
from workbench.storage.mapped import map_array
from workbench.storage.small_files import SMALL, is_small, small
from workbench.storage.values import (
    BLOCK,
    Entry,
    Group,
    Leaf,
    blocks,
    describe,
    flatten,
    from_descr,
    header,
    is_text,
    restore,
)

if TYPE_CHECKING:
    import h5py
    import numpy as np
    from numpy.typing import NDArray

#: fill a buffer with the bytes of the file that begin at a position
ReadAt = Callable[[int, memoryview], None]
_DIRECT = 1 << 16  # bytes from which an array is read around the library
_PART = 16 << 20  # bytes that one reading thread takes at a time


def write(
    path: Path, tree: Mapping[str, Any], *, compression: str = "none"
) -> tuple[str, dict[str, KeyInfo]]:
    """Write a tree of values into one new HDF5 file.

    Parameters
    ----------
    path : Path
        The file; what is there is replaced.
    tree : mapping
        Key to array, torch tensor, number, text, bytes, or list, tuple or dict of those; None is left out.
    compression : {"none", "gzip", "lzf"}
        Applied to arrays of two and more axes, one slice along axis 0 per chunk.

    Returns
    -------
    digest : str
        BLAKE3 of the content, 64 hexadecimal digits.
    keys : dict of str to KeyInfo

    Raises
    ------
    InvalidDataError
        With the key, for what cannot be stored.
    StorageFullError, StorageError
        If the file cannot be written.
    """
    entries = flatten(tree)
    with _storage_errors(path):
        if compression == "none" and is_small(entries):
            made = small(entries)
            path.write_bytes(made.content)
            return made.digest, made.keys
        digest = _write_large(path, entries, None if compression == "none" else compression)
    return digest, describe(entries)


def read(
    source: Path | BinaryIO,
    keys: Iterable[str] | None = None,
    *,
    read_at: ReadAt | None = None,
    threads: int = 2,
    mapped: bool = False,
    what: str = "",
) -> dict[str, Any]:
    """Read values of an HDF5 file exactly as they were written.

    Parameters
    ----------
    source : Path or binary file object
    keys : iterable of str, optional
        The keys to read; default all. Nothing else is read.
    read_at : callable, optional
        Reads large arrays from a source that is no local file, in parallel; default: through the file object.
    threads : int
        Parallel parts.
    mapped : bool
        Map large arrays of a local file into memory instead of reading them: no copy, one set of pages for all processes.
        Writing to such an array changes this process's pages only. The file must not be changed, nor cut, meanwhile.
    what : str
        What the file is, for messages.

    Raises
    ------
    NotFoundError
        For an absent key.
    DamagedError
        If the file is no HDF5 or is truncated.
    """
    with open_file(source, what) as file, _damage(source, what):
        wanted = list(file) if keys is None else list(keys)
        for key in wanted:
            if key not in file:
                raise NotFoundError(
                    f"{what or source} has no key {key!r}; it has {', '.join(map(repr, file))}.",
                    near=nearest(key, file),
                )
        direct: list[tuple[int, NDArray[Any]]] = []
        place: _Places | None = None
        if isinstance(source, Path) or read_at is not None:
            place = _Places(direct, source if mapped and isinstance(source, Path) else None)
        out = {key: _value(file[key], place, key) for key in wanted}
    if direct and read_at is not None:
        _read_parts(read_at, direct, threads)
    elif direct and isinstance(source, Path):
        with source.open("rb", buffering=0) as raw, _damage(source, what):
            _read_parts(lambda at, buffer: _pread(raw.fileno(), at, buffer), direct, threads)
    return out


def digest(tree: Mapping[str, Any]) -> str:
    """Return the digest that `write` would give a tree, without writing it; large arrays are hashed by all processors.

    Raises
    ------
    InvalidDataError
        With the key, for what cannot be stored.
    """
    import blake3

    entries = flatten(tree)
    nbytes = sum(entry.array.nbytes for entry in entries if isinstance(entry, Leaf))
    threads = blake3.blake3.AUTO if nbytes > SMALL else 1
    hasher = blake3.blake3(header(entries), max_threads=threads)
    for entry in entries:
        if isinstance(entry, Leaf):
            # threads pay with large pieces, and what lies in one piece needs no copy
            for block in blocks(entry.array, max(BLOCK, entry.array.nbytes if _is_whole(entry) else 0)):
                hasher.update(block.data)
    return hasher.hexdigest()


def _is_whole(leaf: Leaf) -> bool:
    """Tell whether the bytes of an array lie in one piece."""
    return bool(leaf.array.flags.c_contiguous) and not leaf.is_text


def verify(path: Path, digest: str, what: str = "") -> None:
    """Check that a file holds the content of this digest, with a block at a time in memory.

    Raises
    ------
    DamagedError
        If it does not.
    """
    import blake3

    with open_file(path, what) as file, _damage(path, what), path.open("rb", buffering=0) as raw:
        found: list[tuple[Entry, Any]] = list(_stored(file, ()))
        hasher = blake3.blake3(header([entry for entry, _ in found]))
        for entry, dataset in found:
            if isinstance(entry, Leaf):
                for block in _stored_blocks(entry, dataset, raw.fileno()):
                    hasher.update(block)
    if hasher.hexdigest() != digest:
        raise DamagedError(
            f"{what or path} is damaged: its content has digest {hasher.hexdigest()[:12]}…, expected {digest[:12]}…. "
            "Restore the file from a backup, or make the dataset again."
        )


def open_file(
    source: Path | BinaryIO, what: str = "", make: Callable[..., h5py.File] | None = None
) -> h5py.File:
    """Return a read-only ``h5py.File``, or what ``make`` makes, over a path or a file object.

    Raises
    ------
    NotFoundError
        If the path is absent.
    DamagedError
        If it is no HDF5 file or is truncated.
    """
    import h5py

    if isinstance(source, Path) and not source.is_file():
        raise NotFoundError(f"{what or source} is not there: no file {str(source)!r}.")
    with _damage(source, what):
        return (make or h5py.File)(source, "r")


# -- writing


def _write_large(path: Path, entries: list[Entry], compression: str | None) -> str:
    """Make the file with everything but the contiguous bytes, then write those and hash all."""
    import h5py

    nbytes = sum(e.array.nbytes for e in entries if isinstance(e, Leaf))
    with h5py.File(path, "w", libver=layout.VERSION, **_pages(nbytes)) as file:
        places = [layout.place(file, entry, compression) for entry in entries]
    return _fill(path, entries, places)


def _pages(nbytes: int) -> dict[str, Any]:
    """Return how the file is divided into pages: metadata together, arrays at whole pages; nothing for small files."""
    if nbytes < 1 << 20:
        return {}
    return {"fs_strategy": "page", "fs_page_size": 1 << 12 if nbytes < 16 << 20 else 1 << 16}


def _fill(path: Path, entries: list[Entry], places: list[int | None]) -> str:
    """Write the contiguous bytes to their places and return the digest; a second thread writes while this one hashes."""
    import blake3

    hasher = blake3.blake3(header(entries))
    fd = os.open(path, os.O_WRONLY)
    pool = ThreadPoolExecutor(1, "workbench-write")
    try:
        for entry, at in zip(entries, places, strict=True):
            if isinstance(entry, Group):
                continue
            # what lies in one piece needs no copies, so that neither thread has to wait for the other
            is_whole = _is_whole(entry)
            writing: deque[Future[None]] = deque()
            if is_whole and at is not None:
                writing.append(
                    pool.submit(_pwrite, fd, at, next(blocks(entry.array, entry.array.nbytes)).data)
                )
            for block in blocks(entry.array):
                if not is_whole and at is not None:
                    writing.append(pool.submit(_pwrite, fd, at, block.data))
                    at += block.size
                    if len(writing) > 2:
                        writing.popleft().result()
                hasher.update(block.data)
            for part in writing:
                part.result()
    finally:
        pool.shutdown()
        os.close(fd)
    return hasher.hexdigest()


def _pwrite(fd: int, at: int, data: memoryview) -> None:
    while data:
        done = os.pwrite(fd, data, at)
        data, at = data[done:], at + done


# -- reading


class _Places:
    """Makes the array for bytes that lie in one piece: mapped at once, or noted to be filled later."""

    def __init__(self, direct: list[tuple[int, NDArray[Any]]], mapped: Path | None) -> None:
        self._direct = direct
        self._mapped = mapped

    def __call__(self, at: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        import numpy as np

        array = map_array(self._mapped, at, shape, dtype) if self._mapped is not None else None
        if array is None:
            array = np.empty(shape, dtype)
            self._direct.append((at, array))
        return array


def _value(node: Any, place: _Places | None, key: str) -> Any:
    import h5py

    if isinstance(node, h5py.Group):
        kind = _marked(node, KIND)
        if kind in {"list", "tuple"}:
            items = [_value(node[str(i)], place, f"{key}/{i}") for i in range(len(node))]
            return tuple(items) if kind == "tuple" else items
        return {name: _value(node[name], place, f"{key}/{name}") for name in node}
    leaf = _stand_in(node, (key,))
    if place is None or leaf.kind != "array" or leaf.array.nbytes < _DIRECT or not _is_raw(node, leaf):
        return restore(leaf.kind, _through_library(node, leaf.array.dtype))
    return place(node.id.get_offset(), leaf.array.shape, leaf.array.dtype)


def _stand_in(node: h5py.Dataset, path: tuple[str, ...]) -> Leaf:
    """Return the leaf that a stored array is, with its dtype and shape and none of its memory."""
    import h5py
    import numpy as np

    text = h5py.check_string_dtype(node.dtype)
    marked = _marked(node, DTYPE)
    if text is not None and text.length is None:
        dtype = np.dtype(object)
    elif node.dtype.hasobject or node.shape is None:
        key = "/".join(path)
        raise InvalidDataError(
            f"{key} holds HDF5 type {node.dtype}, which is no array of numbers or text.", key=key
        )
    else:
        dtype = from_descr(marked) if marked else np.dtype(node.dtype, metadata={})
    kind = _marked(node, KIND) or ("str" if dtype.hasobject and node.shape == () else "array")
    return Leaf(path, kind, np.broadcast_to(np.empty((), dtype), node.shape))


def _is_raw(node: h5py.Dataset, leaf: Leaf) -> bool:
    """Tell whether the bytes in the file are those of the array in memory."""
    import h5py

    if node.id.get_offset() is None or leaf.array.dtype.kind in "OU":
        return False
    layout = node.id.get_create_plist()
    in_one_piece = layout.get_layout() == h5py.h5d.CONTIGUOUS and not layout.get_external_count()
    return in_one_piece and h5py.h5t.py_create(node.dtype, logical=True) == node.id.get_type()


def _through_library(node: h5py.Dataset, dtype: np.dtype[Any]) -> NDArray[Any]:
    import numpy as np

    if is_text(dtype):
        array = np.empty(node.shape, object)
        array[...] = node.asstr()[()]
        return array
    stored = np.asarray(node[...])
    if dtype.kind == "U":
        return np.asarray(np.char.decode(stored, "utf-8"), dtype)
    return stored if stored.dtype == dtype and not stored.dtype.metadata else stored.view(dtype)


def _marked(node: Any, name: str) -> str | None:
    import h5py

    if not h5py.h5a.exists(node.id, name.encode()):  # most nodes have none, and asking `attrs` takes long
        return None
    value = node.attrs[name]
    return value.decode() if isinstance(value, bytes) else str(value)


def _stored(group: h5py.Group, path: tuple[str, ...]) -> Iterator[tuple[Entry, Any]]:
    """Yield the entries of a file in canonical order, each with its node."""
    import h5py

    is_list = _marked(group, KIND) in {"list", "tuple"}
    for name in sorted(group, key=int) if is_list else sorted(group):
        node, here = group[name], (*path, name)
        if isinstance(node, h5py.Group):
            yield Group(here, _marked(node, KIND) or "dict"), node
            yield from _stored(node, here)
        else:
            yield _stand_in(node, here), node


def _stored_blocks(leaf: Leaf, node: h5py.Dataset, fd: int) -> Iterator[Any]:
    import numpy as np

    array = leaf.array
    if _is_raw(node, leaf):
        at, buffer = node.id.get_offset(), np.empty(min(BLOCK, array.nbytes), np.uint8)
        for start in range(0, array.nbytes, BLOCK):
            part = buffer[: min(BLOCK, array.nbytes - start)].data
            _pread(fd, at + start, part)
            yield part
    elif node.chunks and array.size:
        rows = max(1, BLOCK * array.shape[0] // array.nbytes)
        for start in range(0, array.shape[0], rows):
            yield from blocks(node[start : start + rows])
    else:
        yield from blocks(_through_library(node, array.dtype))


def _read_parts(read_at: ReadAt, arrays: list[tuple[int, NDArray[Any]]], threads: int) -> None:
    """Fill arrays with the bytes at their places, in parallel parts."""
    parts = [
        (at + start, flat[start : start + _PART].data)
        for at, flat in ((at, next(blocks(a, a.nbytes))) for at, a in arrays)
        for start in range(0, flat.size, _PART)
    ]
    if len(parts) == 1 or threads == 1:
        for part in parts:
            read_at(*part)
        return
    with ThreadPoolExecutor(min(threads, len(parts)), "workbench-read") as pool:
        for done in [pool.submit(read_at, *part) for part in parts]:
            done.result()


def _pread(fd: int, at: int, buffer: memoryview) -> None:
    while buffer:
        done = os.preadv(fd, [buffer], at)
        if not done:
            raise OSError(f"the file ends at byte {at}, inside an array")
        buffer, at = buffer[done:], at + done


# -- errors


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except WorkbenchError:
        raise
    except OSError as error:
        folder = path.parent  # the file has a name for as long as it is written, which says nothing
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFullError(
                f"No space is left in {folder}; nothing was stored. Free some, or open a workspace elsewhere."
            ) from error
        why = error.strerror or error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise ReadOnlyError(
                f"The folder {folder} is read-only for you ({why}); nothing was stored. "
                "Ask for the right to write, or open a workspace elsewhere."
            ) from error
        raise StorageError(f"The data could not be written to {folder}: {why}.") from error


@contextmanager
def _damage(source: Path | BinaryIO, what: str) -> Iterator[None]:
    try:
        yield
    except (WorkbenchError, PermissionError, ConnectionError, TimeoutError):
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise DamagedError(
            f"{what or source} is not a whole HDF5 file: {str(error).strip(chr(39))}. "
            "Restore it from a backup, or make the dataset again."
        ) from error
