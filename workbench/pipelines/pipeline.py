"""Pipeline: nodes that are wired to each other and run as one."""

from __future__ import annotations

import html
import inspect
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from workbench.errors import InvalidInputError, InvalidPipelineError, WorkbenchError, did_you_mean
from workbench.names import check_name
from workbench.pipelines.callbacks import callback_problems
from workbench.pipelines.graph import Graph, nested_parameters, unfold, wire
from workbench.pipelines.node import Node
from workbench.registry import Registry

if TYPE_CHECKING:
    from workbench.execution.run import Run
    from workbench.links import StepVersion
    from workbench.models import NodeRecord
    from workbench.pages import Page, Row
    from workbench.pipelines.kept import KeptVersions

_WORKSPACE = Registry(
    "workspace",
    "workbench.workspaces",
    {"current": "workbench.workspace:current", "opened": "workbench.workspace:opened"},
)


class Pipeline:
    """A graph of algorithms, functions, steps and other pipelines.

    Parameters
    ----------
    nodes : sequence of Node
        In any order.
    name : str
        What its runs are found by.
    inputs : sequence of str, optional
        Names of what it reads. Default: ``__pipeline_input__``, if a node reads it.
    outputs : sequence of str, optional
        Names of what it gives. Default: ``__pipeline_output__``, if a node gives it, else all that no node reads.
    callbacks : sequence of objects, optional
        Told of each run: those of the methods ``before_execution(pipeline, args)``, ``before_node_execution(pipeline, node,
        args)``, ``after_node_execution(pipeline, node, args, output)``, ``after_execution(pipeline, args, output)`` that they have.

    Raises
    ------
    InvalidPipelineError
        With all that is wrong in ``.problems``: a cycle, an edge to nowhere, a node name twice, a name that two nodes give,
        an input that no node reads, a callback without a hook.

    Examples
    --------
    >>> def double(x):
    ...     return 2 * x
    >>> def add(a, b):
    ...     return a + b
    >>> twice = Pipeline([Node(double, "__pipeline_input__", "y"), Node(add, ["y", "y"])], name="fourfold")
    >>> twice.inputs, twice.outputs
    (('__pipeline_input__',), ('add',))
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        name: str = "pipeline",
        *,
        inputs: Iterable[str] | None = None,
        outputs: Iterable[str] | None = None,
        callbacks: Sequence[Any] = (),
    ) -> None:
        self.name = check_name(name, "Pipeline name")
        self.nodes: tuple[Node, ...] = (nodes,) if isinstance(nodes, Node) else tuple(nodes)
        self.callbacks = tuple(callbacks) if isinstance(callbacks, Iterable) else (callbacks,)
        what = f"Pipeline {name!r}"
        if not self.nodes:
            raise InvalidPipelineError(f"{what} has no nodes. Pass a list: Pipeline([Node(...), ...]).")
        nested = [text for node in self.nodes if isinstance(node, Node) for text in _nested_problems(node)]
        self.wiring = wire(self.nodes, inputs, outputs, what, [*nested, *callback_problems(self.callbacks)])

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what it reads."""
        return self.wiring.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it gives."""
        return self.wiring.outputs

    @cached_property
    def graph(self) -> Graph:
        """All its steps, those of nested pipelines too, each after those it reads from."""
        return unfold(self)

    def node(self, name: str) -> Node:
        """Return a node by its name; ``outer/inner`` is one of a nested pipeline.

        Raises
        ------
        NotFoundError
            With near names.
        """
        from workbench.errors import NotFoundError, did_you_mean

        head, _, rest = name.partition("/")
        for node in self.nodes:
            if node.name == head:
                if not rest:
                    return node
                if node.pipeline is not None:
                    return node.pipeline.node(rest)
        names = [n.name for n in self.nodes]
        raise NotFoundError(
            f"Pipeline {self.name!r} has no node {name!r}.{did_you_mean(name, names)} It has: {', '.join(names)}."
        )

    def run(self, *inputs: Any, workspace: Any = None, **options: Any) -> Run:
        """Run it; parameters and errors are those of ``ws.pipelines.run``.

        Parameters
        ----------
        *inputs : array, Dataset, id, path, or whatever its functions read
            A text stays a text for a function, unless it is the id of a dataset; the content of a file that it names counts.
        workspace : Workspace, optional
            Default: the current one.
        **options
            ``parameters``, ``executor``, ``reuse``, ``wait``, ``timeout_s``, ``debug``, ``tags``, ``echo``, ``on_event``.

        Raises
        ------
        InvalidInputError
            For an option that there is not, with the nearest.
        """
        run = _pipelines(workspace).run
        _check_options(run, options, self)
        return cast("Run", run(self, *inputs, **options))

    def save(self, workspace: Any = None) -> StepVersion:
        """Keep the states of all its steps, and say that these versions of them work together.

        Returns
        -------
        StepVersion
            Of the pipeline, with its number: ``1.0.0`` at first, then counted by what changed in its nodes.

        Raises
        ------
        NotFoundError
            If a step was never trained.
        VersionError
            If a step that only predicts was trained with another major version of what it reads from.
        InvalidPipelineError
            If two steps would be kept under one name.
        """
        return cast("StepVersion", _pipelines(workspace).save(self))

    def load(
        self,
        version: str = "latest",
        workspace: Any = None,
        *,
        trusted: Sequence[str] = (),
        allow_pickle: bool = False,
    ) -> Pipeline:
        """Give its steps the states that are kept, and return it; an error changes nothing.

        Parameters
        ----------
        version : str
            ``"latest"``: of each step the newest state that its code can use. A number, such as ``"1.2.0"``: exactly what was
            saved as that version of the pipeline. ``"train@1.2.0"``: the states of that version of another pipeline with its
            steps, such as the one that trains them.
        workspace : Workspace, optional
            Default: the current one.
        trusted : sequence of str
            Names of types that states in the skops format may hold beside those of scikit-learn, numpy and scipy.
        allow_pickle : bool
            Read states that are pickles, which run the code that is in them.

        Raises
        ------
        VersionError
            "retrain": a step was never trained with the major version of what it now reads from. All such nodes are named.
        NotFoundError, DamagedError, UnsupportedError
            If there is no such version, or a state is damaged or of a type that is not trusted.
        """
        return cast(
            "Pipeline", _pipelines(workspace).load(self, version, trusted=trusted, allow_pickle=allow_pickle)
        )

    def versions(self, workspace: Any = None) -> Page[StepVersion]:
        """Return the versions that were saved of it, newest first, with what changed."""
        return cast("Page[StepVersion]", _pipelines(workspace).versions(self.name))

    def retrain(self, *inputs: Any, workspace: Any = None, **options: Any) -> Page[Row]:
        """Train again what is stale, in order, and save it; see ``ws.pipelines.retrain``."""
        pipelines = _pipelines(workspace)
        _check_options(pipelines.run, {k: v for k, v in options.items() if k != "force"}, self)
        return cast("Page[Row]", pipelines.retrain(self, *inputs, **options))

    def validate(self, workspace: Any = None) -> None:
        """Say by hand that all nodes work with what they read from."""
        _pipelines(workspace).validate(self)

    def execute(self, *args: Any) -> Any:
        """Refuse: a pipeline is run, so that what it does is recorded."""
        raise InvalidPipelineError(f"Pipeline {self.name!r} is not executed but run: pipe.run(...).")

    def missing_links(self) -> Collection[tuple[str, str]]:
        """Return the edges (from, to) whose two nodes never worked together in these versions, as far as the open workspace knows.

        Of a node that was never saved nothing is known, so nothing is missing.
        """
        kept = self._kept()
        return () if kept is None else kept.missing_edges()

    def _kept(self) -> KeptVersions | None:
        """Return what the open workspace knows of its steps."""
        where = _WORKSPACE.get("opened")()
        try:
            return None if where is None else where.pipelines.kept(self)
        except WorkbenchError:  # such as an algorithm that is not deployed there: its node says so
            return None

    def _repr_html_(self) -> str:
        from workbench.pipelines.drawing import picture
        from workbench.pipelines.plan import drawn_nodes

        where = _WORKSPACE.get("opened")()
        ends = [(port.step, name) for port, name in zip(self.graph.outputs, self.outputs, strict=True)]
        kept = self._kept()
        numbers = {} if kept is None else kept.numbers()
        nodes = drawn_nodes(self.graph, where.algorithms if where is not None else None)
        drawn = picture(
            [n if n.kind == "algorithm" else _numbered(n, numbers.get(n.name, n.version)) for n in nodes],
            ends,
            missing=() if kept is None else kept.missing_edges(),
            title=f"pipeline {self.name}",
        )
        return f"<div><b>{html.escape(self.name)}</b></div>{drawn}"

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        names = ", ".join(node.name for node in self.wiring.order)
        return f"Pipeline({self.name!r}: {', '.join(self.inputs) or 'nothing'} -> [{names}] -> {', '.join(self.outputs) or 'nothing'})"


def _numbered(node: NodeRecord, version: str) -> NodeRecord:
    return node.model_copy(update={"version": version})


def _pipelines(workspace: Any) -> Any:
    return (workspace or _WORKSPACE.get("current")()).pipelines


def _check_options(run: Any, options: Iterable[str], pipeline: Pipeline) -> None:
    """Refuse options that running has not."""
    kinds = inspect.signature(run).parameters.values()
    known = [p.name for p in kinds if p.kind is p.KEYWORD_ONLY and not p.name.startswith("_")]
    for name in options:
        if name not in known:
            example = f"parameters={{{pipeline.nodes[0].name!r}: {{{name!r}: ...}}}}"
            raise InvalidInputError(
                f"pipe.run has no option {name!r}.{did_you_mean(name, [*known, 'workspace'])} It has {', '.join(known)}. "
                f"Parameters of nodes go by node: {example}."
            )


def _nested_problems(node: Node) -> list[str]:
    inner = node.pipeline
    if inner is None:
        return []
    problems = list(nested_parameters(inner, node.parameters, f"node {node.name!r}"))
    if len(node.inputs) != len(inner.inputs):
        problems.append(
            f"node {node.name!r} reads {len(node.inputs)} things, and pipeline {inner.name!r} {len(inner.inputs)}: "
            f"{', '.join(inner.inputs) or 'nothing'}"
        )
    if len(node.outputs) != len(inner.outputs) and (node.has_names or len(inner.outputs) > 1):
        problems.append(
            f"node {node.name!r} names {len(node.outputs)} output{'s' if len(node.outputs) > 1 else ''}, and pipeline "
            f"{inner.name!r} gives {len(inner.outputs)}: {', '.join(inner.outputs) or 'nothing'}; name as many in output_nodes="
        )
    return problems
