"""DataFrames that functions of pipelines give and read: kept, reused, replayed, and the same in another process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
from algorithm_folders import generic, write_algorithm

from workbench.errors import NotFoundError
from workbench.execution.run import Run
from workbench.pipelines import Node, Pipeline

IN, OUT = "__pipeline_input__", "__pipeline_output__"
MODULE = """
import numpy as np
import pandas

def table(x):
    return pandas.DataFrame(
        {"height": x, "n": np.arange(len(x), dtype=np.int16), "who": pandas.Categorical(["a", "b", "a"])},
        index=pandas.date_range("2026-03-28", periods=len(x), tz="Europe/Berlin", name="day"),
    )

def means(frame):
    return frame.groupby("who", observed=True)["height"].mean().reset_index()
"""
SECOND = """
import sys
import numpy as np, pandas, workbench
from workbench import Node, Pipeline
import measuring

with workbench.open(sys.argv[1]) as ws:
    first = ws.runs.get(sys.argv[2])
    pandas.testing.assert_frame_equal(first.node("table").result(), measuring.table(np.arange(3.0)), check_exact=True)
    pandas.testing.assert_frame_equal(first.result(), measuring.means(measuring.table(np.arange(3.0))))
    assert "height" in repr(first.node("table").outputs[0])
    nodes = [Node(measuring.table, "__pipeline_input__", "t"), Node(measuring.means, "t", "__pipeline_output__")]
    again = Pipeline(nodes, "measured").run(np.arange(3.0))
    print([node.reused for node in again.nodes], again.result().equals(first.result()))
    print([node.reused for node in Pipeline([Node(measuring.means, "__pipeline_input__")], "half").run(first.node("table").outputs[0]).nodes])
    print(first.replay().is_identical, first.node("means").replay().is_identical)
