"""Runs in this process: in the calling thread, or one after the other in a worker thread."""

from __future__ import annotations

import contextvars
import queue
import threading

from workbench.execution.executor import Executor, Job
from workbench.execution.live import LiveRun
from workbench.execution.perform import perform


class KernelExecutor(Executor):
    """Runs in the kernel, where breakpoints and ``%debug`` work.

    A job that is waited for runs in the calling thread, and an interrupt (the stop button) cancels it. One that is not waited
    for runs in the one worker thread with the caller's context, so that a form's buttons stay alive.
    """

    name = "kernel"
    can_kill = False
    outlives_kernel = False
    needs_shared_store = False

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[contextvars.Context, Job] | None] = queue.SimpleQueue()
        self._worker: threading.Thread | None = None
        self._lock = threading.Lock()
        self._live: dict[str, LiveRun] = {}

    def submit(self, job: Job) -> None:
        self._live[job.live.record.id] = job.live
        if job.wait:
            self._perform(job)
            return
        with self._lock:
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(
                    target=self._work, name="workbench-kernel-executor", daemon=True
                )
                self._worker.start()
        self._queue.put((contextvars.copy_context(), job))

    def cancel(self, run_id: str) -> None:
        live = self._live.get(run_id)
        if live is not None:
            live.request_cancel()

    def shutdown(self) -> None:
        for live in list(self._live.values()):
            live.request_cancel()
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None and worker is not threading.current_thread():
            self._queue.put(None)
            worker.join(timeout=5.0)

    def _perform(self, job: Job) -> None:
        try:
            perform(job.live, job.task, raise_errors=job.debug and job.wait)
        finally:
            self._live.pop(job.live.record.id, None)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            context, job = item
            context.run(self._perform, job)
