"""Run: the handle a scientist holds on one execution."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from workbench.errors import (
    NotFoundError,
    RunCancelledError,
    RunError,
    RunFailedError,
    RunLostError,
    RunTimeoutError,
    WorkspaceError,
)
from workbench.execution.active import ActiveRun
from workbench.execution.events import RunEvent
from workbench.execution.nodes import Nodes
from workbench.execution.pace import Pace, duration
from workbench.execution.reuse import origin
from workbench.execution.run_html import pace_html, run_html
from workbench.library.frames import with_frames
from workbench.models import OutputRef, RunRecord, RunStatus, now
from workbench.registry import Registry

if TYPE_CHECKING:
    from workbench.execution.replay import Replay
    from workbench.execution.runs import Runs
    from workbench.library.dataset import Dataset
    from workbench.library.lineage import Direction, Lineage

_VIEWS = Registry(
    "view",
    "workbench.views",
    {
        "run": "workbench.notebook.run_view:RunView",
        "pipeline": "workbench.notebook.pipeline_view:PipelineView",
    },
)
_DRAWINGS = Registry("drawing", "workbench.drawings", {"nodes": "workbench.pipelines.drawing:run_picture"})


class Log(str):
    """The text of a log; shows itself as plain lines."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def lines(self) -> list[str]:
        """Return the lines without their ends."""
        return self.splitlines()


