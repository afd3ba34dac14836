"""Why a run was computed or reused: what differs from the nearest earlier run of its algorithm."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from workbench.errors import DamagedError, NotFoundError
from workbench.execution.reuse import (
    AUTO,
    NEVER,
    counting_assets,
    day,
    is_deterministic,
    key_of,
    origin,
)
from workbench.library.input_folders import is_folder
from workbench.models import DatasetRecord, Revision, RunRecord, RunStatus
from workbench.pages import html_table, text_table
from workbench.theme import MUTED

if TYPE_CHECKING:
    from workbench.algorithms.algorithms import Algorithms
    from workbench.catalog import Catalog
    from workbench.execution.reuse import Reuse

#: how many runs of an algorithm are looked at, newest first
LOOKED_AT = 300
LOOKED_CLOSELY = 8  # of those that differ in as many parts
_SHOWN_DIFFERENCES = 40


@dataclass(frozen=True, slots=True)
class Subject:
    """What two runs are compared by. The digests and names of inputs are None where their datasets were deleted."""

    revision: Revision | None
    parts: Mapping[str, str]
    parameters: Mapping[str, Any]
    digests: Sequence[str | None]
    inputs: Sequence[str]
    device: str
    python: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs: in which part of the key, and how. ``counts`` is False for what is not in the key."""

    part: str
    text: str
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Why:
    """Why a run was computed or reused; shows itself as text and as HTML.

    Attributes
    ----------
    run_id : str
    reason : str
        One sentence or two.
    nearest : str or None
        The id of the earlier run that it is compared with.
    differences : list of Difference
        What differs from that run, what is in the key first.
    """

    run_id: str
    reason: str
    nearest: str | None = None
    differences: list[Difference] = field(default_factory=list)

    def rows(self) -> list[dict[str, Any]]:
        """Return one table row per difference."""
        return [
            {"what": one.part, "difference": one.text + ("" if one.counts else " (does not count)")}
            for one in self.differences
        ]

    def __repr__(self) -> str:
        table = text_table(self._shown_rows())
        return "\n".join(filter(None, [f"Run {self.run_id}: {self.reason}", self._compared(), table]))

    def _repr_html_(self) -> str:
        table = html_table(self._shown_rows()) if self.differences else ""
        compared = f"<div style='color:{MUTED}'>{html.escape(self._compared())}</div>"
        return f"<div>Run <code>{html.escape(self.run_id)}</code>: {html.escape(self.reason)}</div>{compared}{table}"

    def _compared(self) -> str:
        if self.nearest is None:
            return "There is no earlier run of this algorithm to compare it with."
        which = f"run {self.nearest} of {day(self.nearest)}"
        return f"Compared with {which}:" if self.differences else f"It is the same as {which}."

    def _shown_rows(self) -> list[dict[str, Any]]:
        rows = self.rows()
        left = len(rows) - _SHOWN_DIFFERENCES
        return [
            *rows[:_SHOWN_DIFFERENCES],
            *([{"what": "…", "difference": f"{left} more"}] if left > 0 else []),
        ]


def explain(record: RunRecord, reuse: Reuse, algorithms: Algorithms, catalog: Catalog) -> Why:
    """Return why a run was computed or reused."""
    subject = _subject(record, catalog)
    if record.reused_from is not None:
        source = catalog.get_run(record.reused_from)
        gone = "" if source is not None else "; that run was deleted since"
        found = [] if source is None else _differences(_subject(source, catalog), subject, algorithms)
        return Why(record.id, f"{origin(record)}{gone}.", source.id if source else None, found)
    near = (
        _nearest(record.algorithm_name, subject, catalog, algorithms, before=record.created)
        if subject.parts
        else None
    )
    reason = _why_computed(record, subject, near, reuse, catalog)
    if near is None:
        return Why(record.id, reason)
    return Why(record.id, reason, near.id, _differences(_subject(near, catalog), subject, algorithms))


