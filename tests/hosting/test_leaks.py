"""After many runs a host and its workers hold what they held after few."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from algorithm_folders import write_algorithm

import workbench

CODE = """
    import threading
    import numpy as np
    from workbench.runners import BaseRunner
    from workbench.schemas import GenericSchema

    class Runner(BaseRunner):
        def preprocess(self, input_data, args={}):
            return self.fetch_data(input_data["input_dataset_ids"], GenericSchema)[0]["data"]

        def inference(self, data, args={}):
            thread = threading.Thread(target=lambda: self.log_message("from a thread"))
            thread.start()
            thread.join()
            self.set_progress(0.5)
            return data.sum(keepdims=True)

        def postprocess(self, data, args={}):
            return self.post_data([{"data": data}], GenericSchema)
"""
MB = 1 << 20


@dataclass
class Held:
    """What a process holds."""

    memory: int
    files: int
    threads: int


def held(pid: int) -> Held:
    process = psutil.Process(pid)
    return Held(process.memory_full_info().uss, process.num_fds(), process.num_threads())


def segments() -> int:
    """Return how many files lie in shared memory, those of tests beside this one apart."""
    count = 0
    for _, folders, files in os.walk("/dev/shm"):
        folders[:] = [name for name in folders if not name.startswith("workbench-tests-")]
        count += len(folders) + len(files)
    return count


@pytest.mark.timeout(600)
def test_many_runs_leave_host_and_workers_as_few_did(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with workbench.open(tmp_path / "ws", workers=2) as ws:
        ws.algorithms.deploy(write_algorithm(tmp_path / "sum", "sum", CODE, type="Generic"), check=False)
        kept = ws.datasets.put({"data": np.arange(1 << 16, dtype=np.float64)})

        def many(count: int) -> None:
            for start in range(0, count, 50):
                runs = [ws.run("sum", kept, executor="process", wait=False) for _ in range(start, start + 50)]
                for run in runs:
                    assert run.wait(60).status == "COMPLETED"

        many(200)  # caches and pools are filled
        status = ws.executor("process").client.status()
        assert status is not None
        pids = {"host": status["pid"], **{f"worker {i}": w["pid"] for i, w in enumerate(status["workers"])}}
        before, shared = {name: held(pid) for name, pid in pids.items()}, segments()
        many(request.config.getoption("--leak-runs"))
        after = {name: held(pid) for name, pid in pids.items()}
        for name, first in before.items():
            last = after[name]
            print(name, first, last)
            assert last.files <= first.files + 2, f"{name}: {first} -> {last}"
            assert last.threads <= first.threads + 1, f"{name}: {first} -> {last}"
            assert last.memory < first.memory + 12 * MB, f"{name}: {first} -> {last}"
        assert segments() <= shared + 2
