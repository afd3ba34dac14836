"""Notebooks of tests, and children that execute them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from workbench.batch.children import Child, fresh_child
from workbench.execution.wire import Message


def notebook(*sources: str, tags: dict[int, Sequence[str]] | None = None) -> NotebookNode:
    """Return a notebook of code cells; ``tags`` has those of a cell by its number."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    for index, names in (tags or {}).items():
        cells[index].metadata["tags"] = list(names)
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return made


@dataclass
class Executed:
    """What a child has told."""

    events: list[Message] = field(default_factory=list)
    child: Child | None = None

    @property
    def end(self) -> Message:
        assert self.events, "the child has told nothing"
        assert self.events[-1]["event"] == "end", self.events[-1]
        return self.events[-1]

    @property
    def notebook(self) -> NotebookNode:
        return nbformat.from_dict(json.loads(self.end["body"]))

    @property
    def error(self) -> dict[str, Any] | None:
        return self.end["error"]

    def text(self, index: int, stream: str = "stdout") -> str:
        """Return what a cell has written."""
        outputs = self.notebook.cells[index].outputs
        return "".join(o.text for o in outputs if o.output_type == "stream" and o.name == stream)

    def result(self, index: int) -> str:
        """Return the text of a cell's result."""
        return next(
            o.data["text/plain"]
            for o in self.notebook.cells[index].outputs
            if o.output_type == "execute_result"
        )


def execute(made: NotebookNode, **order: Any) -> Executed:
    """Execute a notebook in a fresh child."""
    child = fresh_child(order, json.dumps(made).encode())
    try:
        return Executed(list(child.events(60.0)), child)
    finally:
        child.close()


def wait_until(is_so: Any, seconds: float = 60.0) -> None:
    """Wait for a process of ours that is starting or ending."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it has not come"
        time.sleep(0.02)


def save(made: NotebookNode, path: Path) -> Path:
    """Write a notebook."""
    nbformat.write(made, path)
    return path
