"""Who is told while a pipeline runs: the callbacks of the pipeline, and of those nested in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from workbench.errors import did_you_mean, nearest
from workbench.pipelines.graph import Graph, Port, Step

if TYPE_CHECKING:
    from workbench.pipelines.pipeline import Pipeline


HOOKS = ("before_execution", "before_node_execution", "after_node_execution", "after_execution")


def callback_problems(callbacks: Sequence[Any]) -> Iterator[str]:
    """Yield what is wrong with the callbacks of a pipeline: each is an object with one of the hooks at least."""
    for number, callback in enumerate(callbacks):
        if isinstance(callback, type):
            yield f"callbacks[{number}] is the class {callback.__name__}; pass an object of it, {callback.__name__}()"
        elif not any(callable(getattr(callback, hook, None)) for hook in HOOKS):
            own = [name for name in dir(callback) if not name.startswith("_")]
            near = next((did_you_mean(name, HOOKS) for name in own if nearest(name, HOOKS)), "")
            yield (
                f"callbacks[{number}] is {type(callback).__name__}, which has none of the hooks {', '.join(HOOKS)}.{near}"
            )


def has_callbacks(pipeline: Pipeline) -> bool:
    """Tell whether a pipeline, or one that is nested in it, has callbacks."""
    return bool(pipeline.callbacks) or any(s.pipeline.callbacks for s in pipeline.graph.scopes.values())


class Callbacks:
    """Calls what a pipeline's ``callbacks`` have, in this order: the pipeline before, then around each node (whether it is computed
    or reused), then the pipeline after. Hooks after something are not called if it did not complete.

    Parameters
    ----------
    pipeline : Pipeline or None
        None where nobody is told.
    load : callable
        Returns the value at a port, for those that are told of it.
    """

    def __init__(self, pipeline: Pipeline | None, load: Callable[[Port], Any]) -> None:
        self._pipeline = pipeline
        self._load = load
        self._entered: set[str] = set()
        self._arguments: dict[str, list[Any]] = {}
        self.are_there = pipeline is not None

    @property
    def _graph(self) -> Graph:
        assert self._pipeline is not None
        return self._pipeline.graph

    def begin(self, arguments: Sequence[Any]) -> None:
        """Tell that the pipeline begins."""
        self._tell(self._pipeline, "before_execution", list(arguments))

    def end(self, arguments: Sequence[Any], output: Any) -> None:
        """Tell that the pipeline has completed."""
        self._tell(self._pipeline, "after_execution", list(arguments), output)

    def before(self, step: Step) -> None:
        """Tell that a step begins, and with it the nested pipelines that it is the first of."""
        if not self.are_there:
            return
        for path in self._scopes_of(step):
            if path not in self._entered:
                self._entered.add(path)
                scope = self._graph.scopes[path]
                arguments = self._arguments[path] = [self._load(port) for port in scope.sources]
                self._tell_node(path, "before_node_execution", arguments)
                self._tell(scope.pipeline, "before_execution", arguments)
        arguments = self._arguments[step.path] = [self._load(port) for port in step.sources]
        self._tell_node(step.path, "before_node_execution", arguments)

    def after(self, step: Step, completed: Callable[[str], bool]) -> None:
        """Tell that a step has completed, and with it the nested pipelines that it is the last of."""
        if not self.are_there:
            return
        outputs = [self._load(Port(step.path, i, name)) for i, name in enumerate(step.node.outputs)]
        self._tell_node(step.path, "after_node_execution", self._arguments.pop(step.path, []), _one(outputs))
        for path in reversed(self._scopes_of(step)):
            inside = [name for name in self._graph.steps if name.startswith(f"{path}/")]
            if path in self._arguments and all(map(completed, inside)):
                scope = self._graph.scopes[path]
                arguments, output = (
                    self._arguments.pop(path),
                    _one([self._load(port) for port in scope.outputs]),
                )
                self._tell(scope.pipeline, "after_execution", arguments, output)
                self._tell_node(path, "after_node_execution", arguments, output)

    def _scopes_of(self, step: Step) -> list[str]:
        parts = step.path.split("/")[:-1]
        return ["/".join(parts[: i + 1]) for i in range(len(parts))]

    def _tell_node(self, path: str, hook: str, *facts: Any) -> None:
        """Tell the pipeline that has the node."""
        outer, _, name = path.rpartition("/")
        owner = self._graph.scopes[outer].pipeline if outer else self._pipeline
        if owner is not None and owner.callbacks:
            self._tell(owner, hook, owner.node(name), *facts)

    def _tell(self, pipeline: Pipeline | None, hook: str, *facts: Any) -> None:
        for callback in pipeline.callbacks if pipeline is not None else ():
            method = getattr(callback, hook, None)
            if method is not None:
                method(pipeline, *facts)


def _one(outputs: Sequence[Any]) -> Any:
    return outputs[0] if len(outputs) == 1 else tuple(outputs)
