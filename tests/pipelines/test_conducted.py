"""Pipelines that a process of the run host conducts: they go on without the kernel, from which they are followed or not."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from sklearn.decomposition import PCA

import workbench
from workbench.errors import InvalidPipelineError, NotFoundError
from workbench.execution.events import RunEvent
from workbench.pipelines import Node, Pipeline
from workbench.steps import SklearnStep
from workbench.workspace import Workspace

IN, OUT = "__pipeline_input__", "__pipeline_output__"

KERNEL = """
import sys, time
from pathlib import Path
import numpy as np
import workbench
from workbench import Node, Pipeline

def first(x):
    return x + 1

def hold(x, folder):
    (Path(folder) / "begun").touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.02)
    return x * 2

def last(x):
    return x.sum()

ws = workbench.open(sys.argv[1])
nodes = [Node(first, "__pipeline_input__"), Node(hold, "first", parameters={"folder": sys.argv[2]}), Node(last, "hold")]
pipe = Pipeline(nodes, "held")
run = pipe.run(np.arange(4.0), executor="process", wait=len(sys.argv) > 3)
print(run.id, [n.reused for n in run.nodes], flush=True)
time.sleep(0 if len(sys.argv) > 3 else 600)
ws.close()
"""
SECOND = """
import sys, time
import workbench

with workbench.open(sys.argv[1]) as ws:
    run = ws.runs.get(sys.argv[2])
    states = []
    run.subscribe(lambda event: states.append(str(event.status)))
    print(run.status, *(n.status for n in run.nodes))
    print(ws.runs.list(algorithm=run.algorithm)[0].id == run.id, "ready" in run.log)
    print(run.cancel().wait(30).status, *(n.status for n in run.nodes), states[-1])
