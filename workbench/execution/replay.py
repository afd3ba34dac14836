"""A run that is computed again, and how its outputs compare with those of the first time."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import (
    DamagedError,
    InvalidInputError,
    NotFoundError,
    UnsupportedError,
    WorkbenchError,
)
from workbench.execution.reuse import is_deterministic
from workbench.execution.run import plain
from workbench.execution.sameness import (
    CLOSE,
    DIFFERENT,
    GONE,
    IDENTICAL,
    NOT_COMPARED,
    Match,
    match_trees,
    worst,
)
from workbench.models import Revision, RunRecord, RunStatus
from workbench.pages import html_table, text_table
from workbench.theme import COLORS, MUTED

if TYPE_CHECKING:
    from workbench.algorithms import Algorithms
    from workbench.algorithms.runnable import Runnable
    from workbench.execution.run import Run
    from workbench.execution.runs import Runs
    from workbench.library.datasets import Datasets

_SHOWN_PACKAGES = 12


@dataclass(frozen=True, slots=True)
class Replay:
    """A run computed again; shows itself as text and as HTML.

    Parameters
    ----------
    original, run : Run
        The first one, and the new one.
    matches : sequence of (int, str, Match)
        For each output and key how it compares.
    notes : sequence of str
        What may explain a difference.
    """

    original: Run
    run: Run
    matches: Sequence[tuple[int, str, Match]]
    notes: Sequence[str] = ()

    @property
    def verdict(self) -> str:
        """The worst of all outputs: ``identical``, ``within tolerance``, ``different``, ``gone`` if one was deleted, or
        ``not compared`` if all are objects that are kept nowhere."""
        if self.run.status is not RunStatus.COMPLETED:
            return DIFFERENT
        return worst(match.verdict for _, _, match in self.matches)

    @property
    def is_identical(self) -> bool:
        """Tell whether every output is the same, bit by bit."""
        return self.verdict == IDENTICAL

    @property
    def is_same(self) -> bool:
        """Tell whether every output is the same, or within the tolerance."""
        return self.verdict in (IDENTICAL, CLOSE)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per output and key."""
        return [
            {"output": number, "key": key, "verdict": m.verdict, "difference": m.text}
            for number, key, m in self.matches
        ]

    def __repr__(self) -> str:
        return "\n".join([self._head(), text_table(self.rows(), "No outputs."), *self.notes])

    def _repr_html_(self) -> str:
        notes = "".join(f"<div style='color:{MUTED}'>{html.escape(note)}</div>" for note in self.notes)
        rows = [{**row, "verdict": _Verdict(row["verdict"])} for row in self.rows()]
        return f"<div>{html.escape(self._head())}</div>{html_table(rows, 'No outputs.')}{notes}"

    def _head(self) -> str:
        if self.run.status is not RunStatus.COMPLETED:
            return f"Run {self.original.id}, computed again as {self.run.id}, did not complete: it is {self.run.status}."
        return f"Run {self.original.id}, computed again as {self.run.id}: {self.verdict}."


