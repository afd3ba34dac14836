"""Sweep: the handle on many runs of one thing, while they go on and afterwards, in any kernel."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from workbench.batch.sweep_course import FAILED, KnowsRuns, Listener, SweepCourse
from workbench.batch.sweep_course import SweepEvent as SweepEvent
from workbench.batch.sweep_html import sweep_html, sweep_text
from workbench.batch.sweep_table import rows_of, to_frame, write_csv, write_parquet
from workbench.batch.tally import PointState
from workbench.errors import InvalidInputError
from workbench.execution.run import Run
from workbench.models import RunRecord, RunStatus, SweepRecord
from workbench.pages import Page, Row

if TYPE_CHECKING:
    import pandas


class Desk(KnowsRuns, Protocol):
    """What a sweep asks of ``ws.sweeps``."""

    @property
    def workers(self) -> int: ...

    def runs_of(self, record: SweepRecord) -> list[Run]: ...

    def resume(self, sweep: Sweep, *, jobs: int | None, wait: bool, listener: Listener | None) -> Sweep: ...

    def values_of(self, records: Sequence[RunRecord]) -> dict[str, dict[str, Any]]: ...

    def pictures_of(self, record: RunRecord) -> dict[str, Any]: ...

    def live_rows(self, rows: Sequence[Row]) -> list[Row]: ...

    def notebook_of(self, record: RunRecord) -> Any: ...


MOST_PICTURED = 200  # points of an algorithm whose outputs a report shows


class Sweep:
    """Many runs: ``ws.sweeps.run(...)`` makes one, ``ws.sweeps.get(id)`` finds it again in any kernel.

    Examples
    --------
    >>> sweep = ws.sweeps.run("denoise", grid={"sigma": [1, 2, 3]}, inputs=[volume])  # doctest: +SKIP
    >>> sweep.table()  # doctest: +SKIP
    """

    def __init__(self, record: SweepRecord, desk: Desk) -> None:
        self._desk = desk
        self.course = SweepCourse(record, desk)  # for ws.sweeps

    @property
    def record(self) -> SweepRecord:
        """The sweep as it is kept: what, points, options."""
        return self.course.record

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def axes(self) -> tuple[str, ...]:
        """What differs between points: names of parameters, and ``input``."""
        varied = self.record.varied
        if len({point.input for point in self.record.points}) > 1 and "input" not in varied:
            return (*varied, "input")
        return varied

    @property
    def status(self) -> str:
        """RUNNING, COMPLETED, FAILED, CANCELLED, or INCOMPLETE where points have no result and nobody works on them."""
        if self.is_active:
            return "RUNNING"
        tally = self.course.tally
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
        return self.course.is_active

    @property
    def progress(self) -> float:
        """How far it is, 0 to 1; a point that has ended, whichever way, counts as 1."""
        return self.course.tally.progress

    @property
    def counts(self) -> dict[str, int]:
        """How many points are in each state; those without a run are MISSING."""
        return {str(status or "MISSING"): n for status, n in self.course.tally.counts.items()}

    @property
    def eta_s(self) -> float | None:
        """Seconds that are probably left, from what its points took so far; None if unknown or nothing is left."""
        active = self.course.active
        if not active:
            return None
        lanes = min(self.record.jobs, self._desk.workers, len(active))
        return self.course.tally.seconds_left(active, lanes if self.record.executor != "kernel" else 1)

    def __len__(self) -> int:
        return len(self.record.points)

    def point(self, number: int) -> PointState:
        """Return how one point stands."""
        return self.course.tally[number]

    @property
    def parameters(self) -> list[dict[str, Any]]:
        """The values of each point, defaults included."""
        return [dict(point.parameters) for point in self.record.points]

    @property
    def runs(self) -> Page[Run]:
        """The runs, in the order of the points; a point that was never started has none."""
        return Page(self._desk.runs_of(self.record), _run_row, None, "runs", "No point has been started.")

    @property
    def failed(self) -> Page[Run]:
        """The runs that failed or were lost."""
        runs = [run for run in self._desk.runs_of(self.record) if run.status in FAILED]
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
        record = self.record
        ids = [point.run for point in record.points[:limit] if point.run]
        records = self._desk.records_of(ids)
        values = self._desk.values_of(list(records.values())) if outputs else {}
        return rows_of(record, records, self.course.tally, values, all_parameters=all_parameters, limit=limit)

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
        title = self.record.name or self.record.label
        return write_report(self._report_rows(), place, title=title, axes=self.axes)

    def _report_rows(self) -> Iterator[Row]:
        record = self.record
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
        with self.course.inbox() as events:
            self.course.follow(events, timeout_s, listener)
        return self

    def cancel(self) -> Sweep:
        """End it: what runs is ended, what waits never starts, what is done stays. Return the sweep."""
        self.course.cancel()
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
        return self.course.subscribe(listener)

    def refresh(self) -> None:
        """Learn from what is kept, and from whoever still works on it, how all points stand."""
        self.course.refresh()

    def view(self) -> Any:
        """Return a widget that follows it."""
        from workbench.registry import Registry

        views = Registry("view", "workbench.views", {"sweep": "workbench.notebook.sweep_view:SweepView"})
        return views.get("sweep")(self)

    def __repr__(self) -> str:
        return sweep_text(self)

    def _repr_html_(self) -> str:
        return sweep_html(self)


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
