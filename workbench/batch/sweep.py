"""Sweep: the handle on many runs of one thing, while they go on and afterwards, in any kernel."""

from __future__ import annotations

import os
import queue
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from workbench.batch.sweep_html import sweep_html, sweep_text
from workbench.batch.sweep_table import rows_of, to_frame, write_csv, write_parquet
from workbench.batch.tally import PointState, Tally, state_of
from workbench.errors import InvalidInputError
from workbench.execution.active import ActiveRun
from workbench.execution.events import RunEvent
from workbench.execution.run import Run
from workbench.models import RunRecord, RunStatus, SweepRecord
from workbench.pages import Page, Row

if TYPE_CHECKING:
    import pandas

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


class Desk(Protocol):
    """What a sweep asks of ``ws.sweeps``."""

    @property
    def workers(self) -> int: ...

    def records_of(self, ids: Sequence[str]) -> dict[str, RunRecord]: ...

    def live_runs(self, record: SweepRecord) -> dict[str, ActiveRun]: ...

    def runs_of(self, record: SweepRecord) -> list[Run]: ...

    def cancel(self, record: SweepRecord, runs: Sequence[str]) -> None: ...

    def resume(self, sweep: Sweep, *, jobs: int | None, wait: bool, listener: Listener | None) -> Sweep: ...

    def values_of(self, records: Sequence[RunRecord]) -> dict[str, dict[str, Any]]: ...

    def pictures_of(self, record: RunRecord) -> dict[str, Any]: ...

    def live_rows(self, rows: Sequence[Row]) -> list[Row]: ...

    def notebook_of(self, record: RunRecord) -> Any: ...


Listener = Callable[[SweepEvent], None]
MOST_PICTURED = 200  # points of an algorithm whose outputs a report shows


