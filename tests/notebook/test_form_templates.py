"""The form of a template: its parameters, no inputs, and a run that gets a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from algorithm_folders import GAIN, write_algorithm
from ipywidgets.widgets import widget
from nbformat import v4

import workbench
from workbench.errors import InvalidTemplateError, NotFoundError, UnsupportedError
from workbench.notebook.completion import _candidates
from workbench.notebook.forms import Form
from workbench.workspace import Workspace

CELL = """
import os
sigma: float = 2.0  # Width of the blur, px, 0..10
method: Literal["mean", "median"] = "mean"
extra = {"a": 1}
folder: str = os.getcwd()  # Where the images are
"""


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with workbench.open(tmp_path / "ws") as opened:
        opened.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN), check=False)
        yield opened


@pytest.fixture
def template(tmp_path: Path) -> Path:
    cells = [
        v4.new_markdown_cell("# Blur\n\nBlur all <images>\nof a day."),
        v4.new_code_cell(CELL.strip(), metadata={"tags": ["parameters"]}),
    ]
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "blur.ipynb")
    return tmp_path / "blur.ipynb"


@pytest.fixture
def asked(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any], dict[str, Any]]]:
    """Give what `run_template` was asked; it answers with a run of an algorithm."""
    calls: list[tuple[Any, dict[str, Any], dict[str, Any]]] = []

    def run_template(self: Workspace, template: Any, parameters: Any = {}, **options: Any) -> Any:  # noqa: B006
        calls.append((template, dict(parameters), options))
        return ws.run("invert", np.ones((4, 4), np.float32), echo=False)

    monkeypatch.setattr(Workspace, "run_template", run_template, raising=False)
    return calls


@pytest.fixture
def form(ws: Workspace, template: Path, asked: Any) -> Iterator[Form]:
    made = Form(ws, str(template))
    yield made
    made.close()


def field(form: Form, name: str) -> Any:
    return next(row for row in form._rows if row.spec.name == name).field


def test_the_head_names_the_template_and_what_it_does(form: Form) -> None:
    header = form.children[1].value
    for part in ("blur.ipynb", "Blur all &lt;images&gt; of a day.", "template · python3"):
        assert part in header


def test_it_has_the_fields_of_the_cell_and_no_inputs(form: Form) -> None:
    assert form.values == {"sigma": 2.0, "method": "mean", "extra": {"a": 1}, "folder": None}
    assert form._inputs.widget.layout.display == "none"
    assert form.in_background
    assert form._background.disabled


def test_run_checks_and_starts_the_template(form: Form, asked: Any) -> None:
    field(form, "sigma").widget.children[1].value = "11"
    assert form._run_button.disabled
    assert "0.0 to 10.0" in form.problem
    field(form, "sigma").widget.children[1].value = "3.5"
    field(form, "extra").widget.value = "[1, 2]"
    form._run_button.click()
    [(template, parameters, options)] = asked
    assert template.name == "blur"
    assert parameters == {"sigma": 3.5, "method": "mean", "extra": [1, 2]}
    assert options == {"wait": False}
    assert form.run is not None
    assert form.run.wait(10).status == "COMPLETED"


def test_the_inserted_cell_repeats_the_run(form: Form, asked: Any) -> None:
    field(form, "sigma").write(4.0)
    exec(compile(form.code(), "cell", "exec"), {})
    [(source, parameters, options)] = asked
    assert Path(source).name == "blur.ipynb"
    assert parameters["sigma"] == 4.0
    assert options == {"wait": False}


def test_values_are_remembered_apart_from_those_of_an_algorithm_of_that_name(
    ws: Workspace, template: Path, form: Form
) -> None:
    field(form, "sigma").write(5.0)
    form._changed()
    form._memory.flush()
    again = Form(ws, str(template))
    assert again.values["sigma"] == 5.0
    assert again._name == "blur.ipynb"
    again.close()


def test_a_template_of_the_workspace_is_named_without_a_path(ws: Workspace, template: Path) -> None:
    ws.templates.put(template, "nightly")
    made = Form(ws, "nightly.ipynb")
    assert made._subject.label == "nightly.ipynb"
    made.close()
    assert "nightly.ipynb" in _candidates(ws, "algoform", [], "", {})


def test_closing_leaves_no_widget_behind(ws: Workspace, template: Path) -> None:
    before = set(widget._instances)
    Form(ws, str(template)).close()
    assert set(widget._instances) - before == set()


def test_what_is_no_template_gives_no_form(ws: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        Form(ws, str(tmp_path / "nothing.ipynb"))
    (tmp_path / "bad.ipynb").write_text("{")
    with pytest.raises(InvalidTemplateError):
        Form(ws, str(tmp_path / "bad.ipynb"))


def test_a_kernel_that_is_missing_is_said_beside_the_buttons(
    ws: Workspace, template: Path, asked: Any
) -> None:
    notebook = nbformat.read(template, 4)
    notebook.metadata["kernelspec"] = {"name": "nothing-1", "display_name": "x", "language": "python"}
    made = Form(ws, ws.templates.put(notebook, "blur"))
    made._run_button.click()
    assert "nothing-1" in made._reason.value
    assert asked == []
    made.close()
    with pytest.raises(UnsupportedError):
        ws.templates.get("blur").check({})
