"""How nodes become a graph, and what is refused."""

from __future__ import annotations

import functools

import pytest

import workbench
from workbench.errors import InvalidInputError, InvalidNameError, InvalidPipelineError, NotFoundError
from workbench.pipelines import Node, Pipeline

IN, OUT = "__pipeline_input__", "__pipeline_output__"


def one(x):
    return x


def two(x, y):
    return x + y


def split(x):
    return x, x


def source():
    return 1


class Step:
    name = "stepping"

    def execute(self, x):
        return x


def problems(*args, **kwargs) -> list[str]:
    with pytest.raises(InvalidPipelineError) as caught:
        Pipeline(*args, **kwargs)
    return list(caught.value.problems) or [str(caught.value)]


def test_names_are_public_and_lazy():
    assert workbench.Pipeline is Pipeline
    assert workbench.Node is Node


def test_edges_by_name_by_node_and_by_object_mean_the_same():
    first = Node(one, IN, "a")
    graphs = [
        Pipeline([first, Node(two, [first, "a"], name="t")]).graph,
        Pipeline([first, Node(two, ["one", "a"], name="t")]).graph,
    ]
    for graph in graphs:
        assert graph.edges == [("", "one", IN), ("one", "t", "a"), ("one", "t", "a")]


def test_nodes_may_come_in_any_order():
    pipe = Pipeline(
        [Node(one, "b", OUT, name="last"), Node(one, "a", "b", name="middle"), Node(one, IN, "a")]
    )
    assert list(pipe.graph.steps) == ["one", "middle", "last"]
    assert pipe.outputs == (OUT,)
    assert pipe.graph.downstream("one") == ["middle", "last"]


def test_what_nobody_reads_is_the_output_unless_it_is_named():
    nodes = [Node(split, IN, ["left", "right"]), Node(one, "left", "end")]
    assert Pipeline(nodes).outputs == ("right", "end")
    assert Pipeline(nodes, outputs=["left", "end"]).outputs == ("left", "end")
    assert Pipeline([Node(source)]).inputs == ()


def test_own_inputs_are_read_by_their_names():
    pipe = Pipeline([Node(two, ["image", "dark"])], inputs=["image", "dark"])
    assert [port.index for port in pipe.graph.steps["two"].sources] == [0, 1]


def test_nested_pipelines_unfold_with_their_parameters():
    inner = Pipeline(
        [Node(one, IN, "a", name="first"), Node(pad, "a", name="second", parameters={"amount": 1})],
        name="inner",
    )
    outer = Pipeline(
        [
            Node(one, IN, "x"),
            Node(inner, "x", "y", parameters={"second": {"amount": 3}}),
            Node(two, ["x", "y"], OUT),
        ]
    )
    graph = outer.graph
    assert list(graph.steps) == ["one", "inner/first", "inner/second", "two"]
    assert graph.steps["inner/second"].parameters == {"amount": 3}
    assert graph.steps["two"].upstream == ("one", "inner/second")
    assert graph.scopes["inner"].outputs[0].step == "inner/second"
    assert outer.node("inner/second").parameters == {"amount": 1}


def pad(x, amount=0):
    return x + amount


def test_a_cycle_is_named():
    found = problems(
        [Node(one, "c", "a", name="A"), Node(one, "a", "b", name="B"), Node(one, "b", "c", name="C")]
    )
    assert len(found) == 1
    assert "cycle" in found[0]
    assert "A -> B -> C -> A" in found[0] or "B -> C -> A -> B" in found[0] or "C -> A -> B -> C" in found[0]
    assert "one -> one" in problems([Node(one, "one")])[0]


def test_an_edge_to_nowhere_names_the_nearest():
    found = problems([Node(one, IN, "smooth"), Node(one, "smoth", name="second")])
    assert "'smoth'" in found[0]
    assert "Did you mean 'smooth'?" in found[0]


def test_node_names_and_outputs_are_given_once():
    assert "node name 'one' is there twice" in problems([Node(one, IN, "a"), Node(one, "a", "b")])[0]
    assert (
        "given by two nodes, 'one' and 'other'"
        in problems([Node(one, IN, "a"), Node(one, IN, "a", name="other")])[0]
    )
    assert "outputs=[...]" in problems([Node(one, IN, OUT), Node(one, IN, OUT, name="other")])[0]
    assert "twice" in problems([Node(split, IN, ["a", "a"])])[0]
    assert "input of the pipeline" in problems([Node(one, "x", "x")], inputs=["x"])[0]
    assert "given by two" in problems([Node(one, IN, name="mask"), Node(one, IN, "mask", name="other")])[0]
    assert "rename one" in problems([Node(one, IN, "a", name="mask"), Node(one, IN, "mask", name="other")])[0]


def test_an_input_that_nobody_reads_is_refused():
    assert "'dark' is read by no node" in problems([Node(one, "image")], inputs=["image", "dark"])[0]


