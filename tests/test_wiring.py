"""The parts of a workspace: built when they are asked for, once, and ended with it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import workbench
from workbench.catalog import Catalog
from workbench.errors import WorkspaceError
from workbench.wiring import Wiring, part


def test_a_part_is_built_when_it_is_asked_for_and_once(tmp_path: Path) -> None:
    with workbench.open(tmp_path / "ws") as ws:
        assert "links" not in vars(ws._wiring)
        first = ws.links
        assert vars(ws._wiring)["links"] is first
        assert ws.links is first
        assert "sweeps" not in vars(ws._wiring)


class Slow(Wiring):
    """Has a part that takes until two threads have asked for it."""

    def __init__(self, ws: workbench.Workspace) -> None:
        super().__init__(ws.store, ws.catalog, ws.settings, ws)
        self.begun = threading.Event()
        self.other_asks = threading.Event()
        self.built = 0

    @part
    def thing(self) -> object:
        self.built += 1
        self.begun.set()
        assert self.other_asks.wait(10)
        return object()


def test_two_threads_that_ask_at_once_get_the_same_part(tmp_path: Path) -> None:
    with workbench.open(tmp_path / "ws") as ws:
        slow, found = Slow(ws), []
        first = threading.Thread(target=lambda: found.append(slow.thing))
        first.start()
        assert slow.begun.wait(10)

        def ask() -> None:
            slow.other_asks.set()
            found.append(slow.thing)

        second = threading.Thread(target=ask)
        second.start()
        for thread in (first, second):
            thread.join(10)
        assert found[0] is found[1]
        assert slow.built == 1


def test_nothing_is_built_for_a_workspace_that_is_closed(tmp_path: Path) -> None:
    ws = workbench.open(tmp_path / "ws")
    ws.close()
    with pytest.raises(WorkspaceError, match=r"is closed\. Open it again"):
        _ = ws.runs
    with pytest.raises(WorkspaceError, match=r"is closed\. Open it again"):
        _ = ws.links
    assert "runs" not in vars(ws._wiring)


def test_a_catalog_that_is_given_open_is_closed_although_nobody_asked_for_it(tmp_path: Path) -> None:
    with workbench.open(tmp_path / "ws") as ws:
        catalog = Catalog.open("sqlite://")
        closed = []
        catalog.close = lambda: closed.append(True)  # type: ignore[method-assign]
        workbench.Workspace(ws.store, catalog, ws.settings).close()
        assert closed == [True]
