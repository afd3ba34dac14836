"""A thread that looks now and then, as long as there is something to look after."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable


class Timer:
    """Calls a method every few seconds until it returns False; started again by `start`.

    Parameters
    ----------
    seconds : float
    look : bound method
        Held weakly: the timer keeps nothing alive.
    """

    def __init__(self, seconds: float, look: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._look = weakref.WeakMethod(look)
        self._pid = 0
        self._lock = threading.RLock()  # a collection of garbage may come back here
        self._timer: threading.Timer | None = None

    def start(self) -> None:
        """Begin to look, if it is not begun; a forked child begins anew."""
        if self._timer is not None and self._pid == os.getpid():
            return
        with self._lock:
            self._pid = os.getpid()
            self._timer = threading.Timer(self._seconds, _ring, (weakref.ref(self),))
            self._timer.daemon = True
            self._timer.name = "workbench-session-timer"
            self._timer.start()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None and self._pid == os.getpid():
            self._timer.cancel()
        self._timer = None

    def ring(self) -> None:
        """Look, and go on if there is reason."""
        self._timer = None
        look = self._look()
        if look is not None and look():
            self.start()


def _ring(reference: weakref.ref[Timer]) -> None:
    timer = reference()
    if timer is not None:
        timer.ring()