def nearest_text(subject: Subject, algorithms: Algorithms, catalog: Catalog) -> str:
    """Return in a sentence what differs from the nearest run, for something that has not run."""
    assert subject.revision is not None
    near = _nearest(subject.revision.name, subject, catalog, algorithms)
    if near is None:
        return "There is no run of this algorithm to compare it with."
    found = [d for d in _differences(_subject(near, catalog), subject, algorithms) if d.counts]
    if not found:
        what = "has lost outputs" if near.status is RunStatus.COMPLETED else f"is {near.status}"
        return f"Run {near.id} is the same, but {what}."
    shown = "; ".join(f"{d.part} {d.text}" for d in found[:3]) + ("; …" if len(found) > 3 else "")
    return f"The nearest is run {near.id}; what differs: {shown}."


def _why_computed(
    record: RunRecord, subject: Subject, near: RunRecord | None, reuse: Reuse, catalog: Catalog
) -> str:
    if record.nodes:
        reused = sum(node.reused for node in record.nodes)
        return f"a pipeline: of its {len(record.nodes)} nodes {reused} were reused. Ask for one: run.node({record.nodes[0].name!r})."
    if record.revision is None and not record.call:
        return "computed, because runs of a folder are never reused; deploy it."
    if record.debug:
        return "computed, because it was a debug run."
    if record.session is not None:
        return f"computed, because it may depend on what lay in session {record.session!r}."
    if not record.reuse_key and record.call:
        return f"computed, as it always is. {' '.join(record.warnings)}".rstrip()
    if not record.reuse_key:
        return (
            "computed, and it has no key: it was made by an older version of workbench, or its code was gone."
        )
    twins = [r for r in catalog.runs_with_key(record.reuse_key) if r.created < record.created]
    if record.reuse == NEVER:
        if any(reuse.has_outputs(twin) for twin in twins):
            return f"computed, because reuse was off; reuse='auto' uses run {twins[0].id}."
        return "computed, because reuse was off."
    if record.reuse == AUTO and subject.revision is not None and not is_deterministic(subject.revision):
        return "computed, because the algorithm declares deterministic = false; reuse='only' uses a run all the same."
    late = [twin for twin in twins if twin.finished is not None and twin.finished > record.created]
    if twins and len(late) == len(twins):
        return f"computed, because run {late[0].id}, which is the same, had not finished yet."
    if twins:
        return f"computed, because outputs of run {twins[0].id}, which is the same, were deleted."
    if near is not None and near.reuse_key == record.reuse_key:
        return f"computed, because run {near.id}, which is the same, is {near.status}."
    return "computed, because no completed run was the same."


# -- the nearest run


def _nearest(
    name: str, subject: Subject, catalog: Catalog, algorithms: Algorithms, before: datetime | None = None
) -> RunRecord | None:
    """Return the run with the fewest differences among the newest; of equal ones a completed, then a newer one."""
    records, _ = catalog.list_runs(algorithm=name, until=before, limit=LOOKED_AT)
    known = [r for r in records if r.reuse_parts and r.reuse_key and r.reused_from is None]
    least = min((_distance(r, subject) for r in known), default=0)
    nearest = [r for r in known if _distance(r, subject) == least]
    nearest.sort(key=lambda r: r.status is not RunStatus.COMPLETED)  # the newest come first
    if least:  # code counts once there: of its revisions, the one that differs in the fewest places
        newest_of = {r.revision: r for r in reversed(nearest)}
        nearest = [r for r in nearest if newest_of[r.revision] is r][:LOOKED_CLOSELY]
    if len(nearest) < 2 or not least:
        return nearest[0] if nearest else None
    # min() takes the first of equal ones
    return min(
        nearest, key=lambda r: sum(d.counts for d in _differences(_subject(r, catalog), subject, algorithms))
    )


def _distance(record: RunRecord, subject: Subject) -> int:
    if record.reuse_key == key_of(subject.parts):
        return 0
    names = record.reuse_parts.keys() | subject.parts.keys()
    count = sum(record.reuse_parts.get(n) != subject.parts.get(n) for n in names - {"parameters"})
    return count + len(list(_changed_values(record.parameters, subject.parameters)))


def _subject(record: RunRecord, catalog: Catalog) -> Subject:
    datasets = catalog.get_datasets(record.inputs)
    found = [datasets.get(id) for id in record.inputs]
    return Subject(
        revision=catalog.get_revision(record.revision) if record.revision else None,
        parts=record.reuse_parts,
        parameters=record.parameters,
        digests=[dataset.digest if dataset else None for dataset in found],
        inputs=[_shown(dataset, id) for dataset, id in zip(found, record.inputs, strict=True)],
        device=record.device,
        python=str(record.environment.get("python", "")),
    )


