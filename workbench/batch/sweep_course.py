"""How a sweep goes on: which points are awaited, what is heard of them, who is told, and when all has ended."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from workbench.batch.tally import PointState, Tally, state_of
from workbench.execution.active import ActiveRun
from workbench.execution.events import Events, RunEvent
from workbench.models import RunRecord, RunStatus, SweepRecord

LOOK_EVERY_S = 0.5  # at runs of another process that send no events here
FAILED = (RunStatus.FAILED, RunStatus.LOST)


@dataclass(frozen=True, slots=True)
class SweepEvent:
    """One thing that happened to a sweep: a point went on (``point``), or all that was to be done has ended (``end``).

    ``status`` is that of the point's run; ``progress``, ``completed``, ``failed`` and ``total`` are of the whole sweep.
    """

    sweep_id: str
    kind: Literal["point", "end"]
    progress: float
    completed: int
    failed: int
    total: int
    point: int | None = None
    status: RunStatus | None = None

    @property
    def of(self) -> str:
        """What it happened to, in words."""
        return f"sweep {self.sweep_id}"


Listener = Callable[[SweepEvent], None]


class KnowsRuns(Protocol):
    """What the course of a sweep asks of ``ws.sweeps``."""

    def records_of(self, ids: Sequence[str]) -> dict[str, RunRecord]: ...

    def live_runs(self, record: SweepRecord) -> dict[str, ActiveRun]: ...

    def cancel(self, record: SweepRecord, runs: Sequence[str]) -> None: ...


class SweepCourse:
    """The course of a sweep, as it is known here; safe to be told from any thread.

    Parameters
    ----------
    record : SweepRecord
        As it is now; another process may keep another one meanwhile.
    desk : KnowsRuns
    """

    def __init__(self, record: SweepRecord, desk: KnowsRuns) -> None:
        self.record = record
        self.tally = Tally(len(record.points))
        self._desk = desk
        self._lock = threading.RLock()
        self._active: set[int] = set()  # points whose end is waited for
        self._unheard: set[int] = set()  # of these the ones that send no events here
        self._is_starting = False
        self._is_stopping = False
        self._ended = threading.Event()
        self._ended.set()
        self._events: Events[SweepEvent] = Events()

    # -- how it stands

    @property
    def is_active(self) -> bool:
        """Whether points are being computed, here or in another process."""
        return not self._ended.is_set()

    @property
    def is_stopping(self) -> bool:
        """Whether it was cancelled: no more points are to be started."""
        return self._is_stopping

    @property
    def active(self) -> list[int]:
        """The points whose end is waited for, in their order."""
        with self._lock:
            return sorted(self._active)

    def refresh(self) -> None:
        """Learn from what is kept, and from whoever still works on it, how all points stand."""
        record = self.record
        ids = {point.run: number for number, point in enumerate(record.points) if point.run}
        live = self._desk.live_runs(record)
        records = self._desk.records_of(list(ids))
        with self._lock:
            self._active.clear()
            self._unheard.clear()
            for id, number in ids.items():
                run = live.get(id)
                known = run.record if run is not None else records.get(id)
                self.tally.set(number, state_of(known) if known is not None else PointState())
                if known is not None and not known.status.is_final:
                    self._active.add(number)
                    if run is None:
                        self._unheard.add(number)
            if self._active:
                self._ended.clear()
        for id, run in live.items():
            if id in ids:
                run.subscribe(self.listener(ids[id], run))
                if not run.is_active:  # it ended between the two
                    self._take(ids[id], run.record)
        self._check_end()

    # -- who is told

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call the listener for every later event, in the thread where it happens; return a function that ends it."""
        return self._events.subscribe(listener)

    def when_ended(self, call: Callable[[], None]) -> None:
        """Call something when all that was started has ended; at once if it has."""

        def hear(event: SweepEvent) -> None:
            if event.kind == "end":
                call()

        self.subscribe(hear)
        if not self.is_active:
            call()

    @contextmanager
    def inbox(self) -> Iterator[queue.SimpleQueue[SweepEvent]]:
        """Give a queue that every event from now on is put into."""
        events: queue.SimpleQueue[SweepEvent] = queue.SimpleQueue()
        stop = self.subscribe(events.put)
        try:
            yield events
        finally:
            stop()

    def follow(
        self,
        events: queue.SimpleQueue[SweepEvent],
        timeout_s: float | None = None,
        listener: Listener | None = None,
    ) -> None:
        """Pass events on in the calling thread until all that was started has ended, or the time is over."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while self.is_active:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            if self._unheard:
                left = min(LOOK_EVERY_S, LOOK_EVERY_S if left is None else left)
            try:
                event = events.get(timeout=left)
            except queue.Empty:
                self._look_again()
                continue
            if listener is not None:
                listener(event)
        while listener is not None and not events.empty():
            listener(events.get())

    # -- what is done with it

    def cancel(self) -> None:
        """End it: what runs is ended, what waits never starts."""
        with self._lock:
            self._is_stopping = True
            runs = [self.record.points[point].run for point in self.active]
        self._desk.cancel(self.record, runs)

    def is_working_on(self, point: int) -> bool:
        """Tell whether a point's run goes on."""
        return point in self._active

    def begin(self, record: SweepRecord, points: Sequence[int]) -> None:
        """Take note that these points are about to be started."""
        with self._lock:
            self.record = record
            self._is_starting, self._is_stopping = True, False
            for point in points:
                self.tally.set(point, PointState())
            self._ended.clear()

    def expect(self, point: int) -> None:
        """Take note that a point is being given away now."""
        with self._lock:
            self._active.add(point)
            self.tally.set(point, PointState(RunStatus.PENDING))

    def refuse(self, point: int, error: Exception) -> None:
        """Take note that a point could not be given away."""
        text = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        self._settle(point, PointState(RunStatus.FAILED, 1.0, error=text))

    def forget(self, point: int) -> None:
        """Take note that a point was not given away after all."""
        with self._lock:
            self._active.discard(point)
            self.tally.set(point, PointState())

    def started(self) -> None:
        """Take note that all points were given away, or that no more will be."""
        with self._lock:
            self._is_starting = False
        self._check_end()

    def listener(self, point: int, run: ActiveRun | None = None) -> Callable[[RunEvent], None]:
        """Return what is to be called with the events of a point's run, from its first one on where the run is not there yet."""
        run_id = self.record.points[point].run

        def hear(event: RunEvent) -> None:
            if self.record.points[point].run != run_id:  # it was resumed: this is an earlier run's
                return
            if event.status.is_final:
                if event.kind == "state" and point in self._active:
                    # of a run that is told of its end, the catalog may not have heard yet
                    found = run.record if run is not None else self._desk.records_of([run_id]).get(run_id)
                    self._settle(point, PointState(event.status, 1.0) if found is None else state_of(found))
            elif event.kind != "log":
                self.tally.move(point, event.status, event.fraction)
                self._emit("point", point, event.status)

        return hear

    # -- inside

    def _take(self, point: int, record: RunRecord) -> None:
        if record.status.is_final:
            self._settle(point, state_of(record))

    def _settle(self, point: int, state: PointState) -> None:
        with self._lock:
            if point not in self._active:
                return
            self._active.discard(point)
            self._unheard.discard(point)
            self.tally.set(point, state)
        self._emit("point", point, state.status)
        if state.status in FAILED and self.record.fail_fast and not self._is_stopping:
            self.cancel()
        self._check_end()

    def _check_end(self) -> None:
        with self._lock:
            if self._active or self._is_starting or self._ended.is_set():
                return
            self._ended.set()
        self._emit("end")

    def _look_again(self) -> None:
        """Look at runs of another process that send no events here."""
        with self._lock:
            unheard = {self.record.points[point].run: point for point in self._unheard}
        if unheard:
            for id, record in self._desk.records_of(list(unheard)).items():
                self._take(unheard[id], record)

    def _emit(
        self, kind: Literal["point", "end"], point: int | None = None, status: RunStatus | None = None
    ) -> None:
        tally = self.tally
        completed, failed = tally.count(RunStatus.COMPLETED), tally.count(*FAILED)
        self._events.emit(
            SweepEvent(self.record.id, kind, tally.progress, completed, failed, len(tally), point, status)
        )
