"""Points of sweeps: what is meant, and what is refused before anything starts."""

from __future__ import annotations

import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.algorithms.parameters import Parameters
from workbench.batch.axis_text import is_draw, read_axis
from workbench.batch.given import MOST_POINTS
from workbench.batch.grid import make_points
from workbench.errors import InvalidInputError, InvalidParameterError, NotFoundError
from workbench.models import ParameterSpec

PARAMETERS = Parameters(
    [
        ParameterSpec(name="sigma", type="float", default=1.0, min=0.0),
        ParameterSpec(name="n", type="int", default=3, min=1, max=100),
        ParameterSpec(name="mode", type="string_enum", default="fast", options=("fast", "exact")),
        ParameterSpec(name="radii", type="int_list", default=(1,)),
        ParameterSpec(name="label", type="string", default=""),
    ]
)


def points(**options: Any) -> list[dict[str, Any]]:
    return make_points(PARAMETERS, PARAMETERS.validate, **options).values


def some(values: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(point[name] for name in names) for point in values]


def test_grid_is_each_with_each_and_the_last_name_runs_fastest() -> None:
    found = points(grid={"sigma": [1, 2], "mode": ["fast", "exact"]}, fixed={"n": 5})
    assert some(found, "sigma", "mode") == [(1.0, "fast"), (1.0, "exact"), (2.0, "fast"), (2.0, "exact")]
    assert {point["n"] for point in found} == {5}
    assert found[0]["radii"] == [1]


def test_arrays_ranges_and_single_values_are_axes() -> None:
    found = points(grid={"sigma": np.linspace(0, 1, 3), "n": range(1, 3), "mode": "exact"})
    assert some(found, "sigma", "n") == list(itertools.product((0.0, 0.5, 1.0), (1, 2)))


def test_zip_is_side_by_side_and_refuses_unequal_lengths() -> None:
    assert some(points(zip={"sigma": [1, 2], "n": [3, 4]}), "sigma", "n") == [(1.0, 3), (2.0, 4)]
    with pytest.raises(InvalidInputError, match="sigma has 3, n has 2"):
        points(zip={"sigma": [1, 2, 3], "n": [3, 4]})


def test_several_sources_are_combined_each_with_each() -> None:
    found = points(table=[{"sigma": 1}, {"sigma": 2}], grid={"n": [7, 8]})
    assert some(found, "sigma", "n") == [(1.0, 7), (1.0, 8), (2.0, 7), (2.0, 8)]
    with pytest.raises(InvalidInputError, match="'n' is in zip and in grid"):
        points(zip={"n": [1]}, grid={"n": [2]})
    with pytest.raises(InvalidInputError, match="'n' is in grid and in fixed"):
        points(grid={"n": [2]}, fixed={"n": 1})


def test_csv_is_read_by_the_kinds_of_the_parameters(tmp_path: Path) -> None:
    file = tmp_path / "points.csv"
    file.write_text('\ufeffsigma, n,radii,label\n1.5,2,"1,2",a\n\n2,,[3],"b, c"\n')
    found = points(table=file)
    assert some(found, "sigma", "n", "radii", "label") == [(1.5, 2, [1, 2], "a"), (2.0, 3, [3], "b, c")]


