"""What is added to the entries: files under versions, models with their facts, all of them or none."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import AlreadyExistsError, InvalidInputError, WorkbenchError
from workbench.library import entry_files, entry_makers
from workbench.library.entry import Entry
from workbench.library.entry_changes import Handles
from workbench.library.entry_copies import FILES, delete_unused, keep_copy
from workbench.library.entry_facts import check_next, checked_metadata, checked_version, model_metadata
from workbench.library.entry_makers import StateOfStep
from workbench.library.entry_parents import checked_parents
from workbench.library.entry_versions import changing
from workbench.models import EntryKind, EntryRecord, now
from workbench.names import check_name, new_id

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog
    from workbench.catalog.entries import Key
    from workbench.storage.store import Store

Files = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


class EntryAdditions(ABC):
    """How entries come to be."""

    _store: Store
    _catalog: Catalog
    application: str

    @property
    @abstractmethod
    def _root(self) -> Path | None:
        """Where the workspace lies, if it is a folder."""

    @abstractmethod
    def find_all(self, ref: str | Entry, *, trashed: bool = False) -> Handles:
        """Return the entries that a name stands for."""

    @abstractmethod
    def _handle(self, record: EntryRecord) -> Entry:
        """Return the entry of a record."""

    def add(
        self,
        domain: str,
        files: Files,
        kind: str = "data",
        *,
        version: int | None = None,
        metadata: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        parents: Any = (),
        made_by: Any = None,
        copy: bool = True,
        check: bool = True,
        extend: bool = False,
        dry_run: bool = False,
    ) -> Handles:
        """Catalogue files under one version: all of them, or none.

        Parameters
        ----------
        domain : str
        files : path, or several
        kind : {"data", "candidates", "models"}
        version : int, optional
            Default: the next one, which no other writer gets.
        metadata : mapping, or one for each file, optional
            Numbers, texts and truth values can be searched for; whatever else JSON can hold is kept.
        parents : one or several, optional
            What they were made from: entries, datasets, runs or bundles, their ids, or names of entries; all of them are there.
        made_by : StepVersion, Step, Run or str, optional
            What made them: a saved version of a step or pipeline (``ws.links.get("reduce")``, ``"reduce@1.2.0"``), a step that is
            as it was saved, or a run. It is searched for as ``made_by``, and needed as long as the entry is there.
        copy : bool
            Keep a copy in the workspace. False only notes where the file lies, relative to the workspace if it is in or beside
            its folder.
        check : bool
            Refuse data and candidates that are not HDF5, models that are neither TorchScript nor safetensors.
        extend : bool
            Add to a version that is there.
        dry_run : bool
            Return what they would become, without digests, and add nothing; what would be refused is refused.

        Raises
        ------
        NotFoundError, InvalidInputError, InvalidDataError
            For a missing file, a wrong kind, version, name or metadata, a file that is not what its kind says.
        AlreadyExistsError
            If the version is there.

        Examples
        --------
        >>> ws.entries.add("eos", ["run1.h5", "run2.h5"], metadata={"temperature": 300})  # doctest: +SKIP
        """
        key = (self.application, check_name(domain, "Domain"), str(entry_files.checked_kind(kind)))
        several = isinstance(metadata, (list, tuple))
        given: Any = metadata if several else [metadata]
        facts = [checked_metadata(EntryKind(kind), one) for one in given]
        wanted = None if version is None else checked_version(version, ", or None for the next one")
        paths = [entry_files.checked_file(file) for file in _several(files)]
        if not paths:
            raise InvalidInputError("There is no file to add. Name one: ws.entries.add('eos', 'run1.h5').")
        if several and len(facts) != len(paths):
            raise InvalidInputError(
                f"metadata is a list of {len(facts)} for {len(paths)} file{'s' if len(paths) > 1 else ''}. "
                "Give one mapping for each file, or one mapping for all."
            )
        if check:
            for path in paths:
                entry_files.check_file(path, EntryKind(kind))
        maker = None if made_by is None else entry_makers.made_by(self._catalog, made_by)
        made_from = checked_parents(self._catalog, parents, self.find_all)
        made_from += (maker.parent,) if maker and maker.parent not in made_from else ()
        created = now()
        drafts = [
            EntryRecord(
                id=new_id(),
                application=self.application,
                domain=domain,
                kind=EntryKind(kind),
                version=wanted or 1,
                name=path.name,
                digest="",
                size=path.stat().st_size,
                path="" if copy else entry_files.stored_path(path, self._root),
                metadata=facts[i] if several else facts[0],
                parents=made_from,
                made_by=maker,
                created=created + timedelta(microseconds=i),  # a reindex keeps their order
            )
            for i, path in enumerate(paths)
        ]
        # before anything is copied
        there = [] if wanted is None else self._catalog.entries_of_version(key, wanted)
        self._check_version(key, wanted, there, extend)
        _check_names([*there, *drafts])
        if dry_run:
            number = wanted or self.next_version(domain, kind)
            return [self._handle(record.model_copy(update={"version": number})) for record in drafts]
        kept: dict[str, Path] = {}
        try:
            records = [self._kept(record, path, kept) for record, path in zip(drafts, paths, strict=True)]
            records = self._record(key, wanted, records, kept, extend)
        except BaseException:
            with contextlib.suppress(WorkbenchError):  # the first error is the one to be told
                delete_unused(self._catalog, self._store, [f for f in kept if not f.startswith("at ")])
            raise
        return [self._handle(record) for record in records]

    def add_model(
        self,
        domain: str,
        path: str | os.PathLike[str] | StateOfStep,
        *,
        val_error: float | None = None,
        test_error: float | None = None,
        threshold: float | None = None,
        uq_type: str | None = None,
        uq_aggregate: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Entry:
        """Catalogue a model with its errors and its measure of uncertainty.

        Parameters
        ----------
        domain : str
        path : path or StepVersion
            The file; or a saved version of a trained step, whose state becomes the file, for ``step.load(...)``.
        val_error, test_error : float, optional
        threshold : float, optional
            Of the uncertainty, above which its prediction is not used.
        uq_type : {"random", "deltaUQ", "faiss"}, optional
        uq_aggregate : {"max", "mean"}, optional
            Needed unless uncertainty is random.
        **options
            As for `add`.

        Raises
        ------
        InvalidInputError
            If metadata has one of these keys too, and as `add`.
        """
        facts = model_metadata(
            metadata,
            val_error=val_error,
            test_error=test_error,
            threshold=threshold,
            uq_type=uq_type,
            uq_aggregate=uq_aggregate,
        )
        if isinstance(path, (str, os.PathLike)):
            return self.add(domain, path, "models", metadata=facts, **options)[0]
        with entry_makers.state_as_file(path) as file:
            given = {"made_by": path, "check": False, **options, "copy": True}
            return self.add(domain, file, "models", metadata=facts, **given)[0]

    def suggest_name(self, kind: str, domain: str | None = None) -> str:
        """Return a file name for a new file of a kind, which no other one has."""
        domain = None if domain is None else check_name(domain, "Domain")
        return entry_files.suggested_name(entry_files.checked_kind(kind), domain)

    def next_version(self, domain: str, kind: str = "data") -> int:
        """Return the version that the next `add` would get, if nobody is quicker."""
        key = (self.application, check_name(domain, "Domain"), str(entry_files.checked_kind(kind)))
        return check_next(self._catalog.last_entry_version(key) + 1, *key[1:])

    # -- inside

    def _kept(self, record: EntryRecord, path: Path, kept: dict[str, Path]) -> EntryRecord:
        """Return an entry with its digest, after the file was copied if it is to be, and note where it is."""
        digest = entry_files.digest_of(path) if record.path else keep_copy(self._store, path)
        # what was copied counts, should somebody write to the file meanwhile
        record = record.model_copy(update={"digest": digest})
        kept[record.place] = path
        return record

    def _record(
        self,
        key: Key,
        wanted: int | None,
        records: Sequence[EntryRecord],
        kept: Mapping[str, Path],
        extend: bool,
    ) -> list[EntryRecord]:
        """Give entries their version and record them, in one transaction."""
        with changing(self._catalog, self._store, [key], kept) as change:
            number = check_next(change.next_version(key), *key[1:]) if wanted is None else wanted
            there = change.of_version(key, number) if wanted is not None else []
            self._check_version(key, wanted, there, extend)
            made = [record.model_copy(update={"version": number}) for record in records]
            _check_names([*there, *made])
            for record in made:  # purged or moved by another process meanwhile
                if record.path:
                    entry_files.checked_file(kept[record.place])
                elif not self._store.exist(FILES, [record.file_key])[0]:
                    keep_copy(self._store, kept[record.place])
            change.catalog.add(made)
            change.write(key, number, [*there, *made])
        return made

    def _check_version(
        self, key: Key, wanted: int | None, there: Sequence[EntryRecord], extend: bool
    ) -> None:
        """Raise if a version that was named is there and is not to be extended."""
        if wanted is not None and there and not extend:
            where = " in the trash" if all(record.trashed for record in there) else ""
            raise AlreadyExistsError(
                f"{key[1]}/{key[2]} has a version {wanted}{where}. Leave version out for the next one, "
                f"{self._catalog.last_entry_version(key) + 1}; or add to it with extend=True."
            )


def _several(files: Any) -> Sequence[Any]:
    """Return the files that are named, one or several."""
    if isinstance(files, Entry):
        raise InvalidInputError(f"{files.ref} is an entry, and files are added. Name its file: entry.path.")
    if isinstance(files, (str, os.PathLike)):
        return [files]
    if not isinstance(files, Iterable):
        raise InvalidInputError(f"files is {files!r:.60}, expected a path, or several.")
    return list(files)


def _check_names(records: Sequence[EntryRecord]) -> None:
    """Raise if two files of one version could not be told apart."""
    seen: dict[str, EntryRecord] = {}
    for record in records:
        other = seen.setdefault(record.name, record)
        if other is not record:
            raise AlreadyExistsError(
                f"{record.domain}/{record.kind} version {record.version} would have two files {record.name!r}. "
                "Give this one another name, or a version of its own."
            )
