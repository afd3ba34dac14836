"""What happens to a run inside the process that executes it: load, preprocess, inference, postprocess, settle."""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from workbench.errors import (
    InvalidDataError,
    RunCancelledError,
    WorkbenchError,
)
from workbench.execution import capture
from workbench.execution.checkpoints import PHASES, Checkpoints
from workbench.execution.context import AssetContext, RunContext
from workbench.execution.forks import Border
from workbench.execution.live import LiveRun
from workbench.execution.seeds import Seeded, new_seed, seed_of
from workbench.models import ErrorRecord, OutputRef, RunStatus

if TYPE_CHECKING:
    from workbench.algorithms.runnable import Runnable
    from workbench.execution.executor import Services
    from workbench.library.datasets import Datasets
    from workbench.runners import BaseRunner
    from workbench.sessions import Session

BACKOFF_S = 0.5
BACKOFF_MOST_S = 60.0


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be computed, without saying where.

    Parameters
    ----------
    key : tuple
        Identity of the loaded Runner: revision and device; equal keys share what ``load_assets`` made.
    runner_class : callable
        Imports and returns the Runner class.
    asset : callable
        Returns an asset's bytes by path.
    device : str
    datasets : Datasets
    facts : callable
        Returns the environment facts for the record.
    runners : RunnerCache
    retryable : bool or sequence of str
        Which errors are worth another attempt: those named, or all.
    session : callable, optional
        Opens a session by its name.
    resumable : bool
        Whether the results of its phases are kept until it has completed.
    has_user : bool
        Whether somebody else draws random numbers in this process.
    """

    key: tuple[str, str]
    runner_class: Callable[[], type[BaseRunner]]
    asset: Callable[[str], bytes]
    device: str
    datasets: Datasets
    facts: Callable[[], dict[str, Any]]
    runners: RunnerCache
    retryable: bool | Sequence[str] = True
    session: Callable[[str], Session] | None = None
    resumable: bool = False
    has_user: bool = True

    @classmethod
    def of(
        cls,
        services: Services,
        algorithm: Runnable,
        device: str,
        *,
        facts: Callable[[], dict[str, Any]] | None = None,
        has_user: bool = True,
    ) -> Self:
        """Return the task of running an algorithm in this process; the environment's facts are its own by default."""
        return cls(
            key=(algorithm.revision.content, device),
            runner_class=algorithm.runner_class,
            asset=algorithm.asset,
            device=device,
            datasets=services.datasets,
            facts=facts or services.environment.facts,
            has_user=has_user,
            runners=services.runners,
            session=services.session,
            retryable=algorithm.revision.settings.get("retryable", True),
            resumable=algorithm.revision.settings.get("resumable", False),
        )


@dataclass
class RunnerCache:
    """Loaded Runners, least recently used first out; two threads that want the same one load it once."""

    size: int
    hits: int = 0
    misses: int = 0
    _loaded: OrderedDict[tuple[str, str], BaseRunner] = field(default_factory=OrderedDict)
    _locks: dict[tuple[str, str], threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: tuple[str, str], load: Callable[[], BaseRunner]) -> BaseRunner:
        """Return the loaded Runner of a key, loading it if need be."""
        with self._lock:
            key_lock = self._locks.setdefault(key, threading.Lock())
        with key_lock:
            with self._lock:
                if key in self._loaded:
                    self.hits += 1
                    self._loaded.move_to_end(key)
                    return self._loaded[key]
            runner = load()
            with self._lock:
                self.misses += 1
                self._loaded[key] = runner
                while len(self._loaded) > self.size:
                    old, _ = self._loaded.popitem(last=False)
                    self._locks.pop(old, None)
            return runner

    def __contains__(self, key: object) -> bool:
        return key in self._loaded

    def keys(self) -> list[tuple[str, str]]:
        """Return the keys of all loaded Runners."""
        with self._lock:
            return list(self._loaded)

    def clear(self) -> None:
        """Let go of all loaded Runners."""
        with self._lock:
            self._loaded.clear()
            self._locks.clear()


