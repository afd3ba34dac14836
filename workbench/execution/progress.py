"""Progress of a run: a fraction that never goes back; tqdm bars feed it."""

from __future__ import annotations

import math
import sys
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
        self._original: Any = None

    def install(self) -> None:
        """Take over drawing, once tqdm has been imported by anyone; cheap and safe to call often."""
        std = sys.modules.get("tqdm.std")
        cls = getattr(std, "tqdm", None)
        if cls is None or self._tqdm is not None:
            return
        self._tqdm, self._original = cls, cls.display
        original, current = cls.display, self._current

        def display(bar: Any, *args: Any, **kwargs: Any) -> Any:
            report = current()
            if report is None:
                return original(bar, *args, **kwargs)
            if not getattr(bar, "pos", 0) and bar.total:
                report(min(1.0, bar.n / bar.total), bar.desc.rstrip(": ") if bar.desc else "")
            return True

        cls.display = display

    def remove(self) -> None:
        """Give drawing back to tqdm."""
        if self._tqdm is not None:
            self._tqdm.display = self._original
            self._tqdm = self._original = None
