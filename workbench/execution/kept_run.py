"""A run in this process whose record takes its time to its places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.execution.live import LiveRun
from workbench.models import RunRecord

if TYPE_CHECKING:
    from workbench.execution.runs import Runs


class KeptRun(LiveRun):
    """A run whose begin and end are kept in the journal, which takes microseconds; who started it files it with others later."""

    def __init__(self, record: RunRecord, runs: Runs, *args: Any, **options: Any) -> None:
        super().__init__(record, runs, *args, **options)
        self._all_runs = runs

    def _save(self, *, to_store: bool) -> None:
        is_begin = not self._is_stored and self._all_runs.is_local
        if is_begin or self.record.status.is_final:
            self._all_runs.keep(self.record, self.record.model_dump_json().encode())
            self._is_stored = True
        else:
            super()._save(to_store=to_store)
