"""Options of a sweep that cannot be are refused by name before anything is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from algorithm_folders import write_algorithm
from nbformat.v4 import new_code_cell, new_notebook

import workbench
from workbench.errors import InvalidInputError, NotFoundError, UnsupportedError


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("options")


@pytest.fixture
def ws(place: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(place / "ws", workers=2) as workspace:
        yield workspace


@pytest.fixture(scope="module")
def template(place: Path) -> Path:
    first = new_code_cell("x: float = 1.0")
    first.metadata.tags = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [first, new_code_cell("import workbench\nworkbench.record('double', 2 * x)")]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), place / "double.ipynb")
    return place / "double.ipynb"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": [1, 2]}, r"grid is \[1, 2\], expected values by name"),
        ({"zip": 5}, "zip is 5, expected values by name"),
        ({"sample": ["x"]}, r"sample is \['x'\], expected values by name"),
        ({"fixed": [1]}, r"fixed is \[1\], expected values by name"),
        ({"timeout_s": "x"}, "timeout_s is 'x', expected seconds"),
        ({"timeout_s": True}, "timeout_s is True, expected seconds"),
        ({"retries": "x"}, "retries is 'x', expected a whole number"),
        ({"tags": 5}, "tags is 5, expected names"),
        ({"priority": "high"}, "priority is 'high', expected a whole number"),
        ({"reuse": 5}, "reuse is 5, expected one of never, auto, only"),
        ({"reuse": "alway"}, "reuse is 'alway', expected one of never, auto, only"),
        ({"device": 5}, "device is 5, expected text"),
        ({"device": "tpu"}, "device is 'tpu', but template 'double' has none"),
        ({"executor": 5}, "executor is 5, expected text"),
        ({"executor": "kernel"}, "executor='process'"),
        ({"on_event": "x"}, "on_event is 'x', expected a function"),
        ({"seed": "x"}, "seed is 'x', expected a whole number"),
        ({"wait": "x"}, "wait is 'x', expected True or False"),
        ({"fail_fast": "no"}, "fail_fast is 'no', expected True or False"),
        ({"each_input": "x"}, "each_input is 'x', expected True or False"),
        ({"samples": 5}, "samples is 5, but nothing says what is drawn"),
        ({"samples": 5, "grid": None}, "samples is 5, but nothing says what is drawn"),
        ({"sample": {"x": ("log", 0, 1)}, "grid": None}, r"'x' cannot be drawn from \('log', 0, 1\)"),
    ],
)
def test_what_cannot_be_is_refused_before_a_sweep_is_kept(
    ws: workbench.Workspace, template: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        ws.sweeps.run(template, **{"grid": {"x": [1, 2]}, **options})
    assert len(ws.sweeps.list()) == 0


def test_a_range_may_be_a_tuple_with_its_kind(ws: workbench.Workspace, template: Path) -> None:
    drawn, written = (
        ws.sweeps.points(template, sample={"x": source}, samples=4).values
        for source in (("log", 0.01, 1), "log:0.01:1")
    )
    assert drawn == written


@pytest.mark.parametrize("call", ["get", "resume", "cancel", "delete"])
def test_a_sweep_is_named_by_text(ws: workbench.Workspace, call: str) -> None:
    with pytest.raises(InvalidInputError, match="named by 5, expected its id or its name"):
        getattr(ws.sweeps, call)(5)
    with pytest.raises(NotFoundError, match="There is no sweep 'nope'"):
        getattr(ws.sweeps, call)("nope")


def test_completed_notebooks_stand_for_points_where_that_is_asked_for(
    place: Path, template: Path, tmp_path: Path
) -> None:
    with workbench.open(tmp_path / "ws", workers=2) as ws:
        sweep = ws.sweeps.run(template, {"x": [1]}, reuse="only")
        assert len(sweep.runs) == 0
        assert "reuse='only': no completed run of template 'double'" in sweep.rows()[0]["error"]
        with pytest.raises(NotFoundError, match="reuse='only'"):
            ws.run_template(template, {"x": 1}, reuse="only")
        first = ws.sweeps.run(template, {"x": [1]})
        assert ws.sweeps.run(template, {"x": [1]}).runs[0].reused_from is None
        (run,) = ws.sweeps.run(template, {"x": [1]}, reuse="only").runs
        assert run.reused_from is not None
        assert run.records == first.runs[0].records == {"double": 2.0}
        for wrong in (5, ""):
            with pytest.raises(InvalidInputError, match=f"write to is {wrong!r}, expected a path"):
                first.report(wrong)  # type: ignore[arg-type]
        assert ws.sweeps.resume(first.id).status == "COMPLETED"
        ws.sweeps.cancel(first.id)  # nothing is left to be ended


def test_a_device_that_an_algorithm_cannot_use_is_refused(ws: workbench.Workspace, place: Path) -> None:
    ws.algorithms.deploy(write_algorithm(place / "plain"), check=False)
    with pytest.raises(UnsupportedError, match="'tpu' is not known"):
        ws.sweeps.run("invert", inputs=[[[1.0]]], table=[{}], device="tpu")
    with pytest.raises(InvalidInputError, match="tags is 5"):
        ws.run("invert", [[1.0]], tags=5)  # type: ignore[arg-type]
    assert len(ws.sweeps.list()) == 0