class _Verdict(str):
    """A verdict in a table: what differs is seen at a glance."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        status = {IDENTICAL: RunStatus.COMPLETED, CLOSE: RunStatus.COMPLETED, DIFFERENT: RunStatus.FAILED}
        color = COLORS[status.get(str(self), RunStatus.CANCELLED)]
        return f"<span style='color:{color};white-space:nowrap'>{html.escape(self)}</span>"


def replayable(
    record: RunRecord, algorithms: Algorithms, datasets: Datasets, session: str | None
) -> str | Runnable:
    """Return what is to be run again for a record.

    Raises
    ------
    InvalidInputError, UnsupportedError, NotFoundError
        With the reason why it cannot be computed again.
    """
    if record.status is not RunStatus.COMPLETED:
        raise InvalidInputError(
            f"Run {record.id} is {record.status}; only a completed one is replayed, for only it has outputs to compare with."
        )
    if record.template is not None:
        raise UnsupportedError(
            f"Run {record.id} was of the notebook {record.template}, and notebooks are not replayed. Run it again with "
            f"ws.run_template, and look at both with run.notebook."
        )
    gone = [id for id in record.inputs if not datasets.are_whole([id])]
    if gone:
        raise NotFoundError(
            f"Run {record.id} cannot be replayed: its input {', '.join(gone)} was deleted since, or its file is gone."
        )
    return code_again(record, algorithms, session)


def code_again(record: RunRecord, algorithms: Algorithms, session: str | None) -> str | Runnable:
    """Return the code that a record is of: the id of a revision, or a folder that has not changed since.

    Raises
    ------
    UnsupportedError, NotFoundError
        With the reason why it cannot be computed again.
    """
    if record.session not in (None, record.id) and session is None:
        raise UnsupportedError(
            f"Run {record.id} worked in session {record.session!r} and may depend on what lay there. To compute it again "
            f"with what lies there now: ws.runs.replay({record.pipeline or record.id!r}, session={record.session!r})."
        )
    if record.revision is None:
        return _folder(record)
    try:
        algorithms.get(record.revision)
    except NotFoundError:
        raise NotFoundError(
            f"Run {record.id} cannot be replayed: revision {record.revision} of {record.algorithm} was deleted since."
        ) from None
    return record.revision


def _folder(record: RunRecord) -> Runnable:
    from workbench.algorithms.runnable import from_folder

    if not record.content:
        raise UnsupportedError(
            f"Run {record.id} was of a folder, and an older workbench did not keep what lay in it. Deploy the folder: runs "
            "of what is deployed can be replayed."
        )
    try:
        folder = from_folder(Path(record.algorithm))
    except NotFoundError:
        folder = None
    if folder is None or folder.revision.content != record.content:
        raise UnsupportedError(
            f"Run {record.id} was of the folder {record.algorithm}, which has changed since or is gone, so its code is lost. "
            "Deploy a folder before runs that are to be kept."
        )
    return folder


def compare_outputs(
    old: RunRecord, new: RunRecord, datasets: Datasets, rtol: float, atol: float
) -> list[tuple[int, str, Match]]:
    """Compare the outputs of two runs, in their order; what has the same digest need not be read."""
    found: list[tuple[int, str, Match]] = []
    ids = [o.dataset for r in (old, new) for o in r.outputs if o.dataset]
    known = {dataset.id: dataset for dataset in datasets.find_many(ids)}
    for number in range(max(len(old.outputs), len(new.outputs))):
        if number >= len(old.outputs) or number >= len(new.outputs):
            text = "no longer there" if number < len(old.outputs) else "new"
            found.append((number, "", Match(DIFFERENT, text=text)))
            continue
        before, after = old.outputs[number], new.outputs[number]
        if before.held and before.held == after.held and before.dataset is after.dataset is None:
            found.append((number, "", Match(NOT_COMPARED, text=f"a {before.held}, which is kept nowhere")))
            continue
        if before.dataset is None or after.dataset is None:
            same = before.dataset is after.dataset and plain(before) == plain(after)
            text = "" if same else f"{before.dataset or plain(before)} -> {after.dataset or plain(after)}"
            found.append((number, "", Match(IDENTICAL if same else DIFFERENT, text=text)))
            continue
        one, other = known.get(before.dataset), known.get(after.dataset)
        if one is None or other is None:
            lost = before.dataset if one is None else after.dataset
            found.append((number, "", Match(GONE, text=f"{lost} was deleted since")))
        elif one.digest == other.digest:
            found += [(number, key, Match(IDENTICAL)) for key in one.keys]
        else:
            try:
                trees = datasets.get(one), datasets.get(other)
            except (DamagedError, NotFoundError) as error:
                found.append((number, "", Match(GONE, text=str(error))))
                continue
            found += [(number, key, match) for key, match in match_trees(*trees, rtol, atol)]
    return found


def package_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return in what two environments differ: Python, machine, and packages with their versions."""
    found = [
        f"{what} {old.get(what)} -> {new.get(what)}"
        for what in ("python", "implementation", "platform", "machine")
        if old.get(what) != new.get(what)
    ]
    before, after = old.get("packages", {}), new.get("packages", {})
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            found.append(f"{name} {before.get(name, 'not there')} -> {after.get(name, 'not there')}")
    return found


