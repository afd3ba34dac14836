"""Functions and steps of pipelines that are tried again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.errors import InvalidPipelineError, UnsupportedError
from workbench.execution import perform
from workbench.pipelines import Node, Pipeline

IN, OUT = "__pipeline_input__", "__pipeline_output__"


class BusyError(OSError):
    pass


def flaky(x, folder, fails, error=BusyError):
    """Fail a few times, having spoiled what was read; then tell how often it was called, and draw."""
    mark = Path(folder)
    calls = len(list(mark.iterdir()))
    (mark / f"call {calls}").touch()
    x += 1
    if calls < fails:
        raise error("not yet")
    return x, calls + 1, float(np.random.rand())


class Flaky:
    def __init__(self, folder):
        self.folder = folder

    def execute(self, x):
        return flaky(x, self.folder, 1)[0]


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(perform, "BACKOFF_S", 0.01)


def again(marks: Path, fails: int, **options) -> Pipeline:
    node = Node(
        flaky,
        "plain",
        ["x", "calls", "drawn"],
        name="flaky",
        parameters={"folder": str(marks), "fails": fails},
        **options,
    )
    return Pipeline([Node(lambda x: x * 1, IN, "plain", name="plain"), node], "again")


@pytest.mark.parametrize("executor", ["kernel", "process"])
def test_a_function_is_tried_again_with_its_arguments_as_they_were(ws, marks, image, executor):
    run = again(marks, 2, retries=3, retryable=["OSError"]).run(image, executor=executor)
    assert run.status == "COMPLETED", run.error
    result = run.result()
    assert result["calls"] == 3
    np.testing.assert_array_equal(result["x"], image + 1)
    node = run.node("flaky")
    assert (node.record.retries, node.record.retryable) == (3, ("OSError",))
    assert "Attempt 1 of 4 failed: BusyError: not yet. Trying again in" in node.log
    assert "Attempt 2 of 4 failed" in node.log
    # from the seed of the last attempt; how often it was called is another number now
    expected = [("x", "identical"), ("calls", "different"), ("drawn", "identical")]
    assert [m.verdict for _, _, m in node.replay().matches] == [verdict for _, verdict in expected]
    assert [(out, m.verdict) for out, _, m in run.replay().node("flaky").matches] == expected


@pytest.mark.parametrize("executor", ["kernel", "process"])
def test_what_is_not_worth_it_is_not_tried_again(ws, marks, image, executor):
    run = again(marks, 2, retries=3, retryable=[KeyError, "TimeoutError"]).run(image, executor=executor)
    assert run.status == "FAILED"
    assert "BusyError: not yet" in str(run.error)
    assert len(list(marks.iterdir())) == 1


def test_after_the_last_attempt_it_has_failed(ws, marks, image):
    run = again(marks, 5, retries=1).run(image)
    assert run.status == "FAILED"
    assert len(list(marks.iterdir())) == 2
    assert run.node("flaky").record.error.message == "not yet"


def test_a_step_is_tried_again(ws, marks, image):
    run = Pipeline([Node(Flaky(str(marks)), IN, OUT, name="step", retries=1)]).run(image)
    np.testing.assert_array_equal(run.result(), image + 1)


def test_a_pipeline_that_is_cancelled_does_not_wait_for_another_attempt(ws, marks, image, monkeypatch):
    monkeypatch.setattr(perform, "BACKOFF_S", 60.0)
    run = again(marks, 5, retries=3).run(image, wait=False)
    while not list(marks.iterdir()):
        assert not run.wait(0.05).status.is_final
    assert run.cancel().wait(30).status == "CANCELLED"
    assert len(list(marks.iterdir())) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"retries": -1}, "retries is -1, expected a whole number, 0 or larger"),
        ({"retries": 1.5}, "retries is 1.5"),
        ({"retries": True}, "retries is True"),
        ({"timeout_s": 0}, "timeout_s is 0"),
        ({"priority": "high"}, "priority is 'high'"),
        ({"retryable": ["OSError"]}, "without retries there is none"),
        ({"retries": 1, "retryable": []}, r"retryable is \[\]"),
        ({"retries": 1, "retryable": ["no name"]}, "expected exceptions or their names"),
        ({"retries": 1, "retryable": 3}, "retryable is 3"),
        ({"retries": 1, "retryable": int}, "retryable is <class 'int'>"),
        ({"device": "cpu"}, "'device' is for algorithms, and this is a function"),
        ({"retrys": 1}, "no option 'retrys'.*Did you mean 'retries'"),
    ],
)
def test_what_makes_no_sense_is_refused_when_the_node_is_made(options, told):
    with pytest.raises(InvalidPipelineError, match=told):
        Node(flaky, IN, **options)


def test_where_an_option_belongs_is_told(ws, image):
    with pytest.raises(InvalidPipelineError, match=r"in its \[tool.workbench\]"):
        Node("invert", IN, retries=1, retryable=["OSError"])
    with pytest.raises(InvalidPipelineError, match="retries is -1"):
        Node("invert", IN, retries=-1)
    pipe = Pipeline([Node(Path, IN, name="path")], "small")
    with pytest.raises(InvalidPipelineError, match="Give it to the nodes in it"):
        Node(pipe, IN, retries=1)
    with pytest.raises(UnsupportedError, match=r"Node\(\.\.\., retries=2\)"):
        ws.run(pipe, image, retries=2)
