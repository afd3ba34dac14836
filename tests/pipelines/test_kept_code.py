"""Functions and steps of notebooks and scripts are computed again in a fresh process, from what was kept of their code."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

import workbench
from workbench.errors import DamagedError, NotFoundError, UnsupportedError
from workbench.pipelines import Node, Pipeline
from workbench.pipelines.kept_code import CODE
from workbench.pipelines.own_code import NoSourceError
from workbench.pipelines.source_text import source_text
from workbench.steps import SklearnStep

IN, OUT = "__pipeline_input__", "__pipeline_output__"
SCRIPT = '''
import enum
import functools
import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.linalg import norm

import workbench
from workbench import Node, Pipeline
from workbench.steps import SklearnStep, Step
from workbench.versions import VersionedField

IN, OUT = "__pipeline_input__", "__pipeline_output__"
LIMITS = {"low": -math.inf, "high": 3.0, "names": ("a", {1, 2})}
TABLE = np.linspace(0, 1, 4, dtype="float32")


class Way(enum.Enum):
    UP = 1


@dataclass
class Bounds:
    low: float
    high: float = LIMITS["high"]

    def clip(self, x: np.ndarray) -> np.ndarray:
        return even(np.clip(x, self.low, self.high))


def even(x):
    return x if norm(x) >= 0 else odd(x)


def odd(x):
    return -even(-x)


def counted(function):
    @functools.wraps(function)
    def inside(*args, **kwargs):
        return function(*args, **kwargs) + TABLE.sum()

    return inside


@counted
def bounded(x, *, low: float = LIMITS["low"], way: "Way" = Way.UP):
    """Bounded from both sides."""
    assert way is Way.UP and functools.reduce
    return Bounds(low).clip(x) + np.random.normal(size=x.shape)


def times(factor):
    def apply(x, depth=2):
        return apply(x * factor, depth - 1) if depth else x

    return apply


class Shift(Step):
    by = VersionedField(2.0, "major")

    def __init__(self, more: int = 1) -> None:
        super().__init__()
        self.more = more

    def execute(self, x):
        return even(x) + self.by + self.more


class Line(SklearnStep):
    from sklearn.linear_model import LinearRegression as model_class


bound = functools.partial(bounded, low=-1.0)
PIPE = Pipeline(
    [
        Node(bound, IN, "bounded", name="bounded"),
        Node(times(3), "bounded", "times"),
        Node(lambda x: x.sum(axis=1), "times", "sums", name="sums"), Node(lambda x: x.max(), "times", "most", name="most"),
        Node(Shift(4), "sums", "shifted"),
        Node(Line("fit_predict"), ["times", "shifted"], "line"),
    ],
    "script",
)
USES = Pipeline([Node(Line("predict"), IN, OUT)], "uses")
'''
RUNS = """
with workbench.open(sys.argv[1]) as ws:
    x = np.arange(12.0).reshape(4, 3)
    how = {"executor": sys.argv[2], "wait": sys.argv[3] == "wait"}
    print(PIPE.run(x, workspace=ws, **how).wait().id)
    PIPE.save(workspace=ws)
    USES.load(workspace=ws)
    print(USES.run(x, workspace=ws, **how).wait().id)
"""
CELLS = """
from IPython.core.interactiveshell import InteractiveShell
import sys
shell = InteractiveShell.instance()
for cell in (sys.stdin.read().split("# next cell")):
    shell.run_cell(cell).raise_error()
"""


def replayed(folder: Path, run: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workbench", "-w", str(folder / "ws"), "replay", run]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


@pytest.mark.parametrize("how", [("kernel", "wait"), ("process", "go")])
def test_a_script_is_replayed_when_it_has_ended(tmp_path: Path, how: tuple[str, str]) -> None:
    (tmp_path / "script.py").write_text(SCRIPT + RUNS)
    command = [sys.executable, "script.py", str(tmp_path / "ws"), *how]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "script.py").unlink()
    whole, uses = done.stdout.split()
    again = replayed(tmp_path, whole)
    assert "Of 6 nodes: 6 identical." in again.stdout, again.stdout + again.stderr
    assert "Of 1 node: 1 identical." in replayed(tmp_path, uses).stdout
    with workbench.open(tmp_path / "ws") as ws:
        for node in (*ws.runs.get(whole).nodes, *ws.runs.get(uses).nodes):
            assert ws.runs.replay(node.run).is_identical, node.name


def test_a_notebook_is_replayed_when_its_kernel_has_ended(tmp_path: Path) -> None:
    cells = SCRIPT.replace("def times", "# next cell\ndef times") + "# next cell\n" + RUNS
    command = [sys.executable, "-c", CELLS, str(tmp_path / "ws"), "kernel", "wait"]
    done = subprocess.run(command, input=cells, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    whole, uses = done.stdout.split()
    again = replayed(tmp_path, whole)
    assert "Of 6 nodes: 6 identical." in again.stdout, again.stdout + again.stderr
    assert "Of 1 node: 1 identical." in replayed(tmp_path, uses).stdout


class Held:
    """An object."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class Line(SklearnStep):
    model_class = LinearRegression


