"""What magics and the command line share: words of a line become a run, a listing, a deploy."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidInputError,
    InvalidParameterError,
    NotFoundError,
    did_you_mean,
)
from workbench.names import LAST, is_id

if TYPE_CHECKING:
    from workbench.algorithms.comparison import Comparison
    from workbench.algorithms.runnable import Runnable
    from workbench.execution.replay import Replay
    from workbench.execution.run import Run
    from workbench.execution.why import Why
    from workbench.library.lineage import Lineage
    from workbench.pages import Page
    from workbench.sessions import Session
    from workbench.sessions.listing import SessionInfo
    from workbench.workspace import Workspace

#: where `workbench.cli` leaves the function that opens the workspace, for commands in other modules
OPEN = "workbench.open"
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_EXPRESSION = re.compile(r"([A-Za-z_]\w*)\s*[\[.(]")


def split_words(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Split the words after an algorithm's name into inputs and ``key=value`` texts.

    >>> split_words(["volume", "sigma=2.0"])
    (['volume'], {'sigma': '2.0'})

    Raises
    ------
    InvalidInputError
        If a key is given twice.
    """
    inputs: list[str] = []
    assignments: dict[str, str] = {}
    for word in words:
        match = _ASSIGNMENT.fullmatch(word)
        if match is None:
            inputs.append(word)
            continue
        key, value = match.groups()
        if key in assignments:
            raise InvalidInputError(
                f"Parameter {key!r} is given twice: {assignments[key]!r} and {value!r}. Keep one."
            )
        assignments[key] = value
    return inputs, assignments


