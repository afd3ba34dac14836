"""Two runs side by side: parameters, code, inputs, environment, outputs, seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workbench.algorithms.comparison import NOT_THERE, Comparison, Side, changed_files, side
from workbench.errors import NotFoundError
from workbench.execution.replay import compare_outputs, package_differences
from workbench.execution.sameness import IDENTICAL
from workbench.models import Revision, RunRecord

if TYPE_CHECKING:
    from workbench.algorithms import Algorithms
    from workbench.execution.runs import Runs
    from workbench.library.datasets import Datasets


def compare_runs(
    a: RunRecord, b: RunRecord, runs: Runs, datasets: Datasets, algorithms: Algorithms
) -> Comparison:
    """Compare two runs."""
    files, problem = changed_files(_revision(a, algorithms), _revision(b, algorithms), algorithms)
    sides = [
        *(side("run", name, getattr(a, name), getattr(b, name)) for name in ("algorithm", "revision")),
        *(side("run", name, str(getattr(a, name)), str(getattr(b, name))) for name in ("status", "device")),
        *_parameters(a, b),
        *_inputs(a, b, datasets),
        *_environment(runs.environment_of(a), runs.environment_of(b)),
        *_outputs(a, b, datasets),
        side("seed", "", a.seed, b.seed),
        side("seconds", "all", a.seconds, b.seconds),
        *(
            side("seconds", phase, a.phases.get(phase), b.phases.get(phase))
            for phase in dict.fromkeys([*a.phases, *b.phases])
        ),
    ]
    return Comparison(a.id, b.id, sides, files, problem)


def _revision(record: RunRecord, algorithms: Algorithms) -> Revision | None:
    try:
        return algorithms.get(record.revision).revision if record.revision else None
    except NotFoundError:
        return None


def _parameters(a: RunRecord, b: RunRecord) -> Iterator[Side]:
    for name in dict.fromkeys([*a.parameters, *b.parameters]):
        yield side("parameter", name, a.parameters.get(name, NOT_THERE), b.parameters.get(name, NOT_THERE))


def _environment(a: dict[str, Any], b: dict[str, Any]) -> Iterator[Side]:
    for text in package_differences(a, b):
        name, _, change = text.partition(" ")
        before, _, after = change.partition(" -> ")
        yield Side("environment", name, before, after, False)


def _inputs(a: RunRecord, b: RunRecord, datasets: Datasets) -> Iterator[Side]:
    known = {dataset.id: dataset for dataset in datasets.find_many([*a.inputs, *b.inputs])}
    for number in range(max(len(a.inputs), len(b.inputs))):
        ids = [record.inputs[number] if number < len(record.inputs) else None for record in (a, b)]
        found = [known.get(id) if id else None for id in ids]
        same = ids[0] == ids[1] or (all(found) and found[0].digest == found[1].digest)  # type: ignore[union-attr]
        shown = [(d.name or d.id) if d else (id or NOT_THERE) for d, id in zip(found, ids, strict=True)]
        yield Side("input", str(number), shown[0], shown[1], bool(same))


def _outputs(a: RunRecord, b: RunRecord, datasets: Datasets) -> Iterator[Side]:
    for number, key, match in compare_outputs(a, b, datasets, 0.0, 0.0):
        name = f"{number} {key}".strip()
        yield Side("output", name, "", match.text or match.verdict, match.verdict == IDENTICAL)
