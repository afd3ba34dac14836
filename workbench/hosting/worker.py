"""A worker: a process that performs the runs that the host gives it, one after the other."""

from __future__ import annotations

import os
import queue
import signal
import socket
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.execution.caches import states
from workbench.execution.live import LiveRun
from workbench.execution.wire import Decoder, Message, encode, receive
from workbench.models import ErrorRecord, RunRecord, RunStatus, now
from workbench.settings import enter_environment

if TYPE_CHECKING:
    from workbench.algorithms.runnable import Runnable
    from workbench.execution.events import RunEvent
    from workbench.execution.executor import Services
    from workbench.execution.runs import Runs
    from workbench.workspace import Workspace

TELL_EVERY_S = 0.05  # a run that is shorter needs no record of having begun
MOST_KNOWN = 256  # revisions
SLEEP_AFTER = 20  # looks that found no run


class BackgroundRun(LiveRun):
    """A run of a worker.

    That it has begun is saved by `save_state`, for runs that take long enough to be seen. Its end is saved in the store, and
    may be told then; `file` brings it to the catalog.
    """

    def __init__(self, record: RunRecord, runs: Runs, *args: Any, **options: Any) -> None:
        super().__init__(record, runs, *args, **options)
        self._all_runs = runs

    def _save(self, *, to_store: bool) -> None:
        if self.record.status.is_final:
            self._all_runs.save_file(self.record)

    def save_state(self) -> None:
        """Note in the catalog that it has begun and which process has it."""
        with self._lock:
            if self.is_active:
                super()._save(to_store=False)

    def file(self) -> None:
        """Note its end in the catalog."""
        self._all_runs.save(self.record, before=self._saved, to_store=False)

    def prepare_next(self) -> None:
        """Do now what can be done of saving the next run."""
        self._all_runs.prepare()

    def interrupt(self) -> None:
        """Interrupt the main thread between two steps of a loop that never asks, unless the run is ending."""
        with self._lock:
            if self.is_active:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def fail(self, error: Exception) -> None:
        """End it before it has begun."""
        self.write_log("ERROR", f"{type(error).__name__}: {error}")
        self.advance(RunStatus.STARTED, started=now())
        self.end(
            RunStatus.FAILED,
            error=ErrorRecord(
                type=type(error).__name__,
                message=str(error),
                phase="load_assets",
                traceback="".join(traceback.format_exception(error)),
            ),
        )


class Worker:
    """The loop of a worker.

    Its main thread performs runs; a second one listens to the host, so that a cancel is heard and the end of the host ends the
    worker; a third one tells of log and progress, a few times a second; a fourth one brings ended runs to the catalog.

    Parameters
    ----------
    connection : socket
        To the host.
    open_workspace : callable
        Opens the workspace at the first run.
    """

    def __init__(self, connection: socket.socket, open_workspace: Callable[[], Workspace]) -> None:
        self._connection = connection
        self._open_workspace = open_workspace
        self._orders: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[tuple[str, BackgroundRun | None] | None] = queue.SimpleQueue()
        self._sending = threading.Lock()
        self._current: BackgroundRun | None = None
        self._reporter: _Reporter = _Reporter(self._tell)
        self._workspace: Workspace | None = None
        self._known: dict[str, Runnable] = {}

    def work(self) -> None:
        """Work until the host says so or ends."""
        threading.Thread(target=self._listen, name="workbench-host", daemon=True).start()
        filing = threading.Thread(target=self._file, name="workbench-filing", daemon=True)
        filing.start()
        self._tell({"event": "ready", "pid": os.getpid()})
        while (order := self._orders.get()) is not None:
            final = self._perform(order)
            live, self._current = self._current, None
            done = {"event": "done", "run": final.id, "failed": final.status is RunStatus.FAILED}
            self._tell(done, final.model_dump_json().encode())
            self._ended.put((final.id, live))
        self._ended.put(None)
        filing.join()
        if self._workspace is not None:
            self._workspace.close()

    def _file(self) -> None:
        """Bring runs that have ended to the catalog, while the next one begins.

        Their records are kept already: one that cannot be filed is found by a reindex.
        """
        while (ended := self._ended.get()) is not None:
            run_id, live = ended
            try:
                if live is not None:
                    live.file()
            except Exception:
                traceback.print_exc()
            self._tell({"event": "filed", "run": run_id, **self._kept()})
            if live is not None:
                live.prepare_next()

    def _kept(self) -> Message:
        """Return which Runners are warm here, and the state of all caches."""
        if self._workspace is None:
            return {"loaded": [], "caches": []}
        services = self._workspace.services()
        return {
            "loaded": [list(key) for key in services.runners.keys()],  # noqa: SIM118
            "caches": [state.as_dict() for state in states(services, f"worker {os.getpid()}")],
        }

    def _listen(self) -> None:
        decoder = Decoder()
        while (messages := receive(self._connection, decoder)) is not None:
            for message in messages:
                if message["op"] == "run":
                    self._orders.put(message)
                elif message["op"] == "cancel":
                    self._cancel(message["run"], hard=message.get("hard", False))
                elif message["op"] == "end":
                    self._orders.put(None)
        os._exit(1)  # the host is gone, and nobody would hear of what is done here

    def _cancel(self, run_id: str, *, hard: bool) -> None:
        live = self._current
        if live is None or live.record.id != run_id:
            return
        live.request_cancel()
        if hard:
            live.interrupt()

    def _perform(self, order: Message) -> RunRecord:
        record = RunRecord.model_validate_json(order["body"])
        try:
            return self._run(record, order)
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
                end = {"status": RunStatus.FAILED, "error": failed, "finished": now()}
                return record.model_copy(update=end)

    def _run(self, record: RunRecord, order: Message) -> RunRecord:
        from workbench.execution.log_file import LogFile
        from workbench.execution.perform import Task, perform
        from workbench.execution.process_identity import this_process

        _enter(order)
        workspace = self._workspace = self._workspace or self._open_workspace()
        services: Services = workspace.services()
        pid, started, _, _ = this_process()
        record = record.model_copy(update={"worker_pid": pid, "worker_started": started})
        live = BackgroundRun(
            record,
            services.runs,
            LogFile(services.store, record.id),
            lowest_level=services.settings.log_level,
        )
        self._current = live
        live.subscribe(lambda event: self._reporter.hear(live, event))
        for warning in record.warnings:
            live.write_log("WARNING", warning)
        try:
            algorithm = self._algorithm(workspace, record.revision, order.get("folder"))
        except Exception as error:
            live.fail(error)
            return live.record
        # the facts of the kernel hold here: the same interpreter, and the folder it works in
        task = replace(Task.of(services, algorithm, record.device), facts=lambda: record.environment)
        with self._reporter.reporting(live):
            try:
                perform(live, task)
            except KeyboardInterrupt:
                live.end(RunStatus.CANCELLED)  # unless it is settled already
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

    def _tell(self, message: Message, body: bytes = b"") -> None:
        frame = encode(message, body)
        with self._sending, suppress(OSError):
            self._connection.sendall(frame)


