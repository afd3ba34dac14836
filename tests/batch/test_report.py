"""The report of a sweep: what it shows, that it needs no network, and that it fits a phone."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from lab_browser import ARGUMENTS, chromium
from nbformat import v4
from PIL import Image

from workbench.batch.charts import chart
from workbench.batch.report import write_report
from workbench.errors import StorageError
from workbench.models import ErrorRecord, RunStatus


def png(width: int = 40, height: int = 30) -> str:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "navy").save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def executed(sigma: float, *, fails: bool = False) -> Any:
    outputs = [v4.new_output("stream", text="\x1b[31mred\x1b[0m\n")]
    if fails:
        trace = ["\x1b[31mValueError\x1b[0m", "----> 1 blur(image)"]
        outputs = [v4.new_output("error", ename="ValueError", evalue="too <wide>", traceback=trace)]
    cells = [
        v4.new_markdown_cell("# Blur\n\nOf *one* image"),
        v4.new_code_cell(f"sigma = {sigma}", metadata={"tags": ["injected-parameters"]}, execution_count=1),
        v4.new_code_cell("blur(image)  # <here>", outputs=outputs, execution_count=2),
    ]
    return v4.new_notebook(cells=cells)


def row(number: int, **changes: Any) -> dict[str, Any]:
    parameters = {"sigma": [0.5, 1.0, 2.0][number % 3], "radius": number // 3, "path": "<scan>.tif"}
    records = {
        "sharpness": parameters["sigma"] * 10 + number // 3,
        "note": "fine & good",
        "figure": {"$record": "figure", "png": png(), "width": 40, "height": 30},
    }
    made = {
        "id": f"run-{number}", "parameters": parameters, "status": RunStatus.COMPLETED, "seconds": 0.25 + number,
        "records": records, "error": None, "notebook": executed(parameters["sigma"]),
    }  # fmt: skip
    return made | changes


def index(rows: list[dict[str, Any]], tmp_path: Path, **options: Any) -> str:
    return Path(write_report(rows, tmp_path / "report", **options)).read_text()


def test_the_table_has_what_varies_what_was_recorded_status_and_time(tmp_path: Path) -> None:
    page = index([row(number) for number in range(6)], tmp_path, title="Blur & measure")
    assert "<h1>Blur &amp; measure</h1>" in page
    assert "The same in all runs: path = &lt;scan&gt;.tif" in page
    heads = re.findall(r"<th[^>]*><button[^>]*>(.*?)</button>", page)
    assert heads == ["run", "status", "sigma", "radius", "sharpness", "note", "figure", "time"]
    assert page.count("<tr data-status") == 6
    assert page.count('data-label="time" data-key="2.25">2.2 s<') == 1
    assert "fine &amp; good" in page
    assert page.count('alt="figure: figure 40 x 30"') == 6
    assert "● completed" in page


def test_each_notebook_is_a_page_of_its_own(tmp_path: Path) -> None:
    page = index([row(0), row(1, id="a/b c")], tmp_path)
    assert 'href="notebooks/run-0.html"' in page
    notebook = (tmp_path / "report" / "notebooks" / "a-b-c.html").read_text()
    assert 'href="../index.html"' in notebook
    assert "celltag_injected-parameters" in notebook
    assert "\x1b" not in notebook
    assert "&lt;here&gt;" in notebook


def test_an_error_names_its_cell_and_links_there(tmp_path: Path) -> None:
    notebook = executed(1.0, fails=True)
    page = index([row(0), row(1, status="FAILED", records={}, notebook=notebook)], tmp_path)
    anchor = f"notebooks/run-1.html#cell-id={notebook.cells[2].id}"
    assert f'href="{anchor}">cell 3</a>' in page
    assert f'id="cell-id={notebook.cells[2].id}"' in (tmp_path / "report/notebooks/run-1.html").read_text()
    assert "ValueError: too &lt;wide&gt;" in page
    assert "blur(image)  # &lt;here&gt;" in page
    assert '<span class="muted">sigma = 1, radius' not in page  # radius does not vary here
    assert page.count('class="error"') == 1


@pytest.mark.parametrize(
    "error",
    [
        "OSError: disk is gone\nTraceback: line 3",
        {"type": "OSError", "message": "disk is gone", "traceback": "Traceback: line 3"},
        ErrorRecord(type="OSError", message="disk is gone", traceback="Traceback: line 3"),
    ],
    ids=["text", "mapping", "record"],
)
def test_errors_of_runs_without_a_notebook_are_told_too(tmp_path: Path, error: Any) -> None:
    page = index([row(0, status="LOST", records=None, notebook=None, error=error, seconds=None)], tmp_path)
    assert "<b>OSError: disk is gone</b>" in page
    assert "Traceback: line 3" in page
    assert not (tmp_path / "report" / "notebooks").exists()


def test_notebooks_are_taken_from_files_and_urls(tmp_path: Path) -> None:
    import fsspec

    nbformat.write(executed(3.0), tmp_path / "a.ipynb")
    with fsspec.open("memory://report-test/b.ipynb", "w") as file:
        file.write(nbformat.writes(executed(4.0)))
    rows = [
        row(0, notebook=tmp_path / "a.ipynb"),
        row(1, notebook="memory://report-test/b.ipynb"),
        row(2, notebook=tmp_path / "gone.ipynb"),
    ]
    place = write_report(rows, "memory://report-test/out")
    assert place == "memory://report-test/out/index.html"
    system = fsspec.filesystem("memory")
    names = sorted(Path(name).name for name in system.ls("/report-test/out/notebooks", detail=False))
    assert names == ["run-0.html", "run-1.html"]


def test_no_page_asks_the_network_for_anything(tmp_path: Path) -> None:
    plot = '<div id="p"></div><script src="https://cdn.example.org/plot.js"></script><link rel="x" href="//a.b/c.css">'
    notebook = executed(1.0)
    notebook.cells[2].outputs.append(v4.new_output("display_data", data={"text/html": plot}))
    page = index([row(0, notebook=notebook)], tmp_path)
    for text in (page, (tmp_path / "report/notebooks/run-0.html").read_text()):
        assert re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", text) == []
        assert "@import" not in text


def test_numbers_make_axes_before_words_and_file_names_make_none(tmp_path: Path) -> None:
    rows = [
        row(k, parameters={"path": f"scan-{k}.tif", "method": "ab"[k % 2], "sigma": k // 2}, notebook=None)
        for k in range(20)
    ]
    page = index(rows, tmp_path)
    assert "<figcaption>sharpness <span>sigma x method</span>" in page


def test_no_runs_make_a_page_too(tmp_path: Path) -> None:
    assert "No runs." in index([], tmp_path)


def test_a_place_that_takes_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("a file")
    with pytest.raises(StorageError, match="cannot be written"):
        write_report([row(0)], tmp_path / "report")


# -- charts


def test_two_axes_are_a_heat_map_with_a_tile_per_point_and_holes_where_there_is_none() -> None:
    points = [({"a": a, "b": b}, a * 10.0 + b) for a in (1, 2, 3) for b in (1, 2) if (a, b) != (3, 2)]
    svg, said = chart(points, ["a", "b"])
    assert said == "a x b"
    assert svg.count("<title>") == 5
    assert svg.count('class="empty"') == 1
    assert "a = 2, b = 1: 21" in svg
    assert "rgb(68,1,84)" in svg
    assert "rgb(253,231,37)" in svg


def test_more_axes_are_averaged() -> None:
    points = [({"a": a, "b": b, "c": c}, float(c)) for a in (1, 2) for b in (1, 2) for c in (0, 10)]
    svg, said = chart(points, ["a", "b", "c"])
    assert said == "a x b, mean over c"
    assert svg.count(": 5</title>") == 4


def test_one_axis_of_numbers_is_a_curve_and_one_of_words_are_bars() -> None:
    svg, _ = chart([({"a": x}, math.sin(x)) for x in range(10)], ["a"])
    assert svg.count("<circle") == 10
    assert svg.count("<polyline") == 1
    svg, said = chart([({"m": m}, 1.0) for m in ("mean", "median", "mean")], ["m"])
    assert said == "mean per m"
    assert svg.count('class="bar"') == 2


def test_samples_that_make_no_grid_are_points_over_the_first_axis() -> None:
    svg, said = chart([({"a": x / 7, "b": x * 3.3}, float(x)) for x in range(40)], ["a", "b"])
    assert said == "over a"
    assert svg.count("<circle") == 40


@pytest.mark.parametrize(
    ("points", "axes"),
    [
        ([], ["a"]),
        ([({"a": 1}, 1.0)], ["a"]),
        ([({"a": 1}, 1.0), ({"a": 2}, math.nan)], ["a"]),
        ([({}, 1.0)] * 3, []),
    ],
)
def test_what_makes_no_picture_makes_none(points: Any, axes: list[str]) -> None:
    assert chart(points, axes) == ("", "")


def test_equal_values_do_not_divide_by_zero() -> None:
    assert chart([({"a": x}, 2.0) for x in range(3)], ["a"])[0].count("<circle") == 3
    assert chart([({"a": x, "b": y}, 2.0) for x in (1, 2) for y in (1, 2)], ["a", "b"])[0].count("<rect") == 4


# -- in a browser


@pytest.fixture
def browser() -> Iterator[Any]:
    path = chromium()
    if path is None:
        pytest.skip("Chromium is not installed here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.mark.browser
def test_the_page_fits_a_phone_sorts_and_filters(tmp_path: Path, browser: Any) -> None:
    rows = [row(number) for number in range(5)] + [
        row(5, status="FAILED", records={}, notebook=executed(2.0, fails=True))
    ]
    place = write_report(rows, tmp_path / "report")
    problems: list[str] = []
    for width, height in ((390, 844), (1200, 800)):
        page = browser.new_page(viewport={"width": width, "height": height})
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda request: problems.append(request.url) if request.url.startswith("http") else None,
        )
        page.goto(Path(place).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.get_by_role("button", name="1 failed").click()
        assert page.locator("table.runs tbody tr:visible").count() == 1
        page.get_by_role("button", name="1 failed").click()
        assert page.locator("table.runs tbody tr:visible").count() == 6
    page.get_by_role("button", name="time").click()
    page.get_by_role("button", name="time").click()
    assert "run-5" in page.locator("table.runs tbody tr").first.inner_text()
    page.get_by_role("link", name="cell 3").click()
    assert page.locator(".output_error").is_visible()
    assert problems == []
