"""Bundle: one version of a folder that was pushed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from workbench.library.bundle_contents import FOLDER
from workbench.library.bundle_diff import size_text
from workbench.library.bundle_folder import Scope
from workbench.models import BundleFile, BundleRecord
from workbench.pages import Page, html_table, text_table

if TYPE_CHECKING:
    from workbench.library.bundles import Bundles
    from workbench.library.lineage import Direction, Lineage


class Bundle:
    """One version of a bundle, or a part of one; what it shows is what it was when it was found.

    Attributes
    ----------
    record : BundleRecord
        Of the whole version.
    """

    def __init__(self, record: BundleRecord, bundles: Bundles, scope: Scope | None = None) -> None:
        self.record = record
        self._bundles = bundles
        self._scope = scope or Scope()

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def version(self) -> int:
        return self.record.version

    @property
    def ref(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def what(self) -> str:
        """Which part of the version this is: all, data or model."""
        return self._scope.what

    @property
    def files(self) -> dict[str, BundleFile]:
        """Path to file, with digest, size in bytes, time, and whether it is executable."""
        return self._scope.those_of(self._bundles.files_of(self.record))

    @property
    def folders(self) -> tuple[str, ...]:
        """The paths of its folders that are empty."""
        folders = self._bundles.folders_of(self.record)
        return tuple(folder for folder in folders if self._scope.covers(f"{folder}/"))

    @property
    def contents(self) -> dict[str, BundleFile]:
        """Its files and, as paths that end with a slash, its empty folders."""
        return {**self.files, **dict.fromkeys((f"{folder}/" for folder in self.folders), FOLDER)}

    def open(self, path: str) -> BinaryIO:
        """Return a file of it, open for reading; on S3 nothing is read that is not asked for."""
        return self._bundles.open_file(self.record, path)

    def lineage(self, generations: int = 10, direction: Direction = "both") -> Lineage:
        """Return what it was made from, and what runs that read it have made; see `Dataset.lineage`.

        Raises
        ------
        NotFoundError
            If no run has read it.
        """
        return self._bundles.lineage(self.record, generations, direction)

    def table(self) -> Page[tuple[str, BundleFile]]:
        """Return its files as a table."""

        def row(item: tuple[str, BundleFile]) -> dict[str, Any]:
            path, file = item
            mode = "executable" if file.executable else ""
            return {"file": path, "size": file.size, "mode": mode, "digest": file.digest[:16]}

        return Page(sorted(self.files.items()), row, None, "files")

    def __repr__(self) -> str:
        return text_table([self._row()])

    def _repr_html_(self) -> str:
        return html_table([self._row()])

    def _row(self) -> dict[str, Any]:
        row = row_of(self.record)
        if self.what == "all":
            return row
        files = self.files
        size = size_text(sum(file.size for file in files.values()))
        return {**row, "files": len(files), "size": size, "what": self.what}


def row_of(record: BundleRecord) -> dict[str, Any]:
    """Return a version as a row of a table."""
    return {
        "name": record.name,
        "version": record.version,
        "files": record.count,
        "size": size_text(record.size),
        "what": record.what,
        "message": record.message,
        "user": record.user,
        "created": record.created,
    }
