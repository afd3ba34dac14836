"""A pipeline's run as a plan that computes it again: the graph, code, parameters, inputs and seeds that are in its records."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workbench.algorithms.runnable import resolve
from workbench.errors import InvalidInputError, NotFoundError, UnsupportedError, WorkbenchError
from workbench.execution.replay import code_again
from workbench.execution.reuse import digest_of
from workbench.models import NodeRecord, RunRecord, RunStatus
from workbench.pipelines.called_again import CallsAgain, keys_again
from workbench.pipelines.graph import Graph, Port, Step
from workbench.pipelines.meaning import meaning
from workbench.pipelines.node import Node
from workbench.pipelines.plan import Code, Input, Plan, parameters_digest, step_meaning
from workbench.pipelines.sent import FoundInput
from workbench.pipelines.values import Value, Values

if TYPE_CHECKING:
    from workbench.algorithms import Algorithms
    from workbench.execution.runs import Runs
    from workbench.library.datasets import Datasets
    from workbench.pipelines.pipeline import Pipeline


def plan_again(
    record: RunRecord,
    runs: Runs,
    datasets: Datasets,
    algorithms: Algorithms,
    calls: CallsAgain,
    *,
    pipeline: Pipeline | None = None,
    session: str | None = None,
    device: str | None = None,
) -> Plan:
    """Return the plan of a pipeline's run that is to be computed again.

    Its inputs are those that were recorded, and all else is computed from them. A node that cannot be computed again says why in
    its `Code`, and what it gave then stands for it.

    Parameters
    ----------
    record : RunRecord
    runs, datasets, algorithms
    calls : CallsAgain
        Where functions and steps are had again.
    pipeline : Pipeline, optional
        Where functions and steps are taken from that a record alone does not lead to, if they mean the same.
    session, device : str, optional
        Of the nodes that worked in a session; of all algorithms.

    Raises
    ------
    InvalidInputError, UnsupportedError, NotFoundError
        If it did not complete, its record does not name its inputs, or not one node can be computed again.
    """
    if record.status is not RunStatus.COMPLETED:
        raise InvalidInputError(
            f"Run {record.id} is {record.status}; only a completed one is replayed, for only it has outputs to compare with. "
            "Its nodes that completed are replayed one by one: run.node(name).replay()."
        )
    if record.inputs and not record.arguments:
        raise UnsupportedError(
            f"Run {record.id} was of an older workbench, which did not keep which input is which. Its nodes are replayed one "
            f"by one: run.node({record.nodes[0].name!r}).replay()."
        )
    again = _Again(record, runs, datasets, algorithms, calls, pipeline, session, device)
    for node in record.nodes:
        again.add(node)
    reasons = {path: code.why_not for path, code in again.code.items() if code.why_not}
    if len(reasons) == len(record.nodes):
        told = "; ".join(f"{path}: {why}" for path, why in reasons.items())
        raise NotFoundError(f"Run {record.id} cannot be replayed, for not one of its nodes can. {told}.")
    graph = Graph(again.steps, again.outputs(), {})
    names = tuple(name for _, name in record.pipeline_outputs)
    return Plan(graph, tuple(again.inputs), names, again.given(), again.code, record.parameters)


def executor_again(record: RunRecord, runs: Runs) -> str:
    """Return where the nodes of a pipeline's run were computed."""
    for node in record.nodes:
        if node.run and not node.reused:
            return runs.record(node.run).executor
    return record.executor


def nodes_again(record: RunRecord) -> tuple[NodeRecord, ...]:
    """Return the nodes of a pipeline's run as they are before anything of it has started."""
    fresh: dict[str, Any] = {"status": "PENDING", "run": "", "reused": False, "seconds": None, "error": ""}
    return tuple(node.model_copy(update=fresh) for node in record.nodes)


