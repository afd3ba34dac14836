"""Calls a function or step of a pipeline again, with what it was called with, to compare what it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidInputError, NotFoundError, UnsupportedError, WorkbenchError
from workbench.execution.kept_run import KeptRun
from workbench.execution.log_file import LogFile
from workbench.models import RunRecord, RunStatus, now
from workbench.names import new_id
from workbench.pipelines.call import Call, perform_call
from workbench.pipelines.called_again import CallsAgain, keys_again
from workbench.pipelines.kept_code import held_otherwise
from workbench.pipelines.values import Values
from workbench.process_identity import this_process

if TYPE_CHECKING:
    from workbench.execution.executor import Services


def replay_call(record: RunRecord, services: Services, calls: CallsAgain) -> tuple[KeptRun, list[str]]:
    """Call a function or step again, in this thread, with the same arguments, parameters and seed.

    Returns
    -------
    KeptRun
    list of str
        Why it may give something else here.

    Raises
    ------
    InvalidInputError, UnsupportedError, NotFoundError
        If it did not complete, is not there or another one now, or was called with an object that is kept nowhere.
    """
    if record.status is not RunStatus.COMPLETED:
        raise InvalidInputError(
            f"Run {record.id} is {record.status}; only a completed one is replayed, for only it has outputs to compare with."
        )
    names = tuple(dict.fromkeys(ref.name for ref in record.outputs))
    try:
        what = calls.what(record, len(names))
    except WorkbenchError as error:
        raise type(error)(
            f"Run {record.id} cannot be replayed: {error}. Run the pipeline again with reuse='never', and look at both runs."
        ) from error
    values = Values(services.datasets)
    groups: dict[str, list[Any]] = {}
    for ref in record.arguments:
        groups.setdefault(ref.name, []).append(ref)
    lost = [name for name, refs in groups.items() if any(ref.held for ref in refs)]
    if lost:
        raise UnsupportedError(
            f"Run {record.id} cannot be replayed: its argument {lost[0]} was a {groups[lost[0]][0].held}, which is kept nowhere. "
            "Run the pipeline again with reuse='never'."
        )
    ids = [ref.dataset for ref in record.arguments if ref.dataset]
    if not services.datasets.are_whole(ids):
        raise NotFoundError(
            f"Run {record.id} cannot be replayed: what it read was deleted since, or its file is gone."
        )
    pid, pid_started, host, user = this_process()
    fresh: dict[str, Any] = {
        "id": new_id(), "status": RunStatus.PENDING, "outputs": (), "phases": {}, "environment": {}, "seeded": (), "warnings": (),
        "records": {}, "started": None, "finished": None, "created": now(), "executor": "kernel", "replays": record.id, "reuse": "never",
        "pid": pid, "pid_started": pid_started, "host": host, "user": user, "worker_pid": None, "worker_started": None,
        "kernel_pid": None, "timeout_s": None, "retries": 0, "pipeline": None, "longest_silence_s": 0.0,
    }  # fmt: skip
    made = record.model_copy(update=fresh)
    call = Call(
        path=record.node,
        what=what,
        kind="step" if record.call == "step" else "function",
        parameters=record.parameters,
        arguments=tuple(values.found(refs, record.inputs) for refs in groups.values()),
        shared=tuple(True for _ in groups),
        outputs=names,
        keys=keys_again(record, services.datasets),
        parents=record.inputs,
    )
    live = KeptRun(
        made, services.runs, LogFile(services.store, made.id), lowest_level=services.settings.log_level
    )
    services.runs.add(live)
    perform_call(live, call, values, services.environment.facts())
    services.runs.file([live.record])
    services.runs.filed([live.record.id])
    return live, held_otherwise(record.code, what, services.store)
