"""One thread paints all live views: each at most ten times a second, none while nothing happens."""

from __future__ import annotations

import threading
import time
from typing import Protocol

INTERVAL_S = 0.1
TICK_S = 1.0  # clocks of running runs
PATIENCE = 10  # failures of a view, one after the other, until its front end counts as gone


class View(Protocol):
    """Something that can bring its widgets up to date."""

    def paint(self, *, tick: bool = False) -> None:
        """Bring the widgets up to date; with ``tick`` also what changes with time alone."""
        ...


class Painter:
    """Paints views some time after they ask for it, in a thread of its own.

    The threads in which runs happen only leave a note, so a slow or dead front end costs a run nothing.
    """

    def __init__(self, interval_s: float = INTERVAL_S, tick_s: float = TICK_S) -> None:
        self._interval_s, self._tick_s = interval_s, tick_s
        self._asked = threading.Condition()
        self._dirty: set[View] = set()
        self._ticking: set[View] = set()
        self._failed: dict[View, int] = {}  # how often in a row, until the next tick tries again
        self._thread: threading.Thread | None = None

    def ask(self, view: View) -> None:
        """Paint the view soon."""
        with self._asked:
            self._dirty.add(view)
            self._start()
            self._asked.notify()

    def tick(self, view: View, on: bool) -> None:
        """Paint the view every second, or no longer."""
        with self._asked:
            if on:
                self._ticking.add(view)
                self._start()
            else:
                self._ticking.discard(view)

    def forget(self, view: View) -> None:
        """Paint the view no more."""
        with self._asked:
            self._dirty.discard(view)
            self._ticking.discard(view)
            self._failed.pop(view, None)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="workbench-painter", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        ticked = time.monotonic()
        while True:
            with self._asked:
                if not self._dirty:
                    self._asked.wait(self._tick_s)
                if not self._dirty and not self._ticking and not self._failed:
                    self._thread = None
                    return
                dirty, self._dirty = self._dirty, set()
                is_tick = time.monotonic() - ticked >= self._tick_s
                due = self._ticking | self._failed.keys() if is_tick else set()
            if due:
                ticked = time.monotonic()
            for view in dirty | due:
                self._paint(view, tick=view in due)
            time.sleep(self._interval_s)

    def _paint(self, view: View, *, tick: bool) -> None:
        try:
            view.paint(tick=tick)
        except Exception:  # for a moment, or its front end is gone
            failed = self._failed.get(view, 0) + 1
            self._failed[view] = failed
            if failed >= PATIENCE:
                self.forget(view)
        else:
            self._failed.pop(view, None)


PAINTER = Painter()
