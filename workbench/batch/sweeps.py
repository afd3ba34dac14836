"""Sweeps: starts them, keeps them, finds them again, goes on with them."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from workbench.batch.each_input import each_of, names_of
from workbench.batch.given import Axes, Given, refuse_too_many
from workbench.batch.grid import Points, check_points, make_points
from workbench.batch.options import check_flags, check_jobs, check_options
from workbench.batch.places import SCHEME
from workbench.batch.sweep import Listener, Sweep
from workbench.batch.sweep_lock import SweepLock
from workbench.batch.sweep_table import live_rows, values_of
from workbench.batch.targets import AlgorithmTarget, Target, TemplateTarget, is_template, subject_of
from workbench.errors import (
    DamagedError,
    InvalidInputError,
    NotFoundError,
    UnsupportedError,
    WorkbenchError,
    did_you_mean,
)
from workbench.execution.active import ActiveRun
from workbench.execution.executor import Executor, check_listener
from workbench.execution.member import Member
from workbench.execution.reuse import NEVER
from workbench.execution.run import Run
from workbench.models import RunRecord, SweepPoint, SweepRecord, now
from workbench.names import LAST, is_id, new_id
from workbench.pages import Page, Row
from workbench.process_identity import this_process
from workbench.settings import Settings
from workbench.storage.store import Store

if TYPE_CHECKING:
    from workbench.algorithms.algorithms import Algorithms
    from workbench.batch.template import Template
    from workbench.execution.reuse import Reuse
    from workbench.execution.runs import Runs
    from workbench.library.datasets import Datasets

COLLECTION = "sweeps"
CANCEL_WAIT_S = 10.0
MOST_OUTPUTS = 4  # of one run, in a report
LOCK_WAIT_S = 60.0  # for another process that gives points away


class Sweeps:
    """Runs things over many points of their parameters: ``ws.sweeps``.

    Parameters
    ----------
    store : Store
    settings : Settings
    runs : Runs
    datasets : Datasets
    algorithms : Algorithms
    reuse : Reuse
    executor : callable
        Returns the executor of a name.
    run : callable
        ``Workspace.run``.
    run_template : callable, optional
        Runs a template: ``(template, values, executor=, wait=, timeout_s=, retries=, priority=, tags=, on_event=, _member=)``.
    load_template : callable, optional
        Returns the template behind a path, a URL or ``workbench://name.ipynb``.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        runs: Runs,
        datasets: Datasets,
        algorithms: Algorithms,
        reuse: Reuse,
        executor: Callable[[str], Executor],
        run: Callable[..., Run],
        run_template: Callable[..., Run] | None = None,
        load_template: Callable[[str], Any] | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._runs = runs
        self._datasets = datasets
        self._algorithms = algorithms
        self._reuse = reuse
        self._executor = executor
        self._run = run
        self._run_template = run_template
        self._load_template = load_template

    # -- for scientists

    def run(
        self,
        what: Any,
        grid: Axes | None = None,
        *,
        zip: Axes | None = None,
        table: Any = None,
        sample: Axes | None = None,
        samples: int | None = None,
        seed: int = 0,
        fixed: Mapping[str, Any] | None = None,
        inputs: Any = (),
        each_input: bool = False,
        jobs: int = 2,
        executor: str | None = None,
        device: str | None = None,
        timeout_s: float | None = None,
        retries: int = 0,
        fail_fast: bool = False,
        reuse: str | None = None,
        name: str | None = None,
        tags: Sequence[str] = (),
        priority: int = 0,
        wait: bool = True,
        on_event: Listener | None = None,
    ) -> Sweep:
        """Run an algorithm or a template once for each point of its parameters.

        Parameters
        ----------
        what : str, path, Algorithm or Template
            A reference such as ``"denoise@1"``, the folder of an algorithm, a notebook (``.ipynb``), or the name of
            a template of the workspace.
        grid, zip, table, sample, samples, seed, fixed
            The points; see `workbench.batch.grid.make_points`. ``grid={"sigma": [1, 2, 3]}`` is each with each, ``zip=`` side by side,
            ``table=`` a CSV file, DataFrame or list of dicts, ``sample={"sigma": (0.5, 4.0)}`` with ``samples=50`` is drawn.
        inputs : array, str, Dataset, path, or a sequence of them
            The same for all points, stored once; as for `Workspace.run`.
        each_input : bool
            Instead all points for each of the inputs, be it an item of the list (which may be a list of several) or a slice of a
            stack; the table has a column ``input``. Templates take theirs as a parameter: ``grid={"path": ["a.tif", "b.tif"]}``.
        jobs : int
            How many at once, as far as there are workers (setting ``workers``). Single runs pass those that wait.
        executor : str, optional
            Default: ``process``, where other processes can have the workspace; the sweep then goes on when this kernel ends.
        device, timeout_s, retries, tags, priority
            Of each run, as for `Workspace.run`. A template has no device; with ``retries``, a notebook in which a cell raises an
            error is run again from its first cell, in a fresh kernel.
        fail_fast : bool
            End all of it with the first run that fails. Default: the others go on.
        reuse : {"auto", "never", "only"}, optional
            Whether a completed run that computed the same stands for a point; default: the setting ``sweep_reuse``,
            and ``never`` for a template.
        name : str, optional
            To find it by.
        wait : bool
            False returns as soon as all points are given away.
        on_event : callable, optional
            Called with every `SweepEvent`; in the thread that waits.

        Returns
        -------
        Sweep
            With ``sweep.runs``, ``sweep.table()``, ``sweep.progress``. Points that fail are in it; nothing is raised for them.

        Raises
        ------
        InvalidParameterError
            With every wrong value of every point in ``problems``; nothing is stored or started.
        NotFoundError, InvalidInputError, InvalidDataError, UnsupportedError
            Before anything is stored or started.
        """
        title, labels = check_options(
            jobs=jobs,
            executor=executor,
            device=device,
            timeout_s=timeout_s,
            retries=retries,
            reuse=reuse,
            name=name,
            tags=tags,
            priority=priority,
            on_event=on_event,
            each_input=each_input,
            fail_fast=fail_fast,
            wait=wait,
        )
        target = self.target(what)
        place = executor or ("process" if self._store.is_shared else "kernel")
        # what a notebook does beside its parameters is not known, so it is used again only where that is asked for
        mode = reuse or (NEVER if target.kind == "template" else self._settings.sweep_reuse)
        target.check_place(place, device, self._settings.device)
        self._executor(place)  # refused here, if it is
        points = make_points(
            target.parameters,
            target.check,
            grid=grid,
            zip=zip,
            table=[{}] if each_input and table is None and not (grid or zip or sample) else table,
            sample=sample,
            samples=samples,
            seed=seed,
            fixed=fixed,
        )
        stored, each = self._inputs(target, inputs, mode, len(points.values) if each_input else 0)
        record = SweepRecord(
            id=new_id(),
            name=title,
            kind=target.kind,
            what=target.what,
            label=target.label,
            content=target.content,
            inputs=stored,
            varied=points.varied,
            points=tuple(
                SweepPoint(parameters=values, run=new_id(), inputs=ids, input=called)
                for ids, called in each
                for values in points.values
            ),
            notes=points.notes,
            executor=place,
            jobs=jobs,
            fail_fast=fail_fast,
            reuse=mode,
            device=device,
            timeout_s=timeout_s,
            retries=retries,
            priority=priority,
            tags=labels,
            user=this_process()[3],
            created=now(),
        )
        with self._lock(record) as lock:
            self._save(record)
            sweep = Sweep(record, self)
            self._start(sweep, target, range(len(record.points)), wait, on_event, lock, record)
        return sweep

    def get(self, ref: str) -> Sweep:
        """Return a sweep by its id, the newest of a name, or the newest of all by ``last``; of any kernel, also one that goes on.

        Raises
        ------
        NotFoundError
            If there is none.
        InvalidInputError
            If it is no text.
        """
        if not isinstance(ref, str):
            raise InvalidInputError(
                f"The sweep is named by {ref!r}, expected its id or its name as text, or 'last'. See ws.sweeps.list()."
            )
        record = self._load(ref) if is_id(ref) else None
        if record is None:
            ids = self._ids()
            record = next((r for r in map(self._load, ids) if r is not None and r.name == ref), None)
            if record is None and ref == LAST:
                record = next(filter(None, map(self._load, ids)), None)
            if record is None:
                names = [r.name for r in map(self._load, ids[:100]) if r is not None and r.name]
                raise NotFoundError(
                    f"There is no sweep {ref!r}.{did_you_mean(ref, names)} See ws.sweeps.list()."
                )
        sweep = Sweep(record, self)
        sweep.refresh()
        return sweep

    def list(self, *, limit: int | None = None, before: str | None = None) -> Page[Sweep]:
        """Return a page of sweeps, newest first.

        Parameters
        ----------
        limit : int, optional
            Sweeps per page; default: the setting ``page_size``.
        before : str, optional
            Only sweeps older than the one of this id.
        """
        size = self._settings.page_size if limit is None else limit
        ids = [id for id in self._ids() if before is None or id < before]
        records = [record for record in map(self._load, ids[:size]) if record is not None]
        found = [Sweep(record, self) for record in records]
        for sweep in found:
            sweep.refresh()
        more = (lambda: self.list(limit=size, before=ids[size - 1])) if len(ids) > size else None
        return Page(found, _row, more, "sweeps", "Start one with ws.sweeps.run(...) or %algobatch.")

    def delete(self, id: str, *, runs: bool = False, force: bool = False) -> None:
        """Delete a sweep; with ``runs`` also the records and logs of its runs. What they put out stays.

        Raises
        ------
        ConflictError
            If it goes on.
        InUseError
            If something else needs one of the runs; nothing was deleted. ``force=True`` deletes them nevertheless.
        """
        from workbench.errors import ConflictError

        sweep = self.get(id)
        if sweep.is_active:
            raise ConflictError(
                f"Sweep {sweep.id} goes on. Cancel it first: ws.sweeps.get({sweep.id!r}).cancel()."
            )
        self._runs.delete(*(run.id for run in sweep.runs if runs), force=force)
        self._store.delete(COLLECTION, [f"{sweep.id}.json"])

    def names(self, limit: int = 20) -> builtins.list[str]:
        """Return the newest ids, for completion."""
        return self._ids()[:limit]

    def points(self, what: Any, grid: Axes | None = None, **options: Any) -> Points:
        """Return the points that `run` would compute, checked; nothing is started.

        Parameters
        ----------
        what : str, path, Algorithm or Template
        grid, **options
            As for `workbench.batch.grid.make_points`.
        """
        target = self.target(what)
        return make_points(target.parameters, target.check, grid=grid, **options)

    # -- for the sweeps

    def target(self, what: Any) -> Target:
        """Return what a reference, a folder or a notebook names, with its parameters.

        Raises
        ------
        NotFoundError, InvalidAlgorithmError, UnsupportedError
            If it names nothing that can be swept.
        """
        if isinstance(what, Target):
            return what
        if not is_template(what):
            try:
                name, chosen = subject_of(self._algorithms, what)
            except NotFoundError:
                kept = self._kept_template(what)
                if kept is None:
                    raise
                return self.target(kept)
            return AlgorithmTarget(name, chosen, self._run, self._reuse, self._datasets)
        if self._run_template is None:
            raise UnsupportedError(
                f"Sweeps over notebooks are not in this version: {str(what)!r}. Name an algorithm instead."
            )
        if isinstance(what, (str, os.PathLike)):
            if self._load_template is None:
                raise UnsupportedError(
                    f"Notebook {os.fspath(what)!r} cannot be loaded here. Pass a Template."
                )
            what = self._load_template(os.fspath(what))
        with suppress(ImportError):  # systems that do not fork
            from workbench.batch.children import expect_imports

            expect_imports(what.notebook, self._settings)
        return TemplateTarget(what, self._run_template)

    def _kept_template(self, name: Any) -> Template | None:
        """Return the template that the workspace keeps under a name, or None."""
        with suppress(WorkbenchError):
            if isinstance(name, str) and self._load_template is not None:
                found: Template = self._load_template(f"{SCHEME}{name}.ipynb")
                return found
        return None

    @property
    def workers(self) -> int:
        """How many background runs go on at once."""
        return self._settings.workers

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

    def runs_of(self, record: SweepRecord) -> builtins.list[Run]:
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

    def live_rows(self, rows: Sequence[Row]) -> builtins.list[Row]:
        """Return rows with recorded objects instead of what is kept of them."""
        return live_rows(rows, self._datasets)

    def cancel(self, record: SweepRecord | str, runs: Sequence[str] = ()) -> None:
        """End the runs of a sweep that wait or run; all of them for its id or name, as `Sweep.cancel` does."""
        if not isinstance(record, SweepRecord):
            self.get(getattr(record, "id", record)).cancel()
            return
        if not self._executor(record.executor).cancel_sweep(record.id):
            for run in self._runs.live(runs).values():
                run.request_cancel()

    def resume(
        self,
        sweep: Sweep | str,
        *,
        jobs: int | None = None,
        wait: bool = True,
        listener: Listener | None = None,
    ) -> Sweep:
        """Do the points of a sweep, or of the one with that id or name, that have no result; see `Sweep.resume`."""
        if jobs is not None:
            check_jobs(jobs)
        check_listener(listener)
        check_flags(wait=wait)
        if not isinstance(sweep, Sweep):
            sweep = self.get(sweep)
        if wait and self._runs.live([point.run for point in sweep.record.points]):
            sweep.wait(listener=listener)  # it is this kernel that computes them
        with self._lock(sweep.record) as lock:
            record, target, todo = self._missing(sweep, jobs)
            if todo:
                self._save(record)
            self._start(sweep, target, todo, wait, listener, lock, record)
        return sweep

    # -- inside

    def _missing(self, sweep: Sweep, jobs: int | None) -> tuple[SweepRecord, Target, builtins.list[int]]:
        """Return a sweep with new runs for the points that have no result, and these points."""
        kept = self._load(sweep.id)
        if kept is None:
            raise NotFoundError(f"Sweep {sweep.id} was deleted. Start it anew with ws.sweeps.run(...).")
        if kept != sweep.record or not sweep.is_active:  # another process may have gone on with it
            sweep.adopt(kept)
            sweep.refresh()
        record = sweep.record
        target = self.target(record.what)
        is_same = target.content == record.content
        done = [n for n in range(len(sweep)) if sweep.point(n).is_done]
        if not is_same:
            records = self._runs.records_of([record.points[n].run for n in done])
            done = [n for n in done if target.has_computed(records[record.points[n].run])]
        kept_points = {*done, *(n for n in range(len(sweep)) if sweep.is_working_on(n))}
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

    def _lock(self, record: SweepRecord) -> SweepLock:
        """Hold the right to give a sweep's points away; with the host they are at once, in a kernel only when they are done."""
        self._store.create_collections([COLLECTION])
        key = f"{record.id}.lock"
        path = self._store.local_path(COLLECTION, key)
        if path is None:
            from workbench.execution.host_address import private_folder

            path = private_folder(self._settings.host_folder) / key
        return SweepLock(path, record.id, 1.0 if record.executor == "kernel" else LOCK_WAIT_S)

    def _inputs(
        self, target: Target, inputs: Any, mode: str, points_of_each: int
    ) -> tuple[tuple[str, ...], builtins.list[tuple[tuple[str, ...], str]]]:
        """Store the inputs; return those of all points, and those that the sweep goes over with their names."""
        if not isinstance(target, AlgorithmTarget):
            if points_of_each or (
                inputs is not None and not (isinstance(inputs, (tuple, list)) and not inputs)
            ):
                raise InvalidInputError(
                    f"Template {target.label!r} takes no inputs beside its parameters. Pass a dataset's id or a path as a "
                    "parameter; several of them make a point each: grid={'path': ['a.tif', 'b.tif']}, path=a.tif,b.tif on a line."
                )
            return (), [((), "")]
        if not points_of_each:
            return target.store_inputs([inputs], mode)[0], [((), "")]
        items = each_of(inputs)
        if not items:
            raise InvalidInputError(
                "The sweep goes over its inputs, and there are none. Pass them: inputs=[first, second]."
            )
        refuse_too_many(len(items) * points_of_each)
        stored = target.store_inputs([i if isinstance(i, (list, tuple)) else [i] for i in items], mode)
        return (), list(zip(stored, names_of(items), strict=True))

    def _start(
        self,
        sweep: Sweep,
        target: Target,
        todo: Sequence[int],
        wait: bool,
        listener: Listener | None,
        lock: SweepLock,
        record: SweepRecord,
    ) -> None:
        """Give the points away, and follow them if they are waited for; an interrupt ends the sweep."""
        if not wait:
            if listener is not None:
                sweep.subscribe(listener)
            if todo:
                self._give_away(sweep, record, target, todo)
            if record.executor == "kernel":
                lock.keep()
                sweep.when_ended(lock.release)
            else:
                self._settle(record, todo)
            return
        with sweep.inbox() as events:  # from the first event on: points end while others are given away
            try:
                if todo:
                    self._give_away(sweep, record, target, todo)
                if record.executor != "kernel":
                    self._settle(record, todo)
                    lock.release()
                sweep.follow(events, listener=listener)
            except KeyboardInterrupt:
                sweep.cancel().wait(CANCEL_WAIT_S)
                raise

    def _settle(self, record: SweepRecord, todo: Sequence[int]) -> None:
        """See to it that whoever has the lock next finds the points with the executor."""
        if todo:
            self._executor(record.executor).settle()

    def _give_away(self, sweep: Sweep, record: SweepRecord, target: Target, todo: Sequence[int]) -> None:
        sweep.begin(record, todo)
        try:
            for number in todo:
                if sweep.is_stopping:
                    break
                point = record.points[number]
                member = Member(record.id, number, point.run, record.jobs, record.fail_fast)
                sweep.expect(number)
                try:
                    target.start(record, point, member, sweep.listener(number))
                except (InvalidInputError, NotFoundError) as error:  # such as reuse="only" where nothing is
                    sweep.refuse(number, error)
                except BaseException:
                    if not self._runs.live([point.run]):  # else it is on its way, and will be heard of
                        sweep.forget(number)
                    raise
        finally:
            if sweep.is_stopping:  # a point may have been on its way when the others were ended
                sweep.cancel()
            sweep.started()

    def _save(self, record: SweepRecord) -> None:
        self._store.create_collections([COLLECTION])
        self._store.put(COLLECTION, f"{record.id}.json", record.to_json())

    def _load(self, id: str) -> SweepRecord | None:
        try:
            return SweepRecord.model_validate_json(self._store.get(COLLECTION, f"{id}.json"))
        except NotFoundError:
            return None
        except ValidationError as error:
            raise DamagedError(
                f"sweeps/{id}.json is damaged: {error.errors()[0]['msg']}. Restore it, or delete it; its runs stay."
            ) from error

    def _ids(self) -> builtins.list[str]:
        """Return the ids of all sweeps, newest first."""
        try:
            keys = [info.key for info in self._store.list(COLLECTION)]
        except NotFoundError:
            return []
        return sorted((key.removesuffix(".json") for key in keys if key.endswith(".json")), reverse=True)


def _row(sweep: Sweep) -> Row:
    counts = sweep.counts
    return {
        "id": sweep.id,
        "name": sweep.name,
        "what": sweep.record.label,
        "varied": sweep.axes,
        "status": sweep.status,
        "points": len(sweep),
        "waiting": counts.get("PENDING", 0),
        "completed": counts.get("COMPLETED", 0),
        "failed": counts.get("FAILED", 0) + counts.get("LOST", 0),
        "created": sweep.record.created,
    }
