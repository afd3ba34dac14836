"""Two runs side by side: what differs is shown, with the diff of the code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import GAIN, INVERT, write_algorithm
from click.testing import CliRunner

import workbench
from workbench.cli import main
from workbench.errors import NotFoundError


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws") as workspace:
        yield workspace


def names(found) -> set[tuple[str, str]]:
    return {(side.part, side.name) for side in found.differences}


def test_parameters_code_inputs_and_outputs_side_by_side(ws, tmp_path: Path) -> None:
    image = np.arange(16, dtype=np.float32).reshape(4, 4)
    first = ws.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN), check=False)
    a = ws.run(first, image, {"gain": 1.0})
    same = ws.run(first, image, {"gain": 1.0})
    assert names(ws.runs.compare(a, same)) == {("seed", "")}
    b = ws.run(first, image + 1, {"gain": 2.0})
    found = ws.runs.compare(a.id, b.id)
    assert {("parameter", "gain"), ("input", "0"), ("output", "0 image")} <= names(found)
    assert found.code == ""
    row = next(r for r in found.rows() if r["part"] == "parameter")
    assert (row[a.id], row[b.id]) == (1.0, 2.0)
    code = INVERT.replace("data.max() - data", "data.min() - data")
    second = ws.algorithms.deploy(write_algorithm(tmp_path / "invert", code=code, extra=GAIN), check=False)
    c = ws.run(second, image, {"gain": 1.0})
    found = ws.runs.compare(a, "last")
    assert ("run", "revision") in names(found)
    assert "-        out = data.max() - data" in found.code
    assert "+        out = data.min() - data" in repr(found)
    assert "data.min() - data" in found._repr_html_()
    done = CliRunner().invoke(main, ["-w", str(tmp_path / "ws"), "compare", a.id, c.id])
    assert done.exit_code == 0, done.output
    assert "data.min()" in done.output


def test_an_unknown_run_is_refused(ws) -> None:
    with pytest.raises(NotFoundError):
        ws.runs.compare("nothing", "nothing")
