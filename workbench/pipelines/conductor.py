"""Conductor: brings the nodes of a pipeline to their ends, each when what it reads is there."""

from __future__ import annotations

import queue
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import NotFoundError, RunCancelledError, RunError, WorkbenchError
from workbench.execution.capture import captured
from workbench.execution.events import RunEvent
from workbench.execution.executor import Job
from workbench.execution.log_file import LogFile
from workbench.execution.perform import settle_error
from workbench.execution.reuse import AUTO, NEVER, ONLY, digest_of, reused
from workbench.execution.run import Run
from workbench.models import OutputRef, RunRecord, RunStatus
from workbench.pipelines.call import Call, perform_call
from workbench.pipelines.call_records import CallRecords
from workbench.pipelines.callbacks import Callbacks
from workbench.pipelines.failure import failure
from workbench.pipelines.filing import Filing
from workbench.pipelines.graph import Port, Step
from workbench.pipelines.handover import forget, give, take_back, with_objects
from workbench.pipelines.how import How
from workbench.pipelines.live import CallRun, PipelineRun
from workbench.pipelines.plan import Plan
from workbench.pipelines.values import NOTHING, Value, Values, sources_of

if TYPE_CHECKING:
    from workbench.catalog import Catalog
    from workbench.execution.executor import Services

SKIPPED = "SKIPPED"
LOOK_EVERY_S = 0.5  # whether the time is over


