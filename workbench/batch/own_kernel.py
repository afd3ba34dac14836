"""Runs a notebook in a kernel process of its own, which a cancel or the run's time limit interrupts."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from workbench.batch.cells import GRACE_S, CellError, Outcome, add_error

LOOK_EVERY_S = 0.1  # at the clock, and whether the run was cancelled
_SHUTDOWN_S = 5.0
#: What the interpreter of the worker may stand for; a kernel of that name need not be installed.
_OURS = ("", "python", "workbench-warm")


def run_in_kernel(
    notebook: NotebookNode,
    *,
    deadline: float | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
    on_begin: Callable[[int], None] | None = None,
    on_cell: Callable[[int, int], None] | None = None,
    on_output: Callable[[str], None] | None = None,
) -> Outcome:
    """Execute all code cells of a notebook in the kernel that it names. In the main thread, whose interrupts are taken.

    Parameters
    ----------
    notebook : NotebookNode
        Gets the outputs in place, so that it can be saved after each cell.
    deadline : float, optional
        When all cells must have ended, by `time.monotonic`. Then the cell is interrupted.
    is_cancelled : callable
        Is asked again and again; then the cell is interrupted, too.
    on_begin, on_cell, on_output : callable, optional
        As for `run_cells`.

    Returns
    -------
    Outcome
    """
    execution = _Execution(notebook, deadline, is_cancelled, on_begin, on_cell, on_output)
    signal.signal(signal.SIGINT, lambda *_: None)  # a cancel is looked for; the kernel shall not ignore it
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop.run_until_complete(execution.run())


class _Client(NotebookClient):  # type: ignore[misc]
    """Tells what is printed as it comes."""

    on_text: Callable[[str], None] | None = None

    def output(self, outs: Any, msg: Any, display_id: Any, cell_index: int) -> Any:
        if msg["msg_type"] == "stream" and self.on_text is not None:
            self.on_text(msg["content"]["text"])
        return super().output(outs, msg, display_id, cell_index)


class _Execution:
    """One notebook on its way through a kernel."""

    def __init__(
        self,
        notebook: NotebookNode,
        deadline: float | None,
        is_cancelled: Callable[[], bool],
        on_begin: Callable[[int], None] | None,
        on_cell: Callable[[int, int], None] | None,
        on_output: Callable[[str], None] | None,
    ) -> None:
        name = notebook.metadata.get("kernelspec", {}).get("name", "")
        self._notebook = notebook
        self._client = _Client(notebook, timeout=None, kernel_name="python3" if name in _OURS else name)
        self._client.on_text = on_output
        self._deadline = deadline
        self._is_cancelled = is_cancelled
        self._on_begin = on_begin
        self._on_cell = on_cell
        self._begun = time.monotonic()
        self._index = -1
        self._stopped: Literal["", "cancelled", "timeout"] = ""

    async def run(self) -> Outcome:
        self._client.create_kernel_manager()
        work = asyncio.ensure_future(self._work())
        interrupts, at = 0, 0.0
        try:
            while not (await asyncio.wait({work}, timeout=LOOK_EVERY_S))[0]:
                self._stopped = self._stopped or self._why_stop()
                if not self._stopped or time.monotonic() < at:
                    continue
                if interrupts == 2 or self._index < 0:
                    work.cancel()
                    await asyncio.wait({work})
                    break
                interrupts += 1
                at = time.monotonic() + GRACE_S / 2
                await self._client.km.interrupt_kernel()
            return Outcome(self._notebook, error=self._error(work))
        finally:
            await self._end()

    async def _work(self) -> None:
        client, cells = self._client, self._notebook.cells
        await client.async_start_new_kernel()
        await client.async_start_new_kernel_client()
        reply = await client.async_wait_for_reply(client.kc.kernel_info())
        if reply is not None and "language_info" in reply["content"]:
            self._notebook.metadata["language_info"] = reply["content"]["language_info"]
        for index, cell in enumerate(cells):
            if self._stopped:
                return
            self._index = index
            if self._on_begin is not None:
                self._on_begin(index)
            await client.async_execute_cell(cell, index, execution_count=client.code_cells_executed + 1)
            if self._on_cell is not None:
                self._on_cell(index, len(cells))
        client.set_widgets_metadata()

    def _why_stop(self) -> Literal["", "cancelled", "timeout"]:
        if self._is_cancelled():
            return "cancelled"
        is_late = self._deadline is not None and time.monotonic() >= self._deadline
        return "timeout" if is_late else ""

    def _error(self, work: asyncio.Future[None]) -> CellError | None:
        """Return why it did not come to its end; what no cell shows is put into the one that ran."""
        raised = asyncio.CancelledError() if work.cancelled() else work.exception()
        index = max(self._index, 0)
        cell = self._notebook.cells[index]
        count = cell.get("execution_count")
        if self._stopped == "timeout":
            text = (
                f"The notebook was interrupted in cell {index + 1} after {time.monotonic() - self._begun:.3g} s in its kernel, "
                "at the time limit of its run. Allow it more time, or give it less to do."
            )
            error = CellError(index, "timeout", "CellTimeoutError", text, (), count)
        elif raised is None:
            return None
        elif isinstance(raised, CellExecutionError):
            shown = [o for o in cell.get("outputs", []) if o.output_type == "error"]
            lines = tuple(shown[-1].traceback) if shown else ()
            return CellError(index, "error", raised.ename, raised.evalue, lines, count)
        elif self._stopped:
            text = f"Cell {index + 1} went on after it was cancelled, so its kernel was ended."
            error = CellError(index, "exit", "KeyboardInterrupt", text, (), count)
        elif isinstance(raised, DeadKernelError):
            text = (
                f"The kernel of this notebook ended while it ran cell {index + 1}. "
                "The cells before it are in this notebook with their outputs."
            )
            error = CellError(index, "exit", "DeadKernelError", text, (), count)
        else:  # the kernel did not start, or does not answer
            error = CellError(index, "exit", type(raised).__name__, str(raised), (), count)
        if cell.cell_type == "code":
            add_error(cell, error)
        return error

    async def _end(self) -> None:
        client = self._client
        with suppress(Exception):  # how it has run is known: the worker's end takes what is left
            if client.kc is not None:
                client.kc.stop_channels()
            if client.km is not None and client.km.has_kernel:
                ending = client.km.shutdown_kernel(now=bool(self._stopped))
                await asyncio.wait_for(ending, _SHUTDOWN_S)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
