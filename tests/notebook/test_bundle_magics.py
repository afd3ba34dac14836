"""``%bundle`` in a real IPython shell, and ``workbench bundle`` in a terminal."""

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


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand beside a folder ``ml`` with two files."""
    monkeypatch.chdir(tmp_path)
    for name in ("data/a.jpg", "output/model.pth"):
        path = tmp_path / "ml" / name
        path.parent.mkdir(parents=True)
        path.write_text(name)
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
    assert "bundle" not in shell.magics_manager.magics["line"]
    InteractiveShell.clear_instance()
    sys.excepthook, sys.displayhook = hook, display


def test_a_bundle_is_pushed_pulled_compared_and_deleted(shell: InteractiveShell, folder: Path) -> None:
    def do(line: str) -> object:
        return shell.run_line_magic("bundle", line)

    assert "would be sent" in repr(do("push insects ml --dry-run"))
    assert list(do("push insects ml --what model -m 'the first'")) == ["output/model.pth"]  # type: ignore[call-overload]
    assert list(do("push insects ml")) == ["data/a.jpg"]  # type: ignore[call-overload]
    assert len(do("pull insects@1 copy")) == 1  # type: ignore[arg-type]
    assert "1 new there" in repr(do("diff insects copy"))
    assert "the first" in repr(do("ls insects"))
    assert "output/model.pth" in repr(do("ls insects@1"))
    assert "output/model.pth" not in repr(do("ls insects@1 --what data"))
    assert "insects" in repr(do("ls"))
    do("verify insects")
    (folder / "ml" / "data" / "a.jpg").write_text("mine")
    (folder / "copy" / "data").mkdir()
    (folder / "copy" / "data" / "a.jpg").write_text("theirs")
    do("push insects ml")
    with pytest.raises(UsageError, match=r"prefer='mine'"):
        do("pull insects copy")
    assert list(do("pull insects copy --prefer theirs")) == ["data/a.jpg"]  # type: ignore[call-overload]
    for line, problem in {
        "push": "Which bundle",
        "push insects": "Which folder",
        "ls insects ml": "one word too many",
        "diff insects ml --delete": "takes no --delete",
        "pull insects ml -m text": "takes no --message",
        "rm insects": "deletes for good",
        "steal insects": "invalid choice",
    }.items():
        with pytest.raises(UsageError, match=problem):
            do(line)
    assert "back again" in repr(do("restore insects@1 -m 'back again'"))
    assert do("rm insects@1 --yes") == "deleted 1 version of insects"


def test_words_of_bundles_are_completed(shell: InteractiveShell) -> None:
    workbench.current().bundles.push("insects", "ml")
    assert "push" in complete(shell, "%bundle ")[1]
    assert complete(shell, "%bundle pull in")[1] == ["insects"]
    assert complete(shell, "%bundle pull insects@")[1] == ["insects@1"]
    assert "ml/" in complete(shell, "%bundle pull insects ")[1]
    assert complete(shell, "%bundle pull insects ml --prefer ")[1] == ["mine", "theirs"]


def test_the_command_does_the_same(folder: Path) -> None:
    def call(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(main, ["-w", str(folder / "ws"), "bundle", *words])
        assert done.exit_code == code, done.output
        return done.output

    assert "There is no workspace" in call("ls", code=1)
    assert "2 files (26 B) moved" in call("push", "insects", "ml", "-m", "first")
    assert "first" in call("ls", "insects")
    assert "data/a.jpg" in call("ls", "insects@1")
    assert "data/a.jpg" not in call("ls", "insects", "--what", "model")
    assert "Of which bundle?" in call("ls", "--what", "model", code=1)
    assert "fetched" in call("pull", "insects", "copy", "--what", "data")
    assert "1 new there" in call("diff", "insects", "copy")
    assert "insects" in call("verify", "insects")
    assert "version 1 again" in call("restore", "insects@1")
    assert "Which version" in call("restore", "insects", code=1)
    assert "Did you mean 'insects'" in call("pull", "insect", "copy", code=1)
    assert "deleted 2 versions" in call("rm", "insects", "--yes")
    assert call("ls") == "No bundles. Make one: ws.bundles.push('insects', 'folder').\n"