def _enter(order: Message) -> None:
    """Be where the kernel was that started the run, with what it wants of the environment."""
    with suppress(OSError):
        os.chdir(order["cwd"])
    enter_environment(order["env"])


class _Reporter:
    """Tells the host of log and progress at most so many times a second, in a thread that sleeps between runs."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell
        self._lock = threading.Condition()
        self._live: Any = None
        self._saved = True
        self._sent = 0
        self._progress: tuple[float, str] | None = None
        self._thread: threading.Thread | None = None
        self._is_asleep = False

    def hear(self, live: LiveRun, event: RunEvent) -> None:
        """Take an event of the run."""
        if event.kind == "progress":
            self._progress = (event.fraction, event.message)
        elif event.kind == "state" and event.status is RunStatus.RUNNING:
            self._saved = False

    def reporting(self, live: LiveRun) -> _Reporting:
        """Report while the run goes on."""
        return _Reporting(self, live)

    def begin(self, live: LiveRun) -> None:
        with self._lock:
            self._live, self._sent, self._progress = live, 0, None
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="workbench-reporter", daemon=True)
                self._thread.start()
            elif self._is_asleep:  # between two short runs it is not woken, only to find nothing to report
                self._lock.notify()

    def finish(self) -> None:
        with self._lock:
            live, self._live = self._live, None
            self._report(live, final=True)

    def _work(self) -> None:
        idle = 0
        while True:
            with self._lock:
                live = self._live
                self._is_asleep = live is None and idle > SLEEP_AFTER
                self._lock.wait(None if self._is_asleep else TELL_EVERY_S)
                self._is_asleep = False
                idle = 0 if live is not None or self._live is not None else idle + 1
                if live is not None and self._live is live:
                    self._report(live, final=False)

    def _report(self, live: Any, *, final: bool) -> None:
        record = live.record
        if not final and not self._saved and live.is_active:
            self._saved = True
            live.save_state()
            self._tell({"event": "state", "run": record.id}, live.record.model_dump_json().encode())
        if live.log.size > self._sent:
            self._sent = live.log.size
            self._tell({"event": "log", "run": record.id, "size": self._sent})
        if self._progress is not None and not final:
            fraction, message = self._progress
            self._progress = None
            self._tell({"event": "progress", "run": record.id, "fraction": fraction, "message": message})


class _Reporting:
    def __init__(self, reporter: _Reporter, live: LiveRun) -> None:
        self._reporter = reporter
        self._live = live

    def __enter__(self) -> None:
        self._reporter.begin(self._live)

    def __exit__(self, *args: object) -> None:
        self._reporter.finish()


def serve(connection: socket.socket, settings: dict[str, Any]) -> None:
    """Be a worker; what multiprocessing calls in the new process.

    Parameters
    ----------
    connection : socket
        To the host.
    settings : dict
        Settings of the workspace.
    """
    _end_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def open_workspace() -> Workspace:
        from workbench.workspace import open as open_

        return open_(**settings)

    Worker(connection, open_workspace).work()
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