"""


@pytest.fixture
def measuring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a module of the user's own, as another process imports it too."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "measuring.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path / "own")
    monkeypatch.delitem(sys.modules, "measuring", raising=False)
    import measuring

    yield measuring
    sys.modules.pop("measuring")


def nodes_of(module) -> list[Node]:
    return [Node(module.table, IN, "t"), Node(module.means, "t", OUT)]


@pytest.mark.parametrize("executor", ["kernel", "process"])
def test_a_frame_is_there_in_a_new_process_reused_and_replayed(ws, measuring, tmp_path, executor):
    run = Pipeline(nodes_of(measuring), "measured").run(np.arange(3.0), executor=executor)
    assert run.status == "COMPLETED", run.error
    done = subprocess.run(
        [sys.executable, "-c", SECOND, ws.url, run.id],
        cwd=tmp_path / "own",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:3] == ["[True, True] True", "[True]", "True True"]


def test_an_input_that_is_a_frame_is_known_again(ws, measuring):
    frame = measuring.table(np.arange(3.0))
    pipe = Pipeline([Node(measuring.means, IN, OUT)], "means")
    first = pipe.run(frame)
    assert pipe.run(frame.copy()).nodes[0].reused
    assert not pipe.run(frame.assign(height=0.0)).nodes[0].reused
    assert pipe.run(first.record.inputs[0]).nodes[0].reused
    pandas.testing.assert_frame_equal(first.result(), measuring.means(frame))


def test_each_of_several_readers_has_a_frame_of_its_own(ws):
    def add(frame, column):
        frame[column] = 1
        return list(frame.columns)

    pipe = Pipeline(
        [
            Node(lambda x: pandas.DataFrame({"x": x}), IN, "t", name="make"),
            Node(add, "t", "a", name="one", parameters={"column": "p"}),
            Node(add, "t", "b", name="two", parameters={"column": "q"}),
        ],
        outputs=["a", "b", "t"],
    )
    result = pipe.run(np.arange(2)).result()
    assert (result["a"], result["b"], list(result["t"].columns)) == (["x", "p"], ["x", "q"], ["x"])


def test_an_algorithm_reads_a_frame_of_numbers_as_one_array(ws, tmp_path):
    ws.algorithms.deploy(
        write_algorithm(
            tmp_path / "total", "total", generic("return [data[0]['data'].sum(axis=0)]"), type="Generic"
        ),
        check=False,
    )
    pipe = Pipeline(
        [
            Node(lambda x: pandas.DataFrame({"p": x, "q": x * 0.5}), IN, "t", name="make"),
            Node("total", "t", OUT),
        ]
    )
    assert pipe.run(np.arange(3)).result().tolist() == [3.0, 1.5]


def test_a_frame_of_objects_is_held_by_its_process_and_says_why(ws):
    pipe = Pipeline([Node(lambda x: pandas.DataFrame({"ok": [1], "parts": [[x]]}), IN, OUT, name="make")])
    run = pipe.run(2)
    assert run.result()["parts"].tolist() == [[2]]
    assert not pipe.run(2).nodes[0].reused
    with pytest.raises(
        NotFoundError,
        match=r"was a DataFrame whose column 'parts' holds objects that are no text, such as a list, wh",
    ):
        Run(run.record, ws.runs).result()  # as a process finds it that has not computed it


ENDLESS: list = [np.ones(2)]
ENDLESS.append(ENDLESS)


def frames_inside(x):
    frame = pandas.DataFrame({"x": x, "who": ["a", "b", None]}, index=pandas.Index([3, 1, 2], name="id"))
    many = [frame, (frame.iloc[:0], x.copy()), {"again": frame.rename(columns={"x": "frame"}), "n": 3}]
    return many, {"table": frame, "about": {"rows": 3, "text": "p"}}, (frame, frame.assign(x=0.0))


def same(one, other) -> bool:
    """Tell whether two nested values are the same, with the kinds of all that is in them."""
    assert type(one) is type(other)
    if isinstance(one, pandas.DataFrame):
        pandas.testing.assert_frame_equal(one, other, check_exact=True)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        return all(same(one[key], other[key]) for key in one)
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        return all(map(same, one, other))
    else:
        np.testing.assert_array_equal(one, other)
    return True


@pytest.mark.parametrize("executor", ["kernel", "process"])
def test_frames_in_lists_tuples_and_dicts_are_kept(ws, executor):
    x = np.arange(3.0)
    names = ["many", "by name", "two"]
    nodes = [
        Node(frames_inside, IN, names, name="make"),
        Node(
            lambda many, named: many[0].x.sum() + len(named["table"]),
            ["many", "by name"],
            "total",
            name="read",
        ),
    ]
    pipe = Pipeline(nodes, "inside", outputs=[*names, "total"])
    run = pipe.run(x, executor=executor)
    assert run.status == "COMPLETED", run.error
    assert run.result()["total"] == 6.0
    found = Run(run.record, ws.runs).result()  # as a process finds it that has not computed it
    assert same([found[name] for name in names], list(frames_inside(x)))
    assert [node.reused for node in pipe.run(x, executor=executor).nodes] == [True, True]
    assert run.replay().is_identical
    again = Pipeline([Node(lambda many: many[2]["again"]["frame"].tolist(), IN, OUT, name="late")], "late")
    assert again.run(run.node("make").outputs[0]).result() == [0.0, 1.0, 2.0]


def test_frames_inside_that_several_read_are_each_ones_own(ws):
    def spoil(named):
        named["t"]["x"] = 7
        named["t"].loc[0, "y"] = 1
        return int(named["t"]["x"].sum())

    nodes = [Node(lambda x: {"t": pandas.DataFrame({"x": x})}, IN, "t", name="make")]
    nodes += [Node(spoil, "t", name, name=name) for name in ("one", "two")]
    result = Pipeline(nodes, outputs=["t", "one", "two"]).run(np.arange(2)).result()
    assert result["t"]["t"].columns.tolist() == ["x"]
    assert (result["one"], result["two"]) == (14, 14)


def test_an_input_with_frames_inside_is_known_again(ws):
    pipe = Pipeline([Node(lambda named: named["t"].sum().tolist(), IN, OUT, name="sum")])
    frame = pandas.DataFrame({"x": [1, 2]})
    assert pipe.run({"t": frame}).result() == [3]
    assert pipe.run({"t": frame.copy()}).nodes[0].reused
    assert pipe.run({"t": frame + 1}).result() == [5]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([pandas.DataFrame({"p": [[1]]})], r"list with a DataFrame whose column 'p' holds objects"),
        ({"a": [pandas.DataFrame({"p": [1]}), Path]}, r"dict with a list with a type, which"),
        ({1: pandas.DataFrame({"p": [1]})}, r"dict with a key that no dataset can have, 1, which"),
        ({"a": {"b/c": np.ones(2)}}, r"dict with a dict with a key that no dataset can have, 'b/c', which"),
        (ENDLESS, r"was a value that is nested too deeply, which"),
        ((pandas.Series([1]),), r"tuple with a Series, which"),
    ],
)
def test_what_cannot_be_kept_inside_says_what_it_is(ws, value, why):
    run = Pipeline([Node(lambda x: value, IN, OUT, name="make")]).run(2)
    assert type(run.result()) is type(value)
    with pytest.raises(NotFoundError, match=why):
        Run(run.record, ws.runs).result()
