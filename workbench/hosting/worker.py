"""A worker: a process that performs the runs that the host gives it, one after the other."""

from __future__ import annotations

import os
import queue
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.execution.caches import states
from workbench.execution.capture import keep_installed
from workbench.execution.forks import Border
from workbench.execution.host_address import private_folder
from workbench.execution.wire import Message
from workbench.hosting.background_run import BackgroundRun
from workbench.hosting.crash import tell_crashes
from workbench.hosting.line import Line
from workbench.hosting.raw_output import RawOutput, raw_path
from workbench.hosting.reporter import Reporter
from workbench.models import ErrorRecord, RunRecord, RunStatus, now
from workbench.settings import all_environment, enter_environment, restore_environment

if TYPE_CHECKING:
    from workbench.algorithms.runnable import Runnable
    from workbench.execution.executor import Services
    from workbench.workspace import Workspace

MOST_KNOWN = 256  # revisions
FILE_AFTER_S = 0.1  # without a new run
FILE_AT_LATEST_S = 1.0  # where one run follows the other
FILE_AGAIN_S = 2.0  # on a full disk


class Worker:
    """The loop of a worker.

    Its main thread takes orders and performs them; a second one listens to the host while a run lasts (see `Line`); a third one
    tells of log and progress, a few times a second; a fourth one brings the records of ended runs to their places.

    Parameters
    ----------
    connection : socket
        To the host.
    open_workspace : callable
        Opens the workspace at the first run.
    raw : RawOutput
    """

    def __init__(
        self, connection: socket.socket, open_workspace: Callable[[], Workspace], raw: RawOutput
    ) -> None:
        self._line = Line(connection, self._cancel)
        self._tell = self._line.tell
        self._open_workspace = open_workspace
        self._ended: queue.SimpleQueue[RunRecord | None] = queue.SimpleQueue()
        self._current: BackgroundRun | None = None
        self._reporter: Reporter = Reporter(self._tell, self._while_it_lasts)
        self._workspace: Workspace | None = None
        self._known: dict[str, Runnable] = {}
        self._last_order = 0.0
        self._is_last = False
        self._is_told = False  # how the run ended
        self._unkept = False  # the workspace did not take how the run ended
        self._raw = raw

    def work(self) -> None:
        """Work until the host says so or ends."""
        filing = threading.Thread(target=self._file, name="workbench-filing", daemon=True)
        filing.start()
        self._tell({"event": "ready", "pid": os.getpid()})
        with suppress(Exception):  # a spare worker has time for it; what is wrong is said by the first run
            self._workspace = self._open_workspace()
        while (order := self._line.next_order()) is not None:
            self._is_told = self._unkept = False
            self._last_order = time.monotonic()
            final = self._perform(order)
            self._current = None
            if not self._is_told:
                self._tell_end(final, final.model_dump_json().encode())
            if self._is_last:
                break
        self._ended.put(None)
        filing.join()
        if self._workspace is not None:
            self._workspace.close()

    def _tell_end(self, final: RunRecord, content: bytes) -> None:
        """Tell how a run has ended; once."""
        self._is_told = True
        self._reporter.finish()
        end = {"failed": final.status is RunStatus.FAILED, "unkept": self._unkept, "leaves": self._is_last}
        self._tell({"event": "done", "run": final.id, **end}, content)
        self._ended.put(final)

    def _file(self) -> None:
        """Bring the records of runs that have ended to their places, many at once, when no others hold this process busy."""
        records: list[RunRecord] = []
        is_last = False
        while not is_last:
            with suppress(queue.Empty):
                ended = self._ended.get(timeout=FILE_AGAIN_S if records else None)
                if ended is not None:
                    self._wait_for_rest()
                while ended is not None:
                    records.append(ended)
                    ended = self._ended.get_nowait()
                is_last = True
            ids = [record.id for record in records]
            try:
                if self._workspace is not None:
                    self._workspace.runs.file(records)
                    self._workspace.runs.filed(ids)
                records = []
            except (
                Exception
            ):  # they are kept: it is tried again, and by the next one that opens the workspace
                traceback.print_exc()
                continue
            self._tell({"event": "filed", "runs": ids, **self._kept()})

    def _wait_for_rest(self) -> None:
        """Return when no run has begun for a moment, or it has to be now."""
        latest = time.monotonic() + FILE_AT_LATEST_S
        while (wait := min(self._last_order + FILE_AFTER_S, latest) - time.monotonic()) > 0:
            time.sleep(wait)

    def _kept(self) -> Message:
        """Return which Runners are warm here, and the state of all caches."""
        if self._workspace is None:
            return {"loaded": [], "caches": []}
        services = self._workspace.services()
        return {
            "loaded": [list(key) for key in services.runners.keys()],  # noqa: SIM118
            "caches": [state.as_dict() for state in states(services, f"worker {os.getpid()}")],
        }

    def _cancel(self, run_id: str, hard: bool) -> None:
        live = self._current
        if live is None or live.record.id != run_id:
            return
        live.request_cancel()
        if hard or self._is_last:  # the cells of a notebook never ask
            live.interrupt()

    def _perform(self, order: Message) -> RunRecord:
        record = RunRecord.model_validate_json(order["body"])
        before = all_environment()
        _enter(order)
        try:
            with Border():
                final = self._run(record, order)
            if final.status is RunStatus.CANCELLED or (final.error and final.error.kind == "run_timeout"):
                _end_children()
            return final
        except Exception as error:
            # nothing of the algorithm: the store or the catalog could not take the record
            traceback.print_exc()
            self._current = None
            failed = ErrorRecord(type=type(error).__name__, message=str(error))
            try:
                assert self._workspace is not None
                return self._workspace.runs.end(record, RunStatus.FAILED, failed)
            except Exception:  # whoever waits for it must hear of it all the same
                traceback.print_exc()
                self._unkept = True
                failed = failed.model_copy(
                    update={"message": f"{error} How the run ended is recorded as soon as that is possible."}
                )
                end = {"status": RunStatus.FAILED, "error": failed, "finished": now()}
                return record.model_copy(update=end)
        finally:
            restore_environment(before)  # what a run sets is its own

    def _run(self, record: RunRecord, order: Message) -> RunRecord:
        from workbench.execution.log_file import LogFile
        from workbench.execution.perform import Task, perform
        from workbench.process_identity import this_process

        workspace = self._workspace = self._workspace or self._open_workspace()
        services: Services = workspace.services()
        pid, started, _, _ = this_process()
        record = record.model_copy(update={"worker_pid": pid, "worker_started": started})
        live = _kind_of(order)(
            record,
            services.runs,
            LogFile(services.store, record.id),
            lowest_level=services.settings.log_level,
        )
        self._current = live
        live.subscribe(lambda event: self._reporter.hear(live, event))
        for warning in record.warnings:
            live.write_log("WARNING", warning)
        if order.get("notebook"):
            return self._run_notebook(live, services)
        if order.get("call"):
            return self._run_call(live, services, Path(order["call"]))
        if order.get("pipeline"):
            return self._run_pipeline(live, workspace, Path(order["pipeline"]))
        try:
            algorithm = self._algorithm(workspace, record.revision, order.get("folder"))
        except Exception as error:
            live.fail(error)
            return live.record
        # the facts of the kernel hold here: the same interpreter, and the folder it works in
        task = Task.of(services, algorithm, record.device, facts=lambda: record.environment, has_user=False)
        with self._reporter.reporting(live), self._raw.of_run():
            live.before_end(lambda: self._log_raw(live))
            try:
                perform(live, task)
            except KeyboardInterrupt:
                live.end(RunStatus.CANCELLED)  # unless it is settled already
            if live.kept is not None:  # what remains to be done here keeps nobody waiting
                self._tell_end(live.record, live.kept)
        return live.record

    def _run_call(self, live: BackgroundRun, services: Services, path: Path) -> RunRecord:
        """Call a function of a pipeline."""
        from workbench.pipelines.handover import fresh_modules

        with fresh_modules():
            return self._call(live, services, path)

    def _call(self, live: BackgroundRun, services: Services, path: Path) -> RunRecord:
        from workbench.pipelines.call import perform_call, trains
        from workbench.pipelines.handover import give_back, take
        from workbench.pipelines.values import Value, Values

        try:
            call = take(path)
        except Exception as error:
            live.fail(error)
            return live.record

        def deliver(given: tuple[Value, ...]) -> None:
            give_back(path, call, given, dict(vars(call.what)) if trains(call.what) else None)

        with self._reporter.reporting(live), self._raw.of_run():
            live.before_end(lambda: self._log_raw(live))
            try:
                perform_call(
                    live,
                    call,
                    Values(services.datasets),
                    live.record.environment,
                    has_user=False,
                    deliver=deliver,
                )
            except KeyboardInterrupt:
                live.end(RunStatus.CANCELLED)  # unless it is settled already
            if live.kept is not None:
                self._tell_end(live.record, live.kept)
        return live.record

    def _run_pipeline(self, live: BackgroundRun, workspace: Workspace, path: Path) -> RunRecord:
        """Conduct a pipeline."""
        from workbench.hosting.conducted_run import ConductedRun, conduct

        assert isinstance(live, ConductedRun)
        with self._reporter.reporting(live), self._raw.of_run():
            live.before_end(lambda: self._log_raw(live))
            try:
                conduct(live, workspace, path)
            except KeyboardInterrupt:
                live.end(RunStatus.CANCELLED)  # unless it is settled already
        return live.record

    def _while_it_lasts(self) -> None:
        """Do what is due now and then while a run goes on, in the thread that reports."""
        self._line.listen()
        if (live := self._current) is not None and live.is_active:
            self._log_raw(live, all_of_it=False)

    def _log_raw(self, live: BackgroundRun, *, all_of_it: bool = True) -> None:
        """Bring to the log what was written past Python."""
        self._raw.take(lambda line: live.write_log("STDERR", line), all_of_it=all_of_it)

    def _run_notebook(self, live: BackgroundRun, services: Services) -> RunRecord:
        """Run a notebook; this process has done nothing before and does nothing after it."""
        from workbench.batch.perform_notebook import perform_notebook

        enter_environment({"WORKBENCH_URL": services.settings.url or services.store.url})
        self._is_last = True
        with self._reporter.reporting(live):
            perform_notebook(live, services.runs, services.datasets, self._reporter.say_progress)
        return live.record

    def _algorithm(self, workspace: Workspace, revision: str | None, folder: str | None) -> Runnable:
        """Return what is to be run; a revision never changes, so the catalog is asked once for each."""
        from workbench.algorithms.runnable import from_folder, resolve

        if folder is not None:
            return from_folder(Path(folder))
        assert revision is not None
        if revision not in self._known:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[revision] = resolve(workspace.algorithms, revision)
        return self._known[revision]


