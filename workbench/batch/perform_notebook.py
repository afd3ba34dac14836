"""A notebook inside a worker: its cells are run, what they say goes to the run's log, and it is kept as far as it came."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import nbformat

from workbench.batch.cells import CellError, Outcome, run_cells
from workbench.batch.fresh import keep_past_end
from workbench.batch.record import put_by
from workbench.library.reading import watched
from workbench.library.recorded import records_of
from workbench.models import ErrorRecord, OutputRef, RunRecord, RunStatus

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from workbench.execution.live import LiveRun
    from workbench.execution.runs import Runs
    from workbench.library.datasets import Datasets

SAVE_SHARE = 0.05  # of the time may go into saving the notebook while it runs
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

    notebook = nbformat.reads(runs.read_notebook(record.id), as_version=4)
    if not (live.advance(RunStatus.STARTED) and live.advance(RunStatus.RUNNING)):
        return
    log = _Lines(live)
    begun, spent = time.monotonic(), 0.0

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

    keep_past_end()
    with put_by(put), watched() as read:
        outcome = run_cells(
            notebook,
            timeout_s=record.timeout_s,
            on_begin=before_cell,
            on_cell=after_cell,
            on_output=log.write,
            on_stuck=give_up,
        )
    if outcome.needs_kernel and not live.cancel_requested:
        live.write_log("INFO", f"Run again in a kernel: {outcome.needs_kernel}.")
        fresh = nbformat.reads(runs.read_notebook(record.id), as_version=4)
        outcome = _in_kernel(fresh, record.timeout_s, log)
    settle(outcome)


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


def _in_kernel(notebook: NotebookNode, timeout_s: float | None, log: _Lines) -> Outcome:
    """Run a notebook in a kernel of its own."""
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    spec = notebook.metadata.get("kernelspec", {}).get("name") or "python3"
    client = NotebookClient(notebook, timeout=timeout_s, kernel_name=spec)
    outcome = Outcome(notebook)
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError, NoSuchKernel, RuntimeError) as error:
        index = max((i for i, c in enumerate(notebook.cells) if c.get("execution_count")), default=0)
        kind = "timeout" if isinstance(error, CellTimeoutError) else "error"
        name = getattr(error, "ename", "") or type(error).__name__
        text = getattr(error, "evalue", "") or str(error)
        outcome.error = CellError(index, kind, name, text)  # type: ignore[arg-type]
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "stream":
                log.write(output.text)
    return outcome
