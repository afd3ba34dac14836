"""What a run of a pipeline needs, all checked before anything is stored or started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from workbench.algorithms.runnable import Runnable, resolve
from workbench.errors import InvalidInputError, InvalidPipelineError, WorkbenchError
from workbench.execution.inputs import Inputs
from workbench.execution.reuse import digest_of
from workbench.library.bundle import Bundle
from workbench.models import AlgorithmType, NodeRecord, OutputRef, RunRecord
from workbench.names import is_id
from workbench.pipelines.call import shown_version, trains
from workbench.pipelines.callbacks import has_callbacks
from workbench.pipelines.graph import Graph, Port, Step, nested_parameters
from workbench.pipelines.meaning import meaning
from workbench.pipelines.named_files import names_files, with_files, without_marks
from workbench.pipelines.node import check_call
from workbench.pipelines.pipeline import Pipeline
from workbench.pipelines.values import NOTHING, Value, Values, is_plain
from workbench.versions import fields_of, version_of

if TYPE_CHECKING:
    from workbench.algorithms import Algorithms
    from workbench.library.datasets import Datasets


@dataclass(frozen=True, slots=True)
class Code:
    """What a step of the pipeline does, found and checked.

    Parameters
    ----------
    runnable : Runnable or None
        Of an algorithm.
    parameters : dict
        Every one with its value, of an algorithm; what is passed by name, of a function.
    digest : str
        Of what a function or step means; empty if nobody can tell.
    unknown : str
        What it is that nobody can tell.
    version : str
        As short as people read it.
    parameters_digest : str
        Of the parameters of a function or step; empty if nobody can tell.
    replays : RunRecord or None
        The run that is computed again, from the same seed.
    why_not : str
        Why that cannot be computed again, so that what it gave stands for it.
    keys : tuple of str
        Under which arrays that a replayed call gives are kept.
    kept, why_not_kept : str
        The digest of its code in the store, and why there is none.
    """

    runnable: Runnable | None
    parameters: dict[str, Any]
    digest: str = ""
    unknown: str = ""
    version: str = ""
    parameters_digest: str = ""
    replays: RunRecord | None = None
    why_not: str = ""
    keys: tuple[str, ...] = ()
    kept: str = ""
    why_not_kept: str = ""

    @property
    def label(self) -> str:
        """``name@major.minor`` of an algorithm."""
        return self.runnable.label if self.runnable is not None else ""


class Input(Protocol):
    """An input of a pipeline, as whoever conducts it has it."""

    def value(self, values: Values) -> Value: ...


class Given:
    """An input of the pipeline, checked for each that reads it; stored when `value` is asked for.

    Parameters
    ----------
    name : str
    raw : object
    types : sequence of AlgorithmType
        Of the algorithms that read it.
    datasets : Datasets

    Raises
    ------
    NotFoundError, InvalidDataError, InvalidInputError
        If an algorithm cannot read it.
    """

    def __init__(self, name: str, raw: Any, types: Sequence[AlgorithmType], datasets: Datasets) -> None:
        self._name = name
        raw, self._is_read = without_marks(raw)
        if self._is_read and not types:
            types = [AlgorithmType.GENERIC]
        self._raw = raw
        self._datasets = datasets
        if not types and isinstance(raw, Bundle):  # functions read it as the path of its folder
            types = [AlgorithmType.GENERIC]
        self._inputs = {type.input_key: Inputs(raw, type, datasets) for type in types}
        self._named = self._references(raw)

    def value(self, values: Values) -> Value:
        """Store what is new, and return it as a value."""
        by_key = {}
        for key, inputs in self._inputs.items():
            inputs.take_stored()
            by_key[key] = self._datasets.find_many(inputs.store())
        if self._named is not None:
            refs = tuple(OutputRef(dataset=dataset.id, name=self._name) for dataset in self._named)
            value = values.found(refs, ())
        elif by_key and not self._is_raw:  # files that are read, or runs and datasets beside each other
            first = next(iter(by_key.values()))
            value = values.found([OutputRef(dataset=d.id, name=self._name) for d in first], ())
        elif by_key and _is_loaded(self._raw):
            first = next(iter(by_key.values()))
            refs = tuple(OutputRef(dataset=dataset.id, name=self._name) for dataset in first)
            digest = digest_of(["datasets", [dataset.digest for dataset in first], False])
            value = Value(refs, self._raw, tuple(dataset.id for dataset in first), digest)
        else:  # a text or a path is for functions what it is, and for algorithms the dataset or file that it names
            read = tuple(dict.fromkeys(dataset.id for found in by_key.values() for dataset in found))
            value = values.keep(self._name, self._raw, run_id=None, parents=read, takes_stored=True)
            value.digest = with_files(value.digest, self._raw)
        value.by_key = by_key
        return value

    def foreseen(self, values: Values) -> Value:
        """Return the value with no more than the digest that it will have; nothing is stored."""
        if self._named is not None:
            return values.found([OutputRef(dataset=d.id, name=self._name) for d in self._named], ())
        if self._inputs and not (self._is_raw and names_files(self._raw)):
            return Value(digest=digest_of(["datasets", next(iter(self._inputs.values())).digests(), False]))
        return Value(digest=with_files(values.digest_of(self._raw), self._raw))

    def digests(self, key: str) -> list[str]:
        """Return the digests of the datasets that algorithms read it as."""
        return self._inputs[key].digests()

    @property
    def _is_raw(self) -> bool:
        """Whether functions get what was given, as it is."""
        return not self._is_read and (_is_loaded(self._raw) or names_files(self._raw))

    def _references(self, raw: Any) -> list[Any] | None:
        """Return the datasets that are named, by handle, by run or by id; None for a value."""
        from workbench.library.dataset import Dataset

        if hasattr(raw, "record") and hasattr(raw, "datasets"):  # a Run
            if raw.status != "COMPLETED":
                raise InvalidInputError(
                    f"Input {self._name!r} is run {raw.id}, which is {raw.status}. Only what a completed run has put out is an "
                    "input: run.wait()."
                )
            return list(raw.datasets)
        members = raw if isinstance(raw, (list, tuple)) else [raw]
        if members and all(isinstance(m, Dataset) or (isinstance(m, str) and is_id(m)) for m in members):
            return [self._datasets.find(member) for member in members]
        return None


@dataclass(frozen=True, slots=True)
class Plan:
    """A pipeline with its inputs, ready to run.

    Parameters
    ----------
    graph : Graph
    inputs, outputs : tuple of str
        Names of what the pipeline reads and gives.
    given : tuple of Input
    code : dict
        By path.
    parameters : dict
        That were given for this run, by node.
    watched : Pipeline or None
        The pipeline, if callbacks are to be told.
    """

    graph: Graph
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    given: tuple[Input, ...]
    code: dict[str, Code]
    parameters: dict[str, Any]
    watched: Pipeline | None = None

    @property
    def is_told(self) -> bool:
        """Whether callbacks of the pipeline itself want to see what it reads and gives."""
        return self.watched is not None and bool(self.watched.callbacks)

    @property
    def calls(self) -> list[Step]:
        """Its functions and steps."""
        return [step for step in self.graph.steps.values() if step.node.kind != "algorithm"]

    def nodes(self) -> tuple[NodeRecord, ...]:
        """Return the nodes as they are before anything has started."""
        return node_records(self.graph, self.code)

    def readers(self, port: Port) -> int:
        """Return how many read a value; what the pipeline gives counts, too."""
        read = sum(source == port for step in self.graph.steps.values() for source in step.sources)
        return read + sum(output == port for output in self.graph.outputs)

    def key_of(self, port: Port) -> str:
        """Return the key under which an array is kept: that of the first algorithm that reads it, or of the first time."""
        known = self.code[port.step].keys
        if known:
            return known[port.index]
        for step in self.graph.steps.values():
            runnable = self.code[step.path].runnable
            if runnable is not None and port in step.sources:
                return runnable.revision.type.input_key
        return "data"


def drawn_nodes(graph: Graph, algorithms: Algorithms | None) -> tuple[NodeRecord, ...]:
    """Return the nodes of a graph with their versions as they are now, as far as they are known.

    Parameters
    ----------
    graph : Graph
    algorithms : Algorithms or None
        Where algorithms are looked up; those that are not deployed there say so.
    """
    code = {}
    for path, step in graph.steps.items():
        node = step.node
        if node.kind != "algorithm":
            found, _ = meaning(node.what) if node.kind == "function" else step_meaning(node.what)
            version = shown_version(node.what) or found[:7]
            code[path] = Code(None, {}, version=version)
        elif algorithms is not None:
            try:
                code[path] = Code(resolve(algorithms, node.what), {})
            except WorkbenchError:
                code[path] = Code(None, {}, version="(not deployed)")
    return node_records(graph, code)


def node_records(graph: Graph, code: Mapping[str, Code]) -> tuple[NodeRecord, ...]:
    """Return the nodes of a graph as a record has them."""
    return tuple(
        NodeRecord(
            name=step.path,
            kind=step.node.kind,
            label=(code[step.path].label if step.path in code else "") or step.node.label,
            version=code[step.path].version if step.path in code else "",
            sources=tuple((port.step, port.name) for port in step.sources),
            outputs=step.node.outputs,
        )
        for step in graph.steps.values()
    )


def make_plan(
    pipeline: Pipeline,
    inputs: Sequence[Any],
    parameters: Mapping[str, Any] | None,
    algorithms: Algorithms,
    datasets: Datasets,
) -> Plan:
    """Check all that a run needs.

    Raises
    ------
    WorkbenchError
        With the node: an algorithm that is not there, a wrong parameter, an input too few.
    """
    what = f"Pipeline {pipeline.name!r}"
    given = dict(parameters or {}) if isinstance(parameters, Mapping) or not parameters else parameters
    if not isinstance(given, dict):
        raise InvalidInputError(
            f"parameters is {parameters!r}, expected values by node, such as {{'blur': {{'sigma': 2.0}}}}."
        )
    problems = list(nested_parameters(pipeline, given, what))
    if problems:
        raise InvalidPipelineError(f"{'; '.join(problems)}.", problems=tuple(problems))
    resolved: dict[str, Runnable] = {}
    code = {
        path: _code(step, {**step.parameters, **_at(given, path)}, algorithms, resolved)
        for path, step in pipeline.graph.steps.items()
    }
    raw = _by_position(pipeline, inputs)
    found = []
    for index, name in enumerate(pipeline.inputs):
        port = Port("", index, name)
        readers = [step.path for step in pipeline.graph.steps.values() if port in step.sources]
        types = [c.runnable.revision.type for path in readers if (c := code[path]).runnable is not None]
        try:
            found.append(Given(name, raw[index], list(dict.fromkeys(types)), datasets))
        except WorkbenchError as error:
            raise _with_place(
                error, f"{what}, input {name!r} of node {', '.join(map(repr, readers))}"
            ) from error
    watched = pipeline if has_callbacks(pipeline) else None
    return Plan(pipeline.graph, pipeline.inputs, pipeline.outputs, tuple(found), code, given, watched)


def _code(
    step: Step, parameters: dict[str, Any], algorithms: Algorithms, resolved: dict[str, Runnable]
) -> Code:
    """Check what a step is; algorithms that are named several times are looked up once."""
    node = step.node
    if node.kind != "algorithm":
        check_call_of(step, parameters)
        found, unknown = meaning(node.what) if node.kind == "function" else step_meaning(node.what)
        digest = digest_of([found, len(node.outputs)]) if found else ""
        version = shown_version(node.what) or found[:7]
        return Code(None, parameters, digest, unknown, version, parameters_digest(parameters))
    try:
        name = node.what if isinstance(node.what, str) else ""
        runnable = resolved.get(name) or resolve(algorithms, node.what)
        if name:
            resolved[name] = runnable
        return Code(runnable, runnable.parameters.validate(parameters))
    except WorkbenchError as error:
        raise _with_place(error, f"Node {step.path!r}") from error


def parameters_digest(parameters: Mapping[str, Any]) -> str:
    """Return the digest of what is passed by name; empty if nobody can tell."""
    digests = {
        name: with_files(digest_of(["plain", value]) if is_plain(value) else meaning(value)[0], value)
        for name, value in parameters.items()
    }
    return "" if "" in digests.values() else digest_of(digests)


def check_call_of(step: Step, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that a function does not take, and those that it misses."""
    check_call(step.node, parameters, path=step.path)


