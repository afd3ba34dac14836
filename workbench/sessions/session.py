"""Session: a named place for objects that outlive cells, kernels and processes. Works like a dict."""

from __future__ import annotations

import contextlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from workbench.errors import InvalidInputError, NotFoundError, StorageFullError
from workbench.models import SessionRecord
from workbench.pages import Page, html_table, text_table
from workbench.sessions import local, packing, segments
from workbench.sessions.ground import Ground, Item, SessionGoneError
from workbench.sessions.keys import file_name, key_of
from workbench.sessions.listing import ItemInfo, item_row, size_text
from workbench.sessions.missing import explain_missing, explain_unreadable, no_session
from workbench.sessions.reasons import Reason, note
from workbench.sessions.room import Room
from workbench.sessions.segments import LIVE, LOCAL, NO_DIGEST, Segment, lay_out

if TYPE_CHECKING:
    import numpy as np

    from workbench.sessions.pool import Kept

TOUCH_NS = 1_000_000_000


class Session:
    """Objects by key, shared by all processes of this user that work in the same workspace: ``ws.session("tuning")``.

    An array that is read is not copied: it is mapped, writable, and what is written to it stays in the process that writes. What
    was read stays as it is, also when the key is put again or removed. Two processes that put the same key: the last complete put
    wins.

    Examples
    --------
    >>> s["volume"] = array                            # doctest: +SKIP
    >>> s["volume"]                                    # in any process
    >>> out = s.empty("out", (1000, 1000), "float32")  # in shared memory from the start: no put is needed
    """

    def __init__(
        self, ground: Ground, room: Room, record: SessionRecord, drop: Callable[[Session], None]
    ) -> None:
        self._ground = ground
        self._room = room
        self._record = record
        self._drop = drop
        self._token = record.token
        self._touched = 0
        self._holder = ground.hold(self._token)
        self._holder_pid = os.getpid()
        self._live: dict[
            str, tuple[int, int]
        ] = {}  # file name -> address and inode of an array made by `empty`

    # -- what it is

    @property
    def name(self) -> str:
        return self._record.name

    @property
    def token(self) -> str:
        """Id of the session; one that is made again under the same name has another."""
        return self._token

    @property
    def created(self) -> Any:
        """When it was made."""
        return self._record.created

    @property
    def nbytes(self) -> int:
        """Bytes that the items take, exactly."""
        counts = self._ground.totals.of(self._token)
        return counts.nbytes + counts.spilled_bytes

    def __len__(self) -> int:
        counts = self._ground.totals.of(self._token)
        return counts.items + counts.spilled_items

    def __bool__(self) -> bool:
        return True

    # -- items

    def __setitem__(self, key: str, value: object) -> None:
        name = file_name(key)
        now = time.time_ns()
        if name in self._live and self._is_live(name, value):
            self._touch(now)
            return
        try:
            packed = packing.pack(value)
        except (KeyboardInterrupt, MemoryError):
            raise
        except Exception as error:  # whatever the object's own way of being pickled raises
            self._keep_here(key, name, value, error, now)
            return
        kind, shape, dtype = packing.describe(value)
        meta = _meta(key, now, kind, shape, dtype)
        arrays, others = packed.arrays, packed.others
        layout = lay_out(meta, packed.body, [len(a) for a in arrays], [len(o) for o in others])
        self._publish(key, name, layout, packed.buffers, now)

    def __getitem__(self, key: str) -> Any:
        try:
            return self._load(key, file_name(key), writable=True)[0]
        except FileNotFoundError:
            raise self._why_missing(key) from None

    def get(self, key: str, default: Any = None, *, mode: Literal["r", "c"] = "c") -> Any:
        """Return an item, or a default if there is none.

        Parameters
        ----------
        mode : {"c", "r"}
            ``c``: arrays are writable; what is written stays in this process. ``r``: arrays are read-only, and an item that is an
            array has a ``digest``.
        """
        if mode not in ("r", "c"):
            raise InvalidInputError(f"mode is {mode!r}, expected 'c' (writable, private) or 'r' (read-only).")
        try:
            value, segment, path = self._load(key, file_name(key), writable=mode == "c")
        except FileNotFoundError:
            if not self._ground.session(self._token).is_dir():
                raise no_session(self.name, self._token) from None
            return default
        if mode == "r" and type(value).__name__ == "ndarray" and hasattr(value, "__array_interface__"):
            from workbench.sessions.read_only import with_digest

            return with_digest(value, lambda: self._digest(value, segment, path))
        return value

    def digest(self, key: str) -> str:
        """Return the BLAKE3 digest of an item's content; computed once and remembered with it.

        Raises
        ------
        NotFoundError
            If there is no such item.
        """
        try:
            value, segment, path = self._load(key, file_name(key), writable=False)
        except FileNotFoundError:
            raise self._why_missing(key) from None
        return self._digest(value, segment, path)

    def __delitem__(self, key: str) -> None:
        name = file_name(key)
        while True:
            found = self._ground.find(self._token, name)
            if found is None:
                raise self._why_missing(key)
            why = Reason("removed", time.time(), f"by process {os.getpid()}")
            if self._ground.remove([found], why, [key]):
                break
        self._forget(name)
        self._touch(time.time_ns())

    def __contains__(self, key: object) -> bool:
        return (
            isinstance(key, str) and key != "" and self._ground.find(self._token, file_name(key)) is not None
        )

    def keys(self) -> list[str]:
        """Return the keys, sorted."""
        found = []
        for item in self._items():
            key = key_of(item.name)
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                found.append(key if key is not None else self._info(item).key)
        return sorted(set(found))

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def empty(self, key: str, shape: int | Sequence[int], dtype: Any = "float64") -> np.ndarray[Any, Any]:
        """Return an array in shared memory that is an item already: no put is needed.

        The array is the shared memory itself. Others see the key at once, and in it what has been written so far; tell them when
        it is complete. Its content is arbitrary before it is written. Putting the same array under its key again does nothing;
        putting another value gives the key another memory, and this array stays with who has it.

        Parameters
        ----------
        key : str
        shape : int or sequence of int
        dtype : dtype
            Not of objects.
        """
        import numpy as np

        name = file_name(key)
        kind = np.dtype(dtype)
        if kind.hasobject:
            raise InvalidInputError(
                f"dtype is {kind}, whose values lie outside of the array. Give a dtype of plain values such as 'float32'."
            )
        dimensions = (shape,) if isinstance(shape, (int, np.integer)) else shape
        sizes = tuple(int(n) for n in dimensions)
        if any(n < 0 for n in sizes):
            raise InvalidInputError(f"shape is {shape!r}, expected no negative lengths.")
        now = time.time_ns()
        length = int(np.prod(sizes, dtype=object)) * kind.itemsize if sizes else kind.itemsize
        body = packing.body_of_array(kind, sizes)
        meta = _meta(key, now, "ndarray", sizes, str(kind))
        layout = lay_out(
            meta, body, [max(length, segments.COPIED)], flags=LIVE
        )  # smaller ones are read, not mapped
        mapping, inode = self._publish(key, name, layout, None, now)
        array = np.ndarray(sizes, kind, buffer=memoryview(mapping)[layout.offsets[0] :])
        self._live[name] = (array.__array_interface__["data"][0], inode)
        return array

    def clear(self) -> None:
        """Remove all items."""
        reasons = f"{self._ground.session(self._token)}/reasons"
        with contextlib.suppress(FileNotFoundError):  # a session that is gone is empty
            note(reasons, None, Reason("cleared", time.time(), f"by process {os.getpid()}"))
        for item in self._items():
            self._ground.remove([item], None)
            self._forget(item.name)
        self._ground.pool.clear()

    def drop(self) -> None:
        """Remove the session with all items; ``ws.session(name)`` makes a new one."""
        for item in list(self._items()):
            self._forget(item.name)
        self._drop(self)
        self._ground.pool.clear()

    def items_info(self, limit: int | None = None) -> Page[ItemInfo]:
        """Return what lies here, most recently used first: key, type, shape, dtype, bytes, ages, and where."""
        found = sorted(self._items(), key=lambda item: item.used_ns, reverse=True)
        infos = []
        for item in found[:limit]:
            try:
                infos.append(self._info(item))
            except FileNotFoundError:
                continue
        return Page(infos, item_row, None, "items", f"Put one: s['volume'] = array in session {self.name!r}.")

    def close(self) -> None:
        """Say that this object uses the session no more; the items stay."""
        if self._holder >= 0 and self._holder_pid == os.getpid():
            os.close(self._holder)
        self._holder = -1

    def __del__(self) -> None:
        if hasattr(self, "_holder"):
            self.close()

    def __repr__(self) -> str:
        return self._head() + "\n" + text_table(self.items_info(50).rows(), "No items.", more=len(self) > 50)

    def _repr_html_(self) -> str:
        import html

        table = html_table(self.items_info(50).rows(), "No items.")
        return f"<div>{html.escape(self._head())}</div>{table}"

    def _head(self) -> str:
        count = len(self)
        return f"Session {self.name}: {count} item{'' if count == 1 else 's'}, {size_text(self.nbytes)}"

    # -- how

    def _publish(
        self,
        key: str,
        name: str,
        layout: segments.Layout,
        buffers: Sequence[memoryview] | None,
        now: int,
    ) -> Any:
        """Write and publish an item: on the place, or where there is no room, on disk.

        Without buffers they are yet to be written: return the memory for them, and the file's inode.
        """
        self._room.check(self.name, key, layout.size)
        path, kept, spilled = self._write(key, name, layout, buffers)
        memory = None
        if buffers is None:
            memory = segments.map_shared(path, layout.size), os.stat(path).st_ino
        try:
            if spilled:
                counts = self._ground.publish_spilled(self._token, name, path, now)
            else:
                counts = self._ground.publish(self._token, name, path, kept, now)
        except SessionGoneError:
            raise no_session(self.name, self._token) from None
        self._forget(name)
        self._room.keep_limits(self._token, name, counts)
        self._touch(now)
        return memory

    def _write(
        self, key: str, name: str, layout: segments.Layout, buffers: Sequence[memoryview] | None
    ) -> tuple[str, Kept | None, bool]:
        """Write an item's file; return its path, a handle for its next use, and whether it is on the spill disk."""
        ground, room = self._ground, self._room
        has_room = room.make(self._token, layout.size, name)
        while has_room:
            try:
                path, kept = ground.allocate(layout) if buffers is None else ground.write(layout, buffers)
                return path, kept, False
            except OSError as error:
                if not segments.is_full(error):
                    raise
                has_room = room.free_place(self._token, layout.size)
        if not room.make_on_disk(self._token, layout.size):
            raise self._no_room(key, layout.size)
        try:
            return ground.write_spilled(layout, buffers), None, True
        except OSError as error:
            if not segments.is_full(error):
                raise
            raise self._no_room(key, layout.size) from error

    def _no_room(self, key: str, size: int) -> StorageFullError:
        place = self._ground.place
        used, spilled = self._ground.totals.used()
        disk = f" and {size_text(spilled)} of {size_text(place.spill_quota)} on disk" if place.spill else ""
        return StorageFullError(
            f"There is no room for item {key[:80]!r} ({size_text(size)}) of session {self.name!r}: all sessions use "
            f"{size_text(used)} of {size_text(place.quota)} in {place.folder}{disk}, and sessions in use are not touched. "
            "Nothing was stored. Drop what you need no more (%algosession, s.clear()), or raise the setting session_quota."
        )

    def _load(self, key: str, name: str, *, writable: bool) -> tuple[Any, Segment, str]:
        now = time.time_ns()
        segment, path = self._ground.open(self._token, name, now)
        self._touch(now)
        if segment.flags & LOCAL:
            found = local.find(self._token, name, segment.body)
            if found is None:
                raise local.explain_elsewhere(self.name, key, segment.body, self._ground.root / "work")
            return found[0], segment, path
        try:
            value = packing.unpack(segment.body, segment.arrays, segment.others, writable=writable)
        except (KeyboardInterrupt, MemoryError):
            raise
        except Exception as error:  # a class or package that is not here
            raise explain_unreadable(self.name, key, error) from error
        return value, segment, path

    def _keep_here(self, key: str, name: str, value: object, error: Exception, now: int) -> None:
        """Keep an object that cannot be pickled in this process, and leave a note for the others."""
        kind = type(value).__name__
        note_text, why = local.note_for_others(self._ground.work.id, error)
        layout = lay_out(_meta(key, now, kind, (), ""), note_text, [], flags=LOCAL)
        self._publish(key, name, layout, (), now)
        local.keep(self._token, name, note_text, value)
        warnings.warn(
            f"Item {key[:80]!r} ({kind}) of session {self.name!r} cannot be pickled ({why}): it stays in this process, other "
            "kernels and background runs cannot read it, and it ends with this kernel. Put its data instead, such as arrays.",
            stacklevel=3,
        )

    def _digest(self, value: Any, segment: Segment, path: str) -> str:
        from workbench.sessions.digests import content_digest

        if segment.flags & LOCAL:
            raise InvalidInputError(
                f"An item of type {type(value).__name__} that cannot be pickled has no digest."
            )
        if segment.digest == NO_DIGEST or segment.flags & LIVE:
            segment.digest = content_digest(value, segment)
            if not segment.flags & LIVE:
                segments.remember_digest(path, segment.inode, segment.digest)
        return segment.digest.hex()

    def _is_live(self, name: str, value: object) -> bool:
        """Tell whether a value is the array that `empty` made for this key."""
        address, inode = self._live[name]
        interface = getattr(value, "__array_interface__", None)
        if interface is None or interface["data"][0] != address:
            return False
        found = self._ground.find(self._token, name)
        if found is None or found.inode != inode:
            return False
        try:
            info = self._info(found)
        except FileNotFoundError:
            return False
        return (info.shape, info.dtype) == (value.shape, str(value.dtype)) and value.flags.c_contiguous  # type: ignore[attr-defined]

    def _items(self) -> Iterator[Item]:
        seen = set()
        for spilled in (False, True):
            for item in self._ground.items((self._token,), spilled=spilled):
                if item.name not in seen:
                    seen.add(item.name)
                    yield item

    def _info(self, item: Item) -> ItemInfo:
        try:
            flags, meta = segments.read_meta(item.path)
        except FileNotFoundError:
            again = self._ground.find(self._token, item.name)  # it may have moved to disk, or back
            if again is None:
                raise
            item = again
            flags, meta = segments.read_meta(item.path)
        facts = json.loads(meta)
        memory = "memory" if self._ground.place.in_memory else "disk"
        where = "this process" if flags & LOCAL else "disk" if item.spilled else memory
        if flags & LOCAL and not local.has(self._token, item.name):
            where = "another process"
        return ItemInfo(
            key=facts["key"],
            type=facts["type"],
            shape=tuple(facts["shape"]),
            dtype=facts["dtype"],
            nbytes=item.size,
            created=facts["created"] / 1e9,
            used=item.used_ns / 1e9,
            where=where,
        )

    def _why_missing(self, key: str) -> NotFoundError:
        folder = self._ground.session(self._token)
        if not folder.is_dir():
            return no_session(self.name, self._token)
        return explain_missing(self.name, key, str(folder / "reasons"), len(self), self.keys)

    def _forget(self, name: str) -> None:
        local.forget(self._token, name)
        self._live.pop(name, None)

    def _touch(self, now: int) -> None:
        """Keep when the session was last used; not at each of a thousand puts a second."""
        if now - self._touched > TOUCH_NS:
            self._touched = now
            with contextlib.suppress(OSError):
                os.utime(self._ground.session(self._token) / "about.json", ns=(now, now))


def _meta(key: str, now: int, kind: str, shape: tuple[int, ...], dtype: str) -> bytes:
    return json.dumps({"key": key, "created": now, "type": kind, "shape": shape, "dtype": dtype}).encode()