def explain_difference(
    original: RunRecord, run: RunRecord, runs: Runs, revision: Revision | None
) -> list[str]:
    """Return what may be why outputs differ."""
    notes = []
    if original.environment.get("digest") not in (
        None,
        run.environment.get("digest"),
    ):  # one that was reused ran nowhere
        found = package_differences(runs.environment_of(original), runs.environment_of(run))
        more = f"; and {len(found) - _SHOWN_PACKAGES} more" if len(found) > _SHOWN_PACKAGES else ""
        if found:
            notes.append(f"The environment differs: {'; '.join(found[:_SHOWN_PACKAGES])}{more}.")
    if original.device != run.device:
        notes.append(f"The device differs: {original.device} -> {run.device}.")
    if not original.seeded:
        notes.append(
            "The random numbers of the first run are not known: it shared them with other threads of its process, "
            "or an older workbench computed it."
        )
    elif set(original.seeded) != set(run.seeded):
        notes.append(
            f"Random numbers began from the seed in {', '.join(original.seeded)}, and now in "
            f"{', '.join(run.seeded) or 'none'}."
        )
    if original.resumed_from is not None:
        notes.append(f"The first run went on with what run {original.resumed_from} had computed.")
    if revision is not None and not is_deterministic(revision):
        notes.append("The algorithm declares deterministic = false.")
    if run.error is not None:
        notes.append(f"{run.error.type}: {run.error.message}")
    return notes


def rebuilt(record: RunRecord, algorithms: Algorithms, source: bool | str | os.PathLike[str]) -> str:
    """Make the code of a run anew from a fresh clone of its repository; return what was found.

    Raises
    ------
    UnsupportedError, InvalidInputError, NotFoundError
        If it cannot be made, or is not the same.
    """
    if record.revision is None:
        raise UnsupportedError(
            f"Run {record.id} was of the folder {record.algorithm}, and only of what is deployed the state of its repository is "
            "kept. Deploy a folder before runs that are to be kept."
        )
    return algorithms.check_source(record.revision, None if isinstance(source, bool) else source)


def replayed(
    original: Run,
    run: Run,
    runs: Runs,
    datasets: Datasets,
    algorithms: Algorithms,
    rtol: float,
    atol: float,
    notes: Sequence[str] = (),
    reasons: Sequence[str] = (),
) -> Replay:
    """Return how a run that was computed again compares with the first one; reasons are told where they differ."""
    old, new = original.record, run.record
    matches = compare_outputs(old, new, datasets, rtol, atol) if new.status is RunStatus.COMPLETED else []
    first = Replay(original, run, matches, tuple(notes))
    if first.is_identical:
        return first
    return Replay(original, run, matches, [*notes, *differs_by(old, new, runs, algorithms), *reasons])


def differs_by(old: RunRecord, new: RunRecord, runs: Runs, algorithms: Algorithms) -> list[str]:
    """Return what may be why the outputs of a run and of its replay differ."""
    revision = None
    if old.revision is not None:
        try:
            revision = algorithms.get(old.revision).revision
        except WorkbenchError:
            revision = None
    return explain_difference(old, new, runs, revision)


def checked_tolerance(rtol: float, atol: float) -> None:
    """Refuse a tolerance that is no number of 0 or more.

    Raises
    ------
    InvalidInputError
    """
    for name, value in (("rtol", rtol), ("atol", atol)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
            raise InvalidInputError(f"{name} is {value!r}, expected a number, 0 or larger.")
