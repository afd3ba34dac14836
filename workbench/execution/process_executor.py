"""Runs in processes of their own, which outlive the kernel: given to the run host of the workspace."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

from workbench.errors import InvalidInputError, UnsupportedError
from workbench.execution.caches import CacheState
from workbench.execution.events import RunEvent
from workbench.execution.executor import Executor, Job, Services
from workbench.execution.host_client import HostClient
from workbench.execution.remote_run import RemoteRun
from workbench.execution.slots import needs_of
from workbench.models import RunRecord
from workbench.settings import chosen_environment


class ProcessExecutor(Executor):
    """Runs in background processes.

    The run host starts on first use and is shared by all kernels of this user, workspace and interpreter. A run goes on when
    the kernel ends; cancel and time-out end it even if the algorithm never looks.
    """

    name = "process"
    can_kill = True
    outlives_kernel = True
    needs_shared_store = True

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.client = HostClient(services.settings, services.store.url, services.runs)

    def submit(self, job: Job) -> RemoteRun:
        services, record = self.services, job.record
        if record.debug:
            raise UnsupportedError(
                "debug=True stops in the algorithm's frame, which is in another process with executor='process'. "
                "Debug in the kernel: executor='kernel'."
            )
        needs = needs_of(job.algorithm.revision, record.device, services.settings)
        self.client.connect(start=True)
        record = record.model_copy(
            update={
                "pid": self.client.host_pid,
                "pid_started": self.client.host_started,
                "kernel_pid": record.pid,
                "environment": services.environment.facts(),
            }
        )
        order: dict[str, Any] = {
            "folder": None if job.algorithm.is_deployed else str(Path(job.algorithm.label).resolve()),
            "key": [job.algorithm.revision.content, record.device],
            "memory": needs.memory,
            "gpu": needs.gpu,
            "cwd": _cwd(),
            "env": chosen_environment(services.settings.host_environment),
        }
        services.runs.save(record, before=None)
        if not job.wait:
            return self._give(record, order, job.listener)
        events: queue.SimpleQueue[RunEvent] = queue.SimpleQueue()
        remote = self._give(record, order, events.put)
        try:
            self._follow(remote, events, job)
        except KeyboardInterrupt:
            remote.request_cancel()
            remote.wait(services.settings.cancel_grace_s + 1.0)
            raise
        return remote

    def attach(self, record: RunRecord) -> RemoteRun | None:
        remote = self.client.attach(record)
        if remote is not None and remote.is_active:
            self.services.runs.add(remote)
        return remote

    def cache_states(self) -> list[CacheState]:
        """Return the state of the caches of all workers, as of the last run of each."""
        status = self.client.status()
        return [CacheState(**state) for w in (status or {}).get("workers", ()) for state in w["caches"]]

    def shutdown(self) -> None:
        self.client.close()

    def _give(self, record: RunRecord, order: dict[str, Any], listener: Any) -> RemoteRun:
        return self.client.submit(record, order, self.services.runs.add, listener)

    def _follow(self, remote: RemoteRun, events: queue.SimpleQueue[RunEvent], job: Job) -> None:
        """Pass events on in the caller's thread until the run has ended: what is shown there lands in its cell."""
        while True:
            event = events.get()
            if job.listener is not None:
                job.listener(event)
            if job.echo and event.kind == "log":
                _echo(event.text)
            if event.status.is_final and event.kind == "state":
                return


def _echo(text: str) -> None:
    """Print what the algorithm printed, without the stamps of the log."""
    for line in text.splitlines():
        if line.startswith("    "):
            continue
        stamped = line.split(" ", 3)
        if len(stamped) == 4 and stamped[2] == "PRINT":
            print(stamped[3])


def _cwd() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        raise InvalidInputError(
            "The current folder is gone, and a background run works in it. Go to another one."
        ) from None
