"""A sweep of a hundred runs is killed in the middle: what was done stays done, and what is missing is done, once."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import sweep_kernel
from hosts import processes
from notebook_runs import notebook, save
from sweep_algorithms import write_scale

import workbench

COUNT = 100
TEMPLATE = (
    "x: float = 0.0\nmarks: str = ''\nms: int = 0",
    "import workbench\nworkbench.record('data', 2 * x)",
    "with open(marks, 'a') as file: print(x, file=file)",
)


def marks(path: Path) -> list[float]:
    return [float(line) for line in path.read_text().split()] if path.exists() else []


class Kernel:
    """A process with a sweep, and what it said."""

    def __init__(self, url: str, marked: Path, ms: int, what: str = "scale") -> None:
        self.process = subprocess.Popen(
            [sys.executable, sweep_kernel.__file__, url, str(marked), str(COUNT), str(ms), what],
            stdout=subprocess.PIPE,
            text=True,
        )

    def said(self) -> str:
        """Wait for its first line: the sweep's id, when all is given away."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def host_of(ws: workbench.Workspace) -> int:
    """Return the process id of the run host."""
    status = ws.executor("process").client.status()
    assert status is not None
    return int(status["pid"])


def kill_host(pid: int) -> None:
    """Kill the run host with everything below it, at once."""
    everyone = processes(pid)
    for process in everyone:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(everyone, timeout=10)


def until_marked(path: Path, count: int) -> None:
    end = time.monotonic() + 60
    while len(marks(path)) < count:
        assert time.monotonic() < end, f"only {len(marks(path))} of {count} calls were made"
        time.sleep(0.005)


@pytest.fixture
def workspace(tmp_path: Path) -> str:
    with workbench.open(tmp_path / "ws", workers=2) as ws:
        ws.algorithms.deploy(write_scale(tmp_path / "scale"), check=False)
        return ws.url


@pytest.mark.parametrize(("what", "after"), [("scale", 1), ("scale", 40), ("scale", 75), ("a notebook", 40)])
def test_after_everything_was_killed_exactly_the_missing_runs_are_done(
    workspace: str, tmp_path: Path, what: str, after: int
) -> None:
    marked = tmp_path / "marks"
    if what != "scale":
        what = str(save(notebook(*TEMPLATE, tags={0: ["parameters"]}), tmp_path / "marks.ipynb"))
    kernel = Kernel(workspace, marked, 20, what)
    try:
        sweep_id = kernel.said()
        with workbench.open(workspace, workers=2) as ws:
            host = host_of(ws)
            until_marked(marked, after)
            kill_host(host)
    finally:
        kernel.kill()
    called = len(marks(marked))
    with workbench.open(workspace, workers=2) as ws:
        sweep = ws.sweeps.get(sweep_id)
        done = {row["point"]: row["run"] for row in sweep.rows() if row["status"] == "COMPLETED"}
        assert sweep.status == "INCOMPLETE"
        assert called - 2 <= len(done) <= called  # no more than its two jobs were under way
        sweep.resume()
        rows = sweep.rows()
        assert sweep.counts == {"COMPLETED": COUNT}
        assert [row["data"] for row in rows] == [2.0 * x for x in range(COUNT)]
        assert {point: rows[point]["run"] for point in done} == done
        assert len(marks(marked)) == called + COUNT - len(done)
        assert len({row["run"] for row in rows}) == COUNT
        assert ws.sweeps.get(sweep_id).status == "COMPLETED"


def test_a_killed_kernel_does_not_end_its_sweep(workspace: str, tmp_path: Path) -> None:
    marked = tmp_path / "marks"
    kernel = Kernel(workspace, marked, 10)
    try:
        sweep_id = kernel.said()
        until_marked(marked, 5)
    finally:
        kernel.kill()
    with workbench.open(workspace, workers=2) as ws:
        sweep = ws.sweeps.get(sweep_id)
        assert sweep.status == "RUNNING"
        sweep.resume()  # nothing is missing: it is waited for
        assert sweep.counts == {"COMPLETED": COUNT}
        assert sorted(marks(marked)) == [float(x) for x in range(COUNT)]


def test_a_kernel_that_is_killed_while_it_gives_points_away_leaves_the_rest_to_resume(
    workspace: str, tmp_path: Path
) -> None:
    marked = tmp_path / "marks"
    kernel = Kernel(workspace, marked, 0)
    try:
        until_marked(marked, 1)  # perhaps before it has given away the last one
    finally:
        kernel.kill()
    with workbench.open(workspace, workers=2) as ws:
        (sweep,) = ws.sweeps.list()
        sweep.resume()
        assert sweep.counts == {"COMPLETED": COUNT}
        assert sorted(marks(marked)) == [float(x) for x in range(COUNT)]


def test_a_killed_worker_costs_one_run_of_the_sweep(workspace: str, tmp_path: Path) -> None:
    gate, marked = tmp_path / "gate", tmp_path / "marks"
    gate.touch()
    with workbench.open(workspace, workers=2) as ws:
        fixed = {"gate": str(gate), "marks": str(marked)}
        sweep = ws.sweeps.run("scale", {"x": range(10)}, fixed=fixed, wait=False, reuse="never")
        until_marked(marked, 2)
        status = ws.executor("process").client.status()
        psutil.Process(next(w["pid"] for w in status["workers"] if w["run"])).kill()
        gate.unlink()
        assert sweep.wait(60).counts == {"COMPLETED": 9, "LOST": 1}
        assert "SIGKILL" in next(row["error"] for row in sweep.rows() if row["status"] == "LOST")
        assert sweep.resume().counts == {"COMPLETED": 10}


def test_a_killed_host_is_told_to_the_kernel_that_waits(workspace: str, tmp_path: Path) -> None:
    marked = tmp_path / "marks"
    with workbench.open(workspace, workers=2) as ws:
        fixed = {"marks": str(marked), "ms": 10}
        sweep = ws.sweeps.run("scale", {"x": range(50)}, fixed=fixed, wait=False, reuse="never")
        host = host_of(ws)
        until_marked(marked, 10)
        kill_host(host)
        assert sweep.wait(30).status == "INCOMPLETE"
        done = sweep.counts["COMPLETED"]
        called = len(marks(marked))
        assert sweep.resume().counts == {"COMPLETED": 50}
        assert len(marks(marked)) == called + 50 - done
