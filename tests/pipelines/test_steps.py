"""Steps in pipelines: hooks in their order, versions, and what they have learned."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from workbench.pipelines import Node, Pipeline
from workbench.steps import SklearnStep, Step, StepCallback
from workbench.versions import VersionedField

IN, OUT = "__pipeline_input__", "__pipeline_output__"
TOLD: list[str] = []


class Note(StepCallback):
    def before_execution(self, step, args):
        TOLD.append(f"callback before {step.name} {list(args)}")

    def after_execution(self, step, args, output):
        TOLD.append(f"callback after {step.name} {output}")


class Add(Step):
    by = VersionedField(1, "minor")

    def before_execution(self, args):
        TOLD.append(f"own before {list(args)}")

    def execute(self, x):
        TOLD.append("execute")
        return x + self.by

    def after_execution(self, args, output):
        TOLD.append(f"own after {output}")


class Plus(Step):
    by = VersionedField(1, "minor")

    def execute(self, x):
        return x + self.by


class PlusMore(Plus):
    by = VersionedField(2, "minor")


class Failing(Add):
    def execute(self, x):
        raise ValueError("no luck")


class Watch:
    def __init__(self, name="pipe"):
        self.name = name

    def before_execution(self, pipeline, args):
        TOLD.append(f"{self.name} before {args}")

    def before_node_execution(self, pipeline, node, args):
        TOLD.append(f"{self.name} before node {node.name} {args}")

    def after_node_execution(self, pipeline, node, args, output):
        TOLD.append(f"{self.name} after node {node.name} {output}")

    def after_execution(self, pipeline, args, output):
        TOLD.append(f"{self.name} after {output}")


class Centre:
    """No Step, but something with ``execute``."""

    def __init__(self, shift):
        self.shift = shift

    def execute(self, x):
        return x - self.shift


class Reduce(SklearnStep):
    model_class = PCA
    model_parameters = {"n_components": 2, "random_state": 0}


@pytest.fixture(autouse=True)
def _forget():
    TOLD.clear()


def test_hooks_are_called_in_order(ws):
    Pipeline([Node(Add(callbacks=[Note()]), IN)], callbacks=[Watch()]).run(1, reuse="never")
    assert TOLD == [
        "pipe before [1]",
        "pipe before node add [1]",
        "own before [1]",
        "callback before add [1]",
        "execute",
        "own after 2",
        "callback after add 2",
        "pipe after node add 2",
        "pipe after 2",
    ]


def test_hooks_after_it_are_not_called_when_it_raises(ws):
    run = Pipeline([Node(Failing(callbacks=[Note()]), IN)], callbacks=[Watch()]).run(1)
    assert run.status == "FAILED"
    assert [told for told in TOLD if "after" in told] == []


def test_nested_pipelines_have_their_own_callbacks(ws):
    inner = Pipeline([Node(Add(), IN, OUT)], "inner", callbacks=[Watch("inner")])
    Pipeline([Node(inner, IN, OUT)], callbacks=[Watch("outer")]).run(1, reuse="never")
    assert [told for told in TOLD if "er" in told.split()[0]] == [
        "outer before [1]",
        "outer before node inner [1]",
        "inner before [1]",
        "inner before node add [1]",
        "inner after node add 2",
        "inner after 2",
        "outer after node inner 2",
        "outer after 2",
    ]


def test_a_callback_that_raises_fails_its_node(ws):
    class Strict:
        def before_node_execution(self, pipeline, node, args):
            raise ValueError("not today")

    run = Pipeline([Node(Add(), IN)], callbacks=[Strict()]).run(1)
    assert run.status == "FAILED"
    assert "not today" in run.nodes[0].error


def test_another_version_of_a_step_is_stale(ws):
    def at(step):
        run = Pipeline([Node(step, IN)]).run(1)
        return run.result(), run.nodes[0].reused

    assert at(Plus()) == (2, False)
    assert at(Plus()) == (2, True)
    assert at(PlusMore()) == (3, False)
    assert Pipeline([Node(Plus(), IN)]).run(1).nodes[0].version == Plus().version.short


def test_anything_with_execute_is_a_step_and_its_state_counts(ws):
    def reused(shift):
        return Pipeline([Node(Centre(shift), IN)]).run(3.0).nodes[0].reused

    assert [reused(1), reused(1), reused(2)] == [False, True, False]


@pytest.mark.parametrize("executor", ["kernel", "process"])
def test_a_step_that_is_trained_knows_afterwards_what_it_has_learned(ws, executor):
    data = np.random.default_rng(3).random((20, 5))
    step = Reduce("fit_predict")
    run = Pipeline([Node(step, IN, OUT)], "train").run(data, executor=executor)
    assert run.status == "COMPLETED", run.error
    assert step.is_trained
    np.testing.assert_allclose(run.result(), step.predict(data))
    assert Pipeline([Node(step, IN, OUT)], "train").run(data, executor=executor).nodes[0].reused
    again = Reduce("fit_predict")
    second = Pipeline([Node(again, IN, OUT)], "train").run(data, executor=executor)
    assert [n.reused for n in second.nodes] == [True]
    assert again.train_time == step.train_time
    np.testing.assert_allclose(again.predict(data), run.result())
    predicting = Reduce("predict")
    predicting.load(step.serialize())
    use = Pipeline([Node(predicting, IN, OUT)], "use")
    np.testing.assert_allclose(use.run(data, executor=executor).result(), run.result())
    assert [n.reused for n in use.run(data, executor=executor).nodes] == [True]
    other = Reduce("fit_predict")
    assert [n.reused for n in Pipeline([Node(other, IN, OUT)]).run(data + 1, executor=executor).nodes] == [
        False
    ]