#: attributes of a step that say what it has learned, and how that came to be
LEARNED = ("model", "train_time", "trained_by", "kept_as")


def held_by(step: Any) -> dict[str, Any]:
    """Return the attributes of a step but for what it has learned and who watches it."""
    held = dict(getattr(step, "__dict__", {}))
    held.pop("callbacks", None)
    for name in fields_of(
        type(step)
    ):  # what is read of a dict is a copy that the step then holds; the value is in the version
        if name in held and str(held[name]) == str(getattr(type(step), name)):
            del held[name]
    if trains(step) or held.get("train_time") is not None:
        held = {name: value for name, value in held.items() if name not in LEARNED}
    return held


def step_meaning(step: Any) -> tuple[str, str]:
    """Return the digest of what a step does: its class, its version, and what it holds but for what it has learned.

    What it has learned is in its version, by the time of training; a step that trains begins anew.
    """
    held = held_by(step)
    code, unknown = meaning(type(step))
    state, unknown_state = meaning(held) if held else ("none", "")
    if not code or not state:
        return "", unknown or unknown_state
    version = version_of(type(step)) if trains(step) else getattr(step, "version", "")
    return digest_of([code, state, _digests(version)]), ""


def _digests(version: Any) -> str:
    """Return what of a version counts: when it was made does not."""
    if hasattr(version, "major") and hasattr(version, "patch"):
        return f"{version.major}.{version.minor}.{version.patch}"
    return str(version)


