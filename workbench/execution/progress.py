"""Progress of a run: a fraction that never goes back; tqdm bars feed it."""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from workbench.errors import InvalidInputError


def check_fraction(value: object) -> float:
    """Return a fraction in 0..1 as a float.

    Raises
    ------
    InvalidInputError
        If it is no number, not finite or outside 0..1.
    """
    try:
        fraction = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        fraction = math.nan
    if isinstance(value, (str, bytes)) or not 0.0 <= fraction <= 1.0:
        raise InvalidInputError(
            f"Progress is {value!r}, expected a number from 0 to 1. Pass done / total, for example set_progress(i / n)."
        )
    return fraction


class Throttle:
    """Tells whether enough time has passed since it last said yes."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._last = -math.inf
        self._lock = threading.Lock()

    def ready(self) -> bool:
        """Return True at most once per interval."""
        with self._lock:
            if time.monotonic() - self._last < self._interval_s:
                return False
            self._last = time.monotonic()
            return True


class TqdmFeed:
    """While runs are active, a tqdm bar inside one moves the run's progress instead of drawing itself.

    Only the outermost bar of a run counts: nested ones would make it jump. Bars outside runs draw as ever.

    Parameters
    ----------
    current : callable
        Returns a function ``(fraction, message)`` for the run of the calling thread, or None outside of runs.
    """

    def __init__(self, current: Callable[[], Callable[[float, str], None] | None]) -> None:
        self._current = current
        self._tqdm: Any = None
        self._originals: tuple[Any, Any] | None = None

    def install(self) -> None:
        """Take over drawing; imports tqdm, for an algorithm may do so only when it needs a bar."""
        from tqdm.std import tqdm as cls

        self._tqdm, self._originals = cls, (cls.__init__, cls.display)
        (begin, original), current = self._originals, self._current

        def display(bar: Any, *args: Any, **kwargs: Any) -> Any:
            report = current()
            if report is None:
                return original(bar, *args, **kwargs)
            if not getattr(bar, "pos", 0) and bar.total:
                report(min(1.0, bar.n / bar.total), bar.desc.rstrip(": ") if bar.desc else "")
            return True

        def init(bar: Any, *args: Any, **kwargs: Any) -> None:
            begin(bar, *args, **kwargs)
            if type(bar).display is not display and current() is not None:  # a widget, as in notebooks
                bar.display = functools.partial(display, bar)
                bar.delay = getattr(bar, "delay", 0) or 1e-9  # or it would show itself at once

        cls.__init__, cls.display = init, display

    def remove(self) -> None:
        """Give drawing back to tqdm."""
        if self._originals is not None:
            self._tqdm.__init__, self._tqdm.display = self._originals
            self._tqdm = self._originals = None