def read_parameters(
    algorithm: Runnable, assignments: Mapping[str, str], body: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return parameter values from ``key=value`` texts and a cell body; texts win.

    Raises
    ------
    InvalidParameterError
        With every problem found.
    """
    parameters = algorithm.parameters
    values: dict[str, Any] = dict(body or {})
    problems: dict[str, str] = {}
    for key, text in assignments.items():
        if key not in parameters.names:
            values[key] = text  # refused with its nearest name by `validate`
            continue
        try:
            values[key] = parameters.parse(key, text)
        except InvalidParameterError as error:
            problems.update(error.problems or {key: str(error)})
    if problems:
        raise InvalidParameterError("\n".join(problems.values()), problems=problems)
    return values


def read_inputs(
    workspace: Workspace, words: Sequence[str], namespace: Mapping[str, Any] | None = None
) -> list[Any]:
    """Return the inputs that words name: a variable, a dataset id or name, or a file, in this order.

    Raises
    ------
    NotFoundError
        If a word names none of them.
    """
    return [_read_input(workspace, word, namespace or {}) for word in words]


def _read_input(workspace: Workspace, word: str, namespace: Mapping[str, Any]) -> Any:
    if word.isidentifier() and word in namespace:
        return namespace[word]
    path = Path(word).expanduser()
    expression = _EXPRESSION.match(word)
    if (
        expression and expression.group(1) in namespace and not path.exists()
    ):  # coins.png beside a variable coins
        try:
            ast.parse(word, mode="eval")
            return eval(word, dict(namespace))  # the user's own expression in the user's own namespace
        except Exception as error:
            raise InvalidInputError(
                f"Input {word!r} cannot be computed: {type(error).__name__}: {error}."
            ) from error
    try:
        return workspace.datasets.find(word)
    except (NotFoundError, InvalidInputError):
        if path.exists():
            return path
    arrays = [k for k, v in namespace.items() if hasattr(v, "shape") and not k.startswith("_")]
    known = [*arrays, *workspace.datasets.names()]
    raise NotFoundError(
        f"Input {word!r} is no variable, dataset or file.{did_you_mean(word, known)} "
        "Pass an array's name, a dataset's id or name, or a path."
    )


def run_words(
    workspace: Workspace,
    algorithm: str,
    words: Sequence[str],
    *,
    body: Mapping[str, Any] | None = None,
    namespace: Mapping[str, Any] | None = None,
    **options: Any,
) -> Run:
    """Run an algorithm as written on a line: ``volume other sigma=2.0``.

    Parameters
    ----------
    workspace : Workspace
    algorithm : str
        A reference, or the folder of one that is not deployed.
    words : sequence of str
        Inputs and ``key=value``.
    body : mapping, optional
        Parameter values from a cell's body.
    namespace : mapping, optional
        Variables that inputs may name.
    **options
        As for `Workspace.run`.
    """
    from workbench.algorithms.runnable import resolve

    chosen = resolve(workspace.algorithms, algorithm)
    inputs, assignments = split_words(words)
    values = read_parameters(chosen, assignments, body)
    given = read_inputs(workspace, inputs, namespace)
    # one word is one input, exactly as alg(volume): a 3-D array is a stack, whatever its length
    return workspace.run(algorithm, given[0] if len(given) == 1 else tuple(given), values, **options)


def session_words(
    workspace: Workspace, name: str | None, *, clear: bool = False, drop: bool = False
) -> Session | Page[SessionInfo]:
    """Return the sessions, or one after it was emptied; after a drop those that are left.

    Parameters
    ----------
    workspace : Workspace
    name : str, optional
        Nothing: all sessions.
    clear, drop : bool
        Remove the items of the session, or the session with them.

    Raises
    ------
    InvalidInputError
        If a session is to be emptied or dropped and none is named.
    NotFoundError
        If there is none of that name.
    """
    if name is None:
        if clear or drop:
            raise InvalidInputError("Which session? Name it, as in: %algosession tuning --clear.")
        return workspace.sessions.list()
    if drop:
        workspace.sessions.drop(name)
        return workspace.sessions.list()
    session = workspace.sessions.get(name)
    if clear:
        session.clear()
    return session


def executor_of(workspace: Workspace, name: str | None, *, background: bool) -> str | None:
    """Return the executor that a line means: ``-b`` is a process of its own, wherever one can have the workspace."""
    if name is None and background and workspace.store.is_shared:
        return "process"
    return name


def follow(run: Run, write: Callable[[str], None]) -> Run:
    """Write the complete log of a run, from its first byte on and as it grows, until the run has ended; return it.

    Parameters
    ----------
    run : Run
        Of any kernel.
    write : callable
        Takes text.
    """
    import queue

    events: queue.SimpleQueue[None] = queue.SimpleQueue()
    stop = run.subscribe(lambda event: events.put(None))
    written = 0
    try:
        while True:
            has_ended = run.status.is_final
            text = str(run.log)
            write(text[written:])
            written = len(text)
            if has_ended:
                return run
            try:
                events.get(timeout=1.0)  # a run of another kernel's own process sends none
                while not events.empty():
                    events.get()
            except queue.Empty:
                run.wait(0)
    finally:
        stop()


def host_status(workspace: Workspace) -> dict[str, Any] | None:
    """Return what the run host of a workspace is doing, or None if there is none."""
    from workbench.execution.process_executor import ProcessExecutor

    executor = workspace.executor("process")
    return executor.client.status() if isinstance(executor, ProcessExecutor) else None


def host_text(status: Mapping[str, Any] | None) -> str:
    """Return the state of a run host as text.

    >>> host_text(None)
    'No run host; the first background run starts one.'
    """
    if status is None:
        return "No run host; the first background run starts one."
    lines = [
        f"Run host {status['pid']}: {len(status['running'])} running, {status['queued']} waiting, "
        f"{status['completed']} ended; {status['clients']} connected; {status['rss'] / 1e6:.0f} MB"
    ]
    for worker in status["workers"]:
        doing = f"runs {worker['run']}" if worker["run"] else f"idle, {worker['warm']} loaded"
        lines.append(f"  worker {worker['pid']}: {doing}, {worker['rss'] / 1e6:.0f} MB")
    return "\n".join(lines)


def stop_host(workspace: Workspace, *, force: bool = False) -> str:
    """End the run host of a workspace and say what came of it.

    Raises
    ------
    ConflictError
        If it has runs and ``force`` is not given.
    """
    from workbench.execution.process_executor import ProcessExecutor

    executor = workspace.executor("process")
    answer = executor.client.stop(force=force) if isinstance(executor, ProcessExecutor) else None
    if answer is None:
        return "There is no run host."
    if not answer["stopping"]:
        raise ConflictError(
            f"The run host still has {_runs(answer['active'])}. Wait, or end it all: workbench host stop --force."
        )
    return "The run host has ended." if not answer["active"] else f"Ended, with {_runs(answer['active'])}."


def why(workspace: Workspace, run_id: str) -> Why:
    """Return why a run was computed or reused; ``last`` means the newest run.

    Raises
    ------
    NotFoundError
        If there is no such run.
    """
    return workspace.why(workspace.runs.get(run_id).id)


def replay(workspace: Workspace, run_id: str, **options: Any) -> Replay:
    """Compute a run again and compare its outputs; ``last`` means the newest run. Options are those of `Workspace.replay`."""
    given = {name: value for name, value in options.items() if value is not None}
    return workspace.replay(workspace.runs.get(run_id).id, **given)


def compare(workspace: Workspace, a: str, b: str | None = None) -> Comparison:
    """Return two runs, or two versions of algorithms, side by side.

    A run is named by its id or ``last``, which is also what a run is compared with where nothing else is named; a version without
    another is compared with the one before it.
    """
    runs = [_is_run(workspace, ref) for ref in (a, b) if ref is not None]
    if all(runs):
        return workspace.runs.compare(a, LAST if b is None else b)
    if any(runs):
        algorithm = b if runs[0] else a
        run = workspace.runs.get(a if runs[0] else str(b))
        revision = f" Of the run it is revision {run.record.revision}." if run.record.revision else ""
        raise InvalidInputError(
            f"A run and the algorithm {algorithm!r} are not compared. Name two of a kind.{revision}"
        )
    return workspace.algorithms.compare(a, b)


def _is_run(workspace: Workspace, ref: str) -> bool:
    if ref != LAST and not is_id(ref):
        return False
    try:
        workspace.runs.get(ref)
    except NotFoundError:
        if ref == LAST:
            raise
        return False
    return True


def lineage(workspace: Workspace, ref: str, generations: int, direction: str) -> Lineage:
    """Return the lineage of a run's id (or ``last``), or of a dataset's id or name."""
    try:
        return workspace.runs.get(ref).lineage(generations, direction)  # type: ignore[arg-type]
    except NotFoundError:
        if ref == LAST:
            raise
    return workspace.datasets.lineage(ref, generations, direction)  # type: ignore[arg-type]


def _runs(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"


def write_call(algorithm: str, inputs: Sequence[str], values: Mapping[str, Any]) -> str:
    """Return the ``%algorun`` line that repeats a run.

    >>> write_call("denoise@1.0", ["volume"], {"sigma": 2.0, "mode": "a b"})
    "%algorun denoise@1.0 volume sigma=2.0 'mode=a b'"
    """
    import json
    import shlex

    words = [algorithm, *inputs]
    for key, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value)
        words.append(f"{key}={text}")
    return "%algorun " + " ".join(shlex.quote(w) for w in words)


def make_template(workspace: Workspace, ref: str, place: str | None = None, *, force: bool = False) -> str:
    """Write a template that runs an algorithm and return where it is; default: ``NAME.ipynb`` here.

    Raises
    ------
    AlreadyExistsError
        If something is there and ``force`` is not given.
    """
    import nbformat

    from workbench.batch.new_template import new_template
    from workbench.batch.places import SCHEME, exists, key_of, write_text

    algorithm = workspace.algorithms.get(ref)
    target = place or f"{algorithm.name}.ipynb"
    if exists(target, workspace.store) and not force:
        raise AlreadyExistsError(f"{target} is there already. Give another path, or --force to replace it.")
    notebook = new_template(algorithm)
    if target.startswith(SCHEME):
        return workspace.templates.put(notebook, key_of(target)).source
    return write_text(target, nbformat.writes(notebook) + "\n")
