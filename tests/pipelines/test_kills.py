"""A process that runs pipelines is killed at random moments: what it told as done is there, with its arrays."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import generic, write_algorithm

import workbench
from workbench.storage import hdf5

STREAM = """
    import sys, time
    import numpy as np
    import workbench
    from workbench import Node, Pipeline

    def rest(x, add):
        time.sleep(0.002)
        return x + add

    ws = workbench.open(sys.argv[1])
    nodes = [Node(rest, "__pipeline_input__", "s0", name="n0", parameters={"add": 1})]
    nodes += [Node(rest, f"s{i - 1}", f"s{i}", name=f"n{i}", parameters={"add": 1}) for i in range(1, 4)]
    pipe = Pipeline([*nodes, Node("more", "s3", "end", name="n4")], "stream")
    pipe.run(np.full((40, 50), -float(sys.argv[2])))
    print("begin", flush=True)
    for number in range(int(sys.argv[2]), 10**9, 1000):
        run = pipe.run(np.full((40, 50), float(number)), wait=False)
        told = set()
        while not run.status.is_final or len(told) < 5:
            for place, node in enumerate(run.nodes):
                if node.status == "COMPLETED" and node.name not in told:
                    told.add(node.name)
                    print(node.run, number + place + 1, flush=True)
            time.sleep(0.0005)
        print(run.id, number + 5, flush=True)
"""


def killed(url: str, seed: int, after_s: float) -> list[tuple[str, float]]:
    """Let a process stream and kill it; return the runs that it told as done, with what they gave."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STREAM), url, str(seed)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as lines:
        assert lines.readline() == "begin\n"
        time.sleep(after_s)
        process.kill()
        process.wait()
        said = [line.split() for line in lines.read().splitlines(keepends=True) if line.endswith("\n")]
    return [(run, float(value)) for run, value in said]


@pytest.mark.timeout(600)
def test_what_a_killed_pipeline_told_as_done_is_there(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url, chance, count = str(tmp_path / "ws"), random.Random(20261130), 0
    body = generic("return [d['data'] + 1 for d in data]")
    with workbench.open(url) as ws:
        ws.algorithms.deploy(write_algorithm(tmp_path / "more", "more", body, type="Generic"), check=False)
    for number in range(max(3, request.config.getoption("--kills") // 3)):
        said = killed(url, number, 0.05 + chance.random() * 0.4)
        count += len(said)
        with workbench.open(url) as ws:
            for id, value in said:
                run = ws.runs.get(id)
                assert run.status == "COMPLETED"
                (dataset,) = run.datasets
                assert (ws.datasets.get(dataset)["data"] == np.full((40, 50), value)).all()
                hdf5.verify(tmp_path / "ws" / "objects" / f"{dataset.digest}.h5", dataset.digest)
            for run in ws.runs.list(status="COMPLETED", limit=100_000):
                assert ws.datasets.are_whole(dataset.id for dataset in run.datasets), run.id
            found = {dataset.id for dataset in ws.datasets.list(limit=100_000)}
            assert found == {path.stem for path in (tmp_path / "ws" / "datasets").glob("*.json")}
            assert not ws.runs.list(status=["PENDING", "STARTED", "RUNNING"], limit=1)
        assert list((tmp_path / "ws" / ".journal").glob("**/*.jsonl")) == []
    assert count > 50
