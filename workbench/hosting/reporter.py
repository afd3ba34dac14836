"""Tells the host of a run's log and progress, a few times a second, whatever the run does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench.execution.progress import Throttle
from workbench.models import RunStatus

if TYPE_CHECKING:
    from workbench.execution.events import RunEvent
    from workbench.execution.live import LiveRun

TELL_STATE_EVERY_S = 0.25  # of a pipeline, whose record says how its nodes stand
TELL_EVERY_S = 0.05  # a run that is shorter needs no record of having begun
SLEEP_AFTER = 20  # looks that found no run


class Reporter:
    """Tells the host of log and progress at most so many times a second, in a thread that sleeps between runs.

    Parameters
    ----------
    tell : callable
        Sends a message.
    lasts : callable
        Called now and then while a run goes on.
    """

    def __init__(self, tell: Callable[..., None], lasts: Callable[[], None] = lambda: None) -> None:
        self._tell = tell
        self._lasts = lasts
        self._lock = threading.Condition()
        self._live: Any = None
        self._saved = True
        self._states = Throttle(TELL_STATE_EVERY_S)
        self._sent = 0
        self._progress: tuple[float, str] | None = None
        self._thread: threading.Thread | None = None
        self._is_asleep = False

    def hear(self, live: LiveRun, event: RunEvent) -> None:
        """Take an event of the run."""
        if event.kind == "progress":
            self._progress = (event.fraction, event.message)
            if live.record.nodes:
                self._saved = False
        elif event.kind == "state" and event.status is RunStatus.RUNNING:
            self._saved = False

    def reporting(self, live: LiveRun) -> Reporting:
        """Report while the run goes on."""
        return Reporting(self, live)

    def begin(self, live: LiveRun) -> None:
        """Report on a run from now on."""
        with self._lock:
            self._live, self._sent, self._progress = live, 0, None
            self._states = Throttle(TELL_STATE_EVERY_S)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="workbench-reporter", daemon=True)
                self._thread.start()
            elif self._is_asleep:  # between two short runs it is not woken, only to find nothing to report
                self._lock.notify()

    def say_progress(self) -> None:
        """Say now where the run is, before a step that may end this process."""
        with self._lock:
            if self._live is not None:
                self._report_progress(self._live)

    def finish(self) -> None:
        """Say the last of it: how long its log is."""
        with self._lock:
            live, self._live = self._live, None
            if live is not None:
                self._report(live, final=True)

    def _work(self) -> None:
        idle = 0
        while True:
            with self._lock:
                live = self._live
                self._is_asleep = live is None and idle > SLEEP_AFTER
                self._lock.wait(None if self._is_asleep else TELL_EVERY_S)
                self._is_asleep = False
                idle = 0 if live is not None or self._live is not None else idle + 1
                if live is not None and self._live is live:
                    self._lasts()
                    self._report(live, final=False)

    def _report(self, live: Any, *, final: bool) -> None:
        record = live.record
        if not final and not self._saved and live.is_active and self._states.ready():
            self._saved = True
            live.save_state()
            self._tell({"event": "state", "run": record.id}, live.record.model_dump_json().encode())
        if live.log.size > self._sent:
            self._sent = live.log.size
            self._tell({"event": "log", "run": record.id, "size": self._sent})
        if not final:
            self._report_progress(live)

    def _report_progress(self, live: Any) -> None:
        if self._progress is not None:
            fraction, message = self._progress
            self._progress = None
            self._tell({"event": "progress", "run": live.record.id, "fraction": fraction, "message": message})


class Reporting:
    """While a run goes on, it is reported on."""

    def __init__(self, reporter: Reporter, live: LiveRun) -> None:
        self._reporter = reporter
        self._live = live

    def __enter__(self) -> None:
        self._reporter.begin(self._live)

    def __exit__(self, *args: object) -> None:
        self._reporter.finish()