HELD = Held.__new__(Held)


def names_an_object(x):
    return x if HELD else None


def closes_over(value):
    def inside(x):
        return x if value is None else x + 0

    return inside


API_KEY = "abc"


def tells_a_secret(x):
    return x if API_KEY else None


def in_a_function() -> type:
    class Inner:
        def execute(self, x):
            return x

    return Inner


exec("def no_source(x):\n    return x + 1")


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (names_an_object, "global 'HELD' is a Held, an object that no source text stands for"),
        (tells_a_secret, "global 'API_KEY' looks like a secret, and those are not written down"),
        (closes_over(HELD), "what it closes over, 'value', is a Held, an object that no source text"),
        (closes_over(np.zeros(1 << 20)), "what it closes over, 'value', is an array of 8388608 bytes"),
        (no_source, r"the source of it is not to be had \(<string>\)"),  # type: ignore[name-defined] # noqa: F821
    ],
)
def test_what_no_text_stands_for_is_named(ws, what, why: str) -> None:
    with pytest.raises(NoSourceError, match=why):
        source_text(what)
    run = Pipeline([Node(what, IN, name="odd"), Node(np.sqrt, "odd", OUT)], "odd").run(np.ones(3))
    assert run.node("odd").record.no_code
    again = run.replay() if run.node("odd").record.function else None
    if again is None or again.node("odd").verdict == "not replayed":
        assert "its code was not kept: " in (again or run.replay()).node("odd").text


def test_a_class_inside_of_a_function_is_named() -> None:
    with pytest.raises(NoSourceError, match=r"its class, in_a_function\.<locals>\.Inner, is defined inside"):
        source_text(in_a_function()(), {})


def test_a_file_that_was_edited_since_its_import_is_noticed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "edited_since.py"
    file.write_text("def f(x):\n    return x + 1\n")
    import edited_since  # type: ignore[import-not-found]

    file.write_text("def f(x):\n    return x + 2\n")
    with pytest.raises(
        NoSourceError, match=r"not the one it was made of: .*edited_since\.py was edited since"
    ):
        source_text(edited_since.f)


def test_code_of_a_module_that_was_edited_later_is_as_it_was(ws, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_once.py").write_text(
        "import helps_once\n\ndef f(x):\n    return helps_once.g(x)\n\ndef h(x):\n    return x * 2\n"
    )
    (tmp_path / "helps_once.py").write_text("def g(x):\n    return x + 1\n")
    import mine_once  # type: ignore[import-not-found]

    run = Pipeline([Node(mine_once.f, IN), Node(mine_once.h, "f", OUT)], "p").run(np.ones(3))
    assert run.replay().is_identical
    for name in ("mine_once", "helps_once"):
        del sys.modules[name]
        file = tmp_path / f"{name}.py"
        file.write_text(file.read_text() + "\n\ndef k(x):\n    return x\n")
    (tmp_path / "mine_once.py").write_text("def f(x):\n    return x\n\n\ndef h(x):\n    return x * 3\n")
    again = run.replay()
    assert again.node("h").verdict == "identical"
    assert again.node("f").text == "its code names module 'helps_once', which has changed since"


def test_kept_code_that_was_changed_is_not_executed(ws, tmp_path: Path) -> None:
    run = Pipeline([Node(lambda x: x + 1, IN, OUT, name="plus")], "p").run(np.ones(3))
    digest = run.node("plus").record.code
    assert ws.store.get(CODE, f"{digest}.py").decode().endswith("__result__ = _0_lambda\n")
    touched = tmp_path / "touched"
    ws.store.put(CODE, f"{digest}.py", f"open({str(touched)!r}, 'w')\n__result__ = abs\n".encode())
    with pytest.raises(DamagedError, match="is not what was kept"):
        run.node("plus").replay()
    assert not touched.exists()
    ws.store.delete(CODE, [f"{digest}.py"])
    with pytest.raises(NotFoundError, match="is gone from the store"):
        run.node("plus").replay()


def test_what_a_step_had_learned_and_nobody_kept_is_named(ws) -> None:
    step = Line("predict")
    step.model, step.train_time = LinearRegression().fit(np.eye(3), np.ones(3)), 1.0
    run = Pipeline([Node(step, IN, OUT)], "by_hand").run(np.eye(3))
    with pytest.raises(
        UnsupportedError, match="what that had learned is not to be had: it was trained outside of a run"
    ):
        run.node("line").replay()


def test_refused_pipelines_keep_no_code(ws) -> None:
    lock = threading.Lock()
    with pytest.raises(workbench.errors.InvalidPipelineError):
        Pipeline([Node(lambda x: x + 7, IN, name="a"), Node(lambda x: lock, "a", name="b")], "p").run(
            np.ones(3), executor="process"
        )
    assert not list(ws.store.list(CODE))
