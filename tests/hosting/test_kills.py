"""Workers, hosts and kernels are killed at random during a stream of runs: nothing that was reported is lost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import run_stream
from algorithm_folders import write_algorithm

import workbench
from workbench.models import RunRecord
from workbench.storage import hdf5

STREAM = """
    import time
    import numpy as np
    from workbench.runners import BaseRunner
    from workbench.schemas import GenericSchema

    class Runner(BaseRunner):
        def preprocess(self, input_data, args={}):
            self.log_message("begun")

        def inference(self, data, args={}):
            time.sleep(args["ms"] / 1000)
            self.set_progress(0.5)
            return np.random.default_rng().random(5000)

        def postprocess(self, data, args={}):
            return self.post_data([{"data": data}, {"data": data[:10]}], GenericSchema)
"""
TABLE = """
    [[tool.workbench.parameters]]
    name = "ms"
    type = "int"
    default = 0
    description = "How long it takes"
"""


class Kernel:
    """The process that gives runs away; what it said is kept when it is killed."""

    def __init__(self, url: str, said: list[list[str]], seed: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, run_stream.__file__, url, str(seed)], stdout=subprocess.PIPE, text=True
        )
        self._said = said
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                if line.endswith("\n"):  # a line cut by the kill was not said
                    self._said.append(line.split())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()


def host_of(ws: workbench.Workspace) -> list[psutil.Process]:
    with suppress(OSError, psutil.NoSuchProcess):
        status = ws.executor("process").client.status()
        return [psutil.Process(status["pid"])] if status else []
    return []


@pytest.mark.timeout(1500)
def test_killing_loses_nothing_that_was_reported(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    kills = request.config.getoption("--kills")
    chance = random.Random(20261124)
    said: list[list[str]] = []
    killed: list[psutil.Process] = []
    with workbench.open(tmp_path / "ws", workers=2) as ws:
        ws.algorithms.deploy(
            write_algorithm(tmp_path / "stream", "stream", STREAM, type="Generic", extra=TABLE), check=False
        )
        kernel = Kernel(ws.url, said, 0)
        try:
            done = {"worker": 0, "host": 0, "kernel": 0}
            while sum(done.values()) < kills:
                before = len(said)
                end = time.monotonic() + 30
                while len(said) < before + chance.randint(1, 12) and time.monotonic() < end:
                    time.sleep(0.002)
                assert len(said) > before, f"the stream stands still after {done}"
                time.sleep(chance.random() * 0.02)
                victim = chance.choice(["worker", "worker", "worker", "host", "kernel"])
                if victim == "kernel":
                    kernel.kill()
                    kernel = Kernel(ws.url, said, sum(done.values()))
                else:
                    found = host_of(ws) if victim == "host" else workers_of(ws)
                    if not found:
                        continue
                    killed = [chance.choice(found)]
                    with suppress(psutil.NoSuchProcess):
                        killed[0].send_signal(signal.SIGKILL)
                done[victim] += 1
        finally:
            kernel.kill()
        psutil.wait_procs(killed, timeout=5.0)
        check(ws, said, done)


def workers_of(ws: workbench.Workspace) -> list[psutil.Process]:
    with suppress(OSError, psutil.NoSuchProcess):
        status = ws.executor("process").client.status()
        return [psutil.Process(w["pid"]) for w in status["workers"]] if status else []
    return []


def check(ws: workbench.Workspace, said: list[list[str]], done: dict[str, int]) -> None:
    """Hold the workspace against what the kernels were told."""
    after = ws.run("stream", executor="process")
    assert after.status == "COMPLETED", after.error
    end = time.monotonic() + 20
    while (open_ := ws.runs.unsettled()) and time.monotonic() < end:
        for record in open_:
            ws.runs.get(record.id).wait(0.2)
    assert not open_, f"{len(open_)} runs never ended: {open_[:3]}"
    reported = {words[1] for words in said if words[0] == "COMPLETED"}
    submitted = {words[1] for words in said if words[0] == "submitted"}
    assert reported
    states: dict[str, int] = {}
    for run_id in submitted | reported:
        record = ws.runs.record(run_id)
        states[str(record.status)] = states.get(str(record.status), 0) + 1
        stored = RunRecord.model_validate_json(ws.store.get("runs", f"{run_id}.json"))
        assert stored.status == record.status, f"file and catalog of {run_id} differ"
        assert run_id not in reported or record.status == "COMPLETED"
        assert record.status != "FAILED", record.error  # also where kills hit workers that are still starting
        if record.status == "COMPLETED":
            large, small = ws.runs.get(run_id).datasets
            np.testing.assert_array_equal(large.array[:10], small.array)
    digests = {record.digest for record in ws.datasets.records()}
    for info in ws.store.list("objects"):
        path = ws.store.local_path("objects", info.key)
        assert path is not None
        hdf5.verify(path, info.key.removesuffix(".h5"))
        digests.discard(info.key.removesuffix(".h5"))
    assert not digests, f"{len(digests)} datasets have no object"
    print(f"killed {done}; {len(submitted)} runs: {states}")
