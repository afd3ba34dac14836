"""Brings the records of calls to their places after their pipeline, so that nobody waits for it: they lie in the journal already."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from workbench.errors import StorageError
from workbench.models import RunRecord
from workbench.storage.filer import Filer

if TYPE_CHECKING:
    from workbench.execution.runs import Runs


class Filing:
    """Files records in a thread of its own.

    Parameters
    ----------
    runs : Runs
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._filer = Filer(self._file, "workbench-pipeline-filing")

    def add(self, records: Sequence[RunRecord]) -> None:
        """File these records soon. Whoever looks for them meanwhile finds them in the journal."""
        self._filer.add(records)

    def finish(self) -> None:
        """Return when all is filed, or cannot be: the next one that opens the workspace brings it to its place then."""
        with suppress(StorageError):
            self._filer.finish()

    def close(self) -> None:
        """File what waits, and end the thread."""
        self.finish()
        self._filer.close()

    def _file(self, records: Sequence[RunRecord]) -> None:
        self._runs.file(records)
        self._runs.filed([record.id for record in records])
