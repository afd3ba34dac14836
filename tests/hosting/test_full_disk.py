"""Background runs on a disk that is full: who waits hears of it, and hears that no record is kept."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import NOOP, generic, write_algorithm

import workbench
from workbench.errors import StorageFullError, WorkbenchError


def fill(path: Path) -> None:
    """Leave not a byte."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)


def test_a_full_disk_is_named_with_what_became_of_the_record(small_disk: Path, tmp_path: Path) -> None:
    gate, full = tmp_path / "gate", small_disk / "full"
    gate.touch()
    waits = generic(f"""
        import time
        from pathlib import Path
        self.log_message("begun")
        while Path({str(gate)!r}).exists():
            time.sleep(0.01)
        return [data[0]["data"]]
    """)
    with workbench.open(small_disk / "ws", workers=1) as ws:
        for name, code in {"noop": NOOP, "waits": waits}.items():
            ws.algorithms.deploy(write_algorithm(tmp_path / name, name, code, type="Generic"), check=False)
        assert ws.run("noop", executor="process").status == "COMPLETED"
        tags = [f"{i:064d}" for i in range(150)]  # the record needs more room than a file may have left
        running = ws.run("waits", np.zeros(3), executor="process", wait=False, tags=tags)
        while "begun" not in running.log:
            time.sleep(0.01)
        fill(full)
        gate.unlink()
        assert running.wait(30).status == "FAILED"
        with pytest.raises(WorkbenchError, match=r"no space is left.*recorded as soon as"):
            running.result()
        said = "COMPLETED"
        try:  # it depends on how quickly it ends who finds the disk full
            said = str(ws.run("noop", executor="process").error or said)
        except StorageFullError as raised:
            said = str(raised)
        assert said == "COMPLETED" or "recorded" in said
        full.unlink()
        end = time.monotonic() + 20
        while ws.runs.list(status="RUNNING") and time.monotonic() < end:
            time.sleep(0.05)
        assert ws.runs.record(running.id).status == "FAILED", "there is room again"
        assert ws.runs.stored(running.id) == ws.runs.record(running.id)
        assert ws.run("noop", executor="process").status == "COMPLETED"