class Run:
    """One execution of an algorithm version: its state, log, outputs and error.

    It is a handle: it can be made again from the id at any time with ``ws.runs.get(id)``, in any kernel.
    """

    def __init__(self, record: RunRecord, runs: Runs, live: ActiveRun | None = None) -> None:
        self._record = record
        self._runs = runs
        self._live = live
        self._pace: Pace | None = None

    @property
    def record(self) -> RunRecord:
        """The stored record as it is now."""
        if self._live is not None and self._live.is_detached:
            self._record = self._runs.stored(self._record.id) or self._live.record
        elif self._live is not None:
            self._record = self._live.record
        elif not self._record.status.is_final:
            self._record = self._runs.record(self._record.id)
        return self._record

    def _attached(self) -> ActiveRun | None:
        """Follow the run where it happens, from now on."""
        if self._live is None and not self._record.status.is_final:
            self._live = self._runs.active(self.record)
        return self._live

    @property
    def id(self) -> str:
        return self._record.id

    @property
    def algorithm(self) -> str:
        """``name@major.minor``, or the folder of a debug run."""
        return self._record.algorithm

    @property
    def status(self) -> RunStatus:
        """PENDING, STARTED, RUNNING, then COMPLETED, FAILED, CANCELLED or LOST; equal to its text."""
        return self.record.status

    @property
    def progress(self) -> float:
        """How far it is, 0 to 1."""
        return self._live.fraction if self._live is not None else self.record.progress.fraction

    @property
    def message(self) -> str:
        """What it is doing, in the algorithm's words."""
        return self._live.message if self._live is not None else self.record.progress.message

    @property
    def eta_s(self) -> float | None:
        """Seconds that are probably left, from its progress and from earlier runs of the version; None if unknown."""
        record = self.record
        if record.status.is_final or record.started is None:
            return None
        elapsed_s = (now() - record.started).total_seconds()
        return self._known_pace().eta_s(elapsed_s, self.progress, len(record.inputs))

    @property
    def silence_s(self) -> float | None:
        """Seconds without log line or progress, if that is far more than usual for the version; else None."""
        record, live = self.record, self._live
        if record.status is not RunStatus.RUNNING or live is None:
            return None
        return live.silence_s if self._known_pace().is_silent(live.silence_s) else None

    def _known_pace(self) -> Pace:
        if self._pace is None:
            self._pace = self._runs.pace_of(self._record)
        return self._pace

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter with the value it was run with, defaults included."""
        return dict(self._record.parameters)

    @property
    def inputs(self) -> list[Dataset]:
        """The input datasets."""
        return self._runs.datasets_of(self._record.inputs)

    @property
    def reused_from(self) -> str | None:
        """The id of the run that computed the outputs, if this one used them again."""
        return self.record.reused_from

    @property
    def log(self) -> Log:
        """Everything logged, printed and warned so far."""
        return Log(self._live.log.read() if self._live is not None else self._runs.read_log(self.id))

    @property
    def outputs(self) -> list[Dataset | Any]:
        """The output datasets, in the order of ``postprocess``; a text that names none, and a plain value, stays what it is."""
        refs = self.record.outputs
        found = iter(self._runs.datasets_of([o.dataset for o in refs if o.dataset]))
        return [next(found) if o.dataset else plain(o) for o in refs]

    @property
    def datasets(self) -> list[Dataset]:
        """The outputs that are datasets."""
        return self._runs.datasets_of([o.dataset for o in self.record.outputs if o.dataset])

    @property
    def notebook(self) -> Any:
        """The notebook of a template's run as it is executed so far: an ``nbformat.NotebookNode``; None for an algorithm."""
        if self._record.template is None:
            return None
        import nbformat

        return nbformat.reads(self._runs.read_notebook(self.id), as_version=4)

    @property
    def records(self) -> dict[str, Any]:
        """What the notebook recorded with ``workbench.record(name, value)``, by name: as it was; figures are a `Picture`."""
        return {name: self._runs.live_record(value) for name, value in self.record.records.items()}

    @property
    def error(self) -> RunError | None:
        """What ended the run if it did not complete: an exception, ready to be raised."""
        record = self.record
        ref = f"Run {record.id} of {record.algorithm!r}"
        if record.status is RunStatus.CANCELLED:
            return RunCancelledError(f"{ref} was cancelled.", run_id=record.id)
        if record.status is RunStatus.LOST:
            reason = record.error.message if record.error else "its process is gone"
            return RunLostError(f"{ref} was lost: {reason}. Run it again.", run_id=record.id)
        if record.status is not RunStatus.FAILED or record.error is None:
            return None
        cause = record.error
        if cause.kind == RunTimeoutError.kind:
            return RunTimeoutError(cause.message, run_id=record.id)
        error = RunFailedError(
            f"{cause.type}: {cause.message}\n{ref} failed in {cause.phase}; its traceback is run.error.traceback_text, "
            "its log run.log.",
            run_id=record.id,
            type=cause.type,
            phase=cause.phase,
            traceback_text=cause.traceback,
        )
        error.__cause__ = self._live.exception if self._live is not None else None
        return error

    @property
    def environment(self) -> dict[str, Any]:
        """Python, package versions, machine and git state that the run had."""
        return self._runs.environment_of(self.record)

    def wait(self, timeout_s: float | None = None) -> Run:
        """Wait until the run has ended, or the time is over, and return it."""
        live = self._attached()
        if live is not None:
            live.wait(timeout_s)
            if live.is_detached and not self.record.status.is_final:
                raise WorkspaceError(
                    f"The workspace of run {self.id} was closed, and the run goes on. Open it again and wait there: "
                    f"workbench.open({self._runs.url!r}).runs.get({self.id!r}).wait()."
                )
        else:
            self._runs.wait(self.id, timeout_s)
        return self

    def result(self, timeout_s: float | None = None) -> Any:
        """Wait for the end and return what came out.

        Returns
        -------
        ndarray, dict, list or None
            One output with one key: its array. Several outputs with one key and equal shapes: stacked along a new first axis,
            shape (n, ...). Outputs with several keys: a dict of arrays, or a list of dicts. No outputs: None.

        Raises
        ------
        RunTimeoutError
            If the run has not ended in time; it goes on.
        RunFailedError, RunCancelledError, RunLostError
            If it did not complete.
        """
        if not self.wait(timeout_s).status.is_final:
            raise RunTimeoutError(
                f"Run {self.id} is still {self.status} after {timeout_s:g} s. Wait longer, or end it with run.cancel().",
                run_id=self.id,
            )
        error = self.error
        if error is not None:
            raise error
        refs = self.record.outputs
        if any(ref.name for ref in refs):
            return self._named_result(refs)
        return combine([self._runs.load(o) if o.dataset else o.text for o in refs])

    def _named_result(self, refs: Sequence[OutputRef]) -> Any:
        """Return what a pipeline or its function gave, by name where there are several."""
        held = getattr(self._live, "held", {})
        names = list(dict.fromkeys(ref.name for ref in refs))
        values = {
            name: held[name]
            if name in held
            else value_of([r for r in refs if r.name == name], self._runs.load)
            for name in names
        }
        return values[names[0]] if len(names) == 1 else values

    @property
    def nodes(self) -> Nodes:
        """The nodes of a pipeline's run, as they stand; none for another run."""
        return Nodes(self.record.nodes)

    def node(self, name: str) -> Run:
        """Return the run of a pipeline's node.

        Raises
        ------
        NotFoundError
            If there is no such node, or it was not started.
        """
        nodes = self.nodes
        return self._runs.get(nodes.run_of(name, self.id))

    def cancel(self) -> Run:
        """Ask the run to end and return it. A run in the kernel ends at its next log, progress or fetch call."""
        live = self._attached()
        if live is not None:
            live.request_cancel()
        else:
            self._runs.cancel(self.id)
        return self

    def resume(self, **options: Any) -> Run:
        """Go on after the last finished phase, if it did not complete and its algorithm declares ``resumable = true``.

        Returns
        -------
        Run
            A new one; options are those of ``ws.run``.
        """
        return self._runs.resume(self.id, **options)

    def replay(self, **options: Any) -> Replay:
        """Compute it again, from the same code, parameters, inputs and seed, and compare; see `Workspace.replay`.

        Examples
        --------
        >>> run.replay(rtol=1e-6).is_same  # doctest: +SKIP
        True
        """
        return self._runs.replay(self.id, **options)

    def lineage(self, generations: int = 10, direction: Direction = "both") -> Lineage:
        """Return what it was made from and what was made from it; see `Dataset.lineage`."""
        return self._runs.lineage(self.id, generations, direction)

    def view(self) -> Any:
        """Return a widget that follows it; of a pipeline one with its nodes."""
        kind = "pipeline" if self._record.nodes else "run"
        return _VIEWS.get(kind)(self)

    def subscribe(self, listener: Callable[[RunEvent], None]) -> Callable[[], None]:
        """Call the listener for every later event; return a function that ends it.

        A run that another kernel works on in its own process sends no events here.
        """
        live = self._attached()
        return live.subscribe(listener) if live is not None else lambda: None

    def __repr__(self) -> str:
        record = self.record
        parts = [f"Run {record.id}", record.algorithm, str(record.status)]
        if not record.status.is_final:
            parts.append(f"{self.progress:.0%}")
            silence_s, eta_s = self.silence_s, self.eta_s
            if silence_s is not None:
                parts.append(f"no sign of life for {duration(silence_s)}")
            elif eta_s is not None:
                parts.append(f"about {duration(eta_s)} left")
        if record.reused_from is not None:
            parts.append(origin(record))
        elif record.seconds is not None:
            parts.append(f"{record.seconds:.2f} s")
        if record.outputs:
            parts.append(f"{len(record.outputs)} output{'s' if len(record.outputs) > 1 else ''}")
        text = "  ".join(parts)
        if record.error is not None:
            text += f"\n{record.error.type}: {record.error.message}"
            text += (
                f"\nin {record.error.phase}; traceback: run.error.traceback_text"
                if record.error.phase
                else ""
            )
        return text

    def _repr_html_(self) -> str:
        record = self.record
        if record.status.is_final:
            return run_html(record, self.outputs, drawn=self._drawn(record))
        pace = pace_html(record, self.progress, self.message, eta_s=self.eta_s, silence_s=self.silence_s)
        return run_html(record, (), pace, drawn=self._drawn(record))

    def _drawn(self, record: RunRecord) -> str:
        return str(_DRAWINGS.get("nodes")(record)) if record.nodes else ""


