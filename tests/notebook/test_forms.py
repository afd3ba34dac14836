"""The form on a real workspace: fill in, refuse, run, remember, repeat."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ipywidgets.widgets import widget

import workbench
from workbench.notebook.form_memory import FormMemory
from workbench.notebook.forms import Form
from workbench.workspace import Workspace

TOML = """
[project]
name = "smooth"
version = "1.0"

[tool.workbench]
algorithm_type = "Image2Image"
description = "Average with <neighbours>"
parameters = [
  {name = "sigma", type = "float", default = 1.5, min = 0.0, unit = "px", description = "Width of the average"},
  {name = "rounds", type = "int_range", default = 2, min = 1, max = 9, step = 1},
  {name = "mode", type = "string_enum", options = ["mean", "median"]},
  {name = "limit", type = "float", optional = true},
  {name = "wait_s", type = "float", default = 0.0, adjustable = false},
  {name = "fail", type = "bool", default = false, adjustable = false},
]
"""
RUNNER = """
import time
from workbench.runners import Image2ImageRunner

class Runner(Image2ImageRunner):
    def inference(self, data, args):
        end = time.monotonic() + args["wait_s"]
        while time.monotonic() < end:
            self.set_progress(0.5, "waiting")
            time.sleep(0.01)
        print("sigma is", args["sigma"])
        if args["fail"]:
            raise ValueError("asked to fail")
        return data
