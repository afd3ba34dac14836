"""A call of a function or step as a run: what it needs, and how it goes, in the kernel or in a worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidDataError
from workbench.execution.capture import captured
from workbench.execution.forks import Border
from workbench.execution.perform import pause_for_another, settle_error
from workbench.execution.seeds import Seeded
from workbench.models import OutputRef, RunRecord, RunStatus
from workbench.pipelines.step_state import StepState
from workbench.pipelines.values import Value, Values

if TYPE_CHECKING:
    from workbench.execution.live import LiveRun
    from workbench.library.datasets import Datasets
    from workbench.pipelines.node import Kind

PHASE = "execute"
STATE = "state"  # what a step has learned: the name of the record, and the key of the dataset


@dataclass(frozen=True, slots=True)
class Call:
    """A function or step with all that it is called with; pickles.

    Parameters
    ----------
    path : str
        Of the node.
    what : callable, or object with ``execute``
    kind : str
    parameters : dict
    arguments : tuple of Value
    shared : tuple of bool
        Of each argument, whether others read it too.
    outputs : tuple of str
        Their names; several are a tuple of that length.
    keys : tuple of str
        Under which an array is kept, for each output.
    parents : tuple of str
        The datasets that the arguments are, or were computed from.
    retryable : bool or tuple of str
        Which errors are worth another attempt: those named, or all; how many attempts there are, the record says.
    """

    path: str
    what: Any
    kind: Kind
    parameters: dict[str, Any]
    arguments: tuple[Value, ...]
    shared: tuple[bool, ...]
    outputs: tuple[str, ...]
    keys: tuple[str, ...]
    parents: tuple[str, ...]
    retryable: bool | tuple[str, ...] = True


def perform_call(
    live: LiveRun,
    call: Call,
    values: Values,
    facts: dict[str, Any],
    *,
    has_user: bool = True,
    raise_errors: bool = False,
    deliver: Callable[[tuple[Value, ...]], None] | None = None,
) -> tuple[Value, ...]:
    """Execute a call and bring its run to a final state; return what it gave, nothing if it did not complete.

    Parameters
    ----------
    live : LiveRun
        In state PENDING; one that was cancelled meanwhile is left alone.
    call : Call
    values : Values
    facts : dict
        Of the environment.
    has_user : bool
        Whether somebody else draws random numbers in this process.
    raise_errors : bool
        Raise what it raised, after the record is settled: for ``%debug``.
    deliver : callable, optional
        Called with what it gave before its end is told.

    Raises
    ------
    KeyboardInterrupt
        After an interrupt; the run is CANCELLED.
    """
    if not live.advance(RunStatus.STARTED, save=False):
        return ()
    live.advance(RunStatus.RUNNING, save=False)
    for attempt in range(1, live.record.retries + 2):
        seconds: dict[str, float] = {}
        # what an attempt that fails does to its arguments, and to the step, must not reach the next one
        is_last = attempt > live.record.retries
        before = StepState(call, is_trained=trains(call.what))
        try:
            with captured(live), Seeded(gives_back=has_user) as seeded:
                given = _attempt(live, call, values, seeded, seconds, is_last=is_last)
                if deliver is not None:
                    deliver(given)
        except BaseException as error:
            if not raise_errors:  # who debugs looks at what is there
                before.put_back()
            end = pause_for_another(live, error, attempt, call.retryable)
            if end is None:
                continue
            settle_error(live, end, PHASE, seconds, facts)
            if isinstance(end, KeyboardInterrupt) or (raise_errors and isinstance(end, Exception)):
                if end is not error:
                    raise end from error
                raise
            return ()
        break
    live.end(
        RunStatus.COMPLETED,
        outputs=tuple(ref for value in given for ref in value.refs),
        seeded=seeded.names,
        phases=seconds,
        environment=facts,
    )
    return given


def _attempt(
    live: LiveRun, call: Call, values: Values, seeded: Seeded, seconds: dict[str, float], *, is_last: bool
) -> tuple[Value, ...]:
    """Execute a call once, and keep what it gave."""
    begin = time.perf_counter()
    try:
        if live.record.seed is not None:
            seeded.start(live.record.seed)
        arguments = [
            values.load(value, is_shared=shared or not is_last)
            for value, shared in zip(call.arguments, call.shared, strict=True)
        ]
        with Border():
            result = execute(call.what, call.kind, arguments, call.parameters)
    finally:
        seconds[PHASE] = round(time.perf_counter() - begin, 6)
    live.check()
    given = tuple(
        values.keep(name, value, run_id=live.record.id, parents=call.parents, key=key)
        for name, value, key in zip(call.outputs, split(result, call), call.keys, strict=True)
    )
    if trains(call.what):
        call.what.trained_by = live.record.id
        live.change(version=version_of_step(call.what))
        _keep_state(live, call, values)
    return given


def execute(what: Any, kind: Kind, arguments: Sequence[Any], parameters: dict[str, Any]) -> Any:
    """Call a function, or execute a step with its own hooks around it; hooks after it do not run when it raises."""
    if kind == "function":
        return what(*arguments, **parameters)
    hooks = [what, *(getattr(what, "callbacks", None) or ())]
    for hook in hooks:
        before = getattr(hook, "before_execution", None)
        if before is not None:
            before(list(arguments)) if hook is what else before(what, list(arguments))
    output = what.execute(*arguments, **parameters)
    for hook in hooks:
        after = getattr(hook, "after_execution", None)
        if after is not None:
            after(list(arguments), output) if hook is what else after(what, list(arguments), output)
    return output


def trains(what: Any) -> bool:
    """Tell whether executing a step changes what it knows: one that fits a model, unless it only predicts."""
    return bool(getattr(what, "allow_version_change", False)) and hasattr(what, "serialize")


def version_of_step(what: Any) -> str:
    """Return the version that a step says it has, as short as people read it."""
    version = getattr(what, "version", None)
    if version is None or callable(version):
        return ""
    return str(getattr(version, "short", version))


def shown_version(what: Any) -> str:
    """Return the version of a step for a picture: the number of the one that it was loaded or saved as, where it has one."""
    kept = "" if trains(what) else str(getattr(what, "kept_as", ""))
    return kept.partition("@")[2] or version_of_step(what)


def _keep_state(live: LiveRun, call: Call, values: Values) -> None:
    """Keep what a step has learned as a dataset, so that this run can stand for a later one."""
    try:
        data = call.what.serialize()
    except Exception as error:
        live.write_log("WARNING", f"What {call.path!r} has learned was not kept: {error}")
        live.change(reuse_key="")
        return
    kept = values.keep("state", {STATE: data}, run_id=live.record.id, parents=call.parents)
    live.change(records={STATE: kept.refs[0].dataset})


def restore(what: Any, record: RunRecord, datasets: Datasets) -> bool:
    """Let a step know again what it had learned in a run; tell whether that was possible."""
    try:
        what.load(datasets.get(record.records[STATE])[STATE])
        what.trained_by = record.id
    except Exception:  # its format is not loaded unasked, its package is gone: it is trained again
        return False
    return True


def split(result: Any, call: Call) -> Sequence[Any]:
    """Return what a call gave, one value for each output.

    Raises
    ------
    InvalidDataError
        If it gave no tuple of that length.
    """
    if len(call.outputs) == 1:
        return [result]
    wanted = f"it names {len(call.outputs)} outputs: {', '.join(call.outputs)}"
    if not isinstance(result, (tuple, list)):
        raise InvalidDataError(
            f"Node {call.path!r} gave a {type(result).__name__}, and {wanted}. Return a tuple of {len(call.outputs)}."
        )
    if len(result) != len(call.outputs):
        raise InvalidDataError(
            f"Node {call.path!r} gave {len(result)} things, and {wanted}. Return as many, or name as many."
        )
    return result


def argument_refs(arguments: Sequence[Value]) -> tuple[OutputRef, ...]:
    """Return what a call is made with, for its record; the name is the position."""
    return tuple(
        ref.model_copy(update={"name": str(position)})
        for position, value in enumerate(arguments)
        for ref in value.refs
    )
