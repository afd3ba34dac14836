"""DataFrames as datasets: the same columns, index, dtypes and labels come back, or nothing is kept."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

import workbench
from workbench.library.frame_columns import NotKeptError
from workbench.library.frames import frame_data, frame_of, is_frame, is_frame_data

DAYS = pandas.date_range("2026-03-27", periods=3, freq="D")
FRAMES: dict[str, pandas.DataFrame] = {
    "numbers": pandas.DataFrame(
        {
            "a": [1, 2, 3],
            "b": np.array([1, 2, 3], np.uint8),
            "c": np.array([0.5, np.nan, np.inf], np.float32),
            "d": [1j, 2, 3],
            "e": [True, False, True],
        }
    ),
    "texts": pandas.DataFrame({"s": ["ä", "", "c"], "t": ["x", None, np.nan]}),
    "objects": pandas.DataFrame(
        {
            "s": pandas.Series(["x", None, "z"], dtype=object),
            "m": pandas.Series([None, np.nan, pandas.NA], dtype=object),
        }
    ),
    "strings": pandas.DataFrame(
        {
            "p": pandas.array(["x", None, "z"], dtype=pandas.StringDtype("python")),
            "q": pandas.array(["x", None, "z"], dtype=pandas.StringDtype("pyarrow")),
        }
    ),
    "times": pandas.DataFrame(
        {
            "naive": [DAYS[0], pandas.NaT, DAYS[2]],
            "seconds": DAYS.as_unit("s"),
            "berlin": DAYS.tz_localize("Europe/Berlin"),
            "utc": DAYS.tz_localize("UTC"),
            "fixed": DAYS.tz_localize(datetime.timezone(datetime.timedelta(hours=-3))),
            "spans": DAYS - DAYS[1],
        }
    ),
    "categories": pandas.DataFrame(
        {
            "c": pandas.Categorical(["lo", None, "hi"], categories=["lo", "mid", "hi"], ordered=True),
            "n": pandas.Categorical([3, 1, 3]),
        }
    ),
    "with missing values": pandas.DataFrame(
        {
            "i": pandas.array([1, None, 3], dtype="Int16"),
            "u": pandas.array([1, None, 3], dtype="UInt64"),
            "f": pandas.array([1.5, None, 3], dtype="Float32"),
            "b": pandas.array([True, None, False], dtype="boolean"),
        }
    ),
    "no rows": pandas.DataFrame({"a": np.empty(0, np.int16), "s": pandas.Series([], dtype=object)}),
    "no columns": pandas.DataFrame(index=pandas.Index([3, 4], name="n")),
    "nothing": pandas.DataFrame(),
    "days": pandas.DataFrame({"a": [1, 2, 3]}, index=DAYS.rename("day")),
    "labels twice": pandas.DataFrame([[1, 2.5], [3, 4.5]], columns=["a", "a"], index=["r", "r"]),
    "odd labels": pandas.DataFrame([[1, 2, 3, 4, 5]], columns=["frame", "a/b", "", 7, "column 1"]),
    "numbered": pandas.DataFrame(np.arange(6.0).reshape(2, 3)),
    "levels": pandas.DataFrame(
        {("x", "mean"): [1.0, 2.0], ("x", "std"): [3.0, 4.0]},
        index=pandas.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["site", ("day", 1)]),
    ),
    "grouped": pandas.DataFrame({"k": ["u", "v", "u"], "w": [1, 2, 3]}).groupby("k").agg(["min", "sum"]),
    "a few rows": pandas.DataFrame({"a": [1, 2, 3]}).iloc[::2],
    "labels of several kinds": pandas.DataFrame({"a": [1, 2, 3, 4]}, index=["r", 1, None, ("x", 2.5)]),
    "tuples": pandas.DataFrame(
        {"a": [1, 2]}, index=pandas.Index([("x", 1), ("y", 2)], tupleize_cols=False, name=("p", "q"))
    ),
    "range": pandas.DataFrame({"a": [1, 2]}, index=pandas.RangeIndex(10, 30, 10, name="at")),
    "categories as labels": pandas.DataFrame(
        [[1, 2]], columns=pandas.CategoricalIndex(["p", "q"], name="which")
    ),
}
FRAMES["wide"] = pandas.DataFrame(np.arange(300.0).reshape(2, 150)).assign(who=["a", "b"], n=[1, 2])
FRAMES["with attrs"] = FRAMES["numbered"].set_flags(allows_duplicate_labels=False)
FRAMES["with attrs"].attrs = {"unit": "px", "scale": [1, 2]}


@pytest.fixture
def ws(tmp_path: Path):
    with workbench.open(tmp_path / "ws") as opened:
        yield opened


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_comes_back_from_a_dataset_as_it_was(ws: workbench.Workspace, name: str) -> None:
    frame, before = FRAMES[name], repr(FRAMES[name].to_numpy(object).tolist())
    dataset = ws.datasets.put(frame_data(frame))
    assert repr(frame.to_numpy(object).tolist()) == before
    tree = ws.datasets.get(dataset.id)
    assert is_frame_data(tree)
    found = frame_of(tree)
    pandas.testing.assert_frame_equal(
        found, frame, check_exact=True, check_index_type="exact", check_column_type="exact"
    )
    assert is_frame(found)
    assert (found.attrs, list(found.dtypes)) == (frame.attrs, list(frame.dtypes))
    assert [list(map(repr, row)) for row in found.to_numpy(object)] == [
        list(map(repr, row)) for row in frame.to_numpy(object)
    ]
    for column in range(found.shape[1] if len(found) > 1 else 0):  # what is written to it stays its own
        found.iat[0, column] = found.iat[-1, column]
    assert frame_of(ws.datasets.get(dataset.id)).equals(frame)


def test_columns_are_keys_of_the_dataset(ws: workbench.Workspace) -> None:
    dataset = ws.datasets.put(frame_data(FRAMES["numbers"]))
    assert "c: 3 float32" in repr(dataset).replace("(3,)", "3")
    assert ws.datasets.get(dataset, "b")["b"].tolist() == [1, 2, 3]
    assert ws.datasets.put(frame_data(FRAMES["numbers"].copy())).digest == dataset.digest
    assert ws.datasets.put(frame_data(FRAMES["numbers"].rename(columns={"a": "A"}))).digest != dataset.digest


def test_many_columns_of_numbers_lie_in_one_array(ws: workbench.Workspace) -> None:
    dataset = ws.datasets.put(frame_data(FRAMES["wide"]))
    assert sorted(dataset.keys) == ["columns float64", "columns int64", "frame", "who"]
    with pytest.raises(NotKeptError, match=r"one of which is called 'columns float64'"):
        frame_data(FRAMES["wide"].rename(columns={"who": "columns float64"}))


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        ({"ok": [1], "x": [[1, 2]]}, r"whose column 'x' holds objects that are no text, such as a list"),
        ({"x": [1, "two"]}, r"whose column 'x' holds objects that are no text, such as an int"),
        (
            {"x": pandas.period_range("2026", periods=1, freq="M")},
            r"whose column 'x' is of dtype period\[M\]",
        ),
        ({"x": pandas.arrays.SparseArray([0, 1])}, r"whose column 'x' is of dtype Sparse"),
        (
            pandas.DataFrame([1], index=[(1, {2})]),
            r"whose index or labels has a label or name that is a set",
        ),
        (
            pandas.DataFrame([1], index=pandas.Index([1], name=DAYS[0])),
            r"has a label or name that is a Timestamp",
        ),
    ],
)
def test_what_would_not_come_back_is_not_kept(frame: Any, problem: str) -> None:
    with pytest.raises(NotKeptError, match=problem):
        frame_data(pandas.DataFrame(frame))


def test_attributes_that_json_cannot_hold_are_not_lost_in_silence() -> None:
    frame = pandas.DataFrame({"a": [1]})
    frame.attrs = {"of": (1, 2)}
    with pytest.raises(NotKeptError, match=r"attrs hold what JSON cannot"):
        frame_data(frame)


def test_a_frame_of_another_class_or_other_data_is_none() -> None:
    class Mine(pandas.DataFrame):
        pass

    assert not is_frame(Mine({"a": [1]}))
    assert not is_frame_data({"frame": np.zeros(3)})
    assert not is_frame_data({"frame": {"header": "of a page"}})


def test_a_dataset_shows_the_dataframe_that_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pandas.DataFrame({"part": ["<top>", "bottom"], "mean": [0.5, 0.25]}, index=["first", "second"])
    with workbench.open(tmp_path / "ws") as ws:
        dataset = ws.datasets.put(frame_data(frame))
        assert ws.datasets.list().rows()[0]["keys"] == "DataFrame of mean, part"
        shown = dataset._repr_mimebundle_()["text/html"]
        assert all(word in shown for word in ("<table", "first", "&lt;top&gt;", "0.25", "2 rows", dataset.id))
        assert "group of" not in shown
        monkeypatch.setattr("workbench.library.dataset._MOST_OF_FRAME", 10)
        large = dataset._repr_mimebundle_()["text/html"]
        assert "<table" not in large
        assert "<b>part</b>" in large  # its keys are shown, as those of any other
        other = ws.datasets.put({"frame": {"header": "mine"}, "data": np.arange(3)})
        assert "<b>data</b>" in other._repr_mimebundle_()["text/html"]
