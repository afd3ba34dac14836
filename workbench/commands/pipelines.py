"""Words of a line about pipelines become a call: for the magics and the command line."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.commands.words import read_inputs
from workbench.errors import InvalidInputError, NotFoundError, WorkbenchError, did_you_mean
from workbench.library.importers import is_readable
from workbench.names import LAST, is_id
from workbench.pages import Page, Row
from workbench.pipelines import Node, Pipeline
from workbench.pipelines.named_files import FileToRead

if TYPE_CHECKING:
    from workbench.execution.run import Run
    from workbench.workspace import Workspace

_RUNS_LOOKED_AT = 200
_ASSIGNMENT = re.compile(r"(\w[\w./-]*)=(.*)", re.DOTALL)


def pipelines_in(namespace: Mapping[str, Any]) -> dict[str, Pipeline]:
    """Return the pipelines among variables, by variable."""
    return {
        name: value
        for name, value in namespace.items()
        if isinstance(value, Pipeline) and not name.startswith("_")
    }


def find_pipeline(
    text: str, namespace: Mapping[str, Any] | None = None, workspace: Workspace | None = None
) -> Pipeline:
    """Return the pipeline that a text names: a variable, a pipeline's own name, ``file.py:name`` or ``module:name``.

    Raises
    ------
    NotFoundError, InvalidInputError
        If it names none. Of one that was only run in the workspace it says what can be done with that.
    """
    known = pipelines_in(namespace or {})
    if text in known:
        return known[text]
    named = {pipe.name: pipe for pipe in known.values()}
    if text in named:
        return named[text]
    place, colon, name = text.rpartition(":") if not text.endswith(".py") else (text, "", "")
    if colon or text.endswith(".py"):
        return _from_source(place, name)
    run = None if workspace is None else _last_run(workspace, text)
    if run is not None:
        raise NotFoundError(
            f"Pipeline {run.record.algorithm!r} is known by its runs, and not defined here. Execute the cell that defines it, or name "
            f"its file: pipelines.py:{run.record.algorithm}. Its run {run.id} is shown by %pipe show {run.id}, and computed again "
            f"with the same inputs by %algoreplay {run.id}."
        )
    raise NotFoundError(
        f"There is no pipeline {text!r} here.{did_you_mean(text, [*known, *named])} "
        f"{'There are: ' + ', '.join(sorted({*known, *named})) if known else 'Make one: pipe = Pipeline([Node(...), ...])'}"
        "; or name a file: pipelines.py:pipe."
    )


def shown_pipeline(
    workspace: Callable[[], Workspace], text: str, namespace: Mapping[str, Any] | None = None
) -> Pipeline | Run:
    """Return what is shown of a pipeline: itself; of the id of a run, and of a name that is only known by its runs, that run.

    Raises
    ------
    NotFoundError, InvalidInputError
        If it names neither.
    """
    if is_id(text) or text == LAST:
        return pipeline_run(workspace(), text)
    try:
        return find_pipeline(text, namespace)
    except NotFoundError:
        run = _last_run(workspace(), text)
        if run is None:
            raise
        return run


def _last_run(workspace: Workspace, text: str) -> Run | None:
    """Return the newest run of a pipeline of that name, or the run of that id."""
    if is_id(text):
        return pipeline_run(workspace, text)
    return next(iter(pipeline_runs(workspace, text)), None)


def run_rows(workspace: Workspace, what: str | None, namespace: Mapping[str, Any] | None = None) -> Page[Run]:
    """Return a table of the runs of pipelines, or of one, newest first."""
    known = pipelines_in(namespace or {})
    name = known[what].name if what in known else what
    hint = (
        f"Pipeline {name!r} was not run here." if name else "Run one: pipe.run(data), or %pipe run pipe data."
    )
    return Page(pipeline_runs(workspace, name), _run_row, None, "runs of pipelines", hint)


def _run_row(run: Run) -> Row:
    record = run.record
    done = sum(node.status == "COMPLETED" for node in record.nodes)
    reused = sum(node.reused for node in record.nodes)
    return {
        "id": record.id,
        "pipeline": record.algorithm,
        "status": str(record.status),
        "nodes": f"{done} of {len(record.nodes)}" + (f", {reused} reused" if reused else ""),
        "created": record.created,
        "seconds": round(record.seconds, 2) if record.seconds is not None else None,
        "error": record.error.message.splitlines()[0] if record.error and record.error.message else "",
    }


def pipeline_rows(workspace: Workspace, namespace: Mapping[str, Any] | None = None) -> Page[Row]:
    """Return a table of the pipelines of variables, those that were saved, and those that were run, with their last run."""
    rows: dict[str, Row] = {}

    def row(name: str) -> Row:
        empty: Row = {
            "pipeline": name,
            "variable": "",
            "nodes": None,
            "saved": None,
            "last run": "",
            "status": "",
            "when": None,
        }
        return rows.setdefault(name, empty)

    for variable, pipe in pipelines_in(namespace or {}).items():
        row(pipe.name).update({"variable": variable, "nodes": len(pipe.graph.steps)})
    for saved in workspace.pipelines.list():
        row(saved.name)["saved"] = saved.name
    for run in pipeline_runs(workspace):
        found = row(run.record.algorithm_name)
        if not found["last run"]:
            found.update({"last run": run.id, "status": str(run.status), "when": run.record.created})
            found["nodes"] = len(run.record.nodes) if found["nodes"] is None else found["nodes"]
    for name, found in rows.items():
        if found["saved"] is not None:
            versions = workspace.pipelines.versions(name)
            found["saved"] = next((str(v.number) for v in versions), "registered")
    listed = sorted(rows.values(), key=lambda found: str(found["pipeline"]))
    return Page(
        listed,
        lambda found: found,
        None,
        "pipelines",
        "Make one: pipe = Pipeline([Node(...), ...]); pipe.run(data).",
    )


def pipeline_runs(workspace: Workspace, name: str | None = None) -> list[Run]:
    """Return the newest runs of pipelines, or of one, newest first."""
    runs = workspace.runs.list(algorithm=name, limit=_RUNS_LOOKED_AT)
    return [run for run in runs if run.record.nodes]


def pipeline_run(workspace: Workspace, id: str) -> Run:
    """Return the run of a pipeline by its id; ``last`` is the newest one.

    Raises
    ------
    NotFoundError, InvalidInputError
        If there is none, or it is of something else.
    """
    if id == LAST:
        runs = pipeline_runs(workspace)
        if not runs:
            raise NotFoundError(
                "No pipeline was run here yet. Run one: pipe.run(data), or %pipe run pipe data."
            )
        return runs[0]
    run = workspace.runs.get(id)
    if not run.record.nodes:
        raise InvalidInputError(
            f"Run {id} is of {run.algorithm!r}, which is no pipeline. See %algojobs {id}."
        )
    return run


def run_pipeline_words(
    workspace: Workspace,
    pipeline: Pipeline,
    words: Sequence[str],
    *,
    namespace: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    **options: Any,
) -> Run:
    """Run a pipeline as written on a line: ``volume blur.sigma=2.0``.

    Parameters
    ----------
    workspace : Workspace
    pipeline : Pipeline
    words : sequence of str
        Inputs, and ``node.parameter=value``.
    namespace : mapping, optional
        Variables that inputs may name.
    body : mapping, optional
        Parameters by node, from a cell's body.
    **options
        Those of ``ws.pipelines.run``.

    Raises
    ------
    WorkbenchError
        Before anything starts.
    """
    names, assignments = split_node_words(words)
    parameters = read_node_parameters(workspace, pipeline, assignments, body)
    given = read_pipeline_inputs(workspace, pipeline, names, namespace)
    return workspace.pipelines.run(pipeline, *given, parameters=parameters, **options)


def read_pipeline_inputs(
    workspace: Workspace,
    pipeline: Pipeline,
    words: Sequence[str],
    namespace: Mapping[str, Any] | None = None,
) -> list[Any]:
    """Return the inputs of a pipeline that words name; a word has no type, so what it names is meant.

    A variable, a dataset by id or name, an image or a file of arrays, which functions get as arrays, the path of any other file;
    or, for functions, a number or a quoted text. Several words are several inputs of an algorithm that reads the only one.

    Raises
    ------
    NotFoundError
        If a word names nothing.
    """
    given = [_read_input(workspace, word, namespace or {}) for word in words]
    if len(pipeline.inputs) == 1 and len(given) > 1 and _reads_data(pipeline):
        return [given]
    return given


def split_node_words(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Split words into inputs and ``node.parameter=value`` texts.

    >>> split_node_words(["volume", "blur-2.sigma=2.0"])
    (['volume'], {'blur-2.sigma': '2.0'})

    Raises
    ------
    InvalidInputError
        If one is given twice.
    """
    inputs: list[str] = []
    assignments: dict[str, str] = {}
    for word in words:
        match = _ASSIGNMENT.fullmatch(word)
        if match is None or Path(word).is_file():
            inputs.append(word)
            continue
        key, value = match.groups()
        if key in assignments:
            raise InvalidInputError(f"{key!r} is given twice: {assignments[key]!r} and {value!r}. Keep one.")
        assignments[key] = value
    return inputs, assignments


