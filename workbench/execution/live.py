"""A run while it lives in this process: its state machine, its log and its progress, kept on disk as they change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from workbench.errors import RunCancelledError, RunTimeoutError
from workbench.execution.echo import EchoLimit
from workbench.execution.events import Events, RunEvent
from workbench.execution.log_file import LogFile
from workbench.execution.progress import Throttle
from workbench.models import Progress, RunRecord, RunStatus, now

#: Which state may follow which. A final state is never left.
FOLLOWS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset({RunStatus.STARTED, RunStatus.CANCELLED, RunStatus.FAILED, RunStatus.LOST}),
    RunStatus.STARTED: frozenset({RunStatus.RUNNING, RunStatus.CANCELLED, RunStatus.FAILED, RunStatus.LOST}),
    RunStatus.RUNNING: frozenset(
        {RunStatus.COMPLETED, RunStatus.CANCELLED, RunStatus.FAILED, RunStatus.LOST}
    ),
}
SAVE_PROGRESS_S = 0.4
EMIT_PROGRESS_S = 0.05
LEVELS = {"DEBUG": 10, "INFO": 20, "PRINT": 20, "STDERR": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}


class Keeper(Protocol):
    """Keeps the record of a run as it changes: ``ws.runs``."""

    def save(self, record: RunRecord, *, before: RunRecord | None, to_store: bool) -> None: ...

    def save_progress(self, id: str, fraction: float, message: str) -> None: ...


class LiveRun:
    """A run of this process, safe to be told things from any thread.

    Parameters
    ----------
    record : RunRecord
        In state PENDING, saved already.
    runs : Keeper
        Saves the record as it changes.
    log : LogFile
    lowest_level : str
        Log messages below it are dropped.
    echo : bool
        Whether what the algorithm prints also goes where it would have gone.
    """

    def __init__(
        self, record: RunRecord, runs: Keeper, log: LogFile, *, lowest_level: str = "INFO", echo: bool = False
    ) -> None:
        self.record = record
        self.events: Events[RunEvent] = Events()
        self.echo = echo
        self.exception: BaseException | None = None
        self.is_detached = False
        self.log = log
        self._runs = runs
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._cancelled = threading.Event()
        self._deadline: float | None = None
        self._lowest = LEVELS[lowest_level]
        self._saved: RunRecord | None = None
        self._is_stored = False
        self._fraction = record.progress.fraction
        self._message = record.progress.message
        self._echo_limit = EchoLimit(record.id)
        self._last_sign = time.monotonic()
        self._longest_silence_s = 0.0
        self._save_progress = Throttle(SAVE_PROGRESS_S)
        self._emit_progress = Throttle(EMIT_PROGRESS_S)

    # -- asked by views and executors

    @property
    def is_active(self) -> bool:
        """Tell whether the run has not ended yet."""
        return not self._ended.is_set()

    @property
    def fraction(self) -> float:
        return self._fraction

    @property
    def message(self) -> str:
        return self._message

    @property
    def silence_s(self) -> float:
        """Seconds since the run gave a sign of life: a state, a log line, progress."""
        return time.monotonic() - self._last_sign

    @property
    def cancel_requested(self) -> bool:
        return self._cancelled.is_set()

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for the end; return False if it did not come in time."""
        return self._ended.wait(timeout_s)

    def request_cancel(self) -> None:
        """Ask the run to end: at once if it has not started, else at its next log, progress or fetch call."""
        with self._lock:
            if not self.is_active:
                return
            self._cancelled.set()
            if self.record.status is RunStatus.PENDING:
                self.end(RunStatus.CANCELLED)

    # -- told by the executor

    def advance(self, status: RunStatus, *, save: bool = True, **changes: Any) -> bool:
        """Enter the next state; return False if the run is not in a state that allows it.

        With ``save=False`` only listeners see it: for a state that is left again at once.
        """
        with self._lock:
            if status not in FOLLOWS.get(self.record.status, ()):
                return False
            if status is RunStatus.STARTED:
                changes.setdefault("started", now())
                if self.record.timeout_s is not None:
                    self._deadline = time.monotonic() + self.record.timeout_s
            self._sign()
            self.record = self.record.model_copy(update={"status": status, **changes})
            if save:
                # in between, the catalog is enough: the process is alive to write the end
                self._save(to_store=not self._is_stored)
        self._emit("state")
        return True

    def end(self, status: RunStatus, **changes: Any) -> bool:
        """Enter a final state: the log is closed, the record saved, then whoever waits is woken."""
        with self._lock:
            if status not in FOLLOWS.get(self.record.status, ()):
                return False
            if status is RunStatus.COMPLETED:
                self._fraction = 1.0
            self.log.close()
            changes = {
                "finished": now(),
                "longest_silence_s": round(max(self._longest_silence_s, self.silence_s), 3),
                "progress": Progress(fraction=self._fraction, message=self._message),
                **changes,
            }
            self.record = self.record.model_copy(update={"status": status, **changes})
            try:
                self._save(to_store=True)
            finally:
                self._ended.set()
        self._emit("state")
        return True

    def change(self, **changes: Any) -> None:
        """Change facts of the record that are saved with the next state."""
        with self._lock:
            self.record = self.record.model_copy(update=changes)

    # -- told by the algorithm

    def check(self) -> None:
        """Raise if the run was cancelled or its time is over."""
        if not self.is_active:
            return
        if self._cancelled.is_set():
            raise RunCancelledError(f"Run {self.record.id} was cancelled.", run_id=self.record.id)
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise RunTimeoutError(
                f"Run {self.record.id} of {self.record.algorithm!r} took longer than {self.record.timeout_s:g} s. "
                "Pass a larger timeout_s, or None for no limit.",
                run_id=self.record.id,
            )

    def take_echo(self, text: str) -> str:
        """Return what of a printed text is shown where the caller is: a notebook is no place for a hundred thousand lines."""
        return self._echo_limit.take(text)

    def write_log(self, level: str, message: str) -> None:
        """Write a line to the log; lines below the lowest level are dropped."""
        if LEVELS.get(level, 20) < self._lowest or not self.is_active:
            return
        text = self.log.write(level, message)
        self._sign()
        self._emit("log", text)

    def report_progress(self, fraction: float, message: str = "") -> None:
        """Move progress forward; a smaller fraction than before changes only the message."""
        with self._lock:
            if not self.is_active:
                return
            self._sign()
            moved = fraction > self._fraction
            renamed = bool(message) and message != self._message
            if not (moved or renamed):
                return
            self._fraction = max(self._fraction, fraction)
            self._message = message or self._message
            record = self.record
        if renamed or fraction >= 1.0 or self._emit_progress.ready():
            self._emit("progress")
        if self._save_progress.ready():
            self._runs.save_progress(record.id, self._fraction, self._message)

    def pause(self, seconds: float) -> None:
        """Wait before the next attempt.

        Raises
        ------
        RunCancelledError, RunTimeoutError
            If the run was cancelled or its time was over meanwhile.
        """
        if self._deadline is not None:
            seconds = min(seconds, max(0.0, self._deadline - time.monotonic()))
        self._cancelled.wait(seconds)
        self.check()

    def subscribe(self, listener: Callable[[RunEvent], None]) -> Callable[[], None]:
        """Call the listener for every later event; return a function that ends it."""
        return self.events.subscribe(listener)

    def save(self) -> None:
        """Save the record as it is, for a run that waits to be started."""
        with self._lock:
            self._save(to_store=True)

    def _sign(self) -> None:
        """Note a sign of life."""
        moment = time.monotonic()
        if self.record.status is RunStatus.RUNNING:
            self._longest_silence_s = max(self._longest_silence_s, moment - self._last_sign)
        self._last_sign = moment

    def _save(self, *, to_store: bool) -> None:
        self._runs.save(self.record, before=self._saved, to_store=to_store)
        self._saved = self.record
        self._is_stored = self._is_stored or to_store

    def _emit(self, kind: Any, text: str = "") -> None:
        self.events.emit(
            RunEvent(self.record.id, kind, self.record.status, self._fraction, self._message, text)
        )
