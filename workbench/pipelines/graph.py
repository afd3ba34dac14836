"""The graph of a pipeline: names resolved, nested pipelines unfolded, in an order in which it can run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidPipelineError, did_you_mean, nearest
from workbench.pipelines.node import PIPELINE_INPUT, PIPELINE_OUTPUT, Node, check_edge_name

if TYPE_CHECKING:
    from workbench.pipelines.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Port:
    """Where a value comes from: an output of a step, or an input of the pipeline.

    Parameters
    ----------
    step : str
        Path of the step; empty for an input of the pipeline.
    index : int
        Which of its outputs, or which input.
    name : str
        What people call it.
    """

    step: str
    index: int
    name: str


@dataclass(frozen=True, slots=True)
class Step:
    """A node that does something, at its place in the whole graph.

    Parameters
    ----------
    path : str
        ``blur``, or ``features/blur`` in a nested pipeline.
    node : Node
        Over an algorithm, a function or a step.
    sources : tuple of Port
        What it reads, in the order of its arguments.
    parameters : dict
        Of the node, and what pipelines around it say.
    """

    path: str
    node: Node
    sources: tuple[Port, ...]
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def upstream(self) -> tuple[str, ...]:
        """Paths of the steps it reads from."""
        return tuple(dict.fromkeys(port.step for port in self.sources if port.step))


@dataclass(frozen=True, slots=True)
class Scope:
    """A nested pipeline in the whole graph, with what it reads and gives there."""

    path: str
    pipeline: Pipeline
    sources: tuple[Port, ...]
    outputs: tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """All steps of a pipeline, each after those it reads from.

    Parameters
    ----------
    steps : dict
        By path.
    outputs : tuple of Port
        What the pipeline gives.
    scopes : dict
        Nested pipelines by path, outer ones first.
    """

    steps: dict[str, Step]
    outputs: tuple[Port, ...]
    scopes: dict[str, Scope]

    @property
    def edges(self) -> list[tuple[str, str, str]]:
        """All edges: who gives it (empty: an input of the pipeline), who reads it, and what it is called."""
        return [(port.step, step.path, port.name) for step in self.steps.values() for port in step.sources]

    def downstream(self, path: str) -> list[str]:
        """Return all steps that need a step, in their order."""
        found = {path}
        for step in self.steps.values():
            if found.intersection(step.upstream):
                found.add(step.path)
        return [name for name in self.steps if name in found and name != path]


@dataclass(frozen=True, slots=True)
class Wiring:
    """The names of one pipeline, resolved.

    Parameters
    ----------
    inputs, outputs : tuple of str
        What the pipeline reads and gives.
    ports : dict
        Where what has a name comes from; the step is the name of a node.
    sources : dict
        By the name of the node, the names it reads.
    order : tuple of Node
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ports: dict[str, Port]
    sources: dict[str, tuple[str, ...]]
    order: tuple[Node, ...]


def wire(
    nodes: Sequence[Node],
    inputs: Iterable[str] | None,
    outputs: Iterable[str] | None,
    what: str,
    also: Iterable[str] = (),
) -> Wiring:
    """Resolve the names of a pipeline's nodes.

    Parameters
    ----------
    nodes : sequence of Node
    inputs, outputs : iterable of str or None
        As of `Pipeline`.
    what : str
        What it is called in messages.
    also : iterable of str
        What is wrong besides.

    Raises
    ------
    InvalidPipelineError
        With all that is wrong: a name twice, an edge to nowhere, a cycle, an input that nobody reads.
    """
    problems = _Problems(what)
    for number, node in enumerate(nodes):
        if not isinstance(node, Node):
            problems.add(
                f"nodes[{number}] is {type(node).__name__}, expected a Node: Node({getattr(node, '__name__', 'what')}, ...)"
            )
    problems.raise_any()
    by_name: dict[str, Node] = {}
    for node in nodes:
        if by_name.get(node.name, node) is not node:
            problems.add(
                f"node name {node.name!r} is there twice; give one another: Node(..., name='{node.name}-2')"
            )
        elif node.name in by_name:
            problems.add(f"node {node.name!r} is in the list twice; an output can be read by many nodes")
        by_name.setdefault(node.name, node)
    given = None if inputs is None else _names(inputs, "Pipeline input", problems)
    ports = _ports(nodes, given, problems)
    read = [
        tuple(_resolved(item, node, nodes, ports, by_name, problems) for item in node.inputs)
        for node in nodes
    ]
    reads = {node.name: names for node, names in zip(nodes, read, strict=True)}
    all_read = {name for names in read for name in names}
    meant = {near for name in all_read - ports.keys() for near in nearest(name, ports, n=2)}
    if given is None:
        given = (PIPELINE_INPUT,) if PIPELINE_INPUT in all_read else ()
        if not given:
            ports.pop(PIPELINE_INPUT, None)
    for name in given:
        if name not in all_read and name not in meant:  # where that was meant, it is told already
            problems.add(f"input {name!r} is read by no node; leave it out of inputs=, or read it")
    gives = _outputs(outputs, nodes, ports, by_name, all_read, problems)
    # two nodes of one name cannot be told apart in a cycle
    order = _ordered(nodes, reads, ports, problems) if len(by_name) == len(nodes) else ()
    for text in also:
        problems.add(text)
    problems.raise_any()
    return Wiring(given, gives, ports, reads, order)


