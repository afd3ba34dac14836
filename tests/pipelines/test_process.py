"""Pipelines in background processes: independent nodes at once, failures, cancel, what travels."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from workbench.errors import InvalidPipelineError, UnsupportedError
from workbench.pipelines import Node, Pipeline

IN, OUT = "__pipeline_input__", "__pipeline_output__"


def rest(x, seconds=0.4):
    time.sleep(seconds)
    return x


def add(a, b):
    return a + b


class Model:
    def __init__(self, mean):
        self.mean = mean


def meet(x, folder, mine, other):
    """Return when the other arm has begun too."""
    (Path(folder) / mine).touch()
    end = time.monotonic() + 60
    while not (Path(folder) / other).exists():
        assert time.monotonic() < end, "the other arm does not run at the same time"
        time.sleep(0.01)
    return x


def diamond(arm=rest) -> Pipeline:
    return Pipeline(
        [
            Node(lambda x: x + 1, IN, "start", name="first"),
            Node(arm, "start", "l", name="left"),
            Node(arm, "start", "r", name="right"),
            Node(add, ["l", "r"], OUT),
        ],
        "diamond",
    )


def overlap(run, a: str, b: str) -> bool:
    one, other = run.node(a).record, run.node(b).record
    return one.started < other.finished and other.started < one.finished


def test_a_diamond_runs_its_arms_at_once(ws, image, tmp_path):
    arms = {
        "left": {"folder": str(tmp_path), "mine": "l", "other": "r"},
        "right": {"folder": str(tmp_path), "mine": "r", "other": "l"},
    }
    run = diamond(meet).run(image, executor="process", parameters=arms)
    assert run.status == "COMPLETED", run.error
    np.testing.assert_array_equal(run.result(), 2 * (image + 1))
    left = run.node("left").record
    assert left.worker_pid not in (None, run.record.pid, run.node("right").record.worker_pid)
    assert overlap(run, "left", "right")
    assert not overlap(run, "first", "left")
    again = diamond(meet).run(image, executor="process", parameters=arms)
    assert all(node.reused for node in again.nodes)


def test_algorithms_and_functions_go_together(ws, image):
    pipe = Pipeline(
        [
            Node("invert", IN),
            Node(lambda x: x * 2, "invert", name="twice"),
            Node("halve", "twice", ["a", "b"]),
            Node(add, ["a", "b"]),
        ]
    )
    run = pipe.run(image, executor="process")
    assert run.status == "COMPLETED", run.error
    expected = (image.max() - image) * 2
    np.testing.assert_allclose(run.result(), expected[:8] + expected[8:], rtol=1e-6)
    assert {run.node(name).record.executor for name in ("invert", "twice", "halve", "add")} == {"process"}
    labels = {node.label for node in run.node("add").lineage(direction="up").nodes.values()}
    assert {"invert@1.0", "twice"} <= labels or {"invert@1.0", "lambda"} <= labels


def test_objects_travel_between_processes(ws, image):
    pipe = Pipeline(
        [
            Node(lambda x: Model(float(x.mean())), IN, "model", name="fit"),
            Node(lambda m: m.mean, "model", name="use"),
        ],
        outputs=["model", "use"],
    )
    run = pipe.run(image, executor="process")
    assert run.status == "COMPLETED", run.error
    assert run.result()["use"] == pytest.approx(image.mean())
    assert isinstance(run.result()["model"], Model)


def test_a_failure_keeps_the_other_arm(ws, image):
    def broken(x):
        raise ValueError("no luck")

    pipe = Pipeline([Node(broken, IN), Node(rest, IN), Node(add, ["broken", "rest"])])
    run = pipe.run(image, executor="process")
    assert {n.name: n.status for n in run.nodes} == {
        "broken": "FAILED",
        "rest": "COMPLETED",
        "add": "SKIPPED",
    }
    assert "ValueError: no luck" in str(run.error)
    assert "broken" in run.node("broken").error.traceback_text


def test_cancel_ends_what_runs(ws, image):
    run = diamond(lambda x: time.sleep(60)).run(image, executor="process", wait=False)
    end = time.monotonic() + 60
    while {n.name: n.status for n in run.nodes}["right"] != "RUNNING" and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.3)
    run.cancel()
    assert run.wait(30).status == "CANCELLED"
    assert {n.name: n.status for n in run.nodes} == {
        "first": "COMPLETED",
        "left": "CANCELLED",
        "right": "CANCELLED",
        "add": "SKIPPED",
    }


def test_a_time_limit_of_a_node_ends_it(ws):
    run = Pipeline([Node(lambda x: time.sleep(60), IN, name="slow", timeout_s=0.5)]).run(
        1, executor="process"
    )
    assert run.nodes[0].status == "FAILED"
    assert "0.5 s" in run.nodes[0].error


def test_a_time_limit_of_the_whole_ends_all(ws):
    run = diamond(lambda x: time.sleep(60)).run(1, executor="process", timeout_s=3.0)
    assert run.status == "FAILED"
    assert "took longer than 3 s" in str(run.error)
    assert run.nodes[-1].status == "SKIPPED"


def test_what_cannot_travel_is_refused_before_anything_starts(ws):
    lock = threading.Lock()

    def locked(x):
        with lock:
            return x

    with pytest.raises(
        InvalidPipelineError, match=r"Node 'locked' cannot go to another process.*executor='kernel'"
    ):
        Pipeline([Node(locked, IN)]).run(1, executor="process")
    with pytest.raises(UnsupportedError, match="in the kernel"):
        diamond().run(1, executor="process", debug=True)
    assert len(ws.runs.list()) == 0


def test_what_a_worker_prints_is_in_the_log_of_the_node(ws):
    run = Pipeline([Node(lambda x: print("from afar"), IN, name="talk")]).run(1, executor="process")
    assert "from afar" in run.node("talk").log
    assert run.result() is None


def test_seen_from_elsewhere_while_it_runs(ws, image):
    import workbench

    run = diamond().run(image, executor="process", wait=False)
    with workbench.open(ws.url) as other:
        seen = other.runs.get(run.id)
        assert [n.name for n in seen.nodes] == ["first", "left", "right", "add"]
        run.wait(60)
        assert other.runs.get(run.id).status == "COMPLETED"
        np.testing.assert_array_equal(other.runs.get(run.id).result(), run.result())
