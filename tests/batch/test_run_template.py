"""Notebooks on the run host: one run of a template, and sweeps over templates."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import numpy as np
import pandas
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from s3server import S3Server

import workbench
from workbench.errors import (
    InvalidInputError,
    InvalidParameterError,
    InvalidTemplateError,
    NotFoundError,
    RunTimeoutError,
    StorageError,
    UnsupportedError,
)

LARGE = "import numpy\nworkbench.record('large', numpy.full((300, 300), x))"
PARAMETERS = "x: float = 1.0  # How much, px, 0..100\nwords: str = 'none'\n"
CELLS = (
    "print('x is', x)",
    "import workbench\nworkbench.record('double', 2 * x)",
    "x * 2",
)


def write_template(path: Path, *cells: str, parameters: str = PARAMETERS) -> Path:
    first = new_code_cell(parameters)
    first.metadata.tags = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made = new_notebook(cells=[first, *map(new_code_cell, cells)], metadata={"kernelspec": kernel})
    nbformat.write(made, path)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("templates")


@pytest.fixture
def ws(place: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(place / "ws", workers=2, cancel_grace_s=3.0) as workspace:
        yield workspace


def until(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)


def test_a_template_is_run_and_kept_with_its_records(ws: workbench.Workspace, tmp_path: Path) -> None:
    run = ws.run_template(write_template(tmp_path / "double.ipynb", *CELLS), {"x": 4})
    assert run.status == "COMPLETED", run.error
    assert run.parameters == {"x": 4.0, "words": "none"}
    assert run.records == {"double": 8.0}
    assert "PRINT x is 4.0" in run.log
    notebook = run.notebook
    assert notebook.cells[1].metadata.tags == ["injected-parameters"]
    assert notebook.cells[-1].outputs[0].data["text/plain"] == "8.0"
    assert [r.id for r in ws.runs.list(algorithm=run.algorithm)] == [run.id]
    again = ws.runs.get(run.id)
    assert again.records == {"double": 8.0}
    ws.runs.delete(run.id)
    with pytest.raises(NotFoundError):
        ws.store.get("runs", f"{run.id}.ipynb")


@pytest.mark.parametrize(
    ("values", "message"),
    [({"x": "much"}, "x"), ({"x": 101}, "100"), ({"y": 1}, "y"), ({"words": 3}, "words")],
)
def test_wrong_parameters_are_refused_before_anything_starts(
    ws: workbench.Workspace, tmp_path: Path, values: dict[str, object], message: str
) -> None:
    before = len(ws.runs.list(limit=1000))
    with pytest.raises(InvalidParameterError, match=message):
        ws.run_template(write_template(tmp_path / "double.ipynb", *CELLS), values)
    assert len(ws.runs.list(limit=1000)) == before


def test_a_failing_cell_is_named_and_the_notebook_is_kept_so_far(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    run = ws.run_template(write_template(tmp_path / "bad.ipynb", "print('one')", "1 / 0", "print('three')"))
    assert run.status == "FAILED"
    assert run.record.error is not None
    assert (run.record.error.type, run.record.error.phase) == ("ZeroDivisionError", "cell 4")
    assert [len(cell.outputs) for cell in run.notebook.cells] == [0, 0, 1, 1, 0]


def test_a_cell_that_never_ends_is_ended(ws: workbench.Workspace, tmp_path: Path) -> None:
    template = write_template(tmp_path / "long.ipynb", "print('one')", "import time\ntime.sleep(600)")
    run = ws.run_template(template, timeout_s=8.0)
    with pytest.raises(RunTimeoutError):
        run.result()
    assert run.notebook.cells[2].outputs[0].text == "one\n"
    cancelled = ws.run_template(template, wait=False)
    until(lambda: "PRINT one" in cancelled.log, "the first cell")
    assert cancelled.cancel().wait(20).status == "CANCELLED"
    assert cancelled.notebook.cells[2].outputs[0].text == "one\n"


def test_an_interpreter_that_crashes_ends_one_run_and_no_other(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    crash = "import ctypes\nif x > 1: ctypes.string_at(0)"
    template = write_template(tmp_path / "crash.ipynb", "print('so far')", crash, "x")
    sweep = ws.sweeps.run(template, {"x": [0, 2, 1]})
    assert [run.status for run in sweep.runs] == ["COMPLETED", "LOST", "COMPLETED"]
    lost = sweep.runs[1]
    assert "SIGSEGV" in str(lost.error)
    assert lost.record.error is not None
    assert lost.record.error.traceback.startswith("Fatal Python error: Segmentation fault")
    assert "<this cell or an earlier one>, line 2 in <module>" in lost.record.error.traceback
    assert "interactiveshell" not in lost.log
    cells = lost.notebook.cells
    assert cells[2].outputs[0].text == "so far\n"
    assert cells[3].outputs[0].ename == "ProcessGone"
    page = Path(sweep.report(tmp_path / "report")).read_text()
    assert ">cell 4</a>" in page
    assert "if x &gt; 1: ctypes.string_at(0)" in page
    assert "Fatal Python error: Segmentation fault" in page


def test_a_template_of_the_workspace_is_swept_by_its_name(ws: workbench.Workspace, tmp_path: Path) -> None:
    ws.templates.put(write_template(tmp_path / "double.ipynb", *CELLS), "twice")
    sweep = ws.sweeps.run("twice", {"x": [1, 2]})
    assert [row["double"] for row in sweep.rows()] == [2.0, 4.0], sweep.rows()
    assert ws.sweeps.get(sweep.id).resume().counts == {"COMPLETED": 2}
    with pytest.raises(NotFoundError, match="no algorithm 'thrice'"):
        ws.sweeps.run("thrice", {"x": [1]})


def test_recorded_figures_and_arrays_are_thumbnails_or_a_few_words_in_tables(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    cell = """
import numpy, workbench
from matplotlib.figure import Figure
workbench.record("picture", Figure(figsize=(2, 1)))
workbench.record("values", numpy.ones((300, 300)))
workbench.record("huge", float("inf"))
"""
    sweep = ws.sweeps.run(write_template(tmp_path / "records.ipynb", cell), {"x": [0, 1]})
    assert sweep.counts == {"COMPLETED": 2}, sweep.rows()
    assert max(map(len, str(sweep).splitlines())) < 250
    assert "300 x 300 float64" in str(sweep)
    assert sweep._repr_html_().count("<img alt=") == 4
    with sweep.to_csv(tmp_path / "table.csv").open() as file:
        row = next(csv.DictReader(file))
    run = sweep.runs[0]
    assert row["picture"].startswith("figure ")
    assert row["picture"].endswith(f", runs/{run.id}.ipynb")
    assert (row["values"], row["huge"]) == (f"300 x 300 float64, dataset {run.datasets[0].id}", "inf")
    back = pandas.read_parquet(sweep.to_parquet(tmp_path / "table.parquet"))
    assert back["values"][0] == row["values"]


def test_a_table_has_what_was_recorded_as_it_was(ws: workbench.Workspace, tmp_path: Path) -> None:
    cell = """
