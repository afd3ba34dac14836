"""A run that the run host works on, as this process sees it: fed by the host's messages."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.execution.events import Events, RunEvent
from workbench.models import RunRecord, RunStatus

if TYPE_CHECKING:
    from workbench.execution.runs import Runs


class RemoteLog:
    """The log of a run that grows in a file which another process writes."""

    def __init__(self, runs: Runs, run_id: str) -> None:
        self._runs = runs
        self._id = run_id
        self._path: Path | None = None
        self._seen = 0

    def read(self) -> str:
        """Return all that was written so far."""
        return self._runs.read_log(self._id)

    def new_lines(self, size: int | None = None) -> str:
        """Return what was written since the last call, up to a size in bytes, or to the end."""
        try:
            if self._path is None:
                self._path = self._runs.log_path(self._id)
            if size is None:
                size = self._path.stat().st_size
            if size <= self._seen:
                return ""
            with self._path.open("rb") as file:
                file.seek(self._seen)
                data = file.read(size - self._seen)
        except (OSError, WorkbenchError):  # ended and published meanwhile: `read` has it
            return ""
        self._seen += len(data)
        return data.decode("utf-8", "replace")


class RemoteRun:
    """An `ActiveRun` behind the run host.

    Parameters
    ----------
    record : RunRecord
    runs : Runs
    cancel : callable
        Asks the host to cancel it.
    read_until : callable
        Reads what the host tells in the calling thread, until something is there or a time is over.
    """

    def __init__(
        self,
        record: RunRecord,
        runs: Runs,
        cancel: Callable[[], None],
        read_until: Callable[[Callable[[], bool], float | None], None],
    ) -> None:
        self.record = record
        self.log = RemoteLog(runs, record.id)
        self.exception: BaseException | None = None
        self.is_detached = False
        self.take_back: Callable[[], dict[str, Any]] | None = None  # see `Job`
        self.held: dict[str, Any] = {}  # what it gave and is kept nowhere, as this process has it
        self._events: Events[RunEvent] = Events()
        self._cancel = cancel
        self._read_until = read_until
        self._ended = threading.Event()
        self._last_sign = time.monotonic()
        self._fraction = record.progress.fraction
        self._message = record.progress.message
        if record.status.is_final:
            self._ended.set()

    @property
    def is_active(self) -> bool:
        """Tell whether the run has not ended yet, as far as is known here."""
        return not self._ended.is_set()

    @property
    def fraction(self) -> float:
        return self._fraction

    @property
    def message(self) -> str:
        return self._message

    @property
    def silence_s(self) -> float:
        """Seconds since it was last heard of."""
        return time.monotonic() - self._last_sign

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for the end; return False if it did not come in time."""
        if self._ended.is_set():
            return True
        begin = time.monotonic()
        self._read_until(self._ended.is_set, timeout_s)
        left = None if timeout_s is None else max(0.0, begin + timeout_s - time.monotonic())
        return self._ended.wait(left)

    def detach(self) -> None:
        """Hear no more of it, for the workspace is closed; the run goes on."""
        self.is_detached = True
        self._ended.set()

    def request_cancel(self) -> None:
        """Ask the host to end it."""
        if self.is_active:
            self._cancel()

    def subscribe(self, listener: Callable[[RunEvent], None]) -> Callable[[], None]:
        """Call the listener for every later event; return a function that ends it."""
        return self._events.subscribe(listener)

    # -- told by the host's client

    def take_record(self, record: RunRecord) -> None:
        """Take the record in a new state; the last one ends the run."""
        if not self.is_active or self.is_detached:
            return
        is_news_of_nodes = bool(record.nodes) and record.status is self.record.status
        self.record = record
        self._fraction = max(self._fraction, record.progress.fraction)
        self._message = record.progress.message or self._message
        if record.status is RunStatus.COMPLETED:
            self._fraction = 1.0
        if record.status.is_final:
            self.take_log(None)  # what was told while the host was out of reach is told now
            try:
                self._take_back()
            finally:
                self._ended.set()
        self._emit("progress" if is_news_of_nodes else "state")

    def _take_back(self) -> None:
        """Take what only this process is given; that something is wrong with it keeps nobody waiting for the end."""
        if self.take_back is None:
            return
        try:
            self.held = self.take_back()
        except Exception as error:
            warnings.warn(
                f"What run {self.record.id} gave and is kept nowhere could not be taken: {type(error).__name__}: {error}. "
                "Run it again with executor='kernel'.",
                RuntimeWarning,
                stacklevel=2,
            )

    def take_progress(self, fraction: float, message: str) -> None:
        """Take how far it is."""
        self._fraction = max(self._fraction, fraction)
        self._message = message or self._message
        self._emit("progress")

    def take_log(self, size: int | None) -> None:
        """Take note that the log has grown to so many bytes; None: that all of it is there."""
        text = self.log.new_lines(size)
        if text:
            self._emit("log", text)

    def _emit(self, kind: str, text: str = "") -> None:
        self._last_sign = time.monotonic()
        self._events.emit(
            RunEvent(self.record.id, kind, self.record.status, self._fraction, self._message, text)  # type: ignore[arg-type]
        )
