"""States that nobody names: left by processes that were killed with SIGKILL; found, and deleted when that is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import workbench
from workbench.cli import main
from workbench.errors import InvalidInputError
from workbench.steps import JsonStep
from workbench.versions import VersionedField

# The process stops, or is killed, where its bytes are in the store and nothing names them yet, or no longer.
CODE = """
import os, signal, sys, workbench
from workbench.steps import JsonStep
from workbench.versions import VersionedField

class Mean(JsonStep):
    state = ("mean",)
    unit = VersionedField("mm", "major")
    def execute(self, values):
        self.mean = sum(values) / len(values)
        return self.mean

url, catalog, after, what = sys.argv[1:]
ws = workbench.open(url, catalog=catalog or None)
step = Mean()
step([1.0, 3.0])
real = {name: getattr(ws.store, name) for name in ("put", "delete")}

def watched(name):
    def call(collection, *args, **options):
        if name == "delete" and collection == "models" and after == "delete":
            os.kill(os.getpid(), signal.SIGKILL)
        found = real[name](collection, *args, **options)
        if name == "put" and collection == "models" and after == "put":
            if what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            print("put", flush=True)
            sys.stdin.readline()
        return found
    return call

ws.store.put, ws.store.delete = watched("put"), watched("delete")
if after == "put" and what == "pipeline":
    what = "kill"
    pipe = workbench.Pipeline([workbench.Node(step, "__pipeline_input__", "mean")], name="p")
    pipe.run([1.0, 3.0], workspace=ws)
    pipe.save(workspace=ws)
ws.links.save(step)
print("saved", flush=True)
"""


class Mean(JsonStep):
    state = ("mean",)
    unit = VersionedField("mm", "major")

    def execute(self, values: list[float]) -> float:
        self.mean = sum(values) / len(values)
        return self.mean


def trained(*values: float) -> Mean:
    step = Mean()
    step(list(values))
    return step


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def ws(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[workbench.Workspace]:
    options: dict[str, Any] = {}
    if request.param == "postgresql":
        options = {"catalog": request.getfixturevalue("pg_url")}
    with workbench.open(tmp_path / "ws", **options) as found:
        found.catalog.clear()
        yield found


def start(ws: workbench.Workspace, after: str, what: str = "kill") -> subprocess.Popen[str]:
    catalog = "" if ws.catalog.url.startswith("sqlite") else ws.catalog.url
    command = [sys.executable, "-c", CODE, ws.url, catalog, after, what]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def is_killed(ws: workbench.Workspace, *words: str) -> None:
    with start(ws, *words) as child:
        child.communicate()
    assert child.returncode == -signal.SIGKILL


def states(ws: workbench.Workspace) -> list[str]:
    return [info.key for info in ws.store.list("models")]


def age(ws: workbench.Workspace, hours: float) -> None:
    """Make all states look as if they had been written some hours ago."""
    for key in states(ws):
        path = ws.store.local_path("models", key)
        assert path is not None
        then = time.time() - hours * 3600
        os.utime(path, (then, then))


@pytest.mark.parametrize("what", ["kill", "pipeline"])
def test_what_a_killed_save_left_is_found_and_deleted(ws: workbench.Workspace, what: str) -> None:
    kept = ws.links.save(trained(5.0))
    is_killed(ws, "put", what)
    assert len(states(ws)) == 2
    assert list(ws.links.orphans()) == []  # young: it might be somebody's
    age(ws, 25)
    (left,) = ws.links.orphans()
    assert left.key != f"mean/{kept.record.data}"
    assert len(states(ws)) == 2  # looking deletes nothing
    assert [info.key for info in ws.links.orphans(delete=True)] == [left.key]
    assert states(ws) == [f"mean/{kept.record.data}"]
    assert kept.bytes() == trained(5.0).serialize()
    assert ws.links.save(trained(1.0, 3.0)).bytes() == trained(1.0, 3.0).serialize()


def test_what_was_to_be_replaced_by_a_killed_process_is_found(ws: workbench.Workspace) -> None:
    before = ws.links.save(trained(5.0))
    is_killed(ws, "delete")
    assert [info.key for info in ws.links.orphans(0, delete=True)] == [f"mean/{before.record.data}"]
    assert ws.links.load_bytes("mean") == trained(1.0, 3.0).serialize()


def test_a_save_under_way_loses_nothing_whatever_the_age(ws: workbench.Workspace) -> None:
    with start(ws, "put", "wait") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "put\n"
        assert len(ws.links.orphans(0, delete=True)) == 1  # the worst case: its bytes are taken away
        assert states(ws) == []
        out, _ = child.communicate("\n\n")  # it puts them again, and waits once more
    assert "saved" in out
    assert ws.links.load_bytes("mean") == trained(1.0, 3.0).serialize()
    assert list(ws.links.orphans(0)) == []


def test_a_catalog_that_is_behind_makes_nothing_an_orphan(ws: workbench.Workspace) -> None:
    ws.links.save(trained(5.0))
    ws.catalog.clear()
    assert list(ws.links.orphans(0, delete=True)) == []
    ws.reindex()
    assert ws.links.load_bytes("mean") == trained(5.0).serialize()


def test_where_a_version_cannot_be_read_nothing_is_taken_for_unused(ws: workbench.Workspace) -> None:
    ws.links.save(trained(5.0))
    ws.store.put("models", "mean/left", b"x")
    ws.store.put("steps", "step/mean/1.0.0.json", b"{")
    with pytest.warns(UserWarning, match=r"steps/step/mean/1\.0\.0\.json is damaged"):
        assert list(ws.links.orphans(0, delete=True)) == []
    assert len(states(ws)) == 2
    for wrong in (-1, "1", True, float("nan")):
        with pytest.raises(InvalidInputError, match="older_than_s is"):
            ws.links.orphans(wrong)  # type: ignore[arg-type]


def test_bytes_of_a_step_that_is_gone_are_found(ws: workbench.Workspace) -> None:
    ws.store.put("models", "gone/left", b"x")
    assert [info.key for info in ws.links.orphans(0, delete=True)] == ["gone/left"]


@pytest.mark.s3
def test_states_on_s3_are_collected_too(s3: Any) -> None:
    with workbench.open(s3.new_url(), storage_options=s3.storage_options) as ws:
        kept = ws.links.save(trained(5.0))
        ws.store.put("models", "mean/left", b"x")
        assert list(ws.links.orphans()) == []
        assert [info.key for info in ws.links.orphans(0, delete=True)] == ["mean/left"]
        assert kept.bytes() == trained(5.0).serialize()


def test_the_doctor_and_gc_tell_of_them_in_a_terminal(tmp_path: Path) -> None:
    def call(*words: str) -> str:
        done = CliRunner().invoke(main, ["-w", str(tmp_path / "ws"), *words], catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    with workbench.open(tmp_path / "ws") as ws:
        ws.links.save(trained(5.0))
        ws.store.put("models", "mean/left", b"123")
        assert "ok  unused states: none" in call("doctor")
        age(ws, 25)
        assert "--  unused states: 1 (0.0 MB) were left by killed processes; remove: workbench gc" in call(
            "doctor"
        )
        assert "No states that nobody names" in call("gc", "--older-than", "48")
        assert "models/mean/left" in call("gc")
        assert "3 bytes; --delete removes them" in call("gc")
        assert "deleted 3 bytes" in call("gc", "--delete")
        assert len(states(ws)) == 1
