"""What a run tells, or a sweep: events to any number of listeners, from any thread."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from workbench.models import RunStatus


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One thing that happened to a run.

    ``kind`` is ``state`` (status changed), ``progress`` (fraction or message changed) or ``log`` (``text`` was written, one
    or more whole lines). ``status``, ``fraction`` and ``message`` always hold the current values.
    """

    run_id: str
    kind: Literal["state", "progress", "log"]
    status: RunStatus
    fraction: float
    message: str = ""
    text: str = ""

    @property
    def of(self) -> str:
        """What it happened to, in words."""
        return f"run {self.run_id}"


class Event(Protocol):
    """What is passed on: it says what it happened to."""

    @property
    def of(self) -> str: ...


E = TypeVar("E", bound=Event)


class Events(Generic[E]):
    """Passes events on. A listener that raises is dropped with a warning: it costs the run nothing."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[E], None]] = []
        self._lock = threading.Lock()

    def subscribe(self, listener: Callable[[E], None]) -> Callable[[], None]:
        """Call the listener for every later event; return a function that ends it."""
        with self._lock:
            self._listeners.append(listener)

        def unsubscribe() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return unsubscribe

    def emit(self, event: E) -> None:
        """Give an event to all listeners, in the thread where it happened."""
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            try:
                listener(event)
            except Exception as error:
                with self._lock:
                    if listener in self._listeners:
                        self._listeners.remove(listener)
                warnings.warn(
                    f"A listener of {event.of} raised {type(error).__name__}: {error}; it gets no more events.",
                    RuntimeWarning,
                    stacklevel=2,
                )
