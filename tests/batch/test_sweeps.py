"""Sweeps through a real run host: what they give, how they end, how they go on."""

from __future__ import annotations

import csv
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from algorithm_folders import GAIN, INVERT, write_algorithm
from notebook_runs import wait_until
from sweep_algorithms import write_scale

import workbench
from workbench.algorithms.parameters import Parameters
from workbench.batch.sweep import SweepEvent
from workbench.batch.sweep_table import write_parquet
from workbench.batch.sweeps import Sweeps
from workbench.errors import (
    ConflictError,
    InvalidInputError,
    InvalidParameterError,
    MissingPackageError,
    NotFoundError,
    UnsupportedError,
)
from workbench.execution.reuse import Reuse
from workbench.models import ParameterSpec

GAINS = """
    [[tool.workbench.parameters]]
    name = "gain"
    type = "float"
    default = 1.0
    [[tool.workbench.parameters]]
    name = "offset"
    type = "float"
    default = 0.0
    [[tool.workbench.parameters]]
    name = "extra"
    type = "float"
    optional = true
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sweeps")


@pytest.fixture
def ws(place: Path) -> Iterator[workbench.Workspace]:
    """One workspace, and so one host, for all tests of this module; each opens it anew, as a kernel does."""
    with workbench.open(place / "ws", cancel_grace_s=2.0, workers=2) as workspace:
        workspace.algorithms.deploy(write_scale(place / "scale"), check=False)
        yield workspace


def marks(path: Path) -> list[float]:
    return [float(line) for line in path.read_text().split()] if path.exists() else []


def test_grid_over_an_algorithm_gives_a_row_for_each_point(ws: workbench.Workspace) -> None:
    sweep = ws.sweeps.run("scale@1", {"x": [1, 2, 3]}, fixed={"ms": 1}, reuse="never", name="first")
    assert sweep.status == "COMPLETED", sweep.rows()
    assert (sweep.progress, sweep.eta_s, sweep.counts) == (1.0, None, {"COMPLETED": 3})
    frame = sweep.table()
    assert list(frame["x"]) == [1.0, 2.0, 3.0]
    assert list(frame["data"]) == [2.0, 4.0, 6.0]
    assert set(frame["status"]) == {"COMPLETED"}
    assert set(frame["ms"]) == {1}
    assert (frame["seconds"] > 0).all()
    assert [run.id for run in sweep.runs] == list(frame["run"])
    assert [run.record.point for run in sweep.runs] == [0, 1, 2]
    listed = ws.runs.list(sweep=sweep.id)
    assert {run.id for run in listed} == set(frame["run"])
    assert ws.sweeps.get("first").id == sweep.id
    assert ws.sweeps.get("last").id == sweep.id


def test_a_sweep_shows_itself_with_what_varies(ws: workbench.Workspace) -> None:
    sweep = ws.sweeps.run("scale", {"x": [1, 2, 2]}, reuse="never")
    assert "3 of 3 completed" in repr(sweep)
    assert "1 of 3 points are the same as an earlier one" in repr(sweep)
    page = sweep._repr_html_()
    assert 'role="progressbar"' in page
    assert "<th" in page
    assert "fails_at" not in page
    assert sweep.id in repr(ws.sweeps.list())


def test_inputs_are_stored_once_for_all_points(ws: workbench.Workspace, place: Path) -> None:
    ws.algorithms.deploy(write_algorithm(place / "invert", extra=GAIN), check=False)
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    before = len(list(ws.datasets.records()))
    sweep = ws.sweeps.run("invert", {"gain": [1, 2]}, inputs=[image], reuse="never")
    (dataset,) = {run.inputs[0].id for run in sweep.runs}
    assert sweep.record.inputs == (dataset,)
    assert len(list(ws.datasets.records())) == before + 3
    np.testing.assert_array_equal(sweep.runs[1].result(), (11 - image) * 2)


def test_wrong_points_are_refused_before_anything_is_kept(ws: workbench.Workspace) -> None:
    before = ws.sweeps.names(), len(ws.runs.names(1000))
    with pytest.raises(InvalidParameterError, match="point 1: Parameter 'x' is -200"):
        ws.sweeps.run("scale", {"x": [1, -200]})
    with pytest.raises(InvalidParameterError, match=r"'xx' is not known.*Did you mean 'x'"):
        ws.sweeps.run("scale", {"xx": [1]})
    with pytest.raises(NotFoundError):
        ws.sweeps.run("scall", {"x": [1]})
    for wrong in ({"jobs": 0}, {"timeout_s": -1}, {"retries": -1}, {"reuse": "perhaps"}, {"name": "a b"}):
        with pytest.raises(InvalidInputError):
            ws.sweeps.run("scale", {"x": [1]}, **wrong)
    assert (ws.sweeps.names(), len(ws.runs.names(1000))) == before


def test_a_failing_point_costs_the_others_nothing(ws: workbench.Workspace) -> None:
    sweep = ws.sweeps.run("scale", {"x": [1, 2, 3, 4]}, fixed={"fails_at": 2}, reuse="never")
    assert sweep.status == "FAILED"
    assert sweep.counts == {"COMPLETED": 3, "FAILED": 1}
    rows = sweep.rows()
    assert [row["error"] for row in rows] == ["", "ValueError: x is 2", "", ""]
    assert [row["data"] for row in rows] == [2.0, None, 6.0, 8.0]
    assert [run.record.point for run in sweep.failed] == [1]


def test_fail_fast_ends_the_others(ws: workbench.Workspace) -> None:
    points = {"x": list(range(60))}
    sweep = ws.sweeps.run("scale", points, fixed={"fails_at": 3, "ms": 20}, fail_fast=True, reuse="never")
    assert sweep.status == "FAILED"
    assert sweep.counts["FAILED"] == 1
    # what was not given away yet when it failed has no run
    assert sweep.counts["CANCELLED"] + sweep.counts.get("MISSING", 0) > 40
    sweep.resume(jobs=2)  # ends at the same point again
    assert sweep.counts["FAILED"] == 1


def test_completed_runs_stand_for_equal_points(ws: workbench.Workspace, tmp_path: Path) -> None:
    fixed = {"marks": str(tmp_path / "marks")}
    first = ws.sweeps.run("scale", {"x": [1, 2]}, fixed=fixed)
    second = ws.sweeps.run("scale", {"x": [1, 2, 3]}, fixed=fixed)
    assert sorted(marks(tmp_path / "marks")) == [1.0, 2.0, 3.0]
    assert [run.reused_from for run in second.runs] == [*(run.id for run in first.runs), None]
    assert [row["data"] for row in second.rows()] == [2.0, 4.0, 6.0]
    only = ws.sweeps.run("scale", {"x": [3, 4]}, fixed=fixed, reuse="only")
    assert only.counts == {"COMPLETED": 1, "FAILED": 1}
    assert "reuse='only'" in only.point(1).error
    assert len(marks(tmp_path / "marks")) == 3


def test_no_more_than_its_jobs_run_at_once_and_a_single_run_passes(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    fixed = {"gate": str(gate), "marks": str(tmp_path / "marks")}
    sweep = ws.sweeps.run("scale", {"x": range(1, 6)}, fixed=fixed, jobs=1, wait=False, reuse="never")
    single = ws.run("scale", parameters={"x": 50}, executor="process")
    assert single.status == "COMPLETED"
    assert len(marks(tmp_path / "marks")) <= 1
    assert sweep.status == "RUNNING"
    gate.unlink()
    assert sweep.wait(30).status == "COMPLETED"
    assert marks(tmp_path / "marks") == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_points_that_wait_are_counted_where_sweeps_are_listed(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    sweep = ws.sweeps.run(
        "scale", {"x": range(6)}, fixed={"gate": str(gate)}, jobs=1, wait=False, reuse="never"
    )
    with workbench.open(ws.url, workers=2) as other:
        wait_until(lambda: len(other.runs.list(sweep=sweep.id, status=["STARTED", "RUNNING"])) == 1)
        last = sweep.record.points[5].run
        with pytest.raises(NotFoundError, match="waits for its turn"):
            other.runs.get(last)
        (row,) = [row for row in other.sweeps.list().rows() if row["id"] == sweep.id]
        assert (row["points"], row["waiting"], row["completed"]) == (6, 5, 0)
        assert [run.id for run in other.sweeps.get(sweep.id).runs] == [p.run for p in sweep.record.points]
        assert other.runs.get(last).status == "PENDING"  # it is known where its sweep is
        assert len(other.runs.list(sweep=sweep.id)) == 1
    gate.unlink()
    assert sweep.wait(60).counts == {"COMPLETED": 6}
    assert len(ws.runs.list(sweep=sweep.id)) == 6


def test_cancel_ends_what_runs_and_what_waits_and_keeps_what_is_done(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    table = [{"x": 1}, *({"x": x, "gate": str(gate)} for x in range(2, 30))]
    fixed = {"marks": str(tmp_path / "marks")}
    begun = threading.Event()
    sweep = ws.sweeps.run(
        "scale",
        table=table,
        fixed=fixed,
        wait=False,
        reuse="never",
        on_event=lambda event: begun.set() if event.status == "COMPLETED" else None,
    )
    assert begun.wait(30)
    assert sweep.cancel().wait(30).status == "CANCELLED"
    assert sweep.counts == {"COMPLETED": 1, "CANCELLED": 28}
    assert len(marks(tmp_path / "marks")) <= 3
    gate.unlink()
    sweep.resume()
    assert sweep.status == "COMPLETED"
    assert marks(tmp_path / "marks").count(1.0) == 1


def test_events_come_in_the_waiting_thread_and_end_with_the_end(ws: workbench.Workspace) -> None:
    heard: list[tuple[SweepEvent, int]] = []
    ws.sweeps.run(
        "scale", {"x": [1, 2, 3]}, reuse="never", on_event=lambda e: heard.append((e, threading.get_ident()))
    )
    assert {thread for _, thread in heard} == {threading.get_ident()}
    assert sorted(e.point for e, _ in heard if e.status == "COMPLETED") == [0, 1, 2]
    assert [e.kind for e, _ in heard].index("end") == len(heard) - 1
    assert heard[-1][0].progress == 1.0


def test_an_interrupt_of_who_waits_ends_the_sweep(ws: workbench.Workspace) -> None:
    def interrupt(event: SweepEvent) -> None:
        if event.status == "COMPLETED":
            raise KeyboardInterrupt

    points = {"x": range(200)}
    with pytest.raises(KeyboardInterrupt):
        ws.sweeps.run("scale", points, fixed={"ms": 20}, reuse="never", on_event=interrupt)
    sweep = ws.sweeps.get(ws.sweeps.names()[0])
    assert sweep.status == "CANCELLED"
    assert sweep.counts["CANCELLED"] > 100


def test_a_run_that_only_the_store_knows_counts_as_done(ws: workbench.Workspace) -> None:
    sweep = ws.sweeps.run("scale", {"x": [1, 2]}, reuse="never")
    run_id = sweep.record.points[1].run
    ws.runs.record(run_id)  # filed
    ws.catalog.delete_runs([run_id])  # as after a kill between the two
    again = ws.sweeps.get(sweep.id)
    assert again.status == "COMPLETED"
    assert ws.runs.get(run_id).record.point == 1


def test_time_to_come_is_learned_from_the_points(ws: workbench.Workspace, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    table = [{"x": 1, "ms": 200}, {"x": 2, "ms": 200}, *({"x": x, "gate": str(gate)} for x in range(3, 7))]
    two = threading.Semaphore(0)
    sweep = ws.sweeps.run(
        "scale",
        table=table,
        wait=False,
        reuse="never",
        on_event=lambda event: two.release() if event.status == "COMPLETED" else None,
    )
    assert two.acquire(timeout=30)
    assert two.acquire(timeout=30)
    assert sweep.eta_s == pytest.approx(0.2 * 4 / 2, rel=0.8)
    assert 0.3 <= sweep.progress < 0.5
    gate.unlink()
    sweep.wait(30)


def test_another_kernel_follows_cancels_and_resumes(ws: workbench.Workspace, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    sweep = ws.sweeps.run("scale", {"x": range(8)}, fixed={"gate": str(gate)}, wait=False, reuse="never")
    with workbench.open(ws.url, cancel_grace_s=2.0, workers=2) as other:
        same = other.sweeps.get(sweep.id)
        assert same.status == "RUNNING"
        gate.unlink()
        assert same.wait(30).status == "COMPLETED"
        assert sweep.wait(30).status == "COMPLETED"
        assert [row["run"] for row in same.rows()] == [row["run"] for row in sweep.rows()]
        assert same.resume().record == sweep.record  # nothing was missing


def test_resume_does_failed_points_again_and_no_others(ws: workbench.Workspace, tmp_path: Path) -> None:
    fixed = {"marks": str(tmp_path / "marks"), "fails_at": 2}
    sweep = ws.sweeps.run("scale", {"x": [1, 2, 3]}, fixed=fixed, reuse="never")
    before = [row["run"] for row in sweep.rows()]
    sweep.resume(jobs=1)
    after = [row["run"] for row in sweep.rows()]
    assert marks(tmp_path / "marks").count(2.0) == 2
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]
    assert len(ws.runs.list(sweep=sweep.id)) == 4


def test_resume_computes_what_has_changed_and_only_that(place: Path, tmp_path: Path) -> None:
    with workbench.open(tmp_path / "ws", workers=2) as ws:
        ws.algorithms.deploy(write_scale(tmp_path / "scale"), check=False)
        fixed = {"marks": str(tmp_path / "marks")}
        sweep = ws.sweeps.run("scale", {"x": [1, 2]}, fixed=fixed)
        # other comments are another revision of the same code
        code = tmp_path / "scale" / "Runner.py"
        code.write_text("# a comment\n" + code.read_text())
        ws.algorithms.deploy(tmp_path / "scale", check=False)
        sweep.resume()
        assert len(marks(tmp_path / "marks")) == 2
        ws.algorithms.deploy(write_scale(tmp_path / "scale", factor=3), check=False)
        again = ws.sweeps.get(sweep.id).resume()
        assert len(marks(tmp_path / "marks")) == 4
        assert [row["data"] for row in again.rows()] == [3.0, 6.0]
        ws.sweeps.get(sweep.id).resume()
        assert len(marks(tmp_path / "marks")) == 4


def test_csv_holds_the_whole_table(ws: workbench.Workspace, tmp_path: Path) -> None:
    sweep = ws.sweeps.run("scale", {"x": [1, 2]})
    with sweep.to_csv(tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["x"], row["data"], row["status"]) for row in rows] == [
        ("1.0", "2.0", "COMPLETED"),
        ("2.0", "4.0", "COMPLETED"),
    ]
    with pytest.raises(InvalidInputError, match="no folder"):
        sweep.to_csv(tmp_path / "none" / "table.csv")


def test_parquet_without_pyarrow_names_the_package(
    ws: workbench.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = ws.sweeps.run("scale", {"x": [1, 2]})
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    with pytest.raises(MissingPackageError, match="pip install pyarrow"):
        sweep.to_parquet(tmp_path / "table.parquet")
    assert not (tmp_path / "table.parquet").exists()


def test_parquet_keeps_numbers_texts_lists_and_what_failed(ws: workbench.Workspace, tmp_path: Path) -> None:
    sweep = ws.sweeps.run("scale", {"x": [1, 2, 3]}, fixed={"fails_at": 2}, reuse="never")
    table = pd.read_parquet(sweep.to_parquet(tmp_path / "table.parquet"))
    assert list(table["x"]) == [1.0, 2.0, 3.0]
    assert table["data"].isna().tolist() == [False, True, False]
    assert list(table["status"]) == ["COMPLETED", "FAILED", "COMPLETED"]
    assert list(table["run"]) == [row["run"] for row in sweep.rows()]
    with pytest.raises(InvalidInputError, match="no folder"):
        sweep.to_parquet(tmp_path / "none" / "table.parquet")
    # what notebooks record may be anything, another thing at each point, or nothing at all
    mixed = [{"a": {}, "b": [1, 2], "c": 1, "d": None}, {"a": {"k": [1]}, "b": "text", "c": "two", "d": None}]
    back = pd.read_parquet(write_parquet(mixed, tmp_path / "mixed.parquet"))
    assert list(back["a"]) == ["{}", '{"k": [1]}']
    assert list(back["b"]) == ["[1, 2]", "text"]
    assert list(back["c"]) == ["1", "two"]


def test_a_folder_is_swept_without_being_deployed(ws: workbench.Workspace, place: Path) -> None:
    sweep = ws.sweeps.run(str(place / "scale"), {"x": [1, 2]})
    assert [row["data"] for row in sweep.rows()] == [2.0, 4.0]
    assert sweep.record.label == str(place / "scale")


def test_a_workspace_in_memory_sweeps_in_the_kernel(place: Path, memory_url: str) -> None:
    with workbench.open(memory_url) as ws:
        ws.algorithms.deploy(write_scale(place / "scale"), check=False)
        sweep = ws.sweeps.run("scale", {"x": [1, 2, 3]}, fixed={"fails_at": 2})
        assert sweep.record.executor == "kernel"
        assert sweep.counts == {"COMPLETED": 2, "FAILED": 1}
        fast = ws.sweeps.run(
            "scale", {"x": [1, 2, 3, 4]}, fixed={"fails_at": 1}, fail_fast=True, reuse="never"
        )
        assert fast.counts["FAILED"] == 1
        assert "COMPLETED" not in fast.counts
        with pytest.raises(UnsupportedError, match="Open a folder"):
            ws.sweeps.run("scale", {"x": [1]}, executor="process")


def test_sweeps_are_listed_in_pages_and_deleted(ws: workbench.Workspace, tmp_path: Path) -> None:
    made = [ws.sweeps.run("scale", {"x": [n]}) for n in range(3)]
    page = ws.sweeps.list(limit=2)
    assert [s.id for s in page] == [made[2].id, made[1].id]
    assert page.next()[0].id == made[0].id
    gate = tmp_path / "gate"
    gate.touch()
    busy = ws.sweeps.run("scale", {"x": [1]}, fixed={"gate": str(gate)}, wait=False, reuse="never")
    with pytest.raises(ConflictError, match="goes on"):
        ws.sweeps.delete(busy.id)
    gate.unlink()
    busy.wait(30)
    ws.sweeps.delete(busy.id, runs=True)
    with pytest.raises(NotFoundError):
        ws.sweeps.get(busy.id)
    with pytest.raises(NotFoundError):
        ws.runs.get(busy.record.points[0].run)


def test_runs_keep_their_sweep_through_a_reindex(ws: workbench.Workspace) -> None:
    sweep = ws.sweeps.run("scale", {"x": [5, 6]}, reuse="never")
    ws.reindex()
    assert [run.record.point for run in ws.runs.list(sweep=sweep.id, order="created")] == [0, 1]
    assert ws.sweeps.get(sweep.id).status == "COMPLETED"


@dataclass
class FakeTemplate:
    """A notebook as sweeps know it."""

    digest: str = "d1"
    source: str = "fake.ipynb"
    name: str = "fake"
    notebook: nbformat.NotebookNode = field(default_factory=nbformat.v4.new_notebook)
    parameters: Parameters = field(
        default_factory=lambda: Parameters([ParameterSpec(name="x", type="float", default=0.0)], "fake")
    )

    def check(self, values: Any) -> dict[str, Any]:
        return self.parameters.validate(values)


def test_templates_go_the_same_way(ws: workbench.Workspace) -> None:
    template = FakeTemplate()
    seen: list[tuple[float, int]] = []

    def run_template(found: FakeTemplate, values: dict[str, Any], **options: Any) -> Any:
        assert found is template
        seen.append((values["x"], options["_member"].point))
        return ws.run("scale", (), {"x": values["x"]}, **options)

    sweeps = Sweeps(
        ws.store,
        ws.settings,
        ws.runs,
        ws.datasets,
        ws.algorithms,
        Reuse(ws.algorithms, ws.datasets, ws.catalog),
        executor=ws.executor,
        run=ws.run,
        run_template=run_template,
        load_template=lambda source: template,
    )
    sweep = sweeps.run("fake.ipynb", {"x": [1, 2]})
    assert [row["data"] for row in sweep.rows()] == [2.0, 4.0]
    assert seen == [(1.0, 0), (2.0, 1)]
    sweep.resume()
    assert len(seen) == 2
    template.digest = "d2"
    sweep.resume()
    assert seen[2:] == [(1.0, 0), (2.0, 1)]
    with pytest.raises(InvalidParameterError):
        sweeps.run(template, {"y": [1]})
    with pytest.raises(NotFoundError, match=r"fake\.ipynb"):
        ws.sweeps.run("fake.ipynb", {"x": [1]})


def test_a_sweep_goes_over_inputs_and_parameters(ws: workbench.Workspace, place: Path) -> None:
    ws.algorithms.deploy(write_algorithm(place / "invert", extra=GAIN), check=False)
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    named = ws.datasets.put({"image": image}, name="first")
    np.save(place / "second.npy", image * 2)
    inputs = [named, place / "second.npy", [image, image * 3]]
    sweep = ws.sweeps.run("invert", {"gain": [1, 2]}, inputs=inputs, each_input=True, reuse="never")
    assert sweep.status == "COMPLETED", sweep.rows()
    table = sweep.table()
    assert list(table["input"]) == ["first"] * 2 + ["second.npy"] * 2 + ["input 2"] * 2
    assert list(table["gain"]) == [1, 2] * 3
    np.testing.assert_array_equal(sweep.runs[3].result(), (22 - image * 2) * 2)
    assert [len(run.inputs) for run in sweep.runs] == [1, 1, 1, 1, 2, 2]
    assert len({input.id for run in sweep.runs for input in run.inputs}) == 4
    assert sweep.axes == ("gain", "input")
    assert "first" in Path(sweep.report(place / "report")).read_text()


def test_a_sweep_over_inputs_alone_and_over_the_slices_of_a_stack(
    ws: workbench.Workspace, place: Path
) -> None:
    ws.algorithms.deploy(write_algorithm(place / "invert", extra=GAIN), check=False)
    stack = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    sweep = ws.sweeps.run("invert", inputs=stack, each_input=True, reuse="never")
    assert [row["input"] for row in sweep.rows()] == ["input 0", "input 1", "input 2"]
    np.testing.assert_array_equal(sweep.runs[2].result(), stack[2].max() - stack[2])


def test_a_sweep_over_inputs_goes_on_with_the_inputs_of_what_is_missing(
    ws: workbench.Workspace, place: Path
) -> None:
    folder = write_algorithm(place / "invert", extra=GAIN)
    ws.algorithms.deploy(folder, check=False)
    images = [np.full((3, 4), n, np.float32) for n in range(3)]
    sweep = ws.sweeps.run("invert", inputs=images, each_input=True, reuse="never")
    first = [run.id for run in sweep.runs]
    ws.runs.delete(first[1])
    sweep = ws.sweeps.get(sweep.id).resume()
    assert sweep.counts == {"COMPLETED": 3}
    again = [run.id for run in sweep.runs]
    assert (again[0], again[2]) == (first[0], first[2])
    assert again[1] != first[1]
    assert sweep.runs[1].inputs[0].id == sweep.record.points[1].inputs[0]


def test_inputs_that_a_sweep_cannot_go_over_are_refused_and_none_is_kept(
    ws: workbench.Workspace, place: Path
) -> None:
    ws.algorithms.deploy(write_algorithm(place / "invert", extra=GAIN), check=False)
    before = len(list(ws.datasets.records()))
    with pytest.raises(InvalidInputError, match="there are none"):
        ws.sweeps.run("invert", {"gain": [1, 2]}, each_input=True)
    with pytest.raises(NotFoundError, match="nowhere"):
        ws.sweeps.run("invert", inputs=[np.ones((3, 4), np.float32), "nowhere"], each_input=True)
    with pytest.raises(InvalidInputError, match="at most 20,000"):
        ws.sweeps.run(
            "invert", {"gain": np.linspace(0, 10, 300)}, inputs=np.ones((99, 3, 4)), each_input=True
        )
    assert len(list(ws.datasets.records())) == before


def test_the_report_of_an_algorithm_shows_its_outputs_and_what_it_took(
    ws: workbench.Workspace, place: Path, tmp_path: Path
) -> None:
    ws.algorithms.deploy(write_algorithm(tmp_path / "gain", "gain", INVERT, extra=GAINS), check=False)
    image = np.random.default_rng(0).random((32, 24), dtype=np.float32)
    sweep = ws.sweeps.run("gain", {"gain": [1.0, 2.0], "offset": [0.0, 1.0]}, inputs=image)
    assert sweep.status == "COMPLETED", sweep.rows()
    page = Path(sweep.report(place / "pictures")).read_text()
    assert page.count("<img") == 4
    assert "time, s" in page
    assert "<svg" in page
    assert "extra = None" in page