class _Phases:
    """Times the phases of a run and remembers which one it is in."""

    def __init__(self, live: LiveRun) -> None:
        self.current = ""
        self.seconds: dict[str, float] = {}
        self._live = live

    def do(self, name: str, step: Callable[[], Any]) -> Any:
        """Do one phase; a cancel or time-out is noticed at both ends."""
        self.current = name
        self._live.check()
        begin = time.perf_counter()
        with Border():
            value = step()
        self.seconds[name] = round(time.perf_counter() - begin, 6)
        self._live.write_log("DEBUG", f"{name} took {self.seconds[name]:.2f} s")
        self._live.check()
        return value


def perform(live: LiveRun, task: Task, *, raise_errors: bool = False) -> None:
    """Execute a run and bring it to a final state.

    Parameters
    ----------
    live : LiveRun
        In state PENDING; one that was cancelled meanwhile is left alone.
    task : Task
    raise_errors : bool
        Raise what the algorithm raised, after the record is settled: for ``%debug``.

    Raises
    ------
    KeyboardInterrupt
        After an interrupt; the run is CANCELLED.
    """
    if not live.advance(RunStatus.STARTED, save=task.key not in task.runners):
        return
    attempts = live.record.retries + 1
    phases = _Phases(live)
    for attempt in range(1, attempts + 1):
        phases = _Phases(live)
        try:
            with capture.captured(live), Seeded(gives_back=task.has_user) as seeded:
                outputs, warnings = _compute(live, task, phases, seeded)
        except BaseException as error:
            end = pause_for_another(live, error, attempt, task.retryable)
            if end is None:
                continue
            settle_error(live, end, phases.current, phases.seconds, task.facts())
            # sys.exit() in an algorithm ends its run, not the kernel
            if isinstance(end, KeyboardInterrupt) or (raise_errors and isinstance(end, Exception)):
                if end is not error:
                    raise end from error
                raise
            return
        live.end(
            RunStatus.COMPLETED,
            outputs=tuple(outputs),
            seeded=seeded.names,
            phases=phases.seconds,
            environment=task.facts(),
            warnings=live.record.warnings + tuple(warnings),
        )
        return


def pause_for_another(
    live: LiveRun, error: BaseException, attempt: int, retryable: bool | Sequence[str]
) -> BaseException | None:
    """Wait before another attempt, if one is left and the error is worth it.

    Parameters
    ----------
    live : LiveRun
    error : BaseException
        What the attempt raised.
    attempt : int
        Which one it was, from 1.
    retryable : bool or sequence of str
        As for `is_retryable`.

    Returns
    -------
    BaseException or None
        What ends the run: the error, or the cancel or time-out that came while it waited. None: try again.
    """
    attempts = live.record.retries + 1
    if attempt >= attempts or not is_retryable(error, retryable):
        return error
    wait_s = backoff_s(attempt)
    live.write_log(
        "WARNING",
        f"Attempt {attempt} of {attempts} failed: {type(error).__name__}: {error}. Trying again in {wait_s:.2g} s.",
    )
    try:
        live.pause(wait_s)
    except (WorkbenchError, KeyboardInterrupt) as stop:
        return stop
    live.change(seed=new_seed())  # the same random numbers would fail again
    return None


def is_retryable(error: BaseException, declared: bool | Sequence[str]) -> bool:
    """Tell whether trying again may help.

    Parameters
    ----------
    error : BaseException
    declared : bool or sequence of str
        Names of exceptions that the algorithm calls retryable, their subclasses too; True for every exception.
    """
    if not isinstance(error, Exception) or getattr(error, "kind", "") in {"run_cancelled", "run_timeout"}:
        return False
    if isinstance(declared, bool):
        return declared
    return any(cls.__name__ in declared for cls in type(error).__mro__)


def backoff_s(attempt: int) -> float:
    """Return how long to wait after a failed attempt: twice as long each time, with a little chance in it."""
    return float(min(BACKOFF_MOST_S, BACKOFF_S * 2 ** (attempt - 1)) * random.uniform(0.8, 1.2))


