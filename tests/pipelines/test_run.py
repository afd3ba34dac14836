"""Pipelines run in the kernel: values, records, lineage, failures."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from workbench.errors import (
    InvalidInputError,
    InvalidParameterError,
    InvalidPipelineError,
    NotFoundError,
    RunFailedError,
    UnsupportedError,
)
from workbench.pipelines import Node, Pipeline

IN, OUT = "__pipeline_input__", "__pipeline_output__"


def scale(x, factor=2.0):
    return x * factor


def mean(x):
    return float(x.mean())


def subtract(x, m):
    return x - m


def fail(x):
    raise ValueError("no luck")


def halves(x):
    return x[:8], x[8:]


def centre(name: str = "centre") -> Pipeline:
    nodes = [
        Node("invert", IN, "inv"),
        Node(scale, "inv"),
        Node(mean, "scale"),
        Node(subtract, ["scale", "mean"]),
    ]
    return Pipeline(nodes, name)


def test_values_go_along_the_edges_and_everything_is_recorded(ws, image):
    run = centre().run(image)
    expected = (image.max() - image) * 2
    np.testing.assert_allclose(run.result(), expected - expected.mean(dtype=np.float64), atol=1e-6)
    assert run.status == "COMPLETED"
    assert [(n.name, n.status) for n in run.nodes] == [
        (name, "COMPLETED") for name in ("invert", "scale", "mean", "subtract")
    ]
    assert run.node("invert").algorithm == "invert@1.0"
    assert run.node("mean").result() == pytest.approx(expected.mean())
    for node in run.nodes:
        record = ws.runs.get(node.run).record
        assert (record.pipeline, record.node) == (run.id, node.name)
    again = ws.runs.get(run.id)
    np.testing.assert_array_equal(again.result(), run.result())
    assert again.inputs[0].digest == run.node("invert").inputs[0].digest


def test_lineage_goes_through_functions(ws, image):
    run = centre().run(image)
    names = [node.label for node in run.node("subtract").lineage(direction="up").nodes.values()]
    assert {"invert@1.0", "scale", "subtract"} <= set(names)
    made = run.node("scale").outputs[0]
    assert made.record.run_id == run.node("scale").id
    assert made.record.parents == (run.node("invert").outputs[0].id,)


def test_only_what_is_stale_is_computed(ws, image):
    first = centre().run(image)
    again = centre().run(image)
    assert all(node.reused for node in again.nodes)
    assert again.node("mean").reused_from == first.node("mean").id
    changed = centre().run(image, parameters={"scale": {"factor": 3.0}})
    assert [node.reused for node in changed.nodes] == [True, False, False, False]
    other = centre().run(image, parameters={"invert": {"gain": 2.0}})
    assert not any(node.reused for node in other.nodes)
    never = centre().run(image, reuse="never")
    assert not any(node.reused for node in never.nodes)
    np.testing.assert_array_equal(never.result(), first.result())


def test_equal_outputs_stop_what_is_stale(ws, image):
    def rounded(x, digits=0):
        return np.round(x, digits) * 0

    def after(x):
        return x + 1

    pipe = Pipeline([Node(rounded, IN), Node(after, "rounded")])
    pipe.run(image)
    run = pipe.run(image, parameters={"rounded": {"digits": 2}})
    assert [node.reused for node in run.nodes] == [False, True]


def test_a_changed_function_is_stale_and_a_changed_comment_is_not(ws):
    def at(code: str) -> list[bool]:
        space: dict = {}
        exec(f"def step(x):\n    {code}\n", space)
        return [n.reused for n in Pipeline([Node(space["step"], IN)]).run(3.0).nodes]

    assert at("return x + 1") == [False]
    assert at("# the same\n    return x + 1") == [True]
    assert at("return x + 2") == [False]


def test_what_is_not_deterministic_is_always_computed(ws):
    pipe = Pipeline([Node(lambda x: x, IN, name="draw", deterministic=False)])
    pipe.run(1)
    assert [n.reused for n in pipe.run(1).nodes] == [False]


def test_several_inputs_and_outputs_have_names(ws, image):
    pipe = Pipeline(
        [
            Node(subtract, ["image", "dark"], "clean"),
            Node(halves, "clean", ["top", "bottom"]),
            Node(mean, "top"),
        ],
        "clean",
        inputs=["image", "dark"],
        outputs=["mean", "bottom", "clean"],
    )
    for run in (pipe.run(image, 0.5), pipe.run({"image": image, "dark": 0.5}), ws.run(pipe, [image, 0.5])):
        result = run.result()
        assert list(result) == ["mean", "bottom", "clean"]
        np.testing.assert_array_equal(result["bottom"], (image - 0.5)[8:])
    assert ws.runs.get(run.id).result()["mean"] == result["mean"]


def test_outputs_of_an_algorithm_have_names_too(ws, image):
    run = Pipeline([Node("halve", IN, ["a", "b"]), Node(subtract, ["b", "a"], OUT)]).run(image)
    np.testing.assert_array_equal(run.result(), image[8:] - image[:8])
    whole = Pipeline([Node("halve", IN)]).run(image)
    assert whole.result().shape == (2, 8, 16)
    wrong = Pipeline([Node("halve", IN, ["a", "b", "c"])]).run(image)
    assert wrong.status == "FAILED"
    assert "put out 2 datasets, and the node names 3 outputs: a, b, c" in str(wrong.error)


@pytest.mark.parametrize("result", [lambda x: x, lambda x: (x, x, x)])
def test_tuples_of_another_length_fail_the_node(ws, result):
    run = Pipeline([Node(result, IN, ["a", "b"], name="split")]).run(1.0)
    assert run.status == "FAILED"
    assert "names 2 outputs: a, b" in str(run.error)


def test_a_stack_goes_to_an_algorithm_slice_by_slice_and_comes_back_as_one(ws, image):
    stack = np.stack([image, image * 2])
    run = Pipeline([Node(scale, IN), Node("invert", "scale"), Node(scale, "invert", OUT, name="last")]).run(
        stack
    )
    assert run.result().shape == (2, 16, 16)
    assert len(run.node("invert").inputs) == 2
    np.testing.assert_allclose(run.result()[1], (image.max() * 4 - image * 4) * 2, rtol=1e-5)


def test_inputs_may_be_datasets_ids_and_runs(ws, image):
    dataset = ws.datasets.put({"image": image}, name="scan")
    pipe = Pipeline([Node("invert", IN), Node(mean, "invert")])
    values = [
        pipe.run(given).result() for given in (image, dataset, dataset.id, "scan", ws.run("invert", image))
    ]
    assert values[0] == values[1] == values[2] == values[3]
    assert values[4] != values[0]


def test_kinds_of_values_come_back_as_they_were(ws):
    given = {
        "none": None,
        "tuple": (1, "a", 2.5),
        "list": [1, [2.0]],
        "dict": {"x": np.arange(3), "y": {"z": 1}},
        "one": {"image": np.arange(4)},
        "number": np.float32(2.5),
        "text": "a text",
        "complex": 1 + 2j,
    }
    for name, value in given.items():
        pipe = Pipeline(
            [Node(lambda key: given[key], IN, name="make"), Node(lambda v: v, "make", name="pass")]
        )
        for _ in range(2):  # computed, and from what was kept
            result = pipe.run(name).result()
            assert type(result) is type(value), name
            np.testing.assert_equal(result, value)


def test_objects_are_passed_on_and_what_they_were_is_told(ws, image):
    class Model:
        def __init__(self, mean: float) -> None:
            self.mean = mean

    pipe = Pipeline(
        [
            Node(lambda x: Model(x.mean()), IN, "model", name="fit"),
            Node(lambda m: m.mean, "model", "m", name="use"),
        ],
        outputs=["model", "m"],
    )
    run = pipe.run(image)
    assert isinstance(run.result()["model"], Model)
    with pytest.raises(NotFoundError, match="was a Model, which only the process had"):
        ws.runs.get(run.id).result()


def test_what_one_reader_writes_the_others_do_not_see(ws, image):
    before = image.copy()

    def spoil(x):
        x[:] = 0
        return float(x.sum())

    run = Pipeline(
        [
            Node(spoil, IN),
            Node(mean, IN),
            Node(scale, IN, "big"),
            Node(spoil, "big", name="s2"),
            Node(mean, "big", name="m2"),
        ]
    ).run(image)
    np.testing.assert_array_equal(image, before)
    assert run.node("mean").result() == pytest.approx(before.mean())
    assert run.node("m2").result() == pytest.approx(2 * before.mean())


def test_a_failure_names_the_node_skips_what_needs_it_and_keeps_the_rest(ws, image):
    pipe = Pipeline(
        [Node("invert", IN), Node(fail, "invert"), Node(mean, "fail"), Node(scale, "invert", name="other")],
        outputs=["mean", "other"],
    )
    run = pipe.run(image)
    assert {n.name: n.status for n in run.nodes} == {
        "invert": "COMPLETED",
        "fail": "FAILED",
        "mean": "SKIPPED",
        "other": "COMPLETED",
    }
    assert run.status == "FAILED"
    error = run.error
    assert "ValueError: no luck" in str(error)
    assert "node 'fail'" in str(error)
    assert "Skipped: mean" in str(error)
    assert isinstance(error.__cause__, ValueError)
    with pytest.raises(RunFailedError):
        run.result()
    assert "raise ValueError" in run.node("fail").error.traceback_text
    with pytest.raises(NotFoundError, match=r"Node 'mean' of run .* is SKIPPED"):
        run.node("mean")
    with pytest.raises(NotFoundError, match="Did you mean 'other'"):
        run.node("othre")


def test_data_that_does_not_fit_fails_the_node_that_reads_it(ws, image):
    run = Pipeline([Node(mean, IN), Node("invert", "mean")]).run(image)
    assert run.status == "FAILED"
    assert "Input 'mean' of node 'invert' is a float" in str(run.error)


def test_what_is_wrong_is_refused_before_anything_is_stored(ws, image):
    wrong = [
        (Pipeline([Node("invret", IN)]), (image,), {}, NotFoundError, "Node 'invret'.*Did you mean 'invert'"),
        (Pipeline([Node("invert", IN, parameters={"gian": 1})]), (image,), {}, InvalidParameterError, "gain"),
        (centre(), (image,), {"parameters": {"scael": {}}}, InvalidPipelineError, "Did you mean 'scale'"),
        (
            centre(),
            (image,),
            {"parameters": {"scale": {"fcator": 1}}},
            InvalidPipelineError,
            "Did you mean 'factor'",
        ),
        (centre(), (image,), {"parameters": {"scale": 3}}, InvalidPipelineError, "expected values by name"),
        (centre(), (), {}, InvalidInputError, "given 0 inputs and reads 1"),
        (centre(), (image, 1), {}, InvalidInputError, "given 2 inputs"),
        (centre(), (np.zeros(3),), {}, InvalidInputError, "input '__pipeline_input__' of node 'invert'"),
        (centre(), (image,), {"reuse": "often"}, InvalidInputError, "reuse"),
        (centre(), (image,), {"executor": "kernl"}, NotFoundError, "kernel"),
        (centre(), (image,), {"timeout_s": -1}, InvalidInputError, "timeout_s"),
        (Pipeline([Node(lambda: 1, name="one")]), (image,), {}, InvalidInputError, "reads none"),
    ]
    for pipe, inputs, options, error, text in wrong:
        with pytest.raises(error, match=text):
            pipe.run(*inputs, **options)
    with pytest.raises(UnsupportedError, match="option of a node"):
        ws.run(centre(), image, device="cpu")
    with pytest.raises(InvalidInputError, match="is no Pipeline"):
        ws.pipelines.run("centre", image)
    assert len(ws.runs.list()) == 0
    assert len(ws.datasets.list()) == 0


@pytest.mark.parametrize("options", [{}, {"executor": "process"}, {"executor": "process", "wait": False}])
def test_only_computes_nothing_and_leaves_nothing(ws, image, options):
    pipe = centre()
    with pytest.raises(NotFoundError, match=r"no completed run has computed node .*reuse='auto'"):
        pipe.run(image, reuse="only", **options)
    assert (list(ws.runs.list()), list(ws.datasets.list())) == ([], [])
    first = pipe.run(image)
    run = pipe.run(image, reuse="only", **options).wait(60)
    assert run.status == "COMPLETED", run.error
    assert all(node.reused for node in run.nodes)
    np.testing.assert_array_equal(run.result(), first.result())
    before = len(ws.runs.list()), len(ws.datasets.list())
    with pytest.raises(NotFoundError, match="reuse='only'"):
        pipe.run(image + 1, reuse="only", **options)
    assert (len(ws.runs.list()), len(ws.datasets.list())) == before


def test_only_knows_stacks_datasets_nodes_of_algorithms_and_objects(ws, image):
    stack = np.stack([image, image + 1])
    pipe = Pipeline(
        [
            Node(lambda x: x * 2, IN, "twice", name="double"),
            Node("invert", "twice"),
            Node("halve", "invert", ["a", "b"]),
            Node(lambda a, b: float(a.sum() + b.sum()), ["a", "b"], name="total"),
        ],
        "mixed",
    )
    stored = ws.datasets.put({"image": image})
    for given in (image, stored):
        pipe.run(given)
        assert all(node.reused for node in pipe.run(given, reuse="only").nodes)
    slices = Pipeline([Node("invert", IN)], "slices")
    slices.run(stack)
    assert slices.run(stack, reuse="only").nodes[0].reused
    with pytest.raises(NotFoundError, match="node 'invert'"):
        slices.run(stack + 1, reuse="only")
    objects = Pipeline([Node(lambda x: object(), IN, name="thing")], "objects")
    objects.run(1)
    with pytest.raises(NotFoundError, match="node 'thing'"):
        objects.run(1, reuse="only")
    always = Pipeline([Node(lambda x: x, IN, name="always", deterministic=False)], "always")
    with pytest.raises(NotFoundError, match="deterministic=False"):
        always.run(1, reuse="only")


def test_debug_raises_what_a_node_raises(ws, image):
    with pytest.raises(ValueError, match="no luck"):
        Pipeline([Node(fail, IN)], "bad").run(image, debug=True)
    assert ws.runs.list(algorithm="bad")[0].status == "FAILED"


def test_an_interrupt_cancels_the_pipeline_and_goes_on(ws):
    def stop(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Pipeline([Node(stop, IN), Node(mean, "stop")], "stopped").run(1.0)
    run = ws.runs.list(algorithm="stopped")[0]
    assert run.status == "CANCELLED"
    assert [n.status for n in run.nodes] == ["CANCELLED", "SKIPPED"]


def test_cancel_ends_it_between_nodes_and_keeps_what_is_done(ws):
    begun, go = threading.Event(), threading.Event()

    def slow(x):
        begun.set()
        go.wait(20)
        return x

    run = Pipeline([Node(scale, IN), Node(slow, "scale"), Node(scale, "slow", name="last")]).run(
        1.0, wait=False
    )
    assert begun.wait(20)
    assert run.status == "RUNNING"
    assert [n.status for n in run.nodes] == ["COMPLETED", "RUNNING", "PENDING"]
    run.cancel()
    go.set()
    run.wait(20)
    assert run.status == "CANCELLED"
    assert [n.status for n in run.nodes] == ["COMPLETED", "CANCELLED", "SKIPPED"]


def test_state_is_told_while_it_runs(ws, image):
    seen = []
    run = centre().run(image, on_event=lambda event: seen.append((event.kind, event.status, event.fraction)))
    fractions = [fraction for _, _, fraction in seen]
    assert fractions == sorted(fractions)
    assert seen[-1] == ("state", "COMPLETED", 1.0)
    assert {0.25, 0.5, 0.75} <= {round(f, 2) for f in fractions}
    assert run.progress == 1.0
    assert [line.split(" INFO ")[1].split(":")[0] for line in run.log.lines()] == [n.name for n in run.nodes]
    assert "mean: reused from" in centre().run(image).log


def test_prints_go_to_the_log_of_their_node(ws, capsys):
    def talk(x):
        print("hello from the node")
        return x

    run = Pipeline([Node(talk, IN)]).run(1)
    assert "hello from the node" in run.node("talk").log
    assert "hello from the node" in capsys.readouterr().out


def test_random_numbers_of_a_node_come_from_its_seed(ws):
    def draw(x):
        return float(np.random.random())

    run = Pipeline([Node(draw, IN)]).run(0)
    record = run.node("draw").record
    assert "numpy" in record.seeded
    assert np.random.RandomState(record.seed).random() == run.result()


def test_nested_pipelines_are_part_of_the_one_run(ws, image):
    inner = Pipeline([Node(scale, IN, name="first"), Node(mean, "first", OUT)], "inner")
    outer = Pipeline(
        [Node("invert", IN), Node(inner, "invert", "m"), Node(subtract, ["invert", "m"], OUT)], "outer"
    )
    run = outer.run(image, parameters={"inner": {"first": {"factor": 1.0}}})
    assert [n.name for n in run.nodes] == ["invert", "inner/first", "inner/mean", "subtract"]
    assert run.node("inner/mean").result() == pytest.approx((image.max() - image).mean())
    assert abs(run.result().mean()) < 1e-6


def test_records_are_found_after_a_reindex(ws, image):
    run = centre().run(image)
    ws.reindex()
    again = ws.runs.get(run.id)
    assert [n.run for n in again.nodes] == [n.run for n in run.nodes]
    assert again.node("mean").result() == run.node("mean").result()
    assert all(n.reused for n in centre().run(image).nodes)


def test_node_runs_of_algorithms_are_replayed(ws, image):
    run = centre().run(image)
    assert run.node("invert").replay().is_identical


def test_closing_the_workspace_ends_what_goes_on_in_the_kernel(workspace_url):
    import workbench

    begun, go = threading.Event(), threading.Event()

    def slow(x):
        begun.set()
        go.wait(20)
        return x

    ws = workbench.open(workspace_url)
    run = Pipeline([Node(slow, IN), Node(scale, "slow")], "closed").run(1.0, wait=False)
    assert begun.wait(20)
    threading.Timer(0.2, go.set).start()
    ws.close()
    with workbench.open(workspace_url) as again:
        assert again.runs.get(run.id).status == "CANCELLED"


class Fitted:
    def __init__(self, mean: float) -> None:
        self.mean = mean


def fit(x):
    return Fitted(float(x.mean()))


def apply(x, model, sign=1):
    return sign * (x - model.mean)


@pytest.mark.parametrize("executor", ["kernel", "process"])
def test_objects_are_computed_again_only_where_they_are_needed(ws, image, executor):
    pipe = Pipeline([Node(fit, IN, "model"), Node(apply, [IN, "model"], OUT)])

    def run(pipe: Pipeline = pipe, **options) -> list[bool]:
        done = pipe.run(image, executor=executor, **options)
        assert done.status == "COMPLETED", done.error
        assert [n.status for n in done.nodes] == ["COMPLETED"] * 2
        if pipe.outputs == (OUT,):
            np.testing.assert_allclose(abs(done.result()), abs(image - image.mean()), rtol=1e-5)
        else:
            assert isinstance(done.result(), Fitted)
        return [n.reused for n in done.nodes]

    def fits() -> int:
        return sum(run.reused_from is None for run in ws.runs.list(algorithm="fit"))

    assert (run(), fits()) == ([False, False], 1)
    assert (run(), fits()) == ([True, True], 1)
    assert (run(parameters={"apply": {"sign": -1}}), fits()) == ([False, False], 2)
    assert (run(parameters={"apply": {"sign": -1}}), fits()) == ([True, True], 2)
    asked = Pipeline([Node(fit, IN, "model"), Node(apply, [IN, "model"])], outputs=["model"])
    assert (run(asked), fits()) == ([False, True], 3)


def test_a_function_is_replayed_with_its_arguments_and_seed(ws, image):
    held = Flaw()

    def inner(x):
        return x if held else None

    run = Pipeline([Node(noisy, IN, ["a", "b"], parameters={"level": 0.5}), Node(inner, "a")]).run(image)
    replay = run.node("noisy").replay()
    assert replay.is_identical
    assert {match[0] for match in replay.matches} == {0, 1}
    assert replay.run.record.replays == run.node("noisy").id
    with pytest.raises(
        UnsupportedError, match="closes over, 'held', is a Flaw, an object that no source text stands for"
    ):
        run.node("inner").replay()


class Flaw:
    """An object."""


def noisy(x, level):
    noise = np.random.normal(size=x.shape) * level
    return x + noise, float(noise.mean())


def test_a_function_that_has_changed_is_replayed_as_it_was(ws, image, monkeypatch):
    run = Pipeline([Node(noisy, IN, ["a", "b"], parameters={"level": 0.5})]).run(image)
    changed = noisy.__code__.replace(co_consts=(*noisy.__code__.co_consts, "more"))
    monkeypatch.setattr(noisy, "__code__", changed)
    assert run.node("noisy").replay().is_identical
    ws.pipelines._filing.finish()
    ws.catalog.put_runs([run.node("noisy").record.model_copy(update={"code": ""})])  # of an older workbench
    with pytest.raises(
        UnsupportedError, match="its code has changed since, and an older workbench did not keep its code"
    ):
        ws.runs.replay(run.node("noisy").id)


def test_why_says_what_a_node_depends_on(ws, image):
    lock = threading.Lock()

    def locked(x):
        with lock:
            return x

    run = Pipeline([Node(mean, IN), Node(locked, IN)]).run(image)
    assert "no completed run was the same" in repr(ws.why(run.node("mean").id))
    assert "lock: a lock, whose state cannot be read" in repr(ws.why(run.node("locked").id))
    assert "of its 2 nodes 0 were reused" in repr(ws.why(run.id))
    again = Pipeline([Node(mean, IN), Node(locked, IN)]).run(image + 1)
    assert "input 0" in repr(ws.why(again.node("mean").id))


def test_equal_inputs_are_stored_once(ws, image):
    pipe = Pipeline([Node(mean, IN)])
    one, other = pipe.run(image), pipe.run(image.copy())
    assert one.record.inputs == other.record.inputs
    assert len(ws.datasets.list()) == 1


def test_large_values_are_let_go_when_nobody_reads_them(ws):
    import gc
    import weakref

    made, alive = [], []

    def large(x):
        array = np.full((64, 64), x)
        made.append(weakref.ref(array))
        return array

    def look(m):
        gc.collect()
        alive.append(made[0]() is not None)
        return m

    pipe = Pipeline([Node(large, IN), Node(mean, "large"), Node(look, "mean")])
    assert pipe.run(2.0, reuse="never").result() == 2.0
    assert alive == [False]
