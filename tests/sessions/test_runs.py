"""Sessions of a workspace, and runs that work in them."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import generic, write_algorithm

import workbench
from workbench.workspace import Workspace

SAVE = """
    for array in data:
        self.save_item_to_session(array["data"] * 2, "double")
    return [d["data"] for d in data]
"""
LOAD = """
    return [self.load_item_from_session("double") + 1]
"""
REMOVE = """
    self.remove_item_from_session("double")
    return []
"""


@pytest.fixture
def ws(workspace_url: str, tmp_path: Path) -> Iterator[Workspace]:
    with workbench.open(workspace_url) as ws:
        for name, body in (("save", SAVE), ("load", LOAD), ("remove", REMOVE)):
            folder = write_algorithm(tmp_path / name, name, generic(body), type="Generic")
            ws.algorithms.deploy(folder, check=False)
        yield ws


def test_runs_in_one_session_share_items_with_each_other_and_the_notebook(ws: Workspace) -> None:
    run = ws.run("save", np.arange(3.0), session="tuning")
    assert (run.status, run.record.session) == ("COMPLETED", "tuning")
    np.testing.assert_array_equal(ws.session("tuning")["double"], [0, 2, 4])
    np.testing.assert_array_equal(ws.run("load", session=ws.session("tuning")).result(), [1, 3, 5])
    assert ws.run("remove", session="tuning").status == "COMPLETED"
    failed = ws.run("load", session="tuning")
    assert failed.status == "FAILED"
    assert "was removed by process" in str(failed.error)
    assert failed.record.error.type == "NotFoundError"


def test_a_run_without_a_session_gets_its_own_at_the_first_item(ws: Workspace) -> None:
    run = ws.run("save", np.arange(3.0))
    assert run.record.session == run.id
    assert ws.runs.get(run.id).record.session == run.id
    np.testing.assert_array_equal(ws.run("load", session=run.record.session).result(), [1, 3, 5])
    failed = ws.run("load")
    assert failed.record.session is None
    assert f"Run {failed.id} has no session, and so no item 'double'" in str(failed.error)
    assert "%algorun -s tuning" in str(failed.error)


def test_a_wrong_session_name_leaves_no_record(ws: Workspace) -> None:
    with pytest.raises(ValueError, match="Session name 'a b'"):
        ws.run("save", np.arange(3.0), session="a b")
    assert len(ws.runs.list()) == 0
    assert len(ws.datasets.list()) == 0


def test_another_kernel_has_the_same_sessions(
    ws: Workspace, workspace_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws.session("tuning")["volume"] = np.arange(100_000)
    code = f"""
import os, workbench
os.chdir({str(Path(workspace_url).parent)!r})
with workbench.open({Path(workspace_url).name!r}) as ws:  # the same folder under another name
    print(ws.session("tuning").token, ws.session("tuning")["volume"][-1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [ws.session("tuning").token, "99999"]


def test_items_never_lie_in_the_store_but_their_session_is_known_there(
    ws: Workspace, workspace_url: str
) -> None:
    s = ws.session("tuning")
    s["secret"] = "a text that is easily found"
    files = [p for p in Path(workspace_url).rglob("*") if p.is_file()]
    assert not any(b"easily found" in p.read_bytes() for p in files)
    assert s.token in (Path(workspace_url) / "sessions" / "tuning.json").read_text()
    s.drop()
    assert not (Path(workspace_url) / "sessions" / "tuning.json").exists()


def test_items_that_went_with_the_machine_are_missed_with_that_reason(ws: Workspace) -> None:
    import shutil

    s = ws.session("tuning")
    s["k"] = 1
    folder = ws.sessions.folder
    s.close()
    ws.sessions.close()
    shutil.rmtree(folder)
    with (
        workbench.open(ws.url) as later,
        pytest.raises(
            KeyError, match=r"has no item 'k'. Items that were here are gone since this machine or its memory"
        ),
    ):
        later.session("tuning")["k"]


def test_a_workspace_in_memory_takes_its_sessions_with_it(memory_url: str) -> None:
    ws = workbench.open(memory_url)
    other = workbench.open(memory_url)
    ws.session("t")["k"] = np.arange(50_000)
    assert other.session("t")["k"][-1] == 49_999
    folder = ws.sessions.folder
    other.close()
    assert ws.session("t")["k"][-1] == 49_999
    ws.close()
    assert not folder.exists()


def test_what_a_run_saves_and_nobody_else_can_read_is_a_warning_in_its_log(
    ws: Workspace, tmp_path: Path
) -> None:
    code = generic(
        "self.save_item_to_session(lambda: 3, 'f')\nimport numpy as np\nreturn [np.zeros(self.load_item_from_session('f')())]"
    )
    folder = write_algorithm(tmp_path / "local", "local", code, type="Generic")
    ws.algorithms.deploy(folder, check=False)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        run = ws.run("local", session="tuning")
    assert run.result().shape == (3,)
    assert "cannot be pickled" in run.log


def test_a_background_run_and_the_notebook_share_a_session(ws: Workspace) -> None:
    ws.session("tuning")["double"] = np.arange(50_000.0)
    run = ws.run("load", session="tuning", executor="process")
    assert run.status == "COMPLETED", run.error
    assert run.result()[-1] == 50_000
    run = ws.run("save", np.arange(3.0), executor="process")
    assert run.record.session == run.id
    assert ws.session(run.id)["double"].tolist() == [0, 2, 4]


def test_a_run_that_left_items_in_a_session_of_its_own_is_computed_again(ws: Workspace) -> None:
    first = ws.run("save", np.arange(3.0), reuse="auto")
    second = ws.run("save", np.arange(3.0), reuse="auto")
    assert second.record.session == second.id
    assert ws.session(second.id)["double"].tolist() == ws.session(first.id)["double"].tolist()
