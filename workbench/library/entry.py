"""Entry: one catalogued file, with its version and metadata."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from workbench.errors import AlreadyExistsError, DamagedError, InvalidInputError, NotFoundError
from workbench.pages import html_table, text_table

if TYPE_CHECKING:
    from datetime import datetime

    from workbench.library.entries import Entries
    from workbench.models import EntryKind, EntryRecord, MadeBy, Promotion
    from workbench.pages import Page


class Entry:
    """A file of a domain; what it shows is what it was when it was found.

    Parameters
    ----------
    record : EntryRecord, or its text in the catalog
    entries : Entries
    """

    def __init__(self, record: EntryRecord | str, entries: Entries) -> None:
        self._record = record
        self._entries = entries

    @property
    def record(self) -> EntryRecord:
        """All that is known of it; a text of the catalog is read when it is first asked for."""
        if isinstance(self._record, str):
            from workbench.models import EntryRecord

            try:
                self._record = EntryRecord.model_validate_json(self._record)
            except ValueError as error:
                raise DamagedError(
                    f"The catalog holds an entry that cannot be read: {str(self._record)[:80]!r}."
                    " Run: workbench reindex; it is rebuilt from the store."
                ) from error
        return self._record

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def domain(self) -> str:
        return self.record.domain

    @property
    def kind(self) -> EntryKind:
        return self.record.kind

    @property
    def version(self) -> int:
        return self.record.version

    @property
    def name(self) -> str:
        """The file's name."""
        return self.record.name

    @property
    def metadata(self) -> dict[str, Any]:
        return dict(self.record.metadata)

    @property
    def digest(self) -> str:
        return self.record.digest

    @property
    def size(self) -> int:
        return self.record.size

    @property
    def created(self) -> datetime:
        return self.record.created

    @property
    def parents(self) -> tuple[str, ...]:
        """The ids of what it was made from."""
        return self.record.parents

    @property
    def made_by(self) -> MadeBy | None:
        """The version of a step or pipeline, with its digests, or the run that made the file; None where nobody has said so."""
        return self.record.made_by

    @property
    def promotions(self) -> Sequence[Promotion]:
        """Where it was before, oldest first."""
        return self.record.promotions

    @property
    def ref(self) -> str:
        """``domain/kind@version/name``, by which `Entries.find` finds it."""
        return f"{self.domain}/{self.kind}@{self.version}/{self.name}"

    @property
    def is_copy(self) -> bool:
        """Whether the workspace has the file, and not only knows where it lies."""
        return not self.record.path

    @property
    def path(self) -> Path:
        """The file; do not write to a copy: entries with the same content share it. On S3 there is none, see `open`."""
        return self._entries.path_of(self.record)

    def open(self) -> BinaryIO:
        """Return the file, open for reading; on S3 nothing is read that is not asked for."""
        return self._entries.open_file(self.record)

    def verify(self) -> None:
        """Read the file and compare it with the digest that it had when it was added.

        Raises
        ------
        DamagedError
            If it is another, or gone.
        """
        self._entries.verify_record(self.record)

    def lineage(self, generations: int = 10) -> Page[dict[str, Any]]:
        """Return what it was made from (steps below 0), itself, and what was made from it (above 0), a row each."""
        return self._entries.lineage_of(self.record, generations)

    def export(self, path: str | Path) -> Path:
        """Copy the file to a path, or into a folder under its name; what is read is compared with its digest on the way.

        Raises
        ------
        AlreadyExistsError
            If there is a file.
        NotFoundError
            If there is no such folder.
        DamagedError
            If the file is not what was added; then nothing is left at the path.
        """
        if not isinstance(path, (str, os.PathLike)) or not str(path):
            raise InvalidInputError(f"path is {path!r:.60}, expected where the file goes, such as 'copy.h5'.")
        target = Path(path).expanduser()
        target = target / self.name if target.is_dir() else target
        if target.exists():
            raise AlreadyExistsError(f"There is a file {target}. Name another one, or delete it first.")
        if not target.parent.is_dir():
            raise NotFoundError(f"There is no folder {target.parent}. Make it first, or name another one.")
        self._entries.copy_file(self.record, target)
        return target

    def row(self) -> dict[str, Any]:
        """Return it as a row of a table: a column for each key of the metadata."""
        return {
            "domain": self.domain,
            "kind": str(self.kind),
            "version": self.version,
            "name": self.name,
            **({"made_by": str(self.made_by)} if self.made_by else {}),
            **self.metadata,
            "size": self.size,
            "created": self.created,
            "id": self.id,
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and other.record == self.record

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Entry {self.ref} ({self.id})"

    def _repr_html_(self) -> str:
        return html_table([self.row()])

    def __str__(self) -> str:
        return text_table([self.row()])
