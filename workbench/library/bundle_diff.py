"""What differs between a folder and a bundle, and who has changed it since they were in step."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, overload

from workbench.errors import ConflictError
from workbench.library.bundle_contents import FOLDER, is_as, is_same, with_folders
from workbench.models import BundleFile
from workbench.pages import html_table, text_table
from workbench.theme import MUTED

Prefer = Literal["mine", "theirs"] | None
_SHOWN = 10
MOST_ROWS = 50
_UNITS = ("B", "kB", "MB", "GB", "TB")


class State(StrEnum):
    """How a file here compares with the one in the bundle."""

    SAME = "same"
    NEW_HERE = "new here"
    NEW_THERE = "new there"
    CHANGED_HERE = "changed here"
    CHANGED_THERE = "changed there"
    DELETED_HERE = "deleted here"
    DELETED_THERE = "deleted there"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Change:
    """One file, on both sides; None where it is not."""

    path: str
    state: State
    here: BundleFile | None
    there: BundleFile | None

    @property
    def same_content(self) -> bool:
        """Whether both sides have the file with the same bytes; then at most its mode differs."""
        return self.here is not None and self.there is not None and self.here.digest == self.there.digest

    def row(self) -> dict[str, Any]:
        """Return it as a row of a table."""
        return {
            "file": self.path,
            "state": str(self.state),
            "here": self._text(self.here),
            "there": self._text(self.there),
        }

    @staticmethod
    def _text(file: BundleFile | None) -> str:
        if file is None or file is FOLDER:
            return "" if file is None else "empty folder"
        return size_text(file.size) + (", executable" if file.executable else "")


def compare(
    here: Mapping[str, BundleFile], there: Mapping[str, BundleFile], base: Mapping[str, str]
) -> list[Change]:
    """Return all files and empty folders, in the order of their paths.

    Parameters
    ----------
    here, there : mapping
        Path to file; paths of empty folders end with a slash.
    base : mapping
        Path to what `mark_of` gave when both sides were last the same. Where it knows nothing, a file that differs is a conflict.
    """
    here, there = with_folders(here, there), with_folders(there, here)
    return [
        Change(path, _state(here.get(path), there.get(path), base.get(path)), here.get(path), there.get(path))
        for path in sorted(here.keys() | there.keys())
    ]


def _state(here: BundleFile | None, there: BundleFile | None, base: str | None) -> State:
    if here is None or there is None:
        if here is not None:
            unchanged = is_as(here, base)
            return State.DELETED_THERE if unchanged else State.CHANGED_HERE if base else State.NEW_HERE
        unchanged = there is not None and is_as(there, base)
        return State.DELETED_HERE if unchanged else State.CHANGED_THERE if base else State.NEW_THERE
    if is_same(here, there):
        return State.SAME
    if there.executable is None and here.digest == there.digest:  # nobody has said that it is not executable
        return State.CHANGED_HERE
    if is_as(here, base):
        return State.CHANGED_THERE
    return State.CHANGED_HERE if is_as(there, base) else State.CONFLICT


@dataclass(frozen=True)
class BundleDiff(Sequence[Change]):
    """What differs between a folder and a version of a bundle; empty when nothing does.

    Attributes
    ----------
    name, folder : str
    version : int or None
        Of the bundle; None while there is none.
    changes : sequence of Change
        All files, also those that are the same.
    were_in_step : bool
        Whether the folder knows of a push or pull of this bundle; if not, every file that differs is a conflict.
    """

    name: str
    folder: str
    version: int | None
    changes: Sequence[Change]
    were_in_step: bool = True
    different: Sequence[Change] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "different", [c for c in self.changes if c.state is not State.SAME])

    @property
    def conflicts(self) -> list[str]:
        """The files that both sides have changed."""
        return self.paths(State.CONFLICT)

    def paths(self, *states: State) -> list[str]:
        """Return the files in one of these states."""
        return [change.path for change in self.changes if change.state in states]

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each file or empty folder that differs."""
        return [change.row() for change in self.different]

    @overload
    def __getitem__(self, index: int) -> Change: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Change]: ...
    def __getitem__(self, index: int | slice) -> Change | Sequence[Change]:
        return self.different[index]

    def __len__(self) -> int:
        return len(self.different)

    def __iter__(self) -> Iterator[Change]:
        return iter(self.different)

    def __repr__(self) -> str:
        return "\n".join(filter(None, [self._head(), text_table(shown(self.rows())), rest(self.different)]))

    def _repr_html_(self) -> str:
        table = html_table(shown(self.rows()))
        return f"<div>{html.escape(self._head())}</div>{table}{_muted(rest(self.different))}"

    def _head(self) -> str:
        there = "not pushed yet" if self.version is None else f"version {self.version}"
        same = sum(c.state is State.SAME and c.here is not FOLDER for c in self.changes)
        counts = ", ".join(f"{len(self.paths(state))} {state}" for state in State if self.paths(state))
        if not self.different and same:
            counts = f"nothing differs, {same} file{'s' if same > 1 else ''}"
        return f"Bundle {self.name} ({there}) and {self.folder}: {counts or 'no files'}."


