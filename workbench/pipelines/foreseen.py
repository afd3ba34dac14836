"""Whether earlier runs stand for all nodes of a pipeline: asked for ``reuse="only"`` before anything is stored or recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import NotFoundError
from workbench.execution.inputs import Inputs
from workbench.execution.reuse import ONLY, Reuse, checked_mode, device_matters, key_of
from workbench.pipelines.call import STATE, trains
from workbench.pipelines.call_records import call_parts
from workbench.pipelines.graph import Port, Step
from workbench.pipelines.plan import Given, Plan
from workbench.pipelines.values import Value, Values

if TYPE_CHECKING:
    from workbench.algorithms import Algorithms
    from workbench.catalog import Catalog
    from workbench.library.datasets import Datasets
    from workbench.models import AlgorithmType, RunRecord


def check_all_known(plan: Plan, algorithms: Algorithms, catalog: Catalog, datasets: Datasets) -> None:
    """Refuse a pipeline of which something would have to be computed.

    Raises
    ------
    NotFoundError
        With the first node that no completed run stands for.
    UnsupportedError, InvalidInputError
        For a node whose runs are never used: of a folder, in a session.
    """
    _Foreseen(plan, algorithms, catalog, datasets).check()


class _Foreseen:
    def __init__(self, plan: Plan, algorithms: Algorithms, catalog: Catalog, datasets: Datasets) -> None:
        self._plan = plan
        self._catalog = catalog
        self._datasets = datasets
        self._values = Values(datasets)
        self._reuse = Reuse(algorithms, datasets, catalog)
        self._inputs = [given.foreseen(self._values) for given in plan.given if isinstance(given, Given)]
        self._outputs: dict[str, tuple[Value, ...]] = {}

    def check(self) -> None:
        for path, step in self._plan.graph.steps.items():
            if not step.node.deterministic:
                raise _missing(path, " (deterministic=False)")
            runnable = self._plan.code[path].runnable
            if runnable is not None and device_matters(runnable.revision):
                return  # who starts it knows the device, and refuses it
            record = self._call(step) if runnable is None else self._run(step, runnable)
            if record is None:
                unknown = self._plan.code[path].unknown
                raise _missing(path, f" ({unknown})" if unknown else "")
            names = step.node.outputs
            if runnable is not None and len(names) not in (1, len(record.outputs)):
                return  # it fails when it is run
            if runnable is not None and len(names) == 1:
                self._outputs[path] = (self._values.found(record.outputs, record.inputs, name=names[0]),)
            else:
                self._outputs[path] = self._values.recorded(record, names)

    def _value(self, port: Port) -> Value:
        return self._outputs[port.step][port.index] if port.step else self._inputs[port.index]

    def _call(self, step: Step) -> RunRecord | None:
        parts = call_parts(self._plan.code[step.path], [self._value(port) for port in step.sources])
        if not parts:
            return None
        for record in self._catalog.runs_with_key(key_of(parts)):
            ids = [ref.dataset for ref in record.outputs if ref.dataset]
            if trains(step.node.what):
                ids.append(record.records.get(STATE, ""))
            if not any(ref.held for ref in record.outputs) and self._datasets.are_whole(ids):
                return record
        return None

    def _run(self, step: Step, runnable: Any) -> RunRecord | None:
        checked_mode(ONLY, runnable, debug=False, session=step.node.options.get("session"))
        type = runnable.revision.type
        digests: list[str] = []
        for port in step.sources:
            if not port.step:
                given = self._plan.given[port.index]
                assert isinstance(given, Given)
                digests += given.digests(type.input_key)
                continue
            digests += self._digests(self._value(port), type)
        parameters = self._plan.code[step.path].parameters
        return self._reuse.find(self._reuse.parts(runnable, parameters, _Digests(digests), ""))

    def _digests(self, value: Value, type: AlgorithmType) -> list[str]:
        """Return the digests of what an algorithm reads of the output of a node: of a stack, those of its slices."""
        datasets = self._datasets.find_many([ref.dataset for ref in value.refs if ref.dataset])
        if any(type.input_key in dataset.keys or "volume" in dataset.keys for dataset in datasets):
            return Inputs(datasets, type, self._datasets).digests()
        return self._values.digests_as(value, type.input_key)


class _Digests:
    """Inputs of which nothing but the digests is asked."""

    def __init__(self, found: list[str]) -> None:
        self._found = found

    def digests(self) -> list[str]:
        return self._found


def _missing(path: str, why: str) -> NotFoundError:
    return NotFoundError(
        f"reuse='only': no completed run has computed node {path!r}{why}. Pass reuse='auto' to compute it.",
        node=path,
    )
