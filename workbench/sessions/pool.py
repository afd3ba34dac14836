"""Segments that this process made and may write again: memory that is touched already is filled five times as fast.

A published segment cannot be written again, but one that was replaced or removed can, as soon as nobody looks at it. The pool
knows the mappings of segments that this process published; when one loses its name it is kept, up to a budget and for a
minute, and the next put of about its size gets it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.sessions.locks import release, try_exclusive
from workbench.sessions.segments import COPIED, Layout, populate
from workbench.sessions.timer import Timer

if TYPE_CHECKING:
    from workbench.sessions.workfolder import WorkFolder

SLACK = 1.25  # a segment may be larger than what is put into it
MOST = 64  # known segments, each with two open files
IDLE_S = 60.0
LOOK_S = 10.0
PARALLEL_BYTES = 4 << 20


@dataclass(slots=True, eq=False)
class Kept:
    """A segment of this process: its descriptor (without a lock) and its mapping."""

    inode: int
    size: int
    descriptor: int
    mapping: mmap.mmap | None = None
    path: str = ""  # in the work folder, while it has no published name
    freed: float = 0.0

    def close(self) -> None:
        self.mapping = None  # not closed: a copying thread may just be letting go of it
        os.close(self.descriptor)


class Pool:
    """The segments that this process may write again.

    Parameters
    ----------
    work : WorkFolder
        On the place where the segments are.
    budget : int
        Most bytes that are kept without a name.
    """

    def __init__(self, work: WorkFolder, budget: int) -> None:
        self._work = work
        self._budget = budget
        self._known: OrderedDict[int, Kept] = OrderedDict()  # published, by inode
        self._free: list[Kept] = []
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._timer = Timer(LOOK_S, self.tidy)

    @property
    def nbytes(self) -> int:
        """Bytes that are kept for the next put."""
        return sum(kept.size for kept in self._free)

    def take(self, size: int) -> Kept | None:
        """Return a free segment of about this size under the exclusive lock, or None."""
        if size < COPIED:
            return None
        with self._lock:
            self._mind_forks()
            for kept in sorted(self._free, key=lambda k: k.size):
                if size <= kept.size <= size * SLACK and try_exclusive(kept.descriptor):
                    self._free.remove(kept)
                    return kept
        return None

    def fill(self, kept: Kept, layout: Layout, buffers: Sequence[memoryview]) -> None:
        """Write a segment anew and let go of its lock."""
        target = memoryview(self._mapping(kept))
        target[: len(layout.first)] = layout.first
        for offset, buffer in zip(layout.offsets, buffers, strict=False):
            copy_bytes(target[offset : offset + len(buffer)], buffer)
        release(kept.descriptor)

    def adopt(self, path: str) -> Kept | None:
        """Return a handle on a file that this process wrote, so that it can be written again when its time is over."""
        size = os.stat(path).st_size
        if size < COPIED or size > self._budget:
            return None
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:  # too many open files: it is not written again then
            return None
        return Kept(os.fstat(descriptor).st_ino, size, descriptor)

    def published(self, kept: Kept) -> None:
        """Note that a segment has a published name now."""
        with self._lock:
            self._mind_forks()
            kept.path = ""
            self._known[kept.inode] = kept
            while len(self._known) > MOST or sum(k.size for k in self._known.values()) > 2 * self._budget:
                self._known.popitem(last=False)[1].close()
            self._timer.start()

    def knows(self, inode: int) -> bool:
        """Tell whether a published segment can be kept when its name goes."""
        return self._pid == os.getpid() and inode in self._known

    def retire(self, inode: int, path: str) -> None:
        """Keep a segment that has lost its published name and has this one in the work folder; or delete it."""
        with self._lock:
            kept = self._known.pop(inode, None) if self._pid == os.getpid() else None
            if kept is None or os.fstat(kept.descriptor).st_nlink != 1:
                os.unlink(path)
                if kept is not None:
                    kept.close()
                return
            kept.path, kept.freed = path, time.monotonic()
            self._free.append(kept)
            while self.nbytes > self._budget:
                self._drop(self._free[0])
            self._timer.start()

    def clear(self) -> int:
        """Give back all free segments; return how many bytes that were."""
        with self._lock:
            self._mind_forks()
            freed = self.nbytes
            for kept in list(self._free):
                self._drop(kept)
            return freed

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            self.clear()
            while self._known:
                self._known.popitem()[1].close()
            self._timer.stop()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the interpreter may be ending
            self.close()

    def tidy(self) -> bool:
        """Let go of what others removed, and of what was free for a while; return whether anything is left.

        A kept mapping holds its memory, whoever removes the file.
        """
        with self._lock:
            for inode, kept in list(self._known.items()):
                if os.fstat(kept.descriptor).st_nlink == 0:
                    del self._known[inode]
                    kept.close()
            now = time.monotonic()
            for kept in [k for k in self._free if now - k.freed > IDLE_S]:
                self._drop(kept)
            return bool(self._known or self._free)

    def _mapping(self, kept: Kept) -> mmap.mmap:
        if kept.mapping is None:
            kept.mapping = mmap.mmap(kept.descriptor, kept.size)
            populate(kept.mapping)
        return kept.mapping

    def _drop(self, kept: Kept) -> None:
        self._free.remove(kept)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(kept.path)
        kept.close()

    def _mind_forks(self) -> None:
        """Forget the parent's segments in a forked child: both would write to them."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._known, self._free = OrderedDict(), []


_threads: ThreadPoolExecutor | None = None
_threads_pid = 0


def copy_bytes(target: memoryview, source: memoryview) -> None:
    """Copy bytes; many of them in threads, for one alone does not use the memory's speed."""
    if len(source) < PARALLEL_BYTES:
        target[:] = source
        return
    import numpy as np

    to, fro = np.frombuffer(target, np.uint8), np.frombuffer(source, np.uint8)
    parts = min(8, 2 * (os.cpu_count() or 1))  # more than cores: others may be busy on them
    step = -(-len(source) // parts // 4096) * 4096
    spans = [slice(begin, begin + step) for begin in range(0, len(source), step)]
    if len(spans) == 1:
        np.copyto(to, fro)
        return

    def copy(span: slice) -> Any:
        np.copyto(to[span], fro[span])  # without the interpreter's lock

    waiting = [_executor().submit(copy, span) for span in spans[1:]]
    copy(spans[0])
    for future in waiting:
        future.result()


def _executor() -> ThreadPoolExecutor:
    global _threads, _threads_pid
    if _threads is None or _threads_pid != os.getpid():
        _threads = ThreadPoolExecutor(7, thread_name_prefix="workbench-session-copy")
        _threads_pid = os.getpid()
    return _threads