def _ports(nodes: Sequence[Node], inputs: Sequence[str] | None, problems: _Problems) -> dict[str, Port]:
    """Return where each name comes from: inputs, outputs, and nodes that give one thing."""
    ports = {
        name: Port("", i, name) for i, name in enumerate((PIPELINE_INPUT,) if inputs is None else inputs)
    }
    for node in nodes:
        for index, name in enumerate(node.outputs):
            other = ports.get(name)
            if other is None:
                ports[name] = Port(node.name, index, name)
            elif other.step == "":
                problems.add(f"node {node.name!r} gives {name!r}, which is an input of the pipeline")
            elif other.step == node.name:  # perhaps of another node of that name, which is told already
                if node.outputs.count(name) > 1:
                    problems.add(f"node {node.name!r} gives {name!r} twice")
            else:
                more = (
                    " Name several outputs with Pipeline(..., outputs=[...])."
                    if name == PIPELINE_OUTPUT
                    else ""
                )
                problems.add(f"{name!r} is given by two nodes, {other.step!r} and {node.name!r}.{more}")
    for node in nodes:
        alias = ports.get(node.name)
        if alias is not None and alias.step != node.name:
            whose = f"node {alias.step!r} gives" if alias.step else "the pipeline reads"
            problems.add(f"{node.name!r} is the name of a node and of what {whose}; rename one")
        elif alias is None and len(node.outputs) == 1:
            ports[node.name] = Port(node.name, 0, node.outputs[0])
    return ports


def _resolved(
    item: str | Node,
    node: Node,
    nodes: Sequence[Node],
    ports: Mapping[str, Port],
    by_name: Mapping[str, Node],
    problems: _Problems,
) -> str:
    """Return the name under which a port is found, for an input of a node."""
    if isinstance(item, Node):
        if not any(item is other for other in nodes):
            problems.add(
                f"node {node.name!r} reads from {item!r}, which is not among the nodes of the pipeline"
            )
            return item.name
        name = item.name
    else:
        name = item
    source = by_name.get(name)
    if name in ports:
        return name
    if source is not None:
        known = ", ".join(repr(output) for output in source.outputs)
        problems.add(
            f"node {node.name!r} reads from node {name!r}, which gives {len(source.outputs)} things: name one of {known}"
        )
    elif name == PIPELINE_OUTPUT:
        problems.add(f"node {node.name!r} reads {name!r}, which no node gives")
    else:
        known_names = [n for n in ports if n not in node.outputs and n != node.name]
        problems.add(
            f"node {node.name!r} reads {name!r}, which no node gives.{did_you_mean(name, known_names)} "
            f"There are: {', '.join(known_names) or 'none'}"
        )
    return name


def _outputs(
    given: Iterable[str] | None,
    nodes: Sequence[Node],
    ports: Mapping[str, Port],
    by_name: Mapping[str, Node],
    all_read: set[str],
    problems: _Problems,
) -> tuple[str, ...]:
    """Return the names of what the pipeline gives: those it says, ``__pipeline_output__``, else what nobody reads."""
    if given is not None:
        names = _names(given, "Pipeline output", problems)
        for name in names:
            if name not in ports:
                problems.add(f"output {name!r} is given by no node.{did_you_mean(name, ports)}")
            elif not ports[name].step:
                problems.add(f"output {name!r} is an input of the pipeline; let a node give it")
        return names
    if PIPELINE_OUTPUT in ports:
        return (PIPELINE_OUTPUT,)
    read = {(ports[name].step, ports[name].index) for name in all_read if name in ports}
    return tuple(
        name for node in nodes for index, name in enumerate(node.outputs) if (node.name, index) not in read
    )


