"""``%algodiff``, ``%algoexport``, ``%algoimport``, ``%algocheckout`` in a real IPython shell."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import GAIN, INVERT, write_algorithm
from click.testing import CliRunner
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import workbench
from workbench.cli import main
from workbench.notebook.completion import complete


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
    assert "algodiff" not in shell.magics_manager.magics["line"]
    InteractiveShell.clear_instance()
    sys.excepthook, sys.displayhook = hook, display


@pytest.fixture
def ws(shell: InteractiveShell, tmp_path: Path) -> workbench.Workspace:
    """Give the current workspace, with two revisions that both ran."""
    found = workbench.current()
    for code in (INVERT, INVERT.replace("data.max() - data", "data.max() + data")):
        found.algorithms.deploy(write_algorithm(tmp_path / "invert", code=code, extra=GAIN), check=False)
        found.run("invert", np.ones((4, 4), np.float32))
    return found


def test_runs_and_versions_are_compared(
    shell: InteractiveShell, ws: workbench.Workspace, tmp_path: Path
) -> None:
    def do(line: str) -> object:
        return shell.run_line_magic("algodiff", line)

    older = ws.runs.list()[1].id
    newest, first = (a.id for a in ws.algorithms.revisions("invert"))
    assert repr(do(older)).startswith(f"Runs {older} and {ws.runs.get('last').id}")
    assert repr(do(f"{older} last")) == repr(do(older))
    assert "data.max() + data" in repr(do("invert"))
    assert repr(do(f"{first} invert@1.0")) == repr(do("invert"))
    assert "0 differences" in repr(do(f"invert {newest}"))
    for line, problem in {
        f"{older} invert": "A run and the algorithm 'invert' are not compared",
        "invret": "Did you mean 'invert'",
        first: "There is nothing before",
    }.items():
        with pytest.raises(UsageError, match=problem):
            do(line)

    def call(*words: str) -> str:
        return CliRunner().invoke(main, ["-w", str(tmp_path / "ws"), *words]).output

    expected = {ref: f"{do(ref)!r}\n" for ref in ("invert", older)}
    assert {ref: call("compare", ref) for ref in expected} == expected


def test_an_algorithm_is_written_to_a_file_and_brought_back(
    shell: InteractiveShell, ws: workbench.Workspace, tmp_path: Path
) -> None:
    do = shell.run_line_magic
    assert do("algoexport", "invert") == Path("invert-1.0.wbalg")
    with pytest.raises(UsageError, match="is there already"):
        do("algoexport", "invert")
    do("algoexport", "invert invert-1.0.wbalg --overwrite --data")
    do("workbench", str(tmp_path / "other"))
    assert "2" in repr(do("algoimport", "invert-1.0.wbalg --dry-run"))
    assert "nothing was imported" in do("algoimport", "invert-1.0.wbalg --dry-run")._repr_html_()
    assert len(do("algoimport", "invert-1.0.wbalg").runs) == 2
    assert len(do("algols", "")) == 1
    assert do("algols", "--as-of 2001-01-01").rows() == []
    with pytest.raises(UsageError, match="There is no file"):
        do("algoimport", "absent.wbalg")


def test_a_repository_is_cloned_as_it_was(shell: InteractiveShell, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    write_algorithm(root / "invert")
    for words in (
        ("init", "-q"),
        ("add", "."),
        ("-c", "user.name=t", "-c", "user.email=t@x.org", "commit", "-qm", "1"),
    ):
        subprocess.run(["git", "-C", str(root), *words], check=True)
    (root / "invert" / "note.txt").write_text("not committed")
    workbench.current().algorithms.deploy(root / "invert", check=False)
    assert shell.run_line_magic("algocheckout", "invert clone") == Path("clone/invert")
    assert (tmp_path / "clone" / "invert" / "note.txt").read_text() == "not committed"
    with pytest.raises(UsageError, match="is there already"):
        shell.run_line_magic("algocheckout", "invert clone")


def test_words_are_completed(shell: InteractiveShell, ws: workbench.Workspace) -> None:
    ws.algorithms.export("invert", "invert.wbalg")
    assert complete(shell, "%algodiff inv")[1] == ["invert"]
    assert "last" in complete(shell, "%algodiff invert ")[1]
    assert complete(shell, "%algoimport in")[1] == ["invert.wbalg"]
    assert complete(shell, "%algoexport invert@")[1] == ["invert@1", "invert@1.0"]
