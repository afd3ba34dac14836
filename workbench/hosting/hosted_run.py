"""A run as the host has it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from workbench.execution.slots import Needs
from workbench.execution.wire import Message
from workbench.hosting.clerk import Ending
from workbench.hosting.clients import Client
from workbench.hosting.workers import WorkerHandle
from workbench.models import RunRecord, RunStatus, now

#: what of an order the worker needs, beside the record
FOR_THE_WORKER = ("folder", "notebook", "call", "pipeline", "cwd", "env")


@dataclass(eq=False)
class HostedRun:
    """A run that the host has taken."""

    id: str
    order: Message
    needs: Needs
    key: tuple[str, str]
    timeout_s: float | None
    deadline: float = math.inf
    group: str | None = None
    fail_fast: bool = False  # its group ends when it fails
    watchers: set[Client] = field(default_factory=set)
    worker: WorkerHandle | None = None
    record: bytes = b""  # the newest one, as JSON
    log_size: int = 0
    progress: tuple[float, str] | None = None
    cancelled: bool = False
    ending: Ending | None = None  # what the host has decided, when it kills the worker
    is_new: bool = True  # no second has begun since it was given to a worker
    is_told: bool = False  # its worker has said that it has begun
    is_settling: bool = False
    is_notebook: bool = False
    conducts: bool = False  # a pipeline, whose nodes are runs of their own
    part_of: str | None = None  # the pipeline's run that it is a node of

    @classmethod
    def submitted(cls, message: Message) -> HostedRun:
        """Return the run of a message that gives it to the host."""
        return cls(
            id=message["run"],
            order={"op": "run", **{name: message.get(name) for name in FOR_THE_WORKER}},
            needs=Needs(message["memory"], message["gpu"]),
            key=(message["key"][0], message["key"][1]),
            timeout_s=message["timeout_s"],
            group=message.get("group"),
            fail_fast=message.get("fail_fast", False),
            record=message.pop("body"),
            is_notebook=message.get("notebook", False),
            conducts=bool(message.get("pipeline")),
            part_of=message.get("part_of"),
        )

    @property
    def is_silent(self) -> bool:
        """Whether a worker has it and has not said yet that it has begun."""
        return self.worker is not None and not self.is_told and not self.is_settling

    def begin(self) -> None:
        """Note in its place that it has begun."""
        assert self.worker is not None
        begun: dict[str, Any] = {
            "status": RunStatus.STARTED,
            "started": now(),
            "worker_pid": self.worker.pid,
        }
        record = RunRecord.model_validate_json(self.record)
        self.record, self.is_told = record.model_copy(update=begun).model_dump_json().encode(), True
