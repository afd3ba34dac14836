"""One writer at a time."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from workbench.algorithms import locks
from workbench.errors import ConflictError
from workbench.storage import FsspecStore

HOLD = """
import sys, time
from workbench.algorithms.locks import writing
from workbench.storage import FsspecStore
with writing(FsspecStore(sys.argv[1]), "algorithms"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_another_process_waits_and_a_dead_one_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FsspecStore(tmp_path)
    store.create_collections(["algorithms"])
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        monkeypatch.setattr(locks, "WAIT_S", 0.2)
        with (
            pytest.raises(ConflictError, match="Another process has been changing"),
            locks.writing(store, "algorithms"),
        ):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with locks.writing(store, "algorithms"):
        pass
    assert [p.name for p in (tmp_path / "algorithms").iterdir()] == [".collection"]


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_threads_take_turns(tmp_path: Path, memory_url: str, kind: str) -> None:
    store = FsspecStore(tmp_path if kind == "folder" else memory_url)
    store.create_collections(["algorithms"])
    inside: list[int] = []
    most = []

    def enter() -> None:
        with locks.writing(store, "algorithms"):
            inside.append(1)
            most.append(len(inside))
            threading.Event().wait(0.01)
            inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8
