"""Promotions: entries go to another kind, domain, version or folder, all that are named or none."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.catalog.entries import key_of
from workbench.errors import AlreadyExistsError, DamagedError, InvalidInputError, StorageError, WorkbenchError
from workbench.library import entry_files
from workbench.library.entry_changes import EntryChanges, Handles, Refs, check_places
from workbench.library.entry_facts import checked_metadata, checked_version
from workbench.models import EntryKind, EntryRecord, Promotion, now
from workbench.names import check_name


@dataclass(frozen=True)
class _Move:
    """What is to move: entries, what each becomes, and where files by reference go."""

    records: Sequence[EntryRecord]
    moved: Callable[[EntryRecord], EntryRecord]
    targets: Mapping[str, Path]
    extend: bool  # they may join others in a version
    back: bool = False  # files go to where they were, where another entry may have kept them


class EntryMoves(EntryChanges):
    """Promotions, and the way back."""

    def move(
        self,
        entries: Refs,
        kind: str | None = None,
        *,
        domain: str | None = None,
        version: int | None = None,
        folder: str | Path | None = None,
        extend: bool = False,
        check: bool = True,
        dry_run: bool = False,
    ) -> Handles:
        """Promote entries to another kind or domain; version, metadata and id stay, and it is remembered where they were.

        Parameters
        ----------
        entries : str, Entry, or several
            ``"eos/candidates@3"`` is all files of that version; ``search(...).all()`` is all that is found.
        kind, domain : str, optional
            Where they go; what is not given stays.
        version : int, optional
            Another version instead of their own.
        folder : path, optional
            Where files by reference go: copied first, deleted last, unless another entry has the file too. Default: they stay
            where they lie. Copies in the workspace need no move.
        extend : bool
            Join a version that is there.
        check : bool
            Refuse what becomes a model and is none, or the reverse, as `add` does.
        dry_run : bool
            Return what they would become, and change nothing; what would be refused is refused. Digests are not compared.

        Raises
        ------
        InvalidInputError, NotFoundError, InvalidDataError
            For a wrong kind, an entry that is not there, a file or metadata that the kind does not take.
        AlreadyExistsError
            If the version is there, has a file of that name, or the folder has.
        DamagedError
            If a file is not what was added.
        StorageError
            If a file cannot be copied, or not be deleted where it was; then nothing has changed.

        Examples
        --------
        >>> ws.entries.move("eos/candidates@3", "data")  # doctest: +SKIP
        """
        changes: dict[str, object] = {}
        if kind is not None:
            changes["kind"] = entry_files.checked_kind(kind)
        if domain is not None:
            changes["domain"] = check_name(domain, "Domain")
        if version is not None:
            changes["version"] = checked_version(version)
        if not changes and folder is None:
            raise InvalidInputError(
                "Where to? Name a kind, a domain, a version or a folder, such as kind='data'."
            )
        records = self._records(entries)
        targets = {} if folder is None else self._targets(records, Path(folder))
        time = now()

        def moved(record: EntryRecord) -> EntryRecord:
            target = targets.get(record.id)
            place = {} if target is None else {"path": entry_files.stored_path(target, self._root)}
            return _promoted(record, time, {**changes, **place})

        for record in records:
            after = moved(record)
            if _place(record) == _place(after):
                raise InvalidInputError(f"{_what(record)} is there already. Name another place.")
            self._check_kind(record, after.kind, check)
        return self._move(_Move(records, moved, targets, extend), dry_run)

    def move_back(self, entries: Refs, *, dry_run: bool = False) -> Handles:
        """Undo the last `move` of entries: each goes to where it was before, with its file; this is remembered too.

        Raises
        ------
        InvalidInputError
            If one was never moved.
        AlreadyExistsError, DamagedError, StorageError
            As `move`.
        """
        records = self._records(entries)
        for record in records:
            if not record.promotions:
                raise InvalidInputError(
                    f"{_what(record)} was never moved. Name where it goes: ws.entries.move(entry, kind=...)."
                )
        time = now()
        targets = {
            record.id: entry_files.found_path(record.promotions[-1].path, self._root)
            for record in records
            if record.promotions[-1].path
        }

        def moved(record: EntryRecord) -> EntryRecord:
            last = record.promotions[-1]
            place = {"domain": last.domain, "kind": last.kind, "version": last.version}
            return _promoted(record, time, {**place, **({"path": last.path} if last.path else {})})

        return self._move(_Move(records, moved, targets, extend=True, back=True), dry_run)

    # -- inside

    def _targets(self, records: Sequence[EntryRecord], folder: Path) -> dict[str, Path]:
        """Return where in a folder files by reference go."""
        folder = folder.expanduser().absolute()
        if folder.exists() and not folder.is_dir():
            raise InvalidInputError(f"folder is {folder}, which is a file. Name a folder, or a new one.")
        if records and not any(record.path for record in records):
            raise InvalidInputError(
                f"{_what(records[0])} is a copy in the workspace, and a folder is for files by reference. Leave folder out, or "
                "take a copy there: entry.export(folder)."
            )
        return {record.id: folder / record.name for record in records if record.path}

    def _check_kind(self, record: EntryRecord, kind: EntryKind, check: bool) -> None:
        """Raise if an entry becomes of a kind that its metadata or its file does not fit."""
        if kind is record.kind:
            return
        checked_metadata(kind, record.metadata)
        # data and candidates are the same kind of file, which was checked, or was not to be
        if check and EntryKind.MODELS in (kind, record.kind):
            with self._handle(record).open() as file:
                entry_files.check_content(file, _what(record), kind)

    def _move(self, move: _Move, dry_run: bool) -> Handles:
        """Copy what goes to another place, record where it went, and delete it where it was."""
        if dry_run:
            self._check(move)
            return [self._handle(move.moved(record)) for record in move.records]
        with self._copied(move) as copies:
            became = self._change(move.records, move.moved, move.extend)
        self._delete_originals(move, became, copies)
        return [self._handle(record) for record in became]

    def _check(self, move: _Move) -> None:
        """Raise what the move would raise, as far as it can be told without reading the files."""
        before = {record.id: record for record in move.records}
        check_places(before, map(move.moved, move.records), self._catalog.entries_of_version, move.extend)
        journeys = self._journeys(move)
        ends = [target for _, target, _ in journeys]
        for source, target, record in journeys:
            if not source.is_file():
                raise DamagedError(
                    f"The file of {_what(record)} is gone: {source}. Restore it, or remove the entry."
                )
            if ends.count(target) > 1:
                raise AlreadyExistsError(
                    f"Two files would become {target}. Move them to folders of their own."
                )
            if target.exists() and not move.back:
                raise _taken(target)
            if not os.access(source.parent, os.W_OK):
                raise _not_deleted(source, "its folder is read-only")

    def _journeys(self, move: _Move) -> list[tuple[Path, Path, EntryRecord]]:
        """Return from where to where each file goes; one that several of the entries have goes once."""
        found: dict[tuple[Path, Path], EntryRecord] = {}
        for record in move.records:
            target = move.targets.get(record.id)
            if target is not None:
                found.setdefault((entry_files.found_path(record.path, self._root), target), record)
        return [(source, target, record) for (source, target), record in found.items()]

    @contextmanager
    def _copied(self, move: _Move) -> Iterator[Sequence[Path]]:
        """Copy files by reference to where they go and give the copies; take them away if what follows fails."""
        made: list[Path] = []
        try:
            for source, target, record in self._journeys(move):
                entry_files.check_digest(source, record.digest, _what(record))
                if not target.exists():
                    made += [p for p in (*reversed(target.parents), target) if not p.exists()]
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(source, target)
                elif not (move.back and entry_files.digest_of(target) == record.digest):
                    raise _taken(target)
                entry_files.check_digest(target, record.digest, _what(record))
            yield made
        except BaseException as error:
            _take_away(made)
            if isinstance(error, OSError) and not isinstance(error, WorkbenchError):
                raise StorageError(
                    f"Files could not be moved, and nothing was: {error}. Name another folder, or mend this one."
                ) from error
            raise

    def _delete_originals(self, move: _Move, became: Sequence[EntryRecord], copies: Sequence[Path]) -> None:
        """Delete the files where they were, if no other entry has them; if that fails, everything becomes as it was.

        Raises
        ------
        StorageError
            With the file that cannot be deleted.
        """
        before = {record.id: record for record in move.records}
        deleted: list[tuple[Path, Path]] = []
        for source, target, record in self._journeys(move):
            try:
                with self._catalog.change_entries([], [record.place]) as change:  # nobody adds it meanwhile
                    if not change.users_of([record.place])[record.place]:
                        source.unlink(missing_ok=True)
                        deleted.append((source, target))
            except OSError as error:
                for original, copied in deleted:
                    shutil.copy2(copied, original)
                self._change(became, lambda record: before[record.id])
                _take_away(copies)
                raise _not_deleted(source, error.strerror or str(error)) from error


def _take_away(made: Sequence[Path]) -> None:
    """Delete files and the folders that were made for them, which come first; what somebody has put there stays."""
    for path in reversed(made):
        if path.is_dir():
            with contextlib.suppress(OSError):
                path.rmdir()
        else:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()


def _promoted(record: EntryRecord, time: Any, changes: Mapping[str, object]) -> EntryRecord:
    """Return the entry as it is after a move, which it remembers."""
    before = Promotion(
        domain=record.domain,
        kind=record.kind,
        version=record.version,
        path=record.path if changes.get("path", record.path) != record.path else "",
        moved=time,
    )
    return record.model_copy(update={**changes, "promotions": (*record.promotions, before)})


def _place(record: EntryRecord) -> tuple[object, ...]:
    return key_of(record), record.version, record.path


def _what(record: EntryRecord) -> str:
    return f"entry {record.domain}/{record.kind}@{record.version}/{record.name}"


def _taken(path: Path) -> AlreadyExistsError:
    return AlreadyExistsError(f"There is a file {path}, which is not replaced. Name another folder.")


def _not_deleted(path: Path, why: str) -> StorageError:
    return StorageError(
        f"{path} cannot be deleted ({why}), so nothing was moved. Mend its rights, or promote without folder=."
    )