import numpy, pandas, workbench
from PIL import Image
workbench.record("picture", Image.new("RGB", (40, 20), "teal"))
workbench.record("line", numpy.arange(4) * x)
workbench.record("stack", numpy.full((4, 80, 80), x))
workbench.record("cells", pandas.DataFrame({"area": [x, 2.5]}))
workbench.record("seen", Image.new("L", (8, 8)), append=True)
if x < 2: workbench.record("<b>", "a < b")
"""
    sweep = ws.sweeps.run(write_template(tmp_path / "values.ipynb", cell), {"x": [1, 2]})
    table = sweep.table()
    assert isinstance(table, pandas.DataFrame)
    np.testing.assert_array_equal(table["line"][1], [0.0, 2.0, 4.0, 6.0])
    assert table["stack"][1].shape == (4, 80, 80)
    assert table["stack"][1].max() == 2.0
    assert table["cells"][0]["area"].tolist() == [1.0, 2.5]
    picture = table["picture"][0]
    assert (picture.width, picture.height, str(picture)) == (40, 20, "figure 40 x 20")
    assert picture._repr_png_()[:4] == b"\x89PNG"
    assert picture.save(tmp_path / "one.png").read_bytes() == picture.png
    with pytest.raises(InvalidInputError, match=r"\.png"):
        picture.save(tmp_path / "one.jpg")
    with pytest.raises(InvalidInputError, match="no folder"):
        picture.save(tmp_path / "none" / "one.png")
    np.testing.assert_array_equal(sweep.runs[0].records["line"], table["line"][0])
    shown = table._repr_html_()
    assert shown.count("<img ") == 8  # two each of picture, line, stack, seen
    assert "2 rows x 1 column</span>" in shown
    assert "<b>" not in shown
    assert "a &lt; b" in shown
    assert table[table.x > 1]._repr_html_().count("<img ") == 4
    long = pandas.concat([table] * 60)
    assert long._repr_html_().count("<img ") == 40  # as many rows as pandas shows
    assert "120 rows" in long._repr_html_()
    ws.datasets.delete(sweep.runs[0].datasets[0].id)
    assert sweep.table()["stack"][0].endswith(", deleted")


BAD = """
if how == "exits": exit()
if how == "never ends":
    while True: pass