class Sweep:
    """Many runs: ``ws.sweeps.run(...)`` makes one, ``ws.sweeps.get(id)`` finds it again in any kernel.

    Examples
    --------
    >>> sweep = ws.sweeps.run("denoise", grid={"sigma": [1, 2, 3]}, inputs=[volume])  # doctest: +SKIP
    >>> sweep.table()  # doctest: +SKIP
    """

    def __init__(self, record: SweepRecord, desk: Desk) -> None:
        self._record = record
        self._desk = desk
        self._lock = threading.RLock()
        self._tally = Tally(len(record.points))
        self._active: set[int] = set()  # points whose end is waited for
        self._unheard: set[int] = set()  # of these the ones that send no events here
        self._is_starting = False
        self._is_stopping = False
        self._ended = threading.Event()
        self._ended.set()
        self._listeners: list[Listener] = []

    # -- for scientists

    @property
    def record(self) -> SweepRecord:
        """The sweep as it is kept: what, points, options."""
        return self._record

    @property
    def id(self) -> str:
        return self._record.id

    @property
    def name(self) -> str:
        return self._record.name

    @property
    def axes(self) -> tuple[str, ...]:
        """What differs between points: names of parameters, and ``input``."""
        varied = self._record.varied
        if len({point.input for point in self._record.points}) > 1 and "input" not in varied:
            return (*varied, "input")
        return varied

    @property
    def status(self) -> str:
        """RUNNING, COMPLETED, FAILED, CANCELLED, or INCOMPLETE where points have no result and nobody works on them."""
        if self.is_active:
            return "RUNNING"
        tally = self._tally
        if tally.count(RunStatus.COMPLETED) == len(tally):
            return "COMPLETED"
        if tally.count(RunStatus.FAILED):
            return "FAILED"
        return (
            "CANCELLED"
            if tally.count(RunStatus.CANCELLED) and not tally.count(RunStatus.LOST)
            else "INCOMPLETE"
        )

    @property
    def is_active(self) -> bool:
        """Tell whether points are being computed, here or in another process."""
        return not self._ended.is_set()

    @property
    def progress(self) -> float:
        """How far it is, 0 to 1; a point that has ended, whichever way, counts as 1."""
        return self._tally.progress

    @property
    def counts(self) -> dict[str, int]:
        """How many points are in each state; those without a run are MISSING."""
        return {str(status or "MISSING"): n for status, n in self._tally.counts.items()}

    @property
    def eta_s(self) -> float | None:
        """Seconds that are probably left, from what its points took so far; None if unknown or nothing is left."""
        with self._lock:
            active = list(self._active)
        if not active:
            return None
        lanes = min(self._record.jobs, self._desk.workers, len(active))
        return self._tally.seconds_left(active, lanes if self._record.executor != "kernel" else 1)

    def __len__(self) -> int:
        return len(self._record.points)

    def point(self, number: int) -> PointState:
        """Return how one point stands."""
        return self._tally[number]

    @property
    def parameters(self) -> list[dict[str, Any]]:
        """The values of each point, defaults included."""
        return [dict(point.parameters) for point in self._record.points]

    @property
    def runs(self) -> Page[Run]:
        """The runs, in the order of the points; a point that was never started has none."""
        return Page(self._desk.runs_of(self._record), _run_row, None, "runs", "No point has been started.")

    @property
    def failed(self) -> Page[Run]:
        """The runs that failed or were lost."""
        runs = [run for run in self._desk.runs_of(self._record) if run.status in FAILED]
        return Page(runs, _run_row, None, "failed runs")

    def rows(
        self, *, all_parameters: bool = True, outputs: bool = True, limit: int | None = None
    ) -> list[Row]:
        """Return one row for each point: its number, parameters, state, seconds, and what came out.

        What its notebook recorded is there as it was: arrays, DataFrames; figures are a `Picture`.

        Parameters
        ----------
        all_parameters : bool
            False leaves out those that are the same for all points.
        outputs : bool
            False leaves out what came out, which need not be read then.
        limit : int, optional
            Only the first so many points.
        """
        rows = self.kept_rows(all_parameters=all_parameters, outputs=outputs, limit=limit)
        return self._desk.live_rows(rows) if outputs else rows

    def kept_rows(
        self, *, all_parameters: bool = True, outputs: bool = True, limit: int | None = None
    ) -> list[Row]:
        """Return `rows` with recorded values as the runs keep them, which is JSON; nothing large is read."""
        record = self._record
        ids = [point.run for point in record.points[:limit] if point.run]
        records = self._desk.records_of(ids)
        values = self._desk.values_of(list(records.values())) if outputs else {}
        return rows_of(record, records, self._tally, values, all_parameters=all_parameters, limit=limit)

    def table(self, *, all_parameters: bool = True) -> pandas.DataFrame:
        """Return `rows` as a pandas DataFrame, which a notebook shows with thumbnails of figures and arrays.

        Raises
        ------
        MissingPackageError
            If pandas is not installed; ``rows()`` needs nothing.
        """
        return to_frame(self.rows(all_parameters=all_parameters))

    def report(self, place: str | os.PathLike[str]) -> str:
        """Write a page of all runs, with charts, thumbnails, errors and the notebooks, that needs no network.

        Parameters
        ----------
        place : str or path
            A folder, or any fsspec URL of one.

        Returns
        -------
        str
            Where its first page is.
        """
        from workbench.batch.report import write_report

        _check_path(place)
        title = self._record.name or self._record.label
        return write_report(self._report_rows(), place, title=title, axes=self.axes)

    def _report_rows(self) -> Iterator[Row]:
        record = self._record
        runs = self._desk.records_of([point.run for point in record.points if point.run])
        values = self._desk.values_of(list(runs.values()))
        for number, point in enumerate(record.points):
            run = runs.get(point.run)
            records = (run.records or values.get(run.id, {})) if run is not None else {}
            if run is not None and not run.template and number < MOST_PICTURED:
                records = {**self._desk.pictures_of(run), **records}
            yield {
                "id": run.id if run is not None else f"point {number}",
                "parameters": {"input": point.input, **point.parameters} if point.input else point.parameters,
                "status": str(run.status) if run is not None else "PENDING",
                "seconds": run.seconds if run is not None else None,
                "records": records,
                "error": run.error if run is not None else None,
                "notebook": self._desk.notebook_of(run) if run is not None else None,
            }

    def to_csv(self, path: str | Path) -> Path:
        """Write the table as CSV, and return the path.

        Lists are JSON in their cells; arrays, frames and figures are a few words and where they are: a dataset's id, or the notebook.
        """
        _check_path(path)
        return write_csv(self.kept_rows(), Path(path))

    def to_parquet(self, path: str | Path) -> Path:
        """Write the table as Parquet, and return the path; arrays, frames and figures are as in `to_csv`.

        Raises
        ------
        MissingPackageError
            If pandas or pyarrow is not installed.
        """
        _check_path(path)
        return write_parquet(self.kept_rows(), Path(path))

    def wait(self, timeout_s: float | None = None, listener: Listener | None = None) -> Sweep:
        """Wait until all that was started has ended, or the time is over, and return the sweep.

        Parameters
        ----------
        timeout_s : float, optional
        listener : callable, optional
            Called with every event meanwhile, in the thread that waits.
        """
        with self.inbox() as events:
            self.follow(events, timeout_s, listener)
        return self

    def cancel(self) -> Sweep:
        """End it: what runs is ended, what waits never starts, what is done stays. Return the sweep."""
        with self._lock:
            self._is_stopping = True
            runs = [self._record.points[point].run for point in sorted(self._active)]
        self._desk.cancel(self._record, runs)
        return self

    def resume(
        self, *, jobs: int | None = None, wait: bool = True, on_event: Listener | None = None
    ) -> Sweep:
        """Do the points that have no result, and those whose algorithm or template has changed since; return the sweep.

        What is done is not done again, and what another process still works on is waited for: of two that resume it at once, the
        second follows the first.

        Parameters
        ----------
        jobs : int, optional
            How many at once; default: as before.
        wait : bool
            False returns as soon as all is given away.
        on_event : callable, optional
            Called with every `SweepEvent`; in the thread that waits.
        """
        return self._desk.resume(self, jobs=jobs, wait=wait, listener=on_event)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call the listener for every later event, in the thread where it happens; return a function that ends it."""
        with self._lock:
            self._listeners.append(listener)

        def unsubscribe() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return unsubscribe

    def view(self) -> Any:
        """Return a widget that follows it."""
        from workbench.registry import Registry

        views = Registry("view", "workbench.views", {"sweep": "workbench.notebook.sweep_view:SweepView"})
        return views.get("sweep")(self)

    def __repr__(self) -> str:
        return sweep_text(self)

    def _repr_html_(self) -> str:
        return sweep_html(self)

    # -- for ws.sweeps

    def refresh(self) -> None:
        """Learn from what is kept, and from whoever still works on it, how all points stand."""
        record = self._record
        ids = {point.run: number for number, point in enumerate(record.points) if point.run}
        live = self._desk.live_runs(record)
        records = self._desk.records_of(list(ids))
        with self._lock:
            self._active.clear()
            self._unheard.clear()
            for id, number in ids.items():
                run = live.get(id)
                known = run.record if run is not None else records.get(id)
                self._tally.set(number, state_of(known) if known is not None else PointState())
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

    def adopt(self, record: SweepRecord) -> None:
        """Take the sweep as another process may have kept it meanwhile."""
        self._record = record

    def is_working_on(self, point: int) -> bool:
        """Tell whether a point's run goes on."""
        return point in self._active

    def begin(self, record: SweepRecord, points: Sequence[int]) -> None:
        """Take note that these points are about to be started."""
        with self._lock:
            self._record = record
            self._is_starting, self._is_stopping = True, False
            for point in points:
                self._tally.set(point, PointState())
            self._ended.clear()

    @property
    def is_stopping(self) -> bool:
        """Whether it was cancelled: no more points are to be started."""
        return self._is_stopping

    def expect(self, point: int) -> None:
        """Take note that a point is being given away now."""
        with self._lock:
            self._active.add(point)
            self._tally.set(point, PointState(RunStatus.PENDING))

    def refuse(self, point: int, error: Exception) -> None:
        """Take note that a point could not be given away."""
        text = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        self._settle(point, PointState(RunStatus.FAILED, 1.0, error=text))

    def forget(self, point: int) -> None:
        """Take note that a point was not given away after all."""
        with self._lock:
            self._active.discard(point)
            self._tally.set(point, PointState())

    def started(self) -> None:
        """Take note that all points were given away, or that no more will be."""
        with self._lock:
            self._is_starting = False
        self._check_end()

    def listener(self, point: int, run: ActiveRun | None = None) -> Callable[[RunEvent], None]:
        """Return what is to be called with the events of a point's run, from its first one on where the run is not there yet."""
        run_id = self._record.points[point].run

        def hear(event: RunEvent) -> None:
            if self._record.points[point].run != run_id:  # it was resumed: this is an earlier run's
                return
            if event.status.is_final:
                if event.kind == "state" and point in self._active:
                    # of a run that is told of its end, the catalog may not have heard yet
                    found = run.record if run is not None else self._desk.records_of([run_id]).get(run_id)
                    self._settle(point, PointState(event.status, 1.0) if found is None else state_of(found))
            elif event.kind != "log":
                self._tally.move(point, event.status, event.fraction)
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
            self._tally.set(point, state)
        self._emit("point", point, state.status)
        if state.status in FAILED and self._record.fail_fast and not self._is_stopping:
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
            unheard = {self._record.points[point].run: point for point in self._unheard}
        if unheard:
            for id, record in self._desk.records_of(list(unheard)).items():
                self._take(unheard[id], record)

    def _emit(
        self, kind: Literal["point", "end"], point: int | None = None, status: RunStatus | None = None
    ) -> None:
        tally = self._tally
        completed, failed = tally.count(RunStatus.COMPLETED), tally.count(*FAILED)
        event = SweepEvent(self.id, kind, tally.progress, completed, failed, len(tally), point, status)
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            try:
                listener(event)
            except Exception as error:
                with self._lock:
                    self._listeners = [each for each in self._listeners if each is not listener]
                warnings.warn(
                    f"A listener of sweep {self.id} raised {type(error).__name__}: {error}; it gets no more events.",
                    RuntimeWarning,
                    stacklevel=2,
                )


def _check_path(place: Any) -> None:
    if not isinstance(place, (str, os.PathLike)) or not os.fspath(place):
        raise InvalidInputError(f"The place to write to is {place!r}, expected a path, such as 'results'.")


def _run_row(run: Run) -> Row:
    record = run.record
    error = record.error
    return {
        "point": record.point,
        "id": record.id,
        "parameters": ", ".join(f"{k}={v}" for k, v in record.parameters.items()),
        "status": str(record.status),
        "progress": f"{run.progress:.0%}",
        "seconds": round(record.seconds, 2) if record.seconds is not None else None,
        "error": f"{error.type}: {error.message.splitlines()[0] if error.message else ''}" if error else "",
    }
