"""A template made from an algorithm declares what the algorithm declares, and runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from algorithm_folders import GAIN, write_algorithm
from click.testing import CliRunner, Result
from nbclient import NotebookClient

import workbench
from workbench.algorithms.declarations import Findings
from workbench.batch.new_template import new_template, parameters_cell
from workbench.batch.parameter_cell import read_cell
from workbench.cli import main
from workbench.errors import InvalidParameterError
from workbench.library.recorded import live, records_of
from workbench.models import ParameterSpec

EXAMPLES = sorted(
    p.parent for p in (Path(__file__).parents[2] / "notebooks/algorithms").glob("*/pyproject.toml")
)


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws") as opened:
        yield opened


def spec(**fields: Any) -> ParameterSpec:
    return ParameterSpec(**({"name": "p", "description": "What it is"} | fields))


SPECS = [
    spec(type="float", default=2.0, unit="px", min=0.0, min_excluded=True),
    spec(type="float_range", default=2.0, unit="Gy", min=0.0, max=10.0, step=0.1),
    spec(type="float_range", default=-0.5, min=-1.0, max=0.0, step=0.01, description="Ends with a dot."),
    spec(type="int_range", default=3, min=1, max=9, step=1, description="Of all, px, 3..5"),
    spec(type="int", default=4, multiple_of=2, min=0),
    spec(type="float", optional=True, unit="counts", description="Empty: [estimated], so"),
    spec(type="float", default=float("inf")),
    spec(type="int"),
    spec(type="string", default='it\'s "x", # no comment', description="With # and, commas [px]"),
    spec(type="string_enum", default="b c", options=("a", "b c", "it's")),
    spec(type="int_enum", default=2, options=(1, 2)),
    spec(type="string_list", default=["a"], options=("a", "b")),
    spec(type="float_list", default=[1.0, 2.5], min=0.0),
    spec(type="int_tuple", default=(1, 2), length=2),
    spec(type="bool", default=True),
    spec(type="dict", default={"a": [1, None]}),
    spec(type="any", default=[1, "x"], optional=True, description=""),
    spec(type="string", default="two\nlines", description="First.\nSecond"),
]


@pytest.mark.parametrize("declared", SPECS, ids=lambda s: s.type)
def test_what_is_written_into_the_cell_is_read_back_and_is_python(declared: ParameterSpec) -> None:
    source = parameters_cell((declared,))
    findings = Findings()
    _, read = read_cell(source, findings).specs
    assert findings.problems == []
    for fact in (
        "type",
        "default",
        "unit",
        "min",
        "max",
        "min_excluded",
        "options",
        "optional",
        "length",
        "multiple_of",
    ):
        assert getattr(read, fact) == getattr(declared, fact), fact
    assert " ".join(read.description.split()).rstrip(".") == " ".join(declared.description.split()).rstrip(
        "."
    )
    space: dict[str, Any] = {}
    exec(compile(source, "cell", "exec"), space)
    if declared.default is not None:
        assert space["p"] == declared.default


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_templates_of_the_examples_declare_what_they_do(ws: workbench.Workspace, folder: Path) -> None:
    algorithm = ws.algorithms.deploy(folder, check=False)
    template = ws.templates.put(new_template(algorithm), folder.name)
    assert template.warnings == ()
    with pytest.raises(InvalidParameterError, match="'inputs' has no value"):
        template.check({})
    assert template.check({"inputs": ["a"]}) == {"inputs": ["a"], **algorithm.parameters.defaults()}
    assert set(template.parameters.names) == {"inputs", *algorithm.parameters.names}


def test_names_that_are_taken_are_given_others(ws: workbench.Workspace, tmp_path: Path) -> None:
    extra = GAIN.replace('"gain"', '"inputs"')
    algorithm = ws.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=extra), check=False)
    notebook = new_template(algorithm)
    assert '"inputs": p_inputs,' in notebook.cells[3].source
    assert ws.templates.put(notebook, "invert").parameters.names == ("inputs", "p_inputs")


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(
            main, ["-w", str(tmp_path / "ws"), "template", *arguments], catch_exceptions=False
        )

    return run


def test_a_template_made_on_the_command_line_runs_and_records(
    ws: workbench.Workspace, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("WORKBENCH_URL", str(tmp_path / "ws"))
    ws.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN), check=False)
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    ws.datasets.put({"image": image}, name="scan")
    assert call("new", "invert@1").output == "wrote invert.ipynb\n"
    template = workbench.current().templates.load("invert.ipynb")
    notebook = template.with_parameters(template.check({"inputs": ["scan"], "gain": 2.0}))
    records = records_of(NotebookClient(notebook, timeout=60).execute())
    [output] = records["outputs"]
    np.testing.assert_array_equal(live(output, ws.datasets), (11 - image) * 2)
    run = ws.runs.get(records["run"])
    assert run.parameters == {"gain": 2.0}
    assert run.datasets[0].id == output["dataset"]


def test_templates_are_made_listed_shown_and_deleted_on_the_command_line(
    ws: workbench.Workspace, call: Any, tmp_path: Path
) -> None:
    ws.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN), check=False)
    assert "No templates" in call("ls").output
    assert call("new", "invert", "workbench://invert").output == "wrote workbench://invert.ipynb\n"
    refused = call("new", "invert", "workbench://invert.ipynb")
    assert (refused.exit_code, "--force" in refused.output) == (1, True)
    assert call("new", "invert", "workbench://invert.ipynb", "--force").exit_code == 0
    assert "0.0 to 10.0" in call("show", "invert").output
    nbformat.write(ws.templates.get("invert").notebook, tmp_path / "other.ipynb")
    assert call("put", "other.ipynb").output == "kept workbench://other.ipynb\n"
    assert "other.ipynb" in call("ls").output
    assert call("rm", "other").exit_code == 0
    assert call("show", "nothing.ipynb").exit_code == 1
