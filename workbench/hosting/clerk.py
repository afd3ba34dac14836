"""Writes of runs what no worker does: that they wait, and the end of those whose worker cannot. In a thread of its own."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.execution.host_address import private_folder
from workbench.hosting.crash import split_crash
from workbench.hosting.raw_output import last_words, raw_path
from workbench.models import ErrorRecord, RunRecord, RunStatus, now

if TYPE_CHECKING:
    from workbench.execution.runs import Runs
    from workbench.hosting.workers import WorkerHandle
    from workbench.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended without its worker saying so."""

    status: RunStatus
    error: Callable[[str], ErrorRecord | None]  # from the last line of the log
    worker: int | None = None  # the process that vanished

    @classmethod
    def kept(cls) -> Ending:
        """It has ended and is kept so; only the catalog has not heard of it."""
        return cls(RunStatus.LOST, lambda last: None)

    @classmethod
    def cancelled(cls) -> Ending:
        return cls(RunStatus.CANCELLED, lambda last: None)

    @classmethod
    def timed_out(cls, seconds: float, doing: str = "") -> Ending:
        text = (
            f"took longer than {seconds:g} s and was killed. Pass a larger timeout_s, or None for no limit."
        )
        return cls(
            RunStatus.FAILED,
            lambda last: ErrorRecord(type="RunTimeoutError", message=text, phase=doing, kind="run_timeout"),
        )

    @classmethod
    def failed(cls, type: str, message: str) -> Ending:
        return cls(RunStatus.FAILED, lambda last: ErrorRecord(type=type, message=message))

    @classmethod
    def lost(cls, worker: WorkerHandle, doing: str = "") -> Ending:
        """Return the end of a run whose worker has died while it was, as it had said, at ``doing``."""

        def error(last: str) -> ErrorRecord:
            text = f"its worker (process {worker.pid}) {worker.why_ended()}"
            text += f", at {doing}" if doing else ""
            text += f"; last log line: {last}" if last else ""
            return ErrorRecord(type="ProcessGone", message=text, phase=doing, kind="run_lost")

        return cls(RunStatus.LOST, error, worker.pid)


class Clerk:
    """Settles runs, one after the other, and lists those that wait.

    Parameters
    ----------
    settings : dict
        Settings of the workspace; it is opened when there is something to write.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._workspace: Workspace | None = None
        self._unkept: list[RunRecord] = []  # final ones that a full disk did not take
        self._thread = threading.Thread(target=self._work, name="workbench-clerk", daemon=True)

    def begin(self) -> None:
        """Begin with what hosts before this one have left unsettled."""
        self._thread.start()
        self._tasks.put(lambda: self.workspace.runs.settle(again=True))

    def settle(self, record: bytes, ending: Ending, done: Callable[[bytes], None]) -> None:
        """Bring a run to an end and pass its final record on, as JSON."""
        self._tasks.put(lambda: done(self._settle(RunRecord.model_validate_json(record), ending)))

    def list_waiting(self, records: list[bytes], done: Callable[[], None]) -> None:
        """Bring runs that wait, as JSON, to the catalog; they are kept already."""

        def task() -> None:
            self.workspace.runs.file([RunRecord.model_validate_json(record) for record in records])
            done()

        self._tasks.put(task)

    def keep_later(self, record: bytes) -> None:
        """Keep a final record as soon as the workspace takes it."""
        self._tasks.put(lambda: self._unkept.append(RunRecord.model_validate_json(record)))

    def look(self) -> None:
        """Try again to keep what could not be kept."""
        if self._unkept:
            self._tasks.put(self._keep)

    def settle_unsent(self, kernel_pid: int, known: set[str]) -> None:
        """Settle what a process had recorded when it ended, and had not yet given to the host."""
        self._tasks.put(lambda: self._settle_unsent(kernel_pid, known))

    def close(self) -> None:
        """Finish what was asked for."""
        self._tasks.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)

    @property
    def workspace(self) -> Workspace:
        if self._workspace is None:
            from workbench.workspace import open as open_workspace

            self._workspace = open_workspace(**self._settings)
        return self._workspace

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task()
            except Exception:
                traceback.print_exc()

    def _keep(self) -> None:
        with suppress(WorkbenchError):
            while self._unkept:
                record = self._unkept[0]
                self.workspace.runs.end(record, record.status, record.error)
                del self._unkept[0]

    def _settle_unsent(self, kernel_pid: int, known: set[str]) -> None:
        from workbench.process_identity import this_process

        if not _is_gone(kernel_pid):
            return  # it closed its workspace, and lives
        host_pid, _, _, _ = this_process()
        runs = self.workspace.runs
        runs.take_up()
        for record in runs.unsettled():
            if (
                record.id not in known
                and (record.pid, record.kernel_pid) == (host_pid, kernel_pid)
                and record.status is RunStatus.PENDING
            ):
                text = f"process {kernel_pid} ended before it had given the run to the run host"
                runs.end(
                    record,
                    RunStatus.LOST,
                    ErrorRecord(type="ProcessGone", message=text, kind="run_lost"),
                )

    def _settle(self, record: RunRecord, ending: Ending) -> bytes:
        error: ErrorRecord | None = None
        crash: list[str] = []
        try:
            runs = self.workspace.runs
            if ending.worker is not None:
                folder = private_folder(self._settings.get("host_folder"))
                words, crash = split_crash(last_words(raw_path(folder, ending.worker)))
                runs.append_log(record.id, words)
            lines = runs.read_log(record.id).splitlines()
            error = ending.error(lines[-1] if lines else "")
            if crash and error is not None:
                runs.append_log(record.id, crash)
                error = error.model_copy(update={"traceback": "\n".join(crash)})
            if record.template is not None and error is not None:
                _show_in_notebook(runs, record, error)
            record = runs.end(record, ending.status, error)
        except Exception:  # a full disk must not keep those waiting who wait for the end
            traceback.print_exc()
            record = record.model_copy(update={"status": ending.status, "error": error, "finished": now()})
            self._unkept.append(record)
        return record.model_dump_json().encode()


def _show_in_notebook(runs: Runs, record: RunRecord, error: ErrorRecord) -> None:
    """Show in the notebook of a run how its process ended, in the cell that was running."""
    from workbench.batch.unfinished import show_end

    with suppress(WorkbenchError):
        text = show_end(runs.read_notebook(record.id), error)
        if text is not None:
            runs.save_notebook(record.id, text)


def _is_gone(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
