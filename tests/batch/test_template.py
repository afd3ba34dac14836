"""Templates: parameters read from the cell without executing it, refused per field, injected as papermill does."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from algorithm_folders import GAIN, write_algorithm
from nbformat import v4

import workbench
from workbench.algorithms.declarations import Findings
from workbench.batch import Template, load_template
from workbench.batch.comments import read_comment
from workbench.batch.parameter_cell import read_cell
from workbench.errors import (
    InvalidInputError,
    InvalidParameterError,
    InvalidTemplateError,
    NotFoundError,
    ReadOnlyError,
    UnsupportedError,
)

TYPED = """
sigma: float = 2.0  # Width of the blur, px, 0..10
rounds: int = 3  # How often, >= 1
method: Literal["mean", "median"] = "mean"  # What to take
limit: Optional[float] = None  # Left empty: none [counts]
radii: list[int] = [1, 2]
size: tuple[int, int] = (4, 4)
name: str = "scan"  # Of the sample, without suffix
gain: Annotated[float, "dB", Field(gt=0, le=20)] = 1.0
keep: bool = False
"""


def notebook_of(source: str | None = TYPED, *rest: str, kernel: str = "python3", **workbench_: Any) -> Any:
    cells = [] if source is None else [v4.new_code_cell(source.strip(), metadata={"tags": ["parameters"]})]
    cells += [v4.new_code_cell(text) for text in rest or ("print(sigma)",)]
    spec = {"name": kernel, "display_name": kernel, "language": "python"}
    metadata = {"kernelspec": spec} | ({"workbench": workbench_} if workbench_ else {})
    return v4.new_notebook(cells=cells, metadata=metadata)


@pytest.fixture
def template(tmp_path: Path) -> Callable[..., Template]:
    """Return a function that writes a notebook and loads it as a template."""

    def make(*sources: str | None, algorithms: Any = None, **options: Any) -> Template:
        nbformat.write(notebook_of(*sources, **options), tmp_path / "blur.ipynb")
        return load_template(tmp_path / "blur.ipynb", algorithms=algorithms)

    return make


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws") as opened:
        yield opened


# -- reading


def test_annotations_and_comments_declare_type_default_unit_range_and_description(
    template: Callable[..., Template],
) -> None:
    parameters = template(TYPED).parameters
    assert parameters.names == ("sigma", "rounds", "method", "limit", "radii", "size", "name", "gain", "keep")
    assert parameters.defaults() == {
        "sigma": 2.0,
        "rounds": 3,
        "method": "mean",
        "limit": None,
        "radii": [1, 2],
        "size": (4, 4),
        "name": "scan",
        "gain": 1.0,
        "keep": False,
    }
    sigma, limit, gain = (parameters[name] for name in ("sigma", "limit", "gain"))
    assert (sigma.type, sigma.min, sigma.max, sigma.unit) == ("float_range", 0.0, 10.0, "px")
    assert sigma.description == "Width of the blur"
    assert (limit.type, limit.optional, limit.unit) == ("float", True, "counts")
    assert (gain.min, gain.min_excluded, gain.max, gain.unit) == (0.0, True, 20.0, "dB")
    assert parameters["rounds"].min == 1
    assert parameters["method"].options == ("mean", "median")
    assert parameters["name"].description == "Of the sample, without suffix"


@pytest.mark.parametrize(
    ("text", "description", "unit", "bounds"),
    [
        ("Width, px, 0..10", "Width", "px", {"ge": 0, "le": 10}),
        ("Width, 0..10 px", "Width", "px", {"ge": 0, "le": 10}),
        ("Width [Gy], > 0.5, < 1e3", "Width", "Gy", {"gt": 0.5, "lt": 1000.0}),
        ("Width, in pixels or so", "Width, in pixels or so", "", {}),
        ("Take the first 3..5 frames", "Take the first 3..5 frames", "", {}),
        ("px", "px", "", {}),
        ("-1.5..-0.5", "", "", {"ge": -1.5, "le": -0.5}),
        ("Method, optional", "Method, optional", "", {}),
        ("", "", "", {}),
    ],
)
def test_comments_of_numbers_name_unit_and_range(
    text: str, description: str, unit: str, bounds: dict[str, float]
) -> None:
    found = read_comment(text)
    assert (found.description, found.unit, found.bounds) == (description, unit, bounds)


def test_without_annotations_any_plain_value_is_taken_as_papermill_does(
    template: Callable[..., Template],
) -> None:
    made = template("alpha = 0.6  # Mixing\nname = 'x'\nextra = {'a': [1]}\nnothing = None\n_hidden = 1")
    assert made.parameters.names == ("alpha", "name", "extra", "nothing")
    assert made.parameters["alpha"].description == "Mixing"
    assert made.check({}) == {"alpha": 0.6, "name": "x", "extra": {"a": [1]}, "nothing": None}
    assert made.check({"alpha": "text", "nothing": [1, {"b": None}]})["alpha"] == "text"
    with pytest.raises(InvalidParameterError, match="a plain value"):
        made.check({"alpha": object()})


def test_names_and_help_are_those_that_papermill_finds(tmp_path: Path) -> None:
    from papermill.inspection import inspect_notebook

    source = "a = 1  # type: int  The first\nb: float = 2.5  # Second\nc = 'x'\nd = {\n  'k': 1,  # inner\n}  # Fourth"
    nbformat.write(notebook_of(source), tmp_path / "a.ipynb")
    theirs = inspect_notebook(tmp_path / "a.ipynb")
    ours = load_template(tmp_path / "a.ipynb").parameters
    assert list(theirs) == list(ours.names)
    assert [p["help"] for p in theirs.values()] == [spec.description for spec in ours.specs]
    assert (ours["a"].type, ours["b"].type, ours["c"].type) == ("int", "float", "any")


def test_nothing_of_the_cell_is_executed(template: Callable[..., Template], tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    made = template(
        f"open({str(trap)!r}, 'w')\nx: __import__('os').mkdir({str(trap)!r}) = 1\n"
        f"y = open({str(trap)!r}, 'w')\nz: float = 2 * 3 + 0.5\n%matplotlib inline\n!touch {trap}"
    )
    assert not trap.exists()
    assert made.parameters.names == ("x", "y", "z")
    assert made.parameters["z"].default == 6.5
    assert any("'x'" in text and "is not checked" in text for text in made.warnings)


def test_a_default_that_the_cell_computes_stays_with_the_cell(template: Callable[..., Template]) -> None:
    made = template("import os\nfolder: str = os.getcwd()  # Where to look\nn: int = 1")
    assert made.check({}) == {"n": 1}
    assert made.check({"folder": "data"}) == {"folder": "data", "n": 1}
    with pytest.raises(InvalidParameterError, match="'folder' is 3"):
        made.check({"folder": 3})


def test_a_declaration_without_a_value_is_required(template: Callable[..., Template]) -> None:
    made = template("path: str  # Of the image\nn: int = 1")
    with pytest.raises(InvalidParameterError, match=r"'path' has no value and no default.*Template 'blur'"):
        made.check({"n": 2})


def test_a_pydantic_model_in_the_cell_declares_the_parameters(template: Callable[..., Template]) -> None:
    source = """
