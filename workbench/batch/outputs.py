"""What a kernel publishes while a cell runs, as the outputs of that cell."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import output_from_msg

from workbench.library.recorded import RECORD_MIME, add_record

#: A displayed bundle of this type is a recorded value, ``{"name": ..., "value": ..., "append": ...}``.

_SHOWN = ("display_data", "execute_result", "update_display_data")
_OUTPUTS = ("display_data", "execute_result", "stream", "error")


class Outputs:
    """Turns messages into outputs by the rules of notebook clients.

    Messages come from the thread that runs the cell and from the one that watches the file descriptors.

    Parameters
    ----------
    cells : list of NotebookNode
        The cells of the notebook; outputs are put into them.
    merge_streams : bool
        Put text that follows text of the same stream into one output, as front ends do. nbclient does not.
    on_output : callable, optional
        Called with the cell's index and each output as it comes, in the thread that made it.
    """

    def __init__(
        self,
        cells: list[NotebookNode],
        *,
        merge_streams: bool = True,
        on_output: Callable[[int, NotebookNode], None] | None = None,
    ) -> None:
        self._cells = cells
        self._merge_streams = merge_streams
        self._on_output = on_output
        self._index = -1
        self._clear_next = False
        self._displays: dict[str, list[tuple[int, NotebookNode]]] = {}
        self._lock = threading.RLock()
        self.records: dict[str, Any] = {}
        #: Earlier cells in which a display has changed since the current one began.
        self.changed: set[int] = set()

    def begin(self, index: int) -> None:
        """Let what comes from now on belong to a cell."""
        with self._lock:
            self._index = index
            self._clear_next = False
            self.changed = set()
            self._cells[index].outputs = []
            self._cells[index].execution_count = None

    def take(self, message: dict[str, Any]) -> None:
        """Put a message where it belongs; what is no output is passed over."""
        kind = message["header"]["msg_type"]
        content = message["content"]
        with self._lock:
            if self._index < 0:
                return
            cell = self._cells[self._index]
            if kind in _SHOWN:
                self._update(content)
            if kind in ("execute_input", "execute_result"):
                cell.execution_count = content["execution_count"]
            if kind == "execute_input":
                date = message["header"]["date"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
                cell.metadata.setdefault("execution", NotebookNode())["iopub.execute_input"] = date
            if kind == "clear_output":
                if content.get("wait"):
                    self._clear_next = True
                else:
                    self._clear(cell)
            elif kind in _OUTPUTS:
                self._add(cell, message)

    def _add(self, cell: NotebookNode, message: dict[str, Any]) -> None:
        output = output_from_msg(message)
        if self._clear_next:
            self._clear(cell)
            self._clear_next = False
        last = cell.outputs[-1] if cell.outputs else None
        if (
            self._merge_streams
            and output.output_type == "stream"
            and last is not None
            and last.output_type == "stream"
            and last.name == output.name
        ):
            last.text += output.text
        else:
            cell.outputs.append(output)
        if output.output_type in _SHOWN:
            display_id = (message["content"].get("transient") or {}).get("display_id")
            if display_id:
                self._displays.setdefault(display_id, []).append((self._index, output))
            recorded = output.data.get(RECORD_MIME)
            if recorded is not None:
                add_record(self.records, recorded)
        if self._on_output is not None:
            self._on_output(self._index, output)

    def _update(self, content: dict[str, Any]) -> None:
        display_id = (content.get("transient") or {}).get("display_id")
        for index, output in self._displays.get(display_id, []) if display_id else []:
            output.data = NotebookNode(content["data"])
            output.metadata = NotebookNode(content["metadata"])
            if index != self._index:
                self.changed.add(index)

    def _clear(self, cell: NotebookNode) -> None:
        cell.outputs = []
        for display_id, shown in self._displays.items():
            self._displays[display_id] = [(i, output) for i, output in shown if i != self._index]
