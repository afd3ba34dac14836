"""Work that nobody waits for: things that are kept in a journal are brought to their places by a thread, many at a time."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from workbench.storage import forked

T = TypeVar("T")

LOOK_S = 0.004  # between two looks, in which more may come
LOOKS = 10  # before it waits to be called
EXIT_S = 5.0  # how long the end of the interpreter waits
IDLE_S = 5.0  # before it ends


_filers: WeakSet[Filer[Any]] = WeakSet()


def _finish_all() -> None:
    """File what waits when the interpreter ends: a workspace that was not closed may be read where nothing can be filed."""
    for filer in list(_filers):
        with suppress(Exception):  # it is kept: the next one that looks files it
            filer.finish(EXIT_S)


atexit.register(_finish_all)


class Filer(Generic[T]):
    """A thread that begins with the first thing to do and ends when there was nothing for a while; safe to use from several threads.

    Parameters
    ----------
    file : callable
        Brings things to their places. What it raises is raised to who waits, and the things are tried again then.
    name : str
        Of the thread.
    """

    def __init__(self, file: Callable[[Sequence[T]], None], name: str) -> None:
        self._file = file
        self._name = name
        self.begin_anew()
        forked.remember(self)
        _filers.add(self)

    def begin_anew(self) -> None:
        """Begin with nothing to do: what waits before a fork is the parent's."""
        self._changed = threading.Condition()
        self._waiting: list[T] = []
        self._added = self._filed = 0
        self._thread: threading.Thread | None = None
        self._is_hurried = self._is_closed = False
        self._looks = 0  # how often the thread will look without being called
        self._error: Exception | None = None

    def add(self, things: Iterable[T]) -> None:
        """File these things soon."""
        with self._changed:
            before = len(self._waiting)
            self._waiting += things
            self._added += len(self._waiting) - before
            if self._waiting:
                self._start()

    def finish(self, timeout_s: float | None = None) -> bool:
        """Wait until all that was added before is filed; tell whether there was anything.

        Raises
        ------
        Exception
            What filing raised.
        """
        if not self._waiting or self.is_this_thread:
            return False
        with self._changed:
            self._error, self._is_hurried = None, True
            self._start()
            last = self._added
            self._changed.wait_for(lambda: self._filed >= last or self._error, timeout_s)
            self._is_hurried = False
            if self._error is not None:
                raise self._error
        return True

    @property
    def is_this_thread(self) -> bool:
        """Whether it is the thread that asks."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """End the thread, after what waits."""
        with self._changed:
            thread, self._is_closed = self._thread, True
            self._changed.notify_all()
        if thread is not None:
            thread.join()

    def _start(self) -> None:
        """Let the thread work; called with the lock."""
        if self._thread is None:
            self._is_closed = False
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        if not self._looks or self._is_hurried:
            self._changed.notify_all()

    def _work(self) -> None:
        while self._await_things():
            things = self._waiting[:]
            try:
                self._file(things)
            except Exception as error:
                with self._changed:
                    self._error, self._thread = error, None
                    self._changed.notify_all()
                return
            with self._changed:
                del self._waiting[: len(things)]
                self._filed += len(things)
                self._changed.notify_all()

    def _await_things(self) -> bool:
        """Return when there is something to file; False if there was nothing for a while, and the thread is to end."""
        with self._changed:
            while True:
                # who adds things in a row is not disturbed by a thread that wakes up beside it: this one looks now and then
                for self._looks in range(LOOKS, 0, -1):
                    if self._changed.wait_for(self._is_called, LOOK_S) or self._waiting:
                        break
                self._looks = 0
                if self._waiting:
                    return True
                self._changed.wait_for(lambda: self._waiting or self._is_closed, IDLE_S)
                if not self._waiting:
                    self._thread = None
                    return False

    def _is_called(self) -> bool:
        return self._is_hurried or self._is_closed