def _at(parameters: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return what is given for a node at a path."""
    found: Any = parameters
    for name in path.split("/"):
        found = found.get(name, {})
    return dict(found)


def _by_position(pipeline: Pipeline, inputs: Sequence[Any]) -> Sequence[Any]:
    """Return the inputs in the order of their names."""
    names = pipeline.inputs
    by_name = inputs[0] if len(names) > 1 and len(inputs) == 1 else None
    if isinstance(by_name, Mapping) and set(by_name) == set(names):
        return [by_name[name] for name in names]
    if len(inputs) == len(names):
        return inputs
    wanted = f"reads {len(names)}: {', '.join(names)}" if names else "reads none"
    example = f"pipe.run({', '.join(name.strip('_') for name in names)})"
    raise InvalidInputError(
        f"Pipeline {pipeline.name!r} was given {len(inputs)} input{'' if len(inputs) == 1 else 's'} and {wanted}. Call {example}."
    )


def _with_place(error: WorkbenchError, place: str) -> WorkbenchError:
    """Return the error, with where in the pipeline it is."""
    return type(error)(f"{place}: {error}", **error.facts)


def _is_loaded(raw: Any) -> bool:
    """Tell whether something is the value itself, and not a name or a file."""
    import os

    if isinstance(raw, (str, os.PathLike)):
        return False
    if isinstance(raw, (list, tuple)):
        return all(_is_loaded(member) for member in raw) and not any(hasattr(m, "record") for m in raw)
    return not hasattr(raw, "record") and raw is not NOTHING
