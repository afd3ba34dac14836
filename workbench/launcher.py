"""From a call to a run: everything is checked, then the record is made, then an executor gets the job."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidInputError, NotFoundError
from workbench.execution.devices import choose_device, preferred_device
from workbench.execution.executor import (
    Executor,
    Job,
    check_limits,
    check_listener,
    check_priority,
    check_tags,
)
from workbench.execution.inputs import Inputs
from workbench.execution.reuse import (
    NEVER,
    ONLY,
    Reuse,
    checked_mode,
    checked_word,
    kept_key,
    key_of,
    reused,
    tell,
    template_parts,
)
from workbench.execution.run import Run
from workbench.execution.seeds import new_seed
from workbench.models import RunRecord, now
from workbench.names import check_name, is_id, new_id
from workbench.process_identity import this_process

if TYPE_CHECKING:
    from workbench.algorithms import Algorithm, Algorithms
    from workbench.algorithms.runnable import Runnable
    from workbench.batch.template import Template
    from workbench.execution.devices import DeviceChoice
    from workbench.execution.events import RunEvent
    from workbench.execution.member import Member
    from workbench.execution.runs import Runs
    from workbench.library import Datasets
    from workbench.models import Revision
    from workbench.sessions import Session
    from workbench.settings import Settings


@dataclass(slots=True, kw_only=True)  # frozen, it would take ten times as long to make
class Options:
    """How a run is to go, checked; what they mean is told by `Workspace.run`."""

    executor: str | None = None
    device: str | None = None
    session: str | Session | None = None
    timeout_s: float | None = None
    retries: int = 0
    reuse: str | None = None
    wait: bool = True
    debug: bool = False
    priority: int = 0
    tags: Sequence[str] = ()
    echo: bool | None = None
    on_event: Callable[[RunEvent], None] | None = None
    resumed: RunRecord | None = None
    replays: RunRecord | None = None
    member: Member | None = None
    part: tuple[str, str] | None = None  # of a pipeline: its run, and the path of the node

    def __post_init__(self) -> None:
        executor = self.executor
        check_limits(self.timeout_s, self.retries)
        check_priority(self.priority)
        check_listener(self.on_event)
        if executor is not None and (not isinstance(executor, str) or not executor):
            raise InvalidInputError(f"executor is {executor!r}, expected 'kernel' or 'process'.")

    @property
    def session_name(self) -> str | None:
        """The name of the session, checked."""
        session = self.session
        return None if session is None else check_name(getattr(session, "name", session), "Session name")

    @property
    def labels(self) -> tuple[str, ...]:
        """The tags, checked."""
        return check_tags(self.tags)

    def of_every_record(self) -> dict[str, Any]:
        """Return what every new record begins with: its id, which a sweep has reserved, whose it is, how it is to go."""
        pid, pid_started, host, user = this_process()
        member = self.member
        return {
            "id": member.run if member else new_id(),
            "pid": pid,
            "pid_started": pid_started,
            "host": host,
            "user": user,
            "created": now(),
            "timeout_s": self.timeout_s,
            "retries": self.retries,
            "priority": self.priority,
            "seed": new_seed() if self.replays is None or self.replays.seed is None else self.replays.seed,
            "replays": None if self.replays is None else self.replays.id,
            "sweep": member.sweep if member else None,
            "point": member.point if member else None,
            "pipeline": self.part[0] if self.part else None,
            "node": self.part[1] if self.part else "",
        }


class Launcher:
    """Starts runs of algorithms and notebooks, wired by the workspace.

    Parameters
    ----------
    settings : Settings
    algorithms : Algorithms
    datasets : Datasets
    runs : Runs
    reuse : Reuse
    executor : callable
        Gives the executor of a name.
    """

    def __init__(
        self,
        settings: Settings,
        algorithms: Algorithms,
        datasets: Datasets,
        runs: Runs,
        reuse: Reuse,
        executor: Callable[[str], Executor],
    ) -> None:
        self._settings = settings
        self._algorithms = algorithms
        self._datasets = datasets
        self._runs = runs
        self._reuse = reuse
        self._executor = executor

    def run(
        self,
        algorithm: str | os.PathLike[str] | Algorithm | Runnable,
        inputs: Any,
        parameters: Mapping[str, Any] | None,
        options: Options,
    ) -> Run:
        """Run an algorithm; see `Workspace.run`."""
        from workbench.algorithms.runnable import resolve

        session, debug, resumed = options.session_name, options.debug, options.resumed
        chosen = resolve(self._algorithms, algorithm)
        asked = self._settings.reuse if options.reuse is None else options.reuse
        mode = checked_mode(asked, chosen, debug=debug, session=session)
        revision = chosen.revision
        values = chosen.parameters.validate(_mapping(parameters))
        device = self._device(options.device, revision)
        tags = options.labels
        place = self._executor(options.executor or self._settings.executor)
        given = Inputs(inputs, revision.type, self._datasets)
        found = self._reuse.choose(mode, chosen, values, given, device.device)
        input_ids = given.store()
        parts = self._reuse.parts(chosen, values, given, device.device)
        record = RunRecord(
            **options.of_every_record(),
            algorithm=chosen.label,
            algorithm_name=revision.name,
            revision=revision.id if chosen.is_deployed else None,
            content="" if chosen.is_deployed else revision.content,
            inputs=tuple(input_ids),
            parameters=values,
            executor=place.name,
            device=device.device,
            device_reason=device.reason,
            session=session,
            warnings=(device.warning,) if device.warning else (),
            debug=debug,
            reuse=asked,
            reuse_key=kept_key(parts, debug=debug, session=session),
            reuse_parts=parts,
            resumed_from=resumed.id if resumed else None,
            checkpoint=(resumed.checkpoint or resumed.id) if resumed else None,
            tags=tags,
        )
        if found is not None:
            return self._reused(record, found, options)
        job = Job(
            record,
            chosen,
            options.wait,
            echo=options.wait if options.echo is None else options.echo,
            listener=options.on_event,
            member=options.member,
        )
        return Run(record, self._runs, place.submit(job))

    def run_template(self, template: Template, parameters: Mapping[str, Any] | None, options: Options) -> Run:
        """Run a notebook; see `Workspace.run_template`."""
        import nbformat

        values = template.check(dict(parameters or {}))
        place = self._executor(options.executor or "process")
        parts = template_parts(template.digest, values)
        mode = checked_word(options.reuse or NEVER)
        texts = [value for value in values.values() if isinstance(value, str) and is_id(value)]
        there = self._datasets.exist(texts)
        record = RunRecord(
            **options.of_every_record(),
            algorithm=template.name,
            algorithm_name=template.name,
            template=template.source,
            inputs=tuple(text for text, is_there in zip(texts, there, strict=True) if is_there),
            parameters=values,
            executor=place.name,
            tags=options.labels,
            reuse=mode,
            reuse_key=key_of(parts),
            reuse_parts=parts,
        )
        found = None if mode == NEVER else self._reuse.find(parts)
        if found is not None:
            self._runs.save_notebook(record.id, self._runs.read_notebook(found.id))
            return self._reused(record, found, options)
        if mode == ONLY:
            raise NotFoundError(
                f"reuse='only': no completed run of template {template.name!r} as it is now had the parameters {values!r}. "
                "Pass reuse='auto' to compute it."
            )
        notebook = nbformat.writes(template.with_parameters(values))
        job = Job(
            record,
            None,
            options.wait,
            listener=options.on_event,
            notebook=notebook,
            member=options.member,
        )
        return Run(record, self._runs, place.submit(job))

    def find(
        self,
        algorithm: str | os.PathLike[str] | Algorithm | Runnable,
        inputs: Any,
        parameters: Mapping[str, Any] | None,
        device: str | None,
    ) -> Run | None:
        """Return the newest completed run that computed exactly this; see `Workspace.find_run`."""
        from workbench.algorithms.runnable import resolve

        chosen = resolve(self._algorithms, algorithm)
        values = chosen.parameters.validate(_mapping(parameters))
        choice = self._device(device, chosen.revision)
        given = Inputs(inputs, chosen.revision.type, self._datasets)
        found = self._reuse.find(self._reuse.parts(chosen, values, given, choice.device))
        return None if found is None else Run(found, self._runs)

    def _device(self, asked: str | None, revision: Revision) -> DeviceChoice:
        supported = revision.supported_devices
        wanted = asked or preferred_device(self._settings.device, supported)
        return choose_device(wanted, supported, revision.default_device, revision.ref)

    def _reused(self, record: RunRecord, found: RunRecord, options: Options) -> Run:
        """Let a completed run stand for a new one."""
        record = reused(record, found)
        self._runs.save_reused(record)
        tell(record, options.on_event)
        return Run(record, self._runs)


def _mapping(parameters: Any) -> dict[str, Any]:
    if parameters is not None and not isinstance(parameters, Mapping):
        raise InvalidInputError(
            f"parameters is {parameters!r}, expected values by name, such as {{'sigma': 2.0}}."
        )
    return dict(parameters or {})
