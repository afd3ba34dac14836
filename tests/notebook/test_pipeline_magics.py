"""``%pipe`` in a real IPython shell, and ``workbench pipeline`` in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import GAIN, write_algorithm
from click.testing import CliRunner
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import workbench
from workbench.cli import main
from workbench.notebook.completion import complete

SOURCE = """
from workbench import Node, Pipeline

def scale(x, factor=2.0):
    return x * factor

def mean(x):
    return float(x.mean())

pipe = Pipeline([Node("invert", "__pipeline_input__"), Node(scale, "invert"), Node(mean, "scale")], "demo")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with pipelines, an image and a workspace with an algorithm."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipelines.py").write_text(SOURCE)
    np.save("image.npy", np.arange(16, dtype=np.float32).reshape(4, 4))
    with workbench.open(tmp_path / "ws") as ws:
        ws.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN), check=False)
    return tmp_path


@pytest.fixture
def shell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    hook, display = sys.excepthook, sys.displayhook
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_line_magic("load_ext", "workbench")
    shell.run_line_magic("workbench", str(folder / "ws"))
    yield shell
    workbench.current().close()
    shell.run_line_magic("unload_ext", "workbench")
    assert "pipe" not in shell.magics_manager.magics["line"]
    assert "pipe" not in shell.magics_manager.magics["cell"]
    InteractiveShell.clear_instance()
    sys.excepthook, sys.displayhook = hook, display


def test_nothing_is_said_where_there_is_none(shell: InteractiveShell) -> None:
    assert "pipe = Pipeline([Node(...), ...])" in repr(shell.run_line_magic("pipe", ""))
    assert "Run one" in repr(shell.run_line_magic("pipe", "runs"))
    with pytest.raises(UsageError, match="Make one: pipe = Pipeline"):
        shell.run_line_magic("pipe", "show demo")


def test_pipelines_of_the_notebook_are_listed_shown_and_run(shell: InteractiveShell) -> None:
    shell.run_cell(SOURCE)
    shell.run_cell("import numpy as np\nimage = np.load('image.npy')")
    do = shell.run_line_magic
    assert "demo" in repr(do("pipe", "list"))
    assert do("pipe", "show pipe") is do("pipe", "show demo") is shell.user_ns["pipe"]
    run = do("pipe", "run pipe image scale.factor=3 invert.gain=2 -o out --tag mine")
    assert run.status == "COMPLETED"
    assert shell.user_ns["out"] == run.result() == 7.5 * 2 * 3
    assert run.record.tags == ("mine",)
    assert run.node("invert").parameters["gain"] == 2.0
    row = next(iter(do("pipe", "")))
    assert (row["variable"], row["last run"], row["status"]) == ("pipe", run.id, "COMPLETED")
    again = shell.run_cell_magic("pipe", "run pipe image.npy", "scale:\n  factor: 3\ninvert:\n  gain: 2")
    assert [n.reused for n in again.nodes][1:] == [True, True]
    assert [r.id for r in do("pipe", "runs pipe")] == [again.id, run.id]
    assert "3 of 3, " in repr(do("pipe", "runs"))


def test_functions_take_numbers_and_texts(shell: InteractiveShell) -> None:
    shell.run_cell("from workbench import Node, Pipeline")
    shell.run_cell("twice = Pipeline([Node(lambda x: x * 2, '__pipeline_input__', name='twice')], 'twice')")
    assert shell.run_line_magic("pipe", "run twice 1.5").result() == 3.0
    assert shell.run_line_magic("pipe", "run twice \"'ab'\"").result() == "abab"


def test_background_and_attach(shell: InteractiveShell) -> None:
    shell.run_cell(SOURCE)
    run = shell.run_line_magic("pipe", "run pipe image.npy -b")
    assert run.wait(60).status == "COMPLETED", run.error
    view = shell.run_line_magic("pipe", f"attach {run.id}")
    assert 'data-status="COMPLETED"' in view._nodes.value
    view.close()


def test_mistakes_are_one_line(shell: InteractiveShell) -> None:
    shell.run_cell(SOURCE)
    do = shell.run_line_magic
    for line, text in (
        ("run pip image.npy", "Did you mean 'pipe'"),
        ("run", "Which one"),
        ("run pipe image.npy factor=3", "Write node.factor=3"),
        ("run pipe image.npy scael.factor=3", "Did you mean 'scale'"),
        ("run pipe image.npy scale.fcator=3", "Did you mean 'factor'"),
        ("run pipe nothing", "nothing"),
        ("run pipe image.npy -o 3", "no variable name"),
        ("run pipe image.npy -b --debug", "Keep one"),
        ("dance", "invalid choice"),
    ):
        with pytest.raises(UsageError, match=text):
            do("pipe", line)
    assert len(workbench.current().runs.list()) == 0


def test_completion_knows_actions_pipelines_and_nodes(shell: InteractiveShell) -> None:
    shell.run_cell(SOURCE)
    assert complete(shell, "%pipe r")[1] == ["run", "runs"]
    assert "pipe" in complete(shell, "%pipe run p")[1]
    assert complete(shell, "%pipe run pipe image.npy sc")[1] == ["scale.factor="]
    assert complete(shell, "%pipe run pipe image.npy inv")[1] == ["invert.gain="]
    assert "--executor" in complete(shell, "%pipe run pipe --e")[1]


def test_the_command_line_does_the_same(folder: Path) -> None:
    def call(*arguments: str):
        return CliRunner().invoke(main, ["-w", str(folder / "ws"), "pipeline", *arguments])

    assert "No pipelines" in call("ls").output
    shown = call("show", "pipelines.py")
    assert "reads pipeline_input" in shown.output
    done = call("run", "pipelines.py:pipe", "image.npy", "scale.factor=3")
    assert done.exit_code == 0, done.output
    assert "mean: 22.5" in done.output
    assert "demo" in call("ls").output
    assert "scale" in call("show", "last").output
    for arguments, text in (
        (("run", "pipelines.py:pip"), "Did you mean 'pipe'"),
        (("run", "nothing.py"), "There is no file"),
        (("run", "pipelines.py", "image.npy", "factor=3"), "Write node.factor=3"),
        (("run", "not.a.module:pipe"), "cannot be imported"),
    ):
        failed = call(*arguments)
        assert failed.exit_code == 1
        assert text in failed.output
    (folder / "bad.py").write_text(SOURCE.replace("float(x.mean())", "1 / 0"))
    failed = call("run", "bad.py", "image.npy")
    assert failed.exit_code == 1
    assert "ZeroDivisionError" in failed.output
