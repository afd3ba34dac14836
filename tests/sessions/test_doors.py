"""Sessions in the notebook and in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import generic, write_algorithm
from click.testing import CliRunner
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import workbench
from workbench.cli import main
from workbench.notebook.completion import complete
from workbench.notebook.painter import Painter
from workbench.notebook.session_view import ALL, SessionView
from workbench.sessions import Session, Sessions
from workbench.workspace import Workspace


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.chdir(tmp_path)
    hook, display = sys.excepthook, sys.displayhook
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_line_magic("load_ext", "workbench")
    shell.run_line_magic("workbench", str(tmp_path / "ws"))
    yield shell
    workbench.current().close()
    shell.run_line_magic("unload_ext", "workbench")
    InteractiveShell.clear_instance()
    sys.excepthook, sys.displayhook = hook, display


@pytest.fixture
def ws(shell: InteractiveShell) -> Workspace:
    return workbench.current()


def test_the_magic_lists_shows_clears_and_drops(shell: InteractiveShell, ws: Workspace) -> None:
    assert "No sessions" in repr(shell.run_line_magic("algosession", ""))
    ws.session("tuning")["volume"] = np.ones((3, 4))
    assert isinstance(shell.run_line_magic("algosession", "tuning"), Session)
    assert "volume" in repr(shell.run_line_magic("algosession", "tuning"))
    with pytest.raises(UsageError, match=r"no session 'tunign'\. Did you mean 'tuning'"):
        shell.run_line_magic("algosession", "tunign")  # looking makes none
    (info,) = shell.run_line_magic("algosession", "")
    assert (info.name, info.items) == ("tuning", 1)
    assert len(shell.run_line_magic("algosession", "tuning --clear")) == 0
    assert len(shell.run_line_magic("algosession", "tuning --drop")) == 0
    for line, match in (
        ("--clear", "Which session"),
        ("tuning --drop", "no session 'tuning'"),
        ("a/b", "Session name"),
    ):
        with pytest.raises(UsageError, match=match):
            shell.run_line_magic("algosession", line)
    assert ws.sessions.names() == []


def test_a_run_on_the_line_works_in_a_session(shell: InteractiveShell, ws: Workspace, tmp_path: Path) -> None:
    body = "self.save_item_to_session(data[0]['data'] + 1, 'plus')\nreturn [d['data'] for d in data]"
    folder = write_algorithm(tmp_path / "plus", "plus", generic(body), type="Generic")
    shell.run_line_magic("algodeploy", f"{folder} --no-check")
    shell.user_ns["volume"] = np.zeros(3)
    shell.run_line_magic("algorun", "plus volume -s tuning")
    assert ws.session("tuning")["plus"].tolist() == [1, 1, 1]


def test_sessions_are_completed(shell: InteractiveShell, ws: Workspace) -> None:
    ws.session("tuning")
    ws.session("other")

    def completions(line: str) -> list[str]:
        return complete(shell, line)[1]

    assert completions("%algosession tu") == ["tuning"]
    assert completions("%algosession tuning --d") == ["--drop"]
    assert completions("%algorun denoise volume -s ") == ["other", "tuning"]


def test_the_widget_shows_sessions_and_items_and_asks_before_it_removes(ws: Workspace) -> None:
    ws.session("tuning")["volume"] = np.ones((300, 400))
    ws.session("other")["<b>"] = 1
    view = SessionView(ws.sessions, painter=Painter())
    assert "2 sessions" in view._head.value
    assert "tuning" in view._table.value
    assert view._drop.disabled
    view._choice.value = "tuning"
    assert "300, 400" in view._table.value
    assert "942 KiB" in repr(view)
    ws.session("tuning")["more"] = 1
    assert "more" not in view._table.value
    view._refresh.click()
    assert "more" in view._table.value
    view._clear.click()
    assert (view._clear.description, len(ws.session("tuning"))) == ("Sure?", 2)
    view._refresh.click()  # not sure
    assert view._clear.description == "Clear"
    view._clear.click()
    view._clear.click()
    assert "No items" in view._table.value
    view._choice.value = "other"
    assert "&lt;b&gt;" in view._table.value
    view._drop.click()
    view._drop.click()
    assert ws.sessions.names() == ["tuning"]
    assert view._choice.value == ALL
    assert view._repr_mimebundle_()["text/plain"].startswith("1 session, ")
    view.close()


def test_a_watched_view_follows_until_it_is_closed(ws: Workspace) -> None:
    class Counting(Painter):
        ticking: list[bool] = []

        def tick(self, view: object, on: bool) -> None:
            self.ticking.append(on)

    view = SessionView(ws.sessions, painter=Counting())
    view._watch.value = True
    ws.session("new")
    view.paint(tick=True)
    assert "new" in view._table.value
    view._watch.value = False
    assert Counting.ticking == [True, False]
    view.close()


def test_the_magic_gives_the_widget(shell: InteractiveShell, ws: Workspace) -> None:
    ws.session("tuning")
    view = shell.run_line_magic("algosession", "tuning --view")
    assert isinstance(view, SessionView)
    assert view.name == "tuning"
    view.close()


def test_the_command_line_has_the_same(ws: Workspace, tmp_path: Path) -> None:
    ws.session("tuning")["volume"] = np.ones(3)

    def call(*words: str) -> str:
        done = CliRunner().invoke(main, ["-w", str(tmp_path / "ws"), "session", *words])
        assert done.exit_code == (1 if "Error" in done.output else 0), done.output
        return done.output

    assert "tuning" in call()
    assert "volume" in call("tuning")
    assert "There is no session 'tunin'. Did you mean 'tuning'?" in call("tunin")
    assert "0 items" in call("tuning", "--clear")
    assert "No sessions" in call("tuning", "--drop")


def test_only_a_listing_of_sessions_needs_no_widgets() -> None:
    import subprocess

    code = "import sys, workbench.sessions; print('ipywidgets' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert Sessions.__module__ == "workbench.sessions.sessions"