def _shown(dataset: DatasetRecord | None, id: str) -> str:
    if dataset is None:
        return f"{id} (deleted since)"
    if is_folder(dataset):
        return dataset.source or ""
    arrays = (f"{' x '.join(map(str, k.shape))} {k.dtype or k.kind}".strip() for k in dataset.keys.values())
    return f"{dataset.name or dataset.id} ({', '.join(arrays)})"


# -- what differs


def _differences(old: Subject, new: Subject, algorithms: Algorithms) -> list[Difference]:
    """Return what differs; what does not count comes last."""
    found = [*_code(old, new, algorithms), *_assets(old, new)]
    found += [
        Difference("parameter", f"{name}: {before} -> {after}")
        for name, before, after in _changed_values(old.parameters, new.parameters)
    ]
    found += _inputs(old, new)
    device_counts = old.parts.get("device") != new.parts.get("device")
    if old.device != new.device:
        found.append(Difference("device", f"{old.device} -> {new.device}", device_counts))
    elif device_counts:
        how = "counts now" if new.parts.get("device") else "no longer counts"
        found.append(Difference("device", f"{how} (device_matters)"))
    if old.revision is not None and new.revision is not None and old.revision.ref != new.revision.ref:
        found.append(Difference("version", f"{old.revision.ref} -> {new.revision.ref}", counts=False))
    return sorted(found, key=lambda difference: not difference.counts)


def _code(old: Subject, new: Subject, algorithms: Algorithms) -> Iterator[Difference]:
    before, after = old.revision, new.revision
    if before is None or after is None:
        if old.parts.get("code") != new.parts.get("code"):
            yield Difference("code", "cannot be compared: a revision was deleted since")
        return
    for what in ("type", "runner", "runner_class", "compox"):
        one, other = getattr(before, what), getattr(after, what)
        if one != other:
            yield Difference("code", f"{what}: {one} -> {other}")
    if before.package == after.package and old.parts.get("code") == new.parts.get("code"):
        return
    try:
        from workbench.algorithms.code_digest import differences

        lines = differences(algorithms.code(before), algorithms.code(after))
    except (NotFoundError, DamagedError) as error:
        yield Difference("code", f"cannot be compared: {error}")
        return
    yield from (Difference("code", line) for line in lines)
    if lines:
        return
    if old.parts.get("code") == new.parts.get("code"):
        yield Difference("code", "comments, docstrings or formatting", counts=False)
    elif (before.type, before.runner, before.runner_class, before.compox) == (
        after.type,
        after.runner,
        after.runner_class,
        after.compox,
    ):
        yield Difference(
            "code", f"the same, read by Python {old.python or '?'} and {new.python or 'this one'}"
        )


def _assets(old: Subject, new: Subject) -> Iterator[Difference]:
    if old.revision is None or new.revision is None:
        if old.parts.get("assets") != new.parts.get("assets"):
            yield Difference("asset", "cannot be compared: a revision was deleted since")
        return
    before, after = counting_assets(old.revision.assets), counting_assets(new.revision.assets)
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            how = "added" if path not in before else "gone" if path not in after else "changed"
            yield Difference("asset", f"{path} {how}")


def _changed_values(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name in dict.fromkeys([*old, *new]):
        # as JSON: a tuple comes back from a record as a list
        if name not in old or name not in new or json.dumps(old[name]) != json.dumps(new[name]):
            before, after = (repr(v[name]) if name in v else "not there" for v in (old, new))
            yield name, before, after


def _inputs(old: Subject, new: Subject) -> Iterator[Difference]:
    if old.parts.get("inputs") == new.parts.get("inputs"):
        return
    if len(old.inputs) != len(new.inputs):
        yield Difference("inputs", f"{len(old.inputs)} -> {len(new.inputs)}")
    for position, (before, after) in enumerate(zip(old.digests, new.digests, strict=False)):
        if before is None or after is None or before != after:
            yield Difference(f"input {position}", f"{old.inputs[position]} -> {new.inputs[position]}")
