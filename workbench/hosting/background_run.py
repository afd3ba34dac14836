"""A run inside a worker: told when it is kept, brought to its place afterwards."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench.execution.live import LiveRun
from workbench.models import ErrorRecord, RunRecord, RunStatus, now

if TYPE_CHECKING:
    from workbench.execution.runs import Runs


class BackgroundRun(LiveRun):
    """A run of a worker.

    That it has begun is saved by `save_state`, for runs that take long enough to be seen. Its end is kept, and may be told
    then; `Runs.file` brings it to its place.
    """

    def __init__(self, record: RunRecord, runs: Runs, *args: Any, **options: Any) -> None:
        super().__init__(record, runs, *args, **options)
        self._all_runs = runs
        self._before_end: Callable[[], None] = lambda: None
        self.kept: bytes | None = None  # how it has ended, as JSON

    def before_end(self, step: Callable[[], None]) -> None:
        """Do a step when the run is about to end, while its log can still be written."""
        self._before_end = step

    def end(self, status: RunStatus, **changes: Any) -> bool:
        if self.is_active:
            self._before_end()
        return super().end(status, **changes)

    def _save(self, *, to_store: bool) -> None:
        if self.record.status.is_final:
            content = self.record.model_dump_json().encode()
            self._all_runs.keep(self.record, content)
            self.kept = content

    def save_state(self) -> None:
        """Note in the catalog that it has begun and which process has it."""
        with self._lock:
            if self.is_active:
                super()._save(to_store=False)

    def interrupt(self) -> None:
        """Interrupt the main thread between two steps of a loop that never asks, unless the run is ending."""
        with self._lock:
            if self.is_active:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def fail(self, error: Exception) -> None:
        """End it before it has begun."""
        self.write_log("ERROR", f"{type(error).__name__}: {error}")
        self.advance(RunStatus.STARTED, started=now())
        self.end(
            RunStatus.FAILED,
            error=ErrorRecord(
                type=type(error).__name__,
                message=str(error),
                phase="load_assets",
                traceback="".join(traceback.format_exception(error)),
            ),
        )
