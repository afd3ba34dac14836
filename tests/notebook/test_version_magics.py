"""``%versions``, ``%links``, ``%retrain``, what a cell changed; in a real IPython shell and in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import workbench
from workbench.cli import main
from workbench.notebook.completion import complete

STEPS = """
import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from workbench import Node, Pipeline
from workbench.steps import SklearnStep

class Reduce(SklearnStep):
    model_class = PCA
    model_parameters = {"n_components": %d, "random_state": 0}

class Classify(SklearnStep):
    model_class = LogisticRegression

train = Pipeline([Node(Reduce(), "x", "reduced"), Node(Classify("fit"), ["reduced", "y"])], name="train", inputs=["x", "y"])
x = np.random.default_rng(0).normal(size=(40, 4))
y = (x[:, 0] > 0).astype(int)
"""
RUNNER = """
from workbench.runners import BaseRunner
from workbench.versions import VersionedDict, VersionedField

class Runner(BaseRunner):
    sigma = VersionedField(%r, "major")
    options = VersionedDict({"loud": False}, "patch")

    def inference(self, data, args={}):
        return data

    def preprocess(self, input_data, args={}):
        return self.sigma

    def postprocess(self, data, args={}):
        return [str(data)]
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    hook, display = sys.excepthook, sys.displayhook
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_line_magic("load_ext", "workbench")
    shell.run_line_magic("workbench", str(tmp_path / "ws"))
    yield shell
    workbench.current().close()
    shell.run_line_magic("unload_ext", "workbench")
    assert not shell.events.callbacks["post_run_cell"]
    InteractiveShell.clear_instance()
    sys.excepthook, sys.displayhook = hook, display


def cell(shell: InteractiveShell, code: str) -> None:
    shell.run_cell(code).raise_error()


def test_a_class_that_is_declared_again_says_what_changed(shell, capsys) -> None:
    cell(shell, STEPS % 2)
    assert capsys.readouterr().out == ""
    cell(shell, "%retrain train x y")
    capsys.readouterr()
    cell(shell, STEPS % 3)
    assert capsys.readouterr().out == (
        "reduce: major change: model_parameters['n_components'] 2 -> 3, downstream classify needs retraining\n"
    )
    cell(shell, "1 + 1")
    assert "change" not in capsys.readouterr().out
    page = shell.run_line_magic("retrain", "train x y")
    assert [row["after"] for row in page] == ["reduce@2.0.0", "classify@1.0.1"]
    cell(shell, STEPS % 3)
    assert capsys.readouterr().out == ""


def test_a_restarted_kernel_compares_with_what_was_saved(shell, capsys) -> None:
    cell(shell, STEPS % 2)
    cell(shell, "train.run(x, y).result(); train.save()")
    shell.run_line_magic("unload_ext", "workbench")
    shell.reset(new_session=False)
    shell.run_line_magic("load_ext", "workbench")
    capsys.readouterr()
    cell(shell, STEPS % 2)
    assert capsys.readouterr().out == ""
    shell.run_line_magic("unload_ext", "workbench")
    shell.reset(new_session=False)
    shell.run_line_magic("load_ext", "workbench")
    cell(shell, STEPS % 1)
    assert "reduce: major change: model_parameters['n_components'] 2 -> 1" in capsys.readouterr().out


def test_versions_and_links_are_tables(shell) -> None:
    do = shell.run_line_magic
    assert "No versions" in repr(do("versions", ""))
    assert "No links" in repr(do("links", ""))
    cell(shell, STEPS % 2)
    do("retrain", "train x y")
    cell(shell, STEPS % 3)
    do("retrain", "train x y")
    rows = do("versions", "reduce").rows()
    assert [row["number"] for row in rows] == ["2.0.0", "1.0.0"]
    assert rows[0]["changed"] == "major: model_parameters['n_components'] 2 -> 3; patch: trained again"
    assert repr(do("versions", "Reduce")) == repr(do("versions", "reduce"))
    assert [row["number"] for row in do("versions", "train").rows()] == ["2.0.0", "1.0.0"]
    assert [(r["name"], r["kind"], r["newest"]) for r in do("versions", "").rows()] == [
        ("classify", "step", "1.0.1"),
        ("reduce", "step", "2.0.0"),
        ("train", "pipeline", "2.0.0"),
    ]
    assert [(r["version"], r["upstream version"]) for r in do("links", "classify reduce").rows()] == [
        ("1.0.0", "1.0.0"),
        ("1.0.1", "2.0.0"),
    ]
    (row, trained) = do("versions", "reduce 1.0.0").rows()
    assert row == {
        "change": "major",
        "field": "model_parameters['n_components']",
        "before": "2",
        "after": "3",
    }
    assert trained["field"] == "(trained)"
    assert "The two versions are the same" in repr(do("versions", "reduce 2.0.0 2.0.0"))
    assert [row["change"] for row in do("versions", "train 1.0.0 2.0.0").rows()] == [
        "major",
        "patch",
        "patch",
    ]
    with pytest.raises(UsageError, match="no number of a version"):
        do("versions", "reduce one")
    with pytest.raises(UsageError, match="Did you mean 'reduce'"):
        do("versions", "reduse")
    with pytest.raises(UsageError, match="There is no step 'train'"):
        do("links", "train")
    assert complete(shell, "%versions re")[1] == ["reduce"]
    assert complete(shell, "%links cl")[1] == ["classify"]
    assert complete(shell, "%retrain tr")[1] == ["train"]
    assert complete(shell, "%retrain train ")[1][:2] == ["x", "y"]


