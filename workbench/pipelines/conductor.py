"""Conductor: brings the nodes of a pipeline to their ends, each when what it reads is there."""

from __future__ import annotations

import queue
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from workbench.errors import RunCancelledError, RunError, WorkbenchError
from workbench.execution.capture import captured
from workbench.execution.events import RunEvent
from workbench.execution.nodes import SKIPPED
from workbench.execution.perform import settle_error
from workbench.execution.reuse import NEVER
from workbench.execution.run import Run
from workbench.execution.seeds import UserState
from workbench.models import OutputRef, RunRecord, RunStatus
from workbench.pipelines.board import Board
from workbench.pipelines.call_records import CallRecords
from workbench.pipelines.callbacks import Callbacks
from workbench.pipelines.calls import Calls
from workbench.pipelines.failure import failure
from workbench.pipelines.filing import Filing
from workbench.pipelines.graph import Step
from workbench.pipelines.how import How
from workbench.pipelines.live import NodesRun
from workbench.pipelines.plan import Plan
from workbench.pipelines.values import Value, Values, sources_of

if TYPE_CHECKING:
    from workbench.catalog import Catalog
    from workbench.execution.executor import Services

LOOK_EVERY_S = 0.5  # whether the time is over


class Conductor:
    """Runs a plan.

    In the kernel the nodes run one after the other, in the calling thread. Elsewhere each is given away as soon as what it reads is
    there, so that those which do not need each other run at once. A node that fails takes along what needs it, and nothing else.

    Parameters
    ----------
    plan : Plan
    live : NodesRun
    how : How
    services : Services
    catalog : Catalog
    run : callable
        ``ws.run``.
    filing : Filing
    """

    def __init__(
        self,
        plan: Plan,
        live: NodesRun,
        how: How,
        services: Services,
        catalog: Catalog,
        run: Callable[..., Run],
        filing: Filing,
    ) -> None:
        self._plan = plan
        self._live = live
        self._how = how
        self._services = services
        self._run = run
        self._filing = filing
        self._values = Values(services.datasets)
        self._board = Board(plan, live, self._values)
        self._children: dict[str, str] = {}  # path -> run, of those under way
        self._ended: queue.SimpleQueue[tuple[str, Run] | None] = queue.SimpleQueue()
        self._errors: dict[str, BaseException] = {}
        self._callbacks = Callbacks(plan.watched, self._board.load)
        self._calls = Calls(
            plan,
            how,
            self._board,
            CallRecords(plan, how, live.record.id, catalog, services.datasets),
            services,
            self._children,
            self._settle,
            self._hear,
            is_watched=self._callbacks.are_there,
        )
        live.cancel_nodes = self._cancel_children

    # -- the whole

    def conduct(self) -> None:
        """Run all nodes and bring the run of the pipeline to its end.

        Raises
        ------
        KeyboardInterrupt
            After an interrupt; the run is CANCELLED.
        Exception
            What a node raised, in debug mode.
        """
        live = self._live
        facts = live.record.environment or self._services.environment.facts()  # of who has asked for it
        if not live.advance(RunStatus.STARTED):
            return
        try:
            self._filing.finish()  # what earlier pipelines have computed can be found then,
            self._services.runs.take_in(of_others=True)  # and what those of other processes have
            with captured(live), UserState():
                with self._services.datasets.filed_later() if self._how.is_here else nullcontext():
                    self._board.inputs = [given.value(self._values) for given in self._plan.given]
                    live.change(inputs=sources_of(self._board.inputs), arguments=self._arguments())
                    live.advance(RunStatus.RUNNING, save=False)
                    self._callbacks.begin(self._board.arguments())
                    self._let_stand()
                    self._go()
                self._finish(facts)
        except BaseException as error:
            self._cancel_children()
            self._board.skip_rest()
            settle_error(live, error, "pipeline", self._board.seconds(), facts)
            if isinstance(error, KeyboardInterrupt) or self._how.debug:
                raise
        finally:
            self._calls.forget()
            self._filing.add([*self._calls.kept, live.record])

    def _go(self) -> None:
        """Start what can start and settle what has ended, until nothing is left."""
        while True:
            self._live.check()
            ready = self._ready()
            for step in ready if not self._how.is_here else ready[:1]:
                self._start(step)
            if ready and self._how.is_here:
                continue
            if not self._children and not self._ready() and not self._calls.revive(self._plan.graph.outputs):
                return
            if not self._children:
                continue
            try:
                item = self._ended.get(timeout=LOOK_EVERY_S)
            except queue.Empty:
                continue
            if item is not None and item[0] in self._children:  # else its end was seen when it was started
                self._settle_run(self._plan.graph.steps[item[0]], item[1])

    def _ready(self) -> list[Step]:
        """Return the steps that can start; those that never can are skipped."""
        ready = []
        for path, step in self._plan.graph.steps.items():
            if self._live.node(path).status != RunStatus.PENDING:
                continue
            before = [self._live.node(name) for name in step.upstream]
            broken = next((n for n in before if n.status in ("FAILED", "CANCELLED", "LOST", SKIPPED)), None)
            if broken is not None:
                cause = (
                    broken.error if broken.status == SKIPPED else f"node {broken.name!r} is {broken.status}"
                )
                self._board.set(path, status=SKIPPED, error=cause)
                self._live.write_log("WARNING", f"{path}: skipped, for {cause}")
            elif all(n.status == RunStatus.COMPLETED for n in before):
                ready.append(step)
        return ready

    def _finish(self, facts: dict[str, Any]) -> None:
        """Bring the run of the pipeline to its end."""
        self._calls.finish()
        bad = [n for n in self._live.record.nodes if n.status in ("FAILED", "LOST", "CANCELLED")]
        if self._live.cancel_requested or (bad and all(n.status == "CANCELLED" for n in bad)):
            raise RunCancelledError(f"Run {self._live.record.id} was cancelled.", run_id=self._live.record.id)
        outputs = self._board.given()
        if not bad:
            result = (
                [self._board.load(port) for port in self._plan.graph.outputs] if self._plan.is_told else []
            )
            self._callbacks.end(self._board.arguments(), result[0] if len(result) == 1 else tuple(result))
            self._live.end(
                RunStatus.COMPLETED, outputs=outputs, phases=self._board.seconds(), environment=facts
            )
            return
        error, cause = failure(self._live.record.nodes, self._services.runs, self._errors)
        self._live.exception = cause
        self._live.end(
            RunStatus.FAILED, outputs=outputs, phases=self._board.seconds(), environment=facts, error=error
        )
        if self._how.debug and isinstance(cause, Exception):
            raise cause

    def _arguments(self) -> tuple[OutputRef, ...]:
        """Return what the pipeline was given, by the names of its inputs, for its record."""
        given = zip(self._plan.inputs, self._board.inputs, strict=True)
        return tuple(ref.model_copy(update={"name": name}) for name, value in given for ref in value.refs)

    def _let_stand(self) -> None:
        """Let what was recorded stand for those nodes of a replay that cannot be computed again."""
        for path, code in self._plan.code.items():
            if not code.why_not:
                continue
            error, first = f"not computed again: {code.why_not}", code.replays
            self._live.write_log("WARNING", f"{path}: {error}")
            if first is None:
                self._board.set(path, status=SKIPPED, error=error)
                continue
            given = self._values.recorded(first, self._plan.graph.steps[path].node.outputs)
            if given:
                self._board.outputs[path] = given
            self._board.set(path, status="COMPLETED", run=first.id, reused=True, error=error)

    # -- one node

    def _start(self, step: Step) -> None:
        """Start a step, or compute it where it runs in this thread."""
        self._board.set(step.path, status="RUNNING")
        try:
            self._callbacks.before(step)
            if step.node.kind == "algorithm":
                self._start_algorithm(step)
            else:
                self._calls.start(step)
        except WorkbenchError as error:  # nothing was started: what it reads does not fit it
            self._fail(step, error)
        except Exception as error:  # a callback
            self._fail(step, error)

    def _start_algorithm(self, step: Step) -> None:
        code, how, path = self._plan.code[step.path], self._how, step.path
        assert code.runnable is not None
        key = code.runnable.revision.type.input_key
        inputs = [
            item
            for port in step.sources
            for item in self._values.inputs(
                self._board.port(port), key, f"Input {port.name!r} of node {path!r}"
            )
        ]

        def hear(event: RunEvent) -> None:
            self._hear(path, event)

        waits = how.is_here
        run = self._run(
            code.runnable,
            inputs,
            code.parameters,
            executor=how.executor,
            reuse=how.reuse if step.node.deterministic else NEVER,
            wait=waits,
            echo=how.echo and waits,
            debug=how.debug,
            tags=how.tags,
            on_event=hear,
            _replays=code.replays,
            _part=(self._live.record.id, path),
            **step.node.options,
        )
        if run.record.status.is_final:
            self._settle_run(step, run)
        else:
            self._board.set(path, run=run.id)
            self._children[path] = run.id
            if run.record.status.is_final:  # in this moment
                self._ended.put((path, run))

    def _settle_run(self, step: Step, run: Run) -> None:
        """Take what a run that has ended gave."""
        record = run.record
        self._children.pop(step.path, None)
        if step.path in self._calls:
            self._calls.take(step, record)
            return
        if self._how.is_here and record.reused_from is None:
            self._calls.kept.append(record)
        if record.status is not RunStatus.COMPLETED:
            self._settle(step, record, (), run.error)
            return
        outputs = step.node.outputs
        given = self._values.recorded(record, outputs)
        if not given:
            self._board.set(step.path, run=record.id, seconds=record.seconds)
            self._fail(
                step,
                RunError(
                    f"Node {step.path!r}: {record.algorithm} put out {len(record.outputs)} datasets, and the node names "
                    f"{len(outputs)} outputs: {', '.join(outputs)}. Name as many, or one for all of them."
                ),
            )
            return
        self._settle(step, record, given, None)

    def _settle(
        self, step: Step, record: RunRecord, given: tuple[Value, ...], error: BaseException | None
    ) -> None:
        """Note how a step has ended."""
        path = step.path
        self._children.pop(path, None)
        self._board.fractions.pop(path, None)
        status = str(record.status)
        facts = {"run": record.id, "seconds": record.seconds, "reused": record.reused_from is not None}
        if status != RunStatus.COMPLETED:
            text = f"{record.error.type}: {record.error.message}" if record.error else ""
            if error is not None:
                self._errors[path] = error.__cause__ or error if isinstance(error, RunError) else error
            self._board.set(path, status=status, error=text, **facts)
            self._live.write_log(
                "ERROR" if status != "CANCELLED" else "WARNING", f"{path}: {status} {text}".rstrip()
            )
            return
        self._board.outputs[path] = given
        self._board.let_go(step)
        how = f"reused from {record.reused_from}" if record.reused_from else f"{record.seconds:.3g} s"
        self._live.write_log("INFO", f"{path}: {how}")
        self._board.set(path, status=status, **facts)
        try:
            self._callbacks.after(step, lambda name: self._live.node(name).status == RunStatus.COMPLETED)
        except Exception as raised:
            self._fail(step, raised)

    def _fail(self, step: Step, error: BaseException) -> None:
        """Note that a step could not be run."""
        self._children.pop(step.path, None)
        self._errors[step.path] = error
        self._board.set(step.path, status="FAILED", error=f"{type(error).__name__}: {error}")
        self._live.write_log("ERROR", f"{step.path}: {type(error).__name__}: {error}")
        if self._how.debug and isinstance(error, Exception):
            raise error

    # -- events and ends

    def _hear(self, path: str, event: RunEvent) -> None:
        """Take an event of a node's run, in the thread where it happens."""
        if self._how.is_here and path not in self._children:
            self._children[path] = event.run_id
            self._board.set(path, run=event.run_id)
        if event.kind == "state" and event.status.is_final:
            if not self._how.is_here:
                self._ended.put((path, self._services.runs.get(event.run_id)))
        elif event.kind == "progress":
            self._board.fractions[path] = event.fraction
            self._board.set(path, run=event.run_id)

    def _cancel_children(self) -> None:
        """Ask all runs that are under way to end."""
        for run_id in list(self._children.values()):
            try:
                self._services.runs.cancel(run_id)
            except WorkbenchError:  # it has just ended
                continue
        self._ended.put(None)