def test_one_kind_of_problem_hides_no_other():
    inner = Pipeline([Node(two, ["a", "b"], name="sum")], inputs=["a", "b"])
    found = problems(
        [
            Node(one, "image", "smooth"),
            Node(one, "smooth", "smoother"),
            Node(two, ["smoother", "elsewhere"]),
            Node(inner, "smooth", name="inner"),
        ],
        inputs=["image", "unread"],
        outputs=["inner", "unknown"],
    )
    for text in (
        "node name 'one' is there twice",
        "reads 'elsewhere', which no node gives",
        "input 'unread' is read by no node",
        "output 'unknown' is given by no node",
        "node 'inner' reads 1 things",
    ):
        assert any(text in line for line in found), text
    assert len(found) == 5
    ring = problems([Node(one, "b", "a"), Node(one, "a", "b", name="other"), Node(one, "nowhere", name="x")])
    assert len(ring) == 2
    assert any("cycle" in line for line in ring)
    (misspelt,) = problems([Node(one, "imgae")], inputs=["image"])
    assert "Did you mean 'image'" in misspelt


def test_callbacks_have_a_hook():
    class Watch:
        def before_exection(self, pipeline, args): ...

    class Right(Watch):
        def after_execution(self, pipeline, args, output): ...

    found = problems([Node(one, "nowhere")], callbacks=[object(), Watch(), Right, Right()])
    assert len(found) == 4
    assert "callbacks[0] is object, which has none of the hooks before_execution" in found[1]
    assert "Did you mean 'before_execution'" in found[2]
    assert "pass an object of it, Right()" in found[3]
    assert len(Pipeline([Node(one, IN)], callbacks=[Right()]).callbacks) == 1


def test_options_that_there_are_not_are_named(tmp_path):
    pipe = Pipeline([Node(one, IN)])
    with workbench.open(tmp_path / "ws") as ws:
        for call in (pipe.run, pipe.retrain):
            with pytest.raises(InvalidInputError, match=r"no option 'reusee'\. Did you mean 'reuse'"):
                call(1, workspace=ws, reusee="never")
            with pytest.raises(InvalidInputError, match=r"parameters=\{'one': \{'sigma': \.\.\.\}\}"):
                call(1, workspace=ws, sigma=2)
        assert not ws.runs.list()


def test_all_problems_are_told_at_once():
    found = problems([Node(one, "nowhere", "a"), Node(one, "neither", "b", name="second")])
    assert len(found) == 2


def test_what_cannot_be_run_is_refused():
    for what in (3, None, [], ""):
        with pytest.raises(InvalidPipelineError):
            Node(what)
    with pytest.raises(InvalidPipelineError, match=r"Pass Step\(\.\.\.\)"):
        Node(Step)
    assert "expected a Node" in problems([one])[0]
    assert "no nodes" in problems([])[0]


def test_a_node_of_another_pipeline_is_no_source():
    assert "not among the nodes" in problems([Node(one, Node(source), name="x")])[0]


def test_several_outputs_are_read_by_their_names_only():
    assert "name one of 'a', 'b'" in problems([Node(split, IN, ["a", "b"]), Node(one, "split")])[0]


def test_arguments_are_checked_against_the_function():
    with pytest.raises(InvalidPipelineError, match="Did you mean 'amount'"):
        Node(pad, IN, parameters={"amout": 2})
    with pytest.raises(InvalidPipelineError, match="with 2 inputs"):
        Node(one, [IN, "a"])
    with pytest.raises(InvalidPipelineError, match="there is no option 'sigma'"):
        Node("denoise", IN, sigma=2.0)
    with pytest.raises(InvalidPipelineError, match="for algorithms"):
        Node(one, IN, device="cpu")


def test_names_come_from_what_a_node_does():
    assert Node("denoise@1.2").name == "denoise"
    assert Node("path/to/denoise/").name == "denoise"
    assert Node(Step(), IN).name == "stepping"
    assert Node(functools.partial(pad, amount=2), IN).name == "pad"
    assert Node(lambda x: x, IN).name == "lambda"
    with pytest.raises(InvalidNameError):
        Node(one, IN, name="a/b")


def test_nested_pipelines_are_checked_where_they_are_used():
    inner = Pipeline([Node(two, ["a", "b"])], name="inner", inputs=["a", "b"])
    assert "reads 1 things" in problems([Node(inner, IN)])[0]
    assert "no node 'tow'" in problems([Node(inner, [IN, IN], parameters={"tow": {}})])[0]
    many = Pipeline([Node(split, IN, ["l", "r"])], name="many")
    assert "gives 2" in problems([Node(many, IN)])[0]
    with pytest.raises(NotFoundError, match="Did you mean 'two'"):
        inner.node("tow")
    with pytest.raises(InvalidPipelineError, match=r"pipe\.run"):
        inner.execute(1)
