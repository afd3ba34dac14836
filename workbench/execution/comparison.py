"""Two runs side by side: parameters, code, inputs, environment, outputs, seconds."""

from __future__ import annotations

import difflib
import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import DamagedError, NotFoundError
from workbench.execution.replay import compare_outputs, package_differences
from workbench.execution.sameness import IDENTICAL
from workbench.models import Revision, RunRecord
from workbench.pages import html_table, text_table
from workbench.theme import MONO

if TYPE_CHECKING:
    from workbench.algorithms import Algorithms
    from workbench.execution.runs import Runs
    from workbench.library.datasets import Datasets

_NOT_THERE = "not there"


@dataclass(frozen=True, slots=True)
class Side:
    """One line of a comparison: what, and how it is on either side."""

    part: str
    name: str
    a: Any
    b: Any
    is_same: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side; shows itself as a table of what differs, and the changes of the code.

    Parameters
    ----------
    a, b : str
        The ids of the runs.
    sides : sequence of Side
        All that was compared.
    code : str
        A unified diff of the files of the packages; empty if they are the same.
    """

    a: str
    b: str
    sides: Sequence[Side]
    code: str = ""

    @property
    def differences(self) -> list[Side]:
        """What is not the same; seconds never are, and are not among them."""
        return [side for side in self.sides if not side.is_same and side.part != "seconds"]

    def rows(self, *, all: bool = False) -> list[dict[str, Any]]:
        """Return one row for all that differs, or for all that was compared."""
        shown = self.sides if all else [s for s in self.sides if not s.is_same]
        return [{"part": s.part, "name": s.name, self.a: s.a, self.b: s.b} for s in shown]

    def __repr__(self) -> str:
        return "\n".join(filter(None, [self._head(), text_table(self.rows()), self.code.rstrip()]))

    def _repr_html_(self) -> str:
        code = f'<pre style="font-family:{MONO}">{html.escape(self.code)}</pre>' if self.code else ""
        return f"<div>{html.escape(self._head())}</div>{html_table(self.rows())}{code}"

    def _head(self) -> str:
        same = sum(side.is_same for side in self.sides)
        return f"Runs {self.a} and {self.b}: {len(self.differences)} differences, {same} the same."


def compare_runs(
    a: RunRecord, b: RunRecord, runs: Runs, datasets: Datasets, algorithms: Algorithms
) -> Comparison:
    """Compare two runs."""
    code = code_diff(_revision(a, algorithms), _revision(b, algorithms), algorithms)
    sides = [
        *(_side("run", name, getattr(a, name), getattr(b, name)) for name in ("algorithm", "revision")),
        *(_side("run", name, str(getattr(a, name)), str(getattr(b, name))) for name in ("status", "device")),
        *_parameters(a, b),
        *_inputs(a, b, datasets),
        *_environment(runs.environment_of(a), runs.environment_of(b)),
        *_outputs(a, b, datasets),
        _side("seed", "", a.seed, b.seed),
        _side("seconds", "all", a.seconds, b.seconds),
        *(
            _side("seconds", phase, a.phases.get(phase), b.phases.get(phase))
            for phase in dict.fromkeys([*a.phases, *b.phases])
        ),
    ]
    return Comparison(a.id, b.id, sides, code)


def code_diff(old: Revision | None, new: Revision | None, algorithms: Algorithms) -> str:
    """Return the unified diff of the files of two revisions; what cannot be read is said."""
    if old is None or new is None or old.package == new.package:
        return ""
    try:
        before, after = algorithms.sources(old), algorithms.sources(new)
    except (NotFoundError, DamagedError) as error:
        return f"The code cannot be compared: {error}\n"
    lines: list[str] = []
    for path in sorted(before.keys() | after.keys()):
        one, other = (s.get(path, b"").decode(errors="replace").splitlines() for s in (before, after))
        lines += difflib.unified_diff(one, other, f"{old.ref} {path}", f"{new.ref} {path}", lineterm="", n=2)
    return "\n".join(lines) + "\n" if lines else ""


def _side(part: str, name: str, a: Any, b: Any) -> Side:
    # as JSON: a tuple comes back from a record as a list
    return Side(part, name, a, b, json.dumps(a, default=str) == json.dumps(b, default=str))


def _revision(record: RunRecord, algorithms: Algorithms) -> Revision | None:
    try:
        return algorithms.get(record.revision).revision if record.revision else None
    except NotFoundError:
        return None


def _parameters(a: RunRecord, b: RunRecord) -> Iterator[Side]:
    for name in dict.fromkeys([*a.parameters, *b.parameters]):
        yield _side("parameter", name, a.parameters.get(name, _NOT_THERE), b.parameters.get(name, _NOT_THERE))


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
        shown = [(d.name or d.id) if d else (id or _NOT_THERE) for d, id in zip(found, ids, strict=True)]
        yield Side("input", str(number), shown[0], shown[1], bool(same))


def _outputs(a: RunRecord, b: RunRecord, datasets: Datasets) -> Iterator[Side]:
    for number, key, match in compare_outputs(a, b, datasets, 0.0, 0.0):
        name = f"{number} {key}".strip()
        yield Side("output", name, "", match.text or match.verdict, match.verdict == IDENTICAL)