def _kind_of(order: Message) -> type[BackgroundRun]:
    """Return the class of an ordered run."""
    if not order.get("pipeline"):
        return BackgroundRun
    from workbench.hosting.conducted_run import ConductedRun

    return ConductedRun


def _enter(order: Message) -> None:
    """Be where the kernel was that started the run, with what it wants of the environment."""
    with suppress(OSError):
        os.chdir(order["cwd"])
    enter_environment(order["env"])


def _end_children() -> None:
    """End what a run has started and left behind when it was ended itself."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.kill()


def serve(connection: socket.socket, settings: dict[str, Any]) -> None:
    """Be a worker; what multiprocessing calls in the new process.

    Parameters
    ----------
    connection : socket
        To the host.
    settings : dict
        Settings of the workspace.
    """
    with suppress(OSError):
        os.setsid()  # what algorithms start ends with their worker: the host kills the whole group
    _end_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def open_workspace() -> Workspace:
        from workbench.workspace import open as open_

        return open_(**settings)

    keep_installed()
    raw = RawOutput(raw_path(private_folder(settings.get("host_folder")), os.getpid()))
    tell_crashes(raw.fileno())
    Worker(connection, open_workspace, raw).work()
    raw.close()
    os._exit(0)  # threads of algorithms do not keep it


def _end_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends: a call that never returns would not see the host go.

    The parent is the server that forks workers, which ends with the host, or a thread of the host that lives as long as it.
    """
    import ctypes
    import sys

    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
