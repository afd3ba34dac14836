"""Two things side by side, and two revisions of algorithms: declarations, parameters, assets, code."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from workbench.algorithms.diff_html import FileChange, side_by_side
from workbench.errors import DamagedError, NotFoundError
from workbench.models import ParameterSpec, Revision
from workbench.pages import cell_text, html_table, text_table

if TYPE_CHECKING:
    from workbench.algorithms.code_digest import Code


class Sources(Protocol):
    """Where the code of revisions comes from; `Algorithms` is one."""

    def sources(self, revision: Revision) -> dict[str, bytes]:
        """Return path to content."""
        ...

    def code(self, revision: Revision) -> Code:
        """Return what the code means."""
        ...


NOT_THERE = "not there"
#: what always differs and is no difference
_TOLD = ("seconds", "deployed")
_DECLARED = (
    "type",
    "description",
    "tags",
    "supported_devices",
    "default_device",
    "runner",
    "runner_class",
    "compox",
)
_DIGEST = 12


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
    """Two things side by side; shows itself as a table of what differs, and the changes of the code.

    Parameters
    ----------
    a, b : str
        What they are called.
    sides : sequence of Side
        All that was compared.
    files : sequence of FileChange
        The files of the packages that are not the same.
    problem : str
        Why the code could not be compared.
    what : str
        What they are, in the plural.
    """

    a: str
    b: str
    sides: Sequence[Side]
    files: Sequence[FileChange] = ()
    problem: str = ""
    what: str = "Runs"

    @property
    def code(self) -> str:
        """The unified diff of the files of the packages; empty if they are the same."""
        lines = [line for change in self.files for line in change.unified(self.a, self.b)]
        return "\n".join([*lines, ""]) if lines else self.problem

    @property
    def differences(self) -> list[Side]:
        """What is not the same; seconds and the time of a deploy never are, and are not among them."""
        return [side for side in self.sides if not side.is_same and side.part not in _TOLD]

    def rows(self, *, all: bool = False) -> list[dict[str, Any]]:
        """Return one row for all that differs, or for all that was compared."""
        shown = self.sides if all else [s for s in self.sides if not s.is_same]
        return [{"part": s.part, "name": s.name, self.a: s.a, self.b: s.b} for s in shown]

    def __repr__(self) -> str:
        return "\n".join(filter(None, [self._head(), text_table(self.rows()), self.code.rstrip()]))

    def _repr_html_(self) -> str:
        code = side_by_side(self.files, self.a, self.b) or html.escape(self.problem)
        return f"<div>{html.escape(self._head())}</div>{html_table(self.rows())}{code}"

    def _head(self) -> str:
        same, count = sum(side.is_same for side in self.sides), len(self.differences)
        return f"{self.what} {self.a} and {self.b}: {count} difference{'' if count == 1 else 's'}, {same} the same."


def compare_revisions(a: Revision, b: Revision, algorithms: Sources) -> Comparison:
    """Compare two revisions, of one algorithm or of two."""
    files, problem = changed_files(a, b, algorithms)
    names = (a.ref, b.ref) if a.ref != b.ref else (f"{a.ref} ({a.id})", f"{b.ref} ({b.id})")
    sides = [
        side("revision", "", a.id, b.id),
        *(
            side("declared", name, cell_text(getattr(a, name)), cell_text(getattr(b, name)))
            for name in _DECLARED
        ),
        *_mappings("setting", a.settings, b.settings),
        *_parameters(a.parameters, b.parameters),
        *_mappings("asset", *({p: d[:_DIGEST] for p, d in r.assets.items()} for r in (a, b))),
        *_code(a, b, algorithms, files),
        Side("deployed", "at", cell_text(a.created), cell_text(b.created), a.created == b.created),
        *_commits(a, b),
    ]
    return Comparison(*names, sides, files, problem, "Algorithms")


def changed_files(
    old: Revision | None, new: Revision | None, algorithms: Sources
) -> tuple[list[FileChange], str]:
    """Return the files of two packages that differ, and why they could not be compared."""
    if old is None or new is None or old.package == new.package:
        return [], ""
    try:
        before, after = algorithms.sources(old), algorithms.sources(new)
    except (NotFoundError, DamagedError) as error:
        return [], f"The code cannot be compared: {error}\n"
    paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return [FileChange(path, _text(before.get(path)), _text(after.get(path))) for path in paths], ""


def side(part: str, name: str, a: Any, b: Any) -> Side:
    """Return one line of a comparison."""
    # as JSON: a tuple comes back from a record as a list
    return Side(part, name, a, b, json.dumps(a, default=str) == json.dumps(b, default=str))


def _mappings(part: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Side]:
    for name in dict.fromkeys([*a, *b]):
        yield side(part, name, a.get(name, NOT_THERE), b.get(name, NOT_THERE))


def _parameters(a: Sequence[ParameterSpec], b: Sequence[ParameterSpec]) -> Iterator[Side]:
    """Yield for each parameter that both have what of it differs; one that only one has as a whole."""
    ours, theirs = ({spec.name: spec for spec in specs} for specs in (a, b))
    plain = ParameterSpec(name="").model_dump()
    for name in dict.fromkeys([*ours, *theirs]):
        told = [spec.model_dump() if spec else {} for spec in (ours.get(name), theirs.get(name))]
        keys = [key for key in plain if key != "name" and told[0].get(key) != told[1].get(key)]
        if not all(told):
            keys = [key for key in keys if any(one and one[key] != plain[key] for one in told)]
            keys = list(dict.fromkeys(["type", "default", *keys]))
        texts = [", ".join(f"{key}={one[key]!r}" for key in keys) if one else NOT_THERE for one in told]
        same = not keys
        yield Side("parameter", name, "same" if same else texts[0], "same" if same else texts[1], same)


def _code(a: Revision, b: Revision, algorithms: Sources, files: Sequence[FileChange]) -> Iterator[Side]:
    """Yield what of the code means something else: comments and formatting do not."""
    from workbench.algorithms.code_digest import differences

    if not files:
        yield side("code", "", a.package[:_DIGEST], b.package[:_DIGEST])
        return
    found = differences(algorithms.code(a), algorithms.code(b))
    if not found:
        yield Side("code", "comments and formatting", "", "differ", False)
    for line in found:
        path, _, change = line.partition(": ")
        yield Side("code", path, "", change, False)


def _commits(a: Revision, b: Revision) -> Iterator[Side]:
    if a.git is not None or b.git is not None:
        told = [
            f"{r.git.commit[:10]}{' and changes' if r.git.dirty else ''}" if r.git else NOT_THERE
            for r in (a, b)
        ]
        yield Side("deployed", "commit", told[0], told[1], told[0] == told[1])


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode(errors="replace")
