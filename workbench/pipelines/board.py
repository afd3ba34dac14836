"""What is known while a pipeline runs: how its nodes stand, and the values that they have given."""

from __future__ import annotations

from collections import Counter
from typing import Any

from workbench.execution.nodes import SKIPPED
from workbench.models import OutputRef
from workbench.pipelines.graph import Port, Step
from workbench.pipelines.live import NodesRun
from workbench.pipelines.plan import Plan
from workbench.pipelines.values import NOTHING, Value, Values

UNDER_WAY = ("PENDING", "RUNNING")


class Board:
    """States and values of one run of a pipeline.

    Parameters
    ----------
    plan : Plan
    live : NodesRun
        Told of every change.
    values : Values
    """

    def __init__(self, plan: Plan, live: NodesRun, values: Values) -> None:
        self._plan = plan
        self._live = live
        self._values = values
        self.inputs: list[Value] = []
        self.outputs: dict[str, tuple[Value, ...]] = {}
        self.fractions: dict[str, float] = {}  # how far those are that are under way
        self._open = {node.name for node in live.record.nodes if node.status in UNDER_WAY}
        self._unread = Counter(port for step in plan.graph.steps.values() for port in step.sources)
        self._unread.update(plan.graph.outputs)

    def given(self) -> tuple[OutputRef, ...]:
        """Return what the pipeline gives, as far as it was computed."""
        refs: list[OutputRef] = []
        for name, port in zip(self._plan.outputs, self._plan.graph.outputs, strict=True):
            value = self.value(port)
            if value is not None:
                refs += [ref.model_copy(update={"name": name}) for ref in value.refs]
                if value.held is not NOTHING:
                    self._live.held[name] = value.held
        return tuple(refs)

    def let_go(self, step: Step) -> None:
        """Let go of values that are kept, and that nobody reads any more: a large array need not stay in memory."""
        for port in step.sources:
            self._unread[port] -= 1
            value = self.value(port)
            if not self._unread[port] and value is not None and value.is_kept:
                value.held = NOTHING

    def port(self, port: Port) -> Value:
        """Return the value at a port that was computed."""
        value = self.value(port)
        assert value is not None
        return value

    def value(self, port: Port) -> Value | None:
        """Return the value at a port; None before it is there."""
        if not port.step:
            return self.inputs[port.index]
        given = self.outputs.get(port.step)
        return given[port.index] if given is not None else None

    def load(self, port: Port) -> Any:
        """Return what lies at a port, for those that only look."""
        return self._values.load(self.port(port), is_shared=False)

    def arguments(self) -> list[Any]:
        """Return the inputs of the pipeline, for its callbacks."""
        return (
            [self._values.load(value, is_shared=False) for value in self.inputs] if self._plan.is_told else []
        )

    def set(self, path: str, **changes: Any) -> None:
        """Note how a node stands."""
        if "status" in changes:
            (self._open.add if changes["status"] in UNDER_WAY else self._open.discard)(path)
        count = len(self._plan.graph.steps)
        done = count - len(self._open) + sum(self.fractions.values())
        self._live.set_node(path, min(done / max(count, 1), 0.999), **changes)

    def skip_rest(self) -> None:
        """Note that what has not ended will not."""
        for node in self._live.record.nodes:
            if node.status in UNDER_WAY:
                status = SKIPPED if node.status == "PENDING" else "CANCELLED"
                self._live.set_node(node.name, 0.0, status=status, error="the pipeline was ended")

    def seconds(self) -> dict[str, float]:
        """Return what each node took."""
        return {
            node.name: round(node.seconds, 6) for node in self._live.record.nodes if node.seconds is not None
        }
