"""Whole pipelines computed again: from their recorded inputs, node by node, compared with the first time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import generic, write_algorithm

from workbench.errors import InvalidInputError, NotFoundError, UnsupportedError
from workbench.execution.run import Run
from workbench.pipelines import Node, Pipeline

IN, OUT = "__pipeline_input__", "__pipeline_output__"
DRAWS = generic("import numpy as np\nreturn [data[0]['data'] + np.random.rand(*data[0]['data'].shape)]")
CHANCE = generic("import os\nreturn [data[0]['data'] + os.urandom(1)[0] * 1e-9 + 1e-9]")
HERE = """
import datetime

import numpy as np
from workbench import Node, Pipeline

IN, OUT = "__pipeline_input__", "__pipeline_output__"

def noisy(x, level):
    noise = np.random.normal(size=x.shape) * level
    return x + noise, float(noise.mean())

def centre(x, mean):
    return x - mean

HELD = datetime.date(2026, 1, 1)

inner = Pipeline(
    [Node(noisy, IN, ["a", "mean"], parameters={"level": 0.5}), Node(centre, ["a", "mean"], OUT)], "inner"
)
pipe = Pipeline(
    [
        Node("invert", IN, "inv"),
        Node(inner, "inv", "clean"),
        Node("draws", "clean", "drawn"),
        Node(lambda x: float(x.sum()) if HELD else x, "drawn", "total", name="sum"),
    ],
    "whole",
    outputs=["drawn", "total", "clean"],
)
"""


class Fitted:
    def __init__(self, mean: float) -> None:
        self.mean = mean


def fit(x):
    return Fitted(float(x.mean()))


def apply(x, model):
    return x - model.mean


def twice(x):
    return x * 2


def noisy(x):
    return x + np.random.normal(size=x.shape)


def minus(a, b, c):
    return a - b - c


def stops(x):
    if os.environ.get("STOP"):
        raise RuntimeError("stopped")
    return x


def mean(x):
    return float(x.mean())


@pytest.fixture
def deployed(ws, tmp_path: Path):
    for name, code in {"draws": DRAWS, "chance": CHANCE}.items():
        ws.algorithms.deploy(write_algorithm(tmp_path / name, name, code, type="Generic"), check=False)
    return ws


@pytest.mark.parametrize(("executor", "wait"), [("kernel", True), ("process", True), ("process", False)])
def test_everything_is_computed_again_from_the_inputs(deployed, image, executor, wait):
    nodes = [Node("invert", IN, "inv"), Node(noisy, "inv"), Node("draws", "noisy"), Node(twice, "draws", OUT)]
    run = Pipeline(nodes, "all").run(image, executor=executor, wait=wait).wait()
    again = run.replay()
    assert again.is_identical, again
    assert [node.verdict for node in again.nodes] == ["identical"] * 4
    new = again.run.record
    assert new.replays == run.id
    assert not any(node.reused for node in new.nodes)
    assert new.outputs[0].dataset != run.record.outputs[0].dataset
    for node in run.nodes:
        one, other = run.node(node.name).record, again.run.node(node.name).record
        assert (other.replays, other.seed, other.executor) == (one.id, one.seed, executor)
    np.testing.assert_array_equal(again.run.result(), run.result())
    # what reads a node reads what was computed now
    assert again.run.node("draws").record.inputs == (again.run.node("noisy").record.outputs[0].dataset,)
    assert deployed.runs.replay(again.run.id).is_identical


def test_nested_pipelines_are_replayed_in_a_fresh_process_with_what_records_do_not_lead_to(
    deployed, image, tmp_path: Path
):
    file = tmp_path / "flow_of_mine.py"
    file.write_text(HERE)
    sys.path.insert(0, str(tmp_path))
    try:
        from flow_of_mine import pipe  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    run = pipe.run(image, workspace=deployed)
    assert run.status == "COMPLETED", run
    command = [sys.executable, "-m", "workbench", "-w", deployed.url, "replay", run.id]

    def replay(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *more], capture_output=True, text=True, check=False, cwd=tmp_path)

    done = replay()
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Of 5 nodes: 4 identical, 1 not replayed." in done.stdout
    assert "its code was not kept: global 'HELD' is a date" in done.stdout
    done = replay("--pipeline", f"{file}:pipe")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Of 5 nodes: 5 identical." in done.stdout
    assert "inner/noisy" in done.stdout
    assert set(run.result()) == {"drawn", "total", "clean"}
    again = deployed.runs.replay(run.id, pipeline=pipe)
    assert again.is_identical
    for name, value in run.result().items():
        np.testing.assert_array_equal(again.run.result()[name], value)


def test_a_difference_is_told_where_it_begins_and_by_how_much(deployed, image):
    nodes = [Node(twice, IN), Node("chance", "twice"), Node(twice, "chance", OUT, name="after")]
    run = Pipeline(nodes, "differs").run(image.astype(float))
    again = run.replay()
    while again.node("chance").verdict == "identical":
        again = run.replay()
    assert [node.verdict for node in again.nodes] == ["identical", "different", "different"]
    assert not again.is_same
    assert "; first at [0, 0]" in repr(again)
    assert "of 256 values, by at most" in repr(again)
    [note] = again.notes
    assert note.startswith("Differences are first seen at node 'chance'.")
    assert run.replay(atol=1e-5).verdict in ("within tolerance", "identical")
    page = again._repr_html_()
    assert "<table>" in page
    assert "<span style='color:var(--jp-error" in page


def test_what_cannot_be_computed_again_says_why_and_what_was_recorded_stands_for_it(deployed, image):
    held = Fitted(1.0)

    def inner(x):
        return x + held.mean

    draws = deployed.algorithms.get("draws")
    nodes = [Node(inner, IN), Node("draws", "inner"), Node(twice, "draws"), Node(apply, ["twice", "m"])]
    run = Pipeline([*nodes, Node(lambda x: Fitted(held.mean), IN, "m", name="fits")], "some").run(image)
    deployed.algorithms.delete(draws.id, force=True)
    again = run.replay()
    verdicts = {node.name: node.verdict for node in again.nodes}
    assert verdicts == {
        "inner": "not replayed",
        "draws": "not replayed",
        "twice": "identical",
        "fits": "not replayed",
        "apply": "not replayed",
    }
    assert again.verdict == "not replayed"
    assert "closes over, 'held', is a Fitted" in again.node("inner").text
    assert "was deleted since" in again.node("draws").text
    assert again.node("apply").text == "what node 'fits' gave was a Fitted, which is kept nowhere"
    assert again.run.status == "COMPLETED"
    assert again.run.node("draws").id == run.node("draws").id
    np.testing.assert_array_equal(again.run.result(), run.result())
    assert "not computed again" in again.run.log
    with pytest.raises(NotFoundError, match=r"no node 'twise'\. Did you mean 'twice'"):
        again.node("twise")


def test_objects_that_are_kept_nowhere_are_computed_again_and_not_compared(ws, image):
    pipe = Pipeline([Node(fit, IN, "model"), Node(apply, [IN, "model"], OUT)], "objects")
    for _ in range(2):  # the second time all of it is reused, the object not even made
        run = pipe.run(image)
        again = run.replay()
        assert [node.verdict for node in again.nodes] == ["not compared", "identical"]
        assert again.is_identical
        assert "a Fitted, which is kept nowhere" in repr(again)
    alone = run.node("fit").replay()
    assert alone.verdict == "not compared"
    assert not alone.is_same


def test_a_stack_that_is_read_as_slices_and_whole_is_read_so_again(deployed, image):
    stack = np.stack([image, image + 1, image + 2])
    run = Pipeline([Node("invert", IN), Node("draws", IN), Node(twice, IN)], "both").run(
        np.concatenate([stack, stack])
    )
    assert run.status == "COMPLETED", run
    again = run.replay()
    assert again.is_identical, again
    assert len(again.run.node("invert").record.inputs) == 6
    assert len(again.run.node("draws").record.inputs) == 1


def test_several_inputs_are_told_apart_by_name_and_numbers_are_kept(ws, image):
    run = Pipeline([Node(minus, ["one", "two", "three"])], "three", inputs=["three", "two", "one"]).run(
        {"one": image, "two": image * 2, "three": 4.5}
    )
    assert [ref.name for ref in run.record.arguments] == ["three", "two", "one"]
    again = run.replay()
    assert again.is_identical
    np.testing.assert_array_equal(again.run.result(), image - image * 2 - 4.5)


def test_a_step_that_trains_is_replayed_on_a_copy(ws):
    pytest.importorskip("sklearn")
    from sklearn.decomposition import PCA

    from workbench.steps import SklearnStep

    class Reduce(SklearnStep):
        model_class = PCA
        model_parameters = {"n_components": 2, "random_state": 0}

    step = Reduce()
    pipe = Pipeline([Node(step, IN, "reduced")], "trained")
    points = np.random.default_rng(0).normal(size=(20, 4))
    run = pipe.run(points)
    with pytest.raises(NotFoundError, match=r"its class, .*Reduce, is defined inside of a function"):
        run.replay()
    before = step.model
    assert run.replay(pipeline=pipe).is_identical
    assert step.model is before


def test_what_is_no_complete_run_is_refused_before_anything_starts(ws, image):
    def fail(x):
        raise ValueError("no")

    failed = Pipeline([Node(twice, IN), Node(fail, "twice")], "fails").run(image)
    count = len(ws.runs.list())
    with pytest.raises(InvalidInputError, match=r"FAILED.*run\.node\(name\)\.replay"):
        failed.replay()
    run = Pipeline([Node(twice, IN)], "small").run(image)
    with pytest.raises(InvalidInputError, match="rtol"):
        run.replay(rtol="1")
    with pytest.raises(InvalidInputError, match="is no Pipeline"):
        run.replay(pipeline="pipe")
    ws.datasets.delete(run.record.inputs[0], force=True)
    with pytest.raises(NotFoundError, match="input '__pipeline_input__' of the pipeline was deleted since"):
        run.replay()
    assert len(ws.runs.list()) == count + 2


def test_a_run_whose_record_does_not_name_its_inputs_says_so(ws, image):
    run = Pipeline([Node(twice, IN)], "older").run(image)
    old = Run(run.record.model_copy(update={"arguments": ()}), ws.runs)
    with pytest.raises(UnsupportedError, match=r"older workbench.*run\.node\('twice'\)\.replay"):
        ws.pipelines.replay(old)


def test_a_reused_node_whose_run_was_deleted_is_computed_again_from_its_own_record(ws, image):
    pipe = Pipeline([Node(twice, IN), Node("invert", "twice")], "twofold")
    first, second = pipe.run(image), pipe.run(image)
    ws.runs.delete(first.node("twice").id, force=True)
    again = second.replay()
    assert [node.verdict for node in again.nodes] == ["identical", "identical"]


def test_a_node_that_worked_in_a_session_needs_it_named(deployed, image, tmp_path: Path):
    node = Node("draws", "twice", OUT, session="mine")
    run = Pipeline([Node(twice, IN), node], "inside").run(image)
    again = run.replay()
    assert [n.verdict for n in again.nodes] == ["identical", "not replayed"]
    assert "session 'mine'" in again.node("draws").text
    again = run.replay(session="mine")
    assert again.is_identical
    assert again.run.node("draws").record.session == "mine"


def test_the_last_run_is_the_pipeline_not_its_last_node(ws, image):
    run = Pipeline([Node("invert", IN), Node(twice, "invert")], "newest").run(image)
    assert ws.runs.get("last").id == run.id


def test_a_node_that_fails_now_is_told_and_the_rest_is_compared(ws, image, monkeypatch):
    run = Pipeline([Node(twice, IN), Node(stops, IN), Node(mean, "stops")], "breaks").run(image)
    assert run.status == "COMPLETED"
    monkeypatch.setenv("STOP", "1")
    again = run.replay()
    assert [node.verdict for node in again.nodes] == ["identical", "different", "not replayed"]
    assert "FAILED: RuntimeError: stopped" in again.node("stops").text
    assert "node 'stops' is FAILED" in again.node("mean").text
    assert "It is FAILED." in repr(again)
