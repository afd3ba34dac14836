"""Brings the records of calls to their places after their pipeline, so that nobody waits for it: they lie in the journal already."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.models import RunRecord

if TYPE_CHECKING:
    from workbench.execution.runs import Runs


class Filing:
    """Files records in a thread of its own, which ends when there is nothing more to file.

    Parameters
    ----------
    runs : Runs
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._lock = threading.Lock()
        self._waiting: list[RunRecord] = []
        self._thread: threading.Thread | None = None

    def add(self, records: Sequence[RunRecord]) -> None:
        """File these records soon. Whoever looks for them meanwhile finds them in the journal."""
        if not records:
            return
        with self._lock:
            self._waiting += records
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="workbench-pipeline-filing", daemon=True
                )
                self._thread.start()

    def finish(self) -> None:
        """Return when all is filed."""
        with self._lock:  # it is started there
            thread = self._thread
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._lock:
                records, self._waiting = self._waiting, []
                if not records:
                    self._thread = None
                    return
            try:
                self._runs.file(records)
                self._runs.filed([record.id for record in records])
            except Exception:
                # they are kept: the next one that opens the workspace brings them to their places
                traceback.print_exc()
