"""``%pipe`` in a real IPython shell, and ``workbench pipeline`` in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
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


BLUR = """
from workbench import Node, Pipeline

def blur(image, factor=1.0):
    return image * factor

def kind(x):
    return type(x).__name__

pipe = Pipeline([Node(blur, "__pipeline_input__")], "blur")
kinds = Pipeline([Node(kind, "__pipeline_input__")], "kinds")
"""


def test_files_that_words_name_are_read_for_functions(shell: InteractiveShell) -> None:
    shell.run_cell(BLUR)
    do, image = shell.run_line_magic, np.load("image.npy")
    tifffile.imwrite("image.tif", image)
    for line in ("run pipe image.npy blur.factor=2", "run pipe image.tif blur.factor=2 -x process"):
        run = do("pipe", line)
        np.testing.assert_array_equal(run.result(), image * 2)
        (source,) = (workbench.current().datasets.find(id) for id in run.node("blur").record.inputs)
        assert source.record.source == line.split()[2]
    assert do("pipe", "run pipe image.npy blur.factor=2").nodes[0].reused
    np.save("image.npy", image + 1)
    np.testing.assert_array_equal(do("pipe", "run pipe image.npy blur.factor=2").result(), image * 2 + 2)
    workbench.current().datasets.put({"image": image}, name="scan-7")
    np.testing.assert_array_equal(do("pipe", "run pipe scan-7").result(), image)
    Path("notes.txt").write_text("not an image")
    shell.run_cell("from pathlib import Path; there = Path('image.npy')")
    for word in ("notes.txt", "there"):  # a variable has a type
        assert do("pipe", f"run kinds {word}").result() == type(Path()).__name__
    assert do("pipe", "run kinds image.npy").result() == "ndarray"
    Path("cut.tif").write_bytes(Path("image.tif").read_bytes()[:20])
    with pytest.raises(UsageError, match=r"cut\.tif"):
        do("pipe", "run kinds cut.tif")


def test_several_words_are_one_input_only_of_an_algorithm(shell: InteractiveShell) -> None:
    shell.run_cell(SOURCE)
    shell.run_cell(BLUR.replace("pipe =", "blurred ="))
    do = shell.run_line_magic
    with pytest.raises(UsageError, match="was given 2 inputs and reads 1"):
        do("pipe", "run kinds 3 4")
    with pytest.raises(UsageError, match="int"):
        do("pipe", "run pipe 3 4")
    several = "both = Pipeline([Node('invert', '__pipeline_input__')], 'both')"
    shell.run_cell(several)
    np.save("other.npy", np.load("image.npy") * 2)
    assert len(do("pipe", "run both image.npy other.npy").result()) == 2


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


def test_after_a_restart_what_is_listed_is_shown(shell: InteractiveShell) -> None:
    shell.run_cell(SOURCE)
    shell.run_cell("import numpy as np\nimage = np.load('image.npy')\nrun = pipe.run(image)")
    run = shell.user_ns["run"].id
    for name in ("pipe", "run"):
        del shell.user_ns[name]
    assert "demo" in repr(shell.run_line_magic("pipe", ""))
    for what in ("demo", run, "last"):
        shown = shell.run_line_magic("pipe", f"show {what}")
        assert shown.id == run
        assert shown._repr_html_().count('data-status="COMPLETED"') == 3
    with pytest.raises(UsageError, match=f"known by its runs, and not defined here.*%algoreplay {run}"):
        shell.run_line_magic("pipe", "run demo image")
    with pytest.raises(UsageError, match="There is no pipeline 'demos' here"):
        shell.run_line_magic("pipe", "show demos")


def test_the_command_line_starts_follows_and_cancels(folder: Path) -> None:
    def call(*arguments: str):
        return CliRunner().invoke(main, ["-w", str(folder / "ws"), *arguments])

    started = call("pipeline", "run", "pipelines.py", "image.npy", "-b")
    assert started.exit_code == 0, started.output
    run = started.output.split()[-1]
    assert f"workbench pipeline attach {run}" in started.output
    followed = call("pipeline", "attach", run)
    assert followed.exit_code == 0, followed.output
    assert "mean: " in followed.output
    assert "COMPLETED" in followed.output
    assert run in call("pipeline", "runs").output
    assert run in call("pipeline", "runs", "demo").output
    assert "No runs of pipelines" in call("pipeline", "runs", "other").output
    assert "COMPLETED" in call("pipeline", "cancel", run).output
    assert call("pipeline", "list").output == call("pipeline", "ls").output
    assert run in call("pipeline", "show", "demo").output
    failed = call("pipeline", "run", "demo", "image.npy")
    assert f"workbench pipeline show {run}" in failed.output
    assert f"workbench replay {run}" in failed.output
    here = call("pipeline", "run", "pipelines.py", "image.npy", "-b", "-x", "kernel")
    assert "mean: 15" in here.output


def test_a_terminal_is_told_of_commands_not_of_magics(folder: Path) -> None:
    def call(*arguments: str) -> str:
        failed = CliRunner().invoke(main, ["-w", str(folder / "ws"), *arguments])
        assert failed.exit_code == 1
        return failed.output

    assert "See: workbench versions, without a name" in call("versions", "nope")
    assert "neither a run nor a dataset 'nope'" in call("lineage", "nope")
    assert "workbench run" in call("jobs", "last")
    assert "%" not in call("pipeline", "show", "last")


def test_the_command_line_does_the_same(folder: Path) -> None:
    def call(*arguments: str):
        return CliRunner().invoke(main, ["-w", str(folder / "ws"), "pipeline", *arguments])

    assert "No pipelines" in call("ls").output
    shown = call("show", "pipelines.py")
    assert "reads __pipeline_input__" in shown.output
    done = call("run", "pipelines.py:pipe", "image.npy", "scale.factor=3")
    assert done.exit_code == 0, done.output
    assert "mean: 22.5" in done.output
    assert "demo" in call("ls").output
    assert "scale" in call("show", "last").output
    (folder / "blur.py").write_text(BLUR)
    done = call("run", "blur.py:pipe", "image.npy", "blur.factor=2")
    assert "blur: (4, 4) float32" in done.output
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