"""


def write_algorithm(folder: Path, toml: str = TOML) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(toml)
    (folder / "Runner.py").write_text(RUNNER)
    return folder


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with workbench.open(tmp_path / "ws") as opened:
        opened.algorithms.deploy(write_algorithm(tmp_path / "smooth"), check=False)
        yield opened


@pytest.fixture
def variables() -> dict[str, Any]:
    return {"image": np.zeros((8, 9), np.float32), "text": "no array", "_hidden": np.zeros(3)}


@pytest.fixture
def form(ws: Workspace, variables: dict[str, Any]) -> Iterator[Form]:
    made = Form(ws, "smooth", inputs=["image"], namespace=variables)
    yield made
    made.close()


def row(form: Form, name: str) -> Any:
    return next(row for row in form._rows if row.spec.name == name)


def eventually(check: Callable[[], bool], timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_header_names_version_description_type_and_device(form: Form) -> None:
    header = form.children[1].value
    for part in ("smooth@1.0", "Average with &lt;neighbours&gt;", "Image2Image", "cpu"):
        assert part in header


def test_form_begins_with_the_defaults(form: Form) -> None:
    expected = {"sigma": 1.5, "rounds": 2, "mode": "mean", "limit": None, "wait_s": 0.0, "fail": False}
    assert form.values == expected
    assert form.problem is None
    assert not form._run_button.disabled


def test_wrong_value_gets_a_message_and_disables_run_until_it_is_right(form: Form) -> None:
    sigma = row(form, "sigma")
    sigma.field.widget.value = "-1"
    assert "Expected at least 0.0" in sigma._say.value
    assert form._run_button.disabled
    assert "sigma: expected at least 0.0" in form._run_button.tooltip
    assert "sigma: expected at least 0.0" in form._reason.value
    assert form._insert_button.disabled
    form._run_button.click()
    assert form.run is None
    sigma.field.widget.value = "2.5"
    assert not form._run_button.disabled
    assert form._reason.value.count("sigma") == 0
    assert form.values["sigma"] == 2.5


def test_help_keeps_its_place_while_a_message_covers_it(form: Form) -> None:
    sigma = row(form, "sigma")
    assert "Width of the average" in sigma._say.value
    sigma.field.widget.value = "x"
    assert "visibility:hidden" in sigma._say.value
    assert "Width of the average" in sigma._say.value


def test_run_gives_outputs_with_thumbnails_and_the_log(form: Form) -> None:
    form._run_button.click()
    assert form.run is not None
    form.run.wait(20)
    eventually(lambda: "COMPLETED" in form._view._head.value)
    assert len(form.outputs) == 1
    eventually(lambda: "<img" in form._view._result.value)
    assert "sigma is 1.5" in form._view._log.value
    assert form.run.parameters["sigma"] == 1.5
    eventually(lambda: not form._run_button.disabled)
    assert form._cancel_button.disabled


def test_double_click_starts_one_run(form: Form, ws: Workspace) -> None:
    form._run_button.click()
    first = form.run
    form._run_button.click()
    assert first is not None
    assert form.run is first
    assert len(ws.runs.list()) == 1


def test_form_stays_live_while_it_runs_and_cancel_ends_it(form: Form) -> None:
    form.write({"wait_s": 30.0})
    form._run_button.click()
    assert form.run is not None
    assert form._run_button.disabled
    eventually(lambda: "waiting" in form._view._head.value)
    assert not form._cancel_button.disabled
    form._cancel_button.click()
    form.run.wait(20)
    assert form.run.status == "CANCELLED"
    eventually(lambda: "CANCELLED" in form._view._head.value)
    eventually(lambda: not form._run_button.disabled)


def test_failed_run_shows_its_message_and_a_folded_traceback(form: Form) -> None:
    form.write({"fail": True})
    form._run_button.click()
    assert form.run is not None
    form.run.wait(20)
    eventually(lambda: "asked to fail" in form._view._result.value)
    assert "<details><summary" in form._view._result.value


def test_running_prints_nothing(form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    form._run_button.click()
    assert form.run is not None
    form.run.wait(20)
    eventually(lambda: "COMPLETED" in form._view._head.value)
    assert capsys.readouterr() == ("", "")


def test_inputs_offer_arrays_with_their_shape_and_datasets(ws: Workspace, variables: dict[str, Any]) -> None:
    ws.datasets.put({"data": np.zeros(3)}, name="stored")
    form = Form(ws, "smooth", namespace=variables)
    box = form._inputs._rows[0].box
    assert box.options == ("image   8 x 9 float32", "stored")
    box.value = box.options[0]
    assert box.value == "image"
    assert "8 x 9 float32" in form._inputs._rows[0].say.value
    form.close()


def test_input_that_is_nothing_is_said_and_run_waits(form: Form, tmp_path: Path) -> None:
    box = form._inputs._rows[0].box
    box.value = "imag"
    assert "image" in form._inputs._rows[0].say.value
    assert form._run_button.disabled
    box.value = "text"
    assert "is a str, expected an array" in form._inputs._rows[0].say.value
    file = tmp_path / "picture.npy"
    np.save(file, np.zeros((4, 4)))
    box.value = str(file)
    assert "file, " in form._inputs._rows[0].say.value
    assert not form._run_button.disabled


def test_variable_that_appears_later_makes_the_input_right(form: Form, variables: dict[str, Any]) -> None:
    form._inputs._rows[0].box.value = "late"
    assert form._run_button.disabled
    variables["late"] = np.ones((5, 5))
    form._cell_ran(None)
    assert not form._run_button.disabled


def test_input_rows_can_be_added_and_removed(form: Form) -> None:
    form._inputs._add.click()
    form._inputs._rows[1].box.value = "image"
    assert form._inputs.words() == ["image", "image"]
    assert [r.label.value for r in form._inputs._rows] == ["Input 1", "Input 2"]
    form._inputs._rows[0].remove.click()
    form._inputs._rows[0].remove.click()
    assert form._inputs.words() == []
    assert len(form._inputs._rows) == 1


def test_array_without_a_name_runs_but_makes_no_cell(ws: Workspace) -> None:
    form = Form(ws, "smooth", inputs=[np.zeros((6, 6))], namespace={})
    assert not form._run_button.disabled
    assert form._insert_button.disabled
    form._run_button.click()
    assert form.run is not None
    assert form.run.wait(20).status == "COMPLETED"
    form.close()


def test_given_objects_are_shown_by_their_names(ws: Workspace, variables: dict[str, Any]) -> None:
    named = ws.datasets.put({"image": np.zeros((4, 4))}, name="named")
    unnamed = ws.datasets.put({"image": np.ones((4, 4))})
    form = Form(ws, "smooth", inputs=[variables["image"], named, unnamed], namespace=variables)
    assert form._inputs.words() == ["image", "named", unnamed.id]
    form.close()


def test_what_the_workspace_refuses_is_said_beside_the_button(
    ws: Workspace, variables: dict[str, Any]
) -> None:
    variables["four"] = np.zeros((2, 2, 2, 2))
    form = Form(ws, "smooth", inputs=["four"], namespace=variables)
    form._run_button.click()
    assert form.run is None
    assert "(2, 2, 2, 2)" in form._reason.value
    assert not form._run_button.disabled
    form.close()


def test_cell_repeats_the_click(form: Form) -> None:
    form.write({"sigma": 2.0, "mode": "median"})
    code = form.code()
    assert code.splitlines()[0].startswith("%algorun smooth@1.0 image sigma=2.0 rounds=2 mode=median")


def test_cell_names_the_revision_once_the_version_means_another(
    form: Form, ws: Workspace, tmp_path: Path
) -> None:
    ws.algorithms.deploy(write_algorithm(tmp_path / "smooth", TOML.replace("1.5", "1.75")), check=False)
    assert form._subject._algorithm.revision.id in form.code().splitlines()[0]


def test_insert_button_falls_back_to_text_where_no_front_end_answers(
    form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.notebook.forms.ANSWER_S", 0.05)
    form._insert_button.click()
    eventually(lambda: form._copy.layout.display is None)
    assert form._copy.value == form.code()
    assert "Copy this" in form._notes.value


def test_advanced_parameters_are_folded_until_one_is_wrong(form: Form) -> None:
    assert form._fold.description == "▸ Advanced (2)"
    row(form, "wait_s").field.widget.value = "soon"
    assert form._fold.value is True
    assert form._fold.description == "▾ Advanced (2)"


def test_values_and_inputs_are_there_again_in_a_new_form(
    ws: Workspace, variables: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/a/study.ipynb")
    first = Form(ws, "smooth", inputs=["image"], namespace=variables)
    first.write({"sigma": 0.1 + 0.2, "limit": 3.0})
    first.close()
    again = Form(ws, "smooth", namespace=variables)
    assert again.values["sigma"] == 0.1 + 0.2
    assert again.values["limit"] == 3.0
    assert again._inputs.words() == ["image"]
    again.close()
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/a/other.ipynb")
    other = Form(ws, "smooth", namespace=variables)
    assert other.values["sigma"] == 1.5
    other.close()


def test_remembered_values_that_no_longer_fit_are_dropped_one_by_one(
    form: Form, ws: Workspace, variables: dict[str, Any], tmp_path: Path
) -> None:
    form.write({"sigma": 7.0, "rounds": 9, "mode": "median"})
    form.close()
    newer = TOML.replace("max = 9", "max = 5").replace('name = "mode"', 'name = "how"').replace("1.0", "1.1")
    ws.algorithms.deploy(write_algorithm(tmp_path / "smooth", newer), check=False)
    again = Form(ws, "smooth", namespace=variables)
    assert again.values["sigma"] == 7.0
    assert again.values["rounds"] == 2
    assert "rounds = 9 was dropped: expected 1 to 5" in again._notes.value
    assert "no longer a parameter" in again._notes.value
    again.close()


def test_presets_are_saved_chosen_and_deleted(form: Form) -> None:
    bar = form._presets
    assert bar._save.disabled
    form.write({"sigma": 4.0})
    bar._name.value = "soft"
    bar._save.click()
    assert bar._choice.value == "soft"
    form._presets.widget.children[-1].click()  # Defaults
    assert form.values["sigma"] == 1.5
    bar._choice.value = ""
    bar._choice.value = "soft"
    assert form.values["sigma"] == 4.0
    bar._delete.click()
    assert bar._choice.options == (("No presets", ""),)


def test_form_works_where_nothing_can_be_remembered(ws: Workspace, variables: dict[str, Any]) -> None:
    memory = FormMemory(ws.store, delay_s=0.01)
    memory.note = "Values are not remembered: the workspace is read-only."
    form = Form(ws, "smooth", inputs=["image"], namespace=variables, memory=memory)
    assert "not remembered" in form._notes.value
    assert not form._run_button.disabled
    form.close()


def test_closed_form_leaves_no_widget_and_no_listener(ws: Workspace, variables: dict[str, Any]) -> None:
    before = set(widget._instances)
    form = Form(ws, "smooth", inputs=["image"], namespace=variables)
    form.write({"wait_s": 5.0})
    form._run_button.click()
    run = form.run
    assert run is not None
    form.close()
    assert set(widget._instances) == before
    assert run.cancel().wait(20).status == "CANCELLED"


def test_a_form_runs_in_the_background(ws: Workspace, variables: dict[str, Any]) -> None:
    form = Form(ws, "smooth", inputs=["image"], namespace=variables)
    assert not form.in_background
    form._background.value = True
    assert "%algorun -b smooth@1.0 image" in form.code()
    form._run_clicked()
    assert form.run is not None
    assert form.run.record.executor == "process"
    assert form.run.wait(30).status == "COMPLETED"
    assert "sigma is" in form.run.log
    form.close()


def test_a_workspace_in_memory_has_no_background(memory_url: str, tmp_path: Path) -> None:
    with workbench.open(memory_url) as ws:
        ws.algorithms.deploy(write_algorithm(tmp_path / "smooth"), check=False)
        form = Form(ws, "smooth", inputs=[np.zeros((6, 6))], namespace={})
        assert form._background.disabled
        form.close()
