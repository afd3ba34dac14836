"""Two processes that go on with one sweep do its points once; a holder that is killed holds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sweep_resume
from sweep_algorithms import write_scale

import workbench
from workbench.batch.sweep_lock import SweepLock
from workbench.errors import ConflictError

COUNT = 40


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws", workers=2, cancel_grace_s=2.0) as ws:
        ws.algorithms.deploy(write_scale(tmp_path / "scale"), check=False)
        yield ws


def marks(path: Path) -> list[float]:
    return [float(line) for line in path.read_text().split()] if path.exists() else []


def resuming(ws: workbench.Workspace, sweep_id: str, go: Path) -> subprocess.Popen[str]:
    """Return a process that has found the sweep and waits for the file."""
    process = subprocess.Popen(
        [sys.executable, sweep_resume.__file__, ws.url, sweep_id, str(go)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def said(process: subprocess.Popen[str]) -> str:
    """Return what it says until its end; ``communicate`` with a timeout loses what has been read with "ready"."""
    with process:
        assert process.stdout is not None
        return process.stdout.read().strip()


def test_two_processes_that_resume_at_once_do_each_point_once(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    gate, marked, go = tmp_path / "gate", tmp_path / "marks", tmp_path / "go"
    gate.touch()
    fixed = {"marks": str(marked), "gate": str(gate)}
    sweep = ws.sweeps.run("scale", {"x": range(COUNT)}, fixed=fixed, wait=False, reuse="never")
    while len(marks(marked)) < 2:
        time.sleep(0.01)
    sweep.cancel().wait(30)
    marked.unlink()
    gate.unlink()
    missing = [float(n) for n in range(COUNT) if not sweep.point(n).is_done]
    assert len(missing) >= COUNT - 2
    processes = [resuming(ws, sweep.id, go) for _ in range(2)]
    go.touch()
    assert [said(process) for process in processes] == [
        str({"COMPLETED": COUNT})
    ] * 2  # the second has followed the first
    assert sorted(marks(marked)) == missing
    assert ws.sweeps.get(sweep.id).status == "COMPLETED"
    assert not list((tmp_path / "ws" / "sweeps").glob("*.lock"))


def test_a_sweep_in_a_kernel_is_refused_to_others_until_that_is_killed(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    gate, marked, go = tmp_path / "gate", tmp_path / "marks", tmp_path / "go"
    fixed = {"marks": str(marked), "gate": str(gate), "fails_at": 0}
    sweep = ws.sweeps.run("scale", {"x": [0]}, fixed=fixed, executor="kernel", reuse="never")
    assert sweep.status == "FAILED"
    gate.touch()
    go.touch()
    first = resuming(ws, sweep.id, go)
    while marks(marked) != [0.0, 0.0]:
        time.sleep(0.01)
    second = resuming(ws, sweep.id, go)
    assert f"is being worked on by process {first.pid}" in said(second)
    with pytest.raises(ConflictError, match="goes on"):
        ws.sweeps.delete(sweep.id)
    first.kill()
    said(first)
    gate.unlink()
    third = resuming(ws, sweep.id, go)
    assert said(third) == str({"FAILED": 1})
    assert marks(marked) == [0.0] * 3


def test_a_sweep_of_this_kernel_is_waited_for_when_it_is_resumed(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    gate, marked = tmp_path / "gate", tmp_path / "marks"
    gate.touch()
    fixed = {"marks": str(marked), "gate": str(gate)}
    sweep = ws.sweeps.run("scale", {"x": [1, 2]}, fixed=fixed, executor="kernel", wait=False, reuse="never")
    with pytest.raises(ConflictError, match=str(os.getpid())):
        ws.sweeps.get(sweep.id).resume(wait=False)
    gate.unlink()
    assert sweep.resume().counts == {"COMPLETED": 2}
    assert sorted(marks(marked)) == [1.0, 2.0]


def test_a_lock_is_released_with_its_file_and_taken_over_from_who_died(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    path.write_text("1")  # of a process that was killed
    with SweepLock(path, "x", 0.0):
        assert path.read_text() == str(os.getpid())
        with pytest.raises(ConflictError, match=str(os.getpid())):
            SweepLock(path, "x", 0.05)
    assert not path.exists()
    SweepLock(path, "x", 0.0).release()
