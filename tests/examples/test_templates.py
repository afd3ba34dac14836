"""The templates to begin with: declared without a warning, executed on real workspaces, and their records."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

import workbench
from workbench.batch import load_template
from workbench.errors import InvalidParameterError
from workbench.library.recorded import live, records_of, summary_of, thumbnail_of

ROOT = Path(__file__).parents[2] / "notebooks"
TEMPLATES = sorted((ROOT / "templates").glob("*.ipynb"))


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[workbench.Workspace]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("WORKBENCH_URL", str(tmp_path / "ws"))
    with workbench.open(tmp_path / "ws") as opened:
        yield opened


@pytest.fixture
def execute(tmp_path: Path) -> Callable[..., Any]:
    """Return a function that runs a template with parameters and returns its records."""

    def run(name: str, /, **parameters: Any) -> dict[str, Any]:
        template = load_template(ROOT / "templates" / f"{name}.ipynb")
        notebook = template.with_parameters(template.check(parameters))
        resources = {"metadata": {"path": str(tmp_path)}}
        return records_of(NotebookClient(notebook, timeout=120, resources=resources).execute())

    return run


def spots(folder: Path, count: int) -> None:
    """Write images of 1, 2, ... bright discs on a dark ground."""
    folder.mkdir()
    y, x = np.mgrid[:96, :128]
    for number in range(1, count + 1):
        image = np.full((96, 128), 20.0)
        for k in range(number):
            image[(x - 20 - 30 * k) ** 2 + (y - 48) ** 2 < 64] = 200
        Image.fromarray(image.astype("uint8")).save(folder / f"day-{number}.png")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_templates_declare_everything_they_take_and_keep_no_outputs(path: Path) -> None:
    template = load_template(path)
    assert template.warnings == ()
    assert template.description
    assert all(spec.description for spec in template.parameters.specs)
    assert {spec.name for spec in template.parameters.specs if spec.type == "any"} <= {"values"}
    nbformat.validate(template.notebook)
    assert [
        cell for cell in template.notebook.cells if cell.get("outputs") or cell.get("execution_count")
    ] == []


def test_there_are_three() -> None:
    assert [path.stem for path in TEMPLATES] == ["compare_settings", "measure_folder", "nightly_report"]


def test_a_folder_is_measured_and_what_cannot_be_read_is_left_out(
    ws: workbench.Workspace, execute: Callable[..., Any], tmp_path: Path
) -> None:
    pytest.importorskip("skimage")
    pandas = pytest.importorskip("pandas")
    ws.algorithms.deploy(ROOT / "algorithms" / "segment", check=False)
    spots(tmp_path / "images", 3)
    (tmp_path / "images" / "day-9.png").write_text("no picture")
    records = execute("measure_folder", options={"min_area": 10})
    assert (records["images"], records["failed"]) == (3, 1)
    assert records["mean objects"] == 2.0
    assert 0 < records["covered"] < 0.2
    table = live(records["table"])
    assert isinstance(table, pandas.DataFrame)
    assert table["objects"].tolist() == [1, 2, 3]
    assert summary_of(records["first output"]) == "96 x 128 int32"
    assert thumbnail_of(records["first output"]) is not None
    assert len(ws.runs.list(algorithm="segment")) == 3


def test_an_empty_folder_fails_with_what_to_change(
    ws: workbench.Workspace, execute: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(CellExecutionError, match="Change folder or pattern"):
        execute("measure_folder")


def test_settings_are_compared_on_one_image(
    ws: workbench.Workspace, execute: Callable[..., Any], tmp_path: Path
) -> None:
    pytest.importorskip("skimage")
    ws.algorithms.deploy(ROOT / "algorithms" / "denoise", check=False)
    image = np.random.default_rng(0).normal(100, 20, (64, 80)).astype(np.float32)
    ws.datasets.put({"image": image}, schema="ImageSchema", name="scan")
    records = execute(
        "compare_settings", image="scan", values=[0.5, 3.0], options={"method": "total variation"}
    )
    weak, strong = records["settings"]
    assert (weak["strength"], strong["strength"]) == (0.5, 3.0)
    assert strong["detail"] < weak["detail"] < records["detail of the original"]
    assert weak["changed"] < strong["changed"]
    with Image.open(io.BytesIO(live(records["comparison"]).png)) as sheet:
        assert sheet.width == 3 * 246
    with pytest.raises(InvalidParameterError, match="'image' has no value"):
        execute("compare_settings")


def test_the_nightly_report_tells_what_came_in_and_what_went_wrong(
    ws: workbench.Workspace, execute: Callable[..., Any], tmp_path: Path
) -> None:
    from algorithm_folders import generic, write_algorithm

    ws.datasets.put({"image": np.ones((20, 30), np.float32)}, name="scan", tags=["raw"])
    ws.datasets.put({"a": 1.0}, name="numbers")
    bad = generic("raise ValueError('the true error')")
    ws.algorithms.deploy(write_algorithm(tmp_path / "bad", "bad", bad, type="Generic"), check=False)
    ws.run("bad", echo=False)
    records = execute("nightly_report")
    assert (records["datasets"], records["runs"], records["went wrong"]) == (2, 1, 1)
    assert records["runs by status"] == {"FAILED": 1}
    [picture] = records["pictures"]
    assert picture["shape"] == [20, 30]
    assert execute("nightly_report", tag="raw", pictures=0)["datasets"] == 1
    assert "pictures" not in execute("nightly_report", name="numb*")
