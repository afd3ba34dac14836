"""Starts the functions and steps of a pipeline: here, in a worker, or not at all where an earlier call can stand for one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from workbench.errors import NotFoundError
from workbench.execution.events import RunEvent
from workbench.execution.executor import Job
from workbench.execution.kept_run import KeptRun
from workbench.execution.log_file import LogFile
from workbench.execution.perform import settle_error
from workbench.execution.reuse import AUTO, NEVER, ONLY, digest_of, reused
from workbench.models import RunRecord, RunStatus
from workbench.pipelines.board import Board
from workbench.pipelines.call import PHASE, Call, perform_call
from workbench.pipelines.call_records import CallRecords
from workbench.pipelines.graph import Port, Step
from workbench.pipelines.handover import forget, give, take_back, with_objects
from workbench.pipelines.how import How
from workbench.pipelines.plan import Plan
from workbench.pipelines.values import Value, Values, sources_of

if TYPE_CHECKING:
    from workbench.execution.executor import Services


class Settle(Protocol):
    """Notes how a step has ended."""

    def __call__(
        self, step: Step, record: RunRecord, given: tuple[Value, ...], error: BaseException | None
    ) -> None: ...


class Calls:
    """The functions and steps of one run of a pipeline.

    Parameters
    ----------
    plan : Plan
    how : How
    board : Board
    records : CallRecords
    services : Services
    under_way : dict
        The runs that are, by path; added to here.
    settle : callable
        Told how each has ended, in the thread that conducts.
    hear : callable
        Told of the events of each, with its path.
    is_watched : bool
        Whether callbacks want to see all values.
    """

    def __init__(
        self,
        plan: Plan,
        how: How,
        board: Board,
        records: CallRecords,
        services: Services,
        under_way: dict[str, str],
        settle: Settle,
        hear: Callable[[str, RunEvent], None],
        *,
        is_watched: bool,
    ) -> None:
        self._plan = plan
        self._how = how
        self._board = board
        self._records = records
        self._services = services
        self._under_way = under_way
        self._settle = settle
        self._hear = hear
        self._is_watched = is_watched
        self._values = Values(services.datasets)
        self._put_off: dict[str, RunRecord] = {}  # known to give the same as before, which is kept nowhere
        self._wanted: set[str] = set()  # of these, what was needed after all
        self._files: dict[str, Path] = {}  # what was given to workers
        self.kept: list[RunRecord] = []  # of those that have ended: they lie in the journal

    def __contains__(self, path: str) -> bool:
        """Tell whether a step was given to a worker."""
        return path in self._files

    def finish(self) -> None:
        """Keep the records of those that were put off for good."""
        for record in self._put_off.values():
            self._services.runs.keep(record, record.model_dump_json().encode())
            self.kept.append(record)
        self._put_off.clear()

    def forget(self) -> None:
        """Take away what was given to workers that were cancelled."""
        for path in self._files.values():
            forget(path)

    def start(self, step: Step) -> None:
        """Start a step whose arguments are there; compute it where it runs in this thread."""
        code, path = self._plan.code[step.path], step.path
        arguments = tuple(self._board.port(port) for port in step.sources)
        parents = sources_of(arguments)
        record = self._records.new(step, arguments, parents)
        mode = self._how.reuse if step.node.deterministic else NEVER
        if mode in (AUTO, ONLY) and not self._how.debug and path not in self._wanted:
            can_wait = mode == AUTO and not self._is_watched
            found = self._records.find(step, record.reuse_parts, also_held=can_wait)
            if found is not None:
                self._reuse(step, reused(record, found))
                return
        if mode == ONLY:
            why = f" ({code.unknown})" if code.unknown else ""
            raise NotFoundError(
                f"reuse='only': no completed run has computed node {path!r}{why}. Pass reuse='auto' to compute it."
            )
        if self.revive(step.sources):
            self._board.set(path, status="PENDING")
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
            retryable=record.retryable,
        )
        if self._how.is_here:
            self._compute_call(step, record, call)
        else:
            self._give_call(step, record, call)

    def _reuse(self, step: Step, record: RunRecord) -> None:
        """Let an earlier call stand for this one. What it gave and is kept nowhere is computed only if somebody needs it."""
        given = self._values.recorded(record, step.node.outputs)
        if all(value.is_kept for value in given):
            self._services.runs.keep(record, record.model_dump_json().encode())
            self._settle_kept(step, record, given)
        else:
            self._put_off[step.path] = record
            self._settle(step, record, _told_apart(given, record), None)

    def revive(self, ports: Sequence[Port]) -> bool:
        """Let those be computed after all that were put off and have what is needed here; tell whether there are any."""
        needed = {
            port.step for port in ports if port.step in self._put_off and not self._board.port(port).is_kept
        }
        for path in needed:
            del self._put_off[path]
            self._wanted.add(path)
            self._board.outputs.pop(path)
            self._board.set(path, status="PENDING", reused=False, run="", seconds=None)
        return bool(needed)

    def _compute_call(self, step: Step, record: RunRecord, call: Call) -> None:
        """Compute a call in this thread."""
        services = self._services
        live = KeptRun(
            record,
            services.runs,
            LogFile(services.store, record.id),
            lowest_level=services.settings.log_level,
            echo=self._how.echo,
        )
        services.runs.add(live)
        live.subscribe(lambda event: self._hear(step.path, event))
        self._under_way[step.path] = record.id
        try:
            given = perform_call(
                live, call, self._values, services.environment.facts(), raise_errors=self._how.debug
            )
        except BaseException as error:
            if not live.record.status.is_final:  # an interrupt came between its steps
                settle_error(live, error, PHASE, {}, services.environment.facts())
            self._settle_kept(step, live.record, (), error)
            raise
        self._settle_kept(step, live.record, _told_apart(given, live.record), live.exception)

    def _give_call(self, step: Step, record: RunRecord, call: Call) -> None:
        """Give a call to a worker."""
        path = give(call, record.id, self._services.settings.host_folder)
        self._files[step.path] = path
        self._board.set(step.path, run=record.id)
        job = Job(record, None, False, listener=lambda event: self._hear(step.path, event), call=str(path))
        self._under_way[step.path] = record.id
        try:
            self._how.place.submit(job)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def take(self, step: Step, record: RunRecord) -> None:
        """Take what a call gave in a worker."""
        path = self._files.pop(step.path)
        path.unlink(missing_ok=True)  # of one that never began
        if record.status is not RunStatus.COMPLETED:
            self._settle(step, record, (), None)
            return
        back = take_back(path)
        if back.state is not None:
            vars(step.node.what).update(back.state)
        given = with_objects(self._values.recorded(record, step.node.outputs), back)
        self._settle(step, record, _told_apart(given, record), None)

    def _settle_kept(
        self, step: Step, record: RunRecord, given: tuple[Value, ...], error: BaseException | None = None
    ) -> None:
        self.kept.append(record)
        self._settle(step, record, given, error)


def _told_apart(given: tuple[Value, ...], record: RunRecord) -> tuple[Value, ...]:
    """Return what a call gave, with a digest also for what is kept nowhere: it follows from what the call depended on."""
    if not record.reuse_key:
        return given
    return tuple(
        value if value.digest else replace(value, digest=digest_of(["given", record.reuse_key, position]))
        for position, value in enumerate(given)
    )