def test_frame_leaves_parameters_at_their_defaults_where_it_has_nothing() -> None:
    frame = pd.DataFrame({"sigma": [0.5, float("nan")], "mode": ["exact", None]})
    assert some(points(table=frame), "sigma", "mode") == [(0.5, "exact"), (1.0, "fast")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sigma,sigma\n1,2\n", "name each parameter once"),
        ("sigma,\n1,2\n", "name each parameter once"),
        ("", "no rows"),
        ("sigma\n", "no rows"),
        ("sigma\n1,2\n", "line 2 has 2 cells"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        points(table=tmp_path / "t.csv")


def test_an_absent_or_foreign_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no table .*none\.csv"):
        points(table=tmp_path / "none.csv")
    with pytest.raises(InvalidInputError, match=r"no \.csv or \.tsv"):
        points(table=tmp_path / "book.xlsx")
    with pytest.raises(InvalidInputError, match="expected a CSV file, a DataFrame, or rows"):
        points(table=[1, 2])


def test_samples_are_the_same_for_the_same_seed_and_stay_in_their_ranges() -> None:
    axes = {"sigma": (1, 2), "n": (1, 3), "mode": ["fast", "exact"], "label": ["a"]}
    found = points(sample=axes, samples=200, seed=4)
    assert found == points(sample=axes, samples=200, seed=4)
    assert found != points(sample=axes, samples=200, seed=5)
    assert all(1.0 <= point["sigma"] <= 2.0 for point in found)
    assert len({point["sigma"] for point in found}) == 200
    assert {point["n"] for point in found} == {1, 2, 3}
    assert {point["mode"] for point in found} == {"fast", "exact"}
    more = points(sample={**axes, "radii": [[1], [2]]}, samples=200, seed=4)
    assert some(more, "sigma", "n") == some(found, "sigma", "n")


def test_whole_numbers_need_one_in_the_interval() -> None:
    assert {point["n"] for point in points(sample={"n": (1.5, 2.5)}, samples=5)} == {2}
    with pytest.raises(InvalidInputError, match="cannot be drawn from"):
        points(sample={"n": (1.2, 1.8)})


def test_arrays_may_be_cells_of_a_table() -> None:
    rows = [{"radii": np.array([1, 2]), "sigma": np.float32("nan")}, {"radii": [3], "sigma": pd.NA}]
    assert some(points(table=rows), "radii", "sigma") == [([1, 2], 1.0), ([3], 1.0)]


def test_log_samples_fill_every_decade_and_objects_with_rvs_are_asked() -> None:
    found = points(sample={"sigma": "log:0.001:1"}, samples=300)
    for low in (1e-3, 1e-2, 1e-1):
        assert 60 < sum(low <= point["sigma"] < 10 * low for point in found) < 140

    class Fixed:
        def rvs(self, size: int, random_state: int) -> Any:
            return np.random.default_rng(random_state).integers(1, 5, size)

    assert {point["n"] for point in points(sample={"n": Fixed()}, samples=50)} == {1, 2, 3, 4}


@pytest.mark.parametrize(
    "source", ["log:0:1", "log:1", (2, 1), ("a", "b"), (0, float("inf")), "uniform:1:2:3"]
)
def test_what_cannot_be_drawn_from_is_refused(source: Any) -> None:
    with pytest.raises(InvalidInputError, match="cannot be drawn from"):
        points(sample={"sigma": source})


def test_every_problem_is_told_with_its_row_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sigma,n\n1,0\n-1,5\n2,200\n3,4\n")
    with pytest.raises(InvalidParameterError) as caught:
        points(table=tmp_path / "t.csv")
    assert list(caught.value.problems) == ["t.csv line 2: n", "t.csv line 3: sigma", "t.csv line 4: n"]
    assert "3 of 4 points" in str(caught.value)
    assert "t.csv line 3: Parameter 'sigma' is -1" in str(caught.value)


def test_a_problem_of_all_points_is_told_once() -> None:
    with pytest.raises(InvalidParameterError) as caught:
        points(grid={"sigma": range(100)}, fixed={"sigmo": 1})
    assert str(caught.value).count("sigmo") == 1
    assert "point 0, point 1, point 2 and 97 more" in str(caught.value)


def test_many_different_problems_are_cut() -> None:
    with pytest.raises(InvalidParameterError, match="and 20 more problems"):
        points(grid={"sigma": range(-30, 0)})


def test_equal_points_are_noted() -> None:
    found = make_points(PARAMETERS, PARAMETERS.validate, grid={"sigma": [1, 2, 1.0]})
    assert found.notes == ("1 of 3 points are the same as an earlier one: 2 as 0",)
    assert found.varied == ("sigma",)


def test_nothing_and_far_too_much_are_refused_without_making_it() -> None:
    with pytest.raises(InvalidInputError, match="no points"):
        points()
    with pytest.raises(InvalidInputError, match="empty list"):
        points(grid={"sigma": []})
    with pytest.raises(InvalidInputError, match=f"at most {MOST_POINTS:,}"):
        points(grid={"sigma": range(10_000), "n": range(10_000), "label": range(10_000)})
    with pytest.raises(InvalidInputError, match=f"at most {MOST_POINTS:,}"):
        points(grid={"sigma": itertools.count()})
    with pytest.raises(InvalidInputError, match=f"at most {MOST_POINTS:,}"):
        read_axis(PARAMETERS, "sigma", "0:1e9:0.001")


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("sigma", "1,2,3", [1, 2, 3]),
        ("sigma", "0.1:0.3:0.1", [0.1, 0.2, 0.3]),
        ("sigma", "3:1:-1", [3, 2, 1]),
        ("n", "1:3,10", [1, 2, 3, 10]),
        ("mode", "fast,exact", ["fast", "exact"]),
        ("label", "a:b,'c, d'", ["a:b", "c, d"]),
        ("label", "", [""]),
        ("radii", "1,2", [[1, 2]]),
        ("radii", "1,2;3", [[1, 2], [3]]),
        ("radii", "[1,2],[3]", [[1, 2], [3]]),
        ("unknown", "1,2", ["1,2"]),
    ],
)
def test_values_on_a_line(name: str, text: str, values: list[Any]) -> None:
    found = read_axis(PARAMETERS, name, text)
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize("text", ["1:2:0", "1:3:-1", "a:b", "1:2:3:4", "1::2", "nan:2"])
def test_a_range_that_leads_nowhere_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="has the range"):
        read_axis(PARAMETERS, "sigma", text)


@given(st.integers(-50, 50), st.integers(0, 40), st.sampled_from(["0.1", "0.25", "1", "3"]))
def test_a_range_holds_its_start_its_stop_and_all_between(start: int, steps: int, step: str) -> None:
    stop = start + steps * Decimal(step)
    found = read_axis(PARAMETERS, "sigma", f"{start}:{stop}:{step}")
    assert found == [float(start + number * Decimal(step)) for number in range(steps + 1)]


def test_intervals_are_told_from_values() -> None:
    assert is_draw(PARAMETERS, "sigma", "0.5:4")
    assert is_draw(PARAMETERS, "sigma", "log:0.1:1")
    assert not is_draw(PARAMETERS, "sigma", "0:1:0.5")
    assert not is_draw(PARAMETERS, "sigma", "1,2")
    assert not is_draw(PARAMETERS, "label", "a:b")
