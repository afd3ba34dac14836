"""The pipelines of a workspace: run them, and find their runs."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidInputError, UnsupportedError
from workbench.execution.events import RunEvent
from workbench.execution.executor import Executor, Job, Services, check_limits, check_tags
from workbench.execution.log_file import LogFile
from workbench.execution.reuse import AUTO, NEVER, ONLY, checked_word
from workbench.execution.run import Run
from workbench.links import Links, SavedPipelines, StepVersion
from workbench.models import NodeRecord, RunRecord, now
from workbench.names import new_id
from workbench.pages import Page, Row
from workbench.pipelines.conductor import Conductor
from workbench.pipelines.filing import Filing
from workbench.pipelines.foreseen import check_all_known
from workbench.pipelines.handover import dumps
from workbench.pipelines.how import How
from workbench.pipelines.kept import KeptVersions
from workbench.pipelines.kept_code import keep_code, name_code
from workbench.pipelines.live import NodesRun, PipelineRun
from workbench.pipelines.pipeline import Pipeline
from workbench.pipelines.plan import Plan, make_plan
from workbench.pipelines.saving import LATEST, Saver
from workbench.pipelines.sent import pack_plan, receive, send, send_back, take_gains
from workbench.pipelines.values import Values, is_plain, own_copy
from workbench.process_identity import is_gone, this_process

if TYPE_CHECKING:
    from workbench.algorithms import Algorithms
    from workbench.catalog import Catalog
    from workbench.pipelines.called_again import CallsAgain
    from workbench.pipelines.replay import PipelineReplay

CLOSE_S = 5.0  # so long a function may go on when the workspace is closed


class Pipelines(SavedPipelines):
    """Runs pipelines, and knows those that were saved: ``ws.pipelines``.

    Parameters
    ----------
    algorithms : Algorithms
    links : Links
    catalog : Catalog
    services : Services
    executor : callable
        Gives the executor of a name.
    run : callable
        ``ws.run``.
    """

    def __init__(
        self,
        algorithms: Algorithms,
        links: Links,
        catalog: Catalog,
        services: Services,
        executor: Callable[[str], Executor],
        run: Callable[..., Run],
    ) -> None:
        super().__init__(services.store, catalog)
        self._algorithms = algorithms
        self._links = links
        self._services = services
        self._executor = executor
        self._run = run
        self._filing = Filing(services.runs)
        self._going: dict[PipelineRun, threading.Thread] = {}

    def run(
        self,
        pipeline: Pipeline,
        *inputs: Any,
        parameters: Mapping[str, Any] | None = None,
        executor: str | None = None,
        reuse: str = AUTO,
        wait: bool = True,
        timeout_s: float | None = None,
        debug: bool = False,
        tags: Sequence[str] = (),
        echo: bool | None = None,
        on_event: Callable[[RunEvent], None] | None = None,
    ) -> Run:
        """Run a pipeline.

        Parameters
        ----------
        pipeline : Pipeline
        *inputs : array, Dataset, id, path, or whatever its functions read
            One for each of ``pipeline.inputs``, in their order; or one mapping of them by name. Functions get the value of a
            `Dataset` or of its id; any other text, and a path, reaches them as it is. If it names a file, the file's content
            counts in what is stale. Algorithms read the dataset or file that a text names.
        parameters : mapping, optional
            Values by node, ``{"blur": {"sigma": 2.0}}``; those of nested pipelines are nested.
        executor : str, optional
            ``kernel``: one node after the other, in this thread. ``process``: in background processes, nodes that do not need
            each other at once.
        reuse : {"auto", "never", "only"}
            ``auto`` computes only what is stale: nodes whose code, parameters or inputs differ from all runs before.
        wait : bool
            False returns at once. With ``executor="process"`` the pipeline is conducted by a process of the run host and goes on
            when the kernel ends; with ``executor="kernel"``, or if a pipeline has callbacks, by a thread of the kernel.
        timeout_s : float, optional
            Seconds after which it is ended; a function in the kernel ends first.
        debug : bool
            Raise what a node raises, so that ``%debug`` lands in its frame.
        tags : sequence of str
            Labels for the runs of the pipeline and its nodes.
        echo : bool, optional
            Whether what nodes print also appears here; default: only when the pipeline is waited for.
        on_event : callable, optional
            Called with every `RunEvent` of the pipeline.

        Returns
        -------
        Run
            Of the whole; ``run.nodes`` says how each node stands, ``run.node(name)`` is its run.

        Raises
        ------
        WorkbenchError
            Before anything is stored or started, with the node: an unknown algorithm, a wrong parameter, an input that does not fit;
            with ``reuse="only"`` a node that no earlier run stands for (`NotFoundError`).
        """
        _check_pipeline(pipeline)
        check_limits(timeout_s, 0)
        services = self._services
        place = self._executor(executor or services.settings.executor)
        if debug and place.name != "kernel":
            raise UnsupportedError(
                "debug=True stops in the frame of a node, so it runs in the kernel: executor='kernel'."
            )
        how = How(
            place=place,
            reuse=checked_word(reuse),
            echo=wait if echo is None else echo,
            debug=debug,
            tags=check_tags(tags),
        )
        given = inputs if wait else tuple(map(own_copy, inputs))
        plan = make_plan(pipeline, given, parameters, self._algorithms, services.datasets)
        outlives = not wait and place.takes_pipelines and plan.watched is None
        if not how.is_here:
            _check_place(plan, place)
        texts = name_code(plan)
        packed = pack_plan(plan, how) if outlives else b""
        if not (outlives or how.is_here):
            _check_calls(plan)
        if how.reuse == ONLY:
            self._filing.finish()
            services.runs.take_in()
            check_all_known(plan, self._algorithms, self._catalog, services.datasets)
        keep_code(texts, services.store)
        record = _record(
            plan,
            how,
            name=pipeline.name,
            # where it is conducted; each node says where it ran
            executor=place.name if outlives else "kernel",
            nodes=plan.nodes(),
            timeout_s=timeout_s,
        )
        if outlives:
            return self._send(record, plan, packed, pipeline.inputs, place, on_event)
        return self._conduct_here(record, plan, how, on_event, wait=wait)

    def _conduct_here(
        self,
        record: RunRecord,
        plan: Plan,
        how: How,
        on_event: Callable[[RunEvent], None] | None,
        *,
        wait: bool,
    ) -> Run:
        """Conduct a pipeline in this process."""
        services = self._services
        live = PipelineRun(
            record,
            services.runs,
            LogFile(services.store, record.id),
            lowest_level=services.settings.log_level,
            echo=how.echo,
        )
        if on_event is not None:
            live.subscribe(on_event)
        services.runs.add(live)
        conductor = Conductor(plan, live, how, services, self._catalog, self._run, self._filing)
        if wait:
            conductor.conduct()
        else:
            live.save()
            self._start(conductor, live)
        return Run(live.record, services.runs, live)

    def _send(
        self,
        record: RunRecord,
        plan: Plan,
        packed: bytes,
        names: Sequence[str],
        place: Executor,
        on_event: Callable[[RunEvent], None] | None,
    ) -> Run:
        """Give a pipeline to a process that conducts it."""
        services = self._services
        values = Values(services.datasets)
        path = send(
            packed,
            [given.value(values) for given in plan.given],
            names,
            record.id,
            services.settings.host_folder,
        )
        job = Job(
            record,
            None,
            False,
            listener=on_event,
            pipeline=str(path),
            take_back=lambda: take_gains(path, plan),
        )
        try:
            return Run(record, services.runs, place.submit(job))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def conduct(self, live: NodesRun, path: Path) -> None:
        """Conduct a pipeline that another process has sent here.

        Parameters
        ----------
        live : NodesRun
            In state PENDING; it has ended when this returns.
        path : Path
            Where the pipeline lies; what cannot be kept of what it gives is written beside it.
        """
        sent, inputs = receive(path)
        plan = sent.plan(inputs, self._algorithms, self._services.datasets)
        services = self._services
        services.runs.add(live)
        conductor = Conductor(
            plan, live, sent.how(self._executor), services, self._catalog, self._run, self._filing
        )
        try:
            conductor.conduct()
        finally:
            if not is_gone(live.record.kernel_pid, None, live.record.host):  # nobody else would fetch it
                send_back(path, plan, live)

    def replay_call(self, record: RunRecord) -> tuple[Run, list[str]]:
        """Call a function of a pipeline again; see `Workspace.replay`. Return also why it may give something else here."""
        from workbench.pipelines.replay_call import replay_call

        live, reasons = replay_call(record, self._services, self._calls_again)
        return Run(live.record, self._services.runs, live), reasons

    def replay(
        self,
        original: Run,
        *,
        rtol: float = 0.0,
        atol: float = 0.0,
        from_source: bool | str | os.PathLike[str] = False,
        pipeline: Pipeline | None = None,
        executor: str | None = None,
        session: str | None = None,
        device: str | None = None,
        timeout_s: float | None = None,
        tags: Sequence[str] = (),
        echo: bool = False,
        on_event: Callable[[RunEvent], None] | None = None,
    ) -> PipelineReplay:
        """Compute a whole run of a pipeline again, and compare its nodes; see `Workspace.replay`."""
        from workbench.execution.replay import rebuilt
        from workbench.pipelines.replay import compare_nodes
        from workbench.pipelines.replay_plan import executor_again, nodes_again, plan_again

        check_limits(timeout_s, 0)
        services, first = self._services, original.record
        runs, datasets = services.runs, services.datasets
        given = None if pipeline is None else _check_pipeline(pipeline)
        plan = plan_again(
            first,
            runs,
            datasets,
            self._algorithms,
            self._calls_again,
            pipeline=given,
            session=session,
            device=device,
        )
        place = self._executor(executor or executor_again(first, runs))
        how = How(place, NEVER, echo=echo, debug=False, tags=check_tags(tags) or first.tags)
        if not how.is_here:
            _check_place(plan, place)
            _check_calls(plan)
        deployed = {c.replays.revision: c.replays for c in plan.code.values() if c.replays and c.runnable}
        notes = [
            rebuilt(record, self._algorithms, from_source) for record in deployed.values() if from_source
        ]
        record = _record(
            plan, how, name=first.algorithm, executor="kernel", nodes=nodes_again(first), timeout_s=timeout_s
        )
        record = record.model_copy(update={"replays": first.id})
        run = self._conduct_here(record, plan, how, on_event, wait=True)
        places = (runs, datasets, self._algorithms)
        return compare_nodes(original, run, plan, *places, rtol, atol, notes, services.store)

    def close(self) -> None:
        """End the pipelines that this process runs, and return when all records lie in their places."""
        for live in list(self._going):
            live.request_cancel()
        for thread in list(self._going.values()):
            thread.join(CLOSE_S)
        self._filing.close()

    def _start(self, conductor: Conductor, live: PipelineRun) -> None:
        """Conduct in a thread of its own, with what the calling one knows."""

        def conduct() -> None:
            try:
                conductor.conduct()
            finally:
                self._going.pop(live, None)

        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(conduct,), name=f"workbench-pipeline-{live.record.id}", daemon=True
        )
        self._going[live] = thread
        thread.start()

    # -- saving and loading

    def save(self, pipeline: Pipeline) -> StepVersion:
        """Keep a trained pipeline; see `Pipeline.save`."""
        return self._saver.save(_check_pipeline(pipeline))

    def load(
        self,
        pipeline: Pipeline,
        version: str = LATEST,
        *,
        trusted: Sequence[str] = (),
        allow_pickle: bool = False,
    ) -> Pipeline:
        """Give the steps of a pipeline the states that are kept; see `Pipeline.load`."""
        self._saver.load(_check_pipeline(pipeline), version, trusted=trusted, allow_pickle=allow_pickle)
        return pipeline

    def validate(self, pipeline: Pipeline) -> None:
        """Say by hand that all nodes work with what they read from, without having trained them together."""
        self._saver.validate(_check_pipeline(pipeline))

    def stale(self, pipeline: Pipeline) -> dict[str, str]:
        """Return the nodes of a pipeline that have to be trained again, by path, and why."""
        return self._saver.kept(_check_pipeline(pipeline)).stale()

    def valid_edges(self, pipeline: Pipeline) -> dict[tuple[str, str], bool]:
        """Tell of each edge, as (path, path), whether the two nodes worked together as they are now."""
        return self._saver.kept(_check_pipeline(pipeline)).valid_edges()

    def kept(self, pipeline: Pipeline) -> KeptVersions:
        """Return what is kept of the steps of a pipeline: the best versions, what is missing, what is stale."""
        return self._saver.kept(_check_pipeline(pipeline))

    def retrain(self, pipeline: Pipeline, *inputs: Any, force: bool = False, **options: Any) -> Page[Row]:
        """Run a pipeline that trains, if something of it is stale, and save it.

        Parameters
        ----------
        pipeline : Pipeline
        *inputs, **options
            As for `run`.
        force : bool
            Train all of it again, whether it is stale or not.

        Returns
        -------
        Page
            One row for each node that was trained: why, and its version before and after. Besides those that were stale these are
            nodes that what they read from has taken along, and nodes whose data are new.

        Raises
        ------
        RunError
            If a node failed; nothing is saved then.
        """
        why = (
            dict.fromkeys(self._saver.trained(_check_pipeline(pipeline)), "asked for")
            if force
            else self.stale(pipeline)
        )
        rows: list[Row] = []
        if why:
            before = {path: v.ref for path, v in self._saver.newest(pipeline).items()}
            self.run(
                pipeline, *inputs, **{**options, "wait": True, "reuse": NEVER if force else AUTO}
            ).result()
            after = self.save(pipeline).nodes
            rows = [
                {"node": path, "before": before.get(path), "after": after[path], "why": reason}
                for path, reason in self._saver.why_trained(pipeline, why, before, after).items()
            ]
        return Page(
            rows, lambda row: row, None, "stale nodes", "Everything was trained with what it reads from."
        )

    @property
    def _calls_again(self) -> CallsAgain:
        from workbench.pipelines.called_again import CallsAgain

        return CallsAgain(self._services, self._links)

    @property
    def _saver(self) -> Saver:
        return Saver(self._links, self, self._algorithms)


def _record(
    plan: Plan, how: How, *, name: str, executor: str, nodes: Sequence[NodeRecord], timeout_s: float | None
) -> RunRecord:
    """Return the record of a run of a pipeline that is about to begin."""
    pid, pid_started, host, user = this_process()
    return RunRecord(
        id=new_id(),
        algorithm=name,
        algorithm_name=name,
        parameters={k: v if is_plain(v) else repr(v)[:200] for k, v in plan.parameters.items()},
        executor=executor,
        nodes=tuple(nodes),
        pipeline_outputs=tuple(
            (port.step, name) for port, name in zip(plan.graph.outputs, plan.outputs, strict=True)
        ),
        reuse=how.reuse,
        debug=how.debug,
        timeout_s=timeout_s,
        tags=how.tags,
        pid=pid,
        pid_started=pid_started,
        host=host,
        user=user,
        created=now(),
    )


def _check_place(plan: Plan, place: Executor) -> None:
    """Refuse functions and steps where only algorithms run."""
    for step in plan.calls if not place.takes_calls else ():
        raise UnsupportedError(
            f"Executor {place.name!r} runs algorithms, and node {step.path!r} is a {step.node.kind}. "
            "Use executor='process' or 'kernel'."
        )


def _check_calls(plan: Plan) -> None:
    """Refuse functions and steps that cannot go to another process."""
    for step in plan.calls:
        dumps((step.node.what, plan.code[step.path].parameters), step.path, step.node.what)


def _check_pipeline(pipeline: object) -> Pipeline:
    if isinstance(pipeline, Pipeline):
        return pipeline
    raise InvalidInputError(
        f"{pipeline!r} is no Pipeline. Make one: workbench.Pipeline([workbench.Node(...), ...])."
    )
