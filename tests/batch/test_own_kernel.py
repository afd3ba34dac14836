"""Runs of notebooks that this interpreter cannot stand for, or not again: other kernels, widgets, another attempt."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import workbench

WIDGET = (
    "import ipywidgets\nfrom IPython.display import display\ndisplay(ipywidgets.IntSlider(1))\nprint('shown')"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own-kernels")


@pytest.fixture
def ws(place: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(place / "ws", workers=2, cancel_grace_s=8.0) as workspace:
        yield workspace


def write(path: Path, *cells: str, kernel: str = "python3") -> Path:
    first = new_code_cell("x: int = 1")
    first.metadata.tags = ["parameters"]
    spec = {"name": kernel, "display_name": kernel, "language": "python"}
    made = new_notebook(cells=[first, *map(new_code_cell, cells)], metadata={"kernelspec": spec})
    nbformat.write(made, path)
    return path


def until(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)


def test_a_sweep_uses_the_kernel_that_its_notebook_names(
    ws: workbench.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "environment" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nWHOSE=theirs exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    folder = tmp_path / "jupyter" / "kernels" / "theirs"
    folder.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "theirs", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    cell = (
        "import os, workbench\nworkbench.record('whose', os.environ.get('WHOSE', 'ours'))\nprint('x is', x)"
    )
    sweep = ws.sweeps.run(write(tmp_path / "theirs.ipynb", cell, kernel="theirs"), {"x": [41, 42]})
    assert [row["whose"] for row in sweep.rows()] == ["theirs", "theirs"], [run.log for run in sweep.runs]
    log = sweep.runs[1].log
    assert "Run in a kernel of its own: its kernel 'theirs' is one of another environment." in log
    assert "PRINT x is 42" in log


FLAKY = """
import os, workbench
tries = len(os.listdir(FOLDER))
open(f'{FOLDER}/{tries}', 'w').close()
seen = 'left' in globals() or 'LEFT' in os.environ or os.getcwd() == '/'
left = 1; os.environ['LEFT'] = '1'; os.chdir('/')
if tries < x: raise OSError(f'flaky {tries}')
workbench.record('seen', seen)
"""


def test_a_notebook_that_fails_is_tried_again_from_its_beginning(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "tries"
    folder.mkdir()
    template = write(tmp_path / "flaky.ipynb", f"FOLDER = {str(folder)!r}", FLAKY)
    sweep = ws.sweeps.run(template, {"x": [2]}, retries=3)
    (run,) = sweep.runs
    assert run.status == "COMPLETED", run.error
    assert len(list(folder.iterdir())) == 3
    assert run.records == {"seen": False}
    assert "Attempt 1 of 4 failed in cell 4: OSError: flaky 0" in run.log
    assert "Attempt 2 of 4 failed in cell 4: OSError: flaky 1" in run.log
    assert not any(o.output_type == "error" for cell in run.notebook.cells for o in cell.get("outputs", []))
    failed = ws.run_template(template, {"x": 100}, retries=1)
    assert (failed.status, len(list(folder.iterdir()))) == ("FAILED", 5)
    assert failed.record.error is not None
    assert (failed.record.error.type, failed.record.error.phase) == ("OSError", "cell 4")


def test_the_time_limit_is_of_the_whole_run_in_a_kernel_too(ws: workbench.Workspace, tmp_path: Path) -> None:
    naps = ["import time\ntime.sleep(3)"] * 4
    run = ws.run_template(write(tmp_path / "naps.ipynb", WIDGET, *naps), timeout_s=8.0)
    assert run.status == "FAILED", run.log
    assert run.record.error is not None
    assert (run.record.error.type, run.record.error.kind) == ("CellTimeoutError", "run_timeout")
    assert run.notebook.cells[2].outputs[-1].text == "shown\n"
    assert any(o.output_type == "error" for cell in run.notebook.cells for o in cell.get("outputs", []))


def test_a_cancel_in_a_kernel_keeps_the_notebook_so_far(ws: workbench.Workspace, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    cell = f"import os, pathlib, time\npathlib.Path({str(pid)!r}).write_text(str(os.getpid()))\nprint('in it')\ntime.sleep(600)"
    run = ws.run_template(write(tmp_path / "long.ipynb", WIDGET, cell, "'never'"), wait=False)
    until(lambda: "PRINT in it" in run.log, "the long cell")
    assert [c.get("execution_count") for c in run.notebook.cells[:3]] == [1, 2, 3]  # kept after each cell
    assert run.cancel().wait(20).status == "CANCELLED"
    cells = run.notebook.cells
    assert cells[2].outputs[-1].text == "shown\n"
    assert cells[3].outputs[0].text == "in it\n"
    assert cells[4].outputs == []
    import psutil

    until(lambda: not psutil.pid_exists(int(pid.read_text())), "the end of the kernel")
