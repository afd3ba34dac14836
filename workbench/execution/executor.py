"""Where runs happen. Each executor says what it can do; `workspace` chooses by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidInputError
from workbench.names import check_name
from workbench.registry import Registry

if TYPE_CHECKING:
    from workbench.algorithms.runnable import Runnable
    from workbench.execution.active import ActiveRun
    from workbench.execution.environment import Environment
    from workbench.execution.events import RunEvent
    from workbench.execution.member import Member
    from workbench.execution.perform import RunnerCache
    from workbench.execution.runs import Runs
    from workbench.library.datasets import Datasets
    from workbench.models import RunRecord
    from workbench.sessions import Session
    from workbench.settings import Settings
    from workbench.storage.store import Store

EXECUTORS = Registry(
    "executor",
    "workbench.executors",
    {
        "kernel": "workbench.execution.kernel_executor:KernelExecutor",
        "process": "workbench.execution.process_executor:ProcessExecutor",
    },
)


@dataclass(frozen=True, slots=True)
class Services:
    """What an executor works with, wired by the workspace."""

    store: Store
    settings: Settings
    datasets: Datasets
    runs: Runs
    environment: Environment
    runners: RunnerCache
    session: Callable[[str], Session]


@dataclass(frozen=True, slots=True)
class Job:
    """A run that is ready to go: everything was checked, nothing was started.

    Parameters
    ----------
    record : RunRecord
        In state PENDING, not saved yet.
    algorithm : Runnable or None
        None for a notebook or a call.
    wait : bool
        Whether the caller waits for the end.
    echo : bool
        Whether what the algorithm prints also appears where the caller is.
    listener : callable, optional
        Called with every event from the first one on.
    notebook : str
        The notebook to be run, with its parameters in it, as JSON.
    member : Member, optional
        Its place in a sweep, whose file names the run already.
    call : str
        The file with the function of a pipeline that is to be called.
    pipeline : str
        The file with the pipeline that is to be conducted.
    take_back : callable, optional
        Called in this process before anybody here hears of the end; returns what the run gave and is kept nowhere, by name.
    """

    record: RunRecord
    algorithm: Runnable | None
    wait: bool
    echo: bool = False
    listener: Callable[[RunEvent], None] | None = None
    notebook: str = ""
    member: Member | None = None
    call: str = ""
    pipeline: str = ""
    take_back: Callable[[], dict[str, Any]] | None = None


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
    #: takes functions of pipelines too, not only algorithms and notebooks
    takes_calls: bool = False
    #: conducts pipelines too, so that they go on when the kernel ends
    takes_pipelines: bool = False

    def __init__(self, services: Services) -> None:
        self.services = services

    @abstractmethod
    def submit(self, job: Job) -> ActiveRun:
        """Take a job. With ``job.wait`` return when it has ended, else at once."""

    def attach(self, record: RunRecord) -> ActiveRun | None:
        """Return a run that another process gave to this executor, or None where it cannot be followed."""
        return None

    def settle(self) -> None:  # noqa: B027  most have nothing to do
        """Return when all that was given to this executor is in its hands, where other processes find it."""

    def attach_sweep(self, sweep: str) -> Mapping[str, ActiveRun]:
        """Return the runs of a sweep that this executor still has, by id, those of other processes too."""
        return {}

    def cancel_sweep(self, sweep: str) -> bool:
        """End all runs of a sweep at once; return False where they are to be cancelled one by one."""
        return False

    @abstractmethod
    def shutdown(self) -> None:
        """Let go of threads and connections. Runs that only live in this process are cancelled first."""


def check_limits(timeout_s: float | None, retries: int) -> None:
    """Refuse a time limit or a number of retries that makes no sense.

    Raises
    ------
    InvalidInputError
        With what may be passed.
    """
    is_number = isinstance(timeout_s, (int, float)) and not isinstance(timeout_s, bool)
    if timeout_s is not None and not (is_number and timeout_s > 0):
        raise InvalidInputError(
            f"timeout_s is {timeout_s!r}, expected seconds greater than 0, or None for no limit."
        )
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        raise InvalidInputError(f"retries is {retries!r}, expected a whole number, 0 or larger.")


def check_priority(priority: int) -> None:
    """Refuse a priority that is no whole number.

    Raises
    ------
    InvalidInputError
    """
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise InvalidInputError(
            f"priority is {priority!r}, expected a whole number; higher ones start first."
        )


def check_tags(tags: str | Iterable[str]) -> tuple[str, ...]:
    """Return the tags, if they are names.

    Raises
    ------
    InvalidInputError
        With the first one that is none.
    """
    if not isinstance(tags, Iterable):
        raise InvalidInputError(f"tags is {tags!r}, expected names, such as ['beamline', 'test'].")
    return tuple(check_name(tag, "Tag") for tag in ((tags,) if isinstance(tags, str) else tags))


def check_listener(on_event: Any) -> None:
    """Refuse what cannot be called with events.

    Raises
    ------
    InvalidInputError
    """
    if on_event is not None and not callable(on_event):
        raise InvalidInputError(
            f"on_event is {on_event!r}, expected a function that takes an event, such as print, or None."
        )