def plain(ref: OutputRef) -> Any:
    """Return an output that is no dataset: a plain value, or a text."""
    return ref.value if ref.is_value else (ref.text or (f"{ref.held}, kept nowhere" if ref.held else ""))


def value_of(refs: Sequence[OutputRef], load: Callable[[OutputRef], dict[str, Any]]) -> Any:
    """Return the value that was kept as these outputs.

    Raises
    ------
    NotFoundError
        If it is an object that only the process had which made it.
    """
    held = next((ref.held for ref in refs if ref.held), "")
    if held:
        raise NotFoundError(
            f"Output {refs[0].name!r} was a {held}, which only the process had that made it. Run the pipeline again; what is "
            "kept are arrays, numbers, texts, DataFrames of numbers, times, texts and categories, and lists, tuples and dicts of them."
        )
    if len(refs) == 1 and refs[0].is_value:
        return refs[0].value
    if len(refs) == 1 and refs[0].is_dict:
        return with_frames(load(refs[0]))
    return combine([with_frames(load(ref)) if ref.dataset else plain(ref) for ref in refs])


def combine(outputs: list[Any]) -> Any:
    """Combine outputs as `Run.result` says."""
    if not outputs:
        return None
    keys = {tuple(o) if isinstance(o, dict) else None for o in outputs}
    if len(keys) == 1 and None not in keys and len(next(iter(keys)) or ()) == 1:
        values = [next(iter(o.values())) for o in outputs]
        if len(values) == 1:
            return values[0]
        shapes = {(getattr(v, "shape", None), str(getattr(v, "dtype", ""))) for v in values}
        if len(shapes) == 1 and None not in {s for s, _ in shapes}:
            import numpy as np

            return np.stack(values)
        return values
    return outputs[0] if len(outputs) == 1 else outputs