from enum import Enum
from pydantic import BaseModel, Field
class Mode(Enum):
    FAST = "fast"
    GOOD = "good"
class Params(BaseModel):
    sigma: float = Field(2.0, ge=0, le=10, description="Width", json_schema_extra={"unit": "px"})
    mode: Mode = Mode.GOOD
    names: list[str] = Field(default_factory=list)
    path: str
p = Params(path="x")
"""
    made = template(source)
    assert made.parameters.names == ("sigma", "mode", "names", "path")
    assert made.parameters["sigma"].unit == "px"
    assert made.check({"path": "a.tif"}) == {"sigma": 2.0, "mode": "good", "names": [], "path": "a.tif"}
    with pytest.raises(InvalidParameterError) as caught:
        made.check({"sigma": 11, "mode": "slow"})
    assert set(caught.value.problems) == {"sigma", "mode", "path"}
    cell = made.with_parameters({"sigma": 3.0, "mode": "fast", "path": "a.tif"}).cells[1]
    space: dict[str, Any] = {}
    exec(f"{source}\n{cell.source}", space)
    assert space["p"].sigma == space["sigma"] == 3.0
    assert space["p"].mode.value == "fast"


def test_the_metadata_choose_among_several_models(template: Callable[..., Template]) -> None:
    source = "class A(BaseModel):\n    x: int = 1\nclass B(BaseModel):\n    y: int = 2"
    with pytest.raises(InvalidTemplateError, match="several models: A, B"):
        template(source)
    assert template(source, parameters="B").parameters.names == ("y",)
    with pytest.raises(InvalidTemplateError, match="'C' as the class"):
        template(source, parameters="C")


def test_an_algorithm_declares_the_parameters(
    ws: workbench.Workspace, template: Callable[..., Template], tmp_path: Path
) -> None:
    ws.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN), check=False)
    made = template(
        "inputs: list[str] = []\ngain = 2.0", algorithms=lambda: ws.algorithms, algorithm="invert@1"
    )
    assert made.check({}) == {"inputs": [], "gain": 2.0}
    with pytest.raises(InvalidParameterError, match=r"'gain' is 11, expected 0\.0 to 10\.0"):
        made.check({"gain": 11})
    with pytest.raises(InvalidTemplateError, match=r"'nothing@1'.*Deploy it"):
        template("a = 1", algorithms=lambda: ws.algorithms, algorithm="nothing@1")


# -- refusing


def test_wrong_values_are_named_per_field_and_all_at_once(template: Callable[..., Template]) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        template(TYPED).check({"sigma": 11, "rounds": "3", "metod": "mean", "size": (1, 2, 3)})
    problems = caught.value.problems
    assert "0.0 to 10.0" in problems["sigma"]
    assert "a whole number" in problems["rounds"]
    assert "Did you mean 'method'" in problems["metod"]
    assert "not 3" in problems["size"]
    assert "of template 'blur'" in str(caught.value)
    assert "describe" not in str(caught.value)


def test_values_for_a_notebook_without_a_parameters_cell_have_no_place(
    template: Callable[..., Template],
) -> None:
    made = template(None)
    assert made.check({}) == {}
    with pytest.raises(InvalidTemplateError, match="no cell tagged 'parameters'"):
        made.check({"sigma": 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"cells": [', "its JSON breaks off"),
        ('{"a": 1}', "it has no cells"),
        ("[]", "it has no cells"),
        (
            '{"cells": [{"cell_type": "code"}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
            "no valid notebook",
        ),
    ],
)
def test_what_is_no_notebook_is_said_so(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.ipynb").write_text(text)
    with pytest.raises(InvalidTemplateError, match=message):
        load_template(tmp_path / "bad.ipynb")


def test_a_missing_file_offers_the_nearest(template: Callable[..., Template], tmp_path: Path) -> None:
    template(TYPED)
    with pytest.raises(NotFoundError, match=r"Did you mean 'blur.ipynb'"):
        load_template(tmp_path / "blurr.ipynb")


def test_a_kernel_that_is_not_installed_is_named_with_those_that_are(
    template: Callable[..., Template],
) -> None:
    made = template(TYPED, kernel="jula-9")
    with pytest.raises(UnsupportedError, match=r"'jula-9', which is not installed.*Installed: .*python3"):
        made.check({})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("sigma = 1\nother = 2\nsigma = 3", "'sigma' is assigned twice, in lines 1 and 3"),
        ("sigma: float = 20.0  # px, 0..10", "default is 20.0 px, expected 0.0 to 10.0"),
        ("sigma: float = 'a'", "default is 'a', expected a number"),
        ("sigma = = 1", "is not Python"),
        ("sigma = 1\0", "is not Python"),
    ],
)
def test_a_cell_that_declares_wrong_is_refused(
    source: str, message: str, template: Callable[..., Template]
) -> None:
    with pytest.raises(InvalidTemplateError, match=message) as caught:
        template(source)
    assert len(caught.value.problems) == 1


def test_a_member_of_an_enum_is_injected_as_one(template: Callable[..., Template]) -> None:
    source = "from enum import Enum\nclass Mode(Enum):\n    FAST = 'fast'\n    GOOD = 'good'\nmode: Mode = Mode.GOOD"
    made = template(source)
    assert made.check({}) == {"mode": "good"}
    with pytest.raises(InvalidParameterError, match="one of 'fast', 'good'"):
        made.check({"mode": "slow"})
    notebook = made.with_parameters({"mode": "fast"})
    space: dict[str, Any] = {}
    exec(f"{source}\n{notebook.cells[1].source}", space)
    assert space["mode"] is space["Mode"].FAST
    assert notebook.metadata.papermill.parameters == {"mode": "fast"}


@pytest.mark.parametrize(
    "value",
    [
        "9 ** 9 ** 9",
        "(-2) ** 0.5",
        "1000 ** 64 * 1000 ** 64 / 1.5",
        "[1] * 10 ** 9",
        "1 / 0",
        "x",
        "{**a}",
        "[*b]",
        "f'{x}'",
        "1j",
    ],
)
def test_a_value_that_cannot_be_read_is_left_to_the_cell(value: str) -> None:
    findings = Findings()
    cell = read_cell(f"a = {value}", findings)
    assert (findings.problems, cell.computed) == ([], {"a"})


def test_the_first_of_two_tagged_cells_counts_and_it_must_be_code(
    template: Callable[..., Template], tmp_path: Path
) -> None:
    notebook = notebook_of("a = 1", "b = 2")
    notebook.cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, tmp_path / "two.ipynb")
    made = load_template(tmp_path / "two.ipynb")
    assert made.parameters.names == ("a",)
    assert "Cells 1, 2 are tagged" in made.warnings[0]
    notebook.cells[0] = v4.new_markdown_cell("a = 1", metadata={"tags": ["parameters"]})
    nbformat.write(notebook, tmp_path / "two.ipynb")
    with pytest.raises(InvalidTemplateError, match=r"\(cell 1\) is markdown"):
        load_template(tmp_path / "two.ipynb")


MODULE = (
    "import there_is_no_such_module\nclass P(BaseModel):\n    sigma: float = Field(2.0, ge=0)  # Width, px\n"
)


@pytest.mark.parametrize(
    ("named", "source", "variable", "local"),
    [
        ("blurs:P", "", "", "P"),
        ("pack.blurs:P", "", "", "P"),
        ("blurs:P", "from blurs import P as Q\nq = Q()", "q", "Q"),
        ("P", "from blurs import P\np = P()", "p", "P"),
    ],
)
def test_a_model_in_a_module_is_read_and_not_imported(
    named: str, source: str, variable: str, local: str, template: Callable[..., Template], tmp_path: Path
) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("raise RuntimeError")
    (tmp_path / "pack" / "blurs.py").write_text(MODULE)
    (tmp_path / "blurs.py").write_text(MODULE)
    made = template(source, parameters=named)
    assert made.check({}) == {"sigma": 2.0}
    assert made.parameters["sigma"].unit == "px"
    assert (made.cell.model_variable, made.cell.model) == (variable, local)


def test_a_model_that_is_not_found_is_refused_with_a_way_out(
    template: Callable[..., Template], tmp_path: Path
) -> None:
    (tmp_path / "blurs.py").write_text(MODULE)
    with pytest.raises(InvalidTemplateError, match=r"'no_such_module'.* Write the class into"):
        template("", parameters="no_such_module:P")
    with pytest.raises(InvalidTemplateError, match=r"'blurs', which defines none of that name"):
        template("", parameters="blurs:Other")


def test_a_cell_in_ipythons_own_syntax_is_read() -> None:
    findings = Findings()
    cell = read_cell("sigma: float = 1.0  # Width, px\nfiles = !ls\n?print", findings)
    assert findings.problems == []
    assert [(spec.name, spec.unit) for spec in cell.specs] == [("sigma", "px"), ("files", "")]
    assert cell.computed == {"files"}


def test_a_template_crosses_processes(template: Callable[..., Template]) -> None:
    made = template(TYPED)
    made.check({})
    again = pickle.loads(pickle.dumps(made))
    assert again == made
    with pytest.raises(InvalidParameterError):
        again.check({"sigma": 11})


# -- injecting

VALUES = {
    "sigma": 2.5, "n": 3, "flag": True, "nothing": None, "text": 'a "quoted"\nµm \\ tab\t', "items": [1, "b", [2.0]],
    "table": {"a": 1, "b": [None, False]}, "inf": float("inf"), "low": float("-inf"), "empty": "",
}  # fmt: skip


@pytest.mark.parametrize("with_earlier", [False, True])
def test_the_injected_notebook_is_papermills(tmp_path: Path, with_earlier: bool) -> None:
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    notebook = notebook_of(TYPED, "print(1)", "print(2)")
    if with_earlier:
        notebook.cells.insert(2, v4.new_code_cell("sigma = 9", metadata={"tags": ["injected-parameters"]}))
    nbformat.write(notebook, tmp_path / "a.ipynb")
    theirs = parameterize_notebook(load_notebook_node(str(tmp_path / "a.ipynb")), dict(VALUES))
    made = load_template(tmp_path / "a.ipynb")
    before = nbformat.writes(made.notebook)
    ours = made.with_parameters(VALUES)
    for cell in (*theirs.cells, *ours.cells):
        cell.pop("id", None)
    assert json.loads(json.dumps(ours)) == json.loads(json.dumps(theirs))
    assert nbformat.writes(made.notebook) == before


def test_tuples_stay_tuples_in_the_injected_cell(template: Callable[..., Template]) -> None:
    made = template(TYPED)
    notebook = made.with_parameters(made.check({"size": [5, 6]}))
    assert "size = (5, 6)\n" in notebook.cells[1].source
    assert notebook.metadata.papermill.parameters["size"] == [5, 6]
    nbformat.validate(notebook)


def test_the_digest_is_over_what_the_notebook_means(template: Callable[..., Template]) -> None:
    made = template(TYPED)
    ran = made.with_parameters({"sigma": 3.0})
    ran.cells[2].outputs = [v4.new_output("stream", text="3.0")]
    ran.cells[2].execution_count = 7
    ran.metadata["language_info"] = {"name": "python", "version": "3.99"}
    from workbench.batch.template import notebook_digest

    assert notebook_digest(ran) == made.digest
    ran.cells[2].source += " "
    assert notebook_digest(ran) != made.digest


# -- places


def test_a_template_is_read_from_any_fsspec_url() -> None:
    import fsspec

    with fsspec.open("memory://templates-test/blur.ipynb", "w") as file:
        file.write(nbformat.writes(notebook_of(TYPED)))
    made = load_template("memory://templates-test/blur.ipynb")
    assert made.name == "blur"
    assert made.parameters["sigma"].unit == "px"


def test_the_source_of_a_local_template_means_the_same_from_every_folder(
    template: Callable[..., Template], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template(TYPED)
    monkeypatch.chdir(tmp_path)
    made = load_template("blur.ipynb")
    monkeypatch.chdir("/")
    assert load_template(made.source) == made


def test_the_workspace_keeps_templates(ws: workbench.Workspace, tmp_path: Path) -> None:
    assert len(ws.templates.list()) == 0
    nbformat.write(notebook_of(TYPED), tmp_path / "blur.ipynb")
    put = ws.templates.put(tmp_path / "blur.ipynb", "nightly")
    assert put.source == "workbench://nightly.ipynb"
    assert [info.key for info in ws.templates.list()] == ["nightly.ipynb"]
    assert ws.templates.get("nightly") == put == ws.templates.load("nightly") == ws.templates.load(put)
    assert load_template("workbench://nightly.ipynb", ws.store).digest == put.digest
    with pytest.raises(NotFoundError, match=r"Did you mean 'nightly.ipynb'"):
        ws.templates.get("nightli")
    with pytest.raises(InvalidInputError, match="none was given"):
        load_template("workbench://nightly.ipynb")
    ws.templates.delete("nightly")
    with pytest.raises(NotFoundError, match="none yet"):
        ws.templates.delete("nightly")


def test_a_template_that_is_wrong_is_not_kept(ws: workbench.Workspace) -> None:
    with pytest.raises(InvalidTemplateError):
        ws.templates.put(notebook_of("a = 1\na = 2"), "bad")
    assert len(ws.templates.list()) == 0


def test_a_workspace_of_an_older_version_gets_its_collection_and_opens_where_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from workbench.storage.fsspec_store import FsspecStore

    def refuse(*arguments: Any) -> None:  # who runs the tests may write everywhere
        raise ReadOnlyError("the place is read-only")

    workbench.open(tmp_path / "ws").close()
    shutil.rmtree(tmp_path / "ws" / "templates")
    with monkeypatch.context() as patched:
        patched.setattr(FsspecStore, "create_collections", refuse)
        with workbench.open(tmp_path / "ws") as ws:
            assert len(ws.templates.list()) == 0
            with pytest.raises(NotFoundError):
                ws.templates.get("blur")
    with workbench.open(tmp_path / "ws") as ws:
        ws.templates.put(notebook_of(TYPED), "blur")
        assert ws.templates.get("blur").parameters["sigma"].unit == "px"