@dataclass(frozen=True)
class BundleSync(Sequence[str]):
    """What a push or pull has moved: the paths of the files, in order.

    Attributes
    ----------
    action : {"push", "pull"}
    diff : BundleDiff
        How both sides stood before.
    moved, removed : sequence of str
        Files that were, or in a dry run would be, transferred and deleted; a path that ends with a slash is an empty folder.
    version : int or None
        Of the bundle, now.
    dry_run : bool
    """

    action: str
    diff: BundleDiff
    moved: Sequence[str]
    removed: Sequence[str]
    version: int | None
    dry_run: bool = False

    @property
    def left(self) -> list[Change]:
        """What still differs: to be had by the opposite action, by ``prefer`` or by ``delete``."""
        done = {*self.moved, *self.removed}
        return [change for change in self.diff if change.path not in done]

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        return self.moved[index]

    def __len__(self) -> int:
        return len(self.moved)

    def __repr__(self) -> str:
        parts = [self._head(), text_table(shown(self.rows())), rest(self.diff.different), self._note()]
        return "\n".join(filter(None, parts))

    def _repr_html_(self) -> str:
        notes = _muted(rest(self.diff.different)) + _muted(self._note())
        return f"<div>{html.escape(self._head())}</div>{html_table(shown(self.rows()))}{notes}"

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each file that differed, with what became of it."""
        word = {"push": "sent", "pull": "fetched"}[self.action]
        would = "would be " if self.dry_run else ""
        moved, removed = set(self.moved), set(self.removed)
        return [
            {
                **change.row(),
                "done": f"{would}{word}"
                if change.path in moved
                else f"{would}removed"
                if change.path in removed
                else "left",
            }
            for change in self.diff
        ]

    def _head(self) -> str:
        moved = set(self.moved)
        going = [c for c in self.diff if c.path in moved and not c.same_content]
        sizes = [c.here if self.action == "push" else c.there for c in going]
        size = size_text(sum(file.size for file in sizes if file))
        folders = sum(path.endswith("/") for path in self.moved)
        files = f"{_counted(len(self.moved) - folders, 'file')} ({size})"
        files += f" and {_counted(folders, 'empty folder')}" if folders else ""
        removed = f", {len(self.removed)} removed" if self.removed else ""
        where = f"{self.diff.name}@{self.version}" if self.version else self.diff.name
        arrow = "->" if self.action == "push" else "<-"
        how = "would move" if self.dry_run else "moved"
        return f"{self.diff.folder} {arrow} {where}: {files} {how}{removed}."

    def _note(self) -> str:
        states = {change.state for change in self.left}
        notes = []
        if State.CONFLICT in states:
            why = (
                "Both sides changed a file since they were in step"
                if self.diff.were_in_step
                else "A file differs, and the two never were in step"
            )
            notes.append(f"{why}: choose with prefer='mine' or 'theirs'.")
        if self.action == "push" and states & {State.NEW_THERE, State.CHANGED_THERE}:
            notes.append("What is new there comes with a pull.")
        if self.action == "pull" and states & {State.NEW_HERE, State.CHANGED_HERE}:
            notes.append("What is new here goes there with a push.")
        return " ".join(notes)


def shown(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows that a table shows: of many the first ones, conflicts before all others."""
    if len(rows) <= MOST_ROWS:
        return rows
    return sorted(rows, key=lambda row: row["state"] != State.CONFLICT)[:MOST_ROWS]


def rest(changes: Sequence[Change]) -> str:
    """Return how many files a table does not show; empty if it shows all."""
    more = len(changes) - MOST_ROWS
    return f"{more:,} more: .rows() has all." if more > 0 else ""


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _muted(text: str) -> str:
    return f"<div style='color:{MUTED}'>{html.escape(text)}</div>" if text else ""


def to_push(diff: BundleDiff, prefer: Prefer, delete: bool) -> tuple[list[str], list[str]]:
    """Return the files that a push sends, and those that it removes."""
    states = [State.NEW_HERE, State.CHANGED_HERE]
    states += [State.CONFLICT] if prefer == "mine" else []
    states += [] if delete else [State.DELETED_THERE]
    return diff.paths(*states), diff.paths(State.DELETED_HERE) if delete else []


def to_pull(diff: BundleDiff, prefer: Prefer, delete: bool) -> tuple[list[str], list[str]]:
    """Return the files that a pull fetches, and those that it removes."""
    states = [State.NEW_THERE, State.CHANGED_THERE]
    states += [State.CONFLICT] if prefer == "theirs" else []
    states += [] if delete else [State.DELETED_HERE]
    return diff.paths(*states), diff.paths(State.DELETED_THERE) if delete else []


def refuse_conflicts(action: str, diff: BundleDiff, prefer: Prefer) -> None:
    """Raise if both sides have changed a file, and it was not said whose counts.

    Raises
    ------
    ConflictError
        With the names in ``.files``.
    """
    if not diff.conflicts or prefer is not None:
        return
    files = diff.conflicts
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    mine, theirs = (
        ("sends those of the folder", "leaves those of the bundle")
        if action == "push"
        else ("keeps those of the folder", "takes those of the bundle")
    )
    where = f"in {diff.folder} and in bundle {diff.name!r} (version {diff.version})"
    verb = "differs" if len(files) == 1 else "differ"
    what = (
        f"changed both {where} since they were last in step"
        if diff.were_in_step
        else f"{verb} {where}, which never were in step, so nobody can tell which side is newer"
    )
    raise ConflictError(
        f"Nothing was moved: {', '.join(files[:_SHOWN])}{more} {what}. prefer='mine' {mine}, prefer='theirs' {theirs}; "
        f"ws.bundles.diff({diff.name!r}, {diff.folder!r}) shows them.",
        files=tuple(files),
    )


def size_text(size: float) -> str:
    """Return a size as people write it.

    >>> size_text(999), size_text(1_500_000)
    ('999 B', '1.5 MB')
    """
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.{min(unit, 1)}f} {_UNITS[unit]}"
