"""Node: one step of a pipeline, with the names of what it reads and what it gives."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

from workbench.errors import InvalidInputError, InvalidNameError, InvalidPipelineError, did_you_mean
from workbench.execution.executor import check_limits, check_priority
from workbench.names import check_name

if TYPE_CHECKING:
    from workbench.pipelines.pipeline import Pipeline

PIPELINE_INPUT = "__pipeline_input__"
PIPELINE_OUTPUT = "__pipeline_output__"

Kind = Literal["algorithm", "function", "step", "pipeline"]
_OPTIONS = ("device", "priority", "retries", "session", "timeout_s")  # of ``ws.run``, for one node
_OF_CALLS = ("priority", "retries", "retryable", "timeout_s")


class Node:
    """One step of a `Pipeline`.

    Parameters
    ----------
    what : str, Algorithm, path, callable, step or Pipeline
        What it does: an algorithm (``name``, ``name@1.2``, an `Algorithm`, a folder), a function, an object with
        ``execute(*args)``, or another pipeline.
    input_nodes : str, Node, or a sequence of them, optional
        What it reads, in the order of its arguments: names of outputs or of nodes, node objects, inputs of the pipeline
        (``__pipeline_input__`` unless the pipeline names its own). Default: nothing.
    output_nodes : str or sequence of str, optional
        What it gives. Default: one output under the node's name. With several names a function returns a tuple of that
        length, and an algorithm puts out that many datasets. ``__pipeline_output__`` is what the pipeline gives.
    name : str, optional
        Default: the name of what it does.
    parameters : mapping, optional
        Of an algorithm its parameters, of a function or step keyword arguments, of a pipeline ``{node: {name: value}}``.
    deterministic : bool
        False for a step that gives something else each time: it is always computed.
    **options
        ``timeout_s``, ``retries``, ``priority``: how this node runs, as for ``ws.run``; of an algorithm also ``device`` and
        ``session``. Of a function or step also ``retryable``, which errors are worth another attempt, as an algorithm declares
        it: names or classes of exceptions, their subclasses too; default: all.

    Raises
    ------
    InvalidPipelineError, InvalidNameError
        For something that cannot be run, arguments that a function does not take, a name that breaks the rules.

    Examples
    --------
    >>> Node("denoise@1", "__pipeline_input__", "smooth", parameters={"sigma": 2.0})
    Node('denoise@1', ['__pipeline_input__'] -> ['smooth'])
    """

    def __init__(
        self,
        what: Any,
        input_nodes: str | Node | Iterable[str | Node] | None = None,
        output_nodes: str | Iterable[str] | None = None,
        *,
        name: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        deterministic: bool = True,
        **options: Any,
    ) -> None:
        self.what = what
        self.kind: Kind = kind_of(what)
        self.name = check_name(default_name(what, self.kind) if name is None else name, "Node name")
        self.inputs: tuple[str | Node, ...] = tuple(_input(item, self) for item in _sequence(input_nodes))
        given = tuple(_sequence(output_nodes))
        self.has_names = bool(given)  # of its outputs; else there is one, under the name of the node
        self.outputs: tuple[str, ...] = tuple(_output(item, self) for item in given) or (self.name,)
        self.parameters = _mapping(parameters, self)
        self.deterministic = bool(deterministic)
        self.options = _options(options, self)
        if self.kind in ("function", "step"):
            check_call(self, self.parameters, partly=True)

    @property
    def pipeline(self) -> Pipeline | None:
        """The pipeline it is a node over, or None."""
        return cast("Pipeline", self.what) if self.kind == "pipeline" else None

    @property
    def call(self) -> Any:
        """What is called of a function or step."""
        return self.what.execute if self.kind == "step" else self.what

    @property
    def label(self) -> str:
        """What it does, as people write it: ``denoise@1.2``, ``normalise``, ``PCAStep``."""
        if self.kind == "algorithm":
            revision = getattr(self.what, "revision", None)
            return revision.ref if revision is not None else str(self.what)
        if self.kind == "step":
            return type(self.what).__name__
        return default_name(self.what, self.kind)

    def __repr__(self) -> str:
        sources = [item if isinstance(item, str) else item.name for item in self.inputs]
        name = "" if self.name == default_name(self.what, self.kind) else f", name={self.name!r}"
        return f"Node({self.label!r}, {sources} -> {list(self.outputs)}{name})"


def kind_of(what: Any) -> Kind:
    """Return what kind of thing a node is over.

    Raises
    ------
    InvalidPipelineError
        If it cannot be run.
    """
    if isinstance(what, (str, os.PathLike)):
        if not str(what):
            raise InvalidPipelineError(
                "A node is over '', which names no algorithm. Pass text such as 'denoise@1'."
            )
        return "algorithm"
    if hasattr(what, "revision") and hasattr(what, "parameters"):  # an Algorithm, or a Runnable
        return "algorithm"
    if hasattr(what, "nodes") and hasattr(what, "graph"):
        return "pipeline"
    if isinstance(what, type):
        if callable(getattr(what, "execute", None)):
            raise InvalidPipelineError(
                f"A node is over the class {what.__name__}; a step is an instance of it. Pass {what.__name__}(...)."
            )
        return "function"
    if callable(getattr(what, "execute", None)):
        return "step"
    if callable(what):
        return "function"
    raise InvalidPipelineError(
        f"A node is over {_shown(what)}, which cannot be run. Pass the name of an algorithm ('denoise@1'), an Algorithm, "
        "a function, an object with execute(*args), or a Pipeline."
    )


def default_name(what: Any, kind: Kind) -> str:
    """Return the name of a node over something: what people call it."""
    if kind == "algorithm":
        revision = getattr(what, "revision", None)
        text = revision.name if revision is not None else re.split(r"[/\\]", str(what).rstrip("/\\"))[-1]
        return text.partition("@")[0]
    if kind == "function":
        inner = what
        while hasattr(inner, "func") and not hasattr(inner, "__name__"):  # functools.partial
            inner = inner.func
        text = getattr(inner, "__name__", "") or type(inner).__name__
    else:
        own = getattr(what, "name", None)
        text = own if isinstance(own, str) and own else type(what).__name__
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._") or kind


def check_call(node: Node, parameters: Mapping[str, Any], *, path: str = "", partly: bool = False) -> None:
    """Refuse arguments that a function or step does not take; with ``partly`` some parameters may come later.

    ``path`` is that of the node, where it is known by now.

    Raises
    ------
    InvalidPipelineError
    """
    try:
        signature = inspect.signature(node.call)
    except (TypeError, ValueError):  # written in C: it says so itself
        return
    given = [None] * len(node.inputs)
    try:
        (signature.bind_partial if partly else signature.bind)(*given, **parameters)
    except TypeError as error:
        known = [
            p.name
            for p in signature.parameters.values()
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        ]
        unknown = next((name for name in parameters if name not in known), "")
        raise InvalidPipelineError(
            f"Node {(path or node.name)!r}: {node.label}{signature} cannot be called with {len(given)} input"
            f"{'' if len(given) == 1 else 's'} and parameters {sorted(parameters)}: {error}."
            f"{did_you_mean(unknown, known) if unknown else ''}"
        ) from None


def _sequence(given: Any) -> list[Any]:
    if given is None:
        return []
    if isinstance(given, (str, Node)):
        return [given]
    try:
        return list(given)
    except TypeError:
        return [given]


def _input(item: Any, node: Node) -> str | Node:
    if isinstance(item, Node) or (isinstance(item, str) and item):
        return item
    raise InvalidPipelineError(
        f"Node {node.name!r}: input {_shown(item)} is neither text nor a Node. Name an output, a node, or {PIPELINE_INPUT!r}."
    )


def _output(item: Any, node: Node) -> str:
    if item == PIPELINE_OUTPUT:
        return PIPELINE_OUTPUT
    if item == PIPELINE_INPUT:
        raise InvalidPipelineError(
            f"Node {node.name!r} gives {PIPELINE_INPUT!r}, which is what the pipeline reads."
        )
    if isinstance(item, Node):
        raise InvalidPipelineError(
            f"Node {node.name!r}: output_nodes names what it gives, by text; name the node {item.name!r} that reads it there: "
            f"Node(..., input_nodes=[...])."
        )
    return check_edge_name(item, f"Output of node {node.name!r}")


def check_edge_name(name: Any, what: str) -> str:
    """Return the name of an input or output if it can be one: text of any script, without a slash."""
    if not isinstance(name, str) or not name or "/" in name or not name.isprintable():
        raise InvalidNameError(f"{what} is {_shown(name)}, expected a text without '/', such as 'mask'.")
    return name


def _mapping(parameters: Any, node: Node) -> dict[str, Any]:
    if parameters is not None and not isinstance(parameters, Mapping):
        raise InvalidPipelineError(
            f"Node {node.name!r}: parameters is {_shown(parameters)}, expected values by name, such as {{'sigma': 2.0}}."
        )
    return dict(parameters or {})


def _options(options: dict[str, Any], node: Node) -> dict[str, Any]:
    allowed = {"algorithm": _OPTIONS, "pipeline": ()}.get(node.kind, _OF_CALLS)
    for name in options:
        if name not in (*_OPTIONS, *_OF_CALLS):
            known = (*allowed, "name", "parameters", "deterministic", "input_nodes", "output_nodes")
            raise InvalidPipelineError(
                f"Node {node.name!r}: there is no option {name!r}.{did_you_mean(name, known)} Parameters go into "
                f"parameters={{{name!r}: ...}}."
            )
        if name not in allowed:
            raise InvalidPipelineError(f"Node {node.name!r}: {_misplaced(name, node)}")
    try:
        check_limits(options.get("timeout_s"), options.get("retries", 0))
        check_priority(options.get("priority", 0))
    except InvalidInputError as error:
        raise InvalidPipelineError(f"Node {node.name!r}: {error}") from None
    if "retryable" not in options:
        return options
    if not options.get("retries"):
        raise InvalidPipelineError(
            f"Node {node.name!r}: retryable says which errors are worth another attempt, and without retries there is none. "
            "Pass retries=2, or leave retryable out."
        )
    return {**options, "retryable": _retryable(options["retryable"], node)}


def _misplaced(name: str, node: Node) -> str:
    """Return why a node has no such option, and where it belongs."""
    if node.kind == "pipeline":
        return f"{name!r} is an option of single nodes, and this is a pipeline. Give it to the nodes in it."
    if name == "retryable":
        return "an algorithm says itself which errors are worth another attempt: retryable = [...] in its [tool.workbench]."
    return f"{name!r} is for algorithms, and this is a {node.kind}."


def _retryable(given: Any, node: Node) -> bool | tuple[str, ...]:
    """Return the names of the errors that are worth another attempt, or whether all are."""
    if isinstance(given, bool):
        return given
    members = list(given) if isinstance(given, (list, tuple, set, frozenset)) else [given]
    names = tuple(m.__name__ if isinstance(m, type) and issubclass(m, Exception) else m for m in members)
    if not names or not all(isinstance(name, str) and name.isidentifier() for name in names):
        raise InvalidPipelineError(
            f"Node {node.name!r}: retryable is {_shown(given)}, expected exceptions or their names: ['OSError', 'TimeoutError']."
        )
    return names


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:59] + '…'} ({type(value).__name__})"
