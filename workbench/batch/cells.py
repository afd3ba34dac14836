"""Runs the code cells of a notebook in this process, as a kernel would, without one."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_output

from workbench.batch.fresh import end_quietly, make_fresh, make_random
from workbench.batch.outputs import Outputs
from workbench.execution.forks import Border

if TYPE_CHECKING:
    from workbench.batch.memory_kernel import MemoryKernel

#: A cell that is interrupted gets this long to end before it is given up.
GRACE_S = 2.0


@dataclass(frozen=True, slots=True)
class CellError:
    """Why a notebook did not come to its end.

    Parameters
    ----------
    index : int
        The cell, counted from 0 over all cells.
    kind : str
        ``error``: it raised. ``timeout``: it was interrupted, or given up. ``exit``: it called ``exit()`` with cells to come.
    ename, evalue : str
        Type and text of the error.
    traceback : tuple of str
        Its lines, with terminal colours, as a kernel gives them.
    execution_count : int, optional
        The number in brackets beside the cell.
    """

    index: int
    kind: Literal["error", "timeout", "exit"]
    ename: str
    evalue: str
    traceback: tuple[str, ...] = ()
    execution_count: int | None = None


@dataclass
class Outcome:
    """What has become of a notebook.

    Parameters
    ----------
    notebook : NotebookNode
        The executed notebook, as far as it came.
    error : CellError, optional
        Why it ended before its last cell; cells tagged ``raises-exception`` may raise.
    needs_kernel : str
        Why a real kernel must run it instead, from the beginning; empty if it need not.
    records : dict
        Values that the notebook has recorded, by name.
    """

    notebook: NotebookNode
    error: CellError | None = None
    needs_kernel: str = ""
    records: dict[str, Any] = field(default_factory=dict)


def run_cells(
    notebook: NotebookNode,
    *,
    cwd: str | None = None,
    timeout_s: float | None = None,
    cell_timeout_s: float | None = None,
    merge_streams: bool = True,
    on_begin: Callable[[int], None] | None = None,
    on_cell: Callable[[int, int], None] | None = None,
    on_change: Callable[[int, int, set[int]], None] | None = None,
    on_output: Callable[[str], None] | None = None,
    on_message: Callable[[int, NotebookNode], None] | None = None,
    on_stuck: Callable[[Outcome], None] | None = None,
) -> Outcome:
    """Execute all code cells of a notebook in this process.

    The process must be a freshly forked one that does nothing else afterwards: the cells get its standard streams, its event loop
    and its signals. Its random state is made fresh.

    Parameters
    ----------
    notebook : NotebookNode
        Gets the outputs in place, so that it can be saved after each cell.
    cwd : str, optional
        Working folder of the cells.
    timeout_s, cell_timeout_s : float, optional
        Seconds for all cells together, and for each one. Then the cell is interrupted.
    merge_streams : bool
        Put neighbouring text of one stream into one output, as front ends do.
    on_begin : callable, optional
        Called with a cell's index before it runs; the cell may end the process.
    on_cell : callable, optional
        Called after each cell with its index and the number of cells.
    on_change : callable, optional
        The same, and the indices of the earlier cells in which this one has updated a display.
    on_output : callable, optional
        Called with the text of each stream output as it comes.
    on_message : callable, optional
        Called with a cell's index and each of its outputs as it comes.
    on_stuck : callable, optional
        Called, in another thread, when a cell goes on despite its interrupts. It should save the outcome and end the process.

    Returns
    -------
    Outcome
    """
    why = why_kernel(notebook)
    if why:
        return Outcome(notebook, needs_kernel=why)
    make_fresh(cwd)
    make_random()

    def tell(index: int, output: NotebookNode) -> None:
        if on_output is not None and output.output_type == "stream":
            on_output(output.text)
        if on_message is not None:
            on_message(index, output)

    outputs = Outputs(notebook.cells, merge_streams=merge_streams, on_output=tell)
    runner = _Runner(notebook, outputs, timeout_s, cell_timeout_s, on_begin, on_cell, on_change, on_stuck)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(runner.run())
    return runner.outcome


def why_kernel(notebook: NotebookNode) -> str:
    """Return why a notebook cannot be run in a process of this interpreter, or an empty string."""
    spec = notebook.metadata.get("kernelspec", {})
    language = spec.get("language") or notebook.metadata.get("language_info", {}).get("name") or "python"
    if language.casefold() not in ("python", "python3", "ipython"):
        return f"it is written in {language}"
    return ""


class _Runner:
    """One notebook on its way through the kernel of this process."""

    def __init__(
        self,
        notebook: NotebookNode,
        outputs: Outputs,
        timeout_s: float | None,
        cell_timeout_s: float | None,
        on_begin: Callable[[int], None] | None,
        on_cell: Callable[[int, int], None] | None,
        on_change: Callable[[int, int, set[int]], None] | None,
        on_stuck: Callable[[Outcome], None] | None,
    ) -> None:
        self.outcome = Outcome(notebook, records=outputs.records)
        self._cells = notebook.cells
        self._outputs = outputs
        self._timeout_s = timeout_s
        self._cell_timeout_s = cell_timeout_s
        self._on_begin = on_begin
        self._on_cell = on_cell
        self._on_change = on_change
        self._on_stuck = on_stuck
        self._index = -1
        self._begun = 0.0

    async def run(self) -> None:
        from workbench.batch.memory_kernel import start_kernel

        kernel = start_kernel(self._outputs.take)
        border = Border()  # what a cell raises comes no further than its shell
        kernel.shell.events.register(
            "post_run_cell", lambda cell: border.check(cell.error_in_exec or cell.error_before_exec)
        )
        watch = _Watch(self._stuck)
        papermill = self.outcome.notebook.metadata.setdefault("papermill", NotebookNode())
        for cell in self._cells:
            cell.metadata.papermill = _times(None, "pending", exception=None)
        begun = datetime.now(UTC)
        deadline = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        for index in range(len(self._cells)):
            self._index = index
            if self._on_begin is not None:
                self._on_begin(self._index)
            await self._run_cell(kernel, watch, deadline)
            if self.outcome.needs_kernel:
                break
            if self._on_cell is not None:
                self._on_cell(self._index, len(self._cells))
            if self._on_change is not None:
                self._on_change(self._index, len(self._cells), self._outputs.changed)
            if self.outcome.error is not None:
                break
        papermill.update(_times(begun, None, exception=True if self.outcome.error else None))
        del papermill["status"]
        self.outcome.notebook.metadata.language_info = from_dict(kernel.language_info)
        end_quietly(kernel.shell)

    async def _run_cell(self, kernel: MemoryKernel, watch: _Watch, deadline: float | None) -> None:
        cell = self._cells[self._index]
        begun = datetime.now(UTC)
        if not is_run(cell):
            cell.metadata.papermill = _times(begun, "completed", exception=False)
            return
        cell.metadata.papermill = NotebookNode(_times(begun, "running", exception=False), end_time=None)
        self._outputs.begin(self._index)
        cell.metadata.execution = NotebookNode({"iopub.status.busy": _stamp()})
        self._begun = time.monotonic()
        limit = self._begun + self._cell_timeout_s if self._cell_timeout_s else None
        watch.begin(min((t for t in (limit, deadline) if t is not None), default=None))
        reply: dict[str, Any] = {"status": "error"}
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            reply = await kernel.run(cell.source)
        except KeyboardInterrupt:  # came between the cell's last line and the reply
            reply = {"status": "error", "ename": "KeyboardInterrupt", "evalue": "", "traceback": []}
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            timed_out = watch.end()
            cell.metadata.execution.update({"iopub.status.idle": _stamp(), "shell.execute_reply": _stamp()})
        if kernel.needed:
            cell.outputs = []
            self.outcome.needs_kernel = kernel.needed
        elif timed_out:
            self._fail_with(self._too_long(reply.get("traceback", [])))
        elif reply["status"] == "error":
            if "raises-exception" not in cell.metadata.get("tags", []):
                self.outcome.error = CellError(
                    self._index,
                    "error",
                    reply["ename"],
                    reply["evalue"],
                    tuple(reply["traceback"]),
                    cell.execution_count,
                )
        elif kernel.shell.exit_now and (rest := self._runs_after()):
            self._fail_with(
                CellError(
                    self._index,
                    "exit",
                    "ExitError",
                    f"Cell {self._index + 1} called exit() with {rest} cells still to run. "
                    "Leave the call out, or raise an error that says what is wrong.",
                    (),
                    cell.execution_count,
                )
            )
        status = "failed" if self.outcome.error else "completed"
        cell.metadata.papermill = _times(begun, status, exception=self.outcome.error is not None)

    def _runs_after(self) -> int:
        return sum(is_run(cell) for cell in self._cells[self._index + 1 :])

    def _fail_with(self, error: CellError) -> None:
        """Say in the notebook, in place of what the interrupt showed, why it ended here."""
        self.outcome.error = error
        add_error(self._cells[self._index], error)

    def _too_long(self, traceback: list[str]) -> CellError:
        seconds = time.monotonic() - self._begun
        text = (
            f"Cell {self._index + 1} was interrupted after {seconds:.3g} s, at its time limit. "
            "Allow it more time, or give it less to do."
        )
        where = tuple(traceback)
        return CellError(
            self._index, "timeout", "CellTimeoutError", text, where, self._cells[self._index].execution_count
        )

    def _stuck(self) -> None:
        """The cell has been interrupted and goes on. In the thread that watches."""
        cell = self._cells[self._index]
        self._fail_with(self._too_long([]))
        cell.metadata.papermill.update(status="failed", exception=True)
        self.outcome.notebook.metadata.papermill["exception"] = True
        if self._on_stuck is not None:
            self._on_stuck(self.outcome)


class _Watch:
    """A thread that interrupts the main one at a deadline, and again, until the cell has ended."""

    def __init__(self, on_stuck: Callable[[], None]) -> None:
        self._on_stuck = on_stuck
        self._changed = threading.Condition()
        self._deadline: float | None = None
        self._has_fired = False
        self._is_started = False

    def begin(self, deadline: float | None) -> None:
        if deadline is None:
            return
        with self._changed:
            self._deadline = deadline
            self._has_fired = False
            self._changed.notify()
            if not self._is_started:
                self._is_started = True
                threading.Thread(target=self._work, name="workbench-deadline", daemon=True).start()

    def end(self) -> bool:
        """Return whether the deadline came first."""
        with self._changed:
            self._deadline = None
            has_fired, self._has_fired = self._has_fired, False
            self._changed.notify()
            return has_fired

    def _work(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        interrupts = 0
        while True:
            with self._changed:
                if self._deadline is None:
                    interrupts = 0
                    self._changed.wait()
                    continue
                left = self._deadline + interrupts * GRACE_S / 2 - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                if interrupts < 2:
                    self._has_fired = True
                    interrupts += 1
                    signal.pthread_kill(main, signal.SIGINT)
                    continue
                self._deadline = None
            self._on_stuck()


def is_run(cell: NotebookNode) -> bool:
    """Return whether a notebook client runs a cell."""
    return (
        cell.cell_type == "code"
        and bool(cell.source.strip())
        and "skip-execution" not in cell.metadata.get("tags", [])
    )


def add_error(cell: NotebookNode, error: CellError) -> None:
    """Show an error in a cell, in place of the errors that were its consequences."""
    kept = [output for output in cell.outputs if output.output_type != "error"]
    lines = [*error.traceback, f"\x1b[0;31m{error.ename}\x1b[0m: {error.evalue}"]
    cell.outputs = [*kept, new_output("error", ename=error.ename, evalue=error.evalue, traceback=lines)]


def _stamp() -> str:
    """Return the time as nbclient keeps it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _times(begun: datetime | None, status: str | None, *, exception: bool | None) -> NotebookNode:
    """Return papermill's metadata of a cell that ends now, or has not begun."""
    if begun is None:
        return NotebookNode(exception=exception, start_time=None, end_time=None, duration=None, status=status)
    ended = datetime.now(UTC)
    return NotebookNode(
        exception=exception,
        start_time=begun.isoformat(),
        end_time=ended.isoformat(),
        duration=(ended - begun).total_seconds(),
        status=status,
    )
