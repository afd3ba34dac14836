"""A notebook inside a worker: its cells are run, what they say goes to the run's log, and it is kept as far as it came."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

from workbench.batch.cells import CellError, Outcome, run_cells
from workbench.batch.fresh import keep_past_end
from workbench.batch.kernels import why_other_kernel
from workbench.batch.record import put_by
from workbench.errors import RunCancelledError, RunTimeoutError
from workbench.execution.perform import backoff_s
from workbench.library.reading import watched
from workbench.library.recorded import records_of
from workbench.models import ErrorRecord, OutputRef, RunRecord, RunStatus
from workbench.settings import all_environment, restore_environment

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from workbench.execution.live import LiveRun
    from workbench.execution.runs import Runs
    from workbench.library.datasets import Datasets

SAVE_SHARE = 0.05  # of the time may go into saving the notebook while it runs
_NO_ERRORS = ("KeyboardInterrupt", "SystemExit")  # but the wish to end
_SAVE_AT_ONCE_S = 0.005  # so much of it before the first cells have taken any time


def perform_notebook(live: LiveRun, runs: Runs, datasets: Datasets, say_progress: Callable[[], None]) -> None:
    """Execute the notebook of a run and bring the run to a final state.

    Parameters
    ----------
    live : LiveRun
        In state PENDING; its notebook is kept, with its parameters in it.
    runs : Runs
    datasets : Datasets
        Take what the notebook records and is too large for it.
    say_progress : callable
        Tells at once which cell runs now, should it end this process.
    """
    record = live.record
    made: list[str] = []

    def put(data: Mapping[str, Any], name: str) -> str:
        made.append(datasets.put(data, name=None, run_id=record.id, parents=record.inputs).id)
        return made[-1]

    original = runs.read_notebook(record.id)
    notebook = nbformat.reads(original, as_version=4)
    if not (live.advance(RunStatus.STARTED) and live.advance(RunStatus.RUNNING)):
        return
    log = _Lines(live)
    begun, spent = time.monotonic(), 0.0
    deadline = None if record.timeout_s is None else begun + record.timeout_s
    read: Iterable[str] = ()

    def before_cell(index: int) -> None:
        live.report_progress(index / len(notebook.cells), _at(index, len(notebook.cells)))
        say_progress()

    def after_cell(index: int, count: int) -> None:
        nonlocal spent
        live.report_progress((index + 1) / count, _at(index, count))
        now = time.monotonic()
        if spent <= _SAVE_AT_ONCE_S + SAVE_SHARE * (
            now - begun
        ):  # else a crash costs what came since the last time
            runs.save_notebook(record.id, nbformat.writes(notebook))
            spent += time.monotonic() - now

    def settle(outcome: Outcome) -> None:
        log.finish()
        runs.save_notebook(record.id, nbformat.writes(outcome.notebook))
        live.change(inputs=_inputs(live.record, read, datasets))
        _settle(live, outcome, made)

    def give_up(outcome: Outcome) -> None:
        settle(outcome)
        os._exit(1)  # the cell cannot be ended; whoever settles the run finds it kept

    def here() -> Outcome:
        nonlocal read
        keep_past_end()
        with put_by(put), watched() as read:
            return run_cells(
                notebook,
                timeout_s=record.timeout_s,
                on_begin=before_cell,
                on_cell=after_cell,
                on_output=log.write,
                on_stuck=give_up,
            )

    def in_kernel() -> Outcome:
        nonlocal notebook
        from workbench.batch.own_kernel import run_in_kernel

        place.enter()
        made.clear()
        notebook = nbformat.reads(original, as_version=4)
        outcome = run_in_kernel(
            notebook,
            deadline=deadline,
            is_cancelled=lambda: live.cancel_requested,
            on_begin=before_cell,
            on_cell=after_cell,
            on_output=log.write,
        )
        made.extend(_put_by_kernel(live.record, notebook, datasets))
        return outcome

    place = _Place()
    why = why_other_kernel(notebook)
    if why:
        live.write_log("INFO", f"Run in a kernel of its own: {why}.")
        outcome = in_kernel()
    else:
        outcome = here()
        if outcome.needs_kernel and not live.cancel_requested:
            live.write_log("INFO", f"Run again in a kernel: {outcome.needs_kernel}.")
            outcome = in_kernel()
    for attempt in range(1, record.retries + 1):
        log.finish()
        if not _is_worth_another(outcome) or not _wait_for_next(live, attempt, outcome):
            break
        outcome = in_kernel()  # this process has the names, modules and folder of the first attempt
    settle(outcome)


class _Place:
    """The folder and the environment in which a notebook begins, whatever an attempt before it has made of them."""

    def __init__(self) -> None:
        self._environment = all_environment()
        self._folder: Path | None = None
        with suppress(FileNotFoundError):
            self._folder = Path.cwd()

    def enter(self) -> None:
        restore_environment(self._environment)
        if self._folder is not None:
            os.chdir(self._folder)


def _is_worth_another(outcome: Outcome) -> bool:
    """Tell whether a cell has raised an error that another attempt may not raise."""
    error = outcome.error
    return error is not None and error.kind == "error" and error.ename not in _NO_ERRORS


def _wait_for_next(live: LiveRun, attempt: int, outcome: Outcome) -> bool:
    """Say that an attempt failed, and wait a little; return False if the run was cancelled or its time is over."""
    error = outcome.error
    assert error is not None
    if live.cancel_requested:
        return False
    wait_s = backoff_s(attempt)
    live.write_log(
        "WARNING",
        f"Attempt {attempt} of {live.record.retries + 1} failed in cell {error.index + 1}: {error.ename}: {error.evalue}. "
        f"Trying again from the first cell, in a fresh kernel, in {wait_s:.2g} s.",
    )
    try:
        live.pause(wait_s)
    except RunCancelledError:
        return False
    except RunTimeoutError as late:
        outcome.error = CellError(error.index, "timeout", type(late).__name__, str(late))
        return False
    return True


def _put_by_kernel(record: RunRecord, notebook: NotebookNode, datasets: Datasets) -> list[str]:
    """Return the datasets that a kernel has made of what was recorded; of others that are named there, it made none."""
    values = records_of(notebook).values()
    ids = dict.fromkeys(v["dataset"] for v in values if isinstance(v, Mapping) and "dataset" in v)
    began = record.started or record.created
    return [dataset.id for dataset in datasets.find_many(ids) if dataset.record.created >= began]


def _at(index: int, count: int) -> str:
    return f"cell {index + 1} of {count}"


class _Lines:
    """Passes text on to the log, a whole line at a time."""

    def __init__(self, live: LiveRun) -> None:
        self._live = live
        self._rest = ""

    def write(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._live.write_log("PRINT", line.rsplit("\r", 1)[-1])

    def finish(self) -> None:
        if self._rest:
            self._live.write_log("PRINT", self._rest.rsplit("\r", 1)[-1])
            self._rest = ""


def _settle(live: LiveRun, outcome: Outcome, made: Sequence[str]) -> None:
    error = outcome.error
    kept = {
        "records": records_of(outcome.notebook),
        "outputs": tuple(OutputRef(dataset=id) for id in dict.fromkeys(made)),
    }
    if live.cancel_requested:
        live.write_log("WARNING", "Cancelled.")
        live.end(RunStatus.CANCELLED, **kept)
    elif error is None:
        live.end(RunStatus.COMPLETED, **kept)
    else:
        live.write_log("ERROR", "\n".join([*map(_plain, error.traceback), f"{error.ename}: {error.evalue}"]))
        live.end(
            RunStatus.FAILED,
            **kept,
            error=ErrorRecord(
                type=error.ename,
                message=error.evalue,
                phase=f"cell {error.index + 1}",
                traceback="\n".join(map(_plain, error.traceback)),
                kind="run_timeout" if error.kind == "timeout" else "run_failed",
            ),
        )


def _inputs(record: RunRecord, read: Iterable[str], datasets: Datasets) -> tuple[str, ...]:
    """Return what a notebook was made from: what its parameters name, and what it read that was there before it.

    What it reads in a kernel of its own is not seen from here.
    """
    began = record.started or record.created
    found = datasets.find_many(id for id in read if id not in record.inputs)
    return record.inputs + tuple(dataset.id for dataset in found if dataset.record.created < began)


def _plain(text: str) -> str:
    """Return a text without terminal colours."""
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text)
