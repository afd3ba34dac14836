"""The entries of a workspace: files of domains, catalogued with versions and metadata."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from workbench.catalog.conditions import equal, keys_of, parse
from workbench.catalog.entry_search import EntryQuestion
from workbench.errors import (
    AlreadyExistsError,
    DamagedError,
    InvalidDataError,
    InvalidInputError,
    NotFoundError,
    UnsupportedError,
    did_you_mean,
    nearest,
)
from workbench.library import entry_files
from workbench.library.entry import Entry
from workbench.library.entry_additions import EntryAdditions
from workbench.library.entry_changes import Handles, Ref
from workbench.library.entry_conditions import domains_of, understood
from workbench.library.entry_copies import FILES
from workbench.library.entry_facts import OWN_ORDERS, SEARCHED, check_order, checked_versions
from workbench.library.entry_moves import EntryMoves
from workbench.library.entry_versions import reindex
from workbench.models import EntryRecord
from workbench.names import check_name, check_text, is_id
from workbench.pages import Page

if TYPE_CHECKING:
    import h5py

    from workbench.catalog.catalog import Catalog
    from workbench.library.row_view import RowView
    from workbench.settings import Settings
    from workbench.storage.store import Store

APPLICATION = "workspace"  # what entries belong to where no application is named
Names = list[str]
list_of = list  # in the class, `list` is a method
Versions = int | str | Sequence[int] | None


class Entries(EntryMoves, EntryAdditions):
    """Files of domains: each has a kind, a version and metadata, and belongs to an application.

    An entry is named by its id, by ``domain/kind`` (the newest version), ``domain/kind@version``, or, where a version has
    several files, ``domain/kind@version/name``.

    Parameters
    ----------
    store : Store
    catalog : Catalog
    settings : Settings
    application : str
        What is added belongs to it, and nothing else is seen; see `of`.
    """

    def __init__(
        self, store: Store, catalog: Catalog, settings: Settings, application: str = APPLICATION
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._settings = settings
        self.application = application
        self._referrers = {}

    def of(self, application: str) -> Entries:
        """Return the entries of an application, apart from those of all others."""
        found = Entries(
            self._store, self._catalog, self._settings, check_name(application, "Application name")
        )
        found._referrers = self._referrers
        return found

    def __repr__(self) -> str:
        return f"Entries of {self.application!r} in {self._store.url}"

    # -- finding

    def find(self, ref: Ref) -> Entry:
        """Return one entry: of an id, ``domain/kind``, ``domain/kind@version`` or ``domain/kind@version/name``.

        Raises
        ------
        NotFoundError
            With near names.
        InvalidInputError
            If it names several files.
        """
        found = self._named(ref, limit=2)
        if len(found) > 1:
            raise InvalidInputError(
                f"{ref!r} has several files. Name one, such as {found[0].ref!r}; ws.entries.find_all({ref!r}) gives all."
            )
        return found[0]

    def find_all(self, ref: Ref, *, trashed: bool = False) -> Handles:
        """Return the entries that a name stands for: one, or all files of a version, in the order in which they were added.

        With ``trashed`` those in the trash instead; an id names an entry wherever it is.

        Raises
        ------
        NotFoundError
            If there is none, with near names.
        """
        return list_of(self._named(ref, trashed=trashed, limit=1000).all())

    def _named(self, ref: Ref, *, trashed: bool = False, limit: int) -> Page[Entry]:
        """Return what a name stands for, which is something."""
        if not isinstance(ref, (str, Entry)):
            raise InvalidInputError(
                f"{ref!r:.60} is no entry's name. Write domain/kind, such as 'eos/models' or 'eos/models@3'."
            )
        if isinstance(ref, Entry):
            ref = ref.id
        if is_id(ref):
            record = self._catalog.get_entries([ref]).get(ref)
            if record is None or record.application != self.application:
                raise NotFoundError(f"There is no entry {ref!r}. See ws.entries.list().")
            return Page([Entry(record, self)], Entry.row, None, "entries")
        what, _, rest = ref.partition("@")
        domain, slash, kind = what.partition("/")
        if not slash:
            is_condition = any(sign in ref for sign in "<>=") or " in " in ref
            hint = f" Conditions are searched: ws.entries.search({ref!r})." if is_condition else ""
            raise InvalidInputError(
                f"{ref!r} is no entry's name. Write domain/kind, such as 'eos/models' or 'eos/models@3'.{hint}"
            )
        number, _, name = rest.partition("/")
        version: Any = int(number) if number.isdigit() else number or "latest"
        asked: dict[str, Any] = {"version": version, "name": name or None, "order": "created", "limit": limit}
        found = self.list(domain, kind, trashed=trashed, **asked)
        if not found:
            there = not trashed and self.list(domain, kind, trashed=True, **asked)
            hint = f" It is in the trash: ws.entries.restore({ref!r})." if there else ""
            where = " in the trash" if trashed else ""
            hint = hint or self._files_hint(domain, kind, version, name) or self._versions_hint(domain, kind)
            raise NotFoundError(f"There is no entry {ref!r}{where}.{hint}")
        return found

    def list(
        self,
        domain: str | None = None,
        kind: str | None = None,
        *,
        version: Versions = None,
        name: str | None = None,
        trashed: bool = False,
        order: str = "-created",
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[Entry]:
        """List entries, newest first, a page at a time.

        Parameters
        ----------
        version : int, list of int or "latest", optional
            ``"latest"`` is the highest one of each domain and kind.
        name : str, optional
            Of the file; may hold ``*`` and ``?``.
        trashed : bool
            Those in the trash instead.

        Raises
        ------
        NotFoundError, InvalidInputError
            For an unknown domain or kind, with the nearest.
        """
        name = None if name is None else check_text(str(name), "name")
        if name is not None and "/" in name:
            raise InvalidInputError(
                f"name is {name!r}, and entries have the names of their files, without folders. "
                f"Write name={Path(name).name!r}."
            )
        if trashed and str(order).removeprefix("-") not in OWN_ORDERS:
            raise InvalidInputError(
                f"order is {order!r}, and what is in the trash is sorted by {', '.join(OWN_ORDERS)} only."
            )
        return self._page([], domain, kind, version, order, limit, after, name=name, trashed=trashed)

    def search(
        self,
        where: str | None = None,
        domain: str | None = None,
        kind: str | None = None,
        *,
        version: Versions = None,
        metadata: Mapping[str, Any] | None = None,
        order: str = "-created",
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[Entry]:
        """Find entries by their metadata, a page at a time.

        Parameters
        ----------
        where : str, optional
            Conditions, such as ``"val_error < 0.1 and (uq_type == 'faiss' or 1 <= threshold < 2)"``; ``in`` and ``not`` work
            too. A key that is no word is written in backticks: `` `learning rate` ``.
            What every entry has is compared too: ``size`` (bytes, or a text such as ``'10 MB'``), ``kind``, ``domain``,
            ``version``, ``name``, ``made_by``, and ``created``: a day (``created >= '2026-03-01'``) or a time
            (``'2026-03-01T14:30'``), local unless it names a zone. These words are never keys of the metadata.
        version : int, list of int or "latest", optional
        metadata : mapping, optional
            All of these keys have exactly these values.
        order : str
            ``"created"`` (the order in which they were added), ``"version"``, ``"size"``, ``"name"``, ``"domain"``, ``"kind"`` or
            a key of the metadata, with ``-`` in front for descending. By a key, numbers come before texts, and entries without
            it are left out.

        Raises
        ------
        NotFoundError, InvalidInputError
            For an unknown domain or kind, a condition that cannot be read, or what can neither be searched nor sorted by.

        Examples
        --------
        >>> ws.entries.search("val_error < 0.1", "eos", "models", order="val_error")  # doctest: +SKIP
        """
        conditions = [*(parse(where) if where else []), *equal(metadata or {})]
        return self._page(conditions, domain, kind, version, order, limit, after)

    def versions(self, domain: str, kind: str = "data", files: bool = False) -> Any:
        """Return the versions that have entries, lowest first; with ``files`` a dict of version to entries."""
        kind = entry_files.checked_kind(kind)
        self._check_domain(domain)
        numbers = self._catalog.entry_versions((self.application, domain, str(kind)))
        if not files:
            return numbers
        found: dict[int, Handles] = {number: [] for number in numbers}
        page: Page[Entry] | None = self.list(domain, kind, order="created", limit=1000)
        while page is not None:
            for entry in page:
                found.setdefault(entry.version, []).append(entry)
            page = page.next() if page.has_more else None
        return found

    def domains(self) -> Names:
        """Return the domains of this application, in order."""
        return list(dict.fromkeys(domain for domain, _ in self._catalog.entry_scopes(self.application)))

    def view(
        self, domain: str, key: str = "inputs", kind: str = "data", *, version: Versions = None
    ) -> RowView:
        """Return the rows of a key in all HDF5 files of a domain as one lazy array, in the order in which they were added.

        Raises
        ------
        NotFoundError
            If there is no file, or one lacks the key.
        InvalidDataError
            If rows differ in shape or dtype, with the two files, or if a file is not HDF5.
        DamagedError
            If a file by reference was changed since it was added, then or when it is read.

        Examples
        --------
        >>> ws.entries.view("eos", "inputs", version=[1, 2])[1000:1010]  # doctest: +SKIP
        """
        from workbench.library.row_view import RowView

        page: Page[Entry] | None = self.list(domain, kind, version=version, order="created", limit=1000)
        found: Handles = []
        while page is not None:
            found += page
            page = page.next() if page.has_more else None
        if not found:
            raise NotFoundError(f"There is no file in {domain}/{kind}.{self._versions_hint(domain, kind)}")
        verified: dict[str, float] = {}
        return RowView([(_what(entry.record), partial(_hdf5, entry, verified)) for entry in found], key)

    # -- files

    def path_of(self, record: EntryRecord) -> Path:
        """Return the file of a record."""
        if record.path:
            return entry_files.found_path(record.path, self._root)
        path = self._store.local_path(FILES, record.file_key)
        if path is None:
            raise UnsupportedError(
                f"{_what(record)} lies in {self._store.url}, where files have no path. Use .open(), or .export('here')."
            )
        return path

    def open_file(self, record: EntryRecord) -> BinaryIO:
        """Open the file of a record for reading."""
        try:
            if record.path:
                return self.path_of(record).open("rb")
            return self._store.open(FILES, record.file_key)
        except (FileNotFoundError, NotFoundError) as error:
            raise DamagedError(
                f"The file of {_what(record)} is gone. Restore it, or remove the entry."
            ) from error

    def verify_record(self, record: EntryRecord) -> None:
        """Compare the file of a record with its digest."""
        if record.path or self._store.is_local:
            entry_files.check_digest(self.path_of(record), record.digest, _what(record))
            return
        with self.open_file(record) as file:
            entry_files.check_stream(file, record.digest, _what(record))

    def copy_file(self, record: EntryRecord, target: Path) -> None:
        """Copy the file of a record to a path where none is, unless it is not what was added."""
        with self.open_file(record) as source:
            try:
                with target.open("xb") as out:
                    entry_files.check_stream(source, record.digest, _what(record), out)
            except FileExistsError:  # in this moment, from somebody else
                raise AlreadyExistsError(f"There is a file {target}. Name another one.") from None
            except BaseException:
                target.unlink(missing_ok=True)
                raise

    def lineage_of(self, record: EntryRecord, generations: int) -> Page[dict[str, Any]]:
        """Return a row for each entry that a record was made from or that was made from it."""
        from workbench.library.entry_lineage import lineage

        return lineage(self._catalog, record, generations)

    def reindex(self) -> int:
        """Record in the catalog what the store holds, for all applications; return how many entries there are."""
        return reindex(self._catalog, self._store)

    # -- inside

    def _handle(self, record: EntryRecord) -> Entry:
        return Entry(record, self)

    def _page(
        self,
        conditions: Sequence[Any],
        domain: str | None,
        kind: str | None,
        version: Any,
        order: str,
        limit: int | None,
        after: str | None,
        **more: Any,
    ) -> Page[Entry]:
        where = understood(conditions)
        check_order(order)
        check_text(order, "order")
        if domain is not None and not isinstance(domain, str):
            raise InvalidInputError(f"domain is {domain!r:.60}, expected text such as 'eos'.")
        check_text(domain or "", "domain")
        question = EntryQuestion(
            application=self.application,
            domain=domain,
            kind=None if kind is None else str(entry_files.checked_kind(kind)),
            versions=checked_versions(version),
            where=where,
            order=order,
            limit=self._settings.page_size if limit is None else limit,
            after=after,
            **more,
        )
        texts, cursor = self._catalog.search_entries(question)
        if not texts and after is None:
            keys = [*keys_of(where), order.removeprefix("-")]
            self._check_words(domain, keys, domains_of(where))
        again = (conditions, domain, kind, version, order, limit)
        found = [Entry(text, self) for text in texts]

        what, hint = "entries", "Add one: ws.entries.add('eos', 'run1.h5')."
        if more.get("trashed"):
            what, hint = "entries in the trash", ""
        elif where or version is not None:
            what, hint = "entries that fulfil this", ""
        columns: dict[str, None] | None = None  # a page that is only counted or walked needs none

        def row(entry: Entry) -> dict[str, Any]:
            nonlocal columns
            if columns is None:
                columns = dict.fromkeys(key for each in found for key in each.record.metadata)
            return _row(entry, columns)

        return Page(
            found,
            row,
            (lambda: self._page(*again, cursor, **more)) if cursor else None,
            what,
            hint,
        )

    def _check_words(self, domain: str | None, keys: Iterable[str], domains: Iterable[str]) -> None:
        """Raise if nothing was found because a word is misspelt."""
        if domain is not None:
            self._check_domain(domain)
        for other in domains:  # of a condition, which may well name one that is not there
            if did_you_mean(other, self.domains()):
                self._check_domain(other)
        asked = [key for key in keys if key == "made_by" or key not in SEARCHED]
        absent = [key for key in asked if not self._catalog.has_entry_key(self.application, key)]
        known = [*self._catalog.entry_keys(self.application), *SEARCHED] if absent else []
        for key in absent:
            hint = did_you_mean(key, [other for other in known if other != key])
            if hint and key not in SEARCHED:
                raise NotFoundError(f"No entry has the key {key!r} in its metadata.{hint}")

    def _check_domain(self, domain: str) -> None:
        known = self.domains()
        if domain not in known:
            near = nearest(str(domain), known)
            hint = did_you_mean(str(domain), known) or (f" Known: {', '.join(known[:5])}." if known else "")
            raise NotFoundError(
                f"There is no domain {domain!r} in the entries of {self.application!r}.{hint}", near=near
            )

    def _files_hint(self, domain: str, kind: str, version: Versions, name: str) -> str:
        """Say which files a version has, where none is called so."""
        others = [e.name for e in self.list(domain, kind, version=version, order="name", limit=1000)]
        if not name or not others:
            return ""
        more = ", ..." if len(others) > 5 else ""
        return did_you_mean(name, others) or f" {domain}/{kind}@{version} has {', '.join(others[:5])}{more}."

    def _versions_hint(self, domain: str, kind: str) -> str:
        numbers = self.versions(domain, kind)
        return f" {domain}/{kind} has the versions {', '.join(map(str, numbers[-5:]))}." if numbers else ""


@contextmanager
def _hdf5(entry: Entry, verified: dict[str, float]) -> Iterator[h5py.File]:
    """Open the file of an entry, if it is HDF5 and as long as it was.

    A file by reference with a time after that of its entry is compared with its digest, once for each such time, which is kept.
    """
    import h5py

    record = entry.record
    with entry.open() as source:
        if source.seek(0, os.SEEK_END) != record.size:
            raise DamagedError(
                f"The file of {_what(record)} is not what was added: it has another size. Add it again as a new version."
            )
        time = entry.path.stat().st_mtime if record.path else 0.0
        if time > record.created.timestamp() and verified.get(record.id) != time:
            source.seek(0)
            entry_files.check_stream(source, record.digest, _what(record))
            verified[record.id] = time
        source.seek(0)
        try:
            file = h5py.File(source, "r")
        except OSError as error:
            raise InvalidDataError(
                f"{_what(record)} is not HDF5, which a view reads: {error}. Name the kind of such files, such as kind='data'."
            ) from error
        with file:
            yield file


def _row(entry: Entry, keys: Iterable[str]) -> dict[str, Any]:
    row = entry.row()
    order = ["domain", "kind", "version", "name", *keys, "size", "created", "id"]
    return {key: row.get(key) for key in order}


def _what(record: EntryRecord) -> str:
    return f"entry {record.domain}/{record.kind}@{record.version}/{record.name}"