def _compute(live: LiveRun, task: Task, phases: _Phases, seeded: Seeded) -> tuple[list[OutputRef], list[str]]:
    """Load the Runner and drive it through its phases; return the outputs and warnings about them."""
    from workbench import runners

    phases.current = "load_assets"

    def load() -> BaseRunner:
        cls = task.runner_class()
        assets = AssetContext(live, task.asset, task.device)
        seeded.start(seed_of(task.key[0]))  # many runs share what is loaded
        return phases.do("load_assets", lambda: runners.load(cls, assets, task.device))  # type: ignore[no-any-return]

    shared = task.runners.get(task.key, load)
    live.advance(RunStatus.RUNNING, save=live.record.status is RunStatus.STARTED)
    record = live.record
    if record.seed is not None:
        seeded.start(record.seed)
    context = RunContext(live, task.asset, task.device, task.datasets, task.session)
    runner = runners.for_run(shared, context)
    arguments = dict(record.parameters)
    kept = Checkpoints(live, runner, task.session) if task.resumable and task.session else None
    done, data = kept.resume() if kept is not None else (None, None)
    if done is None:
        data = {"input_dataset_ids": list(record.inputs)}
    steps = (runner.preprocess_base, runner.inference_base, runner.postprocess_base)
    for name, step in list(zip(PHASES, steps, strict=True))[PHASES.index(done) + 1 if done else 0 :]:
        data = phases.do(name, lambda step=step, data=data: step(data, arguments))  # type: ignore[misc]
        if kept is not None and name != PHASES[-1]:
            kept.keep(name, data)
    outputs = _outputs(data, context.made, task.datasets)
    if kept is not None:
        kept.drop()
    return outputs


def _outputs(result: Any, made: set[str], datasets: Datasets) -> tuple[list[OutputRef], list[str]]:
    """Return what ``postprocess`` gave back as output references."""
    if isinstance(result, str) or hasattr(result, "record"):
        result = [result]
    if result is None:
        return [], ["postprocess returned None; return the list of ids from post_data."]
    if not isinstance(result, (list, tuple)):
        raise InvalidDataError(
            f"postprocess returned {type(result).__name__}, expected a list of dataset ids. "
            "Return what self.post_data(...) gives you."
        )
    texts = [str(getattr(item, "id", item)) for item in result]
    if not texts:
        return [], []
    others = [text for text in texts if text not in made]
    known = {text for text, is_there in zip(others, datasets.exist(others), strict=True) if is_there} | made
    outputs, warnings = [], []
    for text in texts:
        is_dataset = text in known
        outputs.append(OutputRef(dataset=text) if is_dataset else OutputRef(text=text))
        if not is_dataset:
            warnings.append(f"Output {text[:80]!r} names no dataset and is kept as text.")
    return outputs, warnings


def settle_error(
    live: LiveRun, error: BaseException, phase: str, seconds: dict[str, float], facts: dict[str, Any]
) -> None:
    """Bring a run that raised to FAILED or CANCELLED, with the true error first.

    Parameters
    ----------
    live : LiveRun
    error : BaseException
    phase : str
        In which it was raised.
    seconds : dict
        What each phase took.
    facts : dict
        Of the environment.
    """
    live.exception = error
    is_interrupt = isinstance(error, KeyboardInterrupt)
    cancelled = isinstance(error, RunCancelledError) or is_interrupt
    if cancelled:
        live.write_log("WARNING", "Interrupted." if is_interrupt else "Cancelled.")
    else:
        live.write_log("ERROR", "".join(traceback.format_exception(error)).rstrip())
    live.end(
        RunStatus.CANCELLED if cancelled else RunStatus.FAILED,
        error=None
        if cancelled
        else ErrorRecord(
            type=type(error).__name__,
            message=_explained(error),
            phase=phase,
            traceback=_algorithm_traceback(error),
            kind=getattr(error, "kind", "run_failed"),
        ),
        phases=seconds,
        environment=facts,
    )


def _explained(error: BaseException) -> str:
    """Return the message of an error; an import that found nothing says what to install."""
    if isinstance(error, ModuleNotFoundError) and error.name and not isinstance(error, WorkbenchError):
        from workbench.algorithms.loader import missing_package

        return str(missing_package(error))
    return str(error)


def _algorithm_traceback(error: BaseException) -> str:
    """Return the traceback from the algorithm's first frame on: ours above it say nothing to its author."""
    frame: TracebackType | None = error.__traceback__
    first = frame
    while frame is not None:
        package = frame.tb_frame.f_globals.get("__name__", "")
        if not package.startswith("workbench."):
            first = frame
            break
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, first))
