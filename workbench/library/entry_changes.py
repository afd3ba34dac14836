"""What becomes of entries after they were added: removed to the trash, restored, purged; moves are in `entry_moves`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.catalog.entries import Key, key_of
from workbench.catalog.referrers import Referrer
from workbench.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from workbench.library.entry import Entry
from workbench.library.entry_copies import FILES, delete_unused
from workbench.library.entry_versions import changing
from workbench.library.in_use import refuse_if_used, users_of
from workbench.models import EntryRecord, now
from workbench.pages import Page

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

    @abstractmethod
    def find_all(self, ref: Ref, *, trashed: bool = False) -> Handles:
        """Return the entries that a name stands for."""

    @property
    def _root(self) -> Path | None:
        """Where the workspace lies, if it is a folder."""
        path = self._store.local_path(FILES, "x")
        return None if path is None else path.resolve().parent.parent

    def remove(self, entries: Refs) -> Handles:
        """Put entries into the trash: they are found no more, and can be restored.

        Parameters
        ----------
        entries : str, Entry, or several
            ``"eos/data@3"`` is all files of that version; ``ws.entries.search("val_error > 0.5", "eos", "models").all()`` is
            all that is found, which may be nothing.
        """
        time = now()
        records = self._records(entries)
        became = self._change(records, lambda record: record.model_copy(update={"trashed": time}))
        return [self._handle(record) for record in became]

    def restore(self, entries: Refs) -> Handles:
        """Take entries out of the trash again, named by id or by what they were called."""
        records = self._records(entries, trash=True)
        became = self._change(records, lambda record: record.model_copy(update={"trashed": None}))
        return [self._handle(record) for record in became]

    def purge(self, entries: Refs, *, force: bool = False) -> None:
        """Forget entries for good, whether they are in the trash or not, and delete copies that no other entry has.

        Of a name that is in the trash and outside of it, what is in the trash is meant. A file by reference stays where it is: it is not ours.

        Raises
        ------
        InUseError
            If something else refers to one: entries, datasets or bundles that name it as their parent, runs that read it, or what
            `referrers` name.
            ``force=True`` purges it nevertheless.
        """
        records = self._records(entries, trash=True)
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

    def _records(self, entries: Refs, *, trash: bool = False) -> Sequence[EntryRecord]:
        """Return the records of all entries that are named; with ``trash``, a name is looked for there first.

        Raises
        ------
        InvalidInputError
            For what is no name, and for a page that others follow: nobody sees that they would be left out.
        """
        if isinstance(entries, Page) and entries.has_more:
            raise InvalidInputError(
                f"These are the first {len(entries)} entries of more. Take all with .all(), or these with list(...)."
            )
        if not isinstance(entries, (str, Entry, Iterable)):
            raise InvalidInputError(
                f"entries is {entries!r:.60}, expected an entry, a name such as 'eos/data@3', or several."
            )
        several = [entries] if isinstance(entries, (str, Entry)) else entries
        found = [entry for one in several for entry in self._all_of(one, trash)]
        return list({entry.id: entry.record for entry in found}.values())

    def _all_of(self, ref: Ref, trash: bool) -> Handles:
        if not trash or isinstance(ref, Entry):
            return self.find_all(ref)
        try:
            return self.find_all(ref, trashed=True)
        except NotFoundError:
            return self.find_all(ref)

    def _change(
        self,
        records: Sequence[EntryRecord],
        become: Callable[[EntryRecord], EntryRecord | None],
        extend: bool = True,
    ) -> Sequence[EntryRecord]:
        """Replace entries by what they become, or forget them where that is nothing; return what they have become."""
        keys = {key_of(record) for record in records}
        keys |= {key_of(after) for after in map(become, records) if after is not None}
        with changing(self._catalog, self._store, keys) as change:
            now_there: dict[str, EntryRecord] = {}
            for place in sorted(set(map(_place, records))):
                now_there |= {entry.id: entry for entry in change.of_version(*place)}
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
            check_places(now_there, changed, change.of_version, extend)
            change.catalog.replace(changed)
            change.catalog.delete(gone)
            targets = sorted(set(map(_place, changed)))
            sources = sorted(set(map(_place, records)) - set(targets))
            for place in [*targets, *sources]:  # a kill in between leaves an entry twice, never nowhere
                change.write(*place)
        return changed


def check_places(
    before: Mapping[str, EntryRecord],
    became: Iterable[EntryRecord],
    there: Callable[[Key, int], Sequence[EntryRecord]],
    extend: bool,
) -> None:
    """Raise if entries cannot be where they are to go.

    Parameters
    ----------
    before : mapping
        Id to the entry as it is.
    became : iterable of EntryRecord
    there : callable
        Gives the entries of a version, with those in the trash.
    extend : bool
        Whether they may join others in a version.

    Raises
    ------
    AlreadyExistsError
        If a version has a file of that name, or others that they would join.
    """
    arriving: dict[tuple[Key, int], list[EntryRecord]] = {}
    for record in became:
        arriving.setdefault(_place(record), []).append(record)
    ids = {record.id for some in arriving.values() for record in some}
    for (key, version), some in sorted(arriving.items()):
        others = [entry for entry in there(key, version) if entry.id not in ids]
        names = [entry.name for entry in (*others, *some)]
        twice = next((name for name in names if names.count(name) > 1), None)
        what = f"{key[1]}/{key[2]} version {version}"
        if twice is not None:
            hidden = " in the trash" if any(e.trashed and e.name == twice for e in others) else ""
            raise AlreadyExistsError(
                f"{what} has a file {twice!r} already{hidden}. Move to another version: version=..."
            )
        if others and not extend and any(_place(before[r.id]) != (key, version) for r in some):
            number = f"{len(others)} file{'s' if len(others) > 1 else ''}"
            raise AlreadyExistsError(
                f"{what} is there, with {number}. Join it with extend=True, or move to another version: version=..."
            )


def _place(record: EntryRecord) -> tuple[Key, int]:
    return key_of(record), record.version
