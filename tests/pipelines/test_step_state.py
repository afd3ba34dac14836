"""An attempt that fails leaves nothing in a step for the next one."""

from __future__ import annotations

import copy
import threading
from pathlib import Path

import numpy as np
import pytest

from workbench.execution import perform
from workbench.pipelines import Node, Pipeline
from workbench.steps import JsonStep, MLStep

IN, OUT = "__pipeline_input__", "__pipeline_output__"


class Running(MLStep):
    """Goes on with the model that is there, in place; fails as often as there are marks missing in its folder."""

    format = "json"
    fails = 1

    def __init__(self, folder, **options):
        super().__init__(**options)
        self.folder = str(folder)
        self.history = []

    def fit(self, x):
        if self.model is None:
            self.model = {"sum": 0.0, "parts": []}
        self.model["sum"] += float(x.sum())
        self.model["parts"].append(len(x))
        self.history.append("fit")
        calls = len(list(Path(self.folder).iterdir()))
        (Path(self.folder) / f"call {calls}").touch()
        if calls < self.fails:
            self.left = "behind"
            raise OSError("not yet")

    def predict(self, x):
        return [self.model["sum"], len(self.model["parts"]), len(self.history), hasattr(self, "left")]

    def dump_model(self):
        import json

        return json.dumps(self.model).encode()

    def load_model(self, data, trusted=()):
        import json

        return json.loads(data)


class Centre(JsonStep):
    state = ("mean",)

    def __init__(self, folder):
        super().__init__()
        self.folder, self.seen, self.lock = folder, [], threading.Lock()
        self.offsets = np.zeros(2)

    def execute(self, x):
        self.mean = float(x.mean())
        self.seen.append(self.mean)
        self.offsets += 1
        mark = Path(self.folder) / "called"
        if not mark.exists():
            mark.touch()
            raise OSError("not yet")
        return [self.mean, len(self.seen), float(self.offsets[0])]


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(perform, "BACKOFF_S", 0.01)


@pytest.mark.parametrize("executor", ["kernel", "process"])
def test_training_that_is_tried_again_begins_with_what_the_step_had(ws, marks, executor):
    step = Running(marks)
    run = Pipeline([Node(step, IN, OUT, retries=1)], "train").run(np.ones(3), executor=executor)
    assert run.status == "COMPLETED", run.error
    assert run.result() == [3.0, 1, 1, False]
    assert step.model == {"sum": 3.0, "parts": [3]}
    assert step.trained_by == run.nodes[0].run


@pytest.mark.parametrize("executor", ["kernel", "process"])
def test_a_run_that_has_failed_leaves_a_trained_step_as_it_was(ws, marks, executor):
    step = Running(marks)
    step.fails = 0
    pipe = Pipeline([Node(step, IN, OUT)], "train")
    assert pipe.run(np.ones(3)).status == "COMPLETED"
    before, version = copy.deepcopy(vars(step)), step.version
    step.fails = 5
    run = pipe.run(np.ones(4), executor=executor)
    assert run.status == "FAILED"
    assert {**vars(step), "fails": 0} == {**before, "fails": 0}
    assert (step.version, step.model) == (version, {"sum": 3.0, "parts": [3]})
    step.fails = 0
    assert pipe.run(np.ones(4), executor=executor).result() == [7.0, 2, 2, False]


def test_who_debugs_finds_what_the_attempt_has_left(ws, marks):
    step = Running(marks)
    with pytest.raises(OSError, match="not yet"):
        Pipeline([Node(step, IN, OUT)], "train").run(np.ones(3), debug=True)
    assert step.left == "behind"


def test_a_step_that_is_not_trained_begins_as_before_too(ws, marks):
    step = Centre(str(marks))
    lock = step.lock
    run = Pipeline([Node(step, IN, OUT, retries=1)], "centre").run(np.array([1.0, 3.0]))
    assert run.result() == [2.0, 1, 1.0]
    assert step.lock is lock
    (marks / "called").unlink()
    assert Pipeline([Node(step, IN, OUT)], "centre").run(np.array([5.0])).status == "FAILED"
    assert (step.mean, step.seen, step.offsets.tolist()) == (2.0, [2.0], [1.0, 1.0])


def test_a_step_that_failed_before_it_was_trained_is_not_trained(ws):
    sklearn = pytest.importorskip("sklearn.linear_model")
    from workbench.steps import SklearnStep

    class Line(SklearnStep):
        model_class = sklearn.LinearRegression

        def predict(self, x):
            raise ValueError("no such luck")

    step = Line()
    x = np.arange(4.0)[:, None]
    run = Pipeline([Node(step, ["x", "y"], OUT)], "line", inputs=["x", "y"]).run(x, x[:, 0])
    assert run.status == "FAILED"
    assert not step.is_trained
    assert step.train_time is None
