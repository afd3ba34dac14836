"""What a handle and a view need of a run that has not ended, wherever it is: in this process or behind the run host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from workbench.execution.events import RunEvent
from workbench.models import RunRecord


class ReadableLog(Protocol):
    """The log of a run as far as it is written."""

    def read(self) -> str: ...


class ActiveRun(Protocol):
    """A run that sends events."""

    record: RunRecord
    exception: BaseException | None
    is_detached: bool  # nothing more is heard of it, though it may go on

    @property
    def log(self) -> ReadableLog: ...

    @property
    def is_active(self) -> bool: ...

    @property
    def fraction(self) -> float: ...

    @property
    def message(self) -> str: ...

    @property
    def silence_s(self) -> float: ...

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for the end; return False if it did not come in time."""
        ...

    def request_cancel(self) -> None:
        """Ask the run to end."""
        ...

    def subscribe(self, listener: Callable[[RunEvent], None]) -> Callable[[], None]:
        """Call the listener for every later event; return a function that ends it."""
        ...