"""


class Model:
    def __init__(self, mean: float) -> None:
        self.mean = mean


class Reduce(SklearnStep):
    model_class = PCA
    model_parameters = {"n_components": 2, "random_state": 0}


def add(a, b):
    return a + b


def double(x):
    return x * 2


def hold(x, folder, name="begun"):
    """Go on when it is told to."""
    (Path(folder) / name).touch()
    end = time.monotonic() + 60
    while not (Path(folder) / "go").exists():
        assert time.monotonic() < end, "nobody says go"
        time.sleep(0.01)
    return x


def meet(x, folder, mine, other):
    """Return when the other arm has begun too."""
    (Path(folder) / mine).touch()
    end = time.monotonic() + 60
    while not (Path(folder) / other).exists():
        assert time.monotonic() < end, "the other arm does not run at the same time"
        time.sleep(0.01)
    return x


def until(fact: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def held(folder: Path, name: str = "held") -> Pipeline:
    """Return a pipeline whose middle node waits until it is told to go on."""
    return Pipeline(
        [
            Node(lambda x: x + 1, IN, name="first"),
            Node(hold, "first", parameters={"folder": str(folder)}),
            Node(double, "hold"),
        ],
        name,
    )


def start_held(folder: Path, image: np.ndarray) -> workbench.Run:
    """Start it, and return when its middle node runs and is known to."""
    run = held(folder).run(image, executor="process", wait=False)
    until((folder / "begun").exists, "the node in the middle does not begin")
    until(lambda: run.nodes.named("hold").run, "it is not told that it runs")
    return run


def conductor(run: workbench.Run) -> psutil.Process:
    until(lambda: run.record.worker_pid, "nobody conducts it")
    return psutil.Process(run.record.worker_pid)


def test_it_goes_on_when_the_kernel_is_killed(workspace_url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KERNEL, workspace_url, str(tmp_path)]
    kernel = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert kernel.stdout is not None
    with kernel.stdout as said:
        run_id = said.readline().split()[0]
        until((tmp_path / "begun").exists, "the node in the middle does not begin")
        kernel.send_signal(signal.SIGKILL)
        kernel.wait()
    with workbench.open(workspace_url) as ws:
        run = ws.runs.get(run_id)
        assert run.status == "RUNNING"
        states = ["COMPLETED", "RUNNING", "PENDING"]  # they are told a few times a second
        until(lambda: [n.status for n in run.nodes] == states, "the first node is not COMPLETED")
        assert run_id in [r.id for r in ws.runs.list(status="RUNNING")]
        (tmp_path / "go").touch()
        assert run.wait(60).status == "COMPLETED", run.error
        assert run.result() == 2 * (np.arange(4.0) + 1).sum()
        assert {run.node(n.name).record.pipeline for n in run.nodes} == {run_id}
    with workbench.open(workspace_url) as ws:
        assert ws.runs.get(run_id).result() == 20.0
    again = subprocess.run([*command, "wait"], capture_output=True, text=True, check=True)
    assert "[True, True, True]" in again.stdout


def test_it_is_followed_and_cancelled_from_a_second_process(ws: Workspace, image, tmp_path: Path) -> None:
    run = start_held(tmp_path, image)
    command = [sys.executable, "-c", SECOND, ws.url, run.id]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0] == "RUNNING COMPLETED RUNNING PENDING"
    assert lines[1].startswith("True")
    assert lines[2] == "CANCELLED COMPLETED CANCELLED SKIPPED CANCELLED"
    assert run.wait(30).status == "CANCELLED"
    assert run.node("hold").wait(30).status == "CANCELLED"


def test_two_conductors_finish_with_one_worker(workspace_url: str, image, tmp_path: Path) -> None:
    with workbench.open(workspace_url, workers=1) as ws:
        runs = [
            held(tmp_path, f"held-{number}").run(image + number, workspace=ws, executor="process", wait=False)
            for number in range(2)
        ]
        until(lambda: all(run.status == "RUNNING" for run in runs), "both conduct at once")
        status = ws.executor("process").client.status()
        assert status is not None
        assert {run.id for run in runs} <= set(status["running"])
        (tmp_path / "go").touch()
        for number, run in enumerate(runs):
            assert run.wait(60).status == "COMPLETED", run.error
            np.testing.assert_array_equal(run.result(), 2 * (image + number + 1))


def test_a_diamond_runs_its_arms_at_once(ws: Workspace, image, tmp_path: Path) -> None:
    pipe = Pipeline(
        [
            Node("invert", IN, "start"),
            Node(meet, "start", "l", name="left"),
            Node(meet, "start", "r", name="right"),
            Node(add, ["l", "r"], OUT),
        ],
        "diamond",
    )
    arms = {
        "left": {"folder": str(tmp_path), "mine": "l", "other": "r"},
        "right": {"folder": str(tmp_path), "mine": "r", "other": "l"},
    }
    run = pipe.run(image, executor="process", wait=False, parameters=arms, tags=["mine"])
    assert run.wait(60).status == "COMPLETED", run.error
    np.testing.assert_allclose(run.result(), 2 * (image.max() - image), rtol=1e-6)
    left = run.node("left").record
    assert run.record.executor == "process"
    assert len({run.record.worker_pid, left.worker_pid, run.node("right").record.worker_pid}) == 3
    assert run.record.environment["digest"] == left.environment["digest"]
    assert left.tags == run.record.tags == ("mine",)
    # what the kernel knows is known there, and the other way round
    again = pipe.run(image, executor="process", wait=False, parameters=arms)
    assert [n.reused for n in again.wait(60).nodes] == [True] * 4
    here = pipe.run(image, executor="process", parameters=arms)
    assert [n.reused for n in here.nodes] == [True] * 4
    always = pipe.run(image, executor="process", wait=False, parameters=arms, reuse="never")
    assert not any(n.reused for n in always.wait(60).nodes)


def test_what_is_told_while_it_runs(ws: Workspace, image, tmp_path: Path) -> None:
    heard: list[RunEvent] = []
    run = held(tmp_path).run(image, executor="process", wait=False, on_event=heard.append)
    until(lambda: any("hold" in event.message for event in heard), "the node in the middle is not told of")
    (tmp_path / "go").touch()
    assert run.wait(60).status == "COMPLETED", run.error
    until(lambda: heard[-1].status == "COMPLETED", "the end is not told")
    states = [str(event.status) for event in heard if event.kind == "state"]
    # on a slow machine the host says first that it has begun
    assert states[-2:] == ["RUNNING", "COMPLETED"]
    assert states[:-2] in ([], ["STARTED"])
    fractions = [event.fraction for event in heard]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert "hold: " in run.log


def test_a_view_shows_how_its_nodes_stand(ws: Workspace, image, tmp_path: Path) -> None:
    run = held(tmp_path).run(image, executor="process", wait=False)
    view = run.view()
    try:
        until(lambda: "hold" in view._head.value, "the view does not show what runs")
        before = view._nodes.value
        (tmp_path / "go").touch()
        assert run.wait(60).status == "COMPLETED", run.error
        until(lambda: "COMPLETED" in view._head.value, "the view does not show the end")
        assert view._nodes.value != before
    finally:
        view.close()


def test_what_was_learned_and_what_is_kept_nowhere_comes_back(ws: Workspace) -> None:
    data = np.random.default_rng(3).random((20, 5))
    step = Reduce("fit_predict")
    pipe = Pipeline(
        [Node(step, IN, "less", name="reduce"), Node(lambda x: Model(float(x.mean())), "less", name="model")],
        "train",
        outputs=["less", "model"],
    )
    run = pipe.run(data, executor="process", wait=False)
    result = run.result(60)
    assert step.is_trained
    np.testing.assert_allclose(result["less"], step.predict(data))
    assert isinstance(result["model"], Model)
    assert result["model"].mean == pytest.approx(result["less"].mean())
    with workbench.open(ws.url) as other, pytest.raises(NotFoundError, match="was a Model"):
        other.runs.get(run.id).result()
    other_step = Reduce("fit_predict")  # found again, it knows the same
    second = Pipeline([Node(other_step, IN, name="reduce")], "train").run(
        data, workspace=ws, executor="process", wait=False
    )
    assert [n.reused for n in second.wait(60).nodes] == [True]
    np.testing.assert_allclose(other_step.predict(data), result["less"])
    assert not list((Path(ws.settings.host_folder or "") / "calls").iterdir())


def test_an_input_that_is_kept_nowhere_travels(ws: Workspace) -> None:
    pipe = Pipeline([Node(lambda m, by: m.mean * by, ["model", "by"], name="use")], inputs=["model", "by"])
    assert pipe.run(Model(3.0), 2, executor="process", wait=False).result(60) == 6.0


def test_a_lost_conductor_is_noticed_and_its_nodes_end(ws: Workspace, image, tmp_path: Path) -> None:
    run = start_held(tmp_path, image)
    conductor(run).kill()
    begin = time.monotonic()
    assert run.wait(5).status == "LOST"
    assert time.monotonic() - begin < 5
    assert "SIGKILL" in str(run.error)
    assert [n.status for n in run.nodes] == ["COMPLETED", "LOST", "SKIPPED"]
    node = run.node("hold")
    until(lambda: node.status == "RUNNING", "the node does not go on")
    (tmp_path / "go").touch()
    assert node.wait(30).status == "COMPLETED"
    again = held(tmp_path).run(image, executor="process", wait=False)
    np.testing.assert_array_equal(again.result(60), 2 * (image + 1))
    assert [n.reused for n in again.nodes] == [True, True, False]


def test_cancelling_one_that_does_not_answer_ends_its_nodes(
    workspace_url: str, image, tmp_path: Path
) -> None:
    with workbench.open(workspace_url, cancel_grace_s=2.0) as ws:
        run = start_held(tmp_path, image)
        node = run.node("hold")
        conductor(run).suspend()
        assert run.cancel().wait(20).status == "CANCELLED"
        assert [n.status for n in run.nodes] == ["COMPLETED", "CANCELLED", "SKIPPED"]
        assert node.wait(20).status == "CANCELLED"
        assert len(ws.runs.list(status=["PENDING", "STARTED", "RUNNING"])) == 0


def test_a_time_limit_of_the_whole_ends_all(ws: Workspace, image, tmp_path: Path) -> None:
    run = held(tmp_path).run(image, executor="process", wait=False, timeout_s=3.0)
    assert run.wait(60).status == "FAILED"
    assert "took longer than 3 s" in str(run.error)
    assert run.nodes[-1].status == "SKIPPED"
    assert run.node("hold").wait(20).status == "CANCELLED"


def test_a_failure_names_its_node(ws: Workspace, image) -> None:
    def broken(x):
        raise ValueError("no luck")

    run = Pipeline([Node(broken, IN), Node(double, IN), Node(add, ["broken", "double"])]).run(
        image, executor="process", wait=False
    )
    assert run.wait(60).status == "FAILED"
    assert [n.status for n in run.nodes] == ["FAILED", "COMPLETED", "SKIPPED"]
    assert "broken" in str(run.error)
    assert "ValueError: no luck" in str(run.error)


def test_what_cannot_travel_is_refused_before_anything_starts(ws: Workspace) -> None:
    lock = threading.Lock()

    def locked(x):
        with lock:
            return x

    with pytest.raises(
        InvalidPipelineError, match=r"Node 'locked' cannot go to another process.*executor='kernel'"
    ):
        Pipeline([Node(double, IN), Node(locked, "double")]).run(1, executor="process", wait=False)
    with pytest.raises(InvalidPipelineError, match=r"Input '__pipeline_input__' is a lock that cannot go"):
        Pipeline([Node(double, IN)]).run(lock, executor="process", wait=False)
    assert len(ws.runs.list()) == 0


class Watch:
    def __init__(self) -> None:
        self.told: list[str] = []

    def after_node_execution(self, pipeline, node, args, output):
        self.told.append(node.name)


def test_callbacks_keep_it_in_the_kernel(ws: Workspace) -> None:
    watch = Watch()
    inner = Pipeline([Node(double, IN, OUT)], "inner", callbacks=[watch])
    run = Pipeline([Node(inner, IN, OUT)]).run(3, executor="process", wait=False)
    assert run.result(60) == 6
    assert watch.told == ["double"]
    assert run.record.executor == "kernel"
    assert run.node("inner/double").record.executor == "process"


def test_nested_pipelines_and_folders_are_conducted(ws: Workspace, image, tmp_path: Path) -> None:
    inner = Pipeline([Node(str(tmp_path / "invert"), IN, name="turn"), Node(double, "turn")], "inner")
    run = Pipeline([Node(inner, IN), Node(double, "inner", name="more")]).run(
        image, executor="process", wait=False
    )
    np.testing.assert_allclose(run.result(60), 4 * (image.max() - image), rtol=1e-6)
    assert [n.name for n in run.nodes] == ["inner/turn", "inner/double", "more"]
