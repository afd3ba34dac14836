"""The ground that sessions of one workspace stand on: its folders, its counters, and how a file gets and loses a name there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.sessions import segments
from workbench.sessions.locks import release, try_exclusive, try_shared
from workbench.sessions.place import Place
from workbench.sessions.pool import Kept, Pool
from workbench.sessions.reasons import Reason, note
from workbench.sessions.segments import Layout, Segment
from workbench.sessions.totals import Counts, Totals
from workbench.sessions.workfolder import WorkFolder

SLOW_TO_DELETE = 1 << 20  # bytes; deleted after the lock is let go


class SessionGoneError(Exception):
    """The session was dropped, here or elsewhere; never leaves this package."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file of an item as a listing sees it."""

    used_ns: int
    token: str
    name: str
    path: str
    size: int
    inode: int
    spilled: bool


class Ground:
    """Folders and counters of the sessions of one workspace.

    Parameters
    ----------
    place : Place
    scope : str
        Name of the workspace's folder on it.
    """

    def __init__(self, place: Place, scope: str) -> None:
        self.place = place
        self.root = place.folder / scope
        self.spill = place.spill / scope if place.spill is not None else None
        for folder in (self.root / "sessions", self.root / "names", self.root / "gone"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.spill is not None:
            (self.spill / "sessions").mkdir(mode=0o700, parents=True, exist_ok=True)
        self.totals = Totals(self.root, self.spill)
        self.work = WorkFolder(self.root / "work")
        self.spill_work = WorkFolder(self.spill / "work") if self.spill is not None else None
        self.pool = Pool(self.work, place.quota // 4)

    def close(self) -> None:
        """Give back what only this process uses."""
        self.pool.close()
        self.work.close()
        if self.spill_work is not None:
            self.spill_work.close()
        self.totals.lock.close()

    # -- where things are

    def session(self, token: str) -> Path:
        """Folder of a session."""
        return self.root / "sessions" / token

    def path(self, token: str, name: str) -> str:
        """File of an item on the place."""
        return f"{self.root}/sessions/{token}/items/{name}"

    def spill_path(self, token: str, name: str) -> str | None:
        """File of an item on the spill disk."""
        return f"{self.spill}/sessions/{token}/items/{name}" if self.spill is not None else None

    def in_use(self, token: str) -> bool:
        """Tell whether a living process has the session open."""
        try:
            descriptor = os.open(self.session(token) / "in-use", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            if try_exclusive(descriptor):
                release(descriptor)
                return False
            return True
        finally:
            os.close(descriptor)

    def hold(self, token: str) -> int:
        """Mark a session as in use; return the descriptor that does, to be closed in the end."""
        descriptor = os.open(self.session(token) / "in-use", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while not try_shared(descriptor):  # somebody is looking whether it is in use
            time.sleep(0)
        return descriptor

    # -- items

    def open(self, token: str, name: str, now_ns: int | None = None) -> tuple[Segment, str]:
        """Open an item; return it and its file.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """
        path, spilled = self.path(token, name), self.spill_path(token, name)
        try:
            return segments.open_segment(path, now_ns), path
        except FileNotFoundError:
            pass
        if spilled is not None:
            try:
                return segments.open_segment(spilled, now_ns), spilled
            except FileNotFoundError:
                pass
        # between the two looks it may have been put again
        return segments.open_segment(path, now_ns), path

    def find(self, token: str, name: str) -> Item | None:
        """Return the facts of an item's file without opening it."""
        for path, spilled in ((self.path(token, name), False), (self.spill_path(token, name), True)):
            if path is not None:
                try:
                    facts = os.stat(path)
                except FileNotFoundError:
                    continue
                return Item(facts.st_mtime_ns, token, name, path, facts.st_size, facts.st_ino, spilled)
        return None

    def items(self, tokens: Sequence[str], *, spilled: bool) -> Iterator[Item]:
        """Yield the items of sessions on the place or on the spill disk."""
        root = self.spill if spilled else self.root
        for token in tokens if root is not None else ():
            try:
                with os.scandir(f"{root}/sessions/{token}/items") as entries:
                    for entry in entries:
                        try:
                            facts = entry.stat(follow_symlinks=False)
                        except FileNotFoundError:
                            continue
                        yield Item(
                            facts.st_mtime_ns,
                            token,
                            entry.name,
                            entry.path,
                            facts.st_size,
                            facts.st_ino,
                            spilled,
                        )
            except FileNotFoundError:
                continue

    def write(self, layout: Layout, buffers: Sequence[memoryview]) -> tuple[str, Kept | None]:
        """Write a segment into the work folder: into a used one if there is one that fits, else into a new file.

        Raises
        ------
        OSError
            If the place is full.
        """
        kept = self.pool.take(layout.size)
        if kept is not None:
            path = kept.path
            try:
                self.pool.fill(kept, layout, buffers)
            except BaseException:
                os.unlink(path)
                kept.close()
                raise
            return path, kept
        path = self.work.new_name()
        segments.write_new(path, layout, buffers)
        return path, None

    def write_spilled(self, layout: Layout, buffers: Sequence[memoryview] | None) -> str:
        """Write a segment into the work folder of the spill disk; without buffers they are yet to be written.

        Raises
        ------
        OSError
            If the disk is full.
        """
        assert self.spill_work is not None
        path = self.spill_work.new_name()
        if buffers is None:
            segments.allocate(path, layout)
        else:
            segments.write_new(path, layout, buffers)
        return path

    def allocate(self, layout: Layout) -> tuple[str, Kept | None]:
        """Make a segment in the work folder whose buffers are yet to be written.

        Raises
        ------
        OSError
            If the place is full.
        """
        kept = self.pool.take(layout.size)
        if kept is not None:
            self.pool.fill(kept, layout, ())
            return kept.path, kept
        path = self.work.new_name()
        segments.allocate(path, layout)
        return path, None

    def publish(self, token: str, name: str, path: str, kept: Kept | None, now_ns: int) -> Counts:
        """Give a written file its name; return the counts of the session.

        Raises
        ------
        SessionGoneError
            If the session was dropped; the file is deleted.
        """
        os.utime(path, ns=(now_ns, now_ns))
        target = self.path(token, name)
        if kept is None:
            kept = self.pool.adopt(path)
        old_path: str | None = None
        old: os.stat_result | None = None
        try:
            with self.totals.changing(token) as counts:
                try:
                    old = os.stat(target)
                except FileNotFoundError:
                    old = None
                if old is not None and (old.st_size >= SLOW_TO_DELETE or self.pool.knows(old.st_ino)):
                    old_path = self.work.new_name()
                    os.link(target, old_path)
                size = os.stat(path).st_size
                os.rename(path, target)
                counts.items += old is None
                counts.nbytes += size - (old.st_size if old is not None else 0)
                if counts.spilled_items:
                    self._forget_spilled(counts, token, name)
        except FileNotFoundError:
            if kept is not None:
                kept.close()
            if self.session(token).is_dir():
                raise
            Path(path).unlink(missing_ok=True)
            raise SessionGoneError(token) from None
        if kept is not None:
            self.pool.published(kept)
        if old is not None and old_path is not None:
            self.pool.retire(old.st_ino, old_path)
        return counts

    def publish_spilled(self, token: str, name: str, path: str, now_ns: int) -> Counts:
        """Give a file in the work folder of the spill disk its name; return the counts of the session.

        Raises
        ------
        SessionGoneError
            If the session was dropped; the file is deleted.
        """
        target = self.spill_path(token, name)
        assert target is not None
        os.utime(path, ns=(now_ns, now_ns))
        discard: list[Callable[[], None]] = []
        with self.totals.changing(token) as counts:
            if not self.session(token).is_dir():
                Path(path).unlink()
                raise SessionGoneError(token)
            self._forget_spilled(counts, token, name)
            Path(target).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            size = os.stat(path).st_size
            os.rename(path, target)
            counts.spilled_items += 1
            counts.spilled_bytes += size
            here = self.find(token, name)
            if here is not None and not here.spilled:
                discard.append(self._take(counts, here))
        for each in discard:
            each()
        return counts

    def remove(self, items: Sequence[Item], why: Reason | None, keys: Sequence[str] = ()) -> int:
        """Take items of one session away, if they are still what they were; return how many went.

        Parameters
        ----------
        why : Reason, optional
            Kept for whoever looks for them, under ``keys``.
        """
        if not items:
            return 0
        token = items[0].token
        discard = []
        with self.totals.changing(token) as counts:
            gone = [n for n, item in enumerate(items) if is_same(item)]
            if why is not None and gone and self.session(token).is_dir():
                note(f"{self.session(token)}/reasons", [keys[n] for n in gone], why)
            for n in gone:
                discard.append(self._take(counts, items[n]))
        for each in discard:
            each()
        return len(gone)

    def move_to_disk(self, item: Item) -> bool:
        """Move an item from the place to the spill disk, unless it was used or replaced meanwhile.

        Readers look at the place first, so it gets its name on the disk before it loses the one on the place.
        """
        target = self.spill_path(item.token, item.name)
        if target is None or self.spill_work is None:
            return False
        copy = self.spill_work.new_name()
        try:
            if not _copy_file(item, copy):
                return False
            with self.totals.changing(item.token) as counts:
                if not is_same(item):
                    return False
                Path(target).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.rename(copy, target)
                counts.spilled_items += 1
                counts.spilled_bytes += os.stat(target).st_size
                discard = self._take(counts, item)
        except OSError:  # the disk is full, or the session is gone
            return False
        finally:
            Path(copy).unlink(missing_ok=True)
        discard()
        return True

    def _take(self, counts: Counts, item: Item) -> Callable[[], None]:
        """Take an item's name away and count it off; return what deletes it when the lock is let go."""
        if item.spilled:
            counts.spilled_items -= 1
            counts.spilled_bytes -= item.size
        else:
            counts.items -= 1
            counts.nbytes -= item.size
        work = self.spill_work if item.spilled else self.work
        if work is None or (item.size < SLOW_TO_DELETE and not self.pool.knows(item.inode)):
            os.unlink(item.path)
            return lambda: None
        path = work.new_name()
        os.rename(item.path, path)
        if item.spilled:
            return lambda: os.unlink(path)
        return lambda: self.pool.retire(item.inode, path)

    def _forget_spilled(self, counts: Counts, token: str, name: str) -> None:
        path = self.spill_path(token, name)
        if path is not None:
            try:
                size = os.stat(path).st_size
                os.unlink(path)
            except FileNotFoundError:
                return
            counts.spilled_items -= 1
            counts.spilled_bytes -= size


def is_same(item: Item) -> bool:
    """Tell whether an item is still the file that was seen, and was not used since."""
    try:
        facts = os.stat(item.path)
    except FileNotFoundError:
        return False
    return (facts.st_ino, facts.st_mtime_ns) == (item.inode, item.used_ns)


def _copy_file(item: Item, path: str) -> bool:
    source = os.open(item.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(source).st_ino != item.inode or not try_shared(source):
            return False
        if segments.flags_of(source) & segments.LIVE:
            # Its maker may still be writing to it, and would go on in memory that nobody else sees.
            if not try_exclusive(source):
                return False
            try_shared(source)
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            done = 0
            while done < item.size:
                data = os.pread(source, 4 << 20, done)
                if not data:
                    return False
                view = memoryview(data)
                while view:
                    view = view[os.write(target, view) :]
                done += len(data)
            os.utime(target, ns=(item.used_ns, item.used_ns))
        finally:
            os.close(target)
    finally:
        os.close(source)
    return True
