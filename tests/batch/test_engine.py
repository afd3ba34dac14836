"""``papermill --engine workbench``: the same notebooks as papermill's own engine makes."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from algorithm_folders import GAIN, write_algorithm
from notebook_runs import notebook, save
from papermill.engines import papermill_engines
from papermill.exceptions import PapermillExecutionError

import workbench
from workbench.batch import load_template
from workbench.batch.engine import WorkbenchEngine
from workbench.errors import InvalidParameterError, InvalidTemplateError, UnsupportedError

pytestmark = pytest.mark.usefixtures("nursery")

# what papermill's own test notebooks are about, each in a few cells: its sources, the tags of cells, and papermill's options
SAMPLES: dict[str, tuple[tuple[str, ...], dict[int, list[str]], dict[str, Any]]] = {
    "parameters": (
        ("msg = 'Hi'", "print(msg)", "msg"),
        {0: ["parameters"]},
        {"parameters": {"msg": "it's \n me"}},
    ),
    "no parameters cell": (("a", "a * 2"), {}, {"parameters": {"a": 21}}),
    "many kinds": (
        ("msg = None\na = 0\nb = []\nc = {}", "print(msg, a, b, c)"),
        {0: ["parameters"]},
        {"parameters": {"msg": "it's", "a": 2.5, "b": [1, None, "x"], "c": {"k": [True, -1.5e-7]}}},
    ),
    "report": (("x = 1", "x"), {0: ["parameters"]}, {"parameters": {"x": 2}, "report_mode": True}),
    "fails": (("print('before')", "1 / 0", "print('never')"), {}, {}),
    "fails in a function": (("def f(x):\n    raise ValueError(f'é {x}')\n", "f(1)"), {}, {}),
    "may fail": (("raise KeyError('k')", "'after'"), {0: ["raises-exception"]}, {}),
    "no Python": (("x = 1", "this is no Python"), {}, {}),
    "no such magic": (("%no_such_magic", "1"), {}, {}),
    "exits with nothing": (("import sys", "sys.exit()", "print('after')"), {}, {}),
    "exits with 0": (("import sys", "sys.exit(0)", "print('after')"), {}, {}),
    "exits with 1": (("import sys", "sys.exit(1)", "print('after')"), {}, {}),
    "raises SystemExit": (("raise SystemExit", "print('after')"), {}, {}),
    "streams": (  # each in a cell of its own: when a kernel sends which of two streams depends on the time
        ("print('a'); print('b')", "import sys; print('c', file=sys.stderr)", "!echo sub"),
        {},
        {},
    ),
    "displays": (
        (
            "from IPython.display import HTML, display, clear_output, update_display\n"
            "h = display('one', display_id=True)\ndisplay(HTML('<b>x</b>'), metadata={'text/html': {'isolated': True}})",
            "h.update('two')\nprint('x'); clear_output(); 'last'",
            "from IPython.display import Image\nImage(data=b'\\x89PNG\\r\\n\\x1a\\n', format='png')",
        ),
        {},
        {},
    ),
    "magics": (
        ("%%capture said\nprint(1)", "said.stdout", "%who_ls str", "x = !echo a\nx"),
        {},
        {},
    ),
    "not run": (("1", "2", ""), {1: ["skip-execution"]}, {}),
    "tags stay": (("1", "2"), {0: ["hide", "mine"], 1: ["papermill-keep"]}, {}),
    "async": (
        ("import asyncio\nawait asyncio.sleep(0, 'slept')", "async def f(): return 3\nawait f()"),
        {},
        {},
    ),
    "result none": (("None", "_", "7;", "In[1], Out"), {}, {}),
    "long traceback": (("def f(n): return f(n - 1) if n else 1 / 0\nf(5)",), {}, {}),
    "warns": (("import warnings\nwarnings.warn('careful')", "1"), {}, {}),
}
_TIMES = {"start_time", "end_time", "duration", "output_path", "iopub.status.busy", "iopub.status.idle"}
_TIMES |= {"iopub.execute_input", "shell.execute_reply"}
#: Cells that papermill makes, with an id by chance.
_OF_PAPERMILL = {"injected-parameters", "papermill-error-cell-tag"}


@pytest.fixture(autouse=True)
def _registered() -> None:
    papermill_engines.register("workbench", WorkbenchEngine)


def run(path: Path, output: Path, engine: str | None = "workbench", **options: Any) -> tuple[Any, str]:
    """Return the notebook as it was written, and the error."""
    error = ""
    try:
        papermill.execute_notebook(
            path,
            output,
            engine_name=engine,
            kernel_name=options.pop("kernel_name", "python3"),
            progress_bar=False,
            **options,
        )
    except PapermillExecutionError as raised:
        error = str(raised)
    return nbformat.read(output, 4), error


def without_times(node: Any) -> Any:
    """Return a notebook with the keys but not the values of what takes time, and neighbouring text joined."""
    if isinstance(node, dict):
        plain = {key: "..." if key in _TIMES else without_times(value) for key, value in node.items()}
        if "outputs" in plain:
            plain["outputs"] = joined(plain["outputs"])
        return plain
    if isinstance(node, str):
        return re.sub(r"ipykernel_[0-9]+", "ipykernel_...", node)  # the number of the process
    return [without_times(item) for item in node] if isinstance(node, list) else node


def joined(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """When a kernel sends how much of a stream depends on the time."""
    texts: list[dict[str, Any]] = []
    for output in copy.deepcopy(outputs):
        same = texts and output["output_type"] == "stream" and texts[-1].get("name") == output["name"]
        if same:
            texts[-1]["text"] += output["text"]
        else:
            texts.append(output)
    return texts


def is_the_same(path: Path, folder: Path, has_ids: bool = True, **options: Any) -> str:
    """Compare all of a notebook as two engines leave it: cells, outputs, counts, tags, metadata, errors. Return the error."""
    theirs, their_error = run(path, folder / "theirs.ipynb", None, **options)
    ours, our_error = run(path, folder / "ours.ipynb", **options)
    for cell in [*theirs.cells, *ours.cells]:
        if not has_ids or _OF_PAPERMILL & set(cell.metadata.get("tags", [])):
            cell.pop("id")
    ours, theirs = without_times(ours), without_times(theirs)
    for our_cell, their_cell in zip(ours["cells"], theirs["cells"], strict=True):
        assert our_cell == their_cell
    assert ours == theirs
    assert without_times(our_error) == without_times(their_error)
    return our_error


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_notebook_comes_out_as_from_papermills_own_engine(sample: str, tmp_path: Path) -> None:
    sources, tags, options = SAMPLES[sample]
    is_the_same(save(notebook(*sources, tags=tags), tmp_path / "in.ipynb"), tmp_path, **options)


def test_whatever_cells_do_comes_out_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # where it is set, kernels do not take what subprocesses write
    made = notebook(
        "sigma = 1",
        "print('out'); print('again')\nsigma * 2",
        "from IPython.display import *\nshown = display(HTML('<b>1</b>'), display_id='d')\n"
        "display(Markdown('*m*'), Latex('$x$'), JSON({'a': 1}), Javascript('1'))",
        "shown.update(HTML('<b>2</b>'))\nprint('before'); clear_output()\nprint('after')",
        "import pandas as pd\npd.DataFrame({'a': [1, 2]}, index=['x', 'y'])",
        "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2, 3]); plt.title('t')",
        "%%bash\necho hello; echo bad >&2",
        "!echo shell",
        "1 / 0",
        "import asyncio\nawait asyncio.sleep(0.01)\n'awaited'",
        "x = 5;\nx;",
        "_, Out.get(2), len(In)",
        "class A:\n    def _repr_html_(self): return '<i>a</i>'\n    def __repr__(self): return 'A()'\nA()",
        "class B:\n    def __repr__(self): raise ValueError('no repr')\nB()",
        "import logging\nlogging.getLogger('x').warning('logged')",
        "%env FOO=bar\n%pwd\n%who_ls",
        "?print",
        "get_ipython().set_next_input('next')",
        "'é ∑ 😀', b'\\x00', 10**30",
        "print('a', end=''); print('b\\r', end=''); print('c')",
        # alone: when a kernel sends which of two streams depends on the time
        "import sys\nprint('err', file=sys.stderr)",
        "def f(n): return f(n - 1) if n else 1 / 0\nf(5)",
        "this is no Python",
        "%no_such_magic",
        "%%capture said\nprint(1)",
        "said.stdout",
        "import warnings\nwarnings.warn('careful')",
        "'not run'",
        "raise KeyError('missing')",
        "'never'",
        tags={0: ["parameters"], 3: ["mine"], 27: ["skip-execution"]}
        | {index: ["raises-exception"] for index in (8, 13, 21, 22, 23)},
    )
    made.metadata["custom"] = {"kept": True}
    made.cells[4].metadata |= {"collapsed": True, "jupyter": {"source_hidden": True}}
    made.cells.insert(3, nbformat.v4.new_markdown_cell("# Text", metadata={"tags": ["text"]}))
    made.cells.insert(4, nbformat.v4.new_raw_cell("raw"))
    error = is_the_same(save(made, tmp_path / "rich.ipynb"), tmp_path, parameters={"sigma": 3})
    assert "KeyError: 'missing'" in error


def test_a_notebook_of_an_older_format_and_of_another_kernel_come_out_the_same(tmp_path: Path) -> None:
    made = notebook("msg = None", "print(msg)", tags={0: ["parameters"]})
    made.nbformat_minor = 2
    for cell in made.cells:
        del cell["id"]
    made.metadata["kernelspec"] = {"name": "not-installed", "display_name": "X", "language": "python"}
    path = tmp_path / "in.ipynb"
    path.write_text(nbformat.writes(made))
    assert is_the_same(path, tmp_path, has_ids=False, parameters={"msg": 1}) == ""


def test_parameters_reach_the_notebook(tmp_path: Path) -> None:
    path = save(notebook("sigma = 1", "sigma * 2", tags={0: ["parameters"]}), tmp_path / "in.ipynb")
    made, _ = run(path, tmp_path / "out.ipynb", parameters={"sigma": 21})
    assert made.cells[2].outputs[0].data["text/plain"] == "42"
    assert made.metadata.papermill.parameters == {"sigma": 21}


def test_the_notebook_is_executed_in_the_folder_that_is_named(tmp_path: Path) -> None:
    path = save(notebook("import os; os.getcwd()"), tmp_path / "in.ipynb")
    (tmp_path / "there").mkdir()
    made, _ = run(path, tmp_path / "out.ipynb", cwd=tmp_path / "there")
    assert made.cells[0].outputs[0].data["text/plain"] == repr(str(tmp_path / "there"))


def test_the_environment_of_the_caller_is_the_notebooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_CALLER", "yes")
    path = save(notebook("import os; os.environ.get('OF_THE_CALLER')"), tmp_path / "in.ipynb")
    made, _ = run(path, tmp_path / "out.ipynb")
    assert made.cells[0].outputs[0].data["text/plain"] == "'yes'"


def test_a_process_that_dies_leaves_its_cells_and_says_how(tmp_path: Path) -> None:
    path = save(notebook("print('kept')", "import os; os.abort()", "3"), tmp_path / "in.ipynb")
    made, error = run(path, tmp_path / "out.ipynb")
    assert "SIGABRT" in error
    assert "In [2]" in error
    codes = [cell for cell in made.cells if cell.cell_type == "code"]
    assert codes[0].outputs[0].text == "kept\n"
    assert codes[1].outputs[-1].ename == "DeadKernelError"
    assert codes[1].metadata.papermill.status == "failed"
    assert made.cells[0].metadata.tags == ["papermill-error-cell-tag"]


def test_a_cell_over_its_time_ends_the_notebook(tmp_path: Path) -> None:
    path = save(notebook("print('kept')", "while True: pass"), tmp_path / "in.ipynb")
    made, error = run(path, tmp_path / "out.ipynb", execution_timeout=1)
    assert "CellTimeoutError" in error
    codes = [cell for cell in made.cells if cell.cell_type == "code"]
    assert codes[0].outputs[0].text == "kept\n"
    assert codes[1].metadata.papermill.exception is True


def test_a_notebook_with_widgets_is_given_to_a_kernel(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = save(notebook("import ipywidgets", "ipywidgets.IntSlider(3)"), tmp_path / "in.ipynb")
    made, error = run(path, tmp_path / "out.ipynb")
    assert error == ""
    assert "comm" in caplog.text
    assert "application/vnd.jupyter.widget-view+json" in made.cells[1].outputs[0].data
    assert "widgets" in made.metadata
    assert [cell.metadata.papermill.status for cell in made.cells] == ["completed", "completed"]


def test_a_kernel_that_does_not_exist_is_named(tmp_path: Path) -> None:
    path = save(notebook("1"), tmp_path / "in.ipynb")
    with pytest.raises(UnsupportedError, match=r"kernel 'nonsense', .* Installed: .*python3"):
        run(path, tmp_path / "out.ipynb", kernel_name="nonsense")


def test_outputs_are_logged_and_written_as_they_come(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="papermill")
    path = save(
        notebook("print('said')", "import sys; print('warned', file=sys.stderr)"), tmp_path / "in.ipynb"
    )
    with (tmp_path / "stdout.txt").open("w") as file:
        run(path, tmp_path / "out.ipynb", log_output=True, stdout_file=file)
    assert (tmp_path / "stdout.txt").read_text() == "said\n"
    assert ("INFO", "said\n") in [(r.levelname, r.getMessage()) for r in caplog.records]
    assert ("WARNING", "warned\n") in [(r.levelname, r.getMessage()) for r in caplog.records]


def papermill_command(tmp_path: Path, path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run papermill's own command with the engine, found as an installed one is."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    named = project["entry-points"]["papermill.engine"]
    info = tmp_path / "found" / "installed-1.0.dist-info"  # what installing makes of the project's lines
    info.mkdir(parents=True)
    lines = "\n".join(f"{name} = {value}" for name, value in named.items())
    (info / "entry_points.txt").write_text(f"[papermill.engine]\n{lines}\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: installed\nVersion: 1.0\n")
    search = os.pathsep.join(
        [str(tmp_path / "found"), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    )
    given = ["--engine", "workbench", str(path), str(tmp_path / "out.ipynb"), "--log-output", *words]
    return subprocess.run(
        [sys.executable, "-m", "papermill", *given],
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=False,
    )


def test_papermills_command_finds_the_engine(tmp_path: Path) -> None:
    path = save(notebook("sigma = 1", "sigma * 2", tags={0: ["parameters"]}), tmp_path / "in.ipynb")
    done = papermill_command(tmp_path, path, "-p", "sigma", "2")
    assert done.returncode == 0, done.stderr
    assert "Executing notebook in a forked process" in done.stderr
    assert nbformat.read(tmp_path / "out.ipynb", 4).cells[2].outputs[0].data["text/plain"] == "4"


@pytest.mark.parametrize(
    ("words", "problems"),
    [
        (
            "-p sigma wide -p n 1.5",
            ["'sigma' is 'wide', expected a number", "'n' is 1.5, expected a whole number"],
        ),
        ("-p sigma 99", ["'sigma' is 99 px, expected 0.0 to 10.0"]),
        ("-p sigma 1 -p sigam 2", ["'sigam' is not known"]),
        ("-p n 2", ["'sigma' has no value and no default"]),
    ],
)
def test_papermills_command_refuses_wrong_parameters_by_name(
    tmp_path: Path, words: str, problems: list[str]
) -> None:
    marker = tmp_path / "started"
    declared = "sigma: float  # Width, px, 0..10\nn: int = 1"
    cell = f"open({str(marker)!r}, 'w').close()"
    path = save(notebook(declared, cell, tags={0: ["parameters"]}), tmp_path / "in.ipynb")
    done = papermill_command(tmp_path, path, *words.split())
    assert done.returncode == 1
    for problem in problems:
        assert f"Parameter {problem}" in done.stderr
    assert not marker.exists()
    assert not (tmp_path / "out.ipynb").exists()


def test_wrong_parameters_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = save(
        notebook("sigma: float = 1.0\nname: str = 'x'", "1", tags={0: ["parameters"]}), tmp_path / "in.ipynb"
    )
    with pytest.raises(InvalidParameterError) as caught:
        papermill.execute_notebook(
            path, tmp_path / "out.ipynb", {"sigma": "wide", "sigam": 1}, engine_name="workbench"
        )
    assert set(caught.value.problems) == {"sigma", "sigam"}
    assert not (tmp_path / "out.ipynb").exists()


MODEL = "from pydantic import BaseModel\nclass P(BaseModel):\n    sigma: float = 2.0\n    n: int = 1\n"
MODE = (
    'from enum import Enum\nclass Mode(Enum):\n    FAST = "fast"\n    SLOW = "slow"\nmode: Mode = Mode.FAST\n'
)


def shown(made: Any) -> str:
    """Return what the last cell shows."""
    return str(made.cells[-1].outputs[-1].data["text/plain"])


@pytest.mark.parametrize(
    ("declared", "given", "cell", "expected"),
    [
        (MODEL + "p = P()", {"sigma": 5}, "p, sigma", "(P(sigma=5.0, n=1), 5.0)"),
        (MODEL, {"sigma": 5}, "sigma, n", "(5.0, 1)"),
        (MODEL, {}, "sigma, n", "(2.0, 1)"),
        (MODE, {"mode": "slow"}, "mode is Mode.SLOW", "True"),
        ("size: tuple[int, int] = (1, 2)\nx: float = 1", {"size": [3, 4]}, "size, x", "((3, 4), 1.0)"),
    ],
)
def test_values_are_set_as_a_sweep_sets_them(
    declared: str, given: dict[str, Any], cell: str, expected: str, tmp_path: Path
) -> None:
    path = save(notebook("'first'", declared, cell, tags={1: ["parameters"]}), tmp_path / "in.ipynb")
    made, error = run(path, tmp_path / "out.ipynb", parameters=given)
    assert (error, shown(made)) == ("", expected)
    template = load_template(path)
    theirs = template.with_parameters(template.check(given))
    assert [cell.source for cell in made.cells] == [cell.source for cell in theirs.cells]
    assert made.cells[2].metadata.tags == ["injected-parameters"]
    assert made.metadata.papermill.parameters == given


def test_what_the_parameters_cell_sets_itself_is_not_set_again(tmp_path: Path) -> None:
    path = save(notebook("x: float = 1.0", "x", tags={0: ["parameters"]}), tmp_path / "in.ipynb")
    made, _ = run(path, tmp_path / "out.ipynb")
    assert len(made.cells) == 2


def test_an_injected_cell_that_was_edited_stays(tmp_path: Path) -> None:
    path = save(notebook("x: float = 1.0", "x", tags={0: ["parameters"]}), tmp_path / "in.ipynb")
    made, _ = run(path, tmp_path / "first.ipynb", parameters={"x": 2})
    made.cells[1].source = "x = 7"
    again, _ = run(save(made, tmp_path / "edited.ipynb"), tmp_path / "out.ipynb")
    assert shown(again) == "7"


@pytest.mark.parametrize("declared", ["# those of the algorithm", "gain = 2.0", None])
def test_parameters_of_an_algorithm_are_checked_and_set(
    declared: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = ("gain",) if declared is None else (declared, "gain")
    made = notebook(*sources, tags={} if declared is None else {0: ["parameters"]})
    made.metadata["workbench"] = {"algorithm": "invert@1"}
    path = save(made, tmp_path / "in.ipynb")
    with workbench.open(tmp_path / "ws") as ws:
        ws.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN), check=False)
        assert shown(run(path, tmp_path / "out.ipynb", parameters={"gain": 3})[0]) == "3.0"
        default = shown(run(path, tmp_path / "out.ipynb")[0])
        assert default == ("2.0" if declared == "gain = 2.0" else "1.0")
        with pytest.raises(InvalidParameterError, match="'gain' is 99"):
            run(path, tmp_path / "none.ipynb", parameters={"gain": 99})
    assert not (tmp_path / "none.ipynb").exists()


def test_parameters_that_are_declared_wrong_are_refused(tmp_path: Path) -> None:
    path = save(notebook("a: int = 1\na: int = 2", "a", tags={0: ["parameters"]}), tmp_path / "in.ipynb")
    with pytest.raises(InvalidTemplateError, match="'a' is assigned twice"):
        run(path, tmp_path / "out.ipynb", parameters={"a": 3})
    assert not (tmp_path / "out.ipynb").exists()


def test_parameters_in_another_language_are_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spec = tmp_path / "jupyter" / "kernels" / "ir"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "R", "language": "R"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    made = notebook("a = 1", "a", tags={0: ["parameters"]})
    made.metadata["kernelspec"] = {"name": "ir", "display_name": "R", "language": "R"}
    made.metadata["language_info"] = {"name": "R"}
    path = save(made, tmp_path / "in.ipynb")
    done, error = run(path, tmp_path / "out.ipynb", kernel_name="ir", parameters={"a": 5})
    assert (error, shown(done)) == ("", "5")
    assert "Parameters in R are not read" in caplog.text
    assert load_template(path).check({"a": 5}) == {"a": 5}


def test_a_model_of_a_module_beside_the_notebook(tmp_path: Path) -> None:
    (tmp_path / "blurs.py").write_text(MODEL)
    made = notebook("from blurs import P\np = P()", "p.sigma", tags={0: ["parameters"]})
    made.metadata["workbench"] = {"parameters": "P"}
    path = save(made, tmp_path / "in.ipynb")
    assert shown(run(path, tmp_path / "out.ipynb", cwd=tmp_path, parameters={"sigma": 5})[0]) == "5.0"
