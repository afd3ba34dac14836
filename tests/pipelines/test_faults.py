"""Pipelines where things go wrong around them, and in other places than a folder."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import workbench
from workbench.pipelines import Node, Pipeline

IN = "__pipeline_input__"

KILLED = """
import os, signal, sys
import numpy as np
import workbench
from workbench import Node, Pipeline

def first(x):
    return x + 1

def second(x, kill=False):
    if kill:
        os.kill(os.getpid(), signal.SIGKILL)
    return x * 2

ws = workbench.open(sys.argv[1])
pipe = Pipeline([Node(first, "__pipeline_input__"), Node(second, "first")], "killed")
run = pipe.run(np.arange(4.0), parameters={"second": {"kill": len(sys.argv) > 2}})
print(run.id, [n.reused for n in run.nodes], run.result().tolist())
ws.close()
"""


def test_after_a_kill_what_is_done_is_not_done_again(workspace_url: str) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", KILLED, workspace_url, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run("kill").returncode == -signal.SIGKILL
    with workbench.open(workspace_url) as ws:
        lost = ws.runs.list(algorithm="killed")[0]
        assert lost.status == "LOST"
        assert [n.name for n in lost.nodes] == ["first", "second"]
        (done,) = ws.runs.list(algorithm="first")
        assert done.status == "COMPLETED"
        np.testing.assert_array_equal(done.result(), np.arange(4.0) + 1)
    again = run()
    assert again.returncode == 0, again.stderr
    assert "[True, False] [2.0, 4.0, 6.0, 8.0]" in again.stdout


def test_a_full_disk_fails_the_node_that_wants_to_keep_something(small_disk: Path) -> None:
    with workbench.open(small_disk / "ws"):
        pipe = Pipeline(
            [
                Node(lambda n: np.random.default_rng(0).random(n), IN, name="large"),
                Node(np.sum, "large", name="sum"),
            ]
        )
        run = pipe.run(1 << 20)
        assert run.status == "FAILED"
        assert [n.status for n in run.nodes] == ["FAILED", "SKIPPED"]
        assert "space" in str(run.error)
        assert pipe.run(1 << 10).status == "COMPLETED"


def double(x):
    return x * 2


def total(x):
    return float(x.sum())


@pytest.mark.parametrize(("executor", "wait"), [("kernel", True), ("process", True), ("process", False)])
def test_in_a_bucket(s3, executor: str, wait: bool) -> None:
    url, options = s3.new_url(), s3.storage_options
    image = np.random.default_rng(2).random((8, 8))
    pipe = Pipeline([Node(double, IN), Node(total, "double")], "s3", outputs=["double", "total"])
    with workbench.open(url, storage_options=options) as ws:
        run = pipe.run(image, executor=executor, wait=wait)
        assert run.wait(60).status == "COMPLETED", run.error
        np.testing.assert_array_equal(run.result()["double"], image * 2)
    with workbench.open(url, storage_options=options) as ws:
        assert ws.runs.get(run.id).result()["total"] == pytest.approx(2 * image.sum())
        assert [n.reused for n in pipe.run(image, executor=executor).nodes] == [True, True]


def test_with_a_catalog_of_postgresql(workspace_url: str, pg_url: str) -> None:
    with workbench.open(workspace_url, catalog=pg_url) as ws:
        pipe = Pipeline([Node(double, IN), Node(total, "double")], "pg")
        image = np.random.default_rng(1).random((8, 8))
        run = pipe.run(image)
        assert run.result() == pytest.approx(2 * image.sum())
        assert [n.reused for n in pipe.run(image).nodes] == [True, True]
        assert [n.name for n in ws.runs.get(run.id).nodes] == ["double", "total"]
