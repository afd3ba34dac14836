"""What a sweep asks of its workspace: what became of its runs, and to start, end or go on with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from workbench.batch.given import Given
from workbench.batch.grid import check_points
from workbench.batch.kept_sweeps import KeptSweeps
from workbench.batch.options import check_flags, check_jobs
from workbench.batch.sweep import Sweep
from workbench.batch.sweep_course import Listener
from workbench.batch.sweep_lock import SweepLock
from workbench.batch.sweep_table import live_rows, values_of
from workbench.batch.targets import Target, Targets
from workbench.errors import InvalidInputError, NotFoundError, UnsupportedError
from workbench.execution.active import ActiveRun
from workbench.execution.executor import Executor, check_listener
from workbench.execution.member import Member
from workbench.execution.run import Run
from workbench.models import RunRecord, SweepRecord
from workbench.names import new_id
from workbench.pages import Row

if TYPE_CHECKING:
    from workbench.execution.runs import Runs
    from workbench.library.datasets import Datasets

CANCEL_WAIT_S = 10.0
MOST_OUTPUTS = 4  # of one run, in a report


class SweepDesk:
    """The `Desk` of all sweeps of a workspace.

    Parameters
    ----------
    kept : KeptSweeps
    targets : Targets
    runs : Runs
    datasets : Datasets
    executor : callable
        Returns the executor of a name.
    workers : int
        How many background runs go on at once.
    """

    def __init__(
        self,
        kept: KeptSweeps,
        targets: Targets,
        runs: Runs,
        datasets: Datasets,
        executor: Callable[[str], Executor],
        workers: int,
    ) -> None:
        self._kept = kept
        self._targets = targets
        self._runs = runs
        self._datasets = datasets
        self._executor = executor
        self.workers = workers

    # -- what became of the runs

    def records_of(self, ids: Sequence[str]) -> dict[str, RunRecord]:
        """Return the records of runs by id, as far as they are known."""
        return self._runs.records_of(ids)

    def live_runs(self, record: SweepRecord) -> dict[str, ActiveRun]:
        """Return the runs of a sweep that go on and can be followed from here."""
        ids = [point.run for point in record.points if point.run]
        live = self._runs.live(ids)
        try:
            executor = self._executor(record.executor)
        except (UnsupportedError, NotFoundError):  # an executor that is not installed here
            return live
        return {**executor.attach_sweep(record.id), **live}

    def runs_of(self, record: SweepRecord) -> list[Run]:
        """Return the runs of all points that have one, in their order."""
        records = self._runs.records_of([point.run for point in record.points if point.run])
        live = self._runs.live(records)
        return [
            Run(records[point.run], self._runs, live.get(point.run))
            for point in record.points
            if point.run in records
        ]

    def notebook_of(self, record: RunRecord) -> Any:
        """Return the executed notebook of a template's run; None for an algorithm, or where it is gone."""
        if record.template is None:
            return None
        import nbformat

        try:
            return nbformat.reads(self._runs.read_notebook(record.id), as_version=4)
        except NotFoundError:
            return None

    def values_of(self, records: Sequence[RunRecord]) -> dict[str, dict[str, Any]]:
        """Return what came out of runs that fits into cells of a table."""
        return values_of(records, self._datasets)

    def pictures_of(self, record: RunRecord) -> dict[str, Any]:
        """Return the outputs of a run that can be drawn, as if it had recorded them."""
        from workbench.batch.record import recorded_dataset

        found = self._datasets.find_many(ref.dataset for ref in record.outputs[:MOST_OUTPUTS] if ref.dataset)
        kept = [recorded_dataset(dataset)[0] for dataset in found]
        names = ["output"] if len(kept) == 1 else [f"output {number}" for number in range(len(kept))]
        return {name: value for name, value in zip(names, kept, strict=True) if "png" in value}

    def live_rows(self, rows: Sequence[Row]) -> list[Row]:
        """Return rows with recorded objects instead of what is kept of them."""
        return live_rows(rows, self._datasets)

    # -- what is to be done

    def start(
        self,
        sweep: Sweep,
        target: Target,
        todo: Sequence[int],
        wait: bool,
        listener: Listener | None,
        lock: SweepLock,
        record: SweepRecord,
    ) -> None:
        """Give points of a sweep away, and follow them if they are waited for; an interrupt ends the sweep."""
        if not wait:
            if listener is not None:
                sweep.subscribe(listener)
            if todo:
                self._give_away(sweep, record, target, todo)
            if record.executor == "kernel":
                lock.keep()
                sweep.course.when_ended(lock.release)
            else:
                self._settle(record, todo)
            return
        with (
            sweep.course.inbox() as events
        ):  # from the first event on: points end while others are given away
            try:
                if todo:
                    self._give_away(sweep, record, target, todo)
                if record.executor != "kernel":
                    self._settle(record, todo)
                    lock.release()
                sweep.course.follow(events, listener=listener)
            except KeyboardInterrupt:
                sweep.cancel().wait(CANCEL_WAIT_S)
                raise

    def _settle(self, record: SweepRecord, todo: Sequence[int]) -> None:
        """See to it that whoever has the lock next finds the points with the executor."""
        if todo:
            self._executor(record.executor).settle()

    def _give_away(self, sweep: Sweep, record: SweepRecord, target: Target, todo: Sequence[int]) -> None:
        sweep.course.begin(record, todo)
        try:
            for number in todo:
                if sweep.course.is_stopping:
                    break
                point = record.points[number]
                member = Member(record.id, number, point.run, record.jobs, record.fail_fast)
                sweep.course.expect(number)
                try:
                    target.start(record, point, member, sweep.course.listener(number))
                except (InvalidInputError, NotFoundError) as error:  # such as reuse="only" where nothing is
                    sweep.course.refuse(number, error)
                except BaseException:
                    if not self._runs.live([point.run]):  # else it is on its way, and will be heard of
                        sweep.course.forget(number)
                    raise
        finally:
            if sweep.course.is_stopping:  # a point may have been on its way when the others were ended
                sweep.cancel()
            sweep.course.started()

    def cancel(self, record: SweepRecord, runs: Sequence[str]) -> None:
        """End the runs of a sweep that wait or run; ``runs`` are those that go on as far as it knows."""
        if not self._executor(record.executor).cancel_sweep(record.id):
            for run in self._runs.live(runs).values():
                run.request_cancel()

    def resume(self, sweep: Sweep, *, jobs: int | None, wait: bool, listener: Listener | None) -> Sweep:
        """Do the points of a sweep that have no result; see `Sweep.resume`."""
        if jobs is not None:
            check_jobs(jobs)
        check_listener(listener)
        check_flags(wait=wait)
        if wait and self._runs.live([point.run for point in sweep.record.points]):
            sweep.wait(listener=listener)  # it is this kernel that computes them
        with self._kept.lock(sweep.record) as lock:
            record, target, todo = self._missing(sweep, jobs)
            if todo:
                self._kept.put(record)
            self.start(sweep, target, todo, wait, listener, lock, record)
        return sweep

    def _missing(self, sweep: Sweep, jobs: int | None) -> tuple[SweepRecord, Target, list[int]]:
        """Return a sweep with new runs for the points that have no result, and these points."""
        kept = self._kept.find(sweep.id)
        if kept is None:
            raise NotFoundError(f"Sweep {sweep.id} was deleted. Start it anew with ws.sweeps.run(...).")
        if kept != sweep.record or not sweep.is_active:  # another process may have gone on with it
            sweep.course.record = kept
            sweep.refresh()
        record = sweep.record
        target = self._targets.find(record.what)
        is_same = target.content == record.content
        done = [n for n in range(len(sweep)) if sweep.point(n).is_done]
        if not is_same:
            records = self._runs.records_of([record.points[n].run for n in done])
            done = [n for n in done if target.has_computed(records[record.points[n].run])]
        kept_points = {*done, *(n for n in range(len(sweep)) if sweep.course.is_working_on(n))}
        todo = [n for n in range(len(sweep)) if n not in kept_points]
        # the algorithm may have changed its parameters: what does not fit any more is refused here
        values = check_points(
            [Given(record.points[n].parameters, f"point {n}") for n in todo], target.check
        ).values
        points = {
            n: record.points[n].model_copy(update={"parameters": v, "run": new_id()})
            for n, v in zip(todo, values, strict=True)
        }
        record = record.model_copy(
            update={
                "points": tuple(points.get(n, point) for n, point in enumerate(record.points)),
                "content": target.content,
                "label": target.label,
                "jobs": jobs or record.jobs,
            }
        )
        return record, target, todo
