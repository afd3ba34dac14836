"""What becomes of entries after they were added: moved, removed to the trash, restored, purged."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.catalog.entries import key_of
from workbench.catalog.referrers import Referrer
from workbench.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from workbench.library import entry_files
from workbench.library.entry import Entry
from workbench.library.entry_copies import FILES, delete_unused
from workbench.library.entry_facts import checked_version
from workbench.library.entry_versions import changing
from workbench.library.in_use import refuse_if_used, users_of
from workbench.models import EntryRecord, Promotion, now
from workbench.names import check_name

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog
    from workbench.storage.store import Store

Ref = str | Entry
Refs = Ref | Iterable[Ref]
Handles = list[Entry]
Referrers = dict[str, Callable[[str], Iterable[str]]]


class EntryChanges(ABC):
    """Changes of entries that are there: all that are named, or none."""

    _store: Store
    _catalog: Catalog
    _referrers: Referrers

    @property
    def referrers(self) -> Referrers:
        """What else may refer to an entry, for `purge`: a word such as "link" to a function from an id to those of the users."""
        return self._referrers

    @abstractmethod
    def find(self, ref: Ref) -> Entry:
        """Return one entry."""

    @abstractmethod
    def _handle(self, record: EntryRecord) -> Entry:
        """Return the entry of a record."""

    @property
    def _root(self) -> Path | None:
        """Where the workspace lies, if it is a folder."""
        path = self._store.local_path(FILES, "x")
        return None if path is None else path.absolute().parent.parent

    def move(
        self,
        entries: Refs,
        kind: str | None = None,
        *,
        domain: str | None = None,
        version: int | None = None,
        folder: str | Path | None = None,
        dry_run: bool = False,
    ) -> Handles:
        """Promote entries to another kind or domain; version, metadata and id stay, and it is remembered where they were.

        Parameters
        ----------
        entries : str, Entry, or several
            Such as a page of `search`.
        kind, domain : str, optional
            Where they go; what is not given stays.
        version : int, optional
            Another version instead of their own.
        folder : path, optional
            Where files by reference go: copied first, deleted last. Default: they stay where they lie. Copies in the workspace
            need no move.
        dry_run : bool
            Return what they would become, and change nothing.

        Raises
        ------
        InvalidInputError, NotFoundError
            For a wrong kind, or an entry that is not there.
        AlreadyExistsError
            If the version has a file of that name there, or the folder has.
        DamagedError
            If a file is not what was added.

        Examples
        --------
        >>> ws.entries.move("eos/candidates@3", "data")  # doctest: +SKIP
        """
        records = self._records(entries)
        if kind is None and domain is None and folder is None:
            raise InvalidInputError("Where to? Name a kind, a domain or a folder, such as kind='data'.")
        changes: dict[str, object] = {}
        if kind is not None:
            changes["kind"] = entry_files.checked_kind(kind)
        if domain is not None:
            changes["domain"] = check_name(domain, "Domain")
        if version is not None:
            changes["version"] = checked_version(version)
        time = now()
        targets = {
            record.id: Path(folder).expanduser().absolute() / record.name
            for record in records
            if folder is not None and record.path
        }

        def moved(record: EntryRecord) -> EntryRecord:
            target = targets.get(record.id)
            path = record.path if target is None else entry_files.stored_path(target, self._root)
            before = Promotion(
                domain=record.domain,
                kind=record.kind,
                version=record.version,
                path=record.path if path != record.path else "",
                moved=time,
            )
            promotions = (*record.promotions, before)
            return record.model_copy(update={**changes, "path": path, "promotions": promotions})

        became = [moved(record) for record in records]
        if any(key_of(a) == key_of(b) and a.path == b.path for a, b in zip(records, became, strict=True)):
            raise InvalidInputError(
                f"{records[0].domain}/{records[0].kind} is where they are. Name another place."
            )
        if dry_run:
            return [self._handle(record) for record in became]
        return self._move(records, moved, targets)

    def move_back(self, entries: Refs, *, dry_run: bool = False) -> Handles:
        """Undo the last `move` of entries: each goes to where it was before, with its file; this is remembered too.

        Raises
        ------
        InvalidInputError
            If one was never moved.
        AlreadyExistsError, DamagedError
            As `move`.
        """
        records = self._records(entries)
        for record in records:
            if not record.promotions:
                raise InvalidInputError(
                    f"{record.domain}/{record.kind}@{record.version}/{record.name} was never moved. "
                    "Name where it goes: ws.entries.move(entry, kind=...)."
                )
        time = now()
        targets = {
            record.id: entry_files.found_path(record.promotions[-1].path, self._root)
            for record in records
            if record.promotions[-1].path
        }

        def moved(record: EntryRecord) -> EntryRecord:
            last = record.promotions[-1]
            before = Promotion(
                domain=record.domain,
                kind=record.kind,
                version=record.version,
                path=record.path if last.path else "",
                moved=time,
            )
            place = {"domain": last.domain, "kind": last.kind, "version": last.version}
            place["path"] = last.path or record.path
            return record.model_copy(update={**place, "promotions": (*record.promotions, before)})

        if dry_run:
            return [self._handle(moved(record)) for record in records]
        return self._move(records, moved, targets)

    def remove(self, entries: Refs) -> Handles:
        """Put entries into the trash: they are found no more, and can be restored.

        Parameters
        ----------
        entries : str, Entry, or several
            Such as ``ws.entries.search("val_error > 0.5", "eos", "models", limit=1000)``.
        """
        time = now()
        records = self._records(entries)
        became = self._change(records, lambda record: record.model_copy(update={"trashed": time}))
        return [self._handle(record) for record in became]

    def restore(self, entries: Refs) -> Handles:
        """Take entries out of the trash again."""
        records = self._records(entries)
        became = self._change(records, lambda record: record.model_copy(update={"trashed": None}))
        return [self._handle(record) for record in became]

    def purge(self, entries: Refs, *, force: bool = False) -> None:
        """Forget entries for good, whether they are in the trash or not, and delete copies that no other entry has.

        A file by reference stays where it is: it is not ours.

        Raises
        ------
        InUseError
            If something else refers to one: entries, datasets or bundles that name it as their parent, runs that read it, or what
            `referrers` name.
            ``force=True`` purges it nevertheless.
        """
        records = self._records(entries)
        ids = {record.id for record in records}
        for record in [] if force else records:
            users = users_of(self._catalog, [record.id], apart_from=ids)
            for kind, look in self.referrers.items():
                users += [Referrer(kind, user, "") for user in look(record.id) if user not in ids]
            what = f"{record.domain}/{record.kind}@{record.version}/{record.name}"
            refuse_if_used(what, users, f"ws.entries.purge({record.id!r}, force=True)")
        self._change(records, lambda record: None)
        delete_unused(self._catalog, self._store, {r.file_key for r in records if not r.path})

    # -- inside

    def _records(self, entries: Refs) -> Sequence[EntryRecord]:
        several = [entries] if isinstance(entries, (str, Entry)) else entries
        found = {entry.id: entry.record for entry in map(self.find, several)}
        if not found:
            raise InvalidInputError("No entry is named. Look for some first: ws.entries.list().")
        return list(found.values())

    def _change(
        self, records: Sequence[EntryRecord], become: Callable[[EntryRecord], EntryRecord | None]
    ) -> Sequence[EntryRecord]:
        """Replace entries by what they become, or forget them where that is nothing; return what they have become."""
        keys = {key_of(record) for record in records}
        keys |= {key_of(after) for after in map(become, records) if after is not None}
        with changing(self._catalog, self._store, keys) as change:
            now_there: dict[str, EntryRecord] = {}
            for key, version in sorted({(key_of(r), r.version) for r in records}):
                entries = change.of_version(key, version)
                now_there |= {entry.id: entry for entry in entries}
            changed: list[EntryRecord] = []
            gone: list[str] = []
            for record in records:
                if record.id not in now_there:
                    raise NotFoundError(
                        f"Entry {record.id!r} was moved or purged by somebody else. Look for it again."
                    )
                after = become(now_there[record.id])
                changed += [] if after is None else [after.model_copy(update={"changed": now()})]
                gone += [record.id] if after is None else []
            targets = sorted({(key_of(r), r.version) for r in changed})
            for key, version in targets:
                names = [entry.name for entry in change.of_version(key, version) if entry.id not in now_there]
                names += [r.name for r in changed if (key_of(r), r.version) == (key, version)]
                twice = next((name for name in names if names.count(name) > 1), None)
                if twice is not None:
                    raise AlreadyExistsError(
                        f"{key[1]}/{key[2]} version {version} has a file {twice!r} already. Move to another version: version=..."
                    )
            change.catalog.replace(changed)
            change.catalog.delete(gone)
            sources = sorted({(key_of(r), r.version) for r in records} - set(targets))
            for key, version in [
                *targets,
                *sources,
            ]:  # a kill in between leaves an entry twice, never nowhere
                change.write(key, version)
        return changed

    def _move(
        self,
        records: Sequence[EntryRecord],
        moved: Callable[[EntryRecord], EntryRecord],
        targets: dict[str, Path],
    ) -> Handles:
        """Copy what goes to another place, record where it went, and delete it where it was."""
        with self._copied(records, targets):
            became = self._change(records, moved)
        for record in records:
            if record.id in targets:
                entry_files.found_path(record.path, self._root).unlink(missing_ok=True)
        return [self._handle(record) for record in became]

    @contextmanager
    def _copied(self, records: Sequence[EntryRecord], targets: dict[str, Path]) -> Iterator[None]:
        """Copy files by reference to where they go; take the copies away if what follows fails."""
        made: list[Path] = []
        try:
            for record in records:
                target = targets.get(record.id)
                if target is not None:
                    source = entry_files.found_path(record.path, self._root)
                    what = f"entry {record.domain}/{record.kind}@{record.version}/{record.name}"
                    entry_files.check_digest(source, record.digest, what)
                    if target.exists():
                        raise AlreadyExistsError(
                            f"There is a file {target}, which is not replaced. Name another folder."
                        )
                    target.parent.mkdir(parents=True, exist_ok=True)
                    made.append(target)
                    shutil.copy2(source, target)
                    entry_files.check_digest(target, record.digest, what)
            yield
        except BaseException:
            for path in made:
                path.unlink(missing_ok=True)
            raise