def test_only_pipelines_are_retrained(shell) -> None:
    with pytest.raises(UsageError, match="There is no pipeline 'train' here"):
        shell.run_line_magic("retrain", "train x y")
    cell(shell, STEPS % 2)
    with pytest.raises(UsageError, match="There are: train"):
        shell.run_line_magic("retrain", "x y")


def test_an_algorithm_shows_the_version_of_its_fields(shell, capsys) -> None:
    first = shell.run_cell_magic("algorithm", "blur@1.0", RUNNER % 2.0)
    assert first.note == ""
    second = shell.run_cell_magic("algorithm", "blur@1.0", RUNNER % 3.0)
    assert second.note.endswith("; blur: major change: sigma 2.0 -> 3.0")
    assert "sigma 2.0 -&gt; 3.0</p>" in second._repr_mimebundle_()["text/html"]
    shell.run_cell_magic("algorithm", "blur@1.1", RUNNER % 3.0)
    rows = shell.run_line_magic("versions", "blur").rows()
    assert (rows[0]["number"], rows[0]["changed"]) == ("1.1", "minor: algorithm minor 0 -> 1")
    assert rows[1]["number"] == "1.0"
    assert rows[1]["changed"].startswith("major: sigma 2.0 -> 3.0; patch: code ")
    assert rows[2]["changed"] == "first version"
    assert len({row["digest"] for row in rows}) == 3
    changed = shell.run_line_magic("versions", "blur 1.0").rows()
    assert [(row["field"], row["after"]) for row in changed] == [("algorithm minor", "1")]
    assert "sigma=3.0 (major)" in repr(second._repr_mimebundle_()["text/plain"])


def test_an_algorithm_in_a_pipeline_tells_what_depends_on_it(shell) -> None:
    cell(shell, STEPS % 2)
    ws = workbench.current()
    shell.run_cell_magic("algorithm", "blur@1.0", RUNNER % 2.0)
    cell(shell, "def count(x):\n    return len(str(x))\n")
    cell(
        shell,
        "from workbench.steps import JsonStep\n"
        "class Keep(JsonStep):\n"
        "    state = ('n',)\n"
        "    n = 0\n"
        "    def execute(self, n):\n"
        "        self.n = n\n",
    )
    nodes = "Node('blur', '__pipeline_input__', 'b'), Node(count, 'b'), Node(Keep(), 'count')"
    cell(shell, f"pipe = Pipeline([{nodes}], name='counting')")
    cell(shell, "pipe.save()")
    assert ws.links.is_valid("count", "blur", ws.links.get("blur").version)
    deployed = shell.run_cell_magic("algorithm", "blur@1.0", RUNNER % 3.0)
    assert deployed.note.endswith(
        "sigma 2.0 -> 3.0, downstream keep needs retraining"
    )  # a function cannot be
    deployed = shell.run_cell_magic("algorithm", "blur@1.0", RUNNER % 2.0)
    assert deployed.note.endswith("sigma 3.0 -> 2.0")


def test_the_terminal_shows_the_same(shell, tmp_path) -> None:
    cell(shell, STEPS % 2)
    cell(shell, "train.run(x, y).result(); train.save()")
    for name in ("x", "y"):
        workbench.current().datasets.put({"data": shell.user_ns[name]}, name=name)

    def call(*words: str) -> str:
        return CliRunner().invoke(main, ["-w", str(tmp_path / "ws"), *words], catch_exceptions=False).output

    assert call("versions", "reduce").splitlines()[1].startswith("1.0.0 ")
    assert "train" in call("versions")
    assert "classify" in call("links", "classify")
    assert "Did you mean 'reduce'" in call("versions", "reduc")
    (tmp_path / "steps.py").write_text(STEPS % 3)
    said = call("retrain", "steps.py:train", "x", "y").splitlines()
    assert [line.split()[:3] for line in said[1:]] == [
        ["reduce", "reduce@1.0.0", "reduce@2.0.0"],
        ["classify", "classify@1.0.0", "classify@1.0.1"],
    ]
    assert "No stale nodes" in call("retrain", "steps.py:train", "x", "y")
