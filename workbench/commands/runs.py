"""Runs: started, followed, explained, computed again, compared, and where things came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.errors import (
    InvalidInputError,
    NotFoundError,
    did_you_mean,
)
from workbench.names import LAST, is_id

if TYPE_CHECKING:
    from workbench.algorithms.comparison import Comparison
    from workbench.execution.replay import Replay
    from workbench.execution.run import Run
    from workbench.execution.why import Why
    from workbench.library.lineage import Lineage
    from workbench.workspace import Workspace

from workbench.commands.words import read_inputs, read_parameters, split_words


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


def why(workspace: Workspace, run_id: str) -> Why:
    """Return why a run was computed or reused; ``last`` means the newest run.

    Raises
    ------
    NotFoundError
        If there is no such run.
    """
    return workspace.why(workspace.runs.get(run_id).id)


def replay(
    workspace: Workspace,
    run_id: str,
    *,
    pipeline: str | None = None,
    namespace: Mapping[str, Any] | None = None,
    **options: Any,
) -> Replay:
    """Compute a run again and compare its outputs.

    Parameters
    ----------
    workspace : Workspace
    run_id : str
        ``last`` is the newest run.
    pipeline : str, optional
        A variable, ``file.py:name`` or ``module:name``: has the functions that a record does not lead to.
    namespace : mapping, optional
        Variables that it may name.
    **options
        Those of `Workspace.replay`.
    """
    given = {name: value for name, value in options.items() if value is not None}
    run = workspace.runs.get(run_id)
    if pipeline is not None:
        from workbench.commands.pipelines import find_pipeline

        if not run.record.nodes:
            raise InvalidInputError(
                f"Run {run.id} is of {run.algorithm!r}, which is no pipeline. Leave --pipeline out."
            )
        given["pipeline"] = find_pipeline(pipeline, namespace)
    return workspace.replay(run.id, **given)


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
    """Return the lineage of a run's id (or ``last``), or of a dataset's id or name.

    Raises
    ------
    NotFoundError
        If it is neither.
    """
    if _is_run(workspace, ref):
        return workspace.runs.get(ref).lineage(generations, direction)  # type: ignore[arg-type]
    try:
        return workspace.datasets.lineage(ref, generations, direction)  # type: ignore[arg-type]
    except NotFoundError as error:
        raise NotFoundError(
            f"There is neither a run nor a dataset {ref!r}.{did_you_mean(ref, workspace.datasets.names())} "
            "Name the id of a run, last, or the id or name of a dataset.",
            near=error.facts.get("near", ()),
        ) from error