def read_node_parameters(
    workspace: Workspace,
    pipeline: Pipeline,
    assignments: Mapping[str, str],
    body: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the parameters by node that ``node.parameter=value`` texts mean, beside those of a cell's body; texts win.

    Of an algorithm a text is read as its parameter says, of a function as Python, and as text where that is none.

    Raises
    ------
    InvalidInputError
        For a name without a node.
    """
    found = _copied(body or {})
    for key, text in assignments.items():
        *path, name = key.replace("/", ".").split(".")
        if not path:
            nodes = [n.name for n in pipeline.nodes]
            raise InvalidInputError(
                f"{key}={text} says not for which node. Write node.{key}={text}, where node is one of {', '.join(nodes)}."
            )
        inner = found
        for part in path:
            inner = inner.setdefault(part, {})
        node = pipeline.node("/".join(path))
        inner[name] = _read(workspace, node, name, text)
    return found


def parameters_of(workspace: Workspace, pipeline: Pipeline) -> list[str]:
    """Return the parameters that a line may set: ``node.parameter``, of algorithms as deployed, of functions by their signature."""
    from workbench.algorithms.runnable import resolve

    found: list[str] = []
    for path, step in pipeline.graph.steps.items():
        node, place = step.node, path.replace("/", ".")
        if node.kind == "algorithm":
            try:
                found += [
                    f"{place}.{name}" for name in resolve(workspace.algorithms, node.what).parameters.names
                ]
            except WorkbenchError:  # not deployed here
                continue
            continue
        try:
            arguments = list(inspect.signature(node.call).parameters.values())[len(node.inputs) :]
        except (TypeError, ValueError):
            continue
        found += [
            f"{place}.{a.name}" for a in arguments if a.kind in (a.POSITIONAL_OR_KEYWORD, a.KEYWORD_ONLY)
        ]
    return found


def described(pipeline: Pipeline) -> str:
    """Return a pipeline as lines for a terminal: its nodes with what each does and reads."""
    lines = [repr(pipeline)]
    for path, step in pipeline.graph.steps.items():
        sources = ", ".join(port.name for port in step.sources) or "nothing"
        values = ", ".join(f"{name}={value!r}" for name, value in step.parameters.items())
        lines.append(f"  {path:24} {step.node.label:24} reads {sources}{'  ' + values if values else ''}")
    return "\n".join(lines)


def _read(workspace: Workspace, node: Node, name: str, text: str) -> Any:
    if node.kind == "algorithm":
        from workbench.algorithms.runnable import resolve

        parameters = resolve(workspace.algorithms, node.what).parameters
        if name in parameters.names:
            return parameters.parse(name, text)
        return text  # refused with the nearest name
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _read_input(workspace: Workspace, word: str, namespace: Mapping[str, Any]) -> Any:
    """Return what a word names as an input."""
    try:
        found = read_inputs(workspace, [word], namespace)[0]
    except NotFoundError:
        try:
            return ast.literal_eval(word)
        except (ValueError, SyntaxError):
            pass
        raise
    if word in namespace or not isinstance(found, Path):
        return found
    return FileToRead(found) if found.is_file() and is_readable(found) else found


def _reads_data(pipeline: Pipeline) -> bool:
    """Tell whether an algorithm reads an input of a pipeline."""
    return any(
        step.node.kind == "algorithm" and any(not port.step for port in step.sources)
        for step in pipeline.graph.steps.values()
    )


def _copied(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in body.items()}


def _from_source(place: str, name: str) -> Pipeline:
    """Return the pipeline that a Python file or a module defines; its only one if it is not named."""
    if place.endswith(".py"):
        path = Path(place).expanduser()
        if not path.is_file():
            raise NotFoundError(f"There is no file {place}. Name one with pipelines: pipelines.py:pipe.")
        sys.path.insert(0, str(path.parent.resolve()))
        try:
            space = runpy.run_path(str(path))
        except WorkbenchError:
            raise
        except Exception as error:
            raise InvalidInputError(f"{place} raised {type(error).__name__}: {error}.") from error
        finally:
            sys.path.pop(0)
    else:
        sys.path.insert(0, "")
        try:
            space = vars(importlib.import_module(place))
        except ImportError as error:
            raise NotFoundError(f"Module {place!r} cannot be imported: {error}.") from error
        finally:
            sys.path.pop(0)
    found = pipelines_in(space)
    if not name and len(found) == 1:
        return next(iter(found.values()))
    by_name = {pipe.name: pipe for pipe in found.values()} | found
    if name in by_name:
        return by_name[name]
    told = f"{place} has: {', '.join(found) or 'no pipeline'}"
    if not name:
        raise InvalidInputError(f"{told}. Name one: {place}:{next(iter(found), 'pipe')}.")
    raise NotFoundError(f"There is no pipeline {name!r} in {place}.{did_you_mean(name, by_name)} {told}.")