class _Again:
    """The steps of a plan that is made of records, node by node in their order."""

    def __init__(
        self,
        record: RunRecord,
        runs: Runs,
        datasets: Datasets,
        algorithms: Algorithms,
        calls: CallsAgain,
        pipeline: Pipeline | None,
        session: str | None,
        device: str | None,
    ) -> None:
        self._record = record
        self._runs = runs
        self._datasets = datasets
        self._algorithms = algorithms
        self._calls = calls
        self._known = {} if pipeline is None else pipeline.graph.steps
        self._session = session
        self._device = device
        self._values = Values(datasets)
        self._nodes = {node.name: node for node in record.nodes}
        self._gave: dict[str, tuple[Value, ...]] = {}  # in the run that is computed again
        self.steps: dict[str, Step] = {}
        self.code: dict[str, Code] = {}
        names = dict.fromkeys(ref.name for ref in record.arguments)
        self.inputs: dict[str, Value] = {
            name: self._values.found([ref for ref in record.arguments if ref.name == name], record.inputs)
            for name in names
        }

    def add(self, node: NodeRecord) -> None:
        """Add the step of a node, computed again or not."""
        path = node.name
        sources = tuple(self._port(step, name) for step, name in node.sources)
        what, code = self._found(node)
        if code.replays is not None:
            self._gave[path] = self._values.recorded(code.replays, node.outputs)
        self.code[path] = replace(code, why_not=code.why_not or self._missing(sources))
        names = [port.name for port in sources]
        options: dict[str, Any] = {}
        if code.runnable is not None and code.replays is not None:
            options["device"] = self._device or code.replays.device
            if code.replays.session not in (None, code.replays.id):
                options["session"] = self._session
            self._as_it_was_read(code.runnable.revision.type.input_key, code.replays.inputs, sources)
        made = Node(what, names, node.outputs, name=path.rpartition("/")[2], **options)
        self.steps[path] = Step(path, made, sources)

    def given(self) -> tuple[Input, ...]:
        """Return the inputs of the pipeline."""
        return tuple(FoundInput(value) for value in self.inputs.values())

    def outputs(self) -> tuple[Port, ...]:
        """Return where what the pipeline gives comes from: nested pipelines may call it otherwise than its node does."""
        found = []
        for path, name in self._record.pipeline_outputs:
            given = [ref.model_copy(update={"name": ""}) for ref in self._record.outputs if ref.name == name]
            gave = [
                [ref.model_copy(update={"name": ""}) for ref in value.refs]
                for value in self._gave.get(path, ())
            ]
            names = self._nodes[path].outputs
            index = gave.index(given) if given in gave else names.index(name) if name in names else 0
            found.append(Port(path, index, name))
        return tuple(found)

    def _port(self, step: str, name: str) -> Port:
        if step:
            return Port(step, self._nodes[step].outputs.index(name), name)
        names = list(self.inputs)
        return Port("", names.index(name) if name in names else -1, name)

    def _found(self, node: NodeRecord) -> tuple[Any, Code]:
        """Return what a node does, with its code; or what it is called, and why it cannot be done again."""
        try:
            first = self._runs.record(node.run)
        except NotFoundError:
            return node.label, Code(None, {}, why_not="its run was deleted since")
        if first.reused_from is not None:
            with suppress(NotFoundError):  # the node's own record has all but where that ran
                first = self._runs.record(first.reused_from)
        try:
            if not first.call:
                runnable = resolve(self._algorithms, code_again(first, self._algorithms, self._session))
                return runnable, Code(runnable, first.parameters, replays=first)
            keys = keys_again(first, self._datasets)
            what, parameters = self._called(node, first)
        except WorkbenchError as error:
            return node.label, Code(None, {}, replays=first, why_not=str(error).rstrip("."))
        parts = first.reuse_parts.get("parameters", "")
        return what, Code(
            None,
            parameters,
            first.content,
            "",
            node.version,
            parts,
            replays=first,
            keys=keys,
            kept=first.code,
            why_not_kept=first.no_code,
        )

    def _called(self, node: NodeRecord, first: RunRecord) -> tuple[Any, dict[str, Any]]:
        """Return the function or step of a node, and its parameters."""
        step = self._known.get(node.name)
        if step is not None and step.node.kind == first.call:
            found, _ = (meaning if first.call == "function" else step_meaning)(step.node.what)
            is_same = found and digest_of([found, len(node.outputs)]) == first.content
            # objects among the parameters are in no record
            for parameters in (first.parameters, {**first.parameters, **step.parameters}):
                if is_same and parameters_digest(parameters) == first.reuse_parts.get("parameters"):
                    # what a step learns now must not change what the user's own knows
                    what = copy.deepcopy(step.node.what) if first.call == "step" else step.node.what
                    return what, parameters
        return self._calls.what(first, len(node.outputs)), first.parameters

    def _missing(self, sources: Sequence[Port]) -> str:
        """Return which of the things that a node reads can neither be computed again nor be had; nothing if all can."""
        for port in sources:
            if port.step and not self.code[port.step].why_not:
                continue
            gave = self._gave.get(port.step, ()) if port.step else tuple(self.inputs.values())
            value = gave[port.index] if 0 <= port.index < len(gave) else None
            place = f"what node {port.step!r} gave" if port.step else f"input {port.name!r} of the pipeline"
            if value is None:
                return f"{place} was not kept"
            if not value.is_kept:
                return (
                    f"{place} was a {next(ref.held for ref in value.refs if ref.held)}, which is kept nowhere"
                )
            if not self._datasets.are_whole([ref.dataset for ref in value.refs if ref.dataset]):
                return f"{place} was deleted since, or its file is gone"
        return ""

    def _as_it_was_read(self, key: str, inputs: Sequence[str], sources: Sequence[Port]) -> None:
        """Remember how an algorithm read an input that it reads alone: a stack as slices, where a function reads it whole."""
        if len(sources) == 1 and not sources[0].step and sources[0].index >= 0:
            datasets = self._datasets.find_many(inputs)
            if self._datasets.are_whole(inputs):
                self.inputs[sources[0].name].by_key.setdefault(key, list(datasets))
