"""Where runs happen. Each executor says what it can do; `workspace` chooses by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.registry import Registry

if TYPE_CHECKING:
    from workbench.execution.live import LiveRun
    from workbench.execution.perform import Task

EXECUTORS = Registry(
    "executor", "workbench.executors", {"kernel": "workbench.execution.kernel_executor:KernelExecutor"}
)


@dataclass(frozen=True, slots=True)
class Job:
    """A run that is ready to go: its live state and what is to be done."""

    live: LiveRun
    task: Task
    wait: bool
    debug: bool = False


class Executor(ABC):
    """Takes jobs and sees to it that each one ends in a final state, whatever happens."""

    #: the name in records and arguments
    name: str
    #: a run can be ended even if the algorithm never looks
    can_kill: bool
    #: runs go on when this process ends
    outlives_kernel: bool
    #: needs a store that other processes see
    needs_shared_store: bool

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Take a job. With ``job.wait`` return when it has ended, else at once."""

    @abstractmethod
    def cancel(self, run_id: str) -> None:
        """Ask a run to end; one that is unknown or has ended is left alone."""

    @abstractmethod
    def shutdown(self) -> None:
        """Cancel what is left, wait for it, and let go of threads and processes."""