if how == "hears nothing":
    while True:
        try:
            while True: pass
        except KeyboardInterrupt: pass
if how == "writes nowhere": open(f"{folder}/file/table.csv", "w")
if how == "crashes": import crashes_at_import
if how == "ends the process":
    import os
    os._exit(3)
"""


def test_each_bad_notebook_has_its_own_result_and_the_others_go_on(
    ws: workbench.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crashes_at_import.py").write_text("import os\nos.kill(os.getpid(), 11)\n")
    (tmp_path / "file").touch()
    expected = {
        "is fine": "",
        "exits": "ExitError: Cell 3 called exit() with 1 cells still to run",
        "never ends": "TimeoutError: ",
        "hears nothing": "TimeoutError: ",
        "writes nowhere": "NotADirectoryError",
        "crashes": "signal 11 (SIGSEGV)",
        "ends the process": "ended itself with exit code 3",
        "is fine too": "",
    }
    parameters = f"how: str = ''\nfolder: str = {str(tmp_path)!r}"
    template = write_template(tmp_path / "bad.ipynb", BAD, "how", parameters=parameters)
    sweep = ws.sweeps.run(template, {"how": list(expected)}, timeout_s=4.0)
    for row in sweep.rows():
        assert expected[row["how"]] in row["error"], row
        assert (row["status"] == "COMPLETED") == (not expected[row["how"]]), row
    assert sweep.counts == {"COMPLETED": 2, "FAILED": 4, "LOST": 2}
    lost = [run.record.error for run in sweep.runs if run.status == "LOST"]
    assert [error and error.phase for error in lost] == ["cell 3 of 4", "cell 3 of 4"]
    assert all(error and "at cell 3 of 4" in error.message for error in lost)
    page = Path(sweep.report(tmp_path / "report")).read_text()
    assert "SIGSEGV" in page
    with pytest.raises(StorageError, match="cannot be written"):
        sweep.report(tmp_path / "file" / "report")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"cells": [', "breaks off"),
        ('{"cells": [{"a": 1}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "no valid"),
    ],
)
def test_a_file_that_is_no_notebook_is_refused(
    ws: workbench.Workspace, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "bad.ipynb").write_text(text)
    with pytest.raises(InvalidTemplateError, match=message):
        ws.sweeps.run(tmp_path / "bad.ipynb", {"x": [1, 2]})


def test_a_notebook_that_cannot_take_its_parameters_is_refused(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    bare = write_template(tmp_path / "bare.ipynb", "1")
    notebook = nbformat.read(bare, 4)
    notebook.cells[0].metadata.tags = []
    nbformat.write(notebook, bare)
    with pytest.raises(InvalidTemplateError, match="no cell tagged 'parameters'"):
        ws.sweeps.run(bare, {"x": [1, 2]})
    twice = write_template(tmp_path / "twice.ipynb", "x", parameters="x = 1\nx = 2\n")
    with pytest.raises(InvalidTemplateError, match="assigned twice, in lines 1 and 2"):
        ws.sweeps.run(twice, {"x": [1, 2]})
    other = write_template(tmp_path / "other.ipynb", "x")
    notebook = nbformat.read(other, 4)
    notebook.metadata.kernelspec.name = "pythom3"
    nbformat.write(notebook, other)
    with pytest.raises(UnsupportedError, match="Did you mean 'python3'"):
        ws.sweeps.run(other, {"x": [1, 2]})
    with pytest.raises(InvalidInputError, match=r"grid=\{'path'"):
        ws.sweeps.run(write_template(tmp_path / "fine.ipynb", "x"), inputs=["a.tif"], each_input=True)


def test_a_notebook_with_widgets_gets_a_kernel(ws: workbench.Workspace, tmp_path: Path) -> None:
    cells = ("import ipywidgets\nslider = ipywidgets.IntSlider(3)\nslider", "slider.value")
    run = ws.run_template(write_template(tmp_path / "widgets.ipynb", *cells))
    assert run.status == "COMPLETED", run.error
    assert run.notebook.cells[-1].outputs[0].data["text/plain"] == "3"
    assert "Run again in a kernel" in run.log


def test_notebooks_do_not_see_each_other(ws: workbench.Workspace, tmp_path: Path) -> None:
    cell = (
        "import os, random, json, math\n"
        "seen = ['leaked' in globals(), os.environ.get('LEAK'), hasattr(math, 'leak'), os.getcwd() == '/']\n"
        "leaked = True; os.environ['LEAK'] = '1'; math.leak = 1; os.chdir('/')\n"
        "import numpy as np, workbench\n"
        "workbench.record('seen', json.dumps(seen))\n"
        "workbench.record('drawn', [random.random(), float(np.random.rand())])"
    )
    sweep = ws.sweeps.run(write_template(tmp_path / "leak.ipynb", cell), {"x": list(range(12))})
    assert {run.records["seen"] for run in sweep.runs} == {"[false, null, false, false]"}
    drawn = [number for run in sweep.runs for number in run.records["drawn"]]
    assert len(set(drawn)) == len(drawn)


def test_a_sweep_over_a_template_gives_one_table(ws: workbench.Workspace, tmp_path: Path) -> None:
    sweep = ws.sweeps.run(
        write_template(tmp_path / "double.ipynb", *CELLS), {"x": [1, 2, 3]}, fixed={"words": "some"}
    )
    rows = sweep.rows()
    assert [(row["x"], row["double"]) for row in rows] == [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)]
    assert ws.sweeps.get(sweep.id).resume().status == "COMPLETED"
    assert len(ws.runs.list(sweep=sweep.id)) == 3


def test_a_sweep_writes_its_report(ws: workbench.Workspace, tmp_path: Path) -> None:
    cells = ("assert x < 3, 'too much'", *CELLS)
    sweep = ws.sweeps.run(write_template(tmp_path / "some.ipynb", *cells), {"x": [1, 2, 3]}, name="mine")
    page = Path(sweep.report(tmp_path / "report"))
    text = page.read_text()
    assert "mine" in text
    assert "too much" in text
    assert all(run.id in text for run in sweep.runs)
    assert len(list((tmp_path / "report" / "notebooks").glob("*.html"))) == 3


def test_the_same_notebook_with_the_same_parameters_can_be_used_again(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    template = write_template(tmp_path / "again.ipynb", *CELLS)
    first = ws.run_template(template, {"x": 7})
    assert ws.run_template(template, {"x": 7}).reused_from is None
    second = ws.run_template(template, {"x": 7}, reuse="auto")
    assert second.reused_from is not None
    assert second.records == first.records
    assert second.notebook.cells[-1].outputs == first.notebook.cells[-1].outputs


def test_a_large_record_is_a_dataset_that_the_run_has_put_out(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    cell = "import numpy as np, workbench\nworkbench.record('stack', np.ones((40, 64, 64)) * x)"
    run = ws.run_template(write_template(tmp_path / "large.ipynb", cell), {"x": 3})
    assert run.status == "COMPLETED", run.error
    (dataset,) = run.datasets
    assert dataset.record.run_id == run.id
    assert dataset.array.shape == (40, 64, 64)
    assert dataset.array.max() == 3.0


def test_a_notebook_is_never_run_in_this_kernel(ws: workbench.Workspace, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="executor='process'"):
        ws.run_template(write_template(tmp_path / "double.ipynb", *CELLS), executor="kernel")


def test_templates_and_their_runs_may_live_in_s3(s3: S3Server, tmp_path: Path) -> None:
    template = write_template(tmp_path / "double.ipynb", *CELLS, LARGE)
    options = {"storage_options": s3.storage_options, "catalog": f"sqlite:///{tmp_path / 'catalog.db'}"}
    with workbench.open(s3.new_url(), workers=2, **options) as ws:
        ws.templates.put(template, "twice")
        sweep = ws.sweeps.run("twice", {"x": [1, 2]}, timeout_s=120)
        assert sweep.counts == {"COMPLETED": 2}, sweep.rows()
        table = sweep.table()
        assert table["double"].tolist() == [2.0, 4.0]
        assert table["large"][1].max() == 2.0
        assert sweep.runs[1].notebook.cells[-2].outputs[0].data["text/plain"] == "4.0"


def test_what_a_notebook_reads_is_what_its_run_was_made_from(ws: workbench.Workspace, tmp_path: Path) -> None:
    scan = ws.datasets.put({"data": np.arange(4.0)}, name="scan")
    other = ws.datasets.put({"data": np.zeros(3)})
    made = write_template(
        tmp_path / "reads.ipynb",
        "import workbench\nws = workbench.open()\nvalues = ws.datasets.get(words)['data']",
        "new = ws.datasets.put({'data': values + 1})\nws.datasets.get(new.id)",
        f"with ws.datasets.open({other.id!r}) as f: f['data'][0]",
    )
    run = ws.run_template(made, {"words": "scan"}).wait(60)
    assert run.status == "COMPLETED", run.error
    assert run.record.inputs == (scan.id, other.id)
    assert run.id in repr(scan.lineage())
