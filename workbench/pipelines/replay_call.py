"""Calls a function of a pipeline again, with what it was called with, to compare what it gives."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidInputError, NotFoundError, UnsupportedError
from workbench.execution.kept_run import KeptRun
from workbench.execution.log_file import LogFile
from workbench.execution.process_identity import this_process
from workbench.execution.reuse import digest_of
from workbench.models import RunRecord, RunStatus, now
from workbench.names import new_id
from workbench.pipelines.call import Call, perform_call
from workbench.pipelines.meaning import meaning
from workbench.pipelines.values import Values

if TYPE_CHECKING:
    from workbench.execution.executor import Services


def replay_call(record: RunRecord, services: Services) -> KeptRun:
    """Call a function again, in this thread, with the same arguments, parameters and seed.

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
    what = _found(record, len(names))
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
        "kernel_pid": None, "timeout_s": None, "pipeline": None, "longest_silence_s": 0.0,
    }  # fmt: skip
    made = record.model_copy(update=fresh)
    call = Call(
        path=record.node,
        what=what,
        kind="function",
        parameters=record.parameters,
        arguments=tuple(values.found(refs, record.inputs) for refs in groups.values()),
        shared=tuple(True for _ in groups),
        outputs=names,
        keys=tuple(_key(record, name, services) for name in names),
        parents=record.inputs,
    )
    live = KeptRun(
        made, services.runs, LogFile(services.store, made.id), lowest_level=services.settings.log_level
    )
    services.runs.add(live)
    perform_call(live, call, values, services.environment.facts())
    services.runs.file([live.record])
    services.runs.filed([live.record.id])
    return live


def _found(record: RunRecord, outputs: int) -> Callable[..., Any]:
    """Return the function of a run, if it is there and means the same."""
    again = "Run the pipeline again with reuse='never', and look at both runs."
    if not record.function:
        kind = (
            "a step, whose state is not kept"
            if record.call == "step"
            else "a function that has no name of its own"
        )
        raise UnsupportedError(
            f"Run {record.id} was of {record.algorithm!r}, {kind}, so it is not replayed. {again}"
        )
    module, _, name = record.function.partition(":")
    try:
        what = getattr(sys.modules.get(module) or importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise NotFoundError(
            f"Run {record.id} cannot be replayed: its function {record.function} is not here ({error}). {again}"
        ) from error
    found, unknown = meaning(what)
    if not found or digest_of([found, outputs]) != record.content:
        why = f"nobody can tell what it depends on ({unknown})" if not found else "its code has changed since"
        raise UnsupportedError(f"Run {record.id} cannot be replayed: of {record.function} {why}. {again}")
    return what  # type: ignore[no-any-return]


def _key(record: RunRecord, name: str, services: Services) -> str:
    """Return under which key an array was kept."""
    ref = next(ref for ref in record.outputs if ref.name == name)
    found = services.datasets.find_many([ref.dataset]) if ref.dataset else []
    keys = list(found[0].keys) if found else []
    return {"volume": "image"}.get(keys[0], keys[0]) if len(keys) == 1 and not ref.is_dict else "data"
