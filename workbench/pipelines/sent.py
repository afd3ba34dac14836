"""How a pipeline reaches the process that conducts it, and what comes back: files in the private folder of this user's run host.

What was found and checked here holds there: the revisions of algorithms, what functions mean, the inputs as they were kept.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.algorithms.runnable import resolve
from workbench.errors import InvalidPipelineError
from workbench.models import RunStatus
from workbench.pipelines.call import trains
from workbench.pipelines.graph import Graph, Step
from workbench.pipelines.handover import (
    dumps,
    forget,
    packed,
    packed_with_code,
    read_back,
    unpacked,
    write,
    write_back,
)
from workbench.pipelines.how import How
from workbench.pipelines.meaning import home_of
from workbench.pipelines.plan import Code, Plan
from workbench.pipelines.values import Value, Values

if TYPE_CHECKING:
    from workbench.algorithms import Algorithms
    from workbench.execution.executor import Executor
    from workbench.library.datasets import Datasets
    from workbench.pipelines.live import NodesRun


@dataclass(frozen=True, slots=True)
class SentInput:
    """An input of a pipeline that travels.

    Parameters
    ----------
    kept : Value
        With the object itself only where it is kept nowhere.
    by_key : dict
        Ids of the datasets that algorithms read it as.
    """

    kept: Value
    by_key: dict[str, list[str]]

    @classmethod
    def of(cls, value: Value) -> SentInput:
        by_key = {key: [dataset.id for dataset in found] for key, found in value.by_key.items()}
        return cls(value.without_object(), by_key)

    def found(self, datasets: Datasets) -> FoundInput:
        """Return it with its datasets."""
        by_key = {key: datasets.find_many(ids) for key, ids in self.by_key.items()}
        return FoundInput(replace(self.kept, by_key=by_key))


@dataclass(frozen=True, slots=True)
class FoundInput:
    """An input that was kept before."""

    kept: Value

    def value(self, values: Values) -> Value:
        return self.kept


@dataclass(frozen=True, slots=True)
class SentPlan:
    """A plan that travels.

    Parameters
    ----------
    graph : Graph
        Its nodes of algorithms name what is in ``algorithms``.
    inputs, outputs : tuple of str
    algorithms : dict
        By path: the revision, or the folder.
    code : dict
        By path.
    executor, reuse, tags
        As in `How`.
    """

    graph: Graph
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    algorithms: dict[str, str]
    code: dict[str, Code]
    executor: str
    reuse: str
    tags: tuple[str, ...]

    @classmethod
    def of(cls, plan: Plan, how: How) -> SentPlan:
        algorithms = {
            path: code.runnable.revision.id if code.runnable.is_deployed else code.runnable.label
            for path, code in plan.code.items()
            if code.runnable is not None
        }
        steps = {path: _bare(step, algorithms.get(path)) for path, step in plan.graph.steps.items()}
        code = {path: replace(code, runnable=None) for path, code in plan.code.items()}
        graph = Graph(steps, plan.graph.outputs, {})
        return cls(graph, plan.inputs, plan.outputs, algorithms, code, how.executor, how.reuse, how.tags)

    def plan(self, inputs: Sequence[SentInput], algorithms: Algorithms, datasets: Datasets) -> Plan:
        """Return the plan as it was; its parameters by node are in its code."""
        code = {
            path: replace(code, runnable=resolve(algorithms, self.algorithms[path]))
            if path in self.algorithms
            else code
            for path, code in self.code.items()
        }
        given = tuple(i.found(datasets) for i in inputs)
        return Plan(self.graph, self.inputs, self.outputs, given, code, {})

    def how(self, executor: Callable[[str], Executor]) -> How:
        return How(executor(self.executor), self.reuse, echo=False, debug=False, tags=self.tags)


def pack_plan(plan: Plan, how: How) -> bytes:
    """Return the bytes of a plan, before anything of it is stored.

    Raises
    ------
    InvalidPipelineError
        With the node, if something of it cannot go to another process.
    """
    try:
        return packed_with_code(SentPlan.of(plan, how), [step.node.what for step in plan.calls])
    except Exception as error:
        for step in plan.calls:
            dumps((step.node.what, plan.code[step.path].parameters), step.path, step.node.what)
        raise InvalidPipelineError(
            f"The pipeline cannot go to another process: {error}. Keep what cannot be pickled out of its parameters, or run it "
            "with wait=True or executor='kernel'."
        ) from error


def send(
    plan: bytes, inputs: Sequence[Value], names: Sequence[str], run_id: str, host_folder: str | None
) -> Path:
    """Write a packed plan with its inputs for the process that is to conduct it; return where it lies.

    Raises
    ------
    InvalidPipelineError
        If an input that is kept nowhere cannot go to another process.
    """
    sent = []
    for name, value in zip(names, inputs, strict=True):
        try:
            sent.append(packed(SentInput.of(value), [] if value.is_kept else [home_of(value.held)]))
        except Exception as error:
            raise InvalidPipelineError(
                f"Input {name!r} is a {type(value.held).__name__} that cannot go to another process: {error}. Pass arrays, numbers "
                "or texts, or run the pipeline with wait=True or executor='kernel'."
            ) from error
    return write(f"{run_id}.pipeline", packed((plan, sent), []), host_folder)


def receive(path: Path) -> tuple[SentPlan, list[SentInput]]:
    """Read a pipeline in the process that conducts it, once."""
    content = path.read_bytes()
    path.unlink()
    plan, inputs = unpacked(content)
    return unpacked(plan), [unpacked(value) for value in inputs]


@dataclass(frozen=True, slots=True)
class Gains:
    """What the process that has started a pipeline gets back beside the record.

    Parameters
    ----------
    objects : dict
        Outputs that are kept nowhere, by name.
    states : dict
        The attributes of steps that were trained, by path.
    """

    objects: dict[str, Any]
    states: dict[str, dict[str, Any]]


def send_back(path: Path, plan: Plan, live: NodesRun) -> None:
    """Write what cannot be kept for the process that has sent the pipeline; nothing if all is kept."""
    import cloudpickle

    held = {ref.name for ref in live.record.outputs if ref.held}
    objects = {name: value for name, value in live.held.items() if name in held}
    states = {
        step.path: dict(vars(step.node.what))
        for step in plan.calls
        if trains(step.node.what) and live.node(step.path).status == RunStatus.COMPLETED
    }
    if objects or states:
        write_back(path, cloudpickle.dumps(Gains(objects, states)))


def take_gains(path: Path, plan: Plan) -> dict[str, Any]:
    """Take what came back: steps know what they have learned; return the outputs that are kept nowhere, by name."""
    try:
        gains: Gains | None = read_back(path)
    finally:
        forget(path)  # of one that never began, too
    if gains is None:
        return {}
    for step_path, state in gains.states.items():
        vars(plan.graph.steps[step_path].node.what).update(state)
    return gains.objects


def _bare(step: Step, algorithm: str | None) -> Step:
    """Return a step with nothing of the workspace or of other nodes in it."""
    node = copy.copy(step.node)
    node.inputs = ()
    node.parameters = {}
    node.options = {
        name: getattr(value, "name", value) if name == "session" else value
        for name, value in node.options.items()
    }
    if algorithm is not None:
        node.what = algorithm
    return Step(step.path, node, step.sources)
