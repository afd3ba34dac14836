"""Algorithms that fork: a child ends where the algorithm returns to us, and leaves the run and the queue to its parent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
from algorithm_folders import NOOP, generic, write_algorithm

import workbench
from workbench import Node, Pipeline

FORKS = generic("""
    import os, sys, time
    from pathlib import Path
    import numpy as np
    end, note = args["end"], Path(args["note"])
    pid = os.fork()
    if pid == 0:
        self.set_progress(0.9)
        if end == "raise":
            raise ValueError("the child's own")
        if end == "exit":
            sys.exit(0)
        if end == "code":
            sys.exit(7)
        return [np.zeros(3)]
    _, status = os.waitpid(pid, 0)
    note.write_text(str(os.waitstatus_to_exitcode(status)))
    time.sleep(0.3)
    self.log_message("the parent goes on")
    return [np.zeros(3)]
""")
TABLE = """
    [[tool.workbench.parameters]]
    name = "end"
    type = "string"
    default = "return"
    description = "How the child ends"

    [[tool.workbench.parameters]]
    name = "note"
    type = "string"
    default = ""
    description = "Takes the child's exit code"
"""
CELL = """
import os, sys, time
from pathlib import Path
pid = os.fork()
if pid == 0:
    {end}
else:
    _, status = os.waitpid(pid, 0)
    Path({note!r}).write_text(str(os.waitstatus_to_exitcode(status)))
    time.sleep(0.3)
"""
ENDS = {"return": "0", "raise": "1", "exit": "0", "code": "7"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forks")


@pytest.fixture
def ws(place: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(place / "ws", workers=1) as workspace:
        forks = write_algorithm(place / "forks", "forks", FORKS, type="Generic", extra=TABLE)
        noop = write_algorithm(place / "noop", "noop", NOOP, type="Generic")
        for folder in (forks, noop):
            workspace.algorithms.deploy(folder, check=False)
        yield workspace


def check_queue(ws: workbench.Workspace, run: workbench.Run) -> None:
    """See that the worker is alone and does all that comes."""
    worker = run.record.worker_pid
    if worker is not None and psutil.pid_exists(worker):
        assert psutil.Process(worker).children() == []
    after = [ws.run("noop", executor="process", wait=False, reuse="never") for _ in range(5)]
    assert [each.wait(60).status for each in after] == ["COMPLETED"] * 5


@pytest.mark.parametrize("end", ENDS)
def test_a_child_of_an_algorithm_ends_where_the_algorithm_does(
    ws: workbench.Workspace, tmp_path: Path, end: str
) -> None:
    note = tmp_path / "note"
    before = len(list(ws.datasets.records()))
    parameters = {"end": end, "note": str(note)}
    run = ws.run("forks", parameters=parameters, executor="process", wait=False).wait(60)
    assert run.status == "COMPLETED", run.error
    assert "the parent goes on" in run.log
    assert note.read_text() == ENDS[end]
    assert ("ValueError: the child's own" in run.log) == (end == "raise")
    assert run.log.count("inference took") <= 1
    assert len(list(ws.datasets.records())) == before + 1
    assert len(run.outputs) == 1
    check_queue(ws, run)


@pytest.mark.parametrize(("end", "code"), [("pass", "0"), ("1 / 0", "1"), ("sys.exit(7)", "7")])
def test_a_child_of_a_cell_ends_where_the_cell_does(
    ws: workbench.Workspace, tmp_path: Path, end: str, code: str
) -> None:
    note, second = tmp_path / "note", tmp_path / "second"
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(CELL.format(end=end, note=str(note))),
            nbformat.v4.new_code_cell(
                f"with open({str(second)!r}, 'a') as file: print(os.getpid(), file=file)"
            ),
        ]
    )
    path = tmp_path / "forks.ipynb"
    nbformat.write(notebook, path)
    run = ws.run_template(path, wait=False).wait(60)
    assert run.status == "COMPLETED", run.error
    assert note.read_text() == code, run.log
    assert len(second.read_text().split()) == 1
    check_queue(ws, run)


def forked(x: np.ndarray, end: str, note: str) -> np.ndarray:
    import os
    import sys
    import time

    pid = os.fork()
    if pid == 0:
        if end == "raise":
            raise ValueError("the child's own")
        if end != "return":
            sys.exit(7 if end == "code" else 0)
        return x
    _, status = os.waitpid(pid, 0)
    with open(note, "a") as file:  # noqa: PTH123
        file.write(str(os.waitstatus_to_exitcode(status)))
    time.sleep(0.3)
    return x + 1


@pytest.mark.parametrize("end", ENDS)
def test_a_child_of_a_node_ends_where_the_node_does(
    ws: workbench.Workspace, tmp_path: Path, end: str
) -> None:
    note = tmp_path / "note"
    node = Node(forked, "__pipeline_input__", parameters={"end": end, "note": str(note)})
    run = Pipeline([node], "forking").run(np.arange(3.0), workspace=ws, executor="process")
    assert run.status == "COMPLETED", run.error
    assert note.read_text() == ENDS[end]
    assert run.result().tolist() == [1.0, 2.0, 3.0]
    check_queue(ws, run)
