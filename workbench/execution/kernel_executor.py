"""Runs in this process: in the calling thread, or one after the other in a worker thread."""

from __future__ import annotations

import contextvars
import os
import queue
import threading
from collections.abc import Callable

from workbench.errors import UnsupportedError
from workbench.execution.executor import Executor, Job, Services
from workbench.execution.kept_run import KeptRun
from workbench.execution.live import LiveRun
from workbench.execution.log_file import LogFile
from workbench.execution.perform import Task, perform


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - in the path of every run
    except FileNotFoundError:
        return None


class KernelExecutor(Executor):
    """Runs in the kernel, where breakpoints and ``%debug`` work.

    A job that is waited for runs in the calling thread, and an interrupt (the stop button) cancels it. One that is not waited
    for runs in the one worker thread with the caller's context, so that a form's buttons stay alive.
    """

    name = "kernel"
    can_kill = False
    outlives_kernel = False
    needs_shared_store = False

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._queue: queue.SimpleQueue[tuple[contextvars.Context, Callable[[], None]] | None] = (
            queue.SimpleQueue()
        )
        self._worker: threading.Thread | None = None
        self._lock = threading.Lock()
        self._live: dict[str, LiveRun] = {}

    def submit(self, job: Job) -> LiveRun:
        services, record = self.services, job.record
        if job.algorithm is None:
            raise UnsupportedError(
                "A notebook is run in a process of its own, never in this kernel. Pass executor='process' (-x process), or leave it out."
            )
        live = (LiveRun if record.pipeline is None else KeptRun)(
            record,
            services.runs,
            LogFile(services.store, record.id),
            lowest_level="DEBUG" if record.debug else services.settings.log_level,
            echo=job.echo,
        )
        if job.listener is not None:
            live.subscribe(job.listener)
        services.runs.add(live)
        if not job.wait:
            live.save()
        for warning in record.warnings:
            live.write_log("WARNING", warning)
        task = Task.of(services, job.algorithm, record.device)
        self._live[record.id] = live
        if job.wait:
            self._perform(live, task, raise_errors=record.debug)
            return live
        with self._lock:
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(
                    target=self._work, name="workbench-kernel-executor", daemon=True
                )
                self._worker.start()
        self._queue.put((contextvars.copy_context(), lambda: self._perform(live, task)))
        return live

    def shutdown(self) -> None:
        for live in list(self._live.values()):
            live.request_cancel()
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None and worker is not threading.current_thread():
            self._queue.put(None)
            worker.join(timeout=5.0)

    def _perform(self, live: LiveRun, task: Task, *, raise_errors: bool = False) -> None:
        here = _folder()
        try:
            perform(live, task, raise_errors=raise_errors)
        finally:
            self._live.pop(live.record.id, None)
            if here is not None and _folder() != here:
                os.chdir(here)  # the algorithm went elsewhere; the notebook did not

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            context, step = item
            context.run(step)
