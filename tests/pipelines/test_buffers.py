"""Arrays that their owner writes to after they were handed on: what is passed on, kept and returned is what they were."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

import workbench
from workbench.pipelines import Node, Pipeline

IN = "__pipeline_input__"


@pytest.fixture
def ws(workspace_url: str) -> Iterator[workbench.Workspace]:
    with workbench.open(workspace_url) as ws:
        yield ws


@pytest.mark.parametrize("size", [10, 300_000])
def test_a_buffer_that_is_filled_again_is_not_what_was_given_before(
    ws: workbench.Workspace, size: int
) -> None:
    buffer = np.zeros(size)

    def grab(level):
        buffer[:] = level
        return buffer

    def grab_more(level, dark):
        buffer[:] = level + 10
        return buffer

    def difference(dark, bright):
        return float((bright - dark).max())

    nodes = [
        Node(grab, IN, "dark"),
        Node(grab_more, [IN, "dark"], "bright"),
        Node(difference, ["dark", "bright"], "difference"),
    ]
    run = Pipeline(nodes, "camera", outputs=["dark", "bright", "difference"]).run(3.0)
    given = run.result()
    assert given["difference"] == 10
    assert set(given["dark"]) == {3.0}
    assert set(given["bright"]) == {13.0}
    assert set(ws.runs.get(run.id).node("grab").result()) == {3.0}


@pytest.mark.parametrize("size", [10, 300_000])
def test_an_input_that_is_written_to_meanwhile_is_what_it_was(ws: workbench.Workspace, size: int) -> None:
    begun, go = threading.Event(), threading.Event()

    def wait(x):
        begun.set()
        go.wait(20)
        return float(x.sum())

    def more(x, total):
        return float(x.sum())

    nodes = [Node(wait, IN, "first"), Node(more, [IN, "first"], "second")]
    x = np.ones(size)
    run = Pipeline(nodes, "late", outputs=["first", "second"]).run(x, wait=False)
    x[:] = 100
    assert begun.wait(20)
    go.set()
    assert run.result(20) == {"first": size, "second": size}