def _ordered(
    nodes: Sequence[Node], reads: Mapping[str, Sequence[str]], ports: Mapping[str, Port], problems: _Problems
) -> tuple[Node, ...]:
    """Return the nodes, each after those it reads from, else in the order they were given."""
    before = {
        name: {ports[item].step for item in items if item in ports and ports[item].step}
        for name, items in reads.items()
    }
    order: list[Node] = []
    done: set[str] = set()
    left = list(nodes)
    while left:
        ready = next((node for node in left if before[node.name] <= done), None)
        if ready is None:
            problems.add(f"it has a cycle: {' -> '.join(_cycle(before, left[0].name, done))}")
            break
        left.remove(ready)
        order.append(ready)
        done.add(ready.name)
    return tuple(order)


def _cycle(before: Mapping[str, set[str]], start: str, done: set[str]) -> list[str]:
    """Return the names of a cycle, in the direction of the data; each that is left over has one before it."""
    path = [start]
    while True:
        source = min(before[path[-1]] - done)
        if source in path:
            return [source, *reversed(path[path.index(source) :])]
        path.append(source)


def unfold(pipeline: Pipeline) -> Graph:
    """Return the graph of a pipeline with what is in its nested pipelines."""
    steps: dict[str, Step] = {}
    scopes: dict[str, Scope] = {}
    inputs = tuple(Port("", i, name) for i, name in enumerate(pipeline.inputs))
    outputs = _unfold(pipeline, "", inputs, {}, steps, scopes)
    return Graph(steps, outputs, scopes)


def _unfold(
    pipeline: Pipeline,
    prefix: str,
    inputs: Sequence[Port],
    parameters: Mapping[str, Any],
    steps: dict[str, Step],
    scopes: dict[str, Scope],
) -> tuple[Port, ...]:
    """Add the steps of a pipeline whose inputs come from these ports; return where its outputs come from."""
    wiring = pipeline.wiring
    given: dict[tuple[str, int], Port] = {("", index): port for index, port in enumerate(inputs)}

    def port_of(name: str) -> Port:
        port = wiring.ports[name]
        return given[port.step, port.index]

    for node in wiring.order:
        path = prefix + node.name
        sources = tuple(port_of(name) for name in wiring.sources[node.name])
        values = {**node.parameters, **parameters.get(node.name, {})}
        if node.pipeline is None:
            steps[path] = Step(path, node, sources, values)
            outputs = tuple(Port(path, index, name) for index, name in enumerate(node.outputs))
        else:
            inner = node.pipeline
            scopes[path] = Scope(path, inner, sources, ())
            found = _unfold(inner, f"{path}/", sources, values, steps, scopes)
            scopes[path] = Scope(path, inner, sources, found)
            outputs = found
        given.update(((node.name, index), port) for index, port in enumerate(outputs))
    return tuple(port_of(name) for name in wiring.outputs)


def nested_parameters(pipeline: Pipeline, parameters: Mapping[str, Any], where: str) -> Iterator[str]:
    """Yield what is wrong with parameters that are given by node: ``{"blur": {"sigma": 2.0}}``."""
    names = [node.name for node in pipeline.nodes]
    for name, values in parameters.items():
        node = next((n for n in pipeline.nodes if n.name == name), None)
        if node is None:
            yield f"{where}: there is no node {name!r}.{did_you_mean(str(name), names)} It has: {', '.join(names)}"
        elif not isinstance(values, Mapping):
            yield f"{where}: parameters of node {name!r} are {values!r}, expected values by name, such as {{'sigma': 2.0}}"
        elif node.pipeline is not None:
            yield from nested_parameters(node.pipeline, values, f"{where}, node {name!r}")


class _Problems:
    """All that is wrong with a pipeline, told at once."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._found: list[str] = []

    def add(self, text: str) -> None:
        self._found.append(text)

    def raise_any(self) -> None:
        if self._found:
            raise InvalidPipelineError(
                f"{self._what}: {'; '.join(self._found)}".rstrip(".") + ".", problems=tuple(self._found)
            )


def _names(given: Iterable[str], what: str, problems: _Problems) -> tuple[str, ...]:
    names = tuple(check_edge_name(name, what) for name in ([given] if isinstance(given, str) else given))
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            problems.add(f"{what.lower()} {name!r} is named twice")
    return names
