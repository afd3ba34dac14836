"""Sweeps: what ``ws.sweeps`` is. A sweep is checked and started, found again, gone on with, deleted."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.batch.each_input import each_of, names_of
from workbench.batch.given import Axes, refuse_too_many
from workbench.batch.grid import Points, make_points
from workbench.batch.kept_sweeps import KeptSweeps
from workbench.batch.options import check_options
from workbench.batch.sweep import Sweep
from workbench.batch.sweep_course import Listener
from workbench.batch.sweep_desk import SweepDesk
from workbench.batch.targets import AlgorithmTarget, Target, Targets
from workbench.errors import InvalidInputError, NotFoundError, did_you_mean
from workbench.execution.executor import Executor
from workbench.execution.reuse import NEVER
from workbench.execution.run import Run
from workbench.models import SweepPoint, SweepRecord, now
from workbench.names import LAST, is_id, new_id
from workbench.pages import Page, Row
from workbench.process_identity import this_process
from workbench.settings import Settings
from workbench.storage.store import Store

if TYPE_CHECKING:
    from workbench.algorithms.algorithms import Algorithms
    from workbench.execution.reuse import Reuse
    from workbench.execution.runs import Runs
    from workbench.library.datasets import Datasets


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
        self._settings = settings
        self._runs = runs
        self._executor = executor
        self._default_executor = "process" if store.is_shared else "kernel"
        self._kept = KeptSweeps(store, settings)
        self._targets = Targets(algorithms, reuse, datasets, settings, run, run_template, load_template)
        self._desk = SweepDesk(self._kept, self._targets, runs, datasets, executor, settings.workers)

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
        target = self._targets.find(what)
        place = executor or self._default_executor
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
        stored, each = _inputs(target, inputs, mode, len(points.values) if each_input else 0)
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
        with self._kept.lock(record) as lock:
            self._kept.put(record)
            sweep = Sweep(record, self._desk)
            self._desk.start(sweep, target, range(len(record.points)), wait, on_event, lock, record)
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
        record = self._kept.find(ref) if is_id(ref) else None
        if record is None:
            ids = self._kept.ids()
            record = next((r for r in map(self._kept.find, ids) if r is not None and r.name == ref), None)
            if record is None and ref == LAST:
                record = next(filter(None, map(self._kept.find, ids)), None)
            if record is None:
                names = [r.name for r in map(self._kept.find, ids[:100]) if r is not None and r.name]
                raise NotFoundError(
                    f"There is no sweep {ref!r}.{did_you_mean(ref, names)} See ws.sweeps.list()."
                )
        sweep = Sweep(record, self._desk)
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
        ids = [id for id in self._kept.ids() if before is None or id < before]
        records = [record for record in map(self._kept.find, ids[:size]) if record is not None]
        found = [Sweep(record, self._desk) for record in records]
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
        self._kept.delete(sweep.id)

    def names(self, limit: int = 20) -> builtins.list[str]:
        """Return the newest ids, for completion."""
        return self._kept.ids()[:limit]

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

    def target(self, what: Any) -> Target:
        """Return what a reference, a folder or a notebook names, with its parameters.

        Raises
        ------
        NotFoundError, InvalidAlgorithmError, UnsupportedError
            If it names nothing that can be swept.
        """
        return self._targets.find(what)

    def cancel(self, record: SweepRecord | str, runs: Sequence[str] = ()) -> None:
        """End the runs of a sweep that wait or run; all of them for its id or name, as `Sweep.cancel` does."""
        if isinstance(record, SweepRecord):
            self._desk.cancel(record, runs)
        else:
            self.get(getattr(record, "id", record)).cancel()

    def resume(
        self,
        sweep: Sweep | str,
        *,
        jobs: int | None = None,
        wait: bool = True,
        listener: Listener | None = None,
    ) -> Sweep:
        """Do the points of a sweep, or of the one with that id or name, that have no result; see `Sweep.resume`."""
        found = sweep if isinstance(sweep, Sweep) else self.get(sweep)
        return self._desk.resume(found, jobs=jobs, wait=wait, listener=listener)


def _inputs(
    target: Target, inputs: Any, mode: str, points_of_each: int
) -> tuple[tuple[str, ...], list[tuple[tuple[str, ...], str]]]:
    """Store the inputs; return those of all points, and those that the sweep goes over with their names."""
    if not isinstance(target, AlgorithmTarget):
        if points_of_each or (inputs is not None and not (isinstance(inputs, (tuple, list)) and not inputs)):
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
