"""Runs in processes of their own, which outlive the kernel: given to the run host of the workspace."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidInputError, StorageError, UnsupportedError
from workbench.execution.caches import CacheState
from workbench.execution.echo import EchoLimit
from workbench.execution.events import RunEvent
from workbench.execution.executor import Executor, Job, Services
from workbench.execution.host_client import HostClient
from workbench.execution.remote_run import RemoteRun
from workbench.execution.slots import needs_of
from workbench.models import RunRecord
from workbench.settings import chosen_environment

if TYPE_CHECKING:
    from workbench.storage.store import Store


class ProcessExecutor(Executor):
    """Runs in background processes.

    The run host starts on first use and is shared by all kernels of this user, workspace and environment. A run goes on when
    the kernel ends; cancel and time-out end it even if the algorithm never looks.
    """

    name = "process"
    can_kill = True
    outlives_kernel = True
    needs_shared_store = True
    takes_calls = True
    takes_pipelines = True

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.client = HostClient(services.settings, place_of(services.store), services.runs)
        services.runs.before_reading(self.client.file)

    def submit(self, job: Job) -> RemoteRun:
        services, record = self.services, job.record
        if record.debug:
            raise UnsupportedError(
                "debug=True (--debug) stops in the algorithm's frame, which is in another process with "
                "executor='process' (-b, -x process). Debug in the kernel: executor='kernel', or without -b and -x."
            )
        order = self._order(job)
        if job.notebook:
            services.runs.save_notebook(record.id, job.notebook)
        member = job.member
        if member is not None:
            order |= {
                "group": member.sweep,
                "jobs": member.jobs,
                "fail_fast": member.fail_fast,
                "list": False,
            }
        if not job.wait:
            return self._give(record, order, job.listener, job.take_back)
        events: queue.SimpleQueue[RunEvent] = queue.SimpleQueue()
        remote = self._give(record, order, events.put)
        try:
            self._follow(record.id, events, job)
        except KeyboardInterrupt:
            remote.request_cancel()
            remote.wait(services.settings.cancel_grace_s + 1.0)
            raise
        return remote

    def _give(
        self,
        record: RunRecord,
        order: dict[str, Any],
        listener: Callable[[RunEvent], None] | None,
        take_back: Callable[[], dict[str, Any]] | None = None,
    ) -> RemoteRun:
        """Give a run to the host, or to the next one if this one ends in this moment."""

        def keep(remote: RemoteRun) -> None:
            remote.take_back = take_back
            self.services.runs.add(remote)

        facts = {"kernel_pid": record.pid, "environment": self.services.environment.facts()}
        while True:
            self.client.connect(start=True)
            host = {"pid": self.client.host_pid, "pid_started": self.client.host_started}
            try:
                return self.client.submit(record.model_copy(update={**facts, **host}), order, keep, listener)
            except ConnectionError:
                continue

    def attach(self, record: RunRecord) -> RemoteRun | None:
        remote = self.client.attach(record)
        if remote is not None and remote.is_active:
            self.services.runs.add(remote)
        return remote

    def settle(self) -> None:
        with suppress(StorageError):  # the host is gone, and so is what it had
            self.client.status()  # its answer comes after all that was sent before

    def attach_sweep(self, sweep: str) -> dict[str, RemoteRun]:
        found = self.client.attach_group(sweep)
        for remote in found.values():
            if remote.is_active:
                self.services.runs.add(remote)
        return found

    def cancel_sweep(self, sweep: str) -> bool:
        self.client.cancel_group(sweep)
        return True

    def cache_states(self) -> list[CacheState]:
        """Return the state of the caches of all workers, as of the last run of each."""
        status = self.client.status()
        return [CacheState(**state) for w in (status or {}).get("workers", ()) for state in w["caches"]]

    def shutdown(self) -> None:
        self.client.close()

    def _order(self, job: Job) -> dict[str, Any]:
        """Return what the host and the worker need beside the record."""
        settings, algorithm = self.services.settings, job.algorithm
        order: dict[str, Any] = {
            "list": True,
            "folder": None,
            "memory": 0,
            "gpu": None,
            "cwd": _cwd(),
            "env": chosen_environment(settings.host_environment),
            "part_of": job.record.pipeline,
        }
        if job.pipeline:
            return {**order, "pipeline": job.pipeline, "key": ["pipeline", ""]}
        if job.call:
            return {**order, "call": job.call, "key": ["call", job.record.content]}
        if algorithm is None:
            return {**order, "notebook": True, "key": ["notebook", ""]}
        needs = needs_of(algorithm.revision, job.record.device, settings)
        return {
            **order,
            "folder": None if algorithm.is_deployed else str(Path(algorithm.label).resolve()),
            "key": [algorithm.revision.content, job.record.device],
            "memory": needs.memory,
            "gpu": needs.gpu,
        }

    def _follow(self, run_id: str, events: queue.SimpleQueue[RunEvent], job: Job) -> None:
        """Pass events on in the caller's thread until the run has ended: what is shown there lands in its cell."""
        limit = EchoLimit(run_id)
        while True:
            self.client.read_until(lambda: not events.empty())
            event = events.get()
            if job.listener is not None:
                job.listener(event)
            if job.echo and event.kind == "log":
                print(limit.take(_printed(event.text)), end="")
            if event.status.is_final and event.kind == "state":
                return


def place_of(store: Store) -> str:
    """Return where a store is, the same whatever way its folder was named."""
    probe = store.local_path("runs", "x")
    return store.url if probe is None else str(probe.parent.parent.resolve())


def _printed(text: str) -> str:
    """Return what the algorithm printed, of some lines of the log and without their stamps."""
    lines = []
    for line in text.splitlines():
        stamped = line.split(" ", 3)
        if not line.startswith("    ") and len(stamped) == 4 and stamped[2] == "PRINT":
            lines.append(f"{stamped[3]}\n")
    return "".join(lines)


def _cwd() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - in the path of every run
    except FileNotFoundError:
        raise InvalidInputError(
            "The current folder is gone, and a background run works in it. Go to another one."
        ) from None