class Conductor:
    """Runs a plan.

    In the kernel the nodes run one after the other, in the calling thread. Elsewhere each is given away as soon as what it reads is
    there, so that those which do not need each other run at once. A node that fails takes along what needs it, and nothing else.

    Parameters
    ----------
    plan : Plan
    live : PipelineRun
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
        live: PipelineRun,
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
        self._records = CallRecords(plan, how, live.record.id, catalog, services.datasets)
        self._run = run
        self._filing = filing
        self._values = Values(services.datasets)
        self._inputs: list[Value] = []
        self._outputs: dict[str, tuple[Value, ...]] = {}
        self._put_off: dict[str, RunRecord] = {}  # known to give the same as before, which is kept nowhere
        self._wanted: set[str] = set()  # of these, what was needed after all
        self._calls: dict[str, Path] = {}  # what was given to workers
        self._kept: list[RunRecord] = []  # of calls that have ended: they lie in the journal
        self._children: dict[str, str] = {}  # path -> run, of those under way
        self._fractions: dict[str, float] = {}
        self._ended: queue.SimpleQueue[tuple[str, Run] | None] = queue.SimpleQueue()
        self._errors: dict[str, BaseException] = {}
        self._unread = Counter(port for step in plan.graph.steps.values() for port in step.sources)
        self._unread.update(plan.graph.outputs)
        self._callbacks = Callbacks(plan.pipeline, self._load)
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
        live, facts = self._live, self._services.environment.facts()
        if not live.advance(RunStatus.STARTED):
            return
        try:
            self._filing.finish()  # what earlier pipelines have computed can be found then,
            self._services.runs.take_in()  # and what those of other processes have
            with captured(live):
                self._inputs = [given.value(self._values) for given in self._plan.given]
                live.change(inputs=sources_of(self._inputs))
                live.advance(RunStatus.RUNNING, save=False)
                self._callbacks.begin(self._arguments())
                self._go()
                self._finish(facts)
        except BaseException as error:
            self._cancel_children()
            self._skip_rest()
            settle_error(live, error, "pipeline", self._seconds(), facts)
            if isinstance(error, KeyboardInterrupt) or self._how.debug:
                raise
        finally:
            for path in self._calls.values():  # given to workers that were cancelled
                forget(path)
            self._filing.add(self._kept)

    def _go(self) -> None:
        """Start what can start and settle what has ended, until nothing is left."""
        while True:
            self._live.check()
            ready = self._ready()
            for step in ready if not self._how.is_here else ready[:1]:
                self._start(step)
            if ready and self._how.is_here:
                continue
            if not self._children and not self._ready() and not self._revive(self._plan.graph.outputs):
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
                self._set(path, status=SKIPPED, error=cause)
                self._live.write_log("WARNING", f"{path}: skipped, for {cause}")
            elif all(n.status == RunStatus.COMPLETED for n in before):
                ready.append(step)
        return ready

    def _finish(self, facts: dict[str, Any]) -> None:
        """Bring the run of the pipeline to its end."""
        for put_off in self._put_off.values():
            self._services.runs.keep(put_off, put_off.model_dump_json().encode())
            self._kept.append(put_off)
        bad = [n for n in self._live.record.nodes if n.status in ("FAILED", "LOST", "CANCELLED")]
        if self._live.cancel_requested or (bad and all(n.status == "CANCELLED" for n in bad)):
            raise RunCancelledError(f"Run {self._live.record.id} was cancelled.", run_id=self._live.record.id)
        outputs = self._given()
        if not bad:
            result = (
                [self._load(port) for port in self._plan.graph.outputs]
                if self._plan.pipeline.callbacks
                else []
            )
            self._callbacks.end(self._arguments(), result[0] if len(result) == 1 else tuple(result))
            self._live.end(RunStatus.COMPLETED, outputs=outputs, phases=self._seconds(), environment=facts)
            return
        error, cause = failure(self._live.record.nodes, self._services.runs, self._errors)
        self._live.exception = cause
        self._live.end(
            RunStatus.FAILED, outputs=outputs, phases=self._seconds(), environment=facts, error=error
        )
        if self._how.debug and isinstance(cause, Exception):
            raise cause

    def _given(self) -> tuple[OutputRef, ...]:
        """Return what the pipeline gives, as far as it was computed."""
        refs: list[OutputRef] = []
        for name, port in zip(self._plan.pipeline.outputs, self._plan.graph.outputs, strict=True):
            value = self._value(port)
            if value is not None:
                refs += [ref.model_copy(update={"name": name}) for ref in value.refs]
                if value.held is not NOTHING:
                    self._live.held[name] = value.held
        return tuple(refs)

    # -- one node

    def _start(self, step: Step) -> None:
        """Start a step, or compute it where it runs in this thread."""
        self._set(step.path, status="RUNNING")
        try:
            self._callbacks.before(step)
            if step.node.kind == "algorithm":
                self._start_algorithm(step)
            else:
                self._start_call(step)
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
            for item in self._values.inputs(self._port(port), key, f"Input {port.name!r} of node {path!r}")
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
            _part=(self._live.record.id, path),
            **step.node.options,
        )
        if run.record.status.is_final:
            self._settle_run(step, run)
        else:
            self._set(path, run=run.id)
            self._children[path] = run.id
            if run.record.status.is_final:  # in this moment
                self._ended.put((path, run))

    def _start_call(self, step: Step) -> None:
        code, path = self._plan.code[step.path], step.path
        arguments = tuple(self._port(port) for port in step.sources)
        parents = sources_of(arguments)
        record = self._records.new(step, arguments, parents)
        mode = self._how.reuse if step.node.deterministic else NEVER
        if mode in (AUTO, ONLY) and not self._how.debug and path not in self._wanted:
            can_wait = mode == AUTO and not self._callbacks.are_there
            found = self._records.find(step, record.reuse_parts, also_held=can_wait)
            if found is not None:
                self._reuse(step, reused(record, found))
                return
        if mode == ONLY:
            why = f" ({code.unknown})" if code.unknown else ""
            raise NotFoundError(
                f"reuse='only': no completed run has computed node {path!r}{why}. Pass reuse='auto' to compute it."
            )
        if self._revive(step.sources):
            self._set(path, status="PENDING")
            return
        call = Call(
            path=path,
            what=step.node.what,
            kind=step.node.kind,
            parameters=code.parameters,
            arguments=arguments,
            shared=tuple(not port.step or self._plan.readers(port) > 1 for port in step.sources),
            outputs=step.node.outputs,
            keys=tuple(self._plan.key_of(Port(path, i, n)) for i, n in enumerate(step.node.outputs)),
            parents=parents,
        )
        if self._how.is_here:
            self._compute_call(step, record, call)
        else:
            self._give_call(step, record, call)

    def _reuse(self, step: Step, record: RunRecord) -> None:
        """Let an earlier call stand for this one. What it gave and is kept nowhere is computed only if somebody needs it."""
        given = self._records.values_of(step, record)
        if all(value.is_kept for value in given):
            self._services.runs.keep(record, record.model_dump_json().encode())
            self._settle_call(step, record, given)
        else:
            self._put_off[step.path] = record
            self._settle(step, record, _told_apart(given, record), None)

    def _revive(self, ports: Sequence[Port]) -> bool:
        """Let those be computed after all that were put off and have what is needed here; tell whether there are any."""
        needed = {port.step for port in ports if port.step in self._put_off and not self._port(port).is_kept}
        for path in needed:
            del self._put_off[path]
            self._wanted.add(path)
            self._outputs.pop(path)
            self._set(path, status="PENDING", reused=False, run="", seconds=None)
        return bool(needed)

    def _compute_call(self, step: Step, record: RunRecord, call: Call) -> None:
        """Compute a call in this thread."""
        services = self._services
        live = CallRun(
            record,
            services.runs,
            LogFile(services.store, record.id),
            lowest_level=services.settings.log_level,
            echo=self._how.echo,
        )
        services.runs.add(live)
        live.subscribe(lambda event: self._hear(step.path, event))
        self._children[step.path] = record.id
        try:
            given = perform_call(
                live, call, self._values, services.environment.facts(), raise_errors=self._how.debug
            )
        except BaseException as error:
            self._settle_call(step, live.record, (), error)
            raise
        self._settle_call(step, live.record, _told_apart(given, live.record), live.exception)

    def _give_call(self, step: Step, record: RunRecord, call: Call) -> None:
        """Give a call to a worker."""
        path = give(call, record.id, self._services.settings.host_folder)
        self._calls[step.path] = path
        self._set(step.path, run=record.id)
        job = Job(record, None, False, listener=lambda event: self._hear(step.path, event), call=str(path))
        self._children[step.path] = record.id
        try:
            self._how.place.submit(job)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _take_call(self, step: Step, record: RunRecord) -> None:
        """Take what a call gave in a worker."""
        path = self._calls.pop(step.path)
        path.unlink(missing_ok=True)  # of one that never began
        if record.status is not RunStatus.COMPLETED:
            self._settle(step, record, (), None)
            return
        back = take_back(path)
        if back.state is not None:
            vars(step.node.what).update(back.state)
        given = with_objects(self._records.values_of(step, record), back)
        self._settle(step, record, _told_apart(given, record), None)

    def _settle_call(
        self, step: Step, record: RunRecord, given: tuple[Value, ...], error: BaseException | None = None
    ) -> None:
        self._kept.append(record)
        self._settle(step, record, given, error)

    def _settle_run(self, step: Step, run: Run) -> None:
        """Take what a run that has ended gave."""
        record = run.record
        self._children.pop(step.path, None)
        if step.path in self._calls:
            self._take_call(step, record)
            return
        if record.status is not RunStatus.COMPLETED:
            self._settle(step, record, (), run.error)
            return
        outputs = step.node.outputs
        given: tuple[Value, ...]
        if len(outputs) == 1:
            given = (self._values.found(record.outputs, record.inputs, name=outputs[0]),)
        elif len(record.outputs) == len(outputs):
            given = tuple(
                self._values.found([ref], record.inputs, name=name)
                for ref, name in zip(record.outputs, outputs, strict=True)
            )
        else:
            self._set(step.path, run=record.id, seconds=record.seconds)
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
        self._fractions.pop(path, None)
        status = str(record.status)
        facts = {"run": record.id, "seconds": record.seconds, "reused": record.reused_from is not None}
        if status != RunStatus.COMPLETED:
            text = f"{record.error.type}: {record.error.message}" if record.error else ""
            if error is not None:
                self._errors[path] = error.__cause__ or error if isinstance(error, RunError) else error
            self._set(path, status=status, error=text, **facts)
            self._live.write_log(
                "ERROR" if status != "CANCELLED" else "WARNING", f"{path}: {status} {text}".rstrip()
            )
            return
        self._outputs[path] = given
        self._let_go(step)
        if not record.reused_from and self._live.record.debug:
            self._live.write_log("DEBUG", f"{path}: {record.seconds} s")
        self._set(path, status=status, **facts)
        try:
            self._callbacks.after(step, lambda name: self._live.node(name).status == RunStatus.COMPLETED)
        except Exception as raised:
            self._fail(step, raised)

    def _fail(self, step: Step, error: BaseException) -> None:
        """Note that a step could not be run."""
        self._children.pop(step.path, None)
        self._errors[step.path] = error
        self._set(step.path, status="FAILED", error=f"{type(error).__name__}: {error}")
        self._live.write_log("ERROR", f"{step.path}: {type(error).__name__}: {error}")
        if self._how.debug and isinstance(error, Exception):
            raise error

    # -- values, events, ends

    def _let_go(self, step: Step) -> None:
        """Let go of values that are kept, and that nobody reads any more: a large array need not stay in memory."""
        for port in step.sources:
            self._unread[port] -= 1
            value = self._value(port)
            if not self._unread[port] and value is not None and value.is_kept:
                value.held = NOTHING

    def _port(self, port: Port) -> Value:
        value = self._value(port)
        assert value is not None
        return value

    def _value(self, port: Port) -> Value | None:
        if not port.step:
            return self._inputs[port.index]
        given = self._outputs.get(port.step)
        return given[port.index] if given is not None else None

    def _load(self, port: Port) -> Any:
        return self._values.load(self._port(port), is_shared=False)

    def _arguments(self) -> list[Any]:
        return (
            [self._values.load(value, is_shared=False) for value in self._inputs]
            if self._plan.pipeline.callbacks
            else []
        )

    def _hear(self, path: str, event: RunEvent) -> None:
        """Take an event of a node's run, in the thread where it happens."""
        if self._how.is_here and path not in self._children:
            self._children[path] = event.run_id
            self._set(path, run=event.run_id)
        if event.kind == "state" and event.status.is_final:
            if not self._how.is_here:
                self._ended.put((path, self._services.runs.get(event.run_id)))
        elif event.kind == "progress":
            self._fractions[path] = event.fraction
            self._set(path, run=event.run_id)

    def _set(self, path: str, **changes: Any) -> None:
        nodes = self._live.record.nodes
        done = sum(node.status not in ("PENDING", "RUNNING") for node in nodes) + sum(
            self._fractions.values()
        )
        self._live.set_node(path, min(done / max(len(nodes), 1), 0.999), **changes)

    def _cancel_children(self) -> None:
        """Ask all runs that are under way to end."""
        for run_id in list(self._children.values()):
            try:
                self._services.runs.cancel(run_id)
            except WorkbenchError:  # it has just ended
                continue
        self._ended.put(None)

    def _skip_rest(self) -> None:
        for node in self._live.record.nodes:
            if node.status in ("PENDING", "RUNNING"):
                status = SKIPPED if node.status == "PENDING" else "CANCELLED"
                self._live.set_node(node.name, 0.0, status=status, error="the pipeline was ended")

    def _seconds(self) -> dict[str, float]:
        return {
            node.name: round(node.seconds, 6) for node in self._live.record.nodes if node.seconds is not None
        }


def _told_apart(given: tuple[Value, ...], record: RunRecord) -> tuple[Value, ...]:
    """Return what a call gave, with a digest also for what is kept nowhere: it follows from what the call depended on."""
    if not record.reuse_key:
        return given
    return tuple(
        value if value.digest else replace(value, digest=digest_of(["given", record.reuse_key, position]))
        for position, value in enumerate(given)
    )
